//! bindings/rust, the crate of probes for Rust: its features, old Rusts and old PyO3s, an extension that
//! fires into Python tools, and the examples that are written in Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::examples;
use crate::library;
use crate::pythons::{self, Python};
use crate::sh::{self, Cmd, fresh_dir, root, say, target_dir};
use crate::steps::{Steps, Verdict, passed, passed_with};

/// How long tests of an extension may take.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What the examples are built with.
const MATURIN: &str = "maturin>=1.9.4,<2";

/// The steps of the crate itself. `pythons` have rmon installed where [`crate::package`] does that.
pub fn all(steps: &mut Steps, pythons: &[Python]) {
    steps.run("rmon-emitter: as old a Rust as it says", old_rust);
    let pythons: Vec<_> = pythons.iter().filter(|python| !python.free_threaded).collect();
    let Some(oldest) = pythons.last() else {
        steps.skip("rmon-emitter: PyO3", "no CPython with a limited API");
        return;
    };
    steps.run("rmon-emitter: features", || features(oldest));
    if steps.thorough {
        steps.run("rmon-emitter: oldest PyO3", || {
            let library = extension("bindings/rust/tests/oldest-pyo3", "liboldest.so", oldest)?;
            machine_code(&library)
        });
    } else {
        steps.skip("rmon-emitter: oldest PyO3", "only with --thorough");
    }
    let mut library = None;
    steps.run("Rust extension: nothing linked", || {
        let tests = "bindings/rust/tests/python";
        lint(tests, Some(oldest))?;
        library = Some(extension(tests, "libfiring.so", oldest)?);
        passed()
    });
    for python in pythons {
        let step = format!("Rust extension: CPython {}", python.name);
        match &library {
            Some(library) => drop(steps.run(&step, || events(library, python))),
            None => steps.skip(&step, "it does not build"),
        }
    }
}

/// The steps of the examples: examples/rust-tool, and examples/rust-emitter in the oldest and the newest
/// of `pythons`.
pub fn examples(steps: &mut Steps, pythons: &[Python]) {
    steps.run("examples/rust-tool", || {
        lint("examples/rust-tool", None)?;
        project("test", "examples/rust-tool").run()?;
        passed()
    });
    let mut pythons: Vec<_> = pythons.iter().filter(|python| !python.free_threaded).collect();
    if pythons.len() > 2 {
        pythons.drain(1..pythons.len() - 1);
    }
    let Some(oldest) = pythons.last() else {
        steps.skip("examples/rust-emitter", "no CPython with a limited API");
        return;
    };
    let mut wheel = None;
    steps.run("examples/rust-emitter: wheel", || {
        let venv = pythons::venv(oldest, "maturin")?;
        if let Err(error) = pythons::pip_install_once(&venv, &[MATURIN]) {
            return Ok(Verdict::Skipped(format!("maturin cannot be had: {error:#}")));
        }
        lint("examples/rust-emitter", Some(oldest))?;
        let built = maturin_wheel(&venv)?;
        let note = built.file_name().unwrap_or_default().to_string_lossy().into_owned();
        wheel = Some(built);
        passed_with(note)
    });
    for python in pythons {
        let step = format!("examples/rust-emitter: CPython {}", python.name);
        match &wheel {
            Some(wheel) => {
                steps.run(&step, || examples::try_out("rust-emitter", wheel, python));
            }
            None => steps.skip(&step, "there is no wheel of it"),
        }
    }
}

/// Compiled by a rustc of the version that Cargo.toml names, if there is one.
fn old_rust() -> Result<Verdict> {
    let dir = root().join("bindings/rust");
    let manifest = fs::read_to_string(dir.join("Cargo.toml"))?;
    let value = |key: &str| {
        let line = manifest.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split('"').nth(1)).with_context(|| format!("{key} is not there"))
    };
    let (wanted, version) = (value("rust-version")?, value("version")?);
    let Some(rustc) = find_rustc(wanted) else {
        return Ok(Verdict::Skipped(format!(
            "no rustc {wanted} (Debian 12's package rustc is one)"
        )));
    };
    let out = fresh_dir("old-rust")?;
    for feature in ["none", "python"] {
        let mut cmd = Cmd::new(&rustc).args(["--edition", "2021", "--crate-type", "rlib"]);
        cmd = cmd.args(["--crate-name", "rmon_emitter", "-D", "warnings", "--cfg"]);
        cmd = cmd.arg(format!("feature=\"{feature}\"")).arg("--out-dir").arg(&out);
        for (name, part) in ["MAJOR", "MINOR", "PATCH"].iter().zip(version.split('.')) {
            cmd = cmd.env(format!("CARGO_PKG_VERSION_{name}"), part);
        }
        cmd.arg(dir.join("src/lib.rs")).run()?;
    }
    passed_with(Cmd::new(rustc).arg("--version").read()?)
}

/// A rustc of this version: one on the PATH, or one of rustup's.
pub fn find_rustc(version: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("rustc"));
    let rustup = Cmd::new("rustup").args(["which", "rustc", "--toolchain", version]).read();
    let wanted = format!("rustc {version}.");
    on_path.chain(rustup.ok().map(PathBuf::from)).find(|rustc| {
        let cmd = Cmd::new(rustc).arg("--version").env("RUSTUP_AUTO_INSTALL", "0");
        cmd.read().is_ok_and(|text| text.starts_with(&wanted))
    })
}

/// Every set of features is free of warnings, and so are their docs.
fn features(python: &Python) -> Result<Verdict> {
    for feature in ["", "python", "pyo3"] {
        // The only CPython may be newer than this PyO3; nothing is run.
        let cargo = || {
            let cmd = sh::cargo().env("PYO3_PYTHON", &python.exe);
            cmd.env("PYO3_USE_ABI3_FORWARD_COMPATIBILITY", "1")
        };
        let which = ["--package", "rmon-emitter", "--lib", "--features", feature];
        cargo().arg("clippy").args(which).args(["--", "-D", "warnings"]).run()?;
        cargo().args(["doc", "--no-deps"]).args(which).env("RUSTDOCFLAGS", "-D warnings").run()?;
    }
    passed()
}

/// A cargo command in a project of its own. They share a target folder, and so what they depend on.
fn project(command: &str, dir: &str) -> Cmd {
    let cmd = sh::cargo().args([command, "--locked"]).cwd(root().join(dir));
    cmd.env("CARGO_TARGET_DIR", target_dir().join("rust-projects"))
}

/// `cargo fmt` and `cargo clippy`; what depends on PyO3 is built for this Python.
fn lint(dir: &str, python: Option<&Python>) -> Result<()> {
    sh::cargo().args(["fmt", "--check", "--", "--files-with-diff"]).cwd(root().join(dir)).run()?;
    let mut clippy = project("clippy", dir).args(["--release", "--all-targets"]);
    if let Some(python) = python {
        clippy = for_python(clippy, python);
    }
    clippy.args(["--", "-D", "warnings"]).run()
}

/// What maturin says to PyO3.
fn for_python(cmd: Cmd, python: &Python) -> Cmd {
    cmd.env("PYO3_PYTHON", &python.exe).env("PYO3_BUILD_EXTENSION_MODULE", "1")
}

/// Builds an extension that attaches lazily, and looks at what it needs.
fn extension(dir: &str, name: &str, python: &Python) -> Result<PathBuf> {
    for_python(project("build", dir).arg("--release"), python).run()?;
    let library = target_dir().join("rust-projects/release").join(name);
    needs_nothing(&library)?;
    Ok(library)
}

/// An extension uses no symbol of librmon and loads nothing of it; a note says that it has a slot.
fn needs_nothing(library: &Path) -> Result<()> {
    let read =
        |program: &str, options: &[&str]| Cmd::new(program).args(options).arg(library).read();
    let symbols = read("nm", &["--dynamic", "--undefined-only"])?;
    let needed = library::dynamic(library, "NEEDED")?.join(" ");
    if symbols.to_lowercase().contains("rmon") || needed.to_lowercase().contains("rmon") {
        bail!("{} needs librmon:\n{symbols}\n{needed}", library.display());
    }
    if !symbols.contains("PyModule") {
        bail!("{} uses nothing of Python:\n{symbols}", library.display());
    }
    let notes = read("readelf", &["--wide", "--notes"])?;
    if notes.matches(".note.rmon").count() != 1 {
        bail!("{} has no note, or several:\n{notes}", library.display());
    }
    Ok(())
}

/// A probe that is asleep is a load, a test and a branch not taken.
fn machine_code(library: &Path) -> Result<Verdict> {
    if std::env::consts::ARCH != "x86_64" {
        return passed();
    }
    let text = Cmd::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(library).read()?;
    let count = |name: &str| -> Result<usize> {
        let start = format!("<{name}>:\n");
        let code = text.split_once(&start).with_context(|| format!("there is no {name}"))?.1;
        let code: Vec<_> =
            code.lines().map(|line| line.rsplit('\t').next().unwrap_or("")).collect();
        say(format!("{name}:\n{}", code[..code.len().min(12)].join("\n")));
        code.iter().position(|line| line.starts_with("ret")).context("it does not return")
    };
    // The rest of the probe's function is one instruction.
    let (probe, enter) = (count("rust_probe")? - 1, count("rust_enter")?);
    if probe > 3 || enter > 6 {
        bail!("a probe takes {probe} instructions, not 3, or entering {enter}, not 6");
    }
    passed_with(format!("{probe} instructions for a probe, {enter} for entering"))
}

/// The extension in an interpreter that has rmon.
fn events(library: &Path, python: &Python) -> Result<Verdict> {
    let venv = pythons::venv(python, "package")?;
    let exe = || Cmd::new(venv.join("bin/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    if exe().args(["-c", "import rmon, pytest"]).read().is_err() {
        return Ok(Verdict::Skipped("rmon is not installed: see its wheel".into()));
    }
    let dir = fresh_dir(&format!("rust-extension/{}", python.name))?;
    fs::copy(library, dir.join("firing.abi3.so"))?;
    let cmd = exe().args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=100"]);
    let cmd = cmd.arg(root().join("bindings/rust/tests/python/test_emitter.py"));
    let cmd = cmd.env("PYTHONPATH", &dir).cwd(&dir);
    say(format!("$ {}", cmd.line()));
    passed_with(pythons::pytest(cmd, TIME_LIMIT)?)
}

/// examples/rust-emitter, built as pip does it for a user.
fn maturin_wheel(venv: &Path) -> Result<PathBuf> {
    let dir = fresh_dir("rust-emitter")?;
    let path = std::env::var("PATH").unwrap_or_default();
    pythons::pip(venv)?
        .args(["wheel", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--no-build-isolation", "--wheel-dir"])
        .arg(&dir)
        .arg(root().join("examples/rust-emitter"))
        .env("CARGO_TARGET_DIR", target_dir().join("rust-projects"))
        .env("PATH", format!("{}:{path}", venv.join("bin").display())) // maturin itself
        .outside_cargo()
        .run()?;
    let wheel = only_wheel(&dir)?;
    let unpacked = fresh_dir("rust-emitter-unpacked")?;
    Cmd::new(venv.join("bin/python"))
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&unpacked)
        .run()?;
    needs_nothing(&unpacked.join("recipe/recipe.abi3.so"))?;
    Ok(wheel)
}

/// The wheel in a folder.
pub fn only_wheel(dir: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    match files.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => bail!("{}: {} files where one was expected", dir.display(), files.len()),
    }
}
