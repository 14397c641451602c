/* planted_fault.c: does what its argument names: nothing wrong, or one fault that a checker (of memory, threads, or
   undefined behaviour) must find. It proves that the checker is on, and that it sees into librmon. */
#define _GNU_SOURCE
#include <rmon.h>

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*enter_scope)(rmon_state *states, uint64_t *version, const uint8_t *event_types, ptrdiff_t length);

/* Where the compiler cannot follow a pointer: it would warn of the fault, or optimise it away. */
static void *volatile hidden;

static int ignore(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    return RMON_CONTINUE;
}

/* A tool listens, so that entering a scope writes states and firing calls a callback. */
static int listen(rmon_callback callback, void *user_data)
{
    if (rmon_use_tool_id(RMON_PROFILER_ID, "planted") != RMON_OK)
        return 0;
    if (rmon_register_callback(RMON_PROFILER_ID, RMON_EVENT_LINE, callback, user_data, NULL) != RMON_OK)
        return 0;
    return rmon_set_events(RMON_PROFILER_ID, RMON_EVENT_SET(RMON_EVENT_LINE)) == RMON_OK;
}

/* The exported function, so that it is librmon's code that reads and writes the states. */
static int enter(rmon_state *states)
{
    static const uint8_t events[1] = {RMON_EVENT_LINE};
    uint64_t version = 0;
    enter_scope function;
    void *symbol = dlsym(RTLD_DEFAULT, "rmon_enter_scope");
    if (symbol == NULL)
        return 0;
    memcpy(&function, &symbol, sizeof function);
    return function(states, &version, events, 1) == RMON_OK;
}

static int read_first_byte(void *user_data, const rmon_event *event)
{
    (void)event;
    return *(volatile char *)user_data != 0 ? RMON_CONTINUE : RMON_DISABLE;
}

typedef int fault(rmon_state *states, char *user_data);

static int no_fault(rmon_state *states, char *user_data)
{
    return listen(ignore, user_data) && enter(states) && rmon_fire_line(states, NULL, 0, 1) == RMON_OK;
}

/* ---- Memory ---- */

/* The callback reads what its owner has freed. */
static int use_after_free(rmon_state *states, char *user_data)
{
    int good = 0;
    hidden = malloc(1);
    (void)user_data;
    if (hidden != NULL && listen(read_first_byte, hidden) && enter(states)) {
        free(hidden);
        good = rmon_fire_line(states, NULL, 0, 1) == RMON_OK;
    }
    return good;
}

static int overflow(rmon_state *states, char *user_data)
{
    (void)states;
    hidden = user_data;
    ((volatile char *)hidden)[1] = 1;
    return 1;
}

/* librmon fills states that their emitter has freed. */
static int write_in_librmon(rmon_state *states, char *user_data)
{
    (void)states;
    hidden = malloc(sizeof(rmon_state));
    if (hidden == NULL || !listen(ignore, user_data))
        return 0;
    free(hidden);
    return enter((rmon_state *)hidden);
}

static void *code_with_lines(const rmon_line_entry *lines, size_t count)
{
    rmon_code_info info = {0};
    info.struct_size = sizeof info;
    info.name = info.filename = "planted";
    info.lines = lines;
    info.line_count = count;
    return rmon_code_new(&info);
}

/* librmon reads more lines than there are. */
static int overflow_in_librmon(rmon_state *states, char *user_data)
{
    void *code;
    (void)states, (void)user_data;
    hidden = calloc(1, sizeof(rmon_line_entry));
    code = code_with_lines((const rmon_line_entry *)hidden, 2);
    rmon_code_release(code);
    free(hidden);
    return hidden != NULL;
}

/* The text was librmon's, and died with its code. */
static int freed_by_librmon(rmon_state *states, char *user_data)
{
    rmon_code_info info = {0};
    void *code = code_with_lines(NULL, 0);
    int good;
    (void)states, (void)user_data;
    info.struct_size = sizeof info;
    good = rmon_code_describe(code, &info) == RMON_OK;
    rmon_code_release(code);
    return good && *(const volatile char *)info.name != '?';
}

static int leak(rmon_state *states, char *user_data)
{
    (void)states, (void)user_data;
    hidden = malloc(100);
    hidden = NULL;
    return 1;
}

/* ---- Threads ---- */

static int both(void *(*one)(void *), void *(*other)(void *), void *argument)
{
    pthread_t threads[2];
    return pthread_create(&threads[0], NULL, one, argument) == 0
        && pthread_create(&threads[1], NULL, other, argument) == 0 && pthread_join(threads[0], NULL) == 0
        && pthread_join(threads[1], NULL) == 0;
}

static void *write_plainly(void *byte)
{
    *(volatile char *)byte = 1;
    return NULL;
}

static int race(rmon_state *states, char *user_data)
{
    (void)states;
    return both(write_plainly, write_plainly, user_data);
}

static void *fill_states(void *states)
{
    return enter((rmon_state *)states) ? states : NULL;
}

/* librmon fills states while their emitter writes to them. */
static int race_with_librmon(rmon_state *states, char *user_data)
{
    return listen(ignore, user_data) && both(write_plainly, fill_states, states);
}

static void *shared_code;

static void *describe(void *info)
{
    return rmon_code_describe(shared_code, (rmon_code_info *)info) == RMON_OK ? info : NULL;
}

/* librmon writes to one description in two threads, so that only a checker that sees into it can tell. */
static int race_in_librmon(rmon_state *states, char *user_data)
{
    rmon_code_info info = {0};
    int good;
    (void)states, (void)user_data;
    info.struct_size = sizeof info;
    shared_code = code_with_lines(NULL, 0);
    good = both(describe, describe, &info);
    rmon_code_release(shared_code);
    return good;
}

/* ---- Undefined behaviour ---- */

static int signed_overflow(rmon_state *states, char *user_data)
{
    volatile int most = INT_MAX;
    (void)states, (void)user_data;
    most = most + 1;
    return most != 0;
}

static int misaligned(rmon_state *states, char *user_data)
{
    uint64_t place[2] = {0, 0};
    (void)states, (void)user_data;
    hidden = (char *)place + 1;
    return *(const uint32_t *)hidden == 0; /* not volatile: clang would let it pass */
}

static int null_in_header(rmon_state *states, char *user_data)
{
    (void)states, (void)user_data;
    hidden = NULL;
    return rmon_fire_line((rmon_state *)hidden, NULL, 0, 1) == RMON_OK;
}

static const struct {
    const char *name;
    fault *does;
} faults[] = {
    {"none", no_fault},
    {"use-after-free", use_after_free},
    {"overflow", overflow},
    {"write-in-librmon", write_in_librmon},
    {"overflow-in-librmon", overflow_in_librmon},
    {"freed-by-librmon", freed_by_librmon},
    {"leak", leak},
    {"race", race},
    {"race-with-librmon", race_with_librmon},
    {"race-in-librmon", race_in_librmon},
    {"signed-overflow", signed_overflow},
    {"misaligned", misaligned},
    {"null-in-header", null_in_header},
};

int main(int argc, char **argv)
{
    size_t i;
    for (i = 0; argc == 2 && i < sizeof faults / sizeof faults[0]; i++) {
        if (strcmp(argv[1], faults[i].name) == 0) {
            rmon_state *states = (rmon_state *)calloc(1, sizeof *states);
            char *user_data = (char *)calloc(1, 1);
            int good = states != NULL && user_data != NULL && faults[i].does(states, user_data);
            good = rmon_free_tool_id(RMON_PROFILER_ID) == RMON_OK && good;
            free(states);
            free(user_data);
            return good ? 0 : 1;
        }
    }
    fprintf(stderr, "usage: planted_fault FAULT\n");
    for (i = 0; i < sizeof faults / sizeof faults[0]; i++)
        fprintf(stderr, "    %s\n", faults[i].name);
    return 2;
}
