//! What is to be freed later, in memory that it has had all along: so that freeing never lacks any.
//!
//! A [`Job`] is a box whose drop does the work, with room for a place in a list. Whoever makes something
//! that will one day have to wait for readers makes it as a job; the lists only link.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

/// No memory.
#[derive(Debug, PartialEq, Eq)]
pub struct NoMemory;

/// As `Box::new`, which would end the process.
pub fn try_box<T>(value: T) -> Result<Box<T>, NoMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new(value)); // takes none
    }
    // SAFETY: the layout is not of size 0; what it gives is written before it is made a box.
    unsafe {
        let place = NonNull::new(std::alloc::alloc(layout).cast::<T>()).ok_or(NoMemory)?;
        place.write(value);
        Ok(Box::from_raw(place.as_ptr()))
    }
}

/// A copy of a slice.
pub fn try_copy<T: Copy>(slice: &[T]) -> Result<Vec<T>, NoMemory> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(slice.len()).map_err(|_| NoMemory)?;
    copy.extend_from_slice(slice);
    Ok(copy)
}

/// Something whose drop is work for later. Its drop must not panic; if it does, the panic is dropped.
pub struct Job<T: ?Sized = dyn Send> {
    /// The number of what it waits for; see `reclaim`.
    ticket: u64,
    next: *mut Job,
    /// The thing itself.
    pub work: T,
}

// SAFETY: the link is used by the list that owns both.
unsafe impl<T: ?Sized + Send> Send for Job<T> {}

impl<T> Job<T> {
    /// In no list yet.
    pub fn new(work: T) -> Result<Box<Job<T>>, NoMemory> {
        try_box(Job { ticket: 0, next: EMPTY, work })
    }
}

/// The end of a list. (A pointer to what is not sized cannot be null_mut.)
const EMPTY: *mut Job = {
    struct Nothing;
    null_mut::<Job<Nothing>>() as *mut Job
};

/// Jobs, first in, first out.
pub struct Jobs {
    first: *mut Job,
    last: *mut Job,
}

// SAFETY: it owns its jobs, which may be sent.
unsafe impl Send for Jobs {}

impl Jobs {
    /// None.
    pub const fn new() -> Jobs {
        Jobs { first: EMPTY, last: EMPTY }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Adds one at the end.
    pub fn push(&mut self, job: Box<Job>) {
        let job = Box::into_raw(job);
        self.append(Jobs { first: job, last: job });
    }

    /// Adds what is in another list at the end.
    pub fn append(&mut self, other: Jobs) {
        let other = core::mem::ManuallyDrop::new(other);
        if self.is_empty() {
            self.first = other.first;
        } else {
            // SAFETY: a job of this list, which owns it.
            unsafe { (*self.last).next = other.first };
        }
        if !other.is_empty() {
            self.last = other.last;
        }
    }

    /// Gives all of them this ticket.
    pub fn stamp(&mut self, ticket: u64) {
        let mut at = self.first;
        while !at.is_null() {
            // SAFETY: a job of this list, which owns it.
            unsafe {
                (*at).ticket = ticket;
                at = (*at).next;
            }
        }
    }

    /// Takes those at the beginning whose ticket is below a number.
    pub fn take_below(&mut self, ticket: u64) -> Jobs {
        let mut taken = Jobs::new();
        // SAFETY: a job of this list, which owns it.
        while !self.is_empty() && unsafe { (*self.first).ticket } < ticket {
            taken.push(self.pop());
        }
        taken
    }

    /// The first. There is one.
    fn pop(&mut self) -> Box<Job> {
        // SAFETY: a job of this list, made by `Box::into_raw`; it is then in none.
        let mut job = unsafe { Box::from_raw(self.first) };
        self.first = core::mem::replace(&mut job.next, EMPTY);
        job
    }
}

impl Iterator for Jobs {
    type Item = Box<Job>;

    fn next(&mut self) -> Option<Box<Job>> {
        (!self.is_empty()).then(|| self.pop())
    }
}

impl Extend<Box<Job>> for Jobs {
    fn extend<I: IntoIterator<Item = Box<Job>>>(&mut self, jobs: I) {
        jobs.into_iter().for_each(|job| self.push(job));
    }
}

impl Default for Jobs {
    fn default() -> Jobs {
        Jobs::new()
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
