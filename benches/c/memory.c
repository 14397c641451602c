/*
 * What the library keeps in memory: for a fire, a disabled location, a code, local events, a code that died.
 *
 * A program of its own, since it stands in for the allocator: each block that the library asks for is counted.
 * The numbers are exact and the same in every run.
 */
#include "bench.h"
#include "tools.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

/* glibc's own entry points, to which the counting ones pass on. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static uint64_t calls;
static int64_t live_bytes;

static void *counted(void *block)
{
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&live_bytes, (int64_t)malloc_usable_size(block), __ATOMIC_RELAXED);
    return block;
}

static void forgotten(void *block)
{
    __atomic_sub_fetch(&live_bytes, (int64_t)malloc_usable_size(block), __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    return counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    forgotten(block);
    return counted(__libc_realloc(block, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

void *memalign(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = counted(__libc_memalign(alignment, size));
    return *block ? 0 : ENOMEM;
}

void free(void *block)
{
    forgotten(block);
    __libc_free(block);
}

static int64_t live_after_synchronize(void)
{
    BENCH_EXPECT(rmon_synchronize() == RMON_OK);
    return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED);
}

static void disabling(int event)
{
    bench_claim(1, event);
    bench_count_calls(0, event, RMON_DISABLE);
    BENCH_EXPECT(rmon_set_events(0, RMON_EVENT_SET(event)) == RMON_OK);
    bench_enter();
}

/* Allocator calls per fire that reaches six tools, entering a changed scope each time. */
static void per_fire(unsigned fires)
{
    void *code = bench_code("fired");
    bench_listen(BENCH_TOOLS, RMON_EVENT_LINE);
    bench_enter();
    bench_expect_ok(rmon_fire_line(bench_state(RMON_EVENT_LINE), code, 16, 7));
    uint64_t before = calls;
    for (unsigned i = 0; i < fires; i++) {
        bench_version = 0;
        bench_enter();
        bench_expect_ok(rmon_fire_line(bench_state(RMON_EVENT_LINE), code, 16, 7));
    }
    bench_print("allocations", (double)(calls - before) / fires);
}

/* Bytes per disabled location, at the number of locations where it is worst: a table that has just grown. */
static void per_location(unsigned locations)
{
    enum { FIRST = 1000 }; /* below, what any table costs to begin with counts */
    double worst = 0, last = 0;
    void *code = bench_code("disabled");
    disabling(RMON_EVENT_LINE);
    rmon_state *state = bench_state(RMON_EVENT_LINE);
    int64_t before = live_after_synchronize();
    for (unsigned line = 1; line <= locations; line++) {
        bench_expect_ok(rmon_fire_line(state, code, 0, (int32_t)line));
        if (line < FIRST)
            continue;
        last = (double)(live_after_synchronize() - before) / line;
        worst = last > worst ? last : worst;
    }
    BENCH_EXPECT(bench_calls == locations);
    bench_print("worst_bytes", worst);
    bench_print("last_bytes", last);
}

/* Bytes per disabled location, where there are so many, ten in each code. */
static void of_locations(unsigned locations)
{
    enum { PER_CODE = 10 };
    void **codes = calloc(locations / PER_CODE, sizeof *codes);
    BENCH_EXPECT(codes && locations % PER_CODE == 0);
    disabling(RMON_EVENT_LINE);
    rmon_state *state = bench_state(RMON_EVENT_LINE);
    for (unsigned i = 0; i < locations / PER_CODE; i++)
        codes[i] = bench_code("disabled");
    int64_t before = live_after_synchronize();
    for (unsigned i = 0; i < locations; i++)
        bench_expect_ok(rmon_fire_line(state, codes[i / PER_CODE], 0, (int32_t)(i % PER_CODE)));
    BENCH_EXPECT(bench_calls == locations);
    bench_print("bytes", (double)(live_after_synchronize() - before) / locations);
}

/* Bytes per code of rmon's own. */
static void of_codes(unsigned codes)
{
    bench_claim(1, RMON_EVENT_LINE);
    int64_t before = live_after_synchronize();
    for (unsigned i = 0; i < codes; i++)
        BENCH_EXPECT(bench_code("a code of rmon's"));
    bench_print("bytes", (double)(live_after_synchronize() - before) / codes);
}

/* Bytes per code with local events, beside the code's own. */
static void of_local_events(unsigned codes)
{
    static char foreign[1 << 20];
    bench_claim(1, RMON_EVENT_LINE);
    BENCH_EXPECT(codes <= sizeof foreign);
    int64_t before = live_after_synchronize();
    for (unsigned i = 0; i < codes; i++)
        BENCH_EXPECT(rmon_set_local_events(0, &foreign[i], RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
    bench_print("bytes", (double)(live_after_synchronize() - before) / codes);
}

/* A code that is made, listened to, fired in, has locations disabled, and dies. */
static void live_and_die(int count, int forget)
{
    static char foreign[64];
    rmon_state *state = bench_state(RMON_EVENT_LINE);
    for (int i = 0; i < count; i++) {
        void *code = forget ? (void *)&foreign[i % 64] : bench_code("mortal");
        BENCH_EXPECT(rmon_set_local_events(0, code, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK);
        uint64_t before = bench_calls;
        for (int line = 1; line <= 8; line++)
            bench_expect_ok(rmon_fire_line(state, code, 0, line));
        bench_expect(bench_calls == before + 8, "a new code has no disabled locations");
        if (forget)
            BENCH_EXPECT(rmon_code_forget(code) == RMON_OK);
        else
            rmon_code_release(code);
    }
}

/* Bytes left behind per dead code, once a first generation has made the tables as large as they need to be. */
static void per_dead_code(unsigned codes, int forget)
{
    disabling(RMON_EVENT_LINE);
    live_and_die((int)codes, forget);
    int64_t before = live_after_synchronize();
    live_and_die((int)(9 * codes), forget);
    bench_print("bytes", (double)(live_after_synchronize() - before) / (9 * codes));
}

static void per_released_code(unsigned codes)
{
    per_dead_code(codes, 0);
}

static void per_forgotten_code(unsigned codes)
{
    per_dead_code(codes, 1);
}

static const struct bench_row memory_rows[] = {
    {.name = "memory_fire", .report = per_fire},
    {.name = "memory_location", .report = per_location},
    {.name = "memory_locations", .report = of_locations},
    {.name = "memory_codes", .report = of_codes},
    {.name = "memory_local_events", .report = of_local_events},
    {.name = "memory_released_code", .report = per_released_code},
    {.name = "memory_forgotten_code", .report = per_forgotten_code},
    {0},
};

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {memory_rows, NULL};
    return bench_main(argc, argv, tables);
}
