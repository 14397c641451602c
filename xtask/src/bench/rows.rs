//! The table of rows: what each one measures and what is expected of it. The numbers are those of the project's targets.

use anyhow::{Result, bail};

use Limit::{BeyondInstructions, Faster, Instructions, Overhead, TimeRatio, Value};

/// The programs that have rows; see [`super::programs`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Program {
    /// rmon's rows in C, and their limits.
    Main,
    /// The rows about memory, with an allocator that counts.
    Memory,
    /// Rust's tracing, as the release profile is by default.
    Tracing,
    /// The same with link-time optimization.
    TracingLto,
    /// CPython's own API, in an extension module.
    Cpython,
    /// Functions compiled by Cython. A row's name ends with how: plain, native or rmon.
    Cython,
}

impl Program {
    /// Whether it runs in an interpreter.
    pub fn is_in_python(self) -> bool {
        matches!(self, Program::Cpython | Program::Cython)
    }
}

/// How a row is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A loop: the harness times it, and counts its instructions.
    Loop,
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
    /// The promise.
    pub must: f64,
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

const fn row(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Main, kind: Kind::Loop, targets }
}

const fn other(
    program: Program,
    kind: Kind,
    name: &'static str,
    title: &'static str,
    targets: &'static [Target],
) -> Row {
    Row { name, title, program, kind, targets }
}

const fn must(limit: Limit, must: f64) -> Target {
    Target { limit, must, stretch: None }
}

const fn stretch(limit: Limit, must: f64, stretch: f64) -> Target {
    Target { limit, must, stretch: Some(stretch) }
}

const fn cython(name: &'static str, title: &'static str, targets: &'static [Target]) -> Row {
    Row { name, title, program: Program::Cython, kind: Kind::Loop, targets }
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
const WAIT: Target = must(value("median_ns", "ns"), 10_000.0);
/// Nothing, though a table may be a size larger at the end than when the measurement began.
const LEFT_BEHIND: Target = must(exact("bytes", "bytes"), 1.0);

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    row(EMPTY, "limit: empty loop", &[]),
    row(CALL, "limit: indirect call, into another module", &[]),
    row("indirect_calls_2", "limit: 2 indirect calls", &[]),
    row("indirect_calls_6", "limit: 6 indirect calls", &[]),
    row("indirect_calls_6_straight", "limit: 6 indirect calls from 6 places", &[]),
    row("indirect_calls_1_near", "limit: indirect call, within a module", &[]),
    row("indirect_calls_6_near", "limit: 6 indirect calls, within a module", &[]),
    other(Program::Cpython, Kind::Loop, "cpython_fire_disabled", "CPython: fire, disabled", &[]),
    other(
        Program::Cpython,
        Kind::Loop,
        "cpython_enter_exit_unchanged",
        "CPython: enter + exit, unchanged",
        &[],
    ),
    other(
        Program::Cpython,
        Kind::Loop,
        "cpython_enter_exit_changed",
        "CPython: enter + exit, changed, 17 events",
        &[],
    ),
    other(Program::Tracing, Kind::Loop, "tracing_disabled", "tracing: event, no subscriber", &[]),
    other(Program::Tracing, Kind::Loop, "tracing_event", "tracing: event, no-op subscriber", &[]),
    other(Program::TracingLto, Kind::Loop, "tracing_event_lto", "tracing: the same, fat LTO", &[]),
    row(
        "fire_disabled",
        "fire, disabled",
        &[DISABLED, must(TimeRatio("cpython_fire_disabled"), 1.1)],
    ),
    row("enter_nobody", "enter scope, nobody listens", &[UNCHANGED]),
    row(
        "enter_unchanged",
        "enter scope, unchanged",
        &[UNCHANGED, must(Faster("cpython_enter_exit_unchanged"), 8.0)],
    ),
    row(
        "enter_exit_unchanged",
        "enter + exit, unchanged",
        &[UNCHANGED, must(Faster("cpython_enter_exit_unchanged"), 8.0)],
    ),
    row(
        "enter_changed",
        "enter scope, changed, 17 events",
        &[must(TimeRatio("cpython_enter_exit_changed"), 0.8)],
    ),
    row(
        "enter_exit_changed",
        "enter + exit, changed, 17 events",
        &[must(TimeRatio("cpython_enter_exit_changed"), 0.8)],
    ),
    row("pic_plain", "shared object: call of a function", &[]),
    row("pic_entering", "shared object: of one with enter + exit", &[]),
    row("pic_instrumented", "shared object: with enter, 3 fires, exit", &[]),
    row(
        "fire_line_1",
        "fire -> 1 native tool",
        &[ONE_TOOL, stretch(TimeRatio(CALL), 2.8, 2.4), stretch(Faster("tracing_event"), 1.0, 1.3)],
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
    row("fire_line_local_1", "fire -> 1 native tool, by local events", &[]),
    row("disabled_location", "fire at a disabled location, shared state", &[NOBODY_REACHED]),
    row("disabled_locations_64", "the same, 64 locations in turn", &[]),
    row("disabled_own_state", "fire at a disabled location, own state", &[DISABLED]),
    row("local_elsewhere", "fire, local events of other codes only", &[NOBODY_REACHED]),
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

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// The rows that a filter asks for, and those that they are compared with. `exact`: only those that every run repeats.
pub fn select(filter: Option<&str>, exact: bool) -> Result<Vec<&'static Row>> {
    let asked =
        |row: &Row| filter.is_none_or(|text| row.name.contains(text) || row.title.contains(text));
    let has_exact = |row: &Row| !row.program.is_in_python() && !matches!(row.kind, Kind::Timed(_));
    let wanted: Vec<&Row> =
        ROWS.iter().filter(|row| asked(row) && (!exact || has_exact(row))).collect();
    if wanted.is_empty() {
        bail!(
            "no row is called that; {}",
            ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
        );
    }
    let compared = |row: &Row| {
        let by_target =
            wanted.iter().flat_map(|row| row.targets).flat_map(|target| target.limit.others());
        by_target.chain([EMPTY, CALL]).any(|name| name == row.name)
    };
    let named = |row: &Row| wanted.iter().any(|other| other.name == row.name);
    Ok(ROWS
        .iter()
        .filter(|row| named(row) || (compared(row) && (!exact || has_exact(row))))
        .collect())
}
