/* disable.c: RMON_DISABLE disables one location for one tool, until rmon_restart_events. */
#include "firing.h"
#include "listener.h"

#define SET RMON_EVENT_SET

static char code_a, code_b;
static struct scope scope;

/* Fires in the common scope; the line or target is `number`. */
static int fire_at(int event, void *code, int32_t offset, int32_t number)
{
    struct fire_values values = {NULL, NULL, 0};
    values.number = number;
    return fire_by(&header_fires[event], &scope.states[event], code, offset, values);
}

/* Enters the common scope and counts the calls of one fire. */
static int calls_of(struct listener *listener, int event, void *code, int32_t offset, int32_t number)
{
    int before = listener->calls;
    scope_enters(&scope);
    CHECK_EQ(fire_at(event, code, offset, number), RMON_OK);
    return listener->calls - before;
}

static int is_local(int event)
{
    return (RMON_LOCAL_EVENTS & SET(event)) != 0;
}

static void an_event_is_disabled_at_its_code_and_offset(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {0};
        if (!is_local(event) || event == RMON_EVENT_LINE)
            continue;
        tool_opens(3);
        tool_hears(3, event, &listener);
        listener.result = RMON_DISABLE;
        CHECK_EQ(calls_of(&listener, event, &code_a, 4, 1), 1);
        listener.result = RMON_CONTINUE;
        CHECK_EQ(calls_of(&listener, event, &code_a, 4, 1), 0);
        CHECK_EQ(calls_of(&listener, event, &code_a, 4, 2), 0);
        CHECK_EQ(calls_of(&listener, event, &code_a, 5, 1), 1);
        CHECK_EQ(calls_of(&listener, event, &code_a, 0, 1), 1);
        CHECK_EQ(calls_of(&listener, event, &code_a, INT32_MAX, 1), 1);
        CHECK_EQ(calls_of(&listener, event, &code_b, 4, 1), 1);
        CHECK_EQ(calls_of(&listener, event, NULL, 4, 1), 1);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    }
}

static void a_line_is_disabled_at_its_code_and_line(void)
{
    struct listener listener = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    listener.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    listener.result = RMON_CONTINUE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 8, 10), 0);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 11), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 10, 4), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_b, 4, 10), 1);
    listener.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 0, 0), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 0, INT32_MAX), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 0, 0), 0);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 0, INT32_MAX), 0);
}

static void events_at_one_location_are_disabled_apart(void)
{
    struct listener listener = {0};
    int event, other;
    tool_opens(3);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (is_local(event) && event != RMON_EVENT_BRANCH)
            tool_hears(3, event, &listener);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        if (!is_local(event) || event == RMON_EVENT_BRANCH)
            continue;
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        listener.result = RMON_DISABLE;
        CHECK_EQ(calls_of(&listener, event, &code_a, 4, 4), 1);
        listener.result = RMON_CONTINUE;
        for (other = 0; other < RMON_EVENT_COUNT; other++)
            if (is_local(other) && other != RMON_EVENT_BRANCH)
                if (!CHECK_EQ(calls_of(&listener, other, &code_a, 4, 4), other != event))
                    fprintf(stderr, "    %s disabled, %s fired\n", rmon_event_name(event), rmon_event_name(other));
    }
}

static void tools_disable_for_themselves(void)
{
    struct listener one = {0}, two = {0};
    tool_opens(1);
    tool_opens(2);
    tool_hears(1, RMON_EVENT_LINE, &one);
    tool_hears(2, RMON_EVENT_LINE, &two);
    two.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&one, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(two.calls, 1);
    CHECK_EQ(calls_of(&one, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(two.calls, 1);
    one.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&one, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&one, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(two.calls, 1);
}

static void a_disable_holds_in_the_scope_already_entered_and_in_others(void)
{
    struct listener listener = {0};
    struct scope other = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_PY_RETURN, &listener);
    scope_enters(&scope);
    scope_enters(&other);
    listener.result = RMON_DISABLE;
    CHECK_EQ(fire_at(RMON_EVENT_PY_RETURN, &code_a, 4, 0), RMON_OK);
    CHECK_EQ(fire_at(RMON_EVENT_PY_RETURN, &code_a, 4, 0), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_PY_RETURN, &other.states[RMON_EVENT_PY_RETURN], &code_a, 4), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

static void a_disable_outlives_what_other_tools_set(void)
{
    struct listener listener = {0}, other = {0};
    int i;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    listener.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    tool_opens(4);
    for (i = 0; i < RMON_EVENT_C_RETURN; i++) {
        tool_hears(4, i, &other);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    }
    tool_hears_in(4, &code_a, RMON_EVENT_LINE, &other);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(rmon_set_events(4, RMON_NO_EVENTS), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(rmon_clear_tool_id(4), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(rmon_free_tool_id(4), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(rmon_code_forget(&code_b), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
}

static void restart_enables_all_locations_of_all_tools(void)
{
    struct listener one = {0}, two = {0};
    int event;
    one.result = two.result = RMON_DISABLE;
    tool_opens(1);
    tool_opens(2);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (is_local(event) && event != RMON_EVENT_BRANCH) {
            tool_hears(1, event, &one);
            tool_hears_in(2, &code_a, event, &two);
            CHECK_EQ(calls_of(&one, event, &code_a, 4, 10), 1);
            CHECK_EQ(calls_of(&one, event, &code_a, 4, 10), 0);
        }
    CHECK_EQ(one.calls, two.calls);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    one.calls = two.calls = 0;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (is_local(event) && event != RMON_EVENT_BRANCH) {
            CHECK_EQ(calls_of(&one, event, &code_a, 4, 10), 1);
            CHECK_EQ(calls_of(&one, event, &code_a, 4, 10), 0);
        }
    CHECK_EQ(one.calls, two.calls);
}

static void restart_without_anything_disabled_does_nothing(void)
{
    struct listener listener = {0};
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    tool_opens(1);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
}

static void a_state_of_its_own_gets_its_bit_cleared(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_PY_RETURN, RMON_EVENT_LINE, RMON_EVENT_LINE};
    struct listener listener = {0};
    rmon_state states[4] = {{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    uint64_t version = 0;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 4), RMON_OK);
    listener.result = RMON_DISABLE;
    CHECK_EQ(rmon_fire_line(&states[2], &code_a, 4, 11), RMON_OK);
    CHECK_EQ(states[2].active, 0);
    CHECK(states[0].active != 0);
    CHECK(states[3].active != 0);
    listener.result = RMON_CONTINUE;
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 0, 10), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[2], &code_a, 4, 11), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[3], &code_a, 8, 12), RMON_OK);
    CHECK_EQ(listener.calls, 3);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 4), RMON_OK);
    CHECK_EQ(states[2].active, 0);

    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 4), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[2], &code_a, 4, 11), RMON_OK);
    CHECK_EQ(listener.calls, 4);
}

static void a_state_of_its_own_keeps_the_bits_of_other_tools(void)
{
    static const uint8_t types[] = {RMON_EVENT_JUMP, RMON_EVENT_JUMP};
    struct listener one = {0}, two = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0;
    tool_opens(1);
    tool_opens(2);
    tool_hears(1, RMON_EVENT_JUMP, &one);
    tool_hears(2, RMON_EVENT_JUMP, &two);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 2), RMON_OK);
    two.result = RMON_DISABLE;
    CHECK_EQ(rmon_fire_jump(&states[0], &code_a, 4, 8), RMON_OK);
    CHECK(states[0].active != 0);
    CHECK_EQ(rmon_fire_jump(&states[0], &code_a, 4, 8), RMON_OK);
    CHECK_EQ(one.calls, 2);
    CHECK_EQ(two.calls, 1);
    one.result = RMON_DISABLE;
    CHECK_EQ(rmon_fire_jump(&states[0], &code_a, 4, 8), RMON_OK);
    CHECK_EQ(states[0].active, 0);
    CHECK_EQ(one.calls, 3);
    CHECK_EQ(rmon_fire_jump(&states[1], &code_a, 8, 12), RMON_OK);
    CHECK_EQ(one.calls, 4);
    CHECK_EQ(two.calls, 2);
}

static void a_shared_state_keeps_its_bit(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
    struct listener listener = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 2), RMON_OK);
    listener.result = RMON_DISABLE;
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 4, 10), RMON_OK);
    CHECK(states[0].active != 0);
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 4, 11), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 4, 10), RMON_OK);
    CHECK_EQ(listener.calls, 2);
}

static void states_of_their_own_stay_disabled_when_refreshed(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_LINE};
    struct listener listener = {0}, other = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0, before;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 2), RMON_OK);
    listener.result = RMON_DISABLE;
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 4, 10), RMON_OK);
    before = version;
    tool_opens(4);
    tool_hears(4, RMON_EVENT_JUMP, &other);
    CHECK_EQ(rmon_enter_scope(states, &version, types, 2), RMON_OK);
    CHECK(version != before);
    CHECK_EQ(rmon_fire_line(&states[0], &code_a, 4, 10), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_fire_line(&states[1], &code_a, 8, 11), RMON_OK);
    CHECK_EQ(listener.calls, 2);
}

static void c_return_and_c_raise_follow_call(void)
{
    struct listener call = {0}, c_return = {0}, c_raise = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_CALL, &call);
    tool_registers(3, RMON_EVENT_C_RETURN, &c_return);
    tool_registers(3, RMON_EVENT_C_RAISE, &c_raise);
    call.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&call, RMON_EVENT_CALL, &code_a, 4, 0), 1);
    CHECK_EQ(calls_of(&c_return, RMON_EVENT_C_RETURN, &code_a, 4, 0), 0);
    CHECK_EQ(calls_of(&c_raise, RMON_EVENT_C_RAISE, &code_a, 4, 0), 0);
    CHECK_EQ(calls_of(&c_return, RMON_EVENT_C_RETURN, &code_a, 8, 0), 1);
    CHECK_EQ(calls_of(&c_raise, RMON_EVENT_C_RAISE, &code_b, 4, 0), 1);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(calls_of(&c_return, RMON_EVENT_C_RETURN, &code_a, 4, 0), 1);
    CHECK_EQ(calls_of(&c_raise, RMON_EVENT_C_RAISE, &code_a, 4, 0), 1);
}

static void left_and_right_are_disabled_apart(void)
{
    struct listener left = {0}, right = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_BRANCH_LEFT, &left);
    tool_hears(3, RMON_EVENT_BRANCH_RIGHT, &right);
    left.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 1);
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 0);
    CHECK_EQ(calls_of(&right, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 20), 1);
    right.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&right, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 20), 1);
    CHECK_EQ(calls_of(&right, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 20), 0);
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 6, 8), 1);
}

static void branch_disables_both_directions(void)
{
    static const int kinds[] = {RMON_EVENT_BRANCH, RMON_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_RIGHT};
    int first, then;
    for (first = 0; first < 3; first++) {
        struct listener branch = {0};
        tool_opens(3);
        tool_hears(3, RMON_EVENT_BRANCH, &branch);
        branch.result = RMON_DISABLE;
        CHECK_EQ(calls_of(&branch, kinds[first], &code_a, 4, 8), 1);
        CHECK_EQ(branch.last.event, kinds[first]);
        for (then = 0; then < 3; then++)
            if (!CHECK_EQ(calls_of(&branch, kinds[then], &code_a, 4, 8), 0))
                fprintf(stderr, "    %s disabled, %s fired\n", rmon_event_name(kinds[first]),
                        rmon_event_name(kinds[then]));
        branch.result = RMON_CONTINUE;
        for (then = 0; then < 3; then++)
            CHECK_EQ(calls_of(&branch, kinds[then], &code_a, 6, 8), 1);
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        for (then = 0; then < 3; then++)
            CHECK_EQ(calls_of(&branch, kinds[then], &code_a, 4, 8), 1);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    }
}

static void branch_disables_the_direction_that_has_a_callback_of_its_own_too(void)
{
    struct listener left = {0}, branch = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_BRANCH, &branch);
    tool_registers(3, RMON_EVENT_BRANCH_LEFT, &left);
    branch.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 1);
    CHECK_EQ(calls_of(&branch, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 8), 1);
    CHECK_EQ(calls_of(&branch, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 8), 0);
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 0);
}

static void a_direction_with_a_callback_of_its_own_disables_itself_only(void)
{
    struct listener left = {0}, branch = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_BRANCH, &branch);
    tool_registers(3, RMON_EVENT_BRANCH_LEFT, &left);
    left.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 1);
    CHECK_EQ(calls_of(&left, RMON_EVENT_BRANCH_LEFT, &code_a, 4, 8), 0);
    CHECK_EQ(calls_of(&branch, RMON_EVENT_BRANCH_RIGHT, &code_a, 4, 8), 1);
}

static void clearing_and_freeing_a_tool_end_its_disabled_locations(void)
{
    struct listener listener = {0}, other = {0};
    int round;
    for (round = 0; round < 2; round++) {
        tool_opens(1);
        tool_opens(3);
        tool_hears(1, RMON_EVENT_LINE, &other);
        tool_hears(3, RMON_EVENT_LINE, &listener);
        listener.result = other.result = RMON_DISABLE;
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
        other.calls = 0;
        if (round == 0) {
            CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
            tool_opens(3);
        } else {
            CHECK_EQ(rmon_clear_tool_id(3), RMON_OK);
        }
        tool_hears(3, RMON_EVENT_LINE, &listener);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
        CHECK_EQ(other.calls, 0);
        check_reset();
    }
}

static void forgetting_a_code_ends_its_disabled_locations(void)
{
    struct listener listener = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    tool_hears(3, RMON_EVENT_PY_RETURN, &listener);
    listener.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_PY_RETURN, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_b, 4, 10), 1);
    CHECK_EQ(rmon_code_forget(&code_a), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_PY_RETURN, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_b, 4, 10), 0);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
}

static void a_code_at_a_used_address_starts_without_disabled_locations(void)
{
    struct listener listener = {0};
    rmon_code_info info = {0};
    int i;
    info.struct_size = sizeof info;
    info.name = "short-lived";
    info.filename = "disable.c";
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    tool_hears(3, RMON_EVENT_JUMP, &listener);
    listener.result = RMON_DISABLE;
    for (i = 0; i < 1000; i++) {
        void *code = rmon_code_new(&info);
        if (!CHECK(code != NULL))
            return;
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, code, 4, 10), 1);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, code, 4, 10), 0);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_JUMP, code, 4, 10), 1);
        CHECK_EQ(calls_of(&listener, RMON_EVENT_JUMP, code, 4, 10), 0);
        rmon_code_release(code);
    }
}

static int forget_the_code(void *user_data, const rmon_event *event)
{
    (void)user_data;
    CHECK_EQ(rmon_code_forget(event->code), RMON_OK);
    return RMON_CONTINUE;
}

static void a_code_that_died_in_a_higher_callback_is_disabled_by_none(void)
{
    struct listener listener = {0};
    tool_opens(2);
    tool_opens(3);
    tool_hears(2, RMON_EVENT_LINE, &listener);
    listener.result = RMON_DISABLE;
    CHECK_EQ(rmon_set_events(3, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, forget_the_code, NULL, NULL), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
}

static void local_events_are_disabled_at_a_location_too(void)
{
    struct listener listener = {0};
    tool_opens(3);
    tool_hears_in(3, &code_a, RMON_EVENT_LINE, &listener);
    listener.result = RMON_DISABLE;
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 11), 1);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 0);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(calls_of(&listener, RMON_EVENT_LINE, &code_a, 4, 10), 1);
}

static void a_hundred_thousand_locations_can_be_disabled(void)
{
    enum { MANY = 100000 };
    struct listener listener = {0};
    int i;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    tool_hears(3, RMON_EVENT_JUMP, &listener);
    listener.result = RMON_DISABLE;
    scope_enters(&scope);
    for (i = 0; i < MANY; i++)
        fire_at(i & 1 ? RMON_EVENT_JUMP : RMON_EVENT_LINE, i & 2 ? &code_a : &code_b, i, i);
    CHECK_EQ(listener.calls, MANY);
    for (i = 0; i < MANY; i++)
        fire_at(i & 1 ? RMON_EVENT_JUMP : RMON_EVENT_LINE, i & 2 ? &code_a : &code_b, i, i);
    CHECK_EQ(listener.calls, MANY);
    listener.result = RMON_CONTINUE;
    listener.calls = 0;
    for (i = 0; i < MANY; i++)
        fire_at(i & 1 ? RMON_EVENT_LINE : RMON_EVENT_JUMP, i & 2 ? &code_a : &code_b, i, i);
    CHECK_EQ(listener.calls, MANY);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    listener.calls = 0;
    scope_enters(&scope);
    for (i = 0; i < MANY; i++)
        fire_at(i & 1 ? RMON_EVENT_JUMP : RMON_EVENT_LINE, i & 2 ? &code_a : &code_b, i, i);
    CHECK_EQ(listener.calls, MANY);
}

int main(void)
{
    RUN(an_event_is_disabled_at_its_code_and_offset);
    RUN(a_line_is_disabled_at_its_code_and_line);
    RUN(events_at_one_location_are_disabled_apart);
    RUN(tools_disable_for_themselves);
    RUN(a_disable_holds_in_the_scope_already_entered_and_in_others);
    RUN(a_disable_outlives_what_other_tools_set);
    RUN(restart_enables_all_locations_of_all_tools);
    RUN(restart_without_anything_disabled_does_nothing);
    RUN(a_state_of_its_own_gets_its_bit_cleared);
    RUN(a_state_of_its_own_keeps_the_bits_of_other_tools);
    RUN(a_shared_state_keeps_its_bit);
    RUN(states_of_their_own_stay_disabled_when_refreshed);
    RUN(c_return_and_c_raise_follow_call);
    RUN(left_and_right_are_disabled_apart);
    RUN(branch_disables_both_directions);
    RUN(branch_disables_the_direction_that_has_a_callback_of_its_own_too);
    RUN(a_direction_with_a_callback_of_its_own_disables_itself_only);
    RUN(clearing_and_freeing_a_tool_end_its_disabled_locations);
    RUN(forgetting_a_code_ends_its_disabled_locations);
    RUN(a_code_at_a_used_address_starts_without_disabled_locations);
    RUN(a_code_that_died_in_a_higher_callback_is_disabled_by_none);
    RUN(local_events_are_disabled_at_a_location_too);
    RUN(a_hundred_thousand_locations_can_be_disabled);
    return check_result();
}
