/* What the benchmark programs share: what a row is, how it is run, and the barrier that keeps a loop honest. */
#ifndef RMON_BENCH_H
#define RMON_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* One row. Either `loop` is given, and the harness measures it, or `report`, which measures by itself. */
struct bench_row {
    const char *name;                /* NULL ends a table */
    void (*setup)(void);             /* once, before anything is measured; may be NULL */
    void (*loop)(uint64_t n);        /* does the thing `n` times */
    void (*check)(void);             /* after the last loop: was that what the row claims? may be NULL */
    void (*report)(unsigned amount); /* measures by itself, for `amount` milliseconds or things */
};

/* Runs `PROGRAM list`, `PROGRAM time ROW MILLISECONDS` or `PROGRAM count ROW N`. `tables` ends with NULL. */
int bench_main(int argc, char **argv, const struct bench_row *const *tables);

/* The number at the end of a row's name, "ROW:NUMBER": how much there is of what the row is about. 0 if there is none. */
extern unsigned long bench_size;

/* How many passes a loop has at least when it is timed; a setup may ask for more, so that each thing has its turn. */
extern uint64_t bench_least_passes;

/* Writes one result, as a line "KEY VALUE". */
void bench_print(const char *key, double value);

/* Ends the program, naming `what`, unless it holds: a row that does not do what it claims has no number. */
void bench_expect(int holds, const char *what);
#define BENCH_EXPECT(condition) bench_expect((condition) != 0, #condition)

double bench_now_ns(clockid_t clock);

/* Sorts, smallest first. */
void bench_sort(double *values, size_t count);

/* Pins the calling thread to the `index`th processor that the program was started on; the row ends if there is none. */
void bench_pin(unsigned index);

/* Memory may have changed here: what is loaded before is not good after. Costs no instruction. */
static inline void bench_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* What an emitter does with a result: a test, which the inline part makes vanish where it knows the result. */
static inline void bench_expect_ok(int result)
{
    if (__builtin_expect(result < 0, 0))
        bench_expect(0, "the call succeeds");
}

/* A loop under measurement has a function of its own, at a place that other rows do not move. */
#define BENCH_FUNCTION static __attribute__((noinline, aligned(64)))

/* Each pass ends with the barrier, so neither a state's load nor a version's compare can leave the loop. */
#define BENCH_REPEAT(n) for (uint64_t bench_pass = 0; bench_pass < (n); bench_pass++, bench_barrier())

#endif
