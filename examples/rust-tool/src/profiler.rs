//! The tool: counts how often each function is called and each line runs.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use rmon::{describe, Event, EventSet, FiredEvent, Tool, ToolId};

/// Of each function of a file its calls, and of each of its lines how often it ran.
#[derive(Default)]
struct Counts {
    calls: BTreeMap<(String, i32), (String, u64)>,
    lines: BTreeMap<(String, i32), u64>,
}

pub struct Profiler {
    tool: Tool,
    counts: Arc<Mutex<Counts>>,
}

impl Profiler {
    /// Takes the profiler's id, and listens until the end of its life.
    pub fn start() -> rmon::Result<Profiler> {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let tool = Tool::claim(ToolId::PROFILER, "rust-tool")?;
        tool.on(
            Event::PyStart,
            with(&counts, |counts, event| {
                if let Some(code) = describe(event.code) {
                    let call = counts.calls.entry((code.filename, code.first_line));
                    call.or_insert((code.qualname, 0)).1 += 1;
                }
            }),
        )?;
        tool.on(
            Event::Line,
            with(&counts, |counts, event| {
                if let Some(code) = describe(event.code) {
                    *counts.lines.entry((code.filename, event.line)).or_default() += 1;
                }
            }),
        )?;
        tool.set_events(EventSet::PY_START | EventSet::LINE)?;
        Ok(Profiler { tool, counts })
    }

    /// Ends, and prints what there is, with the source of the lines.
    pub fn print(self) {
        drop(self.tool);
        // Threads may be in a callback still; what they count is not lost, but comes too late.
        let counts = lock(&self.counts);
        for ((file, line), (name, count)) in &counts.calls {
            println!("{count:6} calls of {name} ({file}:{line})");
        }
        for ((file, line), count) in &counts.lines {
            let text = fs::read_to_string(file).unwrap_or_default();
            let source = text.lines().nth(*line as usize - 1).unwrap_or("?");
            println!("{count:6} times {file}:{line}: {}", source.trim());
        }
    }
}

/// A callback that counts. It may run on several threads at once.
fn with(
    counts: &Arc<Mutex<Counts>>,
    count: fn(&mut Counts, &FiredEvent),
) -> impl Fn(&FiredEvent) + Send + Sync + 'static {
    let counts = Arc::clone(counts);
    move |event| count(&mut lock(&counts), event)
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
