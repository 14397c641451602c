//! A pointer to something that is never freed, replaced at any time and read without a lock.

use core::ptr::{from_ref, null_mut};

use super::prim::{
    AtomicPtr,
    Ordering::{Acquire, Release},
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

impl<T: Sync> Default for Published<T> {
    fn default() -> Published<T> {
        Published::new()
    }
}
