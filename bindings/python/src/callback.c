/* From librmon's callback to Python's.
 *
 * Fires come from whatever thread the emitter runs on: attached to an interpreter, detached from it (without the GIL),
 * or never seen by Python. What they pass may be objects, or, from an emitter that knows no Python, any pointers.
 *
 * The callable is found in the interpreter that the thread is attached to, so that no callback runs in another one than
 * its own. A thread that is not attached is attached for the call. An exception that such a call leaves has nobody to
 * go to, and is given to sys.unraisablehook.
 */
#include "module.h"

#ifdef __linux__
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* ---- Threads ---- */

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

/* Whether a type is among the subclasses of another one. */
static bool is_subclass(PyTypeObject *type, PyTypeObject *base)
{
    PyObject *list = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", base);
    Py_ssize_t i;
    bool found = false;
    for (i = 0; list != NULL && i < PyList_Size(list) && !found; i++)
        found = PyList_GetItem(list, i) == (PyObject *)type;
    Py_XDECREF(list);
    return found;
}

/* Whether an address is that of a type: one that its base knows. Nothing that merely looks like a type passes. */
static bool is_type(Interpreter *self, PyTypeObject *type, int depth)
{
    enum { DEEPEST = 100 };
    PyObject *key, *reference;
    bool found = false;
    if (type == &PyBaseObject_Type)
        return true;
    if (depth > DEEPEST || !is_struct(type, sizeof *type) || (key = PyLong_FromVoidPtr(type)) == NULL)
        return false;
    reference = item_of(self->types, key); /* weak, as types come and go */
    if (reference != NULL) {
        PyObject *known = weak_referent(reference);
        found = known != NULL;
        Py_XDECREF(known);
        Py_DECREF(reference);
    }
    if (!found && is_type(self, type->tp_base, depth + 1) && is_subclass(type, type->tp_base)) {
        found = true;
        reference = PyWeakref_NewRef((PyObject *)type, NULL);
        if (reference != NULL)
            (void)PyDict_SetItem(self->types, key, reference);
        Py_XDECREF(reference);
    }
    Py_DECREF(key);
    PyErr_Clear();
    return found;
}

/* Whether an address that nobody vouches for is that of an object, by all that can be told: there is a type, and
 * somebody has a reference. */
static bool is_object(Interpreter *self, void *address)
{
    return is_struct(address, sizeof(PyObject)) && is_type(self, Py_TYPE((PyObject *)address), 0)
        && Py_REFCNT((PyObject *)address) > 0;
}

/* An int: a new reference, which the table then has, too, if there is room for it. NULL with an exception. */
static __attribute__((noinline)) PyObject *new_number(Interpreter *self, int32_t value)
{
    PyObject *result = PyLong_FromLong(value), *none = NULL;
    if (result == NULL || (uint32_t)value >= NUMBERS)
        return result;
    Py_INCREF(result); /* for the table */
    if (!__atomic_compare_exchange_n(&self->numbers[value], &none, result, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        Py_DECREF(result); /* another thread was first */
    return result;
}

/* Whether arguments are to be borrowed: who vouches for them holds them as long as the fire lasts. What is made for the
 * call, or found by looking at an address, is owned. */

/* Some event's object, or what stands for one. A new reference. */
static PyObject *found_object(Interpreter *self, void *address, PyObject *missing)
{
    PyObject *result = address != NULL && is_object(self, address) ? (PyObject *)address : missing;
    Py_INCREF(result);
    return result;
}

/* A code: a new reference, NULL with an exception. */
static PyObject *found_code(Interpreter *self, void *address)
{
    PyObject *result = address != NULL ? codelike_of_native(address) : Py_None;
    if (result == Py_None)
        Py_INCREF(result);
    else if (result == NULL && !PyErr_Occurred())
        result = found_object(self, address, Py_None);
    return result;
}

/* ---- The arguments ---- */

/* They lie in the fire, from the first tool on that wants them, behind a place that is the callable's to use, and that it
 * leaves as it was. Owned ones are marked by a bit each in the fire's count. */
enum { COUNT = 7, OWNED = 8, CALLABLE = 0, EVENT = 5 };

static void release_arguments(rmon_python_fire *fire)
{
    int i;
    for (i = 1; i <= (int)(fire->count & COUNT); i++) {
        if (fire->count & (uint32_t)OWNED << i)
            Py_DECREF(fire->arguments[i]);
    }
    fire->release = NULL;
    fire->count = 0;
}

/* Puts an argument into its place. */
static inline void put_borrowed(rmon_python_fire *fire, int i, void *address, PyObject *missing)
{
    fire->arguments[i] = address != NULL ? (PyObject *)address : missing;
}

static inline void put_owned(rmon_python_fire *fire, int i, PyObject *object)
{
    fire->arguments[i] = object;
    fire->count |= (uint32_t)OWNED << i;
    fire->release = release_arguments;
}

/* An int: offsets and lines are mostly small, and come again and again. */
static inline void put_number(Interpreter *self, rmon_python_fire *fire, int i, int32_t value)
{
    PyObject *number = (uint32_t)value < NUMBERS ? LOAD(self->numbers[value]) : NULL;
    if (LIKELY(number != NULL))
        fire->arguments[i] = number;
    else
        put_owned(fire, i, new_number(self, value));
}

/* ---- Calls that have not ended ---- */

/* librmon remembers the addresses of what CALL said, for a C_RETURN or C_RAISE that does not know. Here is who holds the
 * objects meanwhile: a list of pairs in the dictionary of the thread's state, with which it goes. */
enum { CALLS = 4 }; /* as many as librmon remembers */

static PyObject *kept_calls(bool make)
{
    PyObject *dict = PyThreadState_GetDict(), *calls = dict != NULL ? PyDict_GetItemString(dict, "rmon.calls") : NULL;
    if (calls == NULL && dict != NULL && make && (calls = PyList_New(0)) != NULL) {
        int status = PyDict_SetItemString(dict, "rmon.calls", calls);
        Py_DECREF(calls); /* the dictionary has it */
        if (status < 0)
            calls = NULL;
    }
    return calls;
}

/* A call has begun. One that cannot be kept ends with MISSING. */
static void keep_call(PyObject *callable, PyObject *arg0)
{
    PyObject *calls = kept_calls(true), *call = PyTuple_Pack(2, callable, arg0);
    if (calls != NULL && call != NULL && PyList_Append(calls, call) == 0 && PyList_GET_SIZE(calls) > CALLS)
        (void)PyList_SetSlice(calls, 0, 1, NULL);
    Py_XDECREF(call);
    PyErr_Clear();
}

/* A call has ended, and with it those that began later: whether it was kept. The objects get new references. */
static bool end_call(PyObject *callable, PyObject *arg0)
{
    PyObject *calls = kept_calls(false);
    Py_ssize_t i = calls != NULL ? PyList_GET_SIZE(calls) : 0;
    while (--i >= 0) {
        PyObject *call = PyList_GET_ITEM(calls, i);
        if (PyTuple_GET_ITEM(call, 0) == callable && PyTuple_GET_ITEM(call, 1) == arg0) {
            Py_INCREF(callable);
            Py_INCREF(arg0);
            if (PyList_SetSlice(calls, i, PyList_GET_SIZE(calls), NULL) < 0)
                PyErr_Clear();
            return true;
        }
    }
    return false;
}

void callback_forget_calls(Interpreter *self)
{
    PyObject *calls = kept_calls(false);
    PyObject *forgotten = calls != NULL ? PyList_GetSlice(calls, 0, PyList_GET_SIZE(calls)) : NULL;
    if (calls != NULL && PyList_SetSlice(calls, 0, PyList_GET_SIZE(calls), NULL) < 0)
        PyErr_Clear();
    interpreter_release_later(self, forgotten);
}

/* The callable and the argument of C_RETURN or C_RAISE: what the fire gives, or else what librmon remembers of a call,
 * if somebody still holds it. */
static void put_ended_call(Interpreter *self, rmon_python_fire *fire, const rmon_event *event)
{
    PyObject *callable = event->object != NULL ? event->object : self->missing;
    PyObject *arg0 = event->arg0 != NULL ? event->arg0 : self->missing;
    if (!end_call(callable, arg0)) {
        if (fire->arguments[3] == NULL || fire->arguments[3] != event->object)
            callable = arg0 = self->missing;
        Py_INCREF(callable);
        Py_INCREF(arg0);
    }
    put_owned(fire, 3, callable);
    put_owned(fire, 4, arg0);
}

/* The rest of the arguments, after the code and the number, which are there. */
static int put_others(Interpreter *self, rmon_python_fire *fire, const rmon_event *event, bool vouched)
{
    int count = 3;
    switch (event->event) {
    case RMON_EVENT_PY_START:
    case RMON_EVENT_PY_RESUME:
    case RMON_EVENT_LINE:
    case RMON_EVENT_INSTRUCTION:
        return 2;
    case RMON_EVENT_CALL:
    case RMON_EVENT_C_RETURN:
    case RMON_EVENT_C_RAISE:
        count = 4;
        if (event->event != RMON_EVENT_CALL && vouched) {
            put_ended_call(self, fire, event);
        } else if (vouched) {
            put_borrowed(fire, 3, event->object, self->missing);
            put_borrowed(fire, 4, event->arg0, self->missing);
            if (LOAD(self->keeps_calls))
                keep_call(fire->arguments[3], fire->arguments[4]);
        } else {
            put_owned(fire, 3, found_object(self, event->object, self->missing));
            put_owned(fire, 4, found_object(self, event->arg0, self->missing));
        }
        break;
    case RMON_EVENT_JUMP:
    case RMON_EVENT_BRANCH:
    case RMON_EVENT_BRANCH_LEFT:
    case RMON_EVENT_BRANCH_RIGHT:
        if (event->object == NULL)
            put_number(self, fire, 3, event->target_offset);
        else if (vouched)
            put_borrowed(fire, 3, event->object, Py_None);
        else
            put_owned(fire, 3, found_object(self, event->object, Py_None));
        break;
    case RMON_EVENT_STOP_ITERATION: {
        PyObject *value = vouched ? (PyObject *)event->object : found_object(self, event->object, Py_None);
        put_owned(fire, 3, rmon_python_stop_iteration(value));
        if (!vouched)
            Py_DECREF(value);
        break;
    }
    default:
        if (vouched)
            put_borrowed(fire, 3, event->object, Py_None);
        else
            put_owned(fire, 3, found_object(self, event->object, Py_None));
    }
    return count;
}

/* Makes all arguments; false with an exception and none. */
static bool put_arguments(Interpreter *self, rmon_python_fire *fire, const rmon_event *event, bool vouched)
{
    int i, count;
    if (vouched)
        put_borrowed(fire, 1, event->code, Py_None);
    else
        put_owned(fire, 1, found_code(self, event->code));
    put_number(self, fire, 2, event->event == RMON_EVENT_LINE ? event->line : event->offset);
    count = put_others(self, fire, event, vouched);
    fire->count |= (uint32_t)count;
    if (fire->release == NULL)
        return true;
    for (i = 1; i <= count && fire->arguments[i] != NULL; i++)
        ;
    if (i > count)
        return true;
    for (i = 1; i <= count; i++) {
        if (fire->arguments[i] == NULL)
            fire->count &= ~((uint32_t)OWNED << i);
    }
    release_arguments(fire);
    if (!PyErr_Occurred())
        PyErr_NoMemory();
    return false;
}

/* What most events pass, so that a callback for them need not find out. */
typedef enum Shape {
    AT_OFFSET, /* code, offset */
    AT_LINE,   /* code, line */
    OBJECT,    /* code, offset, object */
    CALL,      /* code, offset, callable, first argument */
    TARGET     /* code, offset, destination */
} Shape;

static inline int shape_count(Shape shape)
{
    return shape == AT_OFFSET || shape == AT_LINE ? 2 : shape == CALL ? 4 : 3;
}

/* The same for a shape, of objects that are vouched for and ints that are in the table; else false, and none. */
static inline bool put_shape(Interpreter *self, rmon_python_fire *fire, const rmon_event *event, Shape shape)
{
    int32_t value = shape == AT_LINE ? event->line : event->offset;
    PyObject *number = (uint32_t)value < NUMBERS ? LOAD(self->numbers[value]) : NULL;
    if (number == NULL || (shape == CALL && LOAD(self->keeps_calls)))
        return false;
    if (shape == TARGET) {
        PyObject *target = event->object;
        value = event->target_offset;
        if (target == NULL && (uint32_t)value < NUMBERS)
            target = LOAD(self->numbers[value]);
        if (target == NULL)
            return false;
        fire->arguments[3] = target;
    } else if (shape == OBJECT) {
        put_borrowed(fire, 3, event->object, Py_None);
    } else if (shape == CALL) {
        put_borrowed(fire, 3, event->object, self->missing);
        put_borrowed(fire, 4, event->arg0, self->missing);
    }
    put_borrowed(fire, 1, event->code, Py_None);
    fire->arguments[2] = number;
    fire->count = (uint32_t)shape_count(shape);
    return true;
}

/* ---- The call ---- */

/* A callback has returned DISABLE. */
static int disable(Interpreter *self, const rmon_event *event, PyObject *callable, PyObject *code)
{
    Tool *tool = &self->tools[event->tool_id];
    int registered;
    if (BIT(event->event) & RMON_LOCAL_EVENTS) {
        codes_watch(self, code, event->code);
        return RMON_DISABLE;
    }
    SERIALISED();
    registered = interpreter_registered_for(tool, event->event);
    if (registered >= 0 && tool->callables[registered] == callable) {
        PyObject *result = NULL;
        interpreter_release_later(self, interpreter_put_callable(self, event->tool_id, registered, NULL));
        (void)interpreter_tell(self, event->tool_id);
        if (self->native[REGISTER_CALLBACK] != NULL)
            result = interpreter_register_native(self, event->tool_id, registered, Py_None);
        PyErr_Clear();
        interpreter_release_later(self, result);
    }
    SERIALISED_END();
    PyErr_Format(PyExc_ValueError, "Cannot disable %s events. Callback removed.", rmon_event_name(event->event));
    return RMON_ERR_CALLBACK;
}

/* PyObject_Vectorcall, inline as the interpreter has it, but for the check of the result. */
static inline PyObject *vectorcall(PyObject *callable, rmon_python_fire *fire, int count)
{
    PyObject **arguments = fire->arguments + 1;
    size_t nargsf = (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET;
    vectorcallfunc function = NULL;
    if (LIKELY(PyType_HasFeature(Py_TYPE(callable), Py_TPFLAGS_HAVE_VECTORCALL)))
        memcpy(&function, (const char *)callable + Py_TYPE(callable)->tp_vectorcall_offset, sizeof function);
    if (LIKELY(function != NULL))
        return function(callable, arguments, nargsf, NULL);
    return PyObject_Vectorcall(callable, arguments, nargsf, NULL);
}

/* A result without an exception, or an exception without a result; a callable that gave both or none is at fault. */
static PyObject *checked(PyThreadState *thread, PyObject *callable, PyObject *result)
{
    if ((result == NULL) == rmon_python_has_raised(thread))
        return result;
    if (result == NULL) {
        PyErr_Format(PyExc_SystemError, "%R returned NULL without setting an exception", callable);
    } else {
        PyObject *raised = rmon_python_take_raised();
        Py_DECREF(result);
        PyErr_Format(PyExc_SystemError, "%R returned a result with an exception set", callable);
        rmon_python_chain_raised(raised);
    }
    return NULL;
}

/* The end of a call: the status for librmon, with a negative one an exception is set. Takes the references over, and
 * turns tracing on. */
static __attribute__((noinline)) int answer(Interpreter *self, rmon_python_fire *fire, const rmon_event *event,
                                            PyObject *callable, PyObject *result)
{
    int status = RMON_CONTINUE;
    result = checked(fire->thread, callable, result);
    if (result == NULL)
        status = RMON_ERR_CALLBACK;
    else if (self != NULL && result == self->disable) /* NULL: the interpreter has come to its end meanwhile */
        status = disable(self, event, callable, fire->arguments[1]);
    leave_tracing(fire->thread);
    Py_XDECREF(result);
    Py_DECREF(callable);
    return status;
}

/* Calls it; the status for librmon. With a negative one an exception is set. */
static __attribute__((noinline)) int call(Interpreter *self, rmon_python_fire *fire, const rmon_event *event,
                                          bool vouched, PyObject *callable)
{
    PyObject *result = NULL;
    Py_INCREF(callable);
    enter_tracing(fire->thread);
    if (fire->count != 0 || put_arguments(self, fire, event, vouched))
        result = vectorcall(callable, fire, (int)(fire->count & COUNT));
    return answer(self, fire, event, callable, result);
}

/* The same with an exception set before, which is set again afterwards, or is the context of the callback's. */
static __attribute__((noinline)) int call_with_exception(Interpreter *self, rmon_python_fire *fire,
                                                         const rmon_event *event, bool vouched, PyObject *callable)
{
    PyObject *raised = rmon_python_take_raised();
    int status = call(self, fire, event, vouched, callable);
    if (status < 0)
        rmon_python_chain_raised(raised);
    else
        rmon_python_put_raised(raised);
    return status;
}

/* Whether a tool has an event on in this interpreter. librmon knows that of all interpreters together, and does not
 * know what is set for some codes only if the event is not a local one. */
static bool is_on(Interpreter *self, const rmon_event *event)
{
    enum { BRANCHES = BIT(RMON_EVENT_BRANCH) | BIT(RMON_EVENT_BRANCH_LEFT) | BIT(RMON_EVENT_BRANCH_RIGHT) };
    const Tool *tool = &self->tools[event->tool_id];
    EventSet fired = BIT(event->event), set = 0;
    if (interpreter_reaches(self, event->tool_id, tool->events_by_sys))
        set = tool->events;
    if (fired & RMON_ANCILLARY_EVENTS)
        fired = BIT(RMON_EVENT_CALL);
    else if (event->event == RMON_EVENT_BRANCH)
        fired = BRANCHES;
    else if (fired & BRANCHES)
        fired |= BIT(RMON_EVENT_BRANCH);
    if (set & fired)
        return true;
    return (codes_local(self, event->tool_id, event->code) & fired) != 0;
}

/* Keeps a CALL for who wants to hear how it ends, and not that it begins: as for every CALL, when its arguments are made,
 * unless a higher tool has had them made. */
static int keep_unheard_call(Interpreter *self, rmon_python_fire *fire, const rmon_event *event)
{
    PyObject *raised;
    if (fire->count != 0)
        return RMON_CONTINUE;
    raised = rmon_python_has_raised(fire->thread) ? rmon_python_take_raised() : NULL;
    if (!put_arguments(self, fire, event, true))
        PyErr_Clear();
    if (raised != NULL)
        rmon_python_put_raised(raised);
    return RMON_CONTINUE;
}

/* Delivers on a thread that is attached, in whatever case. */
static __attribute__((noinline)) int deliver(rmon_python_fire *fire, const rmon_event *event, bool vouched,
                                             bool propagates)
{
    PyThreadState *thread = fire->thread;
    Interpreter *self = interpreter_of(thread->interp);
    PyObject *callable;
    const Tool *tool;
    int status;
    if (thread->tracing != 0 || self == NULL)
        return RMON_CONTINUE;
    tool = &self->tools[event->tool_id];
    callable = LOAD(tool->called[event->event]);
    if (callable == NULL && !(event->event == RMON_EVENT_CALL && vouched && LOAD(self->keeps_calls)))
        return RMON_CONTINUE;
    if ((LOAD(tool->per_code) != 0 || LOAD(interpreter_count) > 1) && !is_on(self, event))
        return RMON_CONTINUE;
    if (callable == NULL)
        return keep_unheard_call(self, fire, event);
    Py_INCREF(callable);
    if (!rmon_python_has_raised(thread))
        status = call(self, fire, event, vouched, callable);
    else
        status = call_with_exception(self, fire, event, vouched, callable);
    if (status < 0 && !propagates)
        PyErr_WriteUnraisable(callable);
    Py_DECREF(callable);
    return status;
}

/* Delivers what was fired by who has noted nothing: by librmon's own functions, perhaps on a thread that is not
 * attached. */
static __attribute__((noinline)) int deliver_unnoted(const rmon_event *event)
{
    rmon_python_fire fire = {.thread = rmon_python_attached()};
    PyGILState_STATE before = PyGILState_UNLOCKED;
    bool is_attached = fire.thread != NULL;
    int status;
    if (!is_attached) {
        if (!interpreter_begin_visit())
            return RMON_CONTINUE;
        if (!Py_IsInitialized() || is_finalizing()) {
            interpreter_end_visit();
            return RMON_CONTINUE;
        }
        before = PyGILState_Ensure();
        fire.thread = PyThreadState_Get();
    }
    status = deliver(&fire, event, false, is_attached);
    if (fire.release != NULL)
        fire.release(&fire);
    if (!is_attached) {
        PyGILState_Release(before);
        interpreter_end_visit();
    }
    return status;
}

static ptrdiff_t note_offset;
static PyObject *none; /* Py_None, whose address a compiler would rather keep in a register throughout */

void callback_init(void)
{
    note_offset = rmon_host_note_offset();
    none = Py_None;
}

/* Delivers whatever is not usual, or where the note is not at a known distance. */
static __attribute__((noinline)) int deliver_other(void *user_data, const rmon_event *event)
{
    rmon_python_fire *fire = *rmon_host_note();
    (void)user_data;
    return fire != NULL ? deliver(fire, event, true, true) : deliver_unnoted(event);
}

/* The end of what deliver_shape has begun, from what it has left in the fire. */
static __attribute__((noinline)) int answer_noted(rmon_python_fire *fire, PyObject *result)
{
    const rmon_event *event = (const rmon_event *)fire->arguments[EVENT];
    return answer(interpreter_of(fire->thread->interp), fire, event, fire->arguments[CALLABLE], result);
}

/* Delivers in the usual case: a noted fire of the only interpreter that has rmon, without an exception in flight, where
 * the note is at a known distance. What is not usual is found out, and left to the others. (What is needed after the
 * call is kept in the fire, and nothing is called before it, which costs less than registers that are saved first.) */
static inline __attribute__((always_inline)) int deliver_shape(Place *place, const rmon_event *event, Shape shape)
{
    rmon_python_fire *fire;
    PyObject *callable, *result;
    PyThreadState *thread;
    fire = *rmon_python_note_at(note_offset);
    if (fire == NULL)
        return deliver_other(place, event);
    thread = fire->thread;
    if (LOAD(place->key) != thread->interp || !rmon_python_is_usual(thread))
        return deliver_other(place, event);
    callable = LOAD(place->callable);
    if (callable == NULL)
        return RMON_CONTINUE;
    if (fire->count == 0 && !put_shape(place->interpreter, fire, event, shape))
        return call(place->interpreter, fire, event, true, callable);
    fire->arguments[CALLABLE] = callable;
    fire->arguments[EVENT] = (PyObject *)event;
    Py_INCREF(callable);
    enter_tracing(thread);
    if (place->function != NULL)
        result = place->function(place->self, fire->arguments + 1, shape_count(shape));
    else
        result = place->vectorcall(callable, fire->arguments + 1,
                                   (size_t)shape_count(shape) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    thread = fire->thread;
    if (result != none || rmon_python_has_raised(thread))
        return answer_noted(fire, result);
    leave_tracing(thread);
#if PY_VERSION_HEX < 0x030C0000 /* since then it is immortal */
    Py_DECREF(Py_None);
#endif
    callable = fire->arguments[CALLABLE];
    Py_DECREF(callable);
    return RMON_CONTINUE;
}

#define DELIVER(name, shape) \
    static int name(void *user_data, const rmon_event *event) \
    { \
        return deliver_shape(user_data, event, shape); \
    }
DELIVER(deliver_at_offset, AT_OFFSET)
DELIVER(deliver_at_line, AT_LINE)
DELIVER(deliver_object, OBJECT)
DELIVER(deliver_call, CALL)
DELIVER(deliver_target, TARGET)

rmon_callback callback_for(int event)
{
    if (note_offset == 0)
        return deliver_other;
    switch (event) {
    case RMON_EVENT_PY_START:
    case RMON_EVENT_PY_RESUME:
    case RMON_EVENT_INSTRUCTION:
        return deliver_at_offset;
    case RMON_EVENT_LINE:
        return deliver_at_line;
    case RMON_EVENT_CALL:
        return deliver_call;
    case RMON_EVENT_JUMP:
    case RMON_EVENT_BRANCH_LEFT:
    case RMON_EVENT_BRANCH_RIGHT:
        return deliver_target;
    /* Each of the others has something of its own. */
    case RMON_EVENT_BRANCH: /* two events' callables */
    case RMON_EVENT_C_RETURN: /* see put_ended_call */
    case RMON_EVENT_C_RAISE:
    case RMON_EVENT_STOP_ITERATION: /* makes an exception */
        return deliver_other;
    default:
        return deliver_object;
    }
}
