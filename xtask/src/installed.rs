//! Builds programs with what `cargo xtask install` or cargo-c installed, and runs them: what is
//! there is found, links, and is the right version.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers;
use crate::sh::{Cmd, fresh_dir, on_path, say};
use crate::steps::{Verdict, passed_with};

/// How long a compiler, or the program that it made, may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

const PROGRAM: &str = "\
#include <rmon.h>
#include <stdio.h>

int main(void)
{
    char name[8];
    if (rmon_use_tool_id(RMON_PROFILER_ID, \"probe\") != RMON_OK) return 1;
    if (rmon_get_tool(RMON_PROFILER_ID, name, sizeof name) != 5) return 2;
    if (rmon_free_tool_id(RMON_PROFILER_ID) != RMON_OK) return 3;
    puts(rmon_version());
    return 0;
}
";

/// Builds and runs a C program with what pkg-config says, for each folder of libraries, with the
/// shared and the static library.
pub fn pkg_config(libs: &[&Path], version: &str) -> Result<Verdict> {
    if !on_path("pkg-config") {
        return Ok(Verdict::Skipped("pkg-config not found".to_string()));
    }
    let (toolchains, _) = compilers::find();
    let toolchain = toolchains.first().context("no C compiler found")?;
    let dir = fresh_dir("pkg-config")?;
    let source = dir.join("program.c");
    fs::write(&source, PROGRAM)?;
    for lib in libs {
        for (linkage, statically) in [("shared", false), ("static", true)] {
            let mut query = vec!["--cflags", "--libs", "rmon"];
            if statically {
                query.insert(0, "--static");
            }
            let flags = Cmd::new("pkg-config")
                .args(&query)
                .env("PKG_CONFIG_PATH", lib.join("pkgconfig"))
                .read()?;
            // pkg-config knows how to name what a static library needs, not how to choose it.
            let flags: Vec<&str> = flags.split_whitespace().collect();
            let chosen = flags
                .iter()
                .map(|flag| if statically && *flag == "-lrmon" { "-l:librmon.a" } else { flag });
            let exe = dir.join(linkage);
            must(
                toolchain
                    .cmd("c99")
                    .context("no C compiler")?
                    .arg(&source)
                    .arg("-o")
                    .arg(&exe)
                    .args(chosen),
            )?;
            runs(&exe, lib, version, statically)?;
        }
        let said = Cmd::new("pkg-config")
            .args(["--modversion", "rmon"])
            .env("PKG_CONFIG_PATH", lib.join("pkgconfig"))
            .read()?;
        if said != version {
            bail!("pkg-config says version {said}, not {version}");
        }
    }
    passed_with("pkg-config")
}

/// Runs a program that was built with what is in `lib`.
fn runs(exe: &Path, lib: &Path, version: &str, statically: bool) -> Result<()> {
    let program = Cmd::new(exe);
    let said = must(if statically { program } else { program.env("LD_LIBRARY_PATH", lib) })?;
    if said.trim() != version {
        bail!("a program linked with {} says that it has version {said}", lib.display());
    }
    if statically && Cmd::new("readelf").arg("--dynamic").arg(exe).read()?.contains("librmon") {
        bail!("a program linked statically with {} still needs librmon.so", lib.display());
    }
    Ok(())
}

/// Runs a command; returns what it said, an error with that unless it succeeds.
fn must(cmd: Cmd) -> Result<String> {
    let line = cmd.line();
    say(format!("$ {line}"));
    let outcome = cmd.outcome(TIME_LIMIT)?;
    if !outcome.success() {
        bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
    }
    Ok(outcome.text)
}
