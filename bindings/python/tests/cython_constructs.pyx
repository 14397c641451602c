# cython: language_level=3, linetrace=True, binding=True
cimport rmon
"""What test_cython.py runs: each construct of Cython that reports events. `# raises` marks lines that it looks for."""

import asyncio
from libc.string cimport memset

cdef extern from *:
    """
    static PyCodeObject *__Pyx_createFrameCodeObject(const char *, const char *, int);
    static PyObject *without_code(int line)
    {
        return (PyObject *)__Pyx_createFrameCodeObject("without_code", "nowhere.pyx", line);
    }
    static PyObject *in_flight(int line, PyObject *error)
    {
        PyObject *code;
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        code = without_code(line);
        Py_XDECREF(code);
        return code != NULL && PyErr_Occurred() ? NULL : PyUnicode_FromString("the exception is lost");
    }
    static PyObject *any_code(int py_line)
    {
        return (PyObject *)PyCode_NewEmpty("nowhere.pyx", "without_code", py_line);
    }
    """
    object without_code(int line)
    object in_flight(int line, object error)
    object any_code(int line)


# ---- The same in Python ----

def twin_branches(n):
    if n < 0:
        result = "negative"
    elif n == 0:
        result = "zero"
    else:
        result = "positive"
    return result


def twin_while(n):
    total = 0
    while n > 0:
        total += n
        n -= 1
    return total


def twin_handled(fail):
    try:
        if fail:
            raise ValueError("asked for")
        result = "fine"
    except ValueError as error:
        result = str(error)
    return result


def twin_escaping(x):
    y = x - 1
    return x / y


def twin_generator(a):
    b = yield a
    c = yield b
    return c


def twin_closure(x):
    def inner(z):
        y = x + z
        return y

    return inner(1)


# ---- Functions ----

cdef int c_function(int x) except -1:
    if x > 100:
        raise OverflowError(x)  # raises
    return x + 1


cpdef int cp_function(int x) except -1:
    if x > 100:
        raise OverflowError(x)  # raises
    return x + 1


cdef int with_the_gil(int x) except -1 nogil:
    if x > 100:
        with gil:
            raise OverflowError(x)
    return x + 1


def calls_c(int x):
    return c_function(x)


def without_gil(int x):
    cdef int result
    with nogil:
        result = with_the_gil(x)  # raises
        result += 1
    return result


def finally_without_gil(int x):
    cdef int result = 0
    with nogil:
        try:
            result = with_the_gil(x)  # raises
        finally:
            result += 1
    return result


def lambdas(x):
    double = lambda y: y * 2
    return double(x)


def handles(x):
    try:
        c_function(x)  # raises
    except OverflowError as error:
        return error
    finally:
        x = 0


def reraises(x):
    try:
        c_function(x)  # raises
    except OverflowError:
        raise


def catches_in_callers_handler(error):
    """Calls back while an exception is handled: what sys.exc_info() has must not change."""
    import sys
    try:
        raise error
    except ValueError:
        calls_c(1)
        return sys.exc_info()[1]


# ---- Generators and coroutines ----

def generator(n):
    try:
        for i in range(n):
            received = yield i
    except KeyError as error:
        yield error
    return "end"


def stubborn():
    yield 1
    try:
        yield 2
    except GeneratorExit:
        return


def delegating(inner):
    result = yield from inner
    return result


def expressions(n):
    return list(i * i for i in range(n)), [i for i in range(n)], {i: i for i in range(n)}


async def coroutine(n):
    async with Manager() as value:
        n += value
    async for item in async_generator(2):
        n += item
    return n


async def async_generator(n):
    try:
        for i in range(n):
            yield i
            await asyncio.sleep(0)
    except KeyError as error:
        yield error


class Manager:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return 10

    async def __aexit__(self, *args):
        return False


async def drives_async_generators():
    first = async_generator(3)
    key_error = KeyError("thrown")
    assert await first.asend(None) == 0
    assert await first.athrow(key_error) is key_error
    await first.aclose()
    second = async_generator(3)
    assert await second.__anext__() == 0
    await second.aclose()


# ---- Classes ----

class Plain:
    def method(self, x):
        return x

    @staticmethod
    def static(x):
        return x

    @classmethod
    def create(cls):
        return cls()

    @property
    def one(self):
        return 1


cdef class Extension:
    cdef public int x
    cdef readonly object name

    def __cinit__(self, int x=0):
        self.x = x

    def __init__(self, int x=0):
        self.name = str(x)

    def __dealloc__(self):
        self.x = 0

    @property
    def triple(self):
        return self.x * 3

    @triple.setter
    def triple(self, value):
        self.x = value // 3

    def __eq__(self, other):
        return isinstance(other, Extension) and self.x == other.x

    def __len__(self):
        return self.x

    def __getitem__(self, key):
        if key > 100:
            raise IndexError(key)  # raises
        return key

    def __setitem__(self, key, value):
        self.x = value

    def __call__(self, *args, **kwargs):
        return args

    def __iter__(self):
        return self

    def __next__(self):
        if self.x == 0:
            raise StopIteration  # raises
        self.x -= 1
        return self.x

    def method(self, y):
        return self.c_method(y)

    cdef int c_method(self, int y) except -1:
        return self.x + y

    cpdef int cp_method(self, int y) except -1:
        if y > 100:
            raise OverflowError(y)  # raises
        return self.x * y


cdef class Derived(Extension):
    cpdef int cp_method(self, int y) except -1:
        return y


class Overriding(Extension):
    def cp_method(self, y):
        return y + 1


def calls_cp_method(Extension extension, y):
    return extension.cp_method(y)


# ---- All of it ----

def attempt(function, *args):
    try:
        return function(*args)
    except (ArithmeticError, LookupError) as error:
        return error


def run():
    twin_branches(1), twin_while(2), twin_handled(True), twin_closure(1), list(twin_generator(1))
    attempt(twin_escaping, 1)
    for function in (calls_c, cp_function, without_gil, finally_without_gil, handles, reraises):
        attempt(function, 1), attempt(function, 1000)
    lambdas(1), expressions(2)
    list(generator(2)), list(delegating(generator(2)))
    closed = generator(2)
    next(closed)
    closed.close()
    thrown = generator(2)
    next(thrown)
    thrown.throw(KeyError("thrown"))
    thrown.close()
    attempt(generator(1).throw, LookupError("before it began"))
    generator(1).close()
    delegated = delegating(stubborn())
    next(delegated), next(delegated)
    attempt(delegated.close)
    asyncio.run(coroutine(1))
    asyncio.run(drives_async_generators())
    plain = Plain.create()
    plain.method(1), plain.static(1), plain.one
    extension = Extension(2)
    extension.triple = extension.triple
    extension[1] = extension[1]
    extension == Derived(1), len(extension), extension(1), list(extension)
    attempt(extension.__getitem__, 1000)
    extension.method(1)
    for each in (extension, Derived(1), Overriding(1)):
        attempt(each.cp_method, 1), attempt(each.cp_method, 1000)
        attempt(calls_cp_method, each, 1), attempt(calls_cp_method, each, 1000)


def code_without_a_table(int line):
    """What Cython's tracing makes for a function that has no code object at hand."""
    return without_code(line)


def code_in_flight(int line, error):
    """Makes such a code object while an exception is on its way."""
    return in_flight(line, error)


def code_for_others(int line):
    return any_code(line)


def fires_without_code(int line):
    """A call of such a function: it starts, runs a line, and returns."""
    cdef rmon.rmon_state[3] states
    cdef rmon.uint64_t version = 0
    cdef rmon.uint8_t[3] types = [
        rmon.RMON_EVENT_PY_START, rmon.RMON_EVENT_LINE, rmon.RMON_EVENT_PY_RETURN]
    memset(states, 0, sizeof(states))
    code = without_code(line)
    rmon.PyMonitoring_EnterScope(states, &version, types, 3)
    rmon.PyMonitoring_FirePyStartEvent(&states[0], code, 0)
    rmon.PyMonitoring_FireLineEvent(&states[1], code, 0, line + 1)
    rmon.PyMonitoring_FirePyReturnEvent(&states[2], code, 0, None)
    rmon.PyMonitoring_ExitScope()
