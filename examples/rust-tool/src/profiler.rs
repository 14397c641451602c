//! The tool: counts how often each function is called and each of its lines runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rmon::{describe, Description, Event, EventSet, FiredEvent, Tool, ToolId};

/// A function of which an event was seen.
struct Function {
    code: Description,
    calls: u64,
    lines: BTreeMap<i32, u64>,
}

/// By the code's address. (Where codes die, another may get the address: describe it at each PY_START.)
type Functions = HashMap<usize, Function>;

pub struct Profiler {
    tool: Tool,
    functions: Arc<Mutex<Functions>>,
}

impl Profiler {
    /// Takes the profiler's id, and counts from here on.
    pub fn start() -> rmon::Result<Profiler> {
        let tool = Tool::claim(ToolId::PROFILER, "rust-tool")?;
        let functions = Arc::default();
        tool.on(Event::PyStart, counter(&functions, |function, _| function.calls += 1))?;
        tool.on(
            Event::Line,
            counter(&functions, |function, event| {
                *function.lines.entry(event.line).or_default() += 1;
            }),
        )?;
        tool.set_events(EventSet::PY_START | EventSet::LINE)?;
        Ok(Profiler { tool, functions })
    }

    /// Ends, and says what was counted.
    pub fn stop(self) -> String {
        drop(self.tool);
        rmon::synchronize().expect("this is no callback"); // nobody counts any more
        let functions = lock(&self.functions);
        let mut functions: Vec<_> = functions.values().collect();
        functions.sort_by_key(|function| (&function.code.filename, function.code.first_line));
        let mut report = String::new();
        for function in functions {
            function.report(&mut report).expect("a string takes all");
        }
        report
    }
}

/// A callback that counts something of the function that the event is about. It may run on several
/// threads at once.
fn counter(
    functions: &Arc<Mutex<Functions>>,
    count: fn(&mut Function, &FiredEvent),
) -> impl Fn(&FiredEvent) + Send + Sync + 'static {
    let functions = Arc::clone(functions);
    move |event| {
        let mut functions = lock(&functions);
        if let Some(function) = functions.get_mut(&(event.code as usize)) {
            count(function, event);
        } else if let Some(code) = describe(event.code) {
            let mut function = Function { code, calls: 0, lines: BTreeMap::new() };
            count(&mut function, event);
            functions.insert(event.code as usize, function);
        }
    }
}

fn lock(functions: &Mutex<Functions>) -> MutexGuard<'_, Functions> {
    functions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Function {
    /// How often it was called, and each of its lines that ran, with the source.
    fn report(&self, report: &mut String) -> fmt::Result {
        let Description { qualname, filename, first_line, .. } = &self.code;
        writeln!(report, "\n{qualname}, {filename}:{first_line}: {} calls", self.calls)?;
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(filename));
        let source: Vec<_> = source.iter().flat_map(|text| text.lines()).collect();
        for (line, count) in &self.lines {
            let text = source.get(*line as usize - 1).unwrap_or(&"?");
            writeln!(report, "{count:6} {line:4} {text}")?;
        }
        Ok(())
    }
}
