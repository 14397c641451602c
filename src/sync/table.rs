//! (code, location, event) → tools: an open-addressing table that is read without a lock.
//!
//! Two words an entry, keys compared whole: a false hit would lose an event. Entries are only ever
//! added; one that means nothing any more keeps its key with no tools, until the table is next
//! rebuilt. A rebuild makes a new array and hands out the old one, which the caller frees once no
//! reader can be in it.
//!
//! The writer also keeps, per code, a chain through its entries, so that a code's death costs what
//! the code has, not what the table holds.
//!
//! # Synchronization
//!
//! The code is written before the word, whose `USED` bit publishes the entry (Release, paired with
//! the Acquire in [`Table::tools`]). Afterwards only the tools in the word change. The array pointer
//! is published with Release and loaded with Acquire.

use core::ptr::null_mut;
use std::collections::HashMap;

use super::prim::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Bits of an entry's word: tools in the lowest byte, the event in the next, then the flags; the
/// location in the upper half.
const TOOLS: u64 = 0xff;
const EVENT_SHIFT: u32 = 8;
/// The entry is there.
const USED: u64 = 1 << 16;
/// The entry is in its code's chain.
const CHAINED: u64 = 1 << 17;
const LOCATION_SHIFT: u32 = 32;
/// What two words of one key have in common.
const KEY: u64 = 0xffff_ffff_0000_ff00;

/// The least capacity; a power of two.
const LEAST: usize = 16;
/// No next entry in a chain.
const END: u32 = u32::MAX;

#[derive(Debug)]
struct Entry {
    code: AtomicUsize,
    word: AtomicU64,
}

/// What readers search: a power of two of entries, at least a quarter of them unused.
#[derive(Debug)]
pub struct Array {
    /// 64 less the logarithm of the number of entries.
    shift: u32,
    entries: Box<[Entry]>,
}

#[inline(always)]
fn key_of(location: i32, event: u8) -> u64 {
    (location as u32 as u64) << LOCATION_SHIFT | (event as u64) << EVENT_SHIFT
}

impl Array {
    fn new(capacity: usize) -> Option<Array> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(capacity).ok()?;
        entries
            .resize_with(capacity, || Entry { code: AtomicUsize::new(0), word: AtomicU64::new(0) });
        Some(Array { shift: 64 - capacity.trailing_zeros(), entries: entries.into_boxed_slice() })
    }

    /// Where to begin. Fibonacci hashing: codes are aligned and locations small, so both go through
    /// a multiplication and the upper bits are taken.
    #[inline(always)]
    fn start(&self, code: usize, key: u64) -> usize {
        let mixed = (code as u64 ^ key.rotate_left(24)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> self.shift) as usize
    }

    /// The entry of a key, or the unused one where it would be put.
    #[inline(always)]
    fn find(&self, code: usize, key: u64) -> (usize, u64) {
        let mask = self.entries.len() - 1;
        let mut index = self.start(code, key) & mask;
        loop {
            // SAFETY: `mask` is one less than the number of entries, a power of two.
            let entry = unsafe { self.entries.get_unchecked(index) };
            // Acquire: pairs with the Release of a new entry's word, so its code is seen.
            let word = entry.word.load(Acquire);
            if word & USED == 0 || (word & KEY == key && entry.code.load(Relaxed) == code) {
                return (index, word);
            }
            index = (index + 1) & mask;
        }
    }
}

/// The readers' half: a pointer to the current array, or NULL for none.
#[derive(Debug)]
pub struct Table(AtomicPtr<Array>);

impl Table {
    /// An empty table.
    #[cfg(not(loom))]
    pub const fn new() -> Table {
        Table(AtomicPtr::new(null_mut()))
    }

    /// An empty table.
    #[cfg(loom)]
    pub fn new() -> Table {
        Table(AtomicPtr::new(null_mut()))
    }

    /// The tools of a key.
    ///
    /// # Safety
    /// The caller is a reader, inside, or holds the writer's lock.
    #[inline(always)]
    pub unsafe fn tools(&self, code: usize, location: i32, event: u8) -> u8 {
        // Acquire: pairs with the Release in `publish`.
        let array = self.0.load(Acquire);
        if array.is_null() {
            return 0;
        }
        // SAFETY: an array is freed only after every reader that could have loaded it has left, and
        // never while the writer's lock is held.
        let array = unsafe { &*array };
        array.find(code, key_of(location, event)).1 as u8
    }
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

/// The writer's half: what it takes to change a [`Table`]. One for one.
#[derive(Debug, Default)]
pub struct Changes {
    /// Entries of the current array with `USED`.
    used: usize,
    /// Of those, the ones with tools.
    live: usize,
    /// Parallel to the entries: the next of the same code.
    next: Vec<u32>,
    /// The first entry of each code that has any.
    heads: HashMap<usize, u32>,
}

/// No memory for a larger table.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What a change leaves behind: an array to be freed when no reader can be in it.
pub type Retired = Option<Box<Array>>;

impl Changes {
    /// How many keys have tools.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many bytes the table takes, apart from its own head.
    pub fn bytes(&self) -> usize {
        self.next.capacity() * (size_of::<Entry>() + size_of::<u32>())
            + self.heads.capacity() * (size_of::<(usize, u32)>() + 1)
    }

    /// The current array; the writer's lock is held.
    fn array<'a>(&self, table: &'a Table) -> Option<&'a Array> {
        // SAFETY: published by `publish` from a Box and replaced by the writer alone, which the
        // caller is.
        unsafe { table.0.load(Relaxed).as_ref() }
    }

    /// Sets the tools of a key. Returns what it was, and what is left behind.
    pub fn set(
        &mut self,
        table: &Table,
        code: usize,
        location: i32,
        event: u8,
        tools: u8,
    ) -> Result<(u8, Retired), Full> {
        let key = key_of(location, event);
        let mut retired = None;
        let found = self.array(table).map(|array| array.find(code, key));
        let (index, word) = match found {
            Some((index, word)) if word & USED != 0 => (index, word),
            _ if tools == 0 => return Ok((0, None)),
            Some(found) if (self.used + 1) * 4 <= self.next.len() * 3 => found,
            _ => {
                retired = self.rebuild(table, self.live + 1)?;
                match self.array(table) {
                    Some(array) => array.find(code, key),
                    None => return Err(Full),
                }
            }
        };
        let Some(entry) = self.array(table).and_then(|array| array.entries.get(index)) else {
            return Err(Full);
        };
        if word & USED == 0 {
            entry.code.store(code, Relaxed);
            self.used += 1;
        }
        if word & CHAINED == 0 {
            let head = self.heads.insert(code, index as u32);
            self.next[index] = head.unwrap_or(END);
        }
        let old = word as u8;
        self.live = self.live + usize::from(tools != 0) - usize::from(old != 0);
        // Release: pairs with the Acquire in `find`, so a new entry's code is seen.
        entry.word.store(key | USED | CHAINED | tools as u64, Release);
        Ok((old, retired))
    }

    /// Takes all tools from a code's keys; `dropped` is told each event and the tools it had.
    pub fn forget(
        &mut self,
        table: &Table,
        code: usize,
        mut dropped: impl FnMut(u8, u8),
    ) -> Retired {
        let mut index = self.heads.remove(&code)?;
        let array = self.array(table)?;
        while index != END {
            let entry = &array.entries[index as usize];
            let word = entry.word.load(Relaxed);
            if word & TOOLS != 0 {
                self.live -= 1;
                dropped((word >> EVENT_SHIFT) as u8, word as u8);
            }
            entry.word.store(word & !(TOOLS | CHAINED), Relaxed);
            index = self.next[index as usize];
        }
        self.shrink(table)
    }

    /// Takes one set of tools from all keys.
    pub fn remove_tools(&mut self, table: &Table, tools: u8) -> Retired {
        let array = self.array(table)?;
        for entry in &array.entries {
            let word = entry.word.load(Relaxed);
            if word & tools as u64 != 0 {
                let left = word & !(tools as u64);
                self.live -= usize::from(left & TOOLS == 0);
                entry.word.store(left, Relaxed);
            }
        }
        self.shrink(table)
    }

    /// Every key that has tools: code, event, tools.
    pub fn for_each(&self, table: &Table, mut visit: impl FnMut(usize, u8, u8)) {
        for entry in self.array(table).iter().flat_map(|array| &array.entries) {
            let word = entry.word.load(Relaxed);
            if word & TOOLS != 0 {
                visit(entry.code.load(Relaxed), (word >> EVENT_SHIFT) as u8, word as u8);
            }
        }
    }

    /// Empties the table.
    pub fn clear(&mut self, table: &Table) -> Retired {
        *self = Changes::default();
        publish(table, None)
    }

    /// Rebuilds a table that is mostly dead, so that nothing is kept for codes that are gone.
    fn shrink(&mut self, table: &Table) -> Retired {
        if self.live == 0 {
            self.clear(table)
        } else if self.live * 8 < self.used && self.used > LEAST {
            // Without memory for a smaller table the large one stays: it is right, only large.
            self.rebuild(table, self.live).unwrap_or(None)
        } else {
            None
        }
    }

    /// Moves what is live to a new array with room for `room` keys, and publishes it.
    fn rebuild(&mut self, table: &Table, room: usize) -> Result<Retired, Full> {
        // At most 5/8 full, so that an eighth of the table is filled before the next rebuild.
        let capacity = (room * 8).div_ceil(5).next_power_of_two().max(LEAST);
        if capacity > END as usize {
            return Err(Full);
        }
        let array = Array::new(capacity).ok_or(Full)?;
        let mut next = Vec::new();
        next.try_reserve_exact(capacity).map_err(|_| Full)?;
        next.resize(capacity, END);
        let mut heads = HashMap::new();
        heads.try_reserve(self.heads.len()).map_err(|_| Full)?;
        for old in self.array(table).iter().flat_map(|old| &old.entries) {
            let word = old.word.load(Relaxed);
            if word & TOOLS == 0 {
                continue;
            }
            let code = old.code.load(Relaxed);
            let (index, _) = array.find(code, word & KEY);
            array.entries[index].code.store(code, Relaxed);
            // Relaxed: the whole array is published below.
            array.entries[index].word.store(word | CHAINED, Relaxed);
            next[index] = heads.insert(code, index as u32).unwrap_or(END);
        }
        (self.used, self.next, self.heads) = (self.live, next, heads);
        Ok(publish(table, Some(Box::new(array))))
    }
}

/// Makes an array the current one; the old one is what is left behind.
fn publish(table: &Table, array: Option<Box<Array>>) -> Retired {
    let new = array.map_or(null_mut(), Box::into_raw);
    let old = table.0.load(Relaxed);
    // Release: pairs with the Acquire in `tools`, so the array's entries are seen.
    table.0.store(new, Release);
    // SAFETY: `old` came from `Box::into_raw` here and is no longer reachable for new readers; the
    // caller keeps the box until the others have left.
    (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn get(table: &Table, code: usize, location: i32, event: u8) -> u8 {
        // SAFETY: the test's thread is the writer.
        unsafe { table.tools(code, location, event) }
    }

    #[test]
    fn keys_differ_in_code_location_and_event() {
        let (table, mut changes) = (Table::new(), Changes::default());
        let keys =
            [(0, 0, 0), (usize::MAX, 0, 0), (0, -1, 0), (0, i32::MAX, 0), (0, 0, 18), (16, 0, 0)];
        for (bit, (code, location, event)) in keys.into_iter().enumerate() {
            assert_eq!(get(&table, code, location, event), 0);
            changes.set(&table, code, location, event, 1 << bit).unwrap();
        }
        for (bit, (code, location, event)) in keys.into_iter().enumerate() {
            assert_eq!(get(&table, code, location, event), 1 << bit);
        }
        changes.clear(&table);
        assert_eq!(get(&table, 0, 0, 0), 0);
    }

    #[test]
    fn a_code_that_dies_takes_its_keys_with_it() {
        let (table, mut changes) = (Table::new(), Changes::default());
        for code in 1..=500usize {
            for location in 0..20 {
                changes.set(&table, code * 64, location, 5, 3).unwrap();
            }
        }
        assert_eq!(changes.live(), 10_000);
        let full = changes.bytes();
        assert!(full <= 64 * 10_000, "{full} bytes for 10,000 keys");
        for code in 1..=490usize {
            let mut count = 0;
            drop(changes.forget(&table, code * 64, |event, tools| {
                assert_eq!((event, tools), (5, 3));
                count += 1;
            }));
            assert_eq!(count, 20);
            assert_eq!(get(&table, code * 64, 7, 5), 0);
        }
        assert_eq!(changes.live(), 200);
        assert!(changes.bytes() <= 64 * 8 * 200 + 1024, "{} bytes for 200 keys", changes.bytes());
        assert_eq!(get(&table, 495 * 64, 7, 5), 3);
    }

    #[test]
    fn a_key_can_die_and_come_back() {
        let (table, mut changes) = (Table::new(), Changes::default());
        changes.set(&table, 16, 1, 5, 1).unwrap();
        changes.set(&table, 32, 1, 5, 1).unwrap();
        changes.forget(&table, 16, |_, _| ());
        changes.set(&table, 16, 1, 5, 2).unwrap();
        assert_eq!(get(&table, 16, 1, 5), 2);
        let mut dropped = vec![];
        changes.forget(&table, 16, |event, tools| dropped.push((event, tools)));
        assert_eq!(dropped, [(5, 2)]);
        assert_eq!(changes.live(), 1);
    }

    #[test]
    fn a_tool_is_taken_from_all_keys() {
        let (table, mut changes) = (Table::new(), Changes::default());
        for code in 0..100usize {
            changes.set(&table, code, 0, 5, if code % 2 == 0 { 1 } else { 3 }).unwrap();
        }
        changes.remove_tools(&table, 1);
        assert_eq!(changes.live(), 50);
        assert_eq!(get(&table, 2, 0, 5), 0);
        assert_eq!(get(&table, 3, 0, 5), 2);
        changes.remove_tools(&table, 2);
        assert_eq!((changes.live(), changes.bytes()), (0, 0));
    }
}
