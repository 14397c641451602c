/* local_events.c: events of one code, also when they are set while that code runs, and when they end. */
#include "firing.h"
#include "listener.h"

#define SET RMON_EVENT_SET

static char code_a, code_b;

static void *new_code(const char *name)
{
    rmon_code_info info = {0};
    info.struct_size = sizeof info;
    info.first_line = 1;
    info.name = name;
    info.filename = "local_events.c";
    return rmon_code_new(&info);
}

static uint32_t local_events_of(int tool, void *code)
{
    uint32_t events = 0xdeadbeefu;
    CHECK_EQ(rmon_get_local_events(tool, code, &events), RMON_OK);
    return events;
}

/* Enters a scope and fires one event in it, as a function that is called would. */
static void run_once(int event, void *code, int32_t offset)
{
    struct scope scope = {0};
    scope_enters(&scope);
    CHECK_EQ(fire(event, &scope.states[event], code, offset), RMON_OK);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void local_events_are_heard_in_their_code_only(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {0};
        if (!((RMON_LOCAL_EVENTS | RMON_ANCILLARY_EVENTS) & SET(event)))
            continue;
        tool_opens(2);
        tool_hears_in(2, &code_a, event, &listener);
        run_once(event, &code_a, 4);
        CHECK_EQ(listener.calls, 1);
        CHECK_PTR(listener.last.code, &code_a);
        CHECK_EQ(listener.last.tool_id, 2);
        run_once(event, &code_b, 4);
        run_once(event, NULL, 4);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(rmon_set_local_events(2, &code_a, RMON_NO_EVENTS), RMON_OK);
        run_once(event, &code_a, 4);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(rmon_free_tool_id(2), RMON_OK);
    }
}

static void local_events_of_tools_are_separate(void)
{
    struct listener one = {0}, two = {0};
    tool_opens(1);
    tool_opens(2);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &one);
    tool_hears_in(2, &code_b, RMON_EVENT_LINE, &two);
    CHECK_EQ(local_events_of(1, &code_a), SET(RMON_EVENT_LINE));
    CHECK_EQ(local_events_of(1, &code_b), 0);
    CHECK_EQ(local_events_of(2, &code_a), 0);
    CHECK_EQ(local_events_of(2, &code_b), SET(RMON_EVENT_LINE));
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 0);
    run_once(RMON_EVENT_LINE, &code_b, 1);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 1);
}

static void what_is_on_globally_and_locally_is_heard_once(void)
{
    struct listener listener = {0};
    tool_opens(1);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &listener);
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_set_events(1, RMON_NO_EVENTS), RMON_OK);
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(listener.calls, 2);
    run_once(RMON_EVENT_LINE, &code_b, 1);
    CHECK_EQ(listener.calls, 2);
    tool_hears(1, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_set_local_events(1, &code_a, RMON_NO_EVENTS), RMON_OK);
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(listener.calls, 3);
}

static void local_and_global_events_of_two_tools_meet_in_one_fire(void)
{
    struct listener local = {0}, global = {0};
    tool_opens(0);
    tool_opens(5);
    tool_hears_in(5, &code_a, RMON_EVENT_LINE, &local);
    tool_hears(0, RMON_EVENT_LINE, &global);
    run_once(RMON_EVENT_LINE, &code_a, 1);
    run_once(RMON_EVENT_LINE, &code_b, 1);
    CHECK_EQ(local.calls, 1);
    CHECK_EQ(global.calls, 2);
}

static void setting_local_events_replaces_the_set_before(void)
{
    struct listener line = {0}, jump = {0};
    tool_opens(0);
    tool_registers(0, RMON_EVENT_LINE, &line);
    tool_registers(0, RMON_EVENT_JUMP, &jump);
    CHECK_EQ(rmon_set_local_events(0, &code_a, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_set_local_events(0, &code_a, SET(RMON_EVENT_JUMP)), RMON_OK);
    CHECK_EQ(local_events_of(0, &code_a), SET(RMON_EVENT_JUMP));
    run_once(RMON_EVENT_LINE, &code_a, 1);
    run_once(RMON_EVENT_JUMP, &code_a, 1);
    CHECK_EQ(line.calls, 0);
    CHECK_EQ(jump.calls, 1);
}

static void local_branch_stands_for_both_directions(void)
{
    struct listener branch = {0};
    tool_opens(0);
    tool_hears_in(0, &code_a, RMON_EVENT_BRANCH, &branch);
    run_once(RMON_EVENT_BRANCH_LEFT, &code_a, 1);
    run_once(RMON_EVENT_BRANCH_RIGHT, &code_a, 1);
    run_once(RMON_EVENT_BRANCH, &code_a, 1);
    CHECK_EQ(branch.calls, 3);
    run_once(RMON_EVENT_BRANCH_LEFT, &code_b, 1);
    CHECK_EQ(branch.calls, 3);
}

/* --- set while the code runs --- */

/* A callback that turns events on, for a code or (NULL) everywhere. */
struct switcher {
    int tool, calls;
    void *code;
    uint32_t events;
};

static int turn_on(void *user_data, const rmon_event *event)
{
    struct switcher *switcher = (struct switcher *)user_data;
    (void)event;
    switcher->calls++;
    if (switcher->code != NULL)
        CHECK_EQ(rmon_set_local_events(switcher->tool, switcher->code, switcher->events), RMON_OK);
    else
        CHECK_EQ(rmon_set_events(switcher->tool, switcher->events), RMON_OK);
    return RMON_CONTINUE;
}

/* Tool 1 has `trigger` on everywhere; the first time that it fires, `events` are turned on. */
static void tool_1_switches(struct switcher *switcher, int trigger, void *code, uint32_t events)
{
    switcher->tool = 1;
    switcher->calls = 0;
    switcher->code = code;
    switcher->events = events;
    tool_opens(1);
    CHECK_EQ(rmon_register_callback(1, trigger, turn_on, switcher, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(1, SET(trigger)), RMON_OK);
}

static void set_within_py_start_they_hold_for_that_invocation(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct switcher switcher;
        struct listener listener = {0};
        struct scope scope = {0};
        if (event == RMON_EVENT_PY_START || !((RMON_LOCAL_EVENTS | RMON_ANCILLARY_EVENTS) & SET(event)))
            continue;
        tool_1_switches(&switcher, RMON_EVENT_PY_START, &code_a, settable_with(event));
        tool_registers(1, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire(event, &scope.states[event], &code_a, 0), RMON_OK);
        CHECK_EQ(listener.calls, 0);
        CHECK_EQ(fire(RMON_EVENT_PY_START, &scope.states[RMON_EVENT_PY_START], &code_a, 0), RMON_OK);
        CHECK_EQ(switcher.calls, 1);
        CHECK_EQ(fire(event, &scope.states[event], &code_a, 2), RMON_OK);
        if (!CHECK_EQ(listener.calls, 1))
            fprintf(stderr, "    %s\n", rmon_event_name(event));
        CHECK_EQ(fire(event, &scope.states[event], &code_b, 2), RMON_OK);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(rmon_exit_scope(), RMON_OK);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

static void set_by_one_tool_for_another_they_hold_for_that_invocation(void)
{
    struct switcher switcher;
    struct listener listener = {0};
    struct scope scope = {0};
    tool_1_switches(&switcher, RMON_EVENT_PY_START, &code_a, SET(RMON_EVENT_LINE));
    switcher.tool = 0;
    tool_opens(0);
    tool_registers(0, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_PY_START, &scope.states[RMON_EVENT_PY_START], &code_a, 0), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

static void global_events_set_within_any_callback_hold_for_that_invocation(void)
{
    int trigger;
    for (trigger = 0; trigger < RMON_EVENT_COUNT; trigger++) {
        struct switcher switcher;
        struct listener listener = {0};
        struct scope scope = {0};
        if (trigger == RMON_EVENT_JUMP || (SET(trigger) & RMON_ANCILLARY_EVENTS))
            continue;
        tool_1_switches(&switcher, trigger, NULL, SET(trigger) | SET(RMON_EVENT_JUMP));
        tool_registers(1, RMON_EVENT_JUMP, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code_a, 1), RMON_OK);
        CHECK_EQ(listener.calls, 0);
        CHECK_EQ(fire(trigger, &scope.states[trigger], &code_a, 2), RMON_OK);
        CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code_a, 3), RMON_OK);
        CHECK_EQ(switcher.calls, 1);
        if (!CHECK_EQ(listener.calls, 1))
            fprintf(stderr, "    set within %s\n", rmon_event_name(trigger));
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

static void switched_off_within_a_callback_they_are_off_at_once(void)
{
    struct switcher switcher;
    struct listener listener = {0};
    struct scope scope = {0};
    tool_1_switches(&switcher, RMON_EVENT_PY_START, &code_a, RMON_NO_EVENTS);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(fire(RMON_EVENT_PY_START, &scope.states[RMON_EVENT_PY_START], &code_a, 0), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 2), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

static void set_after_another_scope_was_entered_in_between_they_hold_too(void)
{
    struct switcher switcher;
    struct listener listener = {0};
    struct scope outer = {0}, inner = {0};
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &listener);
    scope_enters(&outer);
    scope_enters(&inner);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &outer.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &outer.states[RMON_EVENT_JUMP], &code_a, 2), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void set_in_an_inner_scope_they_hold_in_the_outer_one_from_its_next_callback_on(void)
{
    struct switcher switcher;
    struct listener listener = {0};
    struct scope outer = {0}, inner = {0};
    tool_1_switches(&switcher, RMON_EVENT_LINE, &code_a, SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &listener);
    scope_enters(&outer);
    scope_enters(&inner);
    CHECK_EQ(fire(RMON_EVENT_LINE, &inner.states[RMON_EVENT_LINE], &code_b, 1), RMON_OK);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &outer.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(switcher.calls, 2);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &outer.states[RMON_EVENT_JUMP], &code_a, 2), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

/* On each level a scope of its own; on the way back each level switches JUMP on again and must hear it. */
static void descend(int depth, struct switcher *switcher, struct listener *jumps)
{
    struct scope scope = {0};
    int before;
    if (depth == 0)
        return;
    scope_enters(&scope);
    descend(depth - 1, switcher, jumps);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_OK);
    before = jumps->calls;
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, depth), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code_a, depth), RMON_OK);
    CHECK_EQ(jumps->calls, before + 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void set_at_any_depth_of_a_recursion_they_hold_for_that_invocation(void)
{
    static const int depths[] = {1, 2, 3, 8, 16, 17, 64, 300, 3000};
    size_t i;
    for (i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        struct switcher switcher;
        struct listener jumps = {0};
        tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
        tool_registers(1, RMON_EVENT_JUMP, &jumps);
        descend(depths[i], &switcher, &jumps);
        CHECK_EQ(jumps.calls, depths[i]);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

/* One array for all invocations, as the documentation of CPython's API invites to have. */
static void descend_in_one_scope(int depth, struct scope *scope, struct listener *jumps)
{
    int before;
    if (depth == 0)
        return;
    scope_enters(scope);
    descend_in_one_scope(depth - 1, scope, jumps);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_OK);
    before = jumps->calls;
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope->states[RMON_EVENT_LINE], &code_a, depth), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &scope->states[RMON_EVENT_JUMP], &code_a, depth), RMON_OK);
    CHECK_EQ(jumps->calls, before + 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void set_in_a_scope_that_is_entered_again_and_again_they_hold(void)
{
    struct switcher switcher;
    struct listener jumps = {0};
    struct scope scope = {0};
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &jumps);
    descend_in_one_scope(100, &scope, &jumps);
    CHECK_EQ(jumps.calls, 100);
}

/* Entering an unchanged scope is a compare: the library sees nothing of it. */
static void set_in_a_scope_that_was_entered_unchanged_they_hold(void)
{
    struct switcher switcher;
    struct listener jumps = {0};
    struct scope mine = {0}, other = {0};
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &jumps);
    scope_enters(&mine);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    scope_enters(&other);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    scope_enters(&mine);
    CHECK_EQ(fire(RMON_EVENT_LINE, &mine.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &mine.states[RMON_EVENT_JUMP], &code_a, 1), RMON_OK);
    CHECK_EQ(jumps.calls, 1);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

/* Module-level code: a scope that is never exited, around many others. */
static void set_in_code_that_never_exits_they_hold(void)
{
    struct switcher switcher;
    struct listener jumps = {0};
    struct scope module = {0};
    int i;
    tool_1_switches(&switcher, RMON_EVENT_LINE, &code_a, SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &jumps);
    scope_enters(&module);
    for (i = 0; i < 100; i++) {
        struct scope function = {0};
        scope_enters(&function);
        if (i % 3 == 0)
            CHECK_EQ(rmon_exit_scope(), RMON_OK);
    }
    CHECK_EQ(fire(RMON_EVENT_LINE, &module.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &module.states[RMON_EVENT_JUMP], &code_a, 2), RMON_OK);
    CHECK_EQ(jumps.calls, 1);
}

static void set_in_a_scope_of_very_many_states_they_hold_for_all_of_them(void)
{
    enum { MANY = 70000 };
    static const int places[] = {0, 1, 254, 255, 256, 257, 1000, 65535, 65536, MANY - 1};
    enum { PLACES = sizeof places / sizeof places[0] };
    static rmon_state states[MANY + 2];
    static uint8_t types[MANY];
    int line, jump;
    for (line = 0; line < PLACES; line++) {
        struct switcher switcher;
        struct listener jumps = {0};
        uint64_t version = 0;
        memset(types, RMON_EVENT_JUMP, MANY);
        memset(states, 0, sizeof states);
        states[MANY + 1].active = 0xa5;
        states[0].opaque = 0xa5;
        types[places[line]] = RMON_EVENT_LINE;
        tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
        tool_registers(1, RMON_EVENT_JUMP, &jumps);
        CHECK_EQ(rmon_enter_scope(states + 1, &version, types, MANY), RMON_OK);
        CHECK_EQ(fire(RMON_EVENT_LINE, states + 1 + places[line], &code_a, 1), RMON_OK);
        for (jump = 0; jump < PLACES; jump++) {
            if (jump == line)
                continue;
            jumps.calls = 0;
            CHECK_EQ(fire(RMON_EVENT_JUMP, states + 1 + places[jump], &code_a, 2), RMON_OK);
            if (!CHECK_EQ(jumps.calls, 1))
                fprintf(stderr, "    state %d, set from state %d\n", places[jump], places[line]);
        }
        CHECK_EQ(states[MANY + 1].active, 0xa5);
        CHECK_EQ(states[0].opaque, 0xa5);
        CHECK_EQ(states[0].active, 0);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

/* Two scopes side by side in one array: neither may be taken for a part of the other. */
static void neighbouring_scopes_are_not_mixed_up(void)
{
    static const uint8_t types_a[] = {RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
    static const uint8_t types_b[] = {RMON_EVENT_PY_YIELD, RMON_EVENT_JUMP};
    struct switcher switcher;
    struct listener listener = {0};
    rmon_state states[6];
    uint64_t version_a = 0, version_b = 0;
    memset(states, 0, sizeof states);
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_PY_RETURN));
    tool_registers(1, RMON_EVENT_PY_RETURN, &listener);
    tool_registers(1, RMON_EVENT_PY_YIELD, &listener);
    tool_registers(1, RMON_EVENT_JUMP, &listener);
    CHECK_EQ(rmon_enter_scope(states + 1, &version_a, types_a, 2), RMON_OK);
    CHECK_EQ(rmon_enter_scope(states + 3, &version_b, types_b, 2), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, states + 1, &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_PY_YIELD, states + 3, &code_b, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, states + 4, &code_b, 1), RMON_OK);
    CHECK_EQ(listener.calls, 0);
    CHECK_EQ(fire(RMON_EVENT_PY_RETURN, states + 2, &code_a, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(states[0].active, 0);
    CHECK_EQ(states[5].active, 0);
}

/* A scope whose memory is gone must not be refreshed in place; a memory checker sees it if it is. */
static void scopes_that_are_gone_are_left_alone(void)
{
    struct switcher switcher;
    struct listener jumps = {0};
    struct scope scope = {0};
    struct scope *gone[8];
    unsigned char *bytes;
    size_t k;
    int i;
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &jumps);
    scope_enters(&scope);
    for (i = 0; i < 8; i++) {
        gone[i] = (struct scope *)calloc(1, sizeof *gone[i]);
        if (!CHECK(gone[i] != NULL))
            return;
        scope_enters(gone[i]);
        memset(gone[i], 0xa5, sizeof *gone[i]);     /* without an exit; something else lives there now */
        if (i < 4)
            free(gone[i]);
    }
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code_a, 1), RMON_OK);
    CHECK_EQ(jumps.calls, 1);
    for (i = 4; i < 8; i++) {
        int changed = 0;
        bytes = (unsigned char *)gone[i];
        for (k = 0; k < sizeof *gone[i]; k++)
            changed += bytes[k] != 0xa5;
        CHECK_EQ(changed, 0);
        free(gone[i]);
    }
}

/* The array's new owner has other types: refreshed by the old ones it would hear and miss the wrong events. */
static void memory_of_one_scope_may_become_another(void)
{
    static const uint8_t before[] = {RMON_EVENT_LINE, RMON_EVENT_JUMP};
    static const uint8_t after[] = {RMON_EVENT_JUMP, RMON_EVENT_LINE};
    struct switcher switcher;
    struct listener jumps = {0};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0;
    tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
    tool_registers(1, RMON_EVENT_JUMP, &jumps);
    CHECK_EQ(rmon_enter_scope(states, &version, before, 2), RMON_OK);
    memset(states, 0, sizeof states);
    version = 0;
    CHECK_EQ(rmon_enter_scope(states, &version, after, 2), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &states[1], &code_a, 1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &states[0], &code_a, 1), RMON_OK);
    CHECK_EQ(jumps.calls, 1);
}

/* A small scope in the midst of the memory of a larger one, which was never exited: what is around is not states. */
static void memory_of_a_large_scope_may_hold_a_small_one(void)
{
    static const uint8_t small_types[] = {RMON_EVENT_LINE, RMON_EVENT_JUMP};
    rmon_state memory[RMON_EVENT_COUNT];
    struct switcher switcher;
    struct listener jumps = {0};
    uint64_t version = 0;
    int place;
    for (place = 0; place + 2 <= RMON_EVENT_COUNT; place++) {
        int i, changed = 0;
        tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
        tool_registers(1, RMON_EVENT_JUMP, &jumps);
        jumps.calls = 0;
        memset(memory, 0, sizeof memory);
        version = 0;
        CHECK_EQ(rmon_enter_scope(memory, &version, scope_types, RMON_EVENT_COUNT), RMON_OK);
        memset(memory, 0xa5, sizeof memory);
        memset(&memory[place], 0, 2 * sizeof memory[0]);
        version = 0;
        CHECK_EQ(rmon_enter_scope(&memory[place], &version, small_types, 2), RMON_OK);
        CHECK_EQ(fire(RMON_EVENT_LINE, &memory[place], &code_a, 1), RMON_OK);
        CHECK_EQ(fire(RMON_EVENT_JUMP, &memory[place + 1], &code_a, 1), RMON_OK);
        CHECK_EQ(jumps.calls, 1);
        for (i = 0; i < RMON_EVENT_COUNT; i++)
            if (i != place && i != place + 1)
                changed += memory[i].active != 0xa5 || memory[i].opaque != 0xa5;
        CHECK_EQ(changed, 0);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

static void memory_of_a_small_scope_may_become_part_of_a_large_one(void)
{
    static const uint8_t small_types[] = {RMON_EVENT_JUMP, RMON_EVENT_LINE};
    int place;
    for (place = 0; place + 2 <= RMON_EVENT_COUNT; place++) {
        struct switcher switcher;
        struct listener jumps = {0};
        struct scope scope = {0};
        uint64_t version = 0;
        tool_1_switches(&switcher, RMON_EVENT_LINE, NULL, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP));
        tool_registers(1, RMON_EVENT_JUMP, &jumps);
        CHECK_EQ(rmon_enter_scope(&scope.states[place], &version, small_types, 2), RMON_OK);
        memset(&scope, 0, sizeof scope);
        scope_enters(&scope);
        CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
        CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code_a, 1), RMON_OK);
        CHECK_EQ(jumps.calls, 1);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    }
}

/* --- their end --- */

static void forgetting_a_code_ends_its_local_events(void)
{
    struct listener one = {0}, two = {0};
    tool_opens(1);
    tool_opens(2);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &one);
    tool_hears_in(2, &code_a, RMON_EVENT_LINE, &two);
    tool_hears_in(2, &code_b, RMON_EVENT_LINE, &two);
    CHECK_EQ(rmon_code_forget(&code_a), RMON_OK);
    CHECK_EQ(local_events_of(1, &code_a), 0);
    CHECK_EQ(local_events_of(2, &code_a), 0);
    CHECK_EQ(local_events_of(2, &code_b), SET(RMON_EVENT_LINE));
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(one.calls + two.calls, 0);
    run_once(RMON_EVENT_LINE, &code_b, 1);
    CHECK_EQ(two.calls, 1);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &one);
    run_once(RMON_EVENT_LINE, &code_a, 1);
    CHECK_EQ(one.calls, 1);
}

static void forgetting_what_was_never_known_is_harmless(void)
{
    CHECK_EQ(rmon_code_forget(&code_a), RMON_OK);
    CHECK_EQ(rmon_code_forget((void *)(uintptr_t)1), RMON_OK);
    CHECK_EQ(rmon_code_forget((void *)~(uintptr_t)0), RMON_OK);
}

static void forgetting_holds_in_scopes_already_entered(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    tool_opens(1);
    tool_hears_in(1, &code_a, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    CHECK_EQ(rmon_code_forget(&code_a), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code_a, 1), RMON_OK);
    CHECK_EQ(listener.calls, 0);
}

static void clearing_and_freeing_a_tool_end_its_local_events(void)
{
    struct listener listener = {0}, other = {0};
    int round;
    for (round = 0; round < 2; round++) {
        tool_opens(1);
        tool_opens(2);
        tool_hears_in(1, &code_a, RMON_EVENT_LINE, &listener);
        tool_hears_in(2, &code_a, RMON_EVENT_LINE, &other);
        CHECK_EQ(round ? rmon_clear_tool_id(1) : rmon_free_tool_id(1), RMON_OK);
        CHECK_EQ(local_events_of(1, &code_a), 0);
        CHECK_EQ(local_events_of(2, &code_a), SET(RMON_EVENT_LINE));
        if (round == 0)
            tool_opens(1);
        tool_registers(1, RMON_EVENT_LINE, &listener);
        listener.calls = other.calls = 0;
        run_once(RMON_EVENT_LINE, &code_a, 1);
        CHECK_EQ(listener.calls, 0);
        CHECK_EQ(other.calls, 1);
        check_reset();
    }
}

static void a_code_at_a_used_address_starts_without_local_events(void)
{
    enum { ROUNDS = 500 };
    struct listener listener = {0};
    void *before[ROUNDS];
    int i, k, same = 0;
    tool_opens(1);
    tool_registers(1, RMON_EVENT_LINE, &listener);
    for (i = 0; i < ROUNDS; i++) {
        void *code = new_code("short-lived");
        if (!CHECK(code != NULL))
            return;
        for (k = 0; k < i; k++)
            same += before[k] == code;
        before[i] = code;
        CHECK_EQ(local_events_of(1, code), 0);
        run_once(RMON_EVENT_LINE, code, 1);
        CHECK_EQ(listener.calls, i);
        CHECK_EQ(rmon_set_local_events(1, code, SET(RMON_EVENT_LINE)), RMON_OK);
        run_once(RMON_EVENT_LINE, code, 1);
        CHECK_EQ(listener.calls, i + 1);
        rmon_code_release(code);
        CHECK_EQ(local_events_of(1, code), 0);
    }
    printf("    %d of %d addresses came back\n", same > ROUNDS ? ROUNDS : same, ROUNDS);
}

static void a_retained_code_keeps_its_local_events(void)
{
    struct listener listener = {0};
    void *code = new_code("retained");
    tool_opens(1);
    tool_hears_in(1, code, RMON_EVENT_LINE, &listener);
    rmon_code_retain(code);
    rmon_code_release(code);
    CHECK_EQ(local_events_of(1, code), SET(RMON_EVENT_LINE));
    run_once(RMON_EVENT_LINE, code, 1);
    CHECK_EQ(listener.calls, 1);
    rmon_code_release(code);
    CHECK_EQ(local_events_of(1, code), 0);
}

static void very_many_codes_may_have_local_events(void)
{
    enum { MANY = 20000 };
    static char codes[2 * MANY];
    struct listener listener = {0};
    struct scope scope = {0};
    int i, wrong = 0;
    tool_opens(1);
    tool_registers(1, RMON_EVENT_LINE, &listener);
    for (i = 0; i < MANY; i++)
        if (rmon_set_local_events(1, &codes[2 * i], SET(RMON_EVENT_LINE)) != RMON_OK)
            wrong++;
    scope_enters(&scope);
    for (i = 0; i < 2 * MANY; i++)
        fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &codes[i], 1);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(listener.calls, MANY);
    for (i = 0; i < MANY; i += 2)
        CHECK_EQ(rmon_code_forget(&codes[2 * i]), RMON_OK);
    listener.calls = 0;
    scope_enters(&scope);
    for (i = 0; i < 2 * MANY; i++)
        fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &codes[i], 1);
    CHECK_EQ(listener.calls, MANY / 2);
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    for (i = 0; i < MANY; i++)
        wrong += local_events_of(1, &codes[2 * i]) != 0;
    CHECK_EQ(wrong, 0);
}

int main(void)
{
    RUN(local_events_are_heard_in_their_code_only);
    RUN(local_events_of_tools_are_separate);
    RUN(what_is_on_globally_and_locally_is_heard_once);
    RUN(local_and_global_events_of_two_tools_meet_in_one_fire);
    RUN(setting_local_events_replaces_the_set_before);
    RUN(local_branch_stands_for_both_directions);
    RUN(set_within_py_start_they_hold_for_that_invocation);
    RUN(set_by_one_tool_for_another_they_hold_for_that_invocation);
    RUN(global_events_set_within_any_callback_hold_for_that_invocation);
    RUN(switched_off_within_a_callback_they_are_off_at_once);
    RUN(set_after_another_scope_was_entered_in_between_they_hold_too);
    RUN(set_in_an_inner_scope_they_hold_in_the_outer_one_from_its_next_callback_on);
    RUN(set_at_any_depth_of_a_recursion_they_hold_for_that_invocation);
    RUN(set_in_a_scope_that_is_entered_again_and_again_they_hold);
    RUN(set_in_a_scope_that_was_entered_unchanged_they_hold);
    RUN(set_in_code_that_never_exits_they_hold);
    RUN(set_in_a_scope_of_very_many_states_they_hold_for_all_of_them);
    RUN(neighbouring_scopes_are_not_mixed_up);
    RUN(scopes_that_are_gone_are_left_alone);
    RUN(memory_of_one_scope_may_become_another);
    RUN(memory_of_a_large_scope_may_hold_a_small_one);
    RUN(memory_of_a_small_scope_may_become_part_of_a_large_one);
    RUN(forgetting_a_code_ends_its_local_events);
    RUN(forgetting_what_was_never_known_is_harmless);
    RUN(forgetting_holds_in_scopes_already_entered);
    RUN(clearing_and_freeing_a_tool_end_its_local_events);
    RUN(a_code_at_a_used_address_starts_without_local_events);
    RUN(a_retained_code_keeps_its_local_events);
    RUN(very_many_codes_may_have_local_events);
    return check_result();
}
