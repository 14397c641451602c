/* documented.c: an extension written to CPython's documentation of its Monitoring C API, and to nothing else.
 *
 *     emulate(code, function, argument)    fires each event once or twice, as a function would that is emulated
 *     is_local(place) -> bool              whether the event with this place in the arrays is a local one
 *
 * The tests compile it as it is, against CPython alone where that has the API, and with rmon_python.h in front of it.
 * The macro MODULE is the module's name. AS_OF_3_13 chooses the documentation of 3.13, where branches have no
 * directions; else it is that of 3.14 and 3.15.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The events that the emulated function may fire, each with its place in the arrays. */
enum {
    PY_START,
    PY_RESUME,
    PY_RETURN,
    PY_YIELD,
    CALL,
    LINE,
    JUMP,
    STOP_ITERATION,
    RAISE,
    EXCEPTION_HANDLED,
    PY_UNWIND,
    PY_THROW,
    RERAISE,
    C_RETURN,
    C_RAISE,
#ifdef AS_OF_3_13
    BRANCH,
#else
    BRANCH_LEFT,
    BRANCH_RIGHT,
#endif
    INSTRUCTION,
    COUNT
};

static const uint8_t event_types[COUNT] = {
    PY_MONITORING_EVENT_PY_START,
    PY_MONITORING_EVENT_PY_RESUME,
    PY_MONITORING_EVENT_PY_RETURN,
    PY_MONITORING_EVENT_PY_YIELD,
    PY_MONITORING_EVENT_CALL,
    PY_MONITORING_EVENT_LINE,
    PY_MONITORING_EVENT_JUMP,
    PY_MONITORING_EVENT_STOP_ITERATION,
    PY_MONITORING_EVENT_RAISE,
    PY_MONITORING_EVENT_EXCEPTION_HANDLED,
    PY_MONITORING_EVENT_PY_UNWIND,
    PY_MONITORING_EVENT_PY_THROW,
    PY_MONITORING_EVENT_RERAISE,
    PY_MONITORING_EVENT_C_RETURN,
    PY_MONITORING_EVENT_C_RAISE,
#ifdef AS_OF_3_13
    PY_MONITORING_EVENT_BRANCH,
#else
    PY_MONITORING_EVENT_BRANCH_LEFT,
    PY_MONITORING_EVENT_BRANCH_RIGHT,
#endif
    PY_MONITORING_EVENT_INSTRUCTION,
};

static PyMonitoringState states[COUNT];
static uint64_t version;

/* A branch, from one offset to another. */
static int branch(PyObject *code, int32_t offset, PyObject *target, int is_right)
{
#ifdef AS_OF_3_13
    (void)is_right;
    return PyMonitoring_FireBranchEvent(&states[BRANCH], code, offset, target);
#else
    return is_right ? PyMonitoring_FireBranchRightEvent(&states[BRANCH_RIGHT], code, offset, target)
                    : PyMonitoring_FireBranchLeftEvent(&states[BRANCH_LEFT], code, offset, target);
#endif
}

/* The first half, which runs until the function yields, and what comes until it raises. */
static int begin(PyObject *code, PyObject *function, PyObject *argument, PyObject *target)
{
    PyObject *result;
    int status;
    if (PyMonitoring_FirePyStartEvent(&states[PY_START], code, 0) < 0
        || PyMonitoring_FireLineEvent(&states[LINE], code, 2, 1) < 0
        || PyMonitoring_FireCallEvent(&states[CALL], code, 4, function, argument) < 0)
        return -1;
    result = PyObject_CallFunctionObjArgs(function, argument, NULL);
    if (result == NULL) {
        (void)PyMonitoring_FireCRaiseEvent(&states[C_RAISE], code, 4);
        return -1;
    }
    status = PyMonitoring_FireCReturnEvent(&states[C_RETURN], code, 4, result);
    Py_DECREF(result);
    if (status < 0 || PyMonitoring_FireJumpEvent(&states[JUMP], code, 6, target) < 0
        || branch(code, 8, target, 0) < 0 || branch(code, 10, target, 1) < 0
        || PyMonitoring_FirePyYieldEvent(&states[PY_YIELD], code, 12, argument) < 0)
        return -1;
    (void)PyMonitoring_ExitScope();
    if (PyMonitoring_EnterScope(states, &version, event_types, COUNT) < 0
        || PyMonitoring_FirePyResumeEvent(&states[PY_RESUME], code, 12) < 0
        || PyMonitoring_FireLineEvent(&states[LINE], code, 14, 2) < 0
        || PyMonitoring_FireStopIterationEvent(&states[STOP_ITERATION], code, 16, argument) < 0)
        return -1;
    PyErr_SetString(PyExc_LookupError, "handled");
    if (PyMonitoring_FireRaiseEvent(&states[RAISE], code, 18) < 0
        || PyMonitoring_FireExceptionHandledEvent(&states[EXCEPTION_HANDLED], code, 20) < 0)
        return -1;
    PyErr_Clear();
    return 0;
}

/* The second half: something is thrown into the function, which ends with that. */
static int end(PyObject *code)
{
    PyErr_SetString(PyExc_OverflowError, "thrown");
    if (PyMonitoring_FirePyThrowEvent(&states[PY_THROW], code, 12) < 0
        || PyMonitoring_FireReraiseEvent(&states[RERAISE], code, 22) < 0)
        return -1;
    return PyMonitoring_FirePyUnwindEvent(&states[PY_UNWIND], code, 24);
}

static PyObject *emulate(PyObject *self, PyObject *args)
{
    PyObject *code, *function, *argument, *target;
    int status;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &code, &function, &argument))
        return NULL;
    target = PyLong_FromLong(40);
    if (target == NULL)
        return NULL;
    status = PyMonitoring_EnterScope(states, &version, event_types, COUNT);
    if (status == 0)
        status = begin(code, function, argument, target);
    if (status == 0)
        status = PyMonitoring_FirePyReturnEvent(&states[PY_RETURN], code, 26, argument);
    Py_DECREF(target);
    if (status == 0)
        (void)end(code);
    (void)PyMonitoring_ExitScope();
    return NULL;
}

static PyObject *is_local(PyObject *self, PyObject *args)
{
    int place;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &place))
        return NULL;
    if (place < 0 || place >= COUNT) {
        PyErr_SetString(PyExc_IndexError, "no such event");
        return NULL;
    }
    return PyBool_FromLong(PY_MONITORING_IS_INSTRUMENTED_EVENT(event_types[place]));
}

static PyMethodDef methods[] = {
    {"emulate", emulate, METH_VARARGS, NULL},
    {"is_local", is_local, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define JOIN(a, b) a##b
#define INIT(name) JOIN(PyInit_, name)
#define TEXT(name) #name
#define NAME(name) TEXT(name)

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, NAME(MODULE), NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC INIT(MODULE)(void)
{
    return PyModule_Create(&module);
}
