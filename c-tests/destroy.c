/* destroy.c: destroy runs exactly once for each registration, when no thread can be in the callback any more. */
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#include <limits.h>

static char code;

static int registers(int tool, int event, struct listener *listener)
{
    return rmon_register_callback(tool, event, listener_hear, listener, listener_destroy);
}

static void synchronize(void)
{
    CHECK_EQ(rmon_synchronize(), RMON_OK);
}

static void a_callback_that_stays_is_not_destroyed(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    int i;
    tool_opens(0);
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &listener), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    for (i = 0; i < 10; i++) {
        scope_enters(&scope);
        CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, i), RMON_OK);
        CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(i & 1 ? RMON_EVENT_LINE : RMON_EVENT_JUMP)), RMON_OK);
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        synchronize();
    }
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 0);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 1);
}

static void removal_destroys_once(void)
{
    struct listener listener = {0};
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &listener), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 1);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_clear_tool_id(0), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 1);
}

static void replacement_destroys_the_old_one_once(void)
{
    struct listener first = {0}, second = {0};
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &first), RMON_OK);
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &second), RMON_OK);
    synchronize();
    CHECK_EQ(first.destroyed, 1);
    CHECK_EQ(second.destroyed, 0);
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &second), RMON_OK);
    synchronize();
    CHECK_EQ(second.destroyed, 1);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    synchronize();
    CHECK_EQ(first.destroyed, 1);
    CHECK_EQ(second.destroyed, 2);
}

static void clearing_and_freeing_destroy_all_of_the_tool(void)
{
    struct listener mine = {0}, others = {0};
    int event, round;
    for (round = 0; round < 2; round++) {
        mine.destroyed = others.destroyed = 0;
        tool_opens(2);
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            CHECK_EQ(registers(2, event, &mine), RMON_OK);
            CHECK_EQ(registers(3, event, &others), RMON_OK);
        }
        CHECK_EQ(round ? rmon_clear_tool_id(2) : rmon_free_tool_id(2), RMON_OK);
        synchronize();
        CHECK_EQ(mine.destroyed, RMON_EVENT_COUNT);
        CHECK_EQ(others.destroyed, 0);
        check_reset();
        CHECK_EQ(mine.destroyed, RMON_EVENT_COUNT);
        CHECK_EQ(others.destroyed, RMON_EVENT_COUNT);
    }
}

static void a_registration_that_fails_is_destroyed_once(void)
{
    static const int bad_tools[] = {-1, 6, INT_MAX, INT_MIN};
    static const int bad_events[] = {-1, RMON_EVENT_COUNT, INT_MAX, INT_MIN};
    struct listener listener = {0}, before = {0};
    size_t i;
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &before), RMON_OK);
    for (i = 0; i < 4; i++) {
        listener.destroyed = 0;
        CHECK_EQ(registers(bad_tools[i], RMON_EVENT_LINE, &listener), RMON_ERR_INVALID_TOOL);
        synchronize();
        CHECK_EQ(listener.destroyed, 1);
        CHECK_EQ(registers(0, bad_events[i], &listener), RMON_ERR_INVALID_EVENT);
        synchronize();
        CHECK_EQ(listener.destroyed, 2);
        CHECK_EQ(registers(bad_tools[i], bad_events[i], &listener), RMON_ERR_INVALID_TOOL);
        synchronize();
        CHECK_EQ(listener.destroyed, 3);
    }
    check_reset();
    CHECK_EQ(listener.destroyed, 3);
    CHECK_EQ(before.destroyed, 1);
}

static void without_a_callback_user_data_and_destroy_are_ignored(void)
{
    struct listener registered = {0}, ignored = {0};
    rmon_callback callback = listener_hear;
    void *user_data = &code;
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, &ignored, listener_destroy), RMON_OK);
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &registered), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, &ignored, listener_destroy), RMON_OK);
    CHECK_EQ(rmon_get_callback(0, RMON_EVENT_LINE, &callback, &user_data), RMON_OK);
    CHECK(callback == NULL);
    CHECK_PTR(user_data, NULL);
    CHECK_EQ(rmon_register_callback(9, RMON_EVENT_LINE, NULL, &ignored, listener_destroy), RMON_ERR_INVALID_TOOL);
    CHECK_EQ(rmon_register_callback(0, 99, NULL, &ignored, listener_destroy), RMON_ERR_INVALID_EVENT);
    check_reset();
    CHECK_EQ(ignored.destroyed, 0);
    CHECK_EQ(registered.destroyed, 1);
}

static int null_destroyed;

static void destroy_of_null(void *user_data)
{
    CHECK_PTR(user_data, NULL);
    null_destroyed++;
}

static int hear_nothing(void *user_data, const rmon_event *event)
{
    (void)event;
    CHECK_PTR(user_data, NULL);
    return RMON_CONTINUE;
}

static void null_user_data_is_destroyed_too(void)
{
    null_destroyed = 0;
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, hear_nothing, NULL, destroy_of_null), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, hear_nothing, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    synchronize();
    CHECK_EQ(null_destroyed, 1);
}

static void what_cannot_be_disabled_is_destroyed_once(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    tool_opens(0);
    CHECK_EQ(registers(0, RMON_EVENT_RAISE, &listener), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_RAISE)), RMON_OK);
    scope_enters(&scope);
    listener.result = RMON_DISABLE;
    CHECK_EQ(fire(RMON_EVENT_RAISE, &scope.states[RMON_EVENT_RAISE], &code, 1), RMON_ERR_CANNOT_DISABLE);
    synchronize();
    CHECK_EQ(listener.destroyed, 1);
    check_reset();
    CHECK_EQ(listener.destroyed, 1);
}

static void one_user_data_in_many_registrations_is_destroyed_for_each(void)
{
    struct listener listener = {0};
    int event, tool;
    for (tool = 0; tool < TOOL_COUNT; tool++)
        for (event = 0; event < RMON_EVENT_COUNT; event++)
            CHECK_EQ(registers(tool, event, &listener), RMON_OK);
    check_reset();
    CHECK_EQ(listener.destroyed, TOOL_COUNT * RMON_EVENT_COUNT);
}

static void very_many_registrations_are_each_destroyed(void)
{
    struct listener listener = {0};
    int i, count = check_scaled(10000);
    for (i = 0; i < count; i++)
        CHECK_EQ(registers(0, RMON_EVENT_LINE, &listener), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, count);
}

static void synchronize_with_nothing_to_do_returns(void)
{
    int i;
    for (i = 0; i < 100; i++)
        synchronize();
}

/* --- while another thread is in the callback --- */

/* A callback that stays until it is let go. */
struct blocker {
    int inside;         /* how many are or were inside */
    int let_go;
    int destroyed;
    int was_destroyed_inside;
};

static int block(void *user_data, const rmon_event *event)
{
    struct blocker *blocker = (struct blocker *)user_data;
    (void)event;
    __atomic_add_fetch(&blocker->inside, 1, __ATOMIC_SEQ_CST);
    CHECK(flag_reaches(&blocker->let_go, 1));
    if (flag_get(&blocker->destroyed) != 0)
        flag_set(&blocker->was_destroyed_inside, 1);
    return RMON_CONTINUE;
}

static void blocker_destroy(void *user_data)
{
    struct blocker *blocker = (struct blocker *)user_data;
    __atomic_add_fetch(&blocker->destroyed, 1, __ATOMIC_SEQ_CST);
}

static void *fire_a_line(void *unused)
{
    struct scope scope = {0};
    (void)unused;
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    return NULL;
}

static void tool_0_blocks(struct blocker *blocker)
{
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, block, blocker, blocker_destroy), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
}

static int remove_by_null(void)
{
    return rmon_register_callback(0, RMON_EVENT_LINE, NULL, NULL, NULL);
}

static int remove_by_replacing(void)
{
    return rmon_register_callback(0, RMON_EVENT_LINE, hear_nothing, NULL, NULL);
}

static int remove_by_clearing(void)
{
    return rmon_clear_tool_id(0);
}

static int remove_by_freeing(void)
{
    return rmon_free_tool_id(0);
}

static int (*const removals[])(void) = {remove_by_null, remove_by_replacing, remove_by_clearing, remove_by_freeing};

static void removal_does_not_wait_and_does_not_destroy_what_a_thread_is_in(void)
{
    size_t i;
    for (i = 0; i < sizeof removals / sizeof removals[0]; i++) {
        struct blocker blocker = {0, 0, 0, 0};
        pthread_t thread;
        tool_0_blocks(&blocker);
        thread = thread_start(fire_a_line, NULL);
        CHECK(flag_reaches(&blocker.inside, 1));
        CHECK_EQ(removals[i](), RMON_OK);
        /* The rest of the library goes on meanwhile. */
        CHECK_EQ(rmon_use_tool_id(5, "meanwhile"), RMON_OK);
        CHECK_EQ(rmon_set_events(5, RMON_EVENT_SET(RMON_EVENT_JUMP)), RMON_OK);
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        CHECK_EQ(rmon_free_tool_id(5), RMON_OK);
        sleep_milliseconds(20);
        CHECK_EQ(flag_get(&blocker.destroyed), 0);
        flag_set(&blocker.let_go, 1);
        thread_join(thread);
        synchronize();
        CHECK_EQ(flag_get(&blocker.destroyed), 1);
        CHECK_EQ(flag_get(&blocker.was_destroyed_inside), 0);
        check_reset();
        CHECK_EQ(flag_get(&blocker.destroyed), 1);
    }
}

struct synchronizer {
    struct blocker *blocker;
    int started, done;
};

static void *synchronize_in_a_thread(void *argument)
{
    struct synchronizer *synchronizer = (struct synchronizer *)argument;
    flag_set(&synchronizer->started, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(flag_get(&synchronizer->blocker->destroyed), 1);
    flag_set(&synchronizer->done, 1);
    return NULL;
}

static void synchronize_waits_for_the_removed_callback_and_its_destroy(void)
{
    enum { WAITERS = 3 };
    struct blocker blocker = {0, 0, 0, 0};
    struct synchronizer waiters[WAITERS];
    pthread_t firing, waiting[WAITERS];
    int i;
    tool_0_blocks(&blocker);
    firing = thread_start(fire_a_line, NULL);
    CHECK(flag_reaches(&blocker.inside, 1));
    CHECK_EQ(remove_by_null(), RMON_OK);
    for (i = 0; i < WAITERS; i++) {
        waiters[i].blocker = &blocker;
        waiters[i].started = waiters[i].done = 0;
        waiting[i] = thread_start(synchronize_in_a_thread, &waiters[i]);
    }
    for (i = 0; i < WAITERS; i++)
        CHECK(flag_reaches(&waiters[i].started, 1));
    sleep_milliseconds(50);
    for (i = 0; i < WAITERS; i++)
        CHECK_EQ(flag_get(&waiters[i].done), 0);
    /* Only those who synchronize wait. */
    CHECK_EQ(rmon_use_tool_id(5, "meanwhile"), RMON_OK);
    CHECK_EQ(rmon_register_callback(5, RMON_EVENT_LINE, hear_nothing, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(5, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(5), RMON_OK);
    fire_a_line(NULL);
    CHECK_EQ(flag_get(&blocker.destroyed), 0);
    flag_set(&blocker.let_go, 1);
    for (i = 0; i < WAITERS; i++)
        thread_join(waiting[i]);
    thread_join(firing);
    CHECK_EQ(flag_get(&blocker.destroyed), 1);
    CHECK_EQ(flag_get(&blocker.was_destroyed_inside), 0);
}

static void several_threads_in_one_callback_are_all_waited_for(void)
{
    enum { THREADS = 5 };
    struct blocker blocker = {0, 0, 0, 0};
    pthread_t threads[THREADS];
    int i;
    tool_0_blocks(&blocker);
    for (i = 0; i < THREADS; i++)
        threads[i] = thread_start(fire_a_line, NULL);
    CHECK(flag_reaches(&blocker.inside, THREADS));
    CHECK_EQ(remove_by_freeing(), RMON_OK);
    CHECK_EQ(flag_get(&blocker.destroyed), 0);
    flag_set(&blocker.let_go, 1);
    synchronize();
    CHECK_EQ(flag_get(&blocker.destroyed), 1);
    for (i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK_EQ(flag_get(&blocker.was_destroyed_inside), 0);
}

static void a_thread_that_ended_after_the_callback_is_not_waited_for(void)
{
    struct blocker blocker = {0, 1, 0, 0};
    pthread_t thread;
    tool_0_blocks(&blocker);
    thread = thread_start(fire_a_line, NULL);
    thread_join(thread);
    CHECK_EQ(blocker.inside, 1);
    CHECK_EQ(remove_by_null(), RMON_OK);
    synchronize();
    CHECK_EQ(blocker.destroyed, 1);
}

/* --- destroys that use the library --- */

static void destroy_and_look_around(void *user_data)
{
    struct listener *listener = (struct listener *)user_data;
    uint32_t events = 0;
    listener->destroyed++;
    CHECK_EQ(rmon_get_events(0, &events), RMON_OK);
    CHECK_EQ(rmon_register_callback(4, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
    CHECK(rmon_get_tool(0, NULL, 0) >= 0);
}

static void a_destroy_may_call_the_library(void)
{
    struct listener listener = {0};
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, listener_hear, &listener, destroy_and_look_around), RMON_OK);
    CHECK_EQ(remove_by_null(), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 1);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, listener_hear, &listener, destroy_and_look_around), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    synchronize();
    CHECK_EQ(listener.destroyed, 2);
    CHECK_EQ(rmon_register_callback(9, RMON_EVENT_LINE, listener_hear, &listener, destroy_and_look_around),
             RMON_ERR_INVALID_TOOL);
    synchronize();
    CHECK_EQ(listener.destroyed, 3);
}

static void destroy_and_free_tool_0(void *user_data)
{
    ((struct listener *)user_data)->destroyed++;
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
}

static void what_a_failed_registration_s_destroy_removes_is_destroyed_at_once(void)
{
    struct listener listener = {0}, other = {0};
    tool_opens(0);
    CHECK_EQ(registers(0, RMON_EVENT_LINE, &listener), RMON_OK);
    CHECK_EQ(rmon_register_callback(9, RMON_EVENT_LINE, listener_hear, &other, destroy_and_free_tool_0),
             RMON_ERR_INVALID_TOOL);
    CHECK_EQ(other.destroyed, 1);
    CHECK_EQ(listener.destroyed, 1);
}

static struct scope common_scope;

static void destroy_and_fire(void *user_data)
{
    struct listener *listener = (struct listener *)user_data;
    int status = rmon_synchronize();
    CHECK(status == RMON_OK || status == RMON_ERR_IN_CALLBACK);
    scope_enters(&common_scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &common_scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    listener->destroyed++;
}

static void fires_inside_a_destroy_are_suppressed_and_synchronize_does_not_wait(void)
{
    struct listener removed = {0}, listens = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listens);
    CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, listener_hear, &removed, destroy_and_fire), RMON_OK);
    CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    synchronize();
    CHECK_EQ(removed.destroyed, 1);
    CHECK_EQ(listens.calls, 0);
    scope_enters(&common_scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &common_scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(listens.calls, 1);
    CHECK_EQ(rmon_register_callback(9, RMON_EVENT_LINE, listener_hear, &removed, destroy_and_fire),
             RMON_ERR_INVALID_TOOL);
    CHECK_EQ(removed.destroyed, 2);
    CHECK_EQ(listens.calls, 1);
}

int main(void)
{
    RUN(a_callback_that_stays_is_not_destroyed);
    RUN(removal_destroys_once);
    RUN(replacement_destroys_the_old_one_once);
    RUN(clearing_and_freeing_destroy_all_of_the_tool);
    RUN(a_registration_that_fails_is_destroyed_once);
    RUN(without_a_callback_user_data_and_destroy_are_ignored);
    RUN(null_user_data_is_destroyed_too);
    RUN(what_cannot_be_disabled_is_destroyed_once);
    RUN(one_user_data_in_many_registrations_is_destroyed_for_each);
    RUN(very_many_registrations_are_each_destroyed);
    RUN(synchronize_with_nothing_to_do_returns);
    RUN(removal_does_not_wait_and_does_not_destroy_what_a_thread_is_in);
    RUN(synchronize_waits_for_the_removed_callback_and_its_destroy);
    RUN(several_threads_in_one_callback_are_all_waited_for);
    RUN(a_thread_that_ended_after_the_callback_is_not_waited_for);
    RUN(a_destroy_may_call_the_library);
    RUN(what_a_failed_registration_s_destroy_removes_is_destroyed_at_once);
    RUN(fires_inside_a_destroy_are_suppressed_and_synchronize_does_not_wait);
    return check_result();
}
