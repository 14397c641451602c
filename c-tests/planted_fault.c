/* planted_fault.c: does what its argument names: nothing wrong, or one fault that a memory checker must find. It proves
   that the checker is on, and that it sees into librmon. */
#define _GNU_SOURCE
#include <rmon.h>

#include <dlfcn.h>
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

int main(int argc, char **argv)
{
    const char *fault = argc == 2 ? argv[1] : "";
    rmon_state *states = (rmon_state *)calloc(1, sizeof *states);
    char *user_data = (char *)calloc(1, 1);
    int good = states != NULL && user_data != NULL;
    hidden = states;

    if (strcmp(fault, "none") == 0) {
        good = good && listen(ignore, user_data) && enter(states) && rmon_fire_line(states, NULL, 0, 1) == RMON_OK;
    } else if (strcmp(fault, "use-after-free") == 0) {
        /* The callback reads what its owner has freed. */
        good = good && listen(read_first_byte, user_data) && enter(states);
        free(user_data);
        user_data = NULL;
        good = good && rmon_fire_line(states, NULL, 0, 1) == RMON_OK;
    } else if (strcmp(fault, "write-in-librmon") == 0) {
        /* librmon fills states that their emitter has freed. */
        good = good && listen(ignore, user_data);
        free(states);
        good = good && enter((rmon_state *)hidden);
        states = NULL;
    } else if (strcmp(fault, "leak") == 0) {
        hidden = malloc(100);
        hidden = states;
    } else {
        fprintf(stderr, "usage: planted_fault none|use-after-free|write-in-librmon|leak\n");
        return 2;
    }
    good = rmon_free_tool_id(RMON_PROFILER_ID) == RMON_OK && good;
    free(states);
    free(user_data);
    return good ? 0 : 1;
}
