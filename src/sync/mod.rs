//! Everything about threads: orderings, thread-local memory, waiting for readers, reclamation.
//!
//! Nothing here knows of events or tools. A *reader* is a thread that delivers an event; the *writer*
//! is whoever holds the registry's lock. Readers never lock, allocate, or write memory that another
//! thread writes; all the waiting and all the fences are the writer's.
//!
//! - [`word`]: a thread's one word, re-entrancy guard and reader mark at once.
//! - [`slot`]: a (function, user data) pair that readers never see torn.
//! - [`table`]: (code, location, event) → tools, read without a lock.
//! - [`barrier`]: the fence that the writer makes all readers pass.
//! - [`thread`]: the thread-local record, and the list of all of them.
//! - [`published`]: a pointer to something that is never freed.
//! - [`reclaim`]: what runs once no reader can be inside any more; waiting; fork.
//!
//! The first three are plain types over [`prim`], so that loom can run them (`--cfg loom`).

pub mod prim;
pub mod published;
pub mod slot;
pub mod table;
pub mod word;

#[cfg(not(loom))]
pub mod barrier;
#[cfg(not(loom))]
pub mod reclaim;
#[cfg(not(loom))]
pub mod thread;

/// Makes a lock free again in a forked child. Unlocking would wake the threads that waited for it,
/// which are not there, through tables that one of them may have left half changed.
///
/// # Safety
/// The process has one thread, and nothing is borrowed through the lock.
#[cfg(not(loom))]
pub unsafe fn reset_lock<T>(lock: &parking_lot::Mutex<T>) {
    use parking_lot::lock_api::RawMutex;
    // SAFETY: the raw lock is an atomic behind a shared reference; nobody else is using it.
    unsafe {
        let raw = core::ptr::from_ref(lock.raw()).cast_mut();
        raw.write(RawMutex::INIT);
    }
}

/// What the registry does about fork, in the order of the calls.
#[cfg(not(loom))]
#[derive(Clone, Copy)]
pub struct ForkHooks {
    /// Before fork; takes the registry's lock.
    pub prepare: unsafe extern "C" fn(),
    /// After it, in the parent.
    pub parent: unsafe extern "C" fn(),
    /// After it, in the child.
    pub child: unsafe extern "C" fn(),
}

/// Readies fences, thread exit and fork; once, before any thread can deliver an event. False if the
/// process has no thread-specific key left, or no memory for the fork handlers.
#[cfg(not(loom))]
pub fn start(fork: ForkHooks) -> bool {
    static STARTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *STARTED.get_or_init(|| {
        barrier::start();
        // SAFETY: the hooks have the signatures that pthread_atfork asks for.
        thread::start()
            && unsafe {
                libc::pthread_atfork(Some(fork.prepare), Some(fork.parent), Some(fork.child))
            } == 0
    })
}
