//! The tests that need a CPython, once for each that is found.
//!
//! c-tests/python/run.py gets `--include DIR --lib DIR` and runs in a virtual environment with
//! setuptools and Cython.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{self, WARNINGS, include_dir, include_flags};
use crate::library::Library;
use crate::parallel;
use crate::pythons::{self, Python, SUPPORTED};
use crate::sh::{Cmd, fresh_dir, root, say};
use crate::steps::{Steps, Verdict, passed_with};

/// How long the tests may take in one interpreter.
const TIME_LIMIT: Duration = Duration::from_secs(1200);

/// What the tests need from PyPI.
pub const PACKAGES: [&str; 2] = ["setuptools", "cython"];

/// What has documented.c follow the documentation of 3.13, where branches have no directions.
const AS_OF_3_13: &str = "-DAS_OF_3_13";

/// The standards in which documented.c is compiled with the headers of the newest CPython, and of all others.
const STANDARDS: [&str; 5] = ["c99", "c11", "c++11", "c++17", "c++20"];
const ENDS: [&str; 3] = ["c99", "c++11", "c++20"];

/// Either header may come first, and any twice.
const BEHIND: &str = "\
#include <Python.h>
#include <rmon_python.h>
#include <rmon.h>
#include <rmon_python.h>
";

/// All steps for all interpreters; each supported version that is missing is named.
pub fn all(steps: &mut Steps, library: &Library, pythons: &[Python], only: bool) -> Result<()> {
    let header = include_dir().join("rmon_python.h").is_file();
    let runner = root().join("c-tests/python/run.py");
    if header {
        for (index, python) in pythons.iter().enumerate() {
            let brief = !steps.thorough && index > 0; // the newest comes first
            let standards: &[&str] = if brief { &ENDS } else { &STANDARDS };
            steps.run(&format!("rmon_python.h: CPython {}", python.name), || {
                header_compiles(python, standards)
            });
        }
    }
    match (header, runner.is_file()) {
        (true, true) => {
            let lib_dir = library.stage()?;
            let step = |python: &Python| format!("Python tests: CPython {}", python.name);
            steps.run_each(pythons, step, |python| tests(python, &lib_dir));
        }
        (false, _) => steps.skip("Python tests", "include/rmon_python.h is not there"),
        (_, false) => steps.skip("Python tests", "c-tests/python/run.py is not there"),
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
fn tests(python: &Python, lib_dir: &Path) -> Result<Verdict> {
    let venv = pythons::venv(python, "tests")?;
    pythons::pip_install_once(&venv, &PACKAGES)?;
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

/// A source written to CPython's documentation compiles unchanged: with rmon_python.h in front of it, or behind
/// Python.h; and with CPython alone, if that has the API. In the whole API and in the limited one.
fn header_compiles(python: &Python, standards: &[&str]) -> Result<Verdict> {
    let (toolchains, _) = compilers::find();
    let dir = fresh_dir("rmon_python")?;
    let documented = fs::read_to_string(root().join("bindings/python/tests/documented.c"))?;
    let has_api = python.version >= (3, 13, 0);
    // A free-threaded CPython before 3.15 has no limited API.
    let apis: &[&[&str]] =
        if python.free_threaded { &[&[]] } else { &[&[], &["-DPy_LIMITED_API=0x03090000"]] };
    let alone: &[&str] = match python.version {
        (3, 13, _) => &[AS_OF_3_13],
        // Its own PY_MONITORING_IS_INSTRUMENTED_EVENT uses a name that its headers do not define.
        (3, 14, _) => &["-D_PY_MONITORING_LOCAL_EVENTS=11"],
        _ => &[],
    };
    let mut ways = Vec::new();
    for &standard in standards {
        // rmon.hpp, which is C++17, knows of Python, too.
        let wrapper = ["c++17", "c++20"].contains(&standard);
        let wrapper = if wrapper { "#include <rmon.hpp>\n" } else { "" };
        let file = |name: &str, text: &str| {
            let extension = if standard.starts_with("c++") { "cpp" } else { "c" };
            let path = dir.join(format!("{name}-{standard}.{extension}"));
            fs::write(&path, text).map(|()| path)
        };
        let in_front = file("in_front", &documented)?;
        let behind = format!("{BEHIND}{wrapper}");
        let behind = file("behind", &documented.replace("#include <Python.h>\n", &behind))?;
        for toolchain in toolchains.iter().filter(|known| known.cmd(standard).is_some()) {
            let mut add = |unit: &Path, flags: &[&[&'static str]], include: &[String]| {
                let flags = flags.concat();
                ways.push((toolchain, standard, unit.to_path_buf(), flags, include.to_vec()));
            };
            for api in apis {
                add(&in_front, &[&["-include", "rmon_python.h"], api], &include_flags());
                add(&behind, &[&[AS_OF_3_13], api], &include_flags());
            }
            if has_api {
                add(&in_front, &[alone], &[]);
            }
        }
    }
    let results = parallel::map(&ways, |(toolchain, standard, unit, flags, include)| {
        let cmd = toolchain.cmd(standard).context("no C++ compiler")?;
        // -isystem: CPython's own headers need not be free of warnings.
        let cmd = cmd.args(["-O1", "-fsyntax-only", "-DMODULE=documented"]).args(WARNINGS);
        let cmd = cmd.args(include).arg("-isystem").arg(&python.include).args(flags).arg(unit);
        cmd.succeed(TIME_LIMIT).map(drop)
    });
    results.into_iter().collect::<Result<Vec<()>>>()?;
    passed_with(format!("{} ways", ways.len()))
}
