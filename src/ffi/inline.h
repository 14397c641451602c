/* ---- Inline part: what an emitter pays for. From here on rmon.h is src/ffi/inline.h. ---- */

/** The bit of one event in an event set: RMON_EVENT_SET(RMON_EVENT_LINE). */
#define RMON_EVENT_SET(event) (UINT32_C(1) << (event))
/** The empty event set. */
#define RMON_NO_EVENTS UINT32_C(0)
/** The events that happen at a location: they can be set for one code, and disabled at one place. */
#define RMON_LOCAL_EVENTS UINT32_C(0x407ff)
/** The events that CALL controls: they can be set only together, with CALL. */
#define RMON_ANCILLARY_EVENTS UINT32_C(0x30000)
/** Every event. */
#define RMON_ALL_EVENTS UINT32_C(0x7ffff)

#if defined(__GNUC__) || defined(__clang__)
#define RMON_PRIV_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define RMON_PRIV_LOAD_ACTIVE(state) __atomic_load_n(&(state)->active, __ATOMIC_RELAXED)
#define RMON_PRIV_LOAD_VERSION(version) __atomic_load_n((version), __ATOMIC_ACQUIRE)
#else
#define RMON_PRIV_UNLIKELY(condition) (condition)
#define RMON_PRIV_LOAD_ACTIVE(state) (*(const volatile uint8_t *)&(state)->active)
#define RMON_PRIV_LOAD_VERSION(version) (*(const volatile uint64_t *)(version))
#endif

/* C++ reads NULL-able pointers and flags as C does; only linkage differs. */
#ifdef __cplusplus
extern "C" {
#endif

/* Called without the detour through the procedure linkage table. */
#ifdef __has_attribute
#if __has_attribute(noplt)
#define RMON_PRIV_NO_PLT __attribute__((__noplt__))
#endif
#endif
#ifndef RMON_PRIV_NO_PLT
#define RMON_PRIV_NO_PLT
#endif
int rmon_enter_scope_slow(rmon_state *states, uint64_t *version, const uint8_t *event_types,
    ptrdiff_t length) RMON_PRIV_NO_PLT;
int rmon_fire_branch_left_slow(rmon_state *state, void *code, int32_t offset,
    int32_t target_offset) RMON_PRIV_NO_PLT;
int rmon_fire_branch_right_slow(rmon_state *state, void *code, int32_t offset,
    int32_t target_offset) RMON_PRIV_NO_PLT;
int rmon_fire_branch_slow(rmon_state *state, void *code, int32_t offset,
    int32_t target_offset) RMON_PRIV_NO_PLT;
int rmon_fire_c_raise_slow(rmon_state *state, void *code, int32_t offset, void *callable,
    void *arg0) RMON_PRIV_NO_PLT;
int rmon_fire_c_return_slow(rmon_state *state, void *code, int32_t offset, void *callable,
    void *arg0) RMON_PRIV_NO_PLT;
int rmon_fire_call_slow(rmon_state *state, void *code, int32_t offset, void *callable,
    void *arg0) RMON_PRIV_NO_PLT;
int rmon_fire_current_exception_slow(rmon_state *state, void *code, int32_t offset,
    int event) RMON_PRIV_NO_PLT;
int rmon_fire_exception_handled_slow(rmon_state *state, void *code, int32_t offset,
    void *exception) RMON_PRIV_NO_PLT;
int rmon_fire_instruction_slow(rmon_state *state, void *code, int32_t offset) RMON_PRIV_NO_PLT;
int rmon_fire_jump_slow(rmon_state *state, void *code, int32_t offset,
    int32_t target_offset) RMON_PRIV_NO_PLT;
int rmon_fire_last_call_slow(rmon_state *state, void *code, int32_t offset,
    int event) RMON_PRIV_NO_PLT;
int rmon_fire_line_slow(rmon_state *state, void *code, int32_t offset,
    int32_t lineno) RMON_PRIV_NO_PLT;
int rmon_fire_py_resume_slow(rmon_state *state, void *code, int32_t offset) RMON_PRIV_NO_PLT;
int rmon_fire_py_return_slow(rmon_state *state, void *code, int32_t offset,
    void *retval) RMON_PRIV_NO_PLT;
int rmon_fire_py_start_slow(rmon_state *state, void *code, int32_t offset) RMON_PRIV_NO_PLT;
int rmon_fire_py_throw_slow(rmon_state *state, void *code, int32_t offset,
    void *exception) RMON_PRIV_NO_PLT;
int rmon_fire_py_unwind_slow(rmon_state *state, void *code, int32_t offset,
    void *exception) RMON_PRIV_NO_PLT;
int rmon_fire_py_yield_slow(rmon_state *state, void *code, int32_t offset,
    void *retval) RMON_PRIV_NO_PLT;
int rmon_fire_raise_slow(rmon_state *state, void *code, int32_t offset,
    void *exception) RMON_PRIV_NO_PLT;
int rmon_fire_reraise_slow(rmon_state *state, void *code, int32_t offset,
    void *exception) RMON_PRIV_NO_PLT;
int rmon_fire_stop_iteration_slow(rmon_state *state, void *code, int32_t offset,
    void *value) RMON_PRIV_NO_PLT;
int rmon_fire_target_object_slow(rmon_state *state, void *code, int32_t offset, int event,
    void *target) RMON_PRIV_NO_PLT;

/**
 * The version of what tools listen to: 0 while nobody listens to anything, otherwise a number that
 * never comes back. For the comparison in rmon_enter_scope; read it, never write it.
 */
extern uint64_t rmon_current_version;

/*
 * Lazy attach. With `#define RMON_LAZY` before the include, an emitter uses no symbol of librmon and
 * need not be linked with it: its probes sleep until librmon is in the process, whoever brings it
 * there, before the emitter or after it. A probe that sleeps costs what a disabled one costs. All that
 * this header has for emitters works so: scopes and fires, the PyMonitoring names, rmon_code_new,
 * rmon_code_retain, rmon_code_release, rmon_code_forget, rmon_set_host, rmon_host_note,
 * rmon_host_note_offset, rmon_event_name, rmon_status_message, rmon_version and rmon_version_number. In an emitter that
 * sleeps they do nothing and return RMON_OK, 0 or NULL: as long as a code is NULL, try to make it again
 * when an event of it is to be fired. (But once a unit has made a code or set a host, it can give codes
 * and its host back while it sleeps.) The functions for tools need the library linked, as ever.
 *
 * With the first of these calls the emitter looks for librmon in what the program has loaded; if it
 * is not there and the environment variable RMON_LIBRARY names a file, by a path that begins with a
 * slash, it loads that (but not in a program with privileges that its user has not, e.g. a set-user-id
 * one). librmon in turn looks for emitters when a tool claims an id. What is found and cannot be used is
 * said on standard error, once, and the program goes on unmonitored.
 *
 * This needs an ELF system, and gcc or clang.
 */
#if defined(RMON_LAZY) && !defined(RMON_DISABLED)

#if !defined(__ELF__) || !(defined(__GNUC__) || defined(__clang__))
#error "RMON_LAZY needs an ELF system, and gcc or clang; elsewhere, link with librmon"
#endif

#ifdef __cplusplus
} /* extern "C" */
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/auxv.h>
#else
#include <unistd.h>
#endif
#ifdef __cplusplus
extern "C" {
#endif

#ifndef RMON_PRIV_HOST
#define RMON_PRIV_HOST RMON_HOST_NONE
#endif
#define RMON_PRIV_LOAD_POINTER(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)

/* Marks what this is linked into as having slots; `readelf -n` shows it. */
__attribute__((used, aligned(4), section(".note.rmon")))
static const struct rmon_priv_note {
    uint32_t owner_size, size, type;
    char owner[8];
    uint32_t abi_version, version_number;
} rmon_priv_note = {5, 8, 1, {'r', 'm', 'o', 'n', 0, 0, 0, 0}, RMON_ABI_VERSION, RMON_VERSION_NUMBER};

/* What scopes compare with before the library has been looked for, which no scope has, and after. */
static const uint64_t rmon_priv_unknown = UINT64_MAX;
static const uint64_t rmon_priv_asleep = 0;

__attribute__((used))
static rmon_slot rmon_priv_slot = {
    {RMON_MAGIC, RMON_SLOT_MAGIC}, &rmon_priv_unknown, NULL, &rmon_priv_slot, sizeof(rmon_slot),
    RMON_ABI_VERSION, sizeof(rmon_table), RMON_PRIV_HOST,
};

/* Whether a message has been printed: one for all units of what this is linked into. */
extern uint32_t rmon_priv_told __attribute__((weak, visibility("hidden")));
uint32_t rmon_priv_told = 0;

/* Whether a message is still to be printed; the next time it is not. */
static inline int rmon_priv_tell(void)
{
    return __atomic_exchange_n(&rmon_priv_told, 1, __ATOMIC_RELAXED) == 0;
}

/* Loads what RMON_LIBRARY names; NULL if that is nothing, or cannot be loaded. */
__attribute__((cold, noinline, unused))
static void *rmon_priv_load_named(void)
{
    const char *path;
    void *library;
#ifdef __linux__
    if (getauxval(AT_SECURE) != 0)
        return NULL;
#else
    if (geteuid() != getuid() || getegid() != getgid())
        return NULL;
#endif
    path = getenv("RMON_LIBRARY");
    if (path == NULL || path[0] == '\0')
        return NULL;
    if (path[0] != '/') { /* the loader would look for it, or it would depend on the current folder */
        if (rmon_priv_tell())
            fprintf(stderr, "rmon: RMON_LIBRARY is %s, which does not begin with a slash; "
                            "no events will be seen\n", path);
        return NULL;
    }
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        if (rmon_priv_tell())
            fprintf(stderr, "rmon: RMON_LIBRARY cannot be loaded: %s; no events will be seen\n",
                    why != NULL ? why : path);
    } else if (dlsym(library, "rmon_attach_slot") == NULL) {
        if (rmon_priv_tell())
            fprintf(stderr, "rmon: RMON_LIBRARY is %s, which is not librmon; no events will be seen\n",
                    path);
        library = NULL; /* left loaded: it may have begun things */
    }
    return library;
}

/* Looks for the library and hands it the slot. Doing that twice, or in two threads at once, does no
 * harm. */
__attribute__((cold, noinline, unused))
static void rmon_priv_look_for_library(void)
{
    static const char soname[] = "librmon.so.0"; /* RMON_ABI_VERSION */
    const uint64_t *unknown = &rmon_priv_unknown;
    int (*attach_slot)(rmon_slot *) = NULL;
    void *library = dlopen(NULL, RTLD_LAZY), *symbol = NULL;
    if (library != NULL) {
        symbol = dlsym(library, "rmon_attach_slot");
        dlclose(library);
    }
    if (symbol == NULL) {
        library = dlopen(soname, RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            library = rmon_priv_load_named();
        if (library != NULL)
            symbol = dlsym(library, "rmon_attach_slot");
    }
    if (symbol != NULL) {
        memcpy(&attach_slot, &symbol, sizeof attach_slot);
        (void)attach_slot(&rmon_priv_slot);
    }
    /* Unless it is attached now, it sleeps until the library comes and finds it. */
    (void)__atomic_compare_exchange_n(&rmon_priv_slot.version, &unknown, &rmon_priv_asleep, 0,
                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Puts the emitter to sleep after it was attached to what is no table. */
__attribute__((cold, noinline, unused))
static void rmon_priv_reject_table(const rmon_table *table)
{
    /* Fires do not look at what they find. */
    if (__atomic_compare_exchange_n(&rmon_priv_slot.table, &table, (const rmon_table *)NULL, 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        __atomic_store_n(&rmon_priv_slot.version, &rmon_priv_asleep, __ATOMIC_RELEASE);
    if (rmon_priv_tell())
        fprintf(stderr, "rmon: an emitter was attached to what is not a fitting librmon; "
                        "its events will not be seen\n");
}

/* The table that the slot points to, if it is one that this header knows how to use, else NULL. */
static inline const rmon_table *rmon_priv_table(void)
{
    const rmon_table *table = RMON_PRIV_LOAD_POINTER(&rmon_priv_slot.table);
    if (table == NULL || (table->magic == RMON_MAGIC && table->abi_version == RMON_ABI_VERSION
                          && table->struct_size >= sizeof(rmon_table)))
        return table;
    rmon_priv_reject_table(table);
    return NULL;
}

/* The same, after looking for the library, if that has not been done. */
static inline const rmon_table *rmon_priv_find_table(void)
{
    if (RMON_PRIV_LOAD_POINTER(&rmon_priv_slot.version) == &rmon_priv_unknown)
        rmon_priv_look_for_library();
    return rmon_priv_table();
}

__attribute__((cold, noinline, unused))
static int rmon_priv_enter_scope(rmon_state *states, uint64_t *version, const uint8_t *event_types,
                                 ptrdiff_t length)
{
    const rmon_table *table = rmon_priv_find_table();
    if (table == NULL && __atomic_load_n(version, __ATOMIC_ACQUIRE) != 0) {
        /* It was awake when the scope was last entered. */
        ptrdiff_t index;
        for (index = 0; index < length; index++)
            __atomic_store_n(&states[index].active, 0, __ATOMIC_RELAXED);
        __atomic_store_n(version, 0, __ATOMIC_RELEASE);
        /* Another thread may have been woken meanwhile, and have filled the same states before. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        table = rmon_priv_table();
    }
    return table != NULL ? table->enter_scope(states, version, event_types, length) : RMON_OK;
}

/* The fires, by way of the slot. (An active state was filled by a table that was looked at.) */
#define RMON_PRIV_LAZY_FIRE_OF(name, parameters, arguments)                                   \
    static inline int rmon_priv_lazy_##name parameters                                             \
    {                                                                                         \
        const rmon_table *table = RMON_PRIV_LOAD_POINTER(&rmon_priv_slot.table);              \
        return RMON_PRIV_UNLIKELY(table == NULL) ? RMON_OK : table->name arguments;           \
    }
#define RMON_PRIV_LAZY_FIRE(name)                                                             \
    RMON_PRIV_LAZY_FIRE_OF(name, (rmon_state *state, void *code, int32_t offset),             \
                           (state, code, offset))
#define RMON_PRIV_LAZY_FIRE_WITH(name, type)                                                  \
    RMON_PRIV_LAZY_FIRE_OF(name, (rmon_state *state, void *code, int32_t offset, type more),  \
                           (state, code, offset, more))
#define RMON_PRIV_LAZY_FIRE_CALL(name)                                                        \
    RMON_PRIV_LAZY_FIRE_OF(                                                                   \
        name, (rmon_state *state, void *code, int32_t offset, void *callable, void *arg0),    \
        (state, code, offset, callable, arg0))

RMON_PRIV_LAZY_FIRE(fire_py_start)
RMON_PRIV_LAZY_FIRE(fire_py_resume)
RMON_PRIV_LAZY_FIRE_WITH(fire_py_return, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_py_yield, void *)
RMON_PRIV_LAZY_FIRE_CALL(fire_call)
RMON_PRIV_LAZY_FIRE_WITH(fire_line, int32_t)
RMON_PRIV_LAZY_FIRE(fire_instruction)
RMON_PRIV_LAZY_FIRE_WITH(fire_jump, int32_t)
RMON_PRIV_LAZY_FIRE_WITH(fire_branch_left, int32_t)
RMON_PRIV_LAZY_FIRE_WITH(fire_branch_right, int32_t)
RMON_PRIV_LAZY_FIRE_WITH(fire_branch, int32_t)
RMON_PRIV_LAZY_FIRE_CALL(fire_c_return)
RMON_PRIV_LAZY_FIRE_CALL(fire_c_raise)
RMON_PRIV_LAZY_FIRE_WITH(fire_stop_iteration, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_py_throw, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_raise, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_reraise, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_exception_handled, void *)
RMON_PRIV_LAZY_FIRE_WITH(fire_py_unwind, void *)
RMON_PRIV_LAZY_FIRE_OF(fire_target_object,
                       (rmon_state *state, void *code, int32_t offset, int event, void *target),
                       (state, code, offset, event, target))
RMON_PRIV_LAZY_FIRE_WITH(fire_current_exception, int)
RMON_PRIV_LAZY_FIRE_WITH(fire_last_call, int)

/* The other functions, which may be called before the first scope. */
#define RMON_PRIV_LAZY(result, name, parameters, arguments, otherwise)                        \
    static inline result rmon_priv_lazy_##name parameters                                          \
    {                                                                                         \
        const rmon_table *table = rmon_priv_find_table();                                     \
        return table != NULL ? table->name arguments : (otherwise);                           \
    }

/* The table by which a unit has made a code or set a host. What it has made it must be able to give back, also while
 * it sleeps. */
static const rmon_table *rmon_priv_maker;
static inline const rmon_table *rmon_priv_find_maker(void)
{
    const rmon_table *table = RMON_PRIV_LOAD_POINTER(&rmon_priv_maker);
    return table != NULL ? table : rmon_priv_find_table();
}
static inline const rmon_table *rmon_priv_become_maker(void)
{
    const rmon_table *table = rmon_priv_find_table();
    if (table != NULL)
        __atomic_store_n(&rmon_priv_maker, table, __ATOMIC_RELEASE);
    return table;
}

static inline void *rmon_priv_lazy_code_new(const rmon_code_info *info)
{
    const rmon_table *table = rmon_priv_become_maker();
    return table != NULL ? table->code_new(info) : NULL;
}
static inline void rmon_priv_lazy_code_retain(void *code)
{
    const rmon_table *table = rmon_priv_find_maker();
    if (table != NULL)
        table->code_retain(code);
}
static inline void rmon_priv_lazy_code_release(void *code)
{
    const rmon_table *table = rmon_priv_find_maker();
    if (table != NULL)
        table->code_release(code);
}
static inline int rmon_priv_lazy_code_forget(void *code)
{
    const rmon_table *table = rmon_priv_find_maker();
    return table != NULL ? table->code_forget(code) : RMON_OK;
}
static inline int rmon_priv_lazy_set_host(const rmon_host *host)
{
    const rmon_table *table = host != NULL ? rmon_priv_become_maker() : rmon_priv_find_maker();
    return table != NULL ? table->set_host(host) : RMON_OK;
}
static inline void **rmon_priv_lazy_host_note(void) /* only a fire leaves notes, so it is as they are */
{
    const rmon_table *table = RMON_PRIV_LOAD_POINTER(&rmon_priv_slot.table);
    return RMON_PRIV_UNLIKELY(table == NULL) ? NULL : table->host_note();
}
RMON_PRIV_LAZY(const char *, event_name, (int event), (event), NULL)
RMON_PRIV_LAZY(const char *, status_message, (int status), (status), NULL)
RMON_PRIV_LAZY(uint32_t, version_number, (void), (), 0)
RMON_PRIV_LAZY(const char *, version, (void), (), NULL)
RMON_PRIV_LAZY(ptrdiff_t, host_note_offset, (void), (), 0)

#define rmon_enter_scope_slow rmon_priv_enter_scope
#define rmon_fire_py_start_slow rmon_priv_lazy_fire_py_start
#define rmon_fire_py_resume_slow rmon_priv_lazy_fire_py_resume
#define rmon_fire_py_return_slow rmon_priv_lazy_fire_py_return
#define rmon_fire_py_yield_slow rmon_priv_lazy_fire_py_yield
#define rmon_fire_call_slow rmon_priv_lazy_fire_call
#define rmon_fire_line_slow rmon_priv_lazy_fire_line
#define rmon_fire_instruction_slow rmon_priv_lazy_fire_instruction
#define rmon_fire_jump_slow rmon_priv_lazy_fire_jump
#define rmon_fire_branch_left_slow rmon_priv_lazy_fire_branch_left
#define rmon_fire_branch_right_slow rmon_priv_lazy_fire_branch_right
#define rmon_fire_branch_slow rmon_priv_lazy_fire_branch
#define rmon_fire_c_return_slow rmon_priv_lazy_fire_c_return
#define rmon_fire_c_raise_slow rmon_priv_lazy_fire_c_raise
#define rmon_fire_stop_iteration_slow rmon_priv_lazy_fire_stop_iteration
#define rmon_fire_py_throw_slow rmon_priv_lazy_fire_py_throw
#define rmon_fire_raise_slow rmon_priv_lazy_fire_raise
#define rmon_fire_reraise_slow rmon_priv_lazy_fire_reraise
#define rmon_fire_exception_handled_slow rmon_priv_lazy_fire_exception_handled
#define rmon_fire_py_unwind_slow rmon_priv_lazy_fire_py_unwind
#define rmon_fire_target_object_slow rmon_priv_lazy_fire_target_object
#define rmon_fire_current_exception_slow rmon_priv_lazy_fire_current_exception
#define rmon_fire_last_call_slow rmon_priv_lazy_fire_last_call
#define rmon_code_new rmon_priv_lazy_code_new
#define rmon_code_retain rmon_priv_lazy_code_retain
#define rmon_code_release rmon_priv_lazy_code_release
#define rmon_code_forget rmon_priv_lazy_code_forget
#define rmon_set_host rmon_priv_lazy_set_host
#define rmon_host_note rmon_priv_lazy_host_note
#define rmon_host_note_offset rmon_priv_lazy_host_note_offset
#define rmon_event_name rmon_priv_lazy_event_name
#define rmon_status_message rmon_priv_lazy_status_message
#define rmon_version_number rmon_priv_lazy_version_number
#define rmon_version rmon_priv_lazy_version
#define RMON_PRIV_CURRENT_VERSION RMON_PRIV_LOAD_POINTER(&rmon_priv_slot.version)

#else /* linked, or compiled away */
#define RMON_PRIV_CURRENT_VERSION (&rmon_current_version)
#ifdef RMON_LAZY
#define rmon_code_new(info) ((void)(info), (void *)NULL)
#define rmon_code_retain(code) ((void)(code))
#define rmon_code_release(code) ((void)(code))
#define rmon_code_forget(code) ((void)(code), RMON_OK)
#define rmon_set_host(host) ((void)(host), RMON_OK)
#define rmon_host_note() ((void **)NULL)
#define rmon_host_note_offset() ((ptrdiff_t)0)
#define rmon_event_name(event) ((void)(event), (const char *)NULL)
#define rmon_status_message(status) ((void)(status), (const char *)NULL)
#define rmon_version_number() UINT32_C(0)
#define rmon_version() ((const char *)NULL)
#endif
#endif /* RMON_LAZY */

/**
 * Enters a code scope: brings the states of its events up to date with what tools listen to.
 *
 * To be called each time a monitored function is entered (or resumed), before its first event.
 * `states` is an array of `length` states, zeroed before its first use; `event_types` are their events
 * (RMON_EVENT_*); `version` starts at 0 and belongs to the array. The array and its version may be
 * kept and entered again, and may be shared by threads, or live on the stack for one call. A type
 * that stands more than once has a state per location; one that stands once is shared by all.
 * Nothing is kept after the call: leaving without rmon_exit_scope is fine.
 *
 * If nothing has changed since the array was last entered, this is a comparison, inline; `version` is
 * taken as given. Otherwise NULLs and ranges are checked: `states` and `event_types` may be NULL only
 * if `length` is 0.
 * Returns RMON_OK, or, with states and version untouched, RMON_ERR_NULL, RMON_ERR_INVALID_ARGUMENT
 * (`length` is negative) or RMON_ERR_INVALID_EVENT. (PyMonitoring_EnterScope)
 */
static inline int rmon_enter_scope(rmon_state *states, uint64_t *version, const uint8_t *event_types,
                                   ptrdiff_t length)
{
#ifdef RMON_DISABLED
    (void)states, (void)version, (void)event_types, (void)length;
    return RMON_OK;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_VERSION(version) !=
                           RMON_PRIV_LOAD_VERSION(RMON_PRIV_CURRENT_VERSION)) ||
        RMON_PRIV_UNLIKELY(length < 0)) /* a constant length costs nothing here */
        return rmon_enter_scope_slow(states, version, event_types, length);
    return RMON_OK;
#endif
}

/**
 * Leaves a code scope. Does nothing, so that it may be called any number of times, or never.
 *
 * Returns RMON_OK. (PyMonitoring_ExitScope)
 */
static inline int rmon_exit_scope(void)
{
    return RMON_OK;
}

/*
 * The fires. Each reports one event of `code` at `offset` (0 or above; its unit is the emitter's) to
 * the tools that want it, on the calling thread.
 *
 * `state` is the event's state in the array of the scope; it is taken as given. If its `active` is 0
 * that is all: one load, one test, one branch not taken. `code` is the code's identity and may be
 * NULL; other pointers may be NULL too and are passed on as they are, and not kept. Any thread may
 * fire. From inside a callback nothing is delivered. Nothing else of the library is async-signal-safe,
 * and a signal handler may fire only while no thread makes control calls: after one, a fire may take a
 * lock, which the interrupted thread may hold.
 *
 * Tools are called by descending id. The first callback that returns a negative number ends the fire,
 * which returns that number. Otherwise a fire returns RMON_OK, or RMON_ERR_INVALID_OFFSET, or
 * RMON_ERR_CANNOT_DISABLE if a callback returned RMON_DISABLE for an event that is not local (the
 * callback is removed and the fire ends).
 */

/** A function starts. Local. */
static inline int rmon_fire_py_start(rmon_state *state, void *code, int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_start_slow(state, code, offset);
#endif
    return RMON_OK;
}

/** A generator or coroutine goes on, other than by an exception thrown in. Local. */
static inline int rmon_fire_py_resume(rmon_state *state, void *code, int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_resume_slow(state, code, offset);
#endif
    return RMON_OK;
}

/** A function is about to return `retval`. Local. */
static inline int rmon_fire_py_return(rmon_state *state, void *code, int32_t offset, void *retval)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)retval;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_return_slow(state, code, offset, retval);
#endif
    return RMON_OK;
}

/** A generator or coroutine is about to yield `retval`. Local. */
static inline int rmon_fire_py_yield(rmon_state *state, void *code, int32_t offset, void *retval)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)retval;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_yield_slow(state, code, offset, retval);
#endif
    return RMON_OK;
}

/** `callable` is about to be called; `arg0` is its first argument, NULL if there is none. Local. */
static inline int rmon_fire_call(rmon_state *state, void *code, int32_t offset,
                                 void *callable, void *arg0)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)callable, (void)arg0;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_call_slow(state, code, offset, callable, arg0);
#endif
    return RMON_OK;
}

/** Line `lineno` is about to run. Local; the location is the code and the line. */
static inline int rmon_fire_line(rmon_state *state, void *code, int32_t offset, int32_t lineno)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)lineno;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_line_slow(state, code, offset, lineno);
#endif
    return RMON_OK;
}

/** An instruction is about to run. Local. */
static inline int rmon_fire_instruction(rmon_state *state, void *code, int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_instruction_slow(state, code, offset);
#endif
    return RMON_OK;
}

/** An unconditional jump to `target_offset`. Local. */
static inline int rmon_fire_jump(rmon_state *state, void *code, int32_t offset,
                                 int32_t target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_jump_slow(state, code, offset, target_offset);
#endif
    return RMON_OK;
}

/** A conditional branch goes left, to `target_offset`. Local. */
static inline int rmon_fire_branch_left(rmon_state *state, void *code, int32_t offset,
                                        int32_t target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_branch_left_slow(state, code, offset, target_offset);
#endif
    return RMON_OK;
}

/** A conditional branch goes right, to `target_offset`. Local. */
static inline int rmon_fire_branch_right(rmon_state *state, void *code, int32_t offset,
                                         int32_t target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_branch_right_slow(state, code, offset, target_offset);
#endif
    return RMON_OK;
}

/** A conditional branch goes to `target_offset`, for an emitter that does not know which way that is.
 * A tool that has either direction on gets it, through its BRANCH callback or else BRANCH_RIGHT's.
 * Local. */
static inline int rmon_fire_branch(rmon_state *state, void *code, int32_t offset,
                                   int32_t target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_branch_slow(state, code, offset, target_offset);
#endif
    return RMON_OK;
}

/** `callable` returned; as rmon_fire_call. Wanted by tools that have CALL on. */
static inline int rmon_fire_c_return(rmon_state *state, void *code, int32_t offset,
                                     void *callable, void *arg0)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)callable, (void)arg0;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_c_return_slow(state, code, offset, callable, arg0);
#endif
    return RMON_OK;
}

/** `callable` raised; as rmon_fire_call. Wanted by tools that have CALL on. */
static inline int rmon_fire_c_raise(rmon_state *state, void *code, int32_t offset,
                                    void *callable, void *arg0)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)callable, (void)arg0;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_c_raise_slow(state, code, offset, callable, arg0);
#endif
    return RMON_OK;
}

/** An iteration ends with `value`, without an exception being raised. Local. */
static inline int rmon_fire_stop_iteration(rmon_state *state, void *code, int32_t offset,
                                           void *value)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)value;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_stop_iteration_slow(state, code, offset, value);
#endif
    return RMON_OK;
}

/** A generator or coroutine goes on by `exception` being thrown in. */
static inline int rmon_fire_py_throw(rmon_state *state, void *code, int32_t offset, void *exception)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)exception;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_throw_slow(state, code, offset, exception);
#endif
    return RMON_OK;
}

/** `exception` is raised. */
static inline int rmon_fire_raise(rmon_state *state, void *code, int32_t offset, void *exception)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)exception;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_raise_slow(state, code, offset, exception);
#endif
    return RMON_OK;
}

/** `exception` is raised again. */
static inline int rmon_fire_reraise(rmon_state *state, void *code, int32_t offset, void *exception)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)exception;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_reraise_slow(state, code, offset, exception);
#endif
    return RMON_OK;
}

/** `exception` is caught. */
static inline int rmon_fire_exception_handled(rmon_state *state, void *code, int32_t offset,
                                              void *exception)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)exception;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_exception_handled_slow(state, code, offset, exception);
#endif
    return RMON_OK;
}

/** A function is left by `exception`. */
static inline int rmon_fire_py_unwind(rmon_state *state, void *code, int32_t offset,
                                      void *exception)
{
#ifdef RMON_DISABLED
    (void)state, (void)code, (void)offset, (void)exception;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_unwind_slow(state, code, offset, exception);
#endif
    return RMON_OK;
}

/*
 * The names under which CPython documents its Monitoring C API, for programs without Python. Sources
 * written for CPython compile with these: objects are plain pointers, results are 0 or -1. A target is
 * such an object and arrives as the event's object, with -1 for the target's offset; exception events
 * carry what the host's hook gives, without a host NULL; C_RETURN and C_RAISE, which know no callable
 * here, carry the callable and argument of the last CALL in their code.
 *
 * After Python.h these names are Python's: include rmon_python.h for them.
 */
#if !defined(RMON_NO_PYMONITORING_NAMES) && !defined(Py_PYTHON_H)

typedef rmon_state PyMonitoringState;

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

/** Whether an event belongs to a location, so that it can be disabled there. */
#define PY_MONITORING_IS_INSTRUMENTED_EVENT(event)                                                     \
    ((unsigned)(event) < 19u && ((RMON_LOCAL_EVENTS >> ((unsigned)(event)&31u)) & 1u) != 0)

/** See rmon_enter_scope. */
static inline int PyMonitoring_EnterScope(PyMonitoringState *state_array, uint64_t *version,
                                          const uint8_t *event_types, ptrdiff_t length)
{
    return rmon_enter_scope(state_array, version, event_types, length) < 0 ? -1 : 0;
}

/** See rmon_exit_scope. */
static inline int PyMonitoring_ExitScope(void)
{
    return rmon_exit_scope();
}

/** See rmon_fire_py_start. */
static inline int PyMonitoring_FirePyStartEvent(PyMonitoringState *state, void *codelike,
                                                int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_start_slow(state, codelike, offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_py_resume. */
static inline int PyMonitoring_FirePyResumeEvent(PyMonitoringState *state, void *codelike,
                                                 int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_resume_slow(state, codelike, offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_py_return. */
static inline int PyMonitoring_FirePyReturnEvent(PyMonitoringState *state, void *codelike,
                                                 int32_t offset, void *retval)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)retval;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_return_slow(state, codelike, offset, retval) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_py_yield. */
static inline int PyMonitoring_FirePyYieldEvent(PyMonitoringState *state, void *codelike,
                                                int32_t offset, void *retval)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)retval;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_py_yield_slow(state, codelike, offset, retval) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_call. */
static inline int PyMonitoring_FireCallEvent(PyMonitoringState *state, void *codelike,
                                             int32_t offset, void *callable, void *arg0)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)callable, (void)arg0;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_call_slow(state, codelike, offset, callable, arg0) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_line. */
static inline int PyMonitoring_FireLineEvent(PyMonitoringState *state, void *codelike,
                                             int32_t offset, int lineno)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)lineno;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_line_slow(state, codelike, offset, lineno) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_jump. */
static inline int PyMonitoring_FireJumpEvent(PyMonitoringState *state, void *codelike,
                                             int32_t offset, void *target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_target_object_slow(state, codelike, offset, RMON_EVENT_JUMP,
                                            target_offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_branch. */
static inline int PyMonitoring_FireBranchEvent(PyMonitoringState *state, void *codelike,
                                               int32_t offset, void *target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_target_object_slow(state, codelike, offset, RMON_EVENT_BRANCH,
                                            target_offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_branch_left. */
static inline int PyMonitoring_FireBranchLeftEvent(PyMonitoringState *state, void *codelike,
                                                   int32_t offset, void *target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_target_object_slow(state, codelike, offset, RMON_EVENT_BRANCH_LEFT,
                                            target_offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_branch_right. */
static inline int PyMonitoring_FireBranchRightEvent(PyMonitoringState *state, void *codelike,
                                                    int32_t offset, void *target_offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)target_offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_target_object_slow(state, codelike, offset, RMON_EVENT_BRANCH_RIGHT,
                                            target_offset) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_c_return. */
static inline int PyMonitoring_FireCReturnEvent(PyMonitoringState *state, void *codelike,
                                                int32_t offset, void *retval)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)retval;
#else
    (void)retval;
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_last_call_slow(state, codelike, offset, RMON_EVENT_C_RETURN) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_c_raise. */
static inline int PyMonitoring_FireCRaiseEvent(PyMonitoringState *state, void *codelike,
                                               int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_last_call_slow(state, codelike, offset, RMON_EVENT_C_RAISE) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_stop_iteration. */
static inline int PyMonitoring_FireStopIterationEvent(PyMonitoringState *state, void *codelike,
                                                      int32_t offset, void *value)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset, (void)value;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_stop_iteration_slow(state, codelike, offset, value) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_py_throw. */
static inline int PyMonitoring_FirePyThrowEvent(PyMonitoringState *state, void *codelike,
                                                int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_current_exception_slow(state, codelike, offset,
                                                RMON_EVENT_PY_THROW) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_raise. */
static inline int PyMonitoring_FireRaiseEvent(PyMonitoringState *state, void *codelike,
                                              int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_current_exception_slow(state, codelike, offset,
                                                RMON_EVENT_RAISE) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_reraise. */
static inline int PyMonitoring_FireReraiseEvent(PyMonitoringState *state, void *codelike,
                                                int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_current_exception_slow(state, codelike, offset,
                                                RMON_EVENT_RERAISE) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_exception_handled. */
static inline int PyMonitoring_FireExceptionHandledEvent(PyMonitoringState *state, void *codelike,
                                                         int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_current_exception_slow(state, codelike, offset,
                                                RMON_EVENT_EXCEPTION_HANDLED) < 0 ? -1 : 0;
#endif
    return 0;
}

/** See rmon_fire_py_unwind. */
static inline int PyMonitoring_FirePyUnwindEvent(PyMonitoringState *state, void *codelike,
                                                 int32_t offset)
{
#ifdef RMON_DISABLED
    (void)state, (void)codelike, (void)offset;
#else
    if (RMON_PRIV_UNLIKELY(RMON_PRIV_LOAD_ACTIVE(state) != 0))
        return rmon_fire_current_exception_slow(state, codelike, offset,
                                                RMON_EVENT_PY_UNWIND) < 0 ? -1 : 0;
#endif
    return 0;
}

#endif /* RMON_NO_PYMONITORING_NAMES, Py_PYTHON_H */

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* RMON_H */
