/* A library that has librmon's rmon_attach_slot but is another: what it hands over is chosen by the environment
   variable IMPOSTOR. Its table is a good one, larger than the emitter knows, or has one fault. */
#include "check.h"

int impostor_slots, impostor_enters, impostor_fires;

/* Larger than the table that the emitter knows. */
static struct {
    rmon_table known;
    int (*more[8])(void);
} table;
static uint64_t one = 1;

static int enter_scope(rmon_state *states, uint64_t *version, const uint8_t *event_types, ptrdiff_t length)
{
    ptrdiff_t index;
    (void)event_types;
    impostor_enters++;
    for (index = 0; index < length; index++)
        states[index].active = 1;
    *version = one;
    return RMON_OK;
}

static int fire_line(rmon_state *state, void *code, int32_t offset, int32_t line)
{
    (void)state, (void)code, (void)offset, (void)line;
    impostor_fires++;
    return RMON_OK;
}

int rmon_attach_slot(rmon_slot *slot)
{
    const char *how = getenv("IMPOSTOR");
    impostor_slots++;
    if (how == NULL || strcmp(how, "refuses") == 0)
        return RMON_ERR_INVALID_ARGUMENT;
    table.known.magic = RMON_MAGIC;
    table.known.struct_size = sizeof table;
    table.known.abi_version = RMON_ABI_VERSION;
    table.known.enter_scope = enter_scope;
    table.known.fire_line = fire_line;
    if (strcmp(how, "corrupt") == 0)
        memset(&table, 0xa5, sizeof table);
    else if (strcmp(how, "truncated") == 0)
        table.known.struct_size = sizeof table.known - sizeof table.known.version;
    else if (strcmp(how, "other ABI") == 0)
        table.known.abi_version = RMON_ABI_VERSION + 1;
    else if (strcmp(how, "empty") == 0)
        table.known.struct_size = 0;
    __atomic_store_n(&slot->table, &table.known, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->version, strcmp(how, "no version") == 0 ? NULL : &one, __ATOMIC_RELEASE);
    if (strcmp(how, "no version") == 0)
        table.known.magic = 0;
    return RMON_OK;
}
