/* host.c: what a host supplies through rmon_set_host: the current exception, and the description of its codes. */
#include "firing.h"
#include "listener.h"
#include "waiting.h"

#include <limits.h>

#define SET RMON_EVENT_SET

/* A small language run-time, with two functions and one exception at a time. */
struct function {
    const char *name, *qualname, *file;
    int32_t line;
};

struct machine {
    void *exception;
    int asked;              /* how often the exception was asked for */
    int described;          /* how often a description was */
    int delivering;         /* what the last one was told */
    uint32_t struct_size;
    int result;             /* for a function that is not the machine's */
};

static const rmon_line_entry lines_of_one[] = {{0, 10}, {8, 11}};
static struct function one = {"one", "module.one", "machine.lang", 10}, two = {"two", NULL, "machine.lang", 20};
static char error, stranger;

static void *current_exception(void *user_data)
{
    struct machine *machine = (struct machine *)user_data;
    machine->asked++;
    return machine->exception;
}

static int describe(void *user_data, void *code, int delivering, rmon_code_info *info)
{
    struct machine *machine = (struct machine *)user_data;
    struct function *function = code == &one ? &one : code == &two ? &two : NULL;
    machine->described++;
    machine->delivering = delivering;
    machine->struct_size = info->struct_size;
    if (function == NULL)
        return machine->result;
    info->name = function->name;
    info->qualname = function->qualname;
    info->filename = function->file;
    info->first_line = function->line;
    if (function == &one) {
        info->lines = lines_of_one;
        info->line_count = 2;
    }
    return RMON_OK;
}

static struct machine new_machine(void)
{
    struct machine machine = {NULL, 0, 0, -1, 0, RMON_ERR_UNKNOWN_CODE};
    return machine;
}

static void hosts(struct machine *machine)
{
    rmon_host host = {0};
    host.struct_size = sizeof host;
    host.user_data = machine;
    host.current_exception = current_exception;
    host.describe = describe;
    CHECK_EQ(rmon_set_host(&host), RMON_OK);
    memset(&host, 0x55, sizeof host);       /* it is copied */
}

static void no_host(void)
{
    CHECK_EQ(rmon_set_host(NULL), RMON_OK);
}

static rmon_code_info empty_info(void)
{
    rmon_code_info info = {0};
    info.struct_size = sizeof info;
    return info;
}

static const int exception_events[] = {RMON_EVENT_RAISE, RMON_EVENT_RERAISE, RMON_EVENT_EXCEPTION_HANDLED,
                                       RMON_EVENT_PY_UNWIND, RMON_EVENT_PY_THROW};
enum { EXCEPTION_EVENTS = sizeof exception_events / sizeof exception_events[0] };

static int fire_current(int event, rmon_state *state)
{
    switch (event) {
    case RMON_EVENT_RAISE:
        return PyMonitoring_FireRaiseEvent(state, &one, 4);
    case RMON_EVENT_RERAISE:
        return PyMonitoring_FireReraiseEvent(state, &one, 4);
    case RMON_EVENT_EXCEPTION_HANDLED:
        return PyMonitoring_FireExceptionHandledEvent(state, &one, 4);
    case RMON_EVENT_PY_UNWIND:
        return PyMonitoring_FirePyUnwindEvent(state, &one, 4);
    default:
        return PyMonitoring_FirePyThrowEvent(state, &one, 4);
    }
}

static void the_current_exception_arrives(void)
{
    struct machine machine = new_machine();
    int i;
    hosts(&machine);
    machine.exception = &error;
    tool_opens(0);
    for (i = 0; i < EXCEPTION_EVENTS; i++) {
        int event = exception_events[i];
        struct listener listener = {0};
        struct scope scope = {0};
        tool_hears(0, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire_current(event, &scope.states[event]), 0);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(listener.last.event, event);
        CHECK_PTR(listener.last.object, &error);
        CHECK_PTR(listener.last.code, &one);
        CHECK(machine.asked >= i + 1);
    }
    no_host();
}

static void no_current_exception_is_an_error_when_somebody_listens(void)
{
    struct machine machine = new_machine();
    int i;
    hosts(&machine);
    tool_opens(0);
    for (i = 0; i < EXCEPTION_EVENTS; i++) {
        int event = exception_events[i];
        struct listener listener = {0};
        struct scope scope = {0};
        rmon_state asleep = {0, 0};
        tool_hears(0, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire_current(event, &scope.states[event]), -1);
        CHECK_EQ(listener.calls, 0);
        CHECK_EQ(fire_current(event, &asleep), 0);
    }
    no_host();
}

static void the_rmon_functions_take_the_exception_that_they_are_given(void)
{
    struct machine machine = new_machine();
    int i;
    hosts(&machine);
    tool_opens(0);
    for (i = 0; i < EXCEPTION_EVENTS; i++) {
        int event = exception_events[i];
        struct fire_values values = {&error, NULL, 0};
        struct listener listener = {0};
        struct scope scope = {0};
        tool_hears(0, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire_by(&header_fires[event], &scope.states[event], &one, 4, values), RMON_OK);
        CHECK_PTR(listener.last.object, &error);
        values.object = NULL;
        CHECK_EQ(fire_by(&header_fires[event], &scope.states[event], &one, 4, values), RMON_OK);
        CHECK_EQ(listener.calls, 2);
        CHECK_PTR(listener.last.object, NULL);
    }
    no_host();
}

static void without_a_host_the_exception_is_null(void)
{
    struct machine machine = new_machine();
    struct listener listener = {0};
    struct scope scope = {0};
    machine.exception = &error;
    hosts(&machine);
    no_host();
    tool_opens(0);
    tool_hears(0, RMON_EVENT_RAISE, &listener);
    scope_enters(&scope);
    CHECK_EQ(PyMonitoring_FireRaiseEvent(&scope.states[RMON_EVENT_RAISE], &one, 4), 0);
    CHECK_EQ(listener.calls, 1);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_EQ(machine.asked, 0);
}

static void hooks_may_be_null(void)
{
    rmon_host host = {0};
    rmon_code_info out = empty_info();
    struct listener listener = {0};
    struct scope scope = {0};
    host.struct_size = sizeof host;
    CHECK_EQ(rmon_set_host(&host), RMON_OK);
    CHECK_EQ(rmon_code_describe(&one, &out), RMON_ERR_UNKNOWN_CODE);
    tool_opens(0);
    tool_hears(0, RMON_EVENT_RAISE, &listener);
    scope_enters(&scope);
    CHECK_EQ(PyMonitoring_FireRaiseEvent(&scope.states[RMON_EVENT_RAISE], &one, 4), 0);
    CHECK_PTR(listener.last.object, NULL);
    no_host();
}

static void the_hosts_codes_are_described(void)
{
    struct machine machine = new_machine();
    rmon_code_info out = empty_info(), before;
    hosts(&machine);
    CHECK_EQ(rmon_code_describe(&one, &out), RMON_OK);
    CHECK_EQ(machine.described, 1);
    CHECK_EQ(machine.delivering, 0);
    CHECK_EQ(machine.struct_size, sizeof(rmon_code_info));
    CHECK_TEXT(out.name, "one");
    CHECK_TEXT(out.qualname, "module.one");
    CHECK_TEXT(out.filename, "machine.lang");
    CHECK_EQ(out.first_line, 10);
    CHECK_PTR(out.lines, lines_of_one);
    CHECK_EQ(out.line_count, 2);
    memset(&out, 0x55, sizeof out);
    out.struct_size = sizeof out;
    CHECK_EQ(rmon_code_describe(&two, &out), RMON_OK);
    CHECK_TEXT(out.name, "two");
    CHECK_EQ(out.line_count, 0);
    before = out;
    CHECK_EQ(rmon_code_describe(&stranger, &out), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(memcmp(&out, &before, sizeof out), 0);
    no_host();
    CHECK_EQ(rmon_code_describe(&one, &out), RMON_ERR_UNKNOWN_CODE);
    CHECK_EQ(machine.described, 3);
}

static void a_qualname_that_the_host_leaves_out_is_the_name(void)
{
    struct machine machine = new_machine();
    rmon_code_info out = empty_info();
    hosts(&machine);
    CHECK_EQ(rmon_code_describe(&two, &out), RMON_OK);
    CHECK_TEXT(out.qualname, "two");
    no_host();
}

static void rmons_own_codes_need_no_host(void)
{
    struct machine machine = new_machine();
    rmon_code_info info = empty_info(), out = empty_info();
    void *code;
    info.name = "own";
    info.filename = "host.c";
    hosts(&machine);
    code = rmon_code_new(&info);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_OK);
    CHECK_TEXT(out.name, "own");
    CHECK_EQ(machine.described, 0);
    rmon_code_release(code);
    CHECK_EQ(rmon_code_describe(code, &out), RMON_ERR_UNKNOWN_CODE);
    no_host();
}

static void what_a_host_refuses_is_unknown_whatever_it_returns(void)
{
    static const int results[] = {RMON_ERR_UNKNOWN_CODE, -1, RMON_ERR_INTERNAL, INT_MIN};
    struct machine machine = new_machine();
    size_t i;
    hosts(&machine);
    for (i = 0; i < sizeof results / sizeof results[0]; i++) {
        rmon_code_info out = empty_info(), before = out;
        machine.result = results[i];
        CHECK(rmon_code_describe(&stranger, &out) < 0);
        CHECK_EQ(memcmp(&out, &before, sizeof out), 0);
    }
    no_host();
}

static struct machine *heard_machine;

static int hear_and_describe(void *user_data, const rmon_event *event)
{
    rmon_code_info out = empty_info();
    int *calls = (int *)user_data;
    ++*calls;
    CHECK_EQ(rmon_code_describe(event->code, &out), RMON_OK);
    CHECK_TEXT(out.name, event->code == &one ? "one" : "two");
    CHECK(heard_machine->delivering != 0);
    CHECK_EQ(rmon_code_describe(event->code == &one ? &two : &one, &out), RMON_OK);
    CHECK_EQ(heard_machine->delivering, 0);
    return RMON_CONTINUE;
}

static void a_callback_may_describe_and_the_host_knows_which_code_is_alive(void)
{
    struct machine machine = new_machine();
    struct scope scope = {0};
    rmon_code_info out = empty_info();
    int calls = 0;
    heard_machine = &machine;
    hosts(&machine);
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, hear_and_describe, &calls, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    scope_enters(&scope);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &one, 1, 1), RMON_OK);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &two, 1, 1), RMON_OK);
    CHECK_EQ(calls, 2);
    CHECK_EQ(rmon_code_describe(&two, &out), RMON_OK);
    CHECK_EQ(machine.delivering, 0);
    no_host();
}

static void a_host_replaces_the_one_before(void)
{
    struct machine first = new_machine(), second = new_machine();
    rmon_code_info out = empty_info();
    hosts(&first);
    hosts(&second);
    CHECK_EQ(rmon_code_describe(&one, &out), RMON_OK);
    CHECK_EQ(first.described, 0);
    CHECK_EQ(second.described, 1);
    no_host();
}

static void a_host_of_before_the_first_version_is_refused_and_changes_nothing(void)
{
    struct machine machine = new_machine(), refused = new_machine();
    uint32_t size;
    hosts(&machine);
    for (size = 0; size < offsetof(rmon_host, begin_wait); size++) {
        rmon_host host = {0};
        host.struct_size = size;
        host.user_data = &refused;
        host.current_exception = current_exception;
        host.describe = describe;
        CHECK_EQ(rmon_set_host(&host), RMON_ERR_INVALID_ARGUMENT);
    }
    {
        rmon_code_info out = empty_info();
        CHECK_EQ(rmon_code_describe(&one, &out), RMON_OK);
        CHECK_EQ(machine.described, 1);
        CHECK_EQ(refused.described, 0);
    }
    no_host();
}

static void a_host_of_a_later_version_is_accepted(void)
{
    struct machine machine = new_machine();
    struct {
        rmon_host host;
        unsigned char later[64];
    } later;
    rmon_code_info out = empty_info();
    memset(&later, 0x5a, sizeof later);
    later.host.struct_size = sizeof later;
    later.host.user_data = &machine;
    later.host.current_exception = current_exception;
    later.host.describe = describe;
    later.host.begin_wait = NULL;
    later.host.end_wait = NULL;
    CHECK_EQ(rmon_set_host(&later.host), RMON_OK);
    CHECK_EQ(rmon_code_describe(&one, &out), RMON_OK);
    CHECK_EQ(machine.described, 1);
    no_host();
}

/* --- waiting --- */

/* A run-time with a lock that callbacks need, and who calls the library may have. */
struct locked_machine {
    pthread_mutex_t lock;
    int begun, ended, inside;
};

static void *begin_wait(void *user_data)
{
    struct locked_machine *machine = (struct locked_machine *)user_data;
    machine->begun++;
    pthread_mutex_unlock(&machine->lock);
    return &machine->ended;
}

static void end_wait(void *user_data, void *begun)
{
    struct locked_machine *machine = (struct locked_machine *)user_data;
    pthread_mutex_lock(&machine->lock);
    CHECK_PTR(begun, &machine->ended);
    machine->ended++;
}

static int take_the_lock(void *user_data, const rmon_event *event)
{
    struct locked_machine *machine = (struct locked_machine *)user_data;
    (void)event;
    flag_set(&machine->inside, 1);
    pthread_mutex_lock(&machine->lock);
    CHECK_EQ(rmon_synchronize(), RMON_ERR_IN_CALLBACK);
    pthread_mutex_unlock(&machine->lock);
    return RMON_CONTINUE;
}

static void *fire_a_line(void *unused)
{
    struct scope mine = {{{0, 0}}, 0};
    (void)unused;
    scope_enters(&mine);
    CHECK_EQ(fire(RMON_EVENT_LINE, &mine.states[RMON_EVENT_LINE], &one, 1), RMON_OK);
    return NULL;
}

static void who_waits_lets_go_of_what_the_host_says(void)
{
    struct locked_machine machine = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    rmon_host host = {0};
    pthread_t thread;
    host.struct_size = sizeof host;
    host.user_data = &machine;
    host.begin_wait = begin_wait;
    host.end_wait = end_wait;
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, take_the_lock, &machine, NULL), RMON_OK);
    CHECK_EQ(rmon_set_events(0, SET(RMON_EVENT_LINE)), RMON_OK);
    CHECK_EQ(rmon_set_host(&host), RMON_OK);
    pthread_mutex_lock(&machine.lock);
    thread = thread_start(fire_a_line, NULL);
    CHECK(flag_reaches(&machine.inside, 1));
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK(machine.begun == 1 && machine.ended == 1); /* not for the call that was refused */
    no_host();
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    pthread_mutex_unlock(&machine.lock);
    thread_join(thread);
    CHECK(machine.begun == 1 && machine.ended == 1);
}

static void hooks_beyond_the_size_that_a_host_says_are_not_there(void)
{
    struct locked_machine machine = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    uint32_t size;
    for (size = offsetof(rmon_host, begin_wait); size < sizeof(rmon_host); size++) {
        rmon_host host = {0};
        host.struct_size = size;
        host.user_data = &machine;
        host.begin_wait = begin_wait;
        host.end_wait = end_wait;
        CHECK_EQ(rmon_set_host(&host), RMON_OK);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
    }
    {
        rmon_host host = {0};
        host.struct_size = sizeof host;
        host.begin_wait = begin_wait; /* and no end */
        CHECK_EQ(rmon_set_host(&host), RMON_OK);
        CHECK_EQ(rmon_synchronize(), RMON_OK);
    }
    CHECK_EQ(machine.begun, 0);
    no_host();
}

int main(void)
{
    RUN(the_current_exception_arrives);
    RUN(no_current_exception_is_an_error_when_somebody_listens);
    RUN(the_rmon_functions_take_the_exception_that_they_are_given);
    RUN(without_a_host_the_exception_is_null);
    RUN(hooks_may_be_null);
    RUN(the_hosts_codes_are_described);
    RUN(a_qualname_that_the_host_leaves_out_is_the_name);
    RUN(rmons_own_codes_need_no_host);
    RUN(what_a_host_refuses_is_unknown_whatever_it_returns);
    RUN(a_callback_may_describe_and_the_host_knows_which_code_is_alive);
    RUN(a_host_replaces_the_one_before);
    RUN(a_host_of_before_the_first_version_is_refused_and_changes_nothing);
    RUN(a_host_of_a_later_version_is_accepted);
    RUN(who_waits_lets_go_of_what_the_host_says);
    RUN(hooks_beyond_the_size_that_a_host_says_are_not_there);
    return check_result();
}
