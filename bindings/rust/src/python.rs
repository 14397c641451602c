//! Events from a Python extension: fired with the thread attached, about Python objects.
//!
//! What is used of Python is its limited API as of 3.9, so an extension for the stable ABI can use this,
//! with whatever crate it reaches Python through. (For PyO3 there is the feature `pyo3`.) The functions
//! are declared here and found as those of any extension: in the process that loads it, or in the
//! libpython that a program is linked with.
//!
//! Any object can be a code: a code object, or one that has `co_name`, `co_filename`,
//! `co_firstlineno` and `co_lines()` of its own. A [`CodeLike`] can be fired with as well. In both cases
//!
//! - the exception that is set when an event is fired is out of the way while callbacks run, and set
//!   again afterwards;
//! - a fire that fails leaves a Python exception set, and gives [`Raised`]. If one was set before, it is
//!   the context of the other.
//!
//! Events that are fired while the interpreter has tracing off (from what a callback of
//! `sys.monitoring`, or a trace function, calls) do not reach Python's callbacks.

use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::null_mut;

use crate::abi::Table;
use crate::attach;
use crate::code::sealed::Deliver;
use crate::code::{CodeLike, Object};
use crate::error::{Error, Failed};
use crate::event::Event;

/// A `PyObject`.
type Py = *mut c_void;

extern "C" {
    static PyExc_MemoryError: Py;
    static PyExc_RuntimeError: Py;
    static PyExc_StopIteration: Py;
    static PyExc_ValueError: Py;

    fn Py_IncRef(object: Py);
    fn Py_DecRef(object: Py);
    fn PyErr_Clear();
    fn PyErr_Fetch(kind: *mut Py, value: *mut Py, traceback: *mut Py);
    fn PyErr_NormalizeException(kind: *mut Py, value: *mut Py, traceback: *mut Py);
    fn PyErr_Occurred() -> Py;
    fn PyErr_Restore(kind: Py, value: Py, traceback: Py);
    fn PyErr_SetString(kind: Py, message: *const c_char);
    fn PyErr_WriteUnraisable(object: Py);
    fn PyException_GetContext(exception: Py) -> Py;
    fn PyException_GetTraceback(exception: Py) -> Py;
    fn PyException_SetContext(exception: Py, context: Py);
    fn PyException_SetTraceback(exception: Py, traceback: Py) -> c_int;
    fn PyObject_CallFunctionObjArgs(callable: Py, ...) -> Py;
    fn PyObject_IsInstance(object: Py, class: Py) -> c_int;
    fn PyObject_Type(object: Py) -> Py;
    fn PyThreadState_Get() -> *mut c_void;
}

/// A Python exception is set on this thread.
#[derive(Debug)]
pub struct Raised(pub(crate) PhantomData<*mut ()>);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Python exception is set")
    }
}

impl std::error::Error for Raised {}

/// A code, on a thread that is attached to Python.
#[derive(Clone, Copy, Debug)]
pub struct CodeRef<'a>(Place<'a>, PhantomData<*mut ()>);

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Object(Py),
    Native(&'a CodeLike),
}

impl<'a> CodeRef<'a> {
    /// A Python object.
    ///
    /// # Safety
    /// During the lifetime the thread is attached to an interpreter, and `object` is one of its
    /// objects, and alive.
    #[inline]
    pub unsafe fn from_ptr(object: *mut c_void) -> CodeRef<'a> {
        CodeRef(Place::Object(object), PhantomData)
    }

    /// A look-alike.
    ///
    /// # Safety
    /// During the lifetime the thread is attached to an interpreter.
    #[inline]
    pub unsafe fn attached(code: &'a CodeLike) -> CodeRef<'a> {
        CodeRef(Place::Native(code), PhantomData)
    }
}

impl Deliver for CodeRef<'_> {
    type Failure = Raised;

    fn deliver(
        self,
        event: Event,
        object: Object<'_>,
        fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
    ) -> Result<(), Raised> {
        let table = match attach::table() {
            Some(table) => table,
            None => return Ok(()), // put to sleep since the scope was entered
        };
        // SAFETY: the thread is attached, and the code is an object if it says so; then the fire's
        // object is one, too.
        unsafe {
            let before = Indicator::fetch();
            let result = match self.0 {
                Place::Object(code) => noted(table, event, code, object.0, fire),
                Place::Native(code) => {
                    Failed::check(fire(table, code.made_by(table), object.0)).map_err(Some)
                }
            };
            match result {
                Ok(()) => {
                    before.restore(); // also if a callback that did not fail has left one of its own
                    Ok(())
                }
                Err(failed) => {
                    set_error(failed, event);
                    before.put_below();
                    Err(Raised(PhantomData))
                }
            }
        }
    }

    fn drop_failure(self, _failure: Raised) {
        let code = match self.0 {
            Place::Object(code) => code,
            Place::Native(_) => null_mut(),
        };
        // SAFETY: the thread is attached.
        unsafe { PyErr_WriteUnraisable(code) };
    }
}

/// rmon_python_fire: a fire under way on this thread, noted for rmon's Python package, which then knows
/// that the addresses that it meets are objects, and that the thread is attached.
#[repr(C)]
struct Fire {
    struct_size: u32,
    /// The package's, as is `arguments`.
    count: u32,
    code: Py,
    thread: *mut c_void,
    /// What the package wants to be called in the end.
    release: Option<unsafe extern "C" fn(fire: *mut Fire)>,
    arguments: [Py; 6],
}

/// Fires with the note, and without an exception set. If it fails with `None`, an exception is set.
///
/// # Safety
/// The thread is attached; `code` is an object, `object` one or NULL.
unsafe fn noted(
    table: &Table,
    event: Event,
    code: Py,
    object: Py,
    fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
) -> Result<(), Option<Failed>> {
    // SAFETY: the caller's promise. The note's place is the thread's own, and lives as long as it.
    unsafe {
        let object = if event == Event::StopIteration {
            stop_iteration(object).ok_or(None)?
        } else {
            Owned::copy(object)
        };
        let mut arguments = [null_mut(); 6];
        if matches!(event, Event::CReturn | Event::CRaise) {
            arguments[3] = object.0; // this callable is held; what the last CALL said may not be
        }
        let mut under_way = Fire {
            struct_size: size_of::<Fire>() as u32,
            count: 0,
            code,
            thread: PyThreadState_Get(),
            release: None,
            arguments,
        };
        let under_way: *mut Fire = &mut under_way;
        let note = (table.host_note)();
        let outer = note.replace(under_way.cast());
        let status = fire(table, code, object.0);
        note.write(outer);
        if let Some(release) = (*under_way).release {
            release(under_way);
        }
        Failed::check(status).map_err(Some)
    }
}

/// The exception that STOP_ITERATION reports: a StopIteration with this value.
///
/// # Safety
/// As for [`noted`].
unsafe fn stop_iteration(value: Py) -> Option<Owned> {
    let end: Py = null_mut();
    // SAFETY: the caller's promise; the arguments end with NULL, perhaps with a first one.
    unsafe {
        if !value.is_null() {
            match PyObject_IsInstance(value, PyExc_StopIteration) {
                1 => return Some(Owned::copy(value)),
                0 => {}
                _ => PyErr_Clear(),
            }
        }
        let made = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, end);
        Some(Owned(made)).filter(|made| !made.0.is_null())
    }
}

/// Sets the exception for a fire that failed, unless a callback has set one.
///
/// # Safety
/// The thread is attached.
unsafe fn set_error(failed: Option<Failed>, event: Event) {
    // SAFETY: the caller's promise; the message ends.
    unsafe {
        let failed = match failed {
            Some(failed) if PyErr_Occurred().is_null() => failed,
            _ => return,
        };
        let (kind, message) = match failed.error() {
            Some(Error::CannotDisable) => {
                (PyExc_ValueError, format!("Cannot disable {event} events. Callback removed."))
            }
            Some(Error::InvalidOffset) => (PyExc_ValueError, failed.to_string()),
            Some(Error::NoMemory) => (PyExc_MemoryError, failed.to_string()),
            _ => (PyExc_RuntimeError, failed.to_string()),
        };
        PyErr_SetString(kind, CString::new(message).unwrap_or_default().as_ptr());
    }
}

/// A reference, or NULL.
struct Owned(Py);

impl Owned {
    /// # Safety
    /// The thread is attached; it is an object, or NULL.
    unsafe fn copy(object: Py) -> Owned {
        // SAFETY: the caller's promise.
        unsafe { Py_IncRef(object) };
        Owned(object)
    }

    fn release(self) -> Py {
        let object = self.0;
        std::mem::forget(self);
        object
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: a reference of ours, or NULL; what is owned does not leave the thread.
        unsafe { Py_DecRef(self.0) };
    }
}

/// The interpreter's error indicator: what is set, or three times NULL.
struct Indicator {
    kind: Py,
    value: Py,
    traceback: Py,
}

impl Indicator {
    /// Takes it away from the interpreter.
    ///
    /// # Safety
    /// The thread is attached.
    unsafe fn fetch() -> Indicator {
        let mut taken = Indicator { kind: null_mut(), value: null_mut(), traceback: null_mut() };
        // SAFETY: the caller's promise.
        unsafe { PyErr_Fetch(&mut taken.kind, &mut taken.value, &mut taken.traceback) };
        taken
    }

    /// Gives it back, in place of what is set.
    ///
    /// # Safety
    /// The thread is attached.
    unsafe fn restore(self) {
        // SAFETY: the caller's promise; the references are ours, and go to the interpreter.
        unsafe { PyErr_Restore(self.kind, self.value, self.traceback) }
    }

    /// Makes it, unless it is empty, the context of the exception that is set, or, if that has contexts
    /// which it has not, of the last of those.
    ///
    /// # Safety
    /// The thread is attached, and an exception is set.
    unsafe fn put_below(self) {
        if self.kind.is_null() {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let error = take_raised();
            self.restore();
            let raised = take_raised();
            if error.is_null() {
                put_raised(raised);
                return;
            }
            chain(error, raised);
            put_raised(error);
        }
    }
}

/// Takes the exception that is set, as an object; NULL if there is none. The caller owns it.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn take_raised() -> Py {
    // SAFETY: the caller's promise; each reference is given up once.
    unsafe {
        let Indicator { mut kind, mut value, mut traceback } = Indicator::fetch();
        if kind.is_null() {
            return null_mut();
        }
        PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
        if !value.is_null() && !traceback.is_null() {
            PyException_SetTraceback(value, traceback);
        }
        Py_DecRef(kind);
        Py_DecRef(traceback);
        value
    }
}

/// Sets an exception, which is taken over.
///
/// # Safety
/// The thread is attached; it is an exception.
unsafe fn put_raised(exception: Py) {
    // SAFETY: the caller's promise.
    unsafe {
        PyErr_Restore(PyObject_Type(exception), exception, PyException_GetTraceback(exception));
    }
}

/// A chain of contexts can be a ring, so nobody follows one for ever.
const LONGEST_CHAIN: usize = 100;

/// The context of an exception. The exception holds it.
///
/// # Safety
/// As for [`put_raised`].
unsafe fn context_of(exception: Py) -> Py {
    // SAFETY: the caller's promise.
    unsafe { Owned(PyException_GetContext(exception)).0 }
}

/// The one in an exception's chain whose context is `context`; NULL if there is none.
///
/// # Safety
/// As for [`put_raised`], or `exception` is NULL.
unsafe fn holder(mut exception: Py, context: Py) -> Py {
    for _ in 0..LONGEST_CHAIN {
        if exception.is_null() {
            break;
        }
        // SAFETY: the caller's promise; each holds the next.
        let next = unsafe { context_of(exception) };
        if next == context {
            return exception;
        }
        exception = next;
    }
    null_mut()
}

/// Puts `raised`, which is taken over, below `error`.
///
/// # Safety
/// As for [`put_raised`], of both.
unsafe fn chain(error: Py, raised: Py) {
    // SAFETY: the caller's promise; each holds the next.
    unsafe {
        let raised = Owned(raised);
        if error == raised.0 {
            return;
        }
        let above = holder(raised.0, error);
        if !above.is_null() {
            PyException_SetContext(above, null_mut()); // there must be no ring
        }
        let mut below = error;
        for _ in 0..LONGEST_CHAIN {
            let next = context_of(below);
            if next.is_null() || next == raised.0 || !holder(raised.0, next).is_null() {
                break;
            }
            below = next;
        }
        PyException_SetContext(below, raised.release());
    }
}
