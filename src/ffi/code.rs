//! Code look-alikes for emitters without a host, descriptions, and the host's hooks.
//!
//! Every function may be called from any thread and from inside a callback.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::{not_null, status};
use crate::code::{Code, CodeInfo, LineEntry};
use crate::host::{self, Host};
use crate::registry;
use crate::status::{Error, Result, contained};
use crate::sync::thread;

/// # Safety
/// `text` is NULL or a string that ends with a NUL and outlives the result.
unsafe fn string<'a>(text: *const c_char) -> Result<&'a CStr> {
    let text = not_null(text.cast_mut())?;
    // SAFETY: not NULL, so a string by the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// Makes a code look-alike: something to fire events with for an emitter whose language has no code
/// objects of its own.
///
/// `info` and what it points to are copied. `struct_size`, `name` and `filename` are required,
/// `qualname` NULL means `name`; strings are UTF-8; the offsets of `lines` ascend from 0 or above.
/// Returns the code, with one reference, to be released with rmon_code_release; NULL if `info` is bad
/// or there is no memory. The result is an identity, not a pointer to be followed.
///
/// # Safety
/// `info` is NULL or valid for reads of its `struct_size`, and what it points to is valid for reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_code_new(info: *const CodeInfo) -> *mut c_void {
    let body = || {
        let info = not_null(info.cast_mut())?;
        // SAFETY: not NULL; the size is the first field of every version.
        if unsafe { (*info).struct_size } < CodeInfo::FIRST_SIZE {
            return Err(Error::InvalidArgument);
        }
        // SAFETY: the caller's promise; the first version is covered.
        let info = unsafe { &*info };
        // SAFETY: the caller's promise.
        let (name, filename) = unsafe { (string(info.name)?, string(info.filename)?) };
        let qualname = if info.qualname.is_null() {
            name
        } else {
            // SAFETY: the caller's promise.
            unsafe { string(info.qualname)? }
        };
        let lines = match (info.lines.is_null(), info.line_count) {
            (_, 0) => &[],
            (true, _) => return Err(Error::InvalidArgument),
            (false, count) if count > isize::MAX as usize / size_of::<LineEntry>() => {
                return Err(Error::InvalidArgument);
            }
            // SAFETY: the caller's promise.
            (false, count) => unsafe { core::slice::from_raw_parts(info.lines, count) },
        };
        registry::insert_code(Code::new(name, qualname, filename, info.first_line, lines)?)
    };
    contained(body).unwrap_or(core::ptr::null_mut())
}

/// Adds a reference to a code that rmon_code_new made. Anything else is left alone.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_code_retain(code: *mut c_void) {
    status(|| {
        registry::retain_code(code);
        Ok(())
    });
}

/// Drops a reference to a code that rmon_code_new made. With the last one the code dies: its
/// description goes, and all that tools have set on it. Anything else is left alone.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_code_release(code: *mut c_void) {
    status(|| registry::release_code(code));
}

/// Describes a code: one that rmon_code_new made, or one of the host's, which its hook describes.
///
/// `out->struct_size` is set by the caller. The rest of `out` is written on success; what it points to
/// lives as long as the code. Neither pointer may be NULL. `code` is looked up, never followed.
/// Returns RMON_OK, RMON_ERR_NULL, RMON_ERR_INVALID_ARGUMENT (struct_size), or RMON_ERR_UNKNOWN_CODE:
/// also for a code that was released, and for a host's code that the host can describe only while
/// one of its events is being delivered on this thread.
///
/// # Safety
/// `out` is NULL or valid for reads and writes of its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_code_describe(code: *mut c_void, out: *mut CodeInfo) -> c_int {
    status(|| {
        let (code, out) = (not_null(code)?, not_null(out)?);
        // SAFETY: not NULL; the size is the first field of every version.
        let struct_size = unsafe { (*out).struct_size };
        if struct_size < CodeInfo::FIRST_SIZE {
            return Err(Error::InvalidArgument);
        }
        let info = host::describe(code, struct_size)?;
        // SAFETY: the caller's promise; fields beyond this version are left alone.
        unsafe { out.write(info) };
        Ok(())
    })
}

/// Tells that a code which rmon did not make has died: what tools have set on it (local events,
/// disabled locations) goes, so that another code at the same address does not inherit it. To be
/// called by the emitter before the address can be used again.
///
/// Returns RMON_OK, also if nothing was known, or RMON_ERR_NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_code_forget(code: *mut c_void) -> c_int {
    status(|| registry::forget_code(not_null(code)?))
}

/// The calling thread's word for the host: NULL at first, and never read or written by rmon.
///
/// The host's emitters note in it, around a fire, the code that they pass, so that the host's hooks and
/// callbacks know which of the addresses that they meet are its own objects. Valid as long as the
/// thread lives, for that thread alone.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_host_note() -> *mut *mut c_void {
    thread::current().note()
}

/// Where rmon_host_note's word lies on every thread: so many bytes from the thread pointer (on x86-64,
/// what the word at fs:0 holds). 0 if that is not the same everywhere. A host that knows it need not
/// call rmon_host_note around each fire.
#[unsafe(no_mangle)]
pub extern "C" fn rmon_host_note_offset() -> isize {
    thread::Current::note_offset().unwrap_or(0)
}

/// Sets the hooks of the host, the language run-time in this process; NULL removes them. The table
/// is copied.
///
/// Without a host everything else works: exception events fired under the PyMonitoring names carry
/// NULL, and only codes made by rmon_code_new can be described. An example:
///
/// ```c
/// static void *current_exception(void *vm) { return ((struct vm *)vm)->exception; }
///
/// static int describe(void *vm, void *code, int delivering, rmon_code_info *info)
/// {
///     struct function *f = vm_find_function(vm, code);
///     (void)delivering;
///     if (f == NULL)
///         return RMON_ERR_UNKNOWN_CODE;
///     info->name = f->name;
///     info->filename = f->file;
///     info->first_line = f->line;
///     return RMON_OK;
/// }
///
/// rmon_host host = { sizeof host, vm, current_exception, describe };
/// rmon_set_host(&host);
/// ```
///
/// Returns RMON_OK, RMON_ERR_INVALID_ARGUMENT (struct_size) or RMON_ERR_NO_MEMORY.
///
/// # Safety
/// `host` is NULL or valid for reads of its `struct_size`; its hooks may be called with its user data
/// from any thread, for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmon_set_host(host: *const Host) -> c_int {
    status(|| {
        if host.is_null() {
            return host::set(None);
        }
        // SAFETY: not NULL; the size is the first field of every version.
        if unsafe { (*host).struct_size } < Host::FIRST_SIZE {
            return Err(Error::InvalidArgument);
        }
        // SAFETY: the caller's promise; the first version is covered.
        host::set(Some(unsafe { Host::read(host) }))
    })
}
