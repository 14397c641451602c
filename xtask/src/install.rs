//! `cargo xtask install`: puts librmon, its headers and rmon.pc where C programs find them, with
//! cargo alone.
//!
//! cargo-c (`cargo cinstall`) does the same and more; this is for who does not have it.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{self, cpp_dir, include_dir};
use crate::library::{self, Library, STATIC_LIBS, copy};
use crate::sh::{Cmd, fresh_dir, on_path, root, say};
use crate::steps::{Verdict, passed_with};

/// How long a compiler, or the program that it made, may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Options of `cargo xtask install`.
#[derive(clap::Args)]
pub struct Args {
    /// Where librmon will be used from, e.g. /usr/local
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// A folder to put before the prefix when copying, for makers of packages
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
    /// The folder for libraries: below the prefix, or an absolute path
    #[arg(long, value_name = "DIR", default_value = "lib")]
    libdir: PathBuf,
}

/// Builds and installs.
pub fn run(args: Args) -> Result<()> {
    if !args.prefix.is_absolute() {
        bail!("--prefix must be an absolute path");
    }
    let library = library::build()?;
    let destdir = args.destdir.map(|dir| std::path::absolute(&dir)).transpose()?;
    install(&library, &args.prefix, destdir.as_deref(), &args.libdir)
}

/// Copies everything; says each file.
fn install(library: &Library, prefix: &Path, destdir: Option<&Path>, libdir: &Path) -> Result<()> {
    let placed = |path: &Path| match destdir {
        Some(dir) => dir.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_path_buf(),
    };
    let include = placed(&prefix.join("include"));
    let lib = placed(&prefix.join(libdir));
    fs::create_dir_all(&include).with_context(|| format!("cannot make {}", include.display()))?;
    for header in [
        include_dir().join("rmon.h"),
        include_dir().join("rmon_python.h"),
        cpp_dir().join("rmon.hpp"),
    ] {
        if header.is_file() {
            let to = include.join(header.file_name().unwrap_or_default());
            copy(&header, &to)?;
            say(to.display().to_string());
        }
    }
    library.lay_out(&lib)?;
    for name in [
        format!("librmon.so.{}", library.version),
        library::SONAME.into(),
        "librmon.so".into(),
        "librmon.a".into(),
    ] {
        say(lib.join(name).display().to_string());
    }
    let pc = lib.join("pkgconfig/rmon.pc");
    fs::create_dir_all(lib.join("pkgconfig"))?;
    fs::write(&pc, pkg_config(&library.version, prefix, libdir))
        .with_context(|| format!("cannot write {}", pc.display()))?;
    say(pc.display().to_string());
    Ok(())
}

/// The text of rmon.pc. Its paths are relative to itself where they can be, so that a moved
/// installation still works.
fn pkg_config(version: &str, prefix: &Path, libdir: &Path) -> String {
    let inside = libdir.strip_prefix(prefix).unwrap_or(libdir);
    let prefix = if inside.is_relative() {
        let up =
            inside.components().filter(|part| matches!(part, Component::Normal(_))).map(|_| "/..");
        format!("${{pcfiledir}}/..{}", up.collect::<String>())
    } else {
        prefix.display().to_string()
    };
    format!(
        "\
prefix={prefix}
libdir=${{pcfiledir}}/..
includedir=${{prefix}}/include

Name: rmon
Description: Monitoring events from native code: CPython's Monitoring C API as a library of its own
Version: {version}
Libs: -L${{libdir}} -lrmon
Libs.private: {}
Cflags: -I${{includedir}}
",
        STATIC_LIBS.join(" ")
    )
}

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

/// A step of the tests: what was installed is found by pkg-config, links both ways, and runs, also
/// after a move.
pub fn check(library: &Library) -> Result<Verdict> {
    if !on_path("pkg-config") {
        return Ok(Verdict::Skipped("pkg-config not found".to_string()));
    }
    let (toolchains, _) = compilers::find();
    let toolchain = toolchains.first().context("no C compiler found")?;
    let dir = fresh_dir("install")?;
    let source = dir.join("program.c");
    fs::write(&source, PROGRAM)?;
    install(library, Path::new("/opt/rmon"), Some(&dir.join("destdir")), Path::new("lib"))?;
    install(library, &dir.join("plain"), None, Path::new("lib"))?;
    install(library, &dir.join("before"), None, Path::new("lib/deeper"))?;
    fs::rename(dir.join("before"), dir.join("after"))?;
    for lib in ["destdir/opt/rmon/lib", "plain/lib", "after/lib/deeper"] {
        let lib = dir.join(lib);
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
            let program = Cmd::new(&exe);
            let said =
                must(if statically { program } else { program.env("LD_LIBRARY_PATH", &lib) })?;
            if said.trim() != library.version {
                bail!("a program linked with {} says that it has version {said}", lib.display());
            }
            if statically
                && Cmd::new("readelf").arg("--dynamic").arg(&exe).read()?.contains("librmon")
            {
                bail!("a program linked statically with {} still needs librmon.so", lib.display());
            }
        }
        let version = Cmd::new("pkg-config")
            .args(["--modversion", "rmon"])
            .env("PKG_CONFIG_PATH", lib.join("pkgconfig"))
            .read()?;
        if version != library.version {
            bail!("pkg-config says version {version}, not {}", library.version);
        }
    }
    passed_with("plain, with --destdir, moved; shared and static")
}

/// A step of the tests: rustc still says that a static librmon needs what rmon.pc says.
pub fn static_libs() -> Result<Verdict> {
    let mut said = library::native_static_libs()?;
    let mut pinned: Vec<String> = STATIC_LIBS.iter().map(|lib| lib.to_string()).collect();
    said.sort();
    said.dedup();
    pinned.sort();
    if said != pinned {
        bail!("rustc says {said:?}; rmon.pc and the tests say {pinned:?}");
    }
    passed_with(STATIC_LIBS.join(" "))
}

/// A step of the tests: Cargo.toml tells cargo-c to make what we make.
pub fn cargo_c() -> Result<Verdict> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let wanted = [
        "[package.metadata.capi.header]",
        "generation = false",
        "version_suffix_components = 1",
        "capi = []",
    ];
    for line in wanted {
        if !manifest.lines().any(|known| known.split('#').next().unwrap_or_default().trim() == line)
        {
            bail!("Cargo.toml lacks {line:?}: cargo-c would make another SONAME or header");
        }
    }
    passed_with("")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_found_from_any_depth_below_it() {
        let prefix_of = |libdir| {
            pkg_config("1.2.3", Path::new("/usr"), Path::new(libdir))
                .lines()
                .next()
                .map(str::to_string)
        };
        assert_eq!(prefix_of("lib").as_deref(), Some("prefix=${pcfiledir}/../.."));
        assert_eq!(prefix_of("/usr/lib/deep").as_deref(), Some("prefix=${pcfiledir}/../../.."));
        assert_eq!(prefix_of("/elsewhere/lib").as_deref(), Some("prefix=/usr"));
    }
}
