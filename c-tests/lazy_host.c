/* lazy_host.c: a program that has librmon, by its shared or its static library, and emitters that attach lazily: a
   plug-in, and a unit of the program itself. And what rmon_attach_slot does with what is no slot. */
#define _GNU_SOURCE
#include "lazy.h"
#include "listener.h"

#include <sys/mman.h>

int lazy_second_run(int lines);
rmon_slot *lazy_second_slot(void);

static struct listener listener;

static int heard_of(int (*run)(int))
{
    int before = listener.calls;
    CHECK_EQ(run(3), RMON_OK);
    return listener.calls - before;
}

static void a_unit_of_the_program_is_attached(void)
{
    CHECK_EQ(heard_of(lazy_second_run), 0);
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(heard_of(lazy_second_run), 3);
    CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(lazy_second_run), 0);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(lazy_second_run), 3);
}

static void a_plug_in_finds_the_programs_library(void)
{
    const struct lazy_emitter *emitter;
    void *handle;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    handle = lazy_load("lazy_emitter"); /* after the tool, so it has to look for itself */
    emitter = lazy_emitter_of(handle);
    CHECK_EQ(heard_of(emitter->run), 3);
    CHECK_EQ(heard_of(emitter->second), 3);
    check_reset();
    CHECK_EQ(heard_of(emitter->run), 0);
    CHECK_EQ(dlclose(handle), 0);
    CHECK_EQ(heard_of(lazy_second_run), 0);
}

/* Local events and disabled locations do not differ from those of linked emitters. */
static void disable_holds_for_lazy_emitters(void)
{
    void *handle = lazy_load("lazy_emitter");
    const struct lazy_emitter *emitter = lazy_emitter_of(handle);
    listener.result = RMON_DISABLE;
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(heard_of(emitter->run), 3);
    CHECK_EQ(heard_of(emitter->run), 0);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(heard_of(emitter->run), 3);
    listener.result = -5;
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(emitter->run(3), -5);
    listener.result = RMON_CONTINUE;
    check_reset();
    CHECK_EQ(dlclose(handle), 0);
}

/* What two threads leave that meet in one scope while its emitter is put to sleep: the one that comes clears the
   states, and the one that has been there before stores the version for which it had filled them. */
static void states_from_before_are_not_trusted(void)
{
    void *handle = lazy_load("lazy_emitter");
    const struct lazy_emitter *emitter = lazy_emitter_of(handle);
    tool_opens(3);
    tool_hears(3, RMON_EVENT_LINE, &listener);
    CHECK_EQ(heard_of(emitter->run), 3);
    CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
    emitter->clear();
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(emitter->run), 3);
    check_reset();
    CHECK_EQ(dlclose(handle), 0);
}

static int describe(void *user_data, void *code, int delivering, rmon_code_info *info)
{
    (void)code, (void)delivering, (void)info;
    ++*(int *)user_data;
    return RMON_ERR_UNKNOWN_CODE;
}

/* What a plug-in has made it gives back before it is unloaded, whether it is awake then or not. */
static void what_was_made_can_be_given_back_asleep(void)
{
    void *handle = lazy_load("lazy_emitter");
    const struct lazy_emitter *emitter = lazy_emitter_of(handle);
    int asked = 0;
    rmon_host host = {sizeof host, &asked, NULL, describe, NULL, NULL};
    rmon_code_info info = {sizeof info, 0, NULL, NULL, NULL, NULL, 0};
    void *code = emitter->code_new();
    CHECK(code != NULL);
    CHECK_EQ(rmon_code_describe(code, &info), RMON_OK);
    CHECK_EQ(emitter->set_host(&host), RMON_OK);
    CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
    CHECK_PTR(emitter->code_new(), NULL);
    emitter->code_retain(code);
    emitter->code_release(code);
    CHECK_EQ(rmon_code_describe(code, &info), RMON_OK);
    emitter->code_release(code);
    CHECK_EQ(rmon_code_describe(&host, &info), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(asked, 1);
    CHECK_EQ(emitter->set_host(NULL), RMON_OK);
    CHECK_EQ(rmon_code_describe(code, &info), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(asked, 1);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(dlclose(handle), 0);
}

static int detach_in_callback(void *user_data, const rmon_event *event)
{
    (void)event;
    ++*(int *)user_data;
    return rmon_detach(RMON_HOST_NONE) == RMON_OK ? RMON_CONTINUE : -1;
}

static int attach_again_in_callback(void *user_data, const rmon_event *event)
{
    (void)event;
    ++*(int *)user_data;
    return rmon_detach(RMON_HOST_NONE) == RMON_OK && rmon_attach(RMON_HOST_NONE) == RMON_OK ? RMON_CONTINUE : -1;
}

static void callbacks_may_detach_and_attach(void)
{
    int calls = 0;
    tool_opens(3);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, attach_again_in_callback, &calls, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(3, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(lazy_second_run(3), RMON_OK);
    CHECK_EQ(calls, 3);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, detach_in_callback, &calls, NULL), RMON_OK);
    CHECK_EQ(lazy_second_run(3), RMON_OK);
    CHECK_EQ(calls, 4);
    CHECK_EQ(lazy_second_run(3), RMON_OK);
    CHECK_EQ(calls, 4);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
}

/* A slot as the header makes it, at a place of ours. */
static void make_slot(rmon_slot *slot)
{
    static const uint64_t nothing = 0;
    memset(slot, 0, sizeof *slot);
    slot->magic[0] = RMON_MAGIC;
    slot->magic[1] = RMON_SLOT_MAGIC;
    slot->version = &nothing;
    slot->address = slot;
    slot->struct_size = sizeof *slot;
    slot->abi_version = RMON_ABI_VERSION;
    slot->table_size = sizeof(rmon_table);
}

static void slots_are_looked_at(void)
{
    static rmon_slot slot, copy;
    static union {
        rmon_slot aligned;
        unsigned char bytes[2 * sizeof(rmon_slot)];
    } odd;
    size_t shift;
    CHECK_EQ(rmon_attach_slot(NULL), RMON_ERR_NULL);
    make_slot(&slot);
    copy = slot;
    CHECK_EQ(rmon_attach_slot(&copy), RMON_ERR_INVALID_ARGUMENT);
    CHECK_PTR(copy.table, NULL);
    for (shift = 1; shift < sizeof(void *); shift++) {
        uintptr_t address = (uintptr_t)(odd.bytes + shift);
        memcpy(odd.bytes + shift, &slot, sizeof slot);
        memcpy(odd.bytes + shift + offsetof(rmon_slot, address), &address, sizeof address);
        CHECK_EQ(rmon_attach_slot((rmon_slot *)(void *)(odd.bytes + shift)), RMON_ERR_INVALID_ARGUMENT);
    }
    slot.magic[1] ^= 1;
    CHECK_EQ(rmon_attach_slot(&slot), RMON_ERR_INVALID_ARGUMENT);
    make_slot(&slot);
    slot.magic[0] ^= 1;
    CHECK_EQ(rmon_attach_slot(&slot), RMON_ERR_INVALID_ARGUMENT);
    CHECK_PTR(slot.table, NULL);
    make_slot(&slot);
    CHECK_EQ(rmon_attach_slot(&slot), RMON_OK);
    CHECK_EQ(rmon_attach_slot(&slot), RMON_OK);
    CHECK(slot.table != NULL && slot.table->struct_size == sizeof(rmon_table));
    CHECK_EQ(slot.table->abi_version, RMON_ABI_VERSION);
    CHECK_EQ(slot.table->version_number(), RMON_VERSION_NUMBER);
}

/* Somebody's slot at the end of what may be written to, in memory that no file has. */
static void a_slot_may_lie_anywhere(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = (char *)mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rmon_slot *slot = (rmon_slot *)(void *)(memory + page - sizeof(rmon_slot));
    if (!CHECK(memory != (char *)MAP_FAILED))
        return;
    CHECK_EQ(mprotect(memory + page, page, PROT_NONE), 0);
    make_slot(slot);
    CHECK_EQ(rmon_attach_slot(slot), RMON_OK);
    CHECK(slot->table != NULL);
    make_slot(slot);
    slot->abi_version = 77; /* this is said on standard error */
    CHECK_EQ(rmon_attach_slot(slot), RMON_ERR_INVALID_ARGUMENT);
    CHECK_PTR(slot->table, NULL);
    make_slot(slot);
    CHECK_EQ(munmap(memory, 2 * page), 0);
    tool_opens(3); /* looks for slots again, but not there */
}

/* Words in this program's own data that begin as a slot does. */
static struct {
    uint64_t before;
    rmon_slot cut, copy, whole;
} lookalikes = {0,
                {{RMON_MAGIC, RMON_SLOT_MAGIC ^ 1}, NULL, NULL, &lookalikes.cut, 1, 2, 3, 4},
                {{RMON_MAGIC, RMON_SLOT_MAGIC}, NULL, NULL, &lookalikes.cut, 1, 2, 3, 4},
                {{RMON_MAGIC, RMON_SLOT_MAGIC}, NULL, NULL, NULL, 1, 2, 3, 4}};

static void what_only_looks_like_a_slot_is_left_alone(void)
{
    tool_opens(3);
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    CHECK_PTR(lookalikes.cut.table, NULL);
    CHECK_PTR(lookalikes.copy.table, NULL);
    CHECK_PTR(lookalikes.whole.table, NULL);
    CHECK_EQ(lookalikes.cut.flags + lookalikes.copy.flags + lookalikes.whole.flags, 12);
}

int main(void)
{
    CHECK_PTR(lazy_second_slot()->table, NULL);
    RUN(a_unit_of_the_program_is_attached);
    RUN(a_plug_in_finds_the_programs_library);
    RUN(disable_holds_for_lazy_emitters);
    RUN(states_from_before_are_not_trusted);
    RUN(what_was_made_can_be_given_back_asleep);
    RUN(callbacks_may_detach_and_attach);
    RUN(slots_are_looked_at);
    RUN(a_slot_may_lie_anywhere);
    RUN(what_only_looks_like_a_slot_is_left_alone);
    return check_result();
}
