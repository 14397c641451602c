/* From librmon's callback to Python's.
 *
 * Fires come from whatever thread the emitter runs on: attached to an interpreter, detached from it (without the GIL),
 * or never seen by Python. What they pass may be objects, or, from an emitter that knows no Python, any pointers.
 *
 * The callable is found in the interpreter that the thread is attached to, so that no callback runs in another one than
 * its own. A thread that is not attached is attached for the call. An exception that such a call leaves has nobody to go
 * to, and is given to sys.unraisablehook.
 */
#include "module.h"

#ifdef __linux__
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* ---- Threads ---- */

/* This thread's state if it is attached to an interpreter, else NULL. */
static inline PyThreadState *attached(void)
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

static bool is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

/* The interpreter reports no events of its own on this thread while a callback runs. */
static inline void enter_tracing(PyThreadState *thread)
{
#if PY_VERSION_HEX >= 0x030C0000
    thread->tracing++;
#elif PY_VERSION_HEX >= 0x030B0000
    PyThreadState_EnterTracing(thread);
#elif PY_VERSION_HEX >= 0x030A0000
    thread->tracing++;
    thread->cframe->use_tracing = 0;
#else
    thread->tracing++;
    thread->use_tracing = 0;
#endif
}

static inline void leave_tracing(PyThreadState *thread)
{
#if PY_VERSION_HEX >= 0x030C0000
    thread->tracing--;
#elif PY_VERSION_HEX >= 0x030B0000
    PyThreadState_LeaveTracing(thread);
#else
    int wanted = thread->c_tracefunc != NULL || thread->c_profilefunc != NULL;
    thread->tracing--;
#if PY_VERSION_HEX >= 0x030A0000
    thread->cframe->use_tracing = wanted ? 255 : 0;
#else
    thread->use_tracing = wanted;
#endif
#endif
}

/* ---- Objects ---- */

#ifdef __linux__
/* Whether memory can be read. The kernel copies a signal set from there before it looks at what to do with it, which is
 * nothing. */
static bool is_readable(const void *address)
{
    int before = errno;
    bool readable = syscall(SYS_rt_sigprocmask, ~0, address, NULL, 8) != -1 || errno != EFAULT;
    errno = before;
    return readable;
}
#else
static bool is_readable(const void *address)
{
    (void)address;
    return false;
}
#endif

/* Whether a struct can be read: its first and its last word, which are on neighbouring pages at most. */
static bool is_struct(const void *address, size_t size)
{
    return address != NULL && (uintptr_t)address % sizeof(void *) == 0 && is_readable(address)
        && is_readable((const char *)address + size - 8);
}

/* Whether an address that nobody vouches for is that of a Python object: it has a type, whose type is one of types. */
static bool is_object(void *address)
{
    PyTypeObject *type, *type_of_type;
    if (!is_struct(address, sizeof(PyObject)))
        return false;
    type = Py_TYPE((PyObject *)address);
    if (!is_struct(type, sizeof *type))
        return false;
    type_of_type = Py_TYPE((PyObject *)type);
    return (type_of_type == &PyType_Type || is_struct(type_of_type, sizeof *type_of_type))
        && (type_of_type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0 && (type->tp_flags & Py_TPFLAGS_READY) != 0
        && Py_REFCNT((PyObject *)address) > 0;
}

/* Whether rmon_python.h has fired, and vouches for all that it passes. */
static inline bool is_vouched_for(const rmon_event *event)
{
    return event->code != NULL && *rmon_host_note() == event->code;
}

/* An int: offsets and lines are mostly small, and come again and again. */
static inline PyObject *number(Interpreter *self, int32_t value)
{
    PyObject *result, *none = NULL;
    if ((uint32_t)value >= NUMBERS)
        return PyLong_FromLong(value);
    result = LOAD(self->numbers[value]);
    if (LIKELY(result != NULL)) {
        Py_INCREF(result);
        return result;
    }
    result = PyLong_FromLong(value);
    if (result == NULL)
        return NULL;
    Py_INCREF(result); /* for the table */
    if (!__atomic_compare_exchange_n(&self->numbers[value], &none, result, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        Py_DECREF(result); /* another thread was first */
    return result;
}

/* Some event's object, or what stands for one. A new reference, NULL with an exception. */
static inline PyObject *object(void *address, PyObject *missing, bool vouched)
{
    PyObject *result = address != NULL && (vouched || is_object(address)) ? (PyObject *)address : missing;
    Py_INCREF(result);
    return result;
}

static inline PyObject *code_object(void *address, bool vouched)
{
    PyObject *result;
    if (!vouched && address != NULL) {
        result = codelike_of_native(address);
        if (result != NULL || PyErr_Occurred())
            return result;
    }
    result = address != NULL ? (PyObject *)address : Py_None;
    Py_INCREF(result);
    return result;
}

/* STOP_ITERATION's: a StopIteration. */
static PyObject *stop_iteration(void *address, bool vouched)
{
    PyObject *value = object(address, Py_None, vouched), *result = rmon_python_stop_iteration(value);
    Py_DECREF(value);
    return result;
}

/* ---- The call ---- */

enum { MOST = 4 };

/* Makes the arguments. How many, or -1 with an exception and none. */
static inline int make_arguments(Interpreter *self, const rmon_event *event, PyObject **arguments)
{
    bool vouched = is_vouched_for(event);
    int count = 2, i;
    arguments[0] = code_object(event->code, vouched);
    arguments[1] = number(self, event->event == RMON_EVENT_LINE ? event->line : event->offset);
    switch (event->event) {
    case RMON_EVENT_PY_START:
    case RMON_EVENT_PY_RESUME:
    case RMON_EVENT_LINE:
    case RMON_EVENT_INSTRUCTION:
        break;
    case RMON_EVENT_CALL:
    case RMON_EVENT_C_RETURN:
    case RMON_EVENT_C_RAISE:
        arguments[2] = object(event->object, self->missing, vouched);
        arguments[3] = object(event->arg0, self->missing, vouched);
        count = 4;
        break;
    case RMON_EVENT_JUMP:
    case RMON_EVENT_BRANCH:
    case RMON_EVENT_BRANCH_LEFT:
    case RMON_EVENT_BRANCH_RIGHT:
        arguments[2] = event->object != NULL ? object(event->object, Py_None, vouched)
                                             : number(self, event->target_offset);
        count = 3;
        break;
    case RMON_EVENT_STOP_ITERATION:
        arguments[2] = stop_iteration(event->object, vouched);
        count = 3;
        break;
    default:
        arguments[2] = object(event->object, Py_None, vouched);
        count = 3;
    }
    for (i = 0; i < count && arguments[i] != NULL; i++)
        ;
    if (i == count)
        return count;
    for (i = 0; i < count; i++)
        Py_XDECREF(arguments[i]);
    return -1;
}

/* A callback has returned DISABLE. */
static int disable(Interpreter *self, const rmon_event *event, PyObject *callable, PyObject *code)
{
    Tool *tool = &self->tools[event->tool_id];
    int registered;
    if (BIT(event->event) & RMON_LOCAL_EVENTS) {
        SERIALISED(self);
        codes_watch(self, code, event->code);
        SERIALISED_END();
        return RMON_DISABLE;
    }
    SERIALISED(self);
    registered = interpreter_registered_for(tool, event->event);
    if (registered >= 0 && tool->callables[registered] == callable) {
        PyObject *native = self->native[REGISTER_CALLBACK], *result = NULL;
        Py_XDECREF(interpreter_put_callable(self, event->tool_id, registered, NULL));
        (void)interpreter_tell(self, event->tool_id);
        if (native != NULL)
            result = PyObject_CallFunction(native, "iIO", event->tool_id, 1u << event_to_python(registered), Py_None);
        PyErr_Clear();
        Py_XDECREF(result);
    }
    SERIALISED_END();
    PyErr_Format(PyExc_ValueError, "Cannot disable %s events. Callback removed.", rmon_event_name(event->event));
    return RMON_ERR_CALLBACK;
}

/* Whether an exception is set. */
static inline bool has_raised(const PyThreadState *thread)
{
#if PY_VERSION_HEX >= 0x030C0000
    return thread->current_exception != NULL;
#else
    return thread->curexc_type != NULL;
#endif
}

/* PyObject_Vectorcall, inline as the interpreter has it: the thread state is at hand. */
static inline PyObject *vectorcall(PyThreadState *thread, PyObject *callable, PyObject **arguments, int count)
{
    size_t nargsf = (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET;
    vectorcallfunc function = NULL;
    PyObject *result;
    if (PyType_HasFeature(Py_TYPE(callable), Py_TPFLAGS_HAVE_VECTORCALL))
        memcpy(&function, (const char *)callable + Py_TYPE(callable)->tp_vectorcall_offset, sizeof function);
    if (function == NULL)
        return PyObject_Vectorcall(callable, arguments, nargsf, NULL);
    result = function(callable, arguments, nargsf, NULL);
    if (LIKELY((result == NULL) == has_raised(thread)))
        return result;
    if (result == NULL) {
        PyErr_Format(PyExc_SystemError, "%R returned NULL without setting an exception", callable);
    } else {
        PyObject *raised = rmon_python_take_raised(), *error;
        Py_DECREF(result);
        PyErr_Format(PyExc_SystemError, "%R returned a result with an exception set", callable);
        error = rmon_python_take_raised();
        rmon_python_chain(error, raised);
        rmon_python_put_raised(error);
    }
    return NULL;
}

/* Calls it; the status for librmon. With a negative one an exception is set. */
static inline int call(Interpreter *self, PyThreadState *thread, const rmon_event *event, PyObject *callable)
{
    PyObject *stack[MOST + 1], **arguments = stack + 1, *result = NULL; /* stack[0] is the callable's to use */
    int status = RMON_CONTINUE, count, i;
    enter_tracing(thread);
    count = make_arguments(self, event, arguments);
    if (LIKELY(count > 0))
        result = vectorcall(thread, callable, arguments, count);
    if (result == NULL)
        status = RMON_ERR_CALLBACK;
    else if (result == self->disable)
        status = disable(self, event, callable, arguments[0]);
    Py_XDECREF(result);
    for (i = 0; i < count; i++)
        Py_DECREF(arguments[i]);
    leave_tracing(thread);
    return status;
}

/* The same with an exception set before, which is set again afterwards, or is the context of the callback's. */
static __attribute__((noinline)) int call_with_exception(Interpreter *self, PyThreadState *thread, const rmon_event *event,
                                            PyObject *callable)
{
    PyObject *raised = rmon_python_take_raised();
    int status = call(self, thread, event, callable);
    if (status < 0) {
        PyObject *error = rmon_python_take_raised();
        rmon_python_chain(error, raised);
        raised = error;
    }
    rmon_python_put_raised(raised);
    return status;
}

/* Whether a tool has an event on in this interpreter. librmon knows that of all interpreters together, and does not know
 * what is set for some codes only if the event is not a local one. */
static bool is_on(Interpreter *self, const rmon_event *event)
{
    enum { BRANCHES = BIT(RMON_EVENT_BRANCH) | BIT(RMON_EVENT_BRANCH_LEFT) | BIT(RMON_EVENT_BRANCH_RIGHT) };
    const Tool *tool = &self->tools[event->tool_id];
    EventSet fired = BIT(event->event), set = 0;
    uint32_t known;
    if (interpreter_reaches(self, event->tool_id, tool->events_by_sys))
        set = tool->events;
    if (fired & (BIT(RMON_EVENT_C_RETURN) | BIT(RMON_EVENT_C_RAISE)))
        fired = BIT(RMON_EVENT_CALL);
    else if (event->event == RMON_EVENT_BRANCH)
        fired = BRANCHES;
    else if (fired & BRANCHES)
        fired |= BIT(RMON_EVENT_BRANCH);
    if (set & fired)
        return true;
    if (event->code == NULL)
        return false;
    if (fired & RMON_LOCAL_EVENTS) /* of code objects that have it, some may be rmon's own, which any may use */
        return rmon_get_local_events(event->tool_id, event->code, &known) == RMON_OK && (known & fired) != 0;
    return (codes_local(self, event->tool_id, event->code) & fired) != 0;
}

/* Delivers on a thread that is attached. */
static inline int deliver(PyThreadState *thread, const rmon_event *event, bool propagates)
{
    Interpreter *self = interpreter_of(thread->interp);
    PyObject *callable;
    const Tool *tool;
    int status;
    if (thread->tracing != 0 || self == NULL)
        return RMON_CONTINUE;
    tool = &self->tools[event->tool_id];
    callable = LOAD(tool->called[event->event]);
    if (callable == NULL)
        return RMON_CONTINUE;
    if ((LOAD(tool->per_code) != 0 || LOAD(interpreter_count) > 1) && !is_on(self, event))
        return RMON_CONTINUE;
    Py_INCREF(callable);
    if (LIKELY(!has_raised(thread)))
        status = call(self, thread, event, callable);
    else
        status = call_with_exception(self, thread, event, callable);
    if (status < 0 && !propagates)
        PyErr_WriteUnraisable(callable);
    Py_DECREF(callable);
    return status;
}

/* Delivers on a thread that is not attached. */
static int deliver_detached(const rmon_event *event)
{
    PyGILState_STATE before;
    int status;
    if (!Py_IsInitialized() || is_finalizing())
        return RMON_CONTINUE;
    before = PyGILState_Ensure();
    status = deliver(PyThreadState_Get(), event, false);
    PyGILState_Release(before);
    return status;
}

int callback_deliver(void *user_data, const rmon_event *event)
{
    PyThreadState *thread = attached();
    (void)user_data;
    if (thread == NULL)
        return deliver_detached(event);
    return deliver(thread, event, true);
}
