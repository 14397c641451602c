/* The tables of rows, one for each file of the main program. */
#ifndef RMON_BENCH_ROWS_H
#define RMON_BENCH_ROWS_H

#include "bench.h"

extern const struct bench_row limits_rows[];
extern const struct bench_row scope_rows[];
extern const struct bench_row pic_rows[];
extern const struct bench_row quiet_rows[];
extern const struct bench_row fire_rows[];
extern const struct bench_row threads_rows[];
extern const struct bench_row synchronize_rows[];
extern const struct bench_row cold_rows[];

#endif
