/* coverage.c: a coverage tool. A line, or a direction of a branch, that has run once is of no interest any more: the
 * callbacks answer RMON_DISABLE, and the program runs on at full speed.
 *
 * One thread runs the program here. For several, the table would need a lock.
 */
#include "coverage.h"

#include <rmon.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LINES = 1000, MAX_CODES = 64, ID = RMON_COVERAGE_ID };

enum { IS_CODE = 1, HAS_RUN = 2, WENT_LEFT = 4, WENT_RIGHT = 8 };

static uint8_t lines[MAX_LINES]; /* by number; of one file */
static void *codes[MAX_CODES];
static int code_count;

static int mark(int32_t line, uint8_t what)
{
    if (line > 0 && line < MAX_LINES)
        lines[line] |= what;
    return RMON_DISABLE;
}

/* The line of an offset: the last one that begins there or before. */
static int32_t line_at(void *code, int32_t offset)
{
    rmon_code_info info = {0};
    int32_t line = 0;
    size_t i;
    info.struct_size = sizeof info;
    if (rmon_code_describe(code, &info) == RMON_OK)
        for (i = 0; i < info.line_count && info.lines[i].offset <= offset; i++)
            line = info.lines[i].line;
    return line;
}

static int on_line(void *user_data, const rmon_event *event)
{
    (void)user_data;
    return mark(event->line, HAS_RUN);
}

static int on_branch(void *user_data, const rmon_event *event)
{
    (void)user_data;
    return mark(line_at(event->code, event->offset),
                event->event == RMON_EVENT_BRANCH_LEFT ? WENT_LEFT : WENT_RIGHT);
}

int coverage_begin(void)
{
    int status = rmon_use_tool_id(ID, "rules-coverage");
    if (status == RMON_OK)
        status = rmon_register_callback(ID, RMON_EVENT_LINE, on_line, NULL, NULL);
    if (status == RMON_OK)
        status = rmon_register_callback(ID, RMON_EVENT_BRANCH_LEFT, on_branch, NULL, NULL);
    if (status == RMON_OK)
        status = rmon_register_callback(ID, RMON_EVENT_BRANCH_RIGHT, on_branch, NULL, NULL);
    return status;
}

int coverage_watch(void *code)
{
    rmon_code_info info = {0};
    int status;
    size_t i;
    info.struct_size = sizeof info;
    status = code_count < MAX_CODES ? rmon_code_describe(code, &info) : RMON_ERR_NO_MEMORY;
    if (status != RMON_OK)
        return status;
    codes[code_count++] = code;
    for (i = 0; i < info.line_count; i++)
        (void)mark(info.lines[i].line, IS_CODE);
    /* Of other codes in the process, if there are any, nothing is wanted. */
    return rmon_set_local_events(ID, code,
                                 RMON_EVENT_SET(RMON_EVENT_LINE) | RMON_EVENT_SET(RMON_EVENT_BRANCH_LEFT)
                                     | RMON_EVENT_SET(RMON_EVENT_BRANCH_RIGHT));
}

/* `+` has run, `-` has not, `l` and `r`: a branch went only that way. */
static char letter(uint8_t seen)
{
    switch (seen) {
    case 0: return ' ';
    case IS_CODE: return '-';
    case IS_CODE | HAS_RUN | WENT_LEFT: return 'l';
    case IS_CODE | HAS_RUN | WENT_RIGHT: return 'r';
    default: return '+';
    }
}

void coverage_end(void)
{
    rmon_code_info info = {0};
    char text[256];
    int line = 0, count = 0, run = 0;
    FILE *file = NULL;
    (void)rmon_free_tool_id(ID);
    (void)rmon_synchronize(); /* from here on no callback runs */
    info.struct_size = sizeof info;
    if (code_count > 0 && rmon_code_describe(codes[0], &info) == RMON_OK)
        file = fopen(info.filename, "r");
    while (file != NULL && fgets(text, sizeof text, file) != NULL && ++line < MAX_LINES) {
        count += (lines[line] & IS_CODE) != 0;
        run += (lines[line] & HAS_RUN) != 0;
        printf("%c %3d%s%s", letter(lines[line]), line, text[0] != '\n' ? "  " : "", text);
    }
    if (file != NULL) {
        printf("%s: %d of %d lines have run\n", info.filename, run, count);
        fclose(file);
    }
    memset(lines, 0, sizeof lines);
    code_count = 0;
}
