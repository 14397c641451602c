/* lazy_storm.c: emitters that attach lazily fire in many threads, sharing their states, while they are put to sleep and
   woken, plug-ins come and go, and tools too. After each storm nothing is lost, and nothing comes twice. */
#define _GNU_SOURCE
#include "lazy.h"
#include "listener.h"
#include "waiting.h"

enum { PLUG_INS = 3, EMITTERS = 3, SLEEPERS = 2 };

static const struct lazy_emitter *emitters[PLUG_INS];
static int stop;
static int heard;

static int hear(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    __atomic_fetch_add(&heard, 1, __ATOMIC_RELAXED);
    return RMON_CONTINUE;
}

static void open_counter(int tool)
{
    CHECK_EQ(rmon_use_tool_id(tool, "counter"), RMON_OK);
    CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_LINE, hear, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(tool, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
}

/* ---- The threads of the storm ---- */

static void *emit(void *argument)
{
    (void)argument;
    while (!flag_get(&stop)) {
        int i;
        for (i = 0; i < PLUG_INS; i++) {
            CHECK_EQ(emitters[i]->run(2), RMON_OK);
            CHECK_EQ(emitters[i]->second(2), RMON_OK);
            CHECK_EQ(emitters[i]->run_on_stack(2), RMON_OK);
            emitters[i]->code_release(emitters[i]->code_new());
        }
    }
    return NULL;
}

static void *sleep_and_wake(void *argument)
{
    (void)argument;
    while (!flag_get(&stop)) {
        CHECK_EQ(rmon_detach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    (void)argument;
    while (!flag_get(&stop)) {
        void *handle = lazy_load("lazy_emitter");
        CHECK_EQ(lazy_emitter_of(handle)->run(1), RMON_OK);
        CHECK_EQ(dlclose(handle), 0);
    }
    return NULL;
}

static void *claim_and_free(void *argument)
{
    (void)argument;
    while (!flag_get(&stop)) {
        open_counter(4);
        CHECK_EQ(rmon_free_tool_id(4), RMON_OK);
    }
    return NULL;
}

/* ---- After a storm ---- */

static void nothing_is_lost(void)
{
    int i;
    CHECK_EQ(rmon_attach(RMON_HOST_NONE), RMON_OK);
    for (i = 0; i < PLUG_INS; i++) {
        __atomic_store_n(&heard, 0, __ATOMIC_RELAXED);
        CHECK_EQ(emitters[i]->run(5), RMON_OK);
        CHECK_EQ(__atomic_load_n(&heard, __ATOMIC_RELAXED), 5);
        CHECK_EQ(emitters[i]->second(5), RMON_OK);
        CHECK_EQ(__atomic_load_n(&heard, __ATOMIC_RELAXED), 10);
    }
}

static void storm(void *(*const *others)(void *), int count, int milliseconds)
{
    pthread_t threads[16];
    int i, started = 0;
    flag_set(&stop, 0);
    for (i = 0; i < EMITTERS; i++)
        threads[started++] = thread_start(emit, NULL);
    for (i = 0; i < count; i++)
        threads[started++] = thread_start(others[i], NULL);
    sleep_milliseconds(milliseconds);
    flag_set(&stop, 1);
    for (i = 0; i < started; i++)
        thread_join(threads[i]);
    nothing_is_lost();
}

/* The tool stays, and with it the version: what is awake again must not go by states from before. */
static void while_emitters_sleep_and_wake(void)
{
    static void *(*const others[SLEEPERS])(void *) = {sleep_and_wake, sleep_and_wake};
    int round, rounds = check_scaled(60);
    open_counter(3);
    for (round = 0; round < rounds; round++)
        storm(others, SLEEPERS, 5);
}

static void while_everything_happens(void)
{
    static void *(*const others[4])(void *) = {sleep_and_wake, come_and_go, claim_and_free, come_and_go};
    int round, rounds = check_scaled(10);
    open_counter(3);
    for (round = 0; round < rounds; round++)
        storm(others, 4, 50);
}

/* ---- Many threads enter their first scope at once ---- */

static const struct lazy_emitter *fresh;
static int ready, go;

static void *begin(void *argument)
{
    (void)argument;
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (!flag_get(&go))
        continue;
    CHECK_EQ(fresh->run_on_stack(3), RMON_OK);
    return NULL;
}

static void threads_that_begin_at_once_lose_nothing(void)
{
    int round, rounds = check_scaled(100);
    open_counter(3);
    for (round = 0; round < rounds; round++) {
        void *handle = lazy_load("lazy_emitter");
        pthread_t threads[EMITTERS];
        int i;
        fresh = lazy_emitter_of(handle);
        ready = go = heard = 0;
        for (i = 0; i < EMITTERS; i++)
            threads[i] = thread_start(begin, NULL);
        CHECK(flag_reaches(&ready, EMITTERS));
        flag_set(&go, 1);
        for (i = 0; i < EMITTERS; i++)
            thread_join(threads[i]);
        CHECK_EQ(heard, 3 * EMITTERS);
        CHECK_EQ(dlclose(handle), 0);
    }
}

int main(void)
{
    int i;
    for (i = 0; i < PLUG_INS; i++)
        emitters[i] = lazy_load_emitter();
    RUN(threads_that_begin_at_once_lose_nothing);
    RUN(while_emitters_sleep_and_wake);
    RUN(while_everything_happens);
    return check_result();
}
