/* rmon_synchronize, by the wall clock: with nothing to wait for, after a removal, and against a thread that fires. */
#include "rows.h"
#include "tools.h"

#include <pthread.h>

enum { MAX_SAMPLES = 100000 };

static int stop;

/* Times single calls; `prepare` runs before each, outside the clock. */
static void sample(void (*prepare)(void), unsigned ms)
{
    static double took[MAX_SAMPLES];
    size_t samples = 0;
    double end = bench_now_ns(CLOCK_MONOTONIC) + ms * 1e6;
    do {
        if (prepare)
            prepare();
        double start = bench_now_ns(CLOCK_MONOTONIC);
        BENCH_EXPECT(rmon_synchronize() == RMON_OK);
        took[samples++] = bench_now_ns(CLOCK_MONOTONIC) - start;
    } while (bench_now_ns(CLOCK_MONOTONIC) < end && samples < MAX_SAMPLES);
    bench_sort(took, samples);
    bench_print("median_ns", took[samples / 2]);
    bench_print("p99_ns", took[samples * 99 / 100]);
}

static void replace(void)
{
    BENCH_EXPECT(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL) == RMON_OK);
    BENCH_EXPECT(rmon_register_callback(0, RMON_EVENT_LINE, bench_nothing[0], NULL, NULL) == RMON_OK);
}

static void idle(unsigned ms)
{
    bench_listen(1, RMON_EVENT_LINE);
    sample(NULL, ms);
}

static void removed(unsigned ms)
{
    bench_listen(1, RMON_EVENT_LINE);
    sample(replace, ms);
}

static void *fire_until_stopped(void *ready)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    static rmon_state states[1];
    static uint64_t version;
    void *code = bench_code("busy");
    bench_pin(1);
    BENCH_EXPECT(rmon_enter_scope(states, &version, types, 1) == RMON_OK);
    bench_expect_ok(rmon_fire_line(states, code, 16, 7));
    __atomic_store_n((int *)ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        bench_expect_ok(rmon_fire_line(states, code, 16, 7));
    return NULL;
}

static void busy(unsigned ms)
{
    int ready = 0;
    pthread_t thread;
    bench_listen(1, RMON_EVENT_LINE);
    bench_pin(0);
    BENCH_EXPECT(pthread_create(&thread, NULL, fire_until_stopped, &ready) == 0);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        ;
    sample(replace, ms);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    BENCH_EXPECT(pthread_join(thread, NULL) == 0);
}

const struct bench_row synchronize_rows[] = {
    {.name = "synchronize_idle", .report = idle},
    {.name = "synchronize_removed", .report = removed},
    {.name = "synchronize_busy", .report = busy},
    {0},
};
