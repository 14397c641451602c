/* The functions of rmon.monitoring, and of sys.monitoring while rmon is installed.
 *
 * Each checks what it is given, passes it on to the interpreter's own function if there is one, keeps it for this
 * interpreter, and tells librmon. Where the interpreter has the function, its checks and texts hold; elsewhere they are
 * CPython 3.14's.
 */
#include "module.h"

#define DIRECTIONS (BIT(RMON_EVENT_BRANCH_LEFT) | BIT(RMON_EVENT_BRANCH_RIGHT))

/* The events that may be set for single codes. */
#if PY_VERSION_HEX >= 0x030F0000
#define SETTABLE_FOR_CODES (RMON_ALL_EVENTS & ~RMON_ANCILLARY_EVENTS)
#else
#define SETTABLE_FOR_CODES RMON_LOCAL_EVENTS
#endif

/* ---- Arguments ---- */

static int take_count(Function function, Py_ssize_t count, Py_ssize_t wanted)
{
    if (count == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s expected %zd arguments, got %zd", function_names[function], wanted, count);
    return -1;
}

static int check_tool(int tool)
{
    if (tool >= 0 && tool < TOOLS)
        return 0;
    PyErr_Format(PyExc_ValueError, "invalid tool %d (must be between 0 and %d)", tool, TOOLS - 1);
    return -1;
}

/* The rule for C_RETURN and C_RAISE. */
static int check_ends(int events)
{
    int ends = (int)event_set_to_python(RMON_ANCILLARY_EVENTS);
    int all = (int)event_set_to_python(RMON_ANCILLARY_EVENTS | BIT(RMON_EVENT_CALL));
    if ((events & ends) == 0 || (events & all) == all)
        return 0;
    PyErr_SetString(PyExc_ValueError, "cannot set C_RETURN or C_RAISE events independently");
    return -1;
}

static int check_use(const Interpreter *self, int tool)
{
    if (self->tools[tool].name != NULL)
        return 0;
    PyErr_Format(PyExc_ValueError, "tool %d is not in use", tool);
    return -1;
}

/* Whether read_int runs no code of others. */
static bool is_plain(PyObject *number)
{
    return PyLong_Check(number);
}

/* read_int, by a function that has not begun yet. */
static int read_number(PyObject *object, int *number)
{
    int status;
    if (is_plain(object))
        return read_int(object, number);
    OTHERS_CODE();
    status = read_int(object, number);
    OTHERS_CODE_END();
    return status;
}

/* ---- The interpreter's own functions ---- */

/* Whether the interpreter has this function. */
static bool has_native(const Interpreter *self, Function function)
{
    return self->native[function] != NULL;
}

#ifdef Py_GIL_DISABLED
/* Whether passing on runs what others have written, and not only the interpreter. (Then two threads that register for
 * the same event may be heard in one order there, and in the other here.) */
static bool are_others(Function function, PyObject *callable, PyObject *const *arguments, Py_ssize_t count)
{
    if (!PyCFunction_CheckExact(callable) || (count > 0 && !is_plain(arguments[0])))
        return true;
    return function == REGISTER_CALLBACK && (!is_plain(arguments[1]) || interpreter_is_audited());
}
#else
static bool are_others(Function function, PyObject *callable, PyObject *const *arguments, Py_ssize_t count)
{
    (void)function;
    (void)callable;
    (void)arguments;
    (void)count;
    return false;
}
#endif

/* Calls the interpreter's own function, or, for sys.monitoring's, what stood in its place before rmon was installed. */
static PyObject *pass_on(const Interpreter *self, bool by_sys, Function function, PyObject *const *arguments,
                         Py_ssize_t count)
{
    PyObject *callable = self->native[function], *result;
    if (by_sys && self->below[function] != NULL)
        callable = self->below[function];
    Py_INCREF(callable);
    if (are_others(function, callable, arguments, count)) {
        OTHERS_CODE();
        result = PyObject_Vectorcall(callable, arguments, (size_t)count, NULL);
        OTHERS_CODE_END();
    } else {
        result = PyObject_Vectorcall(callable, arguments, (size_t)count, NULL);
    }
    Py_DECREF(callable);
    return result;
}

/* The same with a tool, and with `count` 2 another number. */
static PyObject *pass_on_numbers(const Interpreter *self, bool by_sys, Function function, Py_ssize_t count, int tool,
                                 int number)
{
    PyObject *arguments[2] = {PyLong_FromLong(tool), PyLong_FromLong(number)}, *result = NULL;
    if (arguments[0] != NULL && arguments[1] != NULL)
        result = pass_on(self, by_sys, function, arguments, count);
    Py_XDECREF(arguments[0]);
    Py_XDECREF(arguments[1]);
    return result;
}

static PyObject *pass_on_tool(const Interpreter *self, bool by_sys, Function function, int tool)
{
    return pass_on_numbers(self, by_sys, function, 1, tool, 0);
}

/* ---- What is kept ---- */

/* A tool's name for librmon, which takes nothing but UTF-8. A new reference or NULL with an exception. */
static PyObject *make_label(PyObject *name)
{
    return PyUnicode_AsEncodedString(name, "utf-8", "backslashreplace");
}

static void forget_settings(Interpreter *self, int tool);
static void forget_name(Interpreter *self, int tool);

int tools_adopt_name(Interpreter *self, int tool)
{
    Tool *entry = &self->tools[tool];
    PyObject *name, *label;
    if (!has_native(self, GET_TOOL) || interpreter_is_foreign(tool))
        return 0;
    name = pass_on_tool(self, false, GET_TOOL, tool);
    if (name == NULL)
        return -1;
    if (entry->name != NULL) {
        if (PyUnicode_Check(name) && PyUnicode_Compare(name, entry->name) == 0) {
            Py_DECREF(name);
            return 0;
        }
        forget_settings(self, tool);
        forget_name(self, tool);
    }
    if (!PyUnicode_Check(name)) {
        Py_DECREF(name);
        return 0;
    }
    label = make_label(name);
    if (label == NULL) {
        Py_DECREF(name);
        return -1;
    }
    entry->name = name;
    Py_XSETREF(entry->label, label);
    return 0;
}

/* Tells librmon of a tool, whose name is known by now. -1 with an exception. */
static int tell(Interpreter *self, int tool)
{
    int status = interpreter_tell(self, tool);
    interpreter_release_garbage(self);
    if (status == RMON_OK)
        return 0;
    if (status == RMON_ERR_TOOL_IN_USE)
        PyErr_Format(PyExc_ValueError, "tool %d is already in use", tool);
    else
        rmon_python_set_error(status, 0);
    return -1;
}

/* Puts a callable, or None, into a place. What was there before is released later. */
static void keep_callable(Interpreter *self, int tool, int event, PyObject *callable, bool by_sys, bool as_branch)
{
    Tool *entry = &self->tools[tool];
    entry->by_sys = by_sys ? entry->by_sys | BIT(event) : entry->by_sys & ~BIT(event);
    entry->as_branch = as_branch ? entry->as_branch | BIT(event) : entry->as_branch & ~BIT(event);
    interpreter_release_later(
        self, interpreter_put_callable(self, tool, event, callable == Py_None ? NULL : callable));
}

void tools_keep_registered(Interpreter *self, int tool, int event, PyObject *callable, bool by_sys)
{
    if (event != RMON_EVENT_BRANCH || BRANCH_IS_APART) {
        keep_callable(self, tool, event, callable, by_sys, false);
    } else {
        bool is_some = callable != Py_None;
        keep_callable(self, tool, RMON_EVENT_BRANCH_LEFT, callable, by_sys, is_some);
        keep_callable(self, tool, RMON_EVENT_BRANCH_RIGHT, callable, by_sys, is_some);
    }
}

/* Forgets all that a tool has set, but not its name. */
static void forget_settings(Interpreter *self, int tool)
{
    Tool *entry = &self->tools[tool];
    int event;
    for (event = 0; event < EVENTS; event++)
        keep_callable(self, tool, event, Py_None, false, false);
    entry->events = 0;
    entry->events_by_sys = false;
    callback_forget_calls(self);
    codes_clear_tool(self, tool);
    (void)interpreter_tell(self, tool);
    if (entry->name != NULL && !self->ended && !interpreter_clear(tool))
        codes_enable(self); /* librmon cannot tell whose the disabled locations are: rather too many events */
}

static void forget_name(Interpreter *self, int tool)
{
    Tool *entry = &self->tools[tool];
    PyObject *name = entry->name;
    entry->name = NULL;
    interpreter_release_later(self, name);
    Py_CLEAR(entry->label);
    (void)interpreter_tell(self, tool);
}

EventSet tools_kept(EventSet events)
{
    events &= ~(EventSet)RMON_ANCILLARY_EVENTS;
    if (!BRANCH_IS_APART && (events & BIT(RMON_EVENT_BRANCH)))
        events = (events & ~BIT(RMON_EVENT_BRANCH)) | DIRECTIONS;
    return events;
}

/* ---- The functions ---- */

/* Every function gets the interpreter and the way by which it is called; see DEFINE below. */

static PyObject *use_tool_id(Interpreter *self, bool by_sys, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *label, *result = NULL;
    int tool;
    if (take_count(USE_TOOL_ID, count, 2) < 0 || read_number(arguments[0], &tool) < 0 || check_tool(tool) < 0)
        return NULL;
    if (!PyUnicode_Check(arguments[1])) {
        PyErr_SetString(PyExc_ValueError, "tool name must be a str");
        return NULL;
    }
    if (interpreter_is_foreign(tool) || (!has_native(self, USE_TOOL_ID) && self->tools[tool].name != NULL)) {
        PyErr_Format(PyExc_ValueError, "tool %d is already in use", tool);
        return NULL;
    }
    label = make_label(arguments[1]);
    if (label == NULL)
        return NULL;
    if (has_native(self, USE_TOOL_ID)) {
        result = pass_on(self, by_sys, USE_TOOL_ID, arguments, count);
        if (result == NULL) {
            Py_DECREF(label);
            return NULL;
        }
        Py_DECREF(result);
        if (self->tools[tool].name != NULL) { /* it was given back without our knowledge */
            forget_settings(self, tool);
            forget_name(self, tool);
        }
    }
    Py_INCREF(arguments[1]);
    Py_XSETREF(self->tools[tool].name, arguments[1]);
    Py_XSETREF(self->tools[tool].label, label);
    if (tell(self, tool) < 0) {
        forget_name(self, tool);
        if (has_native(self, FREE_TOOL_ID)) {
            PyObject *raised = rmon_python_take_raised();
            Py_XDECREF(pass_on_tool(self, by_sys, FREE_TOOL_ID, tool));
            PyErr_Clear();
            rmon_python_put_raised(raised);
        }
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Does with the interpreter's other functions what its clear_tool_id does where it has one. -1 with an exception. */
static int clear_native(Interpreter *self, bool by_sys, int tool)
{
    const Tool *entry = &self->tools[tool];
    bool is_known = entry->name != NULL; /* otherwise it may have any callbacks */
    PyObject *codes, *result;
    Py_ssize_t i;
    int event;
    if (tools_adopt_name(self, tool) < 0)
        return -1;
    if (entry->name == NULL)
        return 0;
    result = pass_on_numbers(self, by_sys, SET_EVENTS, 2, tool, 0);
    Py_XDECREF(result);
    codes = result != NULL ? codes_of_tool(self, tool) : NULL;
    if (codes == NULL)
        return -1;
    for (i = 0; i < PyList_GET_SIZE(codes); i++) {
        PyObject *code = PyList_GET_ITEM(codes, i);
        result = PyCode_Check(code)
            ? PyObject_CallFunction(self->native[SET_LOCAL_EVENTS], "iOi", tool, code, 0) : NULL;
        PyErr_Clear(); /* a code that cannot be instrumented has none */
        Py_XDECREF(result);
    }
    interpreter_release_later(self, codes);
    for (event = 0; event < EVENTS; event++) {
        if ((is_known && !(entry->registered & BIT(event))) || !(events_native() & 1u << event_to_python(event)))
            continue;
        result = interpreter_register_native(self, tool, event, Py_None);
        if (result == NULL)
            return -1;
        interpreter_release_later(self, result);
    }
    return 0;
}

static PyObject *clear_or_free(Interpreter *self, bool by_sys, Function function, PyObject *argument)
{
    bool is_native = has_native(self, function), clears = function == CLEAR_TOOL_ID || !BRANCH_IS_APART;
    int tool;
    if (read_number(argument, &tool) < 0 || check_tool(tool) < 0)
        return NULL;
    if (HAS_NATIVE && !(is_native && clears) && clear_native(self, by_sys, tool) < 0)
        return NULL;
    if (is_native) {
        PyObject *result = pass_on_tool(self, by_sys, function, tool);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    if (self->tools[tool].name != NULL) { /* who is not in use keeps what is registered */
        forget_settings(self, tool);
        if (function == FREE_TOOL_ID)
            forget_name(self, tool);
    }
    interpreter_release_garbage(self);
    Py_RETURN_NONE;
}

static PyObject *clear_tool_id(Interpreter *self, bool by_sys, PyObject *argument)
{
    return clear_or_free(self, by_sys, CLEAR_TOOL_ID, argument);
}

static PyObject *free_tool_id(Interpreter *self, bool by_sys, PyObject *argument)
{
    return clear_or_free(self, by_sys, FREE_TOOL_ID, argument);
}

static PyObject *get_tool(Interpreter *self, bool by_sys, PyObject *argument)
{
    PyObject *name = Py_None;
    int tool, length;
    if (read_number(argument, &tool) < 0 || check_tool(tool) < 0)
        return NULL;
    if (interpreter_is_foreign(tool) && (length = rmon_get_tool(tool, NULL, 0)) > 0) {
        char *text = PyMem_Malloc((size_t)length + 1);
        if (text == NULL)
            return PyErr_NoMemory();
        (void)rmon_get_tool(tool, text, (size_t)length + 1);
        name = PyUnicode_FromString(text);
        PyMem_Free(text);
        return name;
    }
    if (has_native(self, GET_TOOL))
        return pass_on_tool(self, by_sys, GET_TOOL, tool);
    if (self->tools[tool].name != NULL)
        name = self->tools[tool].name;
    Py_INCREF(name);
    return name;
}

PyObject *tools_registered(const Interpreter *self, int tool, int event)
{
    PyObject *callable;
    if (event == RMON_EVENT_BRANCH && !BRANCH_IS_APART)
        event = RMON_EVENT_BRANCH_LEFT;
    callable = self->tools[tool].callables[event];
    if (callable == NULL)
        callable = Py_None;
    Py_INCREF(callable);
    return callable;
}

static PyObject *register_callback(Interpreter *self, bool by_sys, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *old;
    int tool, number, event, status, index = 0;
    if (take_count(REGISTER_CALLBACK, count, 3) < 0 || read_number(arguments[0], &tool) < 0
        || read_number(arguments[1], &number) < 0)
        return NULL;
    while (index < 31 && !((unsigned int)number >> index & 1))
        index++;
    event = event_from_python(index);
    if (has_native(self, REGISTER_CALLBACK)
        && (by_sys || event < 0 || (unsigned int)number != 1u << index || (events_native() & (unsigned int)number))) {
        old = pass_on(self, by_sys, REGISTER_CALLBACK, arguments, count);
        if (old == NULL)
            return NULL;
    } else {
        if (check_tool(tool) < 0)
            return NULL;
        if (number == 0 || (unsigned int)number != 1u << index) {
            PyErr_SetString(PyExc_ValueError, "The callback can only be set for one event at a time");
            return NULL;
        }
        if (event < 0) {
            PyErr_Format(PyExc_ValueError, "invalid event %d", number);
            return NULL;
        }
        OTHERS_CODE();
        status = PySys_Audit("sys.monitoring.register_callback", "O", arguments[2]);
        OTHERS_CODE_END();
        if (status < 0)
            return NULL;
        old = tools_registered(self, tool, event);
    }
    if (event >= 0 && check_tool(tool) == 0 && tools_adopt_name(self, tool) == 0)
        tools_keep_registered(self, tool, event, arguments[2], by_sys);
    if (PyErr_Occurred() || tell(self, tool) < 0)
        Py_CLEAR(old);
    return old;
}

static PyObject *get_events(Interpreter *self, bool by_sys, PyObject *argument)
{
    unsigned int own;
    long native = 0;
    int tool;
    if (read_number(argument, &tool) < 0 || check_tool(tool) < 0)
        return NULL;
    own = event_set_to_python(self->tools[tool].events);
    if (has_native(self, GET_EVENTS)) {
        PyObject *result = pass_on_tool(self, by_sys, GET_EVENTS, tool);
        if (result == NULL || by_sys)
            return result;
        native = PyLong_AsLong(result);
        Py_DECREF(result);
        if (native == -1 && PyErr_Occurred())
            return NULL;
        own &= ~events_native();
    }
    return PyLong_FromLong(native | (long)own);
}

/* Whether all bits are events. */
static bool are_events(int events)
{
    EventSet set;
    return event_set_from_python((unsigned int)events, &set);
}

static PyObject *set_events(Interpreter *self, bool by_sys, PyObject *const *arguments, Py_ssize_t count)
{
    EventSet set = 0;
    int tool, events;
    if (take_count(SET_EVENTS, count, 2) < 0 || read_number(arguments[0], &tool) < 0
        || read_number(arguments[1], &events) < 0)
        return NULL;
    if (has_native(self, SET_EVENTS)) {
        int passed = by_sys || !are_events(events) ? events : events & (int)events_native();
        PyObject *result;
        if (check_tool(tool) < 0 || (passed != events && check_ends(events) < 0))
            return NULL;
        result = pass_on_numbers(self, by_sys, SET_EVENTS, 2, tool, passed);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    } else {
        if (check_tool(tool) < 0)
            return NULL;
        if (!are_events(events)) {
            PyErr_Format(PyExc_ValueError, "invalid event set 0x%x", events);
            return NULL;
        }
        if (check_ends(events) < 0 || check_use(self, tool) < 0)
            return NULL;
    }
    if (tools_adopt_name(self, tool) < 0)
        return NULL;
    (void)event_set_from_python((unsigned int)events, &set);
    self->tools[tool].events = tools_kept(set);
    self->tools[tool].events_by_sys = by_sys;
    if (tell(self, tool) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Whether local events on this code concern the interpreter's function: code objects, and, for its own sys.monitoring,
 * whatever comes, which is then its to refuse. */
static bool is_native_code(const Interpreter *self, bool by_sys, Function function, PyObject *code)
{
    return has_native(self, function) && (PyCode_Check(code) || (by_sys && self->installed == 0));
}

static PyObject *get_local_events(Interpreter *self, bool by_sys, PyObject *const *arguments, Py_ssize_t count)
{
    long native = 0;
    unsigned int own;
    int tool;
    if (take_count(GET_LOCAL_EVENTS, count, 2) < 0 || read_number(arguments[0], &tool) < 0)
        return NULL;
    if (is_native_code(self, by_sys, GET_LOCAL_EVENTS, arguments[1])) {
        PyObject *result = pass_on(self, by_sys, GET_LOCAL_EVENTS, arguments, count);
        if (result == NULL)
            return NULL;
        native = PyLong_AsLong(result);
        Py_DECREF(result);
        if (native == -1 && PyErr_Occurred())
            return NULL;
    }
    if (check_tool(tool) < 0)
        return NULL;
    own = event_set_to_python(codes_local(self, tool, codelike_address(arguments[1])));
    if (native != 0) /* the interpreter has not refused this code */
        own &= ~events_native();
    return PyLong_FromLong(native | (long)own);
}

/* Passes local events on to the interpreter. 0 if they are set, 1 if it cannot instrument this code, else -1 with an
 * exception. */
static int pass_on_local_events(Interpreter *self, bool by_sys, PyObject *const *arguments, int events)
{
    PyObject *passed[3] = {arguments[0], arguments[1], PyLong_FromLong(events)}, *result = NULL;
    if (passed[2] != NULL)
        result = pass_on(self, by_sys, SET_LOCAL_EVENTS, passed, 3);
    Py_XDECREF(passed[2]);
    Py_XDECREF(result);
    if (result != NULL)
        return 0;
    if (!PyCode_Check(arguments[1]) || !PyErr_ExceptionMatches(PyExc_SystemError))
        return -1;
    PyErr_Clear();
    return 1;
}

/* CPython's checks of local events, after those of the code and the tool; the sets in its message are what is left of
 * the given one by then. */
static int check_local_events(int events)
{
    EventSet set = 0;
    if (check_ends(events) < 0)
        return -1;
    events &= ~(int)event_set_to_python(RMON_ANCILLARY_EVENTS);
    if (!BRANCH_IS_APART && (events & (int)event_set_to_python(BIT(RMON_EVENT_BRANCH)))) {
        events &= ~(int)event_set_to_python(BIT(RMON_EVENT_BRANCH));
        events |= (int)event_set_to_python(DIRECTIONS);
    }
    if (event_set_from_python((unsigned int)events, &set) && (set & ~SETTABLE_FOR_CODES) == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "invalid local event set 0x%x", events);
    return -1;
}

static PyObject *set_local_events(Interpreter *self, bool by_sys, PyObject *const *arguments, Py_ssize_t count)
{
    EventSet set = 0;
    int tool, events, is_refused = 1;
    if (take_count(SET_LOCAL_EVENTS, count, 3) < 0 || read_number(arguments[0], &tool) < 0
        || read_number(arguments[2], &events) < 0)
        return NULL;
    if (is_native_code(self, by_sys, SET_LOCAL_EVENTS, arguments[1])) {
        int passed = by_sys || !are_events(events) ? events : events & (int)events_native();
        if (passed != events && (check_tool(tool) < 0 || check_ends(events) < 0))
            return NULL;
        is_refused = pass_on_local_events(self, by_sys, arguments, passed);
        if (is_refused < 0)
            return NULL;
    }
    if (is_refused && (check_tool(tool) < 0 || check_local_events(events) < 0))
        return NULL;
    if (tools_adopt_name(self, tool) < 0 || (is_refused && check_use(self, tool) < 0))
        return NULL;
    (void)event_set_from_python((unsigned int)events, &set);
    set = interpreter_reaches(self, tool, by_sys) ? tools_kept(set) : 0;
    if (tell(self, tool) < 0)
        return NULL;
    if (codes_set_local(self, tool, arguments[1], codelike_address(arguments[1]), set) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *restart_events(Interpreter *self, bool by_sys, PyObject *argument)
{
    (void)argument;
    if (has_native(self, RESTART_EVENTS)) {
        PyObject *result = pass_on(self, by_sys, RESTART_EVENTS, NULL, 0);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    (void)rmon_restart_events();
    Py_RETURN_NONE;
}

/* The tools that have an event on, by our own account. */
static long own_tools(const Interpreter *self, int event)
{
    long tools = 0;
    int tool;
    for (tool = 0; tool < TOOLS; tool++) {
        if (self->tools[tool].events & BIT(event))
            tools |= 1L << tool;
    }
    return tools;
}

static PyObject *all_events(Interpreter *self, bool by_sys, PyObject *argument)
{
    PyObject *result = has_native(self, ALL_EVENTS) ? pass_on(self, by_sys, ALL_EVENTS, NULL, 0) : PyDict_New();
    int event;
    (void)argument;
    for (event = 0; result != NULL && !by_sys && event < EVENTS; event++) {
        long tools = own_tools(self, event);
        PyObject *value;
        if (tools == 0 || (events_native() & 1u << event_to_python(event)))
            continue;
        value = PyLong_FromLong(tools);
        if (value == NULL || PyDict_SetItemString(result, rmon_event_name(event), value) < 0)
            Py_CLEAR(result);
        Py_XDECREF(value);
    }
    return result;
}

/* ---- The builtin functions ---- */

/* A function's self is a module: ours, or sys.monitoring. */
static inline bool is_by_sys(PyObject *module)
{
    return PyModule_GetDef(module) != &module_definition;
}

static Interpreter *begin(void)
{
    Interpreter *self = interpreter_current();
    if (self == NULL || self->codes == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "rmon has ended in this interpreter");
        return NULL;
    }
    return self;
}

#define DEFINE_FAST(name)                                                                              \
    static PyObject *builtin_##name(PyObject *module, PyObject *const *arguments, Py_ssize_t count)    \
    {                                                                                                  \
        Interpreter *self = begin();                                                                   \
        PyObject *result = NULL;                                                                       \
        if (self != NULL) {                                                                            \
            SERIALISED();                                                                              \
            result = name(self, is_by_sys(module), arguments, count);                                  \
            SERIALISED_END();                                                                          \
        }                                                                                              \
        return result;                                                                                 \
    }

#define DEFINE_ONE(name)                                                                               \
    static PyObject *builtin_##name(PyObject *module, PyObject *argument)                              \
    {                                                                                                  \
        Interpreter *self = begin();                                                                   \
        PyObject *result = NULL;                                                                       \
        if (self != NULL) {                                                                            \
            SERIALISED();                                                                              \
            result = name(self, is_by_sys(module), argument);                                          \
            SERIALISED_END();                                                                          \
        }                                                                                              \
        return result;                                                                                 \
    }

DEFINE_FAST(use_tool_id)
DEFINE_ONE(clear_tool_id)
DEFINE_ONE(free_tool_id)
DEFINE_ONE(get_tool)
DEFINE_FAST(register_callback)
DEFINE_ONE(get_events)
DEFINE_FAST(set_events)
DEFINE_FAST(get_local_events)
DEFINE_FAST(set_local_events)
DEFINE_ONE(restart_events)
DEFINE_ONE(all_events)

#define FAST(name) (PyCFunction)(void (*)(void))builtin_##name, METH_FASTCALL

static PyMethodDef methods[FUNCTIONS] = {
    {"use_tool_id", FAST(use_tool_id),
     "use_tool_id($module, tool_id, name, /)\n--\n\n"
     "Take a tool id, 0 to 5, for the tool of this name. ValueError if it is in use."},
    {"clear_tool_id", builtin_clear_tool_id, METH_O,
     "clear_tool_id($module, tool_id, /)\n--\n\n"
     "Remove all that the tool has set: callbacks, events, local events, disabled locations."},
    {"free_tool_id", builtin_free_tool_id, METH_O,
     "free_tool_id($module, tool_id, /)\n--\n\nClear the tool and give its id back."},
    {"get_tool", builtin_get_tool, METH_O,
     "get_tool($module, tool_id, /)\n--\n\nThe name of the tool that has this id, or None."},
    {"register_callback", FAST(register_callback),
     "register_callback($module, tool_id, event, func, /)\n--\n\n"
     "Set the tool's callback for one event; None removes it. Returns the one before, or None."},
    {"get_events", builtin_get_events, METH_O,
     "get_events($module, tool_id, /)\n--\n\nThe tool's global events."},
    {"set_events", FAST(set_events),
     "set_events($module, tool_id, event_set, /)\n--\n\nSet the tool's global events."},
    {"get_local_events", FAST(get_local_events),
     "get_local_events($module, tool_id, code, /)\n--\n\nThe tool's local events on a code."},
    {"set_local_events", FAST(set_local_events),
     "set_local_events($module, tool_id, code, event_set, /)\n--\n\nSet the tool's local events on a code."},
    {"restart_events", builtin_restart_events, METH_NOARGS,
     "restart_events($module, /)\n--\n\nEnable all locations again that callbacks have disabled, for all tools."},
    {"_all_events", builtin_all_events, METH_NOARGS,
     "_all_events($module, /)\n--\n\nWhich tools have which events on, as a dict of names and bit masks."},
};

PyObject *tools_function(Function function, PyObject *module, PyObject *module_name)
{
    return PyCFunction_NewEx(&methods[function], module, module_name);
}
