//! `cargo xtask valgrind`: the programs of c-tests/ under valgrind's memory checker, and a proof
//! that it is on.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::c_tests::{self, Extra, Linkage, Program, Variant};
use crate::compilers;
use crate::library::{self, Library};
use crate::parallel;
use crate::sh::{Cmd, Outcome, fresh_dir, on_path, say};
use crate::steps::{Steps, Verdict, passed_with};

/// How long a program may take. It does what it does often less often, since the checker makes it
/// some thirty times slower.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// The exit code by which valgrind says that it found something.
const FOUND: i32 = 97;

/// Options of `cargo xtask valgrind`.
#[derive(clap::Args)]
pub struct Args {
    /// Only the programs whose names contain one of these
    names: Vec<String>,
    /// Show the output of every step
    #[arg(long, short)]
    verbose: bool,
}

/// Builds librmon, then checks the programs.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut steps = Steps::new(args.verbose);
    let mut built = None;
    let build = || {
        built = Some(library::build()?);
        passed_with("")
    };
    if steps.run("build librmon", build)
        && let Some(library) = built
    {
        all(&mut steps, &library, &args.names)?;
    }
    Ok(steps.finish())
}

/// The steps: the checker sees what is planted; it sees nothing else.
pub fn all(steps: &mut Steps, library: &Library, names: &[String]) -> Result<()> {
    if !on_path("valgrind") {
        steps.skip("valgrind", "valgrind not found");
        return Ok(());
    }
    let (toolchains, _) = compilers::find();
    let Some(toolchain) = toolchains.first() else {
        steps.skip("valgrind", "no C compiler found");
        return Ok(());
    };
    let lib_dir = library.stage()?;
    let out_dir = fresh_dir("valgrind")?;
    let variant = |standard| Variant {
        toolchain,
        standard,
        linkage: Linkage::Shared,
        lib_dir: &lib_dir,
        out_dir: &out_dir,
        extra: Extra::NONE,
    };
    steps.run("valgrind: planted faults are found", || planted(&variant("c11")));
    if !c_tests::folder().join("programs.txt").is_file() {
        steps.skip("valgrind: c-tests", "c-tests/programs.txt is not there");
        return Ok(());
    }
    steps.run("valgrind: c-tests", || {
        let programs = c_tests::programs(names)?;
        let results = parallel::map(&programs, |program| {
            let variant = variant(if program.is_cxx() { "c++11" } else { "c11" });
            let outcome = c_tests::build(program, &variant).and_then(|exe| checked(Cmd::new(exe)));
            (program.name.clone(), outcome)
        });
        c_tests::judge(results, Outcome::success)
    });
    Ok(())
}

/// Runs a program's command under valgrind.
fn checked(program: Cmd) -> Result<Outcome> {
    let suppressions = c_tests::folder().join("valgrind.supp");
    let mut options = vec![
        "--quiet".to_string(),
        format!("--error-exitcode={FOUND}"),
        "--leak-check=full".to_string(),
        "--show-leak-kinds=definite,possible".to_string(),
        "--errors-for-leak-kinds=definite,possible".to_string(),
        // A forked child would report its parent's memory; a program that it executes is none of
        // ours.
        "--child-silent-after-fork=yes".to_string(),
        "--trace-children=no".to_string(),
        // Without it one spinning thread starves the others.
        "--fair-sched=try".to_string(),
    ];
    if suppressions.is_file() {
        options.push(format!("--suppressions={}", suppressions.display()));
    }
    program.under("valgrind", &options).env("RMON_TEST_PERCENT", "5").outcome(TIME_LIMIT)
}

/// A program that does nothing wrong passes; the same program with a fault asked for by its
/// argument does not.
fn planted(variant: &Variant) -> Result<Verdict> {
    let exe = c_tests::build(&Program::unlisted(c_tests::NOT_TESTS[0]), variant)
        .context("cannot build the planted fault")?;
    let faults = [
        "use-after-free",
        "overflow",
        "write-in-librmon",
        "overflow-in-librmon",
        "freed-by-librmon",
        "leak",
    ];
    for (fault, expected) in [("none", 0)].into_iter().chain(faults.map(|fault| (fault, FOUND))) {
        let outcome = checked(Cmd::new(&exe).arg(fault))?;
        say(format!("--- {fault}: {}\n{}", outcome.ending(), outcome.text));
        if outcome.status.code() != Some(expected) {
            bail!("planted fault {fault:?}: {} instead of exit code {expected}", outcome.ending());
        }
    }
    passed_with(format!("{} faults", faults.len()))
}
