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
    let mut chunks = event_types.chunks_exact(8);
    let mut bad = 0;
    for chunk in &mut chunks {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        let types = u64::from_ne_bytes(bytes);
        bad |= types | ((types & !TOPS) + ADD);
    }
    for event in chunks.remainder() {
        bad |= if usize::from(*event) < EVENT_COUNT { 0 } else { TOPS };
    }
    bad & TOPS == 0
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
    // Before anything else is read: see the registry.
    let now = registry::version();
    // Version 0 may stay in the scope while others come and go, so it must mean what it says.
    let listening = if now == 0 { 0 } else { u8::MAX };
    let fill = |index: usize, event: u8, place: Place| {
        // SAFETY: every type was checked, and there is a state for each.
        unsafe {
            state::enter(states.add(index), registry::active(event) & listening, event, place)
        };
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
    // SAFETY: the caller's promise.
    unsafe { registry::store_version(version, now) };
    Ok(())
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
