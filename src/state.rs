//! The two bytes that an emitter keeps per event of a scope.
//!
//! `active` has a bit per tool that may want the event; the emitter's inline check reads nothing
//! else. `opaque` is rmon's own: it says which event the state stands for and where in its array,
//! so that from a state that an emitter is firing, and which is therefore alive, its whole array can
//! be found. That is what makes an array correctable in place when a callback changes what is
//! listened to, without remembering a pointer into somebody's stack.
//!
//! # The mark (`opaque`)
//!
//! 0: not written by rmon, or not since the emitter zeroed it. Otherwise
//! `1 + event + EVENT_COUNT * (ends + 4 * sharing)`: `ends` bit 0 on the first state of an array and
//! bit 1 on the last; `sharing` tells whether the event's type stands once in the array (shared by
//! all locations) or several times (a state per location), and is found out when it is first asked.
//!
//! # Synchronization
//!
//! Both bytes may be shared by threads, so they are only touched as relaxed atomics. Neither
//! publishes anything. A bit too many makes a fire ask in vain; that no bit is missing for good is
//! seen to by whoever writes states: it asks the registry's version again afterwards. A mark is only
//! written together with the same mark by whoever enters the same array.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::event::EVENT_COUNT;
use crate::sync::fold;

/// The state of one event in one scope: which tools may want it.
///
/// Two bytes for ever, as CPython's `PyMonitoringState` is. Owned by the emitter, who zeroes it
/// before its first scope; an array of them is given to `rmon_enter_scope` and may lie anywhere
/// (stack, heap, static), be shared by threads, and be thrown away at any time that no fire is using
/// it. A state belongs to its array: fire with a pointer into the array, not with a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct State {
    /// A bit for each tool that may want this event; 0: nobody does.
    pub active: u8,
    /// rmon's own. Zero it once, then leave it alone.
    pub opaque: u8,
}

const _: () = assert!(
    size_of::<State>() == 2
        && align_of::<State>() == 1
        && core::mem::offset_of!(State, active) == 0
        && core::mem::offset_of!(State, opaque) == 1
);

const FIRST: u8 = 1;
const LAST: u8 = 2;
const EVENTS: u8 = EVENT_COUNT as u8;
/// The distance between marks that differ in `sharing` only.
const SHARING: u8 = 4 * EVENTS;

/// Whether a state stands for one location or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// The type stands once: all locations use this state.
    Shared = 0,
    Unknown = 1,
    /// The type stands several times in the array: this state has a location of its own.
    Own = 2,
}

#[inline(always)]
fn active(state: *mut State) -> &'static AtomicU8 {
    // SAFETY: callers pass a state that is valid for the duration of their own call and use the
    // reference no longer than that; a byte is always aligned.
    unsafe { AtomicU8::from_ptr(&raw mut (*state).active) }
}

#[inline(always)]
fn mark(state: *mut State) -> &'static AtomicU8 {
    // SAFETY: as for `active`.
    unsafe { AtomicU8::from_ptr(&raw mut (*state).opaque) }
}

/// The tools that may want the state's event.
///
/// # Safety
/// `state` must be valid for reads and writes, which may be concurrent with other threads' only
/// through this module or through relaxed atomics.
#[inline(always)]
pub unsafe fn load_active(state: *mut State) -> u8 {
    active(state).load(Relaxed)
}

/// Those of a set of tools that may want the state's event.
///
/// # Safety
/// As for [`load_active`].
#[inline(always)]
pub unsafe fn of_active(state: *mut State, tools: u32) -> u32 {
    // SAFETY: the state is valid for reads, by the caller's promise.
    unsafe { fold::and_byte_at(tools, state.cast()) }
}

/// Whether one of some tools may want the state's event.
///
/// # Safety
/// As for [`load_active`].
#[inline(always)]
pub unsafe fn is_active(state: *mut State, tools: u8) -> bool {
    // SAFETY: the state is valid for reads, by the caller's promise.
    unsafe { fold::has_any_of(tools, state.cast()) }
}

/// Takes tools out of the state.
///
/// # Safety
/// As for [`load_active`].
pub unsafe fn clear_active(state: *mut State, tools: u8) {
    active(state).fetch_and(!tools, Relaxed);
}

/// Where in its array a state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// Neither first nor last.
    Middle = 0,
    /// The first of several.
    First = FIRST,
    /// The last of several.
    Last = LAST,
    /// The only one.
    Only = FIRST | LAST,
}

/// Puts tools back into the state.
///
/// # Safety
/// As for [`load_active`].
pub unsafe fn set_active(state: *mut State, tools: u8) {
    active(state).fetch_or(tools, Relaxed);
}

/// What entering writes into a state in the middle of its array: its two bytes, `active` in the lower
/// half.
pub const fn fresh(tools: u8, event: u8) -> u16 {
    const NEW: u8 = 1 + SHARING * Sharing::Unknown as u8;
    (tools as u16) | ((NEW + event) as u16) << 8
}

/// Writes one state of an array that is being entered, `BEHIND` states behind `state`; `fresh` is from
/// [`fresh`]. Each byte gets its final value at once, since another thread may be using the array.
///
/// # Safety
/// As for [`load_active`], of the state that is written.
#[inline(always)]
pub unsafe fn enter<const BEHIND: usize>(state: *mut State, fresh: u16, place: Place) {
    let fresh = fresh + (EVENTS * place as u8) as u16 * 256;
    // SAFETY: a state is two bytes, `active` first, and valid by the caller's promise.
    unsafe {
        match BEHIND {
            0 => fold::store_bytes::<0>(state.cast(), fresh),
            1 => fold::store_bytes::<2>(state.cast(), fresh),
            2 => fold::store_bytes::<4>(state.cast(), fresh),
            3 => fold::store_bytes::<6>(state.cast(), fresh),
            _ => fold::store_bytes::<0>(state.add(BEHIND).cast(), fresh),
        }
    }
}

/// What a mark says of where its state stands: the event, and above it `ends`. One that is not rmon's
/// says that the state is the only one of its array, and of no event.
#[inline(always)]
fn standing(mark: u8) -> u8 {
    STANDINGS[usize::from(mark)]
}

const EVENT: u8 = 31;
const _: () = assert!(EVENTS <= EVENT);
const ENDS: u32 = EVENT.trailing_ones();
const FOREIGN: u8 = EVENT | (FIRST | LAST) << ENDS;

/// Of all marks, since an array's are read one after the other.
static STANDINGS: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let mut code = 0;
    while code < 3 * SHARING {
        table[1 + code as usize] = (code % EVENTS) | ((code / EVENTS % 4) << ENDS);
        code += 1;
    }
    table
};

/// What a mark of rmon's says of the state's use.
fn sharing(mark: u8) -> Sharing {
    match (mark - 1) / SHARING {
        0 => Sharing::Shared,
        1 => Sharing::Unknown,
        _ => Sharing::Own,
    }
}

/// Whether the state may be one location's own: a cheap test that [`has_own_location`] settles.
///
/// # Safety
/// As for [`load_active`].
#[inline(always)]
pub unsafe fn may_have_own_location(state: *mut State) -> bool {
    // SAFETY: the state is valid for reads, by the caller's promise.
    unsafe { fold::is_above::<1, SHARING>(state.cast()) }
}

/// The last state of the array that a state lies in, or the first, after a look at the standing of
/// each that comes after it on the way there; `None` if the state was not entered, or its array is not
/// whole.
///
/// # Safety
/// `state` is as for [`load_active`] and lies in the array with which it was entered.
#[inline(always)]
unsafe fn walk<const FORWARDS: bool>(
    mut state: *mut State,
    mut look: impl FnMut(u8),
) -> Option<*mut State> {
    let (here, there) = if FORWARDS { (LAST, FIRST) } else { (FIRST, LAST) };
    let mut at = standing(mark(state).load(Relaxed));
    if at == FOREIGN {
        return None;
    }
    while at & here << ENDS == 0 {
        // SAFETY: a state that is not the last of its array has one after it, and one that is not
        // the first has one before it.
        state = unsafe { if FORWARDS { state.add(1) } else { state.sub(1) } };
        at = standing(mark(state).load(Relaxed));
        if at & there << ENDS != 0 {
            return None; // another array's end: this one was entered in pieces
        }
        look(at);
    }
    Some(state)
}

/// The array that a state lies in, as its first state and its length; `None` as for [`walk`].
///
/// # Safety
/// As for [`walk`].
unsafe fn array_of(state: *mut State) -> Option<(*mut State, usize)> {
    // SAFETY: the caller's promise.
    let (first, last) = unsafe { (walk::<false>(state, |_| ())?, walk::<true>(state, |_| ())?) };
    // SAFETY: both were reached from `state` inside one array.
    let length = unsafe { last.offset_from(first) } as usize + 1;
    Some((first, length))
}

/// Whether the emitter gave one location this state, by letting the event's type stand several times
/// in the array. Remembers the answer in the mark.
///
/// # Safety
/// As for [`walk`].
#[cold]
pub unsafe fn has_own_location(state: *mut State) -> bool {
    let old = mark(state).load(Relaxed);
    let here = standing(old);
    if here == FOREIGN {
        return false;
    }
    if sharing(old) != Sharing::Unknown {
        return sharing(old) == Sharing::Own;
    }
    let mut own = false;
    let mut look = |other| own |= (other ^ here) & EVENT == 0;
    // SAFETY: the caller's promise is these calls'.
    if unsafe { walk::<false>(state, &mut look).and(walk::<true>(state, &mut look)) }.is_none() {
        return false;
    }
    let found = if own { Sharing::Own } else { Sharing::Shared };
    mark(state).store(old - SHARING * Sharing::Unknown as u8 + SHARING * found as u8, Relaxed);
    own
}

/// Rewrites the `active` of every state in the array that `state` lies in, from `tools(event)`.
///
/// # Safety
/// As for [`walk`].
#[cold]
pub unsafe fn refresh_array(state: *mut State, tools: impl Fn(u8) -> u8) {
    // SAFETY: the caller's promise is this call's.
    let Some((first, length)) = (unsafe { array_of(state) }) else {
        return;
    };
    for index in 0..length {
        // SAFETY: within the array that `array_of` found.
        let state = unsafe { first.add(index) };
        let at = standing(mark(state).load(Relaxed));
        if at != FOREIGN {
            active(state).store(tools(at & EVENT), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(types: &[u8]) -> Vec<State> {
        let mut states = vec![State::default(); types.len()];
        for (index, (state, event)) in states.iter_mut().zip(types).enumerate() {
            let place = match (index == 0, index + 1 == types.len()) {
                (true, true) => Place::Only,
                (true, false) => Place::First,
                (false, true) => Place::Last,
                (false, false) => Place::Middle,
            };
            // SAFETY: a live state, and a valid event.
            unsafe { enter::<0>(state, fresh(0, *event), place) };
        }
        states
    }

    #[test]
    fn every_mark_reads_back() {
        for event in 0..EVENTS {
            for ends in 0..4 {
                for used in [Sharing::Unknown, Sharing::Own, Sharing::Shared] {
                    let mark = 1 + event + EVENTS * ends + SHARING * used as u8;
                    assert_eq!(standing(mark), event | ends << ENDS);
                    assert_eq!(sharing(mark), used);
                }
            }
        }
        for mark in [0, 1 + 3 * SHARING, 255] {
            assert_eq!(standing(mark), FOREIGN);
        }
    }

    #[test]
    fn an_array_is_found_from_each_of_its_states() {
        for length in [1, 2, 3, 17, 300] {
            let types: Vec<u8> = (0..length).map(|index| (index % 19) as u8).collect();
            let mut states = entered(&types);
            let start = states.as_mut_ptr();
            for index in 0..length {
                // SAFETY: within the array.
                let found = unsafe { array_of(start.add(index)) };
                assert_eq!(found, Some((start, length)));
            }
        }
    }

    #[test]
    fn an_array_entered_in_pieces_is_not_followed() {
        let mut states = entered(&[5, 5, 5, 5]);
        let start = states.as_mut_ptr();
        // SAFETY: the last two states of the array, entered again on their own.
        unsafe {
            enter::<2>(start, fresh(0, 5), Place::First);
            enter::<3>(start, fresh(0, 5), Place::Last);
            assert_eq!(array_of(start), None);
            assert_eq!(array_of(start.add(2)), Some((start.add(2), 2)));
            assert!(!has_own_location(start), "which is not found out");
        }
    }

    #[test]
    fn an_array_is_not_followed_past_a_mark_that_is_not_rmons() {
        for foreign in [0, 1 + 3 * SHARING, 255] {
            let mut states = entered(&[5, 5, 5]);
            states[1].opaque = foreign;
            let start = states.as_mut_ptr();
            for index in 0..states.len() {
                // SAFETY: within the array.
                unsafe {
                    assert_eq!(array_of(start.add(index)), None);
                    assert!(!has_own_location(start.add(index)));
                }
            }
        }
    }

    #[test]
    fn a_type_that_stands_once_is_shared() {
        let mut states = entered(&[0, 5, 5, 2]);
        let start = states.as_mut_ptr();
        let own: Vec<bool> = (0..4)
            .map(|index| {
                // SAFETY: within the array.
                unsafe { has_own_location(start.add(index)) }
            })
            .collect();
        assert_eq!(own, [false, true, true, false]);
        // SAFETY: within the array.
        unsafe {
            assert!(!may_have_own_location(start), "the answer is remembered");
            assert!(may_have_own_location(start.add(1)));
            assert_eq!(array_of(start.add(3)), Some((start, 4)), "and the ends are kept");
        }
    }

    #[test]
    fn a_refresh_writes_by_type() {
        let mut states = entered(&[0, 5, 2]);
        // SAFETY: within the array.
        unsafe { refresh_array(&mut states[1], |event| event + 1) };
        assert_eq!(states.iter().map(|state| state.active).collect::<Vec<_>>(), [1, 6, 3]);
    }

    #[test]
    fn a_state_that_was_never_entered_is_left_alone() {
        let mut state = State { active: 7, opaque: 0 };
        // SAFETY: a live state.
        unsafe {
            refresh_array(&mut state, |_| 0);
            assert!(!may_have_own_location(&mut state));
            assert!(!has_own_location(&mut state));
        }
        assert_eq!(state.active, 7);
    }
}
