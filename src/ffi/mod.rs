//! The exported functions: check, convert, call. Nothing about monitoring is decided here.
//!
//! What stands here becomes include/rmon.h; `inline.h` is the part of it that is C. Control calls run
//! [`contained`](crate::status::contained), so that a panic becomes a status; the functions that fire
//! cannot panic.

pub mod attach;
pub mod code;
pub mod emit;
pub mod pymonitoring;
pub mod tool;

use core::ffi::{c_char, c_int};

use crate::event::{Event, EventSet};
use crate::status::{self, Error, Result, contained};

/// The version of the ABI: the number in `librmon.so.0`.
pub const RMON_ABI_VERSION: u32 = 0;

/// A function starts. Local.
pub const RMON_EVENT_PY_START: c_int = 0;
/// A generator or coroutine goes on. Local.
pub const RMON_EVENT_PY_RESUME: c_int = 1;
/// A function returns. Local.
pub const RMON_EVENT_PY_RETURN: c_int = 2;
/// A generator or coroutine yields. Local.
pub const RMON_EVENT_PY_YIELD: c_int = 3;
/// Something is about to be called. Local.
pub const RMON_EVENT_CALL: c_int = 4;
/// A line is about to run. Local.
pub const RMON_EVENT_LINE: c_int = 5;
/// An instruction is about to run. Local.
pub const RMON_EVENT_INSTRUCTION: c_int = 6;
/// An unconditional jump. Local.
pub const RMON_EVENT_JUMP: c_int = 7;
/// A conditional branch goes left. Local.
pub const RMON_EVENT_BRANCH_LEFT: c_int = 8;
/// A conditional branch goes right. Local.
pub const RMON_EVENT_BRANCH_RIGHT: c_int = 9;
/// An iteration ends by an artificial StopIteration. Local.
pub const RMON_EVENT_STOP_ITERATION: c_int = 10;
/// An exception is raised.
pub const RMON_EVENT_RAISE: c_int = 11;
/// An exception is caught.
pub const RMON_EVENT_EXCEPTION_HANDLED: c_int = 12;
/// A function is left by an exception.
pub const RMON_EVENT_PY_UNWIND: c_int = 13;
/// A generator or coroutine goes on by an exception thrown in.
pub const RMON_EVENT_PY_THROW: c_int = 14;
/// An exception is raised again.
pub const RMON_EVENT_RERAISE: c_int = 15;
/// Something called returned. Controlled by CALL.
pub const RMON_EVENT_C_RETURN: c_int = 16;
/// Something called raised. Controlled by CALL.
pub const RMON_EVENT_C_RAISE: c_int = 17;
/// A conditional branch; in a set, both directions. Local.
pub const RMON_EVENT_BRANCH: c_int = 18;
/// How many events there are.
pub const RMON_EVENT_COUNT: c_int = 19;

/// By convention a debugger's tool id.
pub const RMON_DEBUGGER_ID: c_int = 0;
/// By convention a coverage tool's tool id.
pub const RMON_COVERAGE_ID: c_int = 1;
/// By convention a profiler's tool id.
pub const RMON_PROFILER_ID: c_int = 2;
/// By convention an optimizer's tool id.
pub const RMON_OPTIMIZER_ID: c_int = 5;

/// A callback's answer: go on.
pub const RMON_CONTINUE: c_int = 0;
/// A callback's answer: no more of this event at this location, for this tool.
pub const RMON_DISABLE: c_int = 1;

/// All is well.
pub const RMON_OK: c_int = 0;
/// A callback failed.
pub const RMON_ERR_CALLBACK: c_int = -1;
/// NULL where it is not allowed.
pub const RMON_ERR_NULL: c_int = -2;
/// The tool id is not one of 0 to 5.
pub const RMON_ERR_INVALID_TOOL: c_int = -3;
/// The tool's name is empty or not UTF-8.
pub const RMON_ERR_INVALID_NAME: c_int = -4;
/// The tool id is taken.
pub const RMON_ERR_TOOL_IN_USE: c_int = -5;
/// The tool id is not taken.
pub const RMON_ERR_TOOL_NOT_IN_USE: c_int = -6;
/// There is no such event.
pub const RMON_ERR_INVALID_EVENT: c_int = -7;
/// The set has a bit that is no event, or one that cannot be set here.
pub const RMON_ERR_INVALID_EVENT_SET: c_int = -8;
/// C_RETURN or C_RAISE without all of CALL, C_RETURN and C_RAISE.
pub const RMON_ERR_NOT_INDEPENDENT: c_int = -9;
/// A callback answered RMON_DISABLE to an event that has no location; the callback was removed.
pub const RMON_ERR_CANNOT_DISABLE: c_int = -10;
/// The offset is negative.
pub const RMON_ERR_INVALID_OFFSET: c_int = -11;
/// A length, a struct_size or a table is not what it must be.
pub const RMON_ERR_INVALID_ARGUMENT: c_int = -12;
/// An exception event was fired while the host has no current exception.
pub const RMON_ERR_NO_EXCEPTION: c_int = -13;
/// Nobody can describe this code.
pub const RMON_ERR_UNKNOWN_CODE: c_int = -14;
/// Not possible inside a callback.
pub const RMON_ERR_IN_CALLBACK: c_int = -15;
/// Memory, or another resource of the process, is exhausted.
pub const RMON_ERR_NO_MEMORY: c_int = -16;
/// A fault of rmon's own.
pub const RMON_ERR_INTERNAL: c_int = -17;

const _: () = {
    // The sets stand in inline.h.
    assert!(EventSet::LOCAL.bits() == 0x407ff);
    assert!(EventSet::ANCILLARY.bits() == 0x30000);
    assert!(EventSet::all().bits() == 0x7ffff);
    assert!(RMON_EVENT_COUNT as usize == crate::event::EVENT_COUNT);
    assert!(RMON_EVENT_BRANCH as u8 == Event::Branch.number());
    assert!(RMON_ERR_INTERNAL == Error::Internal.status());
    assert!(RMON_DISABLE == crate::tool::DISABLE && RMON_CONTINUE == crate::tool::CONTINUE);
};

/// A control call's status: 0, or why it failed.
fn status(body: impl FnOnce() -> Result<()>) -> c_int {
    match contained(body) {
        Ok(()) => RMON_OK,
        Err(error) => error.status(),
    }
}

/// The pointer, unless it is NULL.
fn not_null<T>(pointer: *mut T) -> Result<*mut T> {
    if pointer.is_null() { Err(Error::Null) } else { Ok(pointer) }
}

/// The set of a mask; [`Error::InvalidEventSet`] if a bit is no event.
fn event_set(mask: u32) -> Result<EventSet> {
    EventSet::from_bits(mask).ok_or(Error::InvalidEventSet)
}

/// The library's version as one number: major * 1000000 + minor * 1000 + patch. Compare with
/// RMON_VERSION_NUMBER, the header's.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        let (mut value, mut index) = (0, 0);
        while index < text.len() {
            value = value * 10 + (text.as_bytes()[index] - b'0') as u32;
            index += 1;
        }
        value
    }
    const {
        number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
            + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
            + number(env!("CARGO_PKG_VERSION_PATCH"))
    }
}

/// The library's ABI version. Compare with RMON_ABI_VERSION, the header's: a program works with any
/// library of the same ABI version that is not older than its header.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_abi_version() -> u32 {
    RMON_ABI_VERSION
}

/// The library's version as text, "major.minor.patch". Static.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of an event as sys.monitoring has it, "PY_START"; NULL if there is no such event. Static.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_event_name(event: c_int) -> *const c_char {
    Event::from_number(event).map_or(core::ptr::null(), |event| event.c_name().as_ptr())
}

/// One line of English about a status, without a full stop; also for a number that is none. Never
/// NULL. Static.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_status_message(status: c_int) -> *const c_char {
    status::message(status).as_ptr()
}
