//! `cargo xtask fuzz`: libFuzzer with AddressSanitizer on lists of operations and on hostile arguments.
//!
//! The targets are the programs of fuzz/. Stable Rust can instrument them if RUSTC_BOOTSTRAP says so, and
//! the crate libfuzzer-sys brings the fuzzer itself, so that nothing need be installed but a C++ compiler.
//! What they find of new ways through the library stays below the target folder; `--keep` takes the least
//! of it that goes all these ways into fuzz/corpus/, which tests/fuzz.rs runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::sh::{self, Cmd, Outcome, fresh_dir, root, target_dir};
use crate::steps::{Steps, Verdict, passed_with};

const TARGETS: [&str; 2] = ["operations", "arguments"];
/// AddressSanitizer, and what libFuzzer learns from: counters at edges.
const RUSTFLAGS: &str = "-Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing";
/// The longest input.
const LONGEST: usize = 640;
/// How long building, and what does not say how long, may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Faults to be planted: a file, what stands there, what shall, and the target that must find it.
const FAULTS: [(&str, &str, &str, &str); 4] = [
    (
        "src/ffi/tool.rs",
        "floor_char_boundary(capacity - 1)",
        "floor_char_boundary(capacity)",
        "arguments",
    ),
    (
        "src/code.rs",
        "pair[0].offset < pair[1].offset",
        "pair[0].offset <= pair[1].offset",
        "arguments",
    ),
    (
        "src/code.rs",
        "self.0.remove(&code.addr())",
        "self.0.remove(&code.addr()).map(std::mem::forget); None",
        "operations",
    ),
    ("src/dispatch.rs", "if !fired.is_local() {", "if false {", "operations"),
];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// The targets: operations, arguments (all, if none is named)
    targets: Vec<String>,
    /// How long each is fuzzed
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Then make fuzz/corpus/ anew, as small as it can be: what it had and what was found
    #[arg(long)]
    keep: bool,
    /// Plant faults in a copy of the sources, one at a time, and see each found
    #[arg(long, conflicts_with = "keep")]
    planted: bool,
    /// Show what the fuzzers say
    #[arg(long, short)]
    verbose: bool,
}

/// Fuzzes.
pub fn run(args: Args) -> Result<ExitCode> {
    let wrong = args.targets.iter().find(|name| !TARGETS.contains(&name.as_str()));
    ensure!(wrong.is_none(), "no such target: {}", wrong.map_or("", |name| name));
    let named = |target: &str| args.targets.is_empty() || args.targets.iter().any(|t| t == target);
    let mut steps = Steps::new(args.verbose);
    if args.planted {
        planted(&mut steps, named, args.seconds);
    } else {
        search(&mut steps, named, args.seconds, args.keep);
    }
    Ok(steps.finish())
}

/// Both, for a short while.
pub fn all(steps: &mut Steps) {
    planted(steps, |_| true, 60);
    search(steps, |_| true, 60, false);
}

/// Plants each fault in turn.
fn planted(steps: &mut Steps, named: impl Fn(&str) -> bool, seconds: u64) {
    for (file, what, instead, target) in FAULTS.iter().filter(|fault| named(fault.3)) {
        steps.run(&format!("fuzz {target}: a fault in {file} is found"), || {
            found(target, file, what, instead, seconds)
        });
    }
}

/// Looks for faults that nobody planted.
fn search(steps: &mut Steps, named: impl Fn(&str) -> bool, seconds: u64, keeps: bool) {
    let built = || build(&root(), &programs_dir()).and_then(|()| passed_with(""));
    if !steps.run("build what is fuzzed", built) {
        return;
    }
    for target in TARGETS.into_iter().filter(|target| named(target)) {
        let work = target_dir().join("xtask/fuzz").join(target);
        let good = steps.run(&format!("fuzz {target}"), || {
            fs::create_dir_all(&work)?;
            fs::create_dir_all(corpus(target))?;
            judge(target, &fuzz(target, &[&work, &corpus(target)], seconds)?)
        });
        if good && keeps {
            steps.run(&format!("fuzz/corpus/{target}"), || keep(target, &work));
        }
    }
}

fn corpus(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(target)
}

/// Builds the targets of a tree, in a folder of its own: to cargo, two trees' crates may be the same.
fn build(tree: &Path, dir: &Path) -> Result<()> {
    let host = Cmd::new("rustc").arg("-vV").read()?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("no host")?;
    let manifest = tree.join("fuzz/Cargo.toml");
    // A target that is named, so that build scripts and macros are not instrumented.
    let cmd = sh::cargo().args(["build", "--release", "--locked", "--target", host]);
    let cmd = cmd.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(dir);
    cmd.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS).run()?;
    let made = dir.join(host).join("release");
    for target in TARGETS {
        fs::copy(made.join(target), program(target)).with_context(|| made.display().to_string())?;
    }
    Ok(())
}

fn programs_dir() -> PathBuf {
    target_dir().join("fuzz")
}

fn program(target: &str) -> PathBuf {
    programs_dir().join(target)
}

/// Has a fuzzer put an input that fails beside the programs, not where it was started.
fn artifacts() -> String {
    format!("-artifact_prefix={}/", programs_dir().display())
}

/// Runs a target for a while, from what is in the folders; what it finds goes into the first one.
fn fuzz(target: &str, folders: &[&Path], seconds: u64) -> Result<Outcome> {
    let cmd = Cmd::new(program(target)).args([
        &format!("-max_total_time={seconds}"),
        &format!("-max_len={LONGEST}"),
        &artifacts(),
        "-len_control=20",
        "-timeout=120",
        "-print_final_stats=1",
        "-print_funcs=0",
    ]);
    let mut outcome = cmd.args(folders).outcome(Duration::from_secs(seconds) + PATIENCE)?;
    // Each new input has a line.
    let progress =
        |line: &&str| !line.starts_with('#') || line.contains("pulse") || line.contains("DONE");
    outcome.text = outcome.text.lines().filter(progress).collect::<Vec<_>>().join("\n");
    Ok(outcome)
}

/// What a run has to say for itself.
fn judge(target: &str, outcome: &Outcome) -> Result<Verdict> {
    sh::say(&outcome.text);
    if !outcome.success() {
        bail!("{target}: {}; the input is below {}", outcome.ending(), programs_dir().display());
    }
    let last = |what: &str| {
        let (_, rest) = outcome.text.rsplit_once(what)?;
        rest.split_whitespace().next().map(str::to_string)
    };
    let counted = last("number_of_executed_units:").context("it counted nothing")?;
    let (edges, inputs) = (last("cov: ").context("no cov")?, last("corp: ").context("no corp")?);
    passed_with(format!("{counted} executions, {edges} edges, corpus {inputs}"))
}

/// Makes the corpus anew.
fn keep(target: &str, work: &Path) -> Result<Verdict> {
    let merged = fresh_dir(&format!("fuzz-merged-{target}"))?;
    let old = corpus(target);
    fs::create_dir_all(&old)?;
    let cmd = Cmd::new(program(target)).args([
        "-set_cover_merge=1",
        "-use_counters=0",
        &format!("-max_len={LONGEST}"),
        &artifacts(),
    ]);
    cmd.arg(&merged).arg(&old).arg(work).succeed(PATIENCE)?;
    fs::remove_dir_all(&old)?;
    fs::create_dir(&old)?;
    let (mut inputs, mut size) = (0, 0);
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        size += fs::copy(entry.path(), old.join(entry.file_name()))?;
        inputs += 1;
    }
    passed_with(format!("{inputs} inputs, {size} bytes"))
}

/// Plants a fault in a copy of the sources; the target must find it, beginning with the corpus.
fn found(target: &str, file: &str, what: &str, instead: &str, seconds: u64) -> Result<Verdict> {
    let tree = fresh_dir("fuzz-planted")?;
    for part in ["src", "tests", "fuzz"] {
        sh::copy_all(&root().join(part), &tree.join(part))?;
    }
    for part in ["Cargo.toml", "build.rs", "README.md"] {
        fs::copy(root().join(part), tree.join(part))?;
    }
    let path = tree.join(file);
    let source = fs::read_to_string(&path)?;
    ensure!(source.matches(what).count() == 1, "{file} has not once: {what}");
    fs::write(&path, source.replace(what, instead))?;
    build(&tree, &target_dir().join("fuzz-planted"))?;
    let work = fresh_dir("fuzz-planted-work")?;
    let outcome = fuzz(target, &[&work, &corpus(target)], seconds)?;
    sh::say(&outcome.text);
    ensure!(!outcome.success() && !outcome.timed_out, "not found in {seconds} seconds");
    let signs = ["ERROR: AddressSanitizer", "panicked at", "ERROR: LeakSanitizer"];
    let sign =
        signs.iter().find(|sign| outcome.text.contains(*sign)).context("it failed otherwise")?;
    passed_with(format!("{sign}, after {:.0} s", outcome.time.as_secs_f64()))
}
