//! `cargo xtask c-test`: the programs of c-tests/, with every compiler, in several versions of C
//! and C++, against the shared and the static library.
//!
//! c-tests/programs.txt lists them: `NAME SOURCE[,SOURCE…] [OPTION…]`, a line each, `#` begins a
//! comment. Options: `c++17`, the program needs that version of C++ or a newer one; `shared-only`;
//! `alone`, the program is not linked with librmon, but finds the shared one by its name;
//! `with=SOURCE[+SOURCE…][,…]`, plug-ins that it loads, each named after its first source and not
//! linked with librmon. A program passes if it ends with 0 in time; 77 says that it cannot run here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::compilers::{self, Toolchain, WARNINGS, include_flags, is_cxx};
use crate::library::{self, Library, STATIC_LIBS};
use crate::parallel;
use crate::sh::{Cmd, Outcome, fresh_dir, root, say};
use crate::steps::{Steps, Verdict, passed_with};

/// How long a program may take. Each has a shorter limit of its own, and says more when it is over.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// The exit code of a program that cannot run here.
pub const CANNOT_RUN: i32 = 77;

/// Not tests: what proves that a checker is on.
pub const NOT_TESTS: [&str; 1] = ["planted_fault.c"];

/// Options of `cargo xtask c-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Only the programs whose names contain one of these
    names: Vec<String>,
    /// Only one compiler, one version of each language
    #[arg(long)]
    quick: bool,
    /// Show the output of every step
    #[arg(long, short)]
    verbose: bool,
}

/// Builds librmon, then builds and runs the programs.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut steps = Steps::new(args.verbose);
    steps.thorough = true;
    let mut built = None;
    let build = || {
        built = Some(library::build()?);
        passed_with("")
    };
    if steps.run("build librmon", build)
        && let Some(library) = built
    {
        all(&mut steps, &library, &args.names, args.quick)?;
    }
    Ok(steps.finish())
}

/// A program of c-tests/.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Its name in c-tests/programs.txt.
    pub name: String,
    sources: Vec<PathBuf>,
    shared_only: bool,
    alone: bool,
    lowest: Option<String>,
    plug_ins: Vec<Vec<PathBuf>>,
}

impl Program {
    /// A program of one source in c-tests/ that programs.txt does not list.
    pub fn unlisted(source: &str) -> Program {
        let name = source.split('.').next().unwrap_or(source).to_string();
        Program { name, sources: vec![folder().join(source)], ..Program::default() }
    }

    /// Reads a line of programs.txt; None if there is something in it that is not understood.
    fn parse(name: &str, sources: &str, options: &[&str]) -> Option<Program> {
        let paths = |list: &str, separator| {
            list.split(separator).map(|source| folder().join(source)).collect()
        };
        let mut program =
            Program { name: name.to_string(), sources: paths(sources, ','), ..Program::default() };
        for option in options {
            match (*option, option.strip_prefix("with=")) {
                ("shared-only", _) => program.shared_only = true,
                ("alone", _) => (program.alone, program.shared_only) = (true, true),
                (version, _) if version.starts_with("c++") => {
                    program.lowest = Some(version.to_string());
                }
                (_, Some(list)) => {
                    program.plug_ins = list.split(',').map(|one| paths(one, '+')).collect();
                }
                _ => return None,
            }
        }
        Some(program)
    }

    /// Its own sources, and those of its plug-ins.
    fn all_sources(&self) -> impl Iterator<Item = &PathBuf> {
        self.sources.iter().chain(self.plug_ins.iter().flatten())
    }

    /// The version of its language to compile it as: the one that is asked for, or the lowest that
    /// it can do with.
    fn standard<'a>(&'a self, asked: &'a str) -> &'a str {
        self.lowest.as_deref().map_or(asked, |lowest| asked.max(lowest))
    }

    /// True if one of its sources is C++.
    pub fn is_cxx(&self) -> bool {
        self.sources.iter().any(|source| is_cxx(source))
    }
}

/// Which librmon a program is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// librmon.so, found again by its path.
    Shared,
    /// librmon.a and what rustc says that it needs.
    Static,
}

/// One way to build a program.
pub struct Variant<'a> {
    /// The compilers.
    pub toolchain: &'a Toolchain,
    /// The version of C or C++.
    pub standard: &'a str,
    /// The library.
    pub linkage: Linkage,
    /// The folder that has the library under all its names.
    pub lib_dir: &'a Path,
    /// Where the program goes.
    pub out_dir: &'a Path,
    /// What a checker needs.
    pub extra: &'a Extra,
}

/// What programs are compiled and linked with besides.
#[derive(Debug, Default)]
pub struct Extra {
    /// For the compiler.
    pub compile: Vec<String>,
    /// For what links a program. Plug-ins find all that they need in it.
    pub link: Vec<String>,
}

impl Extra {
    /// Nothing.
    pub const NONE: &Extra = &Extra { compile: Vec::new(), link: Vec::new() };
}

/// Where the programs' sources are.
pub fn folder() -> PathBuf {
    root().join("c-tests")
}

/// The programs that programs.txt lists, those whose names contain one of `names` (all, if there is
/// none).
pub fn programs(names: &[String]) -> Result<Vec<Program>> {
    let list = folder().join("programs.txt");
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut programs = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> =
            line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let program = match words.as_slice() {
            [] => continue,
            [name, sources, options @ ..] => Program::parse(name, sources, options),
            _ => None,
        };
        let program =
            program.with_context(|| format!("c-tests/programs.txt: not understood: {line}"))?;
        programs.push(program);
    }
    programs
        .retain(|program| names.is_empty() || names.iter().any(|name| program.name.contains(name)));
    if programs.is_empty() {
        bail!("no such program in c-tests/programs.txt");
    }
    Ok(programs)
}

/// All steps: the list is complete; each compiler, version and linkage.
pub fn all(steps: &mut Steps, library: &Library, names: &[String], quick: bool) -> Result<()> {
    if !folder().join("programs.txt").is_file() {
        steps.skip("c-tests", "c-tests/programs.txt is not there");
        return Ok(());
    }
    steps.run("c-tests: programs.txt lists every source", list_is_complete);
    let programs = programs(names)?;
    let lib_dir = library.stage()?;
    let (mut toolchains, missing) = compilers::find();
    if quick {
        toolchains.truncate(1);
    }
    let standards: &[&str] =
        if quick { &["c11", "c++11", "c++17"] } else { &["c99", "c11", "c++11", "c++17", "c++20"] };
    let first = toolchains.first().map(|toolchain| toolchain.name(false)).unwrap_or_default();
    for toolchain in &toolchains {
        for &standard in standards {
            let cxx = standard.starts_with("c++");
            let matching: Vec<Program> = programs
                .iter()
                .filter(|program| program.is_cxx() == cxx && program.standard(standard) == standard)
                .cloned()
                .collect();
            if cxx && !toolchain.has_cxx() {
                continue;
            }
            for linkage in [Linkage::Shared, Linkage::Static] {
                let fits = |program: &&Program| linkage == Linkage::Shared || !program.shared_only;
                let matching: Vec<Program> = matching.iter().filter(fits).cloned().collect();
                // What is of many is only done if all is to be: C99 by a second compiler, too.
                let of_many = linkage == Linkage::Static && !["c11", "c++17"].contains(&standard)
                    || standard == "c99" && toolchain.name(false) != first;
                if matching.is_empty() || (of_many && !steps.thorough) {
                    continue;
                }
                let word = if linkage == Linkage::Shared { "shared" } else { "static" };
                let label = format!("c-tests: {} {standard} {word}", toolchain.name(cxx));
                // Once more as it is on a system that has no membarrier.
                let fences = standard == "c11" && linkage == Linkage::Shared;
                // One compiler's programs do everything; the others show that what they make of it works.
                let whole = steps.thorough || fences && toolchain.name(cxx) == first;
                for fence in [false, true].into_iter().take(1 + usize::from(fences)) {
                    let note = if fence { ", readers fence" } else { "" };
                    steps.run(&format!("{label}{note}"), || {
                        let out_dir = fresh_dir(&format!(
                            "c-tests/{}-{standard}-{word}",
                            toolchain.name(cxx).replace(['/', ' '], "_")
                        ))?;
                        let variant = Variant {
                            toolchain,
                            standard,
                            linkage,
                            lib_dir: &lib_dir,
                            out_dir: &out_dir,
                            extra: Extra::NONE,
                        };
                        build_and_run(&matching, &variant, fence, !whole)
                    });
                }
            }
        }
    }
    if !quick {
        for name in missing {
            steps.skip(&format!("c-tests: {name}"), &format!("{name} not found"));
        }
    }
    Ok(())
}

/// A source that no line names would never be run and nobody would notice.
fn list_is_complete() -> Result<Verdict> {
    let programs = programs(&[])?;
    let listed: BTreeSet<&Path> =
        programs.iter().flat_map(Program::all_sources).map(PathBuf::as_path).collect();
    let mut wrong: Vec<String> = Vec::new();
    for source in &listed {
        if !source.is_file() {
            wrong.push(format!("listed but not there: {}", source.display()));
        }
    }
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        let source = path.extension().is_some_and(|ext| ext == "c") || is_cxx(&path);
        let exempt =
            path.file_name().is_some_and(|name| NOT_TESTS.iter().any(|known| name == *known));
        if source && !exempt && !listed.contains(path.as_path()) {
            wrong.push(format!("there but not listed: {}", path.display()));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    passed_with(counted(programs.len()))
}

fn counted(programs: usize) -> String {
    format!("{programs} program{}", if programs == 1 { "" } else { "s" })
}

/// Builds and runs programs in one variant, with readers that fence if they are asked to.
/// `brief`: what is repeated is repeated less.
fn build_and_run(
    programs: &[Program],
    variant: &Variant,
    fence: bool,
    brief: bool,
) -> Result<Verdict> {
    let cmd = |exe: PathBuf| {
        let cmd = Cmd::new(exe);
        let cmd = if brief { cmd.env("RMON_TEST_PERCENT", "10") } else { cmd };
        if fence { cmd.env("RMON_NO_MEMBARRIER", "1") } else { cmd }
    };
    let results = parallel::map(programs, |program| {
        let outcome = build(program, variant).and_then(|exe| cmd(exe).outcome(TIME_LIMIT));
        (program.name.clone(), outcome)
    });
    judge(results, |outcome| outcome.success())
}

/// Says how each program ended; an error that names those that ended badly.
pub fn judge(
    results: Vec<(String, Result<Outcome>)>,
    good: impl Fn(&Outcome) -> bool,
) -> Result<Verdict> {
    let mut bad = Vec::new();
    let mut cannot = Vec::new();
    let total = results.len();
    for (name, result) in results {
        match result {
            Ok(outcome) if outcome.status.code() == Some(CANNOT_RUN) => {
                say(format!("--- {name}: cannot run here\n{}", outcome.text.trim_end()));
                cannot.push(name);
            }
            Ok(outcome) if good(&outcome) => {
                say(format!("--- {name}: ok ({:.1} s)", outcome.time.as_secs_f64()));
            }
            Ok(outcome) => {
                say(format!("--- {name}: {}\n{}", outcome.ending(), outcome.text.trim_end()));
                bad.push(name);
            }
            Err(error) => {
                say(format!("--- {name}: {error:#}"));
                bad.push(name);
            }
        }
    }
    if !bad.is_empty() {
        bail!("{} of {total} programs failed: {}", bad.len(), bad.join(", "));
    }
    let note = if cannot.is_empty() {
        String::new()
    } else {
        format!(", cannot run here: {}", cannot.join(", "))
    };
    passed_with(format!("{}{note}", counted(total - cannot.len())))
}

/// Compiles and links a program; returns its path.
pub fn build(program: &Program, variant: &Variant) -> Result<PathBuf> {
    let mut objects = Vec::new();
    let own_standard = program.standard(variant.standard);
    for source in &program.sources {
        // A C++ program's C sources are compiled as C.
        let standard = if is_cxx(source) == program.is_cxx() { own_standard } else { "c11" };
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let object = variant.out_dir.join(format!("{}.{stem}.o", program.name));
        compile(source, &object, standard, &[], variant)?;
        objects.push(object);
    }
    let exe = variant.out_dir.join(&program.name);
    let linker = variant.toolchain.cmd(own_standard).context("no C++ compiler")?;
    let mut link = linker.args(["-pthread", "-o"]).arg(&exe).args(&objects);
    if !program.plug_ins.is_empty() {
        link = link.arg("-rdynamic"); // a plug-in finds what the program has
    }
    let dir = variant.lib_dir.display();
    let run_path = format!("-Wl,-rpath,{dir}");
    let link = match variant.linkage {
        _ if program.alone => link.args([&run_path, "-ldl"]),
        Linkage::Shared => link.args([&format!("-L{dir}"), "-lrmon", &run_path, "-ldl"]),
        Linkage::Static => link.arg(variant.lib_dir.join("librmon.a")).args(STATIC_LIBS),
    };
    let link = link.args(&variant.extra.link);
    link.succeed(TIME_LIMIT)?;
    for sources in &program.plug_ins {
        build_plug_in(sources, &exe, variant)?;
    }
    Ok(exe)
}

fn compile(
    source: &Path,
    object: &Path,
    standard: &str,
    options: &[&str],
    variant: &Variant,
) -> Result<()> {
    let compiler = variant.toolchain.cmd(standard).context("no C++ compiler")?;
    let compiler = compiler.args(["-O2", "-g", "-pthread"]).args(options).args(WARNINGS);
    let compiler = compiler.args(include_flags()).args(&variant.extra.compile);
    let compiler = compiler.arg("-c").arg(source).arg("-o").arg(object);
    compiler.succeed(TIME_LIMIT).map(drop)
}

/// Compiles and links what a program loads, as PROGRAM.SOURCE.so beside it.
fn build_plug_in(sources: &[PathBuf], exe: &Path, variant: &Variant) -> Result<()> {
    let first = sources.first().and_then(|source| source.file_stem()).context("no source")?;
    let plug_in = format!("{}.{}.so", exe.display(), first.to_string_lossy());
    let mut objects = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let object = PathBuf::from(format!("{plug_in}.{index}.o"));
        compile(source, &object, variant.standard, &["-fPIC"], variant)?;
        objects.push(object);
    }
    let linker = variant.toolchain.cmd(variant.standard).context("no C++ compiler")?;
    let linker = linker.args(["-pthread", "-shared"]).args(&objects).arg("-o").arg(plug_in);
    linker.succeed(TIME_LIMIT).map(drop)
}
