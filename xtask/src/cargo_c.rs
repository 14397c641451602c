//! What cargo-c makes of rmon: `cargo cinstall` installs what `cargo xtask install` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{cpp_dir, include_dir};
use crate::exports;
use crate::install::CMAKE_FILES;
use crate::installed::{self, Place};
use crate::library::{Library, SONAME};
use crate::sh::{self, fresh_dir, on_path, root, say, target_dir};
use crate::steps::{Verdict, passed, passed_with};

/// How long building may take.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// A step of the tests, where cargo-c is missing, too: Cargo.toml tells cargo-c what it must know.
pub fn settings() -> Result<Verdict> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let wanted = [
        "[package.metadata.capi.header]",
        "generation = false",
        "version_suffix_components = 1",
        "capi = []",
        "[package.metadata.capi.install.include]",
        "[package.metadata.capi.install.data]",
    ];
    for line in wanted {
        let has = |known: &str| known.split('#').next().unwrap_or_default().trim() == line;
        if !manifest.lines().any(has) {
            bail!("Cargo.toml lacks {line:?}: cargo-c would install something else");
        }
    }
    passed()
}

/// A step of the tests: what cargo-c installs is all there, and programs can be built with it.
pub fn cinstall(library: &Library) -> Result<Verdict> {
    if !on_path("cargo-cinstall") {
        return Ok(Verdict::Skipped("cargo-cinstall not found".to_string()));
    }
    let prefix = fresh_dir("cargo-c")?;
    let cmd = sh::cargo().args(["cinstall", "--release", "--prefix"]).arg(&prefix);
    let cmd = cmd.env("CARGO_TARGET_DIR", target_dir().join("cargo-c"));
    say(format!("$ {}", cmd.line()));
    say(cmd.succeed(TIME_LIMIT)?);
    let lib = libraries(&prefix)?;
    for (from, to) in [
        (include_dir().join("rmon.h"), "include/rmon.h"),
        (include_dir().join("rmon_python.h"), "include/rmon_python.h"),
        (cpp_dir().join("rmon.hpp"), "include/rmon.hpp"),
    ] {
        same(&from, &prefix.join(to))?;
    }
    for name in CMAKE_FILES {
        same(
            &root().join("packaging/cmake").join(name),
            &prefix.join("share/cmake/rmon").join(name),
        )?;
    }
    let real = format!("librmon.so.{}", library.version);
    for name in [SONAME, "librmon.so"] {
        let path = lib.join(name);
        if fs::canonicalize(&path).with_context(|| format!("no {}", path.display()))?
            != fs::canonicalize(&lib)?.join(&real)
        {
            bail!("{} does not lead to {real}", path.display());
        }
    }
    let theirs = Library {
        shared: lib.join(&real),
        archive: lib.join("librmon.a"),
        header: prefix.join("include/rmon.h"),
        version: library.version.clone(),
    };
    exports::dynamic_section(&theirs)?;
    exports::same_names(library, &theirs)?;
    let places = [Place { prefix, lib, cmake: None }];
    let mut without = Vec::new();
    for check in [installed::pkg_config, installed::cmake] {
        if let Verdict::Skipped(why) = check(&places, &library.version)? {
            without.push(why);
        }
    }
    passed_with(without.join(", "))
}

/// The folder that cargo-c has put the libraries into: lib/, or a folder of the platform's below.
fn libraries(prefix: &Path) -> Result<PathBuf> {
    let mut folders = vec![prefix.join("lib"), prefix.join("lib64")];
    for folder in fs::read_dir(prefix.join("lib")).context("cargo-c has made no lib/")? {
        folders.push(folder?.path());
    }
    let found = folders.into_iter().find(|folder| folder.join("pkgconfig/rmon.pc").is_file());
    found.context("cargo-c has installed no rmon.pc")
}

/// Two files have the same contents.
fn same(one: &Path, other: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("no {}", path.display()));
    if read(one)? != read(other)? {
        bail!("{} is not {}", other.display(), one.display());
    }
    Ok(())
}
