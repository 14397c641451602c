/* What is kept for each interpreter, and what librmon is told of all of them.
 *
 * librmon has one set of tools for the process, Python has one for each interpreter. So librmon is told the union of
 * what the interpreters have set, and the callback finds the callable of the interpreter that it runs in.
 *
 * Fires walk the list of interpreters and read callables without a lock. The structs are used again, but never freed.
 * With a GIL, an interpreter's callables change only while no thread of it is between finding one and holding it.
 * Without one (DEFER_RELEASE), what is replaced must be kept until the fires that were under way have ended. librmon
 * says when, by calling a registration's destroy function. So each registration carries a ticket; what fires are no
 * longer to find hangs on it, and the registration is replaced, too. Without a ticket they find nothing.
 */
#include "module.h"

#include <time.h>

/* A callable that has been replaced. */
typedef struct Garbage {
    struct Garbage *next;
    Interpreter *owner;
    unsigned life;    /* which of those that the owner's struct has been for */
    PyObject *object; /* owned; to be released by a thread of its interpreter */
} Garbage;

/* The user data of a registration; see also module.h. */
typedef struct Ticket {
    Place place;
    int tool, event;
    Garbage *garbage;
} Ticket;

/* What librmon has been told of a tool. Guarded by the lock, as is all that is read of other interpreters. */
typedef struct Told {
    bool owned;          /* the id is in use by Python */
    EventSet registered; /* the events that have our callback */
    EventSet stale;      /* of those, the ones whose registration is to be replaced */
    Ticket *tickets[EVENTS]; /* of the registrations, if releases are deferred; librmon's, not destroyed yet */
} Told;

const char *const function_names[FUNCTIONS] = {
    "use_tool_id", "clear_tool_id", "free_tool_id", "get_tool", "register_callback", "get_events", "set_events",
    "get_local_events", "set_local_events", "restart_events", "_all_events",
};

static Told told[TOOLS];
static rmon_callback (*callback_of)(int event);
int interpreter_count;           /* read without the lock, as is the list */
Interpreter *interpreter_first;

#ifdef Py_GIL_DISABLED
/* ---- One thread at a time ---- */

void interpreter_serialise_end(void)
{
    Interpreter *self;
    if (!locks_serialise_end())
        return;
    self = interpreter_current();
    if (self != NULL && LOAD(self->garbage) != NULL) {
        PyObject *raised = PyErr_Occurred() ? rmon_python_take_raised() : NULL;
        interpreter_release_garbage(self);
        if (raised != NULL)
            rmon_python_put_raised(raised);
    }
}

/* A converter that fails. */
static PyObject *refuse(void *is_called)
{
    *(bool *)is_called = true;
    PyErr_SetNone(PyExc_RuntimeError);
    return NULL;
}

/* For hooks arguments are made, before they are called. */
bool interpreter_is_audited(void)
{
    bool is_called = false;
    if (PySys_Audit("sys.monitoring.register_callback", "O&", refuse, &is_called) < 0)
        PyErr_Clear();
    return is_called;
}
#endif

/* ---- Callables ---- */

bool interpreter_reaches(const Interpreter *self, int tool, bool by_sys)
{
    return !self->ended && (!by_sys || (self->installed > 0 && (tool != DEBUGGER || self->debuggers != 0)));
}

/* What calls a callable. That of a function, a method or a builtin is its own as long as it lives: who gives a function
 * another must give one that does the same. Other types are asked at each call. */
static vectorcallfunc vectorcall_of(PyObject *callable)
{
    vectorcallfunc function = NULL;
    if (callable != NULL && (PyFunction_Check(callable) || PyMethod_Check(callable) || PyCFunction_CheckExact(callable)))
        function = PyVectorcall_Function(callable);
    return function != NULL ? function : PyObject_Vectorcall;
}

/* What a callback finds without searching. Under the lock. While there are several interpreters, it has to search. */
static void fill_place(Interpreter *self, int tool, int event, Place *place)
{
    const Tool *entry = &self->tools[tool];
    bool is_plain = event != RMON_EVENT_BRANCH && entry->per_code == 0 && interpreter_count <= 1
        && !(event == RMON_EVENT_CALL && entry->called[event] == NULL);
    PyObject *callable = is_plain ? entry->called[event] : NULL;
    bool is_builtin = callable != NULL && PyCFunction_CheckExact(callable)
        && PyCFunction_GET_FLAGS(callable) == METH_FASTCALL;
    STORE(place->callable, callable);
    place->function = is_builtin ? (BuiltinFunction)(void (*)(void))PyCFunction_GET_FUNCTION(callable) : NULL;
    place->self = is_builtin ? PyCFunction_GET_SELF(callable) : NULL;
    place->vectorcall = vectorcall_of(callable);
    place->interpreter = self;
    STORE(place->key, is_plain ? self->key : NULL);
}

static void update_called(Interpreter *self, int tool);

#if DEFER_RELEASE
/* Under which events librmon may know who is called for what is fired. */
static EventSet registrations_for(int fired)
{
    const EventSet branches = BIT(RMON_EVENT_BRANCH) | BIT(RMON_EVENT_BRANCH_LEFT) | BIT(RMON_EVENT_BRANCH_RIGHT);
    return BIT(fired) & branches ? branches : BIT(fired);
}

/* Takes over a reference. Under the lock. */
static void hang(Garbage **list, Interpreter *self, PyObject *object)
{
    Garbage *garbage = malloc(sizeof *garbage);
    if (garbage == NULL)
        return; /* kept for ever: better than used when it is gone */
    garbage->owner = self;
    garbage->life = self->ended_lives;
    garbage->object = object;
    garbage->next = *list;
    STORE(*list, garbage);
}

/* Whether fires may find a callable. Under the lock. */
static bool has_ticket(int tool, int fired)
{
    int event;
    for (event = 0; event < EVENTS; event++) {
        if ((registrations_for(fired) & BIT(event)) && told[tool].tickets[event] != NULL)
            return true;
    }
    return false;
}

/* Fires are no longer to find a callable: keeps it until those that are under way have ended. librmon waits for all of
 * them, with whatever registration. Under the lock. */
static void keep_for_fires(Interpreter *self, int tool, int fired, PyObject *callable)
{
    int event;
    for (event = 0; event < EVENTS; event++) {
        Ticket *ticket = told[tool].tickets[event];
        if (ticket == NULL || !(registrations_for(fired) & BIT(event)))
            continue;
        Py_INCREF(callable);
        hang(&ticket->garbage, self, callable);
        told[tool].stale |= BIT(event);
    }
}

/* librmon's destroy function: no fire has the registration any more. On any thread: what it cannot release here waits
 * for the next function call in its interpreter. */
static void take_ticket_back(void *user_data)
{
    PyThreadState *thread = PyThreadState_GetUnchecked();
    Ticket *ticket = user_data;
    bool is_nested;
    locks_lock();
    is_nested = locks_is_nested();
    if (told[ticket->tool].tickets[ticket->event] == ticket) /* it could not be registered, or others took it away */
        told[ticket->tool].tickets[ticket->event] = NULL;
    while (ticket->garbage != NULL) {
        Garbage *garbage = ticket->garbage;
        ticket->garbage = garbage->next;
        if (garbage->life == garbage->owner->ended_lives) {
            garbage->next = garbage->owner->garbage;
            STORE(garbage->owner->garbage, garbage);
        } else { /* the interpreter has ended meanwhile; no other one may release its object */
            free(garbage);
        }
    }
    locks_unlock();
    free(ticket);
    if (thread != NULL && !is_nested) {
        Interpreter *self = interpreter_of(thread->interp);
        if (self != NULL)
            interpreter_release_garbage(self);
    }
}

/* Places do not change: a fire may have read half of one. Each registration has one of its own. */
static void update_place(Interpreter *self, int tool, int event)
{
    (void)self;
    (void)tool;
    (void)event;
}

static int register_event(Interpreter *self, int tool, int event)
{
    Ticket *ticket = calloc(1, sizeof *ticket);
    if (ticket == NULL)
        return RMON_ERR_NO_MEMORY;
    ticket->tool = tool;
    ticket->event = event;
    told[tool].tickets[event] = ticket;
    update_called(self, tool);
    fill_place(self, tool, event, &ticket->place);
    return rmon_register_callback(tool, event, callback_of(event), ticket, take_ticket_back);
}

void interpreter_release_garbage(Interpreter *self)
{
    Garbage *garbage, *next;
#ifdef Py_GIL_DISABLED
    if (locks_is_serialised())
        return;
#endif
    locks_lock();
    garbage = self->garbage;
    STORE(self->garbage, NULL);
    locks_unlock();
    for (; garbage != NULL; garbage = next) {
        next = garbage->next;
        Py_DECREF(garbage->object);
        free(garbage);
    }
}

void interpreter_release_later(Interpreter *self, PyObject *object)
{
    if (object == NULL)
        return;
    locks_lock();
    hang(&self->garbage, self, object);
    locks_unlock();
    interpreter_release_garbage(self);
}
#else

/* A thread that reads a place has the GIL of the interpreter that the place is for, and so has who changes it. */
static Place places[TOOLS][EVENTS];

static void update_place(Interpreter *self, int tool, int event)
{
    fill_place(self, tool, event, &places[tool][event]);
}

static int register_event(Interpreter *self, int tool, int event)
{
    update_place(self, tool, event);
    return rmon_register_callback(tool, event, callback_of(event), &places[tool][event], NULL);
}

void interpreter_release_garbage(Interpreter *self)
{
    (void)self;
}

void interpreter_release_later(Interpreter *self, PyObject *object)
{
    (void)self;
    Py_XDECREF(object);
}
#endif

PyObject *interpreter_register_native(const Interpreter *self, int tool, int event, PyObject *callable)
{
    unsigned int number = 1u << event_to_python(event);
    PyObject *result;
#ifdef Py_GIL_DISABLED
    if (interpreter_is_audited()) {
        OTHERS_CODE();
        result = PyObject_CallFunction(self->native[REGISTER_CALLBACK], "iIO", tool, number, callable);
        OTHERS_CODE_END();
        return result;
    }
#endif
    result = PyObject_CallFunction(self->native[REGISTER_CALLBACK], "iIO", tool, number, callable);
    return result;
}

int interpreter_registered_for(const Tool *tool, int fired)
{
    if (tool->callables[fired] != NULL)
        return fired;
    switch (fired) {
    case RMON_EVENT_BRANCH_LEFT:
    case RMON_EVENT_BRANCH_RIGHT:
        return tool->callables[RMON_EVENT_BRANCH] != NULL ? RMON_EVENT_BRANCH : -1;
    case RMON_EVENT_BRANCH:
        if (tool->callables[RMON_EVENT_BRANCH_RIGHT] != NULL)
            return RMON_EVENT_BRANCH_RIGHT;
        return tool->as_branch & BIT(RMON_EVENT_BRANCH_LEFT) ? RMON_EVENT_BRANCH_LEFT : -1;
    default:
        return -1;
    }
}

/* Tells fires whom they call. Under the lock. */
static void update_called(Interpreter *self, int tool)
{
    Tool *entry = &self->tools[tool];
    int fired;
    for (fired = 0; fired < EVENTS; fired++) {
        int registered = interpreter_registered_for(entry, fired);
        bool reaches = registered >= 0 && interpreter_reaches(self, tool, (entry->by_sys & BIT(registered)) != 0);
#if DEFER_RELEASE
        PyObject *old = entry->called[fired];
        reaches = reaches && entry->name != NULL && has_ticket(tool, fired);
        if (old != NULL && !(reaches && old == entry->callables[registered]))
            keep_for_fires(self, tool, fired, old);
#endif
        STORE(entry->called[fired], reaches ? entry->callables[registered] : NULL);
        update_place(self, tool, fired);
    }
}

PyObject *interpreter_put_callable(Interpreter *self, int tool, int event, PyObject *callable)
{
    Tool *entry = &self->tools[tool];
    PyObject *old;
    Py_XINCREF(callable);
    locks_lock();
    old = entry->callables[event];
    entry->callables[event] = callable;
    entry->registered = callable != NULL ? entry->registered | BIT(event) : entry->registered & ~BIT(event);
    if (BIT(event) & RMON_ANCILLARY_EVENTS) {
        int other;
        bool keeps = false;
        for (other = 0; other < TOOLS; other++)
            keeps = keeps || (self->tools[other].registered & RMON_ANCILLARY_EVENTS) != 0;
        STORE(self->keeps_calls, keeps);
    }
    update_called(self, tool);
    locks_unlock();
    return old;
}

/* ---- What librmon is told ---- */

/* What the interpreters want of a tool. */
typedef struct Wanted {
    int users;
    EventSet events, callbacks;
} Wanted;

/* The events under which librmon must know what is registered under these. For who wants to hear how calls end, what is
 * called is kept while it runs. */
static EventSet as_registered(const Tool *entry, EventSet events)
{
    if (events & RMON_ANCILLARY_EVENTS)
        events |= BIT(RMON_EVENT_CALL);
    return entry->as_branch & events ? (events & ~entry->as_branch) | BIT(RMON_EVENT_BRANCH) : events;
}

static Wanted wanted(int tool)
{
    Wanted sum = {0, 0, 0};
    const Interpreter *other;
    for (other = LOAD(interpreter_first); other != NULL; other = other->next) {
        const Tool *entry = &other->tools[tool];
        if (LOAD(other->key) == NULL || entry->name == NULL || other->ended)
            continue;
        sum.users++;
        sum.events |= entry->per_code;
        if (interpreter_reaches(other, tool, entry->events_by_sys))
            sum.events |= entry->events;
        if (interpreter_reaches(other, tool, false))
            sum.callbacks |= as_registered(entry, entry->registered & ~entry->by_sys);
        if (interpreter_reaches(other, tool, true))
            sum.callbacks |= as_registered(entry, entry->registered & entry->by_sys);
    }
    return sum;
}

/* Takes a tool id from librmon. */
static int own(Interpreter *self, int tool)
{
    PyObject *label = self->tools[tool].label;
    const char *name = label != NULL ? PyBytes_AS_STRING(label) : "";
    int status = rmon_use_tool_id(tool, *name != '\0' ? name : "(no name)");
    if (status == RMON_OK) {
        told[tool].owned = true;
        told[tool].registered = told[tool].stale = 0;
        memset(told[tool].tickets, 0, sizeof told[tool].tickets);
    }
    return status;
}

/* Registers and unregisters. */
static int tell_callbacks(Interpreter *self, int tool, EventSet callbacks)
{
    EventSet changed = (callbacks ^ told[tool].registered) | (told[tool].stale & callbacks);
    int event, status = RMON_OK;
    for (event = 0; event < EVENTS && status == RMON_OK; event++) {
        if (!(changed & BIT(event)))
            continue;
        if (callbacks & BIT(event)) {
            status = register_event(self, tool, event);
            if (status == RMON_OK)
                told[tool].registered |= BIT(event);
        } else {
            told[tool].tickets[event] = NULL;
            told[tool].registered &= ~BIT(event);
            status = rmon_register_callback(tool, event, NULL, NULL, NULL);
        }
        told[tool].stale &= ~BIT(event);
    }
    return status;
}

int interpreter_tell(Interpreter *self, int tool)
{
    int status = RMON_OK;
    Wanted sum;
    locks_lock();
    update_called(self, tool);
    sum = wanted(tool);
    if (told[tool].owned && rmon_get_tool(tool, NULL, 0) == 0)
        told[tool].owned = false; /* somebody else gave it back */
    if (sum.users > 0 && !told[tool].owned)
        status = own(self, tool);
    if (told[tool].owned) {
        status = tell_callbacks(self, tool, sum.callbacks);
        if (status == RMON_OK)
            status = rmon_set_events(tool, sum.events);
        if (sum.users == 0) {
            told[tool].owned = false;
            status = rmon_free_tool_id(tool);
        }
    }
    locks_unlock();
    return status;
}

bool interpreter_is_foreign(int tool)
{
    bool foreign;
    locks_lock();
    foreign = !told[tool].owned && rmon_get_tool(tool, NULL, 0) > 0;
    locks_unlock();
    return foreign;
}

bool interpreter_clear(int tool)
{
    bool is_alone;
    locks_lock();
    is_alone = wanted(tool).users <= 1;
    if (told[tool].owned && is_alone)
        (void)rmon_clear_tool_id(tool);
    locks_unlock();
    return is_alone;
}

/* ---- Threads that visit ---- */

/* A thread that wants the GIL of an interpreter that is ending would never come back. So the main interpreter, which is
 * the one that threads of unknown origin are attached to, waits with its end until no more of them are here. */

static int visitors;
static bool is_closed; /* for visitors */

bool interpreter_begin_visit(void)
{
    (void)__atomic_add_fetch(&visitors, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&is_closed, __ATOMIC_SEQ_CST))
        return true;
    interpreter_end_visit();
    return false;
}

void interpreter_end_visit(void)
{
    (void)__atomic_sub_fetch(&visitors, 1, __ATOMIC_SEQ_CST);
}

/* Lets no more visitors in, and waits for those that are here. Not for ever: one may itself wait for this thread. */
static void close_to_visitors(void)
{
    enum { STEPS = 2000 };
    const struct timespec step = {0, 1000000};
    int i;
    __atomic_store_n(&is_closed, true, __ATOMIC_SEQ_CST);
    Py_BEGIN_ALLOW_THREADS
    for (i = 0; i < STEPS && __atomic_load_n(&visitors, __ATOMIC_SEQ_CST) > 0; i++)
        nanosleep(&step, NULL);
    Py_END_ALLOW_THREADS
}

/* ---- Beginning and end ---- */

static const char CAPSULE[] = "rmon._rmon.interpreter";

/* How many interpreters are attached. Under the lock. */
static int attached_count;

void interpreter_attach(Interpreter *self, bool attached)
{
    locks_lock();
    if (self->attached != attached) {
        self->attached = attached;
        attached_count += attached ? 1 : -1;
    }
    if (attached) /* also when it is already: what has been loaded meanwhile is found */
        (void)rmon_attach(RMON_HOST_PYTHON);
    else if (attached_count == 0)
        (void)rmon_detach(RMON_HOST_PYTHON);
    locks_unlock();
}

/* Takes everything back that this interpreter has told librmon. */
static void end(Interpreter *self)
{
    int tool;
    SERIALISED();
    interpreter_attach(self, false);
    locks_lock();
    self->ended = true;
    locks_unlock();
    for (tool = 0; tool < TOOLS; tool++)
        (void)interpreter_tell(self, tool);
    SERIALISED_END();
}

void interpreter_end(void)
{
    Interpreter *self = interpreter_current();
    if (self == NULL || self->ended)
        return;
    end(self);
    if (self->key == PyInterpreterState_Main())
        close_to_visitors();
}

/* Lets go of all objects, and of the struct. */
static void release(Interpreter *self)
{
    int tool, i;
    for (tool = 0; tool < TOOLS; tool++) {
        Tool *entry = &self->tools[tool];
        for (i = 0; i < EVENTS; i++)
            Py_XDECREF(interpreter_put_callable(self, tool, i, NULL));
        Py_CLEAR(entry->name);
        Py_CLEAR(entry->label);
    }
    for (i = 0; i < FUNCTIONS; i++) {
        Py_CLEAR(self->native[i]);
        Py_CLEAR(self->below[i]);
        Py_CLEAR(self->wrappers[i]);
    }
    for (i = 0; i < NUMBERS; i++)
        Py_CLEAR(self->numbers[i]);
    Py_CLEAR(self->disable);
    Py_CLEAR(self->missing);
    Py_CLEAR(self->events);
    Py_CLEAR(self->codes);
    Py_CLEAR(self->stand_ins);
    Py_CLEAR(self->types);
    Py_CLEAR(self->provided);
    locks_lock();
    self->ended_lives++;
    locks_unlock();
    interpreter_release_garbage(self);
    STORE(self->key, NULL);
    __atomic_sub_fetch(&interpreter_count, 1, __ATOMIC_RELEASE);
}

/* The capsule lies in the interpreter's own dictionary and dies with it. */
static void on_capsule_death(PyObject *capsule)
{
    Interpreter *self = PyCapsule_GetPointer(capsule, CAPSULE);
    if (self != NULL) {
        if (!self->ended)
            end(self);
        release(self);
    }
}

/* There are several interpreters now. Under the lock. */
static void forget_places(void)
{
    int tool, event;
    for (tool = 0; tool < TOOLS; tool++) {
        for (event = 0; event < EVENTS; event++) {
#if DEFER_RELEASE
            if (told[tool].tickets[event] != NULL)
                STORE(told[tool].tickets[event]->place.key, NULL);
#else
            STORE(places[tool][event].key, NULL);
#endif
        }
    }
}

/* A struct that nobody uses. */
static Interpreter *claim(PyInterpreterState *key)
{
    Interpreter *self;
    locks_lock();
    self = interpreter_of(NULL);
    if (self != NULL) {
        Interpreter *next = self->next;
        memset(self->tools, 0, sizeof self->tools);
        self->installed = 0;
        self->debuggers = 0;
        self->ended = false;
        self->next = next;
        STORE(self->key, key);
    } else if ((self = calloc(1, sizeof *self)) != NULL) {
        self->key = key;
        self->next = interpreter_first;
        STORE(interpreter_first, self);
    }
    if (self != NULL && __atomic_add_fetch(&interpreter_count, 1, __ATOMIC_RELEASE) > 1)
        forget_places();
    locks_unlock();
    return self;
}

#if HAS_NATIVE
/* Notes the interpreter's own functions and objects. */
static int read_native(Interpreter *self)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed; events_init has seen it */
    int i;
    for (i = 0; i < FUNCTIONS; i++) {
        self->native[i] = PyObject_GetAttrString(monitoring, function_names[i]);
        if (self->native[i] == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError))
                return -1;
            PyErr_Clear();
        }
    }
    self->disable = PyObject_GetAttrString(monitoring, "DISABLE");
    self->missing = PyObject_GetAttrString(monitoring, "MISSING");
    return self->disable != NULL && self->missing != NULL ? 0 : -1;
}
#else
static int read_native(Interpreter *self)
{
    self->disable = PyObject_CallFunctionObjArgs((PyObject *)&PyBaseObject_Type, NULL);
    self->missing = PyObject_CallFunctionObjArgs((PyObject *)&PyBaseObject_Type, NULL);
    return self->disable != NULL && self->missing != NULL ? 0 : -1;
}
#endif

int interpreter_init(rmon_callback (*callback_for)(int event))
{
    PyInterpreterState *key = PyInterpreterState_Get();
    PyObject *dictionary = PyInterpreterState_GetDict(key), *capsule;
    Interpreter *self;
    int status;
    locks_init();
    if (interpreter_of(key) != NULL)
        return 0;
    if (dictionary == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter has no dictionary of its own");
        return -1;
    }
    callback_of = callback_for;
    if (key == PyInterpreterState_Main())
        __atomic_store_n(&is_closed, false, __ATOMIC_SEQ_CST);
    if (events_init() < 0)
        return -1;
    self = claim(key);
    if (self == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (read_native(self) < 0 || (self->codes = PyDict_New()) == NULL
        || (self->types = PyDict_New()) == NULL || (self->events = events_namespace()) == NULL) {
        release(self);
        return -1;
    }
    capsule = PyCapsule_New(self, CAPSULE, on_capsule_death);
    if (capsule == NULL) {
        release(self);
        return -1;
    }
    interpreter_attach(self, true);
    status = PyDict_SetItemString(dictionary, CAPSULE, capsule);
    Py_DECREF(capsule); /* if it is not in the dictionary, this releases the struct */
    return status;
}
