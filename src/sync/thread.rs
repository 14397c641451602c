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
//! A thread that the writer does not see on the list sees, after its push, all that the writer stored
//! before looking: see [`super::list`]. Taking off and walking happen under the lock of
//! [`super::reclaim`].

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering::Relaxed};

use super::barrier::{reader_fence, readers_must_fence};
use super::list::{Link, List};
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
    /// The registry's version at the time. If tools have listened to something else since, the call
    /// may have ended unreported.
    pub version: u64,
}

/// How many calls a thread remembers; deeper ones push out the oldest. A power of two.
const CALLS: usize = 4;

/// What rmon keeps per thread. What others may touch says so; the rest belongs to the thread alone.
/// All bits zero is the initial record: unknown, nothing remembered.
#[repr(C)]
pub struct Record {
    /// Read by the writer.
    word: Word,
    /// What the list is made of; read by the writer.
    next: AtomicPtr<Record>,
    /// The code of the event that is being delivered; it means something only inside.
    code: Cell<*mut c_void>,
    /// How many calls were ever remembered, less those that were taken back.
    depth: Cell<u32>,
    /// See [`Change`]. The writer sets bits too.
    changed: AtomicU8,
    /// As `word`, where readers must fence: `word` then stays unknown for ever, so that the usual
    /// way of a fire, which has no fence, is never taken. Read by the writer.
    fenced: Word,
    /// A ring; the call at depth n is remembered if its tag is n.
    calls: [Cell<(u64, Call)>; CALLS],
    /// The host's word.
    note: Cell<*mut c_void>,
    /// The writer's; see [`mark`]. The word of the last visit inside that was waited for.
    mark: Cell<u64>,
    /// The writer's: the first ticket that waits for that visit.
    since: Cell<u64>,
}

impl Link for Record {
    fn next(&self) -> &AtomicPtr<Record> {
        &self.next
    }
}

/// What happened to the registry while this thread was inside, as bits: bit 7, this thread changed
/// it; bits 0 to 5, this thread cleared these tools; bit 6, somebody waits for this thread to leave.
#[derive(Clone, Copy, Debug)]
pub struct Change(u8);

const CHANGED: u8 = 1 << 7;
const AWAITED: u8 = 1 << 6;

impl Change {
    /// Nothing.
    pub const NONE: Change = Change(0);

    /// Whether this thread changed the registry.
    pub fn any(self) -> bool {
        self.0 & CHANGED != 0
    }

    /// Whether something may be ready to be freed when this thread leaves.
    pub fn collect(self) -> bool {
        self.0 != 0
    }

    /// Whether this thread cleared this tool.
    pub fn cleared(self, tool: u8) -> bool {
        self.0 & 1 << tool != 0
    }

    /// Both.
    pub fn and(self, other: Change) -> Change {
        Change(self.0 | other.0)
    }
}

#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu",
    not(rmon_portable_tls)
))]
mod place {
    //! Initial-exec thread-local memory on stable Rust: a symbol in .tbss, and the offset that the
    //! loader puts into the global offset table. The library then carries DF_STATIC_TLS and takes
    //! its few words from the surplus that glibc keeps for libraries loaded later.
    //!
    //! A place is that offset from the thread pointer. What a fire does to the record is written in
    //! terms of it, which saves computing an address; the rest goes through [`record`].

    use core::arch::{asm, global_asm};
    use core::ffi::c_void;
    use core::mem::offset_of;

    use super::Record;

    global_asm!(
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

    const _: () = assert!(align_of::<Record>() <= 16 && offset_of!(Record, word) == 0);

    /// The offset of the record from the thread pointer.
    #[derive(Clone, Copy)]
    pub struct Place(usize);

    /// The calling thread's place.
    #[inline(always)]
    pub fn here() -> Place {
        let offset;
        // SAFETY: reads a word of the global offset table, which does not change once loaded.
        unsafe {
            asm!(
                "mov {offset}, qword ptr [rip + rmon_priv_thread@GOTTPOFF]",
                offset = out(reg) offset,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        Place(offset)
    }

    /// The same, found anew: for after a call, where keeping it would cost more.
    #[inline(always)]
    pub fn here_again() -> Place {
        let offset;
        // SAFETY: as for `here`. Not `pure`, so that it is not taken for what `here` found.
        unsafe {
            asm!(
                "mov {offset}, qword ptr [rip + rmon_priv_thread@GOTTPOFF]",
                offset = out(reg) offset,
                options(nomem, nostack, preserves_flags),
            );
        }
        Place(offset)
    }

    /// How far the record is from the thread pointer, the same on every thread.
    pub fn distance() -> Option<isize> {
        Some(here().0 as isize)
    }

    /// The record's address.
    #[inline(always)]
    pub fn record(place: Place) -> *const Record {
        let record;
        // SAFETY: reads the thread pointer, which the ABI keeps at fs:0 and which does not change
        // while the thread lives.
        unsafe {
            asm!(
                "add {record}, qword ptr fs:[0]",
                record = inout(reg) place.0 => record,
                options(pure, nomem, nostack),
            );
        }
        record
    }

    /// `Word::is_idle`.
    #[inline(always)]
    pub fn is_idle(place: Place) -> bool {
        // SAFETY: a load from the thread's own record.
        unsafe {
            asm!(
                "test byte ptr fs:[{place}], 1",
                "jz {no}",
                place = in(reg) place.0,
                no = label { return false },
                options(readonly, nostack),
            );
        }
        true
    }

    /// `Word::enter` and `Word::leave`: the word is aligned, so the store is whole for others; x86
    /// does not move it before earlier accesses, nor does the compiler move any across.
    #[inline(always)]
    pub fn step(place: Place) {
        // SAFETY: an addition to the thread's own record; only this thread stores to the word.
        unsafe { asm!("inc qword ptr fs:[{place}]", place = in(reg) place.0, options(nostack)) };
    }

    /// `Record::code`.
    #[inline(always)]
    pub fn set_code(place: Place, code: *mut c_void) {
        // SAFETY: a store to the thread's own record.
        unsafe {
            asm!(
                "mov qword ptr fs:[{place} + {code_at}], {code}",
                place = in(reg) place.0,
                code = in(reg) code,
                code_at = const offset_of!(Record, code),
                options(nostack, preserves_flags),
            );
        }
    }

    /// `Record::changed`, for the thread itself.
    #[inline(always)]
    pub fn changed(place: Place) -> u32 {
        let changed;
        // SAFETY: a load from the thread's own record.
        unsafe {
            asm!(
                "movzx {changed:e}, byte ptr fs:[{place} + {changed_at}]",
                place = in(reg) place.0,
                changed = out(reg) changed,
                changed_at = const offset_of!(Record, changed),
                options(readonly, nostack, preserves_flags),
            );
        }
        changed
    }
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu",
    not(rmon_portable_tls)
)))]
mod place {
    //! An ordinary thread-local; in a shared library this costs a call. `--cfg rmon_portable_tls`
    //! takes it everywhere, for tests of it and for ThreadSanitizer, which cannot see into assembly.

    use super::{AtomicPtr, AtomicU8, Call, Cell, Record, Relaxed, Word, c_void, null_mut};

    const NO_CALL: Call =
        Call { code: null_mut(), callable: null_mut(), arg0: null_mut(), version: 0 };

    thread_local! {
        static RECORD: Record = const {
            Record {
                word: Word::new(),
                next: AtomicPtr::new(null_mut()),
                code: Cell::new(null_mut()),
                depth: Cell::new(0),
                changed: AtomicU8::new(0),
                fenced: Word::new(),
                calls: [const { Cell::new((0, NO_CALL)) }; super::CALLS],
                note: Cell::new(null_mut()),
                mark: Cell::new(0),
                since: Cell::new(0),
            }
        };
    }

    /// The record's address.
    #[derive(Clone, Copy)]
    pub struct Place(*const Record);

    /// The calling thread's place.
    #[inline(always)]
    pub fn here() -> Place {
        Place(RECORD.with(|record| record as *const Record))
    }

    /// The same.
    #[inline(always)]
    pub fn here_again() -> Place {
        here()
    }

    /// Unknown: the loader may put it anywhere.
    pub fn distance() -> Option<isize> {
        None
    }

    #[inline(always)]
    fn own<'a>(place: Place) -> &'a Record {
        // SAFETY: thread-local memory lives as long as its thread, and a place stays on it.
        unsafe { &*place.0 }
    }

    /// The record's address.
    #[inline(always)]
    pub fn record(place: Place) -> *const Record {
        place.0
    }

    /// See `Word::is_idle`.
    #[inline(always)]
    pub fn is_idle(place: Place) -> bool {
        own(place).word.is_idle()
    }

    /// See `Word::enter` and `Word::leave`.
    #[inline(always)]
    pub fn step(place: Place) {
        if own(place).word.is_idle() {
            own(place).word.enter();
        } else {
            own(place).word.leave();
        }
    }

    /// See `Record::code`.
    #[inline(always)]
    pub fn set_code(place: Place, code: *mut c_void) {
        own(place).code.set(code);
    }

    /// See `Record::changed`.
    #[inline(always)]
    pub fn changed(place: Place) -> u32 {
        u32::from(own(place).changed.load(Relaxed))
    }
}

/// The calling thread's record. Neither `Send` nor `Sync`, and of no use after the thread's end.
#[derive(Clone, Copy)]
pub struct Current(place::Place, core::marker::PhantomData<*const Record>);

/// The calling thread's record.
#[inline(always)]
pub fn current() -> Current {
    Current(place::here(), core::marker::PhantomData)
}

/// The calling thread's record, for after a call to something unknown.
#[inline(always)]
pub fn current_again() -> Current {
    Current(place::here_again(), core::marker::PhantomData)
}

impl Current {
    #[inline(always)]
    fn record(&self) -> &Record {
        // SAFETY: thread-local memory lives as long as its thread, and a `Current` stays on it.
        unsafe { &*place::record(self.0) }
    }

    // What a fire does, the usual way.

    /// Whether the thread is known and outside, and readers need not fence.
    #[inline(always)]
    pub fn is_idle(self) -> bool {
        place::is_idle(self.0)
    }

    /// Goes inside; only when idle.
    #[inline(always)]
    pub fn enter(self) {
        place::step(self.0);
    }

    /// Goes outside; only after `enter`.
    #[inline(always)]
    pub fn leave(self) {
        place::step(self.0);
    }

    /// Remembers the code of the event that is being delivered.
    #[inline(always)]
    pub fn set_code(self, code: *mut c_void) {
        place::set_code(self.0, code);
    }

    /// 0 if nothing happened since [`Current::take_change`].
    #[inline(always)]
    pub fn change(self) -> u32 {
        place::changed(self.0)
    }

    /// Remembers what CALL said.
    #[inline(always)]
    pub fn push_call(self, call: Call) {
        let record = self.record();
        let depth = record.depth.get();
        record.calls[depth as usize % CALLS].set((depth.into(), call));
        record.depth.set(depth.wrapping_add(1));
    }

    /// The address of the host's word; it is valid as long as the thread lives.
    #[inline(always)]
    pub fn note(self) -> *mut *mut c_void {
        self.record().note.as_ptr()
    }

    /// How far that is from the thread pointer, if it is equally far on every thread.
    pub fn note_offset() -> Option<isize> {
        Some(place::distance()? + core::mem::offset_of!(Record, note) as isize)
    }

    // The same in every case.

    /// Whether the thread is inside a callback (or at its end).
    pub fn is_inside(self) -> bool {
        self.record().word.is_inside() || self.record().fenced.is_inside()
    }

    /// Goes inside, and makes the thread known first if need be. False if it is inside, or cannot be
    /// made known: no memory for its exit hook, or its end is over.
    #[cold]
    pub fn go_inside(self) -> bool {
        if self.is_inside() || !self.register() {
            return false;
        }
        if readers_must_fence() {
            self.record().fenced.enter();
            reader_fence();
        } else {
            self.enter();
        }
        true
    }

    /// Goes outside; only after `go_inside`, or at the thread's end.
    pub fn go_outside(self) {
        if readers_must_fence() {
            self.record().fenced.leave();
        } else {
            self.leave();
        }
    }

    /// Makes the thread known, unless it is. False if it cannot be.
    #[cold]
    pub fn register(self) -> bool {
        let record = self.record();
        let word = if readers_must_fence() { &record.fenced } else { &record.word };
        if !word.is_unknown() {
            return word.is_idle();
        }
        if !watch_exit(1) {
            return false;
        }
        if !word.start() {
            return word.is_idle();
        }
        // SAFETY: the thread is known from now on, so this is done once; its end takes the record off.
        unsafe { THREADS.push(self.address()) };
        word.leave();
        true
    }

    /// Whether an event of this code is being delivered on this thread, so that the code is alive.
    pub fn is_delivering(self, code: *mut c_void) -> bool {
        self.is_inside() && self.record().code.get() == code
    }

    /// Notes that a code died: if its event is being delivered, it is so no more.
    pub fn note_dead(self, code: *mut c_void) {
        if self.is_delivering(code) {
            self.set_code(core::ptr::without_provenance_mut(usize::MAX));
        }
    }

    /// Notes that the registry was changed, if that happened inside.
    pub fn note_change(self) {
        if self.is_inside() {
            self.record().changed.fetch_or(CHANGED, Relaxed);
        }
    }

    /// Notes that a tool was cleared, if that happened inside.
    pub fn note_cleared(self, tool: u8) {
        if self.is_inside() {
            self.record().changed.fetch_or(CHANGED | 1 << tool, Relaxed);
        }
    }

    /// What happened; it is forgotten.
    pub fn take_change(self) -> Change {
        Change(self.record().changed.swap(0, Relaxed))
    }

    /// What the last CALL in this code said, unless it was told already or forgotten, or tools have
    /// since listened to something else. Calls that were remembered after it never ended, and are
    /// forgotten.
    pub fn pop_call(self, code: *mut c_void, version: u64) -> Option<Call> {
        let record = self.record();
        let depth = record.depth.get();
        for depth in (depth.saturating_sub(CALLS as u32)..depth).rev() {
            let (tag, call) = record.calls[depth as usize % CALLS].get();
            if tag == u64::from(depth) && call.code == code {
                record.depth.set(depth);
                return (call.version == version).then_some(call);
            }
        }
        None
    }

    /// Takes the record off the list, for good. The caller holds the lock of [`super::reclaim`].
    pub(super) fn unlink(self) {
        let record = self.record();
        // SAFETY: a thread that ends here was made known, and the lock is held.
        unsafe { THREADS.unlink(self.address()) };
        self.set_code(null_mut());
        record.word.finish();
        record.fenced.finish();
    }

    /// In a forked child: the list is this thread's record alone, or empty.
    pub(super) fn unlink_all_others(self) {
        // SAFETY: the child has this thread only.
        unsafe { THREADS.keep_only(self.address()) };
    }

    /// The record's address, as the list has it.
    pub(super) fn address(self) -> *const Record {
        place::record(self.0)
    }
}

static THREADS: List<Record> = List::new();

/// Visits every listed record. The caller holds the lock of [`super::reclaim`].
fn for_each(visit: impl FnMut(&Record)) {
    // SAFETY: records on the list are live until they are unlinked, which needs the lock.
    unsafe { THREADS.visit(visit) };
}

impl Record {
    /// See [`Word::get`].
    fn visit(&self) -> Option<u64> {
        self.word.get().or_else(|| self.fenced.get())
    }
}

/// Has a ticket wait for every thread that is inside now; what was waited for before is waited for
/// still. If `tell`, the threads are told, so that who leaves looks for what has become ready. Whether
/// there is any but `except`. The caller holds the lock of [`super::reclaim`], and tickets ascend.
pub(super) fn mark(ticket: u64, tell: bool, except: *const Record) -> bool {
    let mut any = false;
    for_each(|record| {
        let Some(visit) = record.visit() else { return };
        if record.mark.get() != visit {
            // Another visit than that of earlier tickets, which therefore do not wait for it.
            record.mark.set(visit);
            record.since.set(ticket);
        }
        if tell {
            record.changed.fetch_or(AWAITED, Relaxed);
        }
        any |= !core::ptr::eq(record, except);
    });
    any
}

/// The first ticket that waits for a thread other than `except`: that thread is still where it was when
/// it was marked. `u64::MAX` if there is none. The caller holds the lock of [`super::reclaim`].
pub(super) fn first_waiting(except: *const Record) -> u64 {
    let mut first = u64::MAX;
    for_each(|record| {
        if record.visit() == Some(record.mark.get()) && !core::ptr::eq(record, except) {
            first = first.min(record.since.get());
        }
    });
    first
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
