//! The projects in examples/: each is built and run as its README says, in a copy.
//!
//! An extension for Python is built as a wheel by pip, with what its pyproject.toml asks for. Then its tests
//! run and its demo prints what README.md promises, first without rmon, then with it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::library::Library;
use crate::pythons::{self, Python};
use crate::sh::{Cmd, fresh_dir, on_path, root, say, target_dir};
use crate::steps::{Steps, Verdict, passed, passed_with};
use crate::{install, package, rust_extension};

/// The examples that other steps run: the demo, the Python package's tests, the Rust ones.
const ELSEWHERE: [&str; 4] = ["event-counter", "rust-emitter", "rust-tool", "template-engine"];

/// The extensions for Python.
const EXTENSIONS: [&str; 4] =
    ["c-extension-cmake", "c-extension-meson", "c-extension-setuptools", "cython-package"];

/// The one that is built once for all CPythons, and its module.
const ABI3: &str = "abi3-extension";
const ABI3_MODULE: &str = "mailfilter";

/// What the extensions are built with, from PyPI.
const BUILD_TOOLS: [&str; 5] = [
    "setuptools>=77",
    "cython>=3.1",
    "meson-python>=0.16",
    "scikit-build-core>=0.10",
    "ninja>=1.8.2",
];

/// The programs without Python, each with a Makefile that has the target `check`, or with CMake's tests.
const PROGRAMS: [&str; 2] = ["c-program", "cpp-program"];

/// How long the tests of an example may take.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What cython-package is measured by in its tests.
const COVERAGE: [&str; 2] = ["coverage>=7.7", "cython>=3.1"];

/// A step for each example; extensions in the newest of `pythons` (and in the oldest, if all is to be), the one for the stable ABI in
/// all. `library` is None where programs without Python are left out.
pub fn all(steps: &mut Steps, library: Option<&Library>, pythons: &[Python]) {
    steps.run("examples: each has a step", every_folder_is_known);
    if let Some(library) = library {
        for name in PROGRAMS {
            steps.run(&format!("examples/{name}"), || program(name, library));
        }
    }
    let pythons: Vec<_> = pythons.iter().filter(|python| !python.free_threaded).collect();
    let Some((oldest, newest)) = pythons.last().zip(pythons.first()) else {
        steps.skip("examples: extensions", "no CPython found");
        return;
    };
    let one = oldest.name == newest.name || !steps.thorough;
    let ends = if one { vec![newest] } else { vec![newest, oldest] };
    for name in EXTENSIONS {
        for python in &ends {
            steps.run(&format!("examples/{name}: CPython {}", python.name), || {
                match build_extension(name, python)? {
                    Ok(wheel) => try_out(name, &wheel, python),
                    Err(missing) => Ok(Verdict::Skipped(missing)),
                }
            });
        }
    }
    stable_abi(steps, &pythons, oldest);
}

/// A folder that no step knows is one that nobody runs.
fn every_folder_is_known() -> Result<Verdict> {
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples"))? {
        let entry = entry?;
        if entry.path().is_dir() {
            folders.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let known = EXTENSIONS.into_iter().chain([ABI3]).chain(ELSEWHERE).chain(PROGRAMS);
    let known: BTreeSet<_> = known.map(str::to_string).collect();
    if folders != known {
        let odd: Vec<_> = folders.symmetric_difference(&known).collect();
        bail!("a folder without a step, or the other way round: {odd:?}");
    }
    passed_with(format!("{} folders", folders.len()))
}

/// A fresh copy of an example.
fn copied(name: &str, under: &str) -> Result<PathBuf> {
    let dir = fresh_dir(&format!("examples/{name}/{under}"))?;
    copy_into(&root().join("examples").join(name), &dir)?;
    Ok(dir)
}

fn copy_into(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !path.is_dir() {
            fs::copy(&path, &target).with_context(|| format!("cannot copy {}", path.display()))?;
        } else if entry.file_name() != "__pycache__" {
            copy_into(&path, &target)?;
        }
    }
    Ok(())
}

/// Builds a program against an installed librmon and has it tested by its own build files.
fn program(name: &str, library: &Library) -> Result<Verdict> {
    let (dir, prefix) = (copied(name, "program")?, fresh_dir(&format!("examples/{name}/prefix"))?);
    let by_make = dir.join("Makefile").is_file();
    let tool = if by_make { "make" } else { "cmake" };
    if !on_path(tool) {
        return Ok(Verdict::Skipped(format!("{tool} not found")));
    }
    install::install(library, &prefix, None, Path::new("lib"))?;
    if by_make {
        let cmd = Cmd::new("make").arg("check").cwd(&dir);
        let cmd = cmd.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        cmd.env("LD_LIBRARY_PATH", prefix.join("lib")).run()?;
    } else {
        let build = dir.join("build");
        let found = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
        Cmd::new("cmake").arg("-S").arg(&dir).arg("-B").arg(&build).arg(found).run()?;
        Cmd::new("cmake").arg("--build").arg(&build).run()?;
        let cmd = Cmd::new("ctest").args(["--output-on-failure", "--no-tests=error"]);
        cmd.cwd(&build).run()?;
    }
    passed()
}

/// rmon's own wheel for an interpreter, which [`crate::package`] has made.
fn rmon_wheel(python: &Python) -> Result<PathBuf> {
    rust_extension::only_wheel(&package::wheel_dir(python)).context("rmon's own wheel")
}

/// Builds an extension as pip does it for a user; or says what is missing for it. That the environment has what
/// the extension's pyproject.toml asks for, pip checks.
fn build_extension(name: &str, python: &Python) -> Result<std::result::Result<PathBuf, String>> {
    if name == "c-extension-cmake" && !on_path("cmake") {
        return Ok(Err("cmake not found".to_string()));
    }
    let venv = pythons::venv(python, "examples-build")?;
    if let Err(error) = pythons::pip_install_once(&venv, &BUILD_TOOLS) {
        return Ok(Err(format!("what builds it cannot be had: {error:#}")));
    }
    install_wheel(&venv, &rmon_wheel(python)?)?;
    let dir = copied(name, &python.name)?;
    let wheels = fresh_dir(&format!("examples/{name}/{}-wheel", python.name))?;
    let path = std::env::var("PATH").unwrap_or_default();
    pythons::pip(&venv)?
        .args(["wheel", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--no-build-isolation", "--check-build-dependencies", "--wheel-dir"])
        .arg(&wheels)
        .arg(&dir)
        .env("PATH", format!("{}:{path}", venv.join("bin").display()))
        .outside_cargo()
        .run()?;
    rust_extension::only_wheel(&wheels).map(Ok)
}

fn install_wheel(venv: &Path, wheel: &Path) -> Result<()> {
    let path = wheel.to_str().context("a wheel's path is not UTF-8")?;
    pythons::pip_install(venv, &["--force-reinstall", "--no-deps", path])
}

/// An extension's tests and its demo, first without rmon, then with it. The demo prints what README.md says, as
/// two blocks of text.
pub fn try_out(name: &str, wheel: &Path, python: &Python) -> Result<Verdict> {
    let (rmon, dir) = (rmon_wheel(python)?, copied(name, &format!("{}-tests", python.name))?);
    // What was compiled must be found where it is installed, not beside the tests.
    let venv = pythons::venv(python, "examples")?;
    if name == "cython-package"
        && let Err(error) = pythons::pip_install_once(&venv, &COVERAGE)
    {
        return Ok(Verdict::Skipped(format!("{} cannot be had: {error:#}", COVERAGE[0])));
    }
    let exe = || {
        let cmd = Cmd::new(venv.join("bin/python")).cwd(&dir).env_remove("PYTHONPATH");
        cmd.env("PYTHONDONTWRITEBYTECODE", "1")
    };
    pythons::pip(&venv)?.args(["uninstall", "--quiet", "--yes", "rmon"]).run()?;
    install_wheel(&venv, wheel)?;
    let readme = fs::read_to_string(dir.join("README.md"))?;
    let texts: Vec<_> = readme.split("```text\n").skip(1).collect();
    let [without, with] = texts.as_slice() else {
        bail!("README.md has {} outputs, not two", texts.len());
    };
    let mut count = String::new();
    for (text, has_rmon) in [(without, false), (with, true)] {
        if has_rmon {
            install_wheel(&venv, &rmon)?;
        }
        let installed = exe().args(["-c", "import rmon"]).read().is_ok();
        if installed != has_rmon {
            bail!("rmon is installed: {installed}");
        }
        count = unittest(exe(), has_rmon)?;
        let output = exe().arg("demo.py").read()?;
        let promised = text.split("```").next().unwrap_or_default().trim_end();
        if output.trim_end() != promised {
            bail!("the demo prints\n{output}\nand README.md says\n{promised}");
        }
    }
    passed_with(count)
}

/// Runs the tests of a project; how many there were. With rmon none may be skipped.
fn unittest(python: Cmd, has_rmon: bool) -> Result<String> {
    let outcome = python.args(["-m", "unittest"]).outcome(TIME_LIMIT)?;
    say(&outcome.text);
    let ran = outcome.text.lines().rev().find_map(|line| line.strip_prefix("Ran "));
    let count = ran.and_then(|line| line.split(" in ").next()).unwrap_or("0 tests").to_string();
    let skips = outcome.text.contains("skipped=");
    if !outcome.success() || count.starts_with("0 ") || skips == has_rmon {
        bail!("unittest: {}, {count}, skipped some: {skips}", outcome.ending());
    }
    Ok(count)
}

/// The extension for the stable ABI: one file, built by the oldest interpreter, in all of them.
fn stable_abi(steps: &mut Steps, pythons: &[&Python], oldest: &Python) {
    let name = ABI3;
    let mut built = None;
    steps.run(&format!("examples/{name}: built by CPython {}", oldest.name), || {
        let wheel = match build_extension(name, oldest)? {
            Ok(wheel) => wheel,
            Err(missing) => return Ok(Verdict::Skipped(missing)),
        };
        let file = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !file.contains("-cp39-abi3-") {
            bail!("{file} is not for the stable ABI of 3.9");
        }
        let unpacked = fresh_dir(&format!("examples/{name}/unpacked"))?;
        let unzip = Cmd::new(&oldest.exe).args(["-m", "zipfile", "-e"]);
        unzip.arg(&wheel).arg(&unpacked).run()?;
        // CPython 3.15 puts the platform behind ".abi3".
        let names = fs::read_dir(&unpacked)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        let is_module =
            |name: &&OsString| name.to_string_lossy().starts_with(&format!("{ABI3_MODULE}.abi3"));
        let module = names.iter().find(is_module).context("the wheel has no module")?;
        built = Some((wheel, sha256(&unpacked.join(module))?));
        passed_with(file)
    });
    let step =
        |python: &&Python| format!("examples/{name}: the same file in CPython {}", python.name);
    match &built {
        Some((wheel, sum)) => {
            steps.run_each(pythons, step, |python| same_file(wheel, sum, python));
        }
        None => pythons.iter().for_each(|python| steps.skip(&step(python), "it is not built")),
    }
}

/// The example's own tests, and whether it is the very file that was built.
fn same_file(wheel: &Path, sum: &str, python: &Python) -> Result<Verdict> {
    let verdict = try_out(ABI3, wheel, python)?;
    let Verdict::Passed(note) = verdict else { return Ok(verdict) };
    let venv = pythons::venv(python, "examples")?;
    let which = format!("import {ABI3_MODULE}; print({ABI3_MODULE}.__file__)");
    let file = Cmd::new(venv.join("bin/python")).args(["-c", &which]).cwd(target_dir()).read()?;
    let installed = sha256(Path::new(&file))?;
    if installed != sum {
        bail!("{file} has the SHA-256 {installed}, and what was built {sum}");
    }
    passed_with(format!("{note}, SHA-256 {}…", &sum[..12]))
}

fn sha256(file: &Path) -> Result<String> {
    let text = Cmd::new("sha256sum").arg(file).read()?;
    Ok(text.split(' ').next().context("sha256sum says nothing")?.to_string())
}
