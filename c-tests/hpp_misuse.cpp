// hpp_misuse.cpp: what rmon.hpp does not let one write, each beside the right thing.
//
// As it stands this is a program like the others: the right things compile and run. With MISUSE=n the n-th wrong thing
// takes the right one's place; it must not compile, and the compiler must say what stands behind the `///`. (Warnings
// are errors; alternatives, for compilers that say it otherwise, have a `|` between them.)
#include <rmon.hpp>

#include "check.h"

#include <array>
#include <memory>
#include <utility>

#ifndef MISUSE
#define MISUSE 0
#endif

using rmon::event;
using rmon::status;

namespace {

int object;
rmon::scope_states<event::py_start, event::py_return, event::py_unwind, event::line, event::line> states;

void uses_rmon()
{
    rmon::tool tool = *rmon::tool::use(0, "misuse");
    const rmon::code code = *rmon::code::make("f", "f");

#if MISUSE == 1 /// deleted
    rmon::tool copy = tool;
#else
    rmon::tool copy = std::move(tool);
#endif

#if MISUSE == 2 /// deleted
    tool = copy;
#else
    tool = std::move(copy);
#endif

#if MISUSE == 3 /// nodiscard|unused-result|unused-value
    tool.set_events(event::line);
#else
    (void)tool.set_events(event::line);
#endif

#if MISUSE == 4 /// nodiscard|unused-result|unused-value
    rmon::tool::use(1, "misuse");
#else
    const auto other = rmon::tool::use(1, "misuse");
#endif

#if MISUSE == 5 /// could not convert|not contextually convertible
    if (tool.set_events(event::line))
#else
    if (ok(tool.set_events(event::line)))
#endif
        CHECK(true);

#if MISUSE == 6 /// could not convert|cannot convert|no viable conversion|no known conversion
    CHECK(tool.set_events(1u << 5) == status::ok);
#else
    CHECK(tool.set_events(rmon::event_set::from_bits(1u << 5)) == status::ok);
#endif

#if MISUSE == 7 /// a callback can be called as const
    CHECK(tool.on(event::line, [n = 0](const rmon_event &) mutable { ++n; }) == status::ok);
#else
    CHECK(tool.on(event::line, [n = std::make_unique<int>(0)](const rmon_event &) { ++*n; }) == status::ok);
#endif

#if MISUSE == 8 /// a callback can be called as const
    CHECK(tool.on(event::line, [] {}) == status::ok);
#else
    CHECK(tool.on(event::line, [](const rmon_event &) {}) == status::ok);
#endif

#if MISUSE == 9 /// a callback can be called as const
    CHECK(tool.on(event::line, [](rmon_event &) {}) == status::ok);
#else
    CHECK(tool.on(event::line, [](rmon_event) {}) == status::ok);
#endif

#if MISUSE == 10 /// a callback returns nothing, rmon::answer, rmon::status
    CHECK(tool.on(event::line, [](const rmon_event &) { return true; }) == status::ok);
#else
    CHECK(tool.on(event::line, [](const rmon_event &) { return rmon::answer::disable; }) == status::ok);
#endif

#if MISUSE == 11 /// deleted
    const auto states_copy = states;
#else
    const auto &states_copy = states;
#endif
    CHECK_EQ(states_copy.size(), 5);

    rmon::scope guard(states, code);

#if MISUSE == 12 /// deleted
    const auto guard_copy = guard;
#else
    const auto &guard_copy = guard;
#endif

#if MISUSE == 13 /// deleted
    const auto guard_moved = std::move(guard);
#endif

#if MISUSE == 14 /// nodiscard|unused-result|unused-value
    rmon::scope(states, code);
#endif

#if MISUSE == 15 /// nodiscard|unused-result|unused-value
    guard_copy.py_start();
#else
    (void)guard_copy.py_start();
#endif

#if MISUSE == 16 /// these states have none for this event
    CHECK(guard.jump(0, 2) == status::ok);
#else
    CHECK(guard.py_return(0) == status::ok);
#endif

#if MISUSE == 17 /// this event has a state per location here
    CHECK(guard.line(0, 1) == status::ok);
#else
    CHECK(guard.at(3).line(0, 1) == status::ok);
#endif

    rmon::function_scope function(states, code);

#if MISUSE == 18 /// deleted
    CHECK(function.py_return(0, &object) == status::ok);
#else
    function.ends(0, &object);
#endif

#if MISUSE == 19 /// deleted
    rmon::scope temporary(states, rmon::code::retain(code.get()));
#else
    rmon::scope temporary(states, code.get());
#endif

#if MISUSE == 20 /// deleted
    rmon::scope address(states, &code);
#else
    rmon::scope address(states, code);
#endif

#if MISUSE == 21 /// states of no event
    rmon::scope_states<> none;
    CHECK(none.enter() == status::ok);
#endif

    auto array = rmon::state_array<event::py_start>::make(event::line, 2);

#if MISUSE == 22 /// deleted
    auto second = *array;
#else
    auto second = *std::move(array);
#endif

#if MISUSE == 23 /// these states have none for this event
    rmon::function_scope too_few(second, code);
#else
    rmon::scope enough(second, code);
#endif

#if MISUSE == 24 /// cannot convert|cannot initialize
    status number = 0;
#else
    status number = status::ok;
#endif
    CHECK(ok(number));

#if MISUSE == 25 /// cannot convert|no viable conversion
    const std::array<int, 2> lines = {{1, 2}};
#else
    const std::array<rmon::line_entry, 2> lines = {{{0, 1}, {2, 2}}};
#endif
    CHECK(static_cast<bool>(rmon::code::make("f", "f", 1, nullptr, lines)));

    struct Callback {
        void operator()(const rmon_event &) const {}
#if MISUSE == 26 /// a callback's destructor does not throw
        ~Callback() noexcept(false) {}
#else
        ~Callback() {}
#endif
    };
    CHECK(tool.on(event::line, Callback()) == status::ok);
}

} // namespace

int main()
{
    RUN(uses_rmon);
    return check_result();
}
