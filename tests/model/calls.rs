//! Runs a case through the model, call by call: what a caller may ask for and what it is told, the
//! names of tools, the calls that are remembered, references to codes, when what was removed is freed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::coverage::Coverage;
use super::library::foreign;
use super::naive::{self, Address, Scope};
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

type Result<T = ()> = core::result::Result<T, i32>;
pub type Model = naive::Model<Calls>;

/// How many calls are remembered for the C_RETURN and C_RAISE that do not say what was called.
const REMEMBERED: usize = 4;

/// What is removed, and must last until nobody can be using it.
enum Removed {
    Callback(usize),
    Code(Address),
}

/// A call that was fired and has not ended, and the version at the time.
struct Call {
    code: Address,
    callable: Address,
    arg0: Address,
    version: u64,
}

/// What there is around the model.
#[derive(Default)]
pub struct Calls {
    /// The name under which each id is in use.
    names: [Option<Vec<u8>>; 6],
    /// What was registered, by number.
    behaviours: Vec<Rc<Behaviour>>,
    /// References to the codes that rmon made and that live, with what they were made of.
    codes: BTreeMap<Address, (usize, i32)>,
    codes_made: i32,
    made: [Address; MADE_CODES],
    addresses: VecDeque<Address>,
    calls: Vec<Call>,
    removed: VecDeque<Removed>,
    ending: bool,
    seen: Vec<Seen>,
    pub coverage: Coverage,
}

/// Runs a case and returns its trace, and what it has reached. `addresses` are those of the codes that
/// are made.
pub fn run(case: &Case, addresses: VecDeque<Address>) -> (Vec<Seen>, Coverage) {
    let scope = |types: &Vec<u8>| Scope {
        types: types.clone(),
        active: vec![BTreeSet::new(); types.len()],
        versions: [0; VERSIONS],
    };
    let mut model = Model::default();
    model.scopes = case.arrays.iter().map(scope).collect();
    model.world.addresses = addresses;
    model.run_all(&case.ops);
    model.world.ending = true;
    ending().for_each(|op| model.run(&op));
    (0..model.scopes.len()).for_each(|scope| model.sees_array(scope));
    (model.world.seen, model.world.coverage)
}

fn tool_id(tool: i32) -> Result<usize> {
    if (0..6).contains(&tool) { Ok(tool as usize) } else { Err(status::INVALID_TOOL) }
}

fn event_number(event: i32) -> Result<u8> {
    if (0..COUNT.into()).contains(&event) { Ok(event as u8) } else { Err(status::INVALID_EVENT) }
}

fn not_null(code: Address) -> Result {
    if code == 0 { Err(status::NULL) } else { Ok(()) }
}

/// The set that is meant: C_RETURN and C_RAISE come with CALL and not alone, BRANCH is both directions.
fn meant(wish: u32) -> Result<u32> {
    if wish & ANCILLARY != 0 && wish & (ANCILLARY | set(CALL)) != ANCILLARY | set(CALL) {
        return Err(status::NOT_INDEPENDENT);
    }
    let both = if wish & set(BRANCH) == 0 { 0 } else { set(BRANCH_LEFT) | set(BRANCH_RIGHT) };
    Ok(wish & !ANCILLARY & !set(BRANCH) | both)
}

impl naive::World for Calls {
    fn call(model: &mut Model, callback: usize, told: Told) -> i32 {
        model.world.seen.push(Seen::Call(callback, told));
        let behaviour = model.world.behaviours[callback].clone();
        model.reaches_callback(callback, &told);
        model.run_all(&behaviour.inside);
        model.reaches_answer(callback, &told, behaviour.answer);
        behaviour.answer
    }
}

impl Model {
    // --- tools ---

    fn in_use(&self, tool: usize) -> Result {
        self.world.names[tool].as_ref().map(drop).ok_or(status::TOOL_NOT_IN_USE)
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
        self.world.names[tool] = Some(name.to_bytes().to_vec());
        Ok(())
    }

    /// Clears a tool; for an id that is not in use nothing happens.
    fn clear_or_free(&mut self, tool: i32, free: bool) -> Result {
        let tool = tool_id(tool)?;
        if self.in_use(tool).is_ok() {
            self.clear_tool(tool);
            if free {
                self.world.names[tool] = None;
            }
        }
        Ok(())
    }

    fn set_global(&mut self, tool: i32, wish: u32) -> Result {
        let tool = tool_id(tool)?;
        if wish & !ALL != 0 {
            return Err(status::INVALID_EVENT_SET);
        }
        let events = meant(wish)?;
        self.in_use(tool)?;
        self.set_events(tool, None, events);
        Ok(())
    }

    fn set_local(&mut self, tool: i32, code: Address, wish: u32) -> Result {
        not_null(code)?;
        let tool = tool_id(tool)?;
        // Here, as in CPython, the ancillary rule comes before the check of the bits.
        let events = meant(wish)?;
        if events & !LOCAL != 0 {
            return Err(status::INVALID_EVENT_SET);
        }
        self.in_use(tool)?;
        self.set_events(tool, Some(code), events);
        Ok(())
    }

    /// Registers a callback. The id need not be in use.
    fn register_new(&mut self, tool: i32, event: i32, behaviour: &Behaviour) -> Result {
        let callback = self.world.behaviours.len();
        self.world.behaviours.push(Rc::new(behaviour.clone()));
        let place = tool_id(tool).and_then(|tool| Ok((tool, event_number(event)?)));
        if place.is_err() {
            // At once: nobody can be in it. It counts as being inside all the same.
            let inside = std::mem::replace(&mut self.inside, true);
            self.destroy(callback);
            self.inside = inside;
        }
        let (tool, event) = place?;
        self.register(tool, event, Some(callback));
        Ok(())
    }

    fn unregister(&mut self, tool: i32, event: i32) -> Result {
        let (tool, event) = (tool_id(tool)?, event_number(event)?);
        self.register(tool, event, None);
        Ok(())
    }

    // --- codes ---

    /// Drops a reference. With the last one the code dies, and what tools have set on it with it; its
    /// address is not used again while a callback is running.
    fn release(&mut self, code: Address) {
        if let Some((references, _)) = self.world.codes.get_mut(&code) {
            *references -= 1;
            if *references == 0 {
                self.world.codes.remove(&code);
                self.reaches_death(code);
                self.forget(code);
                self.world.removed.push_back(Removed::Code(code));
            }
        }
    }

    /// Makes a code: at an address that the library chose, and that nothing else has.
    fn make_code(&mut self, place: u8) -> Address {
        let world = &mut self.world;
        let address = world.addresses.pop_front().unwrap_or(0);
        let dying = |removed: &Removed| matches!(removed, Removed::Code(code) if *code == address);
        let taken = world.codes.contains_key(&address) || world.removed.iter().any(dying);
        world.codes_made += 1;
        world.codes.insert(address, (1, world.codes_made));
        world.made[usize::from(place) % MADE_CODES] = address;
        world.coverage.birth(address);
        if taken { 0 } else { address }
    }

    // --- scopes and fires ---

    fn enter_scope(&mut self, scope: usize, version: u8, fault: Option<Fault>) -> Result {
        let Scope { types, versions, .. } = &self.scopes[scope];
        let version = usize::from(version) % VERSIONS;
        match fault {
            Some(Fault::NullVersion) => return Err(status::NULL),
            Some(Fault::NullStates | Fault::NullTypes) if !types.is_empty() => {
                return Err(status::NULL);
            }
            Some(Fault::NegativeLength) => return Err(status::INVALID_ARGUMENT),
            _ => {}
        }
        // A scope that is up to date is not looked at.
        if versions[version] != self.version && types.iter().any(|event| *event >= COUNT) {
            return Err(status::INVALID_EVENT);
        }
        self.enter(scope, version);
        Ok(())
    }

    fn fire_one(&mut self, scope: usize, fire: &Fire) -> i32 {
        let code = self.address(fire.code);
        let Scope { types, active, .. } = &self.scopes[scope];
        let state = match fire.state {
            Some(index) if !types.is_empty() => usize::from(index) % types.len(),
            _ => return status::NULL,
        };
        let event = fire.event.unwrap_or(types[state]);
        if active[state].is_empty() || self.inside {
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
        let ends = |(_, event): &(usize, u8)| matches!(*event, C_RETURN | C_RAISE);
        if event == CALL && self.callbacks.keys().any(ends) {
            let (callable, arg0) = (told.object, told.arg0);
            self.world.calls.push(Call { code, callable, arg0, version: self.version });
            let too_many = self.world.calls.len().saturating_sub(REMEMBERED);
            self.world.calls.drain(..too_many);
        }
        self.reaches_fire(scope, state, &told);
        self.fire(scope, state, told)
    }

    /// The newest call in a code that has not ended; it ends, and what was called after it has too. If
    /// something else is listened to by now, it may have ended before, and nobody said so.
    fn last_call(&mut self, code: Address) -> (Address, Address) {
        let calls = &mut self.world.calls;
        let place = calls.iter().rposition(|call| call.code == code);
        match place.and_then(|place| calls.drain(place..).next()) {
            Some(call) if call.version == self.version => {
                self.world.coverage.reach("a call is remembered");
                (call.callable, call.arg0)
            }
            _ => (0, 0),
        }
    }

    // --- what was removed ---

    /// Frees what was removed, as soon as nobody is inside.
    fn free_removed(&mut self) {
        self.world.removed.extend(self.removed.drain(..).map(Removed::Callback));
        while !self.inside {
            match self.world.removed.pop_front() {
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

    fn destroy(&mut self, callback: usize) {
        if let Some(ops) = &self.world.behaviours[callback].clone().destroy {
            self.world.seen.push(Seen::Destroyed(callback));
            self.run_all(ops);
        }
    }

    // --- calls ---

    fn address(&self, code: Code) -> Address {
        match code {
            Code::Null => 0,
            Code::Foreign(number) => foreign(number),
            Code::Made(place) => self.world.made[usize::from(place) % MADE_CODES],
        }
    }

    fn run_all(&mut self, ops: &[Op]) {
        if !self.world.ending {
            for op in ops {
                self.run(op);
                let seen = core::mem::take(&mut self.world.seen);
                self.reaches_call(op, &seen);
                self.world.seen = seen;
            }
        }
    }

    /// Runs one call and sees what it returns. Calls that change something and succeed are heeded by
    /// the fire that they are made from.
    fn run(&mut self, op: &Op) {
        match op {
            Op::UseTool { tool, name } => self.changes(|model| model.use_tool(*tool, *name)),
            Op::FreeTool { tool } => self.changes(|model| model.clear_or_free(*tool, true)),
            Op::ClearTool { tool } => self.changes(|model| model.clear_or_free(*tool, false)),
            Op::SetEvents { tool, set } => self.changes(|model| model.set_global(*tool, *set)),
            Op::SetLocalEvents { tool, code, set } => {
                let code = self.address(*code);
                self.changes(|model| model.set_local(*tool, code, *set));
            }
            Op::Register { tool, event, behaviour } => {
                self.changes(|model| model.register_new(*tool, *event, behaviour));
            }
            Op::Unregister { tool, event } => self.changes(|model| model.unregister(*tool, *event)),
            Op::Restart => self.changes(|model| {
                if !model.disabled.is_empty() {
                    model.world.coverage.reach("disabled locations are on again");
                }
                model.restart();
                Ok(())
            }),
            Op::ForgetCode { code } => {
                let code = self.address(*code);
                self.changes(|model| not_null(code).map(|()| model.forget(code)));
            }
            Op::ReleaseCode { code } => {
                let code = self.address(*code);
                self.changes(|model| {
                    model.release(code);
                    Ok(())
                });
                self.world.seen.pop(); // it returns nothing
            }
            Op::RetainCode { code } => {
                let code = self.address(*code);
                self.world.codes.entry(code).and_modify(|(references, _)| *references += 1);
            }
            Op::Synchronize => {
                let status = if self.inside { status::IN_CALLBACK } else { OK };
                self.world.seen.push(Seen::Status(status));
            }
            Op::Exit => self.world.seen.push(Seen::Status(OK)),
            Op::NewThread => {
                if !self.world.calls.is_empty() {
                    self.world.coverage.reach("a new thread does not know the calls");
                }
                self.world.calls.clear();
            }
            Op::Enter { array, version, fault } => {
                let scope = usize::from(*array) % self.scopes.len();
                let result = self.enter_scope(scope, *version, *fault);
                self.world.seen.push(Seen::Status(result.err().unwrap_or(OK)));
                self.sees_array(scope);
            }
            Op::Fire(fire) => {
                let scope = usize::from(fire.array) % self.scopes.len();
                let mut status = self.fire_one(scope, fire);
                self.free_removed();
                if fire.names == Names::PyMonitoring && !self.fires_instruction(scope, fire) {
                    status = status.clamp(-1, 0);
                }
                self.world.seen.push(Seen::Status(status));
                self.sees_array(scope);
            }
            Op::MakeCode { place } => {
                let address = self.make_code(*place);
                self.world.seen.push(Seen::Made(address));
            }
            _ => self.asks(op),
        }
    }

    /// The calls that only ask.
    fn asks(&mut self, op: &Op) {
        let asked = match *op {
            Op::GetTool { tool, buffer, capacity } => self.get_tool(tool, buffer, capacity),
            Op::GetEvents { tool } => match tool_id(tool) {
                Ok(tool) => Seen::Set(OK, self.events(tool, None)),
                Err(status) => Seen::Set(status, UNTOUCHED),
            },
            Op::GetLocalEvents { tool, code } => match (self.address(code), tool_id(tool)) {
                (0, _) => Seen::Set(status::NULL, UNTOUCHED),
                (_, Err(status)) => Seen::Set(status, UNTOUCHED),
                (code, Ok(tool)) => Seen::Set(OK, self.events(tool, Some(code))),
            },
            Op::GetCallback { tool, event } => match (tool_id(tool), event_number(event)) {
                (Err(status), _) | (_, Err(status)) => Seen::Callback(status, 0),
                (Ok(tool), Ok(event)) => {
                    let found = self.callbacks.get(&(tool, event));
                    Seen::Callback(OK, found.map_or(0, |callback| callback + 1))
                }
            },
            Op::DescribeCode { code } => {
                match (self.address(code), self.world.codes.get(&self.address(code))) {
                    (0, _) => Seen::Described(status::NULL, None),
                    (_, None) => Seen::Described(status::UNKNOWN_CODE, None),
                    (_, Some((_, line))) => {
                        Seen::Described(OK, Some((*line, format!("code {line}"))))
                    }
                }
            }
            _ => unreachable!(),
        };
        self.world.seen.push(asked);
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
        let name = self.world.names[tool].clone().unwrap_or_default();
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
        self.world.seen.push(Seen::Status(result.err().unwrap_or(OK)));
    }

    fn fires_instruction(&self, scope: usize, fire: &Fire) -> bool {
        let types = &self.scopes[scope].types;
        let own = |index: u8| types.get(usize::from(index) % types.len().max(1)).copied();
        fire.event.or(fire.state.and_then(own)) == Some(INSTRUCTION)
    }

    fn sees_array(&mut self, scope: usize) {
        let Scope { active, versions, .. } = &self.scopes[scope];
        let byte = |tools: &BTreeSet<usize>| tools.iter().fold(0, |byte, tool| byte | 1 << tool);
        let seen = Seen::Array { active: active.iter().map(byte).collect(), versions: *versions };
        self.world.seen.push(seen);
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
