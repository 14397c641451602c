/* listener.h: a callback that notes what it hears, tools made of it, and a scope with a state for each event. */
#ifndef RMON_TESTS_LISTENER_H
#define RMON_TESTS_LISTENER_H

#include "check.h"

struct listener {
    int result;         /* what the callback returns */
    int calls;
    int destroyed;
    rmon_event last;
};

static inline int listener_hear(void *user_data, const rmon_event *event)
{
    struct listener *listener = (struct listener *)user_data;
    listener->calls++;
    listener->last = *event;
    return listener->result;
}

static inline void listener_destroy(void *user_data)
{
    ((struct listener *)user_data)->destroyed++;
}

/* The smallest event set that has this event and may be set. */
static inline uint32_t settable_with(int event)
{
    if (RMON_EVENT_SET(event) & RMON_ANCILLARY_EVENTS)
        return RMON_ANCILLARY_EVENTS | RMON_EVENT_SET(RMON_EVENT_CALL);
    return RMON_EVENT_SET(event);
}

static inline void tool_opens(int tool)
{
    CHECK_EQ(rmon_use_tool_id(tool, "listener"), RMON_OK);
}

static inline void tool_registers(int tool, int event, struct listener *listener)
{
    CHECK_EQ(rmon_register_callback(tool, event, listener_hear, listener, NULL), RMON_OK);
}

/* Registers the listener for the event, and adds the event to what the tool has on everywhere. */
static inline void tool_hears(int tool, int event, struct listener *listener)
{
    uint32_t on = 0;
    tool_registers(tool, event, listener);
    CHECK_EQ(rmon_get_events(tool, &on), RMON_OK);
    CHECK_EQ(rmon_set_events(tool, on | settable_with(event)), RMON_OK);
}

/* The same for one code. */
static inline void tool_hears_in(int tool, void *code, int event, struct listener *listener)
{
    uint32_t on = 0;
    tool_registers(tool, event, listener);
    CHECK_EQ(rmon_get_local_events(tool, code, &on), RMON_OK);
    CHECK_EQ(rmon_set_local_events(tool, code, on | settable_with(event)), RMON_OK);
}

/* states[event] is the state of that event. */
struct scope {
    rmon_state states[RMON_EVENT_COUNT];
    uint64_t version;
};

static const uint8_t scope_types[RMON_EVENT_COUNT] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

static inline void scope_enters(struct scope *scope)
{
    CHECK_EQ(rmon_enter_scope(scope->states, &scope->version, scope_types, RMON_EVENT_COUNT), RMON_OK);
}

#endif
