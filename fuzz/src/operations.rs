//! Bytes as a list of operations: whatever callers, callbacks and destroy functions may do, good or bad.
//! The library and the naive model must agree on all that can be seen of it.

use core::ffi::CStr;

use super::bytes::Bytes;
use super::compare::{difference, listed, shortest};
use super::coverage::Coverage;
use super::op::event::{ALL, ANCILLARY, BRANCH, CALL, COUNT, LINE, LOCAL, set};
use super::op::{Behaviour, Case, Code, Fault, Fire, Names, Op};

/// Callbacks register callbacks that do things, this deep.
const DEPTH: u32 = 2;
/// The calls of a list, without those in callbacks. More say nothing new and take longer.
const LONGEST: usize = 96;

const NAMES: [Option<&CStr>; 10] = [
    Some(c"tool"),
    Some(c"outil d\xc3\xa9j\xc3\xa0 vu"),
    None,
    Some(c""),
    Some(c"\xff"),
    Some(c"cut \xe2\x82"),
    Some(c"surrogate \xed\xa0\x80"),
    Some(c"overlong \xc0\xaf"),
    Some(c"\xf0\x9f\x94\xa7"),
    Some(c"a name that is longer than whatever small array somebody might have thought to be enough for all names of tools"),
];

/// Runs a list through both.
///
/// # Panics
/// If they differ: with the shortest list that still shows it.
pub fn run(bytes: &[u8]) {
    let case = case(bytes);
    if difference(&case, &mut Coverage::default()).is_some() {
        let case = shortest(case);
        let difference = difference(&case, &mut Coverage::default()).unwrap_or_default();
        panic!("this list tells them apart:\n{}\n{difference}", listed(&case));
    }
}

/// The list that bytes stand for.
fn case(bytes: &[u8]) -> Case {
    let mut bytes = Bytes(bytes);
    let arrays = (0..1 + bytes.below(3)).map(|_| types(&mut bytes)).collect();
    let mut ops = Vec::new();
    while !bytes.is_empty() && ops.len() < LONGEST {
        ops.push(op(&mut bytes, DEPTH));
    }
    Case { arrays, ops }
}

fn types(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.byte() {
        0 => (0..COUNT).collect(),
        length => (0..length % 24).map(|_| bytes.below(COUNT + 1)).collect(),
    }
}

fn tool(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        wild @ 248.. => [-1, 6, 7, 8, 255, 256, i32::MIN, i32::MAX][usize::from(wild - 248)],
        tool => i32::from(tool % 6),
    }
}

fn event(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        wild @ 248.. => [-1, 19, 31, 32, 255, 256, i32::MIN, i32::MAX][usize::from(wild - 248)],
        event => i32::from(event % COUNT),
    }
}

fn event_set(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.byte() {
        event @ 0..19 => set(event),
        19 => ALL,
        20 => LOCAL,
        21 => 0,
        22 => ANCILLARY | set(CALL),
        23 => set(BRANCH) | set(LINE),
        24..128 => bytes.u32() & ALL & !ANCILLARY,
        128..192 => bytes.u32() & LOCAL,
        _ => bytes.u32(),
    }
}

fn code(bytes: &mut Bytes<'_>) -> Code {
    match bytes.below(8) {
        0 => Code::Null,
        number @ 1..4 => Code::Foreign(number - 1),
        number => Code::Made(number),
    }
}

/// Offsets, lines and targets: few, so that they meet again.
fn number(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        0 => -1,
        1 => i32::MIN,
        2 => i32::MAX,
        3 => bytes.i32(),
        number => i32::from(number % 8),
    }
}

fn object(bytes: &mut Bytes<'_>) -> usize {
    match bytes.byte() {
        255 => usize::MAX,
        254 => bytes.usize(),
        number => usize::from(number % 8),
    }
}

fn fire(bytes: &mut Bytes<'_>) -> Fire {
    let how = bytes.byte();
    Fire {
        array: how & 3,
        names: if how & 4 == 0 { Names::Rmon } else { Names::PyMonitoring },
        // Mostly the event that the state stands for.
        event: (how & 0x18 == 0x18).then(|| bytes.below(COUNT)),
        state: (how < 248).then(|| bytes.byte()),
        code: code(bytes),
        offset: number(bytes),
        number: number(bytes),
        object: object(bytes),
        arg0: if how & 0x20 == 0 { 0 } else { object(bytes) },
    }
}

/// Up to three operations, none at the greatest depth.
fn nested(bytes: &mut Bytes<'_>, depth: u32) -> Vec<Op> {
    let count = if depth == 0 { 0 } else { bytes.below(4) };
    (0..count).map(|_| op(bytes, depth - 1)).collect()
}

fn behaviour(bytes: &mut Bytes<'_>, depth: u32) -> Behaviour {
    let answer = match bytes.byte() {
        0..100 => 0,
        100..230 => 1,
        230..240 => -1,
        240 => 2,
        241 => i32::MAX,
        242 => i32::MIN,
        _ => bytes.i32(),
    };
    let inside = nested(bytes, depth);
    let destroy = bytes.flag().then(|| nested(bytes, depth));
    Behaviour { answer, inside, destroy }
}

fn op(bytes: &mut Bytes<'_>, depth: u32) -> Op {
    match bytes.below(64) {
        0..20 => Op::Fire(fire(bytes)),
        20..28 => {
            let how = bytes.byte();
            let fault = match how >> 3 {
                0 => Some(Fault::NullStates),
                1 => Some(Fault::NullVersion),
                2 => Some(Fault::NullTypes),
                3 => Some(Fault::NegativeLength),
                _ => None,
            };
            Op::Enter { array: how & 3, version: how >> 2 & 1, fault }
        }
        28..34 => {
            let (tool, event) = (tool(bytes), event(bytes));
            Op::Register { tool, event, behaviour: behaviour(bytes, depth) }
        }
        34..38 => Op::SetEvents { tool: tool(bytes), set: event_set(bytes) },
        38..42 => {
            Op::SetLocalEvents { tool: tool(bytes), code: code(bytes), set: event_set(bytes) }
        }
        42..45 => Op::UseTool { tool: tool(bytes), name: bytes.one(&NAMES) },
        45 => Op::Unregister { tool: tool(bytes), event: event(bytes) },
        46 => Op::FreeTool { tool: tool(bytes) },
        47 => Op::ClearTool { tool: tool(bytes) },
        48 => Op::Restart,
        49 => Op::Synchronize,
        50 => Op::Exit,
        51 | 52 => Op::MakeCode { place: bytes.byte() },
        53 | 54 => Op::ReleaseCode { code: code(bytes) },
        55 => Op::RetainCode { code: code(bytes) },
        56 => Op::ForgetCode { code: code(bytes) },
        57 => Op::DescribeCode { code: code(bytes) },
        58 => {
            let (tool, how) = (tool(bytes), bytes.byte());
            Op::GetTool { tool, buffer: how >= 8, capacity: usize::from(how / 8) }
        }
        59 => Op::GetEvents { tool: tool(bytes) },
        60 => Op::GetLocalEvents { tool: tool(bytes), code: code(bytes) },
        61 => Op::GetCallback { tool: tool(bytes), event: event(bytes) },
        _ if depth == DEPTH => Op::NewThread,
        _ => Op::Restart,
    }
}
