//! Counts the steps of a test run: names each one, times it, keeps its output back until it fails.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::sh;

/// How a step ended that did not fail.
pub enum Verdict {
    /// It found nothing wrong; the text, if any, says how much it looked at.
    Passed(String),
    /// It could not be done here, for the reason given.
    Skipped(String),
}

/// It found nothing wrong.
pub fn passed() -> Result<Verdict> {
    Ok(Verdict::Passed(String::new()))
}

/// It found nothing wrong, with a word on what it looked at.
pub fn passed_with(note: impl Into<String>) -> Result<Verdict> {
    Ok(Verdict::Passed(note.into()))
}

/// A run of steps.
pub struct Steps {
    verbose: bool,
    /// Whether what takes long is to be done everywhere.
    pub thorough: bool,
    passed: u32,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Steps {
    /// No step yet. `verbose`: output goes to the terminal at once.
    pub fn new(verbose: bool) -> Steps {
        Steps { verbose, thorough: false, passed: 0, skipped: Vec::new(), failed: Vec::new() }
    }

    /// Runs one step; true unless it failed.
    pub fn run(&mut self, name: &str, body: impl FnOnce() -> Result<Verdict>) -> bool {
        let number = self.passed as usize + self.skipped.len() + self.failed.len() + 1;
        print!("[{number:2}] {name} ...{}", if self.verbose { "\n" } else { " " });
        drop(std::io::stdout().flush());
        let start = Instant::now();
        let log = sh::target_dir().join("xtask/logs").join(format!("{number:02}.log"));
        let result = if self.verbose { body() } else { sh::logged(&log, body) };
        let head = if self.verbose { format!("[{number:2}] {name}: ") } else { String::new() };
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(Verdict::Passed(ref note)) if note.is_empty() => {
                println!("{head}ok ({seconds:.1} s)")
            }
            Ok(Verdict::Passed(ref note)) => println!("{head}ok, {note} ({seconds:.1} s)"),
            Ok(Verdict::Skipped(ref why)) => println!("{head}skipped: {why}"),
            Err(ref error) => {
                println!("{head}FAILED ({seconds:.1} s)");
                if !self.verbose {
                    print_log(&log);
                }
                println!("     {}", format!("{error:#}").replace('\n', "\n     "));
            }
        }
        match result {
            Ok(Verdict::Passed(_)) => self.passed += 1,
            Ok(Verdict::Skipped(why)) => self.skipped.push(format!("{name}: {why}")),
            Err(_) => {
                self.failed.push(name.to_string());
                return false;
            }
        }
        true
    }

    /// Notes a step that cannot be done here.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.run(name, || Ok(Verdict::Skipped(why.to_string())));
    }

    /// Says again what was skipped and what failed, and last of all the counts; an error if a step
    /// failed.
    pub fn finish(self) -> ExitCode {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failed in &self.failed {
            println!("FAILED: {failed}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Shows a failed step's output, indented.
fn print_log(log: &std::path::Path) {
    let text = std::fs::read(log).unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines() {
        println!("     | {line}");
    }
}
