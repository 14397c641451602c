/* deadlock.c: threads that wait for each other through callbacks, destroy functions, the loader and fork. What hangs is
   ended by the alarm of each test. */
#define _GNU_SOURCE
#include "firing.h"
#include "lazy.h"
#include "listener.h"
#include "waiting.h"

#include <link.h>
#include <sys/wait.h>

#define SET RMON_EVENT_SET

enum { SECONDS = 60 };

static char code;

static int fire_line(int32_t offset)
{
    struct scope scope = {{{0, 0}}, 0};
    scope_enters(&scope);
    return fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, offset);
}

/* A thread that fires one LINE at the offset that it is given. */
static void *fire_one(void *offset)
{
    CHECK_EQ(fire_line((int32_t)(intptr_t)offset), RMON_OK);
    return NULL;
}

static pthread_t thread_fires(int32_t offset)
{
    return thread_start(fire_one, (void *)(intptr_t)offset);
}

static void tool_calls(int tool, rmon_callback callback, void *user_data, rmon_destroy destroy)
{
    tool_opens(tool);
    CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_LINE, callback, user_data, destroy), RMON_OK);
    CHECK_EQ(rmon_set_events(tool, SET(RMON_EVENT_LINE)), RMON_OK);
}

/* Every control call but rmon_synchronize, which nobody waits in. */
static void control_everything(int tool)
{
    uint32_t events;
    CHECK_EQ(rmon_use_tool_id(tool, "meanwhile"), RMON_OK);
    CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_JUMP, listener_hear, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(tool, SET(RMON_EVENT_JUMP)), RMON_OK);
    CHECK_EQ(rmon_get_events(tool, &events), RMON_OK);
    CHECK_EQ(rmon_set_local_events(tool, &code, SET(RMON_EVENT_JUMP)), RMON_OK);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(rmon_code_forget(&code), RMON_OK);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(rmon_clear_tool_id(tool), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
}

static void *control_in_a_thread(void *tool)
{
    control_everything((int)(intptr_t)tool);
    return NULL;
}

/* ---- Callbacks that wait ---- */

static int inside;

static int synchronize_when_both_are_inside(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    CHECK(flag_reaches(&inside, 2));
    CHECK_EQ(rmon_register_callback(event->tool_id, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    return RMON_CONTINUE;
}

static void two_callbacks_that_synchronize_are_both_refused(void)
{
    struct listener removed = {0};
    pthread_t threads[2];
    inside = 0;
    tool_calls(3, synchronize_when_both_are_inside, NULL, NULL);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_JUMP, listener_hear, &removed, listener_destroy), RMON_OK);
    threads[0] = thread_fires(0);
    threads[1] = thread_fires(1);
    thread_join(threads[0]);
    thread_join(threads[1]);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(removed.destroyed, 1);
    check_reset();
}

/* User data: how deep the callbacks have gone, each on a thread of its own. */
static int join_a_thread_that_fires(void *user_data, const rmon_event *event)
{
    int *depth = (int *)user_data;
    __atomic_add_fetch(depth, 1, __ATOMIC_SEQ_CST);
    if (event->offset > 0)
        thread_join(thread_fires(event->offset - 1));
    return RMON_CONTINUE;
}

static void a_callback_may_join_a_thread_that_fires(void)
{
    int depth = 0;
    tool_calls(3, join_a_thread_that_fires, &depth, NULL);
    CHECK_EQ(fire_line(5), RMON_OK);
    CHECK_EQ(depth, 6);
    check_reset();
}

static int join_a_thread_that_controls(void *user_data, const rmon_event *event)
{
    (void)event;
    thread_join(thread_start(control_in_a_thread, user_data));
    return RMON_CONTINUE;
}

static void a_callback_may_join_a_thread_that_makes_control_calls(void)
{
    tool_calls(3, join_a_thread_that_controls, (void *)(intptr_t)1, NULL);
    CHECK_EQ(fire_line(0), RMON_OK);
    check_reset();
}

static int let_go;

static int block(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    CHECK(flag_reaches(&let_go, 1));
    return RMON_CONTINUE;
}

static void count_destroy(void *user_data)
{
    __atomic_add_fetch((int *)user_data, 1, __ATOMIC_SEQ_CST);
}

/* The callbacks stay inside until all control calls have returned; what was removed is destroyed after that. */
static void nobody_waits_for_callbacks_that_block_but_who_synchronizes(void)
{
    int destroyed = 0;
    pthread_t threads[3];
    int i;
    inside = let_go = 0;
    tool_calls(3, block, &destroyed, count_destroy);
    for (i = 0; i < 2; i++)
        threads[i] = thread_fires(i);
    CHECK(flag_reaches(&inside, 2));
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, block, &destroyed, count_destroy), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    control_everything(3);
    threads[2] = thread_start(control_in_a_thread, (void *)(intptr_t)4);
    thread_join(threads[2]);
    CHECK_EQ(flag_get(&destroyed), 0);
    flag_set(&let_go, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(flag_get(&destroyed), 2);
    for (i = 0; i < 2; i++)
        thread_join(threads[i]);
}

/* ---- Destroy functions that wait ---- */

static void destroy_and_control(void *user_data)
{
    control_everything(2);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    count_destroy(user_data);
}

static void destroy_and_wait_for_who_controls(void *user_data)
{
    thread_join(thread_start(control_in_a_thread, (void *)(intptr_t)2));
    count_destroy(user_data);
}

static void destroy_and_wait_for_who_fires(void *user_data)
{
    thread_join(thread_fires(0));
    count_destroy(user_data);
}

static void destroy_and_register_another(void *user_data)
{
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, listener_hear, user_data, count_destroy), RMON_OK);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    count_destroy(user_data);
}

static int hear_nothing(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    return RMON_CONTINUE;
}

static int remove_line(void)
{
    return rmon_register_callback(3, RMON_EVENT_LINE, NULL, NULL, NULL);
}

static int free_tool(void)
{
    return rmon_free_tool_id(3);
}

static void *remove_in_a_thread(void *removal)
{
    CHECK_EQ((*(int (**)(void))removal)(), RMON_OK);
    return NULL;
}

/* By a control call, by who leaves the callback, and by rmon_synchronize. */
static void destroy_functions_may_wait_for_who_controls_or_fires(void)
{
    static const rmon_destroy destroys[] = {
        destroy_and_control, destroy_and_wait_for_who_controls, destroy_and_wait_for_who_fires,
        destroy_and_register_another,
    };
    static int (*const removals[])(void) = {remove_line, free_tool};
    size_t i, k;
    int busy;
    for (i = 0; i < sizeof destroys / sizeof destroys[0]; i++)
        for (k = 0; k < sizeof removals / sizeof removals[0]; k++)
            for (busy = 0; busy < 2; busy++) {
                int destroyed = 0, expected = destroys[i] == destroy_and_register_another ? 2 : 1;
                pthread_t firing = 0;
                int (*removal)(void) = removals[k];
                inside = let_go = 0;
                tool_calls(5, hear_nothing, NULL, NULL);
                tool_calls(3, busy ? block : hear_nothing, &destroyed, destroys[i]);
                if (busy) {
                    firing = thread_fires(0);
                    CHECK(flag_reaches(&inside, 1));
                }
                thread_join(thread_start(remove_in_a_thread, &removal));
                flag_set(&let_go, 1);
                CHECK_EQ(rmon_synchronize(), RMON_OK);
                CHECK_EQ(flag_get(&destroyed), expected);
                if (busy)
                    thread_join(firing);
                check_reset();
            }
}

/* A lock of the program's, held around control calls, is one that callbacks and destroy functions take. */
static pthread_mutex_t program_lock = PTHREAD_MUTEX_INITIALIZER;
static int stop;

static int take_the_lock(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    pthread_mutex_lock(&program_lock);
    pthread_mutex_unlock(&program_lock);
    return RMON_CONTINUE;
}

static void *fire_until_stopped(void *offset)
{
    while (!flag_get(&stop))
        fire_one(offset);
    return NULL;
}

static void a_lock_that_callbacks_take_may_be_held_around_control_calls(void)
{
    pthread_t threads[3];
    int i, rounds = check_scaled(2000);
    flag_set(&stop, 0);
    tool_calls(3, take_the_lock, NULL, NULL);
    for (i = 0; i < 3; i++)
        threads[i] = thread_start(fire_until_stopped, NULL);
    for (i = 0; i < rounds; i++) {
        pthread_mutex_lock(&program_lock);
        CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, take_the_lock, NULL, NULL), RMON_OK);
        control_everything(1);
        pthread_mutex_unlock(&program_lock);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
    }
    flag_set(&stop, 1);
    for (i = 0; i < 3; i++)
        thread_join(threads[i]);
}

/* ---- Who destroys without end ---- */

static int destroyed[4]; /* by tool */

static void destroy_slowly(void *tool)
{
    sleep_milliseconds(2);
    __atomic_add_fetch(&destroyed[(intptr_t)tool], 1, __ATOMIC_SEQ_CST);
}

/* Each waits for its destroy function, lest there be more of them than can ever run. */
static void *destroy_again_and_again(void *tool)
{
    int number = (int)(intptr_t)tool, count;
    for (count = 1; !flag_get(&stop); count++) {
        CHECK_EQ(rmon_register_callback(number, RMON_EVENT_JUMP, hear_nothing, tool, destroy_slowly), RMON_OK);
        CHECK_EQ(rmon_register_callback(number, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
        CHECK(flag_reaches(&destroyed[number], count));
    }
    return NULL;
}

/* With four of them there is never a moment in which none runs a destroy function. */
static void synchronize_waits_for_no_destroy_function_that_begins_later(void)
{
    pthread_t threads[4];
    intptr_t i;
    flag_set(&stop, 0);
    for (i = 0; i < 4; i++) {
        tool_opens((int)i);
        threads[i] = thread_start(destroy_again_and_again, (void *)i);
    }
    for (i = 0; i < 50; i++)
        CHECK_EQ(rmon_synchronize(), RMON_OK);
    flag_set(&stop, 1);
    for (i = 0; i < 4; i++)
        thread_join(threads[i]);
}

/* ---- The loader ---- */

static void *attach_and_detach(void *unused)
{
    (void)unused;
    while (!flag_get(&stop)) {
        CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    }
    return NULL;
}

/* Has what it was given called when it is loaded, and again when it is unloaded. */
static void *load_and_unload(void *unused)
{
    (void)unused;
    while (!flag_get(&stop)) {
        void *handle = lazy_load("deadlock_plug_in");
        CHECK_EQ(dlclose(handle), 0);
    }
    return NULL;
}

static int walk(struct dl_phdr_info *info, size_t size, void *tool)
{
    (void)info, (void)size;
    control_everything((int)(intptr_t)tool);
    CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    return 1;
}

static void *control_while_walking(void *tool)
{
    while (!flag_get(&stop))
        CHECK_EQ(dl_iterate_phdr(walk, tool), 1);
    return NULL;
}

static void *fork_again_and_again(void *unused)
{
    (void)unused;
    while (!flag_get(&stop)) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            /* What looks through what is loaded could wait for the walk of a thread that the child does not have. */
            alarm(SECONDS);
            CHECK_EQ(rmon_clear_tool_id(0), RMON_OK);
            CHECK_EQ(rmon_restart_events(), RMON_OK);
            if (check_failures == 0)
                raise(SIGKILL); /* what the threads that it lost had allocated is nobody's fault */
            _exit(1);
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    return NULL;
}

/* What a plug-in's constructor and destructor call. */
void deadlock_control(void);

void deadlock_control(void)
{
    control_everything(5);
}

struct thread {
    void *(*body)(void *);
    void *argument;
};

static void run_together(const struct thread *threads, int count, int milliseconds)
{
    pthread_t started[8];
    int i;
    flag_set(&stop, 0);
    for (i = 0; i < count; i++)
        started[i] = thread_start(threads[i].body, threads[i].argument);
    sleep_milliseconds(milliseconds);
    flag_set(&stop, 1);
    for (i = 0; i < count; i++)
        thread_join(started[i]);
}

static void a_constructor_may_make_control_calls(void)
{
    CHECK_EQ(dlclose(lazy_load("deadlock_plug_in")), 0);
}

static void attach_and_control_calls_go_with_dlopen_in_other_threads(void)
{
    static const struct thread threads[] = {
        {attach_and_detach, NULL}, {load_and_unload, NULL}, {attach_and_detach, NULL},
    };
    tool_calls(3, hear_nothing, NULL, NULL);
    run_together(threads, 3, check_scaled(200));
}

/* Who walks through what is loaded holds a lock of the loader's; the library walks, too, and fork waits for it. */
static void control_calls_from_inside_dl_iterate_phdr_go_with_dlopen_and_fork(void)
{
    static const struct thread threads[] = {
        {control_while_walking, (void *)1}, {attach_and_detach, NULL}, {fork_again_and_again, NULL},
        {control_while_walking, (void *)2}, {load_and_unload, NULL},
    };
    tool_calls(3, hear_nothing, NULL, NULL);
    run_together(threads, 5, check_scaled(400));
}

int main(void)
{
    RUN(two_callbacks_that_synchronize_are_both_refused);
    RUN(a_callback_may_join_a_thread_that_fires);
    RUN(a_callback_may_join_a_thread_that_makes_control_calls);
    RUN(nobody_waits_for_callbacks_that_block_but_who_synchronizes);
    RUN(destroy_functions_may_wait_for_who_controls_or_fires);
    RUN(a_lock_that_callbacks_take_may_be_held_around_control_calls);
    RUN(synchronize_waits_for_no_destroy_function_that_begins_later);
    RUN(a_constructor_may_make_control_calls);
    RUN(attach_and_control_calls_go_with_dlopen_in_other_threads);
    RUN(control_calls_from_inside_dl_iterate_phdr_go_with_dlopen_and_fork);
    return check_result();
}
