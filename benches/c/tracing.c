/* The rows of Rust's tracing crate; their loops are in ../tracing.rs. */
#include "rows.h"

extern void bench_tracing_subscribe(void);
extern void bench_tracing_events(uint64_t n);

const struct bench_row tracing_rows[] = {
    {.name = "tracing_disabled", .loop = bench_tracing_events},
    {.name = "tracing_event", .setup = bench_tracing_subscribe, .loop = bench_tracing_events},
    {0},
};
