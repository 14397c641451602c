//! The names under which CPython documents its Monitoring C API, for programs without Python.
//!
//! Objects are plain pointers. Every function checks the state first and returns 0 or -1. A jump's or
//! branch's target is an object; an exception is what the host's hook gives; C_RETURN and C_RAISE,
//! which know no callable here, repeat what the last CALL in that code said. (A Python extension gets
//! these names from rmon_python.h, with CPython's exception rules. The symbols here can never be
//! taken for CPython's: those functions are inline there.)

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use super::{RMON_OK, emit};
use crate::dispatch::{Objects, fire};
use crate::event::Event;
use crate::host;
use crate::registry;
use crate::state::{self, State};
use crate::status::Error;
use crate::sync::thread;

/// Fires an event of the exception that the host says is current. `event` is one of RAISE, RERAISE,
/// EXCEPTION_HANDLED, PY_UNWIND and PY_THROW. The part of the PyMonitoring functions of these behind
/// their inline check; call those. Returns a status.
///
/// # Safety
/// As for rmon_fire_raise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_current_exception_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    event: c_int,
) -> c_int {
    let listened_to = Event::from_number(event)
        // SAFETY: an event's number is in bounds.
        .map(|event| unsafe { !registry::interest(event.number()).is_none() });
    match listened_to {
        Ok(true) if !thread::current().is_inside() => {}
        Ok(_) => return RMON_OK,
        Err(error) => return error.status(),
    }
    let exception = match host::current_exception() {
        Ok(exception) => exception,
        Err(error) => return error.status(),
    };
    // SAFETY: the caller's promise.
    unsafe {
        match event {
            super::RMON_EVENT_RAISE => emit::rmon_fire_raise_slow(state, code, offset, exception),
            super::RMON_EVENT_RERAISE => {
                emit::rmon_fire_reraise_slow(state, code, offset, exception)
            }
            super::RMON_EVENT_EXCEPTION_HANDLED => {
                emit::rmon_fire_exception_handled_slow(state, code, offset, exception)
            }
            super::RMON_EVENT_PY_UNWIND => {
                emit::rmon_fire_py_unwind_slow(state, code, offset, exception)
            }
            super::RMON_EVENT_PY_THROW => {
                emit::rmon_fire_py_throw_slow(state, code, offset, exception)
            }
            _ => Error::InvalidEvent.status(),
        }
    }
}

/// Fires C_RETURN or C_RAISE with the callable and the argument of the CALL that was last fired on
/// this thread in this code, or NULL if that is not remembered. The part of the PyMonitoring
/// functions of these behind their inline check; call those. Returns a status.
///
/// # Safety
/// As for rmon_fire_c_return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_last_call_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    event: c_int,
) -> c_int {
    if thread::current().is_inside() {
        return RMON_OK;
    }
    let call = thread::current().pop_call(code, registry::version());
    let (callable, arg0) = call.map_or((null_mut(), null_mut()), |call| (call.callable, call.arg0));
    // SAFETY: the caller's promise.
    unsafe {
        match event {
            super::RMON_EVENT_C_RETURN => {
                emit::rmon_fire_c_return_slow(state, code, offset, callable, arg0)
            }
            super::RMON_EVENT_C_RAISE => {
                emit::rmon_fire_c_raise_slow(state, code, offset, callable, arg0)
            }
            _ => Error::InvalidEvent.status(),
        }
    }
}

/// Fires JUMP, BRANCH_LEFT, BRANCH_RIGHT or BRANCH with an object for a target: it arrives as the
/// event's object, with -1 for the target's offset. The part of the PyMonitoring functions of these
/// behind their inline check; call those. Returns a status.
///
/// # Safety
/// As for rmon_fire_jump.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_target_object_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    event: c_int,
    target: *mut c_void,
) -> c_int {
    const JUMP: u8 = Event::Jump.number();
    const LEFT: u8 = Event::BranchLeft.number();
    const RIGHT: u8 = Event::BranchRight.number();
    const BRANCH: u8 = Event::Branch.number();
    let payload = Objects(target, null_mut());
    // SAFETY: the caller's promise.
    unsafe {
        match event {
            super::RMON_EVENT_JUMP => fire::<JUMP, _>(state, code, offset, payload),
            super::RMON_EVENT_BRANCH_LEFT => fire::<LEFT, _>(state, code, offset, payload),
            super::RMON_EVENT_BRANCH_RIGHT => fire::<RIGHT, _>(state, code, offset, payload),
            super::RMON_EVENT_BRANCH => fire::<BRANCH, _>(state, code, offset, payload),
            _ => Error::InvalidEvent.status(),
        }
    }
}

/// The inline check, and a status as CPython would have it: 0 or -1.
///
/// # Safety
/// `state` is NULL or valid.
#[inline(always)]
unsafe fn checked(state: *mut State, slow: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: valid, unless NULL, by the caller's promise.
    if !state.is_null() && unsafe { state::load_active(state) } == 0 {
        return 0;
    }
    if state.is_null() || slow() < 0 { -1 } else { 0 }
}

/// CPython's PyMonitoring_FirePyStartEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyStartEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_py_start_slow(state, code, offset)) }
}

/// CPython's PyMonitoring_FirePyResumeEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyResumeEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_py_resume_slow(state, code, offset)) }
}

/// CPython's PyMonitoring_FirePyReturnEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyReturnEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_py_return_slow(state, code, offset, retval)) }
}

/// CPython's PyMonitoring_FirePyYieldEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyYieldEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_py_yield_slow(state, code, offset, retval)) }
}

/// CPython's PyMonitoring_FireCallEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireCallEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_call_slow(state, code, offset, callable, arg0)) }
}

/// CPython's PyMonitoring_FireLineEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireLineEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    lineno: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_line_slow(state, code, offset, lineno)) }
}

/// CPython's PyMonitoring_FireStopIterationEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireStopIterationEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    value: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || emit::rmon_fire_stop_iteration_slow(state, code, offset, value)) }
}

/// CPython's PyMonitoring_FireJumpEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireJumpEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_target_object_slow(state, code, offset, super::RMON_EVENT_JUMP, target_offset)
        })
    }
}

/// CPython's PyMonitoring_FireBranchEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireBranchEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_target_object_slow(
                state,
                code,
                offset,
                super::RMON_EVENT_BRANCH,
                target_offset,
            )
        })
    }
}

/// CPython's PyMonitoring_FireBranchLeftEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireBranchLeftEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_target_object_slow(
                state,
                code,
                offset,
                super::RMON_EVENT_BRANCH_LEFT,
                target_offset,
            )
        })
    }
}

/// CPython's PyMonitoring_FireBranchRightEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireBranchRightEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_target_object_slow(
                state,
                code,
                offset,
                super::RMON_EVENT_BRANCH_RIGHT,
                target_offset,
            )
        })
    }
}

/// CPython's PyMonitoring_FireCReturnEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireCReturnEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    _retval: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || rmon_fire_last_call_slow(state, code, offset, super::RMON_EVENT_C_RETURN))
    }
}

/// CPython's PyMonitoring_FireCRaiseEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireCRaiseEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || rmon_fire_last_call_slow(state, code, offset, super::RMON_EVENT_C_RAISE))
    }
}

/// CPython's PyMonitoring_FirePyThrowEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyThrowEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_current_exception_slow(state, code, offset, super::RMON_EVENT_PY_THROW)
        })
    }
}

/// CPython's PyMonitoring_FireRaiseEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireRaiseEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_current_exception_slow(state, code, offset, super::RMON_EVENT_RAISE)
        })
    }
}

/// CPython's PyMonitoring_FireReraiseEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireReraiseEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_current_exception_slow(state, code, offset, super::RMON_EVENT_RERAISE)
        })
    }
}

/// CPython's PyMonitoring_FireExceptionHandledEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FireExceptionHandledEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_current_exception_slow(
                state,
                code,
                offset,
                super::RMON_EVENT_EXCEPTION_HANDLED,
            )
        })
    }
}

/// CPython's PyMonitoring_FirePyUnwindEvent, without Python.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyMonitoring_FirePyUnwindEvent(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        checked(state, || {
            rmon_fire_current_exception_slow(state, code, offset, super::RMON_EVENT_PY_UNWIND)
        })
    }
}
