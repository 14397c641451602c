//! A thread's one word: re-entrancy guard and reader mark at once.
//!
//! 0: the thread is unknown. Odd: it is idle. Even: it is inside a callback, or between looking up a
//! callback and returning from it. Entering and leaving each add one, so a writer that saw the word
//! even knows that the thread has been outside since as soon as the word differs.
//!
//! # Synchronization
//!
//! The reader stores the word and then loads what the writer publishes; the writer stores what it
//! publishes and then loads the words. One of the two must see the other's store (Dekker), which
//! needs a full fence on both sides between the store and the load. The reader's is a compiler fence
//! only: the writer executes it for all threads at once (`barrier`). Where the kernel refuses that,
//! readers execute a real one after entering.
//!
//! Entering and leaving are Release stores, paired with the writer's Acquire load in [`Word::get`]: what
//! a callback did is seen by whoever then destroys its data.

use super::prim::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    compiler_fence,
};

/// The value of a thread that is about to be known.
const STARTING: u64 = 2;
/// The value of a thread whose record is gone for good: for ever inside, and on no list.
const OVER: u64 = u64::MAX - 1;

/// See the module.
#[derive(Debug)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// An unknown thread's.
    #[cfg(not(loom))]
    pub const fn new() -> Word {
        Word(AtomicU64::new(0))
    }

    /// An unknown thread's.
    #[cfg(loom)]
    pub fn new() -> Word {
        Word(AtomicU64::new(0))
    }

    /// Whether the thread is known and outside; its own question.
    #[inline(always)]
    pub fn is_idle(&self) -> bool {
        self.0.load(Relaxed) & 1 == 1
    }

    /// Whether nobody has made the thread known yet; its own question.
    #[inline(always)]
    pub fn is_unknown(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// Whether the thread is known and not outside; its own question.
    pub fn is_inside(&self) -> bool {
        let word = self.0.load(Relaxed);
        word != 0 && word & 1 == 0
    }

    /// Makes the thread known: inside, until it leaves. False if it is, which a signal handler that
    /// fires may have done in between.
    pub fn start(&self) -> bool {
        self.0.compare_exchange(0, STARTING, Relaxed, Relaxed).is_ok()
    }

    /// The thread ends: it counts as inside from now on, so that it does nothing any more.
    pub fn finish(&self) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(OVER, Release);
    }

    /// Goes inside. Only the own thread calls this, when idle.
    #[inline(always)]
    pub fn enter(&self) {
        // Release: a writer may see this store instead of the one in `leave` before it, and must then
        // see what came before that too.
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Release);
        // Pairs with the writer's barrier between unpublishing and `get`.
        compiler_fence(SeqCst);
    }

    /// Goes outside. Only the own thread calls this, when inside.
    #[inline(always)]
    pub fn leave(&self) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Release);
    }

    /// The word as another thread sees it: `Some` mark if inside. The thread has been outside since
    /// as soon as the answer differs.
    pub fn get(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `leave` and `finish`.
        let word = self.0.load(Acquire);
        (word != 0 && word & 1 == 0).then_some(word)
    }
}

impl Default for Word {
    fn default() -> Word {
        Word::new()
    }
}
