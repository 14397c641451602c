// A function that reports what it does, and a tool that listens. README.md shows this file.
#include <rmon.hpp>
#include <cstdio>

using rmon::event;

static rmon::scope_states<event::py_start, event::line, event::py_return, event::py_unwind> states;

static void render(const rmon::code &page)
{
    rmon::function_scope guard(states, page); // PY_START; PY_RETURN at the end, or PY_UNWIND if an exception passes
    (void)guard.line(0, 1);
    (void)guard.line(1, 2);
}

int main()
{
    int count = 0;
    const rmon::code page = *rmon::code::make("greeting", "greeting.tmpl");
    const auto tool = rmon::tool::use(rmon::coverage_id, "printer"); // a tool, or the status that says why not
    if (!tool || !ok(tool->set_events(event::line)))
        return 1;
    (void)tool->on(event::line, [&count](const rmon_event &fired) { std::printf("line %d\n", fired.line), ++count; });
    render(page);
    return count == 2 ? 0 : 1;
} // the tool goes, and with it its callback and its events
