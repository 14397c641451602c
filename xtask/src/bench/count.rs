//! Instructions per pass of a row's loop, exactly: valgrind's callgrind counts N passes and then 2N; what differs is N's.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use super::rows::{Kind, Row};
use crate::sh::{Cmd, on_path};

/// The function of the harness that runs a loop and nothing else.
const MEASURED: &str = "bench_measured";

/// N. Every pass costs the same, so a few would do; this many average what is done once in 64 passes.
const PASSES: u32 = 1024;

/// How long one row may take under valgrind; an interpreter takes some seconds to start.
const LIMIT: Duration = Duration::from_secs(120);

/// Instructions per pass, by the row's name.
pub type Counts = HashMap<&'static str, f64>;

/// Counts those of the rows that are loops.
pub fn all(programs: &Programs, rows: &[&'static Row]) -> Result<Counts> {
    if !on_path("valgrind") {
        bail!("counting instructions needs valgrind; on Debian: apt-get install valgrind");
    }
    let loops = rows.iter().filter(|row| row.kind == Kind::Loop);
    loops.map(|row| Ok((row.name, count(programs, row)?))).collect()
}

fn count(programs: &Programs, row: &Row) -> Result<f64> {
    let dir = programs.callgrind_files();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let out = dir.join(row.name);
    let cmd = Cmd::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(programs.words(row, "count", PASSES)?);
    let line = cmd.line();
    let outcome = cmd.outcome(LIMIT)?;
    if !outcome.success() {
        bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
    }
    let once = total(&dump(&out, 1))?;
    let twice = total(&dump(&out, 2))?;
    Ok((twice - once) / f64::from(PASSES))
}

/// The file that callgrind writes the `number`th time.
fn dump(out: &Path, number: u32) -> PathBuf {
    out.with_extension(number.to_string())
}

/// The sum that callgrind writes at the end of a file.
fn total(path: &Path) -> Result<f64> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let sum = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let sum = sum.with_context(|| format!("no totals in {}", path.display()))?;
    sum.trim().parse().with_context(|| format!("totals in {}: {sum}", path.display()))
}
