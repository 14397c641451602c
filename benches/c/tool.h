/* The module of the tools: what is called at the end of a fire, and by the bare calls that fires are compared with. */
#ifndef RMON_BENCH_TOOL_H
#define RMON_BENCH_TOOL_H

#include <rmon.h>

enum { BENCH_TOOLS = 6 };

/* Callbacks that do nothing, one for each tool. */
extern const rmon_callback bench_nothing[BENCH_TOOLS];

/* As many functions that do nothing and take what a LINE fire takes. */
typedef int (*bench_callee)(void *state, void *code, int32_t offset, int32_t line);
extern const bench_callee bench_callees[BENCH_TOOLS];

#endif
