//! What the cases of a run have reached. A generator that does not reach all that is listed here tests
//! less than it seems to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::calls::Model;
use super::naive::{Address, Scope, wants};
use super::op::event::{
    BRANCH, BRANCH_LEFT, BRANCH_RIGHT, C_RAISE, C_RETURN, COUNT, LINE, LOCAL, set,
};
use super::op::{Op, Seen, Told, status};

/// What was reached, and how often.
#[derive(Default)]
pub struct Coverage {
    times: BTreeMap<String, usize>,
    /// The callback that is running.
    delivery: Option<Delivery>,
    /// How many were called in this fire.
    called: usize,
    /// The codes that died: whether they had events of their own, whether disabled locations.
    dead: BTreeMap<Address, (bool, bool)>,
    /// The addresses that came back.
    back: BTreeSet<Address>,
}

struct Delivery {
    code: Address,
    /// The event that the callback is registered for.
    asked: u8,
    /// The lower tools that hear the event; those that have a callback for it.
    lower: BTreeSet<usize>,
    registered: BTreeSet<usize>,
}

/// What a callback can do that a fire must heed, or must not be disturbed by.
const INSIDE: [&str; 16] = [
    "UseTool",
    "FreeTool",
    "ClearTool",
    "SetEvents",
    "SetLocalEvents",
    "Register",
    "Unregister",
    "Restart",
    "ForgetCode",
    "ReleaseCode",
    "MakeCode",
    "Enter",
    "Fire",
    "Synchronize",
    "GetCallback",
    "DescribeCode",
];

/// Everything else, but for what is numbered.
const SINGLE: [&str; 25] = [
    "a code's own events are heard",
    "C_RETURN or C_RAISE of a code's own CALL",
    "a call is remembered",
    "a new thread does not know the calls",
    "a fire has several callbacks",
    "a disabled line",
    "a disabled offset",
    "a disabled C_RETURN or C_RAISE",
    "a disabled BRANCH",
    "disabled, in a state of its own",
    "disabled, in a shared state",
    "disabled locations are on again",
    "an error of a callback",
    "DISABLE after its tool was cleared",
    "DISABLE after its code died",
    "a callback silences a lower tool",
    "a callback removes a lower tool's callback",
    "a callback removes itself",
    "a callback is replaced inside itself",
    "a code dies with events of its own",
    "a code dies with disabled locations",
    "a code dies while its event is delivered",
    "an address comes back that had events of its own",
    "an address comes back that had disabled locations",
    "an event of a code at an address that came back",
];

/// Who may hear of a branch: the event that is fired, the event of the callback.
const BRANCHES: [(u8, u8); 6] = [
    (BRANCH_LEFT, BRANCH_LEFT),
    (BRANCH_LEFT, BRANCH),
    (BRANCH_RIGHT, BRANCH_RIGHT),
    (BRANCH_RIGHT, BRANCH),
    (BRANCH, BRANCH),
    (BRANCH, BRANCH_RIGHT),
];

const STATUSES: [i32; 14] = [
    status::OK,
    status::NULL,
    status::INVALID_TOOL,
    status::INVALID_NAME,
    status::TOOL_IN_USE,
    status::TOOL_NOT_IN_USE,
    status::INVALID_EVENT,
    status::INVALID_EVENT_SET,
    status::NOT_INDEPENDENT,
    status::CANNOT_DISABLE,
    status::INVALID_OFFSET,
    status::INVALID_ARGUMENT,
    status::UNKNOWN_CODE,
    status::IN_CALLBACK,
];

/// The names of what has numbers.
fn heard(event: u8, registered_for: u8) -> String {
    format!("event {event:2} goes to a callback for {registered_for:2}")
}

fn disables(event: u8, registered_for: u8) -> String {
    format!("event {event:2} is disabled by a callback for {registered_for:2}")
}

fn tool_is_called(tool: u8) -> String {
    format!("tool {tool} is called")
}

fn status_is(status: i32) -> String {
    format!("status {status:3}")
}

fn inside(call: &str) -> String {
    format!("inside a callback: {call}")
}

/// Everything that must be reached.
fn expected() -> Vec<String> {
    let others = (0..COUNT).filter(|event| BRANCHES.iter().all(|slot| slot.0 != *event));
    let slots: Vec<_> = others.map(|event| (event, event)).chain(BRANCHES).collect();
    // Other events cannot be disabled, and C_RETURN and C_RAISE go by CALL.
    let local = slots.iter().filter(|slot| LOCAL & set(slot.0) != 0);
    let mut all: Vec<_> = SINGLE.map(String::from).into();
    all.extend(slots.iter().map(|slot| heard(slot.0, slot.1)));
    all.extend(local.map(|slot| disables(slot.0, slot.1)));
    all.extend((0..6).map(tool_is_called));
    all.extend(STATUSES.map(status_is));
    all.extend(INSIDE.map(inside));
    all
}

impl Coverage {
    pub fn reach(&mut self, what: impl Into<String>) {
        *self.times.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Coverage) {
        other
            .times
            .into_iter()
            .for_each(|(what, times)| *self.times.entry(what).or_default() += times);
    }

    /// A code was made.
    pub fn birth(&mut self, address: Address) {
        if let Some((own, disabled)) = self.dead.remove(&address) {
            self.back.insert(address);
            if own {
                self.reach("an address comes back that had events of its own");
            }
            if disabled {
                self.reach("an address comes back that had disabled locations");
            }
        }
    }

    fn times(&self, what: &str) -> usize {
        self.times.get(what).copied().unwrap_or(0)
    }

    /// What was not reached.
    pub fn missing(&self) -> Vec<String> {
        expected().into_iter().filter(|what| self.times(what) == 0).collect()
    }
}

impl Model {
    /// Before a fire.
    pub fn reaches_fire(&mut self, scope: usize, state: usize, told: &Told) {
        self.world.coverage.called = 0;
        let Told { event, code, .. } = *told;
        let Scope { types, active, .. } = &self.scopes[scope];
        let own = types.iter().filter(|other| **other == types[state]).count() > 1;
        let location = if event == LINE { told.line } else { told.offset };
        let mut tools = active[state].iter().filter(|tool| self.hears(**tool, event, code));
        if tools.any(|tool| self.is_disabled(*tool, event, code, location)) {
            self.world.coverage.reach(match event {
                LINE => "a disabled line",
                C_RETURN | C_RAISE => "a disabled C_RETURN or C_RAISE",
                BRANCH => "a disabled BRANCH",
                _ => "a disabled offset",
            });
            self.world.coverage.reach(match own {
                true => "disabled, in a state of its own",
                false => "disabled, in a shared state",
            });
        }
    }

    /// Before a callback.
    pub fn reaches_callback(&mut self, callback: usize, told: &Told) {
        let (event, tool) = (told.event, usize::from(told.tool));
        let place = self.callbacks.iter().find(|place| *place.1 == callback);
        let asked = place.map_or(event, |place| place.0.1);
        let lower: BTreeSet<_> =
            (0..tool).filter(|tool| self.hears(*tool, event, told.code)).collect();
        let registered = lower.iter().copied();
        let registered =
            registered.filter(|tool| self.callbacks.contains_key(&(*tool, event))).collect();
        let by_code = !wants(self.events(tool, None), event);
        let coverage = &mut self.world.coverage;
        coverage.reach(heard(event, asked));
        coverage.reach(tool_is_called(told.tool));
        coverage.called += 1;
        if coverage.called == 2 {
            coverage.reach("a fire has several callbacks");
        }
        if by_code {
            coverage.reach("a code's own events are heard");
        }
        if by_code && matches!(event, C_RETURN | C_RAISE) {
            coverage.reach("C_RETURN or C_RAISE of a code's own CALL");
        }
        if coverage.back.contains(&told.code) {
            coverage.reach("an event of a code at an address that came back");
        }
        coverage.delivery = Some(Delivery { code: told.code, asked, lower, registered });
    }

    /// After a callback.
    pub fn reaches_answer(&mut self, callback: usize, told: &Told, answer: i32) {
        let Some(delivery) = self.world.coverage.delivery.take() else {
            return;
        };
        let (event, tool) = (told.event, usize::from(told.tool));
        let mut reached = Vec::new();
        if delivery.lower.iter().any(|tool| !self.hears(*tool, event, told.code)) {
            reached.push("a callback silences a lower tool");
        }
        if delivery.registered.iter().any(|tool| !self.callbacks.contains_key(&(*tool, event))) {
            reached.push("a callback removes a lower tool's callback");
        }
        match self.callbacks.get(&(tool, delivery.asked)) {
            None => reached.push("a callback removes itself"),
            Some(other) if *other != callback => {
                reached.push("a callback is replaced inside itself");
            }
            Some(_) => {}
        }
        if answer < 0 {
            reached.push("an error of a callback");
        }
        if answer == status::DISABLE && LOCAL & set(event) != 0 {
            match (self.cleared.contains(&tool), self.forgotten.contains(&told.code)) {
                (true, _) => reached.push("DISABLE after its tool was cleared"),
                (_, true) => reached.push("DISABLE after its code died"),
                _ => self.world.coverage.reach(disables(event, delivery.asked)),
            }
        }
        reached.into_iter().for_each(|what| self.world.coverage.reach(what));
    }

    /// After a call.
    pub fn reaches_call(&mut self, op: &Op, seen: &[Seen]) {
        let status = match seen {
            [.., Seen::Status(status), Seen::Array { .. }] => *status,
            [.., Seen::Status(status) | Seen::Described(status, _)] => *status,
            _ => status::OK,
        };
        self.world.coverage.reach(status_is(status));
        if self.world.coverage.delivery.is_some()
            && matches!(status, status::OK | status::IN_CALLBACK)
        {
            let op = format!("{op:?}");
            let name = op.split([' ', '(']).next().unwrap_or_default();
            self.world.coverage.reach(inside(name));
        }
    }

    /// Before a code dies.
    pub fn reaches_death(&mut self, code: Address) {
        let own = self.on.keys().any(|key| key.1 == Some(code));
        let disabled = self.disabled.iter().any(|location| location.1 == code);
        let coverage = &mut self.world.coverage;
        coverage.dead.insert(code, (own, disabled));
        if own {
            coverage.reach("a code dies with events of its own");
        }
        if disabled {
            coverage.reach("a code dies with disabled locations");
        }
        if coverage.delivery.as_ref().is_some_and(|delivery| delivery.code == code) {
            coverage.reach("a code dies while its event is delivered");
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = expected();
        all.sort_by_key(|what| self.times(what));
        all.iter().try_for_each(|what| writeln!(f, "{:8} {what}", self.times(what)))
    }
}
