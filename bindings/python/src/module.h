/* What the files of the module rmon._rmon share.
 *
 *   module.c       the module: its names, its beginning and end
 *   scope.c        Scope, an emitter in Python
 *   testing.c      the functions of CPython's _testcapi that fire events
 *   install.c      wraps the functions of sys.monitoring, or provides it
 *   tools.c        the functions of rmon.monitoring: check, pass on to the interpreter, keep, tell librmon
 *   callback.c     from librmon's callback to Python's
 *   codelike.c     CodeLike, a look-alike in Python, and what stands for codes that are no objects
 *   codes.c        codes as librmon knows them: their death, their local events
 *   interpreter.c  what is kept for each interpreter, and what librmon is told of all of them
 *   locks.c        what one thread at a time may change, and how a fork finds it
 *   events.c       the numbers of events, here and there
 *
 * A file uses only what stands below it here.
 *
 * Threads. What is kept for an interpreter is changed by threads that are attached to it: one at a time where there is
 * a GIL, and inside SERIALISED where there is none. Fires read it without any lock; interpreter.c says how.
 *
 * A GIL may change hands in a control function, but hardly does. Without one, each is whole: what it does in CPython,
 * in librmon and here is done before the next one begins, on whatever thread. A critical section of CPython would not
 * do: it is let go whenever its thread waits for something, as in the functions of sys.monitoring. What others have
 * written (destructors, audit hooks, __index__) may wait for a thread that wants to be SERIALISED, and runs outside.
 */
#ifndef RMON_MODULE_H
#define RMON_MODULE_H

#define RMON_LINK /* what others attach to lazily is linked in here */
#include "rmon_python.h"

#include <limits.h>
#include <stdbool.h>

#if PY_VERSION_HEX >= 0x030C0000
#define HAS_NATIVE 1 /* the interpreter has sys.monitoring */
#else
#define HAS_NATIVE 0
#endif

/* Whether a replaced callable is released only when no fire can have found it any more. Otherwise it is released at
 * once: with a GIL no fire can be about to use it. (May be set for tests of the one way in a build for the other.) */
#ifndef DEFER_RELEASE
#ifdef Py_GIL_DISABLED
#define DEFER_RELEASE 1
#else
#define DEFER_RELEASE 0
#endif
#endif

/* One thread at a time for one object. No `return` between the two. */
#ifdef Py_GIL_DISABLED
#define LOCKED(object) Py_BEGIN_CRITICAL_SECTION(object)
#define LOCKED_END() Py_END_CRITICAL_SECTION()
#else
#define LOCKED(object) {
#define LOCKED_END() }
#endif

/* One thread at a time, which may do it recursively. No `return` between the two. */
#ifdef Py_GIL_DISABLED
#define SERIALISED() \
    {                \
        locks_serialise()
#define SERIALISED_END()         \
    interpreter_serialise_end(); \
    }
/* Inside: what others have written. */
#define OTHERS_CODE() \
    {                 \
        int serialised_ = locks_let_others()
#define OTHERS_CODE_END()               \
    locks_take_back(serialised_); \
    }
/* Apart from these, and short: who uses the dictionary of stand-ins, and nothing else meanwhile. */
#define STAND_INS() \
    {               \
        bool is_held_ = locks_take_stand_ins()
#define STAND_INS_END()                     \
    locks_give_stand_ins(is_held_); \
    }
#else
#define SERIALISED() {
#define SERIALISED_END() }
#define OTHERS_CODE() {
#define OTHERS_CODE_END() }
#define STAND_INS() {
#define STAND_INS_END() }
#endif

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

enum { TOOLS = 6, EVENTS = RMON_EVENT_COUNT, DEBUGGER = 0, NUMBERS = 2048 };

#define BIT(event) ((uint32_t)1 << (event))

/* ---- What all use ---- */

/* Reads an int, as a C function with an int parameter does: TypeError if it is none, OverflowError if it is too large.
 * -1 with an exception. */
static inline int read_int(PyObject *object, int *number)
{
    PyObject *index = PyNumber_Index(object); /* an int as it is; unlike PyLong_AsLong, 3.9's refuses a float too */
    int overflow;
    long value;
    if (index == NULL)
        return -1;
    value = PyLong_AsLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (overflow || value < INT_MIN || value > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError, "Python int too large to convert to C int");
        return -1;
    }
    *number = (int)value;
    return 0;
}

/* What a weak reference refers to, a new reference; NULL if that has died, without an exception. */
static inline PyObject *weak_referent(PyObject *reference)
{
    PyObject *object;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyWeakref_GetRef(reference, &object) < 0)
        PyErr_Clear();
    return object;
#else
    object = PyWeakref_GetObject(reference);
    if (object == NULL || object == Py_None)
        return NULL;
    Py_INCREF(object);
    return object;
#endif
}

/* What a dictionary has, a new reference; NULL if it has nothing, or with an exception. (A borrowed one may be released
 * by another thread.) */
static inline PyObject *item_of(PyObject *dictionary, PyObject *key)
{
    PyObject *item;
#if PY_VERSION_HEX >= 0x030D0000
    (void)PyDict_GetItemRef(dictionary, key, &item);
#else
    item = PyDict_GetItemWithError(dictionary, key);
    Py_XINCREF(item);
#endif
    return item;
}

/* ---- events.c ---- */

/* An event set in rmon's numbers that Python has given. Unlike in librmon, BRANCH is a bit of its own in it, so that it
 * reads back as it was set. */
typedef uint32_t EventSet;

/* Reads the interpreter's numbers. -1 with an exception. */
int events_init(void);
/* rmon's event of one of Python's, which is given as a bit's index; -1 if there is none. */
int event_from_python(int index);
/* Python's bit index of an event. */
int event_to_python(int event);
/* The events of Python's set; 0 if a bit is no event, else 1. */
int event_set_from_python(unsigned int python, EventSet *set);
unsigned int event_set_to_python(EventSet set);
/* The bits, in Python's numbers, of the events that the interpreter itself knows. */
unsigned int events_native(void);
/* A new types.SimpleNamespace of all events. */
PyObject *events_namespace(void);

/* ---- locks.c ---- */

/* For what is kept for the process, and of other interpreters. Recursive. */
void locks_lock(void);
void locks_unlock(void);
/* Whether its holder has it more than once. */
bool locks_is_nested(void);
/* Before the first of them; twice does no harm. */
void locks_init(void);
#ifdef Py_GIL_DISABLED
/* See SERIALISED, OTHERS_CODE and STAND_INS. */
void locks_serialise(void);
/* Whether that was the last of several. */
bool locks_serialise_end(void);
bool locks_is_serialised(void);
int locks_let_others(void);
void locks_take_back(int times);
bool locks_take_stand_ins(void);
void locks_give_stand_ins(bool is_held);
#endif

/* ---- interpreter.c ---- */

/* The functions of sys.monitoring. */
typedef enum Function {
    USE_TOOL_ID,
    CLEAR_TOOL_ID,
    FREE_TOOL_ID,
    GET_TOOL,
    REGISTER_CALLBACK,
    GET_EVENTS,
    SET_EVENTS,
    GET_LOCAL_EVENTS,
    SET_LOCAL_EVENTS,
    RESTART_EVENTS,
    ALL_EVENTS,
    FUNCTIONS
} Function;

extern const char *const function_names[FUNCTIONS];

/* A tool, as one interpreter sees it. */
typedef struct Tool {
    PyObject *called[EVENTS];    /* by what is fired: who is called; borrowed from `callables`, or NULL */
    PyObject *callables[EVENTS]; /* owned; NULL: none. BRANCH's is used where BRANCH is registered apart */
    EventSet registered;         /* the events that have a callable */
    EventSet by_sys;             /* of those, the ones that came by sys.monitoring, and not by rmon.monitoring */
    EventSet as_branch;          /* of BRANCH_LEFT and BRANCH_RIGHT, those that were registered as BRANCH */
    EventSet events;             /* the global events */
    EventSet per_code;           /* events set for some code that librmon knows as global ones only; by codes.c */
    PyObject *name;              /* owned; NULL: not in use */
    PyObject *label;             /* owned bytes: the name for librmon */
    bool events_by_sys;          /* `events` came by sys.monitoring */
} Tool;

/* What is kept for an interpreter. */
typedef struct Interpreter {
    PyInterpreterState *key;    /* not followed; NULL: nobody's, the struct can be used again */
    struct Interpreter *next;   /* all that ever were */
    PyObject *disable, *missing; /* owned */
    PyObject *events;           /* owned: the namespace */
    PyObject *codes;            /* owned dictionary; codes.c */
    PyObject *stand_ins;        /* owned dictionary or NULL; codelike.c */
    PyObject *types;            /* owned dictionary; callback.c */
    Tool tools[TOOLS];
    int installed;              /* how often */
    unsigned long long debuggers; /* a bit for each of the last installations: look-alikes reach debuggers, too */
    bool keeps_calls;           /* some tool wants to hear how calls end */
    bool ended;                 /* nothing is delivered any more */
    bool attached;              /* extensions are to be awake */
    PyObject *native[FUNCTIONS];   /* owned: the interpreter's functions; NULL: it has none of this name */
    PyObject *below[FUNCTIONS];    /* owned: what install() found in their places */
    PyObject *wrappers[FUNCTIONS]; /* owned: what install() puts into their places */
    PyObject *provided;         /* owned: the sys.monitoring that install() has made, or NULL */
    struct Garbage *garbage;    /* see interpreter.c */
    unsigned ended_lives;       /* how many interpreters the struct has been for that are gone */
    PyObject *numbers[NUMBERS]; /* owned or NULL: small ints, as they come up */
} Interpreter;

/* Makes ready what the current interpreter needs, unless it has it. `callback_for` gives the callback for librmon of an
 * event. -1 with an exception. */
int interpreter_init(rmon_callback (*callback_for)(int event));
/* The end of the current interpreter's deliveries. */
void interpreter_end(void);
/* Wakes the extensions that attach lazily, or says that this interpreter needs them no longer. They are the process's:
 * they sleep when no interpreter needs them. */
void interpreter_attach(Interpreter *self, bool attached);

/* A builtin of the flags METH_FASTCALL. */
typedef PyObject *(*BuiltinFunction)(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* Where a callback finds, without searching, whom to call: its user data. For BRANCH, and where several interpreters
 * share a tool id, it has to search: the key is NULL. */
typedef struct Place {
    PyInterpreterState *key; /* the interpreter whose callable this is */
    Interpreter *interpreter;
    PyObject *callable; /* borrowed; NULL: none */
    BuiltinFunction function; /* that of a builtin which takes its arguments so, to be called without detours; or NULL */
    PyObject *self;           /* what it is to be called with */
    vectorcallfunc vectorcall; /* for any other callable */
} Place;

/* All that there ever were. */
extern Interpreter *interpreter_first;
/* An interpreter's; NULL if rmon is not imported there, or its end has come. */
static inline Interpreter *interpreter_of(PyInterpreterState *key)
{
    Interpreter *self = LOAD(interpreter_first);
    while (self != NULL && LOAD(self->key) != key)
        self = self->next;
    return self;
}
/* That of the attached thread. */
static inline Interpreter *interpreter_current(void)
{
    return interpreter_of(PyInterpreterState_Get());
}

/* Whether look-alikes reach what a tool has set by this way. */
bool interpreter_reaches(const Interpreter *self, int tool, bool by_sys);
/* Puts a callable (borrowed; NULL: none) in the place of another one, which it returns as a new reference or NULL. The
 * caller then tells librmon. */
PyObject *interpreter_put_callable(Interpreter *self, int tool, int event, PyObject *callable);
/* Registers with the interpreter's own function, which must be there. What was registered before; NULL with an
 * exception. */
PyObject *interpreter_register_native(const Interpreter *self, int tool, int event, PyObject *callable);
/* Whether a tool that is not Python's has this id. */
bool interpreter_is_foreign(int tool);
/* How many interpreters there are. */
extern int interpreter_count;
/* Drops the disabled locations of a tool that has nothing else. False if another interpreter uses the id, too: then
 * nothing is done. */
bool interpreter_clear(int tool);
/* Under which event a tool has a callable for what was fired; -1: under none. */
int interpreter_registered_for(const Tool *tool, int fired);
/* Tells librmon, and fires here, what the interpreters have set of a tool. A status. */
int interpreter_tell(Interpreter *self, int tool);
/* For a thread that is not attached and wants to be, for a callback: false if it must not, since the end has come. The
 * end waits for those that may, who say when they are done. */
bool interpreter_begin_visit(void);
void interpreter_end_visit(void);
/* Releases what no fire can be using any more; not before the end of SERIALISED. */
void interpreter_release_garbage(Interpreter *self);
/* Releases an object, or NULL, after SERIALISED: its destructor is others' code. */
void interpreter_release_later(Interpreter *self, PyObject *object);
#ifdef Py_GIL_DISABLED
/* See SERIALISED. */
void interpreter_serialise_end(void);
/* Whether there are audit hooks. */
bool interpreter_is_audited(void);
#endif

/* ---- codes.c ---- */

/* A tool's local events on a code, as Python has set them. */
EventSet codes_local(Interpreter *self, int tool, void *address);
/* Sets them, here and in librmon, and watches for the code's death. -1 with an exception. */
int codes_set_local(Interpreter *self, int tool, PyObject *code, void *address, EventSet events);
/* Watches for the death of a code, if that is possible. Leaves no exception. */
void codes_watch(Interpreter *self, PyObject *code, void *address);
/* A new list of the codes on which a tool has local events. */
PyObject *codes_of_tool(Interpreter *self, int tool);
/* Drops all local events of a tool. */
void codes_clear_tool(Interpreter *self, int tool);
/* Enables all locations of the codes that are this interpreter's alone, for all its tools. Their local events stay. */
void codes_enable(Interpreter *self);
/* Drops all that is known of all codes, which are about to die with their interpreter. */
void codes_end(Interpreter *self);
/* Drops all that is known of a code. */
void codes_forget(Interpreter *self, void *address);

/* ---- codelike.c ---- */

/* The address by which librmon knows a code that Python code passes. */
void *codelike_address(PyObject *object);
/* Whether the object stands for a code that is no object of its own. */
bool codelike_is_stand_in(PyObject *object);
/* What stands for a code that is no object: a new reference, the same object as long as somebody holds it. */
PyObject *codelike_of_native(void *code);
/* Describes a CodeLike to librmon: texts and lines live as long as it does. RMON_ERR_UNKNOWN_CODE for anything else. */
int codelike_describe(PyObject *object, rmon_code_info *out);
int codelike_add(PyObject *module);

/* ---- callback.c ---- */

/* Before the first of them is registered. */
void callback_init(void);
/* librmon's callback for an event, of all tools of all interpreters. */
rmon_callback callback_for(int event);
/* Lets go of what this thread's calls, which have not ended, were said to call. */
void callback_forget_calls(Interpreter *self);

/* ---- tools.c ---- */

/* A new builtin function of rmon.monitoring, if `module` is ours, else of sys.monitoring. */
PyObject *tools_function(Function function, PyObject *module, PyObject *module_name);
/* Takes over the name of a tool that uses the interpreter's own functions, and forgets one that was given back there.
 * -1 with an exception. */
int tools_adopt_name(Interpreter *self, int tool);
/* Keeps a callable, or None, for one event. */
void tools_keep_registered(Interpreter *self, int tool, int event, PyObject *callable, bool by_sys);
/* What is kept for one event: a new reference, or None. */
PyObject *tools_registered(const Interpreter *self, int tool, int event);
/* Python's set as it is kept: without what CALL implies, and with BRANCH as its directions where it reads back so. */
EventSet tools_kept(EventSet events);
/* Whether BRANCH is registered apart from the two directions, and reads back as itself. */
#if HAS_NATIVE && PY_VERSION_HEX < 0x030E0000
#define BRANCH_IS_APART 1
#else
#define BRANCH_IS_APART 0
#endif

/* ---- testing.c, scope.c, install.c ---- */

int testing_add(PyObject *module);
int scope_add(PyObject *module);
int install_add(PyObject *module);

/* ---- module.c ---- */

/* By which our module is told from others. */
extern PyModuleDef module_definition;

#endif /* RMON_MODULE_H */
