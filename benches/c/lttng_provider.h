/* LTTng's declaration of the tracepoint in lttng.c, whose macros read this file several times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER rmon_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_provider.h"

#if !defined(RMON_BENCH_LTTNG_PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define RMON_BENCH_LTTNG_PROVIDER_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(rmon_bench, line, LTTNG_UST_TP_ARGS(int, offset, int, line),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, offset, offset) lttng_ust_field_integer(int, line, line)))

#endif

#include <lttng/tracepoint-event.h>
