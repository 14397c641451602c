/* mailfilter.c: rules that say into which folder a message goes, and which tools see as code.
 *
 *     Filter(path)                  reads a file of rules
 *     Filter.sort(message) -> str   the folder for a message, which is a dict of texts; "inbox" if no rule wants it
 *
 * A rule is a line, FOLDER: FIELD has TEXT, or FOLDER: FIELD is TEXT; # begins a comment, also within a line. The first
 * rule that fits counts.
 *
 * It is written in the limited API, in which CPython has no monitoring: rmon_python.h gives it there, too. So one file
 * fires events on CPython 3.9 and all newer ones. Tools get the Filter itself as the code: a look-alike of a code
 * object, by its attributes co_name, co_filename, co_firstlineno and co_lines().
 */
#include <rmon_python.h>

#include <structmember.h>

/* ---- What is reported ---- */

enum { START, LINE, FITS, FITS_NOT, RAISE, RETURN, UNWIND, KINDS };

static const uint8_t kinds[KINDS] = {
    PY_MONITORING_EVENT_PY_START,     PY_MONITORING_EVENT_LINE,  PY_MONITORING_EVENT_BRANCH_LEFT,
    PY_MONITORING_EVENT_BRANCH_RIGHT, PY_MONITORING_EVENT_RAISE, PY_MONITORING_EVENT_PY_RETURN,
    PY_MONITORING_EVENT_PY_UNWIND,
};

/* ---- Filters ---- */

typedef struct {
    PyObject_HEAD
    PyObject *weak_references;
    PyObject *name, *filename;
    PyObject *rules; /* a list of tuples: line, folder, field, is or has, text */
    PyMonitoringState states[KINDS];
    uint64_t version;
} Filter;

/* A state, the code and the offset, which every fire begins with. The offset is twice the index of a rule. */
#define WHERE(kind) &self->states[kind], (PyObject *)self, (int32_t)(2 * index)

/* Fires an event that goes to a rule; `target` is its index. */
static int fire_branch(Filter *self, Py_ssize_t index, int fits, Py_ssize_t target)
{
    PyObject *offset;
    int status;
    if (!self->states[fits ? FITS : FITS_NOT].active) /* the target's object is made only if somebody wants it */
        return 0;
    offset = PyLong_FromSsize_t(2 * target);
    if (offset == NULL)
        return -1;
    status = fits ? PyMonitoring_FireBranchLeftEvent(WHERE(FITS), offset)
                  : PyMonitoring_FireBranchRightEvent(WHERE(FITS_NOT), offset);
    Py_DECREF(offset);
    return status;
}

/* Whether a rule fits; -1 with an exception. */
static int fits(Filter *self, Py_ssize_t index, PyObject *message)
{
    PyObject *folder, *field, *text, *value;
    int line, is, result;
    if (!PyArg_ParseTuple(PyList_GetItem(self->rules, index), "iOOiO", &line, &folder, &field, &is, &text)
        || PyMonitoring_FireLineEvent(WHERE(LINE), line) < 0)
        return -1;
    value = PyObject_GetItem(message, field);
    if (value == NULL) {
        (void)PyMonitoring_FireRaiseEvent(WHERE(RAISE));
        return -1;
    }
    result = is ? PyObject_RichCompareBool(value, text, Py_EQ) : PySequence_Contains(value, text);
    Py_DECREF(value);
    return result;
}

PyDoc_STRVAR(sort_doc, "sort($self, message, /)\n--\n\nThe folder for a message, which is a dict of texts.");

static PyObject *filter_sort(PyObject *object, PyObject *message)
{
    Filter *self = (Filter *)object;
    Py_ssize_t index = 0, count = PyList_Size(self->rules);
    PyObject *folder = NULL;
    int status;
    if (PyMonitoring_EnterScope(self->states, &self->version, kinds, KINDS) < 0)
        return NULL;
    status = PyMonitoring_FirePyStartEvent(WHERE(START));
    while (status == 0 && index < count && folder == NULL) {
        int yes = fits(self, index, message);
        status = yes < 0 ? -1 : fire_branch(self, index, yes, yes ? count : index + 1);
        if (status == 0 && yes) {
            folder = PyTuple_GetItem(PyList_GetItem(self->rules, index), 1);
            Py_INCREF(folder);
        } else if (status == 0) {
            index++;
        }
    }
    if (status == 0 && folder == NULL)
        folder = PyUnicode_FromString("inbox");
    if (status == 0 && folder != NULL)
        status = PyMonitoring_FirePyReturnEvent(WHERE(RETURN), folder);
    else
        (void)PyMonitoring_FirePyUnwindEvent(WHERE(UNWIND));
    PyMonitoring_ExitScope();
    if (status < 0)
        Py_CLEAR(folder);
    return folder;
}

/* ---- Files ---- */

/* Makes a rule of the words of a line; NULL with an exception. */
static PyObject *make_rule(Filter *self, PyObject *words, int line)
{
    PyObject *folder, *end, *verb, *rule = NULL;
    int is;
    if (PyList_Size(words) != 4)
        return PyErr_Format(PyExc_SyntaxError, "%U:%d: not understood", self->filename, line);
    folder = PyList_GetItem(words, 0);
    verb = PyList_GetItem(words, 2);
    is = PyUnicode_CompareWithASCIIString(verb, "is") == 0;
    if (PyUnicode_ReadChar(folder, PyUnicode_GetLength(folder) - 1) != ':'
        || (!is && PyUnicode_CompareWithASCIIString(verb, "has") != 0))
        return PyErr_Format(PyExc_SyntaxError, "%U:%d: not understood", self->filename, line);
    end = PyUnicode_Substring(folder, 0, PyUnicode_GetLength(folder) - 1);
    if (end != NULL)
        rule = Py_BuildValue("iNOiO", line, end, PyList_GetItem(words, 1), is, PyList_GetItem(words, 3));
    return rule;
}

static int read_line(Filter *self, PyObject *text, int line)
{
    PyObject *parts = PyObject_CallMethod(text, "partition", "s", "#"), *rule = NULL;
    PyObject *stripped = parts != NULL ? PyObject_CallMethod(PyTuple_GetItem(parts, 0), "strip", NULL) : NULL;
    PyObject *words = stripped != NULL ? PyUnicode_Split(stripped, NULL, 3) : NULL;
    int status = -1;
    if (words != NULL && PyList_Size(words) == 0)
        status = 0;
    else if (words != NULL && (rule = make_rule(self, words, line)) != NULL)
        status = PyList_Append(self->rules, rule);
    Py_XDECREF(rule);
    Py_XDECREF(words);
    Py_XDECREF(stripped);
    Py_XDECREF(parts);
    return status;
}

/* The lines of a text file. */
static PyObject *read_lines(PyObject *path)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *file = io != NULL ? PyObject_CallMethod(io, "open", "Osis", path, "r", -1, "utf-8") : NULL;
    PyObject *text = file != NULL ? PyObject_CallMethod(file, "read", NULL) : NULL;
    PyObject *closed = text != NULL ? PyObject_CallMethod(file, "close", NULL) : NULL;
    PyObject *lines = closed != NULL ? PyUnicode_Splitlines(text, 0) : NULL;
    Py_XDECREF(io);
    Py_XDECREF(file);
    Py_XDECREF(text);
    Py_XDECREF(closed);
    return lines;
}

/* ---- The type, whose objects are codes ---- */

PyDoc_STRVAR(filter_doc, "Filter(path, /)\n--\n\nRules that say into which folder a message goes.");

static PyObject *filter_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *path, *lines;
    Filter *self;
    Py_ssize_t i;
    int status;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "U:Filter", &path) || (lines = read_lines(path)) == NULL)
        return NULL;
    self = (Filter *)PyType_GenericAlloc(type, 0); /* zeroed, as the states must be */
    if (self == NULL) {
        Py_DECREF(lines);
        return NULL;
    }
    Py_INCREF(path);
    self->filename = path;
    self->name = PyUnicode_FromString("<filter>");
    self->rules = PyList_New(0);
    status = self->name != NULL && self->rules != NULL ? 0 : -1;
    for (i = 0; status == 0 && i < PyList_Size(lines); i++)
        status = read_line(self, PyList_GetItem(lines, i), (int)i + 1);
    Py_DECREF(lines);
    if (status < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void filter_dealloc(PyObject *object)
{
    Filter *self = (Filter *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->name);
    Py_XDECREF(self->filename);
    Py_XDECREF(self->rules);
    PyObject_Free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(lines_doc, "co_lines($self, /)\n--\n\nThe lines as tuples: offset, offset of the next one, line.");

static PyObject *filter_lines(PyObject *object, PyObject *unused)
{
    Filter *self = (Filter *)object;
    PyObject *lines = PyList_New(0), *iterator;
    Py_ssize_t i;
    int status = 0;
    (void)unused;
    for (i = 0; lines != NULL && i < PyList_Size(self->rules) && status == 0; i++) {
        PyObject *number = PyTuple_GetItem(PyList_GetItem(self->rules, i), 0);
        PyObject *line = Py_BuildValue("nnO", 2 * i, 2 * i + 2, number);
        status = line != NULL ? PyList_Append(lines, line) : -1;
        Py_XDECREF(line);
    }
    iterator = lines != NULL && status == 0 ? PyObject_GetIter(lines) : NULL;
    Py_XDECREF(lines);
    return iterator;
}

static PyObject *filter_first_line(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(1);
}

static PyMethodDef filter_methods[] = {
    {"sort", filter_sort, METH_O, sort_doc},
    {"co_lines", filter_lines, METH_NOARGS, lines_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef filter_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Filter, weak_references), READONLY, NULL},
    {"co_name", T_OBJECT, offsetof(Filter, name), READONLY, NULL},
    {"co_qualname", T_OBJECT, offsetof(Filter, name), READONLY, NULL},
    {"co_filename", T_OBJECT, offsetof(Filter, filename), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef filter_attributes[] = {
    {"co_firstlineno", filter_first_line, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot filter_slots[] = {
    {Py_tp_doc, (void *)filter_doc},
    {Py_tp_new, (void *)filter_new},
    {Py_tp_dealloc, (void *)filter_dealloc},
    {Py_tp_methods, filter_methods},
    {Py_tp_members, filter_members},
    {Py_tp_getset, filter_attributes},
    {0, NULL},
};

static PyType_Spec filter_spec = {"mailfilter.Filter", sizeof(Filter), 0, Py_TPFLAGS_DEFAULT, filter_slots};

static int execute(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&filter_spec);
    int status = type != NULL ? PyObject_SetAttrString(module, "Filter", type) : -1;
    Py_XDECREF(type);
    return status;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "mailfilter", "Rules that sort mail.", 0, NULL, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_mailfilter(void)
{
    return PyModuleDef_Init(&definition);
}
