//! Compiles rmon.h the ways its users may: each version of C and C++, twice in one unit, in two
//! units of one program, with its switches, and with every probe compiled away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{
    self, C_STANDARDS, CXX_STANDARDS, Toolchain, WARNINGS, cpp_dir, include_flags,
};
use crate::library::Library;
use crate::sh::{Cmd, fresh_dir, root, say};
use crate::steps::{Steps, Verdict, passed_with};

/// How long a compiler, or the program that it made, may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The header's switches: none, and each of them.
const SWITCHES: [&[&str]; 4] = [
    &[],
    &["-DRMON_DISABLED"],
    &["-DRMON_NO_PYMONITORING_NAMES"],
    &["-DRMON_DISABLED", "-DRMON_NO_PYMONITORING_NAMES"],
];

const FIRST_UNIT: &str = "\
#include <rmon.h>
#include <rmon.h>
int second_unit(void);
int main(void) { return rmon_version_number() == RMON_VERSION_NUMBER ? second_unit() : 1; }
";

const SECOND_UNIT: &str = "\
#include <rmon.h>
int second_unit(void);
int second_unit(void) { return rmon_abi_version() == RMON_ABI_VERSION ? 0 : 2; }
";

/// rmon.h and rmon.hpp, one step per compiler and version.
pub fn all(steps: &mut Steps, library: &Library, quick: bool) -> Result<()> {
    let lib_dir = library.stage()?;
    let (mut toolchains, missing) = compilers::find();
    if quick {
        toolchains.truncate(1);
    }
    for toolchain in &toolchains {
        for standard in C_STANDARDS.into_iter().chain(CXX_STANDARDS) {
            let cxx = standard.starts_with("c++");
            if cxx && !toolchain.has_cxx() {
                continue;
            }
            let name = format!("rmon.h: {} {standard}", toolchain.name(cxx));
            steps.run(&name, || compile(toolchain, standard, &lib_dir));
        }
        steps.run(&format!("RMON_DISABLED: {}", toolchain.name(false)), || disabled(toolchain));
    }
    if !quick {
        for name in missing {
            steps.skip(&format!("rmon.h: {name}"), &format!("{name} not found"));
        }
    }
    Ok(())
}

/// Compiles two units with each switch, links them and runs the program.
fn compile(toolchain: &Toolchain, standard: &str, lib_dir: &Path) -> Result<Verdict> {
    let cxx = standard.starts_with("c++");
    let dir = fresh_dir("headers")?;
    let wrapper = cxx && standard >= "c++17" && cpp_dir().join("rmon.hpp").is_file();
    let extension = if cxx { "cpp" } else { "c" };
    let mut first = FIRST_UNIT.to_string();
    if wrapper {
        first.insert_str(0, "#include <rmon.hpp>\n#include <rmon.hpp>\n");
    }
    let units = [("first", first.as_str()), ("second", SECOND_UNIT)];
    let paths: Vec<PathBuf> =
        units.iter().map(|(name, _)| dir.join(format!("{name}.{extension}"))).collect();
    for ((_, text), path) in units.iter().zip(&paths) {
        fs::write(path, text)?;
    }
    let exe = dir.join("program");
    let lib = lib_dir.display();
    for switches in SWITCHES {
        let compiler = toolchain.cmd(standard).context("no C++ compiler")?;
        let compiler =
            compiler.args(["-O2"]).args(WARNINGS).args(include_flags()).args(switches).args(&paths);
        must(compiler.arg("-o").arg(&exe).args([
            format!("-L{lib}"),
            "-lrmon".to_string(),
            format!("-Wl,-rpath,{lib}"),
        ]))?;
        must(Cmd::new(&exe))?;
    }
    passed_with(if wrapper { "with rmon.hpp" } else { "" })
}

/// With RMON_DISABLED a program full of probes needs nothing of librmon, and runs, even if nothing
/// is optimised.
fn disabled(toolchain: &Toolchain) -> Result<Verdict> {
    let dir = fresh_dir("disabled")?;
    let source = root().join("xtask/probes.c");
    for (standard, names) in [("c99", true), ("c99", false), ("c++11", true), ("c++11", false)] {
        let Some(compiler) = toolchain.cmd(standard) else {
            continue;
        };
        let (object, exe) = (dir.join("probes.o"), dir.join("probes"));
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        let names: &[&str] = if names { &[] } else { &["-DRMON_NO_PYMONITORING_NAMES"] };
        let compiler = compiler
            .args(["-O0", "-DRMON_DISABLED"])
            .args(names)
            .args(WARNINGS)
            .args(include_flags());
        must(compiler.args(["-x", language, "-c"]).arg(&source).arg("-o").arg(&object))?;
        let undefined = Cmd::new("nm").arg("--undefined-only").arg(&object).read()?;
        let ours: Vec<&str> = undefined
            .split_whitespace()
            .filter(|name| name.contains("rmon_") || name.contains("PyMonitoring"))
            .collect();
        if !ours.is_empty() {
            bail!(
                "{} {standard}: still needed with RMON_DISABLED: {}",
                toolchain.name(language == "c++"),
                ours.join(" ")
            );
        }
        must(toolchain.cmd(standard).context("no C++ compiler")?.arg(&object).arg("-o").arg(&exe))?;
        must(Cmd::new(&exe))?;
    }
    passed_with("")
}

/// Runs a command; an error with what it said unless it succeeds.
fn must(cmd: Cmd) -> Result<()> {
    let line = cmd.line();
    say(format!("$ {line}"));
    let outcome = cmd.outcome(TIME_LIMIT)?;
    if !outcome.success() {
        bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
    }
    Ok(())
}
