/* The module rmon._rmon: its names, its beginning and end. */
#include "module.h"

static PyObject *forget(PyObject *module, PyObject *code)
{
    Interpreter *self = interpreter_current();
    void *address = codelike_address(code);
    (void)module;
    if (self != NULL && self->codes != NULL) {
        SERIALISED();
        codes_forget(self, address);
        SERIALISED_END();
    }
    Py_RETURN_NONE;
}

static PyObject *set_attached(bool attached)
{
    Interpreter *self = interpreter_current();
    if (self != NULL && !self->ended) {
        SERIALISED();
        interpreter_attach(self, attached);
        SERIALISED_END();
    }
    Py_RETURN_NONE;
}

static PyObject *attach(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    return set_attached(true);
}

static PyObject *detach(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    return set_attached(false);
}

/* Called by atexit: callbacks end before the interpreter does. */
static PyObject *end(PyObject *module, PyObject *nothing)
{
    Interpreter *self = interpreter_current();
    (void)module;
    (void)nothing;
    if (self != NULL && self->codes != NULL)
        codes_end(self);
    interpreter_end();
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"forget", forget, METH_O,
     "forget($module, code, /)\n--\n\n"
     "Drop the local events and disabled locations of a code that cannot be weakly referenced, before it dies."},
    {"attach", attach, METH_NOARGS,
     "attach($module, /)\n--\n\n"
     "Wake the extensions that report events to rmon. Importing rmon does so; this undoes detach(), and finds what has "
     "been loaded since."},
    {"detach", detach, METH_NOARGS,
     "detach($module, /)\n--\n\n"
     "Put the extensions that report events to rmon to sleep, until attach(): they cost what they cost without rmon. "
     "They are the process's, so they sleep once every interpreter that has imported rmon has detached."},
    {"_end", end, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int add_monitoring(PyObject *module, const Interpreter *self)
{
    PyObject *name = PyUnicode_InternFromString("rmon.monitoring");
    int i, status = name != NULL ? 0 : -1;
    for (i = 0; i < FUNCTIONS && status == 0; i++) {
        PyObject *function = tools_function((Function)i, module, name);
        status = function != NULL ? PyObject_SetAttrString(module, function_names[i], function) : -1;
        Py_XDECREF(function);
    }
    Py_XDECREF(name);
    if (status < 0 || PyObject_SetAttrString(module, "DISABLE", self->disable) < 0
        || PyObject_SetAttrString(module, "MISSING", self->missing) < 0
        || PyObject_SetAttrString(module, "events", self->events) < 0)
        return -1;
    return 0;
}

/* Has `_end` called when the interpreter ends. */
static int register_end(PyObject *module)
{
    PyObject *atexit = PyImport_ImportModule("atexit"), *function = PyObject_GetAttrString(module, "_end");
    PyObject *result = NULL;
    if (atexit != NULL && function != NULL)
        result = PyObject_CallMethod(atexit, "register", "O", function);
    Py_XDECREF(atexit);
    Py_XDECREF(function);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* rmon_host.describe: what rmon_python.h can describe, and CodeLikes, while their events are delivered. */
static int describe(void *user_data, void *code, int delivering, rmon_code_info *info)
{
    if (!delivering || !rmon_python_is_fired(code))
        return RMON_ERR_UNKNOWN_CODE;
    if (codelike_describe(code, info) == RMON_OK)
        return RMON_OK;
    return rmon_python_describe(user_data, code, delivering, info);
}

static const rmon_host host = {
    sizeof(rmon_host), NULL, rmon_python_current_exception, describe, rmon_python_begin_wait, rmon_python_end_wait,
};

static int execute(PyObject *module)
{
    callback_init();
    if (interpreter_init(callback_for) < 0)
        return -1;
    (void)rmon_set_host(&host);
    rmon_python_tell();
    if (add_monitoring(module, interpreter_current()) < 0 || codelike_add(module) < 0 || scope_add(module) < 0
        || testing_add(module) < 0 || install_add(module) < 0)
        return -1;
    return register_end(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "rmon._rmon",
    .m_doc = "What rmon's Python package is made of; use rmon and rmon.monitoring instead.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__rmon(void)
{
    return PyModuleDef_Init(&module_definition);
}
