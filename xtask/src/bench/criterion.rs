//! The rows in Rust: criterion times them, in benches/dispatch.rs, and leaves its estimates in files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Effort;
use super::rows::{Kind, Row};
use crate::sh::{self, say, target_dir};

/// Runs them; the median of each in nanoseconds. Repeats and their interleaving are criterion's own.
pub fn measure(rows: &[&'static Row], effort: &Effort) -> Result<Vec<(&'static str, f64)>> {
    let home = target_dir().join("bench/criterion");
    let seconds = f64::from(effort.milliseconds) / 10.0; // 2 s in earnest
    let rows: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Criterion).collect();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    let cmd = sh::cargo()
        .args(["bench", "--quiet", "--package", "rmon-bench", "--bench", "dispatch", "--"])
        .args(["--quiet", "--noplot", "--sample-size", "20", "--warm-up-time", "0.2"])
        .args(["--measurement-time", &seconds.to_string()])
        .arg(format!("^({})$", names.join("|")))
        .env("CRITERION_HOME", &home);
    say(format!("$ {}", cmd.line()));
    cmd.read()?;
    rows.iter().map(|row| Ok((row.name, median(&home.join(row.name))?))).collect()
}

fn median(dir: &Path) -> Result<f64> {
    let path: PathBuf = dir.join("new/estimates.json");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let estimates: Value = serde_json::from_str(&text)?;
    let median = estimates["median"]["point_estimate"].as_f64();
    median.with_context(|| format!("no median in {}", path.display()))
}
