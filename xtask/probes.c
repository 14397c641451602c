/* A probe of every kind. Compiled with RMON_DISABLED it must need nothing of librmon and do nothing: no state is
   touched, every probe is RMON_OK. */
#include <rmon.h>

#define EVENTS 2

int main(void)
{
    static const uint8_t events[EVENTS] = {RMON_EVENT_PY_START, RMON_EVENT_LINE};
    rmon_state states[EVENTS] = {{0, 0}, {0, 0}};
    rmon_state *state = &states[0];
    uint64_t version = 0;
    int object = 0;
    void *code = &object;
    int status = 0;

    status |= rmon_enter_scope(states, &version, events, EVENTS);
    status |= rmon_fire_py_start(state, code, 0);
    status |= rmon_fire_py_resume(state, code, 0);
    status |= rmon_fire_py_return(state, code, 0, &object);
    status |= rmon_fire_py_yield(state, code, 0, &object);
    status |= rmon_fire_call(state, code, 0, &object, NULL);
    status |= rmon_fire_line(state, code, 0, 1);
    status |= rmon_fire_instruction(state, code, 0);
    status |= rmon_fire_jump(state, code, 0, 2);
    status |= rmon_fire_branch_left(state, code, 0, 2);
    status |= rmon_fire_branch_right(state, code, 0, 2);
    status |= rmon_fire_branch(state, code, 0, 2);
    status |= rmon_fire_c_return(state, code, 0, &object, NULL);
    status |= rmon_fire_c_raise(state, code, 0, &object, NULL);
    status |= rmon_fire_stop_iteration(state, code, 0, &object);
    status |= rmon_fire_py_throw(state, code, 0, &object);
    status |= rmon_fire_raise(state, code, 0, &object);
    status |= rmon_fire_reraise(state, code, 0, &object);
    status |= rmon_fire_exception_handled(state, code, 0, &object);
    status |= rmon_fire_py_unwind(state, code, 0, &object);
    status |= rmon_exit_scope();

#ifndef RMON_NO_PYMONITORING_NAMES
    {
        static const uint8_t named[1] = {PY_MONITORING_EVENT_LINE};
        PyMonitoringState named_states[1] = {{0, 0}};
        PyMonitoringState *named_state = &named_states[0];

        status |= PyMonitoring_EnterScope(named_states, &version, named, 1);
        status |= PyMonitoring_FirePyStartEvent(named_state, code, 0);
        status |= PyMonitoring_FirePyResumeEvent(named_state, code, 0);
        status |= PyMonitoring_FirePyReturnEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FirePyYieldEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FireCallEvent(named_state, code, 0, &object, NULL);
        status |= PyMonitoring_FireLineEvent(named_state, code, 0, 1);
        status |= PyMonitoring_FireJumpEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FireBranchEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FireBranchLeftEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FireBranchRightEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FireCReturnEvent(named_state, code, 0, &object);
        status |= PyMonitoring_FirePyThrowEvent(named_state, code, 0);
        status |= PyMonitoring_FireRaiseEvent(named_state, code, 0);
        status |= PyMonitoring_FireReraiseEvent(named_state, code, 0);
        status |= PyMonitoring_FireExceptionHandledEvent(named_state, code, 0);
        status |= PyMonitoring_FireCRaiseEvent(named_state, code, 0);
        status |= PyMonitoring_FirePyUnwindEvent(named_state, code, 0);
        status |= PyMonitoring_FireStopIterationEvent(named_state, code, 0, &object);
        status |= PyMonitoring_ExitScope();
    }
#endif
    return status != RMON_OK || version != 0 || state->active != 0;
}
