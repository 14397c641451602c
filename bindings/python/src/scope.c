/* Scope: an emitter in Python.
 *
 * A scope has one state for each of its events, which its methods fire. What a method is given is read only if somebody
 * may want the event: without that, a call costs the test of a byte, and a wrong type goes unnoticed.
 */
#include "emitters.h"

enum { NO_STATE = 0xff };

/* Never changed once it is made, but for the states and their version; so that there is nothing for tp_clear. */
typedef struct Scope {
    PyObject_HEAD
    PyObject *code;   /* owned */
    PyObject *events; /* owned: a tuple of Python's numbers */
    PyObject *weak_references;
    uint64_t version;
    rmon_state states[EVENTS];
    uint8_t types[EVENTS];     /* of the states */
    uint8_t state_for[EVENTS]; /* the index of the state that an event is fired with; NO_STATE */
    uint8_t length;            /* how many states there are */
} Scope;

/* ---- Firing ---- */

enum { MOST_PARAMETERS = 3 };

/* What a method takes. */
typedef struct Parameters {
    int required, count;
    const char *names[MOST_PARAMETERS];
} Parameters;

static const Parameters PLAIN = {1, 1, {"offset"}};
static const Parameters WITH_RETVAL = {2, 2, {"offset", "retval"}};
static const Parameters WITH_VALUE = {2, 2, {"offset", "value"}};
static const Parameters WITH_TARGET = {2, 2, {"offset", "target"}};
static const Parameters WITH_EXCEPTION = {2, 2, {"offset", "exception"}};
static const Parameters WITH_CALLABLE = {2, 3, {"offset", "callable", "arg0"}};
static const Parameters WITH_LINE = {1, 2, {"lineno", "offset"}};

/* Gives a keyword's value to its parameter. -1 with an exception. */
static int assign_keyword(const char *method, const Parameters *parameters, PyObject *keyword, PyObject *value,
                          PyObject **arguments)
{
    int i = 0;
    while (i < parameters->count && PyUnicode_CompareWithASCIIString(keyword, parameters->names[i]) != 0)
        i++;
    if (i == parameters->count) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", method, keyword);
        return -1;
    }
    if (arguments[i] != NULL) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", method, keyword);
        return -1;
    }
    arguments[i] = value;
    return 0;
}

/* Fills `arguments`, which are NULL, from a call with keywords, or with too few or too many arguments. -1 with an
 * exception. */
static int assign_slowly(const char *method, const Parameters *parameters, PyObject *const *given,
                         Py_ssize_t positional, PyObject *keywords, PyObject **arguments)
{
    Py_ssize_t i, keyword_count = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    if (positional > parameters->count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d argument%s (%zd given)", method, parameters->count,
                     parameters->count == 1 ? "" : "s", positional + keyword_count);
        return -1;
    }
    for (i = 0; i < positional; i++)
        arguments[i] = given[i];
    for (i = 0; i < keyword_count; i++) {
        if (assign_keyword(method, parameters, PyTuple_GET_ITEM(keywords, i), given[positional + i], arguments) < 0)
            return -1;
    }
    for (i = 0; i < parameters->required; i++) {
        if (arguments[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s' (pos %zd)", method,
                         parameters->names[i], i + 1);
            return -1;
        }
    }
    return 0;
}

static inline int assign(const char *method, const Parameters *parameters, PyObject *const *given,
                         Py_ssize_t positional, PyObject *keywords, PyObject **arguments)
{
    int i;
    for (i = 0; i < MOST_PARAMETERS; i++)
        arguments[i] = NULL;
    if (keywords != NULL || positional < parameters->required || positional > parameters->count)
        return assign_slowly(method, parameters, given, positional, keywords, arguments);
    for (i = 0; i < parameters->count; i++) {
        if (i < positional)
            arguments[i] = given[i];
    }
    return 0;
}

static bool is_missing(PyObject *object)
{
    const Interpreter *interpreter = interpreter_current();
    return interpreter != NULL && object == interpreter->missing;
}

/* Fires an event that somebody may want. `arguments` are those of the method, NULL where none was given. -1 with an
 * exception. */
static int fire_active(const Scope *self, int event, rmon_state *state, PyObject *const *arguments)
{
    PyObject *object = arguments[1], *arg0 = NULL;
    int offset = 0, line;
    if (event == RMON_EVENT_LINE) {
        if (read_int(arguments[0], &line) < 0 || (arguments[1] != NULL && read_int(arguments[1], &offset) < 0))
            return -1;
        return rmon_python_fire_given(event, state, self->code, offset, NULL, NULL, line);
    }
    if (read_int(arguments[0], &offset) < 0)
        return -1;
    switch (event) {
    case RMON_EVENT_JUMP:
    case RMON_EVENT_BRANCH:
    case RMON_EVENT_BRANCH_LEFT:
    case RMON_EVENT_BRANCH_RIGHT:
        return rmon_python_fire_target(event, state, self->code, offset, object);
    case RMON_EVENT_STOP_ITERATION:
        return rmon_python_fire_active(event, state, self->code, offset, object, NULL, -1);
    case RMON_EVENT_CALL:
    case RMON_EVENT_C_RETURN:
    case RMON_EVENT_C_RAISE:
        if (arguments[2] != NULL && !is_missing(arguments[2]))
            arg0 = arguments[2];
        break;
    case RMON_EVENT_PY_THROW:
    case RMON_EVENT_RAISE:
    case RMON_EVENT_RERAISE:
    case RMON_EVENT_EXCEPTION_HANDLED:
    case RMON_EVENT_PY_UNWIND:
        if (!PyExceptionInstance_Check(object)) {
            PyErr_Format(PyExc_TypeError, "exception must be an instance of BaseException, not %s",
                         Py_TYPE(object)->tp_name);
            return -1;
        }
        break;
    default:
        break;
    }
    return rmon_python_fire_given(event, state, self->code, offset, object, arg0, -1);
}

/* A method's work. */
static inline PyObject *fire(PyObject *object, int event, const char *method, const Parameters *parameters,
                             PyObject *const *given, Py_ssize_t positional, PyObject *keywords)
{
    Scope *self = (Scope *)object;
    PyObject *arguments[MOST_PARAMETERS];
    uint8_t index = self->state_for[event];
    if (assign(method, parameters, given, positional, keywords, arguments) < 0)
        return NULL;
    if (index == NO_STATE) {
        PyErr_Format(PyExc_ValueError, "this scope has no state for %s", rmon_event_name(event));
        return NULL;
    }
    if (RMON_PYTHON_IF_ACTIVE_(&self->states[index])
        && fire_active(self, event, &self->states[index], arguments) < 0)
        return NULL;
    Py_RETURN_NONE;
}

#define FIRING_METHOD(name, event, parameters)                                                                   \
    static PyObject *fire_##name(PyObject *self, PyObject *const *given, Py_ssize_t positional, PyObject *keywords) \
    {                                                                                                            \
        return fire(self, RMON_EVENT_##event, #name, &parameters, given, positional, keywords);                  \
    }

FIRING_METHOD(py_start, PY_START, PLAIN)
FIRING_METHOD(py_resume, PY_RESUME, PLAIN)
FIRING_METHOD(py_return, PY_RETURN, WITH_RETVAL)
FIRING_METHOD(py_yield, PY_YIELD, WITH_RETVAL)
FIRING_METHOD(call, CALL, WITH_CALLABLE)
FIRING_METHOD(line, LINE, WITH_LINE)
FIRING_METHOD(instruction, INSTRUCTION, PLAIN)
FIRING_METHOD(jump, JUMP, WITH_TARGET)
FIRING_METHOD(branch, BRANCH, WITH_TARGET)
FIRING_METHOD(branch_left, BRANCH_LEFT, WITH_TARGET)
FIRING_METHOD(branch_right, BRANCH_RIGHT, WITH_TARGET)
FIRING_METHOD(stop_iteration, STOP_ITERATION, WITH_VALUE)
FIRING_METHOD(raise_, RAISE, WITH_EXCEPTION)
FIRING_METHOD(exception_handled, EXCEPTION_HANDLED, WITH_EXCEPTION)
FIRING_METHOD(py_unwind, PY_UNWIND, WITH_EXCEPTION)
FIRING_METHOD(py_throw, PY_THROW, WITH_EXCEPTION)
FIRING_METHOD(reraise, RERAISE, WITH_EXCEPTION)
FIRING_METHOD(c_return, C_RETURN, WITH_CALLABLE)
FIRING_METHOD(c_raise, C_RAISE, WITH_CALLABLE)

/* ---- Entering and leaving ---- */

static PyObject *scope_enter(PyObject *object, PyObject *unused)
{
    Scope *self = (Scope *)object;
    (void)unused;
    if (rmon_python_enter_scope(self->states, &self->version, self->types, self->length) < 0)
        return NULL;
    Py_INCREF(object);
    return object;
}

static PyObject *scope_exit(PyObject *self, PyObject *const *given, Py_ssize_t positional)
{
    (void)self;
    (void)given;
    (void)positional;
    if (rmon_python_exit_scope() < 0)
        return NULL;
    Py_RETURN_FALSE;
}

/* ---- Making and ending ---- */

/* rmon's event of one of Python's, which is given as a value of rmon.monitoring.events. -1 with an exception. */
static int read_event(PyObject *argument)
{
    PyObject *number = PyNumber_Index(argument);
    int overflow, event = -1, index;
    long value;
    if (number == NULL)
        return -1;
    value = PyLong_AsLongAndOverflow(number, &overflow);
    for (index = 0; index < 31 && !overflow; index++) {
        if (value == 1L << index)
            event = event_from_python(index);
    }
    if (event < 0)
        PyErr_Format(PyExc_ValueError, "invalid event %S", number);
    Py_DECREF(number);
    return event;
}

/* Adds a state. -1 with an exception. */
static int add_event(Scope *self, int event)
{
    if (self->state_for[event] != NO_STATE) {
        PyErr_Format(PyExc_ValueError, "event %s is given twice", rmon_event_name(event));
        return -1;
    }
    self->state_for[event] = self->length;
    self->types[self->length++] = (uint8_t)event;
    return 0;
}

/* Lets each kind of branch use what state there is for it. */
static void share_branches(uint8_t *state_for)
{
    uint8_t any = state_for[RMON_EVENT_BRANCH], right = state_for[RMON_EVENT_BRANCH_RIGHT];
    if (state_for[RMON_EVENT_BRANCH_LEFT] == NO_STATE)
        state_for[RMON_EVENT_BRANCH_LEFT] = any;
    if (right == NO_STATE)
        state_for[RMON_EVENT_BRANCH_RIGHT] = any;
    if (any == NO_STATE)
        state_for[RMON_EVENT_BRANCH] = right;
}

/* A new tuple of the states' events in Python's numbers; NULL with an exception. */
static PyObject *events_of(const Scope *self)
{
    PyObject *tuple = PyTuple_New(self->length);
    int i;
    for (i = 0; i < self->length && tuple != NULL; i++) {
        PyObject *number = PyLong_FromUnsignedLong(1ul << event_to_python(self->types[i]));
        if (number != NULL)
            PyTuple_SET_ITEM(tuple, i, number);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* Reads the constructor's arguments into `self`, all of whose bytes are zero. -1 with an exception. */
static int read_arguments(Scope *self, PyObject *args)
{
    Py_ssize_t i;
    int event;
    memset(self->state_for, NO_STATE, sizeof self->state_for);
    for (i = 1; i < PyTuple_GET_SIZE(args); i++) {
        event = read_event(PyTuple_GET_ITEM(args, i));
        if (event < 0 || add_event(self, event) < 0)
            return -1;
    }
    for (event = 0; event < EVENTS && PyTuple_GET_SIZE(args) == 1; event++)
        (void)add_event(self, event);
    share_branches(self->state_for);
    self->code = PyTuple_GET_ITEM(args, 0);
    self->events = events_of(self);
    return self->events != NULL ? 0 : -1;
}

static PyObject *scope_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Scope read, *self;
    memset(&read, 0, sizeof read);
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Scope() takes no keyword arguments");
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) < 1) {
        PyErr_SetString(PyExc_TypeError, "Scope() missing required argument 'code' (pos 1)");
        return NULL;
    }
    if (codelike_is_stand_in(PyTuple_GET_ITEM(args, 0))) {
        PyErr_SetString(PyExc_TypeError, "the code of an emitter without Python cannot have a Scope");
        return NULL;
    }
    if (read_arguments(&read, args) < 0)
        return NULL;
    self = (Scope *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(read.events);
        return NULL;
    }
    self->events = read.events;
    self->code = read.code;
    Py_INCREF(self->code);
    memcpy(self->types, read.types, sizeof self->types);
    memcpy(self->state_for, read.state_for, sizeof self->state_for);
    self->length = read.length;
    return (PyObject *)self;
}

static int scope_traverse(PyObject *object, visitproc visit, void *arg)
{
    Scope *self = (Scope *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->code);
    Py_VISIT(self->events);
    return 0;
}

static void scope_dealloc(PyObject *object)
{
    Scope *self = (Scope *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_TRASHCAN_BEGIN(self, scope_dealloc) /* the code can be a scope, whose code is a scope ... */
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->code);
    Py_XDECREF(self->events);
    type->tp_free(object);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

/* ---- The type ---- */

#define METHOD(name, signature, text)                                                                           \
    {#name, (PyCFunction)(void (*)(void))fire_##name, METH_FASTCALL | METH_KEYWORDS,                            \
     PyDoc_STR(#name "($self, /, " signature ")\n--\n\n" text)}
/* `arg0` has a default that no signature can tell. */
#define CALL_METHOD(name, text)                                                      \
    {#name, (PyCFunction)(void (*)(void))fire_##name, METH_FASTCALL | METH_KEYWORDS, \
     PyDoc_STR(#name "(offset, callable, arg0=MISSING)\n\n" text)}

static PyMethodDef methods[] = {
    METHOD(py_start, "offset", "The code starts."),
    METHOD(py_resume, "offset", "The code, a generator's or coroutine's, goes on."),
    METHOD(py_return, "offset, retval", "The code returns a value."),
    METHOD(py_yield, "offset, retval", "The code yields a value."),
    CALL_METHOD(call, "Something is about to be called."),
    METHOD(line, "lineno, offset=0", "A line is about to run."),
    METHOD(instruction, "offset", "An instruction is about to run."),
    METHOD(jump, "offset, target", "A jump to an offset."),
    METHOD(branch, "offset, target", "A branch to an offset, either way."),
    METHOD(branch_left, "offset, target", "A branch to an offset on the left."),
    METHOD(branch_right, "offset, target", "A branch to an offset on the right."),
    CALL_METHOD(c_return, "What was called has returned. Who wants CALL gets it."),
    CALL_METHOD(c_raise, "What was called has raised an exception. Who wants CALL gets it."),
    METHOD(stop_iteration, "offset, value", "An iteration ends with a value, and no exception is raised."),
    METHOD(py_throw, "offset, exception", "The code goes on by an exception that is thrown in."),
    METHOD(raise_, "offset, exception", "An exception is raised."),
    METHOD(reraise, "offset, exception", "An exception is raised again."),
    METHOD(exception_handled, "offset, exception", "An exception is caught."),
    METHOD(py_unwind, "offset, exception", "The code is left by an exception."),
    {"__enter__", scope_enter, METH_NOARGS,
     PyDoc_STR("__enter__($self, /)\n--\n\nFinds out who wants the events now, and returns the scope.")},
    {"__exit__", (PyCFunction)(void (*)(void))scope_exit, METH_FASTCALL,
     PyDoc_STR("__exit__($self, /, *args)\n--\n\nDoes nothing.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"code", T_OBJECT, offsetof(Scope, code), READONLY, PyDoc_STR("the code")},
    {"events", T_OBJECT, offsetof(Scope, events), READONLY, PyDoc_STR("the events, a tuple")},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Scope, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(documentation,
             "Scope(code, *events)\n"
             "--\n"
             "\n"
             "An emitter: fires events of a code, which can be any object and counts by identity. A tool gets them as\n"
             "it gets those of Python code.\n"
             "\n"
             "events: of rmon.monitoring.events, those that the scope can fire; without any, all of them.\n"
             "\n"
             "    scope = Scope(code, events.PY_START, events.LINE)\n"
             "    with scope:\n"
             "        scope.py_start(0)\n"
             "        scope.line(12)\n"
             "\n"
             "Each `with` finds out anew who wants the events, at next to no cost if nothing has changed; before the\n"
             "first one nothing is fired. A scope can be used again, nested, and by several threads. It stays as it\n"
             "is after the `with`.\n"
             "\n"
             "The methods return None, and raise what a tool's callback raises. While nobody wants the event of a\n"
             "method, only the number of its arguments is checked. Otherwise: offsets and lines are C ints; offsets\n"
             "are 0 or above; a jump's or branch's target can be any object, but tools expect an offset; an exception\n"
             "is an instance of BaseException. The branches can use each other's states: branch_left and branch_right\n"
             "that of BRANCH, and branch that of BRANCH_RIGHT.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)documentation},
    {Py_tp_new, scope_new},
    {Py_tp_traverse, scope_traverse},
    {Py_tp_dealloc, scope_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {"rmon.Scope", sizeof(Scope), 0, TYPE_FLAGS | Py_TPFLAGS_BASETYPE, slots};

int scope_add(PyObject *module)
{
    return add_new_type(module, "Scope", &spec);
}
