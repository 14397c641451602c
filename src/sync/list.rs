//! A list that is pushed to without a lock.
//!
//! Taking off and walking happen under a lock of the user's; pushing needs none, from any thread.
//!
//! # Synchronization
//!
//! Pushing is a compare-exchange and a full fence: who is not seen on the list by a walk sees, after its
//! push, all that was stored before the fence in front of the walk. Whoever walks sees what was stored in
//! an element before its push, since all changes of the head are read-modify-writes: each goes on with the
//! release of those before it.

use core::ptr::null_mut;

use super::prim::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// What can be on a list.
pub trait Link: Sized {
    /// Where the element keeps the next one.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// See the module.
#[derive(Debug)]
pub struct List<T>(AtomicPtr<T>);

impl<T: Link> List<T> {
    /// An empty one.
    #[cfg(not(loom))]
    pub const fn new() -> List<T> {
        List(AtomicPtr::new(null_mut()))
    }

    /// An empty one.
    #[cfg(loom)]
    pub fn new() -> List<T> {
        List(AtomicPtr::new(null_mut()))
    }

    /// Puts an element in front.
    ///
    /// # Safety
    /// It is on no list, and lives until it has been taken off.
    pub unsafe fn push(&self, element: *const T) {
        // SAFETY: the caller's promise.
        let link = unsafe { &*element }.next();
        let mut head = self.0.load(Relaxed);
        loop {
            link.store(head, Relaxed);
            // Release: pairs with the Acquire in `visit`, so the element's fields are seen.
            match self.0.compare_exchange_weak(head, element.cast_mut(), Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // SeqCst: either a writer that unpublished something and then fenced sees this element on the
        // list, or this thread sees what the writer unpublished.
        fence(SeqCst);
    }

    /// Takes an element off.
    ///
    /// # Safety
    /// It is on this list. Nobody else takes off or walks.
    pub unsafe fn unlink(&self, element: *const T) {
        // SAFETY: the caller's promise.
        let next = unsafe { &*element }.next().load(Relaxed);
        if self.0.compare_exchange(element.cast_mut(), next, Release, Relaxed).is_err() {
            // Others have been pushed in front; nobody else takes off, so the element is behind them.
            let mut at = self.0.load(Acquire);
            while !at.is_null() {
                // SAFETY: what is on the list is alive.
                let before = unsafe { &*at }.next();
                let after = before.load(Relaxed);
                if after == element.cast_mut() {
                    before.store(next, Relaxed);
                    break;
                }
                at = after;
            }
        }
    }

    /// Leaves nothing on the list but, perhaps, one element that is on it.
    ///
    /// # Safety
    /// The element lives until it has been taken off. There is no other thread.
    pub unsafe fn keep_only(&self, element: *const T) {
        let mut listed = false;
        // SAFETY: the caller's promise.
        unsafe {
            self.visit(|found| listed |= core::ptr::eq(found, element));
            (*element).next().store(null_mut(), Relaxed);
        }
        self.0.store(if listed { element.cast_mut() } else { null_mut() }, Relaxed);
    }

    /// Visits every element.
    ///
    /// # Safety
    /// Nobody takes off meanwhile.
    pub unsafe fn visit(&self, mut visit: impl FnMut(&T)) {
        // Acquire: pairs with the Release in `push`.
        let mut at = self.0.load(Acquire);
        while !at.is_null() {
            // SAFETY: what is on the list is alive.
            let element = unsafe { &*at };
            visit(element);
            at = element.next().load(Relaxed);
        }
    }
}

impl<T: Link> Default for List<T> {
    fn default() -> List<T> {
        List::new()
    }
}
