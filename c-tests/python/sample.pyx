# cython: language_level=3, linetrace=True
"""What the tests of Cython run. build.py makes modules of it that are instrumented from the inside and from the outside."""

cdef extern from "rmon_python.h":  # the inside; build.py leaves it out for the outside
    pass


def loop(n):
    total = 0
    for i in range(n):
        total += i
    return total


def fails(message):
    if message:
        raise ValueError(message)
    return None


def handles(message):
    try:
        fails(message)
    except ValueError as error:
        return str(error)


def reraises(message):
    try:
        fails(message)
    except ValueError:
        raise


def numbers(n):
    for i in range(n):
        yield i


def resists():
    try:
        yield "before"
    except ValueError:
        yield "after"


cdef class Countdown:
    """Its end is a StopIteration that Cython does not make."""

    cdef int left

    def __init__(self, left):
        self.left = left

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left


cdef long in_c(long n) noexcept nogil:
    return n + 1


def without_gil(long n):
    cdef long result
    with nogil:
        result = in_c(n)
    return result
