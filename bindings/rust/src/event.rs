//! The events.

use std::fmt;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What can happen in monitored code: PEP 669's events, under CPython's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Event {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Event {
            /// Every event, in the order of the numbers.
            pub const ALL: [Event; EVENT_COUNT] = [$(Event::$variant),*];

            /// `sys.monitoring`'s name of the event: `"PY_START"`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Event::$variant => $name,)*
                }
            }
        }
    };
}

/// How many events there are.
pub(crate) const EVENT_COUNT: usize = 19;

events! {
    /// A function starts.
    PyStart = 0, "PY_START";
    /// A generator or coroutine goes on.
    PyResume = 1, "PY_RESUME";
    /// A function returns.
    PyReturn = 2, "PY_RETURN";
    /// A generator or coroutine yields.
    PyYield = 3, "PY_YIELD";
    /// Something is about to be called.
    Call = 4, "CALL";
    /// A line is about to run.
    Line = 5, "LINE";
    /// An instruction is about to run.
    Instruction = 6, "INSTRUCTION";
    /// An unconditional jump.
    Jump = 7, "JUMP";
    /// A conditional branch goes left.
    BranchLeft = 8, "BRANCH_LEFT";
    /// A conditional branch goes right.
    BranchRight = 9, "BRANCH_RIGHT";
    /// An iteration ends, without an exception being raised.
    StopIteration = 10, "STOP_ITERATION";
    /// An exception is raised.
    Raise = 11, "RAISE";
    /// An exception is caught.
    ExceptionHandled = 12, "EXCEPTION_HANDLED";
    /// A function is left by an exception.
    PyUnwind = 13, "PY_UNWIND";
    /// A generator or coroutine goes on by having an exception thrown in.
    PyThrow = 14, "PY_THROW";
    /// An exception is raised again.
    Reraise = 15, "RERAISE";
    /// Something called returned.
    CReturn = 16, "C_RETURN";
    /// Something called raised.
    CRaise = 17, "C_RAISE";
    /// A conditional branch whose direction is not told.
    Branch = 18, "BRANCH";
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
