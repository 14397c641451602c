/*
 * The rows of Rust's tracing crate; their loops are in ../tracing.rs.
 *
 * A program of its own, compiled twice: with Rust's release profile as it is by default, and with link-time optimization,
 * which makes one function of what is several otherwise. SUFFIX tells the rows apart.
 */
#include "bench.h"

extern void bench_tracing_subscribe(void);
extern void bench_tracing_events(uint64_t n);

static const struct bench_row tracing_rows[] = {
    {.name = "tracing_disabled" SUFFIX, .loop = bench_tracing_events},
    {.name = "tracing_event" SUFFIX, .setup = bench_tracing_subscribe, .loop = bench_tracing_events},
    {0},
};

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {tracing_rows, NULL};
    return bench_main(argc, argv, tables);
}
