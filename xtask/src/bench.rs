//! `cargo xtask bench`: measures rmon against its targets, and what it is compared with in the same run.
//!
//! Two kinds of number, never mixed. Instructions and bytes are exact and the same in every run on one toolchain:
//! their ceilings decide the exit status. Times are noise on a shared machine: each is a median of interleaved repeats,
//! is judged only as a ratio to another row of the same run, and decides nothing.
//!
//! The rows themselves are C, in benches/c; [`rows`] says which there are and what is expected of them.

mod count;
mod machine;
mod programs;
mod report;
mod rows;
mod samples;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::sh::{say, target_dir};
use programs::Programs;
use report::Report;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Only the rows whose name or description contains this, and those that they are compared with
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only what is exact: instructions and bytes. The exit status says whether every ceiling holds
    #[arg(long)]
    instructions_only: bool,
    /// Fewer and shorter repeats: minutes become seconds, and times become rough
    #[arg(long)]
    quick: bool,
    /// Measure the librmon that is installed there (include/rmon.h, lib/librmon.so) instead of building one
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Where the numbers go, besides the text [default: bench/report.json under the target folder]
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// How often and for how long rows are timed.
struct Effort {
    repeats: usize,
    milliseconds: u32,
}

impl Args {
    fn effort(&self) -> Option<Effort> {
        match (self.instructions_only, self.quick) {
            (true, _) => None,
            (false, true) => Some(Effort { repeats: 3, milliseconds: 5 }),
            (false, false) => Some(Effort { repeats: 9, milliseconds: 20 }),
        }
    }
}

/// Runs the measurements.
pub fn run(args: Args) -> Result<ExitCode> {
    let effort = args.effort();
    let rows = rows::select(args.filter.as_deref(), effort.is_none())?;
    let programs = Programs::build(args.prefix.as_deref(), effort.is_some())?;
    let rows: Vec<_> = rows.into_iter().filter(|row| programs.has(row.program)).collect();

    say("counting instructions ...");
    let counts = count::all(&programs, &rows)?;
    let samples = samples::all(&programs, &rows, effort.as_ref())?;
    let report = Report {
        machine: machine::describe(&programs)?,
        repeats: effort.map_or(0, |effort| effort.repeats),
        library: programs.library_version.clone(),
        rows: &rows,
        verdicts: verdict::all(&rows, &counts, &samples),
        counts: &counts,
        samples: &samples,
        callgrind_files: programs.callgrind_files(),
    };
    print!("{}", report.text());
    let path = args.json.unwrap_or_else(|| target_dir().join("bench/report.json"));
    std::fs::write(&path, report.json()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(format!("the same numbers: {}", path.display()));
    Ok(if report.ceilings_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
