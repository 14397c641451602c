//! Cost against size: the rows "ROW:SIZE" of a pattern, as tables and as plots.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::count::Counts;
use super::plot::{self, Plot};
use super::rows::{self, Kind, Program, Row};
use super::samples::Samples;

/// What a curve shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Y {
    /// Processor time of a pass, in nanoseconds.
    Time,
    /// Instructions of a pass.
    Instructions,
    /// What the row reports under a key.
    Reported(&'static str),
}

/// One line: a row at several sizes, less another row at the same sizes.
struct Line {
    row: &'static str,
    label: &'static str,
    less: Option<&'static str>,
}

/// One plot.
struct Curve {
    name: &'static str,
    title: &'static str,
    program: Program,
    sizes: &'static [u32],
    x: &'static str,
    y: Y,
    y_text: &'static str,
    log: (bool, bool),
    lines: &'static [Line],
}

const fn line(row: &'static str, label: &'static str) -> Line {
    Line { row, label, less: None }
}

const fn beyond(row: &'static str, label: &'static str, less: &'static str) -> Line {
    Line { row, label, less: Some(less) }
}

const TO_A_MILLION: &[u32] = &[10, 100, 1000, 10_000, 100_000, 1_000_000];
/// Where a row is counted, too: setting it up under valgrind takes long enough with these.
const COUNTED: &[u32] = &[10, 100, 1000, 10_000, 100_000];
const THREADS: &[u32] = &[1, 2, 4, 8, 16, 32, 64];
const TOOLS: &[u32] = &[0, 1, 2, 3, 4, 5, 6];

const CODES: &[Line] = &[
    line("codes_one", "a code with local events, again and again"),
    beyond("codes_turn", "codes with local events, in random order", "codes_turn_only"),
    beyond("codes_other", "as many other codes, in random order", "codes_turn_only"),
];

const LOCATIONS: &[Line] = &[
    line("locations_one", "a disabled location, again and again"),
    beyond("locations_turn", "disabled locations, in random order", "locations_turn_only"),
    line("locations_enabled", "a location that is not disabled: delivered"),
];

const OF_TOOLS: &[Line] = &[line("tools", "fire"), line("tools_calls", "as many indirect calls")];

const CURVES: &[Curve] = &[
    Curve {
        name: "codes",
        title: "A fire while a native tool has local events on many codes",
        program: Program::Scale,
        sizes: TO_A_MILLION,
        x: "codes with local events",
        y: Y::Time,
        y_text: "ns",
        log: (true, false),
        lines: CODES,
    },
    Curve {
        name: "codes-instructions",
        title: "A fire while a native tool has local events on many codes",
        program: Program::Scale,
        sizes: COUNTED,
        x: "codes with local events",
        y: Y::Instructions,
        y_text: "instructions",
        log: (true, false),
        lines: CODES,
    },
    Curve {
        name: "locations",
        title: "A fire while many locations are disabled, ten in each code",
        program: Program::Scale,
        sizes: TO_A_MILLION,
        x: "disabled locations",
        y: Y::Time,
        y_text: "ns",
        log: (true, false),
        lines: LOCATIONS,
    },
    Curve {
        name: "locations-instructions",
        title: "A fire while many locations are disabled, ten in each code",
        program: Program::Scale,
        sizes: COUNTED,
        x: "disabled locations",
        y: Y::Instructions,
        y_text: "instructions",
        log: (true, false),
        lines: LOCATIONS,
    },
    Curve {
        name: "threads",
        title: "A fire that reaches one native tool, on many threads",
        program: Program::Scale,
        sizes: THREADS,
        x: "threads that fire",
        y: Y::Time,
        y_text: "ns of processor time per fire",
        log: (true, false),
        lines: &[line("threads", "each in a scope of its own")],
    },
    Curve {
        name: "threads-rate",
        title: "Fires that reach one native tool, of many threads together",
        program: Program::Scale,
        sizes: THREADS,
        x: "threads that fire",
        y: Y::Reported("fires_per_us"),
        y_text: "fires per microsecond",
        log: (true, false),
        lines: &[line("threads", "each in a scope of its own")],
    },
    Curve {
        name: "tools",
        title: "A fire that reaches several native tools",
        program: Program::Scale,
        sizes: TOOLS,
        x: "tools",
        y: Y::Time,
        y_text: "ns",
        log: (false, false),
        lines: OF_TOOLS,
    },
    Curve {
        name: "tools-instructions",
        title: "A fire that reaches several native tools",
        program: Program::Scale,
        sizes: TOOLS,
        x: "tools",
        y: Y::Instructions,
        y_text: "instructions",
        log: (false, false),
        lines: OF_TOOLS,
    },
    Curve {
        name: "control",
        title: "How often a tool can change what it listens to while threads fire",
        program: Program::Scale,
        sizes: THREADS,
        x: "threads that fire",
        y: Y::Reported("per_second"),
        y_text: "changes per second",
        log: (true, true),
        lines: &[
            line("set_events", "rmon_set_events"),
            line("set_local_events", "rmon_set_local_events"),
        ],
    },
    Curve {
        name: "memory",
        title: "Memory in use",
        program: Program::Memory,
        sizes: TO_A_MILLION,
        x: "locations or codes",
        y: Y::Reported("bytes"),
        y_text: "bytes each",
        log: (true, true),
        lines: &[
            line("memory_locations", "a disabled location"),
            line("memory_codes", "a code of rmon's own"),
            line("memory_local_events", "a code with local events, beside the code"),
        ],
    },
];

impl Curve {
    /// The rows that it is made of, without their sizes.
    fn row_names(&self) -> impl Iterator<Item = &'static str> {
        self.lines.iter().flat_map(|line| [Some(line.row), line.less]).flatten()
    }

    /// How a row of it is measured at a size.
    fn kind(&self, row: &str, size: u32) -> Kind {
        match self.y {
            Y::Reported("bytes") => Kind::Counted(size),
            Y::Reported(_) => Kind::Timed(5),
            _ if row == "threads" => Kind::Timed(5),
            Y::Instructions => Kind::Loop,
            Y::Time if counted(row, size) => Kind::Loop,
            Y::Time => Kind::TimedLoop,
        }
    }

    /// The points of a line that were measured.
    fn points(&self, line: &Line, counts: &Counts, samples: &Samples) -> Vec<(f64, f64)> {
        let one = |row: &str, size: u32| {
            let row = format!("{row}:{size}");
            match self.y {
                Y::Time => Some(samples.time(&row)?.median()),
                Y::Instructions => Some(counts.get(row.as_str())?.instructions),
                Y::Reported(key) => Some(samples.get(&row, key)?.median()),
            }
        };
        let point = |size: &u32| {
            let less = line.less.map_or(Some(0.0), |row| one(row, *size))?;
            Some((f64::from(*size), one(line.row, *size)? - less))
        };
        self.sizes.iter().filter_map(point).collect()
    }

    fn plot(&self, counts: &Counts, samples: &Samples) -> Option<Plot> {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| (line.label, self.points(line, counts, samples)))
            .filter(|(_, points)| points.len() > 1)
            .collect();
        let (log_x, log_y) = self.log;
        let plot = Plot { title: self.title, x: self.x, y: self.y_text, log_x, log_y, lines };
        (!plot.lines.is_empty()).then_some(plot)
    }
}

/// Whether some curve shows the row's instructions at that size.
fn counted(row: &str, size: u32) -> bool {
    CURVES.iter().any(|curve| {
        let shows = curve.y == Y::Instructions && curve.sizes.contains(&size);
        shows && curve.row_names().any(|name| name == row)
    })
}

/// Whether the row is there for a curve.
pub fn has(row: &str) -> bool {
    let base = row.split(':').next().unwrap_or_default();
    row.contains(':') && CURVES.iter().any(|curve| curve.row_names().any(|name| name == base))
}

/// The rows of all curves. A row that is in several of them comes once.
pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for curve in CURVES {
        for &size in curve.sizes {
            for row in curve.row_names() {
                let name = format!("{row}:{size}");
                if rows.iter().any(|known| known.name == name) {
                    continue;
                }
                let title = rows::keep(format!("scale: {}: {row}, {size} {}", curve.name, curve.x));
                let kind = curve.kind(row, size);
                rows.push(rows::other(curve.program, kind, rows::keep(name), title, &[]));
            }
        }
    }
    rows
}

/// The curves as tables.
pub fn text(counts: &Counts, samples: &Samples) -> String {
    let plots = CURVES.iter().filter_map(|curve| curve.plot(counts, samples));
    plots.map(|plot| plot.text()).collect()
}

/// The curves for programs.
pub fn json(counts: &Counts, samples: &Samples) -> Value {
    let curve = |curve: &Curve| {
        let plot = curve.plot(counts, samples)?;
        let line =
            |(label, points): &(&str, Vec<(f64, f64)>)| json!({"label": label, "points": points});
        let lines: Vec<_> = plot.lines.iter().map(line).collect();
        let (name, title) = (curve.name, plot.title);
        Some(json!({"name": name, "title": title, "x": plot.x, "y": plot.y, "lines": lines}))
    };
    CURVES.iter().filter_map(curve).collect()
}

/// Writes the plots of what was measured into a folder; how many.
pub fn draw(dir: &Path, note: &str, counts: &Counts, samples: &Samples) -> Result<usize> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut drawn = 0;
    for curve in CURVES {
        if let Some(plot) = curve.plot(counts, samples) {
            let path = dir.join(curve.name).with_extension("svg");
            fs::write(&path, plot::svg(&plot, note))
                .with_context(|| format!("cannot write {}", path.display()))?;
            drawn += 1;
        }
    }
    Ok(drawn)
}
