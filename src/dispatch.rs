//! A fire: from an active state to the callbacks.
//!
//! The emitter's inline check has found `active` non-zero. The usual way is [`fire`], which finds out
//! who is called and needs no stack for it, then [`one`], which calls one tool in a straight line, or
//! [`more`]. Whatever else there is goes out of the way by a tail call: [`outside`] (the thread is
//! inside a callback, or unknown, or must fence), [`local_and_disabled`] (what is set for some codes is
//! disabled at some locations), [`long_way`] (a look-up that takes longer, a call to be remembered),
//! [`own`] (a state that has become of no use to a tool), [`several`] (a callback that does not lie
//! inline, or is another event's), [`answered`] (an answer that is not 0, or a callback that changed the registry).
//!
//! Nothing here locks, allocates, panics, or writes memory that another thread writes, except, when a
//! callback answers DISABLE or may not answer it, the registry on its behalf.

use core::ffi::{c_int, c_void};
use core::num::NonZeroU32;
use core::ptr::null_mut;

use crate::code::{self, ENABLED, LOCAL};
use crate::event::Event;
use crate::registry;
use crate::state::{self, State};
use crate::status::{Error, contained};
use crate::sync::barrier::readers_must_fence;
use crate::sync::fold;
use crate::sync::reclaim;
use crate::sync::slot::Entry;
use crate::sync::table::Look;
use crate::sync::thread::{self, Call, Change};
use crate::tool::{self, DISABLE, FiredEvent, ToolId};

/// What a fire says besides its code and offset.
pub trait Payload: Copy {
    /// The location: the line for LINE, else the offset.
    #[inline(always)]
    fn location(self, offset: i32) -> i32 {
        offset
    }

    /// Puts it into what callbacks are told.
    fn tell(self, told: &mut FiredEvent);
}

/// Nothing.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plain;

/// A line.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Line(pub i32);

/// A target's offset.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Target(pub i32);

/// An object, and a first argument or NULL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Objects(pub *mut c_void, pub *mut c_void);

impl Payload for Plain {
    #[inline(always)]
    fn tell(self, _: &mut FiredEvent) {}
}

impl Payload for Line {
    #[inline(always)]
    fn location(self, _: i32) -> i32 {
        self.0
    }

    #[inline(always)]
    fn tell(self, told: &mut FiredEvent) {
        told.line = self.0;
    }
}

impl Payload for Target {
    #[inline(always)]
    fn tell(self, told: &mut FiredEvent) {
        told.target_offset = self.0;
    }
}

impl Payload for Objects {
    #[inline(always)]
    fn tell(self, told: &mut FiredEvent) {
        (told.object, told.arg0) = (self.0, self.1);
    }
}

/// Delivers one event. Returns 0, or the status of the error that ended it.
///
/// # Safety
/// `state` is as for [`state::load_active`], and `EVENT` is an event.
#[inline(always)]
pub unsafe fn fire<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
) -> c_int {
    let current = thread::current();
    if !current.is_idle() {
        // SAFETY: the caller's promise.
        return unsafe { outside::<EVENT, P>(state, code, offset, payload) };
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    current.enter();
    // The first places where a table may have the answer usually do; otherwise, and whenever there is more
    // to do, `long_way` begins anew: to go on from here would take more registers than there are without
    // a frame.
    let long_way = || {
        // SAFETY: the caller's promise; the thread is inside.
        unsafe { long_way::<EVENT, P>(state, code, offset, payload) }
    };
    // SAFETY: `EVENT` is an event.
    let interest = unsafe { registry::interest(EVENT) };
    if !interest.is_global_only() {
        if interest.has_local_or_remembers() {
            if EVENT == Event::Call.number() && interest.remembers() {
                return long_way();
            }
            if interest.has_disabled() {
                // SAFETY: the caller's promise; the thread is inside.
                return unsafe { local_and_disabled::<EVENT, P>(state, code, offset, payload) };
            }
            // SAFETY: `EVENT` is an event, and the thread is inside.
            match unsafe { LOCAL.near_code(EVENT, code) } {
                Look::Missing => {}
                Look::Found(here) => {
                    // SAFETY: the state is valid, and the thread is inside.
                    return unsafe {
                        let wanted = interest.global() | here.of(interest.local());
                        let wanted = state::of_active(state, wanted.into());
                        deliver::<EVENT, P>(state, code, offset, payload, wanted)
                    };
                }
                Look::Elsewhere => return long_way(),
            }
        } else {
            // SAFETY: as above.
            match unsafe { ENABLED.near(EVENT, code, payload.location(offset)) } {
                Look::Missing => {}
                Look::Found(enabled) => {
                    let left = enabled.of(interest.global());
                    // SAFETY: the state is valid.
                    if unsafe {
                        state::is_active(state, left) || state::may_have_own_location(state)
                    } {
                        return long_way();
                    }
                    current.leave();
                    return 0;
                }
                Look::Elsewhere => return long_way(),
            }
        }
        // SAFETY: the state is valid.
        if !unsafe { state::is_active(state, interest.global()) } {
            current.leave();
            return 0;
        }
    }
    // SAFETY: the state is valid.
    let wanted = unsafe { state::of_active(state, interest.global().into()) };
    // SAFETY: the caller's promise; the thread is inside.
    unsafe { deliver::<EVENT, P>(state, code, offset, payload, wanted) }
}

/// Goes on with who is called known.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(always)]
unsafe fn deliver<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
    wanted: u32,
) -> c_int {
    if wanted & wanted.wrapping_sub(1) == 0 {
        // SAFETY: the caller's promise.
        unsafe { one::<EVENT, P>(state, code, offset, payload, wanted) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { more::<EVENT, P>(state, code, offset, payload, wanted) }
    }
}

/// Who is called: of the tools that the state says may want the event, those that have it on,
/// globally or for this code, and have not disabled this location. And who has.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(always)]
unsafe fn who<const EVENT: u8>(state: *mut State, code: *mut c_void, location: i32) -> (u8, u8) {
    // SAFETY: `EVENT` is an event, the state is valid, and the thread is inside.
    let (interest, wanted) = unsafe {
        let interest = registry::interest(EVENT);
        let here = if interest.local() == 0 { 0 } else { LOCAL.get_code(EVENT, code) };
        let tools = interest.global() | interest.local() & here;
        (interest, state::of_active(state, tools.into()) as u8)
    };
    if wanted == 0 || !interest.has_disabled() {
        return (wanted, 0);
    }
    // SAFETY: as above.
    let enabled = unsafe { ENABLED.get(EVENT, code, location) };
    (wanted & enabled, wanted & !enabled)
}

/// Some tool has the event on for some codes, and locations of it are disabled, as where coverage is measured: there
/// most fires end here, since whoever may want this one, for whatever codes, has disabled it.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(never)]
unsafe extern "C" fn local_and_disabled<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
) -> c_int {
    // SAFETY: `EVENT` is an event, and the thread is inside.
    let (interest, first) =
        unsafe { (registry::interest(EVENT), ENABLED.near(EVENT, code, payload.location(offset))) };
    if let Look::Found(enabled) = first {
        let left = enabled.of(interest.global() | interest.local());
        // SAFETY: the state is valid.
        if !unsafe { state::is_active(state, left) || state::may_have_own_location(state) } {
            thread::current().leave();
            return 0;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { long_way::<EVENT, P>(state, code, offset, payload) }
}

/// Whatever has to be considered.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[inline(never)]
unsafe extern "C" fn long_way<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { remember_call::<EVENT, P>(code, payload) };
    // SAFETY: the caller's promise.
    let (wanted, disabled) = unsafe { who::<EVENT>(state, code, payload.location(offset)) };
    // SAFETY: the state is valid.
    if disabled != 0 && unsafe { state::may_have_own_location(state) } {
        // SAFETY: the caller's promise.
        return unsafe { own::<EVENT, P>(state, code, offset, payload) };
    }
    if wanted == 0 {
        thread::current().leave();
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { deliver::<EVENT, P>(state, code, offset, payload, wanted.into()) }
}

/// A tool has disabled the location, and the state may be the location's own: sees to the state, then
/// goes on.
///
/// # Safety
/// As for [`fire`]; the thread is inside.
#[cold]
#[inline(never)]
unsafe extern "C" fn own<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
) -> c_int {
    let location = payload.location(offset);
    // SAFETY: the caller's promise.
    let wanted = unsafe {
        let (wanted, disabled) = who::<EVENT>(state, code, location);
        quieten(state, EVENT, code, location, disabled);
        wanted
    };
    if wanted == 0 {
        thread::current().leave();
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { deliver::<EVENT, P>(state, code, offset, payload, wanted.into()) }
}

/// Whether a tool still has the event on in this code and has not disabled the location.
///
/// # Safety
/// The thread is inside, and `told` is a fire's.
#[cold]
#[inline(never)]
unsafe fn still_wanting(told: &FiredEvent) -> u8 {
    // SAFETY: a fired event is an event, and the thread is inside.
    let (interest, local, enabled) = unsafe {
        (
            registry::interest(told.event),
            LOCAL.get_code(told.event, told.code),
            ENABLED.get(told.event, told.code, code::location(told.event, told.offset, told.line)),
        )
    };
    (interest.global() | interest.local() & local) & enabled
}

/// The thread is not known and outside, or must fence: if it is inside a callback, the fire is
/// suppressed; if it was never seen, it is made known.
///
/// # Safety
/// As for [`fire`].
#[cold]
#[inline(never)]
unsafe extern "C" fn outside<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
) -> c_int {
    let current = thread::current();
    if current.is_inside() || !current.register() {
        return 0;
    }
    if !readers_must_fence() {
        // SAFETY: the caller's promise. The thread is idle now, so this does not come back here.
        return unsafe { fire::<EVENT, P>(state, code, offset, payload) };
    }
    if offset < 0 {
        return Error::InvalidOffset.status();
    }
    if !current.go_inside() {
        return 0;
    }
    current.set_code(code);
    // SAFETY: the payload is this event's.
    unsafe { remember_call::<EVENT, P>(code, payload) };
    let mut delivery = Delivery::new::<EVENT, P>(state, code, offset, payload);
    // SAFETY: the caller's promise; the thread is inside.
    let after = unsafe {
        let location = payload.location(offset);
        let (wanted, disabled) = who::<EVENT>(state, code, location);
        if state::may_have_own_location(state) {
            quieten(state, EVENT, code, location, disabled);
        }
        several(&mut delivery, wanted)
    };
    current.go_outside();
    after.end()
}

/// A fire on its way to its callbacks, and the callback that is being called.
struct Delivery {
    told: FiredEvent,
    state: *mut State,
    entry: Entry,
}

impl Delivery {
    /// Before any tool is called.
    #[inline(always)]
    fn new<const EVENT: u8, P: Payload>(
        state: *mut State,
        code: *mut c_void,
        offset: i32,
        payload: P,
    ) -> Delivery {
        let mut told = FiredEvent {
            struct_size: size_of::<FiredEvent>() as u32,
            event: EVENT,
            tool_id: 0,
            offset,
            line: -1,
            target_offset: -1,
            code,
            object: null_mut(),
            arg0: null_mut(),
        };
        payload.tell(&mut told);
        Delivery { told, state, entry: Entry { call: null_mut(), data: null_mut() } }
    }
}

/// Remembers what CALL said, for a C_RETURN or C_RAISE that does not know, if some tool has a callback
/// for one of them. Does nothing for other events.
///
/// # Safety
/// The payload is the event's.
#[inline(always)]
unsafe fn remember_call<const EVENT: u8, P: Payload>(code: *mut c_void, payload: P) {
    // SAFETY: `EVENT` is an event.
    if EVENT == Event::Call.number() && unsafe { registry::interest(EVENT) }.remembers() {
        let Delivery { told, .. } = Delivery::new::<EVENT, P>(null_mut(), code, 0, payload);
        let version = registry::version();
        let call = Call { code, callable: told.object, arg0: told.arg0, version };
        thread::current().push_call(call);
    }
}

/// Calls one tool, or none, whose callback usually lies inline.
///
/// # Safety
/// As for [`fire`]; the thread is inside; `wanted` has one of eight bits at most.
#[inline(never)]
unsafe extern "C" fn one<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
    wanted: u32,
) -> c_int {
    // The highest slot is always empty: it stands in for no tool at all.
    let wanted = wanted | 1 << 7;
    let tool = wanted.trailing_zeros();
    // SAFETY: `EVENT` is an event, and the number is one of eight.
    let slot = unsafe { tool::slot(usize::from(EVENT), tool as usize) };
    let Some(entry) = slot.inline() else {
        thread::current().set_code(code);
        let mut delivery = Delivery::new::<EVENT, P>(state, code, offset, payload);
        // SAFETY: the caller's promise.
        return unsafe { rest(&mut delivery, wanted, None) };
    };
    thread::current().set_code(code);
    let mut delivery = Delivery::new::<EVENT, P>(state, code, offset, payload);
    delivery.told.tool_id = tool as u8;
    delivery.entry = entry;
    // SAFETY: the entry came from a slot on this visit inside.
    let answer = unsafe { tool::call(entry, &delivery.told) };
    // Not kept across the call, since finding it again is cheaper.
    let current = thread::current_again();
    if answer as u32 | current.change() != 0 {
        // SAFETY: the caller's promise; the entry was found under `EVENT`.
        return unsafe { finish(&delivery, answer) };
    }
    current.leave();
    0
}

/// The end of [`one`] when there is more to it.
///
/// # Safety
/// As for [`answered`], under the event that was fired.
#[cold]
#[inline(never)]
unsafe fn finish(delivery: &Delivery, answer: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let after = unsafe { answered(delivery, delivery.told.event, answer) };
    thread::current().leave();
    after.end()
}

/// Calls several tools.
///
/// # Safety
/// As for [`fire`]; the thread is inside; `wanted` has the tools to call, one at least.
#[inline(never)]
unsafe extern "C" fn more<const EVENT: u8, P: Payload>(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    payload: P,
    wanted: u32,
) -> c_int {
    thread::current().set_code(code);
    let mut delivery = Delivery::new::<EVENT, P>(state, code, offset, payload);
    let mut left = wanted;
    loop {
        // SAFETY: there is one tool at least, and the loop ends before there is none.
        let tool = unsafe { NonZeroU32::new_unchecked(left) }.ilog2();
        // SAFETY: `EVENT` is an event, and the number is one of eight.
        let slot = unsafe { tool::slot(usize::from(EVENT), tool as usize) };
        let Some(entry) = slot.inline() else {
            // SAFETY: the caller's promise.
            return unsafe { rest(&mut delivery, left, None) };
        };
        left = fold::without_bit(left, tool);
        delivery.told.tool_id = tool as u8;
        delivery.entry = entry;
        // SAFETY: the entry came from a slot on this visit inside.
        let answer = unsafe { tool::call(entry, &delivery.told) };
        if answer as u32 | thread::current_again().change() != 0 {
            // SAFETY: the caller's promise; the entry was found under `EVENT`.
            return unsafe { rest(&mut delivery, left, Some(answer)) };
        }
        if left == 0 {
            break;
        }
    }
    thread::current_again().leave();
    0
}

/// The end of [`more`] when there is more to it: an answer to be heeded, or callbacks to be found.
///
/// # Safety
/// As for [`answered`], under the event that was fired; `left` has the tools that remain.
#[cold]
#[inline(never)]
unsafe fn rest(delivery: &mut Delivery, mut left: u32, answer: Option<c_int>) -> c_int {
    let mut change = Change::NONE;
    let mut status = 0;
    if let Some(answer) = answer {
        // SAFETY: the caller's promise.
        let after = unsafe { answered(delivery, delivery.told.event, answer) };
        (status, change) = (after.status, after.change);
        // SAFETY: the thread is inside.
        left &= u32::from(unsafe { still_wanting(&delivery.told) });
    }
    if status == 0 {
        // SAFETY: the caller's promise.
        let after = unsafe { several(delivery, left as u8) };
        (status, change) = (after.status, change.and(after.change));
    }
    thread::current().leave();
    After { status, change }.end()
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

/// Calls the tools, the highest first, wherever their callbacks are. The thread stays inside; it knows
/// the code, which may have died in a callback that was called before.
///
/// # Safety
/// As for [`more`].
#[cold]
#[inline(never)]
unsafe fn several(delivery: &mut Delivery, wanted: u8) -> After {
    let current = thread::current();
    let mut left = u32::from(wanted);
    let mut change = Change::NONE;
    while left != 0 {
        let tool = left.ilog2();
        left ^= 1 << tool;
        // SAFETY: a fired event is an event, and the number is one of eight; the thread is inside.
        let Some((entry, asked)) = (unsafe { find(delivery.told.event, tool as usize) }) else {
            continue;
        };
        delivery.told.tool_id = tool as u8;
        delivery.entry = entry;
        // SAFETY: the entry came from a slot on this visit inside.
        let answer = unsafe { tool::call(entry, &delivery.told) };
        if answer as u32 | current.change() != 0 {
            // SAFETY: the caller's promise; the entry was found under `asked`.
            let after = unsafe { answered(delivery, asked, answer) };
            change = change.and(after.change);
            if after.status != 0 {
                return After { status: after.status, change };
            }
            // Who was silenced meanwhile is not called any more.
            // SAFETY: the thread is inside.
            left &= u32::from(unsafe { still_wanting(&delivery.told) });
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
/// As for [`fire`]; the thread is inside; `asked` is the event under which the entry was found.
#[cold]
#[inline(never)]
unsafe fn answered(delivery: &Delivery, asked: u8, answer: c_int) -> After {
    let current = thread::current();
    let change = current.take_change();
    if change.any() {
        // SAFETY: the state is being fired, so it and its array are alive; types in marks are events.
        unsafe { refresh_array(delivery.state) };
    }
    let status = match answer {
        ..=-1 => answer,
        // SAFETY: the caller's promise.
        DISABLE => unsafe { carry_out_disable(delivery, asked, change) },
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
/// As for [`fire`]; the thread is inside, `event` is the one that is fired, and `location` where.
#[cold]
#[inline(never)]
unsafe fn quieten(state: *mut State, event: u8, code: *mut c_void, location: i32, tools: u8) {
    // SAFETY: the state is being fired, so it and its array are alive; the thread is inside.
    unsafe {
        if tools == 0 || !state::has_own_location(state) {
            return;
        }
        state::clear_active(state, tools);
        // The location may have been enabled since it was looked up, and the array entered anew.
        registry::after_states();
        let enabled = ENABLED.get(event, code, location) & tools;
        if enabled != 0 {
            state::set_active(state, enabled);
        }
    }
}

/// Carries out DISABLE.
///
/// # Safety
/// As for [`answered`].
#[cold]
#[inline(never)]
unsafe fn carry_out_disable(delivery: &Delivery, asked: u8, change: Change) -> c_int {
    let Delivery { told, entry, .. } = delivery;
    let (Ok(tool), Ok(fired), Ok(asked)) = (
        ToolId::new(told.tool_id.into()),
        Event::from_number(told.event.into()),
        Event::from_number(asked.into()),
    ) else {
        return Error::Internal.status();
    };
    if !fired.is_local() {
        // If even this fails, the callback stays, and the emitter is told all the same.
        let _ = contained(|| registry::unregister_if(tool, asked, *entry));
        return Error::CannotDisable.status();
    }
    // A tool that cleared itself has no more locations to disable, a code that died none to be.
    if change.cleared(told.tool_id) || !thread::current().is_delivering(told.code) {
        return 0;
    }
    // A BRANCH fire that went to BRANCH_RIGHT's callback has both directions at this location.
    let event = if fired == Event::Branch { fired } else { asked };
    let location = code::location(told.event, told.offset, told.line);
    let found = (*entry, change.any());
    // Without memory for it the location stays enabled: more events, but none wrong.
    let _ = contained(|| registry::disable(tool, asked, found, event, told.code, location));
    // SAFETY: the caller's promise.
    unsafe { quieten(delivery.state, told.event, told.code, location, 1 << told.tool_id) };
    0
}
