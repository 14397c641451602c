/* fork.c: a forked child works with its one thread, whatever the other threads of its parent were doing. */
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#include <sys/types.h>
#include <sys/wait.h>

#define SET RMON_EVENT_SET

enum { CHILD_SECONDS = 40 };

static char code;
static struct scope scope;

static int fire_line_now(void)
{
    scope_enters(&scope);
    return fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1);
}

/* In the child: its failures alone decide how it ends, and it does not hang. */
static void child_begins(void)
{
    check_failures = 0;
    alarm(CHILD_SECONDS);
}

static void child_ends(void)
{
    _exit(check_failures != 0);
}

/* The same without an orderly end: what the threads that it lost had allocated is lost, and no memory checker shall
   hold that against it. */
static void child_of_a_busy_parent_ends(void)
{
    if (check_failures == 0)
        raise(SIGKILL);
    _exit(1);
}

static void child_of_a_busy_parent_ended_well(pid_t child)
{
    int status = -1;
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

static void child_ended_well(pid_t child)
{
    int status = -1;
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* All that a program does with the library. */
static void everything_works(void)
{
    struct listener listener = {0}, replaced = {0};
    rmon_code_info info = {0}, out = {0};
    void *own;
    check_reset();
    tool_opens(1);
    CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, listener_hear, &replaced, listener_destroy), RMON_OK);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(replaced.destroyed, 1);
    listener.result = RMON_DISABLE;
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(listener.calls, 2);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(listener.calls, 3);
    info.struct_size = out.struct_size = sizeof info;
    info.name = "own";
    info.filename = "fork.c";
    own = rmon_code_new(&info);
    CHECK_EQ(rmon_code_describe(own, &out), RMON_OK);
    rmon_code_release(own);
    check_reset();
}

static void *everything_works_in_a_thread(void *unused)
{
    (void)unused;
    everything_works();
    return NULL;
}

static void a_child_works(void)
{
    pid_t child = fork();
    if (child == 0) {
        child_begins();
        everything_works();
        child_ends();
    }
    child_ended_well(child);
    everything_works();
}

static void a_child_of_a_child_works(void)
{
    pid_t child = fork();
    if (child == 0) {
        child_begins();
        a_child_works();
        child_ends();
    }
    child_ended_well(child);
}

static void a_child_may_start_threads(void)
{
    pid_t child = fork();
    if (child == 0) {
        child_begins();
        everything_works();
        thread_join(thread_start(everything_works_in_a_thread, NULL));
        child_ends();
    }
    child_ended_well(child);
}

static void a_child_has_the_tools_of_its_parent(void)
{
    struct listener listener = {0};
    pid_t child;
    tool_opens(1);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    CHECK_EQ(fire_line_now(), RMON_OK);
    child = fork();
    if (child == 0) {
        child_begins();
        CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
        CHECK_EQ(fire_line_now(), RMON_OK);
        CHECK_EQ(listener.calls, 3);
        CHECK_EQ(rmon_get_tool(1, NULL, 0), 8);
        child_ends();
    }
    child_ended_well(child);
    CHECK_EQ(listener.calls, 1);
}

static void what_a_child_does_does_not_matter_to_its_parent(void)
{
    struct listener listener = {0}, of_child = {0};
    uint32_t events = 0;
    pid_t child;
    tool_opens(1);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    CHECK_EQ(fire_line_now(), RMON_OK);
    child = fork();
    if (child == 0) {
        child_begins();
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
        tool_opens(4);
        tool_hears(4, RMON_EVENT_LINE, &of_child);
        CHECK_EQ(fire_line_now(), RMON_OK);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(of_child.calls, 1);
        child_ends();
    }
    child_ended_well(child);
    CHECK_EQ(rmon_get_tool(4, NULL, 0), 0);
    CHECK_EQ(rmon_get_events(1, &events), RMON_OK);
    CHECK_EQ(events, SET(RMON_EVENT_LINE));
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(listener.calls, 2);
    CHECK_EQ(of_child.calls, 0);
}

/* --- other threads are inside callbacks --- */

enum { INSIDE = 3 };

static int inside, let_go, blocker_destroyed;

static int block(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    CHECK(flag_reaches(&let_go, 1));
    return RMON_CONTINUE;
}

static void blocker_destroy(void *user_data)
{
    (void)user_data;
    __atomic_add_fetch(&blocker_destroyed, 1, __ATOMIC_SEQ_CST);
}

static void *fire_a_line(void *unused)
{
    struct scope own = {0};
    (void)unused;
    scope_enters(&own);
    CHECK_EQ(fire(RMON_EVENT_LINE, &own.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    return NULL;
}

static void the_callbacks_of_other_threads_are_over_in_the_child(void)
{
    pthread_t threads[INSIDE];
    int removed_before;
    for (removed_before = 0; removed_before < 2; removed_before++) {
        pid_t child;
        int i;
        inside = let_go = blocker_destroyed = 0;
        tool_opens(0);
        CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, block, &code, blocker_destroy), RMON_OK);
        CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
        for (i = 0; i < INSIDE; i++)
            threads[i] = thread_start(fire_a_line, NULL);
        CHECK(flag_reaches(&inside, INSIDE));
        if (removed_before)
            CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
        child = fork();
        if (child == 0) {
            child_begins();
            CHECK_EQ(flag_get(&blocker_destroyed), 0);
            if (!removed_before)
                CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
            CHECK_EQ(rmon_synchronize(), RMON_OK);
            CHECK_EQ(flag_get(&blocker_destroyed), 1);
            everything_works();
            child_ends();
        }
        child_ended_well(child);
        CHECK_EQ(flag_get(&blocker_destroyed), 0);
        if (!removed_before)
            CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
        flag_set(&let_go, 1);
        for (i = 0; i < INSIDE; i++)
            thread_join(threads[i]);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
        CHECK_EQ(flag_get(&blocker_destroyed), 1);
    }
}

/* --- from inside a callback --- */

static pid_t forked;
static int inner_calls;

static int fork_inside(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    inner_calls++;
    forked = fork();
    if (forked == 0)
        child_begins();
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(inner_calls, 1);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(flag_get(&blocker_destroyed), 0);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    CHECK_EQ(flag_get(&blocker_destroyed), 0);
    return 5;
}

static void a_fork_inside_a_callback_is_inside_in_both(void)
{
    inner_calls = blocker_destroyed = 0;
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, fork_inside, &code, blocker_destroy), RMON_OK);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(fire_line_now(), RMON_OK);
    CHECK_EQ(inner_calls, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(flag_get(&blocker_destroyed), 1);
    everything_works();
    if (forked == 0)
        child_ends();
    child_ended_well(forked);
}

/* --- other threads are changing things --- */

static int stop;

static void *change_things(void *argument)
{
    int tool = (int)(uintptr_t)argument;
    while (!flag_get(&stop)) {
        CHECK_EQ(rmon_use_tool_id(tool, "changes"), RMON_OK);
        CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_JUMP, listener_hear, NULL, NULL), RMON_OK);
        CHECK_EQ(rmon_set_events(tool, SET(RMON_EVENT_JUMP)), RMON_OK);
        CHECK_EQ(rmon_set_local_events(tool, &code, SET(RMON_EVENT_JUMP)), RMON_OK);
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
        sched_yield();
    }
    return NULL;
}

static void *fire_lines(void *unused)
{
    struct scope own = {0};
    (void)unused;
    while (!flag_get(&stop)) {
        scope_enters(&own);
        CHECK_EQ(fire(RMON_EVENT_LINE, &own.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
        sched_yield();
    }
    return NULL;
}

static int hear_briefly(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    return RMON_CONTINUE;
}

static void a_fork_while_others_change_and_fire_leaves_a_child_that_works(void)
{
    pthread_t threads[4];
    int i, count = check_scaled(40);
    stop = 0;
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, hear_briefly, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    threads[0] = thread_start(change_things, (void *)(uintptr_t)4);
    threads[1] = thread_start(change_things, (void *)(uintptr_t)5);
    threads[2] = thread_start(fire_lines, NULL);
    threads[3] = thread_start(fire_lines, NULL);
    for (i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            child_begins();
            everything_works();
            child_of_a_busy_parent_ends();
        }
        child_of_a_busy_parent_ended_well(child);
    }
    flag_set(&stop, 1);
    for (i = 0; i < 4; i++)
        thread_join(threads[i]);
}

/* Whoever claims a tool id looks through what is loaded, under a lock of the loader's, which a child inherits. */
static void *look_for_emitters(void *unused)
{
    (void)unused;
    while (!flag_get(&stop))
        CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    return NULL;
}

static void a_fork_while_others_look_for_emitters_leaves_a_child_that_works(void)
{
    pthread_t threads[2];
    int i, count = check_scaled(100);
    stop = 0;
    for (i = 0; i < 2; i++)
        threads[i] = thread_start(look_for_emitters, NULL);
    for (i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            child_begins();
            CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
            child_of_a_busy_parent_ends();
        }
        child_of_a_busy_parent_ended_well(child);
    }
    flag_set(&stop, 1);
    for (i = 0; i < 2; i++)
        thread_join(threads[i]);
}

int main(void)
{
    RUN(a_child_works);
    RUN(a_child_of_a_child_works);
    RUN(a_child_may_start_threads);
    RUN(a_child_has_the_tools_of_its_parent);
    RUN(what_a_child_does_does_not_matter_to_its_parent);
    RUN(the_callbacks_of_other_threads_are_over_in_the_child);
    RUN(a_fork_inside_a_callback_is_inside_in_both);
    RUN(a_fork_while_others_change_and_fire_leaves_a_child_that_works);
    RUN(a_fork_while_others_look_for_emitters_leaves_a_child_that_works);
    return check_result();
}
