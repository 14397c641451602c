// hpp_units_b.cpp: the unit of hpp_units_a.cpp's program whose probes are compiled away; its tools work.
#define RMON_DISABLED
#include "hpp_units.h"

namespace units {

rmon::status fires_without_probes(void *code, int32_t number)
{
    rmon::function_scope guard(states, code);
    return fires_line(guard, number);
}

rmon::status registers_without_probes(const rmon::tool &tool, int *sum)
{
    const rmon::status how = tool.on(rmon::event::line, Adder{sum});
    return ok(how) ? tool.set_events(rmon::event::line) : how;
}

} // namespace units
