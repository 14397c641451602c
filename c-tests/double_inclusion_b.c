/* double_inclusion_b.c: the other unit of double_inclusion_a.c. */
#include <rmon.h>
#include "double_inclusion.h"
#include <rmon.h>

int enter_in_b(rmon_state *states, uint64_t *version, const uint8_t *event_types, ptrdiff_t length)
{
    return rmon_enter_scope(states, version, event_types, length);
}

int fire_in_b(rmon_state *state, void *code)
{
    return rmon_fire_line(state, code, 1, 20);
}

int (*fire_line_of_b(void))(rmon_state *state, void *code, int32_t offset, int32_t lineno)
{
    return rmon_fire_line;
}
