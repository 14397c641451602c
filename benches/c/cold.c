/* One fire or call whose memory and code no cache has: as for an event that is rare, in a program that does much else.
 *
 * Before each sample every line of librmon, of the tool's module, and of what the sample itself uses is put out of all
 * caches.
 */
#define _GNU_SOURCE
#include "rows.h"
#include "tools.h"

#include <link.h>
#include <string.h>

enum { LINE = 64, MAX_SAMPLES = 4096, MAX_RANGES = 32 };

static volatile bench_callee target;
static rmon_state states[1];
static uint64_t version;
static void *code;

/* ---- Putting out of the caches ---- */

struct range {
    const char *begin, *end;
};

static struct range ranges[MAX_RANGES];
static int range_count;

static void flush(struct range range)
{
    for (const char *at = range.begin; at < range.end; at += LINE)
#if defined(__x86_64__)
        __builtin_ia32_clflush(at);
#elif defined(__aarch64__)
        __asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
#else
        bench_expect(0, "lines can be put out of the caches");
#endif
#if defined(__x86_64__)
    __builtin_ia32_mfence();
#elif defined(__aarch64__)
    __asm__ volatile("dsb sy" ::: "memory");
#endif
}

static void add(const void *begin, size_t size)
{
    BENCH_EXPECT(range_count < MAX_RANGES);
    ranges[range_count].begin = (const char *)begin;
    ranges[range_count++].end = (const char *)begin + size;
}

/* A module's memory, with this thread's part of it. */
static int add_module(struct dl_phdr_info *module, size_t size, void *found)
{
    (void)size;
    if (strstr(module->dlpi_name, "librmon") == NULL && strstr(module->dlpi_name, "bench_tool") == NULL)
        return 0;
    ++*(int *)found;
    for (int i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &module->dlpi_phdr[i];
        if (part->p_type == PT_LOAD)
            add((const char *)module->dlpi_addr + part->p_vaddr, part->p_memsz);
        else if (part->p_type == PT_TLS && module->dlpi_tls_data != NULL)
            add(module->dlpi_tls_data, part->p_memsz);
    }
    return 0;
}

static void find_ranges(void)
{
    int found = 0;
    range_count = 0;
    dl_iterate_phdr(add_module, &found);
    bench_expect(found == 2, "librmon and the tools' module are found");
    add((const void *)&target, sizeof target);
    add(states, sizeof states);
}

/* ---- Samples ---- */

/* Two readings of the clock, and nothing between them. */
static void nothing(void)
{
}

static void call(void)
{
    bench_expect_ok(target(states, code, 16, 7));
}

static void fire(void)
{
    bench_expect_ok(rmon_fire_line(states, code, 16, 7));
}

static double median_of(void (*what)(void), double end)
{
    static double took[MAX_SAMPLES];
    size_t samples = 0;
    do {
        for (int i = 0; i < range_count; i++)
            flush(ranges[i]);
        double start = bench_now_ns(CLOCK_MONOTONIC);
        what();
        took[samples++] = bench_now_ns(CLOCK_MONOTONIC) - start;
    } while (bench_now_ns(CLOCK_MONOTONIC) < end && samples < MAX_SAMPLES);
    bench_sort(took, samples);
    return took[samples / 2];
}

/* The median of single ones, less the clock's own time. */
static void sample(void (*what)(void), unsigned ms)
{
    double begin = bench_now_ns(CLOCK_MONOTONIC);
    find_ranges();
    what();
    double clock = median_of(nothing, begin + ms * 0.5e6);
    bench_print("cpu_ns", median_of(what, begin + ms * 1e6) - clock);
    bench_print("clock_ns", clock);
}

static void listen_with(int tools)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    bench_listen(tools, RMON_EVENT_LINE);
    code = bench_code("cold");
    BENCH_EXPECT(rmon_enter_scope(states, &version, types, 1) == RMON_OK);
    BENCH_EXPECT((states[0].active != 0) == (tools != 0));
}

static void cold_call(unsigned ms)
{
    target = bench_callees[0];
    sample(call, ms);
}

static void cold_disabled(unsigned ms)
{
    listen_with(0);
    sample(fire, ms);
}

static void cold_fire_1(unsigned ms)
{
    listen_with(1);
    sample(fire, ms);
}

static void cold_fire_6(unsigned ms)
{
    listen_with(6);
    sample(fire, ms);
}

const struct bench_row cold_rows[] = {
    {.name = "cold_call", .report = cold_call},
    {.name = "cold_disabled", .report = cold_disabled},
    {.name = "cold_fire_1", .report = cold_fire_1},
    {.name = "cold_fire_6", .report = cold_fire_6},
    {0},
};
