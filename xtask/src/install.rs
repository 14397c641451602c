//! `cargo xtask install`: puts librmon, its headers, its pkg-config files and the CMake package where C
//! programs find them, with cargo alone.
//!
//! cargo-c (`cargo cinstall`) does the same and more; this is for who does not have it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::compilers::{cpp_dir, include_dir};
use crate::installed::{Check, Place};
use crate::library::{self, Library, STATIC_LIBS, copy};
use crate::sh::{fresh_dir, root, say};
use crate::steps::{Verdict, passed_with};

/// The CMake package: the same files for every kind of installation.
pub const CMAKE_FILES: [&str; 3] = ["rmonConfig.cmake", "rmonConfigVersion.cmake", PATHS_FILE];

/// The one that says where the headers are.
const PATHS_FILE: &str = "rmonPaths.cmake";

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
pub fn install(
    library: &Library,
    prefix: &Path,
    destdir: Option<&Path>,
    libdir: &Path,
) -> Result<()> {
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
        let to = include.join(header.file_name().unwrap_or_default());
        copy(&header, &to)?;
        say(to.display().to_string());
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
    let headers_pc = placed(&prefix.join("share/pkgconfig")).join("rmon-headers.pc");
    fs::create_dir_all(placed(&prefix.join("share/pkgconfig")))?;
    copy(&root().join("packaging/pkgconfig/rmon-headers.pc"), &headers_pc)?;
    say(headers_pc.display().to_string());
    let cmake = lib.join("cmake/rmon");
    fs::create_dir_all(&cmake)?;
    for name in CMAKE_FILES {
        let file = cmake.join(name);
        copy(&root().join("packaging/cmake").join(name), &file)?;
        if name == PATHS_FILE && !is_below(libdir, prefix) {
            let text = format!("set(rmon_INCLUDE_DIR \"{}\")\n", prefix.join("include").display());
            fs::write(&file, text)?;
        }
        say(file.display().to_string());
    }
    Ok(())
}

/// True if the libraries' folder is below the prefix: then all can be found from one another.
fn is_below(libdir: &Path, prefix: &Path) -> bool {
    libdir.is_relative() || libdir.starts_with(prefix)
}

/// The text of rmon.pc. Its paths are relative to itself where they can be, so that a moved
/// installation still works.
fn pkg_config(version: &str, prefix: &Path, libdir: &Path) -> String {
    let inside = libdir.strip_prefix(prefix).unwrap_or(libdir);
    let prefix = if is_below(libdir, prefix) {
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

/// A step of the tests: programs are built with what was installed and run, by pkg-config and CMake,
/// also after it was moved.
pub fn check(library: &Library, with: Check) -> Result<Verdict> {
    let dir = fresh_dir("install")?;
    install(library, Path::new("/opt/rmon"), Some(&dir.join("destdir")), Path::new("lib"))?;
    install(library, &dir.join("plain"), None, Path::new("lib"))?;
    install(library, &dir.join("apart"), None, &dir.join("libraries"))?;
    install(library, &dir.join("before"), None, Path::new("lib/deeper"))?;
    fs::rename(dir.join("before"), dir.join("after"))?;
    let place = |prefix: &str, lib: &str| {
        let lib = dir.join(lib);
        let is_usual = lib.ends_with("lib");
        let cmake = (!is_usual).then(|| lib.join("cmake/rmon"));
        Place { prefix: dir.join(prefix), lib, cmake }
    };
    let places = [
        place("destdir/opt/rmon", "destdir/opt/rmon/lib"),
        place("plain", "plain/lib"),
        place("apart", "libraries"),
        place("after", "after/lib/deeper"),
    ];
    with(&places, &library.version)
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
