/*
 * Cost against size: "ROW:NUMBER" has so many codes, disabled locations, tools or threads.
 *
 * Where many codes or locations take turns, it is in an order that no cache can foresee, as in a large program.
 */
#include "tools.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { LINE = 7, LOCATIONS_PER_CODE = 10, MAX_THREADS = 64, FIRES = 1000 };

static const uint8_t types[] = {RMON_EVENT_LINE};
static rmon_state states[1];
static uint64_t version;

/* Where a pass fires. */
struct place {
    void *code;
    int32_t line;
};

static struct place *places;
static size_t count;

static void enter(void)
{
    BENCH_EXPECT(rmon_enter_scope(states, &version, types, 1) == RMON_OK);
}

static struct place *make(size_t wanted)
{
    places = calloc(wanted, sizeof *places);
    BENCH_EXPECT(places);
    count = wanted;
    return places;
}

/* In an order that does not change from run to run; each has its turn. */
static void shuffle(void)
{
    uint64_t random = 1;
    bench_least_passes = count;
    for (size_t i = count; i > 1; i--) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        size_t other = (size_t)((random >> 33) % i);
        struct place held = places[i - 1];
        places[i - 1] = places[other];
        places[other] = held;
    }
}

/* ---- Loops ---- */

BENCH_FUNCTION void fire_one(uint64_t n)
{
    struct place at = places[0];
    BENCH_REPEAT(n) bench_expect_ok(rmon_fire_line(states, at.code, 16, at.line));
}

BENCH_FUNCTION void fire_in_turn(uint64_t n)
{
    const struct place *at = places, *end = places + count;
    BENCH_REPEAT(n)
    {
        bench_expect_ok(rmon_fire_line(states, at->code, 16, at->line));
        at = at + 1 == end ? places : at + 1;
    }
}

/* What taking turns costs by itself: the same loop without the fire. */
BENCH_FUNCTION void turn_only(uint64_t n)
{
    const struct place *at = places, *end = places + count;
    BENCH_REPEAT(n)
    {
        __asm__ volatile("" ::"r"(at->code), "r"(at->line));
        at = at + 1 == end ? places : at + 1;
    }
}

/* ---- Codes with local events ---- */

static void some_codes_listened_to(void)
{
    bench_claim(1, RMON_EVENT_LINE);
    make(bench_size);
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct place){bench_code("listened to"), LINE};
        BENCH_EXPECT(rmon_set_local_events(0, places[i].code, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
    }
    shuffle();
    enter();
    BENCH_EXPECT(states[0].active != 0);
}

/* The fires are in other codes, of which there are as many. */
static void other_codes(void)
{
    some_codes_listened_to();
    for (size_t i = 0; i < count; i++)
        places[i].code = bench_code("other");
    bench_count_calls(0, RMON_EVENT_LINE, RMON_CONTINUE);
}

/* ---- Disabled locations ---- */

static void disabled_locations(void)
{
    void *code = NULL;
    bench_listen(1, RMON_EVENT_LINE);
    bench_count_calls(0, RMON_EVENT_LINE, RMON_DISABLE);
    enter();
    make(bench_size);
    for (size_t i = 0; i < count; i++) {
        if (i % LOCATIONS_PER_CODE == 0)
            code = bench_code("disabled");
        places[i] = (struct place){code, LINE + (int32_t)(i % LOCATIONS_PER_CODE)};
        bench_expect_ok(rmon_fire_line(states, code, 16, places[i].line));
    }
    bench_expect(bench_calls == bench_size, "each location is seen once");
    shuffle();
    bench_calls = 0;
}

/* A location that nobody has disabled is looked up, too, and then delivered. */
static void an_enabled_location(void)
{
    disabled_locations();
    bench_count_calls(0, RMON_EVENT_LINE, RMON_CONTINUE);
    places[0].line = 1;
    fire_one(1);
    BENCH_EXPECT(bench_calls == 1);
    BENCH_EXPECT(rmon_register_callback(0, RMON_EVENT_LINE, bench_nothing[0], NULL, NULL) == RMON_OK);
}

static void nobody_was_called(void)
{
    BENCH_EXPECT(states[0].active != 0);
    bench_expect(bench_calls == 0, "no callback runs");
}

/* ---- Tools ---- */

static volatile bench_callee targets[BENCH_TOOLS];

static void listening_tools(void)
{
    BENCH_EXPECT(bench_size <= BENCH_TOOLS);
    *make(1) = (struct place){bench_code("fired"), LINE};
    bench_listen((int)bench_size, RMON_EVENT_LINE);
    enter();
    bench_expect_delivery((int)bench_size, RMON_EVENT_LINE, fire_one);
}

static void aim(void)
{
    *make(1) = (struct place){bench_code("called"), LINE};
    for (int i = 0; i < BENCH_TOOLS; i++)
        targets[i] = bench_callees[i];
}

BENCH_FUNCTION void call_each(uint64_t n)
{
    unsigned long tools = bench_size;
    struct place at = places[0];
    BENCH_REPEAT(n) for (unsigned long i = 0; i < tools; i++)
        bench_expect_ok(targets[i](states, at.code, 16, at.line));
}

/* ---- Threads ---- */

/* One thread's part, on cache lines of its own. */
struct worker {
    _Alignas(128) rmon_state states[1];
    uint64_t version, fires;
    void *code;
    pthread_t thread;
};

static struct worker workers[MAX_THREADS];
static int stop;
static unsigned ready;

static void *fire_until_stopped(void *argument)
{
    struct worker *self = argument;
    BENCH_EXPECT(rmon_enter_scope(self->states, &self->version, types, 1) == RMON_OK);
    bench_expect_ok(rmon_fire_line(self->states, self->code, 16, LINE));
    __atomic_add_fetch(&ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        BENCH_EXPECT(rmon_enter_scope(self->states, &self->version, types, 1) == RMON_OK);
        BENCH_REPEAT(FIRES) bench_expect_ok(rmon_fire_line(self->states, self->code, 16, LINE));
        self->fires += FIRES;
    }
    return NULL;
}

static void start(void)
{
    BENCH_EXPECT(bench_size <= MAX_THREADS);
    for (unsigned i = 0; i < bench_size; i++) {
        workers[i].code = bench_code("thread");
        BENCH_EXPECT(pthread_create(&workers[i].thread, NULL, fire_until_stopped, &workers[i]) == 0);
    }
    while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < bench_size)
        sched_yield();
}

static uint64_t finish(void)
{
    uint64_t fires = 0;
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < bench_size; i++) {
        BENCH_EXPECT(pthread_join(workers[i].thread, NULL) == 0);
        fires += workers[i].fires;
    }
    return fires;
}

/* What all threads together fire in the processor time that they get: a neighbour takes none of that away. */
static void threads(unsigned ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    bench_listen(1, RMON_EVENT_LINE);
    double cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID), wall = bench_now_ns(CLOCK_MONOTONIC);
    start();
    nanosleep(&pause, NULL);
    uint64_t fires = finish();
    cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = bench_now_ns(CLOCK_MONOTONIC) - wall;
    bench_print("cpu_ns", cpu / (double)fires);
    bench_print("fires_per_us", (double)fires / wall * 1e3);
}

/* How often a tool can change what it listens to while threads fire what another one listens to. */
static void control(unsigned ms, int local)
{
    uint64_t changes = 0;
    void *code = bench_code("listened to");
    bench_listen(1, RMON_EVENT_LINE);
    BENCH_EXPECT(rmon_use_tool_id(1, "changing") == RMON_OK);
    start();
    double begun = bench_now_ns(CLOCK_MONOTONIC), end = begun + ms * 1e6, now;
    do {
        uint32_t set = changes++ % 2 ? 0 : RMON_EVENT_SET(RMON_EVENT_JUMP);
        BENCH_EXPECT((local ? rmon_set_local_events(1, code, set) : rmon_set_events(1, set)) == RMON_OK);
        now = bench_now_ns(CLOCK_MONOTONIC);
    } while (now < end);
    finish();
    bench_print("per_second", (double)changes / (now - begun) * 1e9);
}

static void set_events(unsigned ms)
{
    control(ms, 0);
}

static void set_local_events(unsigned ms)
{
    control(ms, 1);
}

static const struct bench_row scale_rows[] = {
    {.name = "codes_one", .setup = some_codes_listened_to, .loop = fire_one},
    {.name = "codes_turn", .setup = some_codes_listened_to, .loop = fire_in_turn},
    {.name = "codes_other", .setup = other_codes, .loop = fire_in_turn, .check = nobody_was_called},
    {.name = "codes_turn_only", .setup = some_codes_listened_to, .loop = turn_only},
    {.name = "locations_one", .setup = disabled_locations, .loop = fire_one, .check = nobody_was_called},
    {.name = "locations_turn", .setup = disabled_locations, .loop = fire_in_turn, .check = nobody_was_called},
    {.name = "locations_turn_only", .setup = disabled_locations, .loop = turn_only},
    {.name = "locations_enabled", .setup = an_enabled_location, .loop = fire_one},
    {.name = "tools", .setup = listening_tools, .loop = fire_one},
    {.name = "tools_calls", .setup = aim, .loop = call_each},
    {.name = "threads", .report = threads},
    {.name = "set_events", .report = set_events},
    {.name = "set_local_events", .report = set_local_events},
    {0},
};

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {scale_rows, NULL};
    return bench_main(argc, argv, tables);
}
