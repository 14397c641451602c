/*
 * LTTng-UST's tracepoints as a peer: two integers, as rmon's LINE has.
 *
 * Whether the tracepoint records is decided outside, by a session of lttng-sessiond; each row checks that it is as it says.
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_provider.h"

#include "bench.h"

BENCH_FUNCTION void fire(uint64_t n)
{
    int offset = 16, line = 7;
    BENCH_REPEAT(n) lttng_ust_tracepoint(rmon_bench, line, offset, line);
}

static void is_disabled(void)
{
    BENCH_EXPECT(!lttng_ust_tracepoint_enabled(rmon_bench, line));
}

static void is_enabled(void)
{
    BENCH_EXPECT(lttng_ust_tracepoint_enabled(rmon_bench, line));
}

static const struct bench_row lttng_rows[] = {
    {.name = "lttng_disabled", .setup = is_disabled, .loop = fire, .check = is_disabled},
    {.name = "lttng_recording", .setup = is_enabled, .loop = fire, .check = is_enabled},
    {0},
};

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {lttng_rows, NULL};
    return bench_main(argc, argv, tables);
}
