/* life.c: how threads, libraries and signals end and interrupt: threads that end inside scopes and callbacks, that
   fire from the destructors of thread-locals, that are cancelled, that have little stack; signal handlers that fire;
   the library and a tool closed by dlclose while others fire. */
#define _GNU_SOURCE
#include "firing.h"
#include "lazy.h"
#include "listener.h"
#include "waiting.h"

#include <errno.h>

#define SET RMON_EVENT_SET

static char code;
static int heard, destroyed;

static int hear(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    __atomic_add_fetch(&heard, 1, __ATOMIC_SEQ_CST);
    return RMON_CONTINUE;
}

static void note_destroy(void *user_data)
{
    (void)user_data;
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static void tool_1_hears_lines_by(rmon_callback callback)
{
    heard = destroyed = 0;
    tool_opens(1);
    CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, callback, &code, note_destroy), RMON_OK);
    CHECK_EQ(rmon_set_events(1, SET(RMON_EVENT_LINE)), RMON_OK);
}

static int enter_and_fire(struct scope *scope)
{
    scope_enters(scope);
    return rmon_fire_line(&scope->states[RMON_EVENT_LINE], &code, 0, 1);
}

/* The tool goes, and its user data, whatever has become of the threads that were in its callback. */
static void tool_1_can_be_freed(void)
{
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(flag_get(&destroyed), 1);
}

static void in_threads(int count, void *(*body)(void *))
{
    pthread_t threads[4];
    int i, j;
    for (i = 0; i < count; i += 4) {
        for (j = 0; j < 4; j++)
            threads[j] = thread_start(body, NULL);
        for (j = 0; j < 4; j++)
            thread_join(threads[j]);
    }
}

/* --- threads that end --- */

static void *end_inside_a_scope(void *unused)
{
    static struct scope shared;
    struct scope own = {0};
    CHECK_EQ(enter_and_fire(&own), RMON_OK);
    CHECK_EQ(enter_and_fire(&shared), RMON_OK);
    if (((uintptr_t)&own >> 4) % 2)
        pthread_exit(unused);
    return NULL;
}

static void threads_may_end_inside_scopes(void)
{
    int count = 4 * check_scaled(100);
    tool_1_hears_lines_by(hear);
    in_threads(count, end_inside_a_scope);
    CHECK_EQ(heard, 2 * count);
    tool_1_can_be_freed();
}

static struct scope late_scope;
static __thread int late_fires;

/* Fires, also when the thread has never fired before. */
static void fire_late(void *unused)
{
    (void)unused;
    late_fires++;
    CHECK_EQ(enter_and_fire(&late_scope), RMON_OK);
    CHECK_EQ(rmon_register_callback(5, RMON_EVENT_JUMP, NULL, NULL, NULL), RMON_OK);
}

#ifdef __GLIBC__
/* What C++ compilers call for a thread_local with a destructor. */
int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library);
extern void *__dso_handle;

static void *end_with_destructors(void *unused)
{
    (void)unused;
    CHECK_EQ(__cxa_thread_atexit_impl(fire_late, &code, &__dso_handle), 0);
    CHECK_EQ(__cxa_thread_atexit_impl(fire_late, &code, &__dso_handle), 0);
    if (((uintptr_t)&unused >> 4) % 2)
        CHECK_EQ(enter_and_fire(&late_scope), RMON_OK);
    else
        fire_late(NULL);
    return NULL;
}

static void destructors_of_thread_locals_fire(void)
{
    int count = 4 * check_scaled(50);
    tool_1_hears_lines_by(hear);
    in_threads(count, end_with_destructors);
    CHECK_EQ(heard, 3 * count);
    tool_1_can_be_freed();
}
#endif

/* --- callbacks that do not return: they must, but nothing else of the library suffers --- */

static int end_the_thread(void *user_data, const rmon_event *event)
{
    (void)event;
    __atomic_add_fetch(&heard, 1, __ATOMIC_SEQ_CST);
    pthread_exit(user_data);
}

static int cancel_the_thread(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    __atomic_add_fetch(&heard, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    pthread_testcancel();
    CHECK(0);
    return RMON_CONTINUE;
}

static void *fire_once(void *unused)
{
    struct scope own = {0};
    CHECK_EQ(pthread_setspecific(*(pthread_key_t *)unused, &own), 0);
    enter_and_fire(&own);
    CHECK(0);
    return NULL;
}

static void fire_at_the_end(void *unused)
{
    struct scope own = {0};
    (void)unused;
    CHECK_EQ(enter_and_fire(&own), RMON_OK); /* suppressed: the thread has not left the callback */
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
}

static void a_callback_that_ends_its_thread_holds_up_nobody(void)
{
    static const rmon_callback callbacks[] = {end_the_thread, cancel_the_thread};
    struct listener lower = {0};
    pthread_key_t key;
    int i, others, which, count = 10;
    CHECK_EQ(pthread_key_create(&key, fire_at_the_end), 0);
    for (which = 0; which < 2; which++)
        for (others = 0; others < 2; others++) {
            tool_1_hears_lines_by(callbacks[which]);
            if (others) {
                tool_opens(0);
                tool_hears(0, RMON_EVENT_LINE, &lower);
            }
            for (i = 0; i < count; i++)
                thread_join(thread_start(fire_once, &key));
            CHECK_EQ(heard, count);
            CHECK_EQ(lower.calls, 0);
            tool_1_can_be_freed();
            check_reset();
        }
    CHECK_EQ(pthread_key_delete(key), 0);
}

/* --- cancellation outside of callbacks --- */

static int ready, go_on, was_inside;

static void *fire_until_cancelled(void *unused)
{
    struct scope own = {0};
    (void)unused;
    for (;;) {
        CHECK_EQ(enter_and_fire(&own), RMON_OK);
        flag_set(&ready, 1);
        pthread_testcancel();
    }
    return NULL;
}

static void threads_that_fire_are_cancelled(void)
{
    int i, count = check_scaled(100);
    tool_1_hears_lines_by(hear);
    for (i = 0; i < count; i++) {
        pthread_t thread;
        void *result = NULL;
        ready = 0;
        thread = thread_start(fire_until_cancelled, NULL);
        CHECK(flag_reaches(&ready, 1));
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK_PTR(result, PTHREAD_CANCELED);
    }
    tool_1_can_be_freed();
}

static int stay(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    flag_set(&was_inside, 1);
    CHECK(flag_reaches(&go_on, 1));
    return RMON_CONTINUE;
}

static void *fire_and_stay(void *unused)
{
    struct scope own = {0};
    (void)unused;
    CHECK_EQ(enter_and_fire(&own), RMON_OK);
    return NULL;
}

/* It is cancelled from the beginning, and comes past no place where that is heeded before it has done its work. */
static void *synchronize_when_cancelled(void *unused)
{
    (void)unused;
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    flag_set(&ready, 1);
    CHECK_EQ(rmon_free_tool_id(1), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(flag_get(&destroyed), 1);
    flag_set(&ready, 2);
    pthread_testcancel();
    CHECK(0);
    return NULL;
}

static void waiting_for_readers_is_not_cancelled(void)
{
    pthread_t firing, waiting;
    void *result = NULL;
    was_inside = go_on = ready = 0;
    tool_1_hears_lines_by(stay);
    firing = thread_start(fire_and_stay, NULL);
    CHECK(flag_reaches(&was_inside, 1));
    waiting = thread_start(synchronize_when_cancelled, NULL);
    CHECK(flag_reaches(&ready, 1));
    sleep_milliseconds(30); /* it waits long enough to sleep */
    CHECK_EQ(flag_get(&ready), 1);
    flag_set(&go_on, 1);
    thread_join(firing);
    CHECK_EQ(pthread_join(waiting, &result), 0);
    CHECK_PTR(result, PTHREAD_CANCELED);
    CHECK_EQ(flag_get(&ready), 2);
    CHECK_EQ(flag_get(&destroyed), 1);
}

/* --- signal handlers that fire --- */

static struct scope handler_scope;
static int handled, stop;

static void fire_in_handler(int number)
{
    int kept = errno;
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
    rmon_fire_line(&handler_scope.states[RMON_EVENT_LINE], &handler_scope, 0, 1);
    errno = kept;
}

static void handler_fires(int yes)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = yes ? fire_in_handler : SIG_DFL;
    action.sa_flags = SA_RESTART;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static int own_heard, handlers_heard;

static int hear_both(void *user_data, const rmon_event *event)
{
    (void)user_data;
    __atomic_add_fetch(event->code == &handler_scope ? &handlers_heard : &own_heard, 1, __ATOMIC_SEQ_CST);
    return RMON_CONTINUE;
}

static int raise_inside(void *user_data, const rmon_event *event)
{
    hear_both(user_data, event);
    CHECK_EQ(raise(SIGUSR1), 0);
    return RMON_CONTINUE;
}

static void a_handler_s_fire_inside_a_callback_is_suppressed(void)
{
    own_heard = handlers_heard = handled = 0;
    tool_1_hears_lines_by(raise_inside);
    scope_enters(&handler_scope);
    handler_fires(1);
    fire_and_stay(NULL);
    CHECK_EQ(handled, 1);
    CHECK_EQ(own_heard, 1);
    CHECK_EQ(handlers_heard, 0);
    CHECK_EQ(rmon_register_callback(1, RMON_EVENT_LINE, hear_both, NULL, NULL), RMON_OK);
    CHECK_EQ(raise(SIGUSR1), 0); /* outside it is an event like any */
    CHECK_EQ(handlers_heard, 1);
    handler_fires(0);
}

static int fired;

static void *fire_through_signals(void *unused)
{
    struct scope own = {0};
    (void)unused;
    flag_set(&ready, 1);
    while (!flag_get(&stop)) {
        CHECK_EQ(enter_and_fire(&own), RMON_OK);
        fired++;
    }
    return NULL;
}

static void signals_at_any_moment_lose_no_event(void)
{
    int i, round, rounds = check_scaled(20), signals = check_scaled(2000);
    own_heard = handlers_heard = handled = fired = 0;
    tool_1_hears_lines_by(hear_both);
    scope_enters(&handler_scope);
    handler_fires(1);
    for (round = 0; round < rounds; round++) {
        pthread_t thread;
        stop = ready = 0;
        thread = thread_start(fire_through_signals, NULL);
        for (i = 0; i < signals / rounds; i++)
            CHECK_EQ(pthread_kill(thread, SIGUSR1), 0); /* the first ones before it has ever fired */
        CHECK(flag_reaches(&ready, 1));
        flag_set(&stop, 1);
        thread_join(thread);
    }
    handler_fires(0);
    CHECK_EQ(own_heard, fired);
    CHECK(handlers_heard <= handled);
    CHECK(handled >= rounds);
    tool_1_can_be_freed();
}

/* --- little stack --- */

enum { PAINT = 0xa5, FIRE_STACK = 4096, CONTROL_STACK = 8192 };

static void *do_nothing(void *unused)
{
    return unused;
}

static void *control(void *unused)
{
    int lines;
    CHECK_EQ(rmon_use_tool_id(2, "control"), RMON_OK);
    CHECK_EQ(rmon_register_callback(2, RMON_EVENT_LINE, hear, NULL, NULL), RMON_OK);
    for (lines = 1; lines < 100; lines++)
        CHECK_EQ(rmon_set_local_events(2, (char *)&code + lines, RMON_LOCAL_EVENTS), RMON_OK);
    CHECK_EQ(rmon_free_tool_id(2), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    return unused;
}

/* How much of its stack a thread uses. */
static size_t stack_of(void *(*body)(void *))
{
    static unsigned char stack[1 << 18] __attribute__((aligned(4096)));
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;
    memset(stack, PAINT, sizeof stack);
    CHECK_EQ(pthread_attr_init(&attributes), 0);
    CHECK_EQ(pthread_attr_setstack(&attributes, stack, sizeof stack), 0);
    CHECK_EQ(pthread_create(&thread, &attributes, body, NULL), 0);
    thread_join(thread);
    CHECK_EQ(pthread_attr_destroy(&attributes), 0);
    while (untouched < sizeof stack && stack[untouched] == PAINT)
        untouched++;
    return sizeof stack - untouched;
}

static void a_fire_needs_little_stack(void)
{
    size_t nothing, fire, controls;
    if (check_scaled(100) < 100)
        return; /* a memory checker, which holds what is below a stack's end for lost */
    tool_1_hears_lines_by(hear);
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, hear, NULL, NULL), RMON_OK);
    CHECK_EQ(rmon_set_local_events(0, &code, SET(RMON_EVENT_LINE)), RMON_OK);
    nothing = stack_of(do_nothing);
    fire = stack_of(fire_and_stay);
    controls = stack_of(control);
    printf("stack beyond a thread's own: %ld for a fire, %ld for control calls\n", (long)(fire - nothing),
           (long)(controls - nothing));
    CHECK(fire <= nothing + FIRE_STACK);
    CHECK(controls <= nothing + CONTROL_STACK);
    CHECK_EQ(heard, 2);
    tool_1_can_be_freed();
}

/* --- dlclose --- */

static void *fire_until_stopped(void *unused)
{
    struct scope own = {0};
    (void)unused;
    while (!flag_get(&stop)) {
        CHECK_EQ(enter_and_fire(&own), RMON_OK);
        CHECK_EQ(rmon_exit_scope(), RMON_OK);
        sched_yield();
    }
    return NULL;
}

static void the_library_is_opened_and_closed_while_threads_fire(void)
{
    pthread_t threads[2];
    int i, count = check_scaled(300);
    stop = 0;
    tool_1_hears_lines_by(hear);
    for (i = 0; i < 2; i++)
        threads[i] = thread_start(fire_until_stopped, NULL);
    for (i = 0; i < count; i++) {
        void *handle = dlopen("librmon.so.0", RTLD_NOW);
        CHECK(handle != NULL);
        CHECK(dlsym(handle, "rmon_current_version") != NULL);
        CHECK_EQ(dlclose(handle), 0);
        if (i % 10 == 0)
            dlclose(handle); /* once too often */
    }
    flag_set(&stop, 1);
    for (i = 0; i < 2; i++)
        thread_join(threads[i]);
    CHECK_EQ(enter_and_fire(&handler_scope), RMON_OK);
    tool_1_can_be_freed();
}

static void *address_of(void *handle, const char *name)
{
    void *address = dlsym(handle, name);
    if (!CHECK(address != NULL))
        _exit(1);
    return address;
}

static void a_tool_is_unloaded_while_threads_fire(void)
{
    pthread_t threads[2];
    int i, plug_in_heard = 0, count = check_scaled(50);
    stop = 0;
    tool_1_hears_lines_by(hear);
    for (i = 0; i < 2; i++)
        threads[i] = thread_start(fire_until_stopped, NULL);
    for (i = 0; i < count; i++) {
        void *handle = lazy_load("life_tool");
        int (*opens)(int *), (*closes)(void);
        void *address = address_of(handle, "life_tool_opens");
        memcpy(&opens, &address, sizeof opens);
        address = address_of(handle, "life_tool_closes");
        memcpy(&closes, &address, sizeof closes);
        flag_set(&plug_in_heard, 0);
        CHECK_EQ(opens(&plug_in_heard), RMON_OK);
        CHECK(flag_reaches(&plug_in_heard, 1));
        CHECK_EQ(closes(), RMON_OK);
        CHECK_EQ(dlclose(handle), 0);
    }
    flag_set(&stop, 1);
    for (i = 0; i < 2; i++)
        thread_join(threads[i]);
    tool_1_can_be_freed();
}

int main(void)
{
    RUN(threads_may_end_inside_scopes);
#ifdef __GLIBC__
    RUN(destructors_of_thread_locals_fire);
#endif
    RUN(a_callback_that_ends_its_thread_holds_up_nobody);
    RUN(threads_that_fire_are_cancelled);
    RUN(waiting_for_readers_is_not_cancelled);
    RUN(a_handler_s_fire_inside_a_callback_is_suppressed);
    RUN(signals_at_any_moment_lose_no_event);
    RUN(a_fire_needs_little_stack);
    RUN(the_library_is_opened_and_closed_while_threads_fire);
    RUN(a_tool_is_unloaded_while_threads_fire);
    return check_result();
}
