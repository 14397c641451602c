//! What can go wrong.

use std::fmt;
use std::num::NonZeroI32;
use std::os::raw::c_int;

/// Why a fire failed, or a code could not be made. The discriminant is the C API's status
/// (`RMON_ERR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Error {
    /// A tool's callback failed.
    Callback = -1,
    /// A callback answered DISABLE to an event that has no location; it was removed.
    CannotDisable = -10,
    /// The offset is negative.
    InvalidOffset = -11,
    /// A string holds a NUL, or the offsets of lines do not ascend from 0 or above.
    InvalidArgument = -12,
    /// Memory, or another resource of the process, is exhausted.
    NoMemory = -16,
    /// A fault of rmon's own.
    Internal = -17,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Callback => "a callback failed",
            Error::CannotDisable => "cannot disable this event; the callback was removed",
            Error::InvalidOffset => "offset must be non-negative",
            Error::InvalidArgument => "invalid argument",
            Error::NoMemory => "out of memory",
            Error::Internal => "internal error in rmon",
        })
    }
}

impl std::error::Error for Error {}

/// A fire that a callback or rmon ended with an error.
///
/// What an emitter does about it is its own affair: a host language raises it, as CPython does; who
/// only wants to be watched ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(NonZeroI32);

impl Failed {
    /// The result of a fire.
    #[inline]
    pub(crate) fn check(status: c_int) -> Result<(), Failed> {
        match NonZeroI32::new(status) {
            Some(status) if status.get() < 0 => Err(Failed(status)),
            _ => Ok(()),
        }
    }

    /// The status: negative; one of rmon's, or a callback's own number.
    pub fn status(self) -> c_int {
        self.0.get()
    }

    /// The error, if the status is one of those.
    pub fn error(self) -> Option<Error> {
        const ALL: [Error; 6] = [
            Error::Callback,
            Error::CannotDisable,
            Error::InvalidOffset,
            Error::InvalidArgument,
            Error::NoMemory,
            Error::Internal,
        ];
        ALL.iter().copied().find(|error| *error as c_int == self.status())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error() {
            Some(error) => error.fmt(f),
            None => write!(f, "a callback failed with status {}", self.status()),
        }
    }
}

impl std::error::Error for Failed {}
