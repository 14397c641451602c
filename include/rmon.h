/* rmon.h: made by build.rs from src/ffi; change the sources, then run: cargo xtask bless */
#ifndef RMON_H
#define RMON_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; rmon_version_number() is the library's. */
#define RMON_VERSION_MAJOR 0
#define RMON_VERSION_MINOR 1
#define RMON_VERSION_PATCH 0
#define RMON_VERSION_NUMBER (RMON_VERSION_MAJOR * 1000000 + RMON_VERSION_MINOR * 1000 + RMON_VERSION_PATCH)

/**
 * The version of the ABI: the number in `librmon.so.0`.
 */
#define RMON_ABI_VERSION 0

/**
 * A function starts. Local.
 */
#define RMON_EVENT_PY_START 0

/**
 * A generator or coroutine goes on. Local.
 */
#define RMON_EVENT_PY_RESUME 1

/**
 * A function returns. Local.
 */
#define RMON_EVENT_PY_RETURN 2

/**
 * A generator or coroutine yields. Local.
 */
#define RMON_EVENT_PY_YIELD 3

/**
 * Something is about to be called. Local.
 */
#define RMON_EVENT_CALL 4

/**
 * A line is about to run. Local.
 */
#define RMON_EVENT_LINE 5

/**
 * An instruction is about to run. Local.
 */
#define RMON_EVENT_INSTRUCTION 6

/**
 * An unconditional jump. Local.
 */
#define RMON_EVENT_JUMP 7

/**
 * A conditional branch goes left. Local.
 */
#define RMON_EVENT_BRANCH_LEFT 8

/**
 * A conditional branch goes right. Local.
 */
#define RMON_EVENT_BRANCH_RIGHT 9

/**
 * An iteration ends by an artificial StopIteration. Local.
 */
#define RMON_EVENT_STOP_ITERATION 10

/**
 * An exception is raised.
 */
#define RMON_EVENT_RAISE 11

/**
 * An exception is caught.
 */
#define RMON_EVENT_EXCEPTION_HANDLED 12

/**
 * A function is left by an exception.
 */
#define RMON_EVENT_PY_UNWIND 13

/**
 * A generator or coroutine goes on by an exception thrown in.
 */
#define RMON_EVENT_PY_THROW 14

/**
 * An exception is raised again.
 */
#define RMON_EVENT_RERAISE 15

/**
 * Something called returned. Controlled by CALL.
 */
#define RMON_EVENT_C_RETURN 16

/**
 * Something called raised. Controlled by CALL.
 */
#define RMON_EVENT_C_RAISE 17

/**
 * A conditional branch; in a set, both directions. Local.
 */
#define RMON_EVENT_BRANCH 18

/**
 * How many events there are.
 */
#define RMON_EVENT_COUNT 19

/**
 * By convention a debugger's tool id.
 */
#define RMON_DEBUGGER_ID 0

/**
 * By convention a coverage tool's tool id.
 */
#define RMON_COVERAGE_ID 1

/**
 * By convention a profiler's tool id.
 */
#define RMON_PROFILER_ID 2

/**
 * By convention an optimizer's tool id.
 */
#define RMON_OPTIMIZER_ID 5

/**
 * A callback's answer: go on.
 */
#define RMON_CONTINUE 0

/**
 * A callback's answer: no more of this event at this location, for this tool.
 */
#define RMON_DISABLE 1

/**
 * All is well.
 */
#define RMON_OK 0

/**
 * A callback failed.
 */
#define RMON_ERR_CALLBACK (-1)

/**
 * NULL where it is not allowed.
 */
#define RMON_ERR_NULL (-2)

/**
 * The tool id is not one of 0 to 5.
 */
#define RMON_ERR_INVALID_TOOL (-3)

/**
 * The tool's name is empty or not UTF-8.
 */
#define RMON_ERR_INVALID_NAME (-4)

/**
 * The tool id is taken.
 */
#define RMON_ERR_TOOL_IN_USE (-5)

/**
 * The tool id is not taken.
 */
#define RMON_ERR_TOOL_NOT_IN_USE (-6)

/**
 * There is no such event.
 */
#define RMON_ERR_INVALID_EVENT (-7)

/**
 * The set has a bit that is no event, or one that cannot be set here.
 */
#define RMON_ERR_INVALID_EVENT_SET (-8)

/**
 * C_RETURN or C_RAISE without all of CALL, C_RETURN and C_RAISE.
 */
#define RMON_ERR_NOT_INDEPENDENT (-9)

/**
 * A callback answered RMON_DISABLE to an event that has no location; the callback was removed.
 */
#define RMON_ERR_CANNOT_DISABLE (-10)

/**
 * The offset is negative.
 */
#define RMON_ERR_INVALID_OFFSET (-11)

/**
 * A length, a struct_size or a table is not what it must be.
 */
#define RMON_ERR_INVALID_ARGUMENT (-12)

/**
 * An exception event was fired while the host has no current exception.
 */
#define RMON_ERR_NO_EXCEPTION (-13)

/**
 * Nobody can describe this code.
 */
#define RMON_ERR_UNKNOWN_CODE (-14)

/**
 * Not possible inside a callback.
 */
#define RMON_ERR_IN_CALLBACK (-15)

/**
 * Memory, or another resource of the process, is exhausted.
 */
#define RMON_ERR_NO_MEMORY (-16)

/**
 * A fault of rmon's own.
 */
#define RMON_ERR_INTERNAL (-17)

/**
 * Emitters that belong to no host, for rmon_attach and rmon_detach.
 */
#define RMON_HOST_NONE 0

/**
 * Extensions of Python.
 */
#define RMON_HOST_PYTHON 1

/**
 * What slots and tables begin with.
 */
#define RMON_MAGIC 3347422934626889074

/**
 * The second word of a slot.
 */
#define RMON_SLOT_MAGIC 4435027438140581010

/**
 * The state of one event in one scope: which tools may want it.
 *
 * Two bytes for ever, as CPython's `PyMonitoringState` is. Owned by the emitter, who zeroes it
 * before its first scope; an array of them is given to `rmon_enter_scope` and may lie anywhere
 * (stack, heap, static), be shared by threads, and be thrown away at any time that no fire is using
 * it. A state belongs to its array: fire with a pointer into the array, not with a copy.
 */
typedef struct rmon_state {
    /**
     * A bit for each tool that may want this event; 0: nobody does.
     */
    uint8_t active;
    /**
     * rmon's own. Zero it once, then leave it alone.
     */
    uint8_t opaque;
} rmon_state;

/**
 * A fire that carries the location only.
 */
typedef int (*rmon_fire_function)(struct rmon_state *state, void *code, int32_t offset);

/**
 * A fire that carries a value, or an exception.
 */
typedef int (*rmon_fire_object_function)(struct rmon_state *state,
                                         void *code,
                                         int32_t offset,
                                         void *object);

/**
 * A fire that carries what is called, and its first argument.
 */
typedef int (*rmon_fire_call_function)(struct rmon_state *state,
                                       void *code,
                                       int32_t offset,
                                       void *callable,
                                       void *arg0);

/**
 * A fire that carries a line, or a destination.
 */
typedef int (*rmon_fire_number_function)(struct rmon_state *state,
                                         void *code,
                                         int32_t offset,
                                         int32_t number);

/**
 * A fire of one of several events.
 */
typedef int (*rmon_fire_event_function)(struct rmon_state *state,
                                        void *code,
                                        int32_t offset,
                                        int event);

/**
 * A line of a code: from `offset` on, code belongs to `line`.
 */
typedef struct rmon_line_entry {
    /**
     * The first offset that belongs to the line.
     */
    int32_t offset;
    /**
     * The line's number.
     */
    int32_t line;
} rmon_line_entry;

/**
 * What a code is called and where it stands.
 */
typedef struct rmon_code_info {
    /**
     * `sizeof(rmon_code_info)`, set by the caller before any call.
     */
    uint32_t struct_size;
    /**
     * The line where the code begins.
     */
    int32_t first_line;
    /**
     * The function's name, UTF-8. Required.
     */
    const char *name;
    /**
     * The name with what encloses it, UTF-8. NULL: the same as `name`.
     */
    const char *qualname;
    /**
     * The source file, UTF-8. Required.
     */
    const char *filename;
    /**
     * The lines, by ascending offset. May be NULL if `line_count` is 0.
     */
    const struct rmon_line_entry *lines;
    /**
     * How many `lines` there are.
     */
    size_t line_count;
} rmon_code_info;

/**
 * The hooks of a host. Each may be NULL. They are called on the thread that asks, from inside fires
 * and callbacks, and must not unwind.
 */
typedef struct rmon_host {
    /**
     * `sizeof(rmon_host)`.
     */
    uint32_t struct_size;
    /**
     * Passed to the hooks.
     */
    void *user_data;
    /**
     * The exception that is being raised or handled on this thread, or NULL if there is none. It is
     * borrowed, for the duration of the fire that asks.
     */
    void *(*current_exception)(void *user_data);
    /**
     * Describes one of the host's codes: fills `info` and returns `RMON_OK`, or returns
     * `RMON_ERR_UNKNOWN_CODE`. What it fills in must live as long as the code. `info->struct_size`
     * is set by the caller; fields beyond it must not be written.
     *
     * `delivering` is non-zero if an event of this code is being delivered on this thread, which
     * means that the code is alive. Otherwise the address may be anything: it may be looked up, not
     * followed.
     */
    int (*describe)(void *user_data, void *code, int delivering, struct rmon_code_info *info);
    /**
     * Called on a thread that is about to wait for callbacks: lets go of what it may hold and one of
     * them may need, such as the lock of the language run-time. Counts only with `end_wait`.
     */
    void *(*begin_wait)(void *user_data);
    /**
     * Called on the same thread when the wait is over, with what `begin_wait` returned: takes it
     * again.
     */
    void (*end_wait)(void *user_data, void *begun);
} rmon_host;

/**
 * The library's functions for emitters, and what an emitter checks before it uses them. Functions are
 * added at the end only; `struct_size` says which are there. Each is as the exported function of its
 * name (with `rmon_` before it, and for `enter_scope` and the fires `_slow` after it).
 */
typedef struct rmon_table {
    /**
     * RMON_MAGIC.
     */
    uint64_t magic;
    /**
     * The size of the library's table.
     */
    uint32_t struct_size;
    /**
     * The library's RMON_ABI_VERSION.
     */
    uint32_t abi_version;
    /**
     * See rmon_enter_scope.
     */
    int (*enter_scope)(struct rmon_state *states,
                       uint64_t *version,
                       const uint8_t *event_types,
                       ptrdiff_t length);
    /**
     * See rmon_fire_py_start.
     */
    rmon_fire_function fire_py_start;
    /**
     * See rmon_fire_py_resume.
     */
    rmon_fire_function fire_py_resume;
    /**
     * See rmon_fire_py_return.
     */
    rmon_fire_object_function fire_py_return;
    /**
     * See rmon_fire_py_yield.
     */
    rmon_fire_object_function fire_py_yield;
    /**
     * See rmon_fire_call.
     */
    rmon_fire_call_function fire_call;
    /**
     * See rmon_fire_line.
     */
    rmon_fire_number_function fire_line;
    /**
     * See rmon_fire_instruction.
     */
    rmon_fire_function fire_instruction;
    /**
     * See rmon_fire_jump.
     */
    rmon_fire_number_function fire_jump;
    /**
     * See rmon_fire_branch_left.
     */
    rmon_fire_number_function fire_branch_left;
    /**
     * See rmon_fire_branch_right.
     */
    rmon_fire_number_function fire_branch_right;
    /**
     * See rmon_fire_branch.
     */
    rmon_fire_number_function fire_branch;
    /**
     * See rmon_fire_c_return.
     */
    rmon_fire_call_function fire_c_return;
    /**
     * See rmon_fire_c_raise.
     */
    rmon_fire_call_function fire_c_raise;
    /**
     * See rmon_fire_stop_iteration.
     */
    rmon_fire_object_function fire_stop_iteration;
    /**
     * See rmon_fire_py_throw.
     */
    rmon_fire_object_function fire_py_throw;
    /**
     * See rmon_fire_raise.
     */
    rmon_fire_object_function fire_raise;
    /**
     * See rmon_fire_reraise.
     */
    rmon_fire_object_function fire_reraise;
    /**
     * See rmon_fire_exception_handled.
     */
    rmon_fire_object_function fire_exception_handled;
    /**
     * See rmon_fire_py_unwind.
     */
    rmon_fire_object_function fire_py_unwind;
    /**
     * A jump or branch whose target is an object.
     */
    int (*fire_target_object)(struct rmon_state *state,
                              void *code,
                              int32_t offset,
                              int event,
                              void *target);
    /**
     * An exception event whose exception the host knows.
     */
    rmon_fire_event_function fire_current_exception;
    /**
     * C_RETURN or C_RAISE of the last call.
     */
    rmon_fire_event_function fire_last_call;
    /**
     * See rmon_code_new.
     */
    void *(*code_new)(const struct rmon_code_info *info);
    /**
     * See rmon_code_retain.
     */
    void (*code_retain)(void *code);
    /**
     * See rmon_code_release.
     */
    void (*code_release)(void *code);
    /**
     * See rmon_code_forget.
     */
    int (*code_forget)(void *code);
    /**
     * See rmon_set_host.
     */
    int (*set_host)(const struct rmon_host *host);
    /**
     * See rmon_host_note.
     */
    void **(*host_note)(void);
    /**
     * See rmon_event_name.
     */
    const char *(*event_name)(int event);
    /**
     * See rmon_status_message.
     */
    const char *(*status_message)(int status);
    /**
     * See rmon_version_number.
     */
    uint32_t (*version_number)(void);
    /**
     * See rmon_version.
     */
    const char *(*version)(void);
    /**
     * See rmon_host_note_offset.
     */
    ptrdiff_t (*host_note_offset)(void);
} rmon_table;

/**
 * What an emitter that attaches lazily is found and reached by. It is made by the header
 * (RMON_LAZY), static, one for each unit, in writable data, beside a note that marks what it is
 * linked into: type 1 of the owner "rmon", with RMON_ABI_VERSION and RMON_VERSION_NUMBER.
 *
 * These fields are the same in every ABI; what one adds comes after them. `version` and `table` are
 * replaced at any time, from any thread, `table` first when an emitter is woken and last when it is
 * put to sleep.
 */
typedef struct rmon_slot {
    /**
     * RMON_MAGIC and RMON_SLOT_MAGIC.
     */
    uint64_t magic[2];
    /**
     * What the emitter's scopes compare their version with.
     */
    const uint64_t *version;
    /**
     * The functions that the emitter calls; NULL while there is none.
     */
    const struct rmon_table *table;
    /**
     * The slot's own address. A copy of a slot is none, nor is one that the loader has not relocated
     * yet: it goes upwards, so that all before this is in place when this is.
     */
    const struct rmon_slot *address;
    /**
     * `sizeof(rmon_slot)`.
     */
    uint32_t struct_size;
    /**
     * The emitter's RMON_ABI_VERSION.
     */
    uint32_t abi_version;
    /**
     * How much of the table the emitter needs.
     */
    uint32_t table_size;
    /**
     * The emitter's host, RMON_HOST_NONE or RMON_HOST_PYTHON, in the lowest byte; the rest belongs to
     * the library.
     */
    uint32_t flags;
} rmon_slot;

/**
 * What a callback is told. Fields are added at the end only.
 */
typedef struct rmon_event {
    /**
     * `sizeof(rmon_event)` of the library that fires.
     */
    uint32_t struct_size;
    /**
     * What was fired: `RMON_EVENT_*`.
     */
    uint8_t event;
    /**
     * Whose callback this is.
     */
    uint8_t tool_id;
    /**
     * The offset in the code that the emitter gave; for LINE too.
     */
    int32_t offset;
    /**
     * LINE: the line. Otherwise -1.
     */
    int32_t line;
    /**
     * JUMP, BRANCH, BRANCH_LEFT, BRANCH_RIGHT: the destination. Otherwise -1.
     */
    int32_t target_offset;
    /**
     * The code, as the emitter gave it; may be NULL.
     */
    void *code;
    /**
     * PY_RETURN, PY_YIELD: the value. CALL, C_RETURN, C_RAISE: the callable. STOP_ITERATION: the
     * value. An exception event: the exception. Otherwise, or if the emitter has none, NULL.
     */
    void *object;
    /**
     * CALL, C_RETURN, C_RAISE: the first argument, NULL if there is none. Otherwise NULL.
     */
    void *arg0;
} rmon_event;

/**
 * A tool's function for one event.
 *
 * Called on the emitter's thread with the user data that it was registered with and an event that
 * is valid until it returns. Returns RMON_CONTINUE, RMON_DISABLE (no more of this event at this
 * location, for this tool), or a negative number: an error, which ends the fire and is its result.
 * Numbers above RMON_DISABLE count as RMON_CONTINUE.
 *
 * It may call anything of rmon, removing itself included; only rmon_synchronize then does not wait.
 * Events that it fires itself are suppressed. It must return: not unwind or longjmp past its caller, nor
 * end its thread (pthread_exit, or pthread_cancel heeded inside it). Where it does end its thread, the
 * other tools are not told of the event, and the thread fires nothing more and counts as inside until
 * its end, when it is waited for no longer.
 */
typedef int (*rmon_callback)(void *user_data, const struct rmon_event *event);

/**
 * Frees a callback's user data. Called exactly once, when no thread can be in the callback or enter
 * it. It must return: ending its thread (pthread_exit, pthread_cancel) ends the process.
 */
typedef void (*rmon_destroy)(void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version as one number: major * 1000000 + minor * 1000 + patch. Compare with
 * RMON_VERSION_NUMBER, the header's.
 */
uint32_t rmon_version_number(void);

/**
 * The library's ABI version. Compare with RMON_ABI_VERSION, the header's: a program works with any
 * library of the same ABI version that is not older than its header.
 */
uint32_t rmon_abi_version(void);

/**
 * The library's version as text, "major.minor.patch". Static.
 */
const char *rmon_version(void);

/**
 * The name of an event as sys.monitoring has it, "PY_START"; NULL if there is no such event. Static.
 */
const char *rmon_event_name(int event);

/**
 * One line of English about a status, without a full stop; also for a number that is none. Never
 * NULL. Static.
 */
const char *rmon_status_message(int status);

/**
 * Takes the slot of an emitter that attaches lazily, and wakes it, unless its host's emitters are to
 * sleep. The inline part of the header calls this when such an emitter enters its first scope.
 *
 * Returns RMON_OK, RMON_ERR_NULL, or RMON_ERR_INVALID_ARGUMENT: it is no slot, or belongs to another
 * ABI or a newer version, which is then said on standard error, once for each file that has slots.
 *
 * # Safety
 * `slot` is NULL or the address of a slot, in memory that stays valid while it is loaded, and whose
 * fields, from now on, are accessed by atomic operations only.
 */
int rmon_attach_slot(struct rmon_slot *slot);

/**
 * Wakes the emitters of a host (RMON_HOST_*) that attach lazily: those that are loaded, and those
 * that will be. Undoes rmon_detach. Claiming a tool id wakes what has been loaded meanwhile, too.
 *
 * Returns RMON_OK or RMON_ERR_INVALID_ARGUMENT (no such host).
 */
int rmon_attach(uint32_t host);

/**
 * Puts the emitters of a host (RMON_HOST_*) that attach lazily to sleep, until rmon_attach: their
 * probes cost what they cost without rmon, and nothing of theirs reaches a tool. Fires that are under
 * way are not waited for.
 *
 * Returns RMON_OK or RMON_ERR_INVALID_ARGUMENT (no such host).
 */
int rmon_detach(uint32_t host);

/**
 * Makes a code look-alike: something to fire events with for an emitter whose language has no code
 * objects of its own.
 *
 * `info` and what it points to are copied. `struct_size`, `name` and `filename` are required,
 * `qualname` NULL means `name`; strings are UTF-8; the offsets of `lines` ascend from 0 or above.
 * Returns the code, with one reference, to be released with rmon_code_release; NULL if `info` is bad
 * or there is no memory. The result is an identity, not a pointer to be followed.
 *
 * # Safety
 * `info` is NULL or valid for reads of its `struct_size`, and what it points to is valid for reads.
 */
void *rmon_code_new(const struct rmon_code_info *info);

/**
 * Adds a reference to a code that rmon_code_new made. Anything else is left alone.
 */
void rmon_code_retain(void *code);

/**
 * Drops a reference to a code that rmon_code_new made. With the last one the code dies: its
 * description goes, and all that tools have set on it. Anything else is left alone.
 */
void rmon_code_release(void *code);

/**
 * Describes a code: one that rmon_code_new made, or one of the host's, which its hook describes.
 *
 * `out->struct_size` is set by the caller. The rest of `out` is written on success; what it points to
 * lives as long as the code. Neither pointer may be NULL. `code` is looked up, never followed.
 * Returns RMON_OK, RMON_ERR_NULL, RMON_ERR_INVALID_ARGUMENT (struct_size), or RMON_ERR_UNKNOWN_CODE:
 * also for a code that was released, and for a host's code that the host can describe only while
 * one of its events is being delivered on this thread.
 *
 * # Safety
 * `out` is NULL or valid for reads and writes of its `struct_size`.
 */
int rmon_code_describe(void *code,
                       struct rmon_code_info *out);

/**
 * Tells that a code which rmon did not make has died: what tools have set on it (local events,
 * disabled locations) goes, so that another code at the same address does not inherit it. To be
 * called by the emitter before the address can be used again.
 *
 * Returns RMON_OK, also if nothing was known, or RMON_ERR_NULL.
 */
int rmon_code_forget(void *code);

/**
 * The calling thread's word for the host: NULL at first, and never read or written by rmon.
 *
 * The host's emitters note in it, around a fire, the code that they pass, so that the host's hooks and
 * callbacks know which of the addresses that they meet are its own objects. Valid as long as the
 * thread lives, for that thread alone.
 */
void **rmon_host_note(void);

/**
 * Where rmon_host_note's word lies on every thread: so many bytes from the thread pointer (on x86-64,
 * what the word at fs:0 holds). 0 if that is not the same everywhere. A host that knows it need not
 * call rmon_host_note around each fire.
 */
ptrdiff_t rmon_host_note_offset(void);

/**
 * Sets the hooks of the host, the language run-time in this process; NULL removes them. The table
 * is copied.
 *
 * Without a host everything else works: exception events fired under the PyMonitoring names carry
 * NULL, and only codes made by rmon_code_new can be described. An example:
 *
 * ```c
 * static void *current_exception(void *vm) { return ((struct vm *)vm)->exception; }
 *
 * static int describe(void *vm, void *code, int delivering, rmon_code_info *info)
 * {
 *     struct function *f = vm_find_function(vm, code);
 *     (void)delivering;
 *     if (f == NULL)
 *         return RMON_ERR_UNKNOWN_CODE;
 *     info->name = f->name;
 *     info->filename = f->file;
 *     info->first_line = f->line;
 *     return RMON_OK;
 * }
 *
 * rmon_host host = { sizeof host, vm, current_exception, describe };
 * rmon_set_host(&host);
 * ```
 *
 * Returns RMON_OK, RMON_ERR_INVALID_ARGUMENT (struct_size) or RMON_ERR_NO_MEMORY.
 *
 * # Safety
 * `host` is NULL or valid for reads of its `struct_size`; its hooks may be called with its user data
 * from any thread, for ever.
 */
int rmon_set_host(const struct rmon_host *host);

/**
 * The part of rmon_enter_scope behind its inline comparison of versions; call that.
 *
 * # Safety
 * As for rmon_enter_scope.
 */
int rmon_enter_scope_slow(struct rmon_state *states,
                          uint64_t *version,
                          const uint8_t *event_types,
                          ptrdiff_t length);

/**
 * The part of rmon_fire_py_start behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_start.
 */
int rmon_fire_py_start_slow(struct rmon_state *state, void *code, int32_t offset);

/**
 * The part of rmon_fire_py_resume behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_resume.
 */
int rmon_fire_py_resume_slow(struct rmon_state *state, void *code, int32_t offset);

/**
 * The part of rmon_fire_py_return behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_return.
 */
int rmon_fire_py_return_slow(struct rmon_state *state, void *code, int32_t offset, void *retval);

/**
 * The part of rmon_fire_py_yield behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_yield.
 */
int rmon_fire_py_yield_slow(struct rmon_state *state, void *code, int32_t offset, void *retval);

/**
 * The part of rmon_fire_call behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_call.
 */
int rmon_fire_call_slow(struct rmon_state *state,
                        void *code,
                        int32_t offset,
                        void *callable,
                        void *arg0);

/**
 * The part of rmon_fire_line behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_line.
 */
int rmon_fire_line_slow(struct rmon_state *state, void *code, int32_t offset, int32_t lineno);

/**
 * The part of rmon_fire_instruction behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_instruction.
 */
int rmon_fire_instruction_slow(struct rmon_state *state, void *code, int32_t offset);

/**
 * The part of rmon_fire_jump behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_jump.
 */
int rmon_fire_jump_slow(struct rmon_state *state,
                        void *code,
                        int32_t offset,
                        int32_t target_offset);

/**
 * The part of rmon_fire_branch_left behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_branch_left.
 */
int rmon_fire_branch_left_slow(struct rmon_state *state,
                               void *code,
                               int32_t offset,
                               int32_t target_offset);

/**
 * The part of rmon_fire_branch_right behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_branch_right.
 */
int rmon_fire_branch_right_slow(struct rmon_state *state,
                                void *code,
                                int32_t offset,
                                int32_t target_offset);

/**
 * The part of rmon_fire_branch behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_branch.
 */
int rmon_fire_branch_slow(struct rmon_state *state,
                          void *code,
                          int32_t offset,
                          int32_t target_offset);

/**
 * The part of rmon_fire_c_return behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_c_return.
 */
int rmon_fire_c_return_slow(struct rmon_state *state,
                            void *code,
                            int32_t offset,
                            void *callable,
                            void *arg0);

/**
 * The part of rmon_fire_c_raise behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_c_raise.
 */
int rmon_fire_c_raise_slow(struct rmon_state *state,
                           void *code,
                           int32_t offset,
                           void *callable,
                           void *arg0);

/**
 * The part of rmon_fire_stop_iteration behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_stop_iteration.
 */
int rmon_fire_stop_iteration_slow(struct rmon_state *state,
                                  void *code,
                                  int32_t offset,
                                  void *value);

/**
 * The part of rmon_fire_py_throw behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_throw.
 */
int rmon_fire_py_throw_slow(struct rmon_state *state, void *code, int32_t offset, void *exception);

/**
 * The part of rmon_fire_raise behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_raise.
 */
int rmon_fire_raise_slow(struct rmon_state *state, void *code, int32_t offset, void *exception);

/**
 * The part of rmon_fire_reraise behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_reraise.
 */
int rmon_fire_reraise_slow(struct rmon_state *state, void *code, int32_t offset, void *exception);

/**
 * The part of rmon_fire_exception_handled behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_exception_handled.
 */
int rmon_fire_exception_handled_slow(struct rmon_state *state,
                                     void *code,
                                     int32_t offset,
                                     void *exception);

/**
 * The part of rmon_fire_py_unwind behind its inline check; call that.
 *
 * # Safety
 * As for rmon_fire_py_unwind.
 */
int rmon_fire_py_unwind_slow(struct rmon_state *state, void *code, int32_t offset, void *exception);

/**
 * Fires an event of the exception that the host says is current. `event` is one of RAISE, RERAISE,
 * EXCEPTION_HANDLED, PY_UNWIND and PY_THROW. The part of the PyMonitoring functions of these behind
 * their inline check; call those. Returns a status.
 *
 * # Safety
 * As for rmon_fire_raise.
 */
int rmon_fire_current_exception_slow(struct rmon_state *state,
                                     void *code,
                                     int32_t offset,
                                     int event);

/**
 * Fires C_RETURN or C_RAISE with the callable and the argument of the CALL that was last fired on
 * this thread in this code, or NULL if that is not remembered. The part of the PyMonitoring
 * functions of these behind their inline check; call those. Returns a status.
 *
 * # Safety
 * As for rmon_fire_c_return.
 */
int rmon_fire_last_call_slow(struct rmon_state *state, void *code, int32_t offset, int event);

/**
 * Fires JUMP, BRANCH_LEFT, BRANCH_RIGHT or BRANCH with an object for a target: it arrives as the
 * event's object, with -1 for the target's offset. The part of the PyMonitoring functions of these
 * behind their inline check; call those. Returns a status.
 *
 * # Safety
 * As for rmon_fire_jump.
 */
int rmon_fire_target_object_slow(struct rmon_state *state,
                                 void *code,
                                 int32_t offset,
                                 int event,
                                 void *target);

/**
 * Takes a tool id, 0 to 5, for the tool called `name`.
 *
 * `name` is UTF-8, not empty, and copied. It must not be NULL.
 * Returns RMON_OK, or RMON_ERR_NULL, RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_NAME,
 * RMON_ERR_TOOL_IN_USE or RMON_ERR_NO_MEMORY, checked in this order. (sys.monitoring.use_tool_id)
 *
 * # Safety
 * `name` is NULL or a string that ends with a NUL.
 */
int rmon_use_tool_id(int tool_id, const char *name);

/**
 * Removes all that a tool has set: its callbacks, events, local events and disabled locations. The
 * id stays in use. For an id that is not in use nothing happens.
 *
 * Returns RMON_OK or RMON_ERR_INVALID_TOOL. (sys.monitoring.clear_tool_id)
 */
int rmon_clear_tool_id(int tool_id);

/**
 * Clears a tool as rmon_clear_tool_id does, and gives its id back. For an id that is not in use
 * nothing happens.
 *
 * Returns RMON_OK or RMON_ERR_INVALID_TOOL. (sys.monitoring.free_tool_id)
 */
int rmon_free_tool_id(int tool_id);

/**
 * Asks who has a tool id.
 *
 * Copies the tool's name to `name`, cut at `capacity` - 1 bytes (between characters) and ended with
 * a NUL. With `name` NULL and `capacity` 0 it only returns the length.
 * Returns the length of the whole name in bytes, without the NUL; 0 if the id is not in use, and
 * then an empty string is copied; or RMON_ERR_NULL or RMON_ERR_INVALID_TOOL.
 * (sys.monitoring.get_tool)
 *
 * # Safety
 * `name` is NULL or valid for writes of `capacity` bytes.
 */
int rmon_get_tool(int tool_id, char *name, size_t capacity);

/**
 * Asks for a tool's global events; `*event_set` is written on success. What the tool has set reads
 * back with BRANCH as its two directions and without C_RETURN and C_RAISE, which CALL implies.
 *
 * Returns RMON_OK, RMON_ERR_NULL or RMON_ERR_INVALID_TOOL. (sys.monitoring.get_events)
 *
 * # Safety
 * `event_set` is NULL or valid for a write.
 */
int rmon_get_events(int tool_id, uint32_t *event_set);

/**
 * Sets a tool's global events, instead of what was set: the events that it gets from every code.
 *
 * What is no longer in the set stops at once, in scopes that have been entered too; what is new
 * begins in each scope at the latest when it is next entered, and in the scope of an event from
 * inside whose callback it is set, at once.
 * Returns RMON_OK, or RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_EVENT_SET (a bit that is no event),
 * RMON_ERR_NOT_INDEPENDENT (C_RETURN or C_RAISE without CALL and each other) or
 * RMON_ERR_TOOL_NOT_IN_USE, checked in this order. (sys.monitoring.set_events)
 */
int rmon_set_events(int tool_id, uint32_t event_set);

/**
 * Asks for a tool's local events on a code; as rmon_get_events.
 *
 * `code` is any address; it is not followed. Neither pointer may be NULL.
 * Returns RMON_OK, RMON_ERR_NULL or RMON_ERR_INVALID_TOOL. (sys.monitoring.get_local_events)
 *
 * # Safety
 * `event_set` is NULL or valid for a write.
 */
int rmon_get_local_events(int tool_id, void *code, uint32_t *event_set);

/**
 * Sets a tool's local events on a code, instead of what was set: events that it gets from this code
 * in addition to its global ones. When they begin and stop is as for rmon_set_events.
 *
 * `code` is any address but NULL; it is not followed. What is set for it lasts until it is changed,
 * the tool is cleared, or the code dies: rmon_code_release of the last reference, or
 * rmon_code_forget for a code that rmon did not make.
 * Returns RMON_OK, or RMON_ERR_NULL, RMON_ERR_INVALID_TOOL, RMON_ERR_NOT_INDEPENDENT,
 * RMON_ERR_INVALID_EVENT_SET (a bit that is no event, or an event that is not local),
 * RMON_ERR_TOOL_NOT_IN_USE or RMON_ERR_NO_MEMORY, checked in this order.
 * (sys.monitoring.set_local_events)
 */
int rmon_set_local_events(int tool_id, void *code, uint32_t event_set);

/**
 * Registers a tool's callback for one event, instead of what was registered, without missing or
 * doubling an event. It is called for the events that the tool has set.
 *
 * `callback` NULL unregisters, and `user_data` and `destroy` are ignored. Otherwise
 * `destroy(user_data)`, if not NULL, is called exactly once: when no thread can be in the callback or
 * enter it any more, on a thread that happens to make a control call then, with no lock held; or at
 * once if this call fails. Fires from inside it are suppressed; it may make control calls.
 * Returns RMON_OK, RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_EVENT or RMON_ERR_NO_MEMORY, checked in this
 * order (never the last to unregister). The id need not be in use yet.
 * (sys.monitoring.register_callback)
 *
 * # Safety
 * `callback` may be called with `user_data` from any thread until `destroy` has been called, and
 * `destroy` from any thread.
 */
int rmon_register_callback(int tool_id,
                           int event,
                           rmon_callback callback,
                           void *user_data,
                           rmon_destroy destroy);

/**
 * Asks what a tool has registered for one event. `*callback` and `*user_data` are written on
 * success: both NULL if there is nothing. Neither pointer may be NULL.
 *
 * Returns RMON_OK, RMON_ERR_NULL, RMON_ERR_INVALID_TOOL or RMON_ERR_INVALID_EVENT.
 *
 * # Safety
 * `callback` and `user_data` are NULL or valid for a write.
 */
int rmon_get_callback(int tool_id, int event, rmon_callback *callback, void **user_data);

/**
 * Enables all locations again that callbacks have disabled, for all tools.
 *
 * Returns RMON_OK. (sys.monitoring.restart_events)
 */
int rmon_restart_events(void);

/**
 * Waits until no callback that was removed before this call can still be running, on any thread,
 * and until their destroy functions have run. Nothing else in rmon waits for a callback.
 *
 * Called from inside a callback or a destroy function it does not wait: what was removed is
 * destroyed later. A thread that waits here must not hold what a callback in flight is waiting for,
 * except for what the host lets go of meanwhile: the lock of its run-time, say (`rmon_host`).
 * Returns RMON_OK, or RMON_ERR_IN_CALLBACK.
 */
int rmon_synchronize(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

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
