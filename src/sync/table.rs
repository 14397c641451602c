//! (code, location) → a byte: an open-addressing table that is read without a lock.
//!
//! The byte is a set of tools, kept so that a reader combines it with one instruction: see `code`,
//! which has one table per event and purpose. Keys are compared whole: a false hit would lose an
//! event. Entries are only ever added; one that means nothing any more keeps its key with the
//! default byte, until the table is next rebuilt. A rebuild makes a new array and hands out the old
//! one as a [`Job`], to be dropped once no reader can be in it. A change takes all the memory that it
//! needs before it changes anything; what only removes needs none.
//!
//! Entries lie in lines of four, as long as a cache line. A key is looked for from its first place on
//! through the rest of that line, then in the next: so the first few looks need no second cache line
//! and differ by a bit of the offset. That is what a fire does without a loop; see [`Table::near`].
//!
//! The writer also keeps, per code, a chain through its entries, so that a code's death costs what
//! the code has, not what the table holds.
//!
//! # Synchronization
//!
//! A new entry's location is written before its code (Release, paired with the Acquire in
//! [`Table::get`]), the byte after both. So who finds a code finds its location; and a byte that is
//! not the default's belongs to the key. An entry without a key looks like one of [`NO_CODE`]'s. The array
//! pointer is published with Release and loaded with Acquire.

use core::mem::offset_of;
use std::collections::HashMap;

use super::fold;
use super::job::Job;
use super::prim::{
    AtomicPtr, AtomicU8, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// The least capacity; a power of two.
const LEAST: usize = 16;
/// Entries of a line.
const LINE: usize = 4;
/// How many places are looked at before a fire goes the long way. With so many, one look-up in a
/// hundred does at the loads that the tables have at 100,000 disabled locations.
const NEAR: usize = 3;
/// The code of an entry without a key, whose location is 0 and whose byte the default. To a reader that is this
/// key; if the key is ever stored, that is in the first such entry where it is looked for.
const NO_CODE: usize = usize::MAX;
/// No next entry in a chain.
const END: u32 = u32::MAX;
/// The size of an entry: 16 bytes, but more under loom.
const STRIDE: usize = size_of::<Entry>();
/// The size of a line, which is also where the first entry is: the array's first line has the mask.
const LINE_SIZE: usize = size_of::<Line>();

#[derive(Debug)]
#[cfg_attr(not(loom), repr(C, align(16)))]
#[cfg_attr(loom, repr(C, align(256)))]
struct Entry {
    code: AtomicUsize,
    location: AtomicU32,
    byte: AtomicU8,
    /// 1: there is a key here.
    used: AtomicU8,
}

/// As many entries as share a cache line.
#[derive(Debug)]
#[repr(C, align(64))]
struct Line([Entry; LINE]);

// Offsets are masked, so the size must be a power of two; loom's atomics are larger.
const _: () = assert!(STRIDE.is_power_of_two() && (cfg!(loom) || STRIDE == 16));

macro_rules! entry {
    ($code:expr, $byte:expr) => {
        Entry {
            code: AtomicUsize::new($code),
            location: AtomicU32::new(0),
            byte: AtomicU8::new($byte),
            used: AtomicU8::new(0),
        }
    };
}

macro_rules! line {
    ($mask:expr, $byte:expr) => {
        Line([
            entry!($mask, $byte),
            entry!(NO_CODE, $byte),
            entry!(NO_CODE, $byte),
            entry!(NO_CODE, $byte),
        ])
    };
}

/// What readers search: a line whose first entry's `code` is a mask, then a power of two of entries, at
/// least a quarter of them without a key. The mask is the last entry's offset from the first. Made by
/// `Box::into_raw`, and freed by being dropped.
#[derive(Debug)]
pub struct Array(*mut [Line]);

// SAFETY: it owns its entries, which are atomics.
unsafe impl Send for Array {}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw` in `new`. Whoever drops an array that was published waits first
        // until no reader can be in it.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// The mask of an array of so many entries.
const fn mask_of(capacity: usize) -> usize {
    (capacity - 1) * STRIDE
}

/// Where to begin: the location is multiplied so that it reaches all bits, then both are, by a number
/// that fits into an instruction, and bits from the middle taken. The numbers were searched for: see
/// the test of distances.
#[inline(always)]
fn start(code: usize, location: i32, mask: usize) -> usize {
    let mixed = (code as u64).wrapping_add(u64::from((location as u32).wrapping_mul(0x9e37_79b1)));
    (mixed.wrapping_mul(0x7feb_352d) >> 24) as usize & mask
}

/// The place to look at after a key's first `looks`, the last of which was at `offset`.
#[inline(always)]
fn after(offset: usize, looks: usize, mask: usize) -> usize {
    match looks % LINE {
        1 | 3 => offset ^ STRIDE,
        2 => offset ^ (3 * STRIDE),
        _ => (offset ^ (3 * STRIDE)).wrapping_add(LINE_SIZE) & mask,
    }
}

/// The indices of all places where a key may be, in the order in which it is looked for.
fn places(code: usize, location: i32, capacity: usize) -> impl Iterator<Item = usize> {
    let mask = mask_of(capacity);
    let mut offset = start(code, location, mask);
    (1..=capacity).map(move |looks| {
        let index = offset / STRIDE;
        offset = after(offset, looks, mask);
        index
    })
}

impl Array {
    fn new(capacity: usize, default: u8) -> Option<Box<Job<Array>>> {
        let mut lines = Vec::new();
        let count = capacity / LINE + 1;
        lines.try_reserve_exact(count).ok()?;
        lines.push(line!(mask_of(capacity), default));
        lines.resize_with(count, || line!(NO_CODE, default));
        Job::new(Array(Box::into_raw(lines.into_boxed_slice()))).ok()
    }

    fn entries(&self) -> &[Entry] {
        let count = (self.0.len() - 1) * LINE;
        // SAFETY: from `Box::into_raw`, and shared by atomics only. A line is its entries.
        unsafe { core::slice::from_raw_parts(self.0.cast::<Line>().add(1).cast(), count) }
    }

    /// Stands for freeing under loom: from here on every key has this byte, for whoever still looks.
    #[cfg(loom)]
    pub fn spoil(&self, byte: u8) {
        self.entries().iter().for_each(|entry| entry.byte.store(byte, Relaxed));
    }

    /// The position of a key, or of the entry without one where it would be put. `None`: of neither, which no
    /// array of this file is full enough for.
    fn find(&self, code: usize, location: i32) -> Option<usize> {
        let entries = self.entries();
        places(code, location, entries.len()).find(|index| {
            let entry = &entries[*index];
            let found =
                entry.code.load(Relaxed) == code && entry.location.load(Relaxed) == location as u32;
            found || entry.used.load(Relaxed) == 0
        })
    }
}

/// The readers' half: a pointer to the current array. `DEFAULT` is the byte of a key that is not
/// there.
#[derive(Debug)]
pub struct Table<const DEFAULT: u8>(AtomicPtr<Line>);

impl<const DEFAULT: u8> Table<DEFAULT> {
    /// An empty table.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Table(AtomicPtr::new(Self::nothing()))
    }

    /// The array that all empty tables share.
    #[cfg(not(loom))]
    const fn nothing() -> *mut Line {
        static NO_TOOLS: [Line; 2] = [line!(mask_of(LINE), 0), line!(NO_CODE, 0)];
        static ALL_TOOLS: [Line; 2] = [line!(mask_of(LINE), 0xff), line!(NO_CODE, 0xff)];
        let nothing = match DEFAULT {
            0 => &NO_TOOLS,
            0xff => &ALL_TOOLS,
            _ => panic!("a table's default is no tools or all tools"),
        };
        core::ptr::from_ref(nothing).cast::<Line>().cast_mut()
    }

    /// An empty table. (Loom's atomics are made at run time.)
    #[cfg(loom)]
    pub fn new() -> Self {
        Table(AtomicPtr::new(Self::nothing()))
    }

    #[cfg(loom)]
    fn nothing() -> *mut Line {
        Box::leak(Box::new([line!(mask_of(LINE), DEFAULT), line!(NO_CODE, DEFAULT)])).as_mut_ptr()
    }

    /// The byte of a code in a table whose only location is 0.
    ///
    /// # Safety
    /// As for [`Table::get`].
    #[inline(always)]
    pub unsafe fn get_code(&self, code: usize) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { self.look_up::<false>(code, 0) }
    }

    /// The byte of a key.
    ///
    /// # Safety
    /// The caller is a reader, inside, or holds the writer's lock.
    #[inline(always)]
    pub unsafe fn get(&self, code: usize, location: i32) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { self.look_up::<true>(code, location) }
    }

    /// As [`Table::get_code`], as far as the first places tell.
    ///
    /// # Safety
    /// As for [`Table::get`].
    #[inline(always)]
    pub unsafe fn near_code(&self, code: usize) -> Look {
        // SAFETY: the caller's promise.
        unsafe { self.look_near::<false>(code, 0) }
    }

    /// As [`Table::get`], as far as the first places tell.
    ///
    /// # Safety
    /// As for [`Table::get`].
    #[inline(always)]
    pub unsafe fn near(&self, code: usize, location: i32) -> Look {
        // SAFETY: the caller's promise.
        unsafe { self.look_near::<true>(code, location) }
    }

    /// # Safety
    /// As for [`Table::get`].
    #[inline(always)]
    unsafe fn look_near<const LOCATED: bool>(&self, code: usize, location: i32) -> Look {
        const { assert!(NEAR <= LINE, "the mask is not looked at again") };
        // SAFETY: the caller's promise.
        let (array, mask, mut offset) = unsafe { self.begin(code, location) };
        // Unrolled: nothing of it depends on what was read.
        for looks in 1..=NEAR {
            // SAFETY: the offset stays within its line.
            match unsafe { look::<LOCATED>(array, offset, code, location) } {
                Look::Elsewhere => {}
                answer => return answer,
            }
            offset = after(offset, looks, mask);
        }
        Look::Elsewhere
    }

    /// The array, its mask, and where to begin.
    ///
    /// # Safety
    /// As for [`Table::get`].
    #[inline(always)]
    unsafe fn begin(&self, code: usize, location: i32) -> (*const Line, usize, usize) {
        // Acquire: pairs with the Release in `publish`.
        let array = self.0.load(Acquire);
        // SAFETY: an array is freed only after every reader that could have loaded it has left, and
        // never while the writer's lock is held. Its first line holds the mask, which never changes.
        // Read plainly, so that it can be an operand.
        #[cfg(not(loom))]
        let mask = unsafe { array.cast::<usize>().read() };
        #[cfg(loom)]
        // SAFETY: as above.
        let mask = unsafe { (*array).0[0].code.load(Relaxed) };
        (array, mask, start(code, location, mask))
    }

    #[inline(always)]
    unsafe fn look_up<const LOCATED: bool>(&self, code: usize, location: i32) -> u8 {
        // SAFETY: the caller's promise.
        let (array, mask, mut offset) = unsafe { self.begin(code, location) };
        for looks in 1usize.. {
            // SAFETY: the offset stays a multiple of the stride and within the mask.
            match unsafe { look::<LOCATED>(array, offset, code, location) } {
                Look::Found(byte) => return byte.of(u8::MAX),
                Look::Missing => return DEFAULT,
                Look::Elsewhere => {}
            }
            offset = after(offset, looks, mask);
        }
        DEFAULT
    }
}

/// What one place of a table says of a key, or several.
pub enum Look {
    /// It is here.
    Found(Byte),
    /// It is nowhere.
    Missing,
    /// It may be further on.
    Elsewhere,
}

/// A key's byte, not read yet.
#[derive(Clone, Copy)]
pub struct Byte {
    array: *const Line,
    offset: usize,
}

impl Byte {
    /// The bits of a set that the byte has too.
    #[inline(always)]
    pub fn of(self, set: u8) -> u8 {
        const BYTE: usize = LINE_SIZE + offset_of!(Entry, byte);
        // SAFETY: from `look`, and the reader is still inside.
        unsafe { fold::and_byte::<BYTE>(set, self.array.cast(), self.offset) }
    }
}

/// What one place says.
///
/// # Safety
/// As for [`Table::get`], with the array and an offset that [`Table::begin`] found; a byte that is
/// found is used before the reader leaves.
#[inline(always)]
unsafe fn look<const LOCATED: bool>(
    array: *const Line,
    offset: usize,
    code: usize,
    location: i32,
) -> Look {
    const CODE: usize = LINE_SIZE + offset_of!(Entry, code);
    const LOCATION: usize = LINE_SIZE + offset_of!(Entry, location);
    const USED: usize = LINE_SIZE + offset_of!(Entry, used);
    let base = array.cast::<u8>();
    // SAFETY: offsets are multiples of the stride, at most the mask, from the second line on. The code
    // is an acquire load, which pairs with the Release in `Changes::set`: who finds the code sees its
    // location.
    let differs = unsafe {
        fold::word_differs::<CODE>(base, offset, code)
            || (LOCATED && fold::half_differs::<LOCATION>(base, offset, location as u32))
    };
    if !differs {
        return Look::Found(Byte { array, offset });
    }
    // SAFETY: as above.
    if unsafe { fold::is_zero::<USED>(base, offset) } { Look::Missing } else { Look::Elsewhere }
}

impl<const DEFAULT: u8> Default for Table<DEFAULT> {
    fn default() -> Self {
        Self::new()
    }
}

/// The writer's half: what it takes to change a [`Table`]. One for one.
#[derive(Default)]
pub struct Changes {
    /// The current array; none for the one that is shared by all empty tables.
    array: Retired,
    /// Its capacity, or 0.
    capacity: usize,
    /// Entries of the current array that have a key.
    used: usize,
    /// Of those, the ones whose byte is not the default.
    live: usize,
    /// Parallel to the array: the next of the same code, and whether it is in its code's chain.
    next: Vec<u32>,
    /// The first entry of each code that has any.
    heads: HashMap<usize, u32>,
}

/// How many eighths of a table may have keys. Who looks for a location in [`super::super::code::ENABLED`]
/// mostly finds it; who looks for a code among those with local events mostly does not, which takes
/// longer the fuller the table is.
const fn most<const DEFAULT: u8>() -> usize {
    if DEFAULT == 0 { 4 } else { 6 }
}

/// Not in any chain.
const UNCHAINED: u32 = u32::MAX - 1;

/// No memory for a larger table.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What a change leaves behind: an array to be freed when no reader can be in it.
pub type Retired = Option<Box<Job<Array>>>;

fn entries(array: &Retired) -> &[Entry] {
    array.as_ref().map_or(&[], |array| array.work.entries())
}

impl Changes {
    /// How many keys have a byte of their own.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many bytes the table takes, apart from its own head.
    pub fn bytes(&self) -> usize {
        self.next.capacity() * (size_of::<Entry>() + size_of::<u32>())
            + self.heads.capacity() * (size_of::<(usize, u32)>() + 1)
    }

    /// The current array.
    fn array(&self) -> &[Entry] {
        entries(&self.array)
    }

    /// The writer's own look-up: a position in the array, if there is one.
    fn find(&self, code: usize, location: i32) -> Option<usize> {
        let position = self.array.as_ref()?.work.find(code, location)?;
        (self.array()[position].used.load(Relaxed) != 0).then_some(position)
    }

    /// Sets the byte of a key. Returns what is left behind; if there is no memory, nothing is changed.
    pub fn set<const DEFAULT: u8>(
        &mut self,
        table: &Table<DEFAULT>,
        code: usize,
        location: i32,
        byte: u8,
    ) -> Result<Retired, Full> {
        if let Some(position) = self.find(code, location) {
            self.make_room_for(position)?;
            let entry = &self.array()[position].byte;
            let old = entry.load(Relaxed);
            entry.store(byte, Relaxed);
            self.live = self.live + usize::from(byte != DEFAULT) - usize::from(old != DEFAULT);
            self.chain(code, position);
            return Ok(None);
        }
        if byte == DEFAULT {
            return Ok(None);
        }
        let place = self.array.as_ref().and_then(|array| array.work.find(code, location));
        let position = match place {
            Some(position) if (self.used + 1) * 8 <= self.capacity * most::<DEFAULT>() => position,
            _ => return self.rebuild(table, Some((code, location, byte))),
        };
        self.heads.try_reserve(1).map_err(|_| Full)?;
        let entry = &self.array()[position];
        entry.location.store(location as u32, Relaxed);
        entry.used.store(1, Relaxed);
        // Release: pairs with the Acquire in `get`: who finds the code finds the location.
        entry.code.store(code, Release);
        entry.byte.store(byte, Relaxed);
        self.used += 1;
        self.live += 1;
        self.chain(code, position);
        Ok(None)
    }

    /// Takes what [`Changes::chain`] will need for an entry that has a key.
    fn make_room_for(&mut self, position: usize) -> Result<(), Full> {
        if self.next[position] == UNCHAINED {
            self.heads.try_reserve(1).map_err(|_| Full)?;
        }
        Ok(())
    }

    /// Puts an entry into its code's chain, unless it is there.
    fn chain(&mut self, code: usize, position: usize) {
        if self.next[position] == UNCHAINED {
            self.next[position] = self.heads.insert(code, position as u32).unwrap_or(END);
        }
    }

    /// Gives all keys of a code the default; `dropped` is told each byte that was not.
    pub fn forget<const DEFAULT: u8>(
        &mut self,
        table: &Table<DEFAULT>,
        code: usize,
        mut dropped: impl FnMut(u8),
    ) -> Retired {
        let mut position = self.heads.remove(&code)?;
        let array = entries(&self.array);
        while position != END {
            let byte = &array[position as usize].byte;
            let old = byte.load(Relaxed);
            if old != DEFAULT {
                self.live -= 1;
                dropped(old);
                byte.store(DEFAULT, Relaxed);
            }
            position = core::mem::replace(&mut self.next[position as usize], UNCHAINED);
        }
        self.shrink(table)
    }

    /// Changes the byte of every key that has one of its own.
    pub fn map<const DEFAULT: u8>(
        &mut self,
        table: &Table<DEFAULT>,
        change: impl Fn(u8) -> u8,
    ) -> Retired {
        for entry in entries(&self.array) {
            let old = entry.byte.load(Relaxed);
            if old != DEFAULT {
                let new = change(old);
                self.live -= usize::from(new == DEFAULT);
                entry.byte.store(new, Relaxed);
            }
        }
        self.shrink(table)
    }

    /// Empties the table.
    pub fn clear<const DEFAULT: u8>(&mut self, table: &Table<DEFAULT>) -> Retired {
        self.publish(table, None)
    }

    /// Rebuilds a table that is mostly dead, so that nothing is kept for codes that are gone.
    fn shrink<const DEFAULT: u8>(&mut self, table: &Table<DEFAULT>) -> Retired {
        if self.live == 0 {
            self.clear(table)
        } else if self.live * 8 < self.used && self.used > LEAST {
            // Without memory for a smaller table the large one stays: it is right, only large.
            self.rebuild(table, None).unwrap_or(None)
        } else {
            None
        }
    }

    /// Moves what is live, and one more key, to a new array, and publishes it.
    fn rebuild<const DEFAULT: u8>(
        &mut self,
        table: &Table<DEFAULT>,
        key: Option<(usize, i32, u8)>,
    ) -> Result<Retired, Full> {
        // Less full than it may be, so that a part of the table is filled before the next rebuild.
        let live = self.live + usize::from(key.is_some());
        let capacity = (live * 8).div_ceil(most::<DEFAULT>() - 1).next_power_of_two().max(LEAST);
        if capacity >= UNCHAINED as usize {
            return Err(Full);
        }
        let array = Array::new(capacity, DEFAULT).ok_or(Full)?;
        let mut next = Vec::new();
        next.try_reserve_exact(capacity).map_err(|_| Full)?;
        next.resize(capacity, UNCHAINED);
        let mut heads = HashMap::new();
        heads.try_reserve(self.heads.len() + 1).map_err(|_| Full)?;
        let old = self.array().iter().map(|entry| {
            let code = entry.code.load(Relaxed);
            (code, entry.location.load(Relaxed) as i32, entry.byte.load(Relaxed))
        });
        for (code, location, byte) in old.chain(key).filter(|(.., byte)| *byte != DEFAULT) {
            let position = array.work.find(code, location).ok_or(Full)?;
            let entry = &array.work.entries()[position];
            // Relaxed: the whole array is published below.
            entry.code.store(code, Relaxed);
            entry.location.store(location as u32, Relaxed);
            entry.byte.store(byte, Relaxed);
            entry.used.store(1, Relaxed);
            next[position] = heads.insert(code, position as u32).unwrap_or(END);
        }
        let retired = self.publish(table, Some(array));
        (self.capacity, self.used, self.live) = (capacity, live, live);
        (self.next, self.heads) = (next, heads);
        Ok(retired)
    }

    /// Makes an array the current one, or none. The old one is what is left behind.
    fn publish<const DEFAULT: u8>(&mut self, table: &Table<DEFAULT>, array: Retired) -> Retired {
        let new = match &array {
            Some(array) => array.work.0.cast::<Line>(),
            None => Table::<DEFAULT>::nothing(),
        };
        // Release: pairs with the Acquire in `get`, so the array's entries are seen.
        table.0.store(new, Release);
        core::mem::replace(self, Changes { array, ..Changes::default() }).array
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn get<const DEFAULT: u8>(table: &Table<DEFAULT>, code: usize, location: i32) -> u8 {
        // SAFETY: the test's thread is the writer.
        unsafe { table.get(code, location) }
    }

    #[test]
    fn keys_differ_in_code_and_location() {
        let (table, mut changes) = (Table::<0xff>::new(), Changes::default());
        let keys = [
            (0, 0),
            (usize::MAX, 0),
            (usize::MAX, 1),
            (usize::MAX - 1, 0),
            (0, -1),
            (0, i32::MAX),
            (16, 0),
            (16, 1),
        ];
        for (byte, (code, location)) in keys.into_iter().enumerate() {
            assert_eq!(get(&table, code, location), 0xff);
            changes.set(&table, code, location, byte as u8).unwrap();
        }
        for (byte, (code, location)) in keys.into_iter().enumerate() {
            assert_eq!(get(&table, code, location), byte as u8);
        }
        changes.clear(&table);
        assert_eq!(get(&table, 0, 0), 0xff);
    }

    #[test]
    fn a_code_that_dies_takes_its_keys_with_it() {
        let (table, mut changes) = (Table::<0xff>::new(), Changes::default());
        for code in 1..=500usize {
            for location in 0..20 {
                changes.set(&table, code * 64, location, 3).unwrap();
            }
        }
        assert_eq!(changes.live(), 10_000);
        let full = changes.bytes();
        assert!(full <= 64 * 10_000, "{full} bytes for 10,000 keys");
        for code in 1..=490usize {
            let mut count = 0;
            drop(changes.forget(&table, code * 64, |byte| {
                assert_eq!(byte, 3);
                count += 1;
            }));
            assert_eq!(count, 20);
            assert_eq!(get(&table, code * 64, 7), 0xff);
        }
        assert_eq!(changes.live(), 200);
        assert!(changes.bytes() <= 64 * 8 * 200 + 1024, "{} bytes for 200 keys", changes.bytes());
        assert_eq!(get(&table, 495 * 64, 7), 3);
        changes.clear(&table);
    }

    #[test]
    fn a_key_can_die_and_come_back() {
        let (table, mut changes) = (Table::<0>::new(), Changes::default());
        changes.set(&table, 16, 1, 1).unwrap();
        changes.set(&table, 32, 1, 1).unwrap();
        changes.forget(&table, 16, |_| ());
        changes.set(&table, 16, 1, 2).unwrap();
        assert_eq!(get(&table, 16, 1), 2);
        let mut dropped = vec![];
        changes.forget(&table, 16, |byte| dropped.push(byte));
        assert_eq!(dropped, [2]);
        assert_eq!(changes.live(), 1);
        changes.clear(&table);
    }

    #[test]
    fn a_tool_is_taken_from_all_keys() {
        let (table, mut changes) = (Table::<0>::new(), Changes::default());
        for code in 0..100usize {
            changes.set(&table, code, 0, if code % 2 == 0 { 1 } else { 3 }).unwrap();
        }
        changes.map(&table, |byte| byte & !1);
        assert_eq!(changes.live(), 50);
        assert_eq!(get(&table, 2, 0), 0);
        assert_eq!(get(&table, 3, 0), 2);
        changes.map(&table, |byte| byte & !2);
        assert_eq!((changes.live(), changes.bytes()), (0, 0));
    }

    #[test]
    fn probes_stay_short_for_codes_at_any_distance() {
        for distance in [1usize, 16, 48, 64, 176, 192, 256, 4096, 65536, 1 << 20] {
            for locations in [1usize, 10] {
                let (table, mut changes) = (Table::<0>::new(), Changes::default());
                for index in 0..20_000 / locations {
                    for location in 0..locations {
                        let code = 0x7f00_0000_0000 + index * distance;
                        changes.set(&table, code, location as i32 * 2, 1).unwrap();
                    }
                }
                let steps = |(position, entry): (usize, &Entry)| {
                    let (code, location) = (&entry.code, &entry.location);
                    places(code.load(Relaxed), location.load(Relaxed) as i32, changes.capacity)
                        .position(|place| place == position)
                        .unwrap()
                };
                let array = changes.array().iter().enumerate();
                let total: usize =
                    array.filter(|(_, entry)| entry.used.load(Relaxed) != 0).map(steps).sum();
                let mean = total as f64 / changes.used as f64;
                assert!(mean < 6.0, "{mean} steps, {distance} apart, {locations} locations");
                changes.clear(&table);
            }
        }
    }
}
