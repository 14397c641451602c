/* pymonitoring.c: sources written for CPython's Monitoring C API compile, fire and get 0 or -1, without Python. */
#include "exported.h"
#include "listener.h"

#include <stddef.h>

/* Written as for CPython: its names alone, the objects being whatever pointers there are. */
static char code_a, code_b, value, callable, arg0, other_callable, target;

struct py_scope {
    PyMonitoringState states[RMON_EVENT_COUNT];
    uint64_t version;
};

static struct py_scope scope;

static void py_scope_enters(void)
{
    CHECK_EQ(PyMonitoring_EnterScope(scope.states, &scope.version, scope_types, RMON_EVENT_COUNT), 0);
}

/* Fires one event of each function; the functions are the header's, or the library's by the same names. */
struct py_functions {
    int (*start)(PyMonitoringState *, void *, int32_t);
    int (*resume)(PyMonitoringState *, void *, int32_t);
    int (*ret)(PyMonitoringState *, void *, int32_t, void *);
    int (*yield)(PyMonitoringState *, void *, int32_t, void *);
    int (*call)(PyMonitoringState *, void *, int32_t, void *, void *);
    int (*line)(PyMonitoringState *, void *, int32_t, int);
    int (*jump)(PyMonitoringState *, void *, int32_t, void *);
    int (*branch)(PyMonitoringState *, void *, int32_t, void *);
    int (*left)(PyMonitoringState *, void *, int32_t, void *);
    int (*right)(PyMonitoringState *, void *, int32_t, void *);
    int (*c_return)(PyMonitoringState *, void *, int32_t, void *);
    int (*throw_)(PyMonitoringState *, void *, int32_t);
    int (*raise)(PyMonitoringState *, void *, int32_t);
    int (*reraise)(PyMonitoringState *, void *, int32_t);
    int (*handled)(PyMonitoringState *, void *, int32_t);
    int (*c_raise)(PyMonitoringState *, void *, int32_t);
    int (*unwind)(PyMonitoringState *, void *, int32_t);
    int (*stop)(PyMonitoringState *, void *, int32_t, void *);
};

static struct py_functions py = {
    PyMonitoring_FirePyStartEvent,
    PyMonitoring_FirePyResumeEvent,
    PyMonitoring_FirePyReturnEvent,
    PyMonitoring_FirePyYieldEvent,
    PyMonitoring_FireCallEvent,
    PyMonitoring_FireLineEvent,
    PyMonitoring_FireJumpEvent,
    PyMonitoring_FireBranchEvent,
    PyMonitoring_FireBranchLeftEvent,
    PyMonitoring_FireBranchRightEvent,
    PyMonitoring_FireCReturnEvent,
    PyMonitoring_FirePyThrowEvent,
    PyMonitoring_FireRaiseEvent,
    PyMonitoring_FireReraiseEvent,
    PyMonitoring_FireExceptionHandledEvent,
    PyMonitoring_FireCRaiseEvent,
    PyMonitoring_FirePyUnwindEvent,
    PyMonitoring_FireStopIterationEvent,
};

static int library_functions(void)
{
    return exported("PyMonitoring_FirePyStartEvent", &py.start)
           & exported("PyMonitoring_FirePyResumeEvent", &py.resume)
           & exported("PyMonitoring_FirePyReturnEvent", &py.ret)
           & exported("PyMonitoring_FirePyYieldEvent", &py.yield)
           & exported("PyMonitoring_FireCallEvent", &py.call)
           & exported("PyMonitoring_FireLineEvent", &py.line)
           & exported("PyMonitoring_FireJumpEvent", &py.jump)
           & exported("PyMonitoring_FireBranchEvent", &py.branch)
           & exported("PyMonitoring_FireBranchLeftEvent", &py.left)
           & exported("PyMonitoring_FireBranchRightEvent", &py.right)
           & exported("PyMonitoring_FireCReturnEvent", &py.c_return)
           & exported("PyMonitoring_FirePyThrowEvent", &py.throw_)
           & exported("PyMonitoring_FireRaiseEvent", &py.raise)
           & exported("PyMonitoring_FireReraiseEvent", &py.reraise)
           & exported("PyMonitoring_FireExceptionHandledEvent", &py.handled)
           & exported("PyMonitoring_FireCRaiseEvent", &py.c_raise)
           & exported("PyMonitoring_FirePyUnwindEvent", &py.unwind)
           & exported("PyMonitoring_FireStopIterationEvent", &py.stop);
}

static int py_fire_at(int event, PyMonitoringState *state, void *code, int32_t offset)
{
    switch (event) {
    case PY_MONITORING_EVENT_PY_START:
        return py.start(state, code, offset);
    case PY_MONITORING_EVENT_PY_RESUME:
        return py.resume(state, code, offset);
    case PY_MONITORING_EVENT_PY_RETURN:
        return py.ret(state, code, offset, &value);
    case PY_MONITORING_EVENT_PY_YIELD:
        return py.yield(state, code, offset, &value);
    case PY_MONITORING_EVENT_CALL:
        return py.call(state, code, offset, &callable, &arg0);
    case PY_MONITORING_EVENT_LINE:
        return py.line(state, code, offset, 4711);
    case PY_MONITORING_EVENT_JUMP:
        return py.jump(state, code, offset, &target);
    case PY_MONITORING_EVENT_BRANCH:
        return py.branch(state, code, offset, &target);
    case PY_MONITORING_EVENT_BRANCH_LEFT:
        return py.left(state, code, offset, &target);
    case PY_MONITORING_EVENT_BRANCH_RIGHT:
        return py.right(state, code, offset, &target);
    case PY_MONITORING_EVENT_C_RETURN:
        return py.c_return(state, code, offset, &value);
    case PY_MONITORING_EVENT_PY_THROW:
        return py.throw_(state, code, offset);
    case PY_MONITORING_EVENT_RAISE:
        return py.raise(state, code, offset);
    case PY_MONITORING_EVENT_RERAISE:
        return py.reraise(state, code, offset);
    case PY_MONITORING_EVENT_EXCEPTION_HANDLED:
        return py.handled(state, code, offset);
    case PY_MONITORING_EVENT_C_RAISE:
        return py.c_raise(state, code, offset);
    case PY_MONITORING_EVENT_PY_UNWIND:
        return py.unwind(state, code, offset);
    case PY_MONITORING_EVENT_STOP_ITERATION:
        return py.stop(state, code, offset, &value);
    }
    return 0;       /* INSTRUCTION has no function in any version of CPython */
}

static int py_fire(int event, int32_t offset)
{
    return py_fire_at(event, &scope.states[event], &code_a, offset);
}

static int has_a_function(int event)
{
    return event != PY_MONITORING_EVENT_INSTRUCTION;
}

static void the_state_is_cpythons(void)
{
    PyMonitoringState state = {1, 2};
    CHECK_EQ(sizeof(PyMonitoringState), 2);
    CHECK_EQ(offsetof(PyMonitoringState, active), 0);
    CHECK_EQ(offsetof(PyMonitoringState, opaque), 1);
    CHECK_EQ(state.active, 1);
    CHECK_EQ(state.opaque, 2);
}

static void event_numbers_are_rmons(void)
{
    CHECK_EQ(PY_MONITORING_EVENT_PY_START, RMON_EVENT_PY_START);
    CHECK_EQ(PY_MONITORING_EVENT_PY_RESUME, RMON_EVENT_PY_RESUME);
    CHECK_EQ(PY_MONITORING_EVENT_PY_RETURN, RMON_EVENT_PY_RETURN);
    CHECK_EQ(PY_MONITORING_EVENT_PY_YIELD, RMON_EVENT_PY_YIELD);
    CHECK_EQ(PY_MONITORING_EVENT_CALL, RMON_EVENT_CALL);
    CHECK_EQ(PY_MONITORING_EVENT_LINE, RMON_EVENT_LINE);
    CHECK_EQ(PY_MONITORING_EVENT_INSTRUCTION, RMON_EVENT_INSTRUCTION);
    CHECK_EQ(PY_MONITORING_EVENT_JUMP, RMON_EVENT_JUMP);
    CHECK_EQ(PY_MONITORING_EVENT_BRANCH, RMON_EVENT_BRANCH);
    CHECK_EQ(PY_MONITORING_EVENT_BRANCH_LEFT, RMON_EVENT_BRANCH_LEFT);
    CHECK_EQ(PY_MONITORING_EVENT_BRANCH_RIGHT, RMON_EVENT_BRANCH_RIGHT);
    CHECK_EQ(PY_MONITORING_EVENT_STOP_ITERATION, RMON_EVENT_STOP_ITERATION);
    CHECK_EQ(PY_MONITORING_EVENT_RAISE, RMON_EVENT_RAISE);
    CHECK_EQ(PY_MONITORING_EVENT_EXCEPTION_HANDLED, RMON_EVENT_EXCEPTION_HANDLED);
    CHECK_EQ(PY_MONITORING_EVENT_PY_UNWIND, RMON_EVENT_PY_UNWIND);
    CHECK_EQ(PY_MONITORING_EVENT_PY_THROW, RMON_EVENT_PY_THROW);
    CHECK_EQ(PY_MONITORING_EVENT_RERAISE, RMON_EVENT_RERAISE);
    CHECK_EQ(PY_MONITORING_EVENT_C_RETURN, RMON_EVENT_C_RETURN);
    CHECK_EQ(PY_MONITORING_EVENT_C_RAISE, RMON_EVENT_C_RAISE);
}

static void instrumented_events_are_the_local_ones(void)
{
    int event;
    uint8_t narrow = PY_MONITORING_EVENT_LINE;
    unsigned wide = PY_MONITORING_EVENT_RAISE;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        CHECK_EQ(PY_MONITORING_IS_INSTRUMENTED_EVENT(event) != 0, (RMON_LOCAL_EVENTS & RMON_EVENT_SET(event)) != 0);
    CHECK(PY_MONITORING_IS_INSTRUMENTED_EVENT(narrow));
    CHECK(!PY_MONITORING_IS_INSTRUMENTED_EVENT(wide));
    CHECK(!PY_MONITORING_IS_INSTRUMENTED_EVENT(wide + 100));
    CHECK(PY_MONITORING_IS_INSTRUMENTED_EVENT(event = PY_MONITORING_EVENT_JUMP) && event == PY_MONITORING_EVENT_JUMP);
}

static void every_function_delivers_its_event(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {0};
        const rmon_event *seen = &listener.last;
        if (!has_a_function(event))
            continue;
        tool_opens(3);
        tool_hears(3, event, &listener);
        py_scope_enters();
        CHECK_EQ(py_fire(event, 12), 0);
        CHECK_EQ(PyMonitoring_ExitScope(), 0);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(seen->event, event);
        CHECK_EQ(seen->tool_id, 3);
        CHECK_PTR(seen->code, &code_a);
        CHECK_EQ(seen->offset, 12);
        CHECK_EQ(seen->line, event == RMON_EVENT_LINE ? 4711 : -1);
        CHECK_EQ(seen->target_offset, -1);
        switch (event) {
        case RMON_EVENT_PY_RETURN:
        case RMON_EVENT_PY_YIELD:
        case RMON_EVENT_STOP_ITERATION:
            CHECK_PTR(seen->object, &value);
            break;
        case RMON_EVENT_CALL:
            CHECK_PTR(seen->object, &callable);
            CHECK_PTR(seen->arg0, &arg0);
            break;
        case RMON_EVENT_JUMP:
        case RMON_EVENT_BRANCH:
        case RMON_EVENT_BRANCH_LEFT:
        case RMON_EVENT_BRANCH_RIGHT:
            CHECK_PTR(seen->object, &target);
            break;
        case RMON_EVENT_C_RETURN:
        case RMON_EVENT_C_RAISE:
            break;      /* see below */
        default:
            CHECK_PTR(seen->object, NULL);
        }
        if (event != RMON_EVENT_CALL && event != RMON_EVENT_C_RETURN && event != RMON_EVENT_C_RAISE)
            CHECK_PTR(seen->arg0, NULL);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    }
}

static void null_objects_arrive_as_null(void)
{
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_PY_RETURN, &listener);
    tool_hears(0, RMON_EVENT_PY_YIELD, &listener);
    tool_hears(0, RMON_EVENT_CALL, &listener);
    tool_hears(0, RMON_EVENT_JUMP, &listener);
    tool_hears(0, RMON_EVENT_STOP_ITERATION, &listener);
    py_scope_enters();
    CHECK_EQ(py.ret(&scope.states[RMON_EVENT_PY_RETURN], NULL, 0, NULL), 0);
    CHECK_PTR(listener.last.code, NULL);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_EQ(py.yield(&scope.states[RMON_EVENT_PY_YIELD], NULL, 0, NULL), 0);
    CHECK_EQ(py.call(&scope.states[RMON_EVENT_CALL], NULL, 0, NULL, NULL), 0);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_PTR(listener.last.arg0, NULL);
    CHECK_EQ(py.jump(&scope.states[RMON_EVENT_JUMP], NULL, 0, NULL), 0);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_EQ(listener.last.target_offset, -1);
    CHECK_EQ(py.stop(&scope.states[RMON_EVENT_STOP_ITERATION], NULL, 0, NULL), 0);
    CHECK_EQ(listener.calls, 5);
}

static void results_are_0_or_minus_1(void)
{
    static const int results[] = {-1, -7, RMON_ERR_INTERNAL, -1000};
    int event;
    size_t i;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {0};
        if (!has_a_function(event))
            continue;
        tool_opens(3);
        tool_hears(3, event, &listener);
        py_scope_enters();
        CHECK_EQ(py_fire(event, -1), -1);
        CHECK_EQ(py_fire(event, INT32_MIN), -1);
        CHECK_EQ(listener.calls, 0);
        for (i = 0; i < sizeof results / sizeof results[0]; i++) {
            listener.result = results[i];
            CHECK_EQ(py_fire(event, 12), -1);
        }
        listener.result = 5;
        CHECK_EQ(py_fire(event, 12), 0);
        listener.result = RMON_DISABLE;
        CHECK_EQ(py_fire(event, 12), (RMON_LOCAL_EVENTS & RMON_EVENT_SET(event)) != 0 ? 0 : -1);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    }
}

static void inactive_states_do_nothing(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        PyMonitoringState asleep = {0, 0};
        CHECK_EQ(py_fire_at(event, &asleep, &code_a, 0), 0);
        CHECK_EQ(py_fire_at(event, &asleep, NULL, -1), 0);
    }
}

static void entering_a_scope_with_an_unknown_event_is_minus_1(void)
{
    struct listener listener = {0};
    PyMonitoringState state = {77, 88};
    uint64_t version = 0;
    uint8_t bad = RMON_EVENT_COUNT;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(PyMonitoring_EnterScope(&state, &version, &bad, 1), -1);
    CHECK_EQ(version, 0);
    CHECK_EQ(state.active, 77);
}

static void c_return_and_c_raise_have_callable_and_argument_of_the_last_call(void)
{
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_CALL, &listener);
    tool_hears(0, RMON_EVENT_C_RETURN, &listener);
    tool_hears(0, RMON_EVENT_C_RAISE, &listener);
    py_scope_enters();
    CHECK_EQ(py_fire(RMON_EVENT_CALL, 4), 0);
    CHECK_EQ(py_fire(RMON_EVENT_C_RETURN, 4), 0);
    CHECK_EQ(listener.calls, 2);
    CHECK_EQ(listener.last.event, RMON_EVENT_C_RETURN);
    CHECK_EQ(listener.last.offset, 4);
    CHECK_PTR(listener.last.object, &callable);
    CHECK_PTR(listener.last.arg0, &arg0);
    CHECK_EQ(py.call(&scope.states[RMON_EVENT_CALL], &code_a, 8, &other_callable, NULL), 0);
    CHECK_EQ(py_fire(RMON_EVENT_C_RAISE, 8), 0);
    CHECK_EQ(listener.last.event, RMON_EVENT_C_RAISE);
    CHECK_PTR(listener.last.object, &other_callable);
    CHECK_PTR(listener.last.arg0, NULL);
}

/* The call may be known no more, but it is never that of another code. */
static void c_return_never_has_the_call_of_another_code(void)
{
    struct listener listener = {0};
    PyMonitoringState *call, *c_return;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_CALL, &listener);
    tool_hears(0, RMON_EVENT_C_RETURN, &listener);
    py_scope_enters();
    call = &scope.states[RMON_EVENT_CALL];
    c_return = &scope.states[RMON_EVENT_C_RETURN];
    CHECK_EQ(py.call(call, &code_a, 4, &callable, &arg0), 0);
    CHECK_EQ(py.call(call, &code_b, 4, &other_callable, &value), 0);
    CHECK_EQ(py.c_return(c_return, &code_b, 4, NULL), 0);
    CHECK_PTR(listener.last.object, &other_callable);
    CHECK_PTR(listener.last.arg0, &value);
    CHECK_EQ(py.c_return(c_return, &code_a, 4, NULL), 0);
    CHECK(listener.last.object == &callable || listener.last.object == NULL);
    CHECK(listener.last.object == NULL ? listener.last.arg0 == NULL : listener.last.arg0 == &arg0);
}

static void without_a_call_c_return_and_c_raise_have_nothing(void)
{
    static char fresh_code;
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_C_RETURN, &listener);
    tool_hears(0, RMON_EVENT_C_RAISE, &listener);
    py_scope_enters();
    CHECK_EQ(py.c_return(&scope.states[RMON_EVENT_C_RETURN], &fresh_code, 4, &value), 0);
    CHECK_EQ(listener.calls, 1);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_PTR(listener.last.arg0, NULL);
    CHECK_EQ(py.c_raise(&scope.states[RMON_EVENT_C_RAISE], &fresh_code, 4), 0);
    CHECK_EQ(listener.calls, 2);
    CHECK_PTR(listener.last.object, NULL);
    CHECK_PTR(listener.last.arg0, NULL);
}

static void c_return_after_rmon_fire_call_has_its_callable_too(void)
{
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_CALL, &listener);
    tool_hears(0, RMON_EVENT_C_RETURN, &listener);
    py_scope_enters();
    CHECK_EQ(rmon_fire_call(&scope.states[RMON_EVENT_CALL], &code_a, 4, &callable, &arg0), RMON_OK);
    CHECK_EQ(py.c_return(&scope.states[RMON_EVENT_C_RETURN], &code_a, 4, &value), 0);
    CHECK_PTR(listener.last.object, &callable);
    CHECK_PTR(listener.last.arg0, &arg0);
}

/* A tool may have a callback for C_RETURN alone: the call must be remembered though nobody hears it. */
static void c_return_has_the_callable_of_a_call_that_has_no_callback(void)
{
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_C_RETURN, &listener);
    py_scope_enters();
    CHECK_EQ(py_fire(RMON_EVENT_CALL, 4), 0);
    CHECK_EQ(py_fire(RMON_EVENT_C_RETURN, 4), 0);
    CHECK_EQ(listener.calls, 1);
    CHECK_PTR(listener.last.object, &callable);
    CHECK_PTR(listener.last.arg0, &arg0);
}

static void exceptions_are_null_without_a_host(void)
{
    static const int events[] = {RMON_EVENT_RAISE, RMON_EVENT_RERAISE, RMON_EVENT_EXCEPTION_HANDLED,
                                 RMON_EVENT_PY_UNWIND, RMON_EVENT_PY_THROW};
    struct listener listener = {0};
    size_t i;
    tool_opens(0);
    for (i = 0; i < sizeof events / sizeof events[0]; i++) {
        tool_hears(0, events[i], &listener);
        py_scope_enters();
        CHECK_EQ(py_fire(events[i], 4), 0);
        CHECK_EQ(listener.calls, (int)i + 1);
        CHECK_PTR(listener.last.object, NULL);
    }
}

static void both_families_share_states_and_tools(void)
{
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    py_scope_enters();
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code_a, 1, 5), RMON_OK);
    listener.result = RMON_DISABLE;
    CHECK_EQ(py.line(&scope.states[RMON_EVENT_LINE], &code_a, 1, 6), 0);
    CHECK_EQ(listener.calls, 2);
    CHECK_EQ(listener.last.line, 6);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code_a, 1, 6), RMON_OK);
    CHECK_EQ(listener.calls, 2);
}

static void the_exported_functions_check_the_state(void)
{
    int event;
    for (event = 0; event < RMON_EVENT_COUNT; event++)
        if (has_a_function(event))
            CHECK_EQ(py_fire_at(event, NULL, &code_a, 1), -1);
}

static void what_libpython_exports_is_not_exported(void)
{
    static const char *const names[] = {
        "PyMonitoring_EnterScope", "PyMonitoring_ExitScope", "_PyMonitoring_FirePyStartEvent",
        "_PyMonitoring_FireLineEvent", "_PyMonitoring_FireBranchEvent",
    };
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(dlsym(dlopen(NULL, RTLD_LAZY), names[i]) == NULL);
}

static void run_all(void)
{
    RUN(every_function_delivers_its_event);
    RUN(null_objects_arrive_as_null);
    RUN(results_are_0_or_minus_1);
    RUN(inactive_states_do_nothing);
    RUN(c_return_and_c_raise_have_callable_and_argument_of_the_last_call);
    RUN(c_return_never_has_the_call_of_another_code);
    RUN(without_a_call_c_return_and_c_raise_have_nothing);
    RUN(c_return_after_rmon_fire_call_has_its_callable_too);
    RUN(c_return_has_the_callable_of_a_call_that_has_no_callback);
    RUN(exceptions_are_null_without_a_host);
    RUN(both_families_share_states_and_tools);
}

int main(void)
{
    RUN(the_state_is_cpythons);
    RUN(event_numbers_are_rmons);
    RUN(instrumented_events_are_the_local_ones);
    RUN(entering_a_scope_with_an_unknown_event_is_minus_1);
    run_all();
    check_test = "all of it through the exported functions";
    if (exported_symbols_are_there() && library_functions()) {
        run_all();
        RUN(the_exported_functions_check_the_state);
        RUN(what_libpython_exports_is_not_exported);
    }
    return check_result();
}
