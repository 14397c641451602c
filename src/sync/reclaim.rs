//! What runs once no reader can be inside any more; waiting for readers; fork.
//!
//! The writer unpublishes something (a callback, a table) and hands over the *jobs* that free it.
//! [`defer`] makes all readers pass a fence, notes which threads are inside at that moment, and runs
//! the jobs as soon as each of them has been outside: at once in the usual case that nobody is
//! inside, otherwise in a later call of [`defer`], [`collect`] or [`synchronize`], or when a thread
//! that was told that it is waited for leaves (it may miss that once), or at a thread's end. Only
//! [`synchronize`] waits.
//!
//! Jobs run without any lock, on whichever thread finds them ready, and count as being inside: fires
//! are suppressed, and [`synchronize`] on another thread waits for them.
//!
//! The lock here comes after the registry's; nothing is called while it is held.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::barrier::barrier;
use super::lock::{Lock, pause};
use super::thread::{self, Current, Record};

/// Frees something. Must not panic; if it does, the panic is dropped.
pub type Job = Box<dyn FnOnce() + Send>;

/// A thread that was inside, and the word it had.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Inside {
    record: *const Record,
    word: u64,
}

struct Batch {
    waiting: Vec<Inside>,
    jobs: Vec<Job>,
}

#[derive(Default)]
struct Pending {
    batches: Vec<Batch>,
    /// How many threads are running jobs that they took.
    running: usize,
}

// SAFETY: the pointers in `waiting` are compared, and followed only through the list of threads,
// under the lock that this value lies in.
unsafe impl Send for Pending {}

static PENDING: Lock<Pending> = Lock::new(Pending { batches: Vec::new(), running: 0 });

/// Who is inside now. The lock is held.
fn inside() -> Vec<Inside> {
    let mut found = Vec::new();
    thread::for_each(|record, word| found.extend(word.map(|word| Inside { record, word })));
    found
}

/// Who is inside now, of whom each has seen, or will see when it is next inside, what was stored before
/// this call.
fn inside_after_barrier() -> Vec<Inside> {
    barrier();
    let _pending = PENDING.lock();
    inside()
}

/// A visit inside for jobs, from making it to dropping it; none if the thread is inside already.
struct Visit(Option<Current>);

impl Visit {
    fn new() -> Visit {
        let current = thread::current();
        let entered = current.go_inside();
        if entered {
            // What was delivered last on this thread may be dead.
            current.set_code(core::ptr::null_mut());
        }
        Visit(entered.then_some(current))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(current) = self.0 {
            current.go_outside();
            current.take_change();
        }
    }
}

impl Pending {
    fn push(&mut self, waiting: Vec<Inside>, jobs: Vec<Job>) {
        match self.batches.last_mut() {
            // While one thread sits in a callback, everything waits for the same.
            Some(last) if last.waiting == waiting => last.jobs.extend(jobs),
            _ => {
                let inside = inside();
                for waiting in waiting.iter().filter(|waiting| inside.contains(waiting)) {
                    thread::note_awaited(waiting.record);
                }
                self.batches.push(Batch { waiting, jobs });
            }
        }
    }

    /// The jobs that wait for nobody any more.
    fn take_ready(&mut self) -> Vec<Job> {
        if self.batches.is_empty() {
            return Vec::new();
        }
        let inside = inside();
        let mut ready = Vec::new();
        self.batches.retain_mut(|batch| {
            batch.waiting.retain(|waiting| inside.contains(waiting));
            if batch.waiting.is_empty() {
                ready.append(&mut batch.jobs);
            }
            !batch.jobs.is_empty()
        });
        ready
    }
}

/// Runs the jobs when no thread can be inside that is inside now. What they free has been
/// unpublished. The registry's lock is not held.
pub fn defer(jobs: Vec<Job>) {
    if jobs.is_empty() {
        // Nothing new, but somebody may have left who was waited for.
        collect();
        return;
    }
    barrier();
    let mut pending = PENDING.lock();
    let waiting = inside();
    pending.push(waiting, jobs);
    drop(pending);
    collect();
}

/// Other threads that were inside at some moment.
#[derive(Default)]
pub struct Others(Vec<Inside>);

// SAFETY: as for `Pending`.
unsafe impl Send for Others {}

/// The other threads that are inside, of which each has seen, or will see when it is next inside, what
/// was stored before this call.
pub fn others_inside() -> Others {
    let mut others = inside_after_barrier();
    others.retain(|other| other.record != thread::current().address());
    Others(others)
}

/// Runs the job when those threads have been outside; never if there are none. The registry's lock is
/// not held.
pub fn after(others: Others, job: Job) {
    if !others.0.is_empty() {
        PENDING.lock().push(others.0, vec![job]);
        collect();
    }
}

/// Runs what is ready. No lock is held.
#[cold]
#[inline(never)]
pub fn collect() {
    loop {
        let mut pending = PENDING.lock();
        let ready = pending.take_ready();
        if ready.is_empty() {
            return;
        }
        // Go inside while the lock is held: another thread's `synchronize` must see either the jobs
        // here, or this thread inside. The round that follows takes up what was then deferred
        // because of it.
        let visit = Visit::new();
        pending.running += 1;
        drop(pending);
        for job in ready {
            // A panic in a job is a fault of its author's; there is nobody to tell.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
        drop(visit);
        let mut pending = PENDING.lock();
        pending.running = pending.running.saturating_sub(1);
    }
}

/// Runs a job now, as being inside; then what it has made free. No lock is held.
pub fn run_inside(job: impl FnOnce()) {
    let visit = Visit::new();
    job();
    drop(visit);
    collect();
}

/// Waits until every thread that is inside now has been outside, then runs what was deferred before.
/// False, without waiting, when called from inside.
pub fn synchronize() -> bool {
    let current = thread::current();
    if current.is_inside() {
        collect();
        return false;
    }
    let mut waiting = inside_after_barrier();
    let mut round = 0u32;
    while !waiting.is_empty() {
        pause(round);
        round = round.saturating_add(1);
        let pending = PENDING.lock();
        let inside = inside();
        waiting.retain(|waiting| inside.contains(waiting));
        drop(pending);
    }
    collect();
    // A thread that was waited for may have taken the jobs itself, and be running them.
    round = 0;
    while PENDING.lock().running != 0 {
        pause(round);
        round = round.saturating_add(1);
    }
    true
}

/// The calling thread ends: if it was inside, that is over; its record goes.
pub(super) fn end_thread(current: Current) {
    if current.is_inside() {
        current.go_outside();
    }
    collect();
    let mut pending = PENDING.lock();
    current.unlink();
    for batch in &mut pending.batches {
        batch.waiting.retain(|waiting| waiting.record != current.address());
    }
}

/// Before fork: takes the lock, so that the child finds the list and the batches whole.
pub fn lock_for_fork() {
    PENDING.keep();
}

/// After fork, in the parent: lets the lock go again.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread.
pub unsafe fn unlock_after_fork() {
    // SAFETY: the caller's promise.
    unsafe { PENDING.let_go() };
}

/// After fork, in the child: only this thread is left, so the others are outside, and the lock is
/// free.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread, in the child.
pub unsafe fn keep_only_this_thread() {
    let current = thread::current();
    let others_are_outside = |pending: &mut Pending| {
        current.unlink_all_others();
        pending.running = 0; // others run none; this thread's own count saturates
        for batch in &mut pending.batches {
            batch.waiting.retain(|waiting| waiting.record == current.address());
        }
    };
    // SAFETY: the caller's promise.
    unsafe { PENDING.change_and_reset(others_are_outside) };
}
