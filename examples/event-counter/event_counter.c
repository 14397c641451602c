/* event_counter.c: a tool for rmon that counts events: by kind, by function, and lines by file and number.
 *
 * It is a shared library that attaches itself when it is loaded and writes a report when the process ends; README.md
 * says how to build and load it, and what the report looks like. It uses rmon's C API alone, so it works in every
 * process that has librmon, with Python in it or without.
 *
 * Threads: any number may fire at a time; one lock guards all counts. Nothing but counting is done under it: in
 * particular nobody is asked to describe a code, since a host may have to wait for its other threads to do so.
 * Memory: bounded (see "limits"); what is over a limit is counted as dropped.
 */
#define _POSIX_C_SOURCE 200809L

#include <rmon.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- limits ---- */

enum {
    MAX_FILES = 1 << 14,
    MAX_FUNCTIONS = 1 << 16,
    MAX_LINES = 1 << 22, /* over all files together; 8 bytes each */
    BUCKETS = 1 << 12,   /* of the two tables by name */
    CODES = 1 << 14,     /* of the memory of codes seen lately */
};

/* ---- what is counted ---- */

/* Files and functions are known by what they are called, not by address: addresses of codes are used again. */
struct file {
    struct file *next; /* in the same bucket */
    char *name;
    uint64_t *lines; /* the LINE events of each line */
    int32_t line_count;
};

struct function {
    struct function *next;
    struct file *file;
    int32_t first_line;
    char *qualname;
    uint64_t counts[RMON_EVENT_COUNT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything down to the next section */
static struct file *files[BUCKETS];
static struct function *functions[BUCKETS];
static size_t file_count, function_count, line_count;
static uint64_t event_counts[RMON_EVENT_COUNT];
static uint64_t dropped_functions, dropped_lines; /* events that belong to none, for lack of room */
static struct timespec first_event;

/* Which function a code is, for the codes seen lately: one place for each, taken over by whoever comes there next. */
static struct {
    void *code;
    struct function *function;
} codes[CODES];

static size_t hash(const char *text, size_t seed)
{
    for (; *text != '\0'; text++)
        seed = (seed ^ (unsigned char)*text) * 0x100000001b3u; /* FNV-1a's prime */
    return seed;
}

/* The file of a name, made when it is new. NULL: no room. */
static struct file *find_file(const char *name)
{
    struct file **bucket = &files[hash(name, 0) % BUCKETS], *file;
    for (file = *bucket; file != NULL; file = file->next)
        if (strcmp(file->name, name) == 0)
            return file;
    if (file_count >= MAX_FILES || (file = calloc(1, sizeof *file)) == NULL)
        return NULL;
    if ((file->name = strdup(name)) == NULL) {
        free(file);
        return NULL;
    }
    file_count++;
    file->next = *bucket;
    return *bucket = file;
}

static bool is_described_by(const struct function *function, const rmon_code_info *info)
{
    return function->first_line == info->first_line && strcmp(function->qualname, info->qualname) == 0
        && strcmp(function->file->name, info->filename) == 0;
}

/* The function of a description, made when it is new. NULL: no room. */
static struct function *find_function(const rmon_code_info *info)
{
    size_t at = hash(info->qualname, hash(info->filename, (size_t)info->first_line)) % BUCKETS;
    struct function *function;
    struct file *file;
    for (function = functions[at]; function != NULL; function = function->next)
        if (is_described_by(function, info))
            return function;
    if (function_count >= MAX_FUNCTIONS || (file = find_file(info->filename)) == NULL
        || (function = calloc(1, sizeof *function)) == NULL)
        return NULL;
    if ((function->qualname = strdup(info->qualname)) == NULL) {
        free(function);
        return NULL;
    }
    function_count++;
    function->file = file;
    function->first_line = info->first_line;
    function->next = functions[at];
    return functions[at] = function;
}

static size_t place_of(const void *code)
{
    return (size_t)(((uint64_t)(uintptr_t)code >> 4) * 0x9e3779b97f4a7c15u >> 32) % CODES; /* Fibonacci hashing */
}

/* The function of a code, from memory. NULL: not seen lately. */
static struct function *remembered(const void *code)
{
    size_t at = place_of(code);
    return codes[at].code == code ? codes[at].function : NULL;
}

static struct function *remember(void *code, const rmon_code_info *info)
{
    size_t at = place_of(code);
    struct function *function = codes[at].code == code ? codes[at].function : NULL;
    if (function == NULL || !is_described_by(function, info)) { /* new, or the address is used again */
        function = find_function(info);
        codes[at].code = code;
        codes[at].function = function;
    }
    return function;
}

static void count_line(struct file *file, int32_t line)
{
    if (line >= file->line_count) {
        int32_t wanted = line < MAX_LINES ? line + line / 2 + 64 : MAX_LINES;
        size_t more = (size_t)(wanted - file->line_count);
        uint64_t *lines = NULL;
        if (line < MAX_LINES && line_count + more <= MAX_LINES)
            lines = realloc(file->lines, (size_t)wanted * sizeof *lines);
        if (lines == NULL) {
            dropped_lines++;
            return;
        }
        memset(lines + file->line_count, 0, more * sizeof *lines);
        file->lines = lines;
        file->line_count = wanted;
        line_count += more;
    }
    if (line >= 0)
        file->lines[line]++;
}

/* ---- the callback, of all events ---- */

/* Asks who this code is. To be called without the lock. */
static rmon_code_info describe(void *code)
{
    rmon_code_info info = {.struct_size = sizeof info};
    if (rmon_code_describe(code, &info) != RMON_OK)
        info = (rmon_code_info){.name = "?", .qualname = "?", .filename = "?"};
    return info;
}

static int on_event(void *user_data, const rmon_event *event)
{
    struct function *function;
    bool described = event->event == RMON_EVENT_PY_START; /* the address may be another function's by now */
    rmon_code_info info;
    (void)user_data;
    if (described)
        info = describe(event->code);
    pthread_mutex_lock(&lock);
    function = described ? remember(event->code, &info) : remembered(event->code);
    if (function == NULL && !described) {
        pthread_mutex_unlock(&lock);
        info = describe(event->code);
        pthread_mutex_lock(&lock);
        function = remember(event->code, &info);
    }
    if (event_counts[event->event]++ == 0 && first_event.tv_sec == 0)
        clock_gettime(CLOCK_MONOTONIC, &first_event);
    if (function == NULL) {
        dropped_functions++;
    } else {
        function->counts[event->event]++;
        if (event->event == RMON_EVENT_LINE)
            count_line(function->file, event->line);
    }
    pthread_mutex_unlock(&lock);
    return RMON_CONTINUE;
}

/* ---- the report ---- */

/* A name as one field of a line: tabs, line ends and backslashes are written as in C. */
static void write_name(FILE *out, const char *name)
{
    for (; *name != '\0'; name++) {
        switch (*name) {
        case '\t': fputs("\\t", out); break;
        case '\n': fputs("\\n", out); break;
        case '\r': fputs("\\r", out); break;
        case '\\': fputs("\\\\", out); break;
        default: putc(*name, out);
        }
    }
}

static void write_function(FILE *out, const struct function *function)
{
    uint64_t all = 0;
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        all += function->counts[event];
    fprintf(out, "function\t%llu\t%llu\t%d\t", (unsigned long long)function->counts[RMON_EVENT_PY_START],
            (unsigned long long)all, (int)function->first_line);
    write_name(out, function->file->name);
    putc('\t', out);
    write_name(out, function->qualname);
    putc('\n', out);
}

static void write_lines(FILE *out, const struct file *file)
{
    int32_t line;
    for (line = 0; line < file->line_count; line++) {
        if (file->lines[line] == 0)
            continue;
        fprintf(out, "line\t%llu\t%d\t", (unsigned long long)file->lines[line], (int)line);
        write_name(out, file->name);
        putc('\n', out);
    }
}

static double seconds_since_first_event(void)
{
    struct timespec now;
    if (first_event.tv_sec == 0)
        return 0.0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - first_event.tv_sec) + (double)(now.tv_nsec - first_event.tv_nsec) / 1e9;
}

static void write_report(FILE *out)
{
    size_t i;
    int event;
    const struct file *file;
    const struct function *function;
    fprintf(out, "event-counter\t1\nprocess\t%ld\nseconds\t%.6f\n", (long)getpid(), seconds_since_first_event());
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        fprintf(out, "event\t%llu\t%s\n", (unsigned long long)event_counts[event], rmon_event_name(event));
    for (i = 0; i < BUCKETS; i++)
        for (function = functions[i]; function != NULL; function = function->next)
            write_function(out, function);
    for (i = 0; i < BUCKETS; i++)
        for (file = files[i]; file != NULL; file = file->next)
            write_lines(out, file);
    fprintf(out, "dropped\t%llu\tfunctions\n", (unsigned long long)dropped_functions);
    fprintf(out, "dropped\t%llu\tlines\n", (unsigned long long)dropped_lines);
    fputs("end\n", out); /* so that a reader sees that it has all */
}

/* The report's path: $EVENT_COUNTER_REPORT with the process id for each %p. NULL: none is wanted, or it is too long. */
static const char *report_path(char *path, size_t capacity)
{
    const char *from = getenv("EVENT_COUNTER_REPORT");
    size_t used = 0;
    if (from == NULL || *from == '\0')
        return NULL;
    while (*from != '\0' && used + 1 < capacity) {
        if (from[0] == '%' && from[1] == 'p') {
            used += (size_t)snprintf(path + used, capacity - used, "%ld", (long)getpid());
            from += 2;
        } else {
            path[used++] = *from++;
        }
    }
    if (*from != '\0' || used >= capacity)
        return NULL;
    path[used] = '\0';
    return path;
}

/* ---- from loading to the process's end ---- */

static int attached;
static pid_t owner; /* a forked child goes on counting, but its counts are in part its parent's: it reports nothing */

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void attach(void)
{
    int status = rmon_use_tool_id(RMON_PROFILER_ID, "event-counter"), event;
    if (status != RMON_OK) {
        fprintf(stderr, "event-counter: %s\n", rmon_status_message(status));
        return;
    }
    attached = 1;
    owner = getpid();
    pthread_atfork(before_fork, after_fork, after_fork);
    for (event = 0; event < RMON_EVENT_COUNT && status == RMON_OK; event++)
        status = rmon_register_callback(RMON_PROFILER_ID, event, on_event, NULL, NULL);
    if (status == RMON_OK)
        status = rmon_set_events(RMON_PROFILER_ID, RMON_ALL_EVENTS);
    if (status != RMON_OK)
        fprintf(stderr, "event-counter: %s\n", rmon_status_message(status));
}

__attribute__((destructor)) static void detach(void)
{
    char path[4096];
    const char *name;
    FILE *out = stderr;
    if (!attached)
        return;
    rmon_free_tool_id(RMON_PROFILER_ID);
    rmon_synchronize(); /* from here on nobody is in on_event, and this library may be unloaded */
    if (owner != getpid())
        return;
    name = report_path(path, sizeof path);
    if (name != NULL && (out = fopen(name, "w")) == NULL) {
        perror(name);
        return;
    }
    write_report(out);
    if (name != NULL && fclose(out) != 0)
        perror(name);
}
