/* A plug-in of deadlock.c that attaches lazily, and has the program make control calls while the loader loads and
   unloads it. */
#define _GNU_SOURCE
#define RMON_LAZY
#include <rmon.h>

void deadlock_control(void);

__attribute__((constructor, destructor)) static void control(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    rmon_state state = {0, 0};
    uint64_t version = 0;
    deadlock_control();
    if (rmon_enter_scope(&state, &version, types, 1) == RMON_OK)
        (void)rmon_fire_line(&state, &state, 0, 1);
}
