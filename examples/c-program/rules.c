/* rules.c: reads and runs rules. Everything that concerns tools is in "what is reported" and in run(). */
#include "rules.h"

#include <rmon.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 32, MAX_STATEMENTS = 64, MAX_LINE = 256, MAX_PATH = 128, MAX_DEPTH = 50 };

typedef enum { SET, IF, ELSE, END, CALL, FAIL } kind;

typedef struct {
    kind kind;
    int line;
    char name[RULES_MAX_TEXT], operator[3], value[RULES_MAX_TEXT];
    int target; /* of IF and ELSE: the statement to go on with */
} statement;

/* The events that a rule reports, and the places of their states. Lines have a state for each statement, so that a tool
   which has seen a line can switch off that line alone. */
enum { START, RETURN, UNWIND, RAISE, LEFT, RIGHT, JUMP, CALLS, LINES };

typedef struct {
    char name[RULES_MAX_TEXT];
    int line, count;
    statement statements[MAX_STATEMENTS];
    void *code;
    uint8_t events[LINES + MAX_STATEMENTS];
    rmon_state states[LINES + MAX_STATEMENTS];
    uint64_t version;
} rule;

struct rules {
    char path[MAX_PATH];
    int count;
    rule rules[MAX_RULES];
};

/* ---- what is reported ---- */

/* To tools a rule is a code object. Its offsets are the numbers of statements; "else" and "end" are no lines. */
static int make_code(rule *made, const char *path)
{
    static const uint8_t events[LINES] = {
        RMON_EVENT_PY_START,    RMON_EVENT_PY_RETURN,    RMON_EVENT_PY_UNWIND, RMON_EVENT_RAISE,
        RMON_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_RIGHT, RMON_EVENT_JUMP,      RMON_EVENT_CALL,
    };
    rmon_line_entry lines[MAX_STATEMENTS];
    rmon_code_info info = {0};
    int i;
    memcpy(made->events, events, sizeof events);
    memset(made->events + LINES, RMON_EVENT_LINE, (size_t)made->count);
    info.struct_size = sizeof info;
    info.first_line = made->line;
    info.name = made->name;
    info.filename = path;
    info.lines = lines;
    for (i = 0; i < made->count; i++) {
        const statement *at = &made->statements[i];
        if (at->kind != ELSE && at->kind != END) {
            lines[info.line_count].offset = i;
            lines[info.line_count++].line = at->line;
        }
    }
    made->code = rmon_code_new(&info);
    return made->code != NULL ? 0 : -1;
}

/* ---- records ---- */

static int find_field(const record *subject, const char *name)
{
    int i;
    for (i = 0; i < subject->count; i++)
        if (strcmp(subject->fields[i].name, name) == 0)
            return i;
    return -1;
}

const char *record_get(const record *subject, const char *name)
{
    int i = find_field(subject, name);
    return i >= 0 ? subject->fields[i].value : "";
}

int record_set(record *subject, const char *name, const char *value)
{
    int i = find_field(subject, name);
    if (strlen(name) >= RULES_MAX_TEXT || strlen(value) >= RULES_MAX_TEXT)
        return -1;
    if (i < 0) {
        if (subject->count == RULES_MAX_FIELDS)
            return -1;
        i = subject->count++;
        strcpy(subject->fields[i].name, name);
    }
    strcpy(subject->fields[i].value, value);
    return 0;
}

/* ---- running ---- */

typedef struct {
    rules *loaded;
    record *subject;
    char *error;
    int depth;
} context;

static int is_true(const statement *at, const record *subject)
{
    const char *value = record_get(subject, at->name);
    switch (at->operator[0]) {
    case '=': return strcmp(value, at->value) == 0;
    case '!': return strcmp(value, at->value) != 0;
    case '<': return strtod(value, NULL) < strtod(at->value, NULL);
    default: return strtod(value, NULL) > strtod(at->value, NULL);
    }
}

static rule *find_rule(rules *loaded, const char *name)
{
    int i;
    for (i = 0; i < loaded->count; i++)
        if (strcmp(loaded->rules[i].name, name) == 0)
            return &loaded->rules[i];
    return NULL;
}

static int run(context *all, rule *running);

/* Reports that a statement fails. */
static int fail(context *all, rule *running, int offset, const char *text)
{
    snprintf(all->error, RULES_MAX_ERROR, "%s:%d: %s", all->loaded->path, running->statements[offset].line, text);
    (void)rmon_fire_raise(&running->states[RAISE], running->code, offset, all->error);
    return -1;
}

/* One statement; the number of the next one, -1 if it failed. A fire that fails does so because a tool wants the
   program to stop. */
static int step(context *all, rule *running, int offset)
{
    const statement *at = &running->statements[offset];
    rmon_state *states = running->states;
    void *code = running->code;
    rule *called;
    int status = 0;
    if (at->kind != ELSE && at->kind != END && rmon_fire_line(&states[LINES + offset], code, offset, at->line) < 0)
        return fail(all, running, offset, "stopped by a tool");
    switch (at->kind) {
    case SET:
        if (record_set(all->subject, at->name, at->value) < 0)
            return fail(all, running, offset, "too many fields");
        return offset + 1;
    case IF:
        if (is_true(at, all->subject)) {
            status = rmon_fire_branch_left(&states[LEFT], code, offset, offset + 1);
            return status < 0 ? fail(all, running, offset, "stopped by a tool") : offset + 1;
        }
        status = rmon_fire_branch_right(&states[RIGHT], code, offset, at->target);
        return status < 0 ? fail(all, running, offset, "stopped by a tool") : at->target;
    case ELSE: /* reached from above: past the rest */
        status = rmon_fire_jump(&states[JUMP], code, offset, at->target);
        return status < 0 ? fail(all, running, offset, "stopped by a tool") : at->target;
    case CALL:
        called = find_rule(all->loaded, at->name);
        if (called == NULL)
            return fail(all, running, offset, "no such rule");
        if (all->depth == MAX_DEPTH)
            return fail(all, running, offset, "rules call each other without end");
        if (rmon_fire_call(&states[CALLS], code, offset, called->code, NULL) < 0)
            return fail(all, running, offset, "stopped by a tool");
        all->depth++;
        status = run(all, called);
        all->depth--;
        return status < 0 ? -1 : offset + 1;
    case FAIL:
        return fail(all, running, offset, at->value);
    case END:
        break;
    }
    return offset + 1;
}

static int run(context *all, rule *running)
{
    int offset = 0, last = 0, status;
    (void)rmon_enter_scope(running->states, &running->version, running->events, LINES + running->count);
    status = rmon_fire_py_start(&running->states[START], running->code, 0);
    if (status < 0)
        offset = fail(all, running, 0, "stopped by a tool");
    while (offset >= 0 && offset < running->count) {
        last = offset;
        offset = step(all, running, offset);
    }
    if (offset < 0)
        (void)rmon_fire_py_unwind(&running->states[UNWIND], running->code, last, all->error);
    else if (rmon_fire_py_return(&running->states[RETURN], running->code, last, NULL) < 0)
        offset = fail(all, running, last, "stopped by a tool");
    rmon_exit_scope();
    return offset < 0 ? -1 : 0;
}

int rules_run(rules *loaded, record *subject, char error[RULES_MAX_ERROR])
{
    context all = {loaded, subject, error, 0};
    return run(&all, find_rule(loaded, "main"));
}

/* ---- reading ---- */

typedef struct {
    rules *loaded;
    rule *open; /* the rule that is being read */
    int line, opened[MAX_STATEMENTS], depth;
    char *error;
} reader;

static int wrong(reader *reading, const char *format, ...)
{
    va_list arguments;
    int length = snprintf(reading->error, RULES_MAX_ERROR, "%s:%d: ", reading->loaded->path, reading->line);
    va_start(arguments, format);
    vsnprintf(reading->error + length, (size_t)(RULES_MAX_ERROR - length), format, arguments);
    va_end(arguments);
    return -1;
}

static int begin_rule(reader *reading, const char *name)
{
    rules *loaded = reading->loaded;
    if (reading->open != NULL)
        return wrong(reading, "a rule within a rule");
    if (loaded->count == MAX_RULES)
        return wrong(reading, "too many rules");
    if (find_rule(loaded, name) != NULL)
        return wrong(reading, "a second rule %s", name);
    reading->open = &loaded->rules[loaded->count++];
    strcpy(reading->open->name, name);
    reading->open->line = reading->line;
    return 0;
}

/* An "else" or "end": the innermost "if" or "else" is told where to go on. */
static int close_block(reader *reading, int here, int is_else)
{
    statement *opener;
    if (reading->depth == 0)
        return wrong(reading, "nothing to end here");
    opener = &reading->open->statements[reading->opened[--reading->depth]];
    if (is_else && opener->kind == ELSE)
        return wrong(reading, "a second else");
    opener->target = here + 1;
    if (is_else)
        reading->opened[reading->depth++] = here;
    return 0;
}

static int end_rule(reader *reading)
{
    if (make_code(reading->open, reading->loaded->path) < 0)
        return wrong(reading, "no memory");
    reading->open = NULL;
    return 0;
}

static int is_operator(const char *text)
{
    return strcmp(text, "!=") == 0 || (text[1] == '\0' && strchr("=<>", text[0]) != NULL);
}

static int read_statement(reader *reading, const char *text)
{
    char word[RULES_MAX_TEXT], name[RULES_MAX_TEXT], operator[3], value[RULES_MAX_TEXT], more[2];
    rule *open = reading->open;
    statement *made;
    int here, good;
    if (sscanf(text, "%63s", word) != 1 || word[0] == '#')
        return 0;
    if (strcmp(word, "rule") == 0)
        return sscanf(text, "%*s %63s %1s", name, more) == 1 ? begin_rule(reading, name)
                                                             : wrong(reading, "rule NAME");
    if (open == NULL)
        return wrong(reading, "outside of all rules");
    if (strcmp(word, "end") == 0 && reading->depth == 0)
        return end_rule(reading);
    if (open->count == MAX_STATEMENTS)
        return wrong(reading, "too many statements");
    here = open->count++;
    made = &open->statements[here];
    made->line = reading->line;
    if (strcmp(word, "set") == 0) {
        made->kind = SET;
        good = sscanf(text, "%*s %63s %63s %1s", made->name, made->value, more) == 2;
    } else if (strcmp(word, "call") == 0) {
        made->kind = CALL;
        good = sscanf(text, "%*s %63s %1s", made->name, more) == 1;
    } else if (strcmp(word, "fail") == 0) {
        made->kind = FAIL;
        good = sscanf(text, "%*s %63[^\n]", made->value) == 1;
    } else if (strcmp(word, "if") == 0) {
        made->kind = IF;
        good = sscanf(text, "%*s %63s %2s %63s %1s", made->name, operator, value, more) == 3
               && is_operator(operator);
        if (good) {
            strcpy(made->operator, operator);
            strcpy(made->value, value);
            reading->opened[reading->depth++] = here;
        }
    } else if (strcmp(word, "else") == 0 || strcmp(word, "end") == 0) {
        made->kind = word[1] == 'l' ? ELSE : END;
        return close_block(reading, here, made->kind == ELSE);
    } else {
        return wrong(reading, "not understood: %s", word);
    }
    return good ? 0 : wrong(reading, "not understood after %s", word);
}

rules *rules_load(const char *path, char error[RULES_MAX_ERROR])
{
    char text[MAX_LINE];
    FILE *file = fopen(path, "r");
    rules *loaded = calloc(1, sizeof *loaded);
    reader reading = {loaded, NULL, 0, {0}, 0, error};
    int status = 0;
    if (file == NULL || loaded == NULL || strlen(path) >= sizeof loaded->path) {
        snprintf(error, RULES_MAX_ERROR, "cannot read the rules");
        status = -1;
    } else {
        strcpy(loaded->path, path);
    }
    while (status == 0 && fgets(text, sizeof text, file) != NULL) {
        reading.line++;
        status = read_statement(&reading, text);
    }
    if (status == 0 && reading.open != NULL)
        status = wrong(&reading, "the rule %s has no end", reading.open->name);
    if (status == 0 && find_rule(loaded, "main") == NULL)
        status = wrong(&reading, "there is no rule main");
    if (file != NULL)
        fclose(file);
    if (status < 0) {
        rules_free(loaded);
        return NULL;
    }
    return loaded;
}

void rules_free(rules *loaded)
{
    int i;
    for (i = 0; loaded != NULL && i < loaded->count; i++)
        rmon_code_release(loaded->rules[i].code);
    free(loaded);
}

int rules_count(const rules *loaded)
{
    return loaded->count;
}

void *rules_code(const rules *loaded, int index)
{
    return loaded->rules[index].code;
}
