/* Two threads on two processors against one: fires that reach the same native tool, each thread in a scope of its own;
 * and bare calls, which tell what the machine gives two threads that share nothing. */
#include "rows.h"
#include "tools.h"

#include <pthread.h>

enum { FIRES = 100000, MAX_BURSTS = 4096, PATIENCE = 5 };

/* As a time: none yet. */
#define NEVER 1e300

/* One thread's part, on cache lines of its own. */
struct worker {
    _Alignas(128) rmon_state states[1];
    volatile bench_callee target; /* NULL: it fires */
    uint64_t version;
    void *code;
    unsigned processor;
    double started, ended, cpu_ns;
};

static struct worker workers[2];
static int parties, arrived, generation;

/* Spins, so that both threads leave within a few hundred nanoseconds of each other. */
static void meet(void)
{
    int mine = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == parties) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&generation, mine + 1, __ATOMIC_RELEASE);
    } else {
        while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == mine)
            ;
    }
}

static __attribute__((noinline, aligned(64))) void fire_many(struct worker *worker)
{
    BENCH_REPEAT(FIRES) bench_expect_ok(rmon_fire_line(worker->states, worker->code, 16, 7));
}

static __attribute__((noinline, aligned(64))) void call_many(struct worker *worker)
{
    BENCH_REPEAT(FIRES) bench_expect_ok(worker->target(worker->states, worker->code, 16, 7));
}

static void *work(void *argument)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    struct worker *worker = argument;
    void (*many)(struct worker *worker) = worker->target ? call_many : fire_many;
    bench_pin(worker->processor);
    BENCH_EXPECT(rmon_enter_scope(worker->states, &worker->version, types, 1) == RMON_OK);
    BENCH_EXPECT(worker->states[0].active != 0);
    many(worker);
    meet();
    double cpu = bench_now_ns(CLOCK_THREAD_CPUTIME_ID);
    worker->started = bench_now_ns(CLOCK_MONOTONIC);
    many(worker);
    worker->ended = bench_now_ns(CLOCK_MONOTONIC);
    worker->cpu_ns = bench_now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

/* Runs some workers at once: `count` of them, from the `first` on. */
static void run(int first, int count)
{
    pthread_t threads[2];
    parties = count;
    for (int i = first; i < first + count; i++)
        BENCH_EXPECT(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    for (int i = first; i < first + count; i++)
        BENCH_EXPECT(pthread_join(threads[i], NULL) == 0);
}

static double wall_ns(const struct worker *worker)
{
    return worker->ended - worker->started;
}

/* Whether a worker was running, and not waiting for its processor, while another one did almost all of its part. */
static int ran_beside(const struct worker *worker, const struct worker *other)
{
    double from = worker->started > other->started ? worker->started : other->started;
    double to = worker->ended < other->ended ? worker->ended : other->ended;
    return worker->cpu_ns > 0.97 * wall_ns(worker) && to - from > 0.9 * wall_ns(other);
}

/* What a worker took for its fires, in one way of running. */
struct taken {
    double least_wall, cpu[MAX_BURSTS];
    size_t bursts;
};

static void take(struct taken *taken, const struct worker *worker, int is_valid)
{
    taken->cpu[taken->bursts++] = worker->cpu_ns;
    if (is_valid && wall_ns(worker) < taken->least_wall)
        taken->least_wall = wall_ns(worker);
}

/* Each worker alone on its processor, and both at once. A processor is compared with itself, since a neighbour may have
 * half of one. By the wall clock with each worker's best burst, of both at once only those in which the other was
 * running all the time, since a neighbour may also take a processor away; by processor time with the median. If there
 * is no such burst, not even in PATIENCE times as long, nothing is said of the wall clock. */
static void compare(bench_callee target, unsigned ms)
{
    static struct taken alone[2], beside[2];
    double scaling_wall = 0, scaling_cpu = 0;
    bench_listen(1, RMON_EVENT_LINE);
    for (unsigned i = 0; i < 2; i++) {
        workers[i].processor = i, workers[i].code = bench_code("thread"), workers[i].target = target;
        alone[i].least_wall = beside[i].least_wall = NEVER;
    }
    double start = bench_now_ns(CLOCK_MONOTONIC), elapsed;
    int has_wall;
    do {
        for (int i = 0; i < 2; i++) {
            run(i, 1);
            take(&alone[i], &workers[i], 1);
        }
        run(0, 2);
        for (int i = 0; i < 2; i++)
            take(&beside[i], &workers[i], ran_beside(&workers[1 - i], &workers[i]));
        has_wall = beside[0].least_wall < NEVER && beside[1].least_wall < NEVER;
        elapsed = bench_now_ns(CLOCK_MONOTONIC) - start;
    } while (elapsed < ms * 1e6 * (has_wall ? 1 : PATIENCE) && alone[0].bursts < MAX_BURSTS);
    for (int i = 0; i < 2; i++) {
        bench_sort(alone[i].cpu, alone[i].bursts);
        bench_sort(beside[i].cpu, beside[i].bursts);
        scaling_wall += alone[i].least_wall / beside[i].least_wall;
        scaling_cpu += alone[i].cpu[alone[i].bursts / 2] / beside[i].cpu[beside[i].bursts / 2];
    }
    bench_print("scaling_cpu", scaling_cpu);
    if (!has_wall)
        return;
    bench_print("one_thread_ns", (alone[0].least_wall + alone[1].least_wall) / 2 / FIRES);
    bench_print("two_threads_ns", (beside[0].least_wall + beside[1].least_wall) / 2 / FIRES);
    bench_print("scaling_wall", scaling_wall);
}

static void calls(unsigned ms)
{
    compare(bench_callees[0], ms);
}

static void fires(unsigned ms)
{
    compare(NULL, ms);
}

const struct bench_row threads_rows[] = {
    {.name = "two_threads_calls", .report = calls},
    {.name = "two_threads", .report = fires},
    {0},
};
