/*
 * A tool as coverage measurement has it, in C: PY_START asks for the lines of its code, and both events are disabled
 * where they have been seen. Loaded by driver.py into a process that has librmon.
 */
#include <rmon.h>

static uint64_t lines, functions;

static int on_start(void *user_data, const rmon_event *event)
{
    (void)user_data;
    functions++;
    if (rmon_set_local_events(event->tool_id, event->code, RMON_EVENT_SET(RMON_EVENT_LINE)) != RMON_OK)
        return RMON_ERR_CALLBACK;
    return RMON_DISABLE;
}

static int on_line(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    lines++;
    return RMON_DISABLE;
}

/* 0, or the status of what failed. */
int bench_coverage_begin(int tool_id)
{
    int status = rmon_use_tool_id(tool_id, "coverage-like");
    if (status == RMON_OK)
        status = rmon_register_callback(tool_id, RMON_EVENT_PY_START, on_start, NULL, NULL);
    if (status == RMON_OK)
        status = rmon_register_callback(tool_id, RMON_EVENT_LINE, on_line, NULL, NULL);
    if (status == RMON_OK)
        status = rmon_set_events(tool_id, RMON_EVENT_SET(RMON_EVENT_PY_START));
    return status;
}

uint64_t bench_coverage_lines(void)
{
    return lines;
}
