//! Entering a scope whose states are out of date: filling them.

use crate::event::EVENT_COUNT;
use crate::registry;
use crate::state::{self, Place, State};
use crate::status::{Error, Result};
use crate::sync::{reclaim, thread};

/// Whether every event type is one.
#[inline(always)]
fn all_valid(event_types: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if event_types.len() >= 16 {
        return all_valid_by_sixteen(event_types);
    }
    event_types.iter().all(|event| usize::from(*event) < EVENT_COUNT)
}

/// The same for sixteen and more, which are looked at together.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn all_valid_by_sixteen(event_types: &[u8]) -> bool {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_set1_epi8,
    };
    let load = |at: usize| {
        // SAFETY: the sixteen bytes from there lie in the slice.
        unsafe { _mm_loadu_si128(event_types[at..at + 16].as_ptr().cast::<__m128i>()) }
    };
    // The last sixteen overlap those before, so that nothing is left over.
    let mut greatest = load(event_types.len() - 16);
    let mut at = 0;
    while at + 16 < event_types.len() {
        // SAFETY: every x86-64 processor has SSE2.
        greatest = unsafe { _mm_max_epu8(greatest, load(at)) };
        at += 16;
    }
    // SAFETY: as above.
    unsafe {
        let limit = _mm_set1_epi8(EVENT_COUNT as i8 - 1);
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(greatest, limit), limit)) == 0xffff
    }
}

/// Fills the states of a scope. On failure nothing is written.
///
/// # Errors
/// [`Error::InvalidEvent`] if one of the types is none.
///
/// # Safety
/// `states` points to one state for each of `event_types` (see [`state::load_active`]); `version` as
/// for [`registry::is_current`], and valid for writes.
pub unsafe fn refresh(states: *mut State, version: *mut u64, event_types: &[u8]) -> Result<()> {
    if !all_valid(event_types) {
        return Err(Error::InvalidEvent);
    }
    let current = thread::current();
    if !current.is_idle() {
        // SAFETY: the caller's promise; every type was checked.
        unsafe { refresh_with_fences(states, version, event_types) };
        return Ok(());
    }
    // Inside, so that who changes what is listened to meanwhile knows that this thread may still be
    // writing what is older into states that it shares with others: see `registry`.
    current.enter();
    // Before anything else is read: see there too.
    let now = registry::version();
    // SAFETY: the caller's promise; every type was checked, and there is a state for each.
    unsafe {
        fill(states, event_types, registry::Fresh::of(now));
        registry::store_version(version, now);
    }
    current.leave();
    if current.change() != 0 {
        leave_awaited();
    }
    Ok(())
}

/// Somebody waits for this thread to have left.
#[cold]
#[inline(never)]
fn leave_awaited() {
    thread::current().take_change();
    reclaim::collect();
}

/// As [`refresh`], on a thread that is inside a callback already, was never seen, or must fence: asks
/// for the version again after writing.
///
/// # Safety
/// As for [`refresh`], and the types are events.
#[cold]
#[inline(never)]
unsafe fn refresh_with_fences(states: *mut State, version: *mut u64, event_types: &[u8]) {
    loop {
        let now = registry::version();
        // SAFETY: the caller's promise.
        unsafe {
            fill(states, event_types, registry::Fresh::of(now));
            registry::store_version(version, now);
        }
        registry::after_states();
        if registry::version() == now {
            return;
        }
    }
}

/// Writes one state for each type.
///
/// # Safety
/// As for [`refresh`], and the types are events.
#[inline(always)]
unsafe fn fill(states: *mut State, event_types: &[u8], fresh: registry::Fresh) {
    let (first, middle, last) = match event_types {
        [] => return,
        [only] => {
            // SAFETY: the caller's promise.
            unsafe { state::enter::<0>(states, fresh.state(*only), Place::Only) };
            return;
        }
        [first, middle @ .., last] => (first, middle, last),
    };
    let enter_four = |at: usize, four: &[u8; 4]| {
        // SAFETY: the caller's promise; the four lie in the middle, which begins with the second state.
        unsafe {
            let states = states.add(1 + at);
            state::enter::<0>(states, fresh.state(four[0]), Place::Middle);
            state::enter::<1>(states, fresh.state(four[1]), Place::Middle);
            state::enter::<2>(states, fresh.state(four[2]), Place::Middle);
            state::enter::<3>(states, fresh.state(four[3]), Place::Middle);
        }
    };
    // SAFETY: the caller's promise; there are two states at least.
    unsafe {
        state::enter::<0>(states, fresh.state(*first), Place::First);
        state::enter::<0>(states.add(middle.len() + 1), fresh.state(*last), Place::Last);
    }
    // Four at a time, since a loop costs as much as what it does; the last four overlap those before.
    if let Some(rest) = middle.last_chunk::<4>() {
        let mut at = 0;
        while let Some(four) = middle.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            enter_four(at, four);
            at += 4;
        }
        enter_four(middle.len() - 4, rest);
    } else {
        for (index, event) in middle.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { state::enter::<1>(states.add(index), fresh.state(*event), Place::Middle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_wherever_they_stand() {
        for length in 0..40 {
            let mut types: Vec<u8> = (0..length).map(|index| index % 19).collect();
            assert!(all_valid(&types));
            for index in 0..types.len() {
                for bad in [19, 100, 127, 128, 146, 147, 255] {
                    let good = core::mem::replace(&mut types[index], bad);
                    assert!(!all_valid(&types), "{bad} at {index} of {length}");
                    types[index] = good;
                }
            }
        }
    }
}
