/* no_memory.c: every call of the library, with each of its allocations failing in turn. A call either says
   RMON_ERR_NO_MEMORY and has changed nothing, or has done all that it does; nothing leaks, and what only removes
   never fails. The program is the allocator that fails, in front of libc's. */
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/wait.h>

/* --- the allocator --- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static int fail_in;             /* allocations until one fails; 0: none does */
static int fail_on;             /* whether those after it fail too */
static int failures;
static long blocks;             /* that are allocated */
static int counting;            /* this thread alone fails and is counted: the others only wait */
static pthread_t main_thread;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_ANOTHER /* a sanitizer's, which cannot do without */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_ANOTHER
#endif
#endif

#ifndef HAS_ANOTHER
static int is_counted(void)
{
    return counting && pthread_equal(pthread_self(), main_thread);
}

static int allocation_fails(void)
{
    if (!is_counted() || fail_in == 0)
        return 0;
    if (fail_in > 1) {
        fail_in--;
        return 0;
    }
    if (!fail_on)
        fail_in = 0;
    failures++;
    errno = ENOMEM;
    return 1;
}

static void *allocated(void *block)
{
    if (block != NULL && is_counted())
        blocks++;
    return block;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : allocated(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : allocated(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    void *moved;
    if (allocation_fails())
        return NULL;
    moved = __libc_realloc(block, size);
    return block == NULL ? allocated(moved) : moved;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails() ? NULL : allocated(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (allocation_fails())
        return ENOMEM;
    *block = allocated(__libc_memalign(alignment, size));
    return *block == NULL ? ENOMEM : 0;
}

void free(void *block)
{
    if (block != NULL && is_counted())
        blocks--;
    __libc_free(block);
}
#endif

static void fail(int in, int on)
{
    failures = 0;
    fail_on = on;
    fail_in = in;
}

static int failed(void)
{
    fail_in = 0;
    return failures;
}

/* 0 if something else is in front of libc's allocator: a memory checker. */
static int the_allocator_is_ours(void)
{
    void *(*volatile allocate)(size_t) = malloc; /* which the compiler would reason about by its name */
    void *block;
    int ours;
    fail(1, 0);
    block = allocate(100);
    ours = failed() == 1 && block == NULL;
    free(block);
    return ours;
}

/* --- what can be seen of the library --- */

enum { CODES = 120, SEEN_CODES = 4, SEEN_LINES = 3 };

static char codes[CODES];
static struct scope scope;

static int registered, destroyed, heard, answer;

static int hear(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    heard++;
    return answer;
}

static void note_destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static int registers(int tool, int event, void *user_data)
{
    registered++;
    return rmon_register_callback(tool, event, hear, user_data, note_destroy);
}

struct view {
    char names[TOOL_COUNT][16];
    uint32_t events[TOOL_COUNT], local[TOOL_COUNT][CODES];
    void *data[TOOL_COUNT][RMON_EVENT_COUNT];
    int heard[SEEN_CODES][SEEN_LINES];
};

static struct view before, after, now;

/* Looks at all of it. No listener answers by disabling meanwhile. */
static void look(struct view *view)
{
    int tool, event, i, line, kept = answer;
    memset(view, 0, sizeof *view);
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        CHECK(rmon_get_tool(tool, view->names[tool], sizeof view->names[tool]) >= 0);
        CHECK_EQ(rmon_get_events(tool, &view->events[tool]), RMON_OK);
        for (i = 0; i < CODES; i += 7) /* the first and the last among them */
            CHECK_EQ(rmon_get_local_events(tool, &codes[i], &view->local[tool][i]), RMON_OK);
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            rmon_callback callback;
            CHECK_EQ(rmon_get_callback(tool, event, &callback, &view->data[tool][event]), RMON_OK);
            CHECK((callback != NULL) == (view->data[tool][event] != NULL));
        }
    }
    answer = RMON_CONTINUE;
    scope_enters(&scope);
    for (i = 0; i < SEEN_CODES; i++)
        for (line = 0; line < SEEN_LINES; line++) {
            heard = 0;
            CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &codes[i], 0, line), RMON_OK);
            view->heard[i][line] = heard;
        }
    answer = kept;
}

static int is_as(const struct view *view)
{
    look(&now);
    return memcmp(&now, view, sizeof now) == 0;
}

/* --- the calls --- */

enum { MAY_FAIL = 1, NEEDS_MEMORY = 3, EITHER_WAY = 4 };

struct call {
    const char *name;
    int how;            /* MAY_FAIL; NEEDS_MEMORY: and does; EITHER_WAY: says RMON_OK, done or not */
    int keeps;          /* blocks that stay allocated by design when it has been done */
    void (*prepare)(void);
    int (*call)(void);
};

static const rmon_code_info description = {sizeof(rmon_code_info), 1, "name", "a.name", "file", NULL, 0};
static void *own_code = codes;

static void nothing(void)
{
}

static void tool_1(void)
{
    CHECK_EQ(rmon_use_tool_id(1, "one"), RMON_OK);
}

static void tools_listen(void)
{
    int tool, event;
    for (tool = 1; tool < 4; tool++) {
        CHECK_EQ(rmon_use_tool_id(tool, "listens"), RMON_OK);
        for (event = 0; event < RMON_EVENT_COUNT; event++)
            CHECK_EQ(registers(tool, event, &codes[1]), RMON_OK);
    }
    CHECK_EQ(rmon_set_events(1, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_set_local_events(2, &codes[1], RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
}

static void locals_of(int tool, int count)
{
    int i;
    for (i = 0; i < count; i++)
        CHECK_EQ(rmon_set_local_events(tool, &codes[i], RMON_LOCAL_EVENTS), RMON_OK);
}

/* A table grows at the next key: 8 of 16 codes fill the first, 16 of 32 the second, and of lines 12. */
static void locals_of_8(void)
{
    tools_listen();
    locals_of(1, 8);
}

static void locals_of_16(void)
{
    tools_listen();
    locals_of(1, 16);
}

static void mostly_dead(void)
{
    int i;
    tools_listen();
    locals_of(1, CODES);
    for (i = 1; i < CODES - 13; i++)
        CHECK_EQ(rmon_code_forget(&codes[i]), RMON_OK);
}

static void one_tool_has_most(void)
{
    tools_listen();
    locals_of(1, CODES);
    locals_of(3, 10);
}

static void lines_are_disabled(int count)
{
    int i;
    tools_listen();
    scope_enters(&scope);
    answer = RMON_DISABLE;
    for (i = 0; i < count; i++)
        CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &codes[i / 2], 0, i % 2), RMON_OK);
    answer = RMON_CONTINUE;
}

static void some_lines_are_disabled(void)
{
    lines_are_disabled(3);
}

static void twelve_lines_are_disabled(void)
{
    lines_are_disabled(12);
    scope_enters(&scope);
}

static void an_own_code(void)
{
    tools_listen();
    own_code = rmon_code_new(&description);
    CHECK(own_code != NULL);
    CHECK_EQ(rmon_set_local_events(1, own_code, RMON_LOCAL_EVENTS), RMON_OK);
}

static int use_tool_id(void)
{
    return rmon_use_tool_id(4, "four");
}

static int clear_tool_id(void)
{
    return rmon_clear_tool_id(1);
}

static int free_tool_id(void)
{
    return rmon_free_tool_id(1);
}

static int set_events(void)
{
    return rmon_set_events(1, RMON_EVENT_SET(RMON_EVENT_LINE) | RMON_EVENT_SET(RMON_EVENT_JUMP));
}

static int set_no_events(void)
{
    return rmon_set_events(1, 0);
}

static int set_local_events(void)
{
    return rmon_set_local_events(1, &codes[CODES - 1], RMON_LOCAL_EVENTS);
}

static int set_other_local_events(void)
{
    uint32_t events = RMON_EVENT_SET(RMON_EVENT_JUMP) | RMON_EVENT_SET(RMON_EVENT_CALL);
    return rmon_set_local_events(2, &codes[1], events);
}

static int set_no_local_events(void)
{
    return rmon_set_local_events(2, &codes[1], 0);
}

static int register_callback(void)
{
    return registers(1, RMON_EVENT_LINE, &codes[2]);
}

static int unregister_callback(void)
{
    return rmon_register_callback(1, RMON_EVENT_LINE, NULL, NULL, NULL);
}

static int restart_events(void)
{
    return rmon_restart_events();
}

static int forget(void)
{
    return rmon_code_forget(&codes[0]);
}

static int disable_a_line(void)
{
    int status;
    answer = RMON_DISABLE;
    status = rmon_fire_line(&scope.states[RMON_EVENT_LINE], &codes[2], 0, 2);
    answer = RMON_CONTINUE;
    return status;
}

static int make_a_code(void)
{
    static const rmon_line_entry lines[] = {{0, 1}, {4, 2}};
    rmon_code_info info = description, found = description;
    void *code;
    info.lines = lines;
    info.line_count = 2;
    code = rmon_code_new(&info);
    if (code == NULL)
        return RMON_ERR_NO_MEMORY;
    CHECK_EQ(rmon_code_describe(code, &found), RMON_OK);
    CHECK_TEXT(found.qualname, "a.name");
    CHECK_EQ(found.lines[1].line, 2);
    rmon_code_retain(code);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_describe(code, &found), RMON_OK);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_describe(code, &found), RMON_ERR_UNKNOWN_CODE);
    return RMON_OK;
}

static int release_the_code(void)
{
    rmon_code_info found = description;
    uint32_t events = 1;
    rmon_code_release(own_code);
    CHECK_EQ(rmon_code_describe(own_code, &found), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(rmon_get_local_events(1, own_code, &events), RMON_OK);
    CHECK_EQ(events, 0);
    return RMON_OK;
}

static int set_host(void)
{
    static const rmon_host host = {sizeof host, NULL, NULL, NULL, NULL, NULL};
    return rmon_set_host(&host);
}

static int remove_host(void)
{
    return rmon_set_host(NULL);
}

static int look_around(void)
{
    CHECK(rmon_host_note() != NULL);
    look(&now);
    memcpy(now.heard, before.heard, sizeof now.heard); /* inside a callback nothing is */
    CHECK(memcmp(&now, &before, sizeof now) == 0);
    return RMON_OK;
}

static int wake(void)
{
    int status = rmon_detach(RMON_HOST_NONE);
    return status != RMON_OK ? status : rmon_attach(RMON_HOST_NONE);
}

static int enter_anew(void)
{
    struct scope own = {0};
    scope_enters(&own);
    return rmon_exit_scope();
}

static const struct call calls[] = {
    {"use_tool_id", NEEDS_MEMORY, 0, nothing, use_tool_id},
    {"clear_tool_id", 0, 0, tools_listen, clear_tool_id},
    {"clear_tool_id of most", 0, 0, one_tool_has_most, clear_tool_id},
    {"clear_tool_id with disabled lines", 0, 0, some_lines_are_disabled, clear_tool_id},
    {"free_tool_id", 0, 0, tools_listen, free_tool_id},
    {"free_tool_id of most", 0, 0, one_tool_has_most, free_tool_id},
    {"set_events", 0, 0, tools_listen, set_events},
    {"set_events to none", 0, 0, tools_listen, set_no_events},
    {"set_local_events", NEEDS_MEMORY, 0, tool_1, set_local_events},
    {"set_local_events beside others", NEEDS_MEMORY, 0, tools_listen, set_other_local_events},
    {"set_local_events when full", NEEDS_MEMORY, 0, locals_of_8, set_local_events},
    {"set_local_events when full again", NEEDS_MEMORY, 0, locals_of_16, set_local_events},
    {"set_local_events to none", 0, 0, tools_listen, set_no_local_events},
    {"register_callback", NEEDS_MEMORY, 0, tool_1, register_callback},
    {"register_callback instead", NEEDS_MEMORY, 0, tools_listen, register_callback},
    {"register_callback NULL", 0, 0, tools_listen, unregister_callback},
    {"restart_events", 0, 0, some_lines_are_disabled, restart_events},
    {"code_forget", 0, 0, tools_listen, forget},
    {"code_forget when most are dead", 0, 0, mostly_dead, forget},
    {"a fire that disables", EITHER_WAY, 0, tools_listen, disable_a_line},
    {"a fire that disables when full", EITHER_WAY, 0, twelve_lines_are_disabled, disable_a_line},
    {"code_new", NEEDS_MEMORY, 0, tools_listen, make_a_code},
    {"code_release", 0, 0, an_own_code, release_the_code},
    {"set_host", NEEDS_MEMORY, 1, nothing, set_host},
    {"set_host NULL", NEEDS_MEMORY, 1, nothing, remove_host},
    {"what only asks", 0, 0, tools_listen, look_around},
    {"attach and detach", 0, 0, tools_listen, wake},
    {"enter_scope", 0, 0, tools_listen, enter_anew},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

/* --- one call, from outside, and from inside a callback --- */

static const struct call *calling;
static int status_inside;

static int call_inside(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    status_inside = calling->call();
    return RMON_CONTINUE;
}

/* The tool is the highest, so that it is called first. */
static void opens_tool_5(void)
{
    CHECK_EQ(rmon_use_tool_id(5, "inside"), RMON_OK);
    CHECK_EQ(rmon_register_callback(5, RMON_EVENT_INSTRUCTION, call_inside, codes, NULL), RMON_OK);
    CHECK_EQ(rmon_set_local_events(5, &codes[CODES - 2], RMON_EVENT_SET(RMON_EVENT_INSTRUCTION)), RMON_OK);
}

static int from_outside(void)
{
    return calling->call();
}

static int from_inside(void)
{
    status_inside = 1;
    CHECK_EQ(rmon_fire_instruction(&scope.states[RMON_EVENT_INSTRUCTION], &codes[CODES - 2], 0), RMON_OK);
    return status_inside;
}

static void forgets_everything(void)
{
    int tool;
    for (tool = 0; tool < TOOL_COUNT; tool++)
        CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
}

static void prepares(void)
{
    forgets_everything();
    opens_tool_5();
    calling->prepare();
    scope_enters(&scope);
}

static void ends(void)
{
    if (calling->call == release_the_code)
        rmon_code_release(own_code);
    forgets_everything();
}

static void each_allocation_fails(int (*make)(void), int on, int settled)
{
    int in, status, done = 0, seen = 0;
    long had;
    prepares();
    look(&before);
    CHECK_EQ(make(), RMON_OK);
    look(&after);
    ends();
    had = blocks;
    for (in = 1;; in++) {
        int failed_now, as_before, as_after;
        prepares();
        look(&before);
        fail(in, on);
        status = make();
        failed_now = failed();
        as_before = is_as(&before);
        as_after = is_as(&after);
        ends();
        done += status == RMON_OK;
        if (failed_now == 0) {
            CHECK_EQ(status, RMON_OK);
            CHECK(as_after);
            break;
        }
        seen++;
        if (status == RMON_OK)
            CHECK(as_after || (as_before && calling->how == EITHER_WAY));
        else {
            CHECK_EQ(status, RMON_ERR_NO_MEMORY);
            CHECK(as_before);
            CHECK(calling->how & MAY_FAIL);
        }
    }
    if (calling->how == NEEDS_MEMORY)
        CHECK(seen > 0);
    if (settled)
        CHECK_EQ(blocks, had + done * calling->keeps);
}

static void all_calls(int (*make)(void), int settled)
{
    int i, on;
    for (i = 0; i < CALLS; i++)
        for (on = 0; on < 2; on++) {
            int failures_before = check_failures;
            calling = &calls[i];
            each_allocation_fails(make, on, settled);
            if (check_failures != failures_before)
                fprintf(stderr, "    that was %s%s\n", calling->name, on ? ", and all that follow" : "");
        }
    forgets_everything();
}

/* --- the tests --- */

static void every_call_outside(void)
{
    registered = destroyed = 0;
    all_calls(from_outside, 1);
    CHECK_EQ(destroyed, registered);
}

static void every_call_inside_a_callback(void)
{
    registered = destroyed = 0;
    all_calls(from_inside, 1);
    CHECK_EQ(destroyed, registered);
}

static int inside, let_go;

static int block(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    flag_set(&inside, 1);
    CHECK(flag_reaches(&let_go, 1));
    return RMON_CONTINUE;
}

static void *fire_and_stay(void *unused)
{
    struct scope own = {0};
    (void)unused;
    scope_enters(&own);
    CHECK_EQ(rmon_fire_jump(&own.states[RMON_EVENT_JUMP], codes, 0, 1), RMON_OK);
    return NULL;
}

/* What is removed must wait for the thread, and needs memory all the more. */
static void every_call_while_a_thread_is_inside(void)
{
    pthread_t thread;
    inside = let_go = 0;
    registered = destroyed = 0;
    CHECK_EQ(rmon_use_tool_id(0, "stays"), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_JUMP, block, codes, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_JUMP)), RMON_OK);
    thread = thread_start(fire_and_stay, NULL);
    CHECK(flag_reaches(&inside, 1));
    all_calls(from_outside, 0);
    all_calls(from_inside, 0);
    /* Only what was never registered. */
    CHECK(destroyed < registered);
    flag_set(&let_go, 1);
    thread_join(thread);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(destroyed, registered);
}

/* In a process each: what the library makes once is made by its first call. */
static void the_first_call_of_a_process(void)
{
    int i, in, status;
    for (i = 0; i < CALLS; i++)
        for (in = 1; in < 4; in++) {
            pid_t child = fork();
            if (child == 0) {
                alarm(CHECK_SECONDS);
                check_failures = 0;
                fail(in, 1);
                status = calls[i].call();
                failed();
                CHECK(status == RMON_OK || status == RMON_ERR_NO_MEMORY || status == RMON_ERR_TOOL_NOT_IN_USE);
                tools_listen();
                look(&now);
                CHECK_EQ(now.heard[1][1], 2);
                _exit(check_failures != 0);
            }
            CHECK(child > 0);
            CHECK_EQ(waitpid(child, &status, 0), child);
            if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0))
                fprintf(stderr, "    that was %s\n", calls[i].name);
        }
}

int main(void)
{
    main_thread = pthread_self();
    counting = 1;
    if (!the_allocator_is_ours()) {
        printf("another allocator is in front of this one\n");
        return 77;
    }
    check_test = "the_first_call_of_a_process";
    the_first_call_of_a_process();
    RUN(every_call_outside);
    RUN(every_call_inside_a_callback);
    RUN(every_call_while_a_thread_is_inside);
    return check_result();
}
