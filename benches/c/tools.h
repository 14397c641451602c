/* Tools and a scope for the rows: native callbacks that do nothing, and the events that emitters commonly enter with. */
#ifndef RMON_BENCH_TOOLS_H
#define RMON_BENCH_TOOLS_H

#include "bench.h"
#include "tool.h"

enum { BENCH_EVENTS = 17 };

/* Every event but INSTRUCTION and BRANCH: seventeen, as many as CPython 3.13 has. */
extern const uint8_t bench_event_types[BENCH_EVENTS];
extern rmon_state bench_states[BENCH_EVENTS];
extern uint64_t bench_version;

/* The state of an event in bench_states. */
rmon_state *bench_state(int event);

/* A code of rmon's own; each call gives another. */
void *bench_code(const char *name);

/* Claims tools 0 to count - 1 and gives each a callback of its own for `event` that does nothing. */
void bench_claim(int count, int event);

/* The same, and each tool listens to `event` everywhere. */
void bench_listen(int count, int event);

/* Enters the scope of bench_states. */
void bench_enter(void);

/* Replaces the tool's callback by one that counts its calls in bench_calls and returns `result`. */
void bench_count_calls(int tool_id, int event, int result);
extern uint64_t bench_calls;

/* Proves that one call of `fire` now reaches the callbacks of exactly tools 0 to count - 1. */
void bench_expect_delivery(int count, int event, void (*fire)(uint64_t n));

#endif
