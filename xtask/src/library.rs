//! Builds librmon as its users get it, and lays its files out as they are installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::sh::{self, Cmd, target_dir};

/// The name that programs linked with librmon ask the loader for.
pub const SONAME: &str = "librmon.so.0";

/// What a program that links with librmon.a needs besides, as rustc says it; a test compares.
pub const STATIC_LIBS: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// A built librmon.
pub struct Library {
    /// The shared library that cargo built.
    pub shared: PathBuf,
    /// The static library that cargo built.
    pub archive: PathBuf,
    /// The header that the build script made.
    pub header: PathBuf,
    /// The package's version, "0.1.0".
    pub version: String,
}

impl Library {
    /// Copies the libraries into a folder, under all the names that an installed librmon has.
    pub fn lay_out(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let real = format!("librmon.so.{}", self.version);
        copy(&self.shared, &dir.join(&real))?;
        copy(&self.archive, &dir.join("librmon.a"))?;
        for link in [SONAME, "librmon.so"] {
            let path = dir.join(link);
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path)?;
            }
            symlink(&real, &path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }

    /// A folder under target/ that has the libraries under all their names.
    pub fn stage(&self) -> Result<PathBuf> {
        let dir = target_dir().join("xtask/stage/lib");
        self.lay_out(&dir)?;
        Ok(dir)
    }
}

/// Builds librmon in release mode: shared, static, and the header.
pub fn build() -> Result<Library> {
    build_as(|cmd| cmd)
}

/// The same with more options and another environment.
pub fn build_as(change: impl FnOnce(Cmd) -> Cmd) -> Result<Library> {
    let cmd = change(sh::cargo().args([
        "build",
        "--release",
        "--package",
        "rmon",
        "--message-format=json-render-diagnostics",
    ]));
    sh::say(format!("$ {}", cmd.line()));
    let messages = cmd.read()?;
    let messages: Vec<Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let because =
        |reason: &'static str| messages.iter().filter(move |message| message["reason"] == reason);
    let is_shared = |message: &&Value| {
        let kinds = message["target"]["crate_types"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let artifact = because("compiler-artifact")
        .find(is_shared)
        .context("cargo build named no shared library")?;
    let package = artifact["package_id"].as_str().context("cargo build named no package")?;
    let script = because("build-script-executed").find(|message| message["package_id"] == package);
    let out_dir = script
        .and_then(|script| script["out_dir"].as_str())
        .context("rmon's build script did not run")?;
    let file = |name: &str| {
        let files =
            artifact["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let found =
            files.map(PathBuf::from).find(|file| file.file_name().is_some_and(|n| n == name));
        found.with_context(|| format!("cargo build made no {name}"))
    };
    let version = package.rsplit(['#', '@']).next().unwrap_or_default().to_string();
    if version.split('.').count() != 3 {
        bail!("cannot tell rmon's version from {package}");
    }
    Ok(Library {
        shared: file("librmon.so")?,
        archive: file("librmon.a")?,
        header: Path::new(out_dir).join("rmon.h"),
        version,
    })
}

/// Asks rustc what a program that links with librmon.a needs besides.
pub fn native_static_libs() -> Result<Vec<String>> {
    let cmd = sh::cargo().args([
        "rustc",
        "--release",
        "--package",
        "rmon",
        "--lib",
        "--crate-type",
        "staticlib",
    ]);
    let cmd = cmd.args(["--", "--print", "native-static-libs"]);
    sh::say(format!("$ {}", cmd.line()));
    let outcome = cmd.outcome(std::time::Duration::from_secs(1200))?;
    sh::say(&outcome.text);
    if !outcome.success() {
        bail!("cargo rustc: {}", outcome.ending());
    }
    let line = outcome.text.lines().find_map(|line| line.split("native-static-libs:").nth(1));
    Ok(line
        .context("rustc printed no native-static-libs")?
        .split_whitespace()
        .map(str::to_string)
        .collect())
}

/// Copies a file to a new one in place of the old: a running program may still have the old one
/// mapped.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.symlink_metadata().is_ok() {
        fs::remove_file(to).with_context(|| format!("cannot replace {}", to.display()))?;
    }
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// What the loader is told about a file.
pub fn dynamic_section(file: &Path) -> Result<String> {
    Cmd::new("readelf").args(["--wide", "--dynamic"]).arg(file).read()
}

/// The values that a file's dynamic section has for a tag.
pub fn dynamic(file: &Path, tag: &str) -> Result<Vec<String>> {
    let (text, tag) = (dynamic_section(file)?, format!("({tag})"));
    let value = |line: &str| line.split(['[', ']']).nth(1).unwrap_or_default().to_string();
    Ok(text.lines().filter(|line| line.contains(&tag)).map(value).collect())
}
