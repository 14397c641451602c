//! The interpreters in which rows are run: finding them, and building for each what its rows need.
//!
//! benches/python/driver.py runs the rows. What an interpreter needs is below target/bench, in a folder of its own; rmon's
//! package is installed in an environment of its own, as a user would.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::programs::Build;
use super::rows::{Program, Row};
use crate::pythons::{self, Python};
use crate::sh::{Cmd, root, say};
use crate::{package, parallel};

/// The first version of CPython with the C API; Cython's rows are in it, or else in the next newer one.
const FIRST_WITH_API: (u8, u8) = (3, 13);

/// What Cython's rows need from PyPI.
const PACKAGES: [&str; 3] = ["setuptools", "cython", "coverage"];

/// How functions are compiled by Cython: not traced, for CPython's own monitoring, and for rmon.
const CALLS: [(&str, bool, &[&str]); 3] = [
    ("plain", false, &[]),
    ("native", true, &["-DCYTHON_TRACE=1"]),
    ("rmon", true, &["-include", "rmon_python.h"]),
];

/// The same for the large module: not traced, for a trace function, as before there was monitoring, and for rmon.
const LARGE: [(&str, bool, &[&str]); 3] = [
    ("plain", false, &[]),
    ("legacy", true, &["-DCYTHON_TRACE=1", "-DCYTHON_USE_SYS_MONITORING=0"]),
    ("rmon", true, &["-include", "rmon_python.h"]),
];

/// How many functions the large module has, of ten lines each; and in a quick run.
const FUNCTIONS: u32 = 1000;
const FEW_FUNCTIONS: u32 = 200;

/// Those that were found for the wanted rows.
pub struct Interpreters {
    found: Vec<Python>,
    cython: Option<Python>,
}

impl Interpreters {
    /// Finds what the wanted programs are to be run in; takes those away that cannot be, and says why.
    pub fn find(
        wanted: &mut HashSet<Program>,
        other_librmon: bool,
        left_out: &mut Vec<String>,
    ) -> Interpreters {
        let mut interpreters = Interpreters { found: Vec::new(), cython: None };
        if !wanted.iter().any(|program| program.is_in_python()) {
            return interpreters;
        }
        // Builds without the GIL have other costs.
        let all: Vec<_> = pythons::find_all().into_iter().filter(|p| !p.free_threaded).collect();
        let with_api = |p: &&Python| (p.version.0, p.version.1) >= FIRST_WITH_API;
        interpreters.cython = all.iter().rev().find(with_api).cloned();
        interpreters.found = all;
        if other_librmon && wanted.iter().any(|program| interpreters.has_package(*program)) {
            left_out.push("Python callbacks, Cython: --prefix has no Python package".to_string());
            wanted.retain(|program| !interpreters.has_package(*program));
        }
        let mut missing = Vec::new();
        wanted.retain(|program| {
            let there = !program.is_in_python() || interpreters.of(*program).is_some();
            if !there {
                missing.push(match program {
                    Program::Cpython(minor) | Program::Callbacks(minor) => {
                        format!("CPython 3.{minor}: not found with its headers")
                    }
                    _ => "Cython: no CPython 3.13 or newer found with its headers".to_string(),
                });
            }
            there
        });
        missing.sort();
        missing.dedup();
        left_out.extend(missing);
        interpreters
    }

    /// Whether the program needs rmon's Python package.
    fn has_package(&self, program: Program) -> bool {
        program.is_in_python() && !matches!(program, Program::Cpython(_))
    }

    /// The interpreter that a program is run in.
    fn of(&self, program: Program) -> Option<&Python> {
        match program {
            Program::Cpython(minor) | Program::Callbacks(minor) => {
                self.found.iter().find(|python| python.version.1 == minor)
            }
            _ => self.cython.as_ref(),
        }
    }

    /// What the interpreters call themselves, for the report.
    pub fn names(&self, wanted: &[&Row]) -> Vec<(String, String)> {
        const SCRIPT: &str = "import sys, sysconfig; \
            print(sys.version.split()[0], sysconfig.get_config_var('OPT') or '')";
        let programs: HashSet<Program> = wanted.iter().map(|row| row.program).collect();
        let used = |python: &&Python| {
            let runs = |program: &Program| self.of(*program).is_some_and(|p| p.name == python.name);
            programs.iter().filter(|program| program.is_in_python()).any(runs)
        };
        let name = |python: &Python| {
            let text = Cmd::new(&python.exe).args(["-c", SCRIPT]).read().ok()?;
            Some((format!("cpython {}", python.name), text.trim().to_string()))
        };
        self.found.iter().filter(used).filter_map(name).collect()
    }

    /// Builds what the wanted programs need.
    pub fn build(&self, build: &Build, wanted: &HashSet<Program>, quick: bool) -> Result<()> {
        for python in &self.found {
            let dir = folder(build.dir, python);
            let runs = |program: &&Program| {
                program.is_in_python() && self.of(**program).is_some_and(|p| p.name == python.name)
            };
            let programs: Vec<_> = wanted.iter().filter(runs).collect();
            if programs.is_empty() {
                continue;
            }
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            if programs.iter().any(|program| self.has_package(**program)) {
                say(format!("rmon for CPython {} ...", python.name));
                install(python)?;
                fires(build, python, &dir)?;
            }
            for program in programs {
                match program {
                    Program::Cpython(_) => cpython(build, python, &dir)?,
                    Program::Cython => calls(build, python, &dir)?,
                    Program::Large => large(build, python, &dir, quick)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The words that run rows.
    pub fn words(
        &self,
        dir: &Path,
        rows: &[&'static Row],
        how: &str,
        amount: u32,
    ) -> Result<Vec<String>> {
        let program = rows.first().context("no row")?.program;
        let python = self.of(program).context("there is no CPython to run")?;
        let exe = match self.has_package(program) {
            true => pythons::venv(python, ENVIRONMENT)?.join("bin/python"),
            false => python.exe.clone(),
        };
        let driver = root().join("benches/python/driver.py");
        let paths = [exe, driver, folder(dir, python)].map(|path| path.display().to_string());
        let mut words = paths.to_vec();
        words.push(program.driven().unwrap_or_default().to_string());
        words.extend([how.to_string(), amount.to_string()]);
        // Its own name for a row does not say which interpreter it is.
        let version = format!("3.{}_", python.version.1);
        words.extend(rows.iter().map(|row| match program {
            Program::Callbacks(_) => row.name.replacen(&format!("python_{version}"), "", 1),
            _ => row.name.replacen(&version, "", 1),
        }));
        Ok(words)
    }
}

/// The name of the environments.
const ENVIRONMENT: &str = "bench";

/// The folder of what is built for an interpreter.
fn folder(dir: &Path, python: &Python) -> PathBuf {
    dir.join(&python.name)
}

/// Puts rmon into the interpreter's environment, unless it is there and nothing has changed since.
fn install(python: &Python) -> Result<()> {
    let venv = pythons::venv(python, ENVIRONMENT)?;
    let note = venv.join("rmon-bench");
    if is_newer(&note, &["src", "include", "Cargo.lock", "bindings/python"])? {
        return Ok(());
    }
    let wheel = package::build_wheel(python)?;
    let path = wheel.to_str().context("the wheel's path is not UTF-8")?;
    pythons::pip_install(&venv, &["--force-reinstall", "--no-deps", path])?;
    fs::write(&note, "").with_context(|| format!("cannot write {}", note.display()))
}

/// Whether a file is newer than all others, which are the project's files and folders.
fn is_newer(file: &Path, others: &[&str]) -> Result<bool> {
    let Ok(made) = fs::metadata(file).and_then(|data| data.modified()) else { return Ok(false) };
    for other in others {
        if newest(&root().join(other))? > made {
            return Ok(false);
        }
    }
    Ok(true)
}

fn newest(path: &Path) -> Result<SystemTime> {
    let mut time = fs::metadata(path)?.modified()?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            time = time.max(newest(&entry?.path())?);
        }
    }
    Ok(time)
}

/// An extension module's compiler and the flags; it leaves the interpreter's symbols open, as all do.
fn extension(cmd: Cmd, python: &Python) -> Cmd {
    cmd.args(["-fPIC", "-shared", "-isystem"]).arg(&python.include)
}

fn cpython(build: &Build, python: &Python, dir: &Path) -> Result<()> {
    let cmd = extension(build.compile()?, python).args(["cpython.c", "bench.c", "-o"]);
    cmd.arg(dir.join("rmon_bench_cpython.so")).run()
}

/// The module that fires, by CPython's own API, if there is one, and by rmon's.
fn fires(build: &Build, python: &Python, dir: &Path) -> Result<()> {
    let has_api = (python.version.0, python.version.1) >= FIRST_WITH_API;
    for name in has_api.then_some("sys").into_iter().chain(["rmon"]) {
        let module = format!("rmon_bench_fires_{name}");
        let cmd = extension(build.compile()?, python);
        cmd.args([format!("-I{}", build.include.display()), "-I.".to_string()])
            .args([format!("-DMODULE={module}"), format!("-DMODULE_NAME=\"{module}\"")])
            .args((name == "rmon").then_some("-DWITH_RMON"))
            .args(["../python/fires.c", "bench.c", "-o"])
            .arg(dir.join(format!("{module}.so")))
            .run()?;
    }
    Ok(())
}

/// The same functions, compiled in each way.
fn calls(build: &Build, python: &Python, dir: &Path) -> Result<()> {
    let source = root().join("benches/cython/calls.pyx");
    let results = parallel::map(&CALLS, |(variant, traced, flags)| {
        let module = format!("rmon_bench_cython_{variant}");
        let macros = [format!("-DVARIANT=\"{variant}\""), "-I.".to_string(), "bench.c".to_string()];
        let flags = flags.iter().map(|flag| flag.to_string()).chain(macros).collect::<Vec<_>>();
        cython(build, python, &source, &dir.join(&module), *traced, &flags)
    });
    results.into_iter().collect()
}

/// A large module, in each way, and each beside a source of its own, where coverage.py looks for it. Compiling one takes
/// a minute or two.
fn large(build: &Build, python: &Python, dir: &Path, quick: bool) -> Result<()> {
    let functions = if quick { FEW_FUNCTIONS } else { FUNCTIONS }.to_string();
    let note = dir.join("large-functions");
    let same = fs::read_to_string(&note).is_ok_and(|text| text == functions)
        && is_newer(&note, &["include", "benches/cython/make_large.py"])?;
    if same {
        return Ok(());
    }
    say(format!("compiling a Cython module of {functions} functions in {} ways ...", LARGE.len()));
    let results = parallel::map(&LARGE, |(variant, traced, flags)| {
        let base = dir.join(format!("rmon_bench_large_{variant}"));
        let source = base.with_extension("pyx");
        Cmd::new(&python.exe)
            .arg(root().join("benches/cython/make_large.py"))
            .arg(&functions)
            .arg(&source)
            .quiet()
            .run()?;
        let flags = flags.iter().map(|flag| flag.to_string()).collect::<Vec<_>>();
        cython(build, python, &source, &base, *traced, &flags)
    });
    results.into_iter().collect::<Result<()>>()?;
    fs::write(&note, functions).with_context(|| format!("cannot write {}", note.display()))
}

/// Has Cython and the C compiler make a module; `base` is its path without an ending.
fn cython(
    build: &Build,
    python: &Python,
    source: &Path,
    base: &Path,
    traced: bool,
    flags: &[String],
) -> Result<()> {
    let venv = pythons::venv(python, ENVIRONMENT)?;
    pythons::pip_install_once(&venv, &PACKAGES)?;
    let module = base.file_name().unwrap_or_default().to_string_lossy();
    let generated = base.with_extension("c");
    Cmd::new(venv.join("bin/python"))
        .args(["-m", "cython", "-3", "--module-name", &module])
        .args(["-X", &format!("linetrace={}", if traced { "True" } else { "False" })])
        .arg(source)
        .arg("-o")
        .arg(&generated)
        .quiet()
        .run()?;
    extension(build.compile_others()?, python)
        .args(["-DNDEBUG", "-fwrapv", "-w"])
        .arg(format!("-I{}", build.include.display()))
        .args(flags)
        .arg(&generated)
        .arg("-o")
        .arg(base.with_extension("so"))
        .run()
}
