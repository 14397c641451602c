//! Statuses: what can go wrong, its number in the C API, and its text.
//!
//! A number is for ever: it is never reused, and a new one goes at the end.

use core::ffi::{CStr, c_int};

use crate::sync::job::NoMemory;

/// The result of a call that can fail.
pub type Result<T> = core::result::Result<T, Error>;

/// Why a call failed. The discriminant is the C API's status (`RMON_ERR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Error {
    /// A callback failed.
    Callback = -1,
    /// NULL where it is not allowed.
    Null = -2,
    /// The tool id is not one of 0 to 5.
    InvalidTool = -3,
    /// The tool's name is empty or not UTF-8.
    InvalidName = -4,
    /// The tool id is taken.
    ToolInUse = -5,
    /// The tool id is not taken.
    ToolNotInUse = -6,
    /// There is no such event.
    InvalidEvent = -7,
    /// The set has a bit that is no event, or one that cannot be set here.
    InvalidEventSet = -8,
    /// C_RETURN or C_RAISE without all of CALL, C_RETURN and C_RAISE.
    NotIndependent = -9,
    /// A callback answered DISABLE to an event that has no location; it was removed.
    CannotDisable = -10,
    /// The offset is negative.
    InvalidOffset = -11,
    /// A length, size or table is not what it must be.
    InvalidArgument = -12,
    /// An exception event was fired while the host has no current exception.
    NoException = -13,
    /// Nobody can describe this code.
    UnknownCode = -14,
    /// The call makes no sense inside a callback.
    InCallback = -15,
    /// Memory, or another resource of the process, is exhausted.
    NoMemory = -16,
    /// A fault of rmon's own.
    Internal = -17,
}

impl Error {
    const ALL: [Error; 17] = [
        Error::Callback,
        Error::Null,
        Error::InvalidTool,
        Error::InvalidName,
        Error::ToolInUse,
        Error::ToolNotInUse,
        Error::InvalidEvent,
        Error::InvalidEventSet,
        Error::NotIndependent,
        Error::CannotDisable,
        Error::InvalidOffset,
        Error::InvalidArgument,
        Error::NoException,
        Error::UnknownCode,
        Error::InCallback,
        Error::NoMemory,
        Error::Internal,
    ];

    /// The C API's number of this error; negative.
    #[inline(always)]
    pub const fn status(self) -> c_int {
        self as c_int
    }

    /// The error of a status of the C API; `None` for 0 and for numbers that are none of rmon's.
    pub fn from_status(status: c_int) -> Option<Error> {
        Error::ALL.into_iter().find(|error| error.status() == status)
    }

    /// One line about the error, without a full stop, as a C string.
    pub const fn c_message(self) -> &'static CStr {
        match self {
            Error::Callback => c"a callback failed",
            Error::Null => c"NULL is not allowed here",
            Error::InvalidTool => c"invalid tool id (must be between 0 and 5)",
            Error::InvalidName => c"the tool's name must be UTF-8 and not empty",
            Error::ToolInUse => c"the tool id is already in use",
            Error::ToolNotInUse => c"the tool id is not in use",
            Error::InvalidEvent => c"invalid event",
            Error::InvalidEventSet => c"invalid event set",
            Error::NotIndependent => c"cannot set C_RETURN or C_RAISE events independently",
            Error::CannotDisable => c"cannot disable this event; the callback was removed",
            Error::InvalidOffset => c"offset must be non-negative",
            Error::InvalidArgument => c"invalid argument",
            Error::NoException => c"fired an exception event with no exception set",
            Error::UnknownCode => c"nothing is known about this code",
            Error::InCallback => c"not possible inside a callback",
            Error::NoMemory => c"out of memory",
            Error::Internal => c"internal error in rmon",
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.c_message().to_string_lossy())
    }
}

impl core::error::Error for Error {}

impl From<NoMemory> for Error {
    fn from(_: NoMemory) -> Error {
        Error::NoMemory
    }
}

/// The text of any status: an error's message, "ok" for 0, and a text that says so for a number
/// that is none of rmon's.
pub fn message(status: c_int) -> &'static CStr {
    match Error::from_status(status) {
        Some(error) => error.c_message(),
        None if status == 0 => c"ok",
        None => c"not a status of rmon",
    }
}

/// Runs the body; a panic in it becomes [`Error::Internal`]. So no panic reaches a C caller.
///
/// The bodies take the registry's lock themselves and leave it usable however they end, so what they
/// borrow is safe to see afterwards.
pub fn contained<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(Err(Error::Internal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let result = contained(|| -> Result<()> { panic!("planted") });
        std::panic::set_hook(hook);
        assert_eq!(result, Err(Error::Internal));
        assert_eq!(contained(|| Ok(7)), Ok(7));
    }

    #[test]
    fn numbers_count_down_from_minus_one_without_a_gap() {
        for (index, error) in Error::ALL.into_iter().enumerate() {
            assert_eq!(error.status(), -1 - index as c_int);
            assert_eq!(Error::from_status(error.status()), Some(error));
            assert!(!error.c_message().is_empty());
        }
        assert_eq!(Error::from_status(0), None);
        assert_eq!(message(0), c"ok");
        assert_eq!(message(-1000), c"not a status of rmon");
    }
}
