//! Codes, which say where events happen, and the objects that they are about.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::abi::{CodeInfo, LineEntry, Table};
use crate::attach;
use crate::error::{Error, Failed};
use crate::event::Event;

/// What a fire is given to say where it happens: `&CodeLike`, [`CodeRef`]; for Python what
/// the module `python` has, with PyO3 also `&Bound` and `(&CodeLike, Python)`.
///
/// The trait is sealed: rmon must know what it gets.
pub trait Code: Copy + sealed::Deliver<Failure = Self::Error> {
    /// What a fire that fails gives.
    type Error;
}

impl<C: sealed::Deliver> Code for C {
    type Error = C::Failure;
}

pub(crate) mod sealed {
    use super::*;

    /// How an event of a kind of code is fired.
    pub trait Deliver: Copy {
        type Failure;

        /// Calls librmon, by `fire`, which is given librmon's functions, the code, and the object.
        fn deliver(
            self,
            event: Event,
            object: Object<'_>,
            fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
        ) -> Result<(), Self::Failure>;

        /// A fire has failed where there is nobody to tell.
        fn drop_failure(self, failure: Self::Failure);
    }
}

/// What an event is about: a value, a callable, an exception. Tools get its address.
///
/// With the feature `pyo3` it is made from references to PyO3's `Bound` and `Py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a>(pub(crate) *mut c_void, PhantomData<&'a ()>);

impl Object<'_> {
    /// Nothing; tools get NULL.
    pub const NONE: Object<'static> = Object(null_mut(), PhantomData);

    /// An object of the host's.
    ///
    /// # Safety
    /// `object` is NULL, or what the process's tools take it for, alive during the lifetime. If it is
    /// fired with a code that is a Python object it is one, too.
    #[inline]
    pub const unsafe fn from_ptr(object: *mut c_void) -> Self {
        Object(object, PhantomData)
    }
}

/// A code of the emitter's own, or of its host: any address, as an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeRef<'a>(*mut c_void, PhantomData<&'a ()>);

impl CodeRef<'_> {
    /// The code at an address.
    ///
    /// # Safety
    /// If there is a host that describes codes, `code` is NULL or one of its codes, and is alive
    /// during the lifetime. In a Python process any object may be one; see
    /// the module `python`.
    #[inline]
    pub const unsafe fn from_ptr(code: *mut c_void) -> Self {
        CodeRef(code, PhantomData)
    }

    /// The code's identity.
    #[inline]
    pub const fn as_ptr(self) -> *mut c_void {
        self.0
    }
}

/// Fires, unless the emitter was put to sleep since the scope was entered.
#[inline]
fn awake(fire: impl FnOnce(&Table) -> c_int) -> Result<(), Failed> {
    attach::table().map_or(Ok(()), |table| Failed::check(fire(table)))
}

impl sealed::Deliver for CodeRef<'_> {
    type Failure = Failed;

    #[inline]
    fn deliver(
        self,
        _event: Event,
        object: Object<'_>,
        fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
    ) -> Result<(), Failed> {
        awake(|table| fire(table, self.0, object.0))
    }

    fn drop_failure(self, _failure: Failed) {}
}

/// What a [`CodeLike`] is made of.
///
/// ```
/// use rmon_emitter::{CodeSpec, LineEntry};
///
/// const LINES: [LineEntry; 2] = [LineEntry { offset: 0, line: 7 }, LineEntry { offset: 4, line: 8 }];
/// const SPEC: CodeSpec = CodeSpec::new("total", "order.rules", 7).qualname("order.total").lines(&LINES);
/// ```
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

impl<'a> CodeSpec<'a> {
    /// Of a function without a line table.
    pub const fn new(name: &'a str, filename: &'a str, first_line: i32) -> CodeSpec<'a> {
        CodeSpec { name, qualname: None, filename, first_line, lines: &[] }
    }

    /// With what encloses the function before its name.
    #[must_use]
    pub const fn qualname(self, qualname: &'a str) -> CodeSpec<'a> {
        let CodeSpec { name, filename, first_line, lines, .. } = self;
        CodeSpec { name, qualname: Some(qualname), filename, first_line, lines }
    }

    /// With lines, by ascending offset.
    #[must_use]
    pub const fn lines(self, lines: &'a [LineEntry]) -> CodeSpec<'a> {
        let CodeSpec { name, qualname, filename, first_line, .. } = self;
        CodeSpec { name, qualname, filename, first_line, lines }
    }

    const fn is_valid(&self) -> bool {
        let qualname = match self.qualname {
            Some(qualname) => qualname,
            None => self.name,
        };
        ends_nowhere(self.name)
            && ends_nowhere(qualname)
            && ends_nowhere(self.filename)
            && ascends(self.lines)
    }
}

/// Whether a text has no NUL.
const fn ends_nowhere(text: &str) -> bool {
    let (bytes, mut index) = (text.as_bytes(), 0);
    while index < bytes.len() {
        if bytes[index] == 0 {
            return false;
        }
        index += 1;
    }
    true
}

const fn ascends(lines: &[LineEntry]) -> bool {
    let (mut above, mut index) = (-1, 0);
    while index < lines.len() {
        if lines[index].offset <= above {
            return false;
        }
        above = lines[index].offset;
        index += 1;
    }
    true
}

/// A code look-alike: something to fire events with for a language, or a library, that has no code
/// objects of its own. Tools learn its name, file and lines; a tool in Python gets it as an object with
/// `co_name`, `co_filename`, `co_firstlineno` and `co_lines()`.
///
/// librmon is told of it when it is first fired with while somebody listens, not before: without tools
/// it is a few strings. It may be a static, and be shared by threads; put it into an `Arc` to share it
/// otherwise. What tools have set on it goes with it.
///
/// ```
/// use rmon_emitter::{CodeLike, CodeSpec};
///
/// static PARSE: CodeLike = CodeLike::from_static(CodeSpec::new("parse", file!(), line!() as i32));
///
/// fn of_a_rule(name: &str, file: &str, line: i32) -> Result<CodeLike, rmon_emitter::Error> {
///     CodeLike::new(&CodeSpec::new(name, file, line))
/// }
/// ```
pub struct CodeLike {
    name: Cow<'static, str>,
    qualname: Option<Cow<'static, str>>,
    filename: Cow<'static, str>,
    first_line: i32,
    lines: Cow<'static, [LineEntry]>,
    /// librmon's code, once there is one; until then NULL.
    made: AtomicPtr<c_void>,
}

impl CodeLike {
    /// A code with copies of what it is made of.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a string holds a NUL, or the offsets do not ascend from 0 or
    /// above.
    pub fn new(spec: &CodeSpec<'_>) -> Result<CodeLike, Error> {
        if !spec.is_valid() {
            return Err(Error::InvalidArgument);
        }
        let copy = |text: &str| Cow::Owned(text.to_string());
        Ok(CodeLike {
            name: copy(spec.name),
            qualname: spec.qualname.map(copy),
            filename: copy(spec.filename),
            first_line: spec.first_line,
            lines: Cow::Owned(spec.lines.to_vec()),
            made: AtomicPtr::new(null_mut()),
        })
    }

    /// A code for a static.
    ///
    /// # Panics
    /// If a string holds a NUL, or the offsets do not ascend from 0 or above: in a static, when the
    /// program is compiled.
    pub const fn from_static(spec: CodeSpec<'static>) -> CodeLike {
        assert!(spec.is_valid(), "a NUL in a string, or offsets that do not ascend");
        CodeLike {
            name: Cow::Borrowed(spec.name),
            qualname: match spec.qualname {
                Some(qualname) => Some(Cow::Borrowed(qualname)),
                None => None,
            },
            filename: Cow::Borrowed(spec.filename),
            first_line: spec.first_line,
            lines: Cow::Borrowed(spec.lines),
            made: AtomicPtr::new(null_mut()),
        }
    }

    /// The code's identity, as events carry it and the functions for tools take it; NULL while librmon
    /// is not in the process, or has no memory.
    pub fn as_ptr(&self) -> *mut c_void {
        attach::find_table().map_or(null_mut(), |table| self.made_by(table))
    }

    /// librmon's code.
    #[inline]
    pub(crate) fn made_by(&self, table: &Table) -> *mut c_void {
        // Acquire: pairs with the Release in `make`, although nothing is read through the pointer.
        let made = self.made.load(Acquire);
        if made.is_null() {
            self.make(table)
        } else {
            made
        }
    }

    #[cold]
    #[inline(never)]
    fn make(&self, table: &Table) -> *mut c_void {
        let text = |text: &str| CString::new(text).unwrap_or_default(); // there is no NUL
        let (name, filename) = (text(&self.name), text(&self.filename));
        let qualname = self.qualname.as_deref().map(text);
        let info = CodeInfo {
            struct_size: size_of::<CodeInfo>() as u32,
            first_line: self.first_line,
            name: name.as_ptr(),
            qualname: qualname.as_ref().unwrap_or(&name).as_ptr(),
            filename: filename.as_ptr(),
            lines: self.lines.as_ptr(),
            line_count: self.lines.len(),
        };
        // SAFETY: the strings end, and there are as many lines; all of it is copied.
        let made = unsafe { (table.code_new)(&info) };
        match self.made.compare_exchange(null_mut(), made, AcqRel, Acquire) {
            Ok(_) => {
                attach::remember(table);
                made
            }
            Err(first) => {
                // Another thread was first. SAFETY: ours, and nobody has seen it.
                unsafe { (table.code_release)(made) };
                first
            }
        }
    }
}

impl Drop for CodeLike {
    fn drop(&mut self) {
        let made = *self.made.get_mut();
        if let Some(table) = attach::remembered().filter(|_| !made.is_null()) {
            // SAFETY: ours; tools that still hold it have references of their own.
            unsafe { (table.code_release)(made) };
        }
    }
}

impl fmt::Debug for CodeLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeLike")
            .field("name", &self.qualname.as_ref().unwrap_or(&self.name))
            .field("filename", &self.filename)
            .field("first_line", &self.first_line)
            .finish_non_exhaustive()
    }
}

impl sealed::Deliver for &CodeLike {
    type Failure = Failed;

    #[inline]
    fn deliver(
        self,
        _event: Event,
        object: Object<'_>,
        fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
    ) -> Result<(), Failed> {
        awake(|table| fire(table, self.made_by(table), object.0))
    }

    fn drop_failure(self, _failure: Failed) {}
}
