/* rmon_python.h: CPython's Monitoring C API for a Python extension, on CPython 3.9 to 3.15, by way of librmon.
 *
 * Include this file in place of Python.h, or before any other header that includes it. Source written to CPython's
 * documentation of the Monitoring C API then reports its events to rmon's tools, on interpreters that have no such API
 * too:
 *
 *     PyMonitoringState, PyMonitoring_EnterScope, PyMonitoring_ExitScope, PyMonitoring_Fire*Event,
 *     PY_MONITORING_EVENT_*, PY_MONITORING_IS_INSTRUMENTED_EVENT
 *
 * On 3.13 and newer these names are macros that hide CPython's own, so that the extension uses none of CPython's
 * PyMonitoring functions. It works with Py_LIMITED_API, too. rmon.h's own names for emitters are there as well.
 *
 * Nothing needs to be linked or imported. The extension attaches lazily (see RMON_LAZY in rmon.h): its probes come
 * alive when rmon is imported, by whomever, before or after the extension; without rmon they are disabled probes. With
 * `#define RMON_LINK` before the include the extension is to be linked with librmon instead. (That is so, too, where
 * there is no lazy attach, on systems without ELF, and if rmon.h was included before this file, after Python.h.)
 *
 * As CPython's functions, these need an attached thread state, return 0 or -1, and set a Python exception when they
 * return -1. Where they differ (README, "Differences from CPython"):
 *   - The exception that is set when an event is fired, of whatever kind, is set again afterwards, and out of the way
 *     while callbacks run. If the fire fails, it is the context of the exception that is then set.
 *   - An event that is fired while the interpreter has tracing off (inside a callback of sys.monitoring, or a trace
 *     function) is suppressed: 0, and nothing happens. (An extension in the limited API knows that once rmon has been
 *     imported, or an extension in the whole API has fired an event that a tool wanted.)
 *   - STOP_ITERATION's value that is a tuple becomes the value of the StopIteration, not its arguments.
 *   - NULL as retval, callable, arg0, value, target (which is then -1) or code is allowed.
 *   - A jump's or branch's target that is an int arrives as the event's target_offset, and its object is NULL. Any
 *     other object arrives as the event's object, and its target_offset is -1.
 *
 * Cython. A module compiled with the directive linetrace or profile fires into rmon if this file is seen by its C
 * code, which can happen in two ways, both without any macro on the command line:
 *   - from the inside:   cdef extern from "rmon_python.h": pass     (or a cimport that does this)
 *   - from the outside:  CFLAGS="-include rmon_python.h"
 * Wherever Cython's generated code uses the names, what it passes wrongly is put right: see "Cython" below. Cython
 * modules for the limited API are left as they are.
 */
#ifndef RMON_PYTHON_H
#define RMON_PYTHON_H

#if defined(RMON_H) && !defined(Py_PYTHON_H) && !defined(RMON_NO_PYMONITORING_NAMES)
#error "rmon.h was included without Python.h and took the PyMonitoring names: include rmon_python.h before it"
#endif
#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <string.h>

#if !defined(RMON_LINK) && !defined(RMON_LAZY) && !defined(RMON_H) && defined(__ELF__) \
    && (defined(__GNUC__) || defined(__clang__))
#define RMON_LAZY
#endif
#ifndef RMON_H
#define RMON_PRIV_HOST RMON_HOST_PYTHON
#endif
#include "rmon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Functions on a fire's way that are one with their caller; its way to the library for one event, of which the inline
 * check's function should see no more than a call; and what is done rarely. */
#if defined(__GNUC__) || defined(__clang__)
#define RMON_PYTHON_INLINE_ static inline __attribute__((always_inline))
#define RMON_PYTHON_CALLED_ static __attribute__((noinline, unused))
#define RMON_PYTHON_SLOW_ static __attribute__((noinline, cold, unused))
/* Has a variable kept in memory during the call before, since a register would have to be saved for it. */
#define RMON_PYTHON_REREAD_(variable) __asm__("" : "+m"(variable))
#else
#define RMON_PYTHON_REREAD_(variable) ((void)(variable))
#define RMON_PYTHON_INLINE_ static inline
#define RMON_PYTHON_CALLED_ static inline
#define RMON_PYTHON_SLOW_ static inline
#endif

/* ---- The slow half: a fire whose state is active ---- */

#ifndef RMON_DISABLED

#if defined(__GNUC__) || defined(__clang__)
#define RMON_PYTHON_LOAD_(variable) __atomic_load_n(&(variable), __ATOMIC_ACQUIRE)
#define RMON_PYTHON_STORE_(variable, value) __atomic_store_n(&(variable), (value), __ATOMIC_RELEASE)
#else /* MSVC, for whom accesses to volatile variables acquire and release */
#define RMON_PYTHON_LOAD_(variable) (variable)
#define RMON_PYTHON_STORE_(variable, value) ((variable) = (value))
#endif

/* Exceptions */

#if PY_VERSION_HEX >= 0x030C0000 && (!defined(Py_LIMITED_API) || Py_LIMITED_API + 0 >= 0x030C0000)
#define RMON_PYTHON_HAS_RAISED_
#endif

/* Takes the current exception away from the interpreter; NULL if there is none. The caller owns it. */
static inline PyObject *rmon_python_take_raised(void)
{
#ifdef RMON_PYTHON_HAS_RAISED_
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Makes `raised`, which is taken over, the current exception, or with NULL none. */
static inline void rmon_python_put_raised(PyObject *raised)
{
#ifdef RMON_PYTHON_HAS_RAISED_
    PyErr_SetRaisedException(raised);
#else
    PyObject *type = (PyObject *)(raised != NULL ? Py_TYPE(raised) : NULL);
    Py_XINCREF(type);
    PyErr_Restore(type, raised, raised != NULL ? PyException_GetTraceback(raised) : NULL);
#endif
}

enum { RMON_PYTHON_LONGEST_CHAIN = 100 }; /* a chain of contexts can be a ring, so nobody follows one for ever */

/* The one in the chain of contexts of `exception` whose context is `context` (NULL: the last one). Borrowed; NULL if
 * there is none. */
static inline PyObject *rmon_python_holder(PyObject *exception, PyObject *context)
{
    int hops;
    for (hops = 0; exception != NULL && hops < RMON_PYTHON_LONGEST_CHAIN; hops++) {
        PyObject *next = PyException_GetContext(exception);
        Py_XDECREF(next); /* the exception holds it */
        if (next == context)
            return exception;
        exception = next;
    }
    return NULL;
}

/* Puts `raised`, which is taken over, below `error`: as its context, or, if `error` has contexts that `raised` has
 * not, as the context of the last of those. */
static inline void rmon_python_chain(PyObject *error, PyObject *raised)
{
    PyObject *above, *below = error, *next;
    int hops;
    if (error == raised) {
        Py_DECREF(raised);
        return;
    }
    above = rmon_python_holder(raised, error);
    if (above != NULL) /* there must be no ring */
        PyException_SetContext(above, NULL);
    for (hops = 0; hops < RMON_PYTHON_LONGEST_CHAIN; hops++) {
        next = PyException_GetContext(below);
        Py_XDECREF(next);
        if (next == NULL || next == raised || rmon_python_holder(raised, next) != NULL)
            break;
        below = next;
    }
    PyException_SetContext(below, raised);
}

/* Puts `raised`, which is taken over, below the current exception. */
static inline void rmon_python_chain_raised(PyObject *raised)
{
    PyObject *error = rmon_python_take_raised();
    rmon_python_chain(error, raised);
    rmon_python_put_raised(error);
}

/* Sets the exception for a failed call, unless a callback has set one. */
static inline void rmon_python_set_error(int status, int event)
{
    const char *name = rmon_event_name(event), *message = rmon_status_message(status);
    if (PyErr_Occurred())
        return;
    switch (status) {
    case RMON_ERR_INVALID_OFFSET:
        PyErr_SetString(PyExc_ValueError, "offset must be non-negative");
        break;
    case RMON_ERR_INVALID_EVENT:
        PyErr_Format(PyExc_ValueError, "invalid event %d", event);
        break;
    case RMON_ERR_CANNOT_DISABLE:
        PyErr_Format(PyExc_ValueError, "Cannot disable %s events. Callback removed.", name != NULL ? name : "these");
        break;
    case RMON_ERR_NO_MEMORY:
        PyErr_NoMemory();
        break;
    default:
        PyErr_SetString(PyExc_RuntimeError, message != NULL ? message : "rmon was detached during the call");
    }
}

/* Ends a call that failed: its exception is set, with `raised` (or NULL), which is taken over, below it. */
RMON_PYTHON_SLOW_ int rmon_python_failed(int status, int event, PyObject *raised)
{
    rmon_python_set_error(status, event);
    if (raised != NULL)
        rmon_python_chain_raised(raised);
    return -1;
}

/* The exception that a STOP_ITERATION event reports: a StopIteration whose value is `value`. A new reference. */
static inline PyObject *rmon_python_stop_iteration(PyObject *value)
{
    if (value == NULL || value == Py_None)
        return PyObject_CallFunctionObjArgs(PyExc_StopIteration, NULL);
    if (PyObject_TypeCheck(value, (PyTypeObject *)PyExc_StopIteration)) {
        Py_INCREF(value);
        return value;
    }
    return PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
}

/* An event's number as rmon.monitoring.events has it: the running interpreter's, if that has events. */
static inline int rmon_python_event_number(int event)
{
#ifdef Py_LIMITED_API
    const char *version = Py_GetVersion();
    int old = version[0] == '3' && version[1] == '.' && version[2] == '1' && (version[3] == '2' || version[3] == '3');
#else
    int old = PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000;
#endif
    /* 3.12 and 3.13 know one kind of branch only. */
    return old && event > RMON_EVENT_BRANCH_RIGHT ? event - 1 : event;
}

/* A fire under way on this thread, noted for whom it reaches: the host's functions, and rmon's Python package, which
 * then know that the addresses they meet are objects (an emitter without Python passes any), and that the thread is
 * attached. Fields are added at the end only. */
typedef struct rmon_python_fire {
    uint32_t struct_size;
    uint32_t count; /* 0 at first; the package's, as is `arguments` */
    PyObject *code;
    PyThreadState *thread;
    void (*release)(struct rmon_python_fire *fire); /* NULL at first; what the package wants to be called in the end */
    PyObject *arguments[6]; /* of C_RETURN and C_RAISE, [3] is the callable that the fire gives, or NULL */
} rmon_python_fire;

/* The host: what only Python can tell rmon. */

#if !defined(Py_LIMITED_API) || Py_LIMITED_API + 0 >= 0x03090000
#define rmon_python_interpreter_dict() PyInterpreterState_GetDict(PyInterpreterState_Get())
#else
#define rmon_python_interpreter_dict() ((PyObject *)NULL)
#endif

/* What the limited API cannot know and who has the whole one tells it, by a capsule "rmon.host" in the interpreter's
 * dict. Fields are added at the end only. */
typedef struct rmon_python_host {
    uint32_t struct_size;
    int (*is_tracing)(const PyThreadState *thread);
} rmon_python_host;

#ifdef Py_LIMITED_API

static const rmon_python_host *volatile rmon_python_known_host; /* NULL: not known yet */

/* Whether the interpreter has tracing off on this thread. Leaves an exception that is set as it is. */
static inline int rmon_python_is_tracing(const PyThreadState *thread)
{
    const rmon_python_host *host = RMON_PYTHON_LOAD_(rmon_python_known_host);
    PyObject *known = host == NULL ? rmon_python_interpreter_dict() : NULL, *capsule;
    if (known != NULL && (capsule = PyDict_GetItemString(known, "rmon.host")) != NULL
        && PyCapsule_IsValid(capsule, "rmon.host")) {
        host = (const rmon_python_host *)PyCapsule_GetPointer(capsule, "rmon.host");
        RMON_PYTHON_STORE_(rmon_python_known_host, host);
    }
    return host != NULL && host->is_tracing(thread);
}

#define rmon_python_has_raised(thread) ((void)(thread), PyErr_Occurred() != NULL)
#define rmon_python_is_usual(thread) (!rmon_python_has_raised(thread) && !rmon_python_is_tracing(thread))
#define rmon_python_current_exception NULL /* there is no way to ask whether a thread is attached */
#define rmon_python_begin_wait NULL
#define rmon_python_end_wait NULL

#else

/* Not NULL: an exception is set. */
#if PY_VERSION_HEX >= 0x030C0000
#define RMON_PYTHON_RAISED_(thread) ((thread)->current_exception)
#else
#define RMON_PYTHON_RAISED_(thread) ((thread)->curexc_type)
#endif

/* Both without the calls that would find the thread's state anew. */
static inline int rmon_python_is_tracing(const PyThreadState *thread)
{
    return thread->tracing != 0;
}

static inline int rmon_python_has_raised(const PyThreadState *thread)
{
    return RMON_PYTHON_RAISED_(thread) != NULL;
}

/* Neither of the two. */
static inline int rmon_python_is_usual(const PyThreadState *thread)
{
    return ((uintptr_t)RMON_PYTHON_RAISED_(thread) | (unsigned)thread->tracing) == 0;
}

/* This thread's state if it is attached to an interpreter, else NULL. */
static inline PyThreadState *rmon_python_attached(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#elif PY_VERSION_HEX >= 0x030C0000
    return _PyThreadState_UncheckedGet();
#else
    /* The state of whoever holds the GIL. Usually a thread knows its own; in a subinterpreter it has several. */
    PyThreadState *holder = _PyThreadState_UncheckedGet();
    if (holder != NULL && holder != PyGILState_GetThisThreadState()
        && holder->thread_id != PyThread_get_thread_ident())
        return NULL;
    return holder;
#endif
}

/* rmon_host.current_exception */
static inline void *rmon_python_current_exception(void *user_data)
{
    PyObject *raised;
    (void)user_data;
    if (rmon_python_attached() == NULL || !PyErr_Occurred())
        return NULL;
    raised = rmon_python_take_raised();
    rmon_python_put_raised(raised); /* which holds it from here on */
    return raised;
}

/* rmon_host.begin_wait and end_wait: a callback that is waited for may be waiting for the GIL. */
static inline void *rmon_python_begin_wait(void *user_data)
{
    (void)user_data;
    return rmon_python_attached() != NULL ? PyEval_SaveThread() : NULL;
}

static inline void rmon_python_end_wait(void *user_data, void *thread)
{
    (void)user_data;
    if (thread != NULL)
        PyEval_RestoreThread((PyThreadState *)thread);
}

/* Tells extensions in the limited API what they cannot know, unless somebody has told them. Leaves no exception. */
static inline void rmon_python_tell(void)
{
    static const rmon_python_host host = {sizeof(rmon_python_host), rmon_python_is_tracing};
    PyObject *known = rmon_python_interpreter_dict(), *capsule;
    if (known == NULL || PyDict_GetItemString(known, "rmon.host") != NULL)
        return;
    capsule = PyCapsule_New((void *)&host, "rmon.host", NULL);
    if (capsule == NULL || PyDict_SetItemString(known, "rmon.host", capsule) < 0)
        PyErr_Clear();
    Py_XDECREF(capsule);
}

#endif /* !Py_LIMITED_API */

/* Whether a code is that of the fire that is under way on this thread, and therefore an object. */
static inline int rmon_python_is_fired(void *code)
{
    void **note = rmon_host_note();
    const rmon_python_fire *fire = note != NULL ? (const rmon_python_fire *)*note : NULL;
    return code != NULL && fire != NULL && (void *)fire->code == code;
}

/* An attribute's text in UTF-8, which lives as long as the interpreter: a look-alike may make its texts anew each time,
 * and in the limited API of 3.9 a str has none to lend. NULL if there is none; an exception may be set. */
static inline const char *rmon_python_text(PyObject *code, const char *attribute)
{
    PyObject *kept = rmon_python_interpreter_dict(), *value = PyObject_GetAttrString(code, attribute), *key = NULL;
    PyObject *text = NULL, *fresh;
    if (kept != NULL && value != NULL && PyUnicode_Check(value))
        key = Py_BuildValue("(sO)", "rmon", value);
    if (key != NULL && (text = PyDict_GetItemWithError(kept, key)) == NULL && !PyErr_Occurred()) {
        fresh = PyUnicode_AsUTF8String(value);
        if (fresh != NULL && PyDict_SetItem(kept, key, fresh) == 0)
            text = fresh;
        Py_XDECREF(fresh); /* the dict holds it */
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    return text != NULL ? PyBytes_AsString(text) : NULL;
}

/* Describes an object by its attributes, which are a code object's or a look-alike's. */
static inline int rmon_python_describe_object(PyObject *code, rmon_code_info *out)
{
    PyObject *raised = PyErr_Occurred() ? rmon_python_take_raised() : NULL, *number;
    const char *name = rmon_python_text(code, "co_name"), *qualname = NULL, *filename = NULL;
    long line = 1;
    if (name != NULL && (filename = rmon_python_text(code, "co_filename")) != NULL) {
        qualname = rmon_python_text(code, "co_qualname"); /* since 3.11 */
        PyErr_Clear();
        number = PyObject_GetAttrString(code, "co_firstlineno");
        if (number != NULL)
            line = PyLong_AsLong(number);
        Py_XDECREF(number);
        out->first_line = PyErr_Occurred() || line < INT32_MIN || line > INT32_MAX ? 1 : (int32_t)line;
        out->name = name;
        out->qualname = qualname;
        out->filename = filename;
        out->lines = NULL;
        out->line_count = 0;
    }
    PyErr_Clear();
    if (raised != NULL)
        rmon_python_put_raised(raised);
    return filename != NULL ? RMON_OK : RMON_ERR_UNKNOWN_CODE;
}

/* rmon_host.describe: code objects and look-alikes, while their events are delivered. */
static inline int rmon_python_describe(void *user_data, void *code, int firing, rmon_code_info *out)
{
    (void)user_data;
    if (!firing || !rmon_python_is_fired(code))
        return RMON_ERR_UNKNOWN_CODE;
#ifndef Py_LIMITED_API
    if (PyCode_Check((PyObject *)code)) { /* by its own texts, which live as long as it does */
        const PyCodeObject *object = (const PyCodeObject *)code;
        const char *name = PyUnicode_AsUTF8(object->co_name), *filename = PyUnicode_AsUTF8(object->co_filename);
        const char *qualname = name;
#if PY_VERSION_HEX >= 0x030B0000
        qualname = PyUnicode_AsUTF8(object->co_qualname);
#endif
        if (name == NULL || qualname == NULL || filename == NULL) { /* no memory, or lone surrogates */
            PyErr_Clear();
            return RMON_ERR_UNKNOWN_CODE;
        }
        out->first_line = object->co_firstlineno;
        out->name = name;
        out->qualname = qualname;
        out->filename = filename;
        out->lines = NULL;
        out->line_count = 0;
        return RMON_OK;
    }
#endif
    return rmon_python_describe_object((PyObject *)code, out);
}

static PyObject *volatile rmon_python_missing; /* sys.monitoring.MISSING, which never dies; NULL below 3.12 */
static volatile int rmon_python_is_set_up;
static volatile ptrdiff_t rmon_python_note_offset; /* where every thread has its note; 0 if that is not known (yet) */

/* Makes this extension's functions the host's, unless there are better ones: of rmon's Python package, or, for the
 * limited API, of an extension that has the whole one. Called by the first active fire, without an exception set, and
 * leaves none. Twice does no harm, nor does it that every extension has functions of its own: they are the same. */
static inline void rmon_python_set_up(void)
{
    static const rmon_host host = {
        sizeof(rmon_host), NULL, rmon_python_current_exception, rmon_python_describe,
        rmon_python_begin_wait, rmon_python_end_wait,
    };
    PyObject *monitoring = PySys_GetObject("monitoring");
    PyObject *missing = monitoring != NULL ? PyObject_GetAttrString(monitoring, "MISSING") : NULL;
    int is_better = PyDict_GetItemString(PyImport_GetModuleDict(), "rmon._rmon") != NULL;
#ifdef Py_LIMITED_API
    PyObject *known = rmon_python_interpreter_dict();
#endif
    PyErr_Clear();
    RMON_PYTHON_STORE_(rmon_python_missing, missing);
#ifdef Py_LIMITED_API
    is_better = is_better || known == NULL || PyDict_GetItemString(known, "rmon.host") != NULL;
#else
    rmon_python_tell();
#endif
    if (!is_better)
        (void)rmon_set_host(&host);
    RMON_PYTHON_STORE_(rmon_python_is_set_up, 1);
    RMON_PYTHON_STORE_(rmon_python_note_offset, rmon_host_note_offset()); /* the last */
}

/* This thread's note, if what rmon_host_note_offset gave is not 0. */
static inline void **rmon_python_note_at(ptrdiff_t offset)
{
#if defined(__x86_64__) && !defined(__ILP32__) && (defined(__GNUC__) || defined(__clang__))
    char *thread;
    __asm__("mov %%fs:0, %0" : "=r"(thread));
    return (void **)(thread + offset);
#else
    (void)offset;
    return rmon_host_note();
#endif
}

/* This thread's note, with everything set up; NULL if the extension has been put to sleep since the scope was entered.
 * Without an exception set. */
static inline void **rmon_python_note(void)
{
    ptrdiff_t offset = RMON_PYTHON_LOAD_(rmon_python_note_offset);
    void **note;
    if (offset != 0)
        return rmon_python_note_at(offset);
    note = rmon_host_note();
    if (note != NULL && !RMON_PYTHON_LOAD_(rmon_python_is_set_up))
        rmon_python_set_up();
    return note;
}

/* The fire */

/* The only place that knows the library's fire functions. Jumps and branches have an object for a target here, or, if
 * there is none, a number. C_RETURN and C_RAISE have a callable and its argument, or, if there is none, the last
 * call's. */
RMON_PYTHON_INLINE_ int rmon_python_call(int event, rmon_state *state, void *code, int32_t offset, void *object,
                                         void *arg0, int32_t number)
{
    switch (event) {
    case RMON_EVENT_PY_START:
        return rmon_fire_py_start_slow(state, code, offset);
    case RMON_EVENT_PY_RESUME:
        return rmon_fire_py_resume_slow(state, code, offset);
    case RMON_EVENT_PY_RETURN:
        return rmon_fire_py_return_slow(state, code, offset, object);
    case RMON_EVENT_PY_YIELD:
        return rmon_fire_py_yield_slow(state, code, offset, object);
    case RMON_EVENT_CALL:
        return rmon_fire_call_slow(state, code, offset, object, arg0);
    case RMON_EVENT_LINE:
        return rmon_fire_line_slow(state, code, offset, number);
    case RMON_EVENT_INSTRUCTION:
        return rmon_fire_instruction_slow(state, code, offset);
    case RMON_EVENT_STOP_ITERATION:
        return rmon_fire_stop_iteration_slow(state, code, offset, object);
    case RMON_EVENT_RAISE:
        return rmon_fire_raise_slow(state, code, offset, object);
    case RMON_EVENT_EXCEPTION_HANDLED:
        return rmon_fire_exception_handled_slow(state, code, offset, object);
    case RMON_EVENT_PY_UNWIND:
        return rmon_fire_py_unwind_slow(state, code, offset, object);
    case RMON_EVENT_PY_THROW:
        return rmon_fire_py_throw_slow(state, code, offset, object);
    case RMON_EVENT_RERAISE:
        return rmon_fire_reraise_slow(state, code, offset, object);
    case RMON_EVENT_C_RETURN:
    case RMON_EVENT_C_RAISE:
        if (object == NULL)
            return rmon_fire_last_call_slow(state, code, offset, event);
        return event == RMON_EVENT_C_RETURN ? rmon_fire_c_return_slow(state, code, offset, object, arg0)
                                            : rmon_fire_c_raise_slow(state, code, offset, object, arg0);
    default:
        break;
    }
    if (object != NULL)
        return rmon_fire_target_object_slow(state, code, offset, event, object);
    switch (event) {
    case RMON_EVENT_JUMP:
        return rmon_fire_jump_slow(state, code, offset, number);
    case RMON_EVENT_BRANCH_LEFT:
        return rmon_fire_branch_left_slow(state, code, offset, number);
    case RMON_EVENT_BRANCH_RIGHT:
        return rmon_fire_branch_right_slow(state, code, offset, number);
    default:
        return rmon_fire_branch_slow(state, code, offset, number);
    }
}

/* The events that report the current exception. */
#define RMON_PYTHON_EXCEPTION_EVENTS_                                                                          \
    (RMON_EVENT_SET(RMON_EVENT_RAISE) | RMON_EVENT_SET(RMON_EVENT_RERAISE) | RMON_EVENT_SET(RMON_EVENT_C_RAISE) \
     | RMON_EVENT_SET(RMON_EVENT_EXCEPTION_HANDLED) | RMON_EVENT_SET(RMON_EVENT_PY_UNWIND)                      \
     | RMON_EVENT_SET(RMON_EVENT_PY_THROW))

/* The end of a fire, if there is more to it. */
RMON_PYTHON_SLOW_ int rmon_python_finish(int event, int status, rmon_python_fire *fire, PyObject *raised)
{
    if (fire->release != NULL)
        fire->release(fire);
    if (status < 0)
        return rmon_python_failed(status, event, raised);
    if (raised != NULL || rmon_python_has_raised(fire->thread))
        rmon_python_put_raised(raised); /* also when a callback that did not fail has left one of its own */
    return 0;
}

/* Calls the library with the interpreter's error indicator clean, and gives the interpreter its exception back:
 * `raised` (or NULL), which is taken over. The fire has its code and its thread. */
RMON_PYTHON_INLINE_ int rmon_python_deliver(int event, rmon_state *state, rmon_python_fire *fire, int32_t offset,
                                            PyObject *object, PyObject *arg0, int32_t number, PyObject *raised,
                                            void **note)
{
    rmon_python_fire *delivered = fire;
    void *outer = *note;
    int status;
    fire->struct_size = sizeof *fire;
    fire->count = 0;
    fire->release = NULL;
    if (RMON_EVENT_SET(event) & RMON_ANCILLARY_EVENTS)
        fire->arguments[3] = object; /* this one is held; what the last CALL said may not be */
    if (arg0 != NULL && arg0 == RMON_PYTHON_LOAD_(rmon_python_missing))
        arg0 = NULL;
    *note = fire;
    status = rmon_python_call(event, state, fire->code, offset, object, arg0, number);
    RMON_PYTHON_REREAD_(note);
    RMON_PYTHON_REREAD_(outer);
    RMON_PYTHON_REREAD_(delivered);
    *note = outer;
    if (RMON_PRIV_UNLIKELY(status < 0 || fire->release != NULL || raised != NULL
                           || rmon_python_has_raised(fire->thread)))
        return rmon_python_finish(event, status, delivered, raised);
    return 0;
}

/* The same whether or not everything is set up. */
RMON_PYTHON_CALLED_ int rmon_python_deliver_noted(int event, rmon_state *state, rmon_python_fire *fire, int32_t offset,
                                                  PyObject *object, PyObject *arg0, int32_t number, PyObject *raised)
{
    void **note = rmon_python_note();
    if (note != NULL)
        return rmon_python_deliver(event, state, fire, offset, object, arg0, number, raised, note);
    if (raised != NULL)
        rmon_python_put_raised(raised);
    return 0;
}

/* Fires an event in whatever case. */
RMON_PYTHON_CALLED_ int rmon_python_fire_any(int event, rmon_state *state, rmon_python_fire *fire, int32_t offset,
                                             PyObject *object, PyObject *arg0, int32_t number)
{
    PyObject *raised, *stop = NULL;
    int result;
    if (rmon_python_is_tracing(fire->thread))
        return 0;
    raised = rmon_python_has_raised(fire->thread) ? rmon_python_take_raised() : NULL;
    if (RMON_EVENT_SET(event) & RMON_PYTHON_EXCEPTION_EVENTS_) {
        if (raised == NULL) {
            PyErr_Format(PyExc_ValueError, "Firing event %d with no exception set", rmon_python_event_number(event));
            return -1;
        }
        object = raised;
    } else if (event == RMON_EVENT_STOP_ITERATION) {
        object = stop = rmon_python_stop_iteration(object);
        if (stop == NULL)
            return rmon_python_failed(RMON_ERR_INTERNAL, event, raised);
    }
    if (RMON_EVENT_SET(event) & RMON_ANCILLARY_EVENTS)
        object = NULL; /* neither the value nor the exception is the callable */
    result = rmon_python_deliver_noted(event, state, fire, offset, object, arg0, number, raised);
    Py_XDECREF(stop);
    return result;
}

/* Fires an event whose state is active. Short where the event is known and has nothing to do with exceptions. */
RMON_PYTHON_INLINE_ int rmon_python_fire_active(int event, rmon_state *state, PyObject *code, int32_t offset,
                                                PyObject *object, PyObject *arg0, int32_t number)
{
    const unsigned others = RMON_PYTHON_EXCEPTION_EVENTS_ | RMON_ANCILLARY_EVENTS
                            | RMON_EVENT_SET(RMON_EVENT_STOP_ITERATION);
    PyThreadState *thread;
    rmon_python_fire fire;
    ptrdiff_t note;
    fire.code = code;
    thread = PyThreadState_Get();
    RMON_PYTHON_REREAD_(fire.code);
    RMON_PYTHON_REREAD_(state);
    RMON_PYTHON_REREAD_(offset);
    fire.thread = thread;
    note = RMON_PYTHON_LOAD_(rmon_python_note_offset);
    if ((RMON_EVENT_SET(event) & others) || RMON_PRIV_UNLIKELY(note == 0 || !rmon_python_is_usual(thread)))
        return rmon_python_fire_any(event, state, &fire, offset, object, arg0, number);
    return rmon_python_deliver(event, state, &fire, offset, object, arg0, number, NULL, rmon_python_note_at(note));
}

/* Fires an event whose state is active, for who knows more than the PyMonitoring functions are told: an exception
 * event's exception is `object`, not the current one, and the callable of C_RETURN and C_RAISE is `object`, its first
 * argument `arg0` (or NULL). */
static inline int rmon_python_fire_given(int event, rmon_state *state, PyObject *code, int32_t offset,
                                         PyObject *object, PyObject *arg0, int32_t number)
{
    rmon_python_fire fire;
    fire.code = code;
    fire.thread = PyThreadState_Get();
    if (rmon_python_is_tracing(fire.thread))
        return 0;
    return rmon_python_deliver_noted(event, state, &fire, offset, object, arg0, number,
                                     rmon_python_has_raised(fire.thread) ? rmon_python_take_raised() : NULL);
}

/* The same for the events that have a target. */
RMON_PYTHON_INLINE_ int rmon_python_fire_target(int event, rmon_state *state, PyObject *code, int32_t offset,
                                                PyObject *target)
{
    int32_t number = -1;
    if (target != NULL && PyLong_Check(target)) {
        int overflow;
        long value = PyLong_AsLongAndOverflow(target, &overflow);
        if (!overflow && value >= INT32_MIN && value <= INT32_MAX) {
            number = (int32_t)value;
            target = NULL;
        }
    }
    return rmon_python_fire_active(event, state, code, offset, target, NULL, number);
}

/* A scope that could not be entered. */
static inline int rmon_python_enter_failed(int status, const uint8_t *event_types, Py_ssize_t length)
{
    PyObject *raised = PyErr_Occurred() ? rmon_python_take_raised() : NULL;
    Py_ssize_t i = 0;
    while (status == RMON_ERR_INVALID_EVENT && i < length - 1 && event_types[i] < RMON_EVENT_COUNT)
        i++;
    return rmon_python_failed(status, status == RMON_ERR_INVALID_EVENT ? event_types[i] : 0, raised);
}

#endif /* !RMON_DISABLED */

/* ---- The fast half: what the PyMonitoring names stand for ---- */

#ifndef RMON_DISABLED
#define RMON_PYTHON_IF_ACTIVE_(state) RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0)
#else
#define RMON_PYTHON_IF_ACTIVE_(state) ((void)(state), 0)
#define rmon_python_fire_active(event, state, code, offset, object, arg0, number) \
    ((void)(state), (void)(code), (void)(offset), (void)(object), (void)(arg0), (void)(number), 0)
#define rmon_python_fire_target(event, state, code, offset, target) \
    ((void)(state), (void)(code), (void)(offset), (void)(target), 0)
#define rmon_python_enter_failed(status, event_types, length) 0
#endif

static inline int rmon_python_enter_scope(rmon_state *states, uint64_t *version, const uint8_t *event_types,
                                          Py_ssize_t length)
{
    int status = rmon_enter_scope(states, version, event_types, (ptrdiff_t)length);
    return status == RMON_OK ? 0 : rmon_python_enter_failed(status, event_types, length);
}

static inline int rmon_python_exit_scope(void)
{
    return 0; /* enters and exits need not balance */
}

/* Two functions for each event: the inline check, rmon_python_fire_NAME, and what it calls, rmon_python_active_NAME. */
#define RMON_PYTHON_FIRE_(name, event)                                                                    \
    RMON_PYTHON_CALLED_ int rmon_python_active_##name(rmon_state *state, PyObject *code, int32_t offset) \
    {                                                                                                     \
        return rmon_python_fire_active(event, state, code, offset, NULL, NULL, -1);                       \
    }                                                                                                     \
    static inline int rmon_python_fire_##name(rmon_state *state, PyObject *code, int32_t offset)          \
    {                                                                                                     \
        return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_python_active_##name(state, code, offset) : 0;        \
    }
/* The same with an object, which `how` takes. */
#define RMON_PYTHON_FIRE_OBJECT_(name, how)                                                              \
    RMON_PYTHON_CALLED_ int rmon_python_active_##name(rmon_state *state, PyObject *code, int32_t offset, \
                                                      PyObject *object)                                   \
    {                                                                                                     \
        return how;                                                                                       \
    }                                                                                                     \
    static inline int rmon_python_fire_##name(rmon_state *state, PyObject *code, int32_t offset,          \
                                              PyObject *object)                                           \
    {                                                                                                     \
        return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_python_active_##name(state, code, offset, object) : 0; \
    }
#define RMON_PYTHON_FIRE_VALUE_(name, event) \
    RMON_PYTHON_FIRE_OBJECT_(name, rmon_python_fire_active(event, state, code, offset, object, NULL, -1))
#define RMON_PYTHON_FIRE_TARGET_(name, event) \
    RMON_PYTHON_FIRE_OBJECT_(name, rmon_python_fire_target(event, state, code, offset, object))

RMON_PYTHON_FIRE_(py_start, RMON_EVENT_PY_START)
RMON_PYTHON_FIRE_(py_resume, RMON_EVENT_PY_RESUME)
RMON_PYTHON_FIRE_VALUE_(py_return, RMON_EVENT_PY_RETURN)
RMON_PYTHON_FIRE_VALUE_(py_yield, RMON_EVENT_PY_YIELD)
RMON_PYTHON_FIRE_(instruction, RMON_EVENT_INSTRUCTION) /* for which there is no PyMonitoring name */
RMON_PYTHON_FIRE_TARGET_(jump, RMON_EVENT_JUMP)
RMON_PYTHON_FIRE_TARGET_(branch, RMON_EVENT_BRANCH)
RMON_PYTHON_FIRE_TARGET_(branch_left, RMON_EVENT_BRANCH_LEFT)
RMON_PYTHON_FIRE_TARGET_(branch_right, RMON_EVENT_BRANCH_RIGHT)
RMON_PYTHON_FIRE_VALUE_(stop_iteration, RMON_EVENT_STOP_ITERATION)
RMON_PYTHON_FIRE_VALUE_(c_return, RMON_EVENT_C_RETURN)
RMON_PYTHON_FIRE_(c_raise, RMON_EVENT_C_RAISE)
RMON_PYTHON_FIRE_(raise, RMON_EVENT_RAISE)
RMON_PYTHON_FIRE_(reraise, RMON_EVENT_RERAISE)
RMON_PYTHON_FIRE_(exception_handled, RMON_EVENT_EXCEPTION_HANDLED)
RMON_PYTHON_FIRE_(py_unwind, RMON_EVENT_PY_UNWIND)
RMON_PYTHON_FIRE_(py_throw, RMON_EVENT_PY_THROW)

RMON_PYTHON_CALLED_ int rmon_python_active_call(rmon_state *state, PyObject *code, int32_t offset,
                                                PyObject *callable, PyObject *arg0)
{
    return rmon_python_fire_active(RMON_EVENT_CALL, state, code, offset, callable, arg0, -1);
}

static inline int rmon_python_fire_call(rmon_state *state, PyObject *code, int32_t offset,
                                        PyObject *callable, PyObject *arg0)
{
    return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_python_active_call(state, code, offset, callable, arg0) : 0;
}

RMON_PYTHON_CALLED_ int rmon_python_active_line(rmon_state *state, PyObject *code, int32_t offset, int lineno)
{
    return rmon_python_fire_active(RMON_EVENT_LINE, state, code, offset, NULL, NULL, lineno);
}

static inline int rmon_python_fire_line(rmon_state *state, PyObject *code, int32_t offset, int lineno)
{
    return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_python_active_line(state, code, offset, lineno) : 0;
}

/* Whether an event is a local one. */
static inline int rmon_python_is_instrumented(int event)
{
    return event >= 0 && event < RMON_EVENT_COUNT && (RMON_EVENT_SET(event) & RMON_LOCAL_EVENTS) != 0;
}

/* ---- Cython ---- */

/* What its code generator (3.1 to 3.3) passes wrongly, and what becomes of it:
 *   - As an offset, the index of the position in the code object's table. Twice that is the byte offset at which
 *     co_lines() and co_positions() have it. An index that the code has no room for (a module's code has no table)
 *     becomes 0. Before 3.11 Cython's code objects have no table, and every index keeps a number of its own.
 *   - As RAISE's offset, the line, and as PY_UNWIND's, that of the function's first line. Both become the offset of
 *     the first position on the line that raised; 0 where the table does not have it, as it does in generators, whose
 *     tables have one line. LINE's offset is looked up, too, if Cython has none for it.
 *   - RAISE and PY_UNWIND without an exception, where __next__ raises StopIteration: its code then only returns NULL.
 *     The events get a StopIteration, and afterwards none is set.
 *   - RAISE, RERAISE and EXCEPTION_HANDLED without the GIL, in a try statement below `with nogil`: they take it.
 *   - PY_RESUME for what a generator is thrown, or PY_START, if it is the first thing that happens to it: that becomes
 *     PY_THROW, as in the interpreter. A tool for PY_THROW alone hears of it in both cases.
 *   - For PY_YIELD, the state of PY_RETURN, after a test of its own of PY_YIELD's. So the state is not looked at.
 *   - PyMonitoring_ExitScope more often than PyMonitoring_EnterScope, or less: it does nothing here.
 *   - RAISE and PY_UNWIND twice for one call of a cpdef function from Python: the second, from the function that
 *     Python calls, is left out.
 *   - A second RAISE for an exception that was reported, or reraised, if nobody listens to the other exception events.
 *   - A new code object for each call of what has none of its own: it is made once, and lives as long as the
 *     interpreter.
 */

/* By default Cython has monitoring on 3.13 and newer, and line events only where told to. Its code decides on that
 * before a header comes that is included from the inside, and after one that is included from the outside. */
#if !defined(Py_LIMITED_API) && !defined(CYTHON_LIMITED_API) && !defined(PYPY_VERSION) && !defined(GRAALVM_PYTHON)
#ifdef RMON_DISABLED
#ifndef CYTHON_PROFILE
#define CYTHON_PROFILE 0
#endif
#else
#define RMON_CYTHON_
#ifdef CYTHON_COMPILING_IN_CPYTHON
#undef CYTHON_USE_SYS_MONITORING
#endif
#ifndef CYTHON_USE_SYS_MONITORING
#define CYTHON_USE_SYS_MONITORING 1
#endif
#ifndef CYTHON_TRACE
#define CYTHON_TRACE 1
#endif
#endif
#endif

#ifdef RMON_CYTHON_

/* The slow half is kept out of Cython's functions, whose fast paths would get slower by what it needs. */
#if defined(__GNUC__) || defined(__clang__)
#define RMON_CYTHON_UNUSED_ __attribute__((unused))
#else
#define RMON_CYTHON_UNUSED_
#endif

/* Codes and offsets */

/* The offset for the position with an index. */
static inline int32_t rmon_cython_offset(PyObject *code, int32_t index)
{
#if PY_VERSION_HEX >= 0x030B0000
    if (code != NULL && PyCode_Check(code) && index >= Py_SIZE(code)) /* in code units, of two bytes */
        return 0;
#else
    (void)code;
#endif
    return (int32_t)((uint32_t)index * 2);
}

#if PY_VERSION_HEX >= 0x030B0000
/* Reads a number from a line table: six bits a byte, the lowest first, and a bit that says that more follow. */
static inline unsigned rmon_cython_varint(const unsigned char **at, const unsigned char *end)
{
    unsigned value = 0, shift = 0, byte = 0x40;
    while ((byte & 0x40) && *at < end && shift < 32) {
        byte = *(*at)++;
        value |= (byte & 0x3f) << shift;
        shift += 6;
    }
    return value;
}
#endif

/* The offset of the first position on a line of the code; 0 if it has none. */
RMON_PYTHON_SLOW_ int32_t rmon_cython_offset_of_line(PyObject *code, int line)
{
#if PY_VERSION_HEX >= 0x030B0000
    enum { ONE_LINE_0 = 10, ONE_LINE_2 = 12, NO_COLUMNS = 13, LONG = 14 }; /* CPython's InternalDocs/locations.md */
    const unsigned char *at, *end;
    int current, offset = 0;
    if (code == NULL || !PyCode_Check(code))
        return 0;
    current = ((PyCodeObject *)code)->co_firstlineno;
    at = (const unsigned char *)PyBytes_AS_STRING(((PyCodeObject *)code)->co_linetable);
    end = at + PyBytes_GET_SIZE(((PyCodeObject *)code)->co_linetable);
    while (at < end) {
        int kind = *at >> 3 & 15, units = (*at & 7) + 1;
        at++;
        if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2) {
            current += kind - ONE_LINE_0;
        } else if (kind == NO_COLUMNS || kind == LONG) {
            unsigned delta = rmon_cython_varint(&at, end);
            current += delta & 1 ? -(int)(delta >> 1) : (int)(delta >> 1);
        }
        if (current == line && kind <= LONG)
            return offset;
        while (at < end && !(*at & 0x80)) /* columns; only an entry's first byte has this bit */
            at++;
        offset += 2 * units;
    }
#else
    (void)code;
    (void)line;
#endif
    return 0;
}

/* Cython's way to make a code object for a function that has none at hand: always the same one for the same place of
 * this extension, in each interpreter. Whatever else uses PyCode_NewEmpty (tracebacks) gets a new one as ever. */
RMON_PYTHON_SLOW_ PyCodeObject *rmon_cython_code(const char *filename, const char *name, int line)
{
    static const char extension = 0; /* its address says whose code it is */
    PyObject *raised = PyErr_Occurred() ? rmon_python_take_raised() : NULL;
    PyObject *made = PyInterpreterState_GetDict(PyInterpreterState_Get()), *key, *code = NULL, *fresh;
    key = Py_BuildValue("(snyyi)", "rmon", (Py_ssize_t)(intptr_t)&extension, filename, name, line);
    if (made != NULL && key != NULL)
        code = PyDict_GetItemWithError(made, key);
    if (code == NULL && !PyErr_Occurred()) {
        fresh = (PyObject *)PyCode_NewEmpty(filename, name, line);
        code = fresh != NULL && made != NULL ? PyDict_SetDefault(made, key, fresh) : fresh;
        Py_XINCREF(code);
        Py_XDECREF(fresh);
    } else {
        Py_XINCREF(code);
    }
    Py_XDECREF(key);
    if (code == NULL && raised != NULL)
        rmon_python_chain_raised(raised);
    else if (raised != NULL)
        rmon_python_put_raised(raised);
    return (PyCodeObject *)code;
}

static inline PyCodeObject *rmon_cython_new_code(const char *filename, const char *name, int line)
{
    return PyCode_NewEmpty(filename, name, line);
}

/* The monitoring code is known by the name of the variable that it passes. */
#define rmon_cython_new_empty(filename, name, line) \
    (strcmp(#line, "firstlineno") == 0 ? rmon_cython_code : rmon_cython_new_code)(filename, name, line)

/* Whether it is Cython's own code that fires or enters, and not a module's that was written to CPython's documentation.
 * It is known by its names. Compilers know the answer. */
#define RMON_CYTHON_IS_OWN_(state)                                                        \
    (strstr(#state, "__Pyx_Monitoring_") != NULL || strcmp(#state, "monitoring_state") == 0 \
     || strcmp(#state, "state_array") == 0)

/* Scopes */

/* Where some events stand in Cython's arrays, and how long the arrays are. */
enum {
    RMON_CYTHON_START = 0,
    RMON_CYTHON_UNWIND = 2,
    RMON_CYTHON_RAISE = 4,
    RMON_CYTHON_RERAISE = 5,
    RMON_CYTHON_HANDLED = 6,
    RMON_CYTHON_RESUME = 7,
    RMON_CYTHON_LAST = 9, /* which it never fires: there goes PY_THROW */
    RMON_CYTHON_FUNCTION = 7,
    RMON_CYTHON_GENERATOR = 10
};

/* Enters a scope of Cython's. Active is what somebody listens to, and what has to be known for that: what may turn out
 * to be PY_THROW, and what tells whether RAISE was reported already. */
static inline int rmon_cython_enter(rmon_state *states, uint64_t *version, Py_ssize_t length)
{
    static const uint8_t event_types[RMON_CYTHON_GENERATOR] = {
        RMON_EVENT_PY_START, RMON_EVENT_PY_RETURN, RMON_EVENT_PY_UNWIND, RMON_EVENT_LINE, RMON_EVENT_RAISE,
        RMON_EVENT_RERAISE, RMON_EVENT_EXCEPTION_HANDLED, RMON_EVENT_PY_RESUME, RMON_EVENT_PY_YIELD,
        RMON_EVENT_PY_THROW,
    };
    const uint64_t before = *version;
    int status = rmon_python_enter_scope(states, version, event_types, length);
    if (*version != before) { /* the states are new */
        uint8_t wanted = RMON_PRIV_LOAD_ACTIVE(&states[RMON_CYTHON_RAISE]);
        states[RMON_CYTHON_UNWIND].active |= wanted;
        states[RMON_CYTHON_RERAISE].active |= wanted;
        states[RMON_CYTHON_HANDLED].active |= wanted;
        if (length == RMON_CYTHON_GENERATOR) {
            wanted = RMON_PRIV_LOAD_ACTIVE(&states[RMON_CYTHON_LAST]);
            states[RMON_CYTHON_START].active |= wanted;
            states[RMON_CYTHON_RESUME].active |= wanted;
        }
    }
    return status;
}

/* All of this but the call is known to the compiler. */
#define rmon_cython_enter_scope(states, version, event_types, length)                                      \
    (RMON_CYTHON_IS_OWN_(states) && CYTHON_HEX_VERSION < 0x03040000                                        \
             && ((length) == RMON_CYTHON_FUNCTION || (length) == RMON_CYTHON_GENERATOR)                    \
         ? rmon_cython_enter(states, version, length)                                                      \
         : rmon_python_enter_scope(states, version, event_types, length))

/* Fires */

/* The exception with which a cpdef function has just ended on this thread that its wrapper for Python called. (Or,
 * which comes to the same, that was called past the overriding methods.) Addresses to compare. */
#if defined(__cplusplus)
#define RMON_CYTHON_THREAD_LOCAL_ thread_local
#elif defined(_MSC_VER)
#define RMON_CYTHON_THREAD_LOCAL_ __declspec(thread)
#else
#define RMON_CYTHON_THREAD_LOCAL_ __thread
#endif
typedef struct rmon_cython_end {
    PyObject *code, *exception;
} rmon_cython_end;
static RMON_CYTHON_THREAD_LOCAL_ rmon_cython_end rmon_cython_ended;

/* In a cpdef function the parameter that says who has called it; everywhere else this. */
enum { __pyx_skip_dispatch = -1 };

/* The line of the last error, in functions that have errors. (In C, Cython 3.1 and 3.2 may say this once more.) */
#if !defined(__cplusplus)
RMON_CYTHON_UNUSED_ static int __pyx_lineno;
#elif defined(CYTHON_HEX_VERSION) && CYTHON_HEX_VERSION >= 0x03030000
enum { __pyx_lineno = 0 };
#endif

/* Fires an event of an exception whose state is active. `called`: 1 in a cpdef function that is called by its wrapper,
 * 0 if it is not, -1 elsewhere, in the wrapper itself too. */
RMON_PYTHON_SLOW_ int rmon_cython_fire_exception(int event, rmon_state *state, PyObject *code, int32_t offset,
                                                 int called)
{
    rmon_cython_end *ended = &rmon_cython_ended;
    PyObject *exception;
    int status, is_end;
    if (rmon_python_attached() == NULL) {
        PyGILState_STATE gil = PyGILState_Ensure();
        status = rmon_cython_fire_exception(event, state, code, offset, called);
        PyGILState_Release(gil);
        return status;
    }
    is_end = !PyErr_Occurred();
    if (is_end)
        PyErr_SetNone(PyExc_StopIteration);
    exception = rmon_python_take_raised();
    rmon_python_put_raised(exception); /* which holds it */
    if (event == RMON_EVENT_PY_UNWIND || event == RMON_EVENT_RAISE) {
        int is_wrapper = called < 0 && ended->code == code && ended->exception == exception;
        if (!is_wrapper || event == RMON_EVENT_PY_UNWIND)
            ended->code = NULL;
        if (is_wrapper && !is_end)
            return 0;
    }
    status = rmon_python_fire_active(event, state, code, offset, NULL, NULL, -1);
    if (event == RMON_EVENT_PY_UNWIND && called > 0) {
        ended->code = code;
        ended->exception = exception;
    }
    if (is_end && status == 0)
        PyErr_Clear();
    return status;
}

/* Fires PY_THROW in place of what a generator begins or goes on with. */
RMON_PYTHON_SLOW_ int rmon_cython_throw(PyObject *code, int32_t index)
{
    rmon_state any = {0xff, 0};
    return rmon_python_active_py_throw(&any, code, rmon_cython_offset(code, index));
}

/* Fires PY_START, whose state is active, or PY_THROW. */
RMON_PYTHON_CALLED_ int rmon_cython_active_py_start(rmon_state *state, PyObject *code, int32_t index)
{
    const int generators = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR;
    rmon_cython_ended.code = NULL;
    if (code != NULL && PyCode_Check(code) && (((PyCodeObject *)code)->co_flags & generators) && PyErr_Occurred())
        return rmon_cython_throw(code, index);
    return rmon_python_active_py_start(state, code, rmon_cython_offset(code, index));
}

/* Fires PY_RESUME, whose state is active, or PY_THROW. */
RMON_PYTHON_CALLED_ int rmon_cython_active_py_resume(rmon_state *state, PyObject *code, int32_t index)
{
    rmon_cython_ended.code = NULL;
    if (PyErr_Occurred())
        return rmon_cython_throw(code, index);
    return rmon_python_active_py_resume(state, code, rmon_cython_offset(code, index));
}

static inline int rmon_cython_py_start(rmon_state *state, PyObject *code, int32_t index)
{
    return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_cython_active_py_start(state, code, index) : 0;
}

static inline int rmon_cython_py_resume(rmon_state *state, PyObject *code, int32_t index)
{
    return RMON_PYTHON_IF_ACTIVE_(state) ? rmon_cython_active_py_resume(state, code, index) : 0;
}

static inline int rmon_cython_py_return(rmon_state *state, PyObject *code, int32_t index, PyObject *retval)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_python_active_py_return(state, code, rmon_cython_offset(code, index), retval) : 0;
}

static inline int rmon_cython_py_yield(rmon_state *state, PyObject *code, int32_t index, PyObject *retval)
{
    rmon_state any = {0xff, 0};
    (void)state;
    return rmon_python_active_py_yield(&any, code, rmon_cython_offset(code, index), retval);
}

static inline int rmon_cython_line(rmon_state *state, PyObject *code, int32_t index, int line)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_python_active_line(
              state, code, index == 0 ? rmon_cython_offset_of_line(code, line) : rmon_cython_offset(code, index), line)
        : 0;
}

static inline int rmon_cython_raise(rmon_state *state, PyObject *code, int32_t line)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_cython_fire_exception(RMON_EVENT_RAISE, state, code, rmon_cython_offset_of_line(code, line), -1) : 0;
}

static inline int rmon_cython_reraise(rmon_state *state, PyObject *code, int32_t index)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_cython_fire_exception(RMON_EVENT_RERAISE, state, code, rmon_cython_offset(code, index), -1) : 0;
}

static inline int rmon_cython_exception_handled(rmon_state *state, PyObject *code, int32_t index)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_cython_fire_exception(RMON_EVENT_EXCEPTION_HANDLED, state, code, rmon_cython_offset(code, index), -1)
        : 0;
}

static inline int rmon_cython_py_unwind(rmon_state *state, PyObject *code, int line, int called)
{
    return RMON_PYTHON_IF_ACTIVE_(state)
        ? rmon_cython_fire_exception(RMON_EVENT_PY_UNWIND, state, code, rmon_cython_offset_of_line(code, line), called)
        : 0;
}

/* The names that the PyMonitoring functions become */
#define RMON_CYTHON_FIRE_(event, state, ...)                                                              \
    (RMON_CYTHON_IS_OWN_(state) ? rmon_cython_##event : rmon_python_fire_##event)(state, __VA_ARGS__)
#define rmon_cython_fire_py_start(state, ...) RMON_CYTHON_FIRE_(py_start, state, __VA_ARGS__)
#define rmon_cython_fire_py_resume(state, ...) RMON_CYTHON_FIRE_(py_resume, state, __VA_ARGS__)
#define rmon_cython_fire_py_return(state, ...) RMON_CYTHON_FIRE_(py_return, state, __VA_ARGS__)
#define rmon_cython_fire_py_yield(state, ...) RMON_CYTHON_FIRE_(py_yield, state, __VA_ARGS__)
#define rmon_cython_fire_line(state, ...) RMON_CYTHON_FIRE_(line, state, __VA_ARGS__)
#define rmon_cython_fire_raise(state, ...) RMON_CYTHON_FIRE_(raise, state, __VA_ARGS__)
#define rmon_cython_fire_reraise(state, ...) RMON_CYTHON_FIRE_(reraise, state, __VA_ARGS__)
#define rmon_cython_fire_exception_handled(state, ...) RMON_CYTHON_FIRE_(exception_handled, state, __VA_ARGS__)
#define rmon_cython_fire_py_unwind(state, code, index)                                \
    (RMON_CYTHON_IS_OWN_(state)                                                       \
         ? rmon_cython_py_unwind(state, code, __pyx_lineno, __pyx_skip_dispatch)      \
         : rmon_python_fire_py_unwind(state, code, index))

#endif /* RMON_CYTHON_ */

/* RMON_PYTHON_PICK_(cython, other) is `cython` where Cython's generated code (or what it includes) uses it, past the
 * point where that has defined CYTHON_COMPILING_IN_CPYTHON as 1, and `other` everywhere else. */
#ifdef RMON_CYTHON_
#define RMON_PYTHON_COMMA_1 ~,
#endif
#define RMON_PYTHON_PICK_(cython, other) RMON_PYTHON_PICK_A_(CYTHON_COMPILING_IN_CPYTHON, cython, other)
#define RMON_PYTHON_PICK_A_(flag, cython, other) RMON_PYTHON_PICK_B_(flag, cython, other)
#define RMON_PYTHON_PICK_B_(flag, cython, other) RMON_PYTHON_PICK_C_(RMON_PYTHON_COMMA_##flag, cython, other)
#define RMON_PYTHON_PICK_C_(comma, cython, other) RMON_PYTHON_PICK_D_(comma cython, other, ~)
#define RMON_PYTHON_PICK_D_(ignored, picked, ...) picked

/* Functions that CPython has since 3.12 and 3.10, and that Cython's monitoring code uses on every version. Only for
 * that code, and only until pythoncapi_compat.h is there, which has them too. */
#define RMON_PYTHON_COMPAT_ ~,
#define RMON_PYTHON_FILL_IN_(name, own) RMON_PYTHON_FILL_IN_A_(PYTHONCAPI_COMPAT, name, own)
#define RMON_PYTHON_FILL_IN_A_(flag, name, own) RMON_PYTHON_FILL_IN_B_(flag, name, own)
#define RMON_PYTHON_FILL_IN_B_(flag, name, own) \
    RMON_PYTHON_PICK_C_(RMON_PYTHON_COMPAT_##flag, name, RMON_PYTHON_PICK_(own, name))

#if PY_VERSION_HEX < 0x030A0000 && !defined(Py_NewRef)
static inline PyObject *rmon_python_new_ref(PyObject *object)
{
    Py_INCREF(object);
    return object;
}
#define Py_NewRef(object) rmon_python_new_ref((PyObject *)(object))
#endif
#ifdef RMON_CYTHON_
#if PY_VERSION_HEX < 0x030C0000
#ifndef PyErr_GetRaisedException
#define PyErr_GetRaisedException RMON_PYTHON_FILL_IN_(PyErr_GetRaisedException, rmon_python_take_raised)
#endif
#ifndef PyErr_SetRaisedException
#define PyErr_SetRaisedException RMON_PYTHON_FILL_IN_(PyErr_SetRaisedException, rmon_python_put_raised)
#endif
#endif
#ifndef PyCode_NewEmpty
#define PyCode_NewEmpty RMON_PYTHON_PICK_(rmon_cython_new_empty, PyCode_NewEmpty)
#endif
#endif

/* ---- The names ---- */

#define PyMonitoringState rmon_state
#define PyMonitoring_EnterScope RMON_PYTHON_PICK_(rmon_cython_enter_scope, rmon_python_enter_scope)
#define PyMonitoring_ExitScope rmon_python_exit_scope
#define PyMonitoring_FirePyStartEvent RMON_PYTHON_PICK_(rmon_cython_fire_py_start, rmon_python_fire_py_start)
#define PyMonitoring_FirePyResumeEvent RMON_PYTHON_PICK_(rmon_cython_fire_py_resume, rmon_python_fire_py_resume)
#define PyMonitoring_FirePyReturnEvent RMON_PYTHON_PICK_(rmon_cython_fire_py_return, rmon_python_fire_py_return)
#define PyMonitoring_FirePyYieldEvent RMON_PYTHON_PICK_(rmon_cython_fire_py_yield, rmon_python_fire_py_yield)
#define PyMonitoring_FireCallEvent rmon_python_fire_call
#define PyMonitoring_FireLineEvent RMON_PYTHON_PICK_(rmon_cython_fire_line, rmon_python_fire_line)
#define PyMonitoring_FireJumpEvent rmon_python_fire_jump
#define PyMonitoring_FireBranchEvent rmon_python_fire_branch
#define PyMonitoring_FireBranchLeftEvent rmon_python_fire_branch_left
#define PyMonitoring_FireBranchRightEvent rmon_python_fire_branch_right
#define PyMonitoring_FireCReturnEvent rmon_python_fire_c_return
#define PyMonitoring_FireCRaiseEvent rmon_python_fire_c_raise
#define PyMonitoring_FirePyThrowEvent rmon_python_fire_py_throw
#define PyMonitoring_FireRaiseEvent RMON_PYTHON_PICK_(rmon_cython_fire_raise, rmon_python_fire_raise)
#define PyMonitoring_FireReraiseEvent RMON_PYTHON_PICK_(rmon_cython_fire_reraise, rmon_python_fire_reraise)
#define PyMonitoring_FireExceptionHandledEvent \
    RMON_PYTHON_PICK_(rmon_cython_fire_exception_handled, rmon_python_fire_exception_handled)
#define PyMonitoring_FirePyUnwindEvent RMON_PYTHON_PICK_(rmon_cython_fire_py_unwind, rmon_python_fire_py_unwind)
#define PyMonitoring_FireStopIterationEvent rmon_python_fire_stop_iteration

/* rmon's numbers, on every CPython; CPython's own differ from version to version. */
#undef PY_MONITORING_EVENT_PY_START
#undef PY_MONITORING_EVENT_PY_RESUME
#undef PY_MONITORING_EVENT_PY_RETURN
#undef PY_MONITORING_EVENT_PY_YIELD
#undef PY_MONITORING_EVENT_CALL
#undef PY_MONITORING_EVENT_LINE
#undef PY_MONITORING_EVENT_INSTRUCTION
#undef PY_MONITORING_EVENT_JUMP
#undef PY_MONITORING_EVENT_BRANCH_LEFT
#undef PY_MONITORING_EVENT_BRANCH_RIGHT
#undef PY_MONITORING_EVENT_STOP_ITERATION
#undef PY_MONITORING_EVENT_RAISE
#undef PY_MONITORING_EVENT_EXCEPTION_HANDLED
#undef PY_MONITORING_EVENT_PY_UNWIND
#undef PY_MONITORING_EVENT_PY_THROW
#undef PY_MONITORING_EVENT_RERAISE
#undef PY_MONITORING_EVENT_C_RETURN
#undef PY_MONITORING_EVENT_C_RAISE
#undef PY_MONITORING_EVENT_BRANCH
#undef PY_MONITORING_IS_INSTRUMENTED_EVENT
#define PY_MONITORING_EVENT_PY_START RMON_EVENT_PY_START
#define PY_MONITORING_EVENT_PY_RESUME RMON_EVENT_PY_RESUME
#define PY_MONITORING_EVENT_PY_RETURN RMON_EVENT_PY_RETURN
#define PY_MONITORING_EVENT_PY_YIELD RMON_EVENT_PY_YIELD
#define PY_MONITORING_EVENT_CALL RMON_EVENT_CALL
#define PY_MONITORING_EVENT_LINE RMON_EVENT_LINE
#define PY_MONITORING_EVENT_INSTRUCTION RMON_EVENT_INSTRUCTION
#define PY_MONITORING_EVENT_JUMP RMON_EVENT_JUMP
#define PY_MONITORING_EVENT_BRANCH_LEFT RMON_EVENT_BRANCH_LEFT
#define PY_MONITORING_EVENT_BRANCH_RIGHT RMON_EVENT_BRANCH_RIGHT
#define PY_MONITORING_EVENT_STOP_ITERATION RMON_EVENT_STOP_ITERATION
#define PY_MONITORING_EVENT_RAISE RMON_EVENT_RAISE
#define PY_MONITORING_EVENT_EXCEPTION_HANDLED RMON_EVENT_EXCEPTION_HANDLED
#define PY_MONITORING_EVENT_PY_UNWIND RMON_EVENT_PY_UNWIND
#define PY_MONITORING_EVENT_PY_THROW RMON_EVENT_PY_THROW
#define PY_MONITORING_EVENT_RERAISE RMON_EVENT_RERAISE
#define PY_MONITORING_EVENT_C_RETURN RMON_EVENT_C_RETURN
#define PY_MONITORING_EVENT_C_RAISE RMON_EVENT_C_RAISE
#define PY_MONITORING_EVENT_BRANCH RMON_EVENT_BRANCH
#define PY_MONITORING_IS_INSTRUMENTED_EVENT rmon_python_is_instrumented

#ifdef __cplusplus
}
#endif

#endif /* RMON_PYTHON_H */
