/*
 * Fires that reach Python callbacks, by the names of CPython's Monitoring C API alone.
 *
 * Compiled twice for an interpreter: as it is, which is CPython's own implementation (3.13 and newer), and with
 * rmon_python.h in front, which is rmon's. Both are loaded into one process; driver.py decides who listens.
 */
#define PY_SSIZE_T_CLEAN
#ifdef WITH_RMON
#include "rmon_python.h"
#else
#include <Python.h>
#endif

#include "bench.h"

/* Offsets for which the interpreter has an int at hand, and for which it has none. */
enum { SMALL = 16, LARGE = 1000 };

static const uint8_t types[] = {PY_MONITORING_EVENT_PY_START};
static PyMonitoringState state[1];
static uint64_t version;
static PyObject *code, *callable;

static void enter(void)
{
    BENCH_EXPECT(PyMonitoring_EnterScope(state, &version, types, 1) == 0);
    bench_expect(state[0].active != 0, "somebody listens");
}

static void is_active(void)
{
    BENCH_EXPECT(state[0].active != 0 && !PyErr_Occurred());
}

BENCH_FUNCTION void fire_small(uint64_t n)
{
    BENCH_REPEAT(n) bench_expect_ok(PyMonitoring_FirePyStartEvent(state, code, SMALL));
}

BENCH_FUNCTION void fire_large(uint64_t n)
{
    BENCH_REPEAT(n) bench_expect_ok(PyMonitoring_FirePyStartEvent(state, code, LARGE));
}

/* The limit: the call alone, with its arguments ready. */
BENCH_FUNCTION void call(uint64_t n)
{
    PyObject *arguments[3] = {NULL, code, Py_None};
    BENCH_REPEAT(n)
    {
        PyObject *result = PyObject_Vectorcall(callable, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        bench_expect_ok(result ? 0 : -1);
        Py_DECREF(result);
    }
}

static const struct bench_row python_rows[] = {
    {.name = "small", .setup = enter, .loop = fire_small, .check = is_active},
    {.name = "large", .setup = enter, .loop = fire_large, .check = is_active},
    {.name = "call", .loop = call},
    {0},
};

/* rows(code, callable, *words): runs the harness with these words; its exit status. */
static PyObject *run_rows(PyObject *module, PyObject *args)
{
    static const struct bench_row *const tables[] = {python_rows, NULL};
    const char *words[3];
    (void)module;
    if (!PyArg_ParseTuple(args, "OOsss", &code, &callable, &words[0], &words[1], &words[2]))
        return NULL;
    char *argv[] = {"python_rows", (char *)words[0], (char *)words[1], (char *)words[2], NULL};
    int status = bench_main(4, argv, tables);
    fflush(stdout); /* C's stdout, which the interpreter does not know */
    return PyLong_FromLong(status);
}

/* fire(code): one fire in a scope that has just been entered, for who counts what arrives. */
static PyObject *fire(PyObject *module, PyObject *in)
{
    (void)module;
    if (PyMonitoring_EnterScope(state, &version, types, 1) < 0
        || PyMonitoring_FirePyStartEvent(state, in, SMALL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* nothing(code, offset, ...): a callback. */
static PyObject *nothing(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module, (void)args;
    if (count < 2)
        return PyErr_Format(PyExc_TypeError, "a code and more expected, %zd arguments given", count);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"rows", run_rows, METH_VARARGS, NULL},
    {"fire", fire, METH_O, NULL},
    {"nothing", (PyCFunction)(void (*)(void))nothing, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, MODULE_NAME, NULL, -1, methods, NULL, NULL, NULL, NULL};

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)

PyMODINIT_FUNC JOINED(PyInit_, MODULE)(void)
{
    return PyModule_Create(&definition);
}
