//! The writer's locks, and what fork waits for: whole in one word, so that fork can be survived.
//!
//! parking_lot's locks, but never their queue. The queue is one for the process and knows threads by
//! address; a forked child would inherit it full of threads that it does not have, possibly half
//! changed. So who finds the lock taken waits by trying again, a little later each time. The locks are
//! held for microseconds, and by control calls only.

use std::time::Duration;

use parking_lot::lock_api::{RawMutex as _, RawRwLock as _};
use parking_lot::{Mutex, MutexGuard, RawMutex, RawRwLock, RwLock};

/// A lock and what it protects.
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        insist(|| self.0.try_lock())
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

/// What must not be going on when the process forks; any number of threads may do it at a time.
pub struct Unforked(RwLock<()>);

impl Unforked {
    /// Nobody does it.
    pub const fn idle() -> Unforked {
        Unforked(RwLock::new(()))
    }

    /// Does it, when no fork is under way.
    pub fn during<R>(&self, body: impl FnOnce() -> R) -> R {
        let _shared = insist(|| self.0.try_read());
        body()
    }

    /// Before fork: waits until nobody does it, and keeps others from it.
    pub fn keep(&self) {
        core::mem::forget(insist(|| self.0.try_write()));
    }

    /// After fork, in the parent: lets others do it.
    ///
    /// # Safety
    /// Follows [`Unforked::keep`] on the same thread.
    pub unsafe fn let_go(&self) {
        // SAFETY: the guard was forgotten by `keep` on this thread.
        unsafe { self.0.force_unlock_write() };
    }

    /// After fork, in the child: the same.
    ///
    /// # Safety
    /// Follows [`Unforked::keep`] on the same thread, in the child.
    pub unsafe fn reset(&self) {
        // SAFETY: as in `Lock::change_and_reset`.
        unsafe {
            let raw: *mut RawRwLock = core::ptr::from_ref(self.0.raw()).cast_mut();
            raw.write(RawRwLock::INIT);
        }
    }
}

/// Tries until it is done, more and more patiently.
fn insist<G>(attempt: impl Fn() -> Option<G>) -> G {
    let mut round = 0u32;
    loop {
        if let Some(guard) = attempt() {
            return guard;
        }
        pause(round);
        round = round.saturating_add(1);
    }
}

/// Waits a little, then longer.
pub fn pause(round: u32) {
    match round {
        0..100 => core::hint::spin_loop(),
        100..200 => std::thread::yield_now(),
        _ => sleep(),
    }
}

const NAP: Duration = Duration::from_micros(50);

/// Not libc's function, where pthread_cancel would end the thread: nothing here can be unwound.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn sleep() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: NAP.subsec_nanos().into() };
    // SAFETY: the time is valid for reads; how much of it is left is not asked for.
    unsafe {
        libc::syscall(libc::SYS_nanosleep, &raw const time, core::ptr::null::<libc::timespec>())
    };
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn sleep() {
    std::thread::sleep(NAP);
}
