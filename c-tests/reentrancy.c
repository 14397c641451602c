/* reentrancy.c: fires inside callbacks are suppressed, and a callback may do anything to its own or another tool. */
#include "firing.h"
#include "listener.h"

#define SET RMON_EVENT_SET

static char code;
static struct scope scope;
static struct fire_function library[RMON_EVENT_COUNT];
static int library_is_there;

/* A callback that runs an action, once or each time. */
struct actor {
    int result;
    int calls;
    int destroyed;
    void (*action)(struct actor *actor, const rmon_event *event);
    int tool, event;                /* for the action */
    struct listener *listener;      /* for the action */
};

static int act(void *user_data, const rmon_event *event)
{
    struct actor *actor = (struct actor *)user_data;
    actor->calls++;
    CHECK_EQ(actor->destroyed, 0);
    if (actor->action != NULL)
        actor->action(actor, event);
    CHECK_EQ(actor->destroyed, 0);
    return actor->result;
}

static void actor_destroy(void *user_data)
{
    ((struct actor *)user_data)->destroyed++;
}

static void tool_acts(int tool, int event, struct actor *actor, void (*action)(struct actor *, const rmon_event *))
{
    uint32_t on = 0;
    actor->action = action;
    CHECK_EQ(rmon_register_callback(tool, event, act, actor, actor_destroy), RMON_OK);
    CHECK_EQ(rmon_get_events(tool, &on), RMON_OK);
    CHECK_EQ(rmon_set_events(tool, on | settable_with(event)), RMON_OK);
}

static int fire_now(int event)
{
    return fire(event, &scope.states[event], &code, 4);
}

/* --- suppression --- */

static void fire_everything(struct actor *actor, const rmon_event *event)
{
    struct fire_values values = {NULL, NULL, 1};
    struct scope inner = {0};
    int other;
    (void)actor;
    (void)event;
    scope_enters(&inner);
    for (other = 0; other < RMON_EVENT_COUNT; other++) {
        CHECK_EQ(fire(other, &scope.states[other], &code, 4), RMON_OK);
        CHECK_EQ(fire(other, &inner.states[other], &code, 4), RMON_OK);
        CHECK_EQ(fire(other, &inner.states[other], NULL, 4), RMON_OK);
        if (library_is_there)
            CHECK_EQ(fire_by(&library[other], &inner.states[other], &code, 4, values), RMON_OK);
    }
#ifdef PY_MONITORING_IS_INSTRUMENTED_EVENT
    CHECK_EQ(PyMonitoring_FireLineEvent(&inner.states[RMON_EVENT_LINE], &code, 4, 1), 0);
    CHECK_EQ(PyMonitoring_FireRaiseEvent(&inner.states[RMON_EVENT_RAISE], &code, 4), 0);
#endif
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void fires_inside_callbacks_are_suppressed(void)
{
    struct listener others = {0};
    struct actor actor = {0};
    int event, expected = 0;
    library_is_there = library_fires(library);
    tool_opens(0);
    tool_opens(3);
    tool_opens(5);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        tool_hears(0, event, &others);
        tool_hears(5, event, &others);
        tool_acts(3, event, &actor, fire_everything);
    }
    scope_enters(&scope);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        CHECK_EQ(fire_now(event), RMON_OK);
        CHECK_EQ(actor.calls, ++expected);
        CHECK_EQ(others.calls, 2 * expected);
    }
    check_reset();
}

static void fires_after_a_failing_callback_are_not_suppressed(void)
{
    struct listener listener = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    tool_hears(3, RMON_EVENT_RAISE, &listener);
    scope_enters(&scope);
    listener.result = -5;
    CHECK_EQ(fire_now(RMON_EVENT_LINE), -5);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), -5);
    CHECK_EQ(fire_now(RMON_EVENT_RAISE), -5);
    listener.result = RMON_DISABLE;
    CHECK_EQ(fire_now(RMON_EVENT_RAISE), RMON_ERR_CANNOT_DISABLE);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(listener.calls, 5);
}

static void disabled_error_and_bad_offset_leave_no_thread_inside(void)
{
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    fires_after_a_failing_callback_are_not_suppressed();
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, -1), RMON_ERR_INVALID_OFFSET);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
}

static void enter_a_scope(struct actor *actor, const rmon_event *event)
{
    struct scope inner = {0};
    (void)actor;
    (void)event;
    scope_enters(&inner);
    CHECK(inner.version != 0);
    CHECK(inner.states[RMON_EVENT_LINE].active != 0);
}

static void scopes_can_be_entered_inside_callbacks(void)
{
    struct actor actor = {0};
    tool_opens(3);
    tool_acts(3, RMON_EVENT_LINE, &actor, enter_a_scope);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(actor.calls, 1);
    check_reset();
}

/* --- what a callback does to its own tool --- */

static void remove_myself(struct actor *actor, const rmon_event *event)
{
    rmon_callback callback = act;
    void *user_data = actor;
    CHECK_EQ(rmon_register_callback(event->tool_id, event->event, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_get_callback(event->tool_id, event->event, &callback, &user_data), RMON_OK);
    CHECK(callback == NULL);
}

static void free_my_tool(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    CHECK_EQ(rmon_free_tool_id(event->tool_id), RMON_OK);
    CHECK_EQ(rmon_get_tool(event->tool_id, NULL, 0), 0);
}

static void clear_my_tool(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    CHECK_EQ(rmon_clear_tool_id(event->tool_id), RMON_OK);
}

static void silence_my_tool(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    CHECK_EQ(rmon_set_events(event->tool_id, RMON_NO_EVENTS), RMON_OK);
}

static void replace_myself(struct actor *actor, const rmon_event *event)
{
    CHECK_EQ(rmon_register_callback(event->tool_id, event->event, listener_hear, actor->listener, listener_destroy),
             RMON_OK);
}

static void free_and_use_my_tool_again(struct actor *actor, const rmon_event *event)
{
    CHECK_EQ(rmon_free_tool_id(event->tool_id), RMON_OK);
    CHECK_EQ(rmon_use_tool_id(event->tool_id, "again"), RMON_OK);
    CHECK_EQ(rmon_register_callback(event->tool_id, event->event, listener_hear, actor->listener, listener_destroy),
             RMON_OK);
    CHECK_EQ(rmon_set_events(event->tool_id, settable_with(event->event)), RMON_OK);
}

struct self_case {
    void (*action)(struct actor *, const rmon_event *);
    int removes;        /* the actor's registration ends */
    int replaces;       /* the listener is called from then on */
};

static const struct self_case self_cases[] = {
    {remove_myself, 1, 0},  {free_my_tool, 1, 0},   {clear_my_tool, 1, 0},
    {silence_my_tool, 0, 0}, {replace_myself, 1, 1}, {free_and_use_my_tool_again, 1, 1},
};

static void a_callback_may_end_or_replace_itself_and_return_anything(void)
{
    static const int results[] = {RMON_CONTINUE, 2, RMON_DISABLE, -3};
    size_t i, k;
    for (i = 0; i < sizeof self_cases / sizeof self_cases[0]; i++)
        for (k = 0; k < sizeof results / sizeof results[0]; k++) {
            const struct self_case *self = &self_cases[i];
            struct actor actor = {0};
            struct listener listener = {0}, high = {0}, low = {0};
            actor.listener = &listener;
            actor.result = results[k];
            tool_opens(0);
            tool_opens(3);
            tool_opens(5);
            tool_hears(0, RMON_EVENT_LINE, &low);
            tool_hears(5, RMON_EVENT_LINE, &high);
            tool_acts(3, RMON_EVENT_LINE, &actor, self->action);
            scope_enters(&scope);
            CHECK_EQ(fire_now(RMON_EVENT_LINE), results[k] < 0 ? results[k] : RMON_OK);
            CHECK_EQ(actor.calls, 1);
            CHECK_EQ(listener.calls, 0);
            CHECK_EQ(high.calls, 1);
            CHECK_EQ(low.calls, results[k] < 0 ? 0 : 1);
            CHECK_EQ(rmon_synchronize(), RMON_OK);
            CHECK_EQ(actor.destroyed, self->removes);

            scope_enters(&scope);
            CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 40), RMON_OK);
            CHECK_EQ(actor.calls, 1);
            CHECK_EQ(listener.calls, self->replaces);
            CHECK_EQ(high.calls, 2);
            check_reset();
            CHECK_EQ(actor.destroyed, 1);
            CHECK_EQ(listener.destroyed, self->replaces);
        }
}

static void a_callback_of_an_event_that_cannot_be_disabled_may_remove_itself_and_say_disable(void)
{
    size_t i;
    for (i = 0; i < sizeof self_cases / sizeof self_cases[0]; i++) {
        struct actor actor = {0};
        struct listener listener = {0};
        actor.listener = &listener;
        actor.result = RMON_DISABLE;
        tool_opens(3);
        tool_acts(3, RMON_EVENT_RAISE, &actor, self_cases[i].action);
        scope_enters(&scope);
        CHECK_EQ(fire_now(RMON_EVENT_RAISE), RMON_ERR_CANNOT_DISABLE);
        CHECK_EQ(actor.calls, 1);
        CHECK_EQ(fire_now(RMON_EVENT_RAISE), RMON_OK);
        CHECK_EQ(actor.calls, 1);
        check_reset();
        CHECK_EQ(actor.destroyed, 1);
        CHECK_EQ(listener.destroyed, self_cases[i].replaces);
    }
}

static void a_disable_by_a_tool_that_ended_itself_is_not_its_successors(void)
{
    static void (*const actions[])(struct actor *, const rmon_event *) = {free_my_tool, clear_my_tool};
    size_t i;
    for (i = 0; i < 2; i++) {
        struct actor actor = {0};
        struct listener successor = {0};
        actor.result = RMON_DISABLE;
        tool_opens(3);
        tool_acts(3, RMON_EVENT_LINE, &actor, actions[i]);
        scope_enters(&scope);
        CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
        tool_opens(3);
        tool_hears(3, RMON_EVENT_LINE, &successor);
        scope_enters(&scope);
        CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
        CHECK_EQ(successor.calls, 1);
        check_reset();
    }
}

static void register_again_and_again(struct actor *actor, const rmon_event *event)
{
    int i;
    for (i = 0; i < 100; i++) {
        CHECK_EQ(rmon_register_callback(event->tool_id, event->event, listener_hear, actor->listener, listener_destroy),
                 RMON_OK);
        CHECK_EQ(rmon_register_callback(event->tool_id, event->event, NULL, NULL, NULL), RMON_OK);
    }
}

static void a_callback_may_register_and_remove_many_callbacks(void)
{
    struct actor actor = {0};
    struct listener listener = {0};
    actor.listener = &listener;
    tool_opens(3);
    tool_acts(3, RMON_EVENT_LINE, &actor, register_again_and_again);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(actor.destroyed, 1);
    CHECK_EQ(listener.destroyed, 100);
    CHECK_EQ(listener.calls, 0);
    check_reset();
}

/* --- what a callback does to other tools --- */

static void silence_other(struct actor *actor, const rmon_event *event)
{
    (void)event;
    CHECK_EQ(rmon_set_events(actor->tool, RMON_NO_EVENTS), RMON_OK);
}

static void remove_other(struct actor *actor, const rmon_event *event)
{
    CHECK_EQ(rmon_register_callback(actor->tool, event->event, NULL, NULL, NULL), RMON_OK);
}

static void clear_other(struct actor *actor, const rmon_event *event)
{
    (void)event;
    CHECK_EQ(rmon_clear_tool_id(actor->tool), RMON_OK);
}

static void free_other(struct actor *actor, const rmon_event *event)
{
    (void)event;
    CHECK_EQ(rmon_free_tool_id(actor->tool), RMON_OK);
}

static void a_lower_tool_silenced_by_a_higher_callback_is_not_called_in_that_fire(void)
{
    static void (*const actions[])(struct actor *, const rmon_event *)
        = {silence_other, remove_other, clear_other, free_other};
    size_t i;
    int event;
    for (i = 0; i < sizeof actions / sizeof actions[0]; i++)
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            struct actor actor = {0};
            struct listener lower = {0}, lowest = {0};
            actor.tool = 2;
            tool_opens(1);
            tool_opens(2);
            tool_opens(4);
            tool_hears(1, event, &lowest);
            tool_hears(2, event, &lower);
            tool_acts(4, event, &actor, actions[i]);
            scope_enters(&scope);
            CHECK_EQ(fire_now(event), RMON_OK);
            CHECK_EQ(actor.calls, 1);
            CHECK_EQ(lower.calls, 0);
            CHECK_EQ(lowest.calls, 1);
            check_reset();
        }
}

static void silence_other_locally(struct actor *actor, const rmon_event *event)
{
    CHECK_EQ(rmon_set_local_events(actor->tool, event->code, RMON_NO_EVENTS), RMON_OK);
}

static void forget_the_code(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    CHECK_EQ(rmon_code_forget(event->code), RMON_OK);
}

static void a_lower_tool_whose_local_events_end_is_not_called_in_that_fire(void)
{
    static void (*const actions[])(struct actor *, const rmon_event *) = {silence_other_locally, forget_the_code};
    size_t i;
    for (i = 0; i < 2; i++) {
        struct actor actor = {0};
        struct listener lower = {0};
        actor.tool = 2;
        tool_opens(2);
        tool_opens(4);
        tool_hears_in(2, &code, RMON_EVENT_LINE, &lower);
        tool_acts(4, RMON_EVENT_LINE, &actor, actions[i]);
        scope_enters(&scope);
        CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
        CHECK_EQ(actor.calls, 1);
        CHECK_EQ(lower.calls, 0);
        check_reset();
    }
}

static void replace_other(struct actor *actor, const rmon_event *event)
{
    CHECK_EQ(rmon_register_callback(actor->tool, event->event, listener_hear, actor->listener, listener_destroy),
             RMON_OK);
}

static void a_lower_callback_replaced_by_a_higher_one_is_not_called_any_more(void)
{
    struct actor actor = {0};
    struct listener before = {0}, after = {0};
    actor.tool = 2;
    actor.listener = &after;
    tool_opens(2);
    tool_opens(4);
    tool_hears(2, RMON_EVENT_LINE, &before);
    tool_acts(4, RMON_EVENT_LINE, &actor, replace_other);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(before.calls, 0);
    CHECK(after.calls <= 1);
    check_reset();
}

static void a_higher_tool_that_a_lower_callback_frees_was_called_and_is_destroyed_once(void)
{
    struct actor actor = {0};
    struct listener higher = {0};
    actor.tool = 5;
    tool_opens(0);
    tool_opens(5);
    tool_hears(5, RMON_EVENT_LINE, &higher);
    CHECK_EQ(rmon_register_callback(5, RMON_EVENT_LINE, listener_hear, &higher, listener_destroy), RMON_OK);
    tool_acts(0, RMON_EVENT_LINE, &actor, free_other);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(higher.calls, 1);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(higher.calls, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(higher.destroyed, 1);
    check_reset();
}

static void start_another_tool(struct actor *actor, const rmon_event *event)
{
    (void)event;
    if (actor->calls != 1)
        return;
    CHECK_EQ(rmon_use_tool_id(actor->tool, "started inside"), RMON_OK);
    tool_hears(actor->tool, actor->event, actor->listener);
}

static void a_callback_may_start_another_tool(void)
{
    struct actor actor = {0};
    struct listener started = {0};
    actor.tool = 1;
    actor.event = RMON_EVENT_PY_RETURN;
    actor.listener = &started;
    tool_opens(4);
    tool_acts(4, RMON_EVENT_LINE, &actor, start_another_tool);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_PY_RETURN), RMON_OK);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(fire_now(RMON_EVENT_PY_RETURN), RMON_OK);
    CHECK_EQ(started.calls, 1);
    check_reset();
}

static void restart_everything(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    (void)event;
    CHECK_EQ(rmon_restart_events(), RMON_OK);
}

static void a_callback_may_restart_events(void)
{
    struct actor actor = {0};
    struct listener listener = {0};
    tool_opens(2);
    tool_opens(4);
    tool_hears(2, RMON_EVENT_JUMP, &listener);
    tool_acts(4, RMON_EVENT_LINE, &actor, restart_everything);
    scope_enters(&scope);
    listener.result = RMON_DISABLE;
    CHECK_EQ(fire_now(RMON_EVENT_JUMP), RMON_OK);
    CHECK_EQ(fire_now(RMON_EVENT_JUMP), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(fire_now(RMON_EVENT_JUMP), RMON_OK);
    CHECK_EQ(listener.calls, 2);
    check_reset();
}

/* --- synchronize --- */

static void synchronize_inside(struct actor *actor, const rmon_event *event)
{
    if (actor->listener != NULL)
        CHECK_EQ(rmon_register_callback(event->tool_id, actor->event, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
}

static void synchronize_inside_a_callback_says_so_and_does_not_wait(void)
{
    struct actor actor = {0};
    tool_opens(4);
    tool_acts(4, RMON_EVENT_LINE, &actor, synchronize_inside);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(actor.calls, 1);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    check_reset();
}

static void what_is_removed_inside_is_destroyed_later(void)
{
    struct actor actor = {0};
    struct listener removed = {0};
    actor.event = RMON_EVENT_JUMP;
    actor.listener = &removed;
    tool_opens(4);
    tool_acts(4, RMON_EVENT_LINE, &actor, synchronize_inside);
    CHECK_EQ(rmon_register_callback(4, RMON_EVENT_JUMP, listener_hear, &removed, listener_destroy), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(fire_now(RMON_EVENT_LINE), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(removed.destroyed, 1);
    check_reset();
}

static void release_the_code(struct actor *actor, const rmon_event *event)
{
    (void)actor;
    rmon_code_release(event->code);
}

static void a_callback_may_end_the_code_that_runs(void)
{
    rmon_code_info info = {0};
    struct actor actor = {0};
    struct listener lower = {0};
    void *own;
    info.struct_size = sizeof info;
    info.name = "ends";
    info.filename = "reentrancy.c";
    own = rmon_code_new(&info);
    CHECK(own != NULL);
    actor.result = RMON_DISABLE;
    tool_opens(2);
    tool_opens(4);
    tool_hears(2, RMON_EVENT_LINE, &lower);
    tool_acts(4, RMON_EVENT_LINE, &actor, release_the_code);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], own, 4), RMON_OK);
    CHECK_EQ(actor.calls, 1);
    CHECK_EQ(lower.calls, 1);
    CHECK_PTR(lower.last.code, own);
    CHECK_EQ(rmon_code_describe(own, &info), RMON_ERR_UNKNOWN_CODE);
    check_reset();
}

int main(void)
{
    RUN(fires_inside_callbacks_are_suppressed);
    RUN(fires_after_a_failing_callback_are_not_suppressed);
    RUN(disabled_error_and_bad_offset_leave_no_thread_inside);
    RUN(scopes_can_be_entered_inside_callbacks);
    RUN(a_callback_may_end_or_replace_itself_and_return_anything);
    RUN(a_callback_of_an_event_that_cannot_be_disabled_may_remove_itself_and_say_disable);
    RUN(a_disable_by_a_tool_that_ended_itself_is_not_its_successors);
    RUN(a_callback_may_register_and_remove_many_callbacks);
    RUN(a_lower_tool_silenced_by_a_higher_callback_is_not_called_in_that_fire);
    RUN(a_lower_tool_whose_local_events_end_is_not_called_in_that_fire);
    RUN(a_lower_callback_replaced_by_a_higher_one_is_not_called_any_more);
    RUN(a_higher_tool_that_a_lower_callback_frees_was_called_and_is_destroyed_once);
    RUN(a_callback_may_start_another_tool);
    RUN(a_callback_may_restart_events);
    RUN(synchronize_inside_a_callback_says_so_and_does_not_wait);
    RUN(what_is_removed_inside_is_destroyed_later);
    RUN(a_callback_may_end_the_code_that_runs);
    return check_result();
}
