//! What rmon does, on one thread and without a host, said as simply as possible: who is called, in
//! which order and with what; what every call returns; what `active` holds after an enter and after a
//! fire. No atomics, no tables, nothing that has to be kept in step with anything else: each
//! question is answered by looking through everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::library::foreign;
use super::op::event::{
    ALL, ANCILLARY, BRANCH, BRANCH_LEFT, BRANCH_RIGHT, C_RAISE, C_RETURN, CALL, COUNT,
    EXCEPTION_HANDLED, INSTRUCTION, JUMP, LINE, LOCAL, PY_RESUME, PY_START, PY_THROW, PY_UNWIND,
    RAISE, RERAISE, set,
};
use super::op::status::{self, OK};
use super::op::{
    Behaviour, Case, Code, Fault, Fire, MADE_CODES, Names, Op, Seen, Told, UNTOUCHED, VERSIONS,
    ending,
};

type Status = i32;
type Result<T = ()> = core::result::Result<T, Status>;
/// A code is an address; so are all the other objects that go from emitters to tools.
type Address = usize;

/// The answer of a callback that wants no more of this event here.
const DISABLE: i32 = 1;
/// How many calls are remembered for the C_RETURN and C_RAISE that do not say what was called.
const CALLS: usize = 4;

#[derive(Default)]
struct Tool {
    /// The id is in use if there is one.
    name: Option<Vec<u8>>,
    events: u32,
    callbacks: BTreeMap<u8, Callback>,
}

#[derive(Clone)]
struct Callback {
    number: usize,
    behaviour: Rc<Behaviour>,
}

/// An array of states; `active` says for each state which tools may be interested.
struct Array {
    types: Vec<u8>,
    active: Vec<BTreeSet<usize>>,
    versions: [u64; VERSIONS],
}

/// What is removed, and must last until nobody can be using it.
enum Removed {
    Callback(Callback),
    Code(Address),
}

#[derive(Default)]
pub struct Model {
    tools: [Tool; 6],
    /// The events that a tool has on in one code.
    local: BTreeMap<(usize, Address), u32>,
    /// The locations that a tool does not want to hear of any more: code, event, offset or line.
    disabled: BTreeSet<(usize, Address, u8, i32)>,
    /// The version of what is listened to: 0 while nobody listens to anything; else never one of old.
    version: u64,
    last_version: u64,
    arrays: Vec<Array>,
    /// References to the codes that rmon made and that live, with what they were made of.
    codes: BTreeMap<Address, (usize, i32)>,
    codes_made: i32,
    made: [Address; MADE_CODES],
    addresses: VecDeque<Address>,
    /// The calls that have not ended: code, callable, first argument; and the version at the time.
    calls: Vec<(Address, Address, Address, u64)>,
    /// A callback or destroy function is running.
    inside: bool,
    /// The code whose event is being delivered, while it lives.
    delivering: Option<Address>,
    /// The callback that is running has changed something; has cleared these tools.
    changed: bool,
    cleared: BTreeSet<usize>,
    removed: VecDeque<Removed>,
    registrations: usize,
    ending: bool,
    seen: Vec<Seen>,
}

/// Runs a case and returns its trace. `addresses` are those of the codes that are made.
pub fn run(case: &Case, addresses: VecDeque<Address>) -> Vec<Seen> {
    let array = |types: &Vec<u8>| Array {
        types: types.clone(),
        active: vec![BTreeSet::new(); types.len()],
        versions: [0; VERSIONS],
    };
    let arrays = case.arrays.iter().map(array).collect();
    let mut model = Model { arrays, addresses, ..Model::default() };
    model.run_all(&case.ops);
    model.ending = true;
    ending().for_each(|op| model.run(&op));
    (0..model.arrays.len()).for_each(|array| model.sees_array(array));
    model.seen
}

fn tool_id(tool: i32) -> Result<usize> {
    if (0..6).contains(&tool) { Ok(tool as usize) } else { Err(status::INVALID_TOOL) }
}

fn event_number(event: i32) -> Result<u8> {
    if (0..COUNT.into()).contains(&event) { Ok(event as u8) } else { Err(status::INVALID_EVENT) }
}

/// The set that is meant: C_RETURN and C_RAISE come with CALL and not alone, BRANCH is both directions.
fn meant(mut wish: u32) -> Result<u32> {
    if wish & !ALL != 0 {
        return Err(status::INVALID_EVENT_SET);
    }
    if wish & ANCILLARY != 0 && wish & (ANCILLARY | set(CALL)) != ANCILLARY | set(CALL) {
        return Err(status::NOT_INDEPENDENT);
    }
    if wish & set(BRANCH) != 0 {
        wish |= set(BRANCH_LEFT) | set(BRANCH_RIGHT);
    }
    Ok(wish & !ANCILLARY & !set(BRANCH))
}

/// Whether a set has an event on.
fn wants(events: u32, event: u8) -> bool {
    events & controlling(event).iter().fold(0, |all, event| all | set(*event)) != 0
}

/// The events in whose name an event is on or off: C_RETURN and C_RAISE follow CALL; a BRANCH is of
/// either direction.
fn controlling(event: u8) -> &'static [u8] {
    const ALL: [u8; COUNT as usize] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];
    match event {
        C_RETURN | C_RAISE => &[CALL],
        BRANCH => &[BRANCH_LEFT, BRANCH_RIGHT],
        _ => core::slice::from_ref(&ALL[usize::from(event)]),
    }
}

impl Model {
    // --- who listens to what ---

    /// A tool hears an event of a code if it has it on globally or for this code.
    fn hears(&self, tool: usize, event: u8, code: Address) -> bool {
        let local = self.local.get(&(tool, code)).copied().unwrap_or(0);
        wants(self.tools[tool].events, event) || wants(local, event)
    }

    /// A scope does not know its codes: a tool that hears the event in any code may be interested.
    fn interested(&self, event: u8) -> BTreeSet<usize> {
        let local = |tool| self.local.iter().any(|(key, on)| key.0 == tool && wants(*on, event));
        (0..6).filter(|tool| wants(self.tools[*tool].events, event) || local(*tool)).collect()
    }

    /// A BRANCH is off where both directions are.
    fn is_disabled(&self, tool: usize, event: u8, code: Address, at: i32) -> bool {
        controlling(event).iter().all(|event| self.disabled.contains(&(tool, code, *event, at)))
    }

    /// What is listened to has changed: every scope is out of date.
    fn new_version(&mut self) {
        self.version = 0;
        if (0..COUNT).any(|event| !self.interested(event).is_empty()) {
            self.last_version += 1;
            self.version = self.last_version;
        }
    }

    // --- tools ---

    fn in_use(&self, tool: usize) -> Result {
        self.tools[tool].name.as_ref().map(drop).ok_or(status::TOOL_NOT_IN_USE)
    }

    fn use_tool(&mut self, tool: i32, name: Option<&core::ffi::CStr>) -> Result {
        let name = name.ok_or(status::NULL)?;
        let tool = tool_id(tool)?;
        if name.is_empty() || name.to_str().is_err() {
            return Err(status::INVALID_NAME);
        }
        if self.in_use(tool).is_ok() {
            return Err(status::TOOL_IN_USE);
        }
        self.tools[tool].name = Some(name.to_bytes().to_vec());
        Ok(())
    }

    /// Clears a tool; for an id that is not in use nothing happens.
    fn clear_tool(&mut self, tool: i32, free: bool) -> Result {
        let tool = tool_id(tool)?;
        if self.in_use(tool).is_ok() {
            let callbacks = core::mem::take(&mut self.tools[tool].callbacks);
            self.removed.extend(callbacks.into_values().map(Removed::Callback));
            self.tools[tool].events = 0;
            self.local.retain(|key, _| key.0 != tool);
            self.disabled.retain(|location| location.0 != tool);
            if free {
                self.tools[tool].name = None;
            }
            self.cleared.insert(tool);
            self.new_version();
        }
        Ok(())
    }

    fn set_events(&mut self, tool: i32, wish: u32) -> Result {
        let tool = tool_id(tool)?;
        let events = meant(wish)?;
        self.in_use(tool)?;
        if core::mem::replace(&mut self.tools[tool].events, events) != events {
            self.new_version();
        }
        Ok(())
    }

    fn set_local_events(&mut self, tool: i32, code: Address, wish: u32) -> Result {
        if code == 0 {
            return Err(status::NULL);
        }
        let tool = tool_id(tool)?;
        // Here, as in CPython, the ancillary rule comes before the check of the bits.
        meant(wish & ALL)?;
        let events = meant(wish)?;
        if events & !LOCAL != 0 {
            return Err(status::INVALID_EVENT_SET);
        }
        self.in_use(tool)?;
        if self.local.insert((tool, code), events).unwrap_or(0) != events {
            self.new_version();
        }
        self.local.retain(|_, events| *events != 0);
        Ok(())
    }

    /// Registers a callback. The id need not be in use.
    fn register(&mut self, tool: i32, event: i32, callback: Callback) -> Result {
        match (tool_id(tool), event_number(event)) {
            (Ok(tool), Ok(event)) => {
                let old = self.tools[tool].callbacks.insert(event, callback);
                self.removed.extend(old.map(Removed::Callback));
                Ok(())
            }
            (tool, event) => {
                // At once: nobody can be in it. It counts as being inside all the same.
                let inside = std::mem::replace(&mut self.inside, true);
                self.destroy(callback);
                self.inside = inside;
                tool?;
                event?;
                Ok(())
            }
        }
    }

    fn unregister(&mut self, tool: i32, event: i32) -> Result {
        let (tool, event) = (tool_id(tool)?, event_number(event)?);
        let old = self.tools[tool].callbacks.remove(&event);
        self.removed.extend(old.map(Removed::Callback));
        Ok(())
    }

    fn restart(&mut self) -> Result {
        self.disabled.clear();
        self.new_version();
        Ok(())
    }

    // --- codes ---

    /// Drops what tools have set on a code.
    fn forget(&mut self, code: Address) -> Result {
        if self.delivering == Some(code) {
            self.delivering = None;
        }
        self.disabled.retain(|location| location.1 != code);
        let before = self.local.len();
        self.local.retain(|key, _| key.1 != code);
        if self.local.len() != before {
            self.new_version();
        }
        Ok(())
    }

    /// Drops a reference. With the last one the code dies, and what tools have set on it with it; its
    /// address is not used again while a callback is running.
    fn release(&mut self, code: Address) -> Result {
        if let Some((references, _)) = self.codes.get_mut(&code) {
            *references -= 1;
            if *references == 0 {
                self.codes.remove(&code);
                self.forget(code)?;
                self.removed.push_back(Removed::Code(code));
            }
        }
        Ok(())
    }

    /// Makes a code: at an address that the library chose, and that nothing else has.
    fn make_code(&mut self, place: u8) -> Address {
        let address = self.addresses.pop_front().unwrap_or(0);
        let dying = |removed: &Removed| matches!(removed, Removed::Code(code) if *code == address);
        let taken = self.codes.contains_key(&address) || self.removed.iter().any(dying);
        self.codes_made += 1;
        self.codes.insert(address, (1, self.codes_made));
        self.made[usize::from(place) % MADE_CODES] = address;
        if taken { 0 } else { address }
    }

    // --- scopes ---

    fn enter(&mut self, array: usize, version: u8, fault: Option<Fault>) -> Result {
        let array = &self.arrays[array];
        let version = usize::from(version) % VERSIONS;
        match fault {
            Some(Fault::NullVersion) => return Err(status::NULL),
            Some(Fault::NullStates | Fault::NullTypes) if !array.types.is_empty() => {
                return Err(status::NULL);
            }
            Some(Fault::NegativeLength) => return Err(status::INVALID_ARGUMENT),
            _ => {}
        }
        if array.versions[version] == self.version {
            return Ok(()); // nothing has changed
        }
        if array.types.iter().any(|event| *event >= COUNT) {
            return Err(status::INVALID_EVENT);
        }
        let number = self.arrays.iter().position(|other| core::ptr::eq(other, array)).unwrap_or(0);
        self.refresh(number);
        self.arrays[number].versions[version] = self.version;
        Ok(())
    }

    fn refresh(&mut self, array: usize) {
        let types = self.arrays[array].types.clone();
        self.arrays[array].active = types.into_iter().map(|event| self.interested(event)).collect();
    }

    // --- fires ---

    fn fire(&mut self, array: usize, fire: &Fire) -> Status {
        let code = self.address(fire.code);
        let types = &self.arrays[array].types;
        let state = match fire.state {
            Some(index) if !types.is_empty() => usize::from(index) % types.len(),
            _ => return status::NULL,
        };
        let event = fire.event.unwrap_or(types[state]);
        // A type that stands several times has a state for each location.
        let own = types.iter().filter(|other| **other == types[state]).count() > 1;
        if self.arrays[array].active[state].is_empty() || self.inside {
            return OK;
        }
        let mut told = told(event, code, fire);
        let pymonitoring = fire.names == Names::PyMonitoring && event != INSTRUCTION;
        if pymonitoring && matches!(event, C_RETURN | C_RAISE) {
            (told.object, told.arg0) = self.last_call(code);
        }
        if pymonitoring && is_exception(event) && self.interested(event).is_empty() {
            return OK; // the host is not asked for the exception
        }
        if fire.offset < 0 {
            return status::INVALID_OFFSET;
        }
        if event == CALL && self.hears_of_ends() {
            self.calls.push((code, told.object, told.arg0, self.version));
            if self.calls.len() > CALLS {
                self.calls.remove(0);
            }
        }
        let location = if event == LINE { told.line } else { told.offset };
        let active = self.arrays[array].active[state].clone();
        let (off, mut left): (BTreeSet<usize>, BTreeSet<usize>) = active
            .into_iter()
            .filter(|tool| self.hears(*tool, event, code))
            .partition(|tool| self.is_disabled(*tool, event, code, location));
        if own {
            self.arrays[array].active[state].retain(|tool| !off.contains(tool));
        }
        (self.inside, self.delivering) = (true, Some(code));
        let mut status = OK;
        while let Some(tool) = left.pop_last() {
            let Some((callback, asked)) = self.callback(tool, event) else {
                continue;
            };
            self.seen.push(Seen::Call(callback.number, Told { tool: tool as u8, ..told }));
            (self.changed, self.cleared) = (false, BTreeSet::new());
            self.run_all(&callback.behaviour.inside);
            if self.changed {
                self.refresh(array); // the scope is still running
            }
            let answer = callback.behaviour.answer;
            if answer < 0 {
                status = answer;
                break;
            }
            if answer == DISABLE {
                if LOCAL & set(event) == 0 {
                    let registered = self.tools[tool].callbacks.get(&asked);
                    if registered.is_some_and(|registered| registered.number == callback.number) {
                        self.removed.extend(
                            self.tools[tool].callbacks.remove(&asked).map(Removed::Callback),
                        );
                    }
                    status = status::CANNOT_DISABLE;
                    break;
                }
                // A tool that cleared itself has no more locations to disable, a code that died none
                // to be.
                if !self.cleared.contains(&tool) && self.delivering == Some(code) {
                    // A callback for BRANCH hears of both directions, and means both; so does a fire
                    // of it.
                    for event in controlling(if event == BRANCH { BRANCH } else { asked }) {
                        self.disabled.insert((tool, code, *event, location));
                    }
                    if own {
                        self.arrays[array].active[state].remove(&tool);
                    }
                }
            }
            // Who was silenced meanwhile is not called any more.
            left.retain(|tool| {
                self.hears(*tool, event, code) && !self.is_disabled(*tool, event, code, location)
            });
        }
        (self.inside, self.delivering) = (false, None);
        status
    }

    /// The callback that a tool has for an event, and the event that it is registered for.
    fn callback(&self, tool: usize, event: u8) -> Option<(Callback, u8)> {
        let otherwise = match event {
            BRANCH_LEFT | BRANCH_RIGHT => BRANCH,
            BRANCH => BRANCH_RIGHT,
            event => event,
        };
        let callbacks = &self.tools[tool].callbacks;
        let asked = if callbacks.contains_key(&event) { event } else { otherwise };
        callbacks.get(&asked).map(|callback| (callback.clone(), asked))
    }

    /// Calls are remembered for callbacks that hear how they end.
    fn hears_of_ends(&self) -> bool {
        let hears = |event| self.tools.iter().any(|tool| tool.callbacks.contains_key(&event));
        hears(C_RETURN) || hears(C_RAISE)
    }

    /// The newest call in a code that has not ended; it ends, and what was called after it has too. If
    /// something else is listened to by now, it may have ended before, and nobody said so.
    fn last_call(&mut self, code: Address) -> (Address, Address) {
        let Some(place) = self.calls.iter().rposition(|call| call.0 == code) else {
            return (0, 0);
        };
        let (_, callable, arg0, version) = self.calls[place];
        self.calls.truncate(place);
        if version == self.version { (callable, arg0) } else { (0, 0) }
    }

    /// Frees what was removed, as soon as nobody is inside.
    fn free_removed(&mut self) {
        while !self.inside {
            match self.removed.pop_front() {
                Some(Removed::Callback(callback)) => {
                    self.inside = true;
                    self.destroy(callback);
                    self.inside = false;
                }
                Some(Removed::Code(_)) => {}
                None => break,
            }
        }
    }

    fn destroy(&mut self, callback: Callback) {
        if let Some(ops) = &callback.behaviour.destroy {
            self.seen.push(Seen::Destroyed(callback.number));
            self.run_all(ops);
        }
    }

    // --- calls ---

    fn address(&self, code: Code) -> Address {
        match code {
            Code::Null => 0,
            Code::Foreign(number) => foreign(number),
            Code::Made(place) => self.made[usize::from(place) % MADE_CODES],
        }
    }

    fn run_all(&mut self, ops: &[Op]) {
        if !self.ending {
            ops.iter().for_each(|op| self.run(op));
        }
    }

    /// Runs one call and sees what it returns. Calls that change something and succeed are heeded by
    /// the fire that they are made from.
    fn run(&mut self, op: &Op) {
        match op {
            Op::UseTool { tool, name } => self.changes(|model| model.use_tool(*tool, *name)),
            Op::FreeTool { tool } => self.changes(|model| model.clear_tool(*tool, true)),
            Op::ClearTool { tool } => self.changes(|model| model.clear_tool(*tool, false)),
            Op::SetEvents { tool, set } => self.changes(|model| model.set_events(*tool, *set)),
            Op::SetLocalEvents { tool, code, set } => {
                let code = self.address(*code);
                self.changes(|model| model.set_local_events(*tool, code, *set));
            }
            Op::Register { tool, event, behaviour } => {
                let number = self.registrations;
                self.registrations += 1;
                let callback = Callback { number, behaviour: Rc::new(behaviour.clone()) };
                self.changes(|model| model.register(*tool, *event, callback));
            }
            Op::Unregister { tool, event } => self.changes(|model| model.unregister(*tool, *event)),
            Op::Restart => self.changes(Model::restart),
            Op::ForgetCode { code } => {
                let code = self.address(*code);
                self.changes(
                    |model| if code == 0 { Err(status::NULL) } else { model.forget(code) },
                );
            }
            Op::ReleaseCode { code } => {
                let code = self.address(*code);
                self.changes(|model| model.release(code));
                self.seen.pop(); // it returns nothing
            }
            Op::RetainCode { code } => {
                let code = self.address(*code);
                self.codes.entry(code).and_modify(|(references, _)| *references += 1);
            }
            Op::Synchronize => {
                let status = if self.inside { status::IN_CALLBACK } else { OK };
                self.seen.push(Seen::Status(status));
            }
            Op::Exit => self.seen.push(Seen::Status(OK)),
            Op::NewThread => self.calls.clear(),
            Op::Enter { array, version, fault } => {
                let array = usize::from(*array) % self.arrays.len();
                let result = self.enter(array, *version, *fault);
                self.seen.push(Seen::Status(result.err().unwrap_or(OK)));
                self.sees_array(array);
            }
            Op::Fire(fire) => {
                let array = usize::from(fire.array) % self.arrays.len();
                let mut status = self.fire(array, fire);
                self.free_removed();
                if fire.names == Names::PyMonitoring && !self.fires_instruction(array, fire) {
                    status = status.clamp(-1, 0);
                }
                self.seen.push(Seen::Status(status));
                self.sees_array(array);
            }
            Op::MakeCode { place } => {
                let address = self.make_code(*place);
                self.seen.push(Seen::Made(address));
            }
            _ => self.asks(op),
        }
    }

    /// The calls that only ask.
    fn asks(&mut self, op: &Op) {
        let asked = match *op {
            Op::GetTool { tool, buffer, capacity } => self.get_tool(tool, buffer, capacity),
            Op::GetEvents { tool } => match tool_id(tool) {
                Ok(tool) => Seen::Set(OK, self.tools[tool].events),
                Err(status) => Seen::Set(status, UNTOUCHED),
            },
            Op::GetLocalEvents { tool, code } => match (self.address(code), tool_id(tool)) {
                (0, _) => Seen::Set(status::NULL, UNTOUCHED),
                (_, Err(status)) => Seen::Set(status, UNTOUCHED),
                (code, Ok(tool)) => {
                    Seen::Set(OK, self.local.get(&(tool, code)).copied().unwrap_or(0))
                }
            },
            Op::GetCallback { tool, event } => match (tool_id(tool), event_number(event)) {
                (Err(status), _) | (_, Err(status)) => Seen::Callback(status, 0),
                (Ok(tool), Ok(event)) => {
                    let found = self.tools[tool].callbacks.get(&event);
                    Seen::Callback(OK, found.map_or(0, |callback| callback.number + 1))
                }
            },
            Op::DescribeCode { code } => {
                match (self.address(code), self.codes.get(&self.address(code))) {
                    (0, _) => Seen::Described(status::NULL, None),
                    (_, None) => Seen::Described(status::UNKNOWN_CODE, None),
                    (_, Some((_, line))) => {
                        Seen::Described(OK, Some((*line, format!("code {line}"))))
                    }
                }
            }
            _ => unreachable!(),
        };
        self.seen.push(asked);
    }

    /// The length of the whole name; as much of it as fits is copied, between characters.
    fn get_tool(&self, tool: i32, buffer: bool, capacity: usize) -> Seen {
        let mut text = vec![UNTOUCHED as u8; capacity + 1];
        if !buffer && capacity != 0 {
            return Seen::Name(status::NULL, text);
        }
        let tool = match tool_id(tool) {
            Ok(tool) => tool,
            Err(status) => return Seen::Name(status, text),
        };
        let name = self.tools[tool].name.clone().unwrap_or_default();
        if capacity != 0 {
            let fits = |length: &usize| {
                *length < capacity && core::str::from_utf8(&name[..*length]).is_ok()
            };
            let length = (0..=name.len()).rev().find(fits).unwrap_or(0);
            text[..length].copy_from_slice(&name[..length]);
            text[length] = 0;
        }
        Seen::Name(name.len() as i32, text)
    }

    fn changes(&mut self, call: impl FnOnce(&mut Model) -> Result) {
        let result = call(self);
        self.changed |= result.is_ok();
        self.free_removed();
        self.seen.push(Seen::Status(result.err().unwrap_or(OK)));
    }

    fn fires_instruction(&self, array: usize, fire: &Fire) -> bool {
        let types = &self.arrays[array].types;
        let own = |index: u8| types.get(usize::from(index) % types.len().max(1)).copied();
        fire.event.or(fire.state.and_then(own)) == Some(INSTRUCTION)
    }

    fn sees_array(&mut self, array: usize) {
        let array = &self.arrays[array];
        let byte = |tools: &BTreeSet<usize>| tools.iter().fold(0, |byte, tool| byte | 1 << tool);
        let active = array.active.iter().map(byte).collect();
        self.seen.push(Seen::Array { active, versions: array.versions });
    }
}

fn is_exception(event: u8) -> bool {
    matches!(event, RAISE | RERAISE | EXCEPTION_HANDLED | PY_UNWIND | PY_THROW)
}

/// What a callback is told of a fire, but for the tool.
fn told(event: u8, code: Address, fire: &Fire) -> Told {
    let jump = matches!(event, JUMP | BRANCH | BRANCH_LEFT | BRANCH_RIGHT);
    let has_arg0 = matches!(event, CALL | C_RETURN | C_RAISE);
    // Under CPython's names a target is an object, an exception is the host's, and what returns or
    // raises is not said.
    let (target, object) = match fire.names {
        Names::Rmon => (if jump { fire.number } else { -1 }, !jump),
        Names::PyMonitoring => (-1, !is_exception(event)),
    };
    let none = matches!(event, PY_START | PY_RESUME | LINE | INSTRUCTION);
    Told {
        struct_size: 48,
        event,
        tool: 0,
        offset: fire.offset,
        line: if event == LINE { fire.number } else { -1 },
        target_offset: target,
        code,
        object: if object && !none { fire.object } else { 0 },
        arg0: if has_arg0 { fire.arg0 } else { 0 },
    }
}
