//! The life of a call: started, and returned or unwound.

use std::mem::ManuallyDrop;
use std::thread::panicking;

use crate::code::{Code, Object};
use crate::emitter::Emitter;
use crate::event::Event;

/// A call that has started, made by [`Emitter::frame`]. When it is dropped it fires PY_RETURN, or, if
/// the thread is panicking, PY_UNWIND, at the last offset that it was told.
///
/// A frame that is left by `?` returns, as far as it knows; [`Frame::py_unwind`] is for errors that are a
/// language's exceptions.
///
/// What goes wrong when it is dropped has nobody to go to; [`Frame::py_return`] and
/// [`Frame::py_unwind`] end it with a result. (An error of Python's goes to `sys.unraisablehook`.)
///
/// ```
/// use rmon_emitter::{CodeLike, CodeSpec, Emitter, Failed};
///
/// static EMITTER: Emitter = Emitter::new();
/// static TOTAL: CodeLike = CodeLike::from_static(CodeSpec::new("total", "bill.rs", 3));
///
/// fn total(prices: &[u32]) -> Result<u32, Failed> {
///     let mut frame = EMITTER.frame(&TOTAL, 0)?;
///     let mut total = 0;
///     for price in prices {
///         frame.line(1, 6)?;
///         total += price;
///     }
///     Ok(total) // PY_RETURN here, and where the fires fail
/// }
/// # total(&[1, 2]).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "it ends at once if it is not kept"]
pub struct Frame<'a, C: Code> {
    emitter: &'a Emitter,
    code: C,
    offset: i32,
    /// Whether the thread was panicking already: it is not this call that is unwound then.
    in_panic: bool,
}

impl<'a, C: Code> Frame<'a, C> {
    #[inline]
    pub(crate) fn new(emitter: &'a Emitter, code: C, offset: i32) -> Self {
        Frame { emitter, code, offset, in_panic: panicking() }
    }

    /// Line `lineno` is about to run. The frame is at this offset from here on.
    ///
    /// # Errors
    /// A callback's error, or a negative offset.
    #[inline]
    pub fn line(&mut self, offset: i32, lineno: i32) -> Result<(), C::Error> {
        self.offset = offset;
        self.emitter.line(self.code, offset, lineno)
    }

    /// The call returns `retval`.
    ///
    /// # Errors
    /// A callback's error, or a negative offset.
    #[inline]
    pub fn py_return<'o>(self, offset: i32, retval: impl Into<Object<'o>>) -> Result<(), C::Error> {
        let frame = ManuallyDrop::new(self);
        frame.emitter.py_return(frame.code, offset, retval)
    }

    /// The call is left by `exception`.
    ///
    /// # Errors
    /// A callback's error, or a negative offset.
    #[inline]
    pub fn py_unwind<'o>(
        self,
        offset: i32,
        exception: impl Into<Object<'o>>,
    ) -> Result<(), C::Error> {
        let frame = ManuallyDrop::new(self);
        frame.emitter.py_unwind(frame.code, offset, exception)
    }

    #[cold]
    #[inline(never)]
    fn end(&self) {
        let result = if panicking() && !self.in_panic {
            self.emitter.py_unwind(self.code, self.offset, Object::NONE)
        } else {
            self.emitter.py_return(self.code, self.offset, Object::NONE)
        };
        if let Err(failure) = result {
            self.code.drop_failure(failure);
        }
    }
}

impl<C: Code> Drop for Frame<'_, C> {
    #[inline]
    fn drop(&mut self) {
        let is_active = |event| self.emitter.state(event).is_active();
        if is_active(Event::PyReturn) || is_active(Event::PyUnwind) {
            self.end();
        }
    }
}
