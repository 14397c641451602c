//! What a host supplies: the language run-time in the process, if there is one, knows the current
//! exception and can describe its codes.

use core::ffi::{c_int, c_void};

use crate::code::CodeInfo;
use crate::registry;
use crate::status::{Error, Result};
use crate::sync::job::try_box;
use crate::sync::published::Published;
use crate::sync::thread;

/// The hooks of a host. Each may be NULL. They are called on the thread that asks, from inside fires
/// and callbacks, and must not unwind.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Host {
    /// `sizeof(rmon_host)`.
    pub struct_size: u32,
    /// Passed to the hooks.
    pub user_data: *mut c_void,
    /// The exception that is being raised or handled on this thread, or NULL if there is none. It is
    /// borrowed, for the duration of the fire that asks.
    pub current_exception: Option<unsafe extern "C" fn(user_data: *mut c_void) -> *mut c_void>,
    /// Describes one of the host's codes: fills `info` and returns `RMON_OK`, or returns
    /// `RMON_ERR_UNKNOWN_CODE`. What it fills in must live as long as the code. `info->struct_size`
    /// is set by the caller; fields beyond it must not be written.
    ///
    /// `delivering` is non-zero if an event of this code is being delivered on this thread, which
    /// means that the code is alive. Otherwise the address may be anything: it may be looked up, not
    /// followed.
    pub describe: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            code: *mut c_void,
            delivering: c_int,
            info: *mut CodeInfo,
        ) -> c_int,
    >,
    /// Called on a thread that is about to wait for callbacks: lets go of what it may hold and one of
    /// them may need, such as the lock of the language run-time. Counts only with `end_wait`.
    pub begin_wait: Option<unsafe extern "C" fn(user_data: *mut c_void) -> *mut c_void>,
    /// Called on the same thread when the wait is over, with what `begin_wait` returned: takes it
    /// again.
    pub end_wait: Option<unsafe extern "C" fn(user_data: *mut c_void, begun: *mut c_void)>,
}

// SAFETY: a host promises that its hooks may be called with its user data from any thread.
unsafe impl Send for Host {}
// SAFETY: as above; the table itself is never changed.
unsafe impl Sync for Host {}

impl Host {
    /// The size of the table's first version: the least `struct_size` that is accepted.
    pub const FIRST_SIZE: u32 = core::mem::offset_of!(Host, begin_wait) as u32;

    /// A copy of a table, whose version may be older or newer.
    ///
    /// # Safety
    /// `table` is valid for reads of its `struct_size`, which is at least [`Host::FIRST_SIZE`].
    pub(crate) unsafe fn read(table: *const Host) -> Host {
        // SAFETY: the caller's promise: the first version's fields are there, and the others if the
        // size says so.
        unsafe {
            if (*table).struct_size as usize >= size_of::<Host>() {
                return *table;
            }
            Host {
                struct_size: (*table).struct_size,
                user_data: (*table).user_data,
                current_exception: (*table).current_exception,
                describe: (*table).describe,
                begin_wait: None,
                end_wait: None,
            }
        }
    }
}

/// A table once set, for ever: a fire may be reading it. It keeps its predecessors reachable.
struct Kept {
    host: Option<Host>,
    _before: Option<&'static Kept>,
}

static HOST: Published<Kept> = Published::new();

fn host() -> Option<&'static Host> {
    HOST.get()?.host.as_ref()
}

/// Sets or removes the host. The old table stays allocated: hosts come once, or a few times.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn set(host: Option<Host>) -> Result<()> {
    HOST.set(Box::leak(try_box(Kept { host, _before: HOST.get() })?));
    Ok(())
}

/// The current exception: `Ok(NULL)` if nobody can tell, [`Error::NoException`] if the host says that
/// there is none.
pub fn current_exception() -> Result<*mut c_void> {
    let Some((host, hook)) = host().and_then(|host| Some((host, host.current_exception?))) else {
        return Ok(core::ptr::null_mut());
    };
    // SAFETY: a host promises that its hook may be called with its user data.
    let exception = unsafe { hook(host.user_data) };
    if exception.is_null() { Err(Error::NoException) } else { Ok(exception) }
}

/// Does something that waits for callbacks, without what this thread may hold of the host's. From
/// inside a callback nothing waits, and nothing is let go.
pub fn while_waiting<R>(wait: impl FnOnce() -> R) -> R {
    let host = host().filter(|_| !thread::current().is_inside());
    let Some((host, begin, end)) =
        host.and_then(|host| Some((host, host.begin_wait?, host.end_wait?)))
    else {
        return wait();
    };
    // SAFETY: a host promises that its hooks may be called with its user data.
    let begun = unsafe { begin(host.user_data) };
    let result = wait();
    // SAFETY: as above; on the same thread, with what the other returned.
    unsafe { end(host.user_data, begun) };
    result
}

/// Describes any code: rmon's own, or the host's by its hook. The answer fills `struct_size` bytes
/// of a [`CodeInfo`], which is at least its first version.
///
/// # Errors
/// [`Error::UnknownCode`] if neither knows it.
pub fn describe(code: *mut c_void, struct_size: u32) -> Result<CodeInfo> {
    match registry::with_code(code, struct_size, |info| info) {
        Some(info) => Ok(info),
        None => describe_by_hook(code, struct_size),
    }
}

/// Describes one of the host's codes.
///
/// # Errors
/// [`Error::UnknownCode`] if there is no host, or it does not know the code.
pub fn describe_by_hook(code: *mut c_void, struct_size: u32) -> Result<CodeInfo> {
    let (host, hook) =
        host().and_then(|host| Some((host, host.describe?))).ok_or(Error::UnknownCode)?;
    let mut info = CodeInfo {
        struct_size: size_of::<CodeInfo>() as u32,
        first_line: 0,
        name: core::ptr::null(),
        qualname: core::ptr::null(),
        filename: core::ptr::null(),
        lines: core::ptr::null(),
        line_count: 0,
    };
    let delivering = c_int::from(thread::current().is_delivering(code));
    // SAFETY: a host promises that its hook may be called with its user data; `info` is valid.
    let status = unsafe { hook(host.user_data, code, delivering, &mut info) };
    if status != 0 || info.name.is_null() || info.filename.is_null() {
        return Err(Error::UnknownCode);
    }
    if info.qualname.is_null() {
        info.qualname = info.name;
    }
    if info.lines.is_null() {
        info.line_count = 0;
    }
    info.struct_size = struct_size;
    Ok(info)
}
