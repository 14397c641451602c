/* layout.c: sizes, offsets, types, numbers, names, status texts and versions are those of the contract. */
#include "check.h"

#include <limits.h>
#include <stddef.h>

/* Fails to compile when the condition does not hold. */
#define HOLDS(name, condition) typedef char name[(condition) ? 1 : -1]

#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define AFTER(end, type) (((end) + sizeof(type) - 1) / sizeof(type) * sizeof(type))

HOLDS(state_is_two_bytes, sizeof(rmon_state) == 2);
HOLDS(state_begins_with_active, offsetof(rmon_state, active) == 0 && SIZE_OF(rmon_state, active) == 1);
HOLDS(state_ends_with_opaque, offsetof(rmon_state, opaque) == 1 && SIZE_OF(rmon_state, opaque) == 1);
HOLDS(states_stand_close, sizeof(rmon_state[7]) == 14);

HOLDS(event_struct_size, offsetof(rmon_event, struct_size) == 0 && SIZE_OF(rmon_event, struct_size) == 4);
HOLDS(event_event, offsetof(rmon_event, event) == 4 && SIZE_OF(rmon_event, event) == 1);
HOLDS(event_tool_id, offsetof(rmon_event, tool_id) == 5 && SIZE_OF(rmon_event, tool_id) == 1);
HOLDS(event_offset, offsetof(rmon_event, offset) == 8 && SIZE_OF(rmon_event, offset) == 4);
HOLDS(event_line, offsetof(rmon_event, line) == 12 && SIZE_OF(rmon_event, line) == 4);
HOLDS(event_target_offset, offsetof(rmon_event, target_offset) == 16 && SIZE_OF(rmon_event, target_offset) == 4);
HOLDS(event_code, offsetof(rmon_event, code) == AFTER(20, void *));
HOLDS(event_object, offsetof(rmon_event, object) == offsetof(rmon_event, code) + sizeof(void *));
HOLDS(event_arg0, offsetof(rmon_event, arg0) == offsetof(rmon_event, object) + sizeof(void *));
HOLDS(event_ends_with_arg0, sizeof(rmon_event) == offsetof(rmon_event, arg0) + sizeof(void *));

HOLDS(line_entry_offset, offsetof(rmon_line_entry, offset) == 0 && SIZE_OF(rmon_line_entry, offset) == 4);
HOLDS(line_entry_line, offsetof(rmon_line_entry, line) == 4 && SIZE_OF(rmon_line_entry, line) == 4);
HOLDS(line_entry_size, sizeof(rmon_line_entry) == 8);

HOLDS(info_struct_size, offsetof(rmon_code_info, struct_size) == 0 && SIZE_OF(rmon_code_info, struct_size) == 4);
HOLDS(info_first_line, offsetof(rmon_code_info, first_line) == 4 && SIZE_OF(rmon_code_info, first_line) == 4);
HOLDS(info_name, offsetof(rmon_code_info, name) == AFTER(8, void *));
HOLDS(info_qualname, offsetof(rmon_code_info, qualname) == offsetof(rmon_code_info, name) + sizeof(void *));
HOLDS(info_filename, offsetof(rmon_code_info, filename) == offsetof(rmon_code_info, qualname) + sizeof(void *));
HOLDS(info_lines, offsetof(rmon_code_info, lines) == offsetof(rmon_code_info, filename) + sizeof(void *));
HOLDS(info_line_count, offsetof(rmon_code_info, line_count) == offsetof(rmon_code_info, lines) + sizeof(void *));
HOLDS(info_size, sizeof(rmon_code_info) == offsetof(rmon_code_info, line_count) + sizeof(size_t));

HOLDS(host_struct_size, offsetof(rmon_host, struct_size) == 0 && SIZE_OF(rmon_host, struct_size) == 4);
HOLDS(host_user_data, offsetof(rmon_host, user_data) == AFTER(4, void *));
HOLDS(host_exception, offsetof(rmon_host, current_exception) == offsetof(rmon_host, user_data) + sizeof(void *));
HOLDS(host_describe, offsetof(rmon_host, describe) == offsetof(rmon_host, current_exception) + sizeof(void (*)(void)));
HOLDS(host_begin_wait, offsetof(rmon_host, begin_wait) == offsetof(rmon_host, describe) + sizeof(void (*)(void)));
HOLDS(host_end_wait, offsetof(rmon_host, end_wait) == offsetof(rmon_host, begin_wait) + sizeof(void (*)(void)));
HOLDS(host_size, sizeof(rmon_host) == offsetof(rmon_host, end_wait) + sizeof(void (*)(void)));

HOLDS(set_is_32_bits, sizeof(RMON_EVENT_SET(RMON_EVENT_LINE)) == sizeof(uint32_t));
HOLDS(set_is_unsigned, RMON_EVENT_SET(RMON_EVENT_PY_START) - 2 > 0);
HOLDS(set_of_branch, RMON_EVENT_SET(RMON_EVENT_BRANCH) == 0x40000);

#if !defined RMON_VERSION_MAJOR || !defined RMON_VERSION_MINOR || !defined RMON_VERSION_PATCH
#error "a program must be able to ask for the version when it is compiled"
#endif
#if RMON_VERSION_NUMBER <= 0 || RMON_ABI_VERSION < 0
#error "a program must be able to compare versions when it is compiled"
#endif

static const struct {
    int event, number;
    const char *name;
} events[] = {
    {RMON_EVENT_PY_START, 0, "PY_START"},
    {RMON_EVENT_PY_RESUME, 1, "PY_RESUME"},
    {RMON_EVENT_PY_RETURN, 2, "PY_RETURN"},
    {RMON_EVENT_PY_YIELD, 3, "PY_YIELD"},
    {RMON_EVENT_CALL, 4, "CALL"},
    {RMON_EVENT_LINE, 5, "LINE"},
    {RMON_EVENT_INSTRUCTION, 6, "INSTRUCTION"},
    {RMON_EVENT_JUMP, 7, "JUMP"},
    {RMON_EVENT_BRANCH_LEFT, 8, "BRANCH_LEFT"},
    {RMON_EVENT_BRANCH_RIGHT, 9, "BRANCH_RIGHT"},
    {RMON_EVENT_STOP_ITERATION, 10, "STOP_ITERATION"},
    {RMON_EVENT_RAISE, 11, "RAISE"},
    {RMON_EVENT_EXCEPTION_HANDLED, 12, "EXCEPTION_HANDLED"},
    {RMON_EVENT_PY_UNWIND, 13, "PY_UNWIND"},
    {RMON_EVENT_PY_THROW, 14, "PY_THROW"},
    {RMON_EVENT_RERAISE, 15, "RERAISE"},
    {RMON_EVENT_C_RETURN, 16, "C_RETURN"},
    {RMON_EVENT_C_RAISE, 17, "C_RAISE"},
    {RMON_EVENT_BRANCH, 18, "BRANCH"},
};

/* Never reused, never changed. */
static const struct {
    int status, number;
} errors[] = {
    {RMON_ERR_CALLBACK, -1},           {RMON_ERR_NULL, -2},              {RMON_ERR_INVALID_TOOL, -3},
    {RMON_ERR_INVALID_NAME, -4},       {RMON_ERR_TOOL_IN_USE, -5},       {RMON_ERR_TOOL_NOT_IN_USE, -6},
    {RMON_ERR_INVALID_EVENT, -7},      {RMON_ERR_INVALID_EVENT_SET, -8}, {RMON_ERR_NOT_INDEPENDENT, -9},
    {RMON_ERR_CANNOT_DISABLE, -10},    {RMON_ERR_INVALID_OFFSET, -11},   {RMON_ERR_INVALID_ARGUMENT, -12},
    {RMON_ERR_NO_EXCEPTION, -13},      {RMON_ERR_UNKNOWN_CODE, -14},     {RMON_ERR_IN_CALLBACK, -15},
    {RMON_ERR_NO_MEMORY, -16},         {RMON_ERR_INTERNAL, -17},
};

enum { EVENTS = sizeof events / sizeof events[0], ERRORS = sizeof errors / sizeof errors[0] };

static void event_numbers_are_frozen(void)
{
    int i;
    CHECK_EQ(EVENTS, RMON_EVENT_COUNT);
    CHECK_EQ(RMON_EVENT_COUNT, 19);
    for (i = 0; i < EVENTS; i++) {
        CHECK_EQ(events[i].event, i);
        CHECK_EQ(events[i].number, i);
        CHECK_EQ(RMON_EVENT_SET(events[i].event), (uint32_t)1 << i);
    }
}

static void event_sets_hold_their_groups(void)
{
    CHECK_EQ(RMON_NO_EVENTS, 0);
    CHECK_EQ(RMON_LOCAL_EVENTS, 0x407ff);
    CHECK_EQ(RMON_ANCILLARY_EVENTS, 0x30000);
    CHECK_EQ(RMON_ALL_EVENTS, 0x7ffff);
    CHECK(sizeof RMON_LOCAL_EVENTS >= sizeof(uint32_t));
}

static void every_event_has_its_name_and_no_other_number_has_one(void)
{
    static const int strangers[] = {-1, RMON_EVENT_COUNT, 31, 32, 255, 256, 256 + RMON_EVENT_LINE, INT_MAX, INT_MIN};
    size_t i;
    for (i = 0; i < EVENTS; i++)
        CHECK_TEXT(rmon_event_name(events[i].event), events[i].name);
    for (i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        CHECK(rmon_event_name(strangers[i]) == NULL);
}

static void tool_ids_and_results_are_frozen(void)
{
    CHECK_EQ(RMON_DEBUGGER_ID, 0);
    CHECK_EQ(RMON_COVERAGE_ID, 1);
    CHECK_EQ(RMON_PROFILER_ID, 2);
    CHECK_EQ(RMON_OPTIMIZER_ID, 5);
    CHECK_EQ(RMON_CONTINUE, 0);
    CHECK_EQ(RMON_DISABLE, 1);
}

static void status_numbers_are_frozen(void)
{
    int i;
    CHECK_EQ(RMON_OK, 0);
    for (i = 0; i < ERRORS; i++)
        CHECK_EQ(errors[i].status, errors[i].number);
}

static void every_status_has_a_text_of_its_own(void)
{
    int i, k;
    CHECK(rmon_status_message(RMON_OK) != NULL);
    for (i = 0; i < ERRORS; i++) {
        const char *text = rmon_status_message(errors[i].status);
        if (!CHECK(text != NULL && text[0] != '\0'))
            continue;
        CHECK(strcmp(text, rmon_status_message(RMON_OK)) != 0);
        for (k = 0; k < i; k++)
            CHECK(strcmp(text, rmon_status_message(errors[k].status)) != 0);
    }
}

static void a_status_that_does_not_exist_does_no_harm(void)
{
    CHECK(rmon_status_message(1) != NULL);
    CHECK(rmon_status_message(-1000) != NULL);
    CHECK(rmon_status_message(INT_MAX) != NULL);
    CHECK(rmon_status_message(INT_MIN) != NULL);
}

static void header_and_library_are_of_one_version(void)
{
    char text[64];
    CHECK_EQ(rmon_version_number(), RMON_VERSION_NUMBER);
    CHECK_EQ(RMON_VERSION_NUMBER, RMON_VERSION_MAJOR * 1000000 + RMON_VERSION_MINOR * 1000 + RMON_VERSION_PATCH);
    CHECK_EQ(rmon_abi_version(), RMON_ABI_VERSION);
    snprintf(text, sizeof text, "%d.%d.%d", (int)RMON_VERSION_MAJOR, (int)RMON_VERSION_MINOR, (int)RMON_VERSION_PATCH);
    CHECK_TEXT(rmon_version(), text);
}

/* An assignment compiles only when the types agree. */
static void functions_and_fields_have_the_documented_types(void)
{
    uint32_t (*version_number)(void) = rmon_version_number;
    uint32_t (*abi_version)(void) = rmon_abi_version;
    const char *(*version)(void) = rmon_version;
    const char *(*event_name)(int) = rmon_event_name;
    const char *(*status_message)(int) = rmon_status_message;
    int (*enter_scope)(rmon_state *, uint64_t *, const uint8_t *, ptrdiff_t) = rmon_enter_scope;
    int (*exit_scope)(void) = rmon_exit_scope;
    int (*use_tool_id)(int, const char *) = rmon_use_tool_id;
    int (*clear_tool_id)(int) = rmon_clear_tool_id;
    int (*free_tool_id)(int) = rmon_free_tool_id;
    int (*get_tool)(int, char *, size_t) = rmon_get_tool;
    int (*get_events)(int, uint32_t *) = rmon_get_events;
    int (*set_events)(int, uint32_t) = rmon_set_events;
    int (*get_local_events)(int, void *, uint32_t *) = rmon_get_local_events;
    int (*set_local_events)(int, void *, uint32_t) = rmon_set_local_events;
    int (*register_callback)(int, int, int (*)(void *, const rmon_event *), void *, void (*)(void *))
        = rmon_register_callback;
    int (*set_host)(const rmon_host *) = rmon_set_host;
    int (*get_callback)(int, int, rmon_callback *, void **) = rmon_get_callback;
    int (*restart_events)(void) = rmon_restart_events;
    int (*synchronize)(void) = rmon_synchronize;
    void *(*code_new)(const rmon_code_info *) = rmon_code_new;
    void (*code_retain)(void *) = rmon_code_retain;
    void (*code_release)(void *) = rmon_code_release;
    int (*code_describe)(void *, rmon_code_info *) = rmon_code_describe;
    int (*code_forget)(void *) = rmon_code_forget;
    rmon_event event;
    rmon_code_info info;
    uint8_t *bytes[2];
    int32_t *numbers[4];
    uint32_t *sizes[2];
    void **pointers[3];
    const char **texts[3];
    const rmon_line_entry **lines = &info.lines;
    size_t *line_count = &info.line_count;

    bytes[0] = &event.event;
    bytes[1] = &event.tool_id;
    numbers[0] = &event.offset;
    numbers[1] = &event.line;
    numbers[2] = &event.target_offset;
    numbers[3] = &info.first_line;
    sizes[0] = &event.struct_size;
    sizes[1] = &info.struct_size;
    pointers[0] = &event.code;
    pointers[1] = &event.object;
    pointers[2] = &event.arg0;
    texts[0] = &info.name;
    texts[1] = &info.qualname;
    texts[2] = &info.filename;
    CHECK(bytes[0] != bytes[1] && numbers[0] != numbers[1] && sizes[0] != sizes[1] && pointers[0] != pointers[1]
          && texts[0] != texts[1] && lines != NULL && line_count != NULL);
    CHECK(version_number && abi_version && version && event_name && status_message && enter_scope && exit_scope);
    CHECK(use_tool_id && clear_tool_id && free_tool_id && get_tool && get_events && set_events && get_local_events
          && set_local_events && register_callback && get_callback && restart_events && synchronize);
    CHECK(code_new && code_retain && code_release && code_describe && code_forget && set_host);
}

int main(void)
{
    RUN(event_numbers_are_frozen);
    RUN(event_sets_hold_their_groups);
    RUN(every_event_has_its_name_and_no_other_number_has_one);
    RUN(tool_ids_and_results_are_frozen);
    RUN(status_numbers_are_frozen);
    RUN(every_status_has_a_text_of_its_own);
    RUN(a_status_that_does_not_exist_does_no_harm);
    RUN(header_and_library_are_of_one_version);
    RUN(functions_and_fields_have_the_documented_types);
    return check_result();
}
