/* codes.c: rmon's own look-alikes: making, describing, counting references, and every bad input. */
#include "firing.h"
#include "listener.h"

#include <limits.h>
#include <stddef.h>

static rmon_code_info usual_info(void)
{
    rmon_code_info info = {0};
    info.struct_size = sizeof info;
    info.first_line = 7;
    info.name = "function";
    info.qualname = "module.function";
    info.filename = "file.c";
    return info;
}

static void *usual_code(void)
{
    rmon_code_info info = usual_info();
    void *code = rmon_code_new(&info);
    CHECK(code != NULL);
    return code;
}

static rmon_code_info empty_info(void)
{
    rmon_code_info info = {0};
    info.struct_size = sizeof info;
    return info;
}

/* A code that is not there must leave the description as it was. */
static void check_unknown(void *code)
{
    rmon_code_info out = usual_info(), before = out;
    CHECK_EQ(rmon_code_describe(code, &out), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(memcmp(&out, &before, sizeof out), 0);
}

static void a_code_describes_what_it_was_made_of(void)
{
    static const rmon_line_entry lines[] = {{0, 7}, {2, 8}, {10, 7}, {300, 12}, {INT32_MAX, INT32_MAX}};
    enum { LINES = sizeof lines / sizeof lines[0] };
    rmon_code_info info = usual_info(), out = empty_info();
    void *code;
    int i;
    info.lines = lines;
    info.line_count = LINES;
    code = rmon_code_new(&info);
    if (!CHECK(code != NULL))
        return;
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_EQ(out.first_line, 7);
    CHECK_TEXT(out.name, "function");
    CHECK_TEXT(out.qualname, "module.function");
    CHECK_TEXT(out.filename, "file.c");
    CHECK_EQ(out.line_count, LINES);
    if (CHECK(out.lines != NULL))
        for (i = 0; i < LINES && i < (int)out.line_count; i++) {
            CHECK_EQ(out.lines[i].offset, lines[i].offset);
            CHECK_EQ(out.lines[i].line, lines[i].line);
        }
    rmon_code_release(code);
}

static void what_a_code_is_made_of_is_copied(void)
{
    char name[] = "name", qualname[] = "qualname", filename[] = "filename";
    rmon_line_entry lines[] = {{0, 1}, {4, 2}};
    rmon_code_info info = empty_info(), out = empty_info();
    void *code;
    info.name = name;
    info.qualname = qualname;
    info.filename = filename;
    info.lines = lines;
    info.line_count = 2;
    code = rmon_code_new(&info);
    memset(name, 'x', 4);
    memset(qualname, 'x', 8);
    memset(filename, 'x', 8);
    memset(lines, 0x55, sizeof lines);
    memset(&info, 0x55, sizeof info);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_TEXT(out.name, "name");
    CHECK_TEXT(out.qualname, "qualname");
    CHECK_TEXT(out.filename, "filename");
    CHECK_EQ(out.line_count, 2);
    CHECK_EQ(out.lines[1].offset, 4);
    CHECK_EQ(out.lines[1].line, 2);
    rmon_code_release(code);
}

static void a_description_lives_as_long_as_the_code(void)
{
    rmon_code_info first = empty_info(), second = empty_info();
    void *code = usual_code(), *others[100];
    int i;
    CHECK_EQ(rmon_code_describe(code, &first), RMON_OK);
    for (i = 0; i < 100; i++)
        others[i] = usual_code();
    for (i = 0; i < 100; i++)
        rmon_code_release(others[i]);
    CHECK_EQ(rmon_code_forget(code), RMON_OK);
    CHECK_EQ(rmon_code_describe(code, &second), RMON_OK);
    CHECK_TEXT(first.name, "function");
    CHECK_TEXT(first.filename, "file.c");
    CHECK_TEXT(second.name, "function");
    rmon_code_release(code);
}

static void without_a_qualname_it_is_the_name(void)
{
    rmon_code_info info = usual_info(), out = empty_info();
    void *code;
    info.qualname = NULL;
    code = rmon_code_new(&info);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_TEXT(out.name, "function");
    CHECK_TEXT(out.qualname, "function");
    rmon_code_release(code);
}

static void without_lines_there_are_none(void)
{
    static const rmon_line_entry line = {0, 1};
    rmon_code_info info = usual_info(), out = empty_info();
    void *code;
    out.line_count = 77;
    code = rmon_code_new(&info);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_EQ(out.line_count, 0);
    rmon_code_release(code);
    info.lines = &line;
    info.line_count = 0;
    out.line_count = 77;
    code = rmon_code_new(&info);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_EQ(out.line_count, 0);
    rmon_code_release(code);
}

static void names_are_utf8(void)
{
    static const char *const good[] = {"x", "na\xc3\xafve", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x90\x8d", "<module>"};
    static const char *const bad[]
        = {"\x80", "\xc0\x80", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "so far good \xff"};
    size_t i;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        rmon_code_info info = usual_info(), out = empty_info();
        void *code;
        info.name = info.qualname = info.filename = good[i];
        code = rmon_code_new(&info);
        CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
        CHECK_TEXT(out.name, good[i]);
        CHECK_TEXT(out.qualname, good[i]);
        CHECK_TEXT(out.filename, good[i]);
        rmon_code_release(code);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rmon_code_info info = usual_info();
        info.name = bad[i];
        CHECK(rmon_code_new(&info) == NULL);
        info = usual_info();
        info.qualname = bad[i];
        CHECK(rmon_code_new(&info) == NULL);
        info = usual_info();
        info.filename = bad[i];
        CHECK(rmon_code_new(&info) == NULL);
    }
}

static void bad_info_makes_no_code(void)
{
    static const rmon_line_entry descending[] = {{0, 1}, {4, 2}, {2, 3}};
    static const rmon_line_entry descending_at_the_end[] = {{10, 1}, {9, 1}};
    static const rmon_line_entry negative[] = {{-1, 1}, {4, 2}};
    rmon_code_info info;
    CHECK(rmon_code_new(NULL) == NULL);
    info = usual_info();
    info.name = NULL;
    CHECK(rmon_code_new(&info) == NULL);
    info = usual_info();
    info.filename = NULL;
    CHECK(rmon_code_new(&info) == NULL);
    info = usual_info();
    info.lines = NULL;
    info.line_count = 1;
    CHECK(rmon_code_new(&info) == NULL);
    info.line_count = SIZE_MAX;
    CHECK(rmon_code_new(&info) == NULL);
    info = usual_info();
    info.lines = descending;
    info.line_count = 3;
    CHECK(rmon_code_new(&info) == NULL);
    info.line_count = 2;
    {
        void *ascending = rmon_code_new(&info);
        CHECK(ascending != NULL);
        rmon_code_release(ascending);
    }
    info.lines = descending_at_the_end;
    CHECK(rmon_code_new(&info) == NULL);
    info.lines = negative;
    CHECK(rmon_code_new(&info) == NULL);
}

static void a_line_count_that_no_memory_holds_makes_no_code(void)
{
    static const size_t counts[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 8 + 1, SIZE_MAX / 2, SIZE_MAX / 16 + 1};
    static const rmon_line_entry line = {0, 1};
    size_t i;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        rmon_code_info info = usual_info();
        info.lines = &line;
        info.line_count = counts[i];
        CHECK(rmon_code_new(&info) == NULL);
    }
}

static void a_struct_of_before_the_first_version_is_refused(void)
{
    void *code = usual_code();
    uint32_t size;
    for (size = 0; size < sizeof(rmon_code_info); size++) {
        rmon_code_info info = usual_info(), out = usual_info(), before;
        info.struct_size = size;
        CHECK(rmon_code_new(&info) == NULL);
        out.struct_size = size;
        before = out;
        CHECK_EQ(rmon_code_describe(code, &out), RMON_ERR_INVALID_ARGUMENT);
        CHECK_EQ(memcmp(&out, &before, sizeof out), 0);
    }
    rmon_code_release(code);
}

static void a_struct_of_a_later_version_is_accepted(void)
{
    static const uint32_t sizes[]
        = {sizeof(rmon_code_info) + 1, sizeof(rmon_code_info) + 8, sizeof(rmon_code_info) + 64};
    struct {
        rmon_code_info info;
        unsigned char later[64];
    } later, out;
    size_t i, k;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *code;
        memset(&later, 0x5a, sizeof later);
        later.info = usual_info();
        later.info.struct_size = sizes[i];
        code = rmon_code_new(&later.info);
        if (!CHECK(code != NULL))
            continue;
        memset(&out, 0x5a, sizeof out);
        out.info = empty_info();
        out.info.struct_size = sizes[i];
        CHECK_EQ(rmon_code_describe(code, &out.info), RMON_OK);
        CHECK_TEXT(out.info.name, "function");
        CHECK_TEXT(out.info.filename, "file.c");
        for (k = 0; k < sizeof out.later; k++)
            if (k >= sizes[i] - sizeof(rmon_code_info))
                CHECK_EQ(out.later[k], 0x5a);
        rmon_code_release(code);
    }
    later.info = usual_info();
    later.info.struct_size = UINT32_MAX;
    {
        void *code = rmon_code_new(&later.info);
        CHECK(code != NULL);
        rmon_code_release(code);
    }
}

static void foreign_pointers_are_unknown_and_never_read(void)
{
    char mine[64] = {0};
    void *code = usual_code();
    void *foreign[8];
    int i;
    foreign[0] = mine;
    foreign[1] = mine + 1;
    foreign[2] = (void *)(uintptr_t)1;
    foreign[3] = (void *)(uintptr_t)8;
    foreign[4] = (void *)~(uintptr_t)0;
    foreign[5] = (void *)(~(uintptr_t)0 - 7);
    foreign[6] = (char *)code + 1;
    foreign[7] = (char *)code - 1;
    for (i = 0; i < 8; i++) {
        check_unknown(foreign[i]);
        rmon_code_retain(foreign[i]);
        rmon_code_release(foreign[i]);
        rmon_code_release(foreign[i]);
        CHECK_EQ(rmon_code_forget(foreign[i]), RMON_OK);
        check_unknown(foreign[i]);
    }
    {
        rmon_code_info out = empty_info();
        CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    }
    rmon_code_release(code);
}

static void null_is_harmless(void)
{
    rmon_code_info out = usual_info(), before = out;
    rmon_code_retain(NULL);
    rmon_code_release(NULL);
    CHECK_EQ(rmon_code_describe(NULL, &out), RMON_ERR_NULL);
    out.struct_size = before.struct_size = 0;
    CHECK_EQ(rmon_code_describe(NULL, &out), RMON_ERR_NULL);
    CHECK_EQ(memcmp(&out, &before, sizeof out), 0);
    CHECK_EQ(rmon_code_forget(NULL), RMON_ERR_NULL);
}

static void the_last_release_ends_a_code(void)
{
    rmon_code_info out = empty_info();
    void *code = usual_code();
    rmon_code_retain(code);
    rmon_code_retain(code);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    rmon_code_release(code);
    check_unknown(code);
}

static void a_released_code_stays_released(void)
{
    void *code = usual_code();
    rmon_code_release(code);
    check_unknown(code);
    rmon_code_retain(code);
    check_unknown(code);
    rmon_code_release(code);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_forget(code), RMON_OK);
    check_unknown(code);
}

static void a_released_code_may_still_be_fired(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    void *code = usual_code();
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    rmon_code_release(code);
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], code, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
    CHECK_PTR(listener.last.code, code);
}

static void forgetting_drops_local_events_and_keeps_the_code(void)
{
    rmon_code_info out = empty_info();
    uint32_t events = 77;
    void *code = usual_code();
    tool_opens(0);
    CHECK_EQ(rmon_set_local_events(0, code, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_code_forget(code), RMON_OK);
    CHECK_EQ(rmon_get_local_events(0, code, &events), RMON_OK);
    CHECK_EQ(events, 0);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_TEXT(out.name, "function");
    CHECK_EQ(rmon_set_local_events(0, code, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_get_local_events(0, code, &events), RMON_OK);
    CHECK_EQ(events, RMON_EVENT_SET(RMON_EVENT_LINE));
    rmon_code_release(code);
}

static void very_many_codes_live_at_once(void)
{
    enum { MANY = 20000 };
    static void *codes[MANY];
    rmon_code_info info = usual_info();
    char name[32];
    int i, wrong = 0;
    info.name = name;
    info.qualname = NULL;
    for (i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "function %d", i);
        info.first_line = i;
        codes[i] = rmon_code_new(&info);
        wrong += codes[i] == NULL;
    }
    CHECK_EQ(wrong, 0);
    for (i = 0; i < MANY; i += 3)
        rmon_code_release(codes[i]);
    for (i = 0; i < MANY; i++) {
        rmon_code_info out = empty_info();
        int status = rmon_code_describe(codes[i], &out);
        snprintf(name, sizeof name, "function %d", i);
        if (i % 3 == 0)
            wrong += status != RMON_ERR_UNKNOWN_CODE;
        else
            wrong += status != RMON_OK || out.first_line != i || strcmp(out.name, name) != 0;
    }
    CHECK_EQ(wrong, 0);
    for (i = 0; i < MANY; i++)
        if (i % 3 != 0)
            rmon_code_release(codes[i]);
}

int main(void)
{
    RUN(a_code_describes_what_it_was_made_of);
    RUN(what_a_code_is_made_of_is_copied);
    RUN(a_description_lives_as_long_as_the_code);
    RUN(without_a_qualname_it_is_the_name);
    RUN(without_lines_there_are_none);
    RUN(names_are_utf8);
    RUN(bad_info_makes_no_code);
    RUN(a_line_count_that_no_memory_holds_makes_no_code);
    RUN(a_struct_of_before_the_first_version_is_refused);
    RUN(a_struct_of_a_later_version_is_accepted);
    RUN(foreign_pointers_are_unknown_and_never_read);
    RUN(null_is_harmless);
    RUN(the_last_release_ends_a_code);
    RUN(a_released_code_stays_released);
    RUN(a_released_code_may_still_be_fired);
    RUN(forgetting_drops_local_events_and_keeps_the_code);
    RUN(very_many_codes_live_at_once);
    return check_result();
}
