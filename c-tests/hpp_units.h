/* hpp_units.h: what the two units of one program share: states, and functions that fire the same way. */
#ifndef RMON_TESTS_HPP_UNITS_H
#define RMON_TESTS_HPP_UNITS_H

#include <rmon.hpp>

namespace units {

using Function = rmon::scope_states<rmon::event::py_start, rmon::event::line, rmon::event::py_return,
                                    rmon::event::py_unwind>;

// One object in the whole program, in a header: the units that can see it share it.
inline Function states;

// A type of callables that both units register.
struct Adder {
    void operator()(const rmon_event &fired) const { *sum += fired.line; }
    int *sum;
};

// As large as both units' compilers like it: a fire through each guard, not inlined here.
template <class Guard>
rmon::status fires_line(const Guard &guard, int32_t number)
{
    return guard.line(0, number);
}

// Of hpp_units_b.cpp, whose probes are compiled away.
rmon::status fires_without_probes(void *code, int32_t number);
rmon::status registers_without_probes(const rmon::tool &tool, int *sum);

} // namespace units

#endif
