//! Builds the benchmark programs of benches/, and says how a row of one is run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::rows::{Program, Row};
use crate::compilers::{self, Toolchain};
use crate::library::{self, STATIC_LIBS};
use crate::pythons::{self, Python};
use crate::sh::{self, Cmd, root, say, target_dir};

/// How everything here is compiled: as a user's release build would be.
const OPTIMIZATION: &str = "-O2";

/// The sources of the main program, besides those that are compiled apart.
const MAIN: [&str; 9] = [
    "main.c",
    "bench.c",
    "tools.c",
    "limits.c",
    "scope.c",
    "quiet.c",
    "fire.c",
    "threads.c",
    "synchronize.c",
];

/// How a Rust program is linked: as by default, or as one piece.
const LTO_OFF: [&str; 2] = ["profile.release.lto=false", "profile.release.codegen-units=16"];
const LTO_FAT: [&str; 2] = ["profile.release.lto='fat'", "profile.release.codegen-units=1"];

/// The version of CPython whose API is the peer. Its C API for monitoring begins there.
const PEER: (u8, u8) = (3, 13);

/// The programs, built.
pub struct Programs {
    dir: PathBuf,
    /// What librmon says its version is.
    pub library_version: String,
    /// The C compiler, as its own first line of --version names it.
    pub c_compiler: String,
    /// The interpreter of the peer, if there is one and it was wanted.
    pub python: Option<Python>,
    with_peers: bool,
}

impl Programs {
    /// Builds them against the librmon that is installed in `prefix`, or that is built for it, as a shared library; the
    /// programs of others too, if rmon is to be compared with them.
    pub fn build(prefix: Option<&Path>, with_peers: bool) -> Result<Programs> {
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
        let python = if with_peers { find_python() } else { None };
        let build = Build { toolchain, include: &include, lib: &lib, dir: &dir };
        build.tool()?;
        build.main()?;
        build.memory()?;
        if with_peers {
            build.tracing("tracing", "", LTO_OFF)?;
            build.tracing("tracing_lto", "_lto", LTO_FAT)?;
        }
        if let Some(python) = &python {
            build.cpython(python)?;
            build.cython(python)?;
        }
        let library_version = Cmd::new(dir.join("rows")).arg("version").read()?;
        let c_compiler = toolchain
            .cmd("c11")
            .context("the toolchain has no C compiler")?
            .arg("--version")
            .read()?;
        let c_compiler = c_compiler.lines().next().unwrap_or_default().to_string();
        Ok(Programs { dir, library_version, c_compiler, python, with_peers })
    }

    /// True if the program is there: CPython's needs a CPython.
    pub fn has(&self, program: Program) -> bool {
        match program {
            Program::Main | Program::Memory => true,
            Program::Tracing | Program::TracingLto => self.with_peers,
            Program::Cpython | Program::Cython => self.python.is_some(),
        }
    }

    /// The words that run a row: `how` is "time" (for `amount` milliseconds) or "count" (over `amount` passes).
    pub fn words(&self, row: &Row, how: &str, amount: u32) -> Result<Vec<String>> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut words = match row.program {
            Program::Main => vec![file("rows")],
            Program::Memory => vec![file("memory")],
            Program::Tracing => vec![file("tracing")],
            Program::TracingLto => vec![file("tracing_lto")],
            Program::Cpython => self.in_python("rmon_bench_cpython")?,
            Program::Cython => {
                let variant = row.name.rsplit('_').next().unwrap_or_default();
                self.in_python(&cython_module(variant))?
            }
        };
        words.extend([how.to_string(), row.name.to_string(), amount.to_string()]);
        Ok(words)
    }

    /// The words that run a module's rows in the interpreter.
    fn in_python(&self, module: &str) -> Result<Vec<String>> {
        const RUN: &str = "import sys, importlib; sys.path.insert(0, sys.argv[1]); \
                           sys.exit(importlib.import_module(sys.argv[2]).rows(*sys.argv[3:]))";
        let python = self.python.as_ref().context("there is no CPython to run")?;
        let (exe, dir) = (python.exe.display().to_string(), self.dir.display().to_string());
        Ok([&exe, "-I", "-S", "-c", RUN, &dir, module].map(str::to_string).to_vec())
    }

    /// The folder for what callgrind writes, in files named after rows.
    pub fn callgrind_files(&self) -> PathBuf {
        self.dir.join("callgrind")
    }
}

/// The name of the module whose functions are compiled so.
fn cython_module(variant: &str) -> String {
    format!("rmon_bench_cython_{variant}")
}

/// The newest interpreter of the peer's version, which must have the GIL: others have other costs.
fn find_python() -> Option<Python> {
    let found = pythons::find_all()
        .into_iter()
        .find(|p| (p.version.0, p.version.1) == PEER && !p.free_threaded);
    if found.is_none() {
        say(format!(
            "no CPython {}.{} with headers here: its rows, and what is compared with them, are left out",
            PEER.0, PEER.1
        ));
    }
    found
}

/// What the compile commands share.
struct Build<'a> {
    toolchain: &'a Toolchain,
    include: &'a Path,
    lib: &'a Path,
    dir: &'a Path,
}

impl Build<'_> {
    fn compile(&self) -> Result<Cmd> {
        let cmd = self.toolchain.cmd("gnu11").context("the toolchain has no C compiler")?;
        Ok(cmd.cwd(root().join("benches/c")).arg(OPTIMIZATION).args(compilers::WARNINGS).quiet())
    }

    fn compile_with_rmon(&self) -> Result<Cmd> {
        Ok(self.compile()?.arg(format!("-I{}", self.include.display())))
    }

    fn link_with_rmon(&self, cmd: Cmd) -> Cmd {
        let search = [self.lib, self.dir]
            .map(|dir| [format!("-L{}", dir.display()), format!("-Wl,-rpath,{}", dir.display())]);
        cmd.args(search.concat()).args(["-lrmon", "-lbench_tool"])
    }

    /// The tools' module, which the programs link with.
    fn tool(&self) -> Result<()> {
        self.compile_with_rmon()?
            .args(["-fPIC", "-shared", "tool.c", "-o"])
            .arg(self.dir.join("libbench_tool.so"))
            .run()
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

    /// The same functions, compiled in each way.
    fn cython(&self, python: &Python) -> Result<()> {
        const NATIVE: [&str; 1] = ["-DCYTHON_TRACE=1"];
        const RMON: [&str; 2] = ["-include", "rmon_python.h"];
        let venv = pythons::venv(python, "tests")?;
        pythons::pip_install_once(&venv, &crate::pytests::PACKAGES)?;
        for (variant, traced, flags) in
            [("plain", false, &[][..]), ("native", true, &NATIVE), ("rmon", true, &RMON)]
        {
            let module = cython_module(variant);
            let source = self.dir.join(format!("{module}.c"));
            Cmd::new(venv.join("bin/python"))
                .args(["-m", "cython", "-3", "--module-name", &module])
                .args(["-X", &format!("linetrace={}", if traced { "True" } else { "False" })])
                .arg(root().join("benches/cython/calls.pyx"))
                .arg("-o")
                .arg(&source)
                .quiet()
                .run()?;
            let cmd = self.toolchain.cmd("gnu11").context("the toolchain has no C compiler")?;
            cmd.cwd(root().join("benches/c"))
                .args([OPTIMIZATION, "-DNDEBUG", "-fwrapv", "-w", "-fPIC", "-shared", "-isystem"])
                .arg(&python.include)
                .args([format!("-I{}", self.include.display()), "-I.".to_string()])
                .arg(format!("-DVARIANT=\"{variant}\""))
                .args(flags)
                .arg(&source)
                .args(["bench.c", "-o"])
                .arg(self.dir.join(format!("{module}.so")))
                .quiet()
                .run()?;
        }
        Ok(())
    }

    /// An extension module; it leaves the interpreter's symbols open, as all do.
    fn cpython(&self, python: &Python) -> Result<()> {
        let cmd = self.compile()?.args(["-fPIC", "-shared", "-isystem"]).arg(&python.include);
        cmd.args(["cpython.c", "bench.c", "-o"]).arg(self.dir.join("rmon_bench_cpython.so")).run()
    }
}
