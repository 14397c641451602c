//! `cargo xtask bench`: measures rmon against its targets, and what it is compared with in the same run.
//!
//! Two kinds of number, never mixed. Instructions and bytes are exact and the same in every run on one toolchain:
//! their ceilings decide the exit status. Times are noise on a shared machine: each is a median of interleaved repeats,
//! is judged only as a ratio to another row of the same run, and decides nothing.
//!
//! The rows themselves are in benches/: C, Rust (timed by criterion), Cython, and Python. [`rows`] says which there are and
//! what is expected of them; [`curves`] has those that are about size.

mod count;
mod criterion;
mod curves;
mod interpreters;
mod lttng;
mod machine;
mod plot;
mod programs;
mod report;
mod rows;
mod samples;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::sh::{on_path, root, say, target_dir};
use crate::steps::{Verdict, passed_with};
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
    /// Draw the curves anew, and keep the table, in docs/performance/
    #[arg(long, conflicts_with = "instructions_only")]
    plots: bool,
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
    let start = Instant::now();
    let rows = rows::select(args.filter.as_deref(), effort.is_none())?;
    let programs = Programs::build(&rows, args.prefix.as_deref(), args.quick)?;
    let rows: Vec<_> = rows.into_iter().filter(|row| programs.has(row)).collect();

    say("counting instructions ...");
    let counts = count::all(&programs, &rows)?;
    let samples = samples::all(&programs, &rows, effort.as_ref())?;
    let report = Report {
        machine: machine::describe(&programs, &rows)?,
        repeats: effort.as_ref().map_or(0, |effort| effort.repeats),
        library: programs.library_version.clone(),
        left_out: &programs.left_out,
        rows: &rows,
        verdicts: verdict::all(&rows, &counts, &samples),
        counts: &counts,
        samples: &samples,
        seconds: start.elapsed().as_secs(),
    };
    let table = report.text();
    say(&table);
    let path = args.json.unwrap_or_else(|| target_dir().join("bench/report.json"));
    std::fs::write(&path, report.json()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(format!("the same numbers: {}", path.display()));
    if args.plots {
        let dir = root().join("docs/performance");
        let note = format!("{}; {}", machine::processor(), programs.c_compiler);
        let drawn = curves::draw(&dir, &note, &counts, &samples)?;
        std::fs::write(dir.join("table.txt"), table.trim_start())
            .with_context(|| format!("cannot write into {}", dir.display()))?;
        say(format!("plots drawn: {drawn}, and the table, in {}", dir.display()));
    }
    Ok(if report.ceilings_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For the tests: the ceilings, which every run repeats.
pub fn ceilings() -> Result<Verdict> {
    if !on_path("valgrind") {
        return Ok(Verdict::Skipped("valgrind not found".to_string()));
    }
    let rows = rows::select(None, true)?;
    let programs = Programs::build(&rows, None, true)?;
    let counts = count::all(&programs, &rows)?;
    let samples = samples::all(&programs, &rows, None)?;
    let verdicts = verdict::all(&rows, &counts, &samples);
    let broken: Vec<_> = verdicts.iter().filter(|verdict| verdict.breaks_ceiling()).collect();
    if !broken.is_empty() {
        let texts: Vec<_> = broken.iter().map(|verdict| report::broken_text(verdict)).collect();
        bail!("{}", texts.join("\n"));
    }
    let judged = verdicts.iter().filter(|verdict| verdict.is_exact() && verdict.measured.is_some());
    passed_with(format!("{} ceilings hold", judged.count()))
}
