/* The harness: finds a row by name and times it, or runs it N and then 2N times for an instruction counter. */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BURSTS = 5 };

static cpu_set_t processors; /* that the program was started on */
unsigned long bench_size;
uint64_t bench_least_passes = 64;

void bench_expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "this does not hold: %s\n", what);
        exit(3);
    }
}

void bench_print(const char *key, double value)
{
    printf("%s %.6g\n", key, value);
}

double bench_now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
}

void bench_pin(unsigned index)
{
    cpu_set_t one;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &processors) || index-- != 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        BENCH_EXPECT(sched_setaffinity(0, sizeof one, &one) == 0);
        return;
    }
    bench_expect(0, "there are as many processors as the row needs");
}

/* The instruction counter collects inside this function only, and sums up each time it returns. */
__attribute__((noinline)) void bench_measured(void (*loop)(uint64_t), uint64_t n)
{
    loop(n);
    bench_barrier(); /* not a tail call: the loop stays inside */
}

struct burst {
    double cpu_ns, wall_ns;
};

static struct burst run_burst(void (*loop)(uint64_t), uint64_t n)
{
    double wall = bench_now_ns(CLOCK_MONOTONIC);
    double cpu = bench_now_ns(CLOCK_THREAD_CPUTIME_ID);
    loop(n);
    struct burst spent = {bench_now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu, bench_now_ns(CLOCK_MONOTONIC) - wall};
    return spent;
}

/* The best of a few bursts: a neighbour on this processor can only make one slower. */
static void time_row(const struct bench_row *row, unsigned ms)
{
    double goal = ms * 1e6 / BURSTS;
    uint64_t n = bench_least_passes;
    while (run_burst(row->loop, n).wall_ns < goal / 2 && n < UINT64_C(1) << 40)
        n *= 2;
    struct burst best = {1e300, 1e300};
    for (int i = 0; i < BURSTS; i++) {
        struct burst one = run_burst(row->loop, n);
        if (one.cpu_ns < best.cpu_ns)
            best.cpu_ns = one.cpu_ns;
        if (one.wall_ns < best.wall_ns)
            best.wall_ns = one.wall_ns;
    }
    bench_print("cpu_ns", best.cpu_ns / (double)n);
    bench_print("wall_ns", best.wall_ns / (double)n);
}

/* What follows a colon is the size; without one, there is none. */
static const struct bench_row *find_row(const struct bench_row *const *tables, const char *name)
{
    size_t length = strcspn(name, ":");
    bench_size = name[length] ? strtoul(name + length + 1, NULL, 10) : 0;
    for (; *tables; tables++)
        for (const struct bench_row *row = *tables; row->name; row++)
            if (strncmp(row->name, name, length) == 0 && row->name[length] == 0)
                return row;
    return NULL;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s list | time ROW MILLISECONDS | count ROW N\n", program);
    return 2;
}

int bench_main(int argc, char **argv, const struct bench_row *const *tables)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (; *tables; tables++)
            for (const struct bench_row *row = *tables; row->name; row++)
                puts(row->name);
        return 0;
    }
    if (argc != 4)
        return usage(argv[0]);
    const struct bench_row *row = find_row(tables, argv[2]);
    unsigned long amount = strtoul(argv[3], NULL, 10);
    int time = strcmp(argv[1], "time") == 0;
    if (!row || amount == 0 || (!time && strcmp(argv[1], "count") != 0))
        return usage(argv[0]);
    BENCH_EXPECT(sched_getaffinity(0, sizeof processors, &processors) == 0);
    if (row->setup)
        row->setup();
    if (row->report) {
        row->report((unsigned)amount);
    } else {
        row->loop(64); /* lazy binding, this thread's registration, caches */
        if (time) {
            time_row(row, (unsigned)amount);
        } else {
            bench_measured(row->loop, amount);
            bench_measured(row->loop, 2 * amount);
        }
    }
    if (row->check)
        row->check();
    return 0;
}
