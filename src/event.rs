//! Events and event sets: their numbers, names and the rules between them.
//!
//! The numbers are rmon's own and frozen; they happen to be those of CPython 3.14. What a set means
//! to a tool (who is called, and when) is decided elsewhere; here stands only what is true of an
//! event by its name: whether it is local, which event controls it, which set may be asked for.

use core::ffi::{CStr, c_int};

use crate::status::{Error, Result};

/// How many events there are; every event's number is below it.
pub const EVENT_COUNT: usize = 19;

/// What can happen in monitored code (PEP 669's events, under CPython's names).
///
/// The discriminant is the event's number in the C API (`RMON_EVENT_*`) and the position of its bit
/// in an [`EventSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Event {
    /// A function starts.
    PyStart = 0,
    /// A generator or coroutine goes on.
    PyResume = 1,
    /// A function returns.
    PyReturn = 2,
    /// A generator or coroutine yields.
    PyYield = 3,
    /// Something is about to be called.
    Call = 4,
    /// A line is about to run.
    Line = 5,
    /// An instruction is about to run.
    Instruction = 6,
    /// An unconditional jump.
    Jump = 7,
    /// A conditional branch goes left.
    BranchLeft = 8,
    /// A conditional branch goes right.
    BranchRight = 9,
    /// An artificial `StopIteration`, which ends an iteration without being raised.
    StopIteration = 10,
    /// An exception is raised.
    Raise = 11,
    /// An exception is caught.
    ExceptionHandled = 12,
    /// A function is left by an exception.
    PyUnwind = 13,
    /// A generator or coroutine goes on by having an exception thrown in.
    PyThrow = 14,
    /// An exception is raised again.
    Reraise = 15,
    /// Something called returned. Controlled by [`Event::Call`].
    CReturn = 16,
    /// Something called raised. Controlled by [`Event::Call`].
    CRaise = 17,
    /// A conditional branch whose direction is not told.
    Branch = 18,
}

impl Event {
    /// Every event, in the order of the numbers.
    pub const ALL: [Event; EVENT_COUNT] = [
        Event::PyStart,
        Event::PyResume,
        Event::PyReturn,
        Event::PyYield,
        Event::Call,
        Event::Line,
        Event::Instruction,
        Event::Jump,
        Event::BranchLeft,
        Event::BranchRight,
        Event::StopIteration,
        Event::Raise,
        Event::ExceptionHandled,
        Event::PyUnwind,
        Event::PyThrow,
        Event::Reraise,
        Event::CReturn,
        Event::CRaise,
        Event::Branch,
    ];

    /// The event of a number; [`Error::InvalidEvent`] if there is none.
    pub fn from_number(number: c_int) -> Result<Event> {
        usize::try_from(number)
            .ok()
            .and_then(|index| Event::ALL.get(index).copied())
            .ok_or(Error::InvalidEvent)
    }

    /// The event's number.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The event's number as an index.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The set that holds this event alone.
    #[inline(always)]
    pub const fn set(self) -> EventSet {
        EventSet::from_bits_truncate(1 << self as u8)
    }

    /// Whether the event happens at a location, so that it can be set for one code and disabled at
    /// one location.
    #[inline]
    pub const fn is_local(self) -> bool {
        EventSet::LOCAL.contains(self.set())
    }

    /// The event under whose name a location is disabled and local events are kept: C_RETURN and
    /// C_RAISE are on wherever CALL is.
    #[inline(always)]
    pub const fn controlling(self) -> Event {
        match self {
            Event::CReturn | Event::CRaise => Event::Call,
            other => other,
        }
    }

    /// `sys.monitoring`'s name of the event, as a C string: `"PY_START"`.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Event::PyStart => c"PY_START",
            Event::PyResume => c"PY_RESUME",
            Event::PyReturn => c"PY_RETURN",
            Event::PyYield => c"PY_YIELD",
            Event::Call => c"CALL",
            Event::Line => c"LINE",
            Event::Instruction => c"INSTRUCTION",
            Event::Jump => c"JUMP",
            Event::BranchLeft => c"BRANCH_LEFT",
            Event::BranchRight => c"BRANCH_RIGHT",
            Event::StopIteration => c"STOP_ITERATION",
            Event::Raise => c"RAISE",
            Event::ExceptionHandled => c"EXCEPTION_HANDLED",
            Event::PyUnwind => c"PY_UNWIND",
            Event::PyThrow => c"PY_THROW",
            Event::Reraise => c"RERAISE",
            Event::CReturn => c"C_RETURN",
            Event::CRaise => c"C_RAISE",
            Event::Branch => c"BRANCH",
        }
    }

    /// `sys.monitoring`'s name of the event: `"PY_START"`.
    pub const fn name(self) -> &'static str {
        match self.c_name().to_str() {
            Ok(name) => name,
            Err(_) => "",
        }
    }
}

impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

bitflags::bitflags! {
    /// A set of events; the bit of an event is `1 << number`.
    ///
    /// ```
    /// use rmon::{Event, EventSet};
    ///
    /// let set = EventSet::PY_START | EventSet::LINE;
    /// assert!(set.contains(Event::Line.set()));
    /// assert_eq!(set.bits(), 0b10_0001);
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EventSet: u32 {
        /// See [`Event::PyStart`].
        const PY_START = 1 << 0;
        /// See [`Event::PyResume`].
        const PY_RESUME = 1 << 1;
        /// See [`Event::PyReturn`].
        const PY_RETURN = 1 << 2;
        /// See [`Event::PyYield`].
        const PY_YIELD = 1 << 3;
        /// See [`Event::Call`].
        const CALL = 1 << 4;
        /// See [`Event::Line`].
        const LINE = 1 << 5;
        /// See [`Event::Instruction`].
        const INSTRUCTION = 1 << 6;
        /// See [`Event::Jump`].
        const JUMP = 1 << 7;
        /// See [`Event::BranchLeft`].
        const BRANCH_LEFT = 1 << 8;
        /// See [`Event::BranchRight`].
        const BRANCH_RIGHT = 1 << 9;
        /// See [`Event::StopIteration`].
        const STOP_ITERATION = 1 << 10;
        /// See [`Event::Raise`].
        const RAISE = 1 << 11;
        /// See [`Event::ExceptionHandled`].
        const EXCEPTION_HANDLED = 1 << 12;
        /// See [`Event::PyUnwind`].
        const PY_UNWIND = 1 << 13;
        /// See [`Event::PyThrow`].
        const PY_THROW = 1 << 14;
        /// See [`Event::Reraise`].
        const RERAISE = 1 << 15;
        /// See [`Event::CReturn`]. Only together with CALL and C_RAISE.
        const C_RETURN = 1 << 16;
        /// See [`Event::CRaise`]. Only together with CALL and C_RETURN.
        const C_RAISE = 1 << 17;
        /// Both directions of a branch; reads back as the two.
        const BRANCH = 1 << 18;

        /// The events that happen at a location.
        const LOCAL = 0x7ff | 1 << 18;
        /// The events that CALL controls.
        const ANCILLARY = 1 << 16 | 1 << 17;
    }
}

impl EventSet {
    /// The set that a tool's wish stands for: the ancillary bits checked and stripped, BRANCH
    /// written as its two directions.
    ///
    /// [`Error::NotIndependent`] if C_RETURN or C_RAISE is wished for without all of CALL, C_RETURN
    /// and C_RAISE (CPython's rule for `sys.monitoring.set_events`).
    pub fn normalised(self) -> Result<EventSet> {
        let mut set = self;
        if set.intersects(EventSet::ANCILLARY) {
            if !set.contains(EventSet::ANCILLARY | EventSet::CALL) {
                return Err(Error::NotIndependent);
            }
            set.remove(EventSet::ANCILLARY);
        }
        if set.contains(EventSet::BRANCH) {
            set.remove(EventSet::BRANCH);
            set.insert(EventSet::BRANCH_LEFT | EventSet::BRANCH_RIGHT);
        }
        Ok(set)
    }

    /// Whether a normalised set wants a fire of `event`.
    pub(crate) fn wants(self, event: Event) -> bool {
        let wanted = match event {
            Event::Branch => EventSet::BRANCH_LEFT | EventSet::BRANCH_RIGHT,
            other => other.controlling().set(),
        };
        self.intersects(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (index, event) in Event::ALL.iter().enumerate() {
            assert_eq!(event.index(), index);
            assert_eq!(Event::from_number(index as c_int), Ok(*event));
        }
        assert_eq!(Event::from_number(-1), Err(Error::InvalidEvent));
        assert_eq!(Event::from_number(EVENT_COUNT as c_int), Err(Error::InvalidEvent));
        assert_eq!(EventSet::all().bits(), (1 << EVENT_COUNT) - 1);
    }

    #[test]
    fn names_are_those_of_sys_monitoring() {
        assert_eq!(Event::PyStart.name(), "PY_START");
        assert_eq!(Event::Branch.to_string(), "BRANCH");
        for event in Event::ALL {
            assert_eq!(Ok(event.name()), event.c_name().to_str());
        }
    }

    #[test]
    fn ancillary_events_need_all_three() {
        let all = EventSet::CALL | EventSet::C_RETURN | EventSet::C_RAISE;
        assert_eq!(all.normalised(), Ok(EventSet::CALL));
        for missing in [EventSet::CALL, EventSet::C_RETURN, EventSet::C_RAISE] {
            let normalised = (all - missing).normalised();
            assert_eq!(normalised, Err(Error::NotIndependent), "without {missing:?}");
        }
    }

    #[test]
    fn branch_reads_back_as_both_directions() {
        let both = EventSet::BRANCH_LEFT | EventSet::BRANCH_RIGHT;
        assert_eq!(EventSet::BRANCH.normalised(), Ok(both));
        assert!(EventSet::BRANCH_LEFT.wants(Event::Branch));
        assert!(EventSet::BRANCH_RIGHT.wants(Event::Branch));
        assert!(!EventSet::BRANCH_LEFT.wants(Event::BranchRight));
        assert!(EventSet::CALL.wants(Event::CRaise));
    }
}
