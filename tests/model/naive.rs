//! What rmon does: who hears of what, and what callbacks can do about it. One thread, no host, no
//! atomics, no tables: each question is answered by looking through everything. calls.rs has the rest:
//! what a caller may ask for, what is told, when things are freed.

use std::collections::{BTreeMap, BTreeSet};

use super::op::event::*;
use super::op::{Told, VERSIONS, status};

/// A code is an address; so are all the other objects that go from emitters to tools.
pub type Address = usize;
type Tools = BTreeSet<usize>;

/// What runs the callbacks, which are known by number. They may do all that is done here.
pub trait World: Sized {
    fn call(model: &mut Model<Self>, callback: usize, told: Told) -> i32;
}

/// An array of states: the event that each stands for, and the tools that may be interested.
pub struct Scope {
    pub types: Vec<u8>,
    pub active: Vec<Tools>,
    pub versions: [u64; VERSIONS],
}

#[derive(Default)]
pub struct Model<W> {
    /// The events that a tool has on, in one code or in all. BRANCH is kept as its two directions, what
    /// follows CALL not at all.
    pub on: BTreeMap<(usize, Option<Address>), u32>,
    /// The callback of a tool for an event.
    pub callbacks: BTreeMap<(usize, u8), usize>,
    /// What a tool wants to hear no more: in which code, which event, at which offset or line.
    pub disabled: BTreeSet<(usize, Address, u8, i32)>,
    /// The version of what is listened to: 0 while nobody listens; else never one of old.
    pub version: u64,
    last_version: u64,
    pub scopes: Vec<Scope>,
    /// A callback is running; it has changed something; it has cleared these tools.
    pub inside: bool,
    pub changed: bool,
    pub cleared: Tools,
    /// The codes that were forgotten, or died, since the fire began.
    pub forgotten: BTreeSet<Address>,
    /// The callbacks that were removed, in this order.
    pub removed: Vec<usize>,
    pub world: W,
}

/// The events in whose name one is on or off: C_RETURN and C_RAISE follow CALL; BRANCH is either way.
fn controlling(event: u8) -> Vec<u8> {
    match event {
        C_RETURN | C_RAISE => vec![CALL],
        BRANCH => vec![BRANCH_LEFT, BRANCH_RIGHT],
        _ => vec![event],
    }
}

/// Whether a set has an event on.
pub fn wants(events: u32, event: u8) -> bool {
    controlling(event).into_iter().any(|event| events & set(event) != 0)
}

impl<W: World> Model<W> {
    /// The events that a tool has set for a code, or for all.
    pub fn events(&self, tool: usize, code: Option<Address>) -> u32 {
        self.on.get(&(tool, code)).copied().unwrap_or(0)
    }

    /// A tool hears an event of a code if it has it on for all codes or for this one.
    pub fn hears(&self, tool: usize, event: u8, code: Address) -> bool {
        wants(self.events(tool, None) | self.events(tool, Some(code)), event)
    }

    /// A scope does not know its codes: a tool that hears the event in any code may be interested.
    pub fn interested(&self, event: u8) -> Tools {
        self.on.iter().filter(|(_, on)| wants(**on, event)).map(|(key, _)| key.0).collect()
    }

    /// A BRANCH is off where both directions are.
    pub fn is_disabled(&self, tool: usize, event: u8, code: Address, location: i32) -> bool {
        let off = |event| self.disabled.contains(&(tool, code, event, location));
        controlling(event).into_iter().all(off)
    }

    /// What is listened to has changed: every scope is out of date.
    fn new_version(&mut self) {
        self.last_version += 1;
        self.version = if self.on.is_empty() { 0 } else { self.last_version };
    }

    pub fn set_events(&mut self, tool: usize, code: Option<Address>, events: u32) {
        let before = self.on.insert((tool, code), events).unwrap_or(0);
        self.on.retain(|_, events| *events != 0);
        if events != before {
            self.new_version();
        }
    }

    /// The old callback, if there is one, is removed.
    pub fn register(&mut self, tool: usize, event: u8, callback: Option<usize>) {
        self.removed.extend(self.callbacks.remove(&(tool, event)));
        self.callbacks.extend(callback.map(|callback| ((tool, event), callback)));
    }

    pub fn clear_tool(&mut self, tool: usize) {
        (0..COUNT).for_each(|event| self.register(tool, event, None));
        self.on.retain(|key, _| key.0 != tool);
        self.disabled.retain(|location| location.0 != tool);
        self.cleared.insert(tool);
        self.new_version();
    }

    /// All locations are on again, for all tools.
    pub fn restart(&mut self) {
        self.disabled.clear();
        self.new_version();
    }

    /// Drops what tools have set on a code. Its death does so, too: another may get its address.
    pub fn forget(&mut self, code: Address) {
        self.forgotten.insert(code);
        self.disabled.retain(|location| location.1 != code);
        let before = self.on.len();
        self.on.retain(|key, _| key.1 != Some(code));
        if self.on.len() != before {
            self.new_version();
        }
    }

    pub fn enter(&mut self, scope: usize, version: usize) {
        if self.scopes[scope].versions[version] != self.version {
            self.scopes[scope].versions[version] = self.version;
            self.refresh(scope);
        }
    }

    fn refresh(&mut self, scope: usize) {
        let types = self.scopes[scope].types.iter();
        self.scopes[scope].active = types.map(|event| self.interested(*event)).collect();
    }

    /// The callback that a tool has for an event, and the event that it is registered for.
    fn callback(&self, tool: usize, event: u8) -> Option<(usize, u8)> {
        let otherwise = match event {
            BRANCH_LEFT | BRANCH_RIGHT => BRANCH,
            BRANCH => BRANCH_RIGHT,
            event => event,
        };
        let registered = |event| Some((*self.callbacks.get(&(tool, event))?, event));
        registered(event).or_else(|| registered(otherwise))
    }

    /// A fire from a state of a scope: who is called, and what the answers do. Returns the first error.
    pub fn fire(&mut self, scope: usize, state: usize, told: Told) -> i32 {
        let Told { event, code, .. } = told;
        let Scope { types, active, .. } = &self.scopes[scope];
        // A type that stands several times in a scope has a state for each location.
        let own = types.iter().filter(|other| **other == types[state]).count() > 1;
        let location = if event == LINE { told.line } else { told.offset };
        let tools = active[state].iter().filter(|tool| self.hears(**tool, event, code));
        let (off, mut left): (Tools, Tools) =
            tools.partition(|tool| self.is_disabled(**tool, event, code, location));
        self.scopes[scope].active[state].retain(|tool| !own || !off.contains(tool));
        self.forgotten.clear();
        while let Some(tool) = left.pop_last() {
            let Some((callback, asked)) = self.callback(tool, event) else {
                continue;
            };
            (self.inside, self.changed, self.cleared) = (true, false, Tools::new());
            let answer = W::call(self, callback, Told { tool: tool as u8, ..told });
            self.inside = false;
            if self.changed {
                self.refresh(scope); // it is still running
            }
            if answer < 0 {
                return answer;
            }
            if answer == status::DISABLE && LOCAL & set(event) == 0 {
                if self.callbacks.get(&(tool, asked)) == Some(&callback) {
                    self.register(tool, asked, None);
                }
                return status::CANNOT_DISABLE;
            }
            // A tool that cleared itself has nothing to disable any more, in a code that died is nothing.
            let alive = !self.cleared.contains(&tool) && !self.forgotten.contains(&code);
            if answer == status::DISABLE && alive {
                // BRANCH, the callback's event or the fire's, is both directions.
                for event in controlling(if event == BRANCH { BRANCH } else { asked }) {
                    self.disabled.insert((tool, code, event, location));
                }
                self.scopes[scope].active[state].retain(|other| !own || *other != tool);
            }
            // Who was silenced meanwhile is not called any more.
            left.retain(|tool| self.hears(*tool, event, code));
            left.retain(|tool| !self.is_disabled(*tool, event, code, location));
        }
        status::OK
    }
}
