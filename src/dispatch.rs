//! A fire: from an active state to the callbacks.
//!
//! The emitter's inline check has found `active` non-zero. The usual way is [`fire`], which finds out
//! who is called and needs no stack for it, then [`deliver`], which calls one tool in a straight line.
//! Whatever else there is goes out of the way: [`outside`] (the thread is inside a callback, or
//! unknown, or must fence), [`several`] (more tools than one, or a callback that is not where it
//! usually lies), [`answered`] (an answer that is not 0, or a callback that changed the registry),
//! [`quieten`] (a state that is of no more use to a tool).
//!
//! Nothing here locks, allocates, panics, or writes memory that another thread writes, except, when a
//! callback answers DISABLE or may not answer it, the registry on its behalf.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use crate::code::{self, ENABLED, LOCAL};
use crate::event::Event;
use crate::registry;
use crate::state::{self, State};
use crate::status::{Error, contained};
use crate::sync::barrier::readers_must_fence;
use crate::sync::reclaim;
use crate::sync::slot::Entry;
use crate::sync::thread::{self, Call, Change};
use crate::tool::{self, DISABLE, FiredEvent, ToolId};

/// How the two words of a fire are to be understood.
pub mod shape {
    /// No words.
    pub const PLAIN: u8 = 0;
    /// The first is a line.
    pub const LINE: u8 = 1;
    /// The first is a target offset.
    pub const TARGET: u8 = 2;
    /// The first is an object, the second `arg0`.
    pub const OBJECTS: u8 = 3;
}

/// Words carry pointers through unchanged; they are never followed here.
#[inline(always)]
fn pointer(word: usize) -> *mut c_void {
    core::ptr::with_exposed_provenance_mut(word)
}

/// Delivers one event. Returns 0, or the status of the error that ended it.
///
/// # Safety
/// `state` is as for [`state::load_active`]. `EVENT` is an event and `SHAPE` one of [`shape`].
#[inline(always)]
pub unsafe fn fire<const EVENT: u8, const SHAPE: u8>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
) -> c_int {
    let current = thread::current();
    if !current.is_idle() {
        // SAFETY: the caller's promise.
        return unsafe { outside::<EVENT, SHAPE>(state, code, offset, first, second) };
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    current.enter();
    // SAFETY: the caller's promise; the thread is inside.
    let (wanted, disabled) = unsafe { who::<EVENT, SHAPE>(state, code, offset, first) };
    // SAFETY: as above.
    if disabled != 0 && unsafe { state::may_have_own_location(state) } {
        let tools = wanted | disabled << 8;
        // SAFETY: as above.
        return unsafe { quieten_first::<EVENT, SHAPE>(state, code, offset, first, second, tools) };
    }
    if wanted == 0 {
        current.leave();
        return 0;
    }
    // SAFETY: as above.
    unsafe { deliver::<EVENT, SHAPE>(state, code, offset, first, second, wanted) }
}

/// The location of a fire.
#[inline(always)]
fn location<const SHAPE: u8>(offset: i32, first: usize) -> i32 {
    if SHAPE == shape::LINE { first as i32 } else { offset }
}

/// Who is called: of the tools that the state says may want the event, those that have it on,
/// globally or for this code, and have not disabled this location. And who has.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(always)]
unsafe fn who<const EVENT: u8, const SHAPE: u8>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
) -> (u32, u32) {
    // SAFETY: `EVENT` is an event, and the state is valid.
    let (interest, active) =
        unsafe { (registry::interest(EVENT), u32::from(state::load_active(state))) };
    let mut wanted = interest.global(active);
    if interest.is_global_only() {
        return (wanted, 0);
    }
    if interest.has_local() {
        // SAFETY: `EVENT` is an event, and the thread is inside.
        wanted |= interest.local(active) & u32::from(unsafe { LOCAL.get_code(EVENT, code) });
    }
    let mut disabled = 0;
    if interest.has_disabled() {
        let location = location::<SHAPE>(offset, first);
        // SAFETY: as above.
        let enabled = u32::from(unsafe { ENABLED.get(EVENT, code, location) });
        disabled = wanted & !enabled;
        wanted &= enabled;
    }
    (wanted, disabled)
}

/// Whether a tool still has the event on in this code and has not disabled the location.
///
/// # Safety
/// The thread is inside, and `told` is a fire's.
#[cold]
#[inline(never)]
unsafe fn still_wanting(told: &FiredEvent) -> u32 {
    // SAFETY: a fired event is an event, and the thread is inside.
    let (interest, local, enabled) = unsafe {
        (
            registry::interest(told.event),
            LOCAL.get_code(told.event, told.code),
            ENABLED.get(told.event, told.code, code::location(told.event, told.offset, told.line)),
        )
    };
    (interest.global(u8::MAX.into()) | interest.local(local.into())) & u32::from(enabled)
}

/// The thread is not known and outside, or must fence: if it is inside a callback, the fire is
/// suppressed; if it was never seen, it is made known.
///
/// # Safety
/// As for [`fire`].
#[cold]
#[inline(never)]
unsafe extern "C" fn outside<const EVENT: u8, const SHAPE: u8>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
) -> c_int {
    let current = thread::current();
    if current.is_inside() || !current.register() {
        return 0;
    }
    if !readers_must_fence() {
        // SAFETY: the caller's promise. The thread is idle now, so this does not come back here.
        return unsafe { fire::<EVENT, SHAPE>(state, code, offset, first, second) };
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    if !current.go_inside() {
        return 0;
    }
    // SAFETY: the caller's promise; the thread is inside.
    let (wanted, disabled) = unsafe { who::<EVENT, SHAPE>(state, code, offset, first) };
    let told = told::<EVENT, SHAPE>(code, offset, first, second);
    let mut delivery = Delivery { told, state };
    if EVENT == Event::Call.number() {
        // SAFETY: the words are the fire's.
        unsafe { remember_call(code, first, second) };
    }
    // SAFETY: the caller's promise; the thread is inside.
    let after = unsafe {
        quieten(&delivery, disabled);
        several(&mut delivery, wanted)
    };
    current.go_outside();
    after.end()
}

/// A tool has disabled the location, and the state may be the location's own: sees to the state, then
/// goes on.
///
/// # Safety
/// As for [`deliver`]; `tools` has those to call in its lowest byte, those to take out in the next.
#[cold]
#[inline(never)]
unsafe extern "C" fn quieten_first<const EVENT: u8, const SHAPE: u8>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    tools: u32,
) -> c_int {
    let delivery = Delivery { told: told::<EVENT, SHAPE>(code, offset, first, second), state };
    // SAFETY: the caller's promise.
    unsafe { quieten(&delivery, tools >> 8) };
    if tools & 0xff == 0 {
        thread::current().leave();
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { deliver::<EVENT, SHAPE>(state, code, offset, first, second, tools & 0xff) }
}

/// A fire on its way to its callbacks.
struct Delivery {
    told: FiredEvent,
    state: *mut State,
}

/// What a callback is told; the tool is filled in later.
#[inline(always)]
fn told<const EVENT: u8, const SHAPE: u8>(
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
) -> FiredEvent {
    let objects = SHAPE == shape::OBJECTS;
    FiredEvent {
        struct_size: size_of::<FiredEvent>() as u32,
        event: EVENT,
        tool_id: 0,
        offset,
        line: if SHAPE == shape::LINE { first as i32 } else { -1 },
        target_offset: if SHAPE == shape::TARGET { first as i32 } else { -1 },
        code,
        object: if objects { pointer(first) } else { null_mut() },
        arg0: if objects { pointer(second) } else { null_mut() },
    }
}

/// Remembers what CALL said, for a C_RETURN or C_RAISE that does not know.
///
/// # Safety
/// The words are a CALL's.
#[inline(always)]
unsafe fn remember_call(code: *mut c_void, first: usize, second: usize) {
    let version = registry::version();
    let call = Call { code, callable: pointer(first), arg0: pointer(second), version };
    thread::current().push_call(call);
}

/// Calls the tools; usually one, whose callback lies inline.
///
/// # Safety
/// As for [`fire`]; the thread is inside; `wanted` has the tools to call, of eight.
#[inline(never)]
unsafe extern "C" fn deliver<const EVENT: u8, const SHAPE: u8>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    wanted: u32,
) -> c_int {
    let current = thread::current();
    if EVENT == Event::Call.number() {
        // SAFETY: the words are this CALL's.
        unsafe { remember_call(code, first, second) };
    }
    current.set_code(code);
    let mut delivery = Delivery { told: told::<EVENT, SHAPE>(code, offset, first, second), state };
    if wanted & wanted.wrapping_sub(1) == 0 {
        // The highest slot is always empty: it stands in for no tool at all.
        let tool = (wanted | 1 << 7).trailing_zeros();
        // SAFETY: `EVENT` is an event, and the number is one of eight.
        let slot = unsafe { tool::slot(usize::from(EVENT), tool as usize) };
        if let Some(entry) = slot.inline() {
            delivery.told.tool_id = tool as u8;
            // SAFETY: the entry came from a slot on this visit inside.
            let answer = unsafe { tool::call(entry, &delivery.told) };
            if answer as u32 | current.change() == 0 {
                current.leave();
                return 0;
            }
            // SAFETY: the caller's promise; `entry` was found under `EVENT`.
            let after = unsafe { answered(&delivery, EVENT, entry, answer) };
            current.leave();
            return after.end();
        }
    }
    // SAFETY: the caller's promise.
    let after = unsafe { several(&mut delivery, wanted) };
    current.leave();
    if after.status | c_int::from(after.change.collect()) != 0 { after.end() } else { 0 }
}

/// The callback that a fire goes to, and the event it was registered for: of a branch whose
/// direction is known, that direction's or else BRANCH's; of one whose direction is not, BRANCH's or
/// else BRANCH_RIGHT's.
///
/// # Safety
/// The thread is inside; `event` is one, and `tool` below 8.
#[cold]
#[inline(never)]
unsafe fn find(event: u8, tool: usize) -> Option<(Entry, u8)> {
    // SAFETY: the caller's promise.
    if let Some(entry) = unsafe { tool::callback(usize::from(event), tool) } {
        return Some((entry, event));
    }
    const LEFT: u8 = Event::BranchLeft.number();
    const RIGHT: u8 = Event::BranchRight.number();
    const BRANCH: u8 = Event::Branch.number();
    let other = match event {
        LEFT | RIGHT => BRANCH,
        BRANCH => RIGHT,
        _ => return None,
    };
    // SAFETY: as above.
    unsafe { tool::callback(usize::from(other), tool) }.map(|entry| (entry, other))
}

/// Calls the tools, the highest first. The thread stays inside.
///
/// # Safety
/// As for [`deliver`].
#[inline(never)]
unsafe fn several(delivery: &mut Delivery, wanted: u32) -> After {
    let current = thread::current();
    current.set_code(delivery.told.code);
    let event = delivery.told.event;
    let mut left = wanted;
    let mut change = Change::NONE;
    while left != 0 {
        let tool = left.ilog2();
        left ^= 1 << tool;
        // SAFETY: a fired event is an event, and the number is one of eight.
        let inline = unsafe { tool::slot(usize::from(event), tool as usize) }.inline();
        let (entry, asked) = match inline {
            Some(entry) => (entry, event),
            // SAFETY: as above; the thread is inside.
            None => match unsafe { find(event, tool as usize) } {
                Some(found) => found,
                None => continue,
            },
        };
        delivery.told.tool_id = tool as u8;
        // SAFETY: the entry came from a slot on this visit inside.
        let answer = unsafe { tool::call(entry, &delivery.told) };
        if answer as u32 | current.change() != 0 {
            // SAFETY: the caller's promise; `entry` was found under `asked`.
            let after = unsafe { answered(delivery, asked, entry, answer) };
            change = change.and(after.change);
            if after.status != 0 {
                return After { status: after.status, change };
            }
            // Who was silenced meanwhile is not called any more.
            // SAFETY: the thread is inside.
            left &= unsafe { still_wanting(&delivery.told) };
        }
    }
    After { status: 0, change }
}

/// What follows from the callbacks' answers.
struct After {
    /// Not 0: the fire ended with it.
    status: c_int,
    /// What the callbacks did to the registry.
    change: Change,
}

impl After {
    /// The fire's result. The thread is outside again, so what became free can be freed.
    #[cold]
    #[inline(never)]
    fn end(self) -> c_int {
        if self.change.collect() {
            reclaim::collect();
        }
        self.status
    }
}

/// Heeds a callback's answer, and what it changed: first the array that is being fired from is made
/// to agree with the registry, then the answer is carried out.
///
/// # Safety
/// As for [`deliver`]; `asked` is the event under which `entry` was found.
#[cold]
#[inline(never)]
unsafe fn answered(delivery: &Delivery, asked: u8, entry: Entry, answer: c_int) -> After {
    let current = thread::current();
    let change = current.take_change();
    if change.any() {
        // SAFETY: the state is being fired, so it and its array are alive; types in marks are events.
        unsafe { refresh_array(delivery.state) };
    }
    let status = match answer {
        ..=-1 => answer,
        // SAFETY: the caller's promise.
        DISABLE => unsafe { carry_out_disable(delivery, asked, entry, change) },
        _ => 0,
    };
    After { status, change: change.and(current.take_change()) }
}

/// Makes the array of a state agree with the registry.
///
/// # Safety
/// The state is being fired.
unsafe fn refresh_array(state: *mut State) {
    loop {
        let version = registry::version();
        // SAFETY: the caller's promise; types in marks are events.
        unsafe { state::refresh_array(state, |event| registry::active(event)) };
        // Another thread may have entered the same array with what is newer.
        registry::after_states();
        if registry::version() == version {
            break;
        }
    }
}

/// Takes tools that have disabled the location out of the state, if the state is that location's own.
///
/// # Safety
/// As for [`deliver`].
#[cold]
#[inline(never)]
unsafe fn quieten(delivery: &Delivery, disabled: u32) {
    let Delivery { told, state } = delivery;
    let tools = disabled as u8;
    // SAFETY: the state is being fired, so it and its array are alive; the thread is inside.
    unsafe {
        if tools == 0 || !state::has_own_location(*state) {
            return;
        }
        state::clear_active(*state, tools);
        // The location may have been enabled since it was looked up, and the array entered anew.
        registry::after_states();
        let location = code::location(told.event, told.offset, told.line);
        let enabled = ENABLED.get(told.event, told.code, location) & tools;
        if enabled != 0 {
            state::set_active(*state, enabled);
        }
    }
}

/// Carries out DISABLE.
///
/// # Safety
/// As for [`answered`].
#[cold]
#[inline(never)]
unsafe fn carry_out_disable(delivery: &Delivery, asked: u8, entry: Entry, change: Change) -> c_int {
    let told = &delivery.told;
    let (Ok(tool), Ok(fired), Ok(asked)) = (
        ToolId::new(told.tool_id.into()),
        Event::from_number(told.event.into()),
        Event::from_number(asked.into()),
    ) else {
        return Error::Internal.status();
    };
    if !fired.is_local() {
        // If even this fails, the callback stays, and the emitter is told all the same.
        let _ = contained(|| registry::unregister_if(tool, asked, entry));
        return Error::CannotDisable.status();
    }
    // A tool that cleared itself has no more locations to disable, a code that died none to be.
    if change.cleared(told.tool_id) || !thread::current().is_delivering(told.code) {
        return 0;
    }
    // A BRANCH fire that went to BRANCH_RIGHT's callback has both directions at this location.
    let event = if fired == Event::Branch { fired } else { asked };
    let location = code::location(told.event, told.offset, told.line);
    let found = (entry, change.any());
    // Without memory for it the location stays enabled: more events, but none wrong.
    let _ = contained(|| registry::disable(tool, asked, found, event, told.code, location));
    // SAFETY: the caller's promise.
    unsafe { quieten(delivery, 1 << told.tool_id) };
    0
}
