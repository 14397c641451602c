//! The tests that need a CPython, once for each that is found.
//!
//! c-tests/python/run.py gets `--include DIR --lib DIR` and runs in a virtual environment with
//! setuptools and Cython.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{self, WARNINGS, include_dir, include_flags};
use crate::library::Library;
use crate::pythons::{self, Python, SUPPORTED};
use crate::sh::{Cmd, fresh_dir, root, say};
use crate::steps::{Steps, Verdict, passed_with};

/// How long the tests may take in one interpreter.
const TIME_LIMIT: Duration = Duration::from_secs(1200);

/// What the tests need from PyPI.
pub const PACKAGES: [&str; 2] = ["setuptools", "cython"];

/// Either header may come first, and any twice.
const UNIT: &str = "\
#include <Python.h>
#include <rmon_python.h>
#include <rmon.h>
#include <rmon_python.h>
int unit(void);
int unit(void) { return 0; }
";

/// All steps for all interpreters; each supported version that is missing is named.
pub fn all(steps: &mut Steps, library: &Library, pythons: &[Python], only: bool) -> Result<()> {
    let header = include_dir().join("rmon_python.h").is_file();
    let runner = root().join("c-tests/python/run.py");
    for python in pythons {
        let name = &python.name;
        if header {
            steps.run(&format!("rmon_python.h: CPython {name}"), || header_compiles(python));
        }
        let step = format!("Python tests: CPython {name}");
        match (header, runner.is_file()) {
            (true, true) => {
                steps.run(&step, || tests(python, library));
            }
            (false, _) => steps.skip(&step, "include/rmon_python.h is not there"),
            (_, false) => steps.skip(&step, "c-tests/python/run.py is not there"),
        }
    }
    let missing = SUPPORTED.filter(|minor| {
        !pythons.iter().any(|python| python.version.1 == *minor && !python.free_threaded)
    });
    for minor in missing.filter(|_| !only) {
        steps.skip("Python tests", &format!("CPython 3.{minor} not found"));
    }
    Ok(())
}

/// Runs the tests in one interpreter.
fn tests(python: &Python, library: &Library) -> Result<Verdict> {
    let venv = pythons::venv(python, "tests")?;
    pythons::pip_install_once(&venv, &PACKAGES)?;
    let lib_dir = library.stage()?;
    let cmd = Cmd::new(venv.join("bin/python")).arg("c-tests/python/run.py");
    let cmd = cmd.arg("--include").arg(include_dir()).arg("--lib").arg(lib_dir);
    say(format!("$ {}", cmd.line()));
    let outcome = cmd.outcome(TIME_LIMIT)?;
    say(&outcome.text);
    if !outcome.success() {
        bail!("c-tests/python/run.py: {}", outcome.ending());
    }
    // Its last line says how much it did.
    passed_with(outcome.text.trim_end().lines().last().unwrap_or_default())
}

/// Both headers after Python.h, in C and C++, with the whole API and with the limited one.
fn header_compiles(python: &Python) -> Result<Verdict> {
    let (toolchains, _) = compilers::find();
    let dir = fresh_dir("rmon_python")?;
    let mut compiled = 0;
    for standard in ["c11", "c++17"] {
        let unit = dir.join(if standard == "c11" { "unit.c" } else { "unit.cpp" });
        fs::write(&unit, UNIT)?;
        for toolchain in &toolchains {
            for limited in [None, Some("-DPy_LIMITED_API=0x03090000")] {
                // A free-threaded CPython before 3.15 has no limited API.
                if limited.is_some() && python.free_threaded {
                    continue;
                }
                let Some(compiler) = toolchain.cmd(standard) else {
                    continue;
                };
                // -isystem: CPython's own headers need not be free of warnings.
                let compiler = compiler
                    .args(["-O1", "-fsyntax-only"])
                    .args(WARNINGS)
                    .args(include_flags())
                    .arg("-isystem")
                    .arg(&python.include);
                let line = compiler.line();
                say(format!("$ {line}"));
                let outcome = compiler
                    .args(limited)
                    .arg(&unit)
                    .outcome(TIME_LIMIT)
                    .context("cannot compile")?;
                if !outcome.success() {
                    bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
                }
                compiled += 1;
            }
        }
    }
    passed_with(format!("{compiled} ways"))
}
