//! The slot through which librmon is reached, and how the two find each other.
//!
//! The crate uses no symbol of librmon. Its slot sleeps until librmon makes it point to its functions.
//! That happens when the first scope is entered, if librmon is in the process then; or else when a tool
//! claims an id, or Python imports rmon: librmon then looks for slots in all that is loaded. A slot is
//! known by its first words, a note marks what has any. Each copy of this crate has one slot: an
//! extension has its own, and so has a program.
//!
//! The rules and the messages are those of rmon.h (RMON_LAZY).

use std::io::Write as _;
use std::mem::size_of;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

use crate::abi::{Cell, Slot, Table, ABI_VERSION, HOST, MAGIC, SLOT_MAGIC};
use crate::event::Event;

/// Marks what this is linked into as having a slot; `readelf -n` shows it.
#[cfg(target_os = "linux")]
#[used]
#[link_section = ".note.rmon"]
static NOTE: crate::abi::Note = crate::abi::Note {
    owner_size: 5,
    size: 8,
    kind: 1,
    owner: *b"rmon\0\0\0\0",
    abi_version: ABI_VERSION,
    version_number: number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1000
        + number(env!("CARGO_PKG_VERSION_PATCH")),
};

/// What a text of digits says.
#[cfg(target_os = "linux")]
const fn number(text: &str) -> u32 {
    let (digits, mut value, mut index) = (text.as_bytes(), 0, 0);
    while index < digits.len() {
        value = value * 10 + (digits[index] - b'0') as u32;
        index += 1;
    }
    value
}

/// What scopes compare their version with before librmon has been looked for: no scope has this one.
static UNKNOWN: AtomicU64 = AtomicU64::new(u64::MAX);
/// And after.
static ASLEEP: AtomicU64 = AtomicU64::new(0);

static SLOT: Slot = Slot {
    magic: [MAGIC, SLOT_MAGIC],
    version: AtomicPtr::new(&UNKNOWN as *const AtomicU64 as *mut AtomicU64),
    table: AtomicPtr::new(null_mut()),
    address: &SLOT,
    struct_size: size_of::<Slot>() as u32,
    abi_version: ABI_VERSION,
    table_size: size_of::<Table>() as u32,
    flags: AtomicU32::new(HOST),
};

/// What scopes compare their version with.
#[inline(always)]
pub(crate) fn current_version() -> u64 {
    // Acquire: what the pointer points to is seen whole.
    let version = SLOT.version.load(Acquire);
    // SAFETY: one of the two above, or librmon's, which is never unmapped and changed atomically.
    // Acquire: what was set before the version changed is seen by a scope that sees the change.
    unsafe { (*version).load(Acquire) }
}

/// librmon's functions, for a state that is active: it was filled by a table that was looked at.
#[inline]
pub(crate) fn table() -> Option<&'static Table> {
    // SAFETY: NULL, or librmon's, which is never unmapped or changed. Acquire: it is seen whole.
    unsafe { SLOT.table.load(Acquire).as_ref() }
}

/// The functions that codes were made by. Codes that outlive an attachment are released all the same.
static REMEMBERED: AtomicPtr<Table> = AtomicPtr::new(null_mut());

/// Keeps them for the codes.
pub(crate) fn remember(table: &Table) {
    // Release: pairs with the Acquire below.
    REMEMBERED.store(table as *const Table as *mut Table, Release);
}

/// Those that were kept.
pub(crate) fn remembered() -> Option<&'static Table> {
    // SAFETY: as in `table`.
    unsafe { REMEMBERED.load(Acquire).as_ref() }
}

/// librmon's functions, after looking for librmon, if that has not been done.
pub(crate) fn find_table() -> Option<&'static Table> {
    if SLOT.version.load(Acquire) as *const AtomicU64 == &UNKNOWN {
        look_for_library();
    }
    checked_table()
}

/// librmon's functions, if they are such as this crate knows how to use.
fn checked_table() -> Option<&'static Table> {
    let table = table()?;
    if table.magic == MAGIC
        && table.abi_version == ABI_VERSION
        && table.struct_size as usize >= size_of::<Table>()
    {
        return Some(table);
    }
    // Put to sleep, since fires do not look at what they find.
    let found = table as *const Table as *mut Table;
    if SLOT.table.compare_exchange(found, null_mut(), AcqRel, Acquire).is_ok() {
        SLOT.version.store(asleep(), Release);
    }
    tell(|| {
        "an emitter was attached to what is not a fitting librmon; its events will not be seen"
            .to_string()
    });
    None
}

fn asleep() -> *mut AtomicU64 {
    &ASLEEP as *const AtomicU64 as *mut AtomicU64
}

/// Prints a message, unless one has been printed.
fn tell(message: impl FnOnce() -> String) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Relaxed) {
        // Not eprintln, which panics if nobody can read it.
        let _ = writeln!(std::io::stderr(), "rmon: {}", message());
    }
}

/// Brings the states of a scope up to date.
///
/// # Safety
/// There is a state for each event, in an array that is entered as a whole, always with these events.
#[cold]
#[inline(never)]
pub(crate) unsafe fn refresh(states: *mut Cell, version: &AtomicU64, events: &[Event]) {
    let mut table = find_table();
    if table.is_none() && version.load(Acquire) != 0 {
        // It was awake when the scope was last entered.
        for index in 0..events.len() {
            // SAFETY: the caller's promise.
            unsafe { (*states.add(index)).active.store(0, Relaxed) };
        }
        // Release: whoever sees this version sees the states, too.
        version.store(0, Release);
        // Another thread may have been woken meanwhile, and have filled the same states before.
        fence(SeqCst);
        table = checked_table();
    }
    if let Some(table) = table {
        let version = version as *const AtomicU64 as *mut u64;
        // An event is a byte, its number.
        let types = events.as_ptr().cast::<u8>();
        // SAFETY: the caller's promise; librmon writes states and version atomically. Every event is
        // one, so it does not fail.
        let _ = unsafe { (table.enter_scope)(states, version, types, events.len() as isize) };
    }
}

/// Looks for librmon and hands it the slot. Doing that twice, or in two threads at once, does no harm.
#[cold]
#[inline(never)]
fn look_for_library() {
    if let Some(attach_slot) = library::attach_slot() {
        // SAFETY: it is librmon's function, and this is a slot, accessed atomically from now on.
        let _ = unsafe { attach_slot(&SLOT) };
    }
    // Unless it is attached now, it sleeps until librmon comes and finds it.
    let unknown = &UNKNOWN as *const AtomicU64 as *mut AtomicU64;
    let _ = SLOT.version.compare_exchange(unknown, asleep(), AcqRel, Acquire);
}

/// rmon_attach_slot
type AttachSlot = unsafe extern "C" fn(*const Slot) -> c_int;

/// Where librmon can be found.
#[cfg(target_os = "linux")]
mod library {
    use std::ffi::{CStr, CString, OsString};
    use std::mem::transmute;
    use std::os::raw::c_ulong;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    extern "C" {
        fn dlopen(filename: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
        fn dlclose(handle: *mut c_void) -> c_int;
        fn dlerror() -> *const c_char;
        fn getauxval(kind: c_ulong) -> c_ulong;
    }

    const RTLD_LAZY: c_int = 1;
    const RTLD_NOW: c_int = 2;
    const RTLD_NOLOAD: c_int = 4;
    const AT_SECURE: c_ulong = 23;

    /// librmon's function, if librmon is in the process or RMON_LIBRARY brings it there.
    pub(super) fn attach_slot() -> Option<AttachSlot> {
        // SAFETY: the strings end, and a handle is used before it is closed. What is found under this
        // name is librmon's function.
        unsafe {
            let mut found = null_mut();
            let program = dlopen(null(), RTLD_LAZY);
            if !program.is_null() {
                found = symbol(program);
                dlclose(program);
            }
            if found.is_null() {
                let soname = concat!("librmon.so.", "0", "\0").as_ptr().cast(); // ABI_VERSION
                let mut library = dlopen(soname, RTLD_LAZY | RTLD_NOLOAD);
                if library.is_null() {
                    library = load_named();
                }
                if !library.is_null() {
                    found = symbol(library);
                }
            }
            transmute::<*mut c_void, Option<AttachSlot>>(found)
        }
    }

    /// # Safety
    /// It is a handle.
    unsafe fn symbol(library: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise; the string ends.
        unsafe { dlsym(library, "rmon_attach_slot\0".as_ptr().cast()) }
    }

    /// Loads what RMON_LIBRARY names; NULL if that is nothing, or cannot be loaded, or if the program
    /// has privileges that its user has not.
    fn load_named() -> *mut c_void {
        // SAFETY: it only reads.
        if unsafe { getauxval(AT_SECURE) } != 0 {
            return null_mut();
        }
        let path = std::env::var_os("RMON_LIBRARY").map(OsString::into_vec).unwrap_or_default();
        let path = match CString::new(path) {
            Ok(path) if !path.as_bytes().is_empty() => path,
            _ => return null_mut(),
        };
        if path.as_bytes()[0] != b'/' {
            tell(|| {
                let path = path.to_string_lossy();
                format!("RMON_LIBRARY is {path}, which does not begin with a slash; no events will be seen")
            });
            return null_mut(); // the loader would look for it, or it would depend on the current folder
        }
        // SAFETY: the string ends. What the user wants to be loaded may run what it likes.
        let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            // SAFETY: the error is NULL or a string, until the next call on this thread.
            let why = unsafe { dlerror().as_ref().map(|why| CStr::from_ptr(why)) };
            let why = why.unwrap_or(&path).to_string_lossy();
            tell(|| format!("RMON_LIBRARY cannot be loaded: {why}; no events will be seen"));
            return null_mut();
        }
        // SAFETY: it is a handle.
        if unsafe { symbol(library).is_null() } {
            tell(|| {
                let path = path.to_string_lossy();
                format!("RMON_LIBRARY is {path}, which is not librmon; no events will be seen")
            });
            return null_mut(); // left loaded: it may have begun things
        }
        library
    }
}

/// Elsewhere it is not looked for, and the probes sleep for ever.
#[cfg(not(target_os = "linux"))]
mod library {
    pub(super) fn attach_slot() -> Option<super::AttachSlot> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::ptr::addr_of_mut;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// How often the table below has been asked to enter a scope.
    static ENTERED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn enter_scope(_: *mut Cell, _: *mut u64, _: *const u8, _: isize) -> c_int {
        ENTERED.fetch_add(1, Relaxed);
        0
    }

    /// A table of a librmon that has functions of which this crate knows nothing.
    #[repr(C)]
    struct Newer {
        known: Table,
        unknown: [usize; 8],
    }

    /// Whether the emitter stays awake with this table, and how often it has used it.
    fn attach_to(table: *mut Table) -> (bool, usize) {
        static AWAKE: AtomicU64 = AtomicU64::new(7);
        SLOT.table.store(table, Release);
        SLOT.version.store(&AWAKE as *const AtomicU64 as *mut AtomicU64, Release);
        let before = ENTERED.load(Relaxed);
        let states: [Cell; 0] = [];
        // SAFETY: a scope of no events.
        unsafe { refresh(states.as_ptr() as *mut Cell, &AtomicU64::new(0), &[]) };
        let awake = SLOT.table.load(Acquire) == table && current_version() == 7;
        let asleep = SLOT.table.load(Acquire).is_null() && current_version() == 0;
        assert!(awake != asleep, "either whole or not at all");
        (awake, ENTERED.load(Relaxed) - before)
    }

    // One test, since there is one slot.
    #[test]
    fn a_table_must_be_of_this_abi_and_at_least_as_large_as_this_crates() {
        let mut newer = MaybeUninit::<Newer>::uninit();
        // SAFETY: within the struct, every byte of which is written: no function is NULL, and none but
        // the one below is called.
        let table = unsafe {
            newer.as_mut_ptr().write_bytes(1, 1);
            addr_of_mut!((*newer.as_mut_ptr()).known)
        };
        let with = |magic, size: usize, abi_version| {
            // SAFETY: as above.
            unsafe {
                addr_of_mut!((*table).magic).write(magic);
                addr_of_mut!((*table).struct_size).write(size as u32);
                addr_of_mut!((*table).abi_version).write(abi_version);
                addr_of_mut!((*table).enter_scope).write(enter_scope);
            }
            attach_to(table)
        };
        let (own, bigger) = (size_of::<Table>(), size_of::<Newer>());
        assert_eq!(with(MAGIC, own, ABI_VERSION), (true, 1));
        assert_eq!(with(MAGIC, bigger, ABI_VERSION), (true, 1), "a newer librmon");
        assert_eq!(with(MAGIC, own - 1, ABI_VERSION), (false, 0), "an older librmon");
        assert_eq!(with(MAGIC, 0, ABI_VERSION), (false, 0));
        assert_eq!(with(MAGIC, own, ABI_VERSION + 1), (false, 0), "another ABI");
        assert_eq!(with(MAGIC + 1, own, ABI_VERSION), (false, 0), "no table");
        assert_eq!(with(MAGIC, own, ABI_VERSION), (true, 1), "it can be attached again");
    }
}
