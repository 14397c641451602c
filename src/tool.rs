//! Tools: their ids, names and event sets, and the callbacks that they have registered.
//!
//! The callbacks lie in a table of slots that a fire reads without a lock; what the writer needs to
//! know besides (who destroys what, when a slot was filled) lies in [`Tools`].

use core::ffi::{CStr, c_int, c_void};
use std::ffi::CString;

use crate::event::{EVENT_COUNT, Event, EventSet};
use crate::status::{Error, Result};
use crate::sync::fold;
use crate::sync::job::{Job, try_box};
use crate::sync::reclaim;
use crate::sync::slot::{Backing, Entry, Slot};

/// How many tools there can be; ids are below it.
pub(crate) const TOOL_COUNT: usize = 6;

/// A tool's id, 0 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolId(u8);

impl ToolId {
    /// By convention a debugger's (`sys.monitoring.DEBUGGER_ID`).
    pub const DEBUGGER: ToolId = ToolId(0);
    /// By convention a coverage tool's (`sys.monitoring.COVERAGE_ID`).
    pub const COVERAGE: ToolId = ToolId(1);
    /// By convention a profiler's (`sys.monitoring.PROFILER_ID`).
    pub const PROFILER: ToolId = ToolId(2);
    /// By convention an optimizer's (`sys.monitoring.OPTIMIZER_ID`).
    pub const OPTIMIZER: ToolId = ToolId(5);

    /// The tool of a number; [`Error::InvalidTool`] unless it is 0 to 5.
    pub fn new(number: c_int) -> Result<ToolId> {
        match u8::try_from(number) {
            Ok(id) if usize::from(id) < TOOL_COUNT => Ok(ToolId(id)),
            _ => Err(Error::InvalidTool),
        }
    }

    /// The number.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The number as an index.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a callback is told. Fields are added at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FiredEvent {
    /// `sizeof(rmon_event)` of the library that fires.
    pub struct_size: u32,
    /// What was fired: `RMON_EVENT_*`.
    pub event: u8,
    /// Whose callback this is.
    pub tool_id: u8,
    /// The offset in the code that the emitter gave; for LINE too.
    pub offset: i32,
    /// LINE: the line. Otherwise -1.
    pub line: i32,
    /// JUMP, BRANCH, BRANCH_LEFT, BRANCH_RIGHT: the destination. Otherwise -1.
    pub target_offset: i32,
    /// The code, as the emitter gave it; may be NULL.
    pub code: *mut c_void,
    /// PY_RETURN, PY_YIELD: the value. CALL, C_RETURN, C_RAISE: the callable. STOP_ITERATION: the
    /// value. An exception event: the exception. Otherwise, or if the emitter has none, NULL.
    pub object: *mut c_void,
    /// CALL, C_RETURN, C_RAISE: the first argument, NULL if there is none. Otherwise NULL.
    pub arg0: *mut c_void,
}

/// A tool's function for one event; see `rmon_callback` in the header.
pub(crate) type Callback =
    unsafe extern "C" fn(user_data: *mut c_void, event: *const FiredEvent) -> c_int;

/// Frees user data; see `rmon_destroy` in the header.
pub(crate) type Destroy = unsafe extern "C" fn(user_data: *mut c_void);

/// A callback's answer: go on.
pub(crate) const CONTINUE: c_int = 0;
/// A callback's answer: not here again.
pub(crate) const DISABLE: c_int = 1;

/// The slots, by event and tool. Ids 6 and 7 stay empty: eight make a row of two cache lines.
#[repr(align(64))]
pub struct Slots([[Slot; 8]; EVENT_COUNT]);

/// Where fires find the callbacks.
pub static SLOTS: Slots = Slots([const { [const { Slot::new() }; 8] }; EVENT_COUNT]);
static BACKINGS: [[Backing; 8]; EVENT_COUNT] =
    [const { [const { Backing::new() }; 8] }; EVENT_COUNT];

/// The slot of an event and a tool.
///
/// # Safety
/// `event` is below [`EVENT_COUNT`], `tool` below 8.
#[inline(always)]
pub unsafe fn slot(event: usize, tool: usize) -> &'static Slot {
    // SAFETY: the caller keeps both in bounds. The row's address is hidden, lest it be added to the
    // slot's again and again.
    unsafe { (*fold::hide(SLOTS.0.get_unchecked(event))).get_unchecked(tool) }
}

/// The callback of an event and a tool, if there is one. Readers only, inside.
///
/// # Safety
/// As for [`slot`].
#[inline(always)]
pub unsafe fn callback(event: usize, tool: usize) -> Option<Entry> {
    // SAFETY: the caller keeps both in bounds.
    unsafe { slot(event, tool).load(BACKINGS.get_unchecked(event).get_unchecked(tool)) }
}

/// Calls a callback.
///
/// # Safety
/// `entry` came from a slot, and the reader has been inside since.
#[inline(always)]
pub unsafe fn call(entry: Entry, event: &FiredEvent) -> c_int {
    // SAFETY: only function pointers of this type are put into slots (`Registration::new`).
    let callback = unsafe { core::mem::transmute::<*mut (), Callback>(entry.call) };
    // SAFETY: whoever registered the callback promised that it can be called with this data until
    // it is removed and readers have left; this reader is inside.
    unsafe { callback(entry.data, event) }
}

/// A registered callback, as the writer knows it.
pub struct Registration {
    /// The function and its data.
    pub callback: Callback,
    /// See `callback`.
    pub user_data: *mut c_void,
    destroy: Option<Destroy>,
    entry: *mut Entry,
    /// Tells this registration from every other.
    number: u64,
}

// SAFETY: whoever registers a callback promises that it and its data may be used from any thread.
unsafe impl Send for Registration {}

impl Registration {
    /// Whether it is the one that a reader found.
    pub fn is(&self, entry: Entry) -> bool {
        entry == Entry { call: self.callback as *mut (), data: self.user_data }
    }
}

/// Frees it: the destroy function runs. No reader can be using it any more.
impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: the entry came from `Box::into_raw` in `Candidate::prepare`, and is freed only here.
        drop(unsafe { Box::from_raw(self.entry) });
        if let Some(destroy) = self.destroy {
            // SAFETY: whoever registered it promised that it may be called once with this data.
            unsafe { destroy(self.user_data) };
        }
    }
}

/// Where a registration lies, from before it is there until it has been freed.
pub type Place = Box<Job<Option<Registration>>>;

/// A callback to be registered. If it never is, it is freed all the same when dropped: `destroy`
/// runs exactly once in any case.
pub struct Candidate {
    callback: Callback,
    user_data: *mut c_void,
    destroy: Option<Destroy>,
}

impl Candidate {
    /// # Safety
    /// `callback` may be called with `user_data`, from any thread, until `destroy` has been, and
    /// `destroy`, if there is one, may be called once, from any thread.
    pub unsafe fn new(
        callback: Callback,
        user_data: *mut c_void,
        destroy: Option<Destroy>,
    ) -> Candidate {
        Candidate { callback, user_data, destroy }
    }

    /// Takes the memory that registering it will need. If there is none it is freed.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn prepare(self) -> Result<Prepared> {
        let entry = try_box(Entry { call: self.callback as *mut (), data: self.user_data })?;
        let place = Job::new(None)?;
        Ok(Prepared { candidate: self, entry, place })
    }
}

/// A candidate with all the memory that registering it needs.
pub struct Prepared {
    candidate: Candidate,
    entry: Box<Entry>,
    place: Place,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy.take() {
            // SAFETY: promised in `new`; `register` takes `destroy` out.
            reclaim::run_inside(|| unsafe { destroy(self.user_data) });
        }
    }
}

struct Tool {
    name: Option<CString>,
    events: EventSet,
    callbacks: [Option<Place>; EVENT_COUNT],
}

/// The writer's view of all tools.
pub struct Tools {
    tools: [Tool; TOOL_COUNT],
    last_number: u64,
}

impl Tools {
    /// Nobody.
    pub const fn new() -> Tools {
        Tools {
            tools: [const {
                Tool {
                    name: None,
                    events: EventSet::empty(),
                    callbacks: [const { None }; EVENT_COUNT],
                }
            }; TOOL_COUNT],
            last_number: 0,
        }
    }

    /// The tool's name; `None` if the id is not in use.
    pub fn name(&self, tool: ToolId) -> Option<&CStr> {
        self.tools[tool.index()].name.as_deref()
    }

    /// Sets or drops the tool's name.
    pub fn set_name(&mut self, tool: ToolId, name: Option<CString>) {
        self.tools[tool.index()].name = name;
    }

    /// The tool's global events.
    pub fn events(&self, tool: ToolId) -> EventSet {
        self.tools[tool.index()].events
    }

    /// Sets the tool's global events. Whether that is a change.
    pub fn set_events(&mut self, tool: ToolId, events: EventSet) -> bool {
        core::mem::replace(&mut self.tools[tool.index()].events, events) != events
    }

    /// The tools that have `event` on globally.
    pub fn listening(&self, event: Event) -> u8 {
        self.tools
            .iter()
            .enumerate()
            .filter(|(_, tool)| tool.events.wants(event))
            .fold(0, |tools, (index, _)| tools | 1 << index)
    }

    /// Whether some tool has a callback for C_RETURN or C_RAISE.
    pub fn hear_of_ends(&self) -> bool {
        let ends = [Event::CReturn, Event::CRaise];
        self.tools.iter().any(|tool| ends.iter().any(|end| tool.callbacks[end.index()].is_some()))
    }

    /// What is registered.
    pub fn registration(&self, tool: ToolId, event: Event) -> Option<&Registration> {
        self.tools[tool.index()].callbacks[event.index()].as_ref()?.work.as_ref()
    }

    /// Registers a callback. Returns the old one, to be freed after a grace period, and a number for
    /// [`Tools::settle`].
    pub fn register(
        &mut self,
        tool: ToolId,
        event: Event,
        prepared: Prepared,
    ) -> (Option<Place>, u64) {
        let Prepared { mut candidate, entry, mut place } = prepared;
        let entry = Box::into_raw(entry);
        self.last_number += 1;
        place.work = Some(Registration {
            callback: candidate.callback,
            user_data: candidate.user_data,
            destroy: candidate.destroy.take(),
            entry,
            number: self.last_number,
        });
        let (event, index) = (event.index(), tool.index());
        SLOTS.0[event][index].install(&BACKINGS[event][index], entry);
        (self.tools[index].callbacks[event].replace(place), self.last_number)
    }

    /// Puts a registration inline, after the grace period of its [`Tools::register`]. Does nothing
    /// if another one has come since.
    pub fn settle(&mut self, tool: ToolId, event: Event, number: u64) {
        if let Some(registration) = self.registration(tool, event)
            && registration.number == number
        {
            SLOTS.0[event.index()][tool.index()].settle(Entry {
                call: registration.callback as *mut (),
                data: registration.user_data,
            });
        }
    }

    /// Removes a callback. Returns it, to be freed after a grace period.
    pub fn unregister(&mut self, tool: ToolId, event: Event) -> Option<Place> {
        let (event, index) = (event.index(), tool.index());
        let old = self.tools[index].callbacks[event].take()?;
        SLOTS.0[event][index].remove(&BACKINGS[event][index]);
        Some(old)
    }
}
