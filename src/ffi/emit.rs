//! The emitter side: scopes and fires.
//!
//! Each function stands here twice: whole, for callers without the header's inline part (dlsym, other
//! languages), and as its slow half, which the inline part calls once its check has said so. Any
//! thread may call any of them.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use super::RMON_OK;
use crate::dispatch::{Line, Objects, Plain, Target, fire};
use crate::event::Event;
use crate::registry;
use crate::scope;
use crate::state::{self, State};
use crate::status::Error;

/// The part of rmon_enter_scope behind its inline comparison of versions; call that.
///
/// # Safety
/// As for rmon_enter_scope.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_enter_scope_slow(
    states: *mut State,
    version: *mut u64,
    event_types: *const u8,
    length: isize,
) -> c_int {
    if length != 0 && (states.is_null() || event_types.is_null()) {
        return Error::Null.status();
    }
    let Ok(length) = usize::try_from(length) else {
        return Error::InvalidArgument.status();
    };
    let event_types = if length == 0 {
        &[]
    } else {
        // SAFETY: not NULL, and readable for `length` bytes by the caller's promise.
        unsafe { core::slice::from_raw_parts(event_types, length) }
    };
    // SAFETY: the caller's promise.
    match unsafe { scope::refresh(states, version, event_types) } {
        Ok(()) => RMON_OK,
        Err(error) => error.status(),
    }
}

/// See rmon_enter_scope in the header.
///
/// # Safety
/// `states` is valid for reads and writes of `length` states, `event_types` for reads of `length`
/// bytes, `version` for reads and writes and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_enter_scope(
    states: *mut State,
    version: *mut u64,
    event_types: *const u8,
    length: isize,
) -> c_int {
    let null = version.is_null() || (length != 0 && (states.is_null() || event_types.is_null()));
    if null {
        return Error::Null.status();
    }
    if length < 0 {
        return Error::InvalidArgument.status();
    }
    // SAFETY: not NULL, and valid by the caller's promise.
    if unsafe { registry::is_current(version) } {
        return RMON_OK;
    }
    // SAFETY: the caller's promise.
    unsafe { rmon_enter_scope_slow(states, version, event_types, length) }
}

/// See rmon_exit_scope in the header.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_exit_scope() -> c_int {
    RMON_OK
}

/// What the header's inline check does, and the check that it leaves out.
///
/// # Safety
/// `state` is NULL or valid.
#[inline(always)]
unsafe fn checked(state: *mut State, slow: impl FnOnce() -> c_int) -> c_int {
    if state.is_null() {
        return Error::Null.status();
    }
    // SAFETY: not NULL, and valid by the caller's promise.
    if unsafe { state::load_active(state) } == 0 { RMON_OK } else { slow() }
}

/// The part of rmon_fire_py_start behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_start_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    const EVENT: u8 = Event::PyStart.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Plain) }
}

/// See rmon_fire_py_start in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_start(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_start_slow(state, code, offset)) }
}

/// The part of rmon_fire_py_resume behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_resume.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_resume_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    const EVENT: u8 = Event::PyResume.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Plain) }
}

/// See rmon_fire_py_resume in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_resume(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_resume_slow(state, code, offset)) }
}

/// The part of rmon_fire_py_return behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_return_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::PyReturn.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(retval, null_mut())) }
}

/// See rmon_fire_py_return in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_return(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_return_slow(state, code, offset, retval)) }
}

/// The part of rmon_fire_py_yield behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_yield.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_yield_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::PyYield.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(retval, null_mut())) }
}

/// See rmon_fire_py_yield in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_yield(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    retval: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_yield_slow(state, code, offset, retval)) }
}

/// The part of rmon_fire_call behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_call_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::Call.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(callable, arg0)) }
}

/// See rmon_fire_call in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_call(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_call_slow(state, code, offset, callable, arg0)) }
}

/// The part of rmon_fire_line behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_line_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    lineno: i32,
) -> c_int {
    const EVENT: u8 = Event::Line.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Line(lineno)) }
}

/// See rmon_fire_line in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_line(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    lineno: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_line_slow(state, code, offset, lineno)) }
}

/// The part of rmon_fire_instruction behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_instruction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_instruction_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    const EVENT: u8 = Event::Instruction.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Plain) }
}

/// See rmon_fire_instruction in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_instruction(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_instruction_slow(state, code, offset)) }
}

/// The part of rmon_fire_jump behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_jump.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_jump_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    const EVENT: u8 = Event::Jump.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Target(target_offset)) }
}

/// See rmon_fire_jump in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_jump(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_jump_slow(state, code, offset, target_offset)) }
}

/// The part of rmon_fire_branch_left behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_branch_left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch_left_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    const EVENT: u8 = Event::BranchLeft.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Target(target_offset)) }
}

/// See rmon_fire_branch_left in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch_left(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_branch_left_slow(state, code, offset, target_offset)) }
}

/// The part of rmon_fire_branch_right behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_branch_right.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch_right_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    const EVENT: u8 = Event::BranchRight.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Target(target_offset)) }
}

/// See rmon_fire_branch_right in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch_right(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_branch_right_slow(state, code, offset, target_offset)) }
}

/// The part of rmon_fire_branch behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_branch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    const EVENT: u8 = Event::Branch.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Target(target_offset)) }
}

/// See rmon_fire_branch in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_branch(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    target_offset: i32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_branch_slow(state, code, offset, target_offset)) }
}

/// The part of rmon_fire_c_return behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_c_return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_c_return_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::CReturn.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(callable, arg0)) }
}

/// See rmon_fire_c_return in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_c_return(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_c_return_slow(state, code, offset, callable, arg0)) }
}

/// The part of rmon_fire_c_raise behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_c_raise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_c_raise_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::CRaise.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(callable, arg0)) }
}

/// See rmon_fire_c_raise in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_c_raise(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_c_raise_slow(state, code, offset, callable, arg0)) }
}

/// The part of rmon_fire_stop_iteration behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_stop_iteration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_stop_iteration_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    value: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::StopIteration.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(value, null_mut())) }
}

/// See rmon_fire_stop_iteration in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_stop_iteration(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    value: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_stop_iteration_slow(state, code, offset, value)) }
}

/// The part of rmon_fire_py_throw behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_throw.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_throw_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::PyThrow.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(exception, null_mut())) }
}

/// See rmon_fire_py_throw in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_throw(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_throw_slow(state, code, offset, exception)) }
}

/// The part of rmon_fire_raise behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_raise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_raise_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::Raise.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(exception, null_mut())) }
}

/// See rmon_fire_raise in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_raise(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_raise_slow(state, code, offset, exception)) }
}

/// The part of rmon_fire_reraise behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_reraise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_reraise_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::Reraise.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(exception, null_mut())) }
}

/// See rmon_fire_reraise in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_reraise(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_reraise_slow(state, code, offset, exception)) }
}

/// The part of rmon_fire_exception_handled behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_exception_handled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_exception_handled_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::ExceptionHandled.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(exception, null_mut())) }
}

/// See rmon_fire_exception_handled in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_exception_handled(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_exception_handled_slow(state, code, offset, exception)) }
}

/// The part of rmon_fire_py_unwind behind its inline check; call that.
///
/// # Safety
/// As for rmon_fire_py_unwind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_unwind_slow(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    const EVENT: u8 = Event::PyUnwind.number();
    // SAFETY: the caller's promise.
    unsafe { fire::<EVENT, _>(state, code, offset, Objects(exception, null_mut())) }
}

/// See rmon_fire_py_unwind in the header.
///
/// # Safety
/// `state` is NULL or lies in an array that was entered, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_fire_py_unwind(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    exception: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { checked(state, || rmon_fire_py_unwind_slow(state, code, offset, exception)) }
}
