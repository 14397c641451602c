//! What tools are told of a recipe: which events there are, and where they happen.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rmon_emitter::{BoxedScope, CodeLike, CodeSpec, Event, LineEntry, State};

use crate::steps::Step;

/// The offset of what happens before the first step and after the last.
pub const AROUND: i32 = 0;

/// The offset of a step.
pub fn offset(step: usize) -> i32 {
    step as i32 + 1
}

/// One recipe's.
pub struct Probes {
    /// What tools get as the code object.
    pub code: CodeLike,
    /// A state for each event, then one for each step's LINE: a tool can disable a single line.
    scope: BoxedScope,
}

impl Probes {
    pub fn new(name: &str, file: &str, steps: &[Step]) -> PyResult<Probes> {
        let mut lines = vec![LineEntry { offset: AROUND, line: 1 }];
        for (index, step) in steps.iter().enumerate() {
            lines.push(LineEntry { offset: offset(index), line: step.line });
        }
        let code = CodeLike::new(&CodeSpec::new(name, file, 1).lines(&lines));
        let mut events = Event::ALL.to_vec();
        events.resize(events.len() + steps.len(), Event::Line);
        Ok(Probes {
            code: code.map_err(|error| PyValueError::new_err(error.to_string()))?,
            scope: BoxedScope::new(events),
        })
    }

    /// To be called each time that the recipe is started or resumed.
    pub fn enter(&self) {
        self.scope.enter();
    }

    /// The state of an event.
    pub fn state(&self, event: Event) -> State<'_> {
        self.at(event as usize)
    }

    /// The state of a step's LINE.
    pub fn line(&self, step: usize) -> State<'_> {
        self.at(Event::ALL.len() + step)
    }

    fn at(&self, index: usize) -> State<'_> {
        self.scope.get(index).expect("there is a state for each event and each step")
    }
}
