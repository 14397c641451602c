//! The part of the C ABI that the model is compared with. It is declared here and not taken from the
//! crate, so that what is tested is what a C program gets.

use core::ffi::{c_char, c_int, c_void};

use rmon as _; // the library whose symbols these are

/// `rmon_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct State {
    pub active: u8,
    pub opaque: u8,
}

/// `rmon_event`.
#[repr(C)]
pub struct Event {
    pub struct_size: u32,
    pub event: u8,
    pub tool_id: u8,
    pub offset: i32,
    pub line: i32,
    pub target_offset: i32,
    pub code: *mut c_void,
    pub object: *mut c_void,
    pub arg0: *mut c_void,
}

/// `rmon_code_info`.
#[repr(C)]
pub struct CodeInfo {
    pub struct_size: u32,
    pub first_line: i32,
    pub name: *const c_char,
    pub qualname: *const c_char,
    pub filename: *const c_char,
    pub lines: *const c_void,
    pub line_count: usize,
}

/// `rmon_callback`.
pub type Callback = unsafe extern "C" fn(user_data: *mut c_void, event: *const Event) -> c_int;
/// `rmon_destroy`.
pub type Destroy = unsafe extern "C" fn(user_data: *mut c_void);

type Code = *mut c_void;
type Object = *mut c_void;

unsafe extern "C" {
    pub fn rmon_use_tool_id(tool: c_int, name: *const c_char) -> c_int;
    pub fn rmon_clear_tool_id(tool: c_int) -> c_int;
    pub fn rmon_free_tool_id(tool: c_int) -> c_int;
    pub fn rmon_get_tool(tool: c_int, name: *mut c_char, capacity: usize) -> c_int;
    pub fn rmon_get_events(tool: c_int, set: *mut u32) -> c_int;
    pub fn rmon_set_events(tool: c_int, set: u32) -> c_int;
    pub fn rmon_get_local_events(tool: c_int, code: Code, set: *mut u32) -> c_int;
    pub fn rmon_set_local_events(tool: c_int, code: Code, set: u32) -> c_int;
    pub fn rmon_register_callback(
        tool: c_int,
        event: c_int,
        callback: Option<Callback>,
        user_data: *mut c_void,
        destroy: Option<Destroy>,
    ) -> c_int;
    pub fn rmon_get_callback(
        tool: c_int,
        event: c_int,
        callback: *mut Option<Callback>,
        user_data: *mut *mut c_void,
    ) -> c_int;
    pub fn rmon_restart_events() -> c_int;
    pub fn rmon_synchronize() -> c_int;

    pub fn rmon_code_new(info: *const CodeInfo) -> Code;
    pub fn rmon_code_retain(code: Code);
    pub fn rmon_code_release(code: Code);
    pub fn rmon_code_describe(code: Code, out: *mut CodeInfo) -> c_int;
    pub fn rmon_code_forget(code: Code) -> c_int;

    pub fn rmon_enter_scope(
        states: *mut State,
        version: *mut u64,
        event_types: *const u8,
        length: isize,
    ) -> c_int;
    pub fn rmon_exit_scope() -> c_int;

    pub fn rmon_fire_py_start(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn rmon_fire_py_resume(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn rmon_fire_py_return(s: *mut State, c: Code, offset: i32, retval: Object) -> c_int;
    pub fn rmon_fire_py_yield(s: *mut State, c: Code, offset: i32, retval: Object) -> c_int;
    pub fn rmon_fire_call(
        s: *mut State,
        c: Code,
        offset: i32,
        callable: Object,
        arg0: Object,
    ) -> c_int;
    pub fn rmon_fire_line(s: *mut State, c: Code, offset: i32, line: i32) -> c_int;
    pub fn rmon_fire_instruction(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn rmon_fire_jump(s: *mut State, c: Code, offset: i32, target: i32) -> c_int;
    pub fn rmon_fire_branch_left(s: *mut State, c: Code, offset: i32, target: i32) -> c_int;
    pub fn rmon_fire_branch_right(s: *mut State, c: Code, offset: i32, target: i32) -> c_int;
    pub fn rmon_fire_branch(s: *mut State, c: Code, offset: i32, target: i32) -> c_int;
    pub fn rmon_fire_c_return(
        s: *mut State,
        c: Code,
        offset: i32,
        callable: Object,
        arg0: Object,
    ) -> c_int;
    pub fn rmon_fire_c_raise(
        s: *mut State,
        c: Code,
        offset: i32,
        callable: Object,
        arg0: Object,
    ) -> c_int;
    pub fn rmon_fire_stop_iteration(s: *mut State, c: Code, offset: i32, value: Object) -> c_int;
    pub fn rmon_fire_py_throw(s: *mut State, c: Code, offset: i32, exception: Object) -> c_int;
    pub fn rmon_fire_raise(s: *mut State, c: Code, offset: i32, exception: Object) -> c_int;
    pub fn rmon_fire_reraise(s: *mut State, c: Code, offset: i32, exception: Object) -> c_int;
    pub fn rmon_fire_exception_handled(
        s: *mut State,
        c: Code,
        offset: i32,
        exception: Object,
    ) -> c_int;
    pub fn rmon_fire_py_unwind(s: *mut State, c: Code, offset: i32, exception: Object) -> c_int;

    pub fn PyMonitoring_FirePyStartEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FirePyResumeEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FirePyReturnEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        retval: Object,
    ) -> c_int;
    pub fn PyMonitoring_FirePyYieldEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        retval: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireCallEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        callable: Object,
        arg0: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireLineEvent(s: *mut State, c: Code, offset: i32, line: c_int) -> c_int;
    pub fn PyMonitoring_FireJumpEvent(s: *mut State, c: Code, offset: i32, target: Object)
    -> c_int;
    pub fn PyMonitoring_FireBranchEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        target: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireBranchLeftEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        target: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireBranchRightEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        target: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireCReturnEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        retval: Object,
    ) -> c_int;
    pub fn PyMonitoring_FireCRaiseEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FireStopIterationEvent(
        s: *mut State,
        c: Code,
        offset: i32,
        value: Object,
    ) -> c_int;
    pub fn PyMonitoring_FirePyThrowEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FireRaiseEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FireReraiseEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FireExceptionHandledEvent(s: *mut State, c: Code, offset: i32) -> c_int;
    pub fn PyMonitoring_FirePyUnwindEvent(s: *mut State, c: Code, offset: i32) -> c_int;
}
