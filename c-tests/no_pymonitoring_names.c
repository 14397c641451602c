/* no_pymonitoring_names.c: with RMON_NO_PYMONITORING_NAMES these names are free for the program's own use. */
#define RMON_NO_PYMONITORING_NAMES
#include "listener.h"

#ifdef PY_MONITORING_EVENT_LINE
#error "PY_MONITORING_EVENT_LINE is taken"
#endif
#ifdef PY_MONITORING_IS_INSTRUMENTED_EVENT
#error "PY_MONITORING_IS_INSTRUMENTED_EVENT is taken"
#endif

typedef struct PyMonitoringState {
    long mine;
} PyMonitoringState;

enum { PY_MONITORING_EVENT_LINE = 4711 };

static int PyMonitoring_EnterScope(PyMonitoringState *state)
{
    return (int)state->mine;
}

static int PyMonitoring_FireLineEvent(PyMonitoringState *state, int line)
{
    return (int)state->mine + line;
}

static char code;

static void the_names_are_the_programs(void)
{
    PyMonitoringState state = {1};
    CHECK_EQ(PyMonitoring_EnterScope(&state), 1);
    CHECK_EQ(PyMonitoring_FireLineEvent(&state, PY_MONITORING_EVENT_LINE), 4712);
}

static void rmons_own_names_work(void)
{
    struct listener listener = {0};
    struct scope scope = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    scope_enters(&scope);
    CHECK_EQ(rmon_fire_line(&scope.states[RMON_EVENT_LINE], &code, 1, 1), RMON_OK);
    CHECK_EQ(listener.calls, 1);
}

int main(void)
{
    RUN(the_names_are_the_programs);
    RUN(rmons_own_names_work);
    return check_result();
}
