//! Builds programs with what `cargo xtask install` or cargo-c has installed, and runs them: it is
//! found by pkg-config and by CMake, links, and is the right version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{self, Toolchain};
use crate::library::{self, SONAME};
use crate::sh::{Cmd, fresh_dir, on_path, say};
use crate::steps::{Verdict, passed_with};

/// How long CMake, a compiler, or a program that they made, may take.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Where an installation is.
pub struct Place {
    /// The folder with include/ and share/.
    pub prefix: PathBuf,
    /// The folder with the libraries and pkgconfig/.
    pub lib: PathBuf,
    /// The folder of the CMake package, if CMake does not look there by itself below the prefix.
    pub cmake: Option<PathBuf>,
}

/// One of this module's checks.
pub type Check = fn(&[Place], &str) -> Result<Verdict>;

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

const CXX_PROGRAM: &str = "\
#include <rmon.hpp>
#include <cstdio>

int main()
{
    auto tool = rmon::tool::use(rmon::profiler_id, \"probe\");
    if (!tool || !ok(tool->clear())) return 1;
    std::puts(rmon_version());
}
";

/// An emitter that links with nothing; it says whether librmon has come into the process.
const LAZY_PROGRAM: &str = "\
#define RMON_LAZY
#include <rmon.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    static rmon_state states[1];
    static uint64_t version;
    static int code;
    char line[512];
    int awake = 0;
    FILE *maps = fopen(\"/proc/self/maps\", \"r\");
    rmon_enter_scope(states, &version, types, 1);
    if (rmon_fire_line(&states[0], &code, 0, 1) != 0) return 1;
    rmon_exit_scope();
    while (maps && fgets(line, sizeof line, maps)) awake |= strstr(line, \"librmon.so\") != NULL;
    puts(awake ? \"awake\" : \"asleep\");
    return 0;
}
";

/// The same in C++, where the header that is included again gives nothing.
const LAZY_CXX_PROGRAM: &str = "\
#define RMON_LAZY
#include <rmon.hpp>
#undef RMON_LAZY
#include \"lazy.c\"
";

/// One program per target, and a plug-in.
const PROJECT: &str = "\
cmake_minimum_required(VERSION 3.13)
project(user C CXX)
find_package(rmon @VERSION@ REQUIRED COMPONENTS rmon static headers)
set(CMAKE_C_STANDARD 99)
set(CMAKE_CXX_STANDARD 17)
function(program name source target)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${target})
endfunction()
program(shared program.c rmon::rmon)
program(static program.c rmon::static)
program(shared_cxx program.cpp rmon::rmon)
program(static_cxx program.cpp rmon::static)
program(lazy lazy.c rmon::headers)
program(lazy_cxx lazy.cpp rmon::headers)
add_library(plugin MODULE program.c)
target_link_libraries(plugin PRIVATE rmon::static)
";

/// Asks for each of several versions and says whether it was found.
const QUESTIONS: &str = "\
cmake_minimum_required(VERSION 3.19)
project(questions C)
set(given \"${rmon_DIR}\")
foreach(question IN LISTS QUESTIONS)
  set(rmon_DIR \"${given}\" CACHE PATH \"\" FORCE) # what does not fit is put away as not found
  separate_arguments(words UNIX_COMMAND \"${question}\")
  find_package(rmon ${words} QUIET)
  if(rmon_FOUND)
    message(STATUS \"${question}: found ${rmon_VERSION}\")
  else()
    message(STATUS \"${question}: not found\")
  endif()
endforeach()
";

/// Builds and runs C programs with what pkg-config says, for each installation: with the shared
/// library, with the static one, and with none.
pub fn pkg_config(places: &[Place], version: &str) -> Result<Verdict> {
    if !on_path("pkg-config") {
        return Ok(Verdict::Skipped("pkg-config not found".to_string()));
    }
    let toolchain = toolchain()?;
    let dir = fresh_dir("pkg-config")?;
    for (name, text) in [("program.c", PROGRAM), ("lazy.c", LAZY_PROGRAM)] {
        fs::write(dir.join(name), text)?;
    }
    for Place { lib, prefix, .. } in places {
        let paths = [lib.join("pkgconfig"), prefix.join("share/pkgconfig")];
        let paths = std::env::join_paths(paths)?;
        let ask = |query: &[&str]| {
            Cmd::new("pkg-config").args(query).env("PKG_CONFIG_PATH", &paths).read()
        };
        let build = |source: &str, flags: &str| {
            let exe = dir.join("program");
            let cmd = toolchain.cmd("c99").context("no C compiler")?.arg(dir.join(source));
            must(cmd.arg("-o").arg(&exe).args(flags.split_whitespace()))?;
            anyhow::Ok(exe)
        };
        let exe = build("program.c", &ask(&["--cflags", "--libs", "rmon"])?)?;
        needs_librmon(&exe, true)?;
        runs(Cmd::new(&exe).env("LD_LIBRARY_PATH", lib), version)?;

        // pkg-config knows how to name what a static library needs, not how to choose it.
        let flags = ask(&["--static", "--cflags", "--libs", "rmon"])?;
        let exe = build("program.c", &flags.replace("-lrmon", "-l:librmon.a"))?;
        needs_librmon(&exe, false)?;
        runs(Cmd::new(&exe), version)?;

        let exe = build("lazy.c", &ask(&["--cflags", "--libs", "rmon-headers"])?)?;
        needs_librmon(&exe, false)?;
        runs(Cmd::new(&exe).env("RMON_LIBRARY", lib.join(SONAME)), "awake")?;

        for package in ["rmon", "rmon-headers"] {
            let said = ask(&["--modversion", package])?;
            if said != version {
                bail!("pkg-config says that {package} has version {said}, not {version}");
            }
        }
    }
    passed_with(format!("{} installations", places.len()))
}

/// Builds and runs programs in C and C++ with the CMake package, for each installation and each of
/// its targets, and asks for other versions than the one that is there.
pub fn cmake(places: &[Place], version: &str) -> Result<Verdict> {
    if !on_path("cmake") {
        return Ok(Verdict::Skipped("cmake not found".to_string()));
    }
    if !toolchain()?.has_cxx() {
        return Ok(Verdict::Skipped("no C++ compiler found".to_string()));
    }
    let dir = fresh_dir("cmake")?;
    let [project, questions] = ["project", "questions"].map(|name| dir.join(name));
    for folder in [&project, &questions] {
        fs::create_dir(folder)?;
    }
    let asked: Vec<&str> = version.split('.').take(2).collect();
    fs::write(project.join("CMakeLists.txt"), PROJECT.replace("@VERSION@", &asked.join(".")))?;
    fs::write(project.join("program.c"), PROGRAM)?;
    fs::write(project.join("program.cpp"), CXX_PROGRAM)?;
    fs::write(project.join("lazy.c"), LAZY_PROGRAM)?;
    fs::write(project.join("lazy.cpp"), LAZY_CXX_PROGRAM)?;
    fs::write(questions.join("CMakeLists.txt"), QUESTIONS)?;
    for (number, place) in places.iter().enumerate() {
        let build = dir.join(format!("build-{number}"));
        must(configure(&project, &build, place))?;
        must(Cmd::new("cmake").arg("--build").arg(&build).args(["--parallel", "2"]))?;
        for (name, linked) in
            [("shared", true), ("shared_cxx", true), ("static", false), ("static_cxx", false)]
        {
            runs(Cmd::new(build.join(name)), version)?;
            needs_librmon(&build.join(name), linked)?;
        }
        for name in ["lazy", "lazy_cxx"] {
            let exe = build.join(name);
            needs_librmon(&exe, false)?;
            runs(Cmd::new(&exe).env_remove("RMON_LIBRARY"), "asleep")?;
            runs(Cmd::new(&exe).env("RMON_LIBRARY", place.lib.join(SONAME)), "awake")?;
        }
        // Threads that end call into the library that the plug-in contains.
        if !library::dynamic_section(&build.join("libplugin.so"))?.contains("NODELETE") {
            bail!("a plug-in with rmon::static could be unloaded");
        }
        versions(&questions, &dir.join(format!("questions-{number}")), place, version)?;
    }
    passed_with(format!("{} installations", places.len()))
}

/// What find_package() says to versions and to components.
fn versions(project: &Path, build: &Path, place: &Place, version: &str) -> Result<()> {
    let numbers = version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [major, minor, patch] = numbers[..] else { bail!("{version} is no version") };
    let next = format!("{major}.{}", minor + 1);
    let after = format!("{major}.{}", minor + 2);
    let found = [
        "CONFIG".to_string(),
        format!("{major}"),
        format!("{major}.{minor}"),
        version.to_string(),
        format!("{version} EXACT"),
        format!("{major}.{minor}...{next}"),
        format!("{version}...<{next}"),
        format!("0...{version}"),
        format!("{version} COMPONENTS headers rmon"),
        format!("{major} OPTIONAL_COMPONENTS nonsense"),
    ];
    let mut missing = vec![
        next.clone(),
        format!("{}", major + 1),
        format!("{major}.{minor}.{}", patch + 1),
        format!("{major}.{minor}.{} EXACT", patch + 1),
        format!("{next}...{after}"),
        format!("0...<{version}"),
        "COMPONENTS nonsense".to_string(),
        "COMPONENTS headers nonsense".to_string(),
    ];
    if major == 0 && minor > 0 {
        missing.push(format!("0.{}", minor - 1)); // until 1.0 each minor version is one of its own
    }
    let questions = [&found[..], &missing[..]].concat().join(";");
    let said = must(configure(project, build, place).arg(format!("-DQUESTIONS={questions}")))?;
    let answers = |question: &String| {
        said.lines().find_map(|line| line.strip_prefix(&format!("-- {question}: ")))
    };
    for question in found {
        if answers(&question) != Some(&format!("found {version}")) {
            bail!("find_package(rmon {question}) does not find {version}:\n{said}");
        }
    }
    for question in missing {
        if answers(&question) != Some("not found") {
            bail!("find_package(rmon {question}) finds {version}:\n{said}");
        }
    }
    Ok(())
}

/// The first of this machine's toolchains.
fn toolchain() -> Result<Toolchain> {
    compilers::find().0.into_iter().next().context("no C compiler found")
}

/// A command that has CMake look at a project.
fn configure(project: &Path, build: &Path, place: &Place) -> Cmd {
    let cmd = Cmd::new("cmake").arg("-S").arg(project).arg("-B").arg(build);
    let (name, value) = match &place.cmake {
        Some(folder) => ("rmon_DIR", folder),
        None => ("CMAKE_PREFIX_PATH", &place.prefix),
    };
    // What this machine has installed must not be found instead.
    cmd.arg("-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF").arg(format!("-D{name}={}", value.display()))
}

/// Runs a program, which must say this and nothing else.
fn runs(program: Cmd, wanted: &str) -> Result<()> {
    let line = program.line();
    let said = must(program)?;
    if said.trim() != wanted {
        bail!("{line} says {said:?}, not {wanted:?}");
    }
    Ok(())
}

/// A program needs librmon.so.0 when it is started, or does not.
fn needs_librmon(exe: &Path, wanted: bool) -> Result<()> {
    if library::dynamic(exe, "NEEDED")?.iter().any(|name| name == SONAME) != wanted {
        let not = if wanted { "does not need" } else { "needs" };
        bail!("{} {not} {SONAME}", exe.display());
    }
    Ok(())
}

/// Runs a command; returns what it said, an error with that unless it succeeds.
fn must(cmd: Cmd) -> Result<String> {
    say(format!("$ {}", cmd.line()));
    let said = cmd.succeed(TIME_LIMIT)?;
    say(&said);
    Ok(said)
}
