//! What runs once no reader can be inside any more; waiting for readers; fork.
//!
//! The writer unpublishes something (a callback, a table) and hands over the *jobs* that free it.
//! [`defer`] makes all readers pass a fence, marks the threads that are inside at that moment, and runs
//! the jobs as soon as each of them has been outside: at once in the usual case that nobody is
//! inside, otherwise in a later call of [`defer`], [`collect`] or [`synchronize`], or when a thread
//! that was told that it is waited for leaves (it may miss that once), or at a thread's end. Only
//! [`synchronize`] waits.
//!
//! Each hand-over has a *ticket*, a number that ascends. A thread's record says in which visit inside
//! it was marked last, and the first ticket that waits for that visit: earlier ones do not, since it has
//! been outside since. So what is ready is known from one walk through the threads, and nothing here
//! takes memory, which there may be none of.
//!
//! Jobs run without any lock, on whichever thread finds them ready, and count as being inside: fires
//! are suppressed, and [`synchronize`] on another thread waits for them.
//!
//! The lock here comes after the registry's; nothing is called while it is held.

use core::ptr::null;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::barrier::barrier;
use super::job::Jobs;
use super::lock::{Lock, pause};
use super::thread::{self, Current, Record};

/// What is to be done when the threads that were inside at some moment have left.
struct Late {
    ticket: u64,
    /// The thread that is not waited for.
    except: *const Record,
    then: fn(),
}

struct Pending {
    /// By ascending tickets.
    jobs: Jobs,
    late: Option<Late>,
    last_ticket: u64,
    /// How many threads are running jobs that they took in this phase, and in the last one.
    running: [usize; 2],
    /// See [`Pending::have_finished`].
    phase: u64,
}

// SAFETY: the record is compared, and forgotten before it goes.
unsafe impl Send for Pending {}

static PENDING: Lock<Pending> =
    Lock::new(Pending { jobs: Jobs::new(), late: None, last_ticket: 0, running: [0; 2], phase: 0 });

/// Which of the two counts is a phase's.
fn parity(phase: u64) -> usize {
    (phase & 1) as usize
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
    fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Whether all who ran jobs when this was first asked have finished; `asked` is the phase then.
    ///
    /// A phase begins when nobody is left of the one before the last. So those of the phase `asked`, and of the one
    /// before it, are known to have finished once two more have begun, or one and nobody is left of `asked`.
    fn have_finished(&mut self, asked: &mut Option<u64>) -> bool {
        let asked = *asked.get_or_insert(self.phase);
        if self.phase == asked && self.running[parity(asked + 1)] == 0 {
            self.phase += 1;
        }
        self.phase > asked + 1 || (self.phase == asked + 1 && self.running[parity(asked)] == 0)
    }

    /// What waits for nobody any more.
    fn take_ready(&mut self) -> (Jobs, Option<fn()>) {
        let jobs = if self.jobs.is_empty() {
            Jobs::new()
        } else {
            self.jobs.take_below(thread::first_waiting(null()))
        };
        let late = self.late.take_if(|late| late.ticket < thread::first_waiting(late.except));
        (jobs, late.map(|late| late.then))
    }
}

/// Runs the jobs when no thread can be inside that is inside now. What they free has been
/// unpublished. The registry's lock is not held.
pub fn defer(mut jobs: Jobs) {
    if !jobs.is_empty() {
        barrier();
        let mut pending = PENDING.lock();
        let ticket = pending.next_ticket();
        thread::mark(ticket, true, null());
        jobs.stamp(ticket);
        pending.jobs.append(jobs);
    }
    // Even if there is nothing new, somebody may have left who was waited for.
    collect();
}

/// Has something done when the other threads that are inside now have left; each has seen, or will see
/// when it is next inside, what was stored before this call. Not at all if there are none. It takes the
/// place of what was to be done before. [`collect`] must follow, with no lock held.
pub fn when_others_left(then: fn()) {
    barrier();
    let mut pending = PENDING.lock();
    let (ticket, except) = (pending.next_ticket(), thread::current().address());
    let any = thread::mark(ticket, true, except);
    pending.late = any.then_some(Late { ticket, except, then });
}

/// Runs what is ready. No lock is held.
#[cold]
#[inline(never)]
pub fn collect() {
    loop {
        let mut pending = PENDING.lock();
        let (ready, late) = pending.take_ready();
        if ready.is_empty() && late.is_none() {
            return;
        }
        // Go inside while the lock is held: another thread's `synchronize` must see either the jobs
        // here, or this thread inside. The round that follows takes up what was then deferred
        // because of it.
        let visit = Visit::new();
        let phase = pending.phase;
        pending.running[parity(phase)] += 1;
        drop(pending);
        for job in ready {
            // A panic in a job is a fault of its author's; there is nobody to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
        }
        if let Some(then) = late {
            then();
        }
        drop(visit);
        let running = &mut PENDING.lock().running[parity(phase)];
        *running = running.saturating_sub(1);
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
    barrier();
    let mut pending = PENDING.lock();
    let ticket = pending.next_ticket();
    thread::mark(ticket, false, null());
    let mut round = 0u32;
    while thread::first_waiting(null()) <= ticket {
        drop(pending);
        pause(round);
        round = round.saturating_add(1);
        pending = PENDING.lock();
    }
    drop(pending);
    collect();
    // A thread that was waited for may have taken the jobs itself, and be running them. Those that begin later are not
    // waited for: there may be no end of them.
    let mut asked = None;
    round = 0;
    while !PENDING.lock().have_finished(&mut asked) {
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
    if let Some(late) = &mut pending.late
        && late.except == current.address()
    {
        late.except = null(); // another thread may get its place
    }
}

/// Before fork: takes the lock, so that the child finds the list and the jobs whole.
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
        pending.running = [0; 2]; // others run none; this thread's own count saturates
        if let Some(late) = &mut pending.late
            && late.except != current.address()
        {
            late.except = null();
        }
    };
    // SAFETY: the caller's promise.
    unsafe { PENDING.change_and_reset(others_are_outside) };
}
