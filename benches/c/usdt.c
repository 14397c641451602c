/* SystemTap's static probes as a peer: the nop that a debugger or the kernel replaces when it attaches. */
#include "bench.h"

#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

/* What is counted up by who attaches. */
#define SEMAPHORE(probe) volatile unsigned short rmon_bench_##probe##_semaphore __attribute__((section(".probes")))
extern SEMAPHORE(plain);
extern SEMAPHORE(guarded);
SEMAPHORE(plain);
SEMAPHORE(guarded);

BENCH_FUNCTION void probe(uint64_t n)
{
    int offset = 16, line = 7;
    BENCH_REPEAT(n) STAP_PROBE2(rmon_bench, plain, offset, line);
}

BENCH_FUNCTION void guarded(uint64_t n)
{
    int offset = 16, line = 7;
    BENCH_REPEAT(n) if (__builtin_expect(rmon_bench_guarded_semaphore, 0)) STAP_PROBE2(rmon_bench, guarded, offset, line);
}

static const struct bench_row usdt_rows[] = {
    {.name = "usdt_probe", .loop = probe},
    {.name = "usdt_guarded", .loop = guarded},
    {0},
};

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {usdt_rows, NULL};
    return bench_main(argc, argv, tables);
}
