# Calls of Cython functions while nobody listens: the same source is compiled plain, with line tracing for CPython's own
# monitoring, and with line tracing for rmon. VARIANT (a C macro) says which, and is the end of the rows' names.

from libc.stdint cimport uint64_t

cdef extern from "bench.h" nogil:
    struct bench_row:
        const char *name
        void (*loop)(uint64_t n) noexcept

    int bench_main(int argc, char **argv, const bench_row *const *tables)
    void bench_barrier()
    void bench_expect(int holds, const char *what)

cdef extern from *:
    """
    #define CDEF_ROW "cython_cdef_" VARIANT
    #define DEF_ROW "cython_def_" VARIANT
    #define GENERATOR_ROW "cython_generator_" VARIANT
    """
    const char *CDEF_ROW
    const char *DEF_ROW
    const char *GENERATOR_ROW

from libc.stdio cimport fflush, stdout
from libc.string cimport memset


cdef int cdef_fibonacci(int n) except -1:
    if n < 2:
        return 1
    return cdef_fibonacci(n - 1) + cdef_fibonacci(n - 2)


def def_fibonacci(n):
    if n < 2:
        return 1
    return def_fibonacci(n - 1) + def_fibonacci(n - 2)


def numbers(int count):
    for i in range(count):
        yield i


# A pass is the 177 calls, or 177 resumptions and their end.

cdef void cdef_calls(uint64_t n) noexcept:
    cdef uint64_t i
    for i in range(n):
        bench_expect(cdef_fibonacci(10) == 89, "the sum is right")
        bench_barrier()


cdef void def_calls(uint64_t n) noexcept:
    cdef uint64_t i
    for i in range(n):
        bench_expect(def_fibonacci(10) == 89, "the sum is right")


cdef void generator_steps(uint64_t n) noexcept:
    cdef uint64_t i
    for i in range(n):
        last = 0
        for last in numbers(177):
            pass
        bench_expect(last == 176, "all were yielded")


def rows(*words):
    """Runs the harness with these words; returns its exit status."""
    cdef bench_row table[4]
    cdef const bench_row *tables[2]
    cdef char *argv[8]
    cdef int count = 1
    memset(table, 0, sizeof(table))
    table[0].name, table[0].loop = CDEF_ROW, cdef_calls
    table[1].name, table[1].loop = DEF_ROW, def_calls
    table[2].name, table[2].loop = GENERATOR_ROW, generator_steps
    tables[0], tables[1] = table, NULL
    argv[0] = b"cython_rows"
    held = [word.encode() for word in words[:7]]
    for word in held:
        argv[count] = word
        count += 1
    status = bench_main(count, argv, tables)
    fflush(stdout)
    return status
