//! Compiles rmon.h and rmon.hpp the ways their users may: each version of C and C++, twice in one
//! unit, in two units of one program, with their switches, and with every probe compiled away; and the
//! ways they may not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{
    self, C_STANDARDS, CXX_STANDARDS, Toolchain, WARNINGS, cpp_dir, include_flags,
};
use crate::library::{Library, SONAME};
use crate::parallel;
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

/// The versions of C++ that rmon.hpp promises to compile as.
const WRAPPER_STANDARDS: [&str; 3] = ["c++17", "c++20", "c++2b"];

/// What rmon.hpp is free of besides [`WARNINGS`].
const WRAPPER_WARNINGS: [&str; 9] = [
    "-Wcast-qual",
    "-Wconversion",
    "-Weffc++",
    "-Wextra-semi",
    "-Wnon-virtual-dtor",
    "-Wold-style-cast",
    "-Wshadow",
    "-Wsign-conversion",
    "-Wundef",
];

/// How rmon.hpp may be compiled.
const WRAPPER_SWITCHES: [&[&str]; 8] = [
    &[],
    &["-DRMON_DISABLED"],
    &["-DRMON_LAZY"],
    &["-DRMON_LAZY", "-DRMON_DISABLED"],
    &["-DRMON_NO_PYMONITORING_NAMES"],
    &["-fno-exceptions"],
    &["-fno-rtti"],
    &["-fno-exceptions", "-fno-rtti", "-DRMON_LAZY", "-DRMON_NO_PYMONITORING_NAMES"],
];

/// Registers a function that throws; the other unit, one of the same type.
const UNIT_WITH_EXCEPTIONS: &str = "\
#include <rmon.hpp>
rmon::status registers(const rmon::tool &tool, void (*callback)(const rmon_event &));
static void returns(const rmon_event &) {}
static void throws(const rmon_event &) { throw 1; }
int main()
{
    static rmon::scope_states<rmon::event::line> states;
    const rmon::tool tool = *rmon::tool::use(0, \"units\");
    if (!ok(registers(tool, returns)) || !ok(tool.on(rmon::event::line, throws))) return 1;
    if (!ok(tool.set_events(rmon::event::line))) return 2;
    rmon::scope guard(states, nullptr);
    return guard.line(0, 1) == rmon::status::callback ? 0 : 3;
}
";

const UNIT_WITHOUT_EXCEPTIONS: &str = "\
#include <rmon.hpp>
rmon::status registers(const rmon::tool &tool, void (*callback)(const rmon_event &))
{
    return tool.on(rmon::event::line, callback);
}
";

/// Makes a code, once it has found librmon; the other unit can make none.
const LAZY_UNIT: &str = "\
#include <rmon.hpp>
bool makes_code_without_probes();
int main()
{
    if (makes_code_without_probes()) return 1;
    return rmon::code::make(\"f\", \"f\") ? 0 : 2;
}
";

const LAZY_UNIT_WITHOUT_PROBES: &str = "\
#include <rmon.hpp>
bool makes_code_without_probes() { return static_cast<bool>(rmon::code::make(\"f\", \"f\")); }
";

/// Two units of a program, each with its switches; the second has main().
const MIXED: [[(&str, &[&str]); 2]; 2] = [
    [(UNIT_WITHOUT_EXCEPTIONS, &["-fno-exceptions"]), (UNIT_WITH_EXCEPTIONS, &[])],
    [
        (LAZY_UNIT_WITHOUT_PROBES, &["-DRMON_LAZY", "-DRMON_DISABLED"]),
        (LAZY_UNIT, &["-DRMON_LAZY"]),
    ],
];

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
        if toolchain.has_cxx() {
            let name = toolchain.name(true);
            // A second compiler shows what it makes of one version; how versions differ, the first has shown.
            let is_first = name == toolchains[0].name(true) || steps.thorough;
            let standards =
                if is_first { &WRAPPER_STANDARDS[..] } else { &WRAPPER_STANDARDS[1..2] };
            for standard in standards {
                let step = format!("rmon.hpp: {name} {standard}");
                steps.run(&step, || wrapper(toolchain, standard, &lib_dir));
            }
            let step = format!("rmon.hpp: {name}, units with different switches");
            steps.run(&step, || mixed(toolchain, &lib_dir));
            steps.run(&format!("rmon.hpp: {name}, misuse"), || misuse(toolchain));
        }
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
    for switches in SWITCHES {
        let compiler = toolchain.cmd(standard).context("no C++ compiler")?;
        let compiler =
            compiler.args(["-O2"]).args(WARNINGS).args(include_flags()).args(switches).args(&paths);
        must(compiler.arg("-o").arg(&exe).args(link_flags(lib_dir)))?;
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
        let ours = ours_undefined(&object)?;
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

/// Compiles all of rmon.hpp with each switch and runs it. What is lazy or disabled needs nothing of
/// librmon, even if nothing is optimised.
fn wrapper(toolchain: &Toolchain, standard: &str, lib_dir: &Path) -> Result<Verdict> {
    let dir = fresh_dir("wrapper")?;
    let source = root().join("xtask/probes.cpp");
    let results = parallel::map(&WRAPPER_SWITCHES, |switches| {
        let is_linked =
            !switches.iter().any(|switch| ["-DRMON_DISABLED", "-DRMON_LAZY"].contains(switch));
        let (object, exe) =
            (dir.join(switches.concat() + ".o"), dir.join(switches.concat() + ".exe"));
        let compiler = || toolchain.cmd(standard).context("no C++ compiler");
        let compile = compiler()?.arg(if is_linked { "-O2" } else { "-O0" }).args(*switches);
        let compile = compile.args(WARNINGS).args(WRAPPER_WARNINGS).args(include_flags());
        compile.arg("-c").arg(&source).arg("-o").arg(&object).succeed(TIME_LIMIT)?;
        let ours = ours_undefined(&object)?;
        if ours.is_empty() == is_linked {
            bail!("{} needs of librmon: {ours:?}", switches.join(" "));
        }
        let link = compiler()?.arg(&object).arg("-o").arg(&exe);
        let link = if is_linked { link.args(link_flags(lib_dir)) } else { link.arg("-ldl") };
        link.succeed(TIME_LIMIT)?;
        Cmd::new(&exe).env_remove("RMON_LIBRARY").succeed(TIME_LIMIT).map(drop)
    });
    results.into_iter().collect::<Result<Vec<()>>>()?;
    passed_with(format!("{} ways", WRAPPER_SWITCHES.len()))
}

/// Units of one program that were compiled with different switches do not get in each other's way.
fn mixed(toolchain: &Toolchain, lib_dir: &Path) -> Result<Verdict> {
    let dir = fresh_dir("mixed")?;
    for (number, units) in MIXED.iter().enumerate() {
        let compiler = || toolchain.cmd("c++17").context("no C++ compiler");
        let exe = dir.join(format!("{number}.exe"));
        let mut link = compiler()?.arg("-o").arg(&exe);
        for (place, (text, switches)) in units.iter().enumerate() {
            let object = dir.join(format!("{number}.{place}.o"));
            let source = object.with_extension("cpp");
            fs::write(&source, text)?;
            let compile = compiler()?.args(WARNINGS).args(include_flags()).args(*switches);
            must(compile.arg("-c").arg(&source).arg("-o").arg(&object))?;
            link = link.arg(object);
        }
        must(link.args(link_flags(lib_dir)).arg("-ldl"))?;
        must(Cmd::new(&exe).env("RMON_LIBRARY", lib_dir.join(SONAME)))?;
    }
    passed_with(format!("{} programs", MIXED.len()))
}

/// What c-tests/hpp_misuse.cpp says must not compile does not, and the compiler says why.
fn misuse(toolchain: &Toolchain) -> Result<Verdict> {
    let source = root().join("c-tests/hpp_misuse.cpp");
    let text = fs::read_to_string(&source)?;
    let cases: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#if MISUSE == ")?.split_once(" /// "))
        .collect();
    let try_out = |number: &str| {
        let compile = toolchain.cmd("c++17").context("no C++ compiler")?.arg("-fsyntax-only");
        let compile = compile.args(WARNINGS).args(include_flags());
        compile.arg(format!("-DMISUSE={number}")).arg(&source).outcome(TIME_LIMIT)
    };
    if cases.is_empty() || !try_out("0")?.success() {
        bail!("{}: {} cases, and what is right must compile", source.display(), cases.len());
    }
    let results = parallel::map(&cases, |(number, reasons)| {
        let outcome = try_out(number)?;
        if outcome.success() || !reasons.split('|').any(|reason| outcome.text.contains(reason)) {
            bail!("MISUSE={number}: not refused for {reasons:?}:\n{}", outcome.text);
        }
        Ok(())
    });
    results.into_iter().collect::<Result<Vec<()>>>()?;
    passed_with(format!("{} cases", cases.len()))
}

/// What an object file needs of librmon.
fn ours_undefined(object: &Path) -> Result<Vec<String>> {
    let undefined = Cmd::new("nm").arg("--undefined-only").arg(object).read()?;
    let is_ours = |name: &&str| name.contains("rmon_") || name.contains("PyMonitoring");
    Ok(undefined.split_whitespace().filter(is_ours).map(str::to_string).collect())
}

/// How a program is linked with the shared library.
fn link_flags(lib_dir: &Path) -> [String; 3] {
    let dir = lib_dir.display();
    [format!("-L{dir}"), "-lrmon".to_string(), format!("-Wl,-rpath,{dir}")]
}

/// Runs a command; an error with what it said unless it succeeds.
fn must(cmd: Cmd) -> Result<()> {
    say(format!("$ {}", cmd.line()));
    cmd.succeed(TIME_LIMIT).map(drop)
}
