//! What the rows report: times in interleaved repeats, so that all rows see the same weather, and exact counts once.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;

use anyhow::{Context as _, Result};

use super::Effort;
use super::programs::Programs;
use super::rows::{self, Kind, LTTNG_RECORDING, Row};
use super::{criterion, lttng};
use crate::sh::{Cmd, say};

/// The key under which a loop reports its time.
const TIME: &str = "cpu_ns";

/// One value in each repeat.
pub struct Sample(Vec<f64>);

impl Sample {
    /// The middle one.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The smallest one.
    pub fn min(&self) -> f64 {
        self.0[0]
    }
}

/// The samples of all rows, by name and key.
pub struct Samples(HashMap<&'static str, BTreeMap<String, Sample>>);

impl Samples {
    /// What a row reported under a key.
    pub fn get(&self, row: &str, key: &str) -> Option<&Sample> {
        self.0.get(row)?.get(key)
    }

    /// A loop's times.
    pub fn time(&self, row: &str) -> Option<&Sample> {
        self.get(row, TIME)
    }

    /// All that a row reported.
    pub fn of(&self, row: &str) -> impl Iterator<Item = (&str, &Sample)> {
        self.0.get(row).into_iter().flatten().map(|(key, sample)| (key.as_str(), sample))
    }
}

/// What rows report, in all their runs.
#[derive(Default)]
struct Collected(HashMap<&'static str, BTreeMap<String, Vec<f64>>>);

impl Collected {
    fn add(&mut self, row: &'static str, key: &str, value: f64) {
        self.0.entry(row).or_default().entry(key.to_string()).or_default().push(value);
    }
}

/// Runs the rows: those that count once; the others in every repeat, if there is an effort to make.
pub fn all(programs: &Programs, rows: &[&'static Row], effort: Option<&Effort>) -> Result<Samples> {
    let mut collected = Collected::default();
    for row in rows {
        if let Kind::Counted(amount) = row.kind {
            report(programs, &[row], amount, &mut collected)?;
        }
    }
    if let Some(effort) = effort {
        if rows.iter().any(|row| row.kind == Kind::Criterion) {
            for (row, time) in criterion::measure(rows, effort)? {
                collected.add(row, TIME, time);
            }
        }
        print!("timing, {} repeats:", effort.repeats);
        let groups = rows::by_process(rows);
        for repeat in 0..effort.repeats {
            print!(" {}", repeat + 1);
            drop(std::io::stdout().flush());
            // Each repeat starts elsewhere: no row is always the first after a pause.
            let (tail, head) = groups.split_at(repeat * groups.len() / effort.repeats);
            for group in head.iter().chain(tail) {
                let factor = match group.first().map(|row| row.kind) {
                    Some(Kind::Loop | Kind::TimedLoop) => 1,
                    Some(Kind::Timed(factor)) => factor,
                    Some(Kind::Counted(_) | Kind::Criterion) | None => continue,
                };
                report(programs, group, factor * effort.milliseconds, &mut collected)?;
            }
        }
        say("");
    }
    let sorted_keys = |keys: BTreeMap<_, _>| keys.into_iter().map(sorted).collect();
    Ok(Samples(collected.0.into_iter().map(|(row, keys)| (row, sorted_keys(keys))).collect()))
}

fn sorted((key, mut values): (String, Vec<f64>)) -> (String, Sample) {
    values.sort_by(f64::total_cmp);
    (key, Sample(values))
}

/// Runs the rows of one process once and reads its lines, each "KEY VALUE", and "row ROW" if there are several.
fn report(
    programs: &Programs,
    rows: &[&'static Row],
    amount: u32,
    collected: &mut Collected,
) -> Result<()> {
    let words = programs.words(rows, "time", amount)?;
    let (program, rest) = words.split_first().context("no program")?;
    let recording = rows.iter().any(|row| row.name == LTTNG_RECORDING);
    let session = recording.then(lttng::Session::start).transpose()?;
    let text = Cmd::new(program).args(rest).read()?;
    drop(session);
    let mut rest = rows.iter();
    let mut row = if rows.len() == 1 { rows.first() } else { None };
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        if key == "row" {
            row = rest.next();
            continue;
        }
        let row = row.with_context(|| format!("said before any row: {line}"))?.name;
        let value = value.parse().with_context(|| format!("{row} says: {line}"))?;
        collected.add(row, key, value);
    }
    Ok(())
}
