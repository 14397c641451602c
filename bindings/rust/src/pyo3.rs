//! PyO3's types as codes and objects; errors as `PyErr`.

use std::os::raw::{c_int, c_void};

use pyo3::{Borrowed, Bound, Py, PyAny, PyErr, Python};

use crate::abi::Table;
use crate::code::sealed::Deliver;
use crate::code::{CodeLike, Object};
use crate::event::Event;
use crate::python::{self, CodeRef, Raised};

impl<'a, T> From<&'a Bound<'_, T>> for Object<'a> {
    #[inline]
    fn from(object: &'a Bound<'_, T>) -> Object<'a> {
        // SAFETY: a Python object, which the reference holds.
        unsafe { Object::from_ptr(object.as_ptr().cast()) }
    }
}

impl<'a, T> From<Borrowed<'a, '_, T>> for Object<'a> {
    #[inline]
    fn from(object: Borrowed<'a, '_, T>) -> Object<'a> {
        // SAFETY: as above.
        unsafe { Object::from_ptr(object.as_ptr().cast()) }
    }
}

impl<'a, T> From<&'a Py<T>> for Object<'a> {
    #[inline]
    fn from(object: &'a Py<T>) -> Object<'a> {
        // SAFETY: as above.
        unsafe { Object::from_ptr(object.as_ptr().cast()) }
    }
}

/// The exception that is set.
fn error(py: Python<'_>, Raised(..): Raised) -> PyErr {
    // Not PyErr::fetch, which goes on with a panic that an exception stands for: in a drop that may be
    // the second.
    // SAFETY: the thread is attached, and `Raised` says that an exception is set; the reference is ours.
    PyErr::from_value(unsafe { Bound::<PyAny>::from_owned_ptr(py, python::take_raised().cast()) })
}

/// A code object, or any object with the attributes of one.
impl<T> Deliver for &Bound<'_, T> {
    type Failure = PyErr;

    #[inline]
    fn deliver(
        self,
        event: Event,
        object: Object<'_>,
        fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
    ) -> Result<(), PyErr> {
        // SAFETY: a `Bound` shows that the thread is attached, and is an object.
        let code = unsafe { CodeRef::from_ptr(self.as_ptr().cast()) };
        code.deliver(event, object, fire).map_err(|raised| error(self.py(), raised))
    }

    fn drop_failure(self, failure: PyErr) {
        failure.write_unraisable(self.py(), Some(self.as_any()));
    }
}

/// A look-alike, with the thread attached.
impl Deliver for (&CodeLike, Python<'_>) {
    type Failure = PyErr;

    #[inline]
    fn deliver(
        self,
        event: Event,
        object: Object<'_>,
        fire: impl FnOnce(&Table, *mut c_void, *mut c_void) -> c_int,
    ) -> Result<(), PyErr> {
        // SAFETY: a `Python` shows that the thread is attached.
        let code = unsafe { CodeRef::attached(self.0) };
        code.deliver(event, object, fire).map_err(|raised| error(self.1, raised))
    }

    fn drop_failure(self, failure: PyErr) {
        failure.write_unraisable(self.1, None);
    }
}
