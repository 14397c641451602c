/* CodeLike: a look-alike of a code object for emitters that are written in Python.
 *
 * To librmon and to tools a code is an identity; what tools read of one (its name, file and lines) is here as a code
 * object has it. The rest is as in the code object of a function without arguments that does nothing.
 *
 * Emitters without Python make their codes with rmon_code_new. What Python callbacks get for such a code is a CodeLike
 * too, its stand-in: made when it is needed, the same one for as long as somebody holds it. The stand-in holds a
 * reference to the code, so that no other code can come to lie at its address meanwhile.
 */
#include "emitters.h"

/* From `start` up to `end` code belongs to `line`, or, without one, to no line. */
typedef struct Range {
    long long end;
    int start, line;
    bool has_line;
} Range;

enum { UNKNOWN = -1 }; /* an end that is yet to be found */

/* Ranges by ascending start, in memory from PyMem. */
typedef struct Lines {
    Range *ranges;
    Py_ssize_t count;
} Lines;

/* Never changed once it is made, so that there is nothing for tp_clear: no ring consists of these alone. */
typedef struct CodeLike {
    PyObject_HEAD
    PyObject *name, *qualname, *filename; /* owned */
    PyObject *weak_references;
    Lines lines;  /* owned; one at least, all with an end */
    rmon_line_entry *entries; /* owned: the same for librmon, made when it asks; or NULL */
    void *native; /* a stand-in's: the code, of which it has a reference; otherwise NULL */
    int first_line;
} CodeLike;

/* ---- Lines ---- */

static int add_range(Lines *lines, int start, long long end, bool has_line, int line)
{
    Py_ssize_t count = lines->count;
    if ((count & (count - 1)) == 0) { /* full: the capacity doubles at each power of two */
        Range *ranges = PyMem_Realloc(lines->ranges, (size_t)(count > 0 ? 2 * count : 1) * sizeof *ranges);
        if (ranges == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        lines->ranges = ranges;
    }
    lines->ranges[count].start = start;
    lines->ranges[count].end = end;
    lines->ranges[count].has_line = has_line;
    lines->ranges[count].line = line;
    lines->count = count + 1;
    return 0;
}

/* The last range; NULL if there is none. */
static Range *last_of(const Lines *lines)
{
    return lines->count > 0 ? &lines->ranges[lines->count - 1] : NULL;
}

/* Ends the last range, if its end is not known, at the next one's start, or with `next` UNKNOWN after two bytes. */
static void end_last_range(Lines *lines, int next)
{
    Range *last = last_of(lines);
    if (last != NULL && last->end == UNKNOWN)
        last->end = next != UNKNOWN ? next : (long long)last->start + 2;
}

/* Adds what one item of the argument `lines` says: (offset, line) or (start, end, line). -1 with an exception. */
static int add_item(Lines *lines, PyObject *item)
{
    const Range *last = last_of(lines);
    Py_ssize_t size = PyTuple_GET_SIZE(item);
    int start, end = UNKNOWN, line = 0;
    bool has_line;
    if (size != 2 && size != 3) {
        PyErr_SetString(PyExc_ValueError, "lines must be (offset, line) pairs or (start, end, line) triples");
        return -1;
    }
    has_line = PyTuple_GET_ITEM(item, size - 1) != Py_None;
    if (read_int(PyTuple_GET_ITEM(item, 0), &start) < 0
        || (size == 3 && read_int(PyTuple_GET_ITEM(item, 1), &end) < 0)
        || (has_line && read_int(PyTuple_GET_ITEM(item, size - 1), &line) < 0))
        return -1;
    if (start < 0) {
        PyErr_Format(PyExc_ValueError, "the offsets of lines must be non-negative, not %d", start);
        return -1;
    }
    if (size == 3 && end <= start) {
        PyErr_Format(PyExc_ValueError, "lines must end after their start, not start at %d and end at %d", start, end);
        return -1;
    }
    if (last != NULL && (start <= last->start || start < last->end)) {
        PyErr_Format(PyExc_ValueError, "the offsets of lines must ascend, but %d comes after %d", start,
                     last->end != UNKNOWN ? (int)last->end : last->start);
        return -1;
    }
    end_last_range(lines, start);
    return add_range(lines, start, end, has_line, line);
}

/* Reads the argument `lines`. -1 with an exception. */
static int add_items(Lines *lines, PyObject *argument)
{
    PyObject *iterator = PyObject_GetIter(argument), *item;
    int status = 0;
    if (iterator == NULL)
        return -1;
    while (status == 0 && (item = PyIter_Next(iterator)) != NULL) {
        PyObject *tuple = NULL;
        if (PyTuple_Check(item) || PyList_Check(item))
            tuple = PySequence_Tuple(item);
        else
            PyErr_Format(PyExc_TypeError, "lines must be (offset, line) pairs or (start, end, line) triples, not %s",
                         Py_TYPE(item)->tp_name);
        status = tuple != NULL ? add_item(lines, tuple) : -1;
        Py_XDECREF(tuple);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : status;
}

/* Ends the reading of lines: a code has one at least, its first. -1 with an exception. */
static int complete(Lines *lines, int first_line)
{
    if (lines->count == 0 && add_range(lines, 0, UNKNOWN, true, first_line) < 0)
        return -1;
    end_last_range(lines, UNKNOWN);
    return 0;
}

/* ---- Making and ending ---- */

/* From its parts: `lines` and a reference to `native` are taken over unless the result is NULL, with an exception. */
static PyObject *make(PyTypeObject *type, PyObject *name, PyObject *qualname, PyObject *filename, int first_line,
                      Lines lines, void *native)
{
    CodeLike *self = (CodeLike *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(name);
    Py_INCREF(qualname);
    Py_INCREF(filename);
    self->name = name;
    self->qualname = qualname;
    self->filename = filename;
    self->first_line = first_line;
    self->lines = lines;
    self->native = native;
    return (PyObject *)self;
}

static PyObject *codelike_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "filename", "firstlineno", "qualname", "lines", NULL};
    PyObject *name, *filename, *qualname = Py_None, *argument = Py_None, *self = NULL;
    Lines lines = {NULL, 0};
    int first_line = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "UU|i$OO:CodeLike", names, &name, &filename, &first_line,
                                     &qualname, &argument))
        return NULL;
    if (qualname == Py_None)
        qualname = name;
    if (!PyUnicode_Check(qualname)) {
        PyErr_Format(PyExc_TypeError, "qualname must be str, not %s", Py_TYPE(qualname)->tp_name);
        return NULL;
    }
    if ((argument == Py_None || add_items(&lines, argument) == 0) && complete(&lines, first_line) == 0)
        self = make(type, name, qualname, filename, first_line, lines, NULL);
    if (self == NULL)
        PyMem_Free(lines.ranges);
    return self;
}

static int codelike_traverse(PyObject *object, visitproc visit, void *arg)
{
    CodeLike *self = (CodeLike *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->name);
    Py_VISIT(self->qualname);
    Py_VISIT(self->filename);
    return 0;
}

static void remove_stand_in(void *code);

static void codelike_dealloc(PyObject *object)
{
    CodeLike *self = (CodeLike *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    if (self->native != NULL) {
        remove_stand_in(self->native);
        rmon_code_release(self->native);
    }
    Py_XDECREF(self->name);
    Py_XDECREF(self->qualname);
    Py_XDECREF(self->filename);
    PyMem_Free(self->lines.ranges);
    PyMem_RawFree(self->entries);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- What tools read ---- */

static PyObject *codelike_repr(PyObject *object)
{
    CodeLike *self = (CodeLike *)object;
    return PyUnicode_FromFormat("<%s %U at %p, file \"%U\", line %d>", Py_TYPE(object)->tp_name, self->name, object,
                                self->filename, self->first_line);
}

/* How many bytes of code there are. */
static long long code_length(const CodeLike *self)
{
    return last_of(&self->lines)->end;
}

static PyObject *get_code(PyObject *object, void *closure)
{
    long long length = code_length((CodeLike *)object);
    PyObject *bytes;
    (void)closure;
    if (length > PY_SSIZE_T_MAX)
        return PyErr_NoMemory();
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (bytes != NULL)
        memset(PyBytes_AS_STRING(bytes), 0, (size_t)length);
    return bytes;
}

static PyObject *get_empty_tuple(PyObject *object, void *closure)
{
    (void)object;
    (void)closure;
    return PyTuple_New(0);
}

/* A number that is the closure. */
static PyObject *get_number(PyObject *object, void *closure)
{
    (void)object;
    return PyLong_FromLong((long)(intptr_t)closure);
}

/* The iterator over a new list, which is taken over; NULL with an exception if that is NULL. */
static PyObject *iterator_of(PyObject *list)
{
    PyObject *iterator = list != NULL ? PyObject_GetIter(list) : NULL;
    Py_XDECREF(list);
    return iterator;
}

/* A new reference to a range's line, or to None. */
static PyObject *line_of(const Range *range)
{
    if (range->has_line)
        return PyLong_FromLong(range->line);
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *codelike_lines(PyObject *object, PyObject *unused)
{
    CodeLike *self = (CodeLike *)object;
    PyObject *list = PyList_New(self->lines.count);
    Py_ssize_t i;
    (void)unused;
    for (i = 0; i < self->lines.count && list != NULL; i++) {
        const Range *range = &self->lines.ranges[i];
        PyObject *item = Py_BuildValue("iLN", range->start, range->end, line_of(range));
        if (item != NULL)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return iterator_of(list);
}

/* Appends to a list itertools.repeat((line, line, None, None), count), for a `range` that can be NULL: without one, or
 * without a line, it is (None, None, None, None). -1 with an exception. */
static int append_positions(PyObject *list, PyObject *itertools, const Range *range, long long count)
{
    PyObject *repeat;
    int status;
    if (count <= 0)
        return 0;
    if (range != NULL && range->has_line)
        repeat = PyObject_CallMethod(itertools, "repeat", "(iiOO)L", range->line, range->line, Py_None, Py_None, count);
    else
        repeat = PyObject_CallMethod(itertools, "repeat", "(OOOO)L", Py_None, Py_None, Py_None, Py_None, count);
    status = repeat != NULL ? PyList_Append(list, repeat) : -1;
    Py_XDECREF(repeat);
    return status;
}

/* A position for every two bytes: a run of equal ones for every range, and for every gap before one. */
static PyObject *codelike_positions(PyObject *object, PyObject *unused)
{
    CodeLike *self = (CodeLike *)object;
    PyObject *itertools = PyImport_ImportModule("itertools"), *list = PyList_New(0);
    PyObject *chain = NULL, *result = NULL;
    long long unit = 0; /* how many have a position already */
    Py_ssize_t i;
    (void)unused;
    if (itertools == NULL || list == NULL)
        goto done;
    for (i = 0; i < self->lines.count; i++) {
        const Range *range = &self->lines.ranges[i];
        long long begin = ((long long)range->start + 1) / 2, end = (range->end + 1) / 2; /* of units that begin in it */
        if (append_positions(list, itertools, NULL, begin - unit) < 0
            || append_positions(list, itertools, range, end - begin) < 0)
            goto done;
        unit = end;
    }
    chain = PyObject_GetAttrString(itertools, "chain");
    if (chain != NULL)
        result = PyObject_CallMethod(chain, "from_iterable", "O", list);
done:
    Py_XDECREF(itertools);
    Py_XDECREF(list);
    Py_XDECREF(chain);
    return result;
}

/* ---- The type ---- */

static PyMethodDef methods[] = {
    {"co_lines", codelike_lines, METH_NOARGS,
     PyDoc_STR("co_lines($self, /)\n--\n\nAn iterator over (start, end, line), as code objects have it.")},
    {"co_positions", codelike_positions, METH_NOARGS,
     PyDoc_STR("co_positions($self, /)\n--\n\nAn iterator over (line, line, None, None), one for every two bytes.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"co_name", T_OBJECT, offsetof(CodeLike, name), READONLY, PyDoc_STR("the name")},
    {"co_qualname", T_OBJECT, offsetof(CodeLike, qualname), READONLY, PyDoc_STR("the name with what encloses it")},
    {"co_filename", T_OBJECT, offsetof(CodeLike, filename), READONLY, PyDoc_STR("the file")},
    {"co_firstlineno", T_INT, offsetof(CodeLike, first_line), READONLY, PyDoc_STR("the first line")},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CodeLike, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define NUMBER(value) ((void *)(intptr_t)(value))

static PyGetSetDef getters[] = {
    {"co_code", get_code, NULL, PyDoc_STR("a zero for every byte that co_lines() has"), NULL},
    {"co_consts", get_empty_tuple, NULL, NULL, NULL},
    {"co_names", get_empty_tuple, NULL, NULL, NULL},
    {"co_varnames", get_empty_tuple, NULL, NULL, NULL},
    {"co_freevars", get_empty_tuple, NULL, NULL, NULL},
    {"co_cellvars", get_empty_tuple, NULL, NULL, NULL},
    {"co_argcount", get_number, NULL, NULL, NUMBER(0)},
    {"co_posonlyargcount", get_number, NULL, NULL, NUMBER(0)},
    {"co_kwonlyargcount", get_number, NULL, NULL, NUMBER(0)},
    {"co_nlocals", get_number, NULL, NULL, NUMBER(0)},
    {"co_stacksize", get_number, NULL, NULL, NUMBER(1)},
    {"co_flags", get_number, NULL, NULL, NUMBER(CO_OPTIMIZED | CO_NEWLOCALS)},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(documentation,
             "CodeLike(name, filename, firstlineno=1, *, qualname=None, lines=None)\n"
             "--\n"
             "\n"
             "A code for an emitter written in Python, such as a template engine, to fire events with (see Scope). It\n"
             "has what tools read of a code object. Two are equal only if they are the same.\n"
             "\n"
             "lines: (offset, line) pairs by ascending offset, or (start, end, line) triples, as co_lines() yields\n"
             "them; a line may be None. Without: the first line is all there is.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)documentation},
    {Py_tp_new, codelike_new},
    {Py_tp_traverse, codelike_traverse},
    {Py_tp_dealloc, codelike_dealloc},
    {Py_tp_repr, codelike_repr},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getters},
    {0, NULL},
};

static PyType_Spec spec = {"rmon.CodeLike", sizeof(CodeLike), 0, TYPE_FLAGS | Py_TPFLAGS_BASETYPE, slots};

/* ---- Stand-ins ---- */

/* Interpreter.stand_ins has the type here, and a weak reference to each stand-in under the code's address. */
static const char TYPE_KEY[] = "CodeLike";

bool codelike_is_stand_in(PyObject *object)
{
    /* Of an instance of a subclass this is false: stand-ins are none. */
    return Py_TYPE(object)->tp_dealloc == codelike_dealloc && ((CodeLike *)object)->native != NULL;
}

void *codelike_address(PyObject *object)
{
    return codelike_is_stand_in(object) ? ((CodeLike *)object)->native : (void *)object;
}

/* Whether it is an instance of CodeLike, of whatever interpreter, or of a subclass. */
static bool is_codelike(PyObject *object)
{
    const PyTypeObject *type = Py_TYPE(object);
    while (type != NULL && type->tp_dealloc != codelike_dealloc)
        type = type->tp_base;
    return type != NULL;
}

/* The lines as librmon has them; NULL without memory. */
static const rmon_line_entry *line_entries(CodeLike *self)
{
    rmon_line_entry *entries = LOAD(self->entries), *none = NULL;
    Py_ssize_t i;
    if (entries != NULL)
        return entries;
    entries = PyMem_RawMalloc((size_t)self->lines.count * sizeof *entries);
    if (entries == NULL)
        return NULL;
    for (i = 0; i < self->lines.count; i++) {
        entries[i].offset = self->lines.ranges[i].start;
        entries[i].line = self->lines.ranges[i].has_line ? self->lines.ranges[i].line : -1;
    }
    if (__atomic_compare_exchange_n(&self->entries, &none, entries, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return entries;
    PyMem_RawFree(entries); /* another thread was first */
    return none;
}

int codelike_describe(PyObject *object, rmon_code_info *out)
{
    CodeLike *self = (CodeLike *)object;
    if (!is_codelike(object))
        return RMON_ERR_UNKNOWN_CODE;
    out->name = PyUnicode_AsUTF8(self->name);
    out->qualname = PyUnicode_AsUTF8(self->qualname);
    out->filename = PyUnicode_AsUTF8(self->filename);
    if (out->name == NULL || out->qualname == NULL || out->filename == NULL) { /* no memory, or lone surrogates */
        PyErr_Clear();
        return RMON_ERR_UNKNOWN_CODE;
    }
    out->first_line = self->first_line;
    out->lines = line_entries(self);
    out->line_count = out->lines != NULL ? (size_t)self->lines.count : 0;
    return RMON_OK;
}

/* The living stand-in that is noted, a new reference; NULL if there is none, without an exception. */
static PyObject *find_stand_in(PyObject *stand_ins, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *reference, *found;
    if (PyDict_GetItemRef(stand_ins, key, &reference) <= 0) {
        PyErr_Clear();
        return NULL;
    }
    found = weak_referent(reference);
    Py_DECREF(reference);
    return found;
#else
    PyObject *reference = PyDict_GetItemWithError(stand_ins, key);
    if (reference == NULL) {
        PyErr_Clear();
        return NULL;
    }
    return weak_referent(reference);
#endif
}

/* Forgets a stand-in that has died, unless another one is noted in its place. */
static void remove_stand_in(void *code)
{
    Interpreter *interpreter = interpreter_current();
    PyObject *key, *other, *raised;
    if (interpreter == NULL || interpreter->codes == NULL || interpreter->stand_ins == NULL)
        return; /* it is at its end */
    raised = PyErr_Occurred() ? rmon_python_take_raised() : NULL;
    key = PyLong_FromVoidPtr(code);
    if (key != NULL) {
        STAND_INS();
        other = find_stand_in(interpreter->stand_ins, key);
        if (other == NULL)
            (void)PyDict_DelItem(interpreter->stand_ins, key);
        STAND_INS_END();
        Py_XDECREF(other);
        Py_DECREF(key);
    }
    rmon_python_put_raised(raised); /* in the place of whatever has come of this */
}

/* A new string of what librmon has as UTF-8. */
static PyObject *text(const char *utf8)
{
    return PyUnicode_DecodeUTF8(utf8, (Py_ssize_t)strlen(utf8), "replace");
}

/* A new stand-in for a code that `info` describes and of which the caller has a reference, which is taken over unless
 * the result is NULL, with an exception. */
static PyObject *make_stand_in(PyTypeObject *type, void *code, const rmon_code_info *info)
{
    PyObject *name = text(info->name), *qualname = text(info->qualname), *filename = text(info->filename), *self = NULL;
    Lines lines = {NULL, 0};
    int status = name != NULL && qualname != NULL && filename != NULL ? 0 : -1;
    size_t i;
    for (i = 0; i < info->line_count && status == 0; i++) {
        end_last_range(&lines, info->lines[i].offset);
        status = add_range(&lines, info->lines[i].offset, UNKNOWN, true, info->lines[i].line);
    }
    if (status == 0 && complete(&lines, info->first_line) == 0)
        self = make(type, name, qualname, filename, info->first_line, lines, code);
    if (self == NULL)
        PyMem_Free(lines.ranges);
    Py_XDECREF(name);
    Py_XDECREF(qualname);
    Py_XDECREF(filename);
    return self;
}

/* Describes a code that rmon_code_new made, and takes a reference to it; false for anything else. Of other codes only
 * those can be described that the host's hook knows. Python's (rmon_python.h) knows only the object whose event is
 * being delivered: the thread's note says which that is. */
static bool retain_native(void *code, rmon_code_info *info)
{
    if (code == NULL || rmon_python_is_fired(code))
        return false;
    rmon_code_retain(code);
    info->struct_size = sizeof *info;
    return rmon_code_describe(code, info) == RMON_OK; /* if it is not, nothing was retained */
}

/* Notes a stand-in unless another one is noted already; a new reference to the one that is noted then. */
static PyObject *note_stand_in(Interpreter *interpreter, PyObject *key, PyObject *stand_in)
{
    PyObject *reference = PyWeakref_NewRef(stand_in, NULL), *noted = NULL;
    if (reference == NULL)
        return NULL;
    STAND_INS();
    noted = find_stand_in(interpreter->stand_ins, key);
    if (noted == NULL && PyDict_SetItem(interpreter->stand_ins, key, reference) == 0) {
        Py_INCREF(stand_in);
        noted = stand_in;
    }
    STAND_INS_END();
    Py_DECREF(reference);
    return noted;
}

PyObject *codelike_of_native(void *code)
{
    Interpreter *interpreter = interpreter_current();
    PyObject *key, *type, *stand_in, *noted = NULL;
    rmon_code_info info;
    if (interpreter == NULL || interpreter->stand_ins == NULL)
        return NULL;
    key = PyLong_FromVoidPtr(code);
    if (key == NULL)
        return NULL;
    noted = find_stand_in(interpreter->stand_ins, key);
    if (noted == NULL && retain_native(code, &info)) {
        type = PyDict_GetItemString(interpreter->stand_ins, TYPE_KEY);
        stand_in = type != NULL ? make_stand_in((PyTypeObject *)type, code, &info) : NULL;
        if (stand_in == NULL)
            rmon_code_release(code);
        else
            noted = note_stand_in(interpreter, key, stand_in);
        Py_XDECREF(stand_in);
    }
    Py_DECREF(key);
    return noted;
}

int codelike_add(PyObject *module)
{
    Interpreter *interpreter = interpreter_current();
    PyObject *type;
    int status;
    if (interpreter == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "rmon is not ready in this interpreter");
        return -1;
    }
    if (interpreter->stand_ins == NULL && (interpreter->stand_ins = PyDict_New()) == NULL)
        return -1;
    type = PyDict_GetItemString(interpreter->stand_ins, TYPE_KEY); /* there if the module is made once more */
    Py_XINCREF(type);
    if (type == NULL) {
        type = PyType_FromSpec(&spec);
        if (type == NULL || PyDict_SetItemString(interpreter->stand_ins, TYPE_KEY, type) < 0) {
            Py_XDECREF(type);
            return -1;
        }
    }
    status = PyModule_AddObject(module, "CodeLike", type);
    if (status < 0)
        Py_DECREF(type);
    return status;
}
