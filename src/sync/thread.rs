//! The thread-local record, and the list of all of them.
//!
//! A record is small and lies in static thread-local memory where stable Rust allows that
//! (initial-exec, through assembly: a fire then finds it in two instructions and no call); elsewhere
//! in an ordinary `thread_local!`. It is put on the list the first time its thread is about to
//! deliver an event, without lock or allocation, and taken off when the thread ends.
//!
//! The end of a thread is learnt from a POSIX thread-specific key, because its destructors run after
//! those of C++ and Rust thread-locals, which may still fire. The destructor asks to be called once
//! more, so that destructors of other keys can fire as well; after that the thread is silent.
//!
//! # Synchronization
//!
//! The list is pushed to with a compare-exchange and a full fence: a thread that the writer does not
//! see on the list sees, after its push, all that the writer stored before looking. Taking off and
//! walking happen under the lock of [`super::reclaim`].

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use super::reclaim;
use super::word::Word;

/// A call that was reported and whose end was not: what CALL said, for the C_RETURN or C_RAISE that
/// does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The code that calls.
    pub code: *mut c_void,
    /// What it calls.
    pub callable: *mut c_void,
    /// The first argument, or NULL.
    pub arg0: *mut c_void,
}

/// How many calls a thread remembers; deeper ones are forgotten, oldest first.
const CALLS: usize = 4;

/// What rmon keeps per thread. All but `word` and `next` belong to the thread alone.
#[repr(C)]
pub struct Record {
    word: Word,
    next: AtomicPtr<Record>,
    /// The code of the event that is being delivered; it means something only inside.
    code: Cell<*mut c_void>,
    /// Bit 7: the registry was changed from inside. Bits 0 to 5: these tools were cleared from
    /// inside.
    changed: Cell<u8>,
    /// How many of `calls` are in use.
    depth: Cell<u8>,
    calls: [Cell<Call>; CALLS],
}

const CHANGED: u8 = 1 << 7;

/// What callbacks did to the registry while they were inside.
#[derive(Clone, Copy, Debug)]
pub struct Change(u8);

impl Change {
    /// Whether they changed anything.
    pub fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether they cleared this tool.
    pub fn cleared(self, tool: u8) -> bool {
        self.0 & 1 << tool != 0
    }
}

/// The calling thread's record. Neither `Send` nor `Sync`, and of no use after the thread's end.
#[derive(Clone, Copy)]
pub struct Current(*const Record);

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
mod place {
    //! Initial-exec thread-local memory on stable Rust: a symbol in .tbss, and the offset that the
    //! loader puts into the global offset table. The library then carries DF_STATIC_TLS and takes
    //! its few words from the surplus that glibc keeps for libraries loaded later.

    use super::Record;

    core::arch::global_asm!(
        ".pushsection .tbss.rmon_priv_thread,\"awT\",@nobits",
        ".globl rmon_priv_thread",
        ".hidden rmon_priv_thread",
        ".type rmon_priv_thread, @object",
        ".size rmon_priv_thread, {size}",
        ".p2align 4",
        "rmon_priv_thread:",
        ".zero {size}",
        ".popsection",
        size = const size_of::<Record>(),
    );

    // All bits zero is the initial record: an unknown word, NULL pointers, nothing remembered.
    const _: () = assert!(align_of::<Record>() <= 16);

    #[inline(always)]
    pub fn record() -> *const Record {
        let record;
        // SAFETY: reads the thread pointer (the ABI keeps it at fs:0) and a word of the global offset
        // table; neither changes while the thread lives.
        unsafe {
            core::arch::asm!(
                "mov {record}, qword ptr fs:[0]",
                "add {record}, qword ptr [rip + rmon_priv_thread@GOTTPOFF]",
                record = out(reg) record,
                options(pure, nomem, nostack),
            );
        }
        record
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
mod place {
    //! An ordinary thread-local; in a shared library this costs a call.

    use super::{Call, Cell, Record, Word, null_mut};
    use core::sync::atomic::AtomicPtr;

    thread_local! {
        static RECORD: Record = const {
            Record {
                word: Word::new(),
                next: AtomicPtr::new(null_mut()),
                code: Cell::new(null_mut()),
                changed: Cell::new(0),
                depth: Cell::new(0),
                calls: [const {
                    Cell::new(Call { code: null_mut(), callable: null_mut(), arg0: null_mut() })
                }; super::CALLS],
            }
        };
    }

    #[inline(always)]
    pub fn record() -> *const Record {
        RECORD.with(|record| record as *const Record)
    }
}

/// The calling thread's record.
#[inline(always)]
pub fn current() -> Current {
    Current(place::record())
}

impl Current {
    #[inline(always)]
    fn record(&self) -> &Record {
        // SAFETY: thread-local memory lives as long as its thread, and a `Current` stays on it.
        unsafe { &*self.0 }
    }

    /// Whether the thread is known and outside.
    #[inline(always)]
    pub fn is_idle(self) -> bool {
        self.record().word.is_idle()
    }

    /// Whether the thread is inside a callback (or at its end).
    #[inline(always)]
    pub fn is_inside(self) -> bool {
        !self.is_idle() && !self.record().word.is_unknown()
    }

    /// Goes inside; only when idle.
    #[inline(always)]
    pub fn enter(self) {
        self.record().word.enter();
    }

    /// Goes outside; only when inside.
    #[inline(always)]
    pub fn leave(self) {
        self.record().word.leave();
    }

    /// Makes the thread known, so that it can go inside. False if it cannot be: no memory for its
    /// exit hook, or its end is over.
    #[cold]
    pub fn register(self) -> bool {
        if !self.record().word.is_unknown() {
            return self.is_idle();
        }
        if !watch_exit(1) {
            return false;
        }
        self.record().word.start();
        let this = self.0.cast_mut();
        let mut head = HEAD.load(Relaxed);
        loop {
            self.record().next.store(head, Relaxed);
            // Release: pairs with the Acquire in `for_each`, so the record's fields are seen.
            match HEAD.compare_exchange_weak(head, this, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // SeqCst: either a writer that unpublished something and then fenced sees this record on the
        // list, or this thread sees what the writer unpublished.
        fence(SeqCst);
        true
    }

    /// Remembers the code of the event that is being delivered.
    #[inline(always)]
    pub fn set_code(self, code: *mut c_void) {
        self.record().code.set(code);
    }

    /// Whether an event of this code is being delivered on this thread, so that the code is alive.
    pub fn is_delivering(self, code: *mut c_void) -> bool {
        self.is_inside() && self.record().code.get() == code
    }

    /// Notes that the registry was changed, if that happened inside.
    pub fn note_change(self) {
        if self.is_inside() {
            self.record().changed.set(self.record().changed.get() | CHANGED);
        }
    }

    /// Notes that a tool was cleared, if that happened inside.
    pub fn note_cleared(self, tool: u8) {
        if self.is_inside() {
            self.record().changed.set(self.record().changed.get() | CHANGED | 1 << tool);
        }
    }

    /// 0 if nothing was noted since [`Current::take_change`].
    #[inline(always)]
    pub fn change(self) -> u8 {
        self.record().changed.get()
    }

    /// What was noted; it is forgotten.
    pub fn take_change(self) -> Change {
        Change(self.record().changed.replace(0))
    }

    /// Remembers what CALL said.
    #[inline]
    pub fn push_call(self, call: Call) {
        let record = self.record();
        let depth = usize::from(record.depth.get());
        if let Some(cell) = record.calls.get(depth) {
            cell.set(call);
            record.depth.set(depth as u8 + 1);
        } else {
            for index in 1..CALLS {
                record.calls[index - 1].set(record.calls[index].get());
            }
            record.calls[CALLS - 1].set(call);
        }
    }

    /// What the last CALL in this code said, unless it was told already or forgotten. Calls that
    /// were remembered after it never ended, and are forgotten.
    pub fn pop_call(self, code: *mut c_void) -> Option<Call> {
        let record = self.record();
        for index in (0..usize::from(record.depth.get()).min(CALLS)).rev() {
            let call = record.calls[index].get();
            if call.code == code {
                record.depth.set(index as u8);
                return Some(call);
            }
        }
        None
    }

    /// Whether a record on the list is this thread's.
    pub fn is(self, record: *const Record) -> bool {
        core::ptr::eq(self.0, record)
    }

    /// Takes the record off the list, for good. The caller holds the lock of [`super::reclaim`].
    pub(super) fn unlink(self) {
        let this = self.0.cast_mut();
        let next = self.record().next.load(Relaxed);
        // Relaxed failure, Release success: the list's head is republished with what it led to.
        if HEAD.compare_exchange(this, next, Release, Relaxed).is_err() {
            // Others have been pushed in front; nobody else unlinks, so the record is behind them.
            let mut at = HEAD.load(Acquire);
            while !at.is_null() {
                // SAFETY: records on the list are live until they are unlinked, which needs the lock.
                let record = unsafe { &*at };
                let after = record.next.load(Relaxed);
                if after == this {
                    record.next.store(next, Relaxed);
                    break;
                }
                at = after;
            }
        }
        self.record().word.finish();
    }

    /// In a forked child: the list is this thread's record alone, or empty.
    pub(super) fn unlink_all_others(self) {
        let known = !self.record().word.is_unknown() && self.is_listed();
        self.record().next.store(null_mut(), Relaxed);
        HEAD.store(if known { self.0.cast_mut() } else { null_mut() }, Relaxed);
    }

    fn is_listed(self) -> bool {
        let mut found = false;
        for_each(|record, _| found |= self.is(record));
        found
    }

    /// The record's address, as the list has it.
    pub(super) fn address(self) -> *const Record {
        self.0
    }
}

static HEAD: AtomicPtr<Record> = AtomicPtr::new(null_mut());

/// Visits every listed record and its word's [`Word::get`]. The caller holds the lock of
/// [`super::reclaim`].
pub(super) fn for_each(mut visit: impl FnMut(*const Record, Option<u64>)) {
    // Acquire: pairs with the Release in `register`.
    let mut at = HEAD.load(Acquire);
    while !at.is_null() {
        // SAFETY: records on the list are live until they are unlinked, which needs the lock.
        let record = unsafe { &*at };
        visit(at, record.word.get());
        at = record.next.load(Relaxed);
    }
}

/// The thread-specific key, plus one; 0 before [`start`], and if there was none to be had.
static KEY: AtomicU64 = AtomicU64::new(0);

/// How often the destructor asks to be called again, counted from the thread's first delivery: POSIX
/// promises four rounds, and the first delivery may itself happen in one of them.
const ROUNDS: usize = 2;

/// Makes the key. False if the process has no key left.
pub fn start() -> bool {
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: `key` is valid for the write, and `at_exit` has the signature of a destructor.
    if unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) } != 0 {
        return false;
    }
    KEY.store(u64::from(key) + 1, Relaxed);
    true
}

/// Has [`at_exit`] called with `round` at the thread's end.
fn watch_exit(round: usize) -> bool {
    let key = KEY.load(Relaxed);
    if key == 0 {
        return false;
    }
    let value: *const c_void = core::ptr::without_provenance(round);
    // SAFETY: the key was made by `start` and is never deleted.
    unsafe { libc::pthread_setspecific((key - 1) as libc::pthread_key_t, value) == 0 }
}

unsafe extern "C" fn at_exit(value: *mut c_void) {
    let round = value.addr();
    if round < ROUNDS && watch_exit(round + 1) {
        return;
    }
    reclaim::end_thread(current());
}
