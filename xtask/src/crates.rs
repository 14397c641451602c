//! The crates as they would be published: complete, nothing else in them, and they build by themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::sh::{self, Cmd, say, target_dir};
use crate::steps::{Verdict, passed_with};

/// How long packaging and building may take.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// A crate that is published.
struct Crate {
    name: &'static str,
    /// Features that it is built with, besides the default ones.
    features: &'static str,
    /// What it must have.
    needed: &'static [&'static str],
    /// The folders that it may have files in, and of which kinds.
    folders: &'static [(&'static str, &'static [&'static str])],
}

/// What cargo puts into every crate.
const MADE: [&str; 4] = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"];

const CRATES: [Crate; 2] = [
    Crate {
        name: "rmon",
        features: "",
        needed: &[
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "LICENSE",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "bindings/cpp/rmon.hpp",
            "build.rs",
            "c-tests/readme.c",
            "c-tests/readme.cpp",
            "cbindgen.toml",
            "include/rmon.h",
            "include/rmon_python.h",
            "packaging/cmake/rmonConfig.cmake",
            "packaging/cmake/rmonConfigVersion.cmake",
            "packaging/cmake/rmonPaths.cmake",
            "packaging/pkgconfig/rmon-headers.pc",
            "src/ffi/inline.h",
            "src/lib.rs",
            "tests/exports.txt",
        ],
        folders: &[("src", &["rs"]), ("tests", &["rs"])],
    },
    Crate {
        name: "rmon-emitter",
        features: "python",
        needed: &["LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"],
        folders: &[("src", &["rs"])],
    },
];

/// What cargo says of these crates, and what is no fault of theirs.
const KNOWN_WARNINGS: [&str; 2] = [
    // There is no such place yet.
    "warning: manifest has no documentation, homepage or repository",
    // Those of rmon-emitter look at rmon's headers and need rmon itself.
    "is not included in the published package",
];

/// A step of the tests: `cargo package` for each crate.
pub fn check() -> Result<Verdict> {
    let mut files = Vec::new();
    for published in &CRATES {
        let archive = package(published)?;
        let contents = contents(published, &archive)?;
        files.push(format!("{}: {contents} files", published.name));
    }
    passed_with(files.join(", "))
}

/// Packages a crate and builds what was packaged. The archive's path.
fn package(published: &Crate) -> Result<PathBuf> {
    let cmd = sh::cargo()
        .args(["package", "--allow-dirty", "--package", published.name])
        .args(["--features", published.features])
        .env("CARGO_TERM_COLOR", "never");
    let line = cmd.line();
    say(format!("$ {line}"));
    let outcome = cmd.outcome(TIME_LIMIT)?;
    say(&outcome.text);
    if !outcome.success() {
        bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
    }
    let unknown = |line: &&str| {
        line.starts_with("warning") && !KNOWN_WARNINGS.iter().any(|known| line.contains(known))
    };
    if let Some(warning) = outcome.text.lines().find(unknown) {
        bail!("cargo package: {warning}");
    }
    let packaged = outcome.text.lines().find_map(|line| line.trim().strip_prefix("Packaging "));
    let version = packaged
        .and_then(|packaged| packaged.split(' ').nth(1)?.strip_prefix('v'))
        .context("cargo package names no version")?;
    Ok(target_dir().join(format!("package/{}-{version}.crate", published.name)))
}

/// Looks at what is in a crate; how many files it has.
fn contents(published: &Crate, archive: &Path) -> Result<usize> {
    let listing = Cmd::new("tar").arg("--list").arg("--gzip").arg("--file").arg(archive).read()?;
    let files: Vec<&str> =
        listing.lines().filter_map(|line| Some(line.split_once('/')?.1)).collect();
    let mut needed = published.needed.iter();
    if let Some(missing) = needed.find(|needed| !files.contains(needed)) {
        bail!("the crate {} has no {missing}", published.name);
    }
    let is_in_place = |file: &str| {
        let (folder, name) = file.split_once('/').unwrap_or_default();
        published.folders.iter().any(|(known, kinds)| {
            *known == folder && kinds.iter().any(|kind| name.ends_with(&format!(".{kind}")))
        })
    };
    let is_stray = |file: &&&str| {
        !MADE.contains(file) && !published.needed.contains(file) && !is_in_place(file)
    };
    if let Some(stray) = files.iter().find(is_stray) {
        bail!("the crate {} has a file that it does not need: {stray}", published.name);
    }
    Ok(files.len())
}
