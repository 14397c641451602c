/*
 * What an instrumented function costs while nobody wants its events, compiled as for a shared object (-fPIC).
 *
 * Here each pass is a call, as in life: what a loop could keep in registers, such as the address of the library's
 * version, is found anew each time. Compare with `pic_plain`, the same function without probes.
 */
#include "rows.h"
#include "tools.h"

#include <stddef.h>

static const uint8_t types[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
static rmon_state states[3];
static uint64_t version;
static char code;

static __attribute__((noinline)) int plain(void)
{
    bench_barrier();
    return 0;
}

static __attribute__((noinline)) int entering(void)
{
    if (rmon_enter_scope(states, &version, types, 3) < 0)
        return -1;
    bench_barrier();
    rmon_exit_scope();
    return 0;
}

static __attribute__((noinline)) int instrumented(void)
{
    if (rmon_enter_scope(states, &version, types, 3) < 0)
        return -1;
    if (rmon_fire_py_start(&states[0], &code, 0) < 0)
        return -1;
    if (rmon_fire_line(&states[1], &code, 2, 10) < 0)
        return -1;
    bench_barrier();
    if (rmon_fire_py_return(&states[2], &code, 4, NULL) < 0)
        return -1;
    rmon_exit_scope();
    return 0;
}

BENCH_FUNCTION void call_plain(uint64_t n)
{
    BENCH_REPEAT(n) plain();
}

BENCH_FUNCTION void call_entering(uint64_t n)
{
    BENCH_REPEAT(n) entering();
}

BENCH_FUNCTION void call_instrumented(uint64_t n)
{
    BENCH_REPEAT(n) instrumented();
}

/* Somebody listens, though to none of this scope's events: the version is not 0 and the states are. */
static void listen_elsewhere(void)
{
    bench_listen(1, RMON_EVENT_JUMP);
    BENCH_EXPECT(rmon_enter_scope(states, &version, types, 3) == RMON_OK);
}

static void nothing_is_active(void)
{
    BENCH_EXPECT(version != 0);
    for (int i = 0; i < 3; i++)
        BENCH_EXPECT(states[i].active == 0);
}

const struct bench_row pic_rows[] = {
    {.name = "pic_plain", .loop = call_plain},
    {.name = "pic_entering", .setup = listen_elsewhere, .loop = call_entering, .check = nothing_is_active},
    {.name = "pic_instrumented", .setup = listen_elsewhere, .loop = call_instrumented, .check = nothing_is_active},
    {0},
};
