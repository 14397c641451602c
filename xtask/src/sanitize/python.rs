//! `cargo xtask sanitize python`: the Python package, its extension module and its librmon compiled
//! for the address sanitizer, under tests of its own.
//!
//! One CPython does it, 3.13 if there is one. It is an ordinary interpreter with gcc's run-time loaded
//! before it, and with objects from malloc. Leaks are not looked for: an interpreter that ends leaves
//! much behind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{FOUND, Rust, Sanitizer, finds, reported};
use crate::pythons::{self, Python};
use crate::sh::{Cmd, fresh_dir, on_path, root, say, target_dir};
use crate::steps::{Steps, Verdict, passed_with};

/// How long the tests may take.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// What the tests below need from PyPI.
const PACKAGES: [&str; 4] = ["hypothesis", "pytest", "pytest-timeout", "setuptools>=77"];

/// The compiler of what is loaded into the interpreter. The compiler itself runs without.
const COMPILER: &str = "env LD_PRELOAD= gcc -fsanitize=address -fno-omit-frame-pointer -g";

/// The tests: those that do not run other programs for the most part.
const TESTS: [&str; 8] = [
    "callbacks",
    "codelike",
    "interpreters",
    "monitoring",
    "scope",
    "semantics",
    "testing",
    "threads",
];

/// Has the module look at the addresses of dead objects, which it does with care.
const NOT: &str = "not test_addresses_of_no_object";

/// The steps: the sanitizer sees what is planted; it sees nothing else.
pub fn all(steps: &mut Steps) -> Result<()> {
    let title = "sanitize python";
    if !on_path("gcc") {
        steps.skip(title, "gcc not found");
        return Ok(());
    }
    let run_time = Cmd::new("gcc").arg("-print-file-name=libasan.so").read()?;
    if !Path::new(&run_time).is_absolute() {
        steps.skip(title, "gcc has no libasan");
        return Ok(());
    }
    let found: Vec<Python> =
        pythons::find_all().into_iter().filter(|python| python.has_ensurepip).collect();
    let of_choice = found.iter().find(|python| python.name == "3.13").or(found.first());
    let Some(python) = of_choice else {
        steps.skip(title, "no CPython with a pip found");
        return Ok(());
    };
    let venv = pythons::venv(python, "sanitize")?;
    let name = &python.name;
    if steps.run(&format!("{title}: build for CPython {name}"), || build(&venv)) {
        let faults = || planted(&venv, &run_time);
        steps.run(&format!("{title}: CPython {name}, planted faults are found"), faults);
        steps.run(&format!("{title}: CPython {name}, tests"), || tests(&venv, &run_time));
    }
    Ok(())
}

/// Builds the package and installs it.
fn build(venv: &Path) -> Result<Verdict> {
    pythons::pip_install_once(venv, &PACKAGES)?;
    let cmd = pythons::pip(venv)?.outside_cargo();
    let cmd = cmd.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    let cmd = cmd.arg("--force-reinstall").arg(root().join("bindings/python"));
    let cmd = Sanitizer::Address.rust_flags(cmd).env("CARGO_BUILD_TARGET", Rust::ask()?.target);
    let cmd = cmd.env("CARGO_TARGET_DIR", target_dir().join("sanitize/address"));
    cmd.env("CC", COMPILER).run()?;
    passed_with("")
}

/// The interpreter with the sanitizer.
fn sanitized(venv: &Path, run_time: &str, dir: &Path) -> Cmd {
    Cmd::new(venv.join("bin/python"))
        .cwd(dir)
        .env_remove("PYTHONPATH")
        .env("LD_PRELOAD", run_time)
        .env("ASAN_OPTIONS", format!("exitcode={FOUND}:detect_leaks=0"))
        .env("PYTHONMALLOC", "malloc")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CC", COMPILER)
        .outside_cargo()
}

fn planted(venv: &Path, run_time: &str) -> Result<Verdict> {
    let dir = fresh_dir("sanitize/python")?;
    let script = root().join("bindings/python/tests/planted_fault.py");
    let run =
        |fault: &str| sanitized(venv, run_time, &dir).arg(&script).arg(fault).outcome(TIME_LIMIT);
    let outcome = run("none")?;
    if !outcome.success() || reported(&outcome) {
        say(&outcome.text);
        bail!("a program without a fault: {}", outcome.ending());
    }
    let faults = [("in-module", "heap-use-after-free"), ("in-librmon", "heap-buffer-overflow")];
    for (fault, report) in faults {
        finds(fault, report, &run(fault)?)?;
    }
    passed_with(format!("{} faults", faults.len()))
}

fn tests(venv: &Path, run_time: &str) -> Result<Verdict> {
    let dir = fresh_dir("sanitize/python")?;
    // -s: a report goes to where pytest would keep it to itself.
    let cmd = sanitized(venv, run_time, &dir).args(["-m", "pytest", "-q", "-s"]);
    let cmd = cmd.args(["-p", "no:cacheprovider", "--timeout=600", "--brief", "-k", NOT]);
    let cmd = cmd.arg("--basetemp").arg(dir.join("tmp"));
    let file = |name| root().join(format!("bindings/python/tests/test_{name}.py"));
    let cmd = cmd.args(TESTS.map(file)).env("RMON_TEST_LISTS", "800"); // each is many times slower
    say(format!("$ {}", cmd.line()));
    passed_with(pythons::pytest(cmd, TIME_LIMIT)?)
}
