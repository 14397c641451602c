//! Emitters that attach lazily: handing over a slot, and waking and silencing all of them.
//!
//! Every function may be called from any thread and from inside a callback.

use core::ffi::c_int;

use super::{RMON_ABI_VERSION, code, emit, not_null, pymonitoring, status};
use crate::attach::{self, Slot, Table};

/// Emitters that belong to no host, for rmon_attach and rmon_detach.
pub const RMON_HOST_NONE: u32 = 0;
/// Extensions of Python.
pub const RMON_HOST_PYTHON: u32 = 1;

/// What slots and tables begin with.
pub const RMON_MAGIC: u64 = 0x2e74_6f6c_736e_6d72;
/// The second word of a slot.
pub const RMON_SLOT_MAGIC: u64 = 0x3d8c_61f5_0b7a_e492;

const _: () = {
    assert!(RMON_MAGIC == attach::MAGIC && RMON_SLOT_MAGIC == attach::SLOT_MAGIC);
    assert!(RMON_HOST_NONE == attach::HOST_NONE && RMON_HOST_PYTHON == attach::HOST_PYTHON);
};

/// What slots point to.
static TABLE: Table = Table {
    magic: attach::MAGIC,
    struct_size: size_of::<Table>() as u32,
    abi_version: RMON_ABI_VERSION,
    enter_scope: emit::rmon_enter_scope_slow,
    fire_py_start: emit::rmon_fire_py_start_slow,
    fire_py_resume: emit::rmon_fire_py_resume_slow,
    fire_py_return: emit::rmon_fire_py_return_slow,
    fire_py_yield: emit::rmon_fire_py_yield_slow,
    fire_call: emit::rmon_fire_call_slow,
    fire_line: emit::rmon_fire_line_slow,
    fire_instruction: emit::rmon_fire_instruction_slow,
    fire_jump: emit::rmon_fire_jump_slow,
    fire_branch_left: emit::rmon_fire_branch_left_slow,
    fire_branch_right: emit::rmon_fire_branch_right_slow,
    fire_branch: emit::rmon_fire_branch_slow,
    fire_c_return: emit::rmon_fire_c_return_slow,
    fire_c_raise: emit::rmon_fire_c_raise_slow,
    fire_stop_iteration: emit::rmon_fire_stop_iteration_slow,
    fire_py_throw: emit::rmon_fire_py_throw_slow,
    fire_raise: emit::rmon_fire_raise_slow,
    fire_reraise: emit::rmon_fire_reraise_slow,
    fire_exception_handled: emit::rmon_fire_exception_handled_slow,
    fire_py_unwind: emit::rmon_fire_py_unwind_slow,
    fire_target_object: pymonitoring::rmon_fire_target_object_slow,
    fire_current_exception: pymonitoring::rmon_fire_current_exception_slow,
    fire_last_call: pymonitoring::rmon_fire_last_call_slow,
    code_new: code::rmon_code_new,
    code_retain: code::rmon_code_retain,
    code_release: code::rmon_code_release,
    code_forget: code::rmon_code_forget,
    set_host: code::rmon_set_host,
    host_note: code::rmon_host_note,
    event_name: super::rmon_event_name,
    status_message: super::rmon_status_message,
    version_number: super::rmon_version_number,
    version: super::rmon_version,
    host_note_offset: code::rmon_host_note_offset,
};

/// Makes what is loaded now known to a tool that comes. (Emitters that are loaded later find the
/// library themselves.)
pub(crate) fn find_emitters() {
    attach::set_all(&TABLE);
}

/// Takes the slot of an emitter that attaches lazily, and wakes it, unless its host's emitters are to
/// sleep. The inline part of the header calls this when such an emitter enters its first scope.
///
/// Returns RMON_OK, RMON_ERR_NULL, or RMON_ERR_INVALID_ARGUMENT: it is no slot, or belongs to another
/// ABI or a newer version, which is then said on standard error, once for each file that has slots.
///
/// # Safety
/// `slot` is NULL or the address of a slot, in memory that stays valid while it is loaded, and whose
/// fields, from now on, are accessed by atomic operations only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_attach_slot(slot: *mut Slot) -> c_int {
    status(|| {
        let slot = not_null(slot)?;
        // SAFETY: the caller's promise.
        unsafe { attach::hand_over(slot, &TABLE) }
    })
}

/// Wakes the emitters of a host (RMON_HOST_*) that attach lazily: those that are loaded, and those
/// that will be. Undoes rmon_detach. Claiming a tool id wakes what has been loaded meanwhile, too.
///
/// Returns RMON_OK or RMON_ERR_INVALID_ARGUMENT (no such host).
#[unsafe(no_mangle)]
pub extern "C" fn rmon_attach(host: u32) -> c_int {
    status(|| attach::set(host, true, &TABLE))
}

/// Puts the emitters of a host (RMON_HOST_*) that attach lazily to sleep, until rmon_attach: their
/// probes cost what they cost without rmon, and nothing of theirs reaches a tool. Fires that are under
/// way are not waited for.
///
/// Returns RMON_OK or RMON_ERR_INVALID_ARGUMENT (no such host).
#[unsafe(no_mangle)]
pub extern "C" fn rmon_detach(host: u32) -> c_int {
    status(|| attach::set(host, false, &TABLE))
}
