//! Writes what was measured: a table for people, JSON for programs.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::count::Counts;
use super::curves;
use super::rows::{self, CALL, EMPTY, Kind, Limit, Row};
use super::samples::{Sample, Samples};
use super::verdict::{Outcome, Verdict};

/// The conventions, so that nobody has to guess them.
const LEGEND: &str = "\
ns: processor time of one pass, median of the repeats (for information). x loop, x call: that time as a multiple of the
empty loop's and of one bare indirect call's. instr: instructions of one pass by callgrind, with the loop's own and with
the callbacks'. beyond: the same less the empty loop's. Targets say which of them they mean. A ratio of times is that of
the medians; in brackets that of the least times, which a busy machine disturbs least.";

/// A whole run.
pub struct Report<'a> {
    /// See [`super::machine`].
    pub machine: Map<String, Value>,
    /// How many times each row was timed; 0 if none was.
    pub repeats: usize,
    /// librmon's version.
    pub library: String,
    /// What was measured, in this order.
    pub rows: &'a [&'static Row],
    /// How the targets came out.
    pub verdicts: Vec<Verdict>,
    /// Instructions.
    pub counts: &'a Counts,
    /// Times, and what rows report by themselves.
    pub samples: &'a Samples,
    /// What this machine lacks.
    pub left_out: &'a [String],
    /// How long it took until here.
    pub seconds: u64,
}

impl Report<'_> {
    /// True if no exact target is missed.
    pub fn ceilings_hold(&self) -> bool {
        !self.verdicts.iter().any(Verdict::breaks_ceiling)
    }

    /// The table.
    pub fn text(&self) -> String {
        let mut out = format!("\nlibrmon {}, release, shared\n", self.library);
        for (name, value) in &self.machine {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            put(&mut out, &format!("  {name}: {value}"));
        }
        put(&mut out, &format!("times: {}; decide nothing\n{LEGEND}\n", self.repeats_text()));
        put(
            &mut out,
            &format!(
                "{:64}{:>9}{:>9}{:>9}{:>9}{:>9}",
                "row", "ns", "x loop", "x call", "instr", "beyond"
            ),
        );
        for row in self.rows.iter().filter(|row| !curves::has(row.name)) {
            put(&mut out, &self.row_text(row));
            let judged = |verdict: &&Verdict| {
                verdict.row == row.name && verdict.outcome != Outcome::Unmeasured
            };
            for verdict in self.verdicts.iter().filter(judged) {
                let outcome = match verdict.outcome {
                    Outcome::Told => String::new(),
                    _ => format!(", {}", outcome_text(verdict)),
                };
                put(&mut out, &format!("    {}{outcome}", measured_text(verdict)));
            }
        }
        out += &curves::text(self.counts, self.samples);
        put(&mut out, "");
        for what in self.left_out {
            put(&mut out, &format!("left out: {what}"));
        }
        put(&mut out, &self.summary());
        out
    }

    fn repeats_text(&self) -> String {
        match self.repeats {
            0 => "not taken".to_string(),
            n => format!("medians of {n} interleaved repeats"),
        }
    }

    fn row_text(&self, row: &Row) -> String {
        if matches!(row.kind, Kind::Timed(_) | Kind::Counted(_)) {
            let said = self
                .samples
                .of(row.name)
                .map(|(key, sample)| format!("{key} {}", short(sample.median())));
            return format!("{:64}{}", row.title, said.collect::<Vec<_>>().join(", "));
        }
        let time = |row: &str| Some(self.samples.time(row)?.median());
        let ratio = |other: &str| Some(time(row.name)? / time(other)?);
        let count = self.counts.get(row.name).map(|count| count.instructions);
        let beyond = count.and_then(|count| Some(count - self.counts.get(EMPTY)?.instructions));
        let cell = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_string(), |v| format!("{v:.digits$}"))
        };
        format!(
            "{:64}{:>9}{:>9}{:>9}{:>9}{:>9}",
            row.title,
            cell(time(row.name), 2),
            cell(ratio(EMPTY), 1),
            cell(ratio(CALL), 2),
            count.map_or_else(|| "-".to_string(), short),
            beyond.map_or_else(|| "-".to_string(), short),
        )
    }

    /// How many targets came out how, and which were missed.
    fn summary(&self) -> String {
        let count = |wanted: fn(Outcome) -> bool| {
            self.verdicts.iter().filter(|verdict| wanted(verdict.outcome)).count()
        };
        let mut out = format!(
            "targets: {} met ({} with their stretch), {} MISSED, {} not measured; {} s",
            count(|outcome| matches!(outcome, Outcome::Met { .. })),
            count(|outcome| outcome == Outcome::Met { stretch: Some(true) }),
            count(|outcome| matches!(outcome, Outcome::Missed | Outcome::Void)),
            count(|outcome| outcome == Outcome::Unmeasured),
            self.seconds,
        );
        let missed =
            |verdict: &&Verdict| matches!(verdict.outcome, Outcome::Missed | Outcome::Void);
        for verdict in self.verdicts.iter().filter(missed) {
            let weight = if verdict.breaks_ceiling() {
                "ceiling broken"
            } else if verdict.least_reaches() {
                "missed, but met by the least times"
            } else {
                "missed, decides nothing"
            };
            out += &format!("\n  {weight}: {}: {}", title(verdict.row), measured_text(verdict));
            let about_instructions = matches!(
                verdict.target.limit,
                Limit::Instructions | Limit::BeyondInstructions { .. }
            );
            if let Some(count) = self.counts.get(verdict.row).filter(|_| about_instructions) {
                let file = count.file.display();
                out += &format!("\n    where they go: callgrind_annotate {file}");
            }
        }
        out + "\n"
    }

    /// The same for programs.
    pub fn json(&self) -> Result<String> {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        let whole = json!({
            "librmon": self.library,
            "machine": self.machine,
            "repeats": self.repeats,
            "left_out": self.left_out,
            "seconds": self.seconds,
            "ceilings_hold": self.ceilings_hold(),
            "rows": rows,
            "curves": curves::json(self.counts, self.samples),
        });
        Ok(serde_json::to_string_pretty(&whole)? + "\n")
    }

    fn row_json(&self, row: &Row) -> Value {
        let sample = |(key, sample): (&str, &Sample)| {
            (key.to_string(), json!({"median": sample.median(), "min": sample.min()}))
        };
        let verdicts = self.verdicts.iter().filter(|verdict| verdict.row == row.name);
        json!({
            "name": row.name,
            "title": row.title,
            "instructions": self.counts.get(row.name).map(|count| count.instructions),
            "values": self.samples.of(row.name).map(sample).collect::<Map<_, _>>(),
            "targets": verdicts.map(verdict_json).collect::<Vec<_>>(),
        })
    }
}

fn put(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn title(row: &'static str) -> &'static str {
    rows::find(row).map_or(row, |row| row.title)
}

/// A number without digits that say nothing.
fn short(value: f64) -> String {
    let text = if value < 10.0 { format!("{value:.3}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A limit in words, for a number; or what is only told.
fn limit_text(limit: Limit, number: Option<f64>) -> String {
    let Some(number) = number.map(short) else {
        return match limit {
            Limit::TimeRatio(row) => {
                format!("its time as a multiple of that of \"{}\"", title(row))
            }
            Limit::Faster(row) => format!("times faster than \"{}\"", title(row)),
            _ => "to know".to_string(),
        };
    };
    match limit {
        Limit::Instructions => format!("at most {number} instructions a pass"),
        Limit::BeyondInstructions { row: EMPTY, .. } => {
            format!("at most {number} instructions beyond the loop")
        }
        Limit::BeyondInstructions { row, .. } => {
            format!("at most {number} instructions beyond \"{}\"", title(row))
        }
        Limit::TimeRatio(row) => format!("at most {number} x the time of \"{}\"", title(row)),
        Limit::Overhead { other, plain } => {
            format!("beyond \"{}\" at most {number} x what \"{}\" is", title(plain), title(other))
        }
        Limit::Faster(row) => format!("at least {number} x faster than \"{}\"", title(row)),
        Limit::Value { unit, at_least, .. } => {
            format!("at {} {number} {unit}", if at_least { "least" } else { "most" })
        }
    }
}

fn outcome_text(verdict: &Verdict) -> String {
    let wish = verdict.target.stretch.map(short).unwrap_or_default();
    match verdict.outcome {
        Outcome::Met { stretch: None } => "met".to_string(),
        Outcome::Met { stretch: Some(true) } => format!("met, and the stretch of {wish}"),
        Outcome::Met { stretch: Some(false) } => format!("met, not the stretch of {wish}"),
        Outcome::Told => "no target".to_string(),
        Outcome::Missed if verdict.least_reaches() => "MISSED, met by the least times".to_string(),
        Outcome::Missed => "MISSED".to_string(),
        Outcome::Void => "VOID: what was to be measured has left the loop".to_string(),
        Outcome::Unmeasured => "not measured".to_string(),
    }
}

fn measured_text(verdict: &Verdict) -> String {
    let limit = limit_text(verdict.target.limit, verdict.target.must);
    let of_least = verdict.of_least.map(|ratio| format!(" ({})", short(ratio)));
    let measured = verdict.measured.map_or_else(|| "-".to_string(), short);
    format!("{limit}: {measured}{}", of_least.unwrap_or_default())
}

/// What is said of a ceiling that is broken.
pub fn broken_text(verdict: &Verdict) -> String {
    format!("{}: {}", title(verdict.row), measured_text(verdict))
}

fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "target": limit_text(verdict.target.limit, verdict.target.must),
        "must": verdict.target.must,
        "stretch": verdict.target.stretch,
        "measured": verdict.measured,
        "of_least_times": verdict.of_least,
        "exact": verdict.is_exact(),
        "outcome": outcome_text(verdict),
    })
}
