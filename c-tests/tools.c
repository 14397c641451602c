/* tools.c: tool ids and names, event sets, callbacks, clearing and freeing, and the order of their checks. */
#include "firing.h"
#include "listener.h"

#include <limits.h>

static const int bad_tools[] = {-1, 6, 7, 8, 255, 256, 65536, INT_MAX, INT_MIN};
static const int bad_events[] = {-1, RMON_EVENT_COUNT, 31, 32, 64, 255, 256, 256 + RMON_EVENT_LINE, INT_MAX, INT_MIN};

enum { BAD_TOOLS = sizeof bad_tools / sizeof bad_tools[0], BAD_EVENTS = sizeof bad_events / sizeof bad_events[0] };

#define SET RMON_EVENT_SET
#define BOTH_BRANCHES (SET(RMON_EVENT_BRANCH_LEFT) | SET(RMON_EVENT_BRANCH_RIGHT))
#define CALL_GROUP (SET(RMON_EVENT_CALL) | SET(RMON_EVENT_C_RETURN) | SET(RMON_EVENT_C_RAISE))

static char code, other_code;

static uint32_t events_of(int tool)
{
    uint32_t events = 0xdeadbeefu;
    CHECK_EQ(rmon_get_events(tool, &events), RMON_OK);
    return events;
}

static uint32_t local_events_of(int tool, void *of)
{
    uint32_t events = 0xdeadbeefu;
    CHECK_EQ(rmon_get_local_events(tool, of, &events), RMON_OK);
    return events;
}

static rmon_callback callback_of(int tool, int event)
{
    rmon_callback callback = listener_hear;
    void *user_data = &code;
    CHECK_EQ(rmon_get_callback(tool, event, &callback, &user_data), RMON_OK);
    if (callback == NULL)
        CHECK_PTR(user_data, NULL);
    return callback;
}

static void six_tool_ids_can_be_used(void)
{
    int tool;
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        CHECK_EQ(rmon_get_tool(tool, NULL, 0), 0);
        CHECK_EQ(rmon_use_tool_id(tool, "a tool"), RMON_OK);
        CHECK_EQ(rmon_get_tool(tool, NULL, 0), 6);
    }
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        CHECK_EQ(rmon_use_tool_id(tool, "another"), RMON_ERR_TOOL_IN_USE);
        CHECK_EQ(rmon_get_tool(tool, NULL, 0), 6);
        CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
        CHECK_EQ(rmon_get_tool(tool, NULL, 0), 0);
        CHECK_EQ(rmon_use_tool_id(tool, "another"), RMON_OK);
        CHECK_EQ(rmon_get_tool(tool, NULL, 0), 7);
    }
}

static void every_function_refuses_ids_that_do_not_exist(void)
{
    rmon_callback callback = listener_hear;
    void *user_data = &code;
    uint32_t events = 77;
    char name[8] = "before";
    int i;
    for (i = 0; i < BAD_TOOLS; i++) {
        int bad = bad_tools[i];
        CHECK_EQ(rmon_use_tool_id(bad, "name"), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_clear_tool_id(bad), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_free_tool_id(bad), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_tool(bad, name, sizeof name), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_tool(bad, NULL, 0), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_events(bad, &events), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_set_events(bad, RMON_NO_EVENTS), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_local_events(bad, &code, &events), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_set_local_events(bad, &code, RMON_NO_EVENTS), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_register_callback(bad, RMON_EVENT_LINE, listener_hear, NULL, NULL), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_register_callback(bad, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_callback(bad, RMON_EVENT_LINE, &callback, &user_data), RMON_ERR_INVALID_TOOL);
    }
    CHECK_EQ(events, 77);
    CHECK_TEXT(name, "before");
    CHECK(callback == listener_hear);
    CHECK_PTR(user_data, &code);
}

static void an_unused_id_has_no_events_and_takes_none(void)
{
    CHECK_EQ(events_of(4), 0);
    CHECK_EQ(local_events_of(4, &code), 0);
    CHECK_EQ(rmon_set_events(4, SET(RMON_EVENT_LINE)), RMON_ERR_TOOL_NOT_IN_USE);
    CHECK_EQ(rmon_set_events(4, RMON_NO_EVENTS), RMON_ERR_TOOL_NOT_IN_USE);
    CHECK_EQ(rmon_set_local_events(4, &code, SET(RMON_EVENT_LINE)), RMON_ERR_TOOL_NOT_IN_USE);
    CHECK_EQ(rmon_clear_tool_id(4), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(4), RMON_OK);
    CHECK_EQ(events_of(4), 0);
}

static void names_are_utf8_and_not_empty(void)
{
    static const char *const good[] = {
        "x", "a tool", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "na\xc3\xafve", "\x01\x7f",
    };
    static const char *const bad[] = {
        "", "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x92", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "\xfe", "good until here \xff",
    };
    size_t i;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        char name[32];
        CHECK_EQ(rmon_use_tool_id(0, good[i]), RMON_OK);
        CHECK_EQ(rmon_get_tool(0, name, sizeof name), strlen(good[i]));
        CHECK_TEXT(name, good[i]);
        CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(rmon_use_tool_id(0, bad[i]), RMON_ERR_INVALID_NAME);
        CHECK_EQ(rmon_get_tool(0, NULL, 0), 0);
    }
}

static void use_tool_id_checks_null_then_range_then_name_then_use(void)
{
    CHECK_EQ(rmon_use_tool_id(9, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_use_tool_id(-1, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_use_tool_id(0, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_use_tool_id(9, ""), RMON_ERR_INVALID_TOOL);
    CHECK_EQ(rmon_use_tool_id(9, "\xff"), RMON_ERR_INVALID_TOOL);
    tool_opens(0);
    CHECK_EQ(rmon_use_tool_id(0, NULL), RMON_ERR_NULL);
    CHECK_EQ(rmon_use_tool_id(0, ""), RMON_ERR_INVALID_NAME);
    CHECK_EQ(rmon_use_tool_id(0, "\xff"), RMON_ERR_INVALID_NAME);
    CHECK_EQ(rmon_use_tool_id(0, "fine"), RMON_ERR_TOOL_IN_USE);
}

static void the_name_is_copied(void)
{
    char mine[] = "mine", name[8];
    CHECK_EQ(rmon_use_tool_id(0, mine), RMON_OK);
    memset(mine, 'x', 4);
    CHECK_EQ(rmon_get_tool(0, name, sizeof name), 4);
    CHECK_TEXT(name, "mine");
}

static void a_long_name_is_kept_whole(void)
{
    enum { LONG = 100000 };
    char *name = (char *)malloc(LONG + 1), *back = (char *)malloc(LONG + 1);
    if (!CHECK(name != NULL && back != NULL))
        return;
    memset(name, 'n', LONG);
    name[LONG] = '\0';
    CHECK_EQ(rmon_use_tool_id(0, name), RMON_OK);
    CHECK_EQ(rmon_get_tool(0, NULL, 0), LONG);
    CHECK_EQ(rmon_get_tool(0, back, LONG + 1), LONG);
    CHECK_TEXT(back, name);
    free(name);
    free(back);
}

static void get_tool_gives_the_whole_length_and_what_fits(void)
{
    static const char whole[] = "profiler";
    size_t capacity;
    CHECK_EQ(rmon_use_tool_id(2, whole), RMON_OK);
    for (capacity = 0; capacity <= 12; capacity++) {
        char name[16];
        size_t fits = capacity == 0 ? 0 : capacity - 1 < 8 ? capacity - 1 : 8;
        memset(name, '#', sizeof name);
        CHECK_EQ(rmon_get_tool(2, name, capacity), 8);
        if (capacity != 0) {
            CHECK_EQ(memcmp(name, whole, fits), 0);
            CHECK_EQ(name[fits], '\0');
        }
        CHECK_EQ(name[capacity], '#');
    }
}

static void get_tool_cuts_between_characters(void)
{
    static const char whole[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8d";     /* of 1, 2, 3 and 4 bytes */
    static const size_t fits[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    size_t capacity;
    CHECK_EQ(rmon_use_tool_id(2, whole), RMON_OK);
    for (capacity = 1; capacity < sizeof fits / sizeof fits[0]; capacity++) {
        char name[16];
        memset(name, '#', sizeof name);
        CHECK_EQ(rmon_get_tool(2, name, capacity), 10);
        CHECK_EQ(memcmp(name, whole, fits[capacity]), 0);
        CHECK_EQ(name[fits[capacity]], '\0');
        CHECK_EQ(name[capacity], '#');
    }
}

static void get_tool_gives_an_empty_name_for_an_unused_id(void)
{
    char name[] = "before";
    CHECK_EQ(rmon_get_tool(1, name, sizeof name), 0);
    CHECK_TEXT(name, "");
}

static void get_tool_takes_no_null_with_a_capacity(void)
{
    tool_opens(2);
    CHECK_EQ(rmon_get_tool(2, NULL, 5), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_tool(9, NULL, 5), RMON_ERR_NULL);
    CHECK_EQ(rmon_get_tool(9, NULL, 0), RMON_ERR_INVALID_TOOL);
    CHECK_EQ(rmon_get_tool(1, NULL, 5), RMON_ERR_NULL);
}

static void events_read_back_as_they_were_set(void)
{
    int event, tool;
    for (tool = 0; tool < TOOL_COUNT; tool++)
        tool_opens(tool);
    for (event = 0; event < RMON_EVENT_C_RETURN; event++) {
        CHECK_EQ(rmon_set_events(3, SET(event)), RMON_OK);
        CHECK_EQ(events_of(3), SET(event));
        for (tool = 0; tool < TOOL_COUNT; tool++)
            if (tool != 3)
                CHECK_EQ(events_of(tool), 0);
    }
    CHECK_EQ(rmon_set_events(3, RMON_NO_EVENTS), RMON_OK);
    CHECK_EQ(events_of(3), 0);
    CHECK_EQ(rmon_set_events(3, RMON_ALL_EVENTS), RMON_OK);
    CHECK_EQ(events_of(3), RMON_ALL_EVENTS & ~RMON_ANCILLARY_EVENTS & ~SET(RMON_EVENT_BRANCH));
}

static void branch_reads_back_as_both_directions(void)
{
    tool_opens(0);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_BRANCH)), RMON_OK);
    CHECK_EQ(events_of(0), BOTH_BRANCHES);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_BRANCH) | SET(RMON_EVENT_BRANCH_LEFT)), RMON_OK);
    CHECK_EQ(events_of(0), BOTH_BRANCHES);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_BRANCH_RIGHT)), RMON_OK);
    CHECK_EQ(events_of(0), SET(RMON_EVENT_BRANCH_RIGHT));
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_BRANCH) | SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(local_events_of(0, &code), BOTH_BRANCHES | SET(RMON_EVENT_LINE));
}

static void c_events_are_set_with_call_and_each_other_or_not_at_all(void)
{
    static const uint32_t refused[] = {
        SET(RMON_EVENT_C_RETURN),
        SET(RMON_EVENT_C_RAISE),
        SET(RMON_EVENT_C_RETURN) | SET(RMON_EVENT_C_RAISE),
        SET(RMON_EVENT_CALL) | SET(RMON_EVENT_C_RETURN),
        SET(RMON_EVENT_CALL) | SET(RMON_EVENT_C_RAISE),
        SET(RMON_EVENT_LINE) | SET(RMON_EVENT_C_RETURN),
    };
    size_t i;
    tool_opens(0);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_JUMP)), RMON_OK);
    for (i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK_EQ(rmon_set_events(0, refused[i]), RMON_ERR_NOT_INDEPENDENT);
        CHECK_EQ(rmon_set_local_events(0, &code, refused[i]), RMON_ERR_NOT_INDEPENDENT);
        CHECK_EQ(events_of(0), SET(RMON_EVENT_LINE));
        CHECK_EQ(local_events_of(0, &code), SET(RMON_EVENT_JUMP));
    }
    CHECK_EQ(rmon_set_events(0, CALL_GROUP), RMON_OK);
    CHECK_EQ(events_of(0), SET(RMON_EVENT_CALL));
    CHECK_EQ(rmon_set_local_events(0, &code, CALL_GROUP | SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(local_events_of(0, &code), SET(RMON_EVENT_CALL) | SET(RMON_EVENT_LINE));
}

static void sets_with_unknown_events_are_refused(void)
{
    int bit;
    tool_opens(0);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_LINE)), RMON_OK);
    for (bit = RMON_EVENT_COUNT; bit < 32; bit++) {
        CHECK_EQ(rmon_set_events(0, (uint32_t)1 << bit), RMON_ERR_INVALID_EVENT_SET);
        CHECK_EQ(rmon_set_events(0, (uint32_t)1 << bit | SET(RMON_EVENT_JUMP)), RMON_ERR_INVALID_EVENT_SET);
        CHECK_EQ(rmon_set_local_events(0, &code, (uint32_t)1 << bit), RMON_ERR_INVALID_EVENT_SET);
    }
    CHECK_EQ(rmon_set_events(0, 0xffffffffu), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(rmon_set_local_events(0, &code, 0xffffffffu), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(events_of(0), SET(RMON_EVENT_LINE));
    CHECK_EQ(local_events_of(0, &code), SET(RMON_EVENT_LINE));
}

static void only_local_events_can_be_set_for_one_code(void)
{
    int event;
    tool_opens(0);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        int local = (RMON_LOCAL_EVENTS & SET(event)) != 0;
        if (SET(event) & RMON_ANCILLARY_EVENTS)
            continue;
        CHECK_EQ(rmon_set_local_events(0, &code, SET(event)), local ? RMON_OK : RMON_ERR_INVALID_EVENT_SET);
        if (local)
            CHECK_EQ(local_events_of(0, &code), event == RMON_EVENT_BRANCH ? BOTH_BRANCHES : SET(event));
    }
    CHECK_EQ(rmon_set_local_events(0, &code, RMON_LOCAL_EVENTS), RMON_OK);
    CHECK_EQ(local_events_of(0, &code), RMON_LOCAL_EVENTS & ~SET(RMON_EVENT_BRANCH));
    CHECK_EQ(rmon_set_local_events(0, &code, RMON_LOCAL_EVENTS | RMON_ANCILLARY_EVENTS), RMON_OK);
    CHECK_EQ(local_events_of(0, &code), RMON_LOCAL_EVENTS & ~SET(RMON_EVENT_BRANCH));
    CHECK_EQ(rmon_set_local_events(0, &code, RMON_ALL_EVENTS), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(local_events_of(0, &other_code), 0);
    CHECK_EQ(events_of(0), 0);
}

static void set_events_checks_range_then_set_then_call_then_use(void)
{
    CHECK_EQ(rmon_set_events(6, 0xffffffffu), RMON_ERR_INVALID_TOOL);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_C_RETURN) | SET(RMON_EVENT_COUNT)), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_C_RETURN)), RMON_ERR_NOT_INDEPENDENT);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_ERR_TOOL_NOT_IN_USE);
}

static void set_local_events_checks_null_then_range_then_call_then_set_then_use(void)
{
    CHECK_EQ(rmon_set_local_events(6, NULL, 0xffffffffu), RMON_ERR_NULL);
    CHECK_EQ(rmon_set_local_events(6, &code, 0xffffffffu), RMON_ERR_INVALID_TOOL);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_C_RETURN) | SET(RMON_EVENT_RAISE)),
             RMON_ERR_NOT_INDEPENDENT);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_C_RETURN) | SET(RMON_EVENT_COUNT)),
             RMON_ERR_NOT_INDEPENDENT);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_RAISE)), RMON_ERR_INVALID_EVENT_SET);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_LINE)), RMON_ERR_TOOL_NOT_IN_USE);
}

static void a_callback_reads_back_with_its_user_data(void)
{
    struct listener listeners[RMON_EVENT_COUNT];
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        CHECK(callback_of(1, event) == NULL);
        tool_registers(1, event, &listeners[event]);
    }
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        rmon_callback callback = NULL;
        void *user_data = NULL;
        CHECK_EQ(rmon_get_callback(1, event, &callback, &user_data), RMON_OK);
        CHECK(callback == listener_hear);
        CHECK_PTR(user_data, &listeners[event]);
        CHECK(callback_of(0, event) == NULL);
        CHECK_EQ(rmon_register_callback(1, event, NULL, &code, NULL), RMON_OK);
        CHECK(callback_of(1, event) == NULL);
    }
}

static void branch_has_a_slot_of_its_own(void)
{
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH, listener_hear, &code, NULL), RMON_OK);
    CHECK(callback_of(0, RMON_EVENT_BRANCH_LEFT) == NULL);
    CHECK(callback_of(0, RMON_EVENT_BRANCH_RIGHT) == NULL);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH_LEFT, listener_hear, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_BRANCH_LEFT, NULL, NULL, NULL), RMON_OK);
    CHECK(callback_of(0, RMON_EVENT_BRANCH) == listener_hear);
}

static void events_that_do_not_exist_have_no_callbacks(void)
{
    rmon_callback callback = listener_hear;
    void *user_data = &code;
    int i;
    for (i = 0; i < BAD_EVENTS; i++) {
        CHECK_EQ(rmon_register_callback(0, bad_events[i], listener_hear, NULL, NULL), RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_register_callback(0, bad_events[i], NULL, NULL, NULL), RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_register_callback(6, bad_events[i], listener_hear, NULL, NULL), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_callback(0, bad_events[i], &callback, &user_data), RMON_ERR_INVALID_EVENT);
        CHECK_EQ(rmon_get_callback(6, bad_events[i], &callback, &user_data), RMON_ERR_INVALID_TOOL);
        CHECK_EQ(rmon_get_callback(6, bad_events[i], NULL, &user_data), RMON_ERR_NULL);
    }
    CHECK(callback == listener_hear);
    CHECK_PTR(user_data, &code);
}

static void a_callback_may_be_registered_before_its_tool_is_in_use(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    tool_registers(3, RMON_EVENT_LINE, &listener);
    CHECK(callback_of(3, RMON_EVENT_LINE) == listener_hear);
    tool_opens(3);
    CHECK_EQ(rmon_set_events(3, SET(RMON_EVENT_LINE)), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

static void a_registered_callback_replaces_the_one_before(void)
{
    struct listener first = {0}, second = {0};
    struct scope scope = {0};
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &first);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    tool_registers(3, RMON_EVENT_LINE, &second);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(first.calls, 1);
    CHECK_EQ(second.calls, 2);
}

static void clearing_keeps_the_name_and_nothing_else(void)
{
    struct listener listener = {0}, other = {0};
    struct scope scope = {0};
    int event;
    tool_opens(1);
    tool_opens(2);
    tool_hears(2, RMON_EVENT_LINE, &other);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        tool_hears(1, event, &listener);
    CHECK_EQ(rmon_set_local_events(1, &code, RMON_LOCAL_EVENTS), RMON_OK);
    CHECK_EQ(rmon_set_local_events(2, &code, SET(RMON_EVENT_JUMP)), RMON_OK);
    CHECK_EQ(rmon_clear_tool_id(1), RMON_OK);
    CHECK_EQ(rmon_get_tool(1, NULL, 0), 8);
    CHECK_EQ(rmon_use_tool_id(1, "again"), RMON_ERR_TOOL_IN_USE);
    CHECK_EQ(events_of(1), 0);
    CHECK_EQ(local_events_of(1, &code), 0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        CHECK(callback_of(1, event) == NULL);
    CHECK_EQ(events_of(2), SET(RMON_EVENT_LINE));
    CHECK_EQ(local_events_of(2, &code), SET(RMON_EVENT_JUMP));
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(listener.calls, 0);
    CHECK_EQ(other.calls, 1);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_OK);
}

static void freeing_clears_and_drops_the_name(void)
{
    struct listener listener = {0};
    int event;
    tool_opens(1);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        tool_hears(1, event, &listener);
    CHECK_EQ(rmon_set_local_events(1, &code, RMON_LOCAL_EVENTS), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    CHECK_EQ(rmon_get_tool(1, NULL, 0), 0);
    CHECK_EQ(events_of(1), 0);
    CHECK_EQ(local_events_of(1, &code), 0);
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        CHECK(callback_of(1, event) == NULL);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_ERR_TOOL_NOT_IN_USE);
    tool_opens(1);
    CHECK_EQ(events_of(1), 0);
    CHECK_EQ(local_events_of(1, &code), 0);
}

static void clearing_or_freeing_an_unused_id_does_nothing(void)
{
    struct listener listener = {0};
    tool_registers(4, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_clear_tool_id(4), RMON_OK);
    CHECK(callback_of(4, RMON_EVENT_LINE) == listener_hear);
    CHECK_EQ(rmon_free_tool_id(4), RMON_OK);
    CHECK(callback_of(4, RMON_EVENT_LINE) == listener_hear);
}

static void tools_do_not_hear_for_each_other(void)
{
    struct listener one = {0}, two = {0};
    struct scope scope = {0};
    tool_opens(1);
    tool_opens(2);
    tool_hears(1, RMON_EVENT_LINE, &one);
    tool_registers(1, RMON_EVENT_JUMP, &one);
    tool_hears(2, RMON_EVENT_JUMP, &two);
    tool_registers(2, RMON_EVENT_LINE, &two);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &code, 1), RMON_OK);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 0);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code, 1), RMON_OK);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 1);
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    CHECK_EQ(fire(RMON_EVENT_JUMP, &scope.states[RMON_EVENT_JUMP], &code, 1), RMON_OK);
    CHECK_EQ(two.calls, 2);
}

static void events_can_be_set_very_often(void)
{
    int i, count = check_scaled(200000);
    tool_opens(0);
    for (i = 0; i < count; i++)
        if (rmon_set_events(0, SET(i & 1 ? RMON_EVENT_LINE : RMON_EVENT_JUMP)) != RMON_OK)
            CHECK(!"events set too many times");
    CHECK_EQ(events_of(0), SET(count & 1 ? RMON_EVENT_JUMP : RMON_EVENT_LINE));
}

int main(void)
{
    RUN(six_tool_ids_can_be_used);
    RUN(every_function_refuses_ids_that_do_not_exist);
    RUN(an_unused_id_has_no_events_and_takes_none);
    RUN(names_are_utf8_and_not_empty);
    RUN(use_tool_id_checks_null_then_range_then_name_then_use);
    RUN(the_name_is_copied);
    RUN(a_long_name_is_kept_whole);
    RUN(get_tool_gives_the_whole_length_and_what_fits);
    RUN(get_tool_cuts_between_characters);
    RUN(get_tool_gives_an_empty_name_for_an_unused_id);
    RUN(get_tool_takes_no_null_with_a_capacity);
    RUN(events_read_back_as_they_were_set);
    RUN(branch_reads_back_as_both_directions);
    RUN(c_events_are_set_with_call_and_each_other_or_not_at_all);
    RUN(sets_with_unknown_events_are_refused);
    RUN(only_local_events_can_be_set_for_one_code);
    RUN(set_events_checks_range_then_set_then_call_then_use);
    RUN(set_local_events_checks_null_then_range_then_call_then_set_then_use);
    RUN(a_callback_reads_back_with_its_user_data);
    RUN(branch_has_a_slot_of_its_own);
    RUN(events_that_do_not_exist_have_no_callbacks);
    RUN(a_callback_may_be_registered_before_its_tool_is_in_use);
    RUN(a_registered_callback_replaces_the_one_before);
    RUN(clearing_keeps_the_name_and_nothing_else);
    RUN(freeing_clears_and_drops_the_name);
    RUN(clearing_or_freeing_an_unused_id_does_nothing);
    RUN(tools_do_not_hear_for_each_other);
    RUN(events_can_be_set_very_often);
    return check_result();
}
