/* Fires that reach nobody: the event is off, its location is disabled, or the tool listens to other codes only. */
#include "rows.h"
#include "tools.h"

#include <stddef.h>

enum { LINE = 7, LOCATIONS = 64, MANY_CODES = 10000, LINES = 10 };

static void *code;
static rmon_state *state;
static uint64_t calls_before;

static const uint8_t three_lines[] = {RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_LINE};
static rmon_state own_states[3];

static inline void fire_line(rmon_state *at, void *in, int32_t line)
{
    bench_expect_ok(rmon_fire_line(at, in, 2 * line, line));
}

BENCH_FUNCTION void fire_one(uint64_t n)
{
    rmon_state *at = state;
    void *in = code;
    BENCH_REPEAT(n) fire_line(at, in, LINE);
}

/* The same location again and again may be somebody's favourite: here 64 of them take turns. */
BENCH_FUNCTION void fire_in_turn(uint64_t n)
{
    rmon_state *at = state;
    void *in = code;
    BENCH_REPEAT(n) fire_line(at, in, (int32_t)(bench_pass % LOCATIONS));
}

static void *codes[MANY_CODES];

/* 100,000 locations take turns, the next one never in the same code. */
BENCH_FUNCTION void fire_in_many(uint64_t n)
{
    rmon_state *at = state;
    size_t in = 0;
    int32_t line = 0;
    BENCH_REPEAT(n)
    {
        fire_line(at, codes[in], line);
        in = in + 7 < MANY_CODES ? in + 7 : in + 7 - MANY_CODES;
        line = line + 1 < LINES ? line + 1 : 0;
    }
}

/* The same without the fire. */
BENCH_FUNCTION void many_only(uint64_t n)
{
    size_t in = 0;
    int32_t line = 0;
    BENCH_REPEAT(n)
    {
        __asm__ volatile("" ::"r"(codes[in]), "r"(2 * line), "r"(line));
        in = in + 7 < MANY_CODES ? in + 7 : in + 7 - MANY_CODES;
        line = line + 1 < LINES ? line + 1 : 0;
    }
}

static void nobody(void)
{
    code = bench_code("nobody");
    bench_enter();
    state = bench_state(RMON_EVENT_LINE);
}

static void stayed_inactive(void)
{
    BENCH_EXPECT(state->active == 0);
}

/* A tool disables every line that it sees, and has seen `locations` of them; all share one state. */
static void shared_state(int32_t locations)
{
    code = bench_code("shared");
    state = bench_state(RMON_EVENT_LINE);
    bench_listen(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_DISABLE);
    bench_enter();
    for (int32_t line = 0; line < locations; line++)
        fire_line(state, code, line);
    bench_expect(bench_calls == (uint64_t)locations, "each location is seen once");
    calls_before = bench_calls;
}

static void shared_state_one(void)
{
    shared_state(LINE + 1);
}

static void shared_state_many(void)
{
    shared_state(LOCATIONS);
}

/* As when coverage is measured: the tool has asked for the lines of this code, and disabled this one. */
static void disabled_in_chosen(void)
{
    code = bench_code("chosen");
    state = bench_state(RMON_EVENT_LINE);
    bench_claim(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_DISABLE);
    BENCH_EXPECT(rmon_set_local_events(0, code, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
    bench_enter();
    fire_line(state, code, LINE);
    bench_expect(bench_calls == 1, "the location is seen once");
    calls_before = bench_calls;
}

/* 100,000 disabled locations in 10,000 codes, in the shared state. */
static void disabled_everywhere(void)
{
    state = bench_state(RMON_EVENT_LINE);
    bench_listen(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_DISABLE);
    bench_enter();
    for (int i = 0; i < MANY_CODES; i++) {
        codes[i] = bench_code("one of many");
        for (int32_t line = 0; line < LINES; line++)
            fire_line(state, codes[i], line);
    }
    bench_expect(bench_calls == MANY_CODES * LINES, "each location is seen once");
    calls_before = bench_calls;
    code = codes[MANY_CODES / 2];
    bench_least_passes = MANY_CODES * LINES;
}

static void nobody_was_called(void)
{
    bench_expect(state->active != 0, "the shared state stays active for other locations");
    bench_expect(bench_calls == calls_before, "no callback runs");
}

static void own_state(void)
{
    static uint64_t version;
    code = bench_code("own");
    state = &own_states[1];
    bench_listen(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_DISABLE);
    BENCH_EXPECT(rmon_enter_scope(own_states, &version, three_lines, 3) == RMON_OK);
    BENCH_EXPECT(state->active != 0);
    fire_line(state, code, LINE);
    BENCH_EXPECT(bench_calls == 1);
}

static void own_state_was_cleared(void)
{
    bench_expect(own_states[0].active != 0 && own_states[1].active == 0, "only the disabled location's state is clear");
    BENCH_EXPECT(bench_calls == 1);
}

/* The tool listens to lines of one code; the lines fired are another's. */
static void elsewhere(void)
{
    void *chosen = bench_code("chosen");
    code = bench_code("elsewhere");
    state = bench_state(RMON_EVENT_LINE);
    bench_claim(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_CONTINUE);
    BENCH_EXPECT(rmon_set_local_events(0, chosen, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
    bench_enter();
    fire_line(state, chosen, LINE);
    bench_expect(bench_calls == 1, "the tool hears its own code");
    calls_before = bench_calls;
}

/* The tool listens to lines of 10,000 codes; those fired are of as many others. */
static void elsewhere_many(void)
{
    for (int i = 0; i < MANY_CODES; i++) {
        void *chosen = bench_code("chosen");
        BENCH_EXPECT(i > 0 || rmon_use_tool_id(0, "bench") == RMON_OK);
        BENCH_EXPECT(rmon_set_local_events(0, chosen, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
        codes[i] = bench_code("elsewhere");
    }
    bench_count_calls(0, RMON_EVENT_LINE, RMON_CONTINUE);
    state = bench_state(RMON_EVENT_LINE);
    bench_enter();
    code = codes[MANY_CODES / 2];
    bench_least_passes = MANY_CODES;
}

const struct bench_row quiet_rows[] = {
    {.name = "fire_disabled", .setup = nobody, .loop = fire_one, .check = stayed_inactive},
    {.name = "disabled_location", .setup = shared_state_one, .loop = fire_one, .check = nobody_was_called},
    {.name = "disabled_locations_64", .setup = shared_state_many, .loop = fire_in_turn, .check = nobody_was_called},
    {.name = "disabled_local", .setup = disabled_in_chosen, .loop = fire_one, .check = nobody_was_called},
    {.name = "disabled_of_100000", .setup = disabled_everywhere, .loop = fire_one, .check = nobody_was_called},
    {.name = "disabled_100000", .setup = disabled_everywhere, .loop = fire_in_many, .check = nobody_was_called},
    {.name = "many_only", .setup = disabled_everywhere, .loop = many_only},
    {.name = "disabled_own_state", .setup = own_state, .loop = fire_one, .check = own_state_was_cleared},
    {.name = "local_elsewhere", .setup = elsewhere, .loop = fire_one, .check = nobody_was_called},
    {.name = "local_elsewhere_10000", .setup = elsewhere_many, .loop = fire_in_many, .check = nobody_was_called},
    {0},
};
