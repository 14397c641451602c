/* Fires that are delivered: to one, two and six native tools whose callbacks do nothing. */
#include "rows.h"
#include "tools.h"

#include <stddef.h>

static void *code;
static rmon_state *state;
static char value;

/* A loop over one kind of fire, whose first arguments stay in registers. */
#define FIRE_LOOP(name, call)              \
    BENCH_FUNCTION void name(uint64_t n)   \
    {                                      \
        rmon_state *at = state;            \
        void *in = code;                   \
        BENCH_REPEAT(n) bench_expect_ok(call);   \
    }
FIRE_LOOP(fire_line, rmon_fire_line(at, in, 16, 7))
FIRE_LOOP(fire_py_start, rmon_fire_py_start(at, in, 0))
FIRE_LOOP(fire_py_return, rmon_fire_py_return(at, in, 16, &value))
FIRE_LOOP(fire_call, rmon_fire_call(at, in, 16, &value, NULL))

static void listeners(int count, int event, void (*fire)(uint64_t))
{
    code = bench_code("fired");
    state = bench_state(event);
    bench_listen(count, event);
    bench_enter();
    bench_expect_delivery(count, event, fire);
}

/* A row's setup, and its check: delivery is proved before the loop and after it. */
#define LISTENERS(name, count, event, fire)                                              \
    static void name##_setup(void) { listeners(count, event, fire); }                    \
    static void name##_check(void) { bench_expect_delivery(count, event, fire); }
LISTENERS(line_1, 1, RMON_EVENT_LINE, fire_line)
LISTENERS(line_2, 2, RMON_EVENT_LINE, fire_line)
LISTENERS(line_6, 6, RMON_EVENT_LINE, fire_line)
LISTENERS(py_start_1, 1, RMON_EVENT_PY_START, fire_py_start)
LISTENERS(py_return_1, 1, RMON_EVENT_PY_RETURN, fire_py_return)
LISTENERS(call_1, 1, RMON_EVENT_CALL, fire_call)

/* The tool listens to the fired code, and to no other. */
static void local_setup(void)
{
    code = bench_code("chosen");
    state = bench_state(RMON_EVENT_LINE);
    bench_claim(1, RMON_EVENT_LINE);
    BENCH_EXPECT(rmon_set_local_events(0, code, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
    bench_enter();
    bench_expect_delivery(1, RMON_EVENT_LINE, fire_line);
}

#define FIRE_ROW(row, fire) {.name = "fire_" #row, .setup = row##_setup, .loop = fire, .check = row##_check}

const struct bench_row fire_rows[] = {
    FIRE_ROW(line_1, fire_line),
    FIRE_ROW(line_2, fire_line),
    FIRE_ROW(line_6, fire_line),
    FIRE_ROW(py_start_1, fire_py_start),
    FIRE_ROW(py_return_1, fire_py_return),
    FIRE_ROW(call_1, fire_call),
    {.name = "fire_line_local_1", .setup = local_setup, .loop = fire_line, .check = line_1_check},
    {0},
};
