# cython: language_level=3, linetrace=True, binding=True
cimport rmon
"""Everything that has lines of its own in Cython. test_tools.py runs it under the tools."""

import asyncio
from contextlib import contextmanager

cdef int counter = 0
CONSTANT = [
    1,
    2,
]


def simple(a, b=1, *args, **kwargs):
    """A docstring."""
    c = a + b
    return c


def branches(n):
    if n < 0:
        result = "negative"
    elif n == 0:
        result = "zero"
    else:
        result = "positive"
    result = result if n else result.upper()
    return result


def loops(n):
    total = 0
    for i in range(n):
        if i == 2:
            continue
        total += i
    else:
        total += 100
    while n > 0:
        n -= 1
        if n == 1:
            break
    for item in ["a", "b"]:
        total += len(item)
    for index, item in enumerate((1, 2)):
        pass
    return total


def exceptions(fail):
    try:
        if fail:
            raise ValueError("asked for")
        result = "fine"
    except KeyError:
        result = "never"
    except (ValueError, TypeError) as error:
        result = str(error)
    else:
        result += "!"
    finally:
        result += "."
    return result


def escaping():
    try:
        1 / 0
    finally:
        simple(1)


def reraising():
    try:
        escaping()
    except ZeroDivisionError:
        raise
    return "never"


def with_block():
    with manager("a") as value, manager("b"):
        text = value
    return text


@contextmanager
def manager(name):
    yield name
    simple(2)


def generator(n):
    for i in range(n):
        yield i
    received = yield "send"
    if received:
        yield received
    yield from [1, 2]
    return "end"


def closure(x):
    y = x

    def inner(z):
        nonlocal y
        y += z
        return y

    return inner


def comprehensions(n):
    squares = [i * i for i in range(n)]
    pairs = {i: j for i, j in enumerate(squares)
             if i}
    unique = {i
              for i in squares}
    lazy = sum(i for i in squares)
    return squares, pairs, unique, lazy


def lambdas():
    add = lambda a, b: a + b
    lazily = (
        lambda a:
        a * 2
    )
    return add(1, 2), lazily(3)


cdef int c_function(int x) except -1:
    cdef int y = x * 2
    if y > 100:
        raise OverflowError(y)
    return y


cpdef int cp_function(int x):
    return x + 1


cdef int without_gil(int x) noexcept nogil:
    cdef int i, sum = 0
    for i in range(x):
        sum += i
    return sum


def calls_c(x):
    cdef int result
    result = c_function(x) + cp_function(x)
    with nogil:
        result += without_gil(3)
        result += 1
    return result


def multi_line(a):
    value = simple(
        a,
        b=2,
    )
    if (a and
            value):
        value = (value +
                 1)
    return value


def unused(a):
    b = a
    if b:
        return 1
    return b


class Plain:
    """A Python class."""

    attribute = 1

    def __init__(self, x):
        self.x = x

    @property
    def double(self):
        return self.x * 2

    @staticmethod
    def static(y):
        return y

    @classmethod
    def create(cls, x):
        return cls(x)

    def unused(self):
        return self.x

    class Inner:
        value = 3

        def method(self):
            return self.value


cdef class Extension:
    cdef public int x
    cdef readonly object name

    def __cinit__(self, int x=0):
        self.x = x

    def __init__(self, int x=0):
        self.name = str(x)

    def __dealloc__(self):
        global counter
        counter += 1

    @property
    def triple(self):
        return self.x * 3

    @triple.setter
    def triple(self, value):
        self.x = value // 3

    def __eq__(self, other):
        if not isinstance(other, Extension):
            return NotImplemented
        return self.x == other.x

    def __len__(self):
        return self.x

    def __getitem__(self, key):
        return key

    def __iter__(self):
        yield self.x

    def method(self, y):
        return self.c_method(y)

    cdef int c_method(self, int y):
        return self.x + y

    cpdef int cp_method(self, int y):
        return self.x * y

    def unused(self):
        return self.x


class Derived(Extension):
    def cp_method(self, y):
        return super().cp_method(y) + 1


async def coroutine(n):
    await asyncio.sleep(0)
    async with AsyncManager() as value:
        n += value
    async for item in async_generator(2):
        n += item
    items = [i async for i in async_generator(2)]
    return n, items


async def async_generator(n):
    for i in range(n):
        yield i
        await asyncio.sleep(0)


class AsyncManager:
    async def __aenter__(self):
        return 10

    async def __aexit__(self, *args):
        return False


def match_like(x):
    if isinstance(x, int): return "int"
    elif isinstance(x, str): return "str"
    assert x is not None, "nothing"
    del x
    global CONSTANT
    CONSTANT = 3
    return f"{CONSTANT} " \
           "lines"


def decorated(function):
    return function


@decorated
@decorated
def twice_decorated(
    a,
    b=simple(1),
):
    return a, b


def run():
    simple(1)
    branches(1), branches(0)
    loops(4)
    exceptions(True)
    exceptions(False)
    for function in (escaping, reraising):
        try:
            function()
        except ZeroDivisionError:
            counted = True
    with_block()
    g = generator(2)
    assert [next(g), next(g), next(g), g.send(7)] == [0, 1, "send", 7]
    list(g)
    closing = generator(3)
    next(closing)
    closing.close()
    throwing = generator(3)
    next(throwing)
    try:
        throwing.throw(KeyError("thrown"))
    except KeyError:
        counted = False
    closure(1)(2)
    comprehensions(3)
    lambdas()
    calls_c(4)
    try:
        c_function(51)
    except OverflowError as error:
        counted = error
    multi_line(1)
    plain = Plain.create(2)
    plain.double, Plain.static(1), Plain.Inner().method()
    extension = Extension(2)
    extension.triple = extension.triple
    extension == Extension(3), extension == 4, len(extension), extension["k"], list(extension)
    extension.method(1), extension.cp_method(2), Derived(1).cp_method(3)
    asyncio.run(coroutine(1))
    match_like(1), match_like("x"), match_like(1.5)
    try:
        match_like(None)
    except AssertionError:
        counted = True
    twice_decorated(1)
    return counted


if CONSTANT:
    module_level = [
        simple(3),
        4,
    ]
else:
    module_level = None
