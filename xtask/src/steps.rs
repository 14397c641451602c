//! Counts the steps of a test run: names each one, times it, keeps its output back until it fails, and says at the
//! end how those that failed ended: of a long log, often no more than the end is kept.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{parallel, sh};

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
    /// Where the output of each is kept.
    logs: PathBuf,
    /// Whether what takes long is to be done everywhere.
    pub thorough: bool,
    passed: u32,
    skipped: Vec<String>,
    failed: Vec<Failure>,
}

/// A step that failed, and the last lines of what it said.
struct Failure {
    name: String,
    last_lines: Vec<String>,
}

/// How much of a failed step is said again.
const LAST_LINES: usize = 15;

impl Steps {
    /// No step yet. `verbose`: output goes to the terminal at once.
    pub fn new(verbose: bool) -> Steps {
        let logs = sh::target_dir().join("xtask/logs");
        let (skipped, failed) = (Vec::new(), Vec::new());
        Steps { verbose, logs, thorough: false, passed: 0, skipped, failed }
    }

    /// Runs one step; true unless it failed.
    pub fn run(&mut self, name: &str, body: impl FnOnce() -> Result<Verdict>) -> bool {
        let number = self.next_number();
        print!("[{number:2}] {name} ...{}", if self.verbose { "\n" } else { " " });
        drop(std::io::stdout().flush());
        let start = Instant::now();
        let log = self.log(number);
        let result = if self.verbose { body() } else { sh::logged(&log, body) };
        if self.verbose {
            print!("[{number:2}] {name}: ");
        }
        self.ended(name, &log, result, start.elapsed())
    }

    /// Runs a step for each item, as many at once as there are cores: those that need one core each,
    /// and nothing of each other. True for those that did not fail.
    pub fn run_each<T: Sync>(
        &mut self,
        items: &[T],
        name: impl Fn(&T) -> String,
        body: impl Fn(&T) -> Result<Verdict> + Sync,
    ) -> Vec<bool> {
        if self.verbose {
            return items.iter().map(|item| self.run(&name(item), || body(item))).collect();
        }
        let numbered: Vec<_> = (self.next_number()..).zip(items).collect();
        let results = parallel::map(&numbered, |(number, item)| {
            let start = Instant::now();
            (sh::logged(&self.log(*number), || body(item)), start.elapsed())
        });
        let results = numbered.into_iter().zip(results);
        results
            .map(|((number, item), (result, time))| {
                let (name, log) = (name(item), self.log(number));
                print!("[{number:2}] {name} ... ");
                self.ended(&name, &log, result, time)
            })
            .collect()
    }

    fn log(&self, number: usize) -> PathBuf {
        self.logs.join(format!("{number:02}.log"))
    }

    fn next_number(&self) -> usize {
        self.passed as usize + self.skipped.len() + self.failed.len() + 1
    }

    /// Counts a step and says how it ended; true unless it failed.
    fn ended(&mut self, name: &str, log: &Path, result: Result<Verdict>, time: Duration) -> bool {
        let seconds = time.as_secs_f64();
        match result {
            Ok(Verdict::Passed(note)) => {
                let note = if note.is_empty() { note } else { format!(", {note}") };
                println!("ok{note} ({seconds:.1} s)");
                self.passed += 1;
            }
            Ok(Verdict::Skipped(why)) => {
                println!("skipped: {why}");
                self.skipped.push(format!("{name}: {why}"));
            }
            Err(error) => {
                println!("FAILED ({seconds:.1} s)");
                // What is not in a log has been shown.
                let said = if self.verbose { String::new() } else { read(log) };
                for line in said.lines() {
                    println!("     | {line}");
                }
                let error = format!("{error:#}");
                println!("     {}", error.replace('\n', "\n     "));
                let lines = said.lines().chain(error.lines());
                let lines: Vec<_> = lines.filter(|line| !line.trim().is_empty()).collect();
                let last_lines = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
                let last_lines = last_lines.map(|line| line.to_string()).collect();
                self.failed.push(Failure { name: name.to_string(), last_lines });
                return false;
            }
        }
        true
    }

    /// Notes a step that cannot be done here.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.run(name, || Ok(Verdict::Skipped(why.to_string())));
    }

    /// Says again what was skipped, what failed and how, and last of all the counts; an error if a step
    /// failed.
    pub fn finish(self) -> ExitCode {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for Failure { name, last_lines } in &self.failed {
            println!("FAILED: {name}");
            for line in last_lines {
                println!("    | {line}");
            }
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

/// A log's text; none if there is no log.
fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_at_once_are_counted_in_order_and_each_says_how_it_ended() {
        let logs = sh::target_dir().join(format!("xtask/logs-test-{}", std::process::id()));
        let mut steps = Steps { logs: logs.clone(), ..Steps::new(false) };
        let name = |number: &u32| format!("the step {number} of a test of steps");
        let ended = steps.run_each(&[1, 2, 3], name, |&number| {
            for line in 0..30 {
                sh::say(format!("line {line} of {number}"));
            }
            match number {
                1 => passed_with("well"),
                2 => Err(anyhow::anyhow!("two\nlines")),
                _ => Ok(Verdict::Skipped("no need".to_string())),
            }
        });
        assert_eq!(ended, [true, false, true]);
        assert_eq!((steps.passed, steps.skipped.len(), steps.next_number()), (1, 1, 4));
        std::fs::remove_dir_all(&logs).expect("the logs' folder");
        let [failed] = steps.failed.as_slice() else { panic!("one fails") };
        assert_eq!(failed.name, name(&2));
        assert_eq!(failed.last_lines.len(), LAST_LINES);
        let last = failed.last_lines.iter().rev().take(3).map(String::as_str).collect::<Vec<_>>();
        assert_eq!(last, ["lines", "two", "line 29 of 2"]);
    }
}
