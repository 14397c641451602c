/* threads.c: threads fire while others register, set, free, restart and disable; and threads come and go. */
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#define SET RMON_EVENT_SET

enum { EMITTERS = 4, CONTROLLERS = 3, CODES = 8 };

static char codes[CODES];

static int finished;        /* emitters that are done */
static long long heard;     /* calls of callbacks, over all threads */

/* A small generator of random numbers for each thread, so that threads do not meet in one. */
static unsigned random_below(uint32_t *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % below;
}

/* User data that knows whether it is alive. It is kept after its death, so that a late call is seen. */
struct user {
    int alive, deaths;
    struct user *next;      /* in the list of all */
};

static struct user *users;
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;

static struct user *new_user(void)
{
    struct user *user = (struct user *)calloc(1, sizeof *user);
    if (user == NULL)
        abort();
    flag_set(&user->alive, 1);
    pthread_mutex_lock(&users_lock);
    user->next = users;
    users = user;
    pthread_mutex_unlock(&users_lock);
    return user;
}

static void user_dies(void *user_data)
{
    struct user *user = (struct user *)user_data;
    __atomic_add_fetch(&user->deaths, 1, __ATOMIC_SEQ_CST);
    flag_set(&user->alive, 0);
}

/* Each user must have died once by now. */
static void bury_users(void)
{
    int wrong = 0;
    while (users != NULL) {
        struct user *user = users;
        users = user->next;
        wrong += user->deaths != 1 || user->alive != 0;
        free(user);
    }
    CHECK_EQ(wrong, 0);
}

static int hear(void *user_data, const rmon_event *event)
{
    struct user *user = (struct user *)user_data;
    if (!flag_get(&user->alive))
        CHECK(!"called after destroy");
    if (event->struct_size != sizeof *event || event->event >= RMON_EVENT_COUNT || event->tool_id >= TOOL_COUNT
        || event->offset < 0 || (event->event == RMON_EVENT_LINE) != (event->line >= 0))
        CHECK(!"a torn event");
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELAXED);
    if (!flag_get(&user->alive))
        CHECK(!"destroyed while called");
    return event->offset % 16 == 15 ? RMON_DISABLE : RMON_CONTINUE;
}

/* The events that the emitters fire may all be disabled, so that each fire gives RMON_OK. */
static const uint8_t types[] = {
    RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_LINE, RMON_EVENT_JUMP,
    RMON_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_RIGHT, RMON_EVENT_BRANCH, RMON_EVENT_CALL, RMON_EVENT_PY_RETURN,
};
enum { TYPES = sizeof types };

struct states {
    rmon_state states[TYPES];
    uint64_t version;
};

static void emit_one_invocation(struct states *states, void *code, uint32_t *seed)
{
    int i, bad = 0;
    bad += rmon_enter_scope(states->states, &states->version, types, TYPES) != RMON_OK;
    for (i = 0; i < TYPES; i++)
        bad += fire(types[i], &states->states[i], code, (int32_t)random_below(seed, 64)) != RMON_OK;
    bad += rmon_exit_scope() != RMON_OK;
    CHECK_EQ(bad, 0);
}

static struct states shared_states;

/* For so many rounds, and on until something was heard. */
static int emitting_goes_on(int round)
{
    int rounds = check_scaled(20000);
    return round < rounds || (round < 1000 * rounds && __atomic_load_n(&heard, __ATOMIC_RELAXED) == 0);
}

static void *emit_with_own_states(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    int i;
    for (i = 0; emitting_goes_on(i); i++) {
        struct states states;
        memset(&states, 0, sizeof states);
        emit_one_invocation(&states, &codes[random_below(&seed, CODES)], &seed);
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *emit_with_shared_states(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    int i;
    for (i = 0; emitting_goes_on(i); i++)
        emit_one_invocation(&shared_states, &codes[random_below(&seed, CODES)], &seed);
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Statuses that may come when others use and free the same tool id. */
static int set_went_well(int status)
{
    return status == RMON_OK || status == RMON_ERR_TOOL_NOT_IN_USE;
}

static void control_once(uint32_t *seed)
{
    static const uint32_t sets[] = {
        RMON_NO_EVENTS, RMON_ALL_EVENTS, SET(RMON_EVENT_LINE), SET(RMON_EVENT_BRANCH) | SET(RMON_EVENT_JUMP),
        SET(RMON_EVENT_CALL) | RMON_ANCILLARY_EVENTS, SET(RMON_EVENT_PY_START) | SET(RMON_EVENT_PY_RETURN),
    };
    int tool = (int)random_below(seed, TOOL_COUNT);
    int event = (int)random_below(seed, RMON_EVENT_COUNT);
    uint32_t set = sets[random_below(seed, sizeof sets / sizeof sets[0])];
    void *code = &codes[random_below(seed, CODES)];
    rmon_callback callback = NULL;
    void *user_data = NULL;
    char name[16];
    int status;
    switch (random_below(seed, 12)) {
    case 0:
        status = rmon_use_tool_id(tool, "thread");
        CHECK(status == RMON_OK || status == RMON_ERR_TOOL_IN_USE);
        CHECK_EQ(rmon_register_callback(tool, RMON_EVENT_LINE, hear, new_user(), user_dies), RMON_OK);
        CHECK(set_went_well(rmon_set_events(tool, RMON_ALL_EVENTS)));
        break;
    case 1:
        CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
        break;
    case 2:
        CHECK_EQ(rmon_clear_tool_id(tool), RMON_OK);
        break;
    case 3:
    case 4:
        CHECK_EQ(rmon_register_callback(tool, types[random_below(seed, TYPES)], hear, new_user(), user_dies), RMON_OK);
        break;
    case 5:
        CHECK_EQ(rmon_register_callback(tool, event, NULL, NULL, NULL), RMON_OK);
        break;
    case 6:
    case 7:
        CHECK(set_went_well(rmon_set_events(tool, set)));
        break;
    case 8:
        CHECK(set_went_well(rmon_set_local_events(tool, code, set & RMON_LOCAL_EVENTS)));
        break;
    case 9:
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        break;
    case 10:
        CHECK_EQ(rmon_code_forget(code), RMON_OK);
        break;
    default:
        CHECK_EQ(rmon_get_callback(tool, event, &callback, &user_data), RMON_OK);
        CHECK((callback == NULL) == (user_data == NULL));
        status = rmon_get_tool(tool, name, sizeof name);
        CHECK(status == 0 || (status == 6 && strcmp(name, "thread") == 0));
        if (random_below(seed, 4) == 0)
            CHECK_EQ(rmon_synchronize(), RMON_OK);
    }
}

static void *control(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    int i, least = check_scaled(2000), most = check_scaled(40000);
    for (i = 0; i < most && (i < least || flag_get(&finished) < EMITTERS); i++)
        control_once(&seed);
    return NULL;
}

/* Half of the emitters share one array of states, the others have new states in each invocation. */
static void emitters_and_controllers_do_not_disturb_each_other(void)
{
    pthread_t threads[EMITTERS + CONTROLLERS];
    int i;
    finished = 0;
    heard = 0;
    for (i = 0; i < EMITTERS; i++)
        threads[i] = thread_start(i & 1 ? emit_with_own_states : emit_with_shared_states, (void *)(uintptr_t)(i + 1));
    for (i = 0; i < CONTROLLERS; i++)
        threads[EMITTERS + i] = thread_start(control, (void *)(uintptr_t)(100 + i));
    for (i = 0; i < EMITTERS + CONTROLLERS; i++)
        thread_join(threads[i]);
    check_reset();
    CHECK(heard > 0);
    bury_users();
}

/* --- a tool that is always on hears every event of every thread --- */

static int count_heard(void *user_data, const rmon_event *event)
{
    (void)event;
    __atomic_add_fetch((long long *)user_data, 1, __ATOMIC_RELAXED);
    return RMON_CONTINUE;
}

static void *emit_lines(void *argument)
{
    rmon_state state = {0, 0};
    uint64_t version = 0;
    uint8_t line = RMON_EVENT_LINE;
    int i, rounds = check_scaled(30000);
    (void)argument;
    for (i = 0; i < rounds; i++) {
        if (rmon_enter_scope(&state, &version, &line, 1) != RMON_OK
            || rmon_fire_line(&state, &codes[0], i, i) != RMON_OK)
            CHECK(!"an error of a fire");
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *disturb_tool_1(void *argument)
{
    struct user *user;
    (void)argument;
    while (flag_get(&finished) < EMITTERS) {
        user = new_user();
        CHECK_EQ(rmon_use_tool_id(1, "disturbs"), RMON_OK);
        CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, hear, user, user_dies), RMON_OK);
        CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_OK);
        CHECK_EQ(rmon_set_local_events(1, &codes[0], SET(RMON_EVENT_LINE)), RMON_OK);
        CHECK_EQ(rmon_restart_events(), RMON_OK);
        CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
        CHECK_EQ(flag_get(&user->deaths), 1);
    }
    return NULL;
}

static void a_tool_that_stays_on_misses_nothing(void)
{
    pthread_t threads[EMITTERS + 1];
    long long count = 0;
    int i;
    finished = 0;
    tool_opens(2);
    CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, count_heard, &count, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(2, SET(RMON_EVENT_LINE)), RMON_OK);
    for (i = 0; i < EMITTERS; i++)
        threads[i] = thread_start(emit_lines, NULL);
    threads[EMITTERS] = thread_start(disturb_tool_1, NULL);
    for (i = 0; i <= EMITTERS; i++)
        thread_join(threads[i]);
    CHECK_EQ(count, (long long)EMITTERS * check_scaled(30000));
    check_reset();
    bury_users();
}

/* A callback that is replaced again and again: each event reaches the old one or the new one. */
static void *replace_callback(void *argument)
{
    while (flag_get(&finished) < EMITTERS)
        CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, count_heard, argument, NULL), RMON_OK);
    return NULL;
}

static void replacing_a_callback_loses_and_doubles_no_event(void)
{
    pthread_t threads[EMITTERS + 1];
    long long count = 0;
    int i;
    finished = 0;
    tool_opens(2);
    CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, count_heard, &count, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(2, SET(RMON_EVENT_LINE)), RMON_OK);
    for (i = 0; i < EMITTERS; i++)
        threads[i] = thread_start(emit_lines, NULL);
    threads[EMITTERS] = thread_start(replace_callback, &count);
    for (i = 0; i <= EMITTERS; i++)
        thread_join(threads[i]);
    CHECK_EQ(count, (long long)EMITTERS * check_scaled(30000));
}

/* --- what a removal promises --- */

static void *remove_and_look(void *argument)
{
    int i, rounds = check_scaled(300);
    (void)argument;
    for (i = 0; i < rounds; i++) {
        struct user *user = new_user();
        CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, hear, user, user_dies), RMON_OK);
        sched_yield();
        CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
        CHECK_EQ(flag_get(&user->deaths), 1);
    }
    flag_set(&finished, 1);
    return NULL;
}

static void *emit_lines_until_finished(void *argument)
{
    struct states states;
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    memset(&states, 0, sizeof states);
    while (!flag_get(&finished)) {
        emit_one_invocation(&states, &codes[random_below(&seed, CODES)], &seed);
        sched_yield();
    }
    return NULL;
}

static void after_synchronize_destroy_has_run(void)
{
    pthread_t threads[3];
    int i;
    finished = 0;
    tool_opens(3);
    CHECK_EQ(rmon_set_events(3, RMON_ALL_EVENTS), RMON_OK);
    for (i = 0; i < 2; i++)
        threads[i] = thread_start(emit_lines_until_finished, (void *)(uintptr_t)(i + 1));
    threads[2] = thread_start(remove_and_look, NULL);
    for (i = 0; i < 3; i++)
        thread_join(threads[i]);
    check_reset();
    bury_users();
}

/* --- threads that make rmon's own codes --- */

static void *make_codes(void *argument)
{
    rmon_code_info info = {0}, out = {0};
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    int i, rounds = check_scaled(2000);
    info.struct_size = out.struct_size = sizeof info;
    info.name = "made";
    info.filename = "threads.c";
    for (i = 0; i < rounds; i++) {
        struct states states;
        void *code;
        info.first_line = i;
        code = rmon_code_new(&info);
        memset(&states, 0, sizeof states);
        CHECK_EQ(rmon_set_local_events(3, code, SET(RMON_EVENT_LINE)), RMON_OK);
        emit_one_invocation(&states, code, &seed);
        rmon_code_retain(code);
        rmon_code_release(code);
        CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
        CHECK_EQ(out.first_line, i);
        rmon_code_release(code);
    }
    return NULL;
}

static void threads_make_and_release_codes(void)
{
    pthread_t threads[EMITTERS];
    int i;
    tool_opens(3);
    CHECK_EQ(rmon_register_callback(3, RMON_EVENT_LINE, hear, new_user(), user_dies), RMON_OK);
    for (i = 0; i < EMITTERS; i++)
        threads[i] = thread_start(make_codes, (void *)(uintptr_t)(i + 1));
    for (i = 0; i < EMITTERS; i++)
        thread_join(threads[i]);
    check_reset();
    bury_users();
}

/* --- short threads --- */

static void *live_shortly(void *argument)
{
    rmon_state state = {0, 0};
    uint64_t version = 0;
    uint8_t line = RMON_EVENT_LINE;
    (void)argument;
    CHECK_EQ(rmon_enter_scope(&state, &version, &line, 1), RMON_OK);
    CHECK_EQ(rmon_fire_line(&state, &codes[0], 1, 1), RMON_OK);
    return NULL;
}

static void thousands_of_short_threads_fire(void)
{
    enum { AT_ONCE = 8 };
    long long count = 0;
    int i, k, rounds = check_scaled(300);
    tool_opens(2);
    for (i = 0; i < rounds; i++) {
        pthread_t threads[AT_ONCE];
        CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, count_heard, &count, NULL), RMON_OK);
        CHECK_EQ(rmon_set_events(2, SET(RMON_EVENT_LINE)), RMON_OK);
        for (k = 0; k < AT_ONCE; k++)
            threads[k] = thread_start(live_shortly, NULL);
        if (i % 16 == 0)
            CHECK_EQ(rmon_synchronize(), RMON_OK);
        for (k = 0; k < AT_ONCE; k++)
            thread_join(threads[k]);
        CHECK_EQ(count, (long long)AT_ONCE * (i + 1));
        CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, NULL, NULL, NULL), RMON_OK);
    }
}

/* --- the end of a thread --- */

enum { END_ROUNDS = 4 };

static int end_calls[END_ROUNDS];       /* by round: 0 while the thread runs, then the rounds of destructors */
static struct states end_states;

static int count_end(void *user_data, const rmon_event *event)
{
    (void)user_data;
    __atomic_add_fetch(&end_calls[event->offset % END_ROUNDS], 1, __ATOMIC_SEQ_CST);
    return RMON_CONTINUE;
}

/* The offset tells the round. */
static void fire_in_round(void *round)
{
    int32_t offset = (int32_t)(uintptr_t)round;
    int status;
    CHECK_EQ(rmon_enter_scope(end_states.states, &end_states.version, types, TYPES), RMON_OK);
    CHECK_EQ(rmon_fire_line(&end_states.states[1], &codes[0], offset, 1), RMON_OK);
    CHECK_EQ(rmon_register_callback(4, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
    status = rmon_synchronize();
    CHECK(status == RMON_OK || offset > 1);
}

static pthread_key_t early_key, late_key;

/* A destructor may set its key again: it is then called once more, after everybody else's. */
static void fire_and_come_again(void *round)
{
    fire_in_round(round);
    if ((uintptr_t)round + 1 < END_ROUNDS)
        CHECK_EQ(pthread_setspecific(early_key, (void *)((uintptr_t)round + 1)), 0);
}

static void *end_with_keys(void *fires_before)
{
    if (fires_before != NULL)
        fire_in_round((void *)(uintptr_t)0);
    CHECK_EQ(pthread_setspecific(early_key, (void *)(uintptr_t)1), 0);
    CHECK_EQ(pthread_setspecific(late_key, (void *)(uintptr_t)1), 0);
    return NULL;
}

/* What destructors that come again fire may be lost, when the library has let go of the thread, but does no harm. */
static void a_thread_may_fire_from_the_destructors_of_keys(void)
{
    int i, count = check_scaled(200);
    tool_opens(2);
    CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, count_end, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(2, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(pthread_key_create(&late_key, fire_in_round), 0);
    for (i = 0; i < count; i++) {
        int fires_before = i & 1;
        memset(end_calls, 0, sizeof end_calls);
        thread_join(thread_start(end_with_keys, fires_before ? &codes[0] : NULL));
        CHECK_EQ(end_calls[0], fires_before);
        CHECK_EQ(end_calls[1], 2);
        CHECK(end_calls[2] <= 1);
        CHECK(end_calls[3] <= 1);
    }
    CHECK_EQ(pthread_key_delete(late_key), 0);
    CHECK_EQ(rmon_free_tool_id(2), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
}

/* --- what changes while a thread is in a callback --- */

static int one_is_inside, let_go;

static int wait_and_disable(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    flag_set(&one_is_inside, 1);
    CHECK(flag_reaches(&let_go, 1));
    return RMON_DISABLE;
}

static void *fire_one_line(void *argument)
{
    struct scope scope = {{{0, 0}}, 0};
    (void)argument;
    scope_enters(&scope);
    CHECK_EQ(fire(RMON_EVENT_LINE, &scope.states[RMON_EVENT_LINE], &codes[0], 1), RMON_OK);
    return NULL;
}

/* Tool 0 waits in a callback on the thread that is returned. */
static pthread_t thread_in_callback(void)
{
    pthread_t thread;
    flag_set(&one_is_inside, 0);
    flag_set(&let_go, 0);
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, wait_and_disable, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    thread = thread_start(fire_one_line, NULL);
    CHECK(flag_reaches(&one_is_inside, 1));
    return thread;
}

static void an_answer_for_an_id_that_is_anothers_by_now_disables_nothing(void)
{
    struct listener another = {0};
    pthread_t thread = thread_in_callback();
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &another);
    flag_set(&let_go, 1);
    thread_join(thread);
    thread_join(thread_start(fire_one_line, NULL));
    CHECK_EQ(another.calls, 1);
}

/* That thread might have been filling states that it shares with others: they must be filled again. */
static void who_was_inside_during_a_change_leaves_every_scope_out_of_date(void)
{
    struct scope scope = {{{0, 0}}, 0};
    uint64_t during;
    pthread_t thread = thread_in_callback();
    tool_opens(1);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_JUMP)), RMON_OK);
    scope_enters(&scope);
    during = scope.version;
    scope_enters(&scope);
    CHECK(during != 0 && scope.version == during);
    flag_set(&let_go, 1);
    thread_join(thread);
    scope_enters(&scope);
    CHECK(scope.version > during);
    during = scope.version;
    scope_enters(&scope);
    CHECK(scope.version == during);
}

int main(void)
{
    /* Before the library makes any key of its own. */
    CHECK_EQ(pthread_key_create(&early_key, fire_and_come_again), 0);
    RUN(emitters_and_controllers_do_not_disturb_each_other);
    RUN(a_tool_that_stays_on_misses_nothing);
    RUN(replacing_a_callback_loses_and_doubles_no_event);
    RUN(after_synchronize_destroy_has_run);
    RUN(threads_make_and_release_codes);
    RUN(thousands_of_short_threads_fire);
    RUN(a_thread_may_fire_from_the_destructors_of_keys);
    RUN(an_answer_for_an_id_that_is_anothers_by_now_disables_nothing);
    RUN(who_was_inside_during_a_change_leaves_every_scope_out_of_date);
    return check_result();
}
