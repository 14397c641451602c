/* A program that reports what it does, and a tool that listens. README.md shows this file. */
#include <rmon.h>
#include <stdio.h>

/* The tool: a function, called for each event that it wants. */
static int on_event(void *user_data, const rmon_event *event)
{
    rmon_code_info info = {sizeof info, 0, NULL, NULL, NULL, NULL, 0};
    int *count = user_data;
    if (rmon_code_describe(event->code, &info) == RMON_OK)
        printf("%s in %s", rmon_event_name(event->event), info.name);
    if (event->event == RMON_EVENT_LINE)
        printf(", line %d", (int)event->line);
    printf("\n");
    ++*count;
    return RMON_CONTINUE;
}

/* The emitter: a function whose source is a template, say. */
static const uint8_t types[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
static rmon_state states[3];
static uint64_t version;

static void render(void *code)
{
    rmon_enter_scope(states, &version, types, 3);
    rmon_fire_py_start(&states[0], code, 0);
    rmon_fire_line(&states[1], code, 0, 1);
    rmon_fire_line(&states[1], code, 1, 2);
    rmon_fire_py_return(&states[2], code, 2, NULL);
    rmon_exit_scope();
}

int main(void)
{
    rmon_code_info info = {sizeof info, 1, "greeting", NULL, "greeting.tmpl", NULL, 0};
    void *code = rmon_code_new(&info);
    int count = 0;

    render(code); /* nobody listens: a few instructions, no call */

    rmon_use_tool_id(RMON_COVERAGE_ID, "printer");
    rmon_register_callback(RMON_COVERAGE_ID, RMON_EVENT_PY_START, on_event, &count, NULL);
    rmon_register_callback(RMON_COVERAGE_ID, RMON_EVENT_LINE, on_event, &count, NULL);
    rmon_set_events(RMON_COVERAGE_ID,
                    RMON_EVENT_SET(RMON_EVENT_PY_START) | RMON_EVENT_SET(RMON_EVENT_LINE));
    render(code);
    rmon_free_tool_id(RMON_COVERAGE_ID);

    rmon_code_release(code);
    printf("%d events\n", count);
    return count == 3 ? 0 : 1;
}
