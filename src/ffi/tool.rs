//! The tool side: ids, event sets, callbacks.
//!
//! Every function may be called from any thread and from inside a callback.
//!
//! A call that says RMON_ERR_NO_MEMORY has changed nothing. What only removes takes no memory.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::attach::find_emitters;
use super::{event_set, not_null, status};
use crate::event::{Event, EventSet};
use crate::host;
use crate::registry;
use crate::status::{Error, Result, contained};
use crate::tool::{Candidate, FiredEvent, ToolId};

/// A tool's function for one event.
///
/// Called on the emitter's thread with the user data that it was registered with and an event that
/// is valid until it returns. Returns RMON_CONTINUE, RMON_DISABLE (no more of this event at this
/// location, for this tool), or a negative number: an error, which ends the fire and is its result.
/// Numbers above RMON_DISABLE count as RMON_CONTINUE.
///
/// It may call anything of rmon, removing itself included; only rmon_synchronize then does not wait.
/// Events that it fires itself are suppressed. It must return: not unwind or longjmp past its caller, nor
/// end its thread (pthread_exit, or pthread_cancel heeded inside it). Where it does end its thread, the
/// other tools are not told of the event, and the thread fires nothing more and counts as inside until
/// its end, when it is waited for no longer.
pub type OptionalCallback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const FiredEvent) -> c_int>;

/// Frees a callback's user data. Called exactly once, when no thread can be in the callback or enter
/// it. It must return: ending its thread (pthread_exit, pthread_cancel) ends the process.
pub type OptionalDestroy = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Takes a tool id, 0 to 5, for the tool called `name`.
///
/// `name` is UTF-8, not empty, and copied. It must not be NULL.
/// Returns RMON_OK, or RMON_ERR_NULL, RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_NAME,
/// RMON_ERR_TOOL_IN_USE or RMON_ERR_NO_MEMORY, checked in this order. (sys.monitoring.use_tool_id)
///
/// # Safety
/// `name` is NULL or a string that ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_use_tool_id(tool_id: c_int, name: *const c_char) -> c_int {
    status(|| {
        let name = not_null(name.cast_mut())?;
        let tool = ToolId::new(tool_id)?;
        // SAFETY: not NULL, so a string by the caller's promise.
        registry::use_tool_id(tool, unsafe { CStr::from_ptr(name) })?;
        find_emitters();
        Ok(())
    })
}

/// Removes all that a tool has set: its callbacks, events, local events and disabled locations. The
/// id stays in use. For an id that is not in use nothing happens.
///
/// Returns RMON_OK or RMON_ERR_INVALID_TOOL. (sys.monitoring.clear_tool_id)
#[unsafe(no_mangle)]
pub extern "C" fn rmon_clear_tool_id(tool_id: c_int) -> c_int {
    status(|| registry::clear_tool_id(ToolId::new(tool_id)?))
}

/// Clears a tool as rmon_clear_tool_id does, and gives its id back. For an id that is not in use
/// nothing happens.
///
/// Returns RMON_OK or RMON_ERR_INVALID_TOOL. (sys.monitoring.free_tool_id)
#[unsafe(no_mangle)]
pub extern "C" fn rmon_free_tool_id(tool_id: c_int) -> c_int {
    status(|| registry::free_tool_id(ToolId::new(tool_id)?))
}

/// Asks who has a tool id.
///
/// Copies the tool's name to `name`, cut at `capacity` - 1 bytes (between characters) and ended with
/// a NUL. With `name` NULL and `capacity` 0 it only returns the length.
/// Returns the length of the whole name in bytes, without the NUL; 0 if the id is not in use, and
/// then an empty string is copied; or RMON_ERR_NULL or RMON_ERR_INVALID_TOOL.
/// (sys.monitoring.get_tool)
///
/// # Safety
/// `name` is NULL or valid for writes of `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_get_tool(
    tool_id: c_int,
    name: *mut c_char,
    capacity: usize,
) -> c_int {
    let body = || {
        if name.is_null() && capacity != 0 {
            return Err(Error::Null);
        }
        let tool = ToolId::new(tool_id)?;
        registry::with_tool_name(tool, |found| {
            let text = found.and_then(|name| name.to_str().ok()).unwrap_or_default();
            if capacity != 0 {
                let cut = text.floor_char_boundary(capacity - 1);
                // SAFETY: `cut` bytes and the NUL are at most `capacity`, by the caller's promise.
                unsafe {
                    name.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), cut);
                    name.add(cut).write(0);
                }
            }
            c_int::try_from(text.len()).map_err(|_| Error::Internal)
        })
    };
    contained(body).unwrap_or_else(Error::status)
}

/// Asks for a tool's global events; `*event_set` is written on success. What the tool has set reads
/// back with BRANCH as its two directions and without C_RETURN and C_RAISE, which CALL implies.
///
/// Returns RMON_OK, RMON_ERR_NULL or RMON_ERR_INVALID_TOOL. (sys.monitoring.get_events)
///
/// # Safety
/// `event_set` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_get_events(tool_id: c_int, event_set: *mut u32) -> c_int {
    status(|| {
        let event_set = not_null(event_set)?;
        let events = registry::get_events(ToolId::new(tool_id)?);
        // SAFETY: not NULL, so valid by the caller's promise.
        unsafe { event_set.write(events.bits()) };
        Ok(())
    })
}

/// Sets a tool's global events, instead of what was set: the events that it gets from every code.
///
/// What is no longer in the set stops at once, in scopes that have been entered too; what is new
/// begins in each scope at the latest when it is next entered, and in the scope of an event from
/// inside whose callback it is set, at once.
/// Returns RMON_OK, or RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_EVENT_SET (a bit that is no event),
/// RMON_ERR_NOT_INDEPENDENT (C_RETURN or C_RAISE without CALL and each other) or
/// RMON_ERR_TOOL_NOT_IN_USE, checked in this order. (sys.monitoring.set_events)
#[unsafe(no_mangle)]
pub extern "C" fn rmon_set_events(tool_id: c_int, event_set: u32) -> c_int {
    status(|| {
        let tool = ToolId::new(tool_id)?;
        registry::set_events(tool, self::event_set(event_set)?)
    })
}

/// Asks for a tool's local events on a code; as rmon_get_events.
///
/// `code` is any address; it is not followed. Neither pointer may be NULL.
/// Returns RMON_OK, RMON_ERR_NULL or RMON_ERR_INVALID_TOOL. (sys.monitoring.get_local_events)
///
/// # Safety
/// `event_set` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_get_local_events(
    tool_id: c_int,
    code: *mut c_void,
    event_set: *mut u32,
) -> c_int {
    status(|| {
        let (code, event_set) = (not_null(code)?, not_null(event_set)?);
        let events = registry::get_local_events(ToolId::new(tool_id)?, code);
        // SAFETY: not NULL, so valid by the caller's promise.
        unsafe { event_set.write(events.bits()) };
        Ok(())
    })
}

/// Sets a tool's local events on a code, instead of what was set: events that it gets from this code
/// in addition to its global ones. When they begin and stop is as for rmon_set_events.
///
/// `code` is any address but NULL; it is not followed. What is set for it lasts until it is changed,
/// the tool is cleared, or the code dies: rmon_code_release of the last reference, or
/// rmon_code_forget for a code that rmon did not make.
/// Returns RMON_OK, or RMON_ERR_NULL, RMON_ERR_INVALID_TOOL, RMON_ERR_NOT_INDEPENDENT,
/// RMON_ERR_INVALID_EVENT_SET (a bit that is no event, or an event that is not local),
/// RMON_ERR_TOOL_NOT_IN_USE or RMON_ERR_NO_MEMORY, checked in this order.
/// (sys.monitoring.set_local_events)
#[unsafe(no_mangle)]
pub extern "C" fn rmon_set_local_events(
    tool_id: c_int,
    code: *mut c_void,
    event_set: u32,
) -> c_int {
    status(|| {
        let code = not_null(code)?;
        let tool = ToolId::new(tool_id)?;
        // The ancillary rule comes first here, as in CPython.
        EventSet::from_bits_retain(event_set).normalised()?;
        registry::set_local_events(tool, code, self::event_set(event_set)?)
    })
}

/// Registers a tool's callback for one event, instead of what was registered, without missing or
/// doubling an event. It is called for the events that the tool has set.
///
/// `callback` NULL unregisters, and `user_data` and `destroy` are ignored. Otherwise
/// `destroy(user_data)`, if not NULL, is called exactly once: when no thread can be in the callback or
/// enter it any more, on a thread that happens to make a control call then, with no lock held; or at
/// once if this call fails. Fires from inside it are suppressed; it may make control calls.
/// Returns RMON_OK, RMON_ERR_INVALID_TOOL, RMON_ERR_INVALID_EVENT or RMON_ERR_NO_MEMORY, checked in this
/// order (never the last to unregister). The id need not be in use yet.
/// (sys.monitoring.register_callback)
///
/// # Safety
/// `callback` may be called with `user_data` from any thread until `destroy` has been called, and
/// `destroy` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_register_callback(
    tool_id: c_int,
    event: c_int,
    callback: OptionalCallback,
    user_data: *mut c_void,
    destroy: OptionalDestroy,
) -> c_int {
    // SAFETY: the caller's promise.
    let candidate =
        callback.map(|callback| unsafe { Candidate::new(callback, user_data, destroy) });
    status(|| {
        let (tool, event) = (ToolId::new(tool_id)?, Event::from_number(event)?);
        match candidate {
            Some(candidate) => registry::register_callback(tool, event, candidate),
            None => registry::unregister_callback(tool, event),
        }
    })
}

/// Asks what a tool has registered for one event. `*callback` and `*user_data` are written on
/// success: both NULL if there is nothing. Neither pointer may be NULL.
///
/// Returns RMON_OK, RMON_ERR_NULL, RMON_ERR_INVALID_TOOL or RMON_ERR_INVALID_EVENT.
///
/// # Safety
/// `callback` and `user_data` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_get_callback(
    tool_id: c_int,
    event: c_int,
    callback: *mut OptionalCallback,
    user_data: *mut *mut c_void,
) -> c_int {
    status(|| -> Result<()> {
        let (callback, user_data) = (not_null(callback)?, not_null(user_data)?);
        let (tool, event) = (ToolId::new(tool_id)?, Event::from_number(event)?);
        let found = registry::with_callback(tool, event, |found| {
            found.map(|found| (found.callback, found.user_data))
        });
        // SAFETY: not NULL, so valid by the caller's promise.
        unsafe {
            callback.write(found.map(|(callback, _)| callback));
            user_data.write(found.map_or(core::ptr::null_mut(), |(_, data)| data));
        }
        Ok(())
    })
}

/// Enables all locations again that callbacks have disabled, for all tools.
///
/// Returns RMON_OK. (sys.monitoring.restart_events)
#[unsafe(no_mangle)]
pub extern "C" fn rmon_restart_events() -> c_int {
    status(registry::restart_events)
}

/// Waits until no callback that was removed before this call can still be running, on any thread,
/// and until their destroy functions have run. Nothing else in rmon waits for a callback.
///
/// Called from inside a callback or a destroy function it does not wait: what was removed is
/// destroyed later. A thread that waits here must not hold what a callback in flight is waiting for,
/// except for what the host lets go of meanwhile: the lock of its run-time, say (`rmon_host`).
/// Returns RMON_OK, or RMON_ERR_IN_CALLBACK.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_synchronize() -> c_int {
    status(|| host::while_waiting(registry::synchronize))
}
