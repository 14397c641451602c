//! What can be asked of rmon, as data, and what can be seen of it. A [`Case`] can be run through the
//! library, through the model, or through anything else that claims to behave the same; the traces
//! ([`Seen`]) are then compared.

use core::ffi::CStr;

/// The numbers of the events; `RMON_EVENT_*`.
pub mod event {
    pub const PY_START: u8 = 0;
    pub const PY_RESUME: u8 = 1;
    pub const PY_RETURN: u8 = 2;
    pub const PY_YIELD: u8 = 3;
    pub const CALL: u8 = 4;
    pub const LINE: u8 = 5;
    pub const INSTRUCTION: u8 = 6;
    pub const JUMP: u8 = 7;
    pub const BRANCH_LEFT: u8 = 8;
    pub const BRANCH_RIGHT: u8 = 9;
    pub const STOP_ITERATION: u8 = 10;
    pub const RAISE: u8 = 11;
    pub const EXCEPTION_HANDLED: u8 = 12;
    pub const PY_UNWIND: u8 = 13;
    pub const PY_THROW: u8 = 14;
    pub const RERAISE: u8 = 15;
    pub const C_RETURN: u8 = 16;
    pub const C_RAISE: u8 = 17;
    pub const BRANCH: u8 = 18;
    pub const COUNT: u8 = 19;
    /// `RMON_LOCAL_EVENTS`.
    pub const LOCAL: u32 = 0x407ff;
    /// `RMON_ANCILLARY_EVENTS`.
    pub const ANCILLARY: u32 = 0x30000;
    /// `RMON_ALL_EVENTS`.
    pub const ALL: u32 = 0x7ffff;

    /// `RMON_EVENT_SET(event)`.
    pub const fn set(event: u8) -> u32 {
        1 << event
    }
}

/// The numbers of the statuses, `RMON_OK` and `RMON_ERR_*`; and of the answer that disables.
pub mod status {
    /// `RMON_DISABLE`.
    pub const DISABLE: i32 = 1;
    pub const OK: i32 = 0;
    pub const NULL: i32 = -2;
    pub const INVALID_TOOL: i32 = -3;
    pub const INVALID_NAME: i32 = -4;
    pub const TOOL_IN_USE: i32 = -5;
    pub const TOOL_NOT_IN_USE: i32 = -6;
    pub const INVALID_EVENT: i32 = -7;
    pub const INVALID_EVENT_SET: i32 = -8;
    pub const NOT_INDEPENDENT: i32 = -9;
    pub const CANNOT_DISABLE: i32 = -10;
    pub const INVALID_OFFSET: i32 = -11;
    pub const INVALID_ARGUMENT: i32 = -12;
    pub const UNKNOWN_CODE: i32 = -14;
    pub const IN_CALLBACK: i32 = -15;
}

/// How many codes there are that rmon did not make.
pub const FOREIGN_CODES: usize = 3;
/// How many codes there are, at a time, that rmon made.
pub const MADE_CODES: usize = 3;
/// How many version variables each array of states has.
pub const VERSIONS: usize = 2;

/// A code look-alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// NULL.
    Null,
    /// One that the emitter made, below [`FOREIGN_CODES`].
    Foreign(u8),
    /// The one that was made last into this place, below [`MADE_CODES`], alive or not; NULL before.
    Made(u8),
}

/// What is wrong with the arguments of an enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NullStates,
    NullVersion,
    NullTypes,
    NegativeLength,
}

/// Under which names a fire is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `rmon_fire_*`.
    Rmon,
    /// `PyMonitoring_Fire*Event`; INSTRUCTION, which has no such name, goes by rmon's.
    PyMonitoring,
}

/// One fire.
#[derive(Clone, Copy, Debug)]
pub struct Fire {
    /// The array, counted round.
    pub array: u8,
    /// The state in it, counted round; `None` is a NULL state.
    pub state: Option<u8>,
    /// What is fired; `None`: what the state stands for.
    pub event: Option<u8>,
    pub names: Names,
    pub code: Code,
    pub offset: i32,
    /// The line or the target's offset, for those that have one.
    pub number: i32,
    /// The return value, callable, value, exception, or target, for those that have one.
    pub object: usize,
    pub arg0: usize,
}

/// What a registered callback does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it returns each time.
    pub answer: i32,
    /// What it does each time before that.
    pub inside: Vec<Op>,
    /// What its destroy function does; `None`: it has none.
    pub destroy: Option<Vec<Op>>,
}

/// One call of the C API. Tools and events are whatever a caller may give, good or bad.
#[derive(Clone, Debug)]
pub enum Op {
    /// `None` is a NULL name.
    UseTool {
        tool: i32,
        name: Option<&'static CStr>,
    },
    FreeTool {
        tool: i32,
    },
    ClearTool {
        tool: i32,
    },
    /// Without a buffer the name's pointer is NULL.
    GetTool {
        tool: i32,
        buffer: bool,
        capacity: usize,
    },
    SetEvents {
        tool: i32,
        set: u32,
    },
    GetEvents {
        tool: i32,
    },
    SetLocalEvents {
        tool: i32,
        code: Code,
        set: u32,
    },
    GetLocalEvents {
        tool: i32,
        code: Code,
    },
    /// Registrations are numbered in the order in which they are tried.
    Register {
        tool: i32,
        event: i32,
        behaviour: Behaviour,
    },
    Unregister {
        tool: i32,
        event: i32,
    },
    GetCallback {
        tool: i32,
        event: i32,
    },
    Restart,
    Synchronize,
    /// Enters the scope of an array (counted round) with one of its version variables.
    Enter {
        array: u8,
        version: u8,
        fault: Option<Fault>,
    },
    Exit,
    Fire(Fire),
    /// Makes a code into a place; what was there may live on.
    MakeCode {
        place: u8,
    },
    RetainCode {
        code: Code,
    },
    ReleaseCode {
        code: Code,
    },
    DescribeCode {
        code: Code,
    },
    ForgetCode {
        code: Code,
    },
    /// Goes on in a thread that was never seen before. Not inside callbacks.
    NewThread,
}

/// A run from the beginning: nobody listens, no scope has been entered.
#[derive(Clone, Debug)]
pub struct Case {
    /// The event types of each array of states. Not empty; an array may be.
    pub arrays: Vec<Vec<u8>>,
    pub ops: Vec<Op>,
}

/// What every case ends with. From here on callbacks and destroy functions do nothing.
pub fn ending() -> impl Iterator<Item = Op> {
    let events = |tool| (0..event::COUNT).map(move |event| (tool, event.into()));
    let free = (0..6).map(|tool| Op::FreeTool { tool });
    let unregister = (0..6).flat_map(events).map(|(tool, event)| Op::Unregister { tool, event });
    let forget = (0..FOREIGN_CODES as u8).map(|n| Op::ForgetCode { code: Code::Foreign(n) });
    free.chain(unregister).chain(forget).chain([Op::Restart, Op::Synchronize])
}

/// What a callback is told, with pointers as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub struct_size: u32,
    pub event: u8,
    pub tool: u8,
    pub offset: i32,
    pub line: i32,
    pub target_offset: i32,
    pub code: usize,
    pub object: usize,
    pub arg0: usize,
}

/// What a variable holds that the library is to write to and did not.
pub const UNTOUCHED: u32 = 0xa5a5_a5a5;

/// One thing that could be seen, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A call came back.
    Status(i32),
    /// A call that asks for a set came back.
    Set(i32, u32),
    /// A call that asks for a name came back with this length and text.
    Name(i32, Vec<u8>),
    /// A call that asks for a callback came back; the registration's number plus one, 0 for none.
    Callback(i32, usize),
    /// A callback was called: the registration's number, and what it was told.
    Call(usize, Told),
    /// A destroy function was called: the registration's number.
    Destroyed(usize),
    /// An array after a call that may write to it, its version variables as [`same_versions`] puts
    /// them.
    Array { active: Vec<u8>, versions: [u64; VERSIONS] },
    /// A code was made. Which address it got is the library's business.
    Made(usize),
    /// A code was described: its first line, its name.
    Described(i32, Option<(i32, String)>),
}

/// Versions are compared by what they are good for: being the same, being another, being 0.
pub fn same_versions(seen: &mut [Seen]) {
    let mut known = vec![0];
    for seen in seen {
        if let Seen::Array { versions, .. } = seen {
            for version in versions {
                let place = known.iter().position(|other| other == version);
                *version = place.unwrap_or_else(|| {
                    known.push(*version);
                    known.len() - 1
                }) as u64;
            }
        }
    }
}
