/* scope.c: rmon_enter_scope refreshes states when what anybody listens to has changed, and only then. */
#include "firing.h"
#include "listener.h"

#include <stddef.h>

typedef int enter_function(rmon_state *states, uint64_t *version, const uint8_t *event_types, ptrdiff_t length);

static char code;
static const uint8_t start_and_line[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE};

static enter_function *enter = rmon_enter_scope;

static void turn_on(int tool, uint32_t events)
{
    CHECK_EQ(rmon_set_events(tool, events), RMON_OK);
}

static uint64_t version_now(void)
{
    rmon_state state = {0, 0};
    uint64_t version = ~(uint64_t)0;
    uint8_t line = RMON_EVENT_LINE;
    CHECK_EQ(enter(&state, &version, &line, 1), RMON_OK);
    return version;
}

static void version_zero_means_that_nobody_listens(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    scope_enters(&scope);
    CHECK_EQ(scope.version, 0);
    tool_opens(0);
    scope_enters(&scope);
    CHECK_EQ(scope.version, 0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK(version_now() != 0);
    turn_on(0, RMON_NO_EVENTS);
    CHECK_EQ(version_now(), 0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK(version_now() != 0);
    CHECK_EQ(rmon_clear_tool_id(0), RMON_OK);
    CHECK_EQ(version_now(), 0);
    tool_hears_in(0, &code, RMON_EVENT_LINE, &listener);
    CHECK(version_now() != 0);
    CHECK_EQ(rmon_set_local_events(0, &code, RMON_NO_EVENTS), RMON_OK);
    CHECK_EQ(version_now(), 0);
    tool_hears_in(0, &code, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    CHECK_EQ(version_now(), 0);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(version_now(), 0);
}

static void a_change_refreshes_states_and_version(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    uint64_t first;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
    first = scope.version;
    CHECK(first != 0);
    CHECK(scope.states[RMON_EVENT_LINE].active != 0);
    tool_hears(0, RMON_EVENT_JUMP, &listener);
    CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
    CHECK(scope.version != first && scope.version != 0);
    CHECK(scope.states[RMON_EVENT_LINE].active != 0);
    CHECK(scope.states[RMON_EVENT_JUMP].active != 0);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
    CHECK_EQ(scope.version, 0);
    CHECK_EQ(scope.states[RMON_EVENT_LINE].active, 0);
    CHECK_EQ(scope.states[RMON_EVENT_JUMP].active, 0);
}

static void an_unchanged_version_leaves_the_states_alone(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    uint64_t version;
    int i;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
    version = scope.version;
    scope.states[RMON_EVENT_LINE].active = 0;
    for (i = 0; i < 3; i++) {
        CHECK_EQ(enter(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), RMON_OK);
        CHECK_EQ(scope.version, version);
        CHECK_EQ(scope.states[RMON_EVENT_LINE].active, 0);
    }
}

static void setting_the_same_events_again_is_no_change(void)
{
    struct listener listener = {0};
    uint64_t version;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    version = version_now();
    turn_on(0, RMON_EVENT_SET(RMON_EVENT_LINE));
    CHECK_EQ(version_now(), version);
    CHECK_EQ(rmon_set_events(0, RMON_ALL_EVENTS << 1), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(rmon_set_events(1, RMON_EVENT_SET(RMON_EVENT_JUMP)), RMON_ERR_TOOL_NOT_IN_USE);
    CHECK_EQ(version_now(), version);
}

static void versions_other_than_zero_never_come_back(void)
{
    enum { CHANGES = 300 };
    static uint64_t seen[CHANGES];
    int i, k;
    struct listener listener = {0};
    tool_opens(0);
    tool_registers(0, RMON_EVENT_LINE, &listener);
    tool_registers(0, RMON_EVENT_JUMP, &listener);
    for (i = 0; i < CHANGES; i++) {
        switch (i % 3) {
        case 0:
            turn_on(0, RMON_EVENT_SET(RMON_EVENT_LINE));
            break;
        case 1:
            turn_on(0, RMON_EVENT_SET(RMON_EVENT_LINE) | RMON_EVENT_SET(RMON_EVENT_JUMP));
            break;
        default:
            turn_on(0, RMON_NO_EVENTS);
            CHECK_EQ(version_now(), 0);
            turn_on(0, RMON_EVENT_SET(RMON_EVENT_JUMP));
            break;
        }
        seen[i] = version_now();
        CHECK(seen[i] != 0);
        for (k = 0; k < i; k++)
            if (seen[k] == seen[i])
                CHECK(!"a version came back");
    }
}

static void any_version_but_the_current_one_is_refreshed(void)
{
    static const uint64_t versions[] = {1, 77, 0x100, 0xffffffffu, (uint64_t)1 << 32, (uint64_t)1 << 63, ~(uint64_t)0};
    struct listener listener = {0};
    size_t i;
    for (i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        rmon_state states[2] = {{77, 88}, {99, 66}};
        uint64_t version = versions[i];
        CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
        CHECK_EQ(version, 0);
        CHECK_EQ(states[0].active, 0);
        CHECK_EQ(states[1].active, 0);
    }
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    for (i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        rmon_state states[2] = {{0, 88}, {0, 66}};
        uint64_t version = versions[i];
        if (version == version_now())
            continue;
        CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
        CHECK_EQ(version, version_now());
        CHECK(states[1].active != 0);
    }
}

static void what_was_on_before_a_scope_first_enters_is_heard(void)
{
    struct listener listener = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_PY_START, &listener);
    CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
    CHECK_EQ(rmon_fire_py_start(&states[0], &code, 0), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void what_is_switched_on_is_heard_from_the_next_scope_on(void)
{
    struct listener listener = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0;
    CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[1], &code, 0, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    tool_hears(0, RMON_EVENT_PY_START, &listener);
    CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
    CHECK_EQ(rmon_fire_py_start(&states[0], &code, 0), RMON_OK);
    CHECK_EQ(listener.calls, 2);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(enter(states, &version, start_and_line, 2), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[1], &code, 0, 1), RMON_OK);
    CHECK_EQ(listener.calls, 3);
}

static void a_type_may_stand_several_times(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_PY_START, RMON_EVENT_LINE};
    rmon_state states[4] = {{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    struct listener listener = {0};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(states, &version, types, 4), RMON_OK);
    CHECK(states[0].active != 0 && states[1].active != 0 && states[3].active != 0);
    CHECK_EQ(rmon_fire_line(&states[0], &code, 0, 1), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[1], &code, 2, 2), RMON_OK);
    CHECK_EQ(rmon_fire_line(&states[3], &code, 4, 3), RMON_OK);
    CHECK_EQ(listener.calls, 3);
    CHECK_EQ(listener.last.line, 3);
}

static void an_unknown_type_is_an_error_and_leaves_everything_untouched(void)
{
    static const uint8_t bad[] = {RMON_EVENT_COUNT, 20, 31, 32, 64, 127, 128, 254, 255};
    struct listener listener = {0};
    size_t i, position;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    for (i = 0; i < sizeof bad; i++)
        for (position = 0; position < 4; position++) {
            uint8_t types[4] = {RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_LINE};
            rmon_state states[4] = {{11, 12}, {13, 14}, {15, 16}, {17, 18}};
            uint64_t version = 0;
            int k;
            types[position] = bad[i];
            CHECK_EQ(enter(states, &version, types, 4), RMON_ERR_INVALID_EVENT);
            CHECK_EQ(version, 0);
            for (k = 0; k < 4; k++) {
                CHECK_EQ(states[k].active, 11 + 2 * k);
                CHECK_EQ(states[k].opaque, 12 + 2 * k);
            }
        }
}

static void every_event_is_a_known_type(void)
{
    struct listener listener = {0};
    int event;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        uint8_t type = (uint8_t)event;
        rmon_state state = {0, 0};
        uint64_t version = 0;
        tool_hears(0, event, &listener);
        CHECK_EQ(enter(&state, &version, &type, 1), RMON_OK);
        CHECK(state.active != 0);
    }
}

static void only_length_states_are_touched(void)
{
    rmon_state states[6];
    struct listener listener = {0};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_PY_START, &listener);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    memset(states, 0xa5, sizeof states);
    CHECK_EQ(enter(&states[2], &version, start_and_line, 2), RMON_OK);
    CHECK(states[0].active == 0xa5 && states[0].opaque == 0xa5 && states[1].active == 0xa5 && states[1].opaque == 0xa5);
    CHECK(states[4].active == 0xa5 && states[4].opaque == 0xa5 && states[5].active == 0xa5 && states[5].opaque == 0xa5);
    CHECK(states[2].active != 0xa5 && states[3].active != 0xa5);
}

static void a_scope_without_events_gets_the_version_too(void)
{
    struct listener listener = {0};
    rmon_state guard = {0xa5, 0xa5};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(&guard, &version, start_and_line, 0), RMON_OK);
    CHECK_EQ(version, version_now());
    CHECK_EQ(guard.active, 0xa5);
    CHECK_EQ(guard.opaque, 0xa5);
    version = 0;
    CHECK_EQ(enter(NULL, &version, NULL, 0), RMON_OK);
    CHECK_EQ(version, version_now());
}

static void a_scope_may_have_very_many_states(void)
{
    enum { MANY = 100000 };
    rmon_state *states = (rmon_state *)calloc(MANY, sizeof *states);
    uint8_t *types = (uint8_t *)malloc(MANY);
    struct listener listener = {0};
    uint64_t version = 0;
    int i, inactive = 0;
    if (!CHECK(states != NULL && types != NULL))
        return;
    memset(types, RMON_EVENT_LINE, MANY);
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(states, &version, types, MANY), RMON_OK);
    for (i = 0; i < MANY; i++)
        inactive += states[i].active == 0;
    CHECK_EQ(inactive, 0);
    CHECK_EQ(rmon_fire_line(&states[MANY - 1], &code, 1, MANY), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    types[MANY - 1] = RMON_EVENT_COUNT;
    version = 0;
    states[0].active = 77;
    CHECK_EQ(enter(states, &version, types, MANY), RMON_ERR_INVALID_EVENT);
    CHECK_EQ(states[0].active, 77);
    free(states);
    free(types);
}

static void a_negative_length_is_an_error(void)
{
    static const ptrdiff_t lengths[] = {-1, -2, -PTRDIFF_MAX, PTRDIFF_MIN};
    struct listener listener = {0};
    size_t i;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        rmon_state states[2] = {{77, 88}, {77, 88}};
        uint64_t version = 0;
        CHECK_EQ(enter(states, &version, start_and_line, lengths[i]), RMON_ERR_INVALID_ARGUMENT);
        CHECK_EQ(version, 0);
        CHECK_EQ(states[0].active, 77);
        CHECK_EQ(states[1].opaque, 88);
    }
}

static void null_event_types_are_an_error(void)
{
    rmon_state states[2] = {{77, 88}, {77, 88}};
    struct listener listener = {0};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(states, &version, NULL, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(states, &version, NULL, -1), RMON_ERR_NULL);
    CHECK_EQ(version, 0);
    CHECK_EQ(states[0].active, 77);
    CHECK_EQ(states[1].opaque, 88);
}

static void a_scope_may_be_exited_any_number_of_times_or_never(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    int i;
    for (i = 0; i < 3; i++)
        CHECK_EQ(rmon_exit_scope(), RMON_OK);
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    for (i = 0; i < 1000; i++)
        scope_enters(&scope);
    for (i = 0; i < 2000; i++)
        CHECK_EQ(rmon_exit_scope(), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code, 1, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

static void states_are_for_any_number_of_codes(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    char codes[100];
    int i;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    for (i = 0; i < 100; i++) {
        CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &codes[i], i, i), RMON_OK);
        CHECK_PTR(listener.last.code, &codes[i]);
    }
    CHECK_EQ(listener.calls, 100);
}

/* The hostile case for a library that remembers where states are: nobody says that they are gone. */
static void memory_of_states_may_go_away_without_an_exit(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    int i;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    for (i = 0; i < 50; i++) {
        struct scope *gone = (struct scope *)calloc(1, sizeof *gone);
        if (!CHECK(gone != NULL))
            return;
        scope_enters(gone);
        CHECK_EQ(rmon_fire_line(&gone->states[RMON_EVENT_LINE], &code, 1, 1), RMON_OK);
        memset(gone, 0xa5, sizeof *gone);
        free(gone);
        turn_on(0, RMON_EVENT_SET(RMON_EVENT_LINE) | (i & 1 ? RMON_EVENT_SET(RMON_EVENT_JUMP) : 0));
        scope_enters(&scope);
        CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code, 1, 1), RMON_OK);
    }
    CHECK_EQ(listener.calls, 100);
}

static void the_exported_function_checks_states_and_version(void)
{
    rmon_state states[2] = {{77, 88}, {77, 88}};
    struct listener listener = {0};
    uint64_t version = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter(NULL, &version, start_and_line, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(states, NULL, start_and_line, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(NULL, NULL, NULL, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(NULL, &version, start_and_line, -1), RMON_ERR_NULL);
    CHECK_EQ(enter(states, NULL, start_and_line, -1), RMON_ERR_NULL);
    CHECK_EQ(version, 0);
    CHECK_EQ(states[0].active, 77);

    /* Also when there is nothing to refresh. */
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    CHECK_EQ(enter(NULL, &version, start_and_line, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(states, NULL, start_and_line, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(states, &version, NULL, 2), RMON_ERR_NULL);
    CHECK_EQ(enter(states, &version, start_and_line, -1), RMON_ERR_INVALID_ARGUMENT);
    CHECK_EQ(states[0].active, 77);
}

static void the_exported_exit_is_there_too(void)
{
    int (*exit_scope)(void);
    if (exported("rmon_exit_scope", &exit_scope)) {
        CHECK_EQ(exit_scope(), RMON_OK);
        CHECK_EQ(exit_scope(), RMON_OK);
    }
}

static void run_all(void)
{
    RUN(version_zero_means_that_nobody_listens);
    RUN(a_change_refreshes_states_and_version);
    RUN(an_unchanged_version_leaves_the_states_alone);
    RUN(setting_the_same_events_again_is_no_change);
    RUN(versions_other_than_zero_never_come_back);
    RUN(any_version_but_the_current_one_is_refreshed);
    RUN(what_was_on_before_a_scope_first_enters_is_heard);
    RUN(what_is_switched_on_is_heard_from_the_next_scope_on);
    RUN(a_type_may_stand_several_times);
    RUN(an_unknown_type_is_an_error_and_leaves_everything_untouched);
    RUN(every_event_is_a_known_type);
    RUN(only_length_states_are_touched);
    RUN(a_scope_without_events_gets_the_version_too);
    RUN(a_scope_may_have_very_many_states);
    RUN(a_negative_length_is_an_error);
    RUN(null_event_types_are_an_error);
    RUN(a_scope_may_be_exited_any_number_of_times_or_never);
    RUN(states_are_for_any_number_of_codes);
    RUN(memory_of_states_may_go_away_without_an_exit);
}

int main(void)
{
    run_all();
    check_test = "all of it through the exported function";
    if (exported_symbols_are_there() && exported("rmon_enter_scope", &enter)) {
        run_all();
        RUN(the_exported_function_checks_states_and_version);
        RUN(the_exported_exit_is_there_too);
    }
    return check_result();
}
