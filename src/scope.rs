//! Entering a scope whose states are out of date: filling them.

use crate::event::EVENT_COUNT;
use crate::registry;
use crate::state::{self, Place, State};
use crate::status::{Error, Result};

/// Whether every event type is one.
#[inline(always)]
fn all_valid(event_types: &[u8]) -> bool {
    // Eight at a time: adding 128 - EVENT_COUNT to a byte below 128 reaches its top bit exactly if
    // it was no event, and carries nothing into the next.
    const TOPS: u64 = 0x8080_8080_8080_8080;
    const ADD: u64 = (128 - EVENT_COUNT as u64) * 0x0101_0101_0101_0101;
    let bad = |word: [u8; 8]| {
        let types = u64::from_ne_bytes(word);
        (types | ((types & !TOPS) + ADD)) & TOPS
    };
    let Some(last) = event_types.last_chunk::<8>() else {
        return event_types.iter().all(|event| usize::from(*event) < EVENT_COUNT);
    };
    // The last eight overlap those before, so that nothing is left over.
    let (whole, _) = event_types.as_chunks::<8>();
    whole.iter().fold(bad(*last), |all, word| all | bad(*word)) == 0
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
    loop {
        // Before anything else is read: see the registry.
        let now = registry::version();
        // SAFETY: every type was checked, and there is a state for each.
        unsafe { fill(states, event_types, registry::Fresh::of(now)) };
        // SAFETY: the caller's promise.
        if unsafe { registry::store_version(version, now) } {
            return Ok(());
        }
    }
}

/// Writes one state for each type.
///
/// # Safety
/// As for [`refresh`], and the types are events.
#[inline(always)]
unsafe fn fill(states: *mut State, event_types: &[u8], fresh: registry::Fresh) {
    let fill = |index: usize, event: u8, place: Place| {
        // SAFETY: the caller's promise.
        unsafe { state::enter(states.add(index), fresh.state(event), place) };
    };
    match event_types {
        [] => {}
        [only] => fill(0, *only, Place::Only),
        [first, middle @ .., last] => {
            fill(0, *first, Place::First);
            for (index, event) in middle.iter().enumerate() {
                fill(index + 1, *event, Place::Middle);
            }
            fill(middle.len() + 1, *last, Place::Last);
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
