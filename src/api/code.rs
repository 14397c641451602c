//! Code look-alikes as owned values, and descriptions of codes.

use core::ffi::{CStr, c_char, c_void};
use core::marker::PhantomData;
use std::ffi::CString;

use crate::code::{Code, CodeInfo, LineEntry};
use crate::host;
use crate::registry;
use crate::status::{Error, Result};

/// What a [`CodeLike`] is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeSpec<'a> {
    /// The function's name.
    pub name: &'a str,
    /// The name with what encloses it; `None`: the same as `name`.
    pub qualname: Option<&'a str>,
    /// The source file.
    pub filename: &'a str,
    /// The line where the code begins.
    pub first_line: i32,
    /// The lines, by ascending offset.
    pub lines: &'a [LineEntry],
}

/// A code look-alike: something to fire events with for a language that has no code objects of its
/// own. Clones are references to one code, which dies with the last of them.
///
/// ```
/// use rmon::{CodeLike, CodeSpec, describe};
///
/// let code = CodeLike::new(&CodeSpec {
///     name: "greet",
///     filename: "hello.tmpl",
///     first_line: 3,
///     ..Default::default()
/// })?;
/// let found = describe(code.as_ptr()).unwrap();
/// assert_eq!((found.qualname.as_str(), found.first_line), ("greet", 3));
///
/// let address = code.as_ptr();
/// drop(code);
/// assert!(describe(address).is_none());
/// # Ok::<(), rmon::Error>(())
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CodeLike(*mut c_void);

// SAFETY: the pointer is an identity; the registry that it is looked up in is behind a lock.
unsafe impl Send for CodeLike {}
// SAFETY: as above.
unsafe impl Sync for CodeLike {}

impl CodeLike {
    /// Makes a code.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a string holds a NUL, or the offsets do not ascend from 0 or
    /// above, then [`Error::NoMemory`].
    pub fn new(spec: &CodeSpec<'_>) -> Result<CodeLike> {
        let text = |text: &str| CString::new(text).map_err(|_| Error::InvalidArgument);
        let (name, filename) = (text(spec.name)?, text(spec.filename)?);
        let qualname = text(spec.qualname.unwrap_or(spec.name))?;
        let code = Code::new(&name, &qualname, &filename, spec.first_line, spec.lines)?;
        registry::insert_code(code).map(CodeLike)
    }

    /// The code's identity, as events carry it and the C API takes it.
    pub fn as_ptr(&self) -> *mut c_void {
        self.0
    }
}

/// A code that is alive: a [`CodeLike`], or one of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeRef<'a>(*mut c_void, PhantomData<&'a ()>);

impl CodeRef<'_> {
    /// One of the host's codes, or any address that the emitter uses as an identity.
    ///
    /// # Safety
    /// If there is a host that describes codes, `code` is NULL or one of its codes, and is alive
    /// during the lifetime.
    pub unsafe fn from_ptr(code: *mut c_void) -> Self {
        CodeRef(code, PhantomData)
    }

    /// The code's identity.
    pub fn as_ptr(self) -> *mut c_void {
        self.0
    }
}

impl<'a> From<&'a CodeLike> for CodeRef<'a> {
    fn from(code: &'a CodeLike) -> CodeRef<'a> {
        CodeRef(code.0, PhantomData)
    }
}

impl Clone for CodeLike {
    fn clone(&self) -> CodeLike {
        registry::retain_code(self.0);
        CodeLike(self.0)
    }
}

impl Drop for CodeLike {
    fn drop(&mut self) {
        // Releasing can only fail for want of what making the code already had.
        let _ = registry::release_code(self.0);
    }
}

/// What is known of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The function's name.
    pub name: String,
    /// The name with what encloses it.
    pub qualname: String,
    /// The source file.
    pub filename: String,
    /// The line where the code begins.
    pub first_line: i32,
    /// The lines, by ascending offset; empty if nobody can tell.
    pub lines: Vec<LineEntry>,
}

impl Description {
    fn copy(info: CodeInfo) -> Description {
        let text = |text: *const c_char| {
            // SAFETY: a description holds strings that live as long as the code; callers hold the
            // registry's lock for codes of ours, and a host promises it for its own.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        let lines = if info.line_count == 0 {
            Vec::new()
        } else {
            // SAFETY: as above; there are `line_count` of them.
            unsafe { core::slice::from_raw_parts(info.lines, info.line_count) }.to_vec()
        };
        Description {
            name: text(info.name),
            qualname: text(info.qualname),
            filename: text(info.filename),
            first_line: info.first_line,
            lines,
        }
    }
}

/// Describes a code: a [`CodeLike`], one made by `rmon_code_new`, or one of the host's. `None` if
/// nobody can.
pub fn describe(code: *mut c_void) -> Option<Description> {
    let size = size_of::<CodeInfo>() as u32;
    registry::with_code(code, size, |info| info.map(Description::copy))
        .or_else(|| host::describe_by_hook(code, size).ok().map(Description::copy))
}
