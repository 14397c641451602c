/* Two threads on two processors against one: fires that reach the same native tool, each thread in a scope of its own;
 * and bare calls, which tell what the machine gives two threads that share nothing. */
#include "rows.h"
#include "tools.h"

#include <pthread.h>

enum { FIRES = 100000, MAX_BURSTS = 4096 };

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

struct burst {
    double wall_ns, cpu_ns; /* each for one fire of one thread */
};

static struct burst run(int count)
{
    pthread_t threads[2];
    parties = count;
    for (int i = 0; i < count; i++)
        BENCH_EXPECT(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    struct burst spent = {0, 0};
    double first = 1e300, last = 0;
    for (int i = 0; i < count; i++) {
        BENCH_EXPECT(pthread_join(threads[i], NULL) == 0);
        first = workers[i].started < first ? workers[i].started : first;
        last = workers[i].ended > last ? workers[i].ended : last;
        spent.cpu_ns += workers[i].cpu_ns / FIRES / count;
    }
    spent.wall_ns = (last - first) / FIRES;
    return spent;
}

/* The wall clock's best burst, since a neighbour takes a whole processor away; the processor time's median. */
static void compare(bench_callee target, unsigned ms)
{
    static double cpu[2][MAX_BURSTS];
    double wall[2] = {1e300, 1e300};
    size_t bursts = 0;
    bench_listen(1, RMON_EVENT_LINE);
    for (unsigned i = 0; i < 2; i++)
        workers[i].processor = i, workers[i].code = bench_code("thread"), workers[i].target = target;
    double end = bench_now_ns(CLOCK_MONOTONIC) + ms * 1e6;
    do {
        for (int count = 1; count <= 2; count++) {
            struct burst spent = run(count);
            wall[count - 1] = spent.wall_ns < wall[count - 1] ? spent.wall_ns : wall[count - 1];
            cpu[count - 1][bursts] = spent.cpu_ns;
        }
        bursts++;
    } while (bench_now_ns(CLOCK_MONOTONIC) < end && bursts < MAX_BURSTS);
    for (int i = 0; i < 2; i++)
        bench_sort(cpu[i], bursts);
    bench_print("one_thread_ns", wall[0]);
    bench_print("two_threads_ns", wall[1]);
    bench_print("scaling_wall", 2 * wall[0] / wall[1]);
    bench_print("scaling_cpu", 2 * cpu[0][bursts / 2] / cpu[1][bursts / 2]);
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
