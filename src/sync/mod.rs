//! Everything about threads: orderings, thread-local memory, waiting for readers, reclamation.
//!
//! Nothing here knows of events or tools. A *reader* is a thread that delivers an event; the *writer*
//! is whoever holds the registry's lock. Readers never lock, allocate, or write memory that another
//! thread writes; all the waiting and all the fences are the writer's.
//!
//! - [`fold`]: accesses folded into the instruction that uses them.
//! - [`job`]: what is to be freed later, in memory that it has had all along.
//! - [`word`]: a thread's one word, re-entrancy guard and reader mark at once.
//! - [`slot`]: a (function, user data) pair that readers never see torn.
//! - [`table`]: (code, location, event) → tools, read without a lock.
//! - [`barrier`]: the fence that the writer makes all readers pass.
//! - [`list`]: a list that is pushed to without a lock.
//! - [`lock`]: the writer's locks, and what fork waits for.
//! - [`thread`]: the thread-local record, and the list of all of them.
//! - [`published`]: a pointer to something that is never freed.
//! - [`follow`]: a switch that others are set by.
//! - [`reclaim`]: what runs once no reader can be inside any more; waiting; fork.
//!
//! Those that are left under `--cfg loom` are plain types over [`prim`], so that loom can run them.

pub mod fold;
pub mod follow;
pub mod job;
pub mod list;
pub mod prim;
pub mod published;
pub mod slot;
pub mod table;
pub mod word;

#[cfg(not(loom))]
pub mod barrier;
#[cfg(not(loom))]
pub mod lock;
#[cfg(not(loom))]
pub mod reclaim;
#[cfg(not(loom))]
pub mod thread;

/// Readies fences and thread exit; once, before any thread can deliver an event, under the registry's
/// lock. False if the process has no thread-specific key left.
#[cfg(not(loom))]
pub fn start() -> bool {
    barrier::start();
    thread::start()
}
