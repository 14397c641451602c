/* Native tools for the rows, and the scope that most of them fire in. */
#include "tools.h"

#include <stddef.h>

const uint8_t bench_event_types[BENCH_EVENTS] = {
    RMON_EVENT_PY_START, RMON_EVENT_PY_RESUME, RMON_EVENT_PY_RETURN, RMON_EVENT_PY_YIELD, RMON_EVENT_CALL,
    RMON_EVENT_LINE, RMON_EVENT_JUMP, RMON_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_RIGHT, RMON_EVENT_STOP_ITERATION,
    RMON_EVENT_RAISE, RMON_EVENT_EXCEPTION_HANDLED, RMON_EVENT_PY_UNWIND, RMON_EVENT_PY_THROW, RMON_EVENT_RERAISE,
    RMON_EVENT_C_RETURN, RMON_EVENT_C_RAISE,
};
rmon_state bench_states[BENCH_EVENTS];
uint64_t bench_version;
uint64_t bench_calls;

static int counting(void *user_data, const rmon_event *event)
{
    (void)event;
    bench_calls++;
    return (int)(intptr_t)user_data;
}

rmon_state *bench_state(int event)
{
    for (int i = 0; i < BENCH_EVENTS; i++)
        if (bench_event_types[i] == event)
            return &bench_states[i];
    bench_expect(0, "the scope has a state for the event");
    return NULL;
}

void *bench_code(const char *name)
{
    rmon_code_info info = {.struct_size = sizeof info, .first_line = 1, .name = name, .filename = "bench.tmpl"};
    void *code = rmon_code_new(&info);
    BENCH_EXPECT(code);
    return code;
}

void bench_claim(int count, int event)
{
    for (int tool = 0; tool < count; tool++) {
        BENCH_EXPECT(rmon_use_tool_id(tool, "bench") == RMON_OK);
        BENCH_EXPECT(rmon_register_callback(tool, event, bench_nothing[tool], NULL, NULL) == RMON_OK);
    }
}

void bench_listen(int count, int event)
{
    bench_claim(count, event);
    for (int tool = 0; tool < count; tool++)
        BENCH_EXPECT(rmon_set_events(tool, RMON_EVENT_SET(event)) == RMON_OK);
}

void bench_enter(void)
{
    BENCH_EXPECT(rmon_enter_scope(bench_states, &bench_version, bench_event_types, BENCH_EVENTS) == RMON_OK);
}

void bench_count_calls(int tool_id, int event, int result)
{
    BENCH_EXPECT(rmon_register_callback(tool_id, event, counting, (void *)(intptr_t)result, NULL) == RMON_OK);
}

void bench_expect_delivery(int count, int event, void (*fire)(uint64_t n))
{
    for (int tool = 0; tool < count; tool++)
        bench_count_calls(tool, event, RMON_CONTINUE);
    uint64_t before = bench_calls;
    fire(1);
    bench_expect(bench_calls == before + (uint64_t)count, "one fire reaches each tool once");
    for (int tool = 0; tool < count; tool++)
        BENCH_EXPECT(rmon_register_callback(tool, event, bench_nothing[tool], NULL, NULL) == RMON_OK);
    BENCH_EXPECT(rmon_synchronize() == RMON_OK);
}
