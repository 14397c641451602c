//! Cython packages from PyPI that nobody here wrote: built from their sources by `python -m rmon
//! instrument`, and their own tests run with a tool in Python that listens to all events, and with
//! none. With the newest CPython that was found; if all is to be done, with the oldest, too, and all packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::pythons::{self, Python};
use crate::sh::{Cmd, fresh_dir, root, say, target_dir};
use crate::steps::{Steps, Verdict, passed_with};

/// How long one build may take, or one run of a package's tests.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// A package, pinned: what is tested should change with rmon only.
struct Package {
    name: &'static str,
    version: &'static str,
    /// What pytest runs: a folder of the source archive, or the installed package's own.
    tests: Tests,
    /// Files of tests that are left out, as globs.
    left_out: &'static [&'static str],
}

enum Tests {
    Archive(&'static str),
    Installed,
}

const PACKAGES: [Package; 4] = [
    Package { name: "frozenlist", version: "1.8.0", tests: Tests::Archive("tests"), left_out: &[] },
    Package {
        name: "propcache",
        version: "0.4.1",
        tests: Tests::Archive("tests"),
        left_out: &["*benchmarks.py"],
    },
    Package {
        name: "yarl",
        version: "1.22.0",
        tests: Tests::Archive("tests"),
        // Pickling, which is in Python, fails on 3.15 whatever yarl is compiled with.
        left_out: &["*benchmarks.py", "test_pickle.py"],
    },
    Package {
        name: "preshed",
        version: "3.0.15",
        tests: Tests::Installed,
        // These count on the GIL in the middle of its functions, and a callback in Python lets it go.
        left_out: &["test_multithreaded.py"],
    },
];

/// How many of them are tested unless all is to be.
const FEW: usize = 2;

/// What the tests need besides.
const REQUIREMENTS: [&str; 4] = ["pip", "pytest", "hypothesis", "setuptools>=77"];

/// What pip says when it cannot reach PyPI.
const UNREACHABLE: [&str; 6] = [
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Failed to establish a new connection",
];

/// One step for each package and each of the interpreters, which come with their wheels of rmon.
pub fn all(steps: &mut Steps, wheels: &[(&Path, &Python)]) {
    for (wheel, python) in wheels {
        let mut ready = None;
        let packages = if steps.thorough { &PACKAGES[..] } else { &PACKAGES[..FEW] };
        for package in packages {
            let step =
                format!("{} {} from PyPI: CPython {}", package.name, package.version, python.name);
            steps.run(&step, || {
                if ready.is_none() {
                    ready = prepare(wheel, python)?;
                }
                let Some(venv) = &ready else {
                    return Ok(Verdict::Skipped("PyPI cannot be reached".to_string()));
                };
                test(package, venv, python)
            });
        }
    }
}

/// An environment with this wheel of rmon in it; None without PyPI.
fn prepare(wheel: &Path, python: &Python) -> Result<Option<PathBuf>> {
    let venv = pythons::venv(python, "pypi")?;
    let install = |args: &[&str]| -> Result<bool> {
        let cmd = pythons::pip(&venv)?.args(["install", "--quiet", "--disable-pip-version-check"]);
        reached(cmd.args(args))
    };
    let wheel = wheel.to_str().context("the wheel's path is not UTF-8")?;
    let is_ready = install(&REQUIREMENTS)? && install(&["--force-reinstall", "--no-deps", wheel])?;
    Ok(is_ready.then_some(venv))
}

/// Runs a program that needs PyPI; false if that cannot be reached.
fn reached(cmd: Cmd) -> Result<bool> {
    say(format!("$ {}", cmd.line()));
    let outcome = cmd.outside_cargo().env("PIP_RETRIES", "2").outcome(TIME_LIMIT)?;
    say(&outcome.text);
    if outcome.success() {
        return Ok(true);
    }
    if UNREACHABLE.iter().any(|sign| outcome.text.contains(sign)) {
        return Ok(false);
    }
    bail!("pip: {}", outcome.ending());
}

/// Builds one package, and runs its tests twice.
fn test(package: &Package, venv: &Path, python: &Python) -> Result<Verdict> {
    let Package { name, version, .. } = package;
    let exe = venv.join("bin/python");
    let Some(archive) = download(package, &exe)? else {
        return Ok(Verdict::Skipped("PyPI cannot be reached".to_string()));
    };
    let dir = fresh_dir(&format!("pypi/{name}-{}", python.name))?;
    Cmd::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&dir).run()?;

    // -O0: the compiler is what takes the time.
    let build = Cmd::new(&exe).args(["-m", "rmon", "instrument"]).arg(&archive);
    if !reached(build.cwd(&dir).env("CFLAGS", "-O0").env("CXXFLAGS", "-O0"))? {
        return Ok(Verdict::Skipped("PyPI cannot be reached".to_string()));
    }
    let report = dir.join("report");
    let alone = run_tests(package, &exe, &dir, Path::new(""))?;
    let heard = run_tests(package, &exe, &dir, &report)?;
    if alone != heard {
        bail!("without a tool: {alone}; with one: {heard}");
    }
    let text = fs::read_to_string(&report).context("the tool reports nothing")?;
    say(&text);
    let count = |event: &str| {
        let line = text.lines().find_map(|line| line.strip_suffix(event)?.trim().parse().ok());
        line.unwrap_or(0_u64)
    };
    let all_of = |events: [&str; 3]| events.map(count).iter().sum::<u64>();
    let begun = all_of([" PY_START", " PY_RESUME", " PY_THROW"]);
    let ended = all_of([" PY_RETURN", " PY_YIELD", " PY_UNWIND"]);
    if begun == 0 || count(" LINE") == 0 {
        bail!("the tool heard nothing of {name} {version}:\n{text}");
    }
    if begun != ended {
        bail!("functions began {begun} times and ended {ended} times:\n{text}");
    }
    passed_with(format!("{heard}; {begun} calls and {} lines heard", count(" LINE")))
}

/// The package's source archive, from PyPI the first time; None if that cannot be reached.
fn download(package: &Package, exe: &Path) -> Result<Option<PathBuf>> {
    let Package { name, version, .. } = package;
    let dir = target_dir().join("pypi");
    let archive = dir.join(format!("{name}-{version}.tar.gz"));
    if !archive.is_file() {
        let cmd = Cmd::new(exe).args(["-m", "pip", "download", "--quiet", "--no-deps"]);
        let cmd = cmd.args(["--no-binary", name, "--dest"]).arg(&dir);
        if !reached(cmd.arg(format!("{name}=={version}")))? {
            return Ok(None);
        }
    }
    Ok(Some(archive))
}

/// Runs a package's tests, with a tool if there is to be a report; how many passed.
fn run_tests(package: &Package, exe: &Path, dir: &Path, report: &Path) -> Result<String> {
    let Package { name, version, .. } = package;
    let cmd = Cmd::new(exe).arg(root().join("xtask/src/pypi/listen.py")).arg(report).arg(name);
    // Not with the package's own settings, which ask for coverage and more.
    let cmd = cmd.args(["--", "-q", "-c", "/dev/null", "-p", "no:cacheprovider"]);
    let cmd = cmd.args(package.left_out.iter().map(|glob| format!("--ignore-glob=/*/{glob}")));
    let cmd = match package.tests {
        Tests::Archive(folder) => cmd.arg(dir.join(format!("{name}-{version}")).join(folder)),
        Tests::Installed => cmd.args(["--pyargs", name]),
    };
    let cmd = cmd.cwd(dir).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    say(format!("$ {}", cmd.line()));
    let summary = pythons::pytest(cmd.outside_cargo(), TIME_LIMIT)
        .with_context(|| format!("the tests of {name}"))?;
    Ok(summary.split(" in ").next().unwrap_or_default().to_string())
}
