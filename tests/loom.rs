//! Models of the lock-free parts of `rmon::sync`, run by loom: through all interleavings up to a
//! number of preemptions, with every value that a load may see. Not part of `cargo test`, for which
//! this file is empty:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom
//! ```
//!
//! Each property has twins in which one ordering, fence or wait is left out, and which must fail: they
//! show that the model can see the fault. Where what is left out is inside the library, the twin is
//! made with a copy, a few lines long.
//!
//! | property | run | twins: what is left out |
//! | --- | --- | --- |
//! | user data is destroyed after its last use | `Word`, `Slot` | waiting, either fence, what entering or leaving releases |
//! | a pair is never torn, an entry not used after it was freed | `Slot`, `Word` | the order of waiting, freeing and settling; the function's release |
//! | a key is found while its table grows or another code dies; none is found that is not there | `Table`, `Word` | waiting, the barrier, the code's release |
//! | a published value is seen whole | `Published` | the release |
//! | a slot is in the end as its switch was set last | `Switch` | looking again, either fence |
//! | no thread is lost on the list, each is seen whole | `List` | the compare-exchanges, the release |
//! | a thread that is not on the list sees what was removed | `List`, a copied word | the fence after pushing |
//! | a scope that is current has the newest states | copies | the order of publishing and of reading, the release |
//! | the same if threads share it: one more version is published | copies, `Word` | that version, waiting before it, being inside while filling |
//! | what was removed is destroyed once, before `synchronize` returns, or when who was inside leaves | copies, `Word` | waiting, counting who runs jobs, counting under the lock, `synchronize`'s and the leaver's look for what is ready |
//!
//! Copies are there where loom cannot run what a model is about: the atomics of `registry`, `thread`
//! and `reclaim` lie in statics, those of `scope` and `state` in the emitter's memory. They must be kept
//! in step by hand. Fork cannot be modelled (c-tests/fork.c).
#![cfg(loom)]

use core::ffi::c_void;
use core::ptr::{null_mut, without_provenance_mut};

use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

use rmon::sync::follow::Switch;
use rmon::sync::list::{Link, List};
use rmon::sync::published::Published;
use rmon::sync::slot::{Backing, Entry, Slot};
use rmon::sync::table::{Changes, Retired, Table};
use rmon::sync::word::Word;

/// Runs a model. `LOOM_MAX_PREEMPTIONS` may ask for another number than `preemptions`.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 100_000;
    builder.check(model);
}

// --- readers and the writer that waits for them ---

/// What a reader does around its visits, and what a writer sees of it: [`Word`], or a copy.
trait Guard: Send + Sync + 'static {
    fn enter(&self);
    fn leave(&self);
    fn get(&self) -> Option<u64>;
}

impl Guard for Word {
    fn enter(&self) {
        Word::enter(self);
    }

    fn leave(&self) {
        Word::leave(self);
    }

    fn get(&self) -> Option<u64> {
        Word::get(self)
    }
}

/// The word of a thread that is known and outside.
fn word() -> Word {
    let word = Word::new();
    word.start();
    word.leave();
    word
}

/// A copy of [`Word`] from which something can be left out.
struct Copied {
    word: AtomicU64,
    fences: bool,
    enters: Ordering,
    leaves: Ordering,
}

fn copied(fences: bool, enters: Ordering, leaves: Ordering) -> Copied {
    Copied { word: AtomicU64::new(1), fences, enters, leaves }
}

impl Guard for Copied {
    fn enter(&self) {
        self.word.store(self.word.load(Relaxed) + 1, self.enters);
        if self.fences {
            fence(SeqCst);
        }
    }

    fn leave(&self) {
        self.word.store(self.word.load(Relaxed) + 1, self.leaves);
    }

    fn get(&self) -> Option<u64> {
        let word = self.word.load(Acquire);
        (word & 1 == 0).then_some(word)
    }
}

/// How the writer waits between unpublishing something and freeing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// As `reclaim` does: a barrier, then until who was inside has been outside.
    Right,
    /// Without the barrier.
    NoBarrier,
    /// Not at all.
    Not,
}

fn wait(reader: &impl Guard, how: Wait) {
    if how == Wait::Right {
        fence(SeqCst); // `barrier`, which makes all readers pass a fence; here they pass their own
    }
    if how != Wait::Not
        && let Some(mark) = reader.get()
    {
        while reader.get() == Some(mark) {
            thread::yield_now();
        }
    }
}

/// A callback's user data is destroyed after the callback was removed, while a reader calls it twice.
fn user_data_is_destroyed<G: Guard>(guard: fn() -> G, how: Wait) {
    explore(3, move || {
        let shared = Arc::new((Slot::new(), Backing::new(), guard(), UnsafeCell::new(0)));
        let (slot, backing, guard, data) = &*shared;
        let mut entry = pair(1);
        slot.install(backing, &mut entry);
        slot.settle(entry);

        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (slot, backing, guard, data) = &*shared;
                for _ in 0..2 {
                    guard.enter();
                    if slot.load(backing).is_some() {
                        // The callback: uses its data.
                        data.with(|data| {
                            // SAFETY: loom complains before this if anybody else could be writing it.
                            assert_eq!(unsafe { *data }, 0, "destroyed");
                        });
                    }
                    guard.leave();
                }
            })
        };
        slot.remove(backing);
        wait(guard, how);
        data.with_mut(|data| {
            // SAFETY: loom complains before this if anybody else could be using it.
            unsafe { *data = FREED };
        });
        reader.join().unwrap();
    });
}

#[test]
fn user_data_is_destroyed_after_its_last_use() {
    user_data_is_destroyed(word, Wait::Right);
    user_data_is_destroyed(|| copied(true, Release, Release), Wait::Right);
}

#[test]
#[should_panic]
fn user_data_is_destroyed_in_use_without_waiting() {
    user_data_is_destroyed(word, Wait::Not);
}

#[test]
#[should_panic]
fn user_data_is_destroyed_in_use_without_the_writers_barrier() {
    user_data_is_destroyed(word, Wait::NoBarrier);
}

#[test]
#[should_panic]
fn user_data_is_destroyed_in_use_without_the_readers_fence() {
    user_data_is_destroyed(|| copied(false, Release, Release), Wait::Right);
}

#[test]
#[should_panic]
fn user_data_is_destroyed_in_use_if_leaving_releases_nothing() {
    user_data_is_destroyed(|| copied(true, Release, Relaxed), Wait::Right);
}

/// The writer may see the reader's next visit, and not the moment between the two.
#[test]
#[should_panic]
fn user_data_is_destroyed_in_use_if_entering_again_releases_nothing() {
    user_data_is_destroyed(|| copied(true, Relaxed, Release), Wait::Right);
}

// --- slots ---

/// What is found where something was freed.
const FREED: usize = 0xdead;

/// A pair whose halves know each other.
fn pair(number: usize) -> Entry {
    Entry { call: without_provenance_mut(number * 16), data: without_provenance_mut(number * 16) }
}

/// Registrations one after the other, in memory that is overwritten when it is freed, and kept until
/// the model ends.
struct Registrations([*mut Entry; 3]);

// SAFETY: loom runs one thread at a time.
unsafe impl Send for Registrations {}
// SAFETY: as above.
unsafe impl Sync for Registrations {}

impl Registrations {
    fn new() -> Registrations {
        Registrations([1, 2, 3].map(|number| Box::into_raw(Box::new(pair(number)))))
    }

    /// Stands for freeing one.
    fn free(&self, index: usize) {
        let freed = without_provenance_mut::<c_void>(FREED);
        // SAFETY: from a Box that lives until `self` is dropped. Loom changes threads at atomics only,
        // so nobody is reading it now.
        unsafe { self.0[index].write(Entry { call: freed.cast(), data: freed }) };
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        for entry in self.0 {
            // SAFETY: made from a Box in `new`, and dropped only here.
            drop(unsafe { Box::from_raw(entry) });
        }
    }
}

/// What the writer does after installing a registration, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    WaitFreeSettle,
    FreeWaitSettle,
    SettleWaitFree,
}

/// A callback is replaced twice, while a reader looks twice.
fn a_callback_is_replaced(steps: Steps) {
    explore(3, move || {
        let shared = Arc::new((Slot::new(), Backing::new(), word(), Registrations::new()));
        let (slot, backing, word, registrations) = &*shared;
        slot.install(backing, registrations.0[0]);
        slot.settle(pair(1));

        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (slot, backing, word, _) = &*shared;
                for _ in 0..2 {
                    word.enter();
                    let found = slot.load(backing).expect("there is always a callback");
                    assert_ne!(found.data.addr(), FREED, "used after it was freed");
                    assert_eq!(found.call.addr(), found.data.addr(), "torn");
                    word.leave();
                }
            })
        };
        for index in [1, 2] {
            slot.install(backing, registrations.0[index]);
            if steps == Steps::FreeWaitSettle {
                registrations.free(index - 1);
            }
            if steps == Steps::SettleWaitFree {
                slot.settle(pair(index + 1));
            }
            wait(word, Wait::Right);
            if steps != Steps::FreeWaitSettle {
                registrations.free(index - 1);
            }
            if steps != Steps::SettleWaitFree {
                slot.settle(pair(index + 1));
            }
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_never_sees_a_torn_or_freed_pair() {
    a_callback_is_replaced(Steps::WaitFreeSettle);
}

#[test]
#[should_panic = "torn"]
fn a_pair_is_torn_if_it_settles_before_old_readers_have_left() {
    a_callback_is_replaced(Steps::SettleWaitFree);
}

#[test]
#[should_panic = "used after it was freed"]
fn an_entry_is_used_after_it_was_freed_before_old_readers_have_left() {
    a_callback_is_replaced(Steps::FreeWaitSettle);
}

/// The inline half of a slot: the data, then the function.
fn a_pair_settles(order: Ordering) {
    explore(3, move || {
        let shared = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (call, data) = &*shared;
                if call.load(Acquire) != 0 {
                    assert_eq!(data.load(Relaxed), 1, "torn");
                }
            })
        };
        let (call, data) = &*shared;
        data.store(1, Relaxed);
        call.store(1, order);
        reader.join().unwrap();
    });
}

#[test]
fn a_function_comes_with_its_data() {
    a_pair_settles(Release);
}

#[test]
#[should_panic = "torn"]
fn a_function_comes_without_its_data_if_it_is_not_released() {
    a_pair_settles(Relaxed);
}

// --- tables ---

/// The byte of every key in a table's array that was freed.
const SPOILT: u8 = 0x55;
/// The byte of a key that is there throughout.
const KEPT: u8 = 1;
/// The byte of a key that comes or goes.
const PASSING: u8 = 2;

/// The least capacity is 16, half of which is filled before a table of this kind grows.
const FULL: i32 = 8;

/// A table with keys of code 64 at `locations`, which is changed while a reader looks on two visits.
fn a_table_changes(
    locations: core::ops::Range<i32>,
    look: impl Fn(&Table<0>) + Copy + Send + Sync + 'static,
    change: impl Fn(&Table<0>, &mut Changes) -> Retired + Send + Sync + 'static,
    how: Wait,
) {
    a_table_changes_within(2, locations, look, change, how);
}

/// The same with another number of preemptions: many steps take long.
fn a_table_changes_within(
    preemptions: usize,
    locations: core::ops::Range<i32>,
    look: impl Fn(&Table<0>) + Copy + Send + Sync + 'static,
    change: impl Fn(&Table<0>, &mut Changes) -> Retired + Send + Sync + 'static,
    how: Wait,
) {
    explore(preemptions, move || {
        let shared = Arc::new((Table::new(), word()));
        let (table, word) = &*shared;
        let mut changes = Changes::default();
        for location in locations.clone() {
            changes.set(table, 64, location, KEPT).unwrap();
        }
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (table, word) = &*shared;
                for _ in 0..2 {
                    word.enter();
                    look(table);
                    word.leave();
                }
            })
        };
        let retired = change(table, &mut changes);
        if let Some(array) = &retired {
            wait(word, how);
            array.work.spoil(SPOILT);
        }
        reader.join().unwrap();
        drop((retired, changes.clear(table)));
    });
}

/// A reader's look-up.
fn get(table: &Table<0>, code: usize, location: i32) -> u8 {
    // SAFETY: readers call this inside.
    unsafe { table.get(code, location) }
}

fn a_table_grows(how: Wait) {
    let look = |table: &Table<0>| {
        assert_eq!(get(table, 64, 3), KEPT, "a key that was there throughout");
        let new = get(table, 64, FULL);
        assert!(new == 0 || new == PASSING, "a key that comes: {new:#x}");
    };
    let change = |table: &Table<0>, changes: &mut Changes| {
        let retired = changes.set(table, 64, FULL, PASSING).unwrap();
        assert!(retired.is_some(), "the table grew");
        retired
    };
    a_table_changes(0..FULL, look, change, how);
}

#[test]
fn a_key_is_found_while_its_table_grows() {
    a_table_grows(Wait::Right);
}

#[test]
#[should_panic = "a key that was there throughout"]
fn a_freed_array_is_used_without_waiting() {
    a_table_grows(Wait::Not);
}

#[test]
#[should_panic = "a key that was there throughout"]
fn a_freed_array_is_used_without_the_writers_barrier() {
    a_table_grows(Wait::NoBarrier);
}

/// All of a table's keys go at once with their code, and one of them comes back.
fn a_code_is_forgotten(how: Wait) {
    let look = |table: &Table<0>| {
        let old = get(table, 64, 1);
        assert!(old == 0 || old == KEPT || old == PASSING, "a key of a dead code: {old:#x}");
        assert_eq!(get(table, 64, 2), 0, "a key that never was");
    };
    let change = |table: &Table<0>, changes: &mut Changes| {
        let retired = changes.forget(table, 64, |byte| assert_eq!(byte, KEPT));
        assert!(changes.set(table, 64, 1, PASSING).unwrap().is_none());
        retired
    };
    a_table_changes(0..2, look, change, how);
}

#[test]
fn a_dead_codes_keys_have_a_byte_of_theirs_or_none() {
    a_code_is_forgotten(Wait::Right);
}

#[test]
#[should_panic = "a key of a dead code"]
fn a_forgotten_array_is_used_without_waiting() {
    a_code_is_forgotten(Wait::Not);
}

#[test]
fn a_key_is_found_while_another_code_dies() {
    let look = |table: &Table<0>| {
        assert_eq!(get(table, 64, 1), KEPT, "a key that was there throughout");
        let other = get(table, 128, 1);
        assert!(other == 0 || other == PASSING, "a key that comes and goes: {other:#x}");
    };
    let change = |table: &Table<0>, changes: &mut Changes| {
        assert!(changes.set(table, 128, 1, PASSING).unwrap().is_none());
        changes.forget(table, 128, |byte| assert_eq!(byte, PASSING))
    };
    a_table_changes(0..2, look, change, Wait::Right);
}

/// Keys of a code are put in, and one that is not is looked for: of each code, the location that an
/// empty entry has, so that it may begin where another key is just being put.
#[test]
fn a_key_that_comes_is_not_taken_for_another() {
    for code in [0, 32, 72, 1024] {
        let look = move |table: &Table<0>| {
            assert_eq!(get(table, code, 0), 0, "a false hit, code {code}");
        };
        let change = move |table: &Table<0>, changes: &mut Changes| {
            for location in 1..FULL {
                assert!(changes.set(table, code, location, PASSING).unwrap().is_none());
            }
            None
        };
        a_table_changes_within(1, 0..1, look, change, Wait::Right);
    }
    // NULL must not be taken for what marks an empty entry.
    let look = |table: &Table<0>| {
        for location in [0, 3] {
            assert_eq!(get(table, 0, location), 0, "a false hit of NULL");
        }
    };
    let change = |table: &Table<0>, changes: &mut Changes| {
        for code in 1..FULL as usize {
            assert!(changes.set(table, code * 16, 3, PASSING).unwrap().is_none());
        }
        None
    };
    a_table_changes_within(1, 0..1, look, change, Wait::Right);
}

/// How an entry is put in and looked at, in small.
fn an_entry_comes(order: Ordering) {
    explore(3, move || {
        let entry = (AtomicUsize::new(usize::MAX), AtomicU64::new(0), AtomicU8::new(0));
        let shared = Arc::new(entry);
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (code, location, byte) = &*shared;
                // Looks for location 0 of the code; 7 is put in.
                if code.load(Acquire) == 64 && location.load(Relaxed) == 0 {
                    assert_eq!(byte.load(Relaxed), 0, "a false hit");
                }
            })
        };
        let (code, location, byte) = &*shared;
        location.store(7, Relaxed);
        code.store(64, order);
        byte.store(PASSING, Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn a_code_comes_with_its_location() {
    an_entry_comes(Release);
}

#[test]
#[should_panic = "a false hit"]
fn a_code_comes_without_its_location_if_it_is_not_released() {
    an_entry_comes(Relaxed);
}

// --- what is published once and for all ---

/// A value that is set while another thread reads it. It lives for ever, so it is leaked.
fn a_value_is_published(
    set: fn(&Shelf, &'static Value),
    get: fn(&Shelf) -> Option<&'static Value>,
) {
    explore(3, move || {
        let shelf = Arc::new((Published::new(), AtomicPtr::new(null_mut())));
        let reader = {
            let shelf = shelf.clone();
            thread::spawn(move || {
                if let Some(value) = get(&shelf) {
                    value.0.with(|value| {
                        // SAFETY: loom complains before this if anybody could be writing it.
                        assert_eq!(unsafe { *value }, 1);
                    });
                }
            })
        };
        let value: &'static Value = Box::leak(Box::new(Value(UnsafeCell::new(0))));
        value.0.with_mut(|value| {
            // SAFETY: as above.
            unsafe { *value = 1 };
        });
        set(&shelf, value);
        reader.join().unwrap();
    });
}

struct Value(UnsafeCell<u32>);

// SAFETY: loom watches the cell.
unsafe impl Sync for Value {}

type Shelf = (Published<Value>, AtomicPtr<Value>);

#[test]
fn a_published_value_is_seen_whole() {
    a_value_is_published(|shelf, value| shelf.0.set(value), |shelf| shelf.0.get());
}

#[test]
#[should_panic]
fn a_value_is_not_seen_whole_if_it_is_not_released() {
    a_value_is_published(
        |shelf, value| shelf.1.store(core::ptr::from_ref(value).cast_mut(), Relaxed),
        // SAFETY: NULL, or a value that was leaked.
        |shelf| unsafe { shelf.1.load(Acquire).as_ref() },
    );
}

// --- a switch that others are set by (attach) ---

/// How something is set by a switch: [`Switch`], or a copy.
trait Follow: Send + Sync + 'static {
    fn set(&self, on: bool);
    fn follow(&self, set: impl FnMut(bool));
}

impl Follow for Switch {
    fn set(&self, on: bool) {
        Switch::set(self, on);
    }

    fn follow(&self, set: impl FnMut(bool)) {
        Switch::follow(self, set);
    }
}

/// A copy of [`Switch`] from which something is left out.
struct CopiedSwitch {
    on: AtomicBool,
    again: bool,
    /// Between setting and whatever follows.
    sets_with_fence: bool,
    fence: bool,
}

fn copied_switch(again: bool, sets_with_fence: bool, fence: bool) -> CopiedSwitch {
    CopiedSwitch { on: AtomicBool::new(true), again, sets_with_fence, fence }
}

impl Follow for CopiedSwitch {
    fn set(&self, on: bool) {
        self.on.store(on, SeqCst);
        if self.sets_with_fence {
            fence(SeqCst);
        }
    }

    fn follow(&self, mut set: impl FnMut(bool)) {
        loop {
            let on = self.on.load(SeqCst);
            set(on);
            if self.fence {
                fence(SeqCst);
            }
            if !self.again || self.on.load(SeqCst) == on {
                return;
            }
        }
    }
}

/// Emitters are put to sleep and woken again, while another thread hands its slot over. A slot has two
/// words, which are stored in the order of `attach`.
fn a_slot_is_handed_over<F: Follow>(switch: fn() -> F) {
    explore(3, move || {
        let shared = Arc::new((switch(), AtomicBool::new(false), AtomicBool::new(false)));
        let follow = |(switch, table, version): &(F, AtomicBool, AtomicBool)| {
            switch.follow(|on| {
                let (first, then) = if on { (table, version) } else { (version, table) };
                first.store(on, Release);
                then.store(on, Release);
            });
        };
        let emitter = {
            let shared = shared.clone();
            thread::spawn(move || follow(&shared))
        };
        shared.0.set(false);
        follow(&shared);
        shared.0.set(true);
        follow(&shared);
        emitter.join().unwrap();
        assert!(shared.1.load(Acquire), "a slot is not as its switch");
        assert!(shared.2.load(Acquire), "a slot is not as its switch");
    });
}

#[test]
fn a_slot_is_as_its_switch() {
    a_slot_is_handed_over(Switch::on);
    a_slot_is_handed_over(|| copied_switch(true, true, true));
}

#[test]
#[should_panic = "a slot is not as its switch"]
fn a_slot_stays_asleep_if_nobody_looks_again() {
    a_slot_is_handed_over(|| copied_switch(false, true, true));
}

#[test]
#[should_panic = "a slot is not as its switch"]
fn a_slot_stays_asleep_without_the_fence() {
    a_slot_is_handed_over(|| copied_switch(true, true, false));
}

#[test]
#[should_panic = "a slot is not as its switch"]
fn a_slot_stays_asleep_if_setting_has_no_fence() {
    a_slot_is_handed_over(|| copied_switch(true, false, true));
}

// --- the list of threads ---

/// A record: what its owner writes before it is pushed, and whether it is still there.
struct Node {
    next: AtomicPtr<Node>,
    written: UnsafeCell<u32>,
}

// SAFETY: loom watches the cell.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Link for Node {
    fn next(&self) -> &AtomicPtr<Node> {
        &self.next
    }
}

fn node() -> Node {
    Node { next: AtomicPtr::new(null_mut()), written: UnsafeCell::new(0) }
}

/// [`List`], or a copy.
trait Nodes: Send + Sync + 'static {
    fn push(&self, node: &Node);
    fn unlink(&self, node: &Node);
    fn visit(&self, visit: impl FnMut(&Node));
}

// SAFETY (of the blocks below): nodes live as long as the model, are pushed once, and taken off and
// walked by one thread, as under the lock.
impl Nodes for List<Node> {
    fn push(&self, node: &Node) {
        // SAFETY: see above.
        unsafe { List::push(self, node) };
    }

    fn unlink(&self, node: &Node) {
        // SAFETY: see above.
        unsafe { List::unlink(self, node) };
    }

    fn visit(&self, visit: impl FnMut(&Node)) {
        // SAFETY: see above.
        unsafe { List::visit(self, visit) };
    }
}

/// A copy of [`List`] from which something is left out.
struct CopiedList {
    head: AtomicPtr<Node>,
    /// Pushing is a load and a store.
    stores: bool,
    /// What pushing and taking off do to the head.
    order: Ordering,
    /// Taking off the first one is a store.
    unlinks_by_store: bool,
}

fn copied_list(stores: bool, order: Ordering, unlinks_by_store: bool) -> CopiedList {
    CopiedList { head: AtomicPtr::new(null_mut()), stores, order, unlinks_by_store }
}

impl Nodes for CopiedList {
    fn push(&self, node: &Node) {
        let this = core::ptr::from_ref(node).cast_mut();
        let mut head = self.head.load(Relaxed);
        loop {
            node.next.store(head, Relaxed);
            if self.stores {
                self.head.store(this, self.order);
                return;
            }
            match self.head.compare_exchange_weak(head, this, self.order, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn unlink(&self, node: &Node) {
        let this = core::ptr::from_ref(node).cast_mut();
        let next = node.next.load(Relaxed);
        if self.unlinks_by_store && self.head.load(Relaxed) == this {
            self.head.store(next, self.order);
        } else if self.head.compare_exchange(this, next, self.order, Relaxed).is_err() {
            let mut at = self.head.load(Acquire);
            let before = loop {
                // SAFETY: NULL, or a node of the model.
                let node = unsafe { at.as_ref() }.expect("a thread is lost");
                at = node.next.load(Relaxed);
                if at == this {
                    break node;
                }
            };
            before.next.store(next, Relaxed);
        }
    }

    fn visit(&self, mut visit: impl FnMut(&Node)) {
        let mut at = self.head.load(Acquire);
        // SAFETY: NULL, or a node of the model.
        while let Some(node) = unsafe { at.as_ref() } {
            visit(node);
            at = node.next.load(Relaxed);
        }
    }
}

/// Two threads come, while the writer walks and a third ends.
fn threads_come_and_go<L: Nodes>(list: fn() -> L) {
    explore(3, move || {
        let shared = Arc::new((list(), [node(), node(), node()]));
        let (list, nodes) = &*shared;
        list.push(&nodes[2]);
        let threads = [0, 1].map(|index| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (list, nodes) = &*shared;
                nodes[index].written.with_mut(|written| {
                    // SAFETY: loom complains before this if anybody could be reading it.
                    unsafe { *written = 1 };
                });
                list.push(&nodes[index]);
            })
        });
        let walk = || {
            let mut found = [false; 3];
            list.visit(|node| {
                let index = nodes.iter().position(|known| core::ptr::eq(known, node));
                found[index.expect("one of ours")] = true;
                node.written.with(|_| ());
            });
            found
        };
        assert!(walk()[2], "a thread is lost");
        list.unlink(&nodes[2]);
        assert!(!walk()[2], "a thread that ended is found");
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(walk(), [true, true, false], "a thread is lost");
    });
}

#[test]
fn no_thread_is_lost_and_each_is_seen_whole() {
    threads_come_and_go(List::new);
    threads_come_and_go(|| copied_list(false, Release, false));
}

#[test]
#[should_panic]
fn a_thread_is_not_seen_whole_if_it_is_not_released() {
    threads_come_and_go(|| copied_list(false, Relaxed, false));
}

#[test]
#[should_panic = "a thread is lost"]
fn a_thread_is_lost_if_pushing_only_stores() {
    threads_come_and_go(|| copied_list(true, Release, false));
}

#[test]
#[should_panic = "a thread "] // is lost, or one that ended is found
fn a_thread_is_lost_if_the_first_is_taken_off_by_a_store() {
    threads_come_and_go(|| copied_list(false, Release, true));
}

// --- copies: versions and states (registry, scope) ---

/// What the registry publishes of one event, and one scope with one state.
struct Monitoring {
    /// The tools that may want the event.
    active: AtomicU8,
    version: AtomicU64,
    state: AtomicU8,
    scope: AtomicU64,
}

/// What may be left out.
#[derive(Clone, Copy, Default)]
struct Left {
    /// The version is published before the tools.
    order_of_publishing: bool,
    /// The scope stores a version that it loads after the tools.
    order_of_reading: bool,
    /// The version is published without Release.
    release: bool,
    /// Nobody is inside while filling.
    inside: bool,
    /// The version is not published once more.
    again: bool,
    /// It is, but without waiting.
    wait: bool,
}

impl Monitoring {
    fn new() -> Monitoring {
        Monitoring {
            active: AtomicU8::new(1),
            version: AtomicU64::new(1),
            state: AtomicU8::new(0),
            scope: AtomicU64::new(0),
        }
    }

    /// `Control::publish`.
    fn publish(&self, tools: u8, version: u64, left: Left) {
        let release = if left.release { Relaxed } else { Release };
        if left.order_of_publishing {
            self.version.store(version, release);
            self.active.store(tools, Relaxed);
        } else {
            self.active.store(tools, Relaxed);
            self.version.store(version, release);
        }
    }

    /// `rmon_enter_scope`, with its inline part.
    fn enter(&self, word: &Word, left: Left) {
        if self.scope.load(Acquire) == self.version.load(Acquire) {
            return;
        }
        if !left.inside {
            word.enter();
        }
        let mut now = self.version.load(Acquire);
        let tools = self.active.load(Relaxed);
        if left.order_of_reading {
            now = self.version.load(Acquire);
        }
        self.state.store(tools, Relaxed);
        self.scope.store(now, Release);
        if !left.inside {
            word.leave();
        }
    }

    /// Nobody is doing anything any more: whoever comes next finds what there is.
    fn settled(&self, word: &Word, tools: u8) {
        self.enter(word, Left::default());
        assert_eq!(self.state.load(Relaxed), tools, "a scope that is current has an old state");
    }
}

/// One thread enters its scope twice while what is listened to changes twice.
fn a_scope_is_entered(left: Left) {
    explore(3, move || {
        let shared = Arc::new((Monitoring::new(), word()));
        let emitter = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (monitoring, word) = &*shared;
                monitoring.enter(word, left);
                monitoring.enter(word, left);
            })
        };
        let (monitoring, word) = &*shared;
        monitoring.publish(3, 2, left);
        monitoring.publish(2, 3, left);
        emitter.join().unwrap();
        monitoring.settled(word, 2);
    });
}

#[test]
fn a_scope_that_is_current_has_what_was_published() {
    a_scope_is_entered(Left::default());
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_change_is_lost_if_the_version_is_published_first() {
    a_scope_is_entered(Left { order_of_publishing: true, ..Left::default() });
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_change_is_lost_if_the_scope_asks_for_the_version_last() {
    a_scope_is_entered(Left { order_of_reading: true, ..Left::default() });
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_change_is_lost_if_the_version_is_not_released() {
    a_scope_is_entered(Left { release: true, ..Left::default() });
}

/// Two threads enter the same scope while what is listened to changes.
fn a_scope_is_shared(left: Left) {
    explore(3, move || {
        let shared = Arc::new((Monitoring::new(), [word(), word()]));
        let emitters = [0, 1].map(|index| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (monitoring, words) = &*shared;
                monitoring.enter(&words[index], left);
            })
        });
        let (monitoring, words) = &*shared;
        monitoring.publish(3, 2, left);
        if !left.again {
            // Once all have left who are inside now, and perhaps are writing what is old.
            for word in words {
                wait(word, if left.wait { Wait::Not } else { Wait::Right });
            }
            monitoring.publish(3, 3, left);
        }
        for emitter in emitters {
            emitter.join().unwrap();
        }
        monitoring.settled(&words[0], 3);
    });
}

#[test]
fn a_scope_that_threads_share_has_what_was_published() {
    a_scope_is_shared(Left::default());
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_shared_scope_stays_old_if_the_version_is_published_once() {
    a_scope_is_shared(Left { again: true, ..Left::default() });
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_shared_scope_stays_old_if_nobody_is_waited_for() {
    a_scope_is_shared(Left { wait: true, ..Left::default() });
}

#[test]
#[should_panic = "a scope that is current has an old state"]
fn a_shared_scope_stays_old_if_those_who_fill_are_not_inside() {
    a_scope_is_shared(Left { inside: true, ..Left::default() });
}

// --- copies: what is deferred (reclaim) ---

/// What may be left out of [`Reclaim`].
#[derive(Clone, Copy, Default)]
struct Omit {
    /// Who takes jobs does not count as running them.
    running: bool,
    /// It does so only after it has let the lock go.
    running_early: bool,
    /// `synchronize` does not run what is ready.
    collects: bool,
    /// Who leaves and is awaited does not look for what is ready, nor does a thread's end.
    leaving: bool,
    /// A job is run at once.
    wait: bool,
}

/// `reclaim` with one job, and one reader.
struct Reclaim {
    pending: Mutex<Pending>,
    reader: Word,
    awaited: AtomicU8,
    left: Omit,
    /// How often the job has run.
    ran: AtomicU8,
    /// What the job frees, and the reader uses.
    data: UnsafeCell<usize>,
    registered: AtomicU8,
}

struct Pending {
    /// The job's ticket, if it is there.
    job: Option<u64>,
    last_ticket: u64,
    running: [usize; 2],
    phase: usize,
    /// The reader's record: the visit that was waited for last, and the first ticket that waits for it.
    mark: u64,
    since: u64,
}

impl Pending {
    /// `next_ticket` and `thread::mark`: the ticket, and whether the reader is inside.
    fn mark(&mut self, reader: &Word) -> (u64, bool) {
        self.last_ticket += 1;
        let visit = reader.get();
        if let Some(visit) = visit
            && self.mark != visit
        {
            (self.mark, self.since) = (visit, self.last_ticket);
        }
        (self.last_ticket, visit.is_some())
    }

    fn have_finished(&mut self, asked: &mut Option<usize>) -> bool {
        let asked = *asked.get_or_insert(self.phase);
        if self.phase == asked && self.running[(asked + 1) % 2] == 0 {
            self.phase += 1;
        }
        self.phase > asked + 1 || (self.phase == asked + 1 && self.running[asked % 2] == 0)
    }

    /// `thread::first_waiting`.
    fn first_waiting(&self, reader: &Word) -> u64 {
        if reader.get() == Some(self.mark) { self.since } else { u64::MAX }
    }
}

// SAFETY: loom watches the cell.
unsafe impl Send for Reclaim {}
// SAFETY: as above.
unsafe impl Sync for Reclaim {}

impl Reclaim {
    fn new(left: Omit) -> Reclaim {
        Reclaim {
            pending: Mutex::new(Pending {
                job: None,
                last_ticket: 0,
                running: [0; 2],
                phase: 0,
                mark: 0,
                since: 0,
            }),
            reader: word(),
            awaited: AtomicU8::new(0),
            left,
            ran: AtomicU8::new(0),
            data: UnsafeCell::new(0),
            registered: AtomicU8::new(1),
        }
    }

    /// `defer`, after unpublishing.
    fn defer(&self) {
        self.registered.store(0, Relaxed);
        fence(SeqCst); // `barrier`
        let mut pending = self.pending.lock().unwrap();
        let (ticket, is_inside) = pending.mark(&self.reader);
        if is_inside {
            self.awaited.store(1, Relaxed);
        }
        pending.job = Some(ticket);
        drop(pending);
        self.collect();
    }

    fn collect(&self) {
        let mut pending = self.pending.lock().unwrap();
        match pending.job {
            Some(ticket) if self.left.wait || ticket < pending.first_waiting(&self.reader) => {}
            _ => return,
        }
        pending.job = None;
        let phase = pending.phase;
        if !self.left.running && !self.left.running_early {
            pending.running[phase % 2] += 1;
        }
        drop(pending);
        if self.left.running_early {
            self.pending.lock().unwrap().running[phase % 2] += 1;
        }
        self.data.with_mut(|data| {
            // SAFETY: loom complains before this if anybody else could be using it.
            unsafe { *data = FREED };
        });
        self.ran.store(self.ran.load(Relaxed) + 1, Relaxed);
        if !self.left.running {
            self.pending.lock().unwrap().running[phase % 2] -= 1;
        }
    }

    fn synchronize(&self) {
        fence(SeqCst); // `barrier`
        let mut pending = self.pending.lock().unwrap();
        let (ticket, _) = pending.mark(&self.reader);
        while pending.first_waiting(&self.reader) <= ticket {
            drop(pending);
            thread::yield_now();
            pending = self.pending.lock().unwrap();
        }
        drop(pending);
        if !self.left.collects {
            self.collect();
        }
        let mut asked = None;
        while !self.pending.lock().unwrap().have_finished(&mut asked) {
            thread::yield_now();
        }
    }

    /// A fire.
    fn fire(&self) {
        self.reader.enter();
        if self.registered.load(Relaxed) == 1 {
            self.data.with(|data| {
                // SAFETY: as above.
                assert_eq!(unsafe { *data }, 0, "used after it was freed");
            });
        }
        self.reader.leave();
        if self.awaited.load(Relaxed) != 0 && !self.left.leaving {
            self.collect();
        }
    }

    /// `end_thread`.
    fn end(&self) {
        if !self.left.leaving {
            self.collect();
        }
    }
}

/// A callback is removed while a thread fires and ends. `synchronizes`: the writer waits for its end.
fn a_callback_is_removed(synchronizes: bool, left: Omit) {
    explore(3, move || {
        let shared = Arc::new(Reclaim::new(left));
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.fire();
                shared.end();
            })
        };
        shared.defer();
        if synchronizes {
            shared.synchronize();
            assert_eq!(shared.ran.load(Relaxed), 1, "not destroyed when synchronize returns");
        }
        reader.join().unwrap();
        assert_eq!(shared.ran.load(Relaxed), 1, "never destroyed, or twice");
    });
}

#[test]
fn what_was_removed_is_destroyed_when_synchronize_returns() {
    a_callback_is_removed(true, Omit::default());
}

#[test]
fn what_was_removed_is_destroyed_once_nobody_is_inside_any_more() {
    a_callback_is_removed(false, Omit::default());
}

#[test]
#[should_panic]
fn what_was_removed_is_destroyed_in_use_if_jobs_do_not_wait() {
    a_callback_is_removed(false, Omit { wait: true, ..Omit::default() });
}

#[test]
#[should_panic = "not destroyed when synchronize returns"]
fn synchronize_returns_too_early_if_it_does_not_wait_for_jobs_that_run_elsewhere() {
    a_callback_is_removed(true, Omit { running: true, ..Omit::default() });
}

#[test]
#[should_panic = "not destroyed when synchronize returns"]
fn synchronize_returns_too_early_if_jobs_are_counted_without_the_lock() {
    a_callback_is_removed(true, Omit { running_early: true, ..Omit::default() });
}

#[test]
#[should_panic = "not destroyed when synchronize returns"]
fn synchronize_returns_too_early_if_it_runs_nothing() {
    a_callback_is_removed(true, Omit { collects: true, leaving: true, ..Omit::default() });
}

#[test]
#[should_panic = "never destroyed"]
fn what_was_removed_stays_if_nobody_looks_when_leaving() {
    a_callback_is_removed(false, Omit { leaving: true, ..Omit::default() });
}

// --- copies: a thread that is seen for the first time (thread, reclaim) ---

/// A thread puts itself on the list and goes inside, while the writer removes what it may find there.
fn a_thread_comes<L: Nodes>(list: fn() -> L) {
    explore(3, move || {
        let shared = Arc::new(Newcomer {
            list: list(),
            node: node(),
            word: copied(false, Release, Release),
            registered: AtomicU8::new(1),
            data: UnsafeCell::new(0),
        });
        let reader = {
            let shared = shared.clone();
            thread::spawn(move || {
                // `Current::register`.
                shared.list.push(&shared.node);
                // A fire. Its own fence is the writer's barrier, which passes listed threads only, so
                // that there is none here.
                shared.word.enter();
                if shared.registered.load(Relaxed) == 1 {
                    shared.data.with(|_| ());
                }
                shared.word.leave();
            })
        };
        shared.registered.store(0, Relaxed);
        fence(SeqCst);
        shared.list.visit(|_| {
            // What the barrier makes of the reader's entry cannot be said here: a listed thread is
            // waited for until it has been seen outside after an entry.
            while shared.word.word.load(Acquire) != 3 {
                thread::yield_now();
            }
        });
        shared.data.with_mut(|_| ());
        reader.join().unwrap();
    });
}

struct Newcomer<L> {
    list: L,
    node: Node,
    word: Copied,
    registered: AtomicU8,
    data: UnsafeCell<u32>,
}

// SAFETY: loom watches the cell.
unsafe impl<L: Sync> Sync for Newcomer<L> {}

#[test]
fn a_thread_that_is_not_on_the_list_yet_sees_what_was_removed() {
    a_thread_comes(List::new);
}

#[test]
#[should_panic]
fn a_thread_that_is_not_on_the_list_yet_misses_a_removal_without_its_fence() {
    a_thread_comes(|| copied_list(false, Release, false));
}
