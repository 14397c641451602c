/* install(), uninstall(): tools that use sys.monitoring itself see look-alikes, too.
 *
 * Where the interpreter has sys.monitoring, its functions are replaced in place, so that whoever holds the namespace
 * has the new ones, and what tools have set by then is read. Elsewhere a sys.monitoring is provided. Others may replace
 * the same functions before and after us: what we find is what our functions pass on to, and what we no longer find in its
 * place is left alone, since somebody's function on top still leads to ours.
 */
#include "module.h"

static PyObject *monitoring_name(void)
{
    return PyUnicode_InternFromString("sys.monitoring");
}

/* Makes the functions that stand in sys.monitoring, which is `module`. */
static int make_wrappers(Interpreter *self, PyObject *module)
{
    PyObject *name = monitoring_name();
    int i, status = name != NULL ? 0 : -1;
    for (i = 0; i < FUNCTIONS && status == 0; i++) {
        if (self->wrappers[i] == NULL)
            self->wrappers[i] = tools_function((Function)i, module, name);
        if (self->wrappers[i] == NULL)
            status = -1;
    }
    Py_XDECREF(name);
    return status;
}

#if HAS_NATIVE

/* Puts our functions into their places. */
static int put_wrappers(Interpreter *self)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    int i;
    if (monitoring == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "somebody has removed sys.monitoring");
        return -1;
    }
    if (make_wrappers(self, monitoring) < 0)
        return -1;
    for (i = 0; i < FUNCTIONS; i++) {
        PyObject *found;
        if (self->native[i] == NULL)
            continue;
        found = PyObject_GetAttrString(monitoring, function_names[i]);
        if (found == NULL) { /* somebody has taken it away, who must know why */
            if (!PyErr_ExceptionMatches(PyExc_AttributeError))
                return -1;
            PyErr_Clear();
            continue;
        }
        /* If ours is not there, but was never taken away, somebody else's on top of it leads to it. */
        if (found == self->wrappers[i] || (self->below[i] != NULL && found != self->below[i])) {
            Py_DECREF(found);
            continue;
        }
        Py_XSETREF(self->below[i], found);
        if (PyObject_SetAttrString(monitoring, function_names[i], self->wrappers[i]) < 0)
            return -1;
    }
    return 0;
}

/* Takes our functions away, where they still are. */
static int take_wrappers_away(Interpreter *self)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    int i;
    for (i = 0; monitoring != NULL && i < FUNCTIONS; i++) {
        PyObject *found;
        if (self->below[i] == NULL)
            continue;
        found = PyObject_GetAttrString(monitoring, function_names[i]);
        if (found == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError))
                return -1;
            PyErr_Clear();
            continue;
        }
        if (found == self->wrappers[i]) {
            if (PyObject_SetAttrString(monitoring, function_names[i], self->below[i]) < 0) {
                Py_DECREF(found);
                return -1;
            }
            Py_CLEAR(self->below[i]);
        }
        Py_DECREF(found);
    }
    return 0;
}

/* Keeps what the interpreter has registered, if it is not known yet. */
static void adopt_callable(Interpreter *self, int tool, int event, PyObject *callable)
{
    PyObject *known = tools_registered(self, tool, event);
    if (known != callable)
        tools_keep_registered(self, tool, event, callable, true);
    Py_DECREF(known);
}

/* Reads what a tool has registered, which can only be done by taking it out and putting it back. -1 with an
 * exception. */
static int adopt_callables(Interpreter *self, int tool)
{
    PyObject *found[EVENTS] = {NULL}, *raised;
    int event, status = 0;
    for (event = 0; event < EVENTS && status == 0; event++) {
        if (!(events_native() & 1u << event_to_python(event)) || (event == RMON_EVENT_BRANCH && !BRANCH_IS_APART))
            continue;
        found[event] = interpreter_register_native(self, tool, event, Py_None);
        if (found[event] == NULL)
            status = -1;
    }
    raised = rmon_python_take_raised();
    /* The same for both directions is what registering for BRANCH leaves. */
    if (!BRANCH_IS_APART && found[RMON_EVENT_BRANCH_LEFT] != NULL && found[RMON_EVENT_BRANCH_LEFT] != Py_None
        && found[RMON_EVENT_BRANCH_LEFT] == found[RMON_EVENT_BRANCH_RIGHT]) {
        found[RMON_EVENT_BRANCH] = found[RMON_EVENT_BRANCH_LEFT];
        Py_CLEAR(found[RMON_EVENT_BRANCH_RIGHT]);
        found[RMON_EVENT_BRANCH_LEFT] = NULL;
    }
    for (event = 0; event < EVENTS; event++) {
        if (found[event] == NULL)
            continue;
        if (found[event] != Py_None) {
            PyObject *none = interpreter_register_native(self, tool, event, found[event]);
            if (none == NULL) { /* there was no memory, or an audit hook objects; once more, lest it be lost */
                Py_XSETREF(raised, rmon_python_take_raised());
                status = -1;
                none = interpreter_register_native(self, tool, event, found[event]);
                PyErr_Clear();
            }
            interpreter_release_later(self, none);
        }
        adopt_callable(self, tool, event, found[event]);
        interpreter_release_later(self, found[event]);
    }
    rmon_python_put_raised(raised);
    return status;
}

/* Takes over what a tool has set without our knowledge. -1 with an exception. */
static int adopt(Interpreter *self, int tool)
{
    Tool *entry = &self->tools[tool];
    EventSet events;
    PyObject *number;
    long set;
    if (tools_adopt_name(self, tool) < 0)
        return -1;
    number = PyObject_CallFunction(self->native[GET_EVENTS], "i", tool);
    if (number == NULL)
        return -1;
    set = PyLong_AsLong(number);
    Py_DECREF(number);
    if (set == -1 && PyErr_Occurred())
        return -1;
    if (event_set_from_python((unsigned int)set, &events) && (unsigned int)set != event_set_to_python(entry->events)) {
        entry->events = tools_kept(events);
        entry->events_by_sys = true;
    }
    return adopt_callables(self, tool);
}

#else

/* Provides a sys.monitoring, unless somebody else does. */
static int put_wrappers(Interpreter *self)
{
    PyObject *name, *module;
    int i, status = 0;
    if (PySys_GetObject("monitoring") != NULL)
        return 0;
    if (self->provided == NULL) {
        static const char *const ids[] = {"DEBUGGER_ID", "COVERAGE_ID", "PROFILER_ID", NULL, NULL, "OPTIMIZER_ID"};
        name = monitoring_name();
        module = name != NULL ? PyModule_NewObject(name) : NULL;
        Py_XDECREF(name);
        if (module == NULL)
            return -1;
        status = make_wrappers(self, module);
        for (i = 0; i < TOOLS && status == 0; i++) {
            if (ids[i] != NULL)
                status = PyModule_AddIntConstant(module, ids[i], i);
        }
        for (i = 0; i < FUNCTIONS && status == 0; i++)
            status = PyObject_SetAttrString(module, function_names[i], self->wrappers[i]);
        if (status < 0 || PyObject_SetAttrString(module, "events", self->events) < 0
            || PyObject_SetAttrString(module, "DISABLE", self->disable) < 0
            || PyObject_SetAttrString(module, "MISSING", self->missing) < 0) {
            Py_DECREF(module);
            return -1;
        }
        self->provided = module;
    }
    return PySys_SetObject("monitoring", self->provided);
}

static int take_wrappers_away(Interpreter *self)
{
    if (self->provided != NULL && PySys_GetObject("monitoring") == self->provided)
        return PySys_SetObject("monitoring", NULL);
    return 0;
}

static int adopt(Interpreter *self, int tool)
{
    (void)self;
    (void)tool;
    return 0;
}

#endif

/* Tells librmon of all tools. -1 with an exception. */
static int tell_all(Interpreter *self)
{
    int tool;
    for (tool = 0; tool < TOOLS; tool++) {
        int status = interpreter_tell(self, tool);
        if (status != RMON_OK && self->tools[tool].name != NULL) {
            rmon_python_set_error(status, 0);
            return -1;
        }
    }
    interpreter_release_garbage(self);
    return 0;
}

static int uninstall(Interpreter *self)
{
    if (self->installed == 0)
        return 0;
    self->installed--;
    self->debuggers >>= 1;
    if (self->installed == 0 && take_wrappers_away(self) < 0)
        return -1;
    return tell_all(self);
}

static int install(Interpreter *self, bool debugger)
{
    int tool, status = 0;
    if (self->installed == 0 && put_wrappers(self) < 0) {
        PyObject *raised = rmon_python_take_raised();
        (void)take_wrappers_away(self);
        PyErr_Clear();
        rmon_python_put_raised(raised);
        return -1;
    }
    self->installed++;
    self->debuggers = self->debuggers << 1 | debugger;
    for (tool = 0; status == 0 && self->installed == 1 && tool < TOOLS; tool++)
        status = adopt(self, tool);
    if (status == 0)
        status = tell_all(self);
    if (status < 0) {
        PyObject *raised = rmon_python_take_raised();
        (void)uninstall(self);
        PyErr_Clear();
        rmon_python_put_raised(raised);
    }
    return status;
}

/* ---- The installation as a context manager ---- */

typedef struct Installation {
    PyObject_HEAD
    bool is_over;
} Installation;

static Interpreter *current(void)
{
    Interpreter *self = interpreter_current();
    if (self == NULL || self->ended) {
        PyErr_SetString(PyExc_RuntimeError, "rmon has ended in this interpreter");
        return NULL;
    }
    return self;
}

static PyObject *installation_enter(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    Py_INCREF(self);
    return self;
}

static PyObject *installation_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    Installation *installation = (Installation *)self;
    Interpreter *interpreter = interpreter_current();
    int status = 0;
    (void)arguments;
    (void)count;
    if (interpreter != NULL && !installation->is_over) {
        SERIALISED();
        installation->is_over = true;
        status = uninstall(interpreter);
        SERIALISED_END();
    }
    if (status < 0)
        return NULL;
    Py_RETURN_NONE;
}

static void installation_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef installation_methods[] = {
    {"__enter__", installation_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))installation_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot installation_slots[] = {
    {Py_tp_dealloc, installation_dealloc},
    {Py_tp_methods, installation_methods},
    {Py_tp_doc, "What install() returns: leaving its context uninstalls, once."},
    {0, NULL},
};

static PyType_Spec installation_spec = {
    .name = "rmon.Installation",
    .basicsize = sizeof(Installation),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = installation_slots,
};

static PyObject *builtin_install(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"debugger", NULL};
    Interpreter *self = current();
    Installation *result;
    int debugger = 0, status;
    if (self == NULL || !PyArg_ParseTupleAndKeywords(arguments, keywords, "|$p:install", names, &debugger))
        return NULL;
    result = PyObject_New(Installation, (PyTypeObject *)type);
    if (result == NULL)
        return NULL;
    result->is_over = false;
    SERIALISED();
    status = install(self, debugger != 0);
    SERIALISED_END();
    if (status < 0)
        Py_CLEAR(result);
    return (PyObject *)result;
}

static PyObject *builtin_uninstall(PyObject *type, PyObject *nothing)
{
    Interpreter *self = current();
    int status;
    (void)type;
    (void)nothing;
    if (self == NULL)
        return NULL;
    SERIALISED();
    status = uninstall(self);
    SERIALISED_END();
    if (status < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"install", (PyCFunction)(void (*)(void))builtin_install, METH_VARARGS | METH_KEYWORDS,
     "install(*, debugger=False)\n--\n\n"
     "Let tools that use sys.monitoring see look-alikes, until uninstall() has been called as often.\n\n"
     "Returns a context manager that uninstalls. Look-alikes reach tools that use DEBUGGER_ID by way of\n"
     "sys.monitoring only with debugger=True: debuggers expect a frame behind each event."},
    {"uninstall", builtin_uninstall, METH_NOARGS,
     "uninstall()\n--\n\nUndo the last install(). Without one, nothing happens."},
    {NULL, NULL, 0, NULL},
};

int install_add(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&installation_spec), *name = PyUnicode_InternFromString("rmon");
    PyMethodDef *method;
    int status = type != NULL && name != NULL ? 0 : -1;
    for (method = functions; status == 0 && method->ml_name != NULL; method++) {
        PyObject *function = PyCFunction_NewEx(method, type, name);
        status = function != NULL ? PyObject_SetAttrString(module, method->ml_name, function) : -1;
        Py_XDECREF(function);
    }
    Py_XDECREF(type);
    Py_XDECREF(name);
    return status;
}
