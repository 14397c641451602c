/* Entering a scope: with the version that the library has, with an older one, and when nobody listens at all. */
#include "rows.h"
#include "tools.h"

static void nobody(void)
{
    bench_enter();
    bench_expect(bench_version == 0, "version 0 while nobody listens");
}

static void somebody(void)
{
    bench_listen(1, RMON_EVENT_LINE);
    bench_enter();
    bench_expect(bench_version != 0, "a version while somebody listens");
}

static void states_are_fresh(void)
{
    BENCH_EXPECT(bench_state(RMON_EVENT_LINE)->active != 0);
    BENCH_EXPECT(bench_state(RMON_EVENT_PY_START)->active == 0);
}

#define ENTER() bench_expect_ok(rmon_enter_scope(bench_states, &bench_version, bench_event_types, BENCH_EVENTS))

BENCH_FUNCTION void enter(uint64_t n)
{
    BENCH_REPEAT(n) ENTER();
}

BENCH_FUNCTION void enter_exit(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        ENTER();
        rmon_exit_scope();
    }
}

/* A caller's version of 0 is never that of a library with a listener: each pass refreshes all states. */
BENCH_FUNCTION void enter_exit_changed(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        bench_version = 0;
        ENTER();
        rmon_exit_scope();
    }
}

BENCH_FUNCTION void enter_changed(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        bench_version = 0;
        ENTER();
    }
}

const struct bench_row scope_rows[] = {
    {.name = "enter_nobody", .setup = nobody, .loop = enter},
    {.name = "enter_unchanged", .setup = somebody, .loop = enter, .check = states_are_fresh},
    {.name = "enter_exit_unchanged", .setup = somebody, .loop = enter_exit, .check = states_are_fresh},
    {.name = "enter_changed", .setup = somebody, .loop = enter_changed, .check = states_are_fresh},
    {.name = "enter_exit_changed", .setup = somebody, .loop = enter_exit_changed, .check = states_are_fresh},
    {0},
};
