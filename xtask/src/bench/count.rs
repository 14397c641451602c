//! Instructions per pass of a row's loop, exactly: valgrind's callgrind counts N passes and then 2N; what differs is N's.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use super::rows::{self, Kind, Row};
use crate::parallel;
use crate::sh::{Cmd, on_path};

/// The function of the harness that runs a loop and nothing else.
const MEASURED: &str = "bench_measured";

/// N. Every pass costs the same, so a few would do; this many average what is done once in 64 passes.
const PASSES: u32 = 1024;

/// How long one process may take under valgrind: a million codes and an interpreter's start take a while.
const LIMIT: Duration = Duration::from_secs(600);

/// What was counted of a row.
pub struct Count {
    /// Instructions per pass.
    pub instructions: f64,
    /// Where callgrind says where they go.
    pub file: PathBuf,
}

/// By the row's name.
pub type Counts = HashMap<&'static str, Count>;

/// Counts those of the rows that are loops, on all cores: nothing disturbs a count.
pub fn all(programs: &Programs, rows: &[&'static Row]) -> Result<Counts> {
    if !on_path("valgrind") {
        bail!("counting instructions needs valgrind; on Debian: apt-get install valgrind");
    }
    let loops: Vec<_> = rows.iter().copied().filter(|row| row.kind == Kind::Loop).collect();
    let counts = parallel::map(&rows::by_process(&loops), |rows| count(programs, rows));
    Ok(counts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Counts the rows of one process.
fn count(programs: &Programs, rows: &[&'static Row]) -> Result<Vec<(&'static str, Count)>> {
    let dir = programs.callgrind_files();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let out = dir.join(rows.first().context("no row")?.name);
    let cmd = Cmd::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(programs.words(rows, "count", PASSES)?);
    cmd.succeed(LIMIT)?;
    let of_row = |(i, row): (usize, &&'static Row)| {
        let file = dump(&out, 2 * i + 1);
        let (once, twice) = (total(&file)?, total(&dump(&out, 2 * i + 2))?);
        Ok((row.name, Count { instructions: (twice - once) / f64::from(PASSES), file }))
    };
    rows.iter().enumerate().map(of_row).collect()
}

/// The file that callgrind writes the `number`th time.
fn dump(out: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}.{number}", out.display()))
}

/// The sum that callgrind writes at the end of a file.
fn total(path: &Path) -> Result<f64> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let sum = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let sum = sum.with_context(|| format!("no totals in {}", path.display()))?;
    sum.trim().parse().with_context(|| format!("totals in {}: {sum}", path.display()))
}
