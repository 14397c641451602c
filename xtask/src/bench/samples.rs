//! What the rows report: times in interleaved repeats, so that all rows see the same weather, and exact counts once.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;

use anyhow::{Context as _, Result};

use super::Effort;
use super::programs::Programs;
use super::rows::{Kind, Row};
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

    /// A loop's median time.
    pub fn time(&self, row: &str) -> Option<f64> {
        Some(self.get(row, TIME)?.median())
    }

    /// All that a row reported.
    pub fn of(&self, row: &str) -> impl Iterator<Item = (&str, &Sample)> {
        self.0.get(row).into_iter().flatten().map(|(key, sample)| (key.as_str(), sample))
    }
}

/// Runs the rows: those that count once; the others in every repeat, if there is an effort to make.
pub fn all(programs: &Programs, rows: &[&'static Row], effort: Option<&Effort>) -> Result<Samples> {
    let mut values: HashMap<&'static str, BTreeMap<String, Vec<f64>>> = HashMap::new();
    let mut run = |row: &'static Row, amount: u32| -> Result<()> {
        let collected = values.entry(row.name).or_default();
        for (key, value) in report(programs, row, amount)? {
            collected.entry(key).or_default().push(value);
        }
        Ok(())
    };
    for row in rows {
        if let Kind::Counted(amount) = row.kind {
            run(row, amount)?;
        }
    }
    if let Some(effort) = effort {
        print!("timing, {} repeats:", effort.repeats);
        for repeat in 0..effort.repeats {
            print!(" {}", repeat + 1);
            drop(std::io::stdout().flush());
            // Each repeat starts elsewhere: no row is always the first after a pause.
            let (tail, head) = rows.split_at(repeat * rows.len() / effort.repeats);
            for row in head.iter().chain(tail) {
                match row.kind {
                    Kind::Loop => run(row, effort.milliseconds)?,
                    Kind::Timed(factor) => run(row, factor * effort.milliseconds)?,
                    Kind::Counted(_) => {}
                }
            }
        }
        say("");
    }
    Ok(Samples(
        values
            .into_iter()
            .map(|(row, keys)| (row, keys.into_iter().map(sorted).collect()))
            .collect(),
    ))
}

fn sorted((key, mut values): (String, Vec<f64>)) -> (String, Sample) {
    values.sort_by(f64::total_cmp);
    (key, Sample(values))
}

/// Runs one row once and reads its lines, each "KEY VALUE".
fn report(programs: &Programs, row: &Row, amount: u32) -> Result<Vec<(String, f64)>> {
    let words = programs.words(row, "time", amount)?;
    let (program, rest) = words.split_first().context("no program")?;
    let text = Cmd::new(program).args(rest).read()?;
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_string(), value.parse().ok()?))
    };
    text.lines()
        .map(|line| pair(line).with_context(|| format!("{} says: {line}", row.name)))
        .collect()
}
