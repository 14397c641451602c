//! Makes cases at random: mostly sensible, busy ones, with everything else strewn in.

use proptest::prelude::*;
use proptest::sample::select;

use super::op::event::{
    ALL, ANCILLARY, BRANCH, BRANCH_LEFT, BRANCH_RIGHT, C_RAISE, C_RETURN, CALL, COUNT, JUMP, LINE,
    LOCAL, PY_RETURN, PY_START, RAISE, STOP_ITERATION, set,
};
use super::op::{Behaviour, Case, Code, Fault, Fire, Names, Op};

/// Callbacks that do things are registered from inside callbacks, this deep.
const DEPTH: u32 = 2;

/// A few events that are dealt with in different ways; most of a case is about these.
const USUAL: [u8; 11] = [
    PY_START,
    PY_RETURN,
    CALL,
    LINE,
    JUMP,
    BRANCH_LEFT,
    BRANCH_RIGHT,
    RAISE,
    C_RETURN,
    C_RAISE,
    BRANCH,
];

fn event() -> impl Strategy<Value = u8> {
    prop_oneof![12 => select(&USUAL), 1 => 0..COUNT]
}

/// Anything that may stand where an event's number is expected.
fn event_argument() -> impl Strategy<Value = i32> {
    prop_oneof![
        60 => event().prop_map(i32::from),
        1 => select(&[-1, 19, 255, 256, i32::MIN, i32::MAX][..]),
    ]
}

/// Few tools, so that the same ones are met again.
fn tool() -> impl Strategy<Value = i32> {
    prop_oneof![20 => select(&[1, 2, 5][..]), 4 => 0..6, 1 => select(&[-1, 6, 7, 8, i32::MIN, i32::MAX][..])]
}

fn event_set() -> impl Strategy<Value = u32> {
    let some = prop::collection::vec(event(), 1..4)
        .prop_map(|events| events.into_iter().fold(0, |all, event| all | set(event)));
    prop_oneof![
        4 => Just(ALL),
        2 => Just(LOCAL),
        2 => Just(0),
        8 => some,
        2 => Just(set(LINE)),
        2 => Just(set(CALL) | set(C_RETURN) | set(C_RAISE)),
        1 => any::<u32>(),
        1 => any::<u32>().prop_map(|bits| bits & ALL),
    ]
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![
        1 => Just(Code::Null),
        8 => (0..2u8).prop_map(Code::Foreign),
        1 => Just(Code::Foreign(2)),
        5 => (0..3u8).prop_map(Code::Made),
    ]
}

/// Offsets, lines and targets from one small store, so that they are taken for each other if they
/// can be.
fn number() -> impl Strategy<Value = i32> {
    prop_oneof![
        8 => select(&[4, 8][..]),
        2 => select(&[0, 1, i32::MAX][..]),
        1 => select(&[-1, i32::MIN][..]),
    ]
}

fn offset() -> impl Strategy<Value = i32> {
    prop_oneof![30 => Just(4), 10 => select(&[0, 8, i32::MAX][..]), 1 => select(&[-1, i32::MIN][..])]
}

fn object() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0usize), 4 => 1..5usize, 1 => Just(usize::MAX), 1 => any::<usize>()]
}

fn fire() -> impl Strategy<Value = Fire> {
    let state = prop_oneof![60 => (0..20u8).prop_map(Some), 1 => Just(None)];
    let other = prop_oneof![12 => Just(None), 1 => event().prop_map(Some)];
    let names = prop_oneof![3 => Just(Names::Rmon), 1 => Just(Names::PyMonitoring)];
    (0..3u8, state, other, names, code(), offset(), number(), object(), object()).prop_map(
        |(array, state, event, names, code, offset, number, object, arg0)| Fire {
            array,
            state,
            event,
            names,
            code,
            offset,
            number,
            object,
            arg0,
        },
    )
}

fn behaviour(depth: u32) -> impl Strategy<Value = Behaviour> {
    let answer = prop_oneof![
        8 => Just(0),
        6 => Just(1),
        2 => select(&[2, 64, 128, i32::MAX][..]),
        1 => select(&[-1, -7, -100, i32::MIN][..]),
    ];
    let longest = if depth == 0 { 0 } else { 3 };
    let code_dies = (0..3u8, 0..3u8).prop_map(|(code, place)| {
        vec![Op::ReleaseCode { code: Code::Made(code) }, Op::MakeCode { place }]
    });
    let nested = prop_oneof![
        10 => Just(Vec::new()),
        10 => prop::collection::vec(op(depth.saturating_sub(1)), 0..=longest),
        1 => code_dies,
    ];
    let destroyed = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(op(depth.saturating_sub(1)), 0..=longest),
    ];
    (answer, nested, prop::option::weighted(0.7, destroyed))
        .prop_map(|(answer, inside, destroy)| Behaviour { answer, inside, destroy })
}

/// One call. Callbacks that it registers do no more than `depth` says.
fn op(depth: u32) -> BoxedStrategy<Op> {
    let names =
        [Some(c"tool"), Some(c"outil d\xc3\xa9j\xc3\xa0 vu"), Some(c""), Some(c"\xff"), None];
    let name = prop_oneof![6 => Just(names[0]), 2 => Just(names[1]), 1 => select(names.to_vec())];
    let fault = prop_oneof![
        12 => Just(None),
        1 => select(&[
            Some(Fault::NullStates),
            Some(Fault::NullVersion),
            Some(Fault::NullTypes),
            Some(Fault::NegativeLength),
        ][..]),
    ];
    let made = (0..3u8).prop_map(Code::Made);
    let any_code = prop_oneof![4 => made, 1 => code()].boxed();
    let version = prop_oneof![6 => Just(0u8), 1 => Just(1u8)];
    let register = if depth == 0 {
        (tool(), event_argument(), leaf()).boxed()
    } else {
        (tool(), event_argument(), behaviour(depth)).boxed()
    };
    prop_oneof![
        20 => fire().prop_map(Op::Fire),
        10 => (0..3u8, version, fault)
            .prop_map(|(array, version, fault)| Op::Enter { array, version, fault }),
        8 => register.prop_map(|(tool, event, behaviour)| Op::Register { tool, event, behaviour }),
        5 => (tool(), event_set()).prop_map(|(tool, set)| Op::SetEvents { tool, set }),
        5 => (tool(), code(), event_set())
            .prop_map(|(tool, code, set)| Op::SetLocalEvents { tool, code, set }),
        3 => (tool(), name).prop_map(|(tool, name)| Op::UseTool { tool, name }),
        2 => (tool(), event_argument()).prop_map(|(tool, event)| Op::Unregister { tool, event }),
        1 => tool().prop_map(|tool| Op::FreeTool { tool }),
        1 => tool().prop_map(|tool| Op::ClearTool { tool }),
        2 => Just(Op::Restart),
        1 => Just(Op::Synchronize),
        1 => Just(Op::Exit),
        2 => (0..3u8).prop_map(|place| Op::MakeCode { place }),
        2 => any_code.clone().prop_map(|code| Op::ReleaseCode { code }),
        1 => any_code.clone().prop_map(|code| Op::RetainCode { code }),
        2 => code().prop_map(|code| Op::ForgetCode { code }),
        1 => any_code.prop_map(|code| Op::DescribeCode { code }),
        1 => (tool(), any::<bool>(), 0..20usize)
            .prop_map(|(tool, buffer, capacity)| Op::GetTool { tool, buffer, capacity }),
        1 => tool().prop_map(|tool| Op::GetEvents { tool }),
        1 => (tool(), code()).prop_map(|(tool, code)| Op::GetLocalEvents { tool, code }),
        1 => (tool(), event_argument()).prop_map(|(tool, event)| Op::GetCallback { tool, event }),
    ]
    .boxed()
}

/// The behaviour of a callback that does nothing but answer.
fn leaf() -> impl Strategy<Value = Behaviour> {
    (select(&[0, 1, -1, 128][..]), any::<bool>()).prop_map(|(answer, destroy)| Behaviour {
        answer,
        inside: Vec::new(),
        destroy: destroy.then(Vec::new),
    })
}

/// What a callback does to itself or its tool.
fn to_itself(does: u8, tool: i32, event: i32, behaviour: Behaviour) -> Vec<Op> {
    let registers = Op::Register { tool, event, behaviour };
    let listens = Op::SetEvents { tool, set: ALL };
    match does {
        0 => vec![Op::Unregister { tool, event }],
        1 => vec![registers],
        2 => vec![Op::SetEvents { tool, set: 0 }],
        3 => vec![Op::ClearTool { tool }, registers, listens],
        4 => vec![
            Op::FreeTool { tool },
            Op::UseTool { tool, name: Some(c"again") },
            registers,
            listens,
        ],
        5 => vec![Op::FreeTool { tool }],
        _ => Vec::new(),
    }
}

/// A callback that some tool is to register for an event; it may be about itself.
#[derive(Clone, Debug)]
struct Callback {
    event: u8,
    behaviour: Behaviour,
    to_itself: u8,
    other: Behaviour,
}

fn callback() -> impl Strategy<Value = Callback> {
    let to_itself = prop_oneof![4 => Just(u8::MAX), 1 => 0..6u8];
    (event(), behaviour(DEPTH), to_itself, leaf()).prop_map(
        |(event, behaviour, to_itself, other)| Callback { event, behaviour, to_itself, other },
    )
}

fn register(tool: i32, callback: Callback) -> Op {
    let (mut behaviour, event) = (callback.behaviour, callback.event.into());
    behaviour.inside.extend(to_itself(callback.to_itself, tool, event, callback.other));
    Op::Register { tool, event, behaviour }
}

/// A tool comes, and listens.
fn tool_comes() -> impl Strategy<Value = Vec<Op>> {
    let registered = prop::collection::vec(callback(), 1..6);
    let local = prop_oneof![2 => Just(None), 1 => code().prop_map(Some)];
    (select(&[0, 1, 2, 3, 5][..]), event_set(), local, registered).prop_map(
        |(tool, set, local, registered)| {
            let mut ops = vec![Op::UseTool { tool, name: Some(c"comes") }];
            ops.extend(registered.into_iter().map(|callback| register(tool, callback)));
            ops.push(match local {
                Some(code) => Op::SetLocalEvents { tool, code, set: set & LOCAL },
                None => Op::SetEvents { tool, set },
            });
            ops
        },
    )
}

/// Any event, heard by two tools. The higher may do something to the lower, and to the event.
fn two_tools_hear() -> impl Strategy<Value = Vec<Op>> {
    let tools = (1..6).prop_flat_map(|high| (Just(high), 0..high));
    (tools, 0..COUNT, leaf(), leaf(), 0..8u8, fire()).prop_map(
        |((high, low), event, mut first, second, does, fire)| {
            let number = event.into();
            first.inside = match does {
                0 => vec![Op::Unregister { tool: low, event: number }],
                1 => vec![Op::SetEvents { tool: low, set: 0 }],
                2 => vec![Op::FreeTool { tool: low }],
                3 => vec![Op::ForgetCode { code: fire.code }],
                _ => Vec::new(),
            };
            let mut ops = Vec::new();
            for (tool, behaviour) in [(high, first), (low, second)] {
                ops.extend([
                    Op::UseTool { tool, name: Some(c"hears") },
                    Op::Register { tool, event: number, behaviour },
                    Op::SetEvents { tool, set: ALL },
                ]);
            }
            let fire = Op::Fire(Fire { array: 0, event: Some(event), ..fire });
            ops.extend([Op::Enter { array: 0, version: 0, fault: None }, fire.clone(), fire]);
            ops
        },
    )
}

/// Branches at few locations, whose directions are disabled one by one, or both.
fn branches() -> impl Strategy<Value = Vec<Op>> {
    let event = select(&[BRANCH_LEFT, BRANCH_RIGHT, BRANCH][..]);
    let listens = (event.clone(), leaf());
    let step = (event, any::<bool>(), any::<bool>(), fire());
    let listens = prop::collection::vec(listens, 1..4);
    (0..6, listens, prop::collection::vec(step, 2..12)).prop_map(|(tool, listens, steps)| {
        let mut ops = vec![Op::UseTool { tool, name: Some(c"branches") }];
        ops.extend(listens.into_iter().map(|(event, behaviour)| {
            let event = event.into();
            Op::Register { tool, event, behaviour }
        }));
        ops.extend([
            Op::SetEvents { tool, set: set(BRANCH) },
            Op::Enter { array: 0, version: 0, fault: None },
        ]);
        ops.extend(steps.into_iter().map(|(event, code, offset, fire)| {
            let (code, offset) = (Code::Foreign(code.into()), if offset { 4 } else { 8 });
            Op::Fire(Fire { array: 0, event: Some(event), code, offset, ..fire })
        }));
        ops
    })
}

/// A code lives, with what a tool has set on it, and dies, perhaps in a callback; another comes, as
/// a rule at its address.
fn a_code_dies() -> impl Strategy<Value = Vec<Op>> {
    let set = prop_oneof![2 => Just(LOCAL), 1 => event_set()];
    (0..6, 0..3u8, event(), set, leaf(), any::<bool>(), fire()).prop_map(
        |(tool, place, event, set, mut behaviour, inside, fire)| {
            let code = Code::Made(place);
            let dies = Op::ReleaseCode { code };
            behaviour.inside.extend(inside.then(|| dies.clone()));
            let fire = Op::Fire(Fire { array: 0, event: Some(event), code, ..fire });
            vec![
                Op::MakeCode { place },
                Op::UseTool { tool, name: Some(c"follows") },
                Op::Register { tool, event: event.into(), behaviour },
                Op::SetLocalEvents { tool, code, set: set & LOCAL },
                Op::Enter { array: 0, version: 0, fault: None },
                fire.clone(),
                dies,
                Op::MakeCode { place },
                Op::GetLocalEvents { tool, code },
                fire,
            ]
        },
    )
}

/// Calls in one code or two, and how they end, said or to be remembered; whoever hears of it may come
/// in between.
fn calls_end() -> impl Strategy<Value = Vec<Op>> {
    let ends = select(&[C_RETURN, C_RAISE][..]);
    let call = (any::<bool>(), fire()).prop_map(|(other, fire)| {
        let code = Code::Foreign(other.into());
        Op::Fire(Fire { event: Some(CALL), code, ..fire })
    });
    let end = (any::<bool>(), ends.clone(), fire()).prop_map(|(other, event, fire)| {
        let code = Code::Foreign(other.into());
        Op::Fire(Fire { event: Some(event), names: Names::PyMonitoring, code, ..fire })
    });
    let listens = (0..3, ends, leaf()).prop_map(|(tool, event, behaviour)| Op::Register {
        tool,
        event: event.into(),
        behaviour,
    });
    let step = prop_oneof![6 => call, 5 => end, 2 => listens, 1 => op(0)];
    (0..3, prop::collection::vec(step, 2..14)).prop_map(|(tool, steps)| {
        let on = set(CALL) | ANCILLARY;
        let mut ops = vec![
            Op::UseTool { tool, name: Some(c"calls") },
            Op::SetEvents { tool, set: on },
            Op::Enter { array: 0, version: 0, fault: None },
        ];
        ops.extend(steps.into_iter().map(|op| match op {
            Op::Fire(fire) => Op::Fire(Fire { array: 0, ..fire }),
            op => op,
        }));
        ops
    })
}

/// A scope is entered, and things happen in it; some of them twice.
fn scope_runs() -> impl Strategy<Value = Vec<Op>> {
    (0..3u8, prop::collection::vec((fire(), any::<bool>()), 1..8)).prop_map(|(array, fires)| {
        let mut ops = vec![Op::Enter { array, version: 0, fault: None }];
        for (fire, again) in fires {
            let op = Op::Fire(Fire { array, ..fire });
            ops.extend(again.then(|| op.clone()));
            ops.push(op);
        }
        ops
    })
}

/// A scope runs, something else happens, and it runs again.
fn scope_runs_twice() -> impl Strategy<Value = Vec<Op>> {
    let again = (tool(), any::<bool>(), event_set(), prop::collection::vec(callback(), 0..3));
    let again = again.prop_map(|(tool, free, set, callbacks)| {
        let mut ops = vec![match free {
            true => Op::FreeTool { tool },
            false => Op::ClearTool { tool },
        }];
        ops.extend(free.then_some(Op::UseTool { tool, name: Some(c"again") }));
        ops.extend(callbacks.into_iter().map(|callback| register(tool, callback)));
        ops.push(Op::SetEvents { tool, set });
        ops
    });
    let between = prop_oneof![
        2 => prop::collection::vec(op(1), 0..4),
        1 => again,
        1 => (0..3u8, any::<bool>()).prop_map(|(place, new)| {
            let code = Code::Made(place);
            let mut ops = vec![Op::ReleaseCode { code }];
            ops.extend(new.then_some(Op::MakeCode { place }));
            ops
        }),
        1 => Just(vec![Op::NewThread]),
    ];
    let code = prop_oneof![3 => Just(None), 1 => (0..3u8, tool()).prop_map(Some)];
    (code, scope_runs(), between).prop_map(|(code, run, between)| {
        let mut ops = Vec::new();
        if let Some((place, tool)) = code {
            let code = Code::Made(place);
            ops.extend([Op::MakeCode { place }, Op::SetLocalEvents { tool, code, set: LOCAL }]);
        }
        ops.extend(run.iter().cloned());
        ops.extend(between);
        ops.extend(run);
        ops
    })
}

/// The event types of an array.
fn types() -> impl Strategy<Value = Vec<u8>> {
    let branches = [BRANCH, BRANCH_LEFT, BRANCH_RIGHT, BRANCH, BRANCH_LEFT];
    let calls = [CALL, C_RETURN, C_RAISE, CALL, C_RETURN];
    prop_oneof![
        1 => Just((0..COUNT).collect()),
        3 => prop::collection::vec(event(), 1..8),
        1 => Just(vec![LINE, LINE, PY_START, LINE]),
        1 => Just(branches.to_vec()),
        1 => Just(calls.to_vec()),
        1 => Just(vec![STOP_ITERATION]),
        1 => prop::collection::vec(0..=COUNT, 0..20),
    ]
}

/// A case.
pub fn case() -> impl Strategy<Value = Case> {
    let piece = prop_oneof![
        3 => op(DEPTH).prop_map(|op| vec![op]),
        1 => tool_comes(),
        1 => scope_runs(),
        1 => scope_runs_twice(),
        1 => two_tools_hear(),
        1 => calls_end(),
        1 => branches(),
        1 => a_code_dies(),
    ];
    let begin = prop::collection::vec(prop_oneof![2 => tool_comes(), 1 => scope_runs()], 0..4);
    (prop::collection::vec(types(), 1..4), begin, prop::collection::vec(piece, 1..30)).prop_map(
        |(arrays, begin, rest)| Case {
            arrays,
            ops: begin.into_iter().chain(rest).flatten().collect(),
        },
    )
}
