/* The anchors: what a loop costs with nothing in it, and what calls cost with nothing around them. */
#include "rows.h"
#include "tool.h"

/* volatile: each pass loads the pointer again, as a dispatcher must. */
static volatile bench_callee targets[BENCH_TOOLS];
static char state, code;

BENCH_FUNCTION void empty_loop(uint64_t n)
{
    BENCH_REPEAT(n) {}
}

static int near(void *at, void *in, int32_t offset, int32_t line)
{
    (void)at, (void)in, (void)offset, (void)line;
    return 0;
}

static void aim_near(void)
{
    for (int i = 0; i < BENCH_TOOLS; i++)
        targets[i] = near;
}

static void aim(void)
{
    for (int i = 0; i < BENCH_TOOLS; i++)
        targets[i] = bench_callees[i];
}

#define CALL(i) bench_expect_ok(targets[i](&state, &code, 16, 7))

BENCH_FUNCTION void calls_1(uint64_t n)
{
    BENCH_REPEAT(n) CALL(0);
}

BENCH_FUNCTION void calls_2(uint64_t n)
{
    BENCH_REPEAT(n) for (int i = 0; i < 2; i++) CALL(i);
}

/* From one place in the code, as in a dispatcher's loop. */
BENCH_FUNCTION void calls_6(uint64_t n)
{
    BENCH_REPEAT(n) for (int i = 0; i < 6; i++) CALL(i);
}

BENCH_FUNCTION void calls_6_straight(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        CALL(0);
        CALL(1);
        CALL(2);
        CALL(3);
        CALL(4);
        CALL(5);
    }
}

const struct bench_row limits_rows[] = {
    {.name = "empty_loop", .loop = empty_loop},
    {.name = "indirect_calls_1", .setup = aim, .loop = calls_1},
    {.name = "indirect_calls_2", .setup = aim, .loop = calls_2},
    {.name = "indirect_calls_6", .setup = aim, .loop = calls_6},
    {.name = "indirect_calls_6_straight", .setup = aim, .loop = calls_6_straight},
    {.name = "indirect_calls_1_near", .setup = aim_near, .loop = calls_1},
    {.name = "indirect_calls_6_near", .setup = aim_near, .loop = calls_6},
    {0},
};
