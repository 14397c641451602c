// hpp_units_a.cpp: several units of one program include rmon.hpp, one of them with RMON_DISABLED (hpp_units_b.cpp).
#include "hpp_units.h"

#include "check.h"

namespace {

char code;

rmon::status fires_with_probes(int32_t number)
{
    rmon::function_scope guard(units::states, &code);
    return units::fires_line(guard, number);
}

void each_unit_has_the_probes_that_it_asked_for()
{
    int sum = 0;
    const rmon::tool tool = *rmon::tool::use(0, "units");
    CHECK(tool.on(rmon::event::line, units::Adder{&sum}) == rmon::status::ok);
    CHECK(tool.set_events(rmon::event::line) == rmon::status::ok);
    CHECK(fires_with_probes(1) == rmon::status::ok);
    CHECK(units::fires_without_probes(&code, 10) == rmon::status::ok);
    CHECK_EQ(sum, 1);
}

void a_tool_passes_between_units()
{
    int sum = 0;
    const rmon::tool tool = *rmon::tool::use(0, "units");
    CHECK(units::registers_without_probes(tool, &sum) == rmon::status::ok);
    CHECK(fires_with_probes(5) == rmon::status::ok);
    CHECK_EQ(sum, 5);
}

} // namespace

int main()
{
    RUN(each_unit_has_the_probes_that_it_asked_for);
    RUN(a_tool_passes_between_units);
    return check_result();
}
