/* double_inclusion.h: includes rmon.h twice, for two units of one program. */
#include <rmon.h>
#include <rmon.h>

/* In double_inclusion_b.c: enters the other unit's scope, and fires there. */
int enter_in_b(rmon_state *states, uint64_t *version, const uint8_t *event_types, ptrdiff_t length);
int fire_in_b(rmon_state *state, void *code);
int (*fire_line_of_b(void))(rmon_state *state, void *code, int32_t offset, int32_t lineno);
