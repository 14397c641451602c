/* storm.c: many threads fire while tools come and go, callbacks replace and remove themselves, locations are disabled
   and restarted, and codes die whose addresses are used again. Each thread knows what it must have heard after each
   fire. Then the same with one fault after another, which must each be noticed.

   RMON_TEST_SECONDS (default 1), RMON_TEST_THREADS (64) and RMON_TEST_SEED choose another storm. */
#define _GNU_SOURCE
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#include <limits.h>
#include <sys/wait.h>

#define SET RMON_EVENT_SET
#define EVENTS_OF_WITNESS \
    (SET(RMON_EVENT_PY_START) | SET(RMON_EVENT_LINE) | SET(RMON_EVENT_CALL) | SET(RMON_EVENT_RAISE) \
     | SET(RMON_EVENT_PY_RETURN))

/* Who the tools are, the highest first: two that do anything at any time, also from inside their callbacks; two that
   listen for a while, everywhere or in some codes; one that listens all the time; and one that answers DISABLE. */
enum { LOW_CHURN, DISABLER, LOCAL_EPOCHS, WITNESS, EPOCHS, HIGH_CHURN };

/* A thread that is neither of these emits. */
enum { EPOCHS_THREAD, LOCAL_EPOCHS_THREAD, WITNESS_THREAD, RESTARTS_THREAD, SHORT_THREADS, CHURN_THREAD, CHURN_THREAD_2,
       CHURN_THREAD_3, FIRST_EMITTER };

enum { PUBLIC_CODES = 8, JUNK_CODES = 4, MOST_THREADS = 256, LEAST_THREADS = FIRST_EMITTER + 4, ERROR_OF_LOW = -1234 };

static char public_codes[PUBLIC_CODES];             /* never forgotten; their states are shared, or one thread's */
static char junk_codes[JUNK_CODES];                 /* forgotten by anybody at any time */
static char private_codes[MOST_THREADS];            /* each fired by one thread, which ends them */

static int stop;
static uint32_t storm_seed;
static int restarts_begun, restarts_done;

/* What the report says. */
static long fired, registered, destroyed, epochs, exact_batches, silent_batches, codes_made, codes_reused,
    codes_forgotten, disabled, found_silent, short_threads, synchronized, slowest_synchronize;

/* ---- A planted fault ---- */

struct fault {
    const char *name, *noticed_as;
};

static const struct fault faults[] = {
    {"poisons-before-synchronize", "a callback got user data that were dead"},
    {"closes-too-early", "a call after rmon_synchronize"},
    {"hears-one-less", "an event was lost or came twice"},
    {"hears-one-more", "an event was lost or came twice"},
    {"opens-too-early", "an event of an epoch was lost or came twice"},
    {"destroys-twice", "destroyed twice"},
    {"does-not-destroy", "destroyed == registered"},
    {"swaps-user-data", "a callback got another's user data"},
    {"does-not-forget", "a new code was silent"},
    {"restarts-secretly", "a disabled location was not silent"},
};

static const char *planted;

static int fault_happens(const char *name)
{
    return planted != NULL && strcmp(planted, name) == 0;
}

/* The storm ends with the first fault. */
static void notice(const char *what, int line)
{
    check_that(0, __FILE__, line, what);
    flag_set(&stop, 1);
}

#define NOTICE(what) notice(what, __LINE__)
#define EXPECT(condition, what) ((condition) ? (void)0 : NOTICE(what))

static void add(long *counter, long count)
{
    __atomic_add_fetch(counter, count, __ATOMIC_RELAXED);
}

static long get(const long *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- What belongs to each thread ---- */

static __thread struct {
    uint32_t seed;
    int status;                 /* what the fire that is going on may return */
    long heard[TOOL_COUNT];
} me;

static unsigned below(unsigned bound)
{
    me.seed = me.seed * 1664525u + 1013904223u;
    return (me.seed >> 16) % bound;
}

/* ---- User data, which know what they were registered for and whether they are alive ---- */

enum { ALIVE = 0x600d, DEAD = 0xdead, QUARANTINE = 1024 };

struct user {
    int life, tool, event, variant;
    int *died;                  /* if not NULL: counts the destroys */
};

static struct user *dead_users[QUARANTINE];
static unsigned dead_count;
static pthread_mutex_t dead_lock = PTHREAD_MUTEX_INITIALIZER;

static int is_alive(const struct user *user)
{
    return flag_get(&user->life) == ALIVE;
}

static struct user *new_user(int tool, int event, int variant)
{
    struct user *user = (struct user *)malloc(sizeof *user);
    if (user == NULL)
        abort();
    user->life = ALIVE;
    user->tool = tool;
    user->event = event;
    user->variant = variant;
    user->died = NULL;
    return user;
}

/* Dead user data are kept a while, so that a late call or a second destroy is seen. */
static void bury(struct user *user)
{
    struct user *old;
    EXPECT(__atomic_exchange_n(&user->life, DEAD, __ATOMIC_SEQ_CST) == ALIVE, "destroyed twice");
    pthread_mutex_lock(&dead_lock);
    old = dead_users[dead_count % QUARANTINE];
    dead_users[dead_count++ % QUARANTINE] = user;
    pthread_mutex_unlock(&dead_lock);
    if (planted == NULL)
        free(old);
}

static void control_once(void);

static void user_dies(void *user_data)
{
    struct user *user = (struct user *)user_data;
    if (user->died != NULL)
        __atomic_add_fetch(user->died, 1, __ATOMIC_SEQ_CST);
    add(&destroyed, 1);
    bury(user);
    if (fault_happens("destroys-twice"))
        bury(user);
    if (below(64) == 0 && !flag_get(&stop))
        control_once();
}

/* ---- Callbacks ---- */

static int variant_a(void *user_data, const rmon_event *event);
static int variant_b(void *user_data, const rmon_event *event);

static rmon_callback variant(int number)
{
    return number ? variant_b : variant_a;
}

static void register_user(struct user *user, int event)
{
    rmon_destroy destroy = user_dies;
    add(&registered, 1);
    if (fault_happens("does-not-destroy") && below(100) == 0) {
        destroy = NULL;
        flag_set(&stop, 1);     /* it is noticed at the end */
    }
    CHECK_EQ(rmon_register_callback(user->tool, event, variant(user->variant), user, destroy), RMON_OK);
}

static void register_new(int tool, int event)
{
    struct user *user = new_user(tool, event, (int)below(2));
    register_user(user, event);
    if (fault_happens("swaps-user-data"))
        user->variant ^= 1;
}

static void restart(void)
{
    int secretly = fault_happens("restarts-secretly");
    if (!secretly)
        __atomic_add_fetch(&restarts_begun, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    if (!secretly)
        __atomic_add_fetch(&restarts_done, 1, __ATOMIC_SEQ_CST);
}

/* Those that do anything may disable, fail, and change whatever is theirs. Only the lowest may end a fire. */
static int churn_inside(const rmon_event *event)
{
    int low = event->tool_id == LOW_CHURN;
    switch (below(64)) {
    case 0:
        CHECK_EQ(rmon_register_callback(event->tool_id, event->event, NULL, NULL, NULL), RMON_OK);
        break;
    case 1:
        register_new(event->tool_id, event->event);
        break;
    case 2:
        control_once();
        break;
    case 3:
        restart();
        break;
    case 4:
        CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
        break;
    case 5:
        CHECK_EQ(rmon_free_tool_id(event->tool_id), RMON_OK);
        break;
    case 6:
        sched_yield();
        break;
    case 7:
        if (low)
            return me.status = ERROR_OF_LOW;
        break;
    case 8:
    case 9:
        if (event->event != RMON_EVENT_RAISE)
            return RMON_DISABLE;
        if (low) {
            me.status = RMON_ERR_CANNOT_DISABLE;
            return RMON_DISABLE;
        }
        break;
    default:
        break;
    }
    return RMON_CONTINUE;
}

static int hear(struct user *user, const rmon_event *event, int number)
{
    int answer = RMON_CONTINUE;
    if (!is_alive(user)) {
        NOTICE("a callback got user data that were dead");
        return RMON_CONTINUE;
    }
    if (user->tool != event->tool_id || user->event != event->event || user->variant != number)
        NOTICE("a callback got another's user data");
    if (event->struct_size != sizeof *event || event->code == NULL
        || event->line != (event->event == RMON_EVENT_LINE ? event->offset : -1))
        NOTICE("a torn event");
    me.heard[event->tool_id]++;
    if (event->tool_id == WITNESS && fault_happens("hears-one-less") && below(1000) == 0)
        me.heard[WITNESS]--;
    if (event->tool_id == WITNESS && fault_happens("hears-one-more") && below(1000) == 0)
        me.heard[WITNESS]++;
    if (event->tool_id == DISABLER)
        answer = RMON_DISABLE;
    else if (event->tool_id == LOW_CHURN || event->tool_id == HIGH_CHURN)
        answer = churn_inside(event);
    else if (below(64) == 0)
        sched_yield();
    EXPECT(is_alive(user), "a callback got user data that were dead");
    return answer;
}

static int variant_a(void *user_data, const rmon_event *event)
{
    return hear((struct user *)user_data, event, 0);
}

static int variant_b(void *user_data, const rmon_event *event)
{
    return hear((struct user *)user_data, event, 1);
}

/* ---- Epochs: between which fires a tool surely listens, or surely does not ---- */

enum phase { SILENT, OPENING, OPEN, CLOSING };

struct epoch {
    int sequence;               /* its phase, modulo 4 */
    int tool;
    int settled;                /* rmon_synchronize was called before it opened */
    int codes;                  /* a bit for each public code whose events it gets; all: of all codes */
    int counted;                /* batches that found this phase from beginning to end */
    struct user *users[3];
};

enum { ALL_CODES = -1, EPOCH_EVENTS = 3 };

static const int epoch_events[EPOCH_EVENTS] = {RMON_EVENT_LINE, RMON_EVENT_CALL, RMON_EVENT_PY_START};
static struct epoch epoch_of[2];
static struct epoch *const global_epoch = &epoch_of[0], *const local_epoch = &epoch_of[1];

static void next_phase(struct epoch *epoch)
{
    flag_set(&epoch->counted, 0);
    __atomic_add_fetch(&epoch->sequence, 1, __ATOMIC_SEQ_CST);
}

static long microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void synchronize(void)
{
    long begun = microseconds(), took, slowest = get(&slowest_synchronize);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    took = microseconds() - begun;
    add(&synchronized, 1);
    while (took > slowest
           && !__atomic_compare_exchange_n(&slowest_synchronize, &slowest, took, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

/* Waits until some batches lay wholly in this phase. */
static void let_it_be(const struct epoch *epoch)
{
    int enough = 1 + (int)below(16);
    while (flag_get(&epoch->counted) < enough && !flag_get(&stop))
        sched_yield();
}

static void epoch_opens(struct epoch *epoch)
{
    uint32_t set = 0;
    int i;
    next_phase(epoch);
    if (fault_happens("opens-too-early"))
        next_phase(epoch);
    CHECK(rmon_get_tool(epoch->tool, NULL, 0) != 0 || rmon_use_tool_id(epoch->tool, "epochs") == RMON_OK);
    for (i = 0; i < EPOCH_EVENTS; i++) {
        int number = (int)below(2);
        epoch->users[i] = new_user(epoch->tool, epoch_events[i], number);
        CHECK_EQ(rmon_register_callback(epoch->tool, epoch_events[i], variant(number), epoch->users[i], NULL), RMON_OK);
        set |= SET(epoch_events[i]);
    }
    flag_set(&epoch->codes, epoch->tool == EPOCHS ? ALL_CODES : 1 + (int)below((1u << PUBLIC_CODES) - 1));
    if (epoch->tool == EPOCHS)
        CHECK_EQ(rmon_set_events(epoch->tool, set), RMON_OK);
    else
        for (i = 0; i < PUBLIC_CODES; i++) {
            uint32_t here = epoch->codes >> i & 1 ? set : RMON_NO_EVENTS;
            CHECK_EQ(rmon_set_local_events(epoch->tool, &public_codes[i], here), RMON_OK);
        }
    flag_set(&epoch->settled, (int)below(2));
    if (epoch->settled)
        synchronize();
    if (!fault_happens("opens-too-early"))
        next_phase(epoch);
}

static void epoch_closes(struct epoch *epoch)
{
    int i, way = (int)below(4);
    next_phase(epoch);
    if (fault_happens("closes-too-early")) {
        next_phase(epoch);
        let_it_be(epoch);
    }
    if (way == 0) {
        CHECK_EQ(rmon_clear_tool_id(epoch->tool), RMON_OK);
    } else if (way == 1) {
        CHECK_EQ(rmon_free_tool_id(epoch->tool), RMON_OK);
    } else {
        for (i = 0; i < EPOCH_EVENTS; i++)
            if (way == 2)
                CHECK_EQ(rmon_register_callback(epoch->tool, epoch_events[i], NULL, NULL, NULL), RMON_OK);
            else
                register_new(epoch->tool, epoch_events[i]);
    }
    if (way == 3)               /* the successors have nothing to listen to */
        CHECK_EQ(rmon_clear_tool_id(epoch->tool), RMON_OK);
    if (!fault_happens("poisons-before-synchronize"))
        synchronize();
    for (i = 0; i < EPOCH_EVENTS; i++)
        bury(epoch->users[i]);
    if (!fault_happens("closes-too-early"))
        next_phase(epoch);
    add(&epochs, 1);
}

static void *make_epochs(struct epoch *epoch, int tool)
{
    epoch->tool = tool;
    do {
        epoch_opens(epoch);
        let_it_be(epoch);
        epoch_closes(epoch);
        let_it_be(epoch);
    } while (!flag_get(&stop));
    return NULL;
}

/* What one batch of fires knows of an epoch. */
struct look {
    struct epoch *epoch;
    int sequence, settled, codes;
    long heard, expected;
};

static void look_begins(struct look *look, struct epoch *epoch)
{
    look->epoch = epoch;
    look->sequence = flag_get(&epoch->sequence);
    look->settled = flag_get(&epoch->settled);
    look->codes = flag_get(&epoch->codes);
    look->heard = me.heard[epoch->tool];
    look->expected = 0;
}

static void look_at_fire(struct look *look, int event, int public_code)
{
    int listens = look->codes == ALL_CODES || (public_code >= 0 && (look->codes >> public_code & 1));
    if (listens && (event == epoch_events[0] || event == epoch_events[1] || event == epoch_events[2]))
        look->expected++;
}

/* With shared states another thread may be about to fill them for what was listened to before, unless it was waited
   for. */
static void look_ends(struct look *look, int shared)
{
    long heard = me.heard[look->epoch->tool] - look->heard;
    int phase = look->sequence & 3;
    if (flag_get(&look->epoch->sequence) != look->sequence)
        return;
    if (phase == OPEN && (look->settled || !shared)) {
        EXPECT(heard == look->expected, "an event of an epoch was lost or came twice");
        add(&exact_batches, 1);
        __atomic_add_fetch(&look->epoch->counted, 1, __ATOMIC_SEQ_CST);
    } else if (phase == SILENT) {
        EXPECT(heard == 0, "a call after rmon_synchronize");
        add(&silent_batches, 1);
        __atomic_add_fetch(&look->epoch->counted, 1, __ATOMIC_SEQ_CST);
    }
}

/* ---- Emitters ---- */

/* One JUMP state for each location of a code. */
static const uint8_t types[] = {
    RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_CALL, RMON_EVENT_RAISE, RMON_EVENT_PY_RETURN,
    RMON_EVENT_JUMP, RMON_EVENT_JUMP, RMON_EVENT_JUMP,
};
enum { TYPES = sizeof types, FIRST_JUMP = 5, LINES = 8, LOCATIONS = TYPES + LINES };

struct states {
    rmon_state states[TYPES];
    uint64_t version;
};

static struct states shared_states[PUBLIC_CODES];

/* One fire, in a scope that has been entered: whatever else is going on, the witness hears it. Gives how often the
   tool that disables heard it. */
static long fire_one(struct states *states, int type, void *code, int32_t offset)
{
    long witness = me.heard[WITNESS], disabler = me.heard[DISABLER];
    int event = types[type], status;
    me.status = RMON_OK;
    status = fire(event, &states->states[type], code, offset);
    EXPECT(status == me.status, "a fire did not return what its callbacks answered");
    EXPECT(me.heard[WITNESS] - witness == (EVENTS_OF_WITNESS >> event & 1), "an event was lost or came twice");
    EXPECT(me.heard[DISABLER] - disabler <= 1, "an event came twice");
    return me.heard[DISABLER] - disabler;
}

static int32_t offset_of(int type)
{
    return type >= FIRST_JUMP ? 100 + type : (int32_t)below(LINES);
}

/* A code that other threads fire, too, from states of this thread's own or of all. */
static void emit_publicly(int shared)
{
    int number = (int)below(PUBLIC_CODES), i, count = 1 + (int)below(12);
    struct states own;
    struct states *states = shared ? &shared_states[number] : &own;
    struct look everywhere, here;
    memset(&own, 0, sizeof own);
    look_begins(&everywhere, global_epoch);
    look_begins(&here, local_epoch);
    CHECK_EQ(rmon_enter_scope(states->states, &states->version, types, TYPES), RMON_OK);
    for (i = 0; i < count; i++) {
        int type = (int)below(TYPES);
        fire_one(states, type, &public_codes[number], offset_of(type));
        look_at_fire(&everywhere, types[type], number);
        look_at_fire(&here, types[type], number);
    }
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
    look_ends(&everywhere, shared);
    look_ends(&here, shared);
    add(&fired, count);
}

/* A code that is forgotten at any time. */
static void emit_junk(void)
{
    void *code = &junk_codes[below(JUNK_CODES)];
    struct states own;
    int type;
    memset(&own, 0, sizeof own);
    CHECK_EQ(rmon_enter_scope(own.states, &own.version, types, TYPES), RMON_OK);
    for (type = 0; type < TYPES; type++)
        fire_one(&own, type, code, offset_of(type));
    add(&fired, TYPES);
}

/* A code of this thread alone, which therefore knows which locations are disabled. */
struct privately {
    void *code;
    struct states states;
    int silent_since[LOCATIONS];        /* 0: not disabled; -1: not known; else the restarts before, and one more */
};

static void code_begins(struct privately *code, void *address)
{
    memset(code, 0, sizeof *code);
    code->code = address;
}

static void emit_privately(struct privately *code)
{
    int i, count = 1 + (int)below(24);
    for (i = 0; i < count; i++) {
        int type = (int)below(TYPES), done, begun, stable;
        int32_t offset = offset_of(type);
        int *silent = type == 1 ? &code->silent_since[TYPES + offset] : &code->silent_since[type];
        int is_of_disabler = type == 1 || type >= FIRST_JUMP;
        long heard;
        begun = flag_get(&restarts_begun);
        done = flag_get(&restarts_done);
        CHECK_EQ(rmon_enter_scope(code->states.states, &code->states.version, types, TYPES), RMON_OK);
        heard = fire_one(&code->states, type, code->code, offset);
        CHECK_EQ(rmon_exit_scope(), RMON_OK);
        stable = begun == done && flag_get(&restarts_begun) == begun;
        EXPECT(is_of_disabler || heard == 0, "a tool heard what it had not asked for");
        if (!is_of_disabler)
            continue;
        if (stable && *silent == begun + 1) {
            EXPECT(heard == 0, "a disabled location was not silent");
            add(&found_silent, 1);
        } else if (stable && *silent >= 0) {
            EXPECT(heard == 1, *silent == 0 ? "a new code was silent" : "a location was silent after a restart");
        }
        add(&disabled, heard);
        *silent = stable ? begun + 1 : -1;
    }
    add(&fired, count);
}

/* A code of this thread's dies, and another one begins at its address. */
static void code_dies(struct privately *code)
{
    if (!fault_happens("does-not-forget"))
        CHECK_EQ(rmon_code_forget(code->code), RMON_OK);
    add(&codes_forgotten, 1);
    code_begins(code, code->code);
}

/* rmon's own codes, whose addresses the allocator gives again and again. */
static void make_a_code(void **last)
{
    rmon_code_info info = {0};
    struct privately code;
    uint32_t set = 1;
    int status, tool;
    info.struct_size = sizeof info;
    info.name = "storm";
    info.filename = "storm.c";
    code_begins(&code, rmon_code_new(&info));
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        CHECK_EQ(rmon_get_local_events(tool, code.code, &set), RMON_OK);
        EXPECT(set == RMON_NO_EVENTS, "a new code had local events");
    }
    emit_privately(&code);
    status = rmon_set_local_events(LOW_CHURN, code.code, SET(RMON_EVENT_LINE));
    CHECK(status == RMON_OK || status == RMON_ERR_TOOL_NOT_IN_USE);
    emit_privately(&code);
    rmon_code_retain(code.code);
    rmon_code_release(code.code);
    CHECK_EQ(rmon_code_describe(code.code, &info), RMON_OK);
    add(&codes_made, 1);
    add(&codes_reused, code.code == *last);
    *last = code.code;
    rmon_code_release(code.code);
}

static void seed_me(int number)
{
    me.seed = storm_seed * 2654435761u + (uint32_t)number * 40503u + 1;
}

static void emit(int number, int batches)
{
    struct privately mine;
    void *last = NULL;
    int i;
    code_begins(&mine, &private_codes[number]);
    CHECK_EQ(rmon_code_forget(mine.code), RMON_OK);
    for (i = 0; batches == 0 ? !flag_get(&stop) : i < batches; i++) {
        switch (below(8)) {
        case 0:
        case 1:
            emit_publicly(0);
            break;
        case 2:
        case 3:
            emit_publicly(1);
            break;
        case 4:
            emit_junk();
            break;
        case 5:
            make_a_code(&last);
            break;
        case 6:
            code_dies(&mine);
            emit_privately(&mine);
            break;
        default:
            emit_privately(&mine);
        }
        sched_yield();
    }
    CHECK_EQ(rmon_code_forget(mine.code), RMON_OK);
}

static void *emit_shortly(void *number)
{
    seed_me((int)get(&short_threads) + MOST_THREADS);
    emit((int)(intptr_t)number, 3);
    return NULL;
}

/* ---- Those who disturb ---- */

static int set_went_well(int status)
{
    return status == RMON_OK || status == RMON_ERR_TOOL_NOT_IN_USE;
}

static void *any_code(void)
{
    switch (below(3)) {
    case 0:
        return &public_codes[below(PUBLIC_CODES)];
    case 1:
        return &junk_codes[below(JUNK_CODES)];
    default:
        return &private_codes[below(MOST_THREADS)];
    }
}

/* Anything, with one of the two tools to which anything may happen. */
static void control_once(void)
{
    static const uint32_t sets[] = {
        RMON_NO_EVENTS, EVENTS_OF_WITNESS, SET(RMON_EVENT_LINE), SET(RMON_EVENT_JUMP) | SET(RMON_EVENT_RAISE),
        SET(RMON_EVENT_CALL) | RMON_ANCILLARY_EVENTS, SET(RMON_EVENT_PY_START) | SET(RMON_EVENT_PY_RETURN),
    };
    int tool = below(2) ? LOW_CHURN : HIGH_CHURN;
    int event = types[below(TYPES)];
    uint32_t set = sets[below(sizeof sets / sizeof sets[0])];
    rmon_callback callback;
    void *user_data;
    int status;
    switch (below(10)) {
    case 0:
    case 1:
        status = rmon_use_tool_id(tool, "churn");
        CHECK(status == RMON_OK || status == RMON_ERR_TOOL_IN_USE);
        register_new(tool, event);
        CHECK(set_went_well(rmon_set_events(tool, EVENTS_OF_WITNESS)));
        break;
    case 2:
        CHECK_EQ(below(2) ? rmon_free_tool_id(tool) : rmon_clear_tool_id(tool), RMON_OK);
        break;
    case 3:
    case 4:
        register_new(tool, event);
        break;
    case 5:
        CHECK_EQ(rmon_register_callback(tool, event, NULL, NULL, NULL), RMON_OK);
        break;
    case 6:
        CHECK(set_went_well(rmon_set_events(tool, set)));
        break;
    case 7:
        CHECK(set_went_well(rmon_set_local_events(tool, any_code(), set & RMON_LOCAL_EVENTS)));
        break;
    case 8:
        CHECK_EQ(rmon_code_forget(&junk_codes[below(JUNK_CODES)]), RMON_OK);
        break;
    default:
        CHECK_EQ(rmon_get_callback(tool, event, &callback, &user_data), RMON_OK);
        CHECK((callback == NULL) == (user_data == NULL));
    }
}

static void churn(void)
{
    while (!flag_get(&stop)) {
        control_once();
        if (below(32) == 0)
            synchronize();
        sched_yield();
    }
}

/* The witness listens all the time, but with callbacks that are replaced. */
static void replace_the_witness(void)
{
    while (!flag_get(&stop)) {
        int event, died = 0;
        struct user *user;
        do
            event = types[below(TYPES)];
        while ((EVENTS_OF_WITNESS >> event & 1) == 0);
        user = new_user(WITNESS, event, (int)below(2));
        user->died = &died;
        register_user(user, event);
        sched_yield();
        EXPECT(flag_get(&died) == 0, "destroyed while it was registered");
        register_new(WITNESS, event);
        synchronize();
        EXPECT(flag_get(&died) == 1 || fault_happens("does-not-destroy"), "not destroyed by rmon_synchronize");
    }
}

static void restart_now_and_then(void)
{
    while (!flag_get(&stop)) {
        int i, pause = (int)below(64);
        restart();
        for (i = 0; i < pause && !flag_get(&stop); i++)
            sched_yield();
    }
}

static void start_short_threads(int number)
{
    while (!flag_get(&stop)) {
        thread_join(thread_start(emit_shortly, (void *)(intptr_t)number));
        add(&short_threads, 1);
    }
}

static void *run_thread(void *argument)
{
    int number = (int)(intptr_t)argument;
    seed_me(number);
    switch (number) {
    case EPOCHS_THREAD:
        return make_epochs(global_epoch, EPOCHS);
    case LOCAL_EPOCHS_THREAD:
        return make_epochs(local_epoch, LOCAL_EPOCHS);
    case WITNESS_THREAD:
        replace_the_witness();
        break;
    case RESTARTS_THREAD:
        restart_now_and_then();
        break;
    case SHORT_THREADS:
        start_short_threads(number);
        break;
    case CHURN_THREAD:
    case CHURN_THREAD_2:
    case CHURN_THREAD_3:
        churn();
        break;
    default:
        emit(number, 0);
    }
    return NULL;
}

/* ---- The storm ---- */

static double number_from(const char *variable, double otherwise)
{
    const char *text = getenv(variable);
    return text != NULL && *text != 0 ? atof(text) : otherwise;
}

static int everything_has_happened(void)
{
    return get(&exact_batches) > 0 && get(&silent_batches) > 0 && get(&epochs) > 1 && get(&found_silent) > 0
        && get(&codes_made) > 0 && get(&short_threads) > 0;
}

static void storm(void)
{
    double seconds = number_from("RMON_TEST_SECONDS", check_scaled(1000) / 1000.0);
    int count = (int)number_from("RMON_TEST_THREADS", check_scaled(64)), i;
    long begun = microseconds();
    pthread_t threads[MOST_THREADS];
    struct user *first[TYPES];
    count = count < LEAST_THREADS ? LEAST_THREADS : count > MOST_THREADS ? MOST_THREADS : count;
    alarm(CHECK_SECONDS + (unsigned)seconds);
    tool_opens(WITNESS);
    tool_opens(DISABLER);
    for (i = 0; i < TYPES; i++) {
        int event = types[i], tool = event == RMON_EVENT_JUMP ? DISABLER : WITNESS;
        first[i] = new_user(tool, event, 0);
        register_user(first[i], event);
    }
    register_user(new_user(DISABLER, RMON_EVENT_LINE, 1), RMON_EVENT_LINE);
    CHECK_EQ(rmon_set_events(WITNESS, EVENTS_OF_WITNESS), RMON_OK);
    CHECK_EQ(rmon_set_events(DISABLER, SET(RMON_EVENT_LINE) | SET(RMON_EVENT_JUMP)), RMON_OK);
    epoch_of[0].tool = EPOCHS;
    epoch_of[1].tool = LOCAL_EPOCHS;
    for (i = 0; i < count; i++)
        threads[i] = thread_start(run_thread, (void *)(intptr_t)i);
    while (!flag_get(&stop) && (microseconds() - begun < (long)(seconds * 1e6) || !everything_has_happened()))
        sleep_milliseconds(1);
    flag_set(&stop, 1);
    for (i = 0; i < count; i++)
        thread_join(threads[i]);
    check_reset();
    CHECK_EQ(destroyed, registered);
    printf("%d threads, %.1f s: %ld events fired; %ld registrations, %ld destroyed; %ld epochs, %ld batches exact, "
           "%ld silent; %ld codes made, %ld at the last one's address, %ld forgotten; %ld locations disabled, "
           "%ld fires found silent, %d restarts; %ld short threads; %ld synchronized, %ld ms at most\n",
           count, (double)(microseconds() - begun) / 1e6, fired, registered, destroyed, epochs, exact_batches,
           silent_batches, codes_made, codes_reused, codes_forgotten, disabled, found_silent, restarts_done,
           short_threads, synchronized, slowest_synchronize / 1000);
    for (i = 0; i < QUARANTINE; i++)
        free(dead_users[i]);
}

/* ---- The faults ---- */

/* Runs this program with a fault; it must end badly and say what was wrong. */
static void notices(const struct fault *fault)
{
    static char output[1 << 16], exe[PATH_MAX];
    size_t length = 0;
    ssize_t got;
    int ends[2], status = 0;
    pid_t child;
    CHECK(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
    CHECK_EQ(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        if (dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0)
            _exit(3);
        close(ends[0]);
        close(ends[1]);
        setenv("RMON_TEST_SECONDS", "60", 1);
        setenv("RMON_TEST_THREADS", "24", 1);
        execl(exe, exe, fault->name, (char *)NULL);
        _exit(3);
    }
    close(ends[1]);
    while (length < sizeof output - 1 && (got = read(ends[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = 0;
    close(ends[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (!CHECK(strstr(output, fault->noticed_as) != NULL && status != 0))
        fprintf(stderr, "    planted: %s; the program said:\n%s\n", fault->name, output);
}

static void every_planted_fault_is_noticed(void)
{
    size_t i;
    for (i = 0; i < sizeof faults / sizeof faults[0]; i++)
        notices(&faults[i]);
}

int main(int argc, char **argv)
{
    storm_seed = (uint32_t)number_from("RMON_TEST_SEED", (double)((uint32_t)microseconds() ^ (uint32_t)getpid()));
    printf("RMON_TEST_SEED=%lu\n", (unsigned long)storm_seed);
    fflush(stdout);
    planted = argc > 1 ? argv[1] : NULL;
    RUN(storm);
    if (planted == NULL)
        RUN(every_planted_fault_is_noticed);
    return check_result();
}
