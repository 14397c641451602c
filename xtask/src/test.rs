//! `cargo xtask test`: every test of the project, in steps that are named, timed and counted.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::library::{self, Library};
use crate::pythons::{self, Python};
use crate::sh::{self, root, target_dir};
use crate::steps::{Steps, passed, passed_with};
use crate::{
    abi, bench, bless, c_tests, cargo_c, crates, examples, exports, fuzz, headers, install,
    installed, package, pytests, rust_api, rust_extension, sanitize, supply, valgrind,
};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Only the Python tests, and only in this interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Leave out what takes long: valgrind, sanitizers, loom, the second compiler
    #[arg(long)]
    quick: bool,
    /// Do everywhere what otherwise is done with the newest CPython only, or with one of several
    /// compilers: more than an hour
    #[arg(long, conflicts_with = "quick")]
    thorough: bool,
    /// Show the output of every step, not only of those that fail
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the tests.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut steps = Steps::new(args.verbose);
    steps.thorough = args.thorough;
    if let Some(exe) = &args.python {
        let python = pythons::inspect(exe).with_context(|| {
            format!("{} is no CPython 3.9 or newer with headers", exe.display())
        })?;
        if let Some(library) = build(&mut steps) {
            let pythons = [python];
            pytests::all(&mut steps, &library, &pythons, true)?;
            package::all(&mut steps, &pythons);
            rust_extension::all(&mut steps, &pythons);
            rust_extension::examples(&mut steps, &pythons);
            examples::all(&mut steps, None, &pythons);
        }
        return Ok(steps.finish());
    }
    let pythons = pythons::find_all();
    println!("CPython found: {}", names(&pythons));
    rust(&mut steps, args.quick);
    if let Some(library) = build(&mut steps) {
        with_library(&mut steps, &library, &pythons, args.quick)?;
    } else {
        steps.skip("everything that needs librmon", "it does not build");
    }
    Ok(steps.finish())
}

/// What needs cargo alone.
fn rust(steps: &mut Steps, quick: bool) {
    let cargo = |args: &'static [&'static str]| {
        move || {
            sh::cargo().args(args).run()?;
            passed()
        }
    };
    steps.run("cargo fmt --check", cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"]));
    steps.run(
        "cargo clippy",
        cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    steps.run("cargo test", || {
        let cmd = sh::cargo().args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
            "--no-fail-fast",
        ]);
        cmd.run()?;
        passed()
    });
    steps.run("cargo test --doc", cargo(&["test", "--workspace", "--doc"]));
    if root().join("tests/loom.rs").is_file() {
        if quick {
            steps.skip("loom", "--quick");
        } else {
            steps.run("loom", loom);
        }
    }
}

/// The model of the atomics: all interleavings up to a bound. Built apart, since it is another
/// configuration of everything.
fn loom() -> Result<crate::steps::Verdict> {
    let cmd = sh::cargo().args(["test", "--release", "--package", "rmon", "--test", "loom"]);
    cmd.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target_dir().join("loom")).run()?;
    passed()
}

/// What the crates are made of, and what they promise.
fn supply_chain(steps: &mut Steps) {
    steps.run("dependencies", supply::dependencies);
    steps.run("cargo deny", supply::deny);
    steps.run("rmon: as old a Rust as it says", supply::old_rust);
    steps.run("public API of the crates", rust_api::check);
}

/// librmon as its users get it; None if it does not build.
fn build(steps: &mut Steps) -> Option<Library> {
    let mut built = None;
    steps.run("build librmon", || {
        let library = library::build()?;
        let version = library.version.clone();
        built = Some(library);
        passed_with(version)
    });
    built
}

/// What needs the built library.
fn with_library(
    steps: &mut Steps,
    library: &Library,
    pythons: &[Python],
    quick: bool,
) -> Result<()> {
    steps.run("include/rmon.h is up to date", || bless::check(library));
    steps.run("exports: own names only", || exports::own_names(library));
    steps.run("exports: none of CPython's", || exports::none_of_python(library, pythons));
    steps.run("exports: SONAME and needs", || exports::dynamic_section(library));
    steps.run("ABI: abidiff", abi::check);
    headers::all(steps, library, quick)?;
    c_tests::all(steps, library, &[], quick)?;
    if quick {
        steps.skip("valgrind", "--quick");
        steps.skip("sanitize", "--quick");
    } else {
        valgrind::all(steps, library, &[])?;
        sanitize::all(steps)?;
    }
    steps.run("bench: instruction ceilings", bench::ceilings);
    steps.run("install: pkg-config", || install::check(library, installed::pkg_config));
    steps.run("install: CMake", || install::check(library, installed::cmake));
    steps.run("what a static librmon needs", install::static_libs);
    steps.run("cargo-c: settings", cargo_c::settings);
    steps.run("cargo-c: cinstall", || cargo_c::cinstall(library));
    steps.run("cargo package", crates::check);
    supply_chain(steps);
    pytests::all(steps, library, pythons, false)?;
    package::all(steps, pythons);
    rust_extension::all(steps, pythons);
    rust_extension::examples(steps, pythons);
    examples::all(steps, Some(library), pythons);
    if steps.thorough {
        fuzz::all(steps);
    }
    Ok(())
}

fn names(pythons: &[Python]) -> String {
    let names: Vec<&str> = pythons.iter().map(|python| python.name.as_str()).collect();
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}
