/* disabled.c: with RMON_DISABLED all probes compile and do nothing, and need no librmon to be linked. */
#define RMON_DISABLED
#include "firing.h"
#include "listener.h"

static char code, object;

/* As an emitter writes it: its variables are for probes alone, and must give no warning when these are gone. */
static int instrumented(int n)
{
    static const uint8_t types[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_CALL, RMON_EVENT_PY_RETURN};
    static rmon_state states[4];
    static uint64_t version;
    int line = 1;
    int bad = rmon_enter_scope(states, &version, types, 4);
    bad |= rmon_fire_py_start(&states[0], &code, 0);
    bad |= rmon_fire_line(&states[1], &code, 2, line);
    if (n > 0) {
        bad |= rmon_fire_call(&states[2], &code, 4, &object, NULL);
        n += instrumented(n - 1);
    }
    bad |= rmon_fire_py_return(&states[3], &code, 6, &object);
    bad |= rmon_exit_scope();
    CHECK_EQ(bad, 0);
    return n;
}

static void every_probe_does_nothing(void)
{
    struct fire_values values = {&object, &object, -1};
    struct scope scope = {0};
    int event;
    scope.version = 77;
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        scope.states[event].active = 0xff;
        scope.states[event].opaque = 0x55;
    }
    scope_enters(&scope);
    CHECK_EQ(scope.version, 77);
    for (event = 0; event < RMON_EVENT_COUNT; event++) {
        CHECK_EQ(fire_by(&header_fires[event], &scope.states[event], &code, -1, values), RMON_OK);
        CHECK_EQ(fire_by(&header_fires[event], NULL, NULL, -1, values), RMON_OK);
        CHECK_EQ(scope.states[event].active, 0xff);
        CHECK_EQ(scope.states[event].opaque, 0x55);
    }
    CHECK_EQ(rmon_enter_scope(NULL, NULL, NULL, -1), RMON_OK);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

static void every_probe_of_cpythons_names_does_nothing(void)
{
    PyMonitoringState state = {0xff, 0x55};
    uint64_t version = 77;
    uint8_t line = PY_MONITORING_EVENT_LINE;
    CHECK_EQ(PyMonitoring_EnterScope(&state, &version, &line, 1), 0);
    CHECK_EQ(PyMonitoring_FirePyStartEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FirePyResumeEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FirePyReturnEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FirePyYieldEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FireCallEvent(&state, &code, -1, &object, &object), 0);
    CHECK_EQ(PyMonitoring_FireLineEvent(&state, &code, -1, 1), 0);
    CHECK_EQ(PyMonitoring_FireJumpEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FireBranchEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FireBranchLeftEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FireBranchRightEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FireCReturnEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_FirePyThrowEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FireRaiseEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FireReraiseEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FireExceptionHandledEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FireCRaiseEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FirePyUnwindEvent(&state, &code, -1), 0);
    CHECK_EQ(PyMonitoring_FireStopIterationEvent(&state, &code, -1, &object), 0);
    CHECK_EQ(PyMonitoring_ExitScope(), 0);
    CHECK_EQ(state.active, 0xff);
    CHECK_EQ(version, 77);
}

/* The tests are called, not RUN: what RUN does before and after each needs the library. */
int main(void)
{
    CHECK_EQ(instrumented(3), 6);
    every_probe_does_nothing();
    every_probe_of_cpythons_names_does_nothing();
    return check_result();
}
