// All of rmon.hpp, for compilers to warn of. Compiled with RMON_DISABLED it must need nothing of librmon and do
// nothing; with RMON_LAZY it must need nothing of librmon either.
#include <rmon.hpp>

#include <utility>

namespace {

using rmon::event;
using rmon::status;

int object;
int failures;

void must(bool good)
{
    failures += good ? 0 : 1;
}

using Function = rmon::scope_states<
    event::py_start, event::py_resume, event::py_return, event::py_yield, event::call, event::line, event::instruction,
    event::jump, event::branch_left, event::branch_right, event::stop_iteration, event::raise,
    event::exception_handled, event::py_unwind, event::py_throw, event::reraise, event::c_return, event::c_raise,
    event::branch>;
Function states;

template <class Place>
void fires_each(const Place &place)
{
    must(ok(place.py_start()) && ok(place.py_resume(0)) && ok(place.py_return(0)) && ok(place.py_yield(0, &object)));
    must(ok(place.call(0, &object)) && ok(place.c_return(0, &object)) && ok(place.c_raise(0, &object, &object)));
    must(ok(place.line(0, 1)) && ok(place.instruction(0)) && ok(place.jump(0, 2)) && ok(place.branch(0, 2)));
    must(ok(place.branch_left(0, 2)) && ok(place.branch_right(0, 2)) && ok(place.stop_iteration(0, &object)));
    must(ok(place.py_throw(0)) && ok(place.raise(0)) && ok(place.reraise(0)) && ok(place.exception_handled(0)));
    must(ok(place.py_unwind(0, &object)));
    must(!place.template wanted<event::line>());
}

void fires_through_guards()
{
    {
        rmon::scope guard(states, &object);
        must(ok(guard.enter()));
        fires_each(guard);
        fires_each(guard.at(Function::size() - 1));
        fires_each(rmon::location(states.state<event::line>(), nullptr));
        rmon::function_scope function(states, &object);
        must(ok(function.started()));
        function.ends(1, &object);
    }
    must(states.at(0)->active == 0);
}

void fires_at_locations()
{
    using Array = rmon::state_array<event::py_start, event::py_return, event::py_unwind>;
    const event events[] = {event::line, event::jump};
    auto mixed = Array::make(events, 2);
    must(mixed && mixed->size() == 2 && mixed.error() == status::ok);
    auto array = Array::make(event::line, 8);
    if (!mixed || !array)
        return;
    *mixed = *std::move(array);
    rmon::function_scope function(*mixed, &object, 0);
    must(ok(function.at(7).line(0, 1)));
}

constexpr rmon::event_set set = (event::line | event::call) & ~rmon::event_set(event::call);
static_assert(set == event::line && set != rmon::all_events && (rmon::local_events | set).contains(set), "");

#if defined(RMON_LAZY) || !defined(RMON_DISABLED)
void makes_codes()
{
    const rmon::line_entry lines[] = {{0, 1}, {1, 2}};
    auto made = rmon::code::make("f", "f.tmpl", 1, nullptr, lines);
#if defined(RMON_LAZY)
    must(made.error() == status::invalid_argument); // there is no librmon
    const rmon::code known = rmon::code::retain(&object);
#else
    const rmon::code known = *std::move(made);
#endif
    rmon::code copy = known;
    must(copy == known && !(copy != known) && static_cast<bool>(copy));
    must(ok(rmon::forget(copy)));
    copy = rmon::code();
}
#endif

// What tools use is librmon.
#if !defined(RMON_LAZY) && !defined(RMON_DISABLED)
void on_line(const rmon_event &fired)
{
    object += fired.line;
}

void listens()
{
    rmon::tool tool = *rmon::tool::use(rmon::debugger_id, "probes");
    rmon::tool moved = std::move(tool);
    tool = std::move(moved);
    const rmon::code known = *rmon::code::make("f", "f.tmpl");
    const auto description = rmon::describe(known);
    must(description && description->name[0] == 'f' && description->lines.empty());
    must(ok(tool.set_events(event::line)) && ok(tool.set_local_events(known, event::line)));
    must(*tool.get_events() == event::line && *tool.get_local_events(known) == event::line);
    object = 0;
    const auto fires = [&known] {
        rmon::scope guard(states, known);
        must(ok(guard.line(0, 7)));
    };
    must(ok(tool.on(event::line, on_line)));
    fires();
    must(ok(tool.on(event::line, [](const rmon_event &fired) { object += fired.line; })));
    fires();
    must(ok(tool.on(event::line, [to = &object](const rmon_event &fired) {
        *to += rmon::kind_of(fired) == event::line ? fired.line : 0;
        return rmon::answer::disable;
    })));
    fires();
    fires();
    must(object == 3 * 7);
    must(ok(tool.off(event::line)) && ok(tool.clear()) && ok(rmon::restart_events()) && ok(rmon::synchronize()));
    tool.reset();
    must(tool.id() == -1 && tool.release() == -1);
    int events = 0;
    for (event which : rmon::all_events)
        events += rmon::event_name(which) != nullptr && rmon::message(status::ok) != nullptr ? 1 : 0;
    must(events == RMON_EVENT_COUNT);
}
#endif

} // namespace

int main()
{
    fires_through_guards();
    fires_at_locations();
#if defined(RMON_LAZY) || !defined(RMON_DISABLED)
    makes_codes();
#endif
#if !defined(RMON_LAZY) && !defined(RMON_DISABLED)
    listens();
#endif
    return failures;
}
