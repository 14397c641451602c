//! The writer's locks: whole in one byte, so that fork can be survived.
//!
//! parking_lot's mutex, but never its queue. The queue is one for the process and knows threads by
//! address; a forked child would inherit it full of threads that it does not have, possibly half
//! changed. So who finds the lock taken waits by trying again, a little later each time. The locks are
//! held for microseconds, and by control calls only.

use std::time::Duration;

use parking_lot::lock_api::RawMutex as _;
use parking_lot::{Mutex, MutexGuard, RawMutex};

/// A lock and what it protects.
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let mut round = 0u32;
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            pause(round);
            round = round.saturating_add(1);
        }
    }

    /// Before fork: takes the lock and keeps it, so that the child finds what it protects whole.
    pub fn keep(&self) {
        core::mem::forget(self.lock());
    }

    /// After fork, in the parent: lets it go.
    ///
    /// # Safety
    /// This thread holds the lock by [`Lock::keep`].
    pub unsafe fn let_go(&self) {
        // SAFETY: the guard was forgotten by `keep` on this thread.
        unsafe { self.0.force_unlock() };
    }

    /// After fork, in the child: changes what it protects, then makes it free.
    ///
    /// # Safety
    /// This thread holds the lock by [`Lock::keep`], and is the process's only one.
    pub unsafe fn change_and_reset(&self, change: impl FnOnce(&mut T)) {
        // SAFETY: this thread holds the lock.
        change(unsafe { &mut *self.0.data_ptr() });
        // SAFETY: the raw lock is an atomic behind a shared reference, and nobody else is there to
        // use it. It is written and not unlocked, since that would look for waiters if a thread of
        // the parent's has ever left the mark of one.
        unsafe {
            let raw: *mut RawMutex = core::ptr::from_ref(self.0.raw()).cast_mut();
            raw.write(RawMutex::INIT);
        }
    }
}

/// Waits a little, then longer.
pub fn pause(round: u32) {
    match round {
        0..100 => core::hint::spin_loop(),
        100..200 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(50)),
    }
}
