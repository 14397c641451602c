/* The second unit of the plug-in that attaches lazily. See lazy.h. */
#define RMON_LAZY
#include <rmon.h>

int lazy_second_run(int lines);
rmon_slot *lazy_second_slot(void);

static const uint8_t types[] = {RMON_EVENT_LINE};
static rmon_state states[1];
static uint64_t version;

int lazy_second_run(int lines)
{
    int line, status = rmon_enter_scope(states, &version, types, 1);
    for (line = 1; line <= lines && status == RMON_OK; line++)
        status = rmon_fire_line(&states[0], states, line, line);
    return status;
}

rmon_slot *lazy_second_slot(void)
{
    return &rmon_priv_slot;
}
