/* listener.c: a native tool for the tests: rmon's tool functions for Python, and a callback that notes what arrives.
 *
 * It uses rmon.h and its rmon_ names after Python.h, as a C extension may on every CPython. One listener serves all
 * tool ids and events. What its callback does is set by setup(): note the event, call a Python function, answer.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <rmon.h>

static PyObject *null;  /* stands for NULL in notes */
static PyObject *notes; /* a list */
static PyObject *hook;  /* called with the event's number; or NULL */
static int noting, describing, answer, foreign;
static long heard;

static PyObject *object_or_null(void *object)
{
    PyObject *shown = object != NULL ? (PyObject *)object : null;
    Py_INCREF(shown);
    return shown;
}

/* (name, qualname, filename, first line), or None if rmon knows nothing of the code. */
static PyObject *description_of(void *code)
{
    rmon_code_info info;
    info.struct_size = sizeof info;
    if (rmon_code_describe(code, &info) != RMON_OK) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    return Py_BuildValue("sssi", info.name, info.qualname, info.filename, (int)info.first_line);
}

/* (event, tool, offset, line, target offset, code, object, arg0, description) */
static int note(const rmon_event *event)
{
    PyObject *code = foreign ? PyLong_FromVoidPtr(event->code) : object_or_null(event->code);
    PyObject *description = describing ? description_of(event->code) : object_or_null(NULL);
    PyObject *item = Py_BuildValue("iiiiiNNNN", event->event, event->tool_id, event->offset, event->line,
                                   event->target_offset, code, object_or_null(event->object),
                                   object_or_null(event->arg0), description);
    int bad = item == NULL || PyList_Append(notes, item) < 0;
    Py_XDECREF(item);
    return bad;
}

static int on_event(void *user_data, const rmon_event *event)
{
    (void)user_data;
    heard++;
    if (noting && note(event))
        return RMON_ERR_INTERNAL;
    if (hook != NULL) {
        PyObject *result = PyObject_CallFunction(hook, "i", event->event);
        if (result == NULL)
            return RMON_ERR_CALLBACK;
        Py_DECREF(result);
    }
    return answer;
}

static PyObject *status(int result)
{
    if (result == RMON_OK)
        Py_RETURN_NONE;
    PyErr_Format(PyExc_OSError, "rmon: %s", rmon_status_message(result));
    return NULL;
}

/* setup(note, describe, answer, hook=None): what the callback does from now on; forgets what was noted. */
static PyObject *setup(PyObject *self, PyObject *args)
{
    PyObject *new_hook = Py_None, *old_hook = hook;
    (void)self;
    if (!PyArg_ParseTuple(args, "ppi|O", &noting, &describing, &answer, &new_hook))
        return NULL;
    hook = new_hook != Py_None ? new_hook : NULL;
    Py_XINCREF(hook);
    Py_XDECREF(old_hook);
    heard = 0;
    return PyObject_CallMethod(notes, "clear", NULL);
}

/* take() -> the notes, which are forgotten */
static PyObject *take(PyObject *self, PyObject *args)
{
    PyObject *taken = notes;
    (void)self;
    (void)args;
    notes = PyList_New(0);
    return notes != NULL ? taken : NULL;
}

static PyObject *how_often(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    return PyLong_FromLong(heard);
}

/* listen(tool, events, callbacks): claims the id if need be, and hears these of the events. */
static PyObject *listen(PyObject *self, PyObject *args)
{
    int tool, result, event;
    unsigned int events, callbacks;
    (void)self;
    if (!PyArg_ParseTuple(args, "iII", &tool, &events, &callbacks))
        return NULL;
    result = rmon_get_tool(tool, NULL, 0) == 0 ? rmon_use_tool_id(tool, "listener") : RMON_OK;
    for (event = 0; event < RMON_EVENT_COUNT && result == RMON_OK; event++)
        if (callbacks & RMON_EVENT_SET(event))
            result = rmon_register_callback(tool, event, on_event, NULL, NULL);
    return status(result == RMON_OK ? rmon_set_events(tool, events) : result);
}

static PyObject *listen_in(PyObject *self, PyObject *args)
{
    int tool;
    unsigned int events;
    PyObject *code;
    (void)self;
    if (!PyArg_ParseTuple(args, "iOI", &tool, &code, &events))
        return NULL;
    return status(rmon_set_local_events(tool, code, events));
}

static PyObject *has_callback(PyObject *self, PyObject *args)
{
    int tool, event;
    rmon_callback callback;
    void *user_data;
    (void)self;
    if (!PyArg_ParseTuple(args, "ii", &tool, &event))
        return NULL;
    if (rmon_get_callback(tool, event, &callback, &user_data) != RMON_OK)
        return status(RMON_ERR_INTERNAL);
    return PyBool_FromLong(callback != NULL);
}

static PyObject *leave(PyObject *self, PyObject *args)
{
    int tool;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &tool))
        return NULL;
    return status(rmon_free_tool_id(tool));
}

static PyObject *restart(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    return status(rmon_restart_events());
}

static PyObject *describe(PyObject *self, PyObject *code)
{
    (void)self;
    return description_of(code);
}

/* fire_foreign(address): an emitter that knows nothing of Python fires LINE for a code that is no object. */
static PyObject *fire_foreign(PyObject *self, PyObject *address)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    rmon_state state = {0, 0};
    uint64_t version = 0;
    int result;
    (void)self;
    result = rmon_enter_scope(&state, &version, types, 1);
    foreign = 1;
    if (result == RMON_OK)
        result = rmon_fire_line(&state, PyLong_AsVoidPtr(address), 0, 1);
    foreign = 0;
    return PyErr_Occurred() ? NULL : status(result);
}

/* fire_current(exception): what an emitter that knows nothing of Python fires when it is called with an exception set. */
static PyObject *fire_current(PyObject *self, PyObject *exception)
{
    static const uint8_t types[] = {RMON_EVENT_RAISE};
    rmon_state state = {0, 0};
    uint64_t version = 0;
    int result;
    (void)self;
    result = rmon_enter_scope(&state, &version, types, 1);
    if (exception != Py_None)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    if (result == RMON_OK)
        result = rmon_fire_current_exception_slow(&state, NULL, 0, RMON_EVENT_RAISE);
    PyErr_Clear();
    return status(result);
}

static PyMethodDef methods[] = {
    {"setup", setup, METH_VARARGS, NULL},
    {"take", take, METH_NOARGS, NULL},
    {"heard", how_often, METH_NOARGS, NULL},
    {"listen", listen, METH_VARARGS, NULL},
    {"listen_in", listen_in, METH_VARARGS, NULL},
    {"has_callback", has_callback, METH_VARARGS, NULL},
    {"leave", leave, METH_VARARGS, NULL},
    {"restart", restart, METH_NOARGS, NULL},
    {"describe", describe, METH_O, NULL},
    {"fire_foreign", fire_foreign, METH_O, NULL},
    {"fire_current", fire_current, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "listener", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_listener(void)
{
    PyObject *self = PyModule_Create(&module);
    notes = PyList_New(0);
    null = PyUnicode_FromString("NULL");
    if (self == NULL || notes == NULL || null == NULL)
        return NULL;
    Py_INCREF(null);
    if (PyModule_AddObject(self, "NULL", null) < 0 || PyModule_AddIntConstant(self, "DISABLE", RMON_DISABLE) < 0
        || PyModule_AddIntConstant(self, "ALL_EVENTS", RMON_ALL_EVENTS) < 0
        || PyModule_AddIntConstant(self, "CALLBACK_FAILED", RMON_ERR_CALLBACK) < 0
        || PyModule_AddStringConstant(self, "CALLBACK_FAILED_TEXT", rmon_status_message(RMON_ERR_CALLBACK)) < 0)
        return NULL;
    return self;
}
