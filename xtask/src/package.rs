//! The Python package, bindings/python: built as a wheel for each CPython, installed, looked at, and
//! tested with pytest. Its sources are not on the interpreter's path meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::library::{self, SONAME};
use crate::pypi;
use crate::pythons::{self, Python};
use crate::sh::{Cmd, fresh_dir, root, say, target_dir};
use crate::steps::{Steps, Verdict, passed_with};

/// How long the tests may take in one interpreter.
const TIME_LIMIT: Duration = Duration::from_secs(1800);

/// How long one of them may take. (What hangs where no signal is heeded shows its stack by then.)
const TEST_LIMITS: [&str; 3] = ["--timeout=300", "-o", "faulthandler_timeout=240"];

/// What a wheel must have, besides the extension module.
const FILES: [&str; 20] = [
    "rmon/__init__.pxd",
    "rmon/__init__.py",
    "rmon/__main__.py",
    "rmon/_config.py",
    "rmon/_rmon.pyi",
    "rmon/_run.py",
    "rmon/include/rmon.h",
    "rmon/include/rmon.hpp",
    "rmon/include/rmon_python.h",
    "rmon/lib/cmake/rmon/rmonConfig.cmake",
    "rmon/lib/cmake/rmon/rmonConfigVersion.cmake",
    "rmon/lib/cmake/rmon/rmonPaths.cmake",
    "rmon/lib/librmon.so",
    "rmon/lib/librmon.so.0",
    "rmon/lib/pkgconfig/rmon-headers.pc",
    "rmon/lib/pkgconfig/rmon.pc",
    "rmon/monitoring.py",
    "rmon/py.typed",
    "rmon/testing.py",
    "rmon/testing.pyi",
];

/// A wheel and the interpreter that it is for.
struct Wheel {
    path: PathBuf,
    python: Python,
}

/// All steps for all interpreters.
pub fn all(steps: &mut Steps, pythons: &[Python]) {
    let built = steps.run_each(
        pythons,
        |python| format!("Python wheel: CPython {}", python.name),
        |python| {
            let wheel = Wheel { path: build_wheel(python)?, python: python.clone() };
            // If PyPI fails here, the tests try once more.
            drop(test_venv(python, "package"));
            check_wheel(&wheel)
        },
    );
    let mut wheels = Vec::new();
    for (python, built) in pythons.iter().zip(built) {
        let step = format!("Python package: CPython {}", python.name);
        if !built {
            steps.skip(&step, "its wheel failed");
            continue;
        }
        let brief = !steps.thorough && !wheels.is_empty(); // the newest comes first
        steps.run(&step, || {
            let path = only_file(&wheel_dir(python))?;
            wheels.push(Wheel { path, python: python.clone() });
            tests(wheels.last().context("no wheel")?, "package", brief, &["."])
        });
    }
    match wheels.first() {
        Some(wheel) => {
            steps.run("Python wheels: manylinux", || manylinux(&wheels));
            steps.run("Python sdist", || sdist(wheel));
            steps.run("Python package: released as without a GIL", || deferred(&wheel.python));
            let is_other = |last: &&Wheel| last.python.name != wheel.python.name;
            let oldest = wheels.last().filter(|last| steps.thorough && is_other(last));
            let ends = [Some(wheel), oldest].into_iter().flatten();
            let ends: Vec<_> = ends.map(|wheel| (wheel.path.as_path(), &wheel.python)).collect();
            pypi::all(steps, &ends);
        }
        None => steps.skip("Python wheels and sdist", "there is no wheel"),
    }
}

fn sources() -> PathBuf {
    root().join("bindings/python")
}

/// Where an interpreter's wheel of rmon is, once it is built, and nothing else.
pub fn wheel_dir(python: &Python) -> PathBuf {
    target_dir().join("xtask/wheels").join(&python.name)
}

/// Builds the package as pip does for a user; the wheel.
pub fn build_wheel(python: &Python) -> Result<PathBuf> {
    let dir = fresh_dir(&format!("wheels/{}", python.name))?;
    let venv = pythons::venv(python, "package")?;
    pip_wheel(&venv, &sources(), &dir)?.env("CARGO_TARGET_DIR", target_dir()).run()?;
    let mut left = Vec::new();
    find_binaries(&sources(), &mut left)?;
    left.extend(["build", "rmon.egg-info"].map(|name| sources().join(name)));
    if let Some(path) = left.iter().find(|path| path.exists()) {
        bail!("the build leaves {} in the source tree", path.display());
    }
    only_file(&dir)
}

/// The tests of threads, with what has been replaced being released as it is in a build without a GIL, which there may
/// not be on this machine.
fn deferred(python: &Python) -> Result<Verdict> {
    const ENVIRONMENT: &str = "deferred";
    const FILES: [&str; 4] =
        ["test_threads.py", "test_interpreters.py", "test_storm.py", "test_deadlock.py"];
    if python.version < (3, 13, 0) {
        return Ok(Verdict::Skipped("no CPython has builds without a GIL".to_string()));
    }
    let dir = fresh_dir(&format!("wheels/{}-{ENVIRONMENT}", python.name))?;
    let wheel = pip_wheel(&pythons::venv(python, ENVIRONMENT)?, &sources(), &dir)?;
    wheel.env("CARGO_TARGET_DIR", target_dir()).env("CFLAGS", "-DDEFER_RELEASE=1").run()?;
    let wheel = Wheel { path: only_file(&dir)?, python: python.clone() };
    tests(&wheel, ENVIRONMENT, true, &FILES)
}

/// A command that makes a wheel in `to`.
fn pip_wheel(venv: &Path, source: &Path, to: &Path) -> Result<Cmd> {
    let cmd = pythons::pip(venv)?.outside_cargo();
    let cmd = cmd.args(["wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    Ok(cmd.arg("--wheel-dir").arg(to).arg(source))
}

/// The only file in a folder.
fn only_file(dir: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    match files.as_slice() {
        [file] => Ok(file.clone()),
        _ => bail!("{}: {} files where one was expected", dir.display(), files.len()),
    }
}

/// The wheel has what it must have, librmon once, and nothing of this machine.
fn check_wheel(wheel: &Wheel) -> Result<Verdict> {
    let dir = unpack(wheel)?;
    for file in FILES {
        if !dir.join(file).is_file() {
            bail!("the wheel has no {file}");
        }
    }
    let mut binaries = Vec::new();
    find_binaries(&dir, &mut binaries)?;
    binaries.sort();
    let [module, library] = binaries.as_slice() else {
        bail!("the wheel has these binaries, not the module and one librmon: {binaries:?}");
    };
    if !file_name(module).starts_with("_rmon.cpython-") || file_name(library) != SONAME {
        bail!("the wheel's binaries are {binaries:?}");
    }
    if library::dynamic(library, "SONAME")? != [SONAME] {
        bail!("{SONAME} does not have this as its SONAME");
    }
    let needed = library::dynamic(module, "NEEDED")?;
    if !needed.iter().any(|name| name == SONAME)
        || needed.iter().any(|name| name.contains("python"))
    {
        bail!("_rmon needs {needed:?}");
    }
    // Not RUNPATH, before which the loader looks into LD_LIBRARY_PATH.
    let paths = [library::dynamic(module, "RPATH")?, library::dynamic(module, "RUNPATH")?];
    if paths[0] != ["$ORIGIN/lib"] || !paths[1].is_empty() {
        bail!("_rmon's run-time paths (RPATH, RUNPATH) are {paths:?}, not $ORIGIN/lib alone");
    }
    let paths =
        [library::dynamic(library, "RUNPATH")?, library::dynamic(library, "RPATH")?].concat();
    if !paths.is_empty() {
        bail!("{SONAME} has a run-time path: {paths:?}");
    }
    passed_with(file_name(&wheel.path))
}

/// Unpacks the wheel; the folder.
fn unpack(wheel: &Wheel) -> Result<PathBuf> {
    let dir = fresh_dir(&format!("wheels-unpacked/{}", wheel.python.name))?;
    Cmd::new(&wheel.python.exe).args(["-m", "zipfile", "-e"]).arg(&wheel.path).arg(&dir).run()?;
    Ok(dir)
}

/// Adds the ELF files below a folder to a list.
fn find_binaries(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_binaries(&path, found)?;
        } else if fs::read(&path)?.starts_with(b"\x7fELF") {
            found.push(path);
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The environment of that name, with what the tests need.
fn test_venv(python: &Python, name: &str) -> Result<PathBuf> {
    let venv = pythons::venv(python, name)?;
    pythons::pip_install_once(&venv, &requirements()?)?;
    Ok(venv)
}

/// Installs the wheel into an environment and runs these tests with it, on all cores: most of them start
/// processes. `brief`: without those that take long, and are not about what differs between CPythons.
fn tests(wheel: &Wheel, environment: &str, brief: bool, files: &[&str]) -> Result<Verdict> {
    let venv = test_venv(&wheel.python, environment)?;
    let path = wheel.path.to_str().context("the wheel's path is not UTF-8")?;
    pythons::pip_install(&venv, &["--force-reinstall", "--no-deps", path])?;

    let dir = fresh_dir(&format!("{environment}-tests/{}", wheel.python.name))?;
    let python = || {
        let cmd = Cmd::new(venv.join("bin/python")).cwd(&dir).env_remove("PYTHONPATH");
        cmd.env("PYTHONDONTWRITEBYTECODE", "1").outside_cargo()
    };
    let tested = python().args(["-c", "import rmon; print(rmon.__file__)"]).read()?;
    if !Path::new(&tested).starts_with(&venv) {
        bail!("the rmon that would be tested is {tested}");
    }
    let cmd = python().args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp"]);
    // More than there are cores: many tests wait for processes of theirs.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let workers = (cores * 3).div_ceil(2).to_string();
    let cmd =
        cmd.arg(dir.join("tmp")).args(TEST_LIMITS).args(["-n", &workers, "--dist", "worksteal"]);
    let files = files.iter().map(|file| sources().join("tests").join(file));
    let cmd = cmd.args(brief.then_some("--brief")).args(files);
    say(format!("$ {}", cmd.line()));
    passed_with(pythons::pytest(cmd, TIME_LIMIT)?)
}

/// What the tests need from PyPI.
fn requirements() -> Result<Vec<String>> {
    let path = sources().join("tests/requirements.txt");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_string).collect())
}

/// An environment with the tools that look at packages.
fn tools() -> Result<PathBuf> {
    let lender = pythons::find_all().into_iter().find(|python| python.has_ensurepip);
    let venv = pythons::venv(&lender.context("no CPython has a pip")?, "packaging")?;
    pythons::pip_install_once(&venv, &["auditwheel>=6.5", "setuptools>=77"])?;
    Ok(venv)
}

/// The wheels need nothing but what every Linux has that is as new as this one.
fn manylinux(wheels: &[Wheel]) -> Result<Verdict> {
    let venv = tools()?;
    let mut tags = Vec::new();
    for wheel in wheels {
        let cmd = Cmd::new(venv.join("bin/auditwheel")).args(["show", "--json"]).arg(&wheel.path);
        let text = cmd.read()?;
        say(&text);
        let report: Value = serde_json::from_str(&text).context("auditwheel's answer")?;
        let tag = report["overall_tag"].as_str().unwrap_or_default();
        let external = report["external_libs"].as_object().context("no external_libs")?;
        if !tag.contains("linux_") || tag.starts_with("linux_") || !external.is_empty() {
            bail!("{}: {tag}, needs {external:?}", file_name(&wheel.path));
        }
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_string());
        }
    }
    passed_with(tags.join(", "))
}

/// The sdist is complete: a wheel that is built from it alone has the same files.
fn sdist(wheel: &Wheel) -> Result<Verdict> {
    const BUILD: &str = "import sys, rmon_build; rmon_build.build_sdist(sys.argv[1])";
    let (from, to) = (fresh_dir("sdist")?, fresh_dir("sdist-wheel")?);
    Cmd::new(tools()?.join("bin/python"))
        .args(["-c", BUILD])
        .arg(&from)
        .cwd(sources())
        .env("PYTHONPATH", "_build")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .outside_cargo()
        .run()?;
    let archive = only_file(&from)?;
    let venv = pythons::venv(&wheel.python, "package")?;
    // Built where a user would: in a target folder of its own.
    pip_wheel(&venv, &archive, &to)?.env_remove("CARGO_TARGET_DIR").run()?;
    let files =
        |wheel: &Path| Cmd::new(venv.join("bin/python")).args(["-c", LIST]).arg(wheel).read();
    let (one, other) = (files(&wheel.path)?, files(&only_file(&to)?)?);
    if one != other {
        bail!(
            "the wheel from the sdist has other files\n{other}\nthan the one from the tree\n{one}"
        );
    }
    passed_with(file_name(&archive))
}

/// Lists the files of a wheel.
const LIST: &str = "\
import sys, zipfile
print(*sorted(zipfile.ZipFile(sys.argv[1]).namelist()), sep='\\n')
";
