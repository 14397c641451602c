//! What emitters and librmon share in memory: the types of rmon.h. tests/abi.rs compares them.

use std::os::raw::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicU8};

/// RMON_MAGIC
pub(crate) const MAGIC: u64 = 0x2e74_6f6c_736e_6d72;
/// RMON_SLOT_MAGIC
pub(crate) const SLOT_MAGIC: u64 = 0x3d8c_61f5_0b7a_e492;
/// RMON_ABI_VERSION
pub(crate) const ABI_VERSION: u32 = 0;
/// RMON_HOST_NONE, or with the feature `python` RMON_HOST_PYTHON
pub(crate) const HOST: u32 = if cfg!(feature = "python") { 1 } else { 0 };

/// rmon_state
#[repr(C)]
#[derive(Debug)]
pub struct Cell {
    pub(crate) active: AtomicU8,
    pub(crate) opaque: AtomicU8,
}

/// rmon_line_entry: from this offset on, the code belongs to this line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LineEntry {
    /// The first offset.
    pub offset: i32,
    /// The line.
    pub line: i32,
}

/// rmon_code_info
#[repr(C)]
pub(crate) struct CodeInfo {
    pub(crate) struct_size: u32,
    pub(crate) first_line: i32,
    pub(crate) name: *const c_char,
    pub(crate) qualname: *const c_char,
    pub(crate) filename: *const c_char,
    pub(crate) lines: *const LineEntry,
    pub(crate) line_count: usize,
}

type EnterScope = unsafe extern "C" fn(*mut Cell, *mut u64, *const u8, isize) -> c_int;
type Fire = unsafe extern "C" fn(*mut Cell, *mut c_void, i32) -> c_int;
type FireObject = unsafe extern "C" fn(*mut Cell, *mut c_void, i32, *mut c_void) -> c_int;
type FireNumber = unsafe extern "C" fn(*mut Cell, *mut c_void, i32, i32) -> c_int;
type FireCall =
    unsafe extern "C" fn(*mut Cell, *mut c_void, i32, *mut c_void, *mut c_void) -> c_int;
type FireTarget = unsafe extern "C" fn(*mut Cell, *mut c_void, i32, c_int, *mut c_void) -> c_int;
type FireEvent = unsafe extern "C" fn(*mut Cell, *mut c_void, i32, c_int) -> c_int;

/// rmon_table, as far as this crate needs it: librmon refuses a slot that needs more than it has.
#[repr(C)]
pub struct Table {
    pub(crate) magic: u64,
    pub(crate) struct_size: u32,
    pub(crate) abi_version: u32,
    pub(crate) enter_scope: EnterScope,
    pub(crate) fire_py_start: Fire,
    pub(crate) fire_py_resume: Fire,
    pub(crate) fire_py_return: FireObject,
    pub(crate) fire_py_yield: FireObject,
    pub(crate) fire_call: FireCall,
    pub(crate) fire_line: FireNumber,
    pub(crate) fire_instruction: Fire,
    pub(crate) fire_jump: FireNumber,
    pub(crate) fire_branch_left: FireNumber,
    pub(crate) fire_branch_right: FireNumber,
    pub(crate) fire_branch: FireNumber,
    pub(crate) fire_c_return: FireCall,
    pub(crate) fire_c_raise: FireCall,
    pub(crate) fire_stop_iteration: FireObject,
    pub(crate) fire_py_throw: FireObject,
    pub(crate) fire_raise: FireObject,
    pub(crate) fire_reraise: FireObject,
    pub(crate) fire_exception_handled: FireObject,
    pub(crate) fire_py_unwind: FireObject,
    pub(crate) fire_target_object: FireTarget,
    pub(crate) fire_current_exception: FireEvent,
    pub(crate) fire_last_call: FireEvent,
    pub(crate) code_new: unsafe extern "C" fn(*const CodeInfo) -> *mut c_void,
    pub(crate) code_retain: unsafe extern "C" fn(*mut c_void),
    pub(crate) code_release: unsafe extern "C" fn(*mut c_void),
    pub(crate) code_forget: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub(crate) set_host: unsafe extern "C" fn(*const c_void) -> c_int,
    pub(crate) host_note: unsafe extern "C" fn() -> *mut *mut c_void,
}

/// rmon_slot
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) magic: [u64; 2],
    pub(crate) version: AtomicPtr<AtomicU64>,
    pub(crate) table: AtomicPtr<Table>,
    pub(crate) address: *const Slot,
    pub(crate) struct_size: u32,
    pub(crate) abi_version: u32,
    pub(crate) table_size: u32,
    pub(crate) flags: AtomicU32,
}

// SAFETY: what is not atomic is never written.
unsafe impl Sync for Slot {}
// SAFETY: as above.
unsafe impl Send for Slot {}

/// The note that marks what has slots.
#[repr(C, align(4))]
pub(crate) struct Note {
    pub(crate) owner_size: u32,
    pub(crate) size: u32,
    pub(crate) kind: u32,
    pub(crate) owner: [u8; 8],
    pub(crate) abi_version: u32,
    pub(crate) version_number: u32,
}
