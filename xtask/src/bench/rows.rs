//! The table of rows: what each one measures and what is expected of it. The numbers are those of the project's targets.
//!
//! Rows that are there for each interpreter, or for each size, are made from a pattern.

use std::sync::LazyLock;

use anyhow::{Result, bail};

use super::curves;
use crate::pythons::SUPPORTED;
use Limit::{BeyondInstructions, Faster, Instructions, Overhead, TimeRatio, Value};

/// The programs that have rows; see [`super::programs`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Program {
    /// rmon's rows in C, and their limits.
    Main,
    /// The rows about memory, with an allocator that counts.
    Memory,
    /// What costs how much at what size.
    Scale,
    /// Rust's tracing, as the release profile is by default.
    Tracing,
    /// The same with link-time optimization.
    TracingLto,
    /// The benchmarks in Rust, measured by criterion.
    Criterion,
    /// SystemTap's static probes.
    Usdt,
    /// LTTng-UST.
    Lttng,
    /// CPython's own API, in an extension module; which minor version of CPython.
    Cpython(u8),
    /// Fires that reach Python callbacks, rmon's and CPython's own in one process.
    Callbacks(u8),
    /// Functions compiled by Cython. A row's name has how: plain, native or rmon; and after a colon who listens.
    Cython,
    /// A large module compiled by Cython, while its coverage is measured.
    Large,
}

impl Program {
    /// Whether it runs in an interpreter, whose numbers are not exact.
    pub fn is_in_python(self) -> bool {
        self.driven().is_some()
    }

    /// What benches/python/driver.py calls it, if it is run by that.
    pub fn driven(self) -> Option<&'static str> {
        match self {
            Program::Cpython(_) => Some("cpython"),
            Program::Callbacks(_) => Some("callbacks"),
            Program::Cython => Some("cython"),
            Program::Large => Some("large"),
            _ => None,
        }
    }

    /// Whether its rows share a process: it is a while until an interpreter has started, and peers are to be neighbours.
    pub fn shares_process(self) -> bool {
        self.is_in_python() && self != Program::Large
    }
}

/// How a row is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A loop: the harness times it, and counts its instructions.
    Loop,
    /// A loop that is timed only: counting would take too long, or is of no use.
    TimedLoop,
    /// Criterion measures it.
    Criterion,
    /// It times itself, for so many times as long as a loop is timed.
    Timed(u32),
    /// It counts by itself, over this many events or objects; every run gives the same.
    Counted(u32),
}

/// What a target limits.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Instructions of one pass: the loop's own and the callbacks' among them. At most.
    Instructions,
    /// The same, less those of the other row. At most; fewer than `floor` means that the check has left the loop.
    BeyondInstructions { row: &'static str, floor: f64 },
    /// Its time, as a multiple of the other row's. At most.
    TimeRatio(&'static str),
    /// What its time is beyond that of `plain`, as a multiple of what that of `other` is. At most.
    Overhead { other: &'static str, plain: &'static str },
    /// The other row's time, as a multiple of its own. At least, or more than, if it is 1.
    Faster(&'static str),
    /// One of the values that the row reports by itself.
    Value { key: &'static str, unit: &'static str, at_least: bool, exact: bool },
}

impl Limit {
    /// Whether it compares rows' times.
    pub fn is_about_times(&self) -> bool {
        matches!(self, TimeRatio(_) | Faster(_) | Overhead { .. })
    }

    /// The rows that it compares with.
    pub fn others(&self) -> Vec<&'static str> {
        match *self {
            BeyondInstructions { row, .. } | TimeRatio(row) | Faster(row) => vec![row],
            Overhead { other, plain } => vec![other, plain],
            Instructions | Value { .. } => vec![],
        }
    }
}

/// What a row must reach, and what would be better still.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What is limited.
    pub limit: Limit,
    /// The promise; None: it is only told.
    pub must: Option<f64>,
    /// The wish.
    pub stretch: Option<f64>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in its program.
    pub name: &'static str,
    /// What it measures, for people.
    pub title: &'static str,
    /// Who has it.
    pub program: Program,
    /// How it is measured.
    pub kind: Kind,
    /// What is expected of it. None: it is there to compare with, or to know.
    pub targets: &'static [Target],
}

/// The loop with nothing in it.
pub const EMPTY: &str = "empty_loop";
/// One bare call of a function like a tool's.
pub const CALL: &str = "indirect_calls_1";
/// LTTng's tracepoint while a session records it.
pub const LTTNG_RECORDING: &str = "lttng_recording";

const fn row(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Main, kind: Kind::Loop, targets }
}

pub const fn other(
    program: Program,
    kind: Kind,
    name: &'static str,
    title: &'static str,
    targets: &'static [Target],
) -> Row {
    Row { name, title, program, kind, targets }
}

const fn must(limit: Limit, must: f64) -> Target {
    Target { limit, must: Some(must), stretch: None }
}

/// A ratio to know.
const fn told(limit: Limit) -> Target {
    Target { limit, must: None, stretch: None }
}

const fn stretch(limit: Limit, must: f64, stretch: f64) -> Target {
    Target { limit, must: Some(must), stretch: Some(stretch) }
}

const fn cython(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Cython, kind: Kind::Loop, targets }
}

const fn large(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Large, kind: Kind::Timed(10), targets }
}

const fn cold(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Main, kind: Kind::Timed(20), targets }
}

const fn rust(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Criterion, kind: Kind::Criterion, targets }
}

const fn value(key: &'static str, unit: &'static str) -> Limit {
    Value { key, unit, at_least: false, exact: false }
}

const fn exact(key: &'static str, unit: &'static str) -> Limit {
    Value { key, unit, at_least: false, exact: true }
}

/// A load or compare with memory, and a branch: less than that and nothing was checked.
const BEYOND_LOOP: Limit = BeyondInstructions { row: EMPTY, floor: 2.0 };
const DISABLED: Target = must(BEYOND_LOOP, 3.0);
const UNCHANGED: Target = must(BEYOND_LOOP, 4.0);
const ONE_TOOL: Target = stretch(Instructions, 80.0, 65.0);
const NOBODY_REACHED: Target = must(Instructions, 45.0);
/// The mean where some look-ups go beyond the first place, which depends on the addresses of codes; finding out where to
/// fire is not the fire's.
const fn mean(most: f64) -> Target {
    must(BeyondInstructions { row: "many_only", floor: 2.0 }, most)
}
const WAIT: Target = must(value("median_ns", "ns"), 10_000.0);
/// Nothing, though a table may be a size larger at the end than when the measurement began.
const LEFT_BEHIND: Target = must(exact("bytes", "bytes"), 1.0);

/// What rmon is compared with, and the limits.
const LIMITS: &[Row] = &[
    row(EMPTY, "limit: empty loop", &[]),
    row(CALL, "limit: indirect call, into another module", &[]),
    row("indirect_calls_2", "limit: 2 indirect calls", &[]),
    row("indirect_calls_6", "limit: 6 indirect calls", &[]),
    row("indirect_calls_6_straight", "limit: 6 indirect calls from 6 places", &[]),
    row("indirect_calls_1_near", "limit: indirect call, within a module", &[]),
    row("indirect_calls_6_near", "limit: 6 indirect calls, within a module", &[]),
    other(Program::Tracing, Kind::Loop, "tracing_disabled", "tracing: event, no subscriber", &[]),
    other(Program::Tracing, Kind::Loop, "tracing_event", "tracing: event, no-op subscriber", &[]),
    other(Program::TracingLto, Kind::Loop, "tracing_event_lto", "tracing: the same, fat LTO", &[]),
    other(Program::Usdt, Kind::Loop, "usdt_probe", "USDT: probe, nobody attached", &[]),
    other(Program::Usdt, Kind::Loop, "usdt_guarded", "USDT: the same behind its semaphore", &[]),
    other(Program::Lttng, Kind::Loop, "lttng_disabled", "LTTng-UST: tracepoint, disabled", &[]),
    other(Program::Lttng, Kind::TimedLoop, LTTNG_RECORDING, "LTTng-UST: flight recorder", &[]),
];

/// rmon's, of native code.
const NATIVE: &[Row] = &[
    row(
        "fire_disabled",
        "fire, disabled",
        &[
            DISABLED,
            must(TimeRatio("cpython_3.13_fire_disabled"), 1.1),
            told(TimeRatio("cpython_3.14_fire_disabled")),
            told(TimeRatio("cpython_3.15_fire_disabled")),
            told(TimeRatio("usdt_probe")),
            told(TimeRatio("lttng_disabled")),
        ],
    ),
    row("enter_nobody", "enter scope, nobody listens", &[UNCHANGED]),
    row(
        "enter_unchanged",
        "enter scope, unchanged",
        &[UNCHANGED, must(Faster("cpython_3.13_enter_exit_unchanged"), 8.0)],
    ),
    row(
        "enter_exit_unchanged",
        "enter + exit, unchanged",
        &[
            UNCHANGED,
            must(Faster("cpython_3.13_enter_exit_unchanged"), 8.0),
            told(Faster("cpython_3.14_enter_exit_unchanged")),
            told(Faster("cpython_3.15_enter_exit_unchanged")),
        ],
    ),
    row(
        "enter_changed",
        "enter scope, changed, 17 events",
        &[must(TimeRatio("cpython_3.13_enter_exit_changed"), 0.8)],
    ),
    row(
        "enter_exit_changed",
        "enter + exit, changed, 17 events",
        &[
            must(TimeRatio("cpython_3.13_enter_exit_changed"), 0.8),
            told(TimeRatio("cpython_3.14_enter_exit_changed")),
            told(TimeRatio("cpython_3.15_enter_exit_changed")),
        ],
    ),
    row("pic_plain", "shared object: call of a function", &[]),
    row("pic_entering", "shared object: of one with enter + exit", &[]),
    row("pic_instrumented", "shared object: with enter, 3 fires, exit", &[]),
    row(
        "fire_line_1",
        "fire -> 1 native tool",
        &[
            ONE_TOOL,
            stretch(TimeRatio(CALL), 2.8, 2.4),
            stretch(Faster("tracing_event"), 1.0, 1.3),
            told(Faster(LTTNG_RECORDING)),
        ],
    ),
    row("fire_line_2", "fire -> 2 native tools", &[must(Instructions, 115.0)]),
    row(
        "fire_line_6",
        "fire -> 6 native tools",
        &[must(Instructions, 200.0), must(TimeRatio("indirect_calls_6"), 1.15)],
    ),
    row("fire_py_start_1", "fire PY_START -> 1 native tool", &[ONE_TOOL]),
    row("fire_py_return_1", "fire PY_RETURN -> 1 native tool", &[ONE_TOOL]),
    row("fire_call_1", "fire CALL -> 1 native tool", &[ONE_TOOL]),
    row("fire_line_local_1", "fire -> 1 native tool, by local events", &[must(Instructions, 80.0)]),
    row("disabled_location", "fire at a disabled location, shared state", &[NOBODY_REACHED]),
    row("disabled_locations_64", "the same, 64 locations in turn", &[]),
    row("disabled_local", "the same, the tool has it by local events", &[must(Instructions, 50.0)]),
    row("disabled_of_100000", "the same, one of 100,000 in 10,000 codes", &[NOBODY_REACHED]),
    row("many_only", "limit: 100,000 places in turn, no fire", &[]),
    row("disabled_100000", "100,000 disabled locations in turn, mean", &[mean(45.0)]),
    row("disabled_own_state", "fire at a disabled location, own state", &[DISABLED]),
    row("local_elsewhere", "fire, local events of other codes only", &[NOBODY_REACHED]),
    row("local_elsewhere_10000", "the same, of 10,000 others, mean", &[mean(45.0)]),
];

/// Criterion's: what a Rust program has.
const RUST: &[Row] = &[
    rust("rust_loop", "Rust: criterion's own loop", &[]),
    rust("rust_call", "Rust: indirect call", &[]),
    rust("rust_enter", "Rust: enter scope, unchanged", &[]),
    rust("rust_fire_disabled", "Rust: fire, disabled", &[told(TimeRatio("rust_tracing_disabled"))]),
    rust("rust_tracing_disabled", "Rust: tracing event, no subscriber", &[]),
    rust("rust_tracing_event", "Rust: tracing event, no-op subscriber", &[]),
    rust(
        "rust_fire_1",
        "Rust: fire -> 1 native tool",
        &[stretch(Faster("rust_tracing_event"), 1.0, 1.3), told(TimeRatio("rust_call"))],
    ),
    rust("rust_fire_2", "Rust: fire -> 2 native tools", &[]),
    rust("rust_fire_6", "Rust: fire -> 6 native tools", &[]),
];

/// Calls of Cython functions. Those come first that want to be without rmon in their process.
const CYTHON: &[Row] = &[
    cython("cython_cdef_plain", "Cython: 177 cdef calls, not traced", &[]),
    cython("cython_cdef_native", "the same, traced by CPython's API, nobody listens", &[]),
    cython(
        "cython_cdef_rmon",
        "the same, traced by rmon, nobody listens",
        &[stretch(Overhead { other: "cython_cdef_native", plain: "cython_cdef_plain" }, 0.75, 0.6)],
    ),
    cython("cython_def_plain", "Cython: 177 def calls, not traced", &[]),
    cython("cython_def_native", "the same, traced by CPython's API, nobody listens", &[]),
    cython(
        "cython_def_rmon",
        "the same, traced by rmon, nobody listens",
        &[stretch(Overhead { other: "cython_def_native", plain: "cython_def_plain" }, 0.75, 0.6)],
    ),
    cython("cython_generator_plain", "Cython: 177 steps of a generator, not traced", &[]),
    cython("cython_generator_native", "the same, traced by CPython's API, nobody listens", &[]),
    cython("cython_generator_rmon", "the same, traced by rmon, nobody listens", &[]),
    cython("cython_cdef_rmon:awake", "177 cdef calls, rmon imported, nobody listens", &[]),
    cython("cython_cdef_rmon:native", "177 cdef calls, rmon -> native tool", &[]),
    cython("cython_cdef_native:builtin", "177 cdef calls, CPython's API -> builtin", &[]),
    cython(
        "cython_cdef_rmon:builtin",
        "177 cdef calls, rmon -> builtin",
        &[told(TimeRatio("cython_cdef_native:builtin"))],
    ),
    cython("cython_cdef_native:lambda", "177 cdef calls, CPython's API -> lambda", &[]),
    cython(
        "cython_cdef_rmon:lambda",
        "177 cdef calls, rmon -> lambda",
        &[told(TimeRatio("cython_cdef_native:lambda"))],
    ),
    cython("cython_def_rmon:awake", "177 def calls, rmon imported, nobody listens", &[]),
    cython("cython_def_rmon:native", "177 def calls, rmon -> native tool", &[]),
    cython("cython_def_native:builtin", "177 def calls, CPython's API -> builtin", &[]),
    cython(
        "cython_def_rmon:builtin",
        "177 def calls, rmon -> builtin",
        &[told(TimeRatio("cython_def_native:builtin"))],
    ),
    cython("cython_def_native:lambda", "177 def calls, CPython's API -> lambda", &[]),
    cython(
        "cython_def_rmon:lambda",
        "177 def calls, rmon -> lambda",
        &[told(TimeRatio("cython_def_native:lambda"))],
    ),
];

/// A run of a large Cython module, once all that can be disabled is.
const LARGE: &[Row] = &[
    large("large_plain", "large Cython module: not traced", &[]),
    large("large_legacy", "the same, traced for sys.settrace, nobody listens", &[]),
    large(
        "large_legacy:coverage_ctrace",
        "the same, coverage.py's C tracer",
        &[told(TimeRatio("large_plain"))],
    ),
    large(
        "large_rmon",
        "large Cython module: traced by rmon, rmon not imported",
        &[told(TimeRatio("large_plain"))],
    ),
    large(
        "large_rmon:native_tool",
        "the same, coverage-like native tool",
        &[told(TimeRatio("large_plain")), told(TimeRatio("large_legacy:coverage_ctrace"))],
    ),
    large(
        "large_rmon:python_tool",
        "the same, coverage-like Python tool",
        &[told(TimeRatio("large_plain")), told(TimeRatio("large_legacy:coverage_ctrace"))],
    ),
    large(
        "large_rmon:coverage_sysmon",
        "the same, coverage.py's core sysmon over rmon",
        &[told(TimeRatio("large_plain")), told(TimeRatio("large_legacy:coverage_ctrace"))],
    ),
];

/// What is more than one loop: empty caches, threads, waiting, memory.
const OTHERS: &[Row] = &[
    cold("cold_call", "limit: indirect call, nothing in any cache", &[]),
    cold("cold_disabled", "fire, disabled, the same", &[]),
    cold("cold_fire_1", "fire -> 1 native tool, the same", &[told(TimeRatio("cold_call"))]),
    cold("cold_fire_6", "fire -> 6 native tools, the same", &[told(TimeRatio("cold_call"))]),
    other(
        Program::Main,
        Kind::Timed(20),
        "two_threads_calls",
        "limit: two threads against one, indirect call",
        &[],
    ),
    other(
        Program::Main,
        Kind::Timed(20),
        "two_threads",
        "two threads against one, fire -> 1 tool",
        &[must(Value { key: "scaling_wall", unit: "times", at_least: true, exact: false }, 1.95)],
    ),
    other(
        Program::Main,
        Kind::Timed(2),
        "synchronize_idle",
        "synchronize, nothing removed",
        &[WAIT],
    ),
    other(
        Program::Main,
        Kind::Timed(2),
        "synchronize_removed",
        "synchronize, a callback removed",
        &[WAIT],
    ),
    other(
        Program::Main,
        Kind::Timed(2),
        "synchronize_busy",
        "the same, another thread fires",
        &[WAIT],
    ),
    other(
        Program::Memory,
        Kind::Counted(1000),
        "memory_fire",
        "memory: enter, changed, and fire -> 6 tools",
        &[must(exact("allocations", "allocations"), 0.0)],
    ),
    other(
        Program::Memory,
        Kind::Counted(100_000),
        "memory_location",
        "memory: a disabled location",
        &[must(exact("worst_bytes", "bytes"), 64.0)],
    ),
    other(
        Program::Memory,
        Kind::Counted(10_000),
        "memory_released_code",
        "memory: a code that was released",
        &[LEFT_BEHIND],
    ),
    other(
        Program::Memory,
        Kind::Counted(10_000),
        "memory_forgotten_code",
        "memory: a code that was forgotten",
        &[LEFT_BEHIND],
    ),
];

/// The minor versions of CPython that have the C API.
const WITH_API: std::ops::RangeInclusive<u8> = 13..=*SUPPORTED.end();

/// All rows, in the order of the report.
static ALL: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let mut all = LIMITS.to_vec();
    all.extend(WITH_API.flat_map(of_cpython));
    for part in [NATIVE, RUST] {
        all.extend(part);
    }
    all.extend(SUPPORTED.flat_map(callbacks));
    for part in [CYTHON, LARGE, OTHERS] {
        all.extend(part);
    }
    all.extend(curves::rows());
    all
});

/// A name or a text of a row; it is kept as long as the table is, for ever.
pub fn keep(text: String) -> &'static str {
    text.leak()
}

/// CPython's own API, in one interpreter.
fn of_cpython(minor: u8) -> Vec<Row> {
    let row = |name: &str, title: &str| {
        let name = keep(format!("cpython_3.{minor}_{name}"));
        let title = keep(format!("CPython 3.{minor}: {title}"));
        other(Program::Cpython(minor), Kind::Loop, name, title, &[])
    };
    vec![
        row("fire_disabled", "fire, disabled"),
        row("enter_exit_unchanged", "enter + exit, unchanged"),
        row("enter_exit_changed", "enter + exit, changed, 17 events"),
    ]
}

/// Fires that reach Python callbacks in one interpreter: what the call alone costs, and, beside each other, CPython's
/// own, if it has the API, and rmon's.
fn callbacks(minor: u8) -> Vec<Row> {
    let row = |name: &str, title: &str, targets: Vec<Target>| {
        let name = keep(format!("python_3.{minor}_{name}"));
        let title = keep(format!("Python 3.{minor}: {title}"));
        other(Program::Callbacks(minor), Kind::Loop, name, title, targets.leak())
    };
    let mut rows = Vec::new();
    for (kind, goals) in [("builtin", (0.95, 0.85)), ("lambda", (1.0, 0.95))] {
        rows.push(row(&format!("call_{kind}"), &format!("limit: call of a {kind}"), vec![]));
        for (tools, offset) in [(1, "small"), (1, "large"), (6, "small"), (6, "large")] {
            let name = |who: &str| format!("{who}_{kind}_{tools}_{offset}");
            let to = format!("-> {tools} {kind}, {offset} offset");
            let mut targets = Vec::new();
            if WITH_API.contains(&minor) {
                rows.push(row(&name("sys"), &format!("CPython's fire {to}"), vec![]));
                let peer = keep(format!("python_3.{minor}_{}", name("sys")));
                targets.push(stretch(TimeRatio(peer), goals.0, goals.1));
            } else if tools == 1 {
                let limit = keep(format!("python_3.{minor}_call_{kind}"));
                targets.push(told(TimeRatio(limit)));
            }
            rows.push(row(&name("rmon"), &format!("rmon's fire {to}"), targets));
        }
    }
    rows
}

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    ALL.iter().find(|row| row.name == name)
}

/// The rows in as many groups as there are to be processes, in their order.
pub fn by_process(rows: &[&'static Row]) -> Vec<Vec<&'static Row>> {
    let together = |a: &&Row, b: &&Row| a.program == b.program && a.program.shares_process();
    rows.chunk_by(together).map(<[_]>::to_vec).collect()
}

/// The rows that a filter asks for, and those that they are compared with. `exact`: only those that every run repeats.
pub fn select(filter: Option<&str>, exact: bool) -> Result<Vec<&'static Row>> {
    let asked =
        |row: &Row| filter.is_none_or(|text| row.name.contains(text) || row.title.contains(text));
    let has_exact = |row: &Row| {
        let ours = matches!(row.program, Program::Main | Program::Memory);
        ours && matches!(row.kind, Kind::Loop | Kind::Counted(_)) && !curves::has(row.name)
    };
    let wanted: Vec<&Row> =
        ALL.iter().filter(|row| asked(row) && (!exact || has_exact(row))).collect();
    if wanted.is_empty() {
        bail!(
            "no row is called that; {}",
            ALL.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
        );
    }
    let compared = |row: &Row| {
        let by_target =
            wanted.iter().flat_map(|row| row.targets).flat_map(|target| target.limit.others());
        by_target.chain([EMPTY, CALL]).any(|name| name == row.name)
    };
    let named = |row: &Row| wanted.iter().any(|other| other.name == row.name);
    Ok(ALL
        .iter()
        .filter(|row| named(row) || (compared(row) && (!exact || has_exact(row))))
        .collect())
}
