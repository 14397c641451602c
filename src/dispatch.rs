//! A fire: from an active state to the callbacks.
//!
//! The emitter's inline check has found `active` non-zero. [`fire`] is the usual way: the thread is
//! known and outside, exactly one tool listens, globally, and its callback lies inline: a straight
//! line with one call in it. Whatever else there is goes on, by a tail call, to a function that is
//! out of the way: [`outside`] (the thread is inside a callback, or unknown), [`filter`] (local
//! events, disabled locations), [`many`] (several tools), [`finish`] (an answer that is not 0, or
//! a callback that changed the registry).
//!
//! Nothing here locks, allocates, panics, or writes memory that another thread writes, except, when a
//! callback answers DISABLE or fails to be allowed to, the registry on its behalf.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use crate::code::{self, ENABLED, LOCAL};
use crate::event::Event;
use crate::registry::{self, Interest};
use crate::state::{self, State};
use crate::status::{Error, contained};
use crate::sync::slot::Entry;
use crate::sync::thread::{self, Call};
use crate::sync::{barrier, reclaim};
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

/// A fire on its way, in six registers: so the ways part and join by tail calls.
#[derive(Clone, Copy)]
struct Fire {
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    /// Event, shape, and, for [`many`], the tools to call: a byte each.
    kind: u32,
}

const SHAPE_SHIFT: u32 = 8;
const TOOLS_SHIFT: u32 = 16;

impl Fire {
    #[inline(always)]
    fn event(&self) -> u8 {
        self.kind as u8
    }

    #[inline(always)]
    fn line(&self) -> i32 {
        if self.kind as u16 >> SHAPE_SHIFT == shape::LINE.into() { self.first as i32 } else { -1 }
    }

    #[inline(always)]
    fn location(&self) -> i32 {
        code::location(self.event(), self.offset, self.first as i32)
    }

    /// What the callback of a tool is told.
    #[inline(always)]
    fn told(&self, tool: u8) -> FiredEvent {
        let shape = (self.kind >> SHAPE_SHIFT) as u8;
        let objects = shape == shape::OBJECTS;
        FiredEvent {
            struct_size: size_of::<FiredEvent>() as u32,
            event: self.event(),
            tool_id: tool,
            offset: self.offset,
            line: self.line(),
            target_offset: if shape == shape::TARGET { self.first as i32 } else { -1 },
            code: self.code,
            object: if objects { pointer(self.first) } else { null_mut() },
            arg0: if objects { pointer(self.second) } else { null_mut() },
        }
    }
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
    let kind = u32::from(EVENT) | u32::from(SHAPE) << SHAPE_SHIFT;
    let fire = Fire { code, offset, first, second, kind };
    let current = thread::current();
    if !current.is_idle() {
        // SAFETY: the caller's promise.
        return unsafe { outside(state, code, offset, first, second, kind) };
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    current.enter();
    if EVENT == Event::Call.number() {
        current.push_call(Call { code, callable: pointer(first), arg0: pointer(second) });
    }
    // SAFETY: `EVENT` is an event, `state` is valid.
    let (interest, active) = unsafe { (registry::interest(EVENT), state::load_active(state)) };
    if !interest.is_global_only() {
        // SAFETY: the caller's promise; the thread is inside.
        return unsafe { filter(state, code, offset, first, second, kind) };
    }
    let wanted = u32::from(interest.global() & active);
    if !wanted.is_power_of_two() {
        // SAFETY: as above.
        return unsafe { many(state, code, offset, first, second, kind | wanted << TOOLS_SHIFT) };
    }
    let tool = wanted.trailing_zeros() as u8;
    // SAFETY: `EVENT` is an event, and one of eight bits is set.
    let Some(entry) = (unsafe { tool::slot(usize::from(EVENT), usize::from(tool)).inline() })
    else {
        // SAFETY: as above.
        return unsafe { many(state, code, offset, first, second, kind | wanted << TOOLS_SHIFT) };
    };
    current.set_code(code);
    let told = fire.told(tool);
    // SAFETY: the entry came from a slot on this visit inside.
    let answer = unsafe { tool::call(entry, &told) };
    if answer != 0 || current.change() != 0 {
        // SAFETY: the caller's promise; the thread is inside.
        return unsafe { finish(state, &told, EVENT, entry, answer) };
    }
    current.leave();
    0
}

/// The thread is not known and outside: it is inside a callback, and the fire is suppressed; or it
/// was never seen, and is made known.
///
/// # Safety
/// As for [`fire`]; `kind` has an event and a shape.
#[cold]
#[inline(never)]
unsafe extern "C" fn outside(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    kind: u32,
) -> c_int {
    let current = thread::current();
    if current.is_inside() || !current.register() {
        return 0;
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    current.enter();
    if kind as u8 == Event::Call.number() {
        current.push_call(Call { code, callable: pointer(first), arg0: pointer(second) });
    }
    // SAFETY: the caller's promise; the thread is inside.
    unsafe { filter(state, code, offset, first, second, kind) }
}

/// Who wants the event in this code at this location, of the tools in `active`; and of those that
/// would, who has disabled it.
///
/// # Safety
/// The thread is inside, and `event` is one.
#[inline(always)]
unsafe fn wanting(
    interest: Interest,
    active: u8,
    code: *mut c_void,
    location: i32,
    event: u8,
) -> (u8, u8) {
    let mut wanted = interest.global() & active;
    let local = interest.local() & active & !wanted;
    if local != 0 {
        // SAFETY: `event` is one, and the thread is inside.
        wanted |= local & unsafe { LOCAL.get(event, code, 0) };
    }
    let mut disabled = 0;
    if interest.has_disabled() {
        // SAFETY: `event` is one, and the thread is inside.
        disabled = wanted & !unsafe { ENABLED.get(event, code, location) };
    }
    (wanted & !disabled, disabled)
}

/// Not every tool is a global one, or some location is disabled: finds out who is called.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(never)]
unsafe extern "C" fn filter(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    kind: u32,
) -> c_int {
    let event = kind as u8;
    // SAFETY: the kind has an event, and the state is valid.
    let (mut interest, active) = unsafe { (registry::interest(event), state::load_active(state)) };
    if interest.fence() {
        barrier::reader_fence();
        // SAFETY: as above.
        interest = unsafe { registry::interest(event) };
    }
    let location = code::location(event, offset, first as i32);
    // SAFETY: the thread is inside.
    let (wanted, disabled) = unsafe { wanting(interest, active, code, location, event) };
    // SAFETY: the state is valid.
    if disabled != 0 && unsafe { state::may_have_own_location(state) } {
        // SAFETY: as above.
        unsafe { quieten(state, disabled) };
    }
    if wanted == 0 {
        thread::current().leave();
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { many(state, code, offset, first, second, kind | u32::from(wanted) << TOOLS_SHIFT) }
}

/// Takes tools that have disabled a location out of the state, if the state is that location's own.
///
/// # Safety
/// The state is valid and lies in the array with which it was entered.
#[cold]
#[inline(never)]
unsafe fn quieten(state: *mut State, disabled: u8) {
    // SAFETY: the caller's promise.
    unsafe {
        if state::has_own_location(state) {
            state::clear_active(state, disabled);
        }
    }
}

/// The callback that a fire goes to, and the event it was registered for: of a branch whose
/// direction is known, that direction's or else BRANCH's; of one whose direction is not, BRANCH's or
/// else BRANCH_RIGHT's.
///
/// # Safety
/// The thread is inside; `event` is one, and `tool` below 8.
#[inline(always)]
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

/// Calls several tools, the highest first.
///
/// # Safety
/// As for [`fire`]; the thread is inside, and `kind` has the tools to call.
#[inline(never)]
unsafe extern "C" fn many(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    first: usize,
    second: usize,
    kind: u32,
) -> c_int {
    let fire = Fire { code, offset, first, second, kind };
    let current = thread::current();
    current.set_code(code);
    let mut told = fire.told(0);
    let mut left = kind >> TOOLS_SHIFT;
    let mut changed = false;
    let mut status = 0;
    while left != 0 {
        let tool = 31 - left.leading_zeros();
        left ^= 1 << tool;
        // SAFETY: the kind has an event, and `tool` is the number of one of eight bits.
        let Some((entry, asked)) = (unsafe { find(fire.event(), tool as usize) }) else {
            continue;
        };
        told.tool_id = tool as u8;
        // SAFETY: the entry came from a slot on this visit inside.
        let answer = unsafe { tool::call(entry, &told) };
        if answer != 0 || current.change() != 0 {
            // SAFETY: the caller's promise; the thread is inside.
            let after = unsafe { answered(state, &told, asked, entry, answer) };
            changed |= after.changed;
            status = after.status;
            if status != 0 {
                break;
            }
            // SAFETY: the kind has an event, and the thread is inside.
            left &= u32::from(unsafe {
                let interest = registry::interest(fire.event());
                wanting(interest, u8::MAX, code, fire.location(), fire.event()).0
            });
        }
    }
    current.leave();
    if changed {
        reclaim::collect();
    }
    status
}

/// The straight line's end when the answer is not 0 or something was changed.
///
/// # Safety
/// As for [`answered`].
#[cold]
#[inline(never)]
unsafe fn finish(
    state: *mut State,
    told: &FiredEvent,
    asked: u8,
    entry: Entry,
    answer: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let after = unsafe { answered(state, told, asked, entry, answer) };
    thread::current().leave();
    if after.changed {
        reclaim::collect();
    }
    after.status
}

/// What follows from a callback's answer.
struct After {
    /// Not 0: the fire ends with it.
    status: c_int,
    /// Whether the callback changed the registry.
    changed: bool,
}

/// Heeds a callback's answer, and what it changed: first the array that is being fired from is made
/// to agree with the registry, then the answer is carried out.
///
/// # Safety
/// As for [`fire`]; the thread is inside; `asked` is the event under which `entry` was found.
#[cold]
#[inline(never)]
unsafe fn answered(
    state: *mut State,
    told: &FiredEvent,
    asked: u8,
    entry: Entry,
    answer: c_int,
) -> After {
    let current = thread::current();
    let change = current.take_change();
    if change.any() {
        // SAFETY: the state is being fired, so it and its array are alive; types in marks are events.
        unsafe { state::refresh_array(state, |event| registry::active(event)) };
    }
    let status = match answer {
        ..=-1 => answer,
        DISABLE => {
            let cleared = change.cleared(told.tool_id);
            // SAFETY: the caller's promise.
            unsafe { carry_out_disable(state, told, asked, entry, cleared) }
        }
        _ => 0,
    };
    After { status, changed: change.any() | current.take_change().any() }
}

/// Carries out DISABLE.
///
/// # Safety
/// As for [`answered`].
#[cold]
#[inline(never)]
unsafe fn carry_out_disable(
    state: *mut State,
    told: &FiredEvent,
    asked: u8,
    entry: Entry,
    cleared: bool,
) -> c_int {
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
    if cleared {
        return 0; // a tool that cleared itself has no more locations to disable
    }
    // A BRANCH fire that went to BRANCH_RIGHT's callback has both directions at this location.
    let event = if fired == Event::Branch { fired } else { asked };
    let location = code::location(told.event, told.offset, told.line);
    // Without memory for it the location stays enabled: more events, but none wrong.
    let _ = contained(|| registry::disable(tool, event, told.code, location));
    // SAFETY: the caller's promise.
    unsafe { quieten(state, 1 << told.tool_id) };
    0
}
