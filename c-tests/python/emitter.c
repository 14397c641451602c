/* emitter.c: fires every event of CPython's Monitoring C API, as its documentation says, on request of the tests.
 *
 * Nothing here is rmon's but the header's name. Built several times: with the whole API and the limited one, and with
 * RMON_DISABLED; the macro MODULE is then the module's name.
 */
#include <rmon_python.h>

enum { LONGEST = 32 };

typedef struct {
    PyMonitoringState states[LONGEST];
    uint8_t types[LONGEST];
    uint64_t version;
    Py_ssize_t length;
} Scope;

static void scope_free(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, "scope"));
}

static Scope *scope_of(PyObject *capsule)
{
    return (Scope *)PyCapsule_GetPointer(capsule, "scope");
}

/* What is left of the error indicator after a call, which is emptied: the exception, or None. */
static PyObject *raised_after(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static void raise_before(PyObject *exception)
{
    if (exception != Py_None) {
        Py_INCREF(Py_TYPE(exception));
        Py_INCREF(exception);
        PyErr_Restore((PyObject *)Py_TYPE(exception), exception, PyException_GetTraceback(exception));
    }
}

static PyObject *scope_new(PyObject *self, PyObject *args)
{
    const char *types;
    Py_ssize_t length;
    Scope *scope;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#", &types, &length))
        return NULL;
    if (length > LONGEST) {
        PyErr_SetString(PyExc_IndexError, "too many states");
        return NULL;
    }
    scope = (Scope *)PyMem_Malloc(sizeof *scope);
    if (scope == NULL)
        return PyErr_NoMemory();
    memset(scope, 0, sizeof *scope);
    memcpy(scope->types, types, (size_t)length);
    scope->length = length;
    return PyCapsule_New(scope, "scope", scope_free);
}

/* enter(scope, raised=None) -> (result, the exception that is set afterwards) */
static PyObject *scope_enter(PyObject *self, PyObject *args)
{
    PyObject *capsule, *raised = Py_None;
    Scope *scope;
    int result;
    (void)self;
    if (!PyArg_ParseTuple(args, "O|O", &capsule, &raised) || (scope = scope_of(capsule)) == NULL)
        return NULL;
    raise_before(raised);
    result = PyMonitoring_EnterScope(scope->states, &scope->version, scope->types, scope->length);
    return Py_BuildValue("iN", result, raised_after());
}

static PyObject *scope_exit(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    return PyLong_FromLong(PyMonitoring_ExitScope());
}

/* active(scope) -> a byte for each state */
static PyObject *scope_active(PyObject *self, PyObject *capsule)
{
    char active[LONGEST];
    Scope *scope = scope_of(capsule);
    Py_ssize_t i;
    (void)self;
    if (scope == NULL)
        return NULL;
    for (i = 0; i < scope->length; i++)
        active[i] = (char)scope->states[i].active;
    return PyBytes_FromStringAndSize(active, scope->length);
}

static int fire_one(PyMonitoringState *state, int event, PyObject *code, int32_t offset, PyObject *first,
                    PyObject *second, int line)
{
    switch (event) {
    case PY_MONITORING_EVENT_PY_START:
        return PyMonitoring_FirePyStartEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_RESUME:
        return PyMonitoring_FirePyResumeEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_RETURN:
        return PyMonitoring_FirePyReturnEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_PY_YIELD:
        return PyMonitoring_FirePyYieldEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_CALL:
        return PyMonitoring_FireCallEvent(state, code, offset, first, second);
    case PY_MONITORING_EVENT_LINE:
        return PyMonitoring_FireLineEvent(state, code, offset, line);
    case PY_MONITORING_EVENT_JUMP:
        return PyMonitoring_FireJumpEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH:
        return PyMonitoring_FireBranchEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH_LEFT:
        return PyMonitoring_FireBranchLeftEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH_RIGHT:
        return PyMonitoring_FireBranchRightEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_C_RETURN:
        return PyMonitoring_FireCReturnEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_STOP_ITERATION:
        return PyMonitoring_FireStopIterationEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_C_RAISE:
        return PyMonitoring_FireCRaiseEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_THROW:
        return PyMonitoring_FirePyThrowEvent(state, code, offset);
    case PY_MONITORING_EVENT_RAISE:
        return PyMonitoring_FireRaiseEvent(state, code, offset);
    case PY_MONITORING_EVENT_RERAISE:
        return PyMonitoring_FireReraiseEvent(state, code, offset);
    case PY_MONITORING_EVENT_EXCEPTION_HANDLED:
        return PyMonitoring_FireExceptionHandledEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_UNWIND:
        return PyMonitoring_FirePyUnwindEvent(state, code, offset);
    default:
        PyErr_SetString(PyExc_LookupError, "no such fire function");
        return -1;
    }
}

/* fire(scope, index, code, offset, values=(), raised=None, count=1) -> (result, the exception that is set afterwards)
 *
 * Fires the event of the scope's state `index`, `count` times or until it fails. The code None is NULL; so is a value
 * that is not given. */
static PyObject *fire(PyObject *self, PyObject *args)
{
    PyObject *capsule, *code, *values = NULL, *raised = Py_None, *first = NULL, *second = NULL;
    int index, offset, line = 0, result = 0, event;
    long count = 1;
    Scope *scope;
    (void)self;
    if (!PyArg_ParseTuple(args, "OiOi|OOl", &capsule, &index, &code, &offset, &values, &raised, &count)
        || (scope = scope_of(capsule)) == NULL)
        return NULL;
    if (index < 0 || index >= scope->length) {
        PyErr_SetString(PyExc_IndexError, "no such state");
        return NULL;
    }
    event = scope->types[index];
    if (event == PY_MONITORING_EVENT_LINE) {
        if (!PyArg_ParseTuple(values, "i", &line))
            return NULL;
    } else if (values != NULL && !PyArg_UnpackTuple(values, "values", 0, 2, &first, &second)) {
        return NULL;
    }
    if (code == Py_None)
        code = NULL;
    raise_before(raised);
    while (count-- > 0 && result == 0)
        result = fire_one(&scope->states[index], event, code, offset, first, second, line);
    return Py_BuildValue("iN", result, raised_after());
}

static PyMethodDef methods[] = {
    {"scope", scope_new, METH_VARARGS, NULL},
    {"enter", scope_enter, METH_VARARGS, NULL},
    {"exit", scope_exit, METH_NOARGS, NULL},
    {"active", scope_active, METH_O, NULL},
    {"fire", fire, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define JOIN(a, b) a##b
#define INIT(name) JOIN(PyInit_, name)
#define TEXT(name) #name
#define NAME(name) TEXT(name)

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, NAME(MODULE), NULL, -1, methods, NULL, NULL, NULL, NULL};

/* The event's number, and whether it is instrumented: EVENTS[name] = number, and LOCAL has it. */
static int add_event(PyObject *events, PyObject *local, const char *name, int event)
{
    PyObject *number = PyLong_FromLong(event);
    int bad = number == NULL || PyDict_SetItemString(events, name, number) < 0
              || (PY_MONITORING_IS_INSTRUMENTED_EVENT(event) && PySet_Add(local, number) < 0);
    Py_XDECREF(number);
    return bad;
}

PyMODINIT_FUNC INIT(MODULE)(void)
{
    PyObject *self = PyModule_Create(&module), *events = PyDict_New(), *local = PySet_New(NULL);
    if (self == NULL || events == NULL || local == NULL)
        return NULL;
#define ADD(name)                                                            \
    if (add_event(events, local, #name, PY_MONITORING_EVENT_##name))         \
        return NULL;
    ADD(PY_START)
    ADD(PY_RESUME)
    ADD(PY_RETURN)
    ADD(PY_YIELD)
    ADD(CALL)
    ADD(LINE)
    ADD(INSTRUCTION)
    ADD(JUMP)
    ADD(BRANCH_LEFT)
    ADD(BRANCH_RIGHT)
    ADD(STOP_ITERATION)
    ADD(RAISE)
    ADD(EXCEPTION_HANDLED)
    ADD(PY_UNWIND)
    ADD(PY_THROW)
    ADD(RERAISE)
    ADD(C_RETURN)
    ADD(C_RAISE)
    ADD(BRANCH)
    if (PyModule_AddObject(self, "EVENTS", events) < 0 || PyModule_AddObject(self, "LOCAL", local) < 0)
        return NULL;
    return self;
}
