// hpp_emitter.cpp: rmon.hpp's emitters: states, guards, what each member function of them fires, and when.
#include <rmon.hpp>

#include "check.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using rmon::event;
using rmon::status;

namespace {

char code;

// A tool that keeps what it hears. For one thread.
struct Recorder {
    rmon::tool tool = *rmon::tool::use(rmon::profiler_id, "recorder");
    std::vector<rmon_event> heard;

    explicit Recorder(rmon::event_set events)
    {
        for (event which : rmon::all_events)
            CHECK(tool.on(which, [this](const rmon_event &fired) { heard.push_back(fired); }) == status::ok);
        CHECK(tool.set_events(events) == status::ok);
    }

    std::string story() const
    {
        std::string text;
        for (const rmon_event &fired : heard)
            text += std::string(rmon::event_name(rmon::kind_of(fired))) + "@" + std::to_string(fired.offset) + " ";
        return text;
    }
};

// ---- scopes ----

rmon::scope_states<event::py_start, event::py_resume, event::py_return, event::py_yield, event::call, event::line,
                   event::instruction, event::jump, event::branch_left, event::branch_right, event::stop_iteration,
                   event::raise, event::exception_handled, event::py_unwind, event::py_throw, event::reraise,
                   event::c_return, event::c_raise, event::branch>
    all_states;

template <class Scope>
using fire_of = status (*)(const Scope &, int32_t offset, int32_t number, const void *object, const void *arg0);

// By event number.
template <class Scope>
constexpr fire_of<Scope> fires[RMON_EVENT_COUNT] = {
    [](auto &s, auto at, auto, auto, auto) { return s.py_start(at); },
    [](auto &s, auto at, auto, auto, auto) { return s.py_resume(at); },
    [](auto &s, auto at, auto, auto object, auto) { return s.py_return(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.py_yield(at, object); },
    [](auto &s, auto at, auto, auto object, auto arg0) { return s.call(at, object, arg0); },
    [](auto &s, auto at, auto number, auto, auto) { return s.line(at, number); },
    [](auto &s, auto at, auto, auto, auto) { return s.instruction(at); },
    [](auto &s, auto at, auto number, auto, auto) { return s.jump(at, number); },
    [](auto &s, auto at, auto number, auto, auto) { return s.branch_left(at, number); },
    [](auto &s, auto at, auto number, auto, auto) { return s.branch_right(at, number); },
    [](auto &s, auto at, auto, auto object, auto) { return s.stop_iteration(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.raise(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.exception_handled(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.py_unwind(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.py_throw(at, object); },
    [](auto &s, auto at, auto, auto object, auto) { return s.reraise(at, object); },
    [](auto &s, auto at, auto, auto object, auto arg0) { return s.c_return(at, object, arg0); },
    [](auto &s, auto at, auto, auto object, auto arg0) { return s.c_raise(at, object, arg0); },
    [](auto &s, auto at, auto number, auto, auto) { return s.branch(at, number); },
};

bool is_in(int number, std::vector<event> events)
{
    for (event which : events)
        if (number == static_cast<int>(which))
            return true;
    return false;
}

// That the event came with what such an event comes with.
void check_heard(const rmon_event &fired, int number, const void *where, const void *object, const void *arg0)
{
    const bool pair = is_in(number, {event::call, event::c_return, event::c_raise});
    const bool one = is_in(number, {event::py_return, event::py_yield, event::stop_iteration, event::raise,
                                    event::exception_handled, event::py_unwind, event::py_throw, event::reraise});
    const bool target = is_in(number, {event::jump, event::branch_left, event::branch_right, event::branch});
    CHECK_EQ(fired.event, number);
    CHECK_PTR(fired.code, where);
    CHECK_EQ(fired.offset, 6);
    CHECK_EQ(fired.line, number == RMON_EVENT_LINE ? 9 : -1);
    CHECK_EQ(fired.target_offset, target ? 9 : -1);
    CHECK_PTR(fired.object, pair || one ? object : nullptr);
    CHECK_PTR(fired.arg0, pair ? arg0 : nullptr);
}

void each_event_has_a_member_function()
{
    const int object = 0, arg0 = 0;
    const rmon::code own = *rmon::code::make("f", "f");
    Recorder recorder(rmon::all_events);
    rmon::scope guard(all_states, own);
    using Scope = decltype(guard);
    for (int number = 0; number < RMON_EVENT_COUNT; number++) {
        recorder.heard.clear();
        CHECK(fires<Scope>[number](guard, 6, 9, &object, &arg0) == status::ok);
        CHECK_EQ(recorder.heard.size(), 1);
        if (recorder.heard.size() == 1)
            check_heard(recorder.heard[0], number, own.get(), &object, &arg0);
        CHECK(fires<Scope>[number](guard, -1, 9, &object, &arg0) == status::invalid_offset);
    }
}

void each_event_can_be_fired_at_a_location()
{
    const int object = 0, arg0 = 0;
    Recorder recorder(rmon::all_events);
    rmon::scope guard(all_states, &code);
    for (int number = 0; number < RMON_EVENT_COUNT; number++) {
        recorder.heard.clear();
        const rmon::location place = guard.at(static_cast<std::size_t>(number));
        CHECK(fires<rmon::location>[number](place, 6, 9, &object, &arg0) == status::ok);
        CHECK_EQ(recorder.heard.size(), 1);
        if (recorder.heard.size() == 1)
            check_heard(recorder.heard[0], number, &code, &object, &arg0);
    }
}

void an_event_goes_to_its_own_state()
{
    for (event which : rmon::all_events) {
        if (rmon::ancillary_events.contains(which))
            continue;
        Recorder recorder(which);
        rmon::scope guard(all_states, &code);
        const bool branches = which == event::branch; // a set with BRANCH has the two directions
        for (int number = 0; number < RMON_EVENT_COUNT; number++) {
            const auto fired = static_cast<event>(number);
            const bool ancillary = which == event::call && rmon::ancillary_events.contains(fired);
            const bool direction = fired == event::branch_left || fired == event::branch_right;
            const bool any_branch = fired == event::branch
                                    && (which == event::branch_left || which == event::branch_right);
            recorder.heard.clear();
            CHECK(fires<decltype(guard)>[number](guard, 0, 0, nullptr, nullptr) == status::ok);
            const bool heard = fired == which || ancillary || (branches && direction) || any_branch;
            CHECK_EQ(recorder.heard.size(), heard ? 1 : 0);
        }
    }
}

void without_a_tool_nothing_is_wanted_and_all_is_well()
{
    rmon::scope guard(all_states, &code);
    for (int number = 0; number < RMON_EVENT_COUNT; number++)
        CHECK(fires<decltype(guard)>[number](guard, 0, 0, nullptr, nullptr) == status::ok);
    CHECK(!guard.wanted<event::line>());
    Recorder recorder(event::line);
    CHECK(guard.enter() == status::ok); // as a coroutine does when it goes on
    CHECK(guard.wanted<event::line>());
    CHECK(!guard.wanted<event::py_start>());
    CHECK(guard.line(0, 1) == status::ok);
    CHECK_EQ(recorder.heard.size(), 1);
}

void a_callbacks_error_is_the_fires_status()
{
    rmon::tool tool = *rmon::tool::use(0, "errors");
    CHECK(tool.on(event::line, [](const rmon_event &) { return -77; }) == status::ok);
    CHECK(tool.set_events(event::line) == status::ok);
    rmon::scope guard(all_states, &code);
    CHECK_EQ(static_cast<int>(guard.line(0, 1)), -77);
    CHECK(!ok(guard.line(0, 1)));
}

void scopes_are_left_by_exceptions()
{
    Recorder recorder(event::line | event::raise);
    std::runtime_error error("an error of the emitter's own");
    try {
        rmon::scope guard(all_states, &code);
        CHECK(guard.line(0, 1) == status::ok);
        CHECK(guard.raise(0, &error) == status::ok);
        throw error;
    } catch (const std::runtime_error &) {
    }
    CHECK(recorder.story() == "LINE@0 RAISE@0 ");
    CHECK_PTR(recorder.heard[1].object, &error);
}

void an_event_that_stands_several_times_has_a_state_per_location()
{
    static rmon::scope_states<event::py_start, event::line, event::line, event::line> states;
    static_assert(states.size() == 4, "");
    std::vector<int> lines;
    rmon::tool tool = *rmon::tool::use(0, "once");
    CHECK(tool.on(event::line, [&lines](const rmon_event &fired) {
        lines.push_back(fired.line);
        return fired.line == 2 ? rmon::answer::disable : rmon::answer::proceed;
    }) == status::ok);
    CHECK(tool.set_events(event::line | event::py_start) == status::ok);
    for (int round = 0; round < 2; round++) {
        rmon::scope guard(states, &code);
        CHECK(guard.py_start() == status::ok); // which stands once
        for (int line = 1; line <= 3; line++)
            CHECK(guard.at(static_cast<std::size_t>(line)).line(line * 2, line) == status::ok);
    }
    CHECK((lines == std::vector<int>{1, 2, 3, 1, 3}));
    CHECK_EQ(states.at(2)->active, 0);
    CHECK(states.at(1)->active != 0);
    CHECK(states.at(3)->active != 0);
    CHECK(rmon::restart_events() == status::ok);
    rmon::scope guard(states, &code);
    CHECK(guard.at(2).line(4, 2) == status::ok);
    CHECK_EQ(lines.back(), 2);
}

#ifdef __cpp_constinit
[[maybe_unused]] constinit rmon::scope_states<event::line> constant;
#else
constexpr auto make_states = [] { return rmon::scope_states<event::line>(); };
static_assert((static_cast<void>(make_states()), true), "states are initialised before anything runs");
#endif
static_assert(sizeof(rmon::scope_states<event::line, event::jump>) == 16, "two bytes each, and a version");
static_assert(std::is_trivially_destructible_v<rmon::scope_states<event::line>>, "nothing runs at the end");
static_assert(!std::is_copy_constructible_v<rmon::scope_states<event::line>>, "a state belongs to its array");

void threads_share_states()
{
    enum { THREADS = 4 };
    static rmon::scope_states<event::line> states;
    const int lines = check_scaled(20000);
    std::atomic<int> calls{0};
    rmon::tool tool = *rmon::tool::use(0, "counter");
    CHECK(tool.on(event::line, [&calls](const rmon_event &) { ++calls; }) == status::ok);
    CHECK(tool.set_events(event::line) == status::ok);
    std::vector<std::thread> threads;
    for (int i = 0; i < THREADS; i++)
        threads.emplace_back([lines] {
            for (int line = 0; line < lines; line++) {
                rmon::scope guard(states, &code);
                CHECK(guard.line(0, line) == status::ok);
            }
        });
    for (auto &thread : threads)
        thread.join();
    CHECK_EQ(calls.load(), THREADS * lines);
}

// ---- arrays of states whose length the program finds out ----

using Function = rmon::state_array<event::py_start, event::py_return, event::py_unwind>;

void an_array_has_a_state_per_location()
{
    std::vector<int> lines;
    rmon::tool tool = *rmon::tool::use(0, "once");
    CHECK(tool.on(event::line, [&lines](const rmon_event &fired) {
        lines.push_back(fired.line);
        return rmon::answer::disable;
    }) == status::ok);
    CHECK(tool.set_events(event::line) == status::ok);
    auto made = Function::make(event::line, 40);
    CHECK(static_cast<bool>(made));
    Function states = *std::move(made); // the states do not move
    states = std::move(*&states);
    CHECK_EQ(states.size(), 40);
    for (int round = 0; round < 3; round++) {
        rmon::scope guard(states, &code);
        for (int line = 0; line < 40; line += 13)
            CHECK(guard.at(static_cast<std::size_t>(line)).line(0, line) == status::ok);
    }
    CHECK((lines == std::vector<int>{0, 13, 26, 39}));
    CHECK_EQ(states.at(13)->active, 0);
    CHECK(states.at(14)->active != 0);
}

void an_array_mixes_events()
{
    const event locations[] = {event::line, event::jump, event::line, event::raise};
    Recorder recorder(rmon::all_events);
    auto states = Function::make(locations, 4);
    CHECK(static_cast<bool>(states));
    {
        rmon::function_scope guard(*states, &code, 1);
        CHECK(guard.at(0).line(2, 1) == status::ok);
        CHECK(guard.at(1).jump(3, 9) == status::ok);
        CHECK(guard.at(2).line(4, 2) == status::ok);
        CHECK(guard.at(3).raise(5) == status::ok);
        guard.ends(6);
    }
    CHECK(recorder.story() == "PY_START@1 LINE@2 JUMP@3 LINE@4 RAISE@5 PY_RETURN@6 ");
    auto none = Function::make(nullptr, 0);
    CHECK(static_cast<bool>(none));
    CHECK_EQ(none->size(), 0);
    rmon::scope guard(*none, &code);
    CHECK(guard.py_start(0) == status::ok);
    auto only_locations = rmon::state_array<>::make(event::line, 1);
    rmon::scope other(*only_locations, &code);
    recorder.heard.clear();
    CHECK(other.at(0).line(0, 1) == status::ok);
    CHECK_EQ(recorder.heard.size(), 1);
}

void arrays_that_cannot_be_made_say_why()
{
    CHECK(Function::make(event::py_return, 2).error() == status::invalid_argument);
    CHECK(Function::make(static_cast<event>(RMON_EVENT_COUNT), 1).error() == status::invalid_event);
    CHECK(Function::make(static_cast<event>(255), 1).error() == status::invalid_event);
    CHECK(Function::make(event::line, SIZE_MAX).error() == status::no_memory);
    CHECK(Function::make(event::line, SIZE_MAX / 2).error() == status::no_memory);
}

// ---- functions ----

rmon::scope_states<event::py_start, event::line, event::py_return, event::py_unwind> states;
constexpr rmon::event_set bounds = event::py_start | event::py_return | event::py_unwind;
int value;

void returns()
{
    rmon::function_scope guard(states, &code, 1);
    CHECK(guard.started() == status::ok);
    CHECK(guard.line(2, 1) == status::ok);
    guard.ends(3, &value);
}

[[noreturn]] void throws()
{
    rmon::function_scope guard(states, &code, 4);
    guard.ends(5, &value);
    throw std::runtime_error("of the emitter's");
}

void a_function_starts_and_returns()
{
    Recorder recorder(bounds | event::line);
    returns();
    CHECK(recorder.story() == "PY_START@1 LINE@2 PY_RETURN@3 ");
    CHECK_PTR(recorder.heard.back().object, &value);
    recorder.heard.clear();
    {
        rmon::function_scope guard(states, &code);
    }
    CHECK(recorder.story() == "PY_START@0 PY_RETURN@0 ");
    CHECK_PTR(recorder.heard.back().object, nullptr);
}

void a_function_is_left_by_an_exception()
{
    Recorder recorder(bounds);
    try {
        throws();
    } catch (const std::runtime_error &) {
        returns(); // an exception that was caught is no longer in flight
    }
    CHECK(recorder.story() == "PY_START@4 PY_UNWIND@5 PY_START@1 PY_RETURN@3 ");
    CHECK_PTR(recorder.heard[1].object, nullptr);
}

void a_function_called_while_another_is_left_returns()
{
    struct AtEnd {
        ~AtEnd()
        {
            returns();
            try {
                throws();
            } catch (const std::runtime_error &) {
            }
        }
    };
    Recorder recorder(bounds);
    try {
        AtEnd at_end;
        throw 1;
    } catch (int) {
    }
    CHECK(recorder.story() == "PY_START@1 PY_RETURN@3 PY_START@4 PY_UNWIND@5 ");
}

void each_end_is_reported_to_who_wants_it()
{
    for (event only : {event::py_return, event::py_unwind}) {
        Recorder recorder(only);
        returns();
        try {
            throws();
        } catch (const std::runtime_error &) {
        }
        CHECK(recorder.story() == (only == event::py_return ? "PY_RETURN@3 " : "PY_UNWIND@5 "));
    }
}

void a_tool_that_comes_meanwhile_sees_the_end()
{
    rmon::result<rmon::tool> tool(status::null);
    std::string story;
    const auto attach = [&] {
        tool = rmon::tool::use(0, "late");
        for (event which : bounds)
            CHECK(tool->on(which, [&](const rmon_event &fired) { story += rmon::event_name(rmon::kind_of(fired)); })
                  == status::ok);
        CHECK(tool->set_events(bounds) == status::ok);
    };
    {
        rmon::function_scope guard(states, &code);
        attach();
        CHECK(guard.enter() == status::ok);
    }
    CHECK(story == "PY_RETURN");
    tool = status::null;
    story.clear();
    try {
        rmon::function_scope guard(states, &code);
        attach();
        CHECK(guard.enter() == status::ok);
        throw 1;
    } catch (int) {
    }
    CHECK(story == "PY_UNWIND");
}

void an_error_at_the_start_is_told()
{
    rmon::tool tool = *rmon::tool::use(0, "errors");
    CHECK(tool.on(event::py_start, [](const rmon_event &) { return rmon::answer::fail; }) == status::ok);
    CHECK(tool.set_events(event::py_start) == status::ok);
    rmon::function_scope guard(states, &code);
    CHECK(guard.started() == status::callback);
}

} // namespace

int main()
{
    RUN(each_event_has_a_member_function);
    RUN(each_event_can_be_fired_at_a_location);
    RUN(an_event_goes_to_its_own_state);
    RUN(without_a_tool_nothing_is_wanted_and_all_is_well);
    RUN(a_callbacks_error_is_the_fires_status);
    RUN(scopes_are_left_by_exceptions);
    RUN(an_event_that_stands_several_times_has_a_state_per_location);
    RUN(threads_share_states);
    RUN(an_array_has_a_state_per_location);
    RUN(an_array_mixes_events);
    RUN(arrays_that_cannot_be_made_say_why);
    RUN(a_function_starts_and_returns);
    RUN(a_function_is_left_by_an_exception);
    RUN(a_function_called_while_another_is_left_returns);
    RUN(each_end_is_reported_to_who_wants_it);
    RUN(a_tool_that_comes_meanwhile_sees_the_end);
    RUN(an_error_at_the_start_is_told);
    return check_result();
}
