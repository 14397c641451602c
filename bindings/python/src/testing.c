/* rmon.testing: the functions of CPython's _testcapi that fire events, so that CPython's tests of its Monitoring C API
 * run on rmon.
 *
 * They use the PyMonitoring names of rmon_python.h, as an extension does. A CodeLike is a code with the states of a
 * scope; the offset that a fire is given is the index of a state, too, and the result is that state's `active` byte.
 */
#include "emitters.h"

typedef struct TestCode {
    PyObject_HEAD
    PyObject *weak_references;
    PyMonitoringState *states; /* owned, from PyMem, as are the types */
    uint8_t *types;            /* what the states were last entered with */
    uint64_t version;
    Py_ssize_t used; /* how many of the states were */
    int length;
} TestCode;

/* ---- CodeLike ---- */

static PyObject *codelike_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"num_events", NULL};
    TestCode *self;
    int length;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "i:CodeLike", names, &length))
        return NULL;
    if (length < 0) {
        PyErr_Format(PyExc_ValueError, "num_events must be non-negative, not %d", length);
        return NULL;
    }
    self = (TestCode *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->length = length;
    self->states = PyMem_Calloc((size_t)length, sizeof *self->states);
    self->types = PyMem_Calloc((size_t)length, sizeof *self->types);
    if (self->states == NULL || self->types == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int codelike_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void codelike_dealloc(PyObject *object)
{
    TestCode *self = (TestCode *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    PyMem_Free(self->states);
    PyMem_Free(self->types);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *codelike_str(PyObject *object)
{
    const TestCode *self = (TestCode *)object;
    PyObject *text = PyUnicode_FromString("CodeLike:"), *longer;
    int i;
    for (i = 0; i < self->length && text != NULL; i++) {
        longer = PyUnicode_FromFormat("%U %d", text, RMON_PRIV_LOAD_ACTIVE(&self->states[i]));
        Py_DECREF(text);
        text = longer;
    }
    return text;
}

/* The object as a CodeLike, borrowed; NULL with an exception. */
static TestCode *codelike_of(PyObject *object)
{
    if (Py_TYPE(object)->tp_dealloc == codelike_dealloc)
        return (TestCode *)object;
    PyErr_Format(PyExc_TypeError, "expected a rmon.testing.CodeLike, not %s", Py_TYPE(object)->tp_name);
    return NULL;
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TestCode, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("CodeLike(num_events)\n--\n\nA code that holds so many states.")},
    {Py_tp_new, codelike_new},
    {Py_tp_traverse, codelike_traverse},
    {Py_tp_dealloc, codelike_dealloc},
    {Py_tp_str, codelike_str},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {"rmon.testing.CodeLike", sizeof(TestCode), 0, TYPE_FLAGS, slots};

/* ---- Scopes ---- */

/* Reads the events of monitoring_enter_scope, bit indices in Python's numbering, as types. -1 with an exception. */
static int read_types(PyObject *args, uint8_t *types, Py_ssize_t count)
{
    Py_ssize_t i;
    int index, event;
    for (i = 0; i < count; i++) {
        if (read_int(PyTuple_GET_ITEM(args, 1 + i), &index) < 0)
            return -1;
        event = event_from_python(index);
        if (event < 0) {
            PyErr_Format(PyExc_ValueError, "invalid event %d", index);
            return -1;
        }
        types[i] = (uint8_t)event;
    }
    return 0;
}

/* Enters the scope. If it is not the one that was last entered, the states begin anew. */
static int enter(TestCode *self, const uint8_t *types, Py_ssize_t count)
{
    int result;
    LOCKED((PyObject *)self);
    if (count != self->used || memcmp(types, self->types, (size_t)count) != 0) {
        memset(self->states, 0, (size_t)self->length * sizeof *self->states);
        memcpy(self->types, types, (size_t)count);
        self->used = count;
        self->version = 0;
    }
    result = PyMonitoring_EnterScope(self->states, &self->version, self->types, count);
    LOCKED_END();
    return result;
}

static PyObject *enter_scope(PyObject *module, PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args) - 1;
    TestCode *self;
    uint8_t *types;
    int result = -1;
    (void)module;
    if (count < 0) {
        PyErr_SetString(PyExc_TypeError, "monitoring_enter_scope() missing required argument 'codelike' (pos 1)");
        return NULL;
    }
    self = codelike_of(PyTuple_GET_ITEM(args, 0));
    if (self == NULL)
        return NULL;
    if (count > self->length) {
        PyErr_Format(PyExc_ValueError, "%zd events, but the CodeLike has %d states", count, self->length);
        return NULL;
    }
    types = PyMem_Malloc((size_t)count);
    if (types == NULL)
        return PyErr_NoMemory();
    if (read_types(args, types, count) == 0)
        result = enter(self, types, count);
    PyMem_Free(types);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *exit_scope(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (PyMonitoring_ExitScope() < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- Fires ---- */

static int fire_event(int event, PyMonitoringState *state, PyObject *code, int offset, PyObject *first,
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
    case PY_MONITORING_EVENT_INSTRUCTION:
        return rmon_python_fire_instruction(state, code, offset);
    case PY_MONITORING_EVENT_JUMP:
        return PyMonitoring_FireJumpEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH:
        return PyMonitoring_FireBranchEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH_LEFT:
        return PyMonitoring_FireBranchLeftEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_BRANCH_RIGHT:
        return PyMonitoring_FireBranchRightEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_STOP_ITERATION:
        return PyMonitoring_FireStopIterationEvent(state, code, offset, first);
    case PY_MONITORING_EVENT_RAISE:
        return PyMonitoring_FireRaiseEvent(state, code, offset);
    case PY_MONITORING_EVENT_EXCEPTION_HANDLED:
        return PyMonitoring_FireExceptionHandledEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_UNWIND:
        return PyMonitoring_FirePyUnwindEvent(state, code, offset);
    case PY_MONITORING_EVENT_PY_THROW:
        return PyMonitoring_FirePyThrowEvent(state, code, offset);
    case PY_MONITORING_EVENT_RERAISE:
        return PyMonitoring_FireReraiseEvent(state, code, offset);
    case PY_MONITORING_EVENT_C_RETURN:
        return PyMonitoring_FireCReturnEvent(state, code, offset, first);
    default:
        return PyMonitoring_FireCRaiseEvent(state, code, offset);
    }
}

/* Sets the exception that an event is fired with; none for None. -1 with an exception of another kind. */
static int raise_given(PyObject *exception)
{
    if (exception == Py_None)
        return 0;
    if (!PyExceptionInstance_Check(exception)) {
        PyErr_Format(PyExc_TypeError, "expected an exception or None, not %s", Py_TYPE(exception)->tp_name);
        return -1;
    }
    Py_INCREF(exception);
    rmon_python_put_raised(exception);
    return 0;
}

/* The work of a function that fires. `format` is that of its arguments: codelike, offset, and one or two objects, or
 * for LINE an int. */
static PyObject *fire(int event, PyObject *args, const char *format)
{
    bool has_exception = (RMON_EVENT_SET(event) & RMON_PYTHON_EXCEPTION_EVENTS_) != 0;
    PyObject *code, *first = NULL, *second = NULL;
    PyMonitoringState *state;
    TestCode *self;
    int offset, line = 0;
    if (event == RMON_EVENT_LINE ? !PyArg_ParseTuple(args, format, &code, &offset, &line)
                                 : !PyArg_ParseTuple(args, format, &code, &offset, &first, &second))
        return NULL;
    self = codelike_of(code);
    if (self == NULL)
        return NULL;
    if (offset < 0 || offset >= self->length) {
        PyErr_Format(PyExc_IndexError, "no state %d: the CodeLike has %d", offset, self->length);
        return NULL;
    }
    state = &self->states[offset];
    if (has_exception && raise_given(first) < 0)
        return NULL;
    if (fire_event(event, state, code, offset, first, second, line) < 0)
        return NULL;
    if (has_exception)
        PyErr_Clear();
    return PyLong_FromLong(RMON_PRIV_LOAD_ACTIVE(state));
}

#define FIRE_FUNCTION(name, event, format)                                                \
    static PyObject *fire_event_##name(PyObject *module, PyObject *args)                  \
    {                                                                                     \
        (void)module;                                                                     \
        return fire(PY_MONITORING_EVENT_##event, args, format ":fire_event_" #name);      \
    }

FIRE_FUNCTION(py_start, PY_START, "Oi")
FIRE_FUNCTION(py_resume, PY_RESUME, "Oi")
FIRE_FUNCTION(py_return, PY_RETURN, "OiO")
FIRE_FUNCTION(py_yield, PY_YIELD, "OiO")
FIRE_FUNCTION(call, CALL, "OiOO")
FIRE_FUNCTION(line, LINE, "Oii")
FIRE_FUNCTION(instruction, INSTRUCTION, "Oi")
FIRE_FUNCTION(jump, JUMP, "OiO")
FIRE_FUNCTION(branch, BRANCH, "OiO")
FIRE_FUNCTION(branch_left, BRANCH_LEFT, "OiO")
FIRE_FUNCTION(branch_right, BRANCH_RIGHT, "OiO")
FIRE_FUNCTION(stop_iteration, STOP_ITERATION, "OiO")
FIRE_FUNCTION(raise, RAISE, "OiO")
FIRE_FUNCTION(exception_handled, EXCEPTION_HANDLED, "OiO")
FIRE_FUNCTION(py_unwind, PY_UNWIND, "OiO")
FIRE_FUNCTION(py_throw, PY_THROW, "OiO")
FIRE_FUNCTION(reraise, RERAISE, "OiO")
FIRE_FUNCTION(c_return, C_RETURN, "OiO")
FIRE_FUNCTION(c_raise, C_RAISE, "OiO")

/* ---- The module ---- */

#define FUNCTION(name, parameters) \
    {"fire_event_" #name, fire_event_##name, METH_VARARGS, \
     PyDoc_STR("fire_event_" #name "($module, codelike, offset" parameters ", /)\n--\n\n")}

static PyMethodDef functions[] = {
    {"monitoring_enter_scope", enter_scope, METH_VARARGS,
     PyDoc_STR("monitoring_enter_scope($module, codelike, /, *events)\n--\n\n")},
    {"monitoring_exit_scope", exit_scope, METH_NOARGS, PyDoc_STR("monitoring_exit_scope($module, /)\n--\n\n")},
    FUNCTION(py_start, ""),
    FUNCTION(py_resume, ""),
    FUNCTION(py_return, ", retval"),
    FUNCTION(py_yield, ", retval"),
    FUNCTION(call, ", callable, arg0"),
    FUNCTION(line, ", lineno"),
    FUNCTION(instruction, ""),
    FUNCTION(jump, ", target_offset"),
    FUNCTION(branch, ", target_offset"),
    FUNCTION(branch_left, ", target_offset"),
    FUNCTION(branch_right, ", target_offset"),
    FUNCTION(stop_iteration, ", value"),
    FUNCTION(raise, ", exception"),
    FUNCTION(exception_handled, ", exception"),
    FUNCTION(py_unwind, ", exception"),
    FUNCTION(py_throw, ", exception"),
    FUNCTION(reraise, ", exception"),
    FUNCTION(c_return, ", retval"),
    FUNCTION(c_raise, ", exception"),
    {NULL, NULL, 0, NULL},
};

int testing_add(PyObject *module)
{
    PyObject *testing = PyModule_New("rmon.testing");
    if (testing != NULL && PyModule_AddFunctions(testing, functions) == 0
        && add_new_type(testing, "CodeLike", &spec) == 0 && PyModule_AddObject(module, "testing", testing) == 0)
        return 0; /* which has taken it over */
    Py_XDECREF(testing);
    return -1;
}
