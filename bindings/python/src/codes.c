/* Codes as librmon knows them, which is by address: their local events, and their death.
 *
 * What tools set on a code must not meet another code that later lies at the same address. A code that can be weakly
 * referenced is watched from the moment when something is set on it, be it local events or a disabled location. One
 * that cannot is kept alive while it has local events; of disabled locations on such codes nobody can say when they
 * end.
 */
#include "module.h"

/* What is known of a code. It lies in a capsule in Interpreter.codes, under the address. */
typedef struct Watch {
    void *address;
    PyObject *reference; /* owned: a weak reference, or the code itself */
    bool is_weak;
    bool is_shared; /* other interpreters may have set something on the same code */
    EventSet local[TOOLS];
} Watch;

static const char WATCH[] = "rmon._rmon.watch";

static void free_watch(PyObject *capsule)
{
    Watch *watch = PyCapsule_GetPointer(capsule, WATCH);
    if (watch != NULL) {
        Py_XDECREF(watch->reference);
        PyMem_Free(watch);
    }
}

/* The capsule, a new reference; NULL if there is none, without an exception. */
static PyObject *find_capsule(Interpreter *self, void *address)
{
    PyObject *key, *capsule;
    if (self->codes == NULL || (key = PyLong_FromVoidPtr(address)) == NULL) {
        PyErr_Clear();
        return NULL;
    }
    capsule = item_of(self->codes, key);
    Py_DECREF(key);
    return capsule;
}

/* What lies in it, if SERIALISED: the dictionary has it. */
static Watch *find(Interpreter *self, void *address)
{
    PyObject *capsule = find_capsule(self, address);
    Py_XDECREF(capsule);
    return capsule != NULL ? PyCapsule_GetPointer(capsule, WATCH) : NULL;
}

/* It may be all that has kept a code. */
static void remove_watch(Interpreter *self, void *address)
{
    PyObject *key = PyLong_FromVoidPtr(address);
    PyObject *capsule = key != NULL && self->codes != NULL ? item_of(self->codes, key) : NULL;
    if (key == NULL || (self->codes != NULL && PyDict_DelItem(self->codes, key) < 0))
        PyErr_Clear(); /* it was not there */
    Py_XDECREF(key);
    interpreter_release_later(self, capsule);
}

/* What the watches say of events that librmon cannot have for single codes. */
static void count_per_code(Interpreter *self, int tool)
{
    EventSet events = 0;
    PyObject *key, *capsule;
    Py_ssize_t position = 0;
    while (PyDict_Next(self->codes, &position, &key, &capsule)) {
        Watch *watch = PyCapsule_GetPointer(capsule, WATCH);
        if (watch != NULL)
            events |= watch->local[tool];
    }
    events &= ~(EventSet)RMON_LOCAL_EVENTS;
    if (events != self->tools[tool].per_code) {
        self->tools[tool].per_code = events;
        (void)interpreter_tell(self, tool);
    }
}

void codes_forget(Interpreter *self, void *address)
{
    Watch *watch = find(self, address);
    bool counts[TOOLS] = {false};
    int tool;
    for (tool = 0; watch != NULL && tool < TOOLS; tool++)
        counts[tool] = (watch->local[tool] & ~(EventSet)RMON_LOCAL_EVENTS) != 0;
    remove_watch(self, address);
    (void)rmon_code_forget(address);
    for (tool = 0; tool < TOOLS; tool++) {
        if (counts[tool])
            count_per_code(self, tool);
    }
}

/* A weak reference's callback; `key` is the address. */
static PyObject *on_death(PyObject *key, PyObject *reference)
{
    Interpreter *self = interpreter_current();
    void *address = PyLong_AsVoidPtr(key);
    (void)reference;
    if (self != NULL && self->codes != NULL) {
        SERIALISED();
        codes_forget(self, address);
        SERIALISED_END();
    } else {
        (void)rmon_code_forget(address);
    }
    Py_RETURN_NONE;
}

static PyMethodDef on_death_method = {"on_code_death", on_death, METH_O, NULL};

/* Whether interpreters have this object in common: some of the interpreter's own, and what stands for a code that is no
 * object. */
static bool is_shared(PyObject *code)
{
    return code == Py_None || codelike_is_stand_in(code)
        || (PyType_Check(code) && !PyType_HasFeature((PyTypeObject *)code, Py_TPFLAGS_HEAPTYPE));
}

/* Sets a tool's local events on a code in librmon. What is set on a code that several interpreters have in common is
 * not taken back while there are several: then too much is delivered, and sorted out in each of them. A status. */
static int tell_local(int tool, const Watch *watch, EventSet events)
{
    uint32_t known;
    events &= RMON_LOCAL_EVENTS;
    if (watch->is_shared && interpreter_count > 1 && rmon_get_local_events(tool, watch->address, &known) == RMON_OK)
        events |= known;
    return rmon_set_local_events(tool, watch->address, events);
}

/* Begins to watch a code. With `keep`, one that cannot be watched is kept alive instead. NULL with an exception. */
static Watch *watch_code(Interpreter *self, PyObject *code, void *address, bool keep)
{
    PyObject *key = PyLong_FromVoidPtr(address), *callback = NULL, *capsule = NULL;
    Watch *watch = PyMem_Calloc(1, sizeof *watch), *result = NULL;
    if (key == NULL || watch == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    watch->address = address;
    watch->is_shared = is_shared(code);
    if (!codelike_is_stand_in(code)) { /* the code of a stand-in outlives it */
        callback = PyCFunction_New(&on_death_method, key);
        watch->reference = callback != NULL ? PyWeakref_NewRef(code, callback) : NULL;
        watch->is_weak = true;
    }
    if (watch->reference == NULL) {
        if (!keep || (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)))
            goto done;
        PyErr_Clear();
        watch->reference = code;
        watch->is_weak = false;
        Py_INCREF(code);
    }
    capsule = PyCapsule_New(watch, WATCH, free_watch);
    if (capsule != NULL) {
        Watch *owned = watch;
        watch = NULL; /* the capsule's now */
        if (PyDict_SetItem(self->codes, key, capsule) == 0)
            result = owned;
    }
done:
    if (watch != NULL) {
        Py_XDECREF(watch->reference);
        PyMem_Free(watch);
    }
    Py_XDECREF(key);
    Py_XDECREF(callback);
    Py_XDECREF(capsule);
    return result;
}

void codes_watch(Interpreter *self, PyObject *code, void *address)
{
    PyObject *capsule = self->ended ? NULL : find_capsule(self, address);
    Py_XDECREF(capsule);
    if (self->ended || capsule != NULL || codelike_is_stand_in(code))
        return;
    SERIALISED();
    if (find(self, address) == NULL && watch_code(self, code, address, false) == NULL)
        PyErr_Clear();
    SERIALISED_END();
}

EventSet codes_local(Interpreter *self, int tool, void *address)
{
    PyObject *capsule = find_capsule(self, address);
    const Watch *watch = capsule != NULL ? PyCapsule_GetPointer(capsule, WATCH) : NULL;
    EventSet events = watch != NULL ? watch->local[tool] : 0;
    Py_XDECREF(capsule);
    return events;
}

/* Drops a watch that only kept a code alive. */
static void drop_if_idle(Interpreter *self, Watch *watch)
{
    int tool;
    if (watch->is_weak)
        return;
    for (tool = 0; tool < TOOLS; tool++) {
        if (watch->local[tool] != 0)
            return;
    }
    remove_watch(self, watch->address);
}

int codes_set_local(Interpreter *self, int tool, PyObject *code, void *address, EventSet events)
{
    Watch *watch = find(self, address);
    EventSet old = watch != NULL ? watch->local[tool] : 0;
    int status;
    if (watch == NULL) {
        if (events == 0)
            return 0;
        watch = watch_code(self, code, address, true);
        if (watch == NULL)
            return -1;
    }
    status = tell_local(tool, watch, events);
    if (status != RMON_OK) {
        rmon_python_set_error(status, 0);
        drop_if_idle(self, watch);
        return -1;
    }
    watch->local[tool] = events;
    drop_if_idle(self, watch);
    if ((old | events) & ~(EventSet)RMON_LOCAL_EVENTS)
        count_per_code(self, tool);
    return 0;
}

/* A watch's code, as a new reference; NULL if it is dead. */
static PyObject *code_of(const Watch *watch)
{
    if (watch->is_weak)
        return weak_referent(watch->reference);
    Py_INCREF(watch->reference);
    return watch->reference;
}

PyObject *codes_of_tool(Interpreter *self, int tool)
{
    PyObject *list = PyList_New(0), *key, *capsule;
    Py_ssize_t position = 0;
    while (list != NULL && PyDict_Next(self->codes, &position, &key, &capsule)) {
        const Watch *watch = PyCapsule_GetPointer(capsule, WATCH);
        PyObject *code;
        if (watch == NULL || watch->local[tool] == 0)
            continue;
        code = code_of(watch);
        if (code != NULL && PyList_Append(list, code) < 0)
            Py_CLEAR(list);
        Py_XDECREF(code);
    }
    return list;
}

void codes_clear_tool(Interpreter *self, int tool)
{
    PyObject *list = PyDict_Values(self->codes);
    Py_ssize_t i;
    if (list == NULL) {
        PyErr_Clear();
        return;
    }
    for (i = 0; i < PyList_GET_SIZE(list); i++) {
        Watch *watch = PyCapsule_GetPointer(PyList_GET_ITEM(list, i), WATCH);
        if (watch == NULL || watch->local[tool] == 0)
            continue;
        watch->local[tool] = 0;
        (void)tell_local(tool, watch, 0);
        drop_if_idle(self, watch);
    }
    Py_DECREF(list);
    self->tools[tool].per_code = 0;
}

void codes_enable(Interpreter *self)
{
    PyObject *key, *capsule;
    Py_ssize_t position = 0;
    while (PyDict_Next(self->codes, &position, &key, &capsule)) {
        const Watch *watch = PyCapsule_GetPointer(capsule, WATCH);
        int tool;
        if (watch == NULL || watch->is_shared)
            continue;
        (void)rmon_code_forget(watch->address);
        for (tool = 0; tool < TOOLS; tool++) {
            if (watch->local[tool] != 0)
                (void)tell_local(tool, watch, watch->local[tool]);
        }
    }
}

void codes_end(Interpreter *self)
{
    PyObject *key, *capsule;
    Py_ssize_t position = 0;
    SERIALISED();
    while (PyDict_Next(self->codes, &position, &key, &capsule)) {
        const Watch *watch = PyCapsule_GetPointer(capsule, WATCH);
        if (watch != NULL && !watch->is_shared)
            (void)rmon_code_forget(watch->address);
    }
    SERIALISED_END();
    PyDict_Clear(self->codes);
}
