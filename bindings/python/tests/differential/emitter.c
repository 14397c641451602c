/* An emitter for the differential test: scopes and fires, by the names of CPython's Monitoring C API alone.
 *
 * It is compiled twice: as it is, which is CPython's own implementation (3.13 and newer), and with rmon_python.h in
 * front, which is rmon's. What happens in it is decided by the caller in Python.
 */
#define PY_SSIZE_T_CLEAN
#ifdef WITH_RMON
#include "rmon_python.h"
#else
#include <Python.h>
#endif

/* Passed for an argument, it stands for NULL. */
static PyObject *null;

/* ---- Scopes ---- */

typedef struct Scope {
    PyObject_HEAD
    Py_ssize_t length;
    uint64_t version;
    PyMonitoringState states[64];
    uint8_t types[64];
    uint8_t is_dead[64]; /* states of events that this implementation has not: they are never active */
} Scope;

/* The events by name, in the numbering of the header. CPython lacks some, or has only a number for them. */
static const struct {
    const char *name;
    int number;
} events[] = {
#define EVENT(name) {#name, PY_MONITORING_EVENT_##name}
    EVENT(PY_START), EVENT(PY_RESUME), EVENT(PY_RETURN), EVENT(PY_YIELD), EVENT(CALL), EVENT(LINE), EVENT(JUMP),
    EVENT(STOP_ITERATION), EVENT(RAISE), EVENT(EXCEPTION_HANDLED), EVENT(PY_UNWIND), EVENT(PY_THROW), EVENT(RERAISE),
#if defined(WITH_RMON) || PY_VERSION_HEX >= 0x030E0000
    EVENT(BRANCH_LEFT), EVENT(BRANCH_RIGHT),
#endif
#if defined(WITH_RMON) || PY_VERSION_HEX < 0x030E0000
    EVENT(BRANCH),
#endif
#ifdef WITH_RMON
    EVENT(C_RETURN), EVENT(C_RAISE),
#endif
};

static int number_of(PyObject *name)
{
    size_t i;
    for (i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (PyUnicode_CompareWithASCIIString(name, events[i].name) == 0)
            return events[i].number;
    }
    return -1;
}

/* Scope(names): a state for each name of an event. */
static PyObject *scope_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *names;
    Scope *self;
    Py_ssize_t i;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &names))
        return NULL;
    if (PyTuple_GET_SIZE(names) > 64) {
        PyErr_SetString(PyExc_ValueError, "at most 64 states");
        return NULL;
    }
    self = (Scope *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->length = PyTuple_GET_SIZE(names);
    for (i = 0; i < self->length; i++) {
        int number = number_of(PyTuple_GET_ITEM(names, i));
        self->is_dead[i] = number < 0;
        self->types[i] = (uint8_t)(number < 0 ? 0 : number);
    }
    return (PyObject *)self;
}

static void scope_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *scope_enter(PyObject *object, PyObject *unused)
{
    Scope *self = (Scope *)object;
    Py_ssize_t i;
    (void)unused;
    if (PyMonitoring_EnterScope(self->states, &self->version, self->types, self->length) < 0)
        return NULL;
    for (i = 0; i < self->length; i++) {
        if (self->is_dead[i])
            self->states[i].active = 0;
    }
    Py_RETURN_NONE;
}

static PyObject *scope_exit(PyObject *object, PyObject *unused)
{
    (void)object;
    (void)unused;
    if (PyMonitoring_ExitScope() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *scope_active(PyObject *object, PyObject *unused)
{
    Scope *self = (Scope *)object;
    PyObject *result = PyTuple_New(self->length);
    Py_ssize_t i;
    (void)unused;
    for (i = 0; result != NULL && i < self->length; i++)
        PyTuple_SET_ITEM(result, i, PyLong_FromLong(self->states[i].active));
    return result;
}

/* ---- Fires ---- */

static void put_raised(PyObject *exception)
{
    Py_INCREF(Py_TYPE(exception));
    Py_INCREF(exception);
    PyErr_Restore((PyObject *)Py_TYPE(exception), exception, PyException_GetTraceback(exception));
}

/* What is raised, normalised, and no longer is; None if nothing is. */
static PyObject *take_raised(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL)
        Py_RETURN_NONE;
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static int fire(PyObject *name, PyMonitoringState *state, PyObject *code, int offset, PyObject *first, PyObject *second,
                int line)
{
#define IS(event) (PyUnicode_CompareWithASCIIString(name, #event) == 0)
    if (IS(PY_START))
        return PyMonitoring_FirePyStartEvent(state, code, offset);
    if (IS(PY_RESUME))
        return PyMonitoring_FirePyResumeEvent(state, code, offset);
    if (IS(PY_RETURN))
        return PyMonitoring_FirePyReturnEvent(state, code, offset, first);
    if (IS(PY_YIELD))
        return PyMonitoring_FirePyYieldEvent(state, code, offset, first);
    if (IS(CALL))
        return PyMonitoring_FireCallEvent(state, code, offset, first, second);
    if (IS(LINE))
        return PyMonitoring_FireLineEvent(state, code, offset, line);
    if (IS(JUMP))
        return PyMonitoring_FireJumpEvent(state, code, offset, first);
#if defined(WITH_RMON) || PY_VERSION_HEX >= 0x030E0000
    if (IS(BRANCH_LEFT))
        return PyMonitoring_FireBranchLeftEvent(state, code, offset, first);
    if (IS(BRANCH_RIGHT))
        return PyMonitoring_FireBranchRightEvent(state, code, offset, first);
#endif
#if defined(WITH_RMON) || PY_VERSION_HEX < 0x030E0000
    if (IS(BRANCH))
        return PyMonitoring_FireBranchEvent(state, code, offset, first);
#endif
    if (IS(C_RETURN))
        return PyMonitoring_FireCReturnEvent(state, code, offset, first);
    if (IS(C_RAISE))
        return PyMonitoring_FireCRaiseEvent(state, code, offset);
    if (IS(STOP_ITERATION))
        return PyMonitoring_FireStopIterationEvent(state, code, offset, first);
    if (IS(RAISE))
        return PyMonitoring_FireRaiseEvent(state, code, offset);
    if (IS(RERAISE))
        return PyMonitoring_FireReraiseEvent(state, code, offset);
    if (IS(EXCEPTION_HANDLED))
        return PyMonitoring_FireExceptionHandledEvent(state, code, offset);
    if (IS(PY_UNWIND))
        return PyMonitoring_FirePyUnwindEvent(state, code, offset);
    if (IS(PY_THROW))
        return PyMonitoring_FirePyThrowEvent(state, code, offset);
    PyErr_Format(PyExc_ValueError, "no event %R", name);
    return -1;
}

/* fire(name, state, code, offset, first, second, line, pending): fires with the exception `pending` raised, unless that
 * is None. (status, what is raised afterwards). */
static PyObject *scope_fire(PyObject *object, PyObject *args)
{
    Scope *self = (Scope *)object;
    PyObject *name, *code, *first, *second, *pending;
    int i, offset, line, status = 0;
    if (!PyArg_ParseTuple(args, "UiOiOOiO", &name, &i, &code, &offset, &first, &second, &line, &pending))
        return NULL;
    if (i < 0 || i >= self->length) {
        PyErr_Format(PyExc_IndexError, "no state %d", i);
        return NULL;
    }
    if (pending != Py_None)
        put_raised(pending);
    if (!self->is_dead[i])
        status = fire(name, &self->states[i], code, offset, first == null ? NULL : first,
                      second == null ? NULL : second, line);
    return Py_BuildValue("iN", status, take_raised());
}

/* ---- The module ---- */

static PyMethodDef methods[] = {
    {"enter", scope_enter, METH_NOARGS, NULL},
    {"exit", scope_exit, METH_NOARGS, NULL},
    {"active", scope_active, METH_NOARGS, NULL},
    {"fire", scope_fire, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)scope_new},
    {Py_tp_dealloc, (void *)scope_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"emitter.Scope", sizeof(Scope), 0, Py_TPFLAGS_DEFAULT, slots};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, MODULE_NAME, NULL, -1, NULL, NULL, NULL, NULL, NULL};

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)

PyMODINIT_FUNC JOINED(PyInit_, MODULE)(void)
{
    PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&spec);
    null = PyObject_CallObject((PyObject *)&PyBaseObject_Type, NULL);
    if (module == NULL || type == NULL || null == NULL || PyModule_AddObject(module, "Scope", type) < 0
        || PyModule_AddObject(module, "NULL", null) < 0)
        return NULL;
    Py_INCREF(null);
    return module;
}
