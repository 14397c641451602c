//! A pointer to something that is never freed, replaced at any time and read without a lock.

use core::ptr::{from_ref, null_mut};

use super::prim::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

/// See the module.
#[derive(Debug)]
pub struct Published<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Published<T> {
    /// Of nothing.
    #[cfg(not(loom))]
    pub const fn new() -> Published<T> {
        Published(AtomicPtr::new(null_mut()))
    }

    /// Of nothing.
    #[cfg(loom)]
    pub fn new() -> Published<T> {
        Published(AtomicPtr::new(null_mut()))
    }

    /// What was set last.
    pub fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the Release in `set`.
        let value = self.0.load(Acquire);
        // SAFETY: only references that live for ever are stored.
        unsafe { value.as_ref() }
    }

    /// Replaces what is read from now on.
    pub fn set(&self, value: &'static T) {
        // Release: pairs with the Acquire in `get`, so that the value is seen whole.
        self.0.store(from_ref(value).cast_mut(), Release);
    }
}

/// The same for a pointer in memory that is somebody else's, who loads it with Acquire.
///
/// # Safety
/// `place` is aligned, valid for writes, and accessed by atomic operations only.
#[cfg(not(loom))]
pub unsafe fn publish_at<T>(place: *mut *const T, value: *const T) {
    // SAFETY: the caller's promise; a pointer to const has the layout of one to mut.
    let place = unsafe { AtomicPtr::from_ptr(place.cast::<*mut T>()) };
    // Release: what the value points to is seen whole.
    place.store(value.cast_mut(), Release);
}

/// Sets bits in a word that is somebody else's; what it was.
///
/// # Safety
/// As for [`publish_at`].
#[cfg(not(loom))]
pub unsafe fn mark_at(place: *mut u32, bits: u32) -> u32 {
    // SAFETY: the caller's promise. Relaxed: nothing goes with it.
    unsafe { super::prim::AtomicU32::from_ptr(place) }.fetch_or(bits, Relaxed)
}

impl<T: Sync> Default for Published<T> {
    fn default() -> Published<T> {
        Published::new()
    }
}
