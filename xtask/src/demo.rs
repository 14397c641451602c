//! `cargo xtask demo`: rmon's main job on real code, to be looked at.
//!
//! A package of Cython modules from PyPI is built from its sources, unchanged, with line tracing
//! into librmon; its own tests are run without a tool and with a native one (examples/event-counter),
//! and what the tool counted is shown.

mod report;

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::report::Report;
use crate::compilers;
use crate::library;
use crate::pythons::{self, Python};
use crate::sh::{Cmd, root, say, target_dir, which};

/// The package, pinned: what is shown should change with rmon only.
const PACKAGE: &str = "cytoolz";
const VERSION: &str = "1.2.0";

/// What building and testing it needs from PyPI.
const REQUIREMENTS: [&str; 4] = ["setuptools>=77", "cython==3.3.1", "toolz==1.2.0", "pytest"];

/// How long one run of the tests may take.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// How many functions and lines are shown.
const SHOWN: usize = 10;

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// The CPython to use (default: the newest that is found)
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Build the package again even if nothing has changed
    #[arg(long)]
    rebuild: bool,
}

/// Runs the demonstration.
pub fn run(args: Args) -> Result<()> {
    let python = choose(args.python.as_deref())?;
    step(&format!("CPython {} at {}", python.name, python.exe.display()));
    let venv = pythons::venv(&python, "demo")?;
    pythons::pip_install_once(&venv, &REQUIREMENTS)?;

    step("librmon, and the tool: examples/event-counter, which is C and knows nothing of Python");
    let lib_dir = library::build()?.stage()?;
    let tool = build_tool(&lib_dir)?;

    step(&format!("{PACKAGE} {VERSION}, from its sources, with line tracing into librmon"));
    let source = build_package(&python, &venv, &lib_dir, args.rebuild)?;

    step("its tests, without a tool");
    let alone = run_tests(&venv, &source, None)?;
    say(&alone.summary);

    step("its tests, with the tool");
    let path = demo_dir().join("report.tsv");
    let watched = run_tests(&venv, &source, Some((&tool, &path)))?;
    say(&watched.summary);

    let text =
        fs::read_to_string(&path).with_context(|| format!("{}: no report", path.display()))?;
    let report = Report::parse(&text)?;
    if report.total() == 0 {
        bail!("no event came");
    }
    if alone.passed != watched.passed {
        bail!("{} tests passed without the tool and {} with it", alone.passed, watched.passed);
    }
    step("what the tool saw");
    show(&report, &source);
    say(format!(
        "\nIt took {:.2} s without the tool and {:.2} s with it. The whole report: {}",
        alone.seconds,
        watched.seconds,
        path.display()
    ));
    Ok(())
}

/// Everything of the demonstration but the environments goes below this folder.
fn demo_dir() -> PathBuf {
    target_dir().join("demo")
}

/// One of the Python scripts beside this file.
fn script(name: &str) -> PathBuf {
    root().join("xtask/src/demo").join(name)
}

fn step(what: &str) {
    say(format!("\n== {what}"));
}

/// The interpreter that the user names, or the newest.
fn choose(named: Option<&Path>) -> Result<Python> {
    let Some(named) = named else {
        return pythons::find_all().into_iter().next().context("no CPython 3.9 or newer found");
    };
    let on_path = || named.to_str().filter(|name| !name.contains('/')).and_then(which);
    let exe = if named.is_file() { std::path::absolute(named).ok() } else { on_path() };
    let python = exe.and_then(|exe| pythons::inspect(&exe));
    python.with_context(|| format!("{} is no CPython 3.9 or newer with headers", named.display()))
}

/// Compiles the tool as its README says; its path.
fn build_tool(lib_dir: &Path) -> Result<PathBuf> {
    let (toolchains, _) = compilers::find();
    let toolchain = toolchains.first().context("no C compiler found")?;
    let tool = demo_dir().join("event_counter.so");
    fs::create_dir_all(demo_dir())?;
    toolchain
        .cmd("c11")
        .context("no C compiler found")?
        .args(["-O2", "-fPIC", "-shared", "-pthread", "examples/event-counter/event_counter.c"])
        .args(compilers::include_flags())
        .arg("-o")
        .arg(&tool)
        .args(link_flags(lib_dir))
        .run()?;
    Ok(tool)
}

/// Whoever is linked with these finds the same librmon, so that all have one set of tools.
fn link_flags(lib_dir: &Path) -> [String; 3] {
    let dir = lib_dir.display();
    [format!("-L{dir}"), "-lrmon".to_string(), format!("-Wl,-rpath,{dir}")]
}

/// Builds the package's modules in a folder of their own, unless that has been done for this
/// interpreter and these headers; the folder.
fn build_package(python: &Python, venv: &Path, lib_dir: &Path, again: bool) -> Result<PathBuf> {
    let archive = download()?;
    let dir = demo_dir().join(format!("{PACKAGE}-{VERSION}-cpython-{}", python.name));
    let stamp = dir.join("built-from");
    let made_from = fingerprint(python, lib_dir)?;
    if !again && fs::read_to_string(&stamp).is_ok_and(|text| text == made_from) {
        say(format!("built already: {}", dir.display()));
        return Ok(dir);
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir)?;
    Cmd::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .args(["--strip-components=1", "-C"])
        .arg(&dir)
        .run()?;
    Cmd::new(venv.join("bin/python"))
        .cwd(&dir)
        .env("CFLAGS", "-include rmon_python.h")
        .arg(script("build_traced.py"))
        .args(["--quiet", "build_ext", "--inplace", "--libraries=rmon"])
        .arg(format!("--include-dirs={}", compilers::include_dir().display()))
        .arg(format!("--library-dirs={}", lib_dir.display()))
        .arg(format!("--rpath={}", lib_dir.display()))
        .run()
        .with_context(|| format!("cannot build {PACKAGE}"))?;
    fs::write(&stamp, made_from)?;
    Ok(dir)
}

/// The package's source archive, from PyPI the first time.
fn download() -> Result<PathBuf> {
    let dir = demo_dir().join("sdist");
    let archive = dir.join(format!("{PACKAGE}-{VERSION}.tar.gz"));
    if !archive.is_file() {
        // Any interpreter's pip will do; not each has one.
        let lender = pythons::find_all().into_iter().find(|python| python.has_ensurepip);
        let lender = lender.context("no CPython on this machine has a pip")?;
        Cmd::new(pythons::venv(&lender, "pip")?.join("bin/python"))
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--no-binary", PACKAGE, "--dest"])
            .arg(&dir)
            .arg(format!("{PACKAGE}=={VERSION}"))
            .run()?;
    }
    Ok(archive)
}

/// What the modules are made from, besides the package: they are built again when it changes.
fn fingerprint(python: &Python, lib_dir: &Path) -> Result<String> {
    let mut hash = DefaultHasher::new();
    let include = compilers::include_dir();
    for path in [include.join("rmon.h"), include.join("rmon_python.h"), script("build_traced.py")] {
        hash.write(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(format!("{:?} {REQUIREMENTS:?} {} {:x}\n", python.version, lib_dir.display(), hash.finish()))
}

/// A run of the package's tests that went well.
struct Run {
    passed: u64,
    /// pytest's last line.
    summary: String,
    seconds: f64,
}

/// Runs the package's tests in one process, with the tool (and where its report goes) or without.
fn run_tests(venv: &Path, source: &Path, tool: Option<(&Path, &Path)>) -> Result<Run> {
    let mut cmd = Cmd::new(venv.join("bin/python")).cwd(source).arg(script("pytest_with.py"));
    if let Some((library, report)) = tool {
        // The tool attaches when it is loaded and reports when the process ends.
        cmd = cmd.env("EVENT_COUNTER_REPORT", report).arg(library);
        if report.exists() {
            fs::remove_file(report)?;
        }
    }
    let cmd = cmd.args(["--", "-q", "-p", "no:cacheprovider", PACKAGE]).env_remove("PYTHONPATH");
    say(format!("$ {}", cmd.line()));
    let start = Instant::now();
    let outcome = cmd.outcome(TIME_LIMIT)?;
    let seconds = start.elapsed().as_secs_f64();
    let summary = outcome.text.lines().rev().find(|line| line.contains(" passed"));
    let passed = summary.and_then(passed_in);
    match (outcome.success(), summary, passed) {
        (true, Some(summary), Some(passed)) => {
            Ok(Run { passed, summary: summary.to_string(), seconds })
        }
        _ => {
            say(&outcome.text);
            bail!("{PACKAGE}'s tests: {}", outcome.ending());
        }
    }
}

/// The number in `201 passed, 1 skipped in 1.50s`.
fn passed_in(summary: &str) -> Option<u64> {
    summary.split_once(" passed")?.0.rsplit([' ', ',']).next()?.parse().ok()
}

/// Shows what was counted; lines with their text, from the package's sources.
fn show(report: &Report, source: &Path) {
    say("Events by kind:");
    for (name, count) in report.events.iter().filter(|(_, count)| *count > 0) {
        say(format!("  {count:9}  {name}"));
    }
    let total = report.total();
    say(format!(
        "  {total:9}  in all, of {} functions, on {} lines; {} dropped",
        report.functions.len(),
        report.lines.len(),
        report.dropped
    ));
    say(format!("  {:9.0}  per second of the test run", total as f64 / report.seconds));
    say("\nThe functions called most (calls, events, function):");
    for function in report.most_called(SHOWN) {
        let place = format!("{}:{}", function.file, function.first_line);
        say(format!("  {:9} {:9}  {} ({place})", function.calls, function.events, function.name));
    }
    say("\nThe hottest lines (times, line, text):");
    let hottest = report.hottest(SHOWN);
    let places: Vec<String> =
        hottest.iter().map(|line| format!("{}:{}", line.file, line.number)).collect();
    let width = places.iter().map(String::len).max().unwrap_or(0);
    for (line, place) in hottest.iter().zip(&places) {
        let text = source_line(&source.join(&line.file), line.number);
        say(format!("  {:9}  {place:width$}  {text}", line.count));
    }
}

/// A line of a source file, without the space around it.
fn source_line(file: &Path, number: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = number.checked_sub(1).and_then(|index| text.lines().nth(index));
    line.map_or_else(|| "(no such line)".to_string(), |line| line.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytest_summaries_are_understood() {
        assert_eq!(passed_in("201 passed, 1 skipped in 1.50s"), Some(201));
        assert_eq!(passed_in("1 failed, 20 passed in 3s"), Some(20));
        assert_eq!(passed_in("== 3 passed in 3s =="), Some(3));
        assert_eq!(passed_in("no tests ran"), None);
    }
}
