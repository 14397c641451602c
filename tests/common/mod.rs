//! What several tests need: the release library, and what binutils say of it.

use std::path::PathBuf;
use std::process::Command;

/// The shared library as a plain `cargo build --release` makes it; in a target directory of its own
/// below the usual one, so that no other build's features or flags matter.
pub fn release_library() -> PathBuf {
    library("release-library", &[])
}

/// The same with other settings of cargo's, in a target directory of this name.
pub fn library(name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--lib", "--no-default-features"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .envs(settings.iter().copied())
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the library does not build");
    target.join("release/librmon.so")
}

/// The output of a program of binutils.
#[allow(dead_code, reason = "each test uses what it needs of this module")]
pub fn output(program: &str, arguments: &[&str], file: &std::path::Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .output()
        .unwrap_or_else(|error| panic!("{program} (binutils) is needed: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
