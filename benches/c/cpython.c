/*
 * CPython's own Monitoring C API as a peer: an extension module, since that is what its users have.
 *
 * `rows(*words)` runs the harness as the main program does, on this file's rows.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bench.h"

enum { EVENTS = 17 };

static const uint8_t event_types[EVENTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static PyMonitoringState states[EVENTS];
static uint64_t version;

static PyMonitoringState *const line_state = &states[PY_MONITORING_EVENT_LINE];

/* A tool that listens to what nothing here fires: the interpreter's version is then not 0. The rows share a process. */
static void listen(void)
{
    static int listens;
    if (!listens) {
        int failed = PyRun_SimpleString("import sys\n"
                                        "sys.monitoring.use_tool_id(0, 'bench')\n"
                                        "sys.monitoring.set_events(0, sys.monitoring.events.STOP_ITERATION)\n");
        BENCH_EXPECT(!failed);
        listens = 1;
    }
    BENCH_EXPECT(PyMonitoring_EnterScope(states, &version, event_types, EVENTS) == 0);
    BENCH_EXPECT(version != 0 && line_state->active == 0);
}

static void states_are_fresh(void)
{
    BENCH_EXPECT(states[PY_MONITORING_EVENT_STOP_ITERATION].active != 0);
}

BENCH_FUNCTION void empty_loop(uint64_t n)
{
    BENCH_REPEAT(n) {}
}

BENCH_FUNCTION void fire_disabled(uint64_t n)
{
    PyMonitoringState *at = line_state;
    PyObject *code = Py_None;
    BENCH_REPEAT(n) bench_expect_ok(PyMonitoring_FireLineEvent(at, code, 16, 7));
}

BENCH_FUNCTION void enter_exit(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        bench_expect_ok(PyMonitoring_EnterScope(states, &version, event_types, EVENTS));
        bench_expect_ok(PyMonitoring_ExitScope());
    }
}

BENCH_FUNCTION void enter_exit_changed(uint64_t n)
{
    BENCH_REPEAT(n)
    {
        version = 0;
        bench_expect_ok(PyMonitoring_EnterScope(states, &version, event_types, EVENTS));
        bench_expect_ok(PyMonitoring_ExitScope());
    }
}

static const struct bench_row cpython_rows[] = {
    {.name = "cpython_empty_loop", .loop = empty_loop},
    {.name = "cpython_fire_disabled", .setup = listen, .loop = fire_disabled},
    {.name = "cpython_enter_exit_unchanged", .setup = listen, .loop = enter_exit, .check = states_are_fresh},
    {.name = "cpython_enter_exit_changed", .setup = listen, .loop = enter_exit_changed, .check = states_are_fresh},
    {0},
};

static PyObject *run_rows(PyObject *module, PyObject *words)
{
    static const struct bench_row *const tables[] = {cpython_rows, NULL};
    char *argv[8] = {"cpython_rows"};
    Py_ssize_t count = PyTuple_GET_SIZE(words);
    (void)module;
    if (count > 7)
        return PyErr_Format(PyExc_TypeError, "too many words");
    for (Py_ssize_t i = 0; i < count; i++) {
        argv[i + 1] = (char *)PyUnicode_AsUTF8(PyTuple_GET_ITEM(words, i));
        if (!argv[i + 1])
            return NULL;
    }
    int status = bench_main((int)count + 1, argv, tables);
    fflush(stdout); /* C's stdout, which the interpreter does not know */
    return PyLong_FromLong(status);
}

static PyMethodDef methods[] = {
    {"rows", run_rows, METH_VARARGS, "Runs the harness with these words; returns its exit status."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "rmon_bench_cpython", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_rmon_bench_cpython(void)
{
    return PyModule_Create(&definition);
}
