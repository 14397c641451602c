//! Tools whose callbacks are closures.

use core::ffi::{c_int, c_void};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::CodeLike;
use crate::event::{Event, EventSet};
use crate::ffi::attach::find_emitters;
use crate::host;
use crate::registry;
use crate::status::{Error, Result};
use crate::tool::{CONTINUE, Candidate, DISABLE, FiredEvent, ToolId};

/// What a callback answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    #[default]
    Continue,
    /// No more of this event at this location, for this tool, until [`restart_events`].
    Disable,
    /// An error: the fire ends, and the emitter is told.
    Fail,
}

impl From<()> for Answer {
    fn from((): ()) -> Answer {
        Answer::Continue
    }
}

/// A tool: a claimed id, with its events and callbacks. Dropping it clears them and gives the id
/// back.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use rmon::{CodeLike, CodeSpec, Emitter, Event, EventSet, Tool, ToolId};
///
/// let lines = Arc::new(AtomicUsize::new(0));
/// let tool = Tool::claim(ToolId::COVERAGE, "line counter")?;
/// let seen = Arc::clone(&lines);
/// tool.on(Event::Line, move |event| {
///     if event.line == 7 {
///         seen.fetch_add(1, Ordering::Relaxed);
///     }
/// })?;
/// tool.set_events(EventSet::LINE)?;
///
/// let code = CodeLike::new(&CodeSpec { name: "f", filename: "f.x", ..Default::default() })?;
/// let emitter = Emitter::new();
/// emitter.enter();
/// emitter.line(&code, 0, 7)?;
/// assert_eq!(lines.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tool(ToolId);

impl Tool {
    /// Takes a tool id.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if the name is empty or holds a NUL, then [`Error::ToolInUse`].
    pub fn claim(id: ToolId, name: &str) -> Result<Tool> {
        let name = CString::new(name).map_err(|_| Error::InvalidName)?;
        registry::use_tool_id(id, &name)?;
        find_emitters();
        Ok(Tool(id))
    }

    /// The tool's id.
    pub fn id(&self) -> ToolId {
        self.0
    }

    /// The tool's global events, BRANCH as its two directions.
    pub fn events(&self) -> EventSet {
        registry::get_events(self.0)
    }

    /// Sets the tool's global events, instead of what was set.
    ///
    /// # Errors
    /// [`Error::NotIndependent`] if C_RETURN or C_RAISE is set without CALL and each other.
    pub fn set_events(&self, set: EventSet) -> Result<()> {
        registry::set_events(self.0, set)
    }

    /// The tool's local events on a code.
    pub fn local_events(&self, code: &CodeLike) -> EventSet {
        registry::get_local_events(self.0, code.as_ptr())
    }

    /// Sets the tool's local events on a code, instead of what was set. They go with the code.
    ///
    /// # Errors
    /// As [`Tool::set_events`], then [`Error::InvalidEventSet`] if an event is not local.
    pub fn set_local_events(&self, code: &CodeLike, set: EventSet) -> Result<()> {
        self.set_local_events_of(code.as_ptr(), set)
    }

    /// As [`Tool::set_local_events`], for a code that came with an event.
    ///
    /// # Errors
    /// As [`Tool::set_local_events`], and [`Error::Null`].
    pub fn set_local_events_of(&self, code: *mut c_void, set: EventSet) -> Result<()> {
        if code.is_null() {
            return Err(Error::Null);
        }
        registry::set_local_events(self.0, code, set)
    }

    /// Calls a closure for an event, instead of what was registered for it. The closure is dropped
    /// when it has been replaced or removed and no thread can be in it any more.
    ///
    /// It is called on the thread that fires; what it fires itself is suppressed. If it panics, that
    /// counts as [`Answer::Fail`].
    ///
    /// # Errors
    /// [`Error::NoMemory`] if the process has no thread-specific key left.
    pub fn on<F, A>(&self, event: Event, callback: F) -> Result<()>
    where
        F: Fn(&FiredEvent) -> A + Send + Sync + 'static,
        A: Into<Answer>,
    {
        let data = Box::into_raw(Box::new(callback)).cast::<c_void>();
        // SAFETY: `run` and `free` are made for the closure that `data` is, which may be shared by
        // threads and sent to one.
        let candidate = unsafe { Candidate::new(run::<F, A>, data, Some(free::<F>)) };
        registry::register_callback(self.0, event, candidate)
    }

    /// Removes the callback of an event, if there is one.
    ///
    /// # Errors
    /// As [`Tool::on`].
    pub fn off(&self, event: Event) -> Result<()> {
        registry::unregister_callback(self.0, event)
    }

    /// Removes callbacks, events, local events and disabled locations; the id stays claimed.
    ///
    /// # Errors
    /// As [`Tool::on`].
    pub fn clear(&self) -> Result<()> {
        registry::clear_tool_id(self.0)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Freeing can only fail for want of what claiming already had.
        let _ = registry::free_tool_id(self.0);
    }
}

unsafe extern "C" fn run<F, A>(user_data: *mut c_void, event: *const FiredEvent) -> c_int
where
    F: Fn(&FiredEvent) -> A,
    A: Into<Answer>,
{
    // SAFETY: `Tool::on` registered this function with a closure of this type, and events are valid
    // during the call.
    let (callback, event) = unsafe { (&*user_data.cast::<F>(), &*event) };
    match catch_unwind(AssertUnwindSafe(|| callback(event).into())) {
        Ok(Answer::Continue) => CONTINUE,
        Ok(Answer::Disable) => DISABLE,
        Ok(Answer::Fail) | Err(_) => Error::Callback.status(),
    }
}

unsafe extern "C" fn free<F>(user_data: *mut c_void) {
    // SAFETY: `Tool::on` made it from a box of this type, and this is called once, after the last
    // call of the closure.
    let closure = unsafe { Box::from_raw(user_data.cast::<F>()) };
    // A panic in a drop has nobody to go to.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(closure)));
}

/// Enables all locations again that callbacks have disabled, for all tools.
///
/// # Errors
/// As [`Tool::on`].
pub fn restart_events() -> Result<()> {
    registry::restart_events()
}

/// Waits until no callback that was removed before can be running, and until those have been dropped.
///
/// # Errors
/// [`Error::InCallback`], without waiting, when called from inside a callback.
pub fn synchronize() -> Result<()> {
    host::while_waiting(registry::synchronize)
}
