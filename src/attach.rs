//! Emitters that attach lazily: they use no symbol of the library, only a slot of their own, which is
//! made to point at the library's functions, or at nothing.
//!
//! A slot is found in two ways. An emitter that enters its first scope looks for the library and hands
//! its slot over ([`hand_over`]). And the library looks for the slots in all that is loaded
//! ([`set_all`]): an ELF note marks what has slots, and in the writable data of what is marked a slot
//! is known by its first words, among them its own address. Nothing is remembered, so that what has a
//! slot may be unloaded.
//!
//! Tables, and the words of versions, are never freed or unmapped: a thread may still go by an old one.

use core::ffi::{c_char, c_int, c_void};
use core::fmt::{self, Display, Formatter};
use core::ptr::null;
use std::io::{Cursor, Write as _};

use crate::code::CodeInfo;
use crate::host::Host;
use crate::registry;
use crate::state::State;
use crate::status::{Error, Result};
use crate::sync::follow::Switch;
use crate::sync::lock::Unforked;
use crate::sync::published::{mark_at, publish_at};

/// The first word of a slot, of what marks one, and of a table.
pub(crate) const MAGIC: u64 = 0x2e74_6f6c_736e_6d72;
/// The second word of a slot.
pub(crate) const SLOT_MAGIC: u64 = 0x3d8c_61f5_0b7a_e492;

/// Emitters of no host. (RMON_HOST_NONE)
pub(crate) const HOST_NONE: u32 = 0;
/// Extensions of Python. (RMON_HOST_PYTHON)
pub(crate) const HOST_PYTHON: u32 = 1;
/// How many hosts are told apart.
const HOSTS: usize = 2;

/// Set in a slot's flags when it has been said why it stays unmonitored.
const REFUSED: u32 = 1 << 8;
/// The part of the flags that is the host.
const HOST: u32 = 0xff;

/// The library's functions for emitters, and what an emitter checks before it uses them. Functions are
/// added at the end only; `struct_size` says which are there. Each is as the exported function of its
/// name (with `rmon_` before it, and for `enter_scope` and the fires `_slow` after it).
#[derive(Debug)]
#[repr(C)]
pub struct Table {
    /// RMON_MAGIC.
    pub magic: u64,
    /// The size of the library's table.
    pub struct_size: u32,
    /// The library's RMON_ABI_VERSION.
    pub abi_version: u32,
    /// See rmon_enter_scope.
    pub enter_scope: unsafe extern "C" fn(
        states: *mut State,
        version: *mut u64,
        event_types: *const u8,
        length: isize,
    ) -> c_int,
    /// See rmon_fire_py_start.
    pub fire_py_start: FireNothing,
    /// See rmon_fire_py_resume.
    pub fire_py_resume: FireNothing,
    /// See rmon_fire_py_return.
    pub fire_py_return: FireObject,
    /// See rmon_fire_py_yield.
    pub fire_py_yield: FireObject,
    /// See rmon_fire_call.
    pub fire_call: FireCall,
    /// See rmon_fire_line.
    pub fire_line: FireNumber,
    /// See rmon_fire_instruction.
    pub fire_instruction: FireNothing,
    /// See rmon_fire_jump.
    pub fire_jump: FireNumber,
    /// See rmon_fire_branch_left.
    pub fire_branch_left: FireNumber,
    /// See rmon_fire_branch_right.
    pub fire_branch_right: FireNumber,
    /// See rmon_fire_branch.
    pub fire_branch: FireNumber,
    /// See rmon_fire_c_return.
    pub fire_c_return: FireCall,
    /// See rmon_fire_c_raise.
    pub fire_c_raise: FireCall,
    /// See rmon_fire_stop_iteration.
    pub fire_stop_iteration: FireObject,
    /// See rmon_fire_py_throw.
    pub fire_py_throw: FireObject,
    /// See rmon_fire_raise.
    pub fire_raise: FireObject,
    /// See rmon_fire_reraise.
    pub fire_reraise: FireObject,
    /// See rmon_fire_exception_handled.
    pub fire_exception_handled: FireObject,
    /// See rmon_fire_py_unwind.
    pub fire_py_unwind: FireObject,
    /// A jump or branch whose target is an object.
    pub fire_target_object: unsafe extern "C" fn(
        state: *mut State,
        code: *mut c_void,
        offset: i32,
        event: c_int,
        target: *mut c_void,
    ) -> c_int,
    /// An exception event whose exception the host knows.
    pub fire_current_exception: FireEvent,
    /// C_RETURN or C_RAISE of the last call.
    pub fire_last_call: FireEvent,
    /// See rmon_code_new.
    pub code_new: unsafe extern "C" fn(info: *const CodeInfo) -> *mut c_void,
    /// See rmon_code_retain.
    pub code_retain: extern "C" fn(code: *mut c_void),
    /// See rmon_code_release.
    pub code_release: extern "C" fn(code: *mut c_void),
    /// See rmon_code_forget.
    pub code_forget: extern "C" fn(code: *mut c_void) -> c_int,
    /// See rmon_set_host.
    pub set_host: unsafe extern "C" fn(host: *const Host) -> c_int,
    /// See rmon_host_note.
    pub host_note: extern "C" fn() -> *mut *mut c_void,
    /// See rmon_event_name.
    pub event_name: extern "C" fn(event: c_int) -> *const c_char,
    /// See rmon_status_message.
    pub status_message: extern "C" fn(status: c_int) -> *const c_char,
    /// See rmon_version_number.
    pub version_number: extern "C" fn() -> u32,
    /// See rmon_version.
    pub version: extern "C" fn() -> *const c_char,
    /// See rmon_host_note_offset.
    pub host_note_offset: extern "C" fn() -> isize,
}

/// A fire that carries the location only.
pub type FireNothing =
    unsafe extern "C" fn(state: *mut State, code: *mut c_void, offset: i32) -> c_int;
/// A fire that carries a value, or an exception.
pub type FireObject = unsafe extern "C" fn(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    object: *mut c_void,
) -> c_int;
/// A fire that carries a line, or a destination.
pub type FireNumber =
    unsafe extern "C" fn(state: *mut State, code: *mut c_void, offset: i32, number: i32) -> c_int;
/// A fire that carries what is called, and its first argument.
pub type FireCall = unsafe extern "C" fn(
    state: *mut State,
    code: *mut c_void,
    offset: i32,
    callable: *mut c_void,
    arg0: *mut c_void,
) -> c_int;
/// A fire of one of several events.
pub type FireEvent =
    unsafe extern "C" fn(state: *mut State, code: *mut c_void, offset: i32, event: c_int) -> c_int;

/// What an emitter that attaches lazily is found and reached by. It is made by the header
/// (RMON_LAZY), static, one for each unit, in writable data, beside a note that marks what it is
/// linked into: type 1 of the owner "rmon", with RMON_ABI_VERSION and RMON_VERSION_NUMBER.
///
/// These fields are the same in every ABI; what one adds comes after them. `version` and `table` are
/// replaced at any time, from any thread, `table` first when an emitter is woken and last when it is
/// put to sleep.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    /// RMON_MAGIC and RMON_SLOT_MAGIC.
    pub magic: [u64; 2],
    /// What the emitter's scopes compare their version with.
    pub version: *const u64,
    /// The functions that the emitter calls; NULL while there is none.
    pub table: *const Table,
    /// The slot's own address. A copy of a slot is none, nor is one that the loader has not relocated
    /// yet: it goes upwards, so that all before this is in place when this is.
    pub address: *const Slot,
    /// `sizeof(rmon_slot)`.
    pub struct_size: u32,
    /// The emitter's RMON_ABI_VERSION.
    pub abi_version: u32,
    /// How much of the table the emitter needs.
    pub table_size: u32,
    /// The emitter's host, RMON_HOST_NONE or RMON_HOST_PYTHON, in the lowest byte; the rest belongs to
    /// the library.
    pub flags: u32,
}

const _: () = assert!(core::mem::offset_of!(Slot, flags) == 28 + 3 * size_of::<*const Slot>());

/// What the scopes of an emitter that sleeps compare with.
static ASLEEP: u64 = 0;

/// Whether the emitters of each host are to be awake.
static AWAKE: [Switch; HOSTS] = [const { Switch::on() }; HOSTS];

/// The switch of a host's emitters.
///
/// # Errors
/// [`Error::InvalidArgument`] if there is no such host.
fn switch(host: u32) -> Result<&'static Switch> {
    AWAKE.get(host as usize).ok_or(Error::InvalidArgument)
}

/// Wakes the emitters of a host, or puts them to sleep: those that are loaded, and those that come.
///
/// # Errors
/// As for [`switch`].
pub fn set(host: u32, awake: bool, table: &'static Table) -> Result<()> {
    switch(host)?.set(awake);
    set_all(table);
    if awake {
        // Of threads that share states, one may have cleared them, because the emitter slept, while
        // another, that had entered before, was filling them: what they then are, their version does
        // not say. So it must not be the current one.
        registry::publish_again();
    }
    Ok(())
}

/// Takes a slot, and wakes its emitter, unless its host's are to sleep.
///
/// # Errors
/// [`Error::InvalidArgument`] if it is no slot, or one of another ABI; what is wrong with it is then
/// said on standard error, once for all slots of one file.
///
/// # Safety
/// `slot` is valid for reads and writes of what it says its size is, and its fields are accessed by
/// atomic operations only, once it is known to others.
pub unsafe fn hand_over(slot: *mut Slot, table: &'static Table) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        if !slot.is_aligned() || !is_slot(slot) {
            return Err(Error::InvalidArgument);
        }
        set_one(slot, table).map_err(|why| {
            if is_first_refusal(loaded::first_beside(slot)) {
                say(slot, &why);
            }
            Error::InvalidArgument
        })
    }
}

/// Whether a slot begins there.
///
/// # Safety
/// `slot` is aligned, and valid for reads.
unsafe fn is_slot(slot: *const Slot) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let magic = (&raw const (*slot).magic).cast::<u64>();
        peek(magic) == MAGIC
            && peek(magic.add(1)) == SLOT_MAGIC
            && peek(&raw const (*slot).address) == slot
    }
}

/// Eight bytes of memory that is anybody's: between two variables, or written to meanwhile. The
/// language has no such read, and sanitizers report it, so that it is done in assembly.
///
/// # Safety
/// `place` is aligned, and valid for reads.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
unsafe fn peek<T: Copy>(place: *const T) -> T {
    const { assert!(size_of::<T>() == size_of::<u64>()) };
    let word: u64;
    // SAFETY: the caller's promise; every T that is asked for may have any bits.
    unsafe {
        core::arch::asm!(
            "mov {word}, qword ptr [{place}]",
            place = in(reg) place,
            word = lateout(reg) word,
            options(readonly, nostack, preserves_flags),
        );
        core::mem::transmute_copy(&word)
    }
}

/// The same, as near as the language comes to it.
///
/// # Safety
/// `place` is aligned, and valid for reads.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
unsafe fn peek<T: Copy>(place: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { place.read_volatile() }
}

/// Has an emitter awake or asleep, as its host's are to be.
///
/// # Errors
/// What is wrong with it: it stays as it is.
///
/// # Safety
/// As for [`hand_over`], and it is a slot.
unsafe fn set_one(slot: *mut Slot, table: &'static Table) -> core::result::Result<(), Misfit> {
    // SAFETY: the caller's promise.
    let (size, abi, needed, host) = unsafe {
        let flags = mark_at(&raw mut (*slot).flags, 0);
        ((*slot).struct_size, (*slot).abi_version, (*slot).table_size, flags & HOST)
    };
    if abi != table.abi_version {
        return Err(Misfit::OtherAbi { theirs: abi, ours: table.abi_version });
    }
    if needed > table.struct_size {
        return Err(Misfit::Newer);
    }
    let Some(switch) = switch(host).ok().filter(|_| size as usize >= size_of::<Slot>()) else {
        return Err(Misfit::Unknown);
    };
    switch.follow(|awake| {
        // SAFETY: the caller's promise; the slot is of this ABI.
        unsafe {
            let (place, version) = (&raw mut (*slot).table, &raw mut (*slot).version);
            if awake {
                publish_at(place, table);
                publish_at(version, registry::VERSION.as_ptr());
            } else {
                publish_at(version, &ASLEEP);
                publish_at(place, null());
            }
        }
    });
    Ok(())
}

/// Why an emitter cannot be attached.
enum Misfit {
    /// It was built for another ABI.
    OtherAbi { theirs: u32, ours: u32 },
    /// It needs functions that this library does not have.
    Newer,
    /// Its slot is smaller than any, or its host is unknown.
    Unknown,
}

impl Display for Misfit {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::OtherAbi { theirs, ours } => {
                write!(out, "was built for ABI {theirs} of rmon, and this is ABI {ours}")
            }
            Misfit::Newer => write!(out, "was built for a newer rmon"),
            Misfit::Unknown => write!(out, "has a slot that does not fit this rmon"),
        }
    }
}

/// Whether nothing has been said yet about the slots of a file, whose first one this is.
///
/// # Safety
/// As for [`hand_over`], and it is a slot.
unsafe fn is_first_refusal(first: *mut Slot) -> bool {
    // SAFETY: the caller's promise.
    unsafe { mark_at(&raw mut (*first).flags, REFUSED) & REFUSED == 0 }
}

/// Says on standard error why an emitter stays as it is. Its slot need not be there any more.
#[cold]
fn say(slot: *const Slot, why: &Misfit) {
    let version = env!("CARGO_PKG_VERSION");
    // In one piece, without memory for it; too long a path is cut.
    let mut text = Cursor::new([0; 1024]);
    let _ = write!(text, "rmon {version}: ");
    loaded::with_name(slot.cast(), |name| {
        let _ = text.write(&name[name.len().saturating_sub(800)..]);
    });
    let _ = writeln!(text, " {why}; its events will not be seen");
    let length = text.position() as usize;
    // Not eprintln, which panics if nobody can read it.
    let _ = std::io::stderr().write_all(&text.into_inner()[..length]);
}

/// Has the emitters in all that is loaded awake or asleep, as their host's are to be.
pub fn set_all(table: &'static Table) {
    // What does not fit in here is said another time: nothing is allocated while the loader waits, as
    // who replaces malloc may want to know what is loaded.
    let mut refused = [const { None }; 16];
    let mut places = refused.iter_mut();
    loaded::for_each_slot(&mut |slot, first| {
        // SAFETY: slots in something that is loaded, and stays so during the call.
        unsafe {
            if let Err(why) = set_one(slot, table)
                && !places.as_slice().is_empty()
                && is_first_refusal(first)
                && let Some(place) = places.next()
            {
                *place = Some((slot.cast_const(), why));
            }
        }
    });
    // Now, when the loader holds no lock: asking for a name takes another of its locks, whose holder
    // may wait for that one.
    for (slot, why) in refused.into_iter().flatten() {
        say(slot, &why);
    }
}

/// The walk through what is loaded: meanwhile the loader holds a lock that a forked child would inherit,
/// and nobody would ever let it go there.
static WALK: Unforked = Unforked::idle();

/// Before fork: waits for whoever looks through what is loaded.
pub fn lock_for_fork() {
    WALK.keep();
}

/// After fork, in the parent: others may look again.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread.
pub unsafe fn unlock_after_fork() {
    // SAFETY: the caller's promise.
    unsafe { WALK.let_go() };
}

/// After fork, in the child: the same.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread, in the child.
pub unsafe fn reset_after_fork() {
    // SAFETY: the caller's promise.
    unsafe { WALK.reset() };
}

/// What the loader knows.
#[cfg(target_os = "linux")]
mod loaded {
    use core::ffi::{CStr, c_int, c_void};
    use core::ptr::null_mut;
    use core::slice::from_raw_parts;

    use libc::{PF_R, PF_W, PT_LOAD, PT_NOTE, dl_phdr_info, size_t};

    use super::{MAGIC, Slot, WALK, is_slot, peek};

    /// The owner of the note that marks what has slots, and its type.
    const NOTE_OWNER: &[u8] = b"rmon\0";
    const NOTE_TYPE: u32 = 1;

    #[cfg(target_pointer_width = "64")]
    type Header = libc::Elf64_Phdr;
    #[cfg(not(target_pointer_width = "64"))]
    type Header = libc::Elf32_Phdr;

    type Visit<'a> = &'a mut dyn FnMut(*mut Slot, *mut Slot);

    /// Calls `visit` with each slot in what is loaded, and with the first one in the same file.
    /// Meanwhile nothing is unloaded, and the loader holds a lock: `visit` must not allocate, nor ask
    /// the loader for anything but this.
    pub fn for_each_slot(mut visit: Visit<'_>) {
        let data: *mut Visit<'_> = &mut visit;
        // SAFETY: `look_into` gets `data` as what it is, and what it is given is loaded.
        WALK.during(|| unsafe { libc::dl_iterate_phdr(Some(look_into), data.cast()) });
    }

    /// The first slot in the file that has this one; this one, if no file has it.
    pub fn first_beside(slot: *mut Slot) -> *mut Slot {
        let mut found = slot;
        for_each_slot(&mut |other, first| {
            if other == slot {
                found = first;
            }
        });
        found
    }

    unsafe extern "C" fn look_into(
        info: *mut dl_phdr_info,
        _size: size_t,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: as `for_each_slot` passes it; the loader passes an object that is loaded, with its
        // program headers, whose segments to be loaded are mapped.
        unsafe {
            let (visit, info) = (&mut *data.cast::<Visit<'_>>(), &*info);
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            let headers = from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
            let base = info.dlpi_addr as usize;
            let start = |header: &Header| base.wrapping_add(header.p_vaddr as usize) as *mut u8;
            let segments = || headers.iter().filter(|header| header.p_type == PT_LOAD);
            let is_marked = headers.iter().any(|header| {
                header.p_type == PT_NOTE
                    && segments().any(|segment| contains(segment, header))
                    && has_mark(
                        from_raw_parts(start(header), header.p_filesz as usize),
                        if header.p_align == 8 { 8 } else { 4 },
                    )
            });
            if !is_marked {
                return 0;
            }
            let mut first: *mut Slot = null_mut();
            for segment in segments().filter(|segment| segment.p_flags & PF_W != 0) {
                search(start(segment), segment.p_filesz as usize, &mut |slot| {
                    if first.is_null() {
                        first = slot;
                    }
                    visit(slot, first);
                });
            }
        }
        0
    }

    /// Whether a segment that is loaded has the notes of a header. (A program that was changed after it
    /// was linked may say that it has notes where nothing is mapped.)
    fn contains(segment: &Header, notes: &Header) -> bool {
        let offset = notes.p_vaddr.checked_sub(segment.p_vaddr);
        let room = offset.and_then(|offset| segment.p_filesz.checked_sub(offset));
        segment.p_flags & PF_R != 0 && room.is_some_and(|room| notes.p_filesz <= room)
    }

    /// Whether the note that marks what has slots is among these.
    fn has_mark(mut notes: &[u8], align: usize) -> bool {
        let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        loop {
            let (Some(owner_size), Some(size)) = (word(notes), notes.get(4..).and_then(word))
            else {
                return false;
            };
            let Some(kind) = notes.get(8..).and_then(word) else {
                return false;
            };
            let (owner_size, size) = (owner_size as usize, size as usize);
            let Some(owner) = notes.get(12..).and_then(|rest| rest.get(..owner_size)) else {
                return false;
            };
            if owner == NOTE_OWNER && kind == NOTE_TYPE {
                return true;
            }
            let next = (12 + owner_size).next_multiple_of(align) + size.next_multiple_of(align);
            match notes.get(next..) {
                Some(rest) => notes = rest,
                None => return false,
            }
        }
    }

    /// Calls `visit` with each slot in writable memory, which others may be writing to.
    ///
    /// # Safety
    /// The memory is valid for reads.
    unsafe fn search(start: *mut u8, size: usize, visit: &mut dyn FnMut(*mut Slot)) {
        let mut place = start.wrapping_add(start.align_offset(align_of::<Slot>()));
        let end = start.wrapping_add(size);
        while (end as usize).saturating_sub(place as usize) >= size_of::<Slot>() {
            let slot = place.cast::<Slot>();
            // SAFETY: aligned, and within the memory.
            if unsafe { peek(place.cast::<u64>()) == MAGIC && is_slot(slot) } {
                visit(slot);
            }
            place = place.wrapping_add(align_of::<Slot>());
        }
    }

    /// Tells the file that an address lies in, for messages.
    pub fn with_name(address: *const c_void, tell: impl FnOnce(&[u8])) {
        let mut info = libc::Dl_info {
            dli_fname: core::ptr::null(),
            dli_fbase: core::ptr::null_mut(),
            dli_sname: core::ptr::null(),
            dli_saddr: core::ptr::null_mut(),
        };
        // SAFETY: any address may be asked for; the name that is found is a string while the file is
        // loaded.
        unsafe {
            if libc::dladdr(address, &mut info) == 0 || info.dli_fname.is_null() {
                return tell(b"an emitter");
            }
            tell(CStr::from_ptr(info.dli_fname).to_bytes());
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A note as linkers lay them out.
        fn note(owner: &[u8], kind: u32, size: usize, align: usize) -> Vec<u8> {
            let mut bytes = Vec::new();
            for word in [owner.len() as u32, size as u32, kind] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(owner);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
            bytes.resize(bytes.len() + size.next_multiple_of(align), 1);
            bytes
        }

        #[test]
        fn the_mark_is_found_among_other_notes() {
            for align in [4, 8] {
                let other = note(b"GNU\0", 3, 21, align);
                let mark = note(b"rmon\0", 1, 8, align);
                assert!(has_mark(&mark, align));
                assert!(has_mark(&[other.clone(), mark.clone()].concat(), align));
                assert!(!has_mark(&other, align));
                assert!(!has_mark(&note(b"rmon\0", 2, 8, align), align));
                assert!(!has_mark(&note(b"rmons\0", 1, 8, align), align));
            }
        }

        #[test]
        fn notes_that_say_too_much_are_not_followed() {
            let mark = note(b"rmon\0", 1, 8, 4);
            for cut in 0..17 {
                assert!(!has_mark(&mark[..cut], 4), "{cut}");
            }
            for size in [u32::MAX, u32::MAX - 3, 1000] {
                let mut bad = note(b"GNU\0", 3, 4, 4);
                bad[0..4].copy_from_slice(&size.to_ne_bytes());
                assert!(!has_mark(&[bad.clone(), mark.clone()].concat(), 4));
                let mut bad = note(b"GNU\0", 3, 4, 4);
                bad[4..8].copy_from_slice(&size.to_ne_bytes());
                assert!(!has_mark(&[bad, mark.clone()].concat(), 4));
            }
        }

        #[test]
        fn notes_outside_of_what_is_loaded_are_not_read() {
            let header = |from, size| {
                // SAFETY: numbers, which may be 0.
                let empty: Header = unsafe { core::mem::zeroed() };
                Header { p_vaddr: from, p_filesz: size, p_flags: PF_R, ..empty }
            };
            let segment = header(0x1000, 0x200);
            for (from, size) in [(0x1000, 0x200), (0x1100, 0x100), (0x1200, 0)] {
                assert!(contains(&segment, &header(from, size)), "{from:x} {size:x}");
            }
            for (from, size) in [(0xfff, 1), (0x1000, 0x201), (0x11ff, 2), (0x1201, 0), (0, 0)] {
                assert!(!contains(&segment, &header(from, size)), "{from:x} {size:x}");
            }
            assert!(!contains(&segment, &header(0x1000, !0)));
            assert!(!contains(&Header { p_flags: 0, ..segment }, &header(0x1000, 1)));
        }

        #[test]
        fn a_slot_is_known_by_its_own_address() {
            let words = size_of::<Slot>() / 8;
            let mut memory = vec![0u64; 3 * words + 5];
            let start = memory.as_mut_ptr();
            let mut found = Vec::new();
            let at = |index: usize| start.wrapping_add(index);
            let address = core::mem::offset_of!(Slot, address) / 8;
            for index in [1, 2 * words + 5] {
                memory[index] = MAGIC;
                memory[index + 1] = crate::attach::SLOT_MAGIC;
                memory[index + address] = at(index) as u64;
            }
            memory.copy_within(1..1 + words, words + 2); // a copy of a slot is none
            // SAFETY: the whole vector.
            unsafe { search(start.cast(), memory.len() * 8, &mut |slot| found.push(slot)) };
            assert_eq!(found, [at(1), at(2 * words + 5)].map(|place| place.cast::<Slot>()));
        }
    }
}

/// Elsewhere the library finds no slots; an emitter that comes later finds the library.
#[cfg(not(target_os = "linux"))]
mod loaded {
    use super::Slot;

    pub fn for_each_slot(_visit: &mut dyn FnMut(*mut Slot, *mut Slot)) {}

    pub fn first_beside(slot: *mut Slot) -> *mut Slot {
        slot
    }

    pub fn with_name(_address: *const core::ffi::c_void, tell: impl FnOnce(&[u8])) {
        tell(b"an emitter");
    }
}
