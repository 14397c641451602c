/* The module rmon._program: runs the program of `python -m rmon run` the way the interpreter's own main runs one.
 *
 * It stands in the same shared object as rmon._rmon, and uses nothing of it. rmon/_run.py says what is to be run.
 *
 * Nothing of Python may be below the program: it would show in print_stack() and in warnings. But `python -m rmon` is
 * Python, three frames of it. So _run.py leaves them all by an exception, and the interpreter's main, when it has
 * nothing but that exception left, calls sys.excepthook: `hook` below.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdio.h>

/* Tells the interpreter's main that KeyboardInterrupt has ended the program, so that after all else it ends by SIGINT.
 * The note is not public, but whatever runs a string makes it. No exception may be set. */
static void note_keyboard_interrupt(void)
{
    PyObject *globals = PyDict_New();
    PyObject *result = NULL;
    if (globals != NULL)
        result = PyRun_String("raise KeyboardInterrupt", Py_file_input, globals, globals);
    Py_XDECREF(result);
    Py_XDECREF(globals);
    PyErr_Clear();
}

/* Ends what has been run: 0, or -1 after printing its exception, which for SystemExit ends the process here. */
static int finish(PyObject *result)
{
    PyObject *type, *value, *traceback;
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    if (PyErr_Occurred() == PyExc_KeyboardInterrupt) { /* but no subclass */
        PyErr_Fetch(&type, &value, &traceback);
        note_keyboard_interrupt();
        PyErr_Restore(type, value, traceback);
    }
    PyErr_Print();
    return -1;
}

/* The flags for the code of -c, which has no coding line that means anything (but 3.9 obeys one). */
#if PY_VERSION_HEX >= 0x030A0000
#define COMMAND_FLAGS {PyCF_IGNORE_COOKIE, PY_MINOR_VERSION}
#else
#define COMMAND_FLAGS {0, PY_MINOR_VERSION}
#endif

/* The code of -c as UTF-8; NULL with an exception. */
static const char *command_text(PyObject *source)
{
    const char *text = PyUnicode_AsUTF8(source);
    if (text == NULL)
        PySys_WriteStderr("Unable to decode the command from the command line:\n");
    return text;
}

/* The runners take what is to be run. They return 0, or -1 when an exception has been printed. */

static int run_file(PyObject *path)
{
    PyCompilerFlags flags = {0, PY_MINOR_VERSION};
    PyObject *bytes;
    FILE *file;
    int status;
    if (!PyUnicode_FSConverter(path, &bytes))
        return finish(NULL);
    file = fopen(PyBytes_AS_STRING(bytes), "rb");
    if (file == NULL) {
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        Py_DECREF(bytes);
        return finish(NULL);
    }
    status = PyRun_AnyFileExFlags(file, PyBytes_AS_STRING(bytes), 1, &flags);
    Py_DECREF(bytes);
    return status == 0 ? 0 : -1;
}

static int run_stdin(void)
{
    PyCompilerFlags flags = {0, PY_MINOR_VERSION};
    return PyRun_AnyFileExFlags(stdin, "<stdin>", 0, &flags) == 0 ? 0 : -1;
}

#if PY_VERSION_HEX >= 0x030D0000

/* Since 3.13 tracebacks show the lines of -c, which linecache is told. */
static int register_source(PyObject *code, PyObject *source)
{
    PyObject *linecache = PyImport_ImportModule("linecache");
    PyObject *name = PyUnicode_FromString("<string>");
    PyObject *result = NULL;
    if (linecache != NULL && name != NULL) { /* by name first, later by code */
        PyObject *key = PyObject_HasAttrString(linecache, "_interactive_cache") ? code : name;
        result = PyObject_CallMethod(linecache, "_register_code", "OOO", key, source, name);
    }
    Py_XDECREF(linecache);
    Py_XDECREF(name);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static int run_command(PyObject *source)
{
    PyCompilerFlags flags = COMMAND_FLAGS;
    PyObject *module = PyImport_AddModule("__main__"), *code = NULL, *result = NULL; /* `module` is borrowed */
    PyObject *globals = module != NULL ? PyModule_GetDict(module) : NULL;
    const char *text = command_text(source);
    if (globals != NULL && text != NULL)
        code = Py_CompileStringExFlags(text, "<string>", Py_file_input, &flags, -1);
    if (code != NULL && register_source(code, source) == 0)
        result = PyEval_EvalCode(code, globals, globals);
    Py_XDECREF(code);
    return finish(result);
}

#else

static int run_command(PyObject *source)
{
    PyCompilerFlags flags = COMMAND_FLAGS;
    const char *text = command_text(source);
    if (text == NULL)
        return finish(NULL);
    return PyRun_SimpleStringFlags(text, &flags) == 0 ? 0 : -1;
}

#endif

static int run_call(PyObject *callable, PyObject *arguments)
{
    return finish(PyObject_Call(callable, arguments, NULL));
}

/* Runs what prepare() returns: (kind, what, arguments). */
static int run(PyObject *prepare)
{
    PyObject *job = PyObject_CallNoArgs(prepare);
    const char *kind;
    PyObject *what, *arguments;
    int status;
    if (job == NULL || !PyArg_ParseTuple(job, "sOO!", &kind, &what, &PyTuple_Type, &arguments)) {
        Py_XDECREF(job);
        return finish(NULL);
    }
    /* The recursion limit is to be met where it would be without `hook`, too. */
    Py_LeaveRecursiveCall();
    switch (kind[0]) {
    case 'f':
        status = run_file(what);
        break;
    case 's':
        status = run_stdin();
        break;
    case 'c':
        status = run_command(what);
        break;
    default:
        status = run_call(what, arguments);
    }
    if (Py_EnterRecursiveCall(""))
        PyErr_Clear();
    Py_DECREF(job);
    return status;
}

/* Whether the interpreter goes on with a prompt after the program (-i). */
static int is_inspecting(void)
{
    PyObject *flags = PySys_GetObject("flags"); /* borrowed */
    PyObject *inspect = flags != NULL ? PyObject_GetAttrString(flags, "inspect") : NULL;
    int result = inspect != NULL && PyObject_IsTrue(inspect) > 0;
    Py_XDECREF(inspect);
    PyErr_Clear();
    return result;
}

PyDoc_STRVAR(hook_doc, "hook(prepare, type, value, traceback)\n\n"
                       "With its first argument given, for sys.excepthook: runs what prepare() returns,\n"
                       "(\"file\", path, ()), (\"stdin\", None, ()), (\"command\", source, ()) or\n"
                       "(\"module\", callable, arguments), and ends the process.");

static PyObject *hook(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "hook() takes 4 arguments");
        return NULL;
    }
    if (run(arguments[0]) == 0 && !is_inspecting()) {
        PyErr_SetNone(PyExc_SystemExit);
        return NULL;
    }
    Py_RETURN_NONE; /* and the interpreter ends with 1 */
}

static PyMethodDef methods[] = {
    {"hook", (PyCFunction)(void (*)(void))hook, METH_FASTCALL, hook_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "rmon._program", "Runs the program of `python -m rmon run`.", 0, methods, slots, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__program(void)
{
    return PyModuleDef_Init(&definition);
}
