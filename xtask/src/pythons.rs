//! Finds the CPython interpreters of this machine and makes virtual environments for them.
//!
//! One interpreter per minor version counts, 3.9 or newer, with its headers. An interpreter is
//! asked for what it is: names of files and folders prove nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::sh::{Cmd, root, say, target_dir};

/// The minor versions of CPython 3 that rmon supports.
pub const SUPPORTED: std::ops::RangeInclusive<u8> = 9..=15;

/// Those that few distributions have, which `--fetch` unpacks.
const FETCHED: [&str; 2] = ["3.14", "3.15"];

/// Options of `cargo xtask pythons`.
#[derive(clap::Args)]
pub struct Args {
    /// First unpack CPython 3.14 and 3.15 under target/pythons/, if ../shared/pythons/fetch-python
    /// is there
    #[arg(long)]
    fetch: bool,
}

/// A CPython that the tests can use.
#[derive(Clone, Debug)]
pub struct Python {
    /// The interpreter.
    pub exe: PathBuf,
    /// Major, minor and micro version.
    pub version: (u8, u8, u8),
    /// "3.14", or "3.14t" for a free-threaded build: good for names of folders and for messages.
    pub name: String,
    /// True if it is a build without the GIL.
    pub free_threaded: bool,
    /// The folder that has Python.h.
    pub include: PathBuf,
    /// The shared libpython, if there is one; else the interpreter itself exports what a libpython
    /// exports.
    pub libpython: Option<PathBuf>,
    /// True if it has pip's own installer, so that `python -m venv` gives an environment with pip.
    pub has_ensurepip: bool,
}

impl Python {
    /// The file whose dynamic symbols are those of this CPython.
    pub fn symbols(&self) -> &Path {
        self.libpython.as_deref().unwrap_or(&self.exe)
    }
}

/// Lists the interpreters.
pub fn run(args: Args) -> Result<()> {
    if args.fetch {
        fetch()?;
    }
    for python in find_all() {
        let (major, minor, micro) = python.version;
        println!("{:6} {major}.{minor}.{micro}  {}", python.name, python.exe.display());
    }
    Ok(())
}

/// Unpacks the interpreters that distributions lack. Says so and does nothing if the script for it
/// is absent.
fn fetch() -> Result<()> {
    let script = root().join("../shared/pythons/fetch-python");
    if !script.is_file() {
        say("../shared/pythons/fetch-python is not there: CPython 3.14 and 3.15 are not unpacked");
        return Ok(());
    }
    // One that cannot be had must not keep the other out.
    let unpack = |version: &&str| {
        Cmd::new("bash").arg(&script).arg(version).arg(fetched_dir().join(version)).run()
    };
    let results = FETCHED.iter().map(unpack).collect::<Vec<_>>();
    results.into_iter().collect()
}

fn fetched_dir() -> PathBuf {
    root().join("target/pythons")
}

/// All interpreters, newest first, one per minor version (a free-threaded build counts as a version
/// of its own). Sources, the first that has a version wins: RMON_PYTHONS, target/pythons/, pyenv,
/// the PATH.
pub fn find_all() -> Vec<Python> {
    let mut found: Vec<Python> = Vec::new();
    for source in [named(), unpacked(), pyenv(), path()] {
        let mut pythons: Vec<Python> = source.iter().filter_map(|exe| inspect(exe)).collect();
        pythons.sort_by_key(|python| std::cmp::Reverse(python.version));
        for python in pythons {
            if !found.iter().any(|known| known.name == python.name) {
                found.push(python);
            }
        }
    }
    found.sort_by(|a, b| (b.version, a.free_threaded).cmp(&(a.version, b.free_threaded)));
    found
}

/// What an interpreter says of itself; None if it does not run, is no CPython 3.9 or newer, or has
/// no headers.
pub fn inspect(exe: &Path) -> Option<Python> {
    const QUESTIONS: &str = "\
import importlib.util, os, sys, sysconfig
var = sysconfig.get_config_var
lib = os.path.join(var('LIBDIR') or '', var('LDLIBRARY') or '')
near = os.path.join(sys.base_prefix, 'lib', sysconfig.get_config_var('MULTIARCH') or '', var('LDLIBRARY') or '')
libs = [l for l in (near, lib) if '.so' in l and os.path.isfile(l)] if var('Py_ENABLE_SHARED') else []
print(sys.implementation.name, *sys.version_info[:3], int(bool(var('Py_GIL_DISABLED'))),
      int(importlib.util.find_spec('ensurepip') is not None), sep='\\n')
print(sysconfig.get_paths()['include'], libs[0] if libs else '', sep='\\n')
";
    let answer = Cmd::new(exe)
        .args(["-c", QUESTIONS])
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .read()
        .ok()?;
    let lines: Vec<&str> = answer.split('\n').collect();
    let &[implementation, major, minor, micro, free_threaded, ensurepip, include, ref rest @ ..] =
        lines.as_slice()
    else {
        return None;
    };
    let version = (major.parse().ok()?, minor.parse().ok()?, micro.parse().ok()?);
    let include = PathBuf::from(include);
    if implementation != "cpython"
        || version < (3, 9, 0)
        || version.0 != 3
        || !include.join("Python.h").is_file()
    {
        return None;
    }
    let free_threaded = free_threaded == "1";
    Some(Python {
        exe: exe.to_path_buf(),
        version,
        name: format!("{major}.{minor}{}", if free_threaded { "t" } else { "" }),
        free_threaded,
        include,
        libpython: rest.first().filter(|lib| !lib.is_empty()).map(PathBuf::from),
        has_ensurepip: ensurepip == "1",
    })
}

/// Makes (or finds again) a virtual environment under the target folder; returns its folder. `name`
/// tells apart the environments of one interpreter. Its interpreter is `bin/python` in it; see
/// [`pip_install`] for packages.
pub fn venv(python: &Python, name: &str) -> Result<PathBuf> {
    let dir = target_dir().join("venvs").join(format!("{name}-{}", python.name));
    let exe = dir.join("bin/python");
    let same = |p: Python| p.version == python.version && p.free_threaded == python.free_threaded;
    if exe.is_file() && inspect(&exe).is_some_and(same) {
        return Ok(dir);
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let make = Cmd::new(&python.exe).args(["-m", "venv"]);
    // Without ensurepip there is no pip to put in; pip_install then lends another interpreter's.
    let make = if python.has_ensurepip { make } else { make.arg("--without-pip") };
    make.arg(&dir).run().with_context(|| {
        format!("cannot make a virtual environment for CPython {}", python.name)
    })?;
    Ok(dir)
}

/// The pip of a virtual environment made by [`venv`], or another's that works on it.
pub fn pip(venv: &Path) -> Result<Cmd> {
    let exe = venv.join("bin/python");
    let own = Cmd::new(&exe).args(["-m", "pip", "--version"]).read().is_ok();
    Ok(if own { Cmd::new(&exe).args(["-m", "pip"]) } else { lent_pip()?.arg("--python").arg(&exe) })
}

/// Installs packages from PyPI (or folders) into a virtual environment made by [`venv`].
pub fn pip_install<S: AsRef<str>>(venv: &Path, args: &[S]) -> Result<()> {
    let args = args.iter().map(AsRef::as_ref);
    // A lent pip is compiled for the interpreter that it runs in, or each call would do so again.
    let cmd = pip(venv)?.env_remove("PYTHONDONTWRITEBYTECODE");
    cmd.args(["install", "--quiet", "--disable-pip-version-check"]).args(args).run()
}

/// [`pip_install`] for packages that, once there, are left as they are: does nothing the second
/// time.
pub fn pip_install_once<S: AsRef<str>>(venv: &Path, packages: &[S]) -> Result<()> {
    let note = venv.join("rmon-installed");
    let wanted = packages.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\n");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    pip_install(venv, packages)?;
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))
}

/// Another interpreter's pip, new enough for --python: the newest one's that has a pip of its own.
fn lent_pip() -> Result<Cmd> {
    // Made once, whoever comes first.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(lender) = find_all().into_iter().find(|python| python.has_ensurepip) else {
        bail!("no CPython on this machine has a pip");
    };
    let dir = venv(&lender, "pip")?;
    let exe = dir.join("bin/python");
    let stamp = dir.join("pip-is-new");
    if !stamp.is_file() {
        Cmd::new(&exe)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--upgrade",
                "pip",
            ])
            .run()?;
        fs::write(&stamp, "")?;
    }
    Ok(Cmd::new(exe).args(["-m", "pip"]))
}

/// The interpreters that the user names.
fn named() -> Vec<PathBuf> {
    std::env::var_os("RMON_PYTHONS")
        .map(|value| std::env::split_paths(&value).collect())
        .unwrap_or_default()
}

/// Those that `--fetch` unpacked.
fn unpacked() -> Vec<PathBuf> {
    FETCHED
        .iter()
        .map(|version| fetched_dir().join(version).join("usr/bin").join(format!("python{version}")))
        .collect()
}

/// pyenv's.
fn pyenv() -> Vec<PathBuf> {
    let versions = Cmd::new("pyenv").args(["versions", "--bare"]).read().unwrap_or_default();
    let wanted = versions.lines().map(str::trim).filter(|version| !version.contains('/'));
    let prefix = |version: &str| Cmd::new("pyenv").args(["prefix", version]).read().ok();
    wanted.filter_map(prefix).map(|dir| Path::new(&dir).join("bin/python")).collect()
}

/// Those on the PATH. A shim that hands over to no interpreter fails when asked, and so drops out.
fn path() -> Vec<PathBuf> {
    let names =
        SUPPORTED.rev().map(|minor| format!("python3.{minor}")).chain(["python3".to_string()]);
    names.filter_map(|name| crate::sh::which(&name)).collect()
}

/// Runs pytest and says what it said; the line that counts the tests. All must pass, and there must be
/// some.
pub fn pytest(cmd: Cmd, limit: Duration) -> Result<String> {
    let outcome = cmd.outcome(limit)?;
    say(&outcome.text);
    if !outcome.success() {
        bail!("pytest: {}", outcome.ending());
    }
    let summary = outcome.text.lines().rev().find(|line| line.contains(" passed"));
    Ok(summary.context("pytest ran no test")?.trim_matches(['=', ' ']).to_string())
}
