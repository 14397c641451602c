//! `cargo xtask sanitize`: the programs of c-tests/ and tests in Rust under the compilers' sanitizers, each of which
//! first finds the faults that are planted for it.
//!
//! The address and the thread sanitizer look at C and at Rust. Both are linked with the run-time that comes with
//! rustc, also into programs that gcc compiles: a program can have one only, and gcc's own lacks what Rust's code
//! calls (thread), or leaves a forked child with a locked allocator (address). An option that stable rustc keeps to
//! itself is asked for by RUSTC_BOOTSTRAP, for these builds alone. The sanitizer of undefined behaviour looks at C and
//! C++: at what rmon.h and rmon.hpp put into an emitter.
//!
//! All of it with `--cfg rmon_portable_tls`, since no sanitizer sees what assembly does, and with Rust's own checks of
//! overflow and of unsafe preconditions.

mod python;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::c_tests::{self, Extra, Linkage, Program, Variant};
use crate::compilers::{self, Toolchain};
use crate::library::{self, Library};
use crate::parallel;
use crate::sh::{self, Cmd, Outcome, fresh_dir, say, target_dir};
use crate::steps::{Steps, Verdict, passed_with};

/// How long a program may take.
const TIME_LIMIT: Duration = Duration::from_secs(1200);

/// How long cargo may take, to build tests and to run them.
const CARGO_LIMIT: Duration = Duration::from_secs(3000);

/// The exit code by which a sanitizer says that it found something.
const FOUND: i32 = 97;

/// How every report of one begins, or what its line has.
const REPORTS: [&str; 4] =
    ["Sanitizer: ", "Sanitizer CHECK failed", "Sanitizer:DEADLYSIGNAL", "runtime error: "];

/// How often the programs do what they do often when they run with the other tests, in percent.
const BRIEF: &str = "5";

/// Undefined behaviour besides, with the run-time that comes with rustc's for addresses. That has
/// nothing for C++'s own types.
const BOTH: [&str; 3] = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-fno-sanitize=vptr"];

/// Options of `cargo xtask sanitize`.
#[derive(clap::Args)]
pub struct Args {
    /// Which of them; all, if none is named
    parts: Vec<Part>,
    /// Only the programs of c-tests/ whose names contain this; may be given several times
    #[arg(long = "program", value_name = "NAME")]
    names: Vec<String>,
    /// What `cargo xtask test` does of it
    #[arg(long, conflicts_with_all = ["parts", "names"])]
    brief: bool,
    /// Show the output of every step
    #[arg(long, short)]
    verbose: bool,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Accesses to memory that is freed or never was, and leaks; in C and Rust
    Address,
    /// Data races; in C and Rust
    Thread,
    /// Undefined behaviour; in C and C++
    Undefined,
    /// The address sanitizer on the Python package
    Python,
}

/// A sanitizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sanitizer {
    /// Accesses to memory that is freed or never was, and leaks; in C and Rust
    Address,
    /// Data races; in C and Rust
    Thread,
    /// Undefined behaviour; in C and C++
    Undefined,
}

use Sanitizer::{Address, Thread, Undefined};

impl Sanitizer {
    /// What both compilers call it, and its folder.
    fn name(self) -> &'static str {
        match self {
            Address => "address",
            Thread => "thread",
            Undefined => "undefined",
        }
    }

    /// What it must find in c-tests/planted_fault.c, and what it says of each.
    fn faults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Address => &[
                ("use-after-free", "heap-use-after-free"),
                ("overflow", "heap-buffer-overflow"),
                ("write-in-librmon", "heap-use-after-free"),
                ("overflow-in-librmon", "heap-buffer-overflow"),
                ("freed-by-librmon", "heap-use-after-free"),
                ("leak", "detected memory leaks"),
            ],
            Thread => &[
                ("race", "data race"),
                ("race-with-librmon", "data race"),
                ("race-in-librmon", "data race"),
            ],
            Undefined => &[
                ("signed-overflow", "signed integer overflow"),
                ("misaligned", "misaligned address"),
                ("null-in-header", "null pointer"),
            ],
        }
    }

    /// A program with what the sanitizer's run-time reads.
    fn set_up(self, cmd: Cmd) -> Cmd {
        let found = format!("exitcode={FOUND}");
        match self {
            Address => {
                let more = "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1";
                cmd.env("ASAN_OPTIONS", format!("{found}:check_initialization_order=1:{more}"))
            }
            // It does not know membarrier. A child may have threads.
            Thread => cmd
                .env("RMON_NO_MEMBARRIER", "1")
                .env("TSAN_OPTIONS", format!("{found}:die_after_fork=0")),
            Undefined => cmd.env("UBSAN_OPTIONS", format!("{found}:print_stacktrace=1")),
        }
    }

    /// What programs are compiled and linked with; None if this rustc lacks what that needs.
    fn extra(self, rust: &Rust) -> Option<Extra> {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let flag = format!("-fsanitize={}", self.name());
        let compile = words(&["-O1", &flag, "-fno-omit-frame-pointer"]);
        if self == Undefined {
            let compile = [compile, words(&["-fno-sanitize-recover=all"])].concat();
            return Some(Extra { compile, link: words(&[&flag, "-rdynamic"]) });
        }
        // To gcc, in rmon.h, and not to clang: the sanitizer does not know fences.
        let fences = words(&["-Wno-unknown-warning-option", "-Wno-tsan"]);
        let compile = if self == Thread { [compile, fences].concat() } else { compile };
        let run_time = rust.run_time(self)?.to_string_lossy().into_owned();
        let link = words(&["-Wl,--whole-archive", &run_time, "-Wl,--no-whole-archive"]);
        // -rdynamic: what is loaded finds the run-time in the program.
        let link = [link, words(&["-rdynamic", "-lpthread", "-ldl", "-lrt", "-lm"])].concat();
        Some(Extra { compile, link })
    }

    /// Has the cargo that is run compile Rust for it.
    fn rust_flags(self, cmd: Cmd) -> Cmd {
        let flags = match self {
            // std is not compiled for it: rustc would rather refuse.
            Thread => "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer",
            Address | Undefined => "-Zsanitizer=address",
        };
        cmd.env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("{flags} --cfg rmon_portable_tls"))
            .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
    }

    /// The same in a folder of its own. The target is named so that build scripts are compiled
    /// without.
    fn cargo(self, cmd: Cmd, target: &str) -> Cmd {
        let cmd = cmd.args(["--no-default-features", "--target", target, "--target-dir"]);
        self.rust_flags(cmd.arg(target_dir().join("sanitize").join(self.name())))
    }
}

/// What rustc says of itself.
struct Rust {
    target: String,
    libraries: PathBuf,
}

impl Rust {
    fn ask() -> Result<Rust> {
        let rustc = || Cmd::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let version = rustc().arg("-vV").read()?;
        let target = version.lines().find_map(|line| line.strip_prefix("host: "));
        let libraries = rustc().args(["--print", "target-libdir"]).read()?.into();
        Ok(Rust { target: target.context("rustc names no host")?.to_string(), libraries })
    }

    /// The run-time of a sanitizer; None if this rustc has none.
    fn run_time(&self, sanitizer: Sanitizer) -> Option<PathBuf> {
        let short = if sanitizer == Thread { "tsan" } else { "asan" };
        let files = std::fs::read_dir(&self.libraries).ok()?;
        let end = format!("_rt.{short}.a");
        files
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with(&end))
    }
}

/// Runs them in full, or as RMON_TEST_PERCENT says.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut steps = Steps::new(args.verbose);
    if args.brief {
        all(&mut steps)?;
        return Ok(steps.finish());
    }
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    for (part, sanitizer) in
        [(Part::Address, Address), (Part::Thread, Thread), (Part::Undefined, Undefined)]
    {
        if wanted(part) {
            one(&mut steps, sanitizer, &args.names, None)?;
        }
    }
    if wanted(Part::Python) && args.names.is_empty() {
        python::all(&mut steps)?;
    }
    Ok(steps.finish())
}

/// The steps of `cargo xtask test`: all if it is thorough. Else briefly memory and undefined
/// behaviour in one go, and of the threads the storms.
pub fn all(steps: &mut Steps) -> Result<()> {
    if !steps.thorough {
        one(steps, Address, &[], Some(BRIEF))?;
        return one(steps, Thread, &["threads", "storm"].map(str::to_string), Some(BRIEF));
    }
    for sanitizer in [Address, Thread, Undefined] {
        one(steps, sanitizer, &[], None)?;
    }
    python::all(steps)
}

/// The steps of one. `percent`: briefly, and what finds undefined behaviour comes with what looks at
/// memory.
fn one(
    steps: &mut Steps,
    sanitizer: Sanitizer,
    names: &[String],
    percent: Option<&str>,
) -> Result<()> {
    let mut title = format!("sanitize {}", sanitizer.name());
    let (mut toolchains, missing) = compilers::find();
    if sanitizer != Undefined || percent.is_some() {
        toolchains.truncate(1);
    }
    if toolchains.is_empty() {
        steps.skip(&title, "no C compiler found");
        return Ok(());
    }
    let rust = Rust::ask()?;
    let Some(mut extra) = sanitizer.extra(&rust) else {
        steps.skip(&title, &format!("this rustc has no run-time of it for {}", rust.target));
        return Ok(());
    };
    let mut faults = sanitizer.faults().to_vec();
    if percent.is_some() && sanitizer == Address {
        title.push_str(", undefined");
        extra.compile.extend(BOTH.map(str::to_string));
        faults.extend(Undefined.faults());
    }
    let mut built = None;
    let build = || {
        built = Some(match sanitizer {
            Undefined => library::build()?,
            _ => library::build_as(|cmd| sanitizer.cargo(cmd, &rust.target))?,
        });
        passed_with("")
    };
    if steps.run(&format!("{title}: build librmon"), build)
        && let Some(library) = built
    {
        for toolchain in &toolchains {
            let library = &library;
            let (extra, faults) = (&extra, &faults);
            let checks = Checks { sanitizer, library, toolchain, extra, faults, percent };
            checks.all(steps, &title, names)?;
        }
    }
    if percent.is_some() {
        return Ok(());
    }
    if sanitizer == Undefined {
        for name in missing {
            steps.skip(&format!("{title}: {name}"), &format!("{name} not found"));
        }
    } else if sanitizer == Address && names.is_empty() {
        steps.run(&format!("{title}: Rust tests"), || rust_tests(&rust.target));
    }
    Ok(())
}

/// The programs, as one compiler makes them.
struct Checks<'a> {
    sanitizer: Sanitizer,
    library: &'a Library,
    toolchain: &'a Toolchain,
    extra: &'a Extra,
    faults: &'a [(&'a str, &'a str)],
    percent: Option<&'a str>,
}

impl Checks<'_> {
    /// The steps: the sanitizer sees what is planted; it sees nothing else.
    fn all(&self, steps: &mut Steps, title: &str, names: &[String]) -> Result<()> {
        let compiler = self.toolchain.name(false);
        let folder =
            format!("sanitize/{}-{}", self.sanitizer.name(), compiler.replace(['/', ' '], "_"));
        let out_dir = fresh_dir(&folder)?;
        let lib_dir = out_dir.join("lib");
        self.library.lay_out(&lib_dir)?;
        let variant = |standard| Variant {
            toolchain: self.toolchain,
            standard,
            linkage: Linkage::Shared,
            lib_dir: &lib_dir,
            out_dir: &out_dir,
            extra: self.extra,
        };
        let mut linked = false;
        steps.run(&format!("{title}: {compiler}, planted faults are found"), || {
            let empty = out_dir.join("empty.c");
            std::fs::write(&empty, "int main(void) { return 0; }\n")?;
            let program = self.toolchain.cmd("c11").context("no C compiler")?.arg(&empty);
            let program = program.args(&self.extra.compile).args(&self.extra.link);
            let outcome = program.arg("-o").arg(out_dir.join("empty")).outcome(TIME_LIMIT)?;
            if !outcome.success() {
                say(&outcome.text);
                let why = format!("{compiler} cannot link its run-time");
                return Ok(Verdict::Skipped(why));
            }
            linked = true;
            self.planted(&variant("c11"))
        });
        if !linked {
            return Ok(());
        }
        steps.run(&format!("{title}: {compiler}, c-tests"), || {
            let programs: Vec<Program> = c_tests::programs(names)?
                .into_iter()
                .filter(|program| self.toolchain.has_cxx() || !program.is_cxx())
                .collect();
            let results = parallel::map(&programs, |program| {
                let variant = variant(if program.is_cxx() { "c++11" } else { "c11" });
                let outcome =
                    c_tests::build(program, &variant).and_then(|exe| self.checked(Cmd::new(exe)));
                (program.name.clone(), outcome)
            });
            c_tests::judge(results, |outcome| outcome.success() && !reported(outcome))
        });
        Ok(())
    }

    /// Runs a program.
    fn checked(&self, program: Cmd) -> Result<Outcome> {
        let cmd = self.sanitizer.set_up(program);
        let cmd = match self.percent {
            Some(percent) => cmd.env("RMON_TEST_PERCENT", percent),
            None => cmd,
        };
        cmd.outcome(TIME_LIMIT)
    }

    /// A program that does nothing wrong passes; the same program with a fault asked for by its
    /// argument does not.
    fn planted(&self, variant: &Variant) -> Result<Verdict> {
        let exe = c_tests::build(&Program::unlisted(c_tests::NOT_TESTS[0]), variant)
            .context("cannot build the planted fault")?;
        let outcome = self.checked(Cmd::new(&exe).arg("none"))?;
        say(format!("--- none: {}\n{}", outcome.ending(), outcome.text));
        if !outcome.success() || reported(&outcome) {
            bail!("a program without a fault: {}", outcome.ending());
        }
        for (fault, report) in self.faults {
            let outcome = self.checked(Cmd::new(&exe).arg(fault))?;
            finds(fault, report, &outcome)?;
        }
        passed_with(format!("{} faults", self.faults.len()))
    }
}

/// An error unless a planted fault was found.
fn finds(fault: &str, report: &str, outcome: &Outcome) -> Result<()> {
    say(format!("--- {fault}: {}\n{}", outcome.ending(), outcome.text));
    if outcome.status.code() != Some(FOUND) || !reported(outcome) || !outcome.text.contains(report)
    {
        bail!("planted fault {fault:?} was not found: {}, not {report:?}", outcome.ending());
    }
    Ok(())
}

/// Whether a sanitizer had something to say: of the program, or of a child of it.
fn reported(outcome: &Outcome) -> bool {
    REPORTS.iter().any(|report| outcome.text.contains(report))
}

/// The unit tests and the model in Rust, under the address sanitizer. They too find what is planted.
/// (The thread sanitizer cannot be asked: it does not see into std, whose threads these tests are.)
fn rust_tests(target: &str) -> Result<Verdict> {
    let cargo = |args: &[&str]| {
        let cmd = sh::cargo().args(["test", "--release", "--package", "rmon"]);
        Address.set_up(Address.cargo(cmd, target).args(args))
    };
    let cmd = cargo(&["--test", "planted_fault", "--", "--ignored"]);
    let outcome = cmd.env("RMON_PLANTED_FAULT", "yes").outcome(CARGO_LIMIT)?;
    finds("in Rust", "heap-use-after-free", &outcome)?;
    // With more lists the model wants addresses to come back, which the sanitizer prevents.
    let cmd = cargo(&["--lib", "--test", "model"]).env("RMON_MODEL_CASES", "999");
    say(format!("$ {}", cmd.line()));
    let outcome = cmd.outcome(CARGO_LIMIT)?;
    say(&outcome.text);
    if !outcome.success() || reported(&outcome) {
        bail!("cargo test: {}", outcome.ending());
    }
    let passed = outcome.text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let counts = passed.filter_map(|line| line.split(' ').next()?.parse::<u32>().ok());
    passed_with(format!("{} tests", counts.sum::<u32>()))
}
