/* errors.c: NULL and bad input are statuses, out-parameters are written on success only, and what can't be disabled. */
#include "firing.h"
#include "listener.h"

#include <limits.h>
#include <string.h>

static char code;

/* The events that may be disabled at a location are the local ones. */
static int can_be_disabled(int event)
{
    return (RMON_LOCAL_EVENTS & RMON_EVENT_SET(event)) != 0;
}

static void null_is_a_status_everywhere(void)
{
    rmon_code_info info = {sizeof info, 1, "name", NULL, "file", NULL, 0};
    rmon_callback callback = listener_hear;
    void *user_data = &code, *own = rmon_code_new(&info);
    uint32_t events = 77;
    tool_opens(0);
    CHECK(own != NULL);
    CHECK_EQ(rmon_use_tool_id(1, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_tool(0, NULL, 1), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_events(0, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_local_events(0, NULL, &events), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_local_events(0, &code, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_local_events(0, NULL, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_set_local_events(0, NULL, RMON_NO_EVENTS), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_callback(0, RMON_EVENT_LINE, NULL, &user_data), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_callback(0, RMON_EVENT_LINE, &callback, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_callback(0, RMON_EVENT_LINE, NULL, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_code_describe(NULL, &info), RMON_ERR_NULL);
    CHECK_EQ(rmon_code_describe(own, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_code_describe(NULL, NULL), RMON_ERR_NULL);
    CHECK(rmon_code_new(NULL) == NULL);
    rmon_code_retain(NULL);
    rmon_code_release(NULL);
    CHECK_EQ(events, 77);
    CHECK(callback == listener_hear);
    CHECK_PTR(user_data, &code);
    rmon_code_release(own);
}

static void null_is_checked_before_ranges(void)
{
    static const int bad[] = {-1, 6, 8, INT_MAX, INT_MIN};
    rmon_callback callback = listener_hear;
    void *user_data = &code;
    uint32_t events = 77;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(rmon_use_tool_id(bad[i], NULL), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_tool(bad[i], NULL, 1), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_events(bad[i], NULL), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_local_events(bad[i], NULL, &events), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_local_events(bad[i], &code, NULL), RMON_ERR_NULL);
        CHECK_EQ(rmon_set_local_events(bad[i], NULL, 0xffffffffu), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_callback(bad[i], bad[i], NULL, &user_data), RMON_ERR_NULL);
        CHECK_EQ(rmon_get_callback(bad[i], bad[i], &callback, NULL), RMON_ERR_NULL);
    }
    CHECK_EQ(events, 77);
    CHECK(callback == listener_hear);
    CHECK_PTR(user_data, &code);
}

static void what_cannot_be_disabled_is_an_error_and_removes_the_callback(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener high = {0}, middle = {0}, low = {0};
        struct scope scope = {0};
        rmon_callback callback = listener_hear;
        void *user_data = &code;
        if (can_be_disabled(event))
            continue;
        tool_opens(5);
        tool_opens(3);
        tool_opens(0);
        tool_hears(5, event, &high);
        tool_hears(0, event, &low);
        tool_hears(3, event, &middle);
        CHECK_EQ(rmon_register_callback(3, event, listener_hear, &middle, listener_destroy), RMON_OK);
        scope_enters(&scope);
        middle.result = RMON_DISABLE;
        CHECK_EQ(fire(event, &scope.states[event], &code, 4), RMON_ERR_CANNOT_DISABLE);
        CHECK_EQ(high.calls, 1);
        CHECK_EQ(middle.calls, 1);
        CHECK_EQ(low.calls, 0);
        CHECK_EQ(rmon_get_callback(3, event, &callback, &user_data), RMON_OK);
        CHECK(callback == NULL);
        CHECK_PTR(user_data, NULL);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
        CHECK_EQ(middle.destroyed, 1);

        CHECK_EQ(fire(event, &scope.states[event], &code, 4), RMON_OK);
        CHECK_EQ(high.calls, 2);
        CHECK_EQ(middle.calls, 1);
        CHECK_EQ(low.calls, 1);

        /* The event stays on, so that a callback registered anew is called. */
        middle.result = RMON_CONTINUE;
        tool_registers(3, event, &middle);
        scope_enters(&scope);
        CHECK_EQ(fire(event, &scope.states[event], &code, 4), RMON_OK);
        CHECK_EQ(middle.calls, 2);
        check_reset();
    }
}

static void only_the_callback_of_that_event_and_tool_is_removed(void)
{
    struct listener one = {0}, two = {0}, other_event = {0};
    struct scope scope = {0};
    tool_opens(1);
    tool_opens(2);
    tool_hears(1, RMON_EVENT_RAISE, &one);
    tool_hears(2, RMON_EVENT_RAISE, &two);
    tool_hears(1, RMON_EVENT_RERAISE, &other_event);
    scope_enters(&scope);
    one.result = RMON_DISABLE;
    CHECK_EQ(fire(RMON_EVENT_RAISE, &scope.states[RMON_EVENT_RAISE], &code, 4), RMON_ERR_CANNOT_DISABLE);
    CHECK_EQ(fire(RMON_EVENT_RAISE, &scope.states[RMON_EVENT_RAISE], &code, 4), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_RERAISE, &scope.states[RMON_EVENT_RERAISE], &code, 4), RMON_OK);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 2);
    CHECK_EQ(other_event.calls, 1);
}

static void what_can_be_disabled_is_no_error(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    int event;
    listener.result = RMON_DISABLE;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (can_be_disabled(event)) {
            tool_hears(0, event, &listener);
            scope_enters(&scope);
            listener.calls = 0;
            CHECK_EQ(fire(event, &scope.states[event], &code, 10 + event), RMON_OK);
            CHECK_EQ(listener.calls, 1);
        }
}

/* The same through the exported functions, none of which may have its checks in the header alone. */
static void exported_functions_check_too(void)
{
    int (*use_tool_id)(int, const char *);
    int (*get_events)(int, uint32_t *);
    int (*set_local_events)(int, void *, uint32_t);
    int (*get_callback)(int, int, rmon_callback *, void **);
    int (*enter_scope)(rmon_state *, uint64_t *, const uint8_t *, ptrdiff_t);
    int (*fire_line)(rmon_state *, void *, int32_t, int32_t);
    rmon_state state = {77, 88};
    uint64_t version = 0;
    uint8_t line = RMON_EVENT_LINE;
    if (!exported_symbols_are_there())
        return;
    if (exported("rmon_use_tool_id", &use_tool_id))
        CHECK_EQ(use_tool_id(9, NULL), RMON_ERR_NULL);
    if (exported("rmon_get_events", &get_events))
        CHECK_EQ(get_events(9, NULL), RMON_ERR_NULL);
    if (exported("rmon_set_local_events", &set_local_events))
        CHECK_EQ(set_local_events(9, NULL, 0), RMON_ERR_NULL);
    if (exported("rmon_get_callback", &get_callback))
        CHECK_EQ(get_callback(9, 99, NULL, NULL), RMON_ERR_NULL);
    if (exported("rmon_enter_scope", &enter_scope)) {
        CHECK_EQ(enter_scope(NULL, &version, &line, -1), RMON_ERR_NULL);
        CHECK_EQ(enter_scope(&state, NULL, &line, -1), RMON_ERR_NULL);
    }
    if (exported("rmon_fire_line", &fire_line))
        CHECK_EQ(fire_line(NULL, NULL, -1, -1), RMON_ERR_NULL);
    CHECK_EQ(version, 0);
    CHECK_EQ(state.active, 77);
}

/* The functions behind the inline checks that take an event's number: those that it cannot be are refused. */
static void fires_of_one_of_several_events_refuse_the_others(void)
{
    static const int wild[] = {INT_MIN, -1, RMON_EVENT_COUNT, 31, 32, 64, 255, 256, INT_MAX};
    rmon_state state = {0xff, 0};
    int event;
    size_t i;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        int jumps = event == RMON_EVENT_JUMP || event == RMON_EVENT_BRANCH || event == RMON_EVENT_BRANCH_LEFT ||
                    event == RMON_EVENT_BRANCH_RIGHT;
        int ends = event == RMON_EVENT_C_RETURN || event == RMON_EVENT_C_RAISE;
        CHECK_EQ(rmon_fire_target_object_slow(&state, &code, 4, event, NULL), jumps ? RMON_OK : RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_fire_last_call_slow(&state, &code, 4, event), ends ? RMON_OK : RMON_ERR_INVALID_EVENT);
    }
    for (i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        CHECK_EQ(rmon_fire_target_object_slow(&state, &code, 4, wild[i], NULL), RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_fire_last_call_slow(&state, &code, 4, wild[i]), RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_fire_current_exception_slow(&state, &code, 4, wild[i]), RMON_ERR_INVALID_EVENT);
        CHECK(rmon_event_name(wild[i]) == NULL);
        CHECK(rmon_status_message(wild[i]) != NULL);
    }
}

/* States are bytes: an array, and its types, may begin anywhere. */
static void arrays_may_lie_at_any_address(void)
{
    struct listener listener = {0};
    unsigned char memory[4 * 19 + 8];
    uint64_t version;
    int at, event;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        tool_hears(0, event, &listener);
    for (at = 0; at < 8; at++) {
        rmon_state *states = (rmon_state *)(memory + at);
        uint8_t *types = memory + at + sizeof(rmon_state) * RMON_EVENT_COUNT;
        memset(memory, 0, sizeof memory);
        version = 0;
        for (event = 0; event < RMON_EVENT_COUNT; event++)
            types[event] = (uint8_t)event;
        CHECK_EQ(rmon_enter_scope(states, &version, types, RMON_EVENT_COUNT), RMON_OK);
        for (event = 0; event < RMON_EVENT_COUNT; event++) {
            listener.calls = 0;
            CHECK_EQ(fire(event, &states[event], &code, INT_MAX), RMON_OK);
            CHECK_EQ(listener.calls, 1);
            CHECK_EQ(fire(event, &states[event], &code, INT_MIN), RMON_ERR_INVALID_OFFSET);
            CHECK_EQ(listener.calls, 1);
        }
    }
}

/* Every function of the contract can be found by who has no header. */
static void every_function_is_exported(void)
{
    static const char *const names[] = {
        "rmon_version_number", "rmon_abi_version", "rmon_version", "rmon_event_name", "rmon_enter_scope",
        "rmon_exit_scope", "rmon_fire_py_start", "rmon_fire_py_resume", "rmon_fire_py_return", "rmon_fire_py_yield",
        "rmon_fire_call", "rmon_fire_line", "rmon_fire_instruction", "rmon_fire_jump", "rmon_fire_branch_left",
        "rmon_fire_branch_right", "rmon_fire_branch", "rmon_fire_c_return", "rmon_fire_c_raise",
        "rmon_fire_stop_iteration", "rmon_fire_py_throw", "rmon_fire_raise", "rmon_fire_reraise",
        "rmon_fire_exception_handled", "rmon_fire_py_unwind", "rmon_use_tool_id", "rmon_clear_tool_id",
        "rmon_free_tool_id", "rmon_get_tool", "rmon_get_events", "rmon_set_events", "rmon_get_local_events",
        "rmon_set_local_events", "rmon_register_callback", "rmon_get_callback", "rmon_restart_events",
        "rmon_synchronize", "rmon_code_new", "rmon_code_retain", "rmon_code_release", "rmon_code_describe",
        "rmon_code_forget", "rmon_status_message", "rmon_set_host",
    };
    size_t i;
    if (!exported_symbols_are_there())
        return;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        void (*function)(void);
        exported(names[i], &function);
    }
}

int main(void)
{
    RUN(null_is_a_status_everywhere);
    RUN(null_is_checked_before_ranges);
    RUN(what_cannot_be_disabled_is_an_error_and_removes_the_callback);
    RUN(only_the_callback_of_that_event_and_tool_is_removed);
    RUN(what_can_be_disabled_is_no_error);
    RUN(exported_functions_check_too);
    RUN(fires_of_one_of_several_events_refuse_the_others);
    RUN(arrays_may_lie_at_any_address);
    RUN(every_function_is_exported);
    return check_result();
}
