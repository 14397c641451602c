//! Builds the benchmark programs of benches/, and says how a row of one is run.
//!
//! Only those are built whose rows are wanted. What a machine lacks is said by name, and its rows are left out.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::interpreters::Interpreters;
use super::lttng;
use super::rows::{LTTNG_RECORDING, Program, Row};
use crate::compilers::{self, Toolchain};
use crate::library::{self, STATIC_LIBS};
use crate::sh::{self, Cmd, root, say, target_dir};

/// How everything here is compiled: as a user's release build would be.
pub const OPTIMIZATION: &str = "-O2";

/// The sources of the main program, besides those that are compiled apart.
const MAIN: [&str; 10] = [
    "main.c",
    "bench.c",
    "tools.c",
    "limits.c",
    "scope.c",
    "quiet.c",
    "fire.c",
    "threads.c",
    "synchronize.c",
    "cold.c",
];

/// How a Rust program is linked: as by default, or as one piece.
const LTO_OFF: [&str; 2] = ["profile.release.lto=false", "profile.release.codegen-units=16"];
const LTO_FAT: [&str; 2] = ["profile.release.lto='fat'", "profile.release.codegen-units=1"];

/// The programs, built.
pub struct Programs {
    dir: PathBuf,
    /// What librmon says its version is.
    pub library_version: String,
    /// The C compiler, as its own first line of --version names it.
    pub c_compiler: String,
    /// The interpreters in which rows are run.
    pub interpreters: Interpreters,
    /// What is left out, and why.
    pub left_out: Vec<String>,
    built: HashSet<Program>,
    lttng: Option<lttng::Daemon>,
}

impl Programs {
    /// Builds those that have one of the rows, against the librmon that is installed in `prefix`, or that is built for
    /// it, as a shared library.
    pub fn build(rows: &[&Row], prefix: Option<&Path>, quick: bool) -> Result<Programs> {
        let (include, lib) = match prefix {
            Some(prefix) => {
                let prefix = fs::canonicalize(prefix)
                    .with_context(|| format!("there is no {}", prefix.display()))?;
                (prefix.join("include"), prefix.join("lib"))
            }
            None => (compilers::include_dir(), library::build()?.stage()?),
        };
        let (toolchains, _) = compilers::find();
        let toolchain = toolchains
            .first()
            .context("the benchmarks need a C compiler: gcc, clang, or what CC names")?;
        let dir = target_dir().join("bench");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let build = Build { toolchain, include: &include, lib: &lib, dir: &dir };
        build.tools()?;
        build.main()?;
        let mut wanted: HashSet<Program> = rows.iter().map(|row| row.program).collect();
        let mut left_out = Vec::new();
        for program in [Program::Usdt, Program::Lttng] {
            if wanted.contains(&program)
                && let Some(why) = build.lacks(program)?
            {
                wanted.remove(&program);
                left_out.push(why);
            }
        }
        let interpreters = Interpreters::find(&mut wanted, prefix.is_some(), &mut left_out);
        for program in &wanted {
            match program {
                Program::Main | Program::Criterion => {}
                Program::Memory => build.memory()?,
                Program::Scale => build.scale()?,
                Program::Tracing => build.tracing("tracing", "", LTO_OFF)?,
                Program::TracingLto => build.tracing("tracing_lto", "_lto", LTO_FAT)?,
                Program::Usdt => build.alone("usdt", &[])?,
                Program::Lttng => build.alone("lttng", &["-llttng-ust", "-ldl"])?,
                Program::Cpython(_) | Program::Callbacks(_) | Program::Cython | Program::Large => {}
            }
        }
        interpreters.build(&build, &wanted, quick)?;
        let records =
            wanted.contains(&Program::Lttng) && rows.iter().any(|row| row.name == LTTNG_RECORDING);
        let lttng = if records { lttng::Daemon::find() } else { None };
        if records && lttng.is_none() {
            left_out.push("LTTng's flight recorder: no lttng-sessiond (lttng-tools)".to_string());
        }
        for what in &left_out {
            say(format!("left out: {what}"));
        }
        let library_version = Cmd::new(dir.join("rows")).arg("version").read()?;
        let c_compiler = build.compile()?.arg("--version").read()?;
        let c_compiler = c_compiler.lines().next().unwrap_or_default().to_string();
        let built = wanted;
        Ok(Programs { dir, library_version, c_compiler, interpreters, left_out, built, lttng })
    }

    /// True if the row can be run here.
    pub fn has(&self, row: &Row) -> bool {
        self.built.contains(&row.program) && (row.name != LTTNG_RECORDING || self.lttng.is_some())
    }

    /// The words that run the rows of one process: `how` is "time" (for `amount` milliseconds) or "count" (over `amount`
    /// passes).
    pub fn words(&self, rows: &[&'static Row], how: &str, amount: u32) -> Result<Vec<String>> {
        let row = rows.first().context("no row")?;
        let file = |name: &str| self.dir.join(name).display().to_string();
        let name = match row.program {
            Program::Main => "rows",
            Program::Memory => "memory",
            Program::Scale => "scale",
            Program::Tracing => "tracing",
            Program::TracingLto => "tracing_lto",
            Program::Usdt => "usdt",
            Program::Lttng => "lttng",
            Program::Criterion => anyhow::bail!("criterion runs {}", row.name),
            _ => return self.interpreters.words(&self.dir, rows, how, amount),
        };
        Ok(vec![file(name), how.to_string(), row.name.to_string(), amount.to_string()])
    }

    /// The folder for what callgrind writes, in files named after rows.
    pub fn callgrind_files(&self) -> PathBuf {
        self.dir.join("callgrind")
    }
}

/// What the compile commands share.
pub struct Build<'a> {
    /// The compiler.
    pub toolchain: &'a Toolchain,
    /// Where rmon's headers are.
    pub include: &'a Path,
    /// Where librmon is.
    lib: &'a Path,
    /// Where programs go.
    pub dir: &'a Path,
}

impl Build<'_> {
    /// The C compiler, with all warnings.
    pub fn compile(&self) -> Result<Cmd> {
        Ok(self.compile_others()?.args(compilers::WARNINGS))
    }

    /// The C compiler for what others have written.
    pub fn compile_others(&self) -> Result<Cmd> {
        let cmd = self.toolchain.cmd("gnu11").context("the toolchain has no C compiler")?;
        Ok(cmd.cwd(root().join("benches/c")).arg(OPTIMIZATION).quiet())
    }

    fn compile_with_rmon(&self) -> Result<Cmd> {
        Ok(self.compile()?.arg(format!("-I{}", self.include.display())))
    }

    fn link_with_rmon(&self, cmd: Cmd) -> Cmd {
        let search = [self.lib, self.dir]
            .map(|dir| [format!("-L{}", dir.display()), format!("-Wl,-rpath,{}", dir.display())]);
        cmd.args(search.concat()).args(["-lrmon", "-lbench_tool"])
    }

    /// The tools' modules: what programs link with, and what is loaded into interpreters (which have a librmon).
    fn tools(&self) -> Result<()> {
        for (source, name) in
            [("tool.c", "libbench_tool.so"), ("coverage_tool.c", "libbench_coverage.so")]
        {
            self.compile_with_rmon()?
                .args(["-fPIC", "-shared", source, "-o"])
                .arg(self.dir.join(name))
                .run()?;
        }
        Ok(())
    }

    fn main(&self) -> Result<()> {
        let pic = self.dir.join("pic.o");
        self.compile_with_rmon()?.args(["-fPIC", "-c", "pic.c", "-o"]).arg(&pic).run()?;
        let cmd = self.compile_with_rmon()?.args(MAIN).arg(&pic);
        self.link_with_rmon(cmd).args(["-lpthread", "-o"]).arg(self.dir.join("rows")).run()
    }

    /// tracing's rows, whose loops are Rust. Each setting has a target folder: one would build the other's crates anew.
    fn tracing(&self, name: &str, suffix: &str, settings: [&str; 2]) -> Result<()> {
        let target = self.dir.join("cargo").join(name);
        sh::cargo()
            .args(["rustc", "--release", "--quiet", "--package", "rmon-bench", "--lib"])
            .args(["--crate-type", "staticlib"]) // alone: cargo does not optimize across crates for a library's sake
            .args(settings.into_iter().flat_map(|setting| ["--config", setting]))
            .arg("--target-dir")
            .arg(&target)
            .run()?;
        let cmd =
            self.compile()?.arg(format!("-DSUFFIX=\"{suffix}\"")).args(["tracing.c", "bench.c"]);
        let cmd = cmd.arg(target.join("release/librmon_bench.a")).args(STATIC_LIBS);
        cmd.arg("-o").arg(self.dir.join(name)).run()
    }

    fn memory(&self) -> Result<()> {
        let cmd = self.compile_with_rmon()?.args(["memory.c", "bench.c", "tools.c"]);
        self.link_with_rmon(cmd).arg("-o").arg(self.dir.join("memory")).run()
    }

    fn scale(&self) -> Result<()> {
        let cmd = self.compile_with_rmon()?.args(["scale.c", "bench.c", "tools.c"]);
        let cmd = self.link_with_rmon(cmd).args(["-lpthread", "-o"]);
        cmd.arg(self.dir.join("scale")).run()
    }

    /// A program of a peer's, without rmon.
    fn alone(&self, name: &str, libraries: &[&str]) -> Result<()> {
        let cmd = self.compile()?.args(["-I.", &format!("{name}.c"), "bench.c"]);
        cmd.args(libraries).arg("-o").arg(self.dir.join(name)).run()
    }

    /// Says what is missing, if a peer's headers are.
    fn lacks(&self, program: Program) -> Result<Option<String>> {
        let (name, header, package) = match program {
            Program::Usdt => ("USDT", "sys/sdt.h", "systemtap-sdt-dev"),
            _ => ("LTTng-UST", "lttng/tracepoint.h", "liblttng-ust-dev"),
        };
        let probe = self.dir.join("has_header.c");
        fs::write(&probe, format!("#include <{header}>\n"))?;
        let found = self.compile()?.arg("-fsyntax-only").arg(&probe).read().is_ok();
        let missing =
            || format!("{name}: there is no {header}; on Debian: apt-get install {package}");
        Ok((!found).then(missing))
    }
}
