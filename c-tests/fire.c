/* fire.c: what a callback sees of each event, which callbacks a fire calls and in which order, and what it returns. */
#include "firing.h"
#include "listener.h"

#include <limits.h>

static char code_a, code_b, object_a, arg0_a;

static const struct fire_function *fires = header_fires;

/* A callback writes its tool id here. */
static int order[32];
static int order_length;

static int note_order(void *user_data, const rmon_event *event)
{
    if (order_length < 32)
        order[order_length++] = event->tool_id;
    return user_data != NULL ? *(const int *)user_data : RMON_CONTINUE;
}

/* Fires without objects in code_a. */
static int fire_in(struct scope *scope, int event, int32_t offset, int32_t number)
{
    struct fire_values values = {NULL, NULL, 0};
    values.number = number;
    return fire_by(&fires[event], &scope->states[event], &code_a, offset, values);
}

static int is_exception_event(int event)
{
    return event == RMON_EVENT_RAISE || event == RMON_EVENT_EXCEPTION_HANDLED || event == RMON_EVENT_PY_UNWIND
           || event == RMON_EVENT_PY_THROW || event == RMON_EVENT_RERAISE;
}

/* Fires `event` once with the values, and checks each field that the callback sees. */
static void fire_and_look(int event, void *code, int32_t offset, struct fire_values values)
{
    struct listener listener = {0};
    struct scope scope = {0};
    const rmon_event *seen = &listener.last;
    enum fire_shape shape = fires[event].shape;

    tool_opens(3);
    tool_hears(3, event, &listener);
    scope_enters(&scope);
    CHECK(scope.states[event].active != 0);
    CHECK_EQ(fire_by(&fires[event], &scope.states[event], code, offset, values), RMON_OK);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);

    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(seen->struct_size, sizeof(rmon_event));
    CHECK_EQ(seen->event, event);
    CHECK_EQ(seen->tool_id, 3);
    CHECK_EQ(seen->offset, offset);
    CHECK_PTR(seen->code, code);
    CHECK_EQ(seen->line, event == RMON_EVENT_LINE ? values.number : -1);
    CHECK_EQ(seen->target_offset, event != RMON_EVENT_LINE && shape == FIRE_NUMBER ? values.number : -1);
    CHECK_PTR(seen->object, shape == FIRE_OBJECT || shape == FIRE_PAIR ? values.object : NULL);
    CHECK_PTR(seen->arg0, shape == FIRE_PAIR ? values.arg0 : NULL);
    CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
}

static void the_callback_sees_every_field_of_every_event(void)
{
    struct fire_values values = {&object_a, &arg0_a, 4711};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        fire_and_look(event, &code_a, 12, values);
}

static void null_code_and_values_arrive_as_null(void)
{
    struct fire_values nothing = {NULL, NULL, 1};
    struct fire_values no_arg0 = {&object_a, NULL, 1};
    struct fire_values only_arg0 = {NULL, &arg0_a, 1};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        fire_and_look(event, NULL, 0, nothing);
        fire_and_look(event, &code_a, 0, nothing);
        fire_and_look(event, &code_a, 0, no_arg0);
        fire_and_look(event, &code_a, 0, only_arg0);
    }
}

static void small_and_large_offsets_lines_and_targets_arrive_whole(void)
{
    static const int32_t numbers[] = {0, 1, 127, 128, 255, 256, 257, 65535, 65536, INT32_MAX - 1, INT32_MAX};
    struct fire_values values = {&object_a, &arg0_a, 0};
    int event;
    size_t i;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            values.number = numbers[i];
            fire_and_look(event, &code_a, numbers[i], values);
        }
}

static void codes_are_never_read(void)
{
    struct fire_values values = {(void *)~(uintptr_t)0, (void *)(uintptr_t)1, 1};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        fire_and_look(event, (void *)(uintptr_t)16, 1, values);
}

static void a_negative_offset_is_an_error_before_any_callback(void)
{
    static const int32_t offsets[] = {-1, -2, INT32_MIN + 1, INT32_MIN};
    struct fire_values values = {&object_a, &arg0_a, 1};
    int event;
    size_t i;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {0};
        struct scope scope = {0};
        tool_opens(0);
        tool_hears(0, event, &listener);
        scope_enters(&scope);
        for (i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
            CHECK_EQ(fire_by(&fires[event], &scope.states[event], &code_a, offsets[i], values),
                     RMON_ERR_INVALID_OFFSET);
        CHECK_EQ(listener.calls, 0);
        CHECK_EQ(fire_by(&fires[event], &scope.states[event], &code_a, 0, values), RMON_OK);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    }
}

static void an_inactive_state_does_nothing_whatever_the_arguments(void)
{
    static const struct fire_values values = {NULL, NULL, -5};
    struct listener listener = {0};
    int event;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        tool_hears(0, event, &listener);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        rmon_state asleep = {0, 0};
        CHECK_EQ(fire_by(&fires[event], &asleep, &code_a, 1, values), RMON_OK);
        CHECK_EQ(fire_by(&fires[event], &asleep, NULL, -1, values), RMON_OK);
        CHECK_EQ(fire_by(&fires[event], &asleep, NULL, INT32_MIN, values), RMON_OK);
        CHECK_EQ(asleep.active, 0);
        CHECK_EQ(asleep.opaque, 0);
    }
    CHECK_EQ(listener.calls, 0);
}

static void states_are_inactive_when_nobody_listens(void)
{
    struct scope scope = {0};
    int event;
    scope_enters(&scope);
    CHECK_EQ(scope.version, 0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        CHECK_EQ(scope.states[event].active, 0);
}

static void an_active_byte_out_of_nowhere_calls_nobody_who_did_not_ask(void)
{
    struct fire_values values = {NULL, NULL, 1};
    struct listener listener = {0};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        rmon_state wild = {0xff, 0xff};
        CHECK_EQ(fire_by(&fires[event], &wild, &code_a, 1, values), RMON_OK);
    }
    tool_opens(1);
    tool_hears(1, RMON_EVENT_PY_RETURN, &listener);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        rmon_state wild = {0xff, 0x55};
        if (event != RMON_EVENT_PY_RETURN)
            CHECK_EQ(fire_by(&fires[event], &wild, &code_a, 1, values), RMON_OK);
    }
    CHECK_EQ(listener.calls, 0);
}

static void the_highest_tool_is_called_first(void)
{
    int event, tool;
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        tool_opens(tool);
        for (event = 0; event < RMON_EVENT_COUNT; event++)
            CHECK_EQ(rmon_register_callback(tool, event, note_order, NULL, NULL), RMON_OK);
        CHECK_EQ(rmon_set_events(tool, RMON_ALL_EVENTS), RMON_OK);
    }
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct scope scope = {0};
        scope_enters(&scope);
        order_length = 0;
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(order_length, TOOL_COUNT);
        for (tool = 0; tool < TOOL_COUNT; tool++)
            CHECK_EQ(order[tool], TOOL_COUNT - 1 - tool);
    }
}

static void the_first_error_stops_and_is_the_result(void)
{
    static const int results[] = {-1, RMON_ERR_CALLBACK, RMON_ERR_INTERNAL, -77, -1000000, INT_MIN};
    struct scope scope = {0};
    int event, tool;
    size_t i;
    for (i = 0; i < sizeof results / sizeof results[0]; i++) {
        int bad = results[i];
        for (tool = 0; tool < TOOL_COUNT; tool++) {
            tool_opens(tool);
            for (event = 0; event < RMON_EVENT_COUNT; event++)
                CHECK_EQ(rmon_register_callback(tool, event, note_order, tool == 2 ? &bad : NULL, NULL), RMON_OK);
            CHECK_EQ(rmon_set_events(tool, RMON_ALL_EVENTS), RMON_OK);
        }
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            scope_enters(&scope);
            order_length = 0;
            CHECK_EQ(fire_in(&scope, event, 1, 1), bad);
            CHECK_EQ(order_length, 4);
            CHECK_EQ(order[3], 2);
        }
        check_reset();
    }
}

static void an_error_leaves_the_callback_in_place(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    listener.result = -9;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_RAISE, &listener);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    CHECK_EQ(fire_in(&scope, RMON_EVENT_RAISE, 1, 1), -9);
    CHECK_EQ(fire_in(&scope, RMON_EVENT_LINE, 1, 1), -9);
    listener.result = RMON_CONTINUE;
    CHECK_EQ(fire_in(&scope, RMON_EVENT_RAISE, 1, 1), RMON_OK);
    CHECK_EQ(fire_in(&scope, RMON_EVENT_LINE, 1, 1), RMON_OK);
    CHECK_EQ(listener.calls, 4);
}

static void results_above_disable_count_as_continue(void)
{
    static const int results[] = {2, 3, 255, 256, 257, 65537, INT_MAX};
    struct listener high = {0}, low = {0};
    struct scope scope = {0};
    int event;
    size_t i;
    tool_opens(0);
    tool_opens(4);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        tool_hears(4, event, &high);
        tool_hears(0, event, &low);
    }
    scope_enters(&scope);
    for (i = 0; i < sizeof results / sizeof results[0]; i++)
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            high.calls = low.calls = 0;
            high.result = results[i];
            CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
            CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
            CHECK_EQ(high.calls, 2);
            CHECK_EQ(low.calls, 2);
        }
}

static void a_tool_hears_only_the_events_that_it_has_on(void)
{
    int event, other;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct scope scope = {0};
        struct listener listener = {0};
        uint32_t wanted = settable_with(event);
        if (event == RMON_EVENT_BRANCH)
            wanted |= RMON_EVENT_SET(RMON_EVENT_BRANCH_LEFT) | RMON_EVENT_SET(RMON_EVENT_BRANCH_RIGHT);
        if (event == RMON_EVENT_CALL)
            wanted |= RMON_ANCILLARY_EVENTS;
        if (event == RMON_EVENT_BRANCH_LEFT || event == RMON_EVENT_BRANCH_RIGHT)
            wanted |= RMON_EVENT_SET(RMON_EVENT_BRANCH);
        tool_opens(2);
        for (other = 0; other < RMON_EVENT_COUNT; other++)
            tool_registers(2, other, &listener);
        CHECK_EQ(rmon_set_events(2, settable_with(event)), RMON_OK);
        scope_enters(&scope);
        for (other = 0; other < RMON_EVENT_COUNT; other++) {
            listener.calls = 0;
            CHECK_EQ(fire_in(&scope, other, 1, 1), RMON_OK);
            if (!CHECK_EQ(listener.calls, (wanted & RMON_EVENT_SET(other)) != 0))
                fprintf(stderr, "    %s on, %s fired\n", rmon_event_name(event), rmon_event_name(other));
        }
        CHECK_EQ(rmon_free_tool_id(2), RMON_OK);
    }
}

static void an_event_that_is_on_without_a_callback_is_no_error(void)
{
    struct scope scope = {0};
    int event;
    tool_opens(5);
    CHECK_EQ(rmon_set_events(5, RMON_ALL_EVENTS), RMON_OK);
    scope_enters(&scope);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
}

static void what_is_switched_off_is_silent_at_once_in_entered_scopes(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        listener.calls = 0;
        tool_opens(1);
        tool_hears(1, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(rmon_set_events(1, RMON_NO_EVENTS), RMON_OK);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(listener.calls, 0);

        tool_hears(1, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(rmon_register_callback(1, event, NULL, NULL, NULL), RMON_OK);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(listener.calls, 0);

        tool_hears(1, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(rmon_clear_tool_id(1), RMON_OK);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(listener.calls, 0);

        tool_hears(1, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(fire_in(&scope, event, 1, 1), RMON_OK);
        CHECK_EQ(listener.calls, 1);
    }
}

static void branches_go_to_their_direction_or_else_to_branch(void)
{
    struct listener left = {0}, right = {0}, branch = {0};
    struct scope scope = {0};
    tool_opens(0);
    tool_registers(0, RMON_EVENT_BRANCH_LEFT, &left);
    tool_registers(0, RMON_EVENT_BRANCH_RIGHT, &right);
    tool_registers(0, RMON_EVENT_BRANCH, &branch);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_BRANCH)), RMON_OK);
    scope_enters(&scope);
    fire_in(&scope, RMON_EVENT_BRANCH_LEFT, 1, 10);
    fire_in(&scope, RMON_EVENT_BRANCH_RIGHT, 2, 20);
    fire_in(&scope, RMON_EVENT_BRANCH, 3, 30);
    CHECK_EQ(left.calls, 1);
    CHECK_EQ(left.last.event, RMON_EVENT_BRANCH_LEFT);
    CHECK_EQ(left.last.target_offset, 10);
    CHECK_EQ(right.calls, 1);
    CHECK_EQ(right.last.event, RMON_EVENT_BRANCH_RIGHT);
    CHECK_EQ(right.last.target_offset, 20);
    CHECK_EQ(branch.calls, 1);
    CHECK_EQ(branch.last.event, RMON_EVENT_BRANCH);
    CHECK_EQ(branch.last.target_offset, 30);

    /* Without callbacks of their own, left and right go to BRANCH's, which sees what was fired. */
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH_LEFT, NULL, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH_RIGHT, NULL, NULL, NULL), RMON_OK);
    scope_enters(&scope);
    fire_in(&scope, RMON_EVENT_BRANCH_LEFT, 1, 11);
    CHECK_EQ(branch.calls, 2);
    CHECK_EQ(branch.last.event, RMON_EVENT_BRANCH_LEFT);
    CHECK_EQ(branch.last.target_offset, 11);
    fire_in(&scope, RMON_EVENT_BRANCH_RIGHT, 1, 12);
    CHECK_EQ(branch.calls, 3);
    CHECK_EQ(branch.last.event, RMON_EVENT_BRANCH_RIGHT);
    CHECK_EQ(branch.last.target_offset, 12);

    /* Without a callback of its own, a branch of unknown direction goes to the right's. */
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH, NULL, NULL, NULL), RMON_OK);
    tool_registers(0, RMON_EVENT_BRANCH_LEFT, &left);
    tool_registers(0, RMON_EVENT_BRANCH_RIGHT, &right);
    scope_enters(&scope);
    fire_in(&scope, RMON_EVENT_BRANCH, 1, 13);
    CHECK_EQ(left.calls, 1);
    CHECK_EQ(right.calls, 2);
    CHECK_EQ(right.last.event, RMON_EVENT_BRANCH);
    CHECK_EQ(right.last.target_offset, 13);
}

static void a_branch_is_wanted_by_who_has_either_direction_on(void)
{
    static const int directions[] = {RMON_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_RIGHT};
    int i;
    for (i = 0; i < 2; i++) {
        struct listener branch = {0};
        struct scope scope = {0};
        tool_opens(0);
        tool_registers(0, RMON_EVENT_BRANCH, &branch);
        CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(directions[i])), RMON_OK);
        scope_enters(&scope);
        fire_in(&scope, RMON_EVENT_BRANCH, 1, 1);
        CHECK_EQ(branch.calls, 1);
        fire_in(&scope, directions[i], 1, 1);
        CHECK_EQ(branch.calls, 2);
        fire_in(&scope, directions[!i], 1, 1);
        CHECK_EQ(branch.calls, 2);
        CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    }
}

static void c_events_are_on_wherever_call_is(void)
{
    struct listener c_return = {0}, c_raise = {0};
    struct fire_values values = {&object_a, &arg0_a, 0};
    struct scope scope = {0};
    tool_opens(0);
    tool_registers(0, RMON_EVENT_C_RETURN, &c_return);
    tool_registers(0, RMON_EVENT_C_RAISE, &c_raise);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_CALL)), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(fire_by(&fires[RMON_EVENT_CALL], &scope.states[RMON_EVENT_CALL], &code_a, 4, values), RMON_OK);
    CHECK_EQ(fire_by(&fires[RMON_EVENT_C_RETURN], &scope.states[RMON_EVENT_C_RETURN], &code_a, 4, values), RMON_OK);
    CHECK_EQ(c_return.calls, 1);
    CHECK_EQ(fire_by(&fires[RMON_EVENT_C_RAISE], &scope.states[RMON_EVENT_C_RAISE], &code_a, 4, values), RMON_OK);
    CHECK_EQ(c_raise.calls, 1);
    CHECK_PTR(c_raise.last.object, &object_a);
    CHECK_PTR(c_raise.last.arg0, &arg0_a);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(fire_by(&fires[RMON_EVENT_C_RETURN], &scope.states[RMON_EVENT_C_RETURN], &code_a, 4, values), RMON_OK);
    CHECK_EQ(c_return.calls, 1);
}

static void exceptions_arrive_as_the_object(void)
{
    struct fire_values values = {&object_a, NULL, 0};
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (is_exception_event(event)) {
            CHECK_EQ(fires[event].shape, FIRE_OBJECT);
            fire_and_look(event, &code_b, 2, values);
        }
}

static void one_set_of_functions_fires_what_the_other_entered(void)
{
    struct fire_values values = {NULL, NULL, 7};
    struct listener listener = {0};
    struct scope scope = {0};
    int (*enter)(rmon_state *, uint64_t *, const uint8_t *, ptrdiff_t);
    if (!exported_symbols_are_there() || !exported("rmon_enter_scope", &enter))
        return;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code_a, 1, 7), RMON_OK);
    CHECK_EQ(fire_by(&fires[RMON_EVENT_LINE], &scope.states[RMON_EVENT_LINE], &code_a, 1, values), RMON_OK);
    CHECK_EQ(listener.calls, 2);
}

static void the_exported_functions_check_the_state(void)
{
    struct fire_values values = {NULL, NULL, 1};
    struct listener listener = {0};
    int event;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        tool_hears(0, event, &listener);
        CHECK_EQ(fire_by(&fires[event], NULL, &code_a, 1, values), RMON_ERR_NULL);
        CHECK_EQ(fire_by(&fires[event], NULL, &code_a, -1, values), RMON_ERR_NULL);
        CHECK_EQ(fire_by(&fires[event], NULL, NULL, 0, values), RMON_ERR_NULL);
    }
    CHECK_EQ(listener.calls, 0);
}

static void run_all(void)
{
    RUN(the_callback_sees_every_field_of_every_event);
    RUN(null_code_and_values_arrive_as_null);
    RUN(small_and_large_offsets_lines_and_targets_arrive_whole);
    RUN(codes_are_never_read);
    RUN(a_negative_offset_is_an_error_before_any_callback);
    RUN(an_inactive_state_does_nothing_whatever_the_arguments);
    RUN(states_are_inactive_when_nobody_listens);
    RUN(an_active_byte_out_of_nowhere_calls_nobody_who_did_not_ask);
    RUN(the_highest_tool_is_called_first);
    RUN(the_first_error_stops_and_is_the_result);
    RUN(an_error_leaves_the_callback_in_place);
    RUN(results_above_disable_count_as_continue);
    RUN(a_tool_hears_only_the_events_that_it_has_on);
    RUN(an_event_that_is_on_without_a_callback_is_no_error);
    RUN(what_is_switched_off_is_silent_at_once_in_entered_scopes);
    RUN(branches_go_to_their_direction_or_else_to_branch);
    RUN(a_branch_is_wanted_by_who_has_either_direction_on);
    RUN(c_events_are_on_wherever_call_is);
    RUN(exceptions_arrive_as_the_object);
    RUN(one_set_of_functions_fires_what_the_other_entered);
}

int main(void)
{
    static struct fire_function library[RMON_EVENT_COUNT];
    run_all();
    check_test = "all of it through the exported functions";
    if (library_fires(library)) {
        fires = library;
        run_all();
        RUN(the_exported_functions_check_the_state);
    }
    return check_result();
}
