/*
 * What tools bring along: a shared object of its own, as an emitter, librmon and a tool are three modules in life.
 *
 * It matters: on some processors a call into a module that lies far away in memory takes a nanosecond more.
 */
#include "tool.h"

/* One function per tool, which the compiler may not fold into one: a branch predictor has to tell them apart. */
#define FUNCTIONS(tool)                                                              \
    static int nothing_##tool(void *user_data, const rmon_event *event)              \
    {                                                                                \
        (void)user_data, (void)event;                                                \
        __asm__ volatile("" ::"i"(tool));                                            \
        return RMON_CONTINUE;                                                        \
    }                                                                                \
    static int callee_##tool(void *state, void *code, int32_t offset, int32_t line)  \
    {                                                                                \
        (void)state, (void)code, (void)offset, (void)line;                           \
        __asm__ volatile("" ::"i"(BENCH_TOOLS + tool));                              \
        return 0;                                                                    \
    }
FUNCTIONS(0)
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
FUNCTIONS(4)
FUNCTIONS(5)

const rmon_callback bench_nothing[BENCH_TOOLS] = {nothing_0, nothing_1, nothing_2, nothing_3, nothing_4, nothing_5};
const bench_callee bench_callees[BENCH_TOOLS] = {callee_0, callee_1, callee_2, callee_3, callee_4, callee_5};
