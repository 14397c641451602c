//! `cargo xtask mutants`: changes the library in one place at a time and sees whether a test notices.
//!
//! cargo-mutants lists the places. It leaves unsafe functions alone, so it is shown a copy of the sources
//! in which they are not unsafe (their bodies say what is). Each mutant is built as a shared library
//! alone; the model and the programs of c-tests/ are linked with it once, so that a mutant takes seconds.
//! A mutant that survives must be argued for in docs/mutants.md.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::c_tests::{self, Linkage, Program, Variant};
use crate::compilers;
use crate::library::SONAME;
use crate::sh::{self, Cmd, fresh_dir, on_path, root, say};

/// What is mutated, unless it is said.
const FILES: [&str; 7] = ["event", "registry", "scope", "dispatch", "code", "tool", "state"];
/// The programs of c-tests/ that are run: those that are quick and not about the header alone.
const PROGRAMS: [&str; 13] = [
    "fire",
    "scope",
    "tools",
    "errors",
    "local_events",
    "disable",
    "reentrancy",
    "destroy",
    "codes",
    "threads",
    "fork",
    "pymonitoring",
    "host",
];
/// A test that takes this long does not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `cargo xtask mutants`.
#[derive(clap::Args)]
pub struct Args {
    /// Files of src/, without .rs
    files: Vec<String>,
    /// Only mutants whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

/// Where mutants are made: a package that has the library's sources.
struct Tree {
    dir: PathBuf,
    /// The folder that the library is built in.
    libraries: PathBuf,
}

/// Runs the command.
pub fn run(args: Args) -> Result<ExitCode> {
    if !on_path("cargo-mutants") {
        bail!("cargo-mutants is missing: cargo install --locked cargo-mutants");
    }
    let files =
        if args.files.is_empty() { FILES.map(String::from).to_vec() } else { args.files.clone() };
    let tree = Tree::make(&files)?;
    if !tree.build()? {
        bail!("the sources do not build unchanged");
    }
    let tests = tree.tests()?;
    if let Some(test) = tree.caught(&tests)? {
        bail!("{test} fails without any mutant");
    }
    let argued = fs::read_to_string(root().join("docs/mutants.md")).unwrap_or_default();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut survivors = Vec::new();
    for mutant in tree.mutants(&files)?.iter().filter(|mutant| mutant.name.contains(&args.only)) {
        let path = tree.dir.join(&mutant.file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, mutant.applied(&original)?)?;
        let result = match tree.build() {
            Ok(true) => match tree.caught(&tests)? {
                Some(test) => format!("caught by {test}"),
                None => "survived".to_string(),
            },
            _ => "does not build".to_string(),
        };
        fs::write(&path, original)?;
        say(format!("{result:22} {}", mutant.name));
        if result == "survived" && !argued.contains(&mutant.without_place()) {
            survivors.push(mutant.name.clone());
        }
        *counts.entry(result).or_default() += 1;
    }
    counts.iter().for_each(|(result, count)| say(format!("{count:5} {result}")));
    if survivors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("survived, and docs/mutants.md does not say why:\n{}", survivors.join("\n")));
    Ok(ExitCode::FAILURE)
}

/// A change of one place.
struct Mutant {
    /// "src/FILE.rs:LINE:COLUMN: WHAT".
    name: String,
    file: String,
    replacement: String,
    /// Line and column, from 1, of the first character, and of the one after the last.
    from: (usize, usize),
    to: (usize, usize),
}

impl Mutant {
    fn parse(mutant: &Value) -> Option<Mutant> {
        let place = |end: &str| {
            let place = &mutant["span"][end];
            Some((place["line"].as_u64()? as usize, place["column"].as_u64()? as usize))
        };
        let text = |key: &str| Some(mutant[key].as_str()?.to_string());
        Some(Mutant {
            name: text("name")?,
            file: text("file")?,
            replacement: text("replacement")?,
            from: place("start")?,
            to: place("end")?,
        })
    }

    /// Its name as docs/mutants.md has it, which other changes do not touch.
    fn without_place(&self) -> String {
        let what = self.name.split_once(": ").map_or("", |(_, what)| what);
        format!("{}: {what}", self.file)
    }

    fn applied(&self, source: &str) -> Result<String> {
        let offset = |(line, column): (usize, usize)| {
            let before: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
            let line = source.get(before..)?;
            Some(before + line.char_indices().nth(column - 1)?.0)
        };
        let (from, to) = offset(self.from).zip(offset(self.to)).context("no such place")?;
        Ok(format!("{}{}{}", &source[..from], self.replacement, &source[to..]))
    }
}

impl Tree {
    fn make(files: &[String]) -> Result<Tree> {
        let dir = fresh_dir("mutants")?;
        sh::copy_all(&root().join("src"), &dir.join("src"))?;
        fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"))?;
        for file in files {
            let path = dir.join("src").join(file).with_extension("rs");
            let source = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let source = source.replace("unsafe extern \"C\" fn ", "extern \"C\" fn ");
            fs::write(path, source.replace("unsafe fn ", "fn "))?;
        }
        let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
        let dependencies = manifest.split("\n\n").find(|part| part.starts_with("[dependencies]"));
        let dependencies = dependencies.context("Cargo.toml has no dependencies")?;
        let manifest = format!(
            "[package]\nname = \"rmon\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [lib]\ncrate-type = [\"cdylib\"]\n[profile.dev]\ndebug = 0\n{dependencies}\n"
        );
        fs::write(dir.join("Cargo.toml"), manifest)?;
        let soname = format!("-Wl,-soname,{SONAME},-z,nodelete");
        let script =
            format!("fn main() {{ println!(\"cargo::rustc-cdylib-link-arg={soname}\") }}\n");
        fs::write(dir.join("build.rs"), script)?;
        let libraries = dir.join("target/debug");
        fs::create_dir_all(&libraries)?;
        symlink("librmon.so", libraries.join(SONAME))?;
        Ok(Tree { dir, libraries })
    }

    fn cargo(&self, command: &str) -> Cmd {
        let cmd = sh::cargo().arg(command).args(["--quiet", "--offline"]).cwd(&self.dir);
        cmd.env("CARGO_TARGET_DIR", self.dir.join("target")).env("RUSTFLAGS", "-Awarnings")
    }

    /// False if it is not Rust any more, or is refused by what the compiler can see.
    fn build(&self) -> Result<bool> {
        Ok(self.cargo("build").outcome(10 * PATIENCE)?.success())
    }

    fn mutants(&self, files: &[String]) -> Result<Vec<Mutant>> {
        let mut list = Cmd::new("cargo-mutants").args(["mutants", "--list", "--json"]);
        for file in files {
            list = list.args(["--file", &format!("src/{file}.rs")]);
        }
        let list: Value = serde_json::from_str(&list.cwd(&self.dir).read()?)?;
        let list = list.as_array().context("cargo-mutants lists nothing")?;
        list.iter()
            .map(|mutant| Mutant::parse(mutant).context("cargo-mutants lists otherwise"))
            .collect()
    }

    /// The model and the C programs, linked with the shared library that is built here.
    fn tests(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut tests = vec![("model".to_string(), self.model()?)];
        let (toolchains, _) = compilers::find();
        let variant = Variant {
            toolchain: toolchains.first().context("no C compiler")?,
            standard: "c11",
            linkage: Linkage::Shared,
            lib_dir: &self.libraries,
            out_dir: &fresh_dir("mutants-c")?,
            extra: c_tests::Extra::NONE,
        };
        for name in PROGRAMS {
            let program = Program::unlisted(&format!("{name}.c"));
            tests.push((format!("{name}.c"), c_tests::build(&program, &variant)?));
        }
        Ok(tests)
    }

    /// The model as a package of its own, whose library is the shared one.
    fn model(&self) -> Result<PathBuf> {
        let dir = fresh_dir("mutants-model")?;
        sh::copy_all(&root().join("tests/model"), &dir.join("tests/model"))?;
        fs::copy(root().join("tests/model.rs"), dir.join("tests/model.rs"))?;
        fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
        let proptest = manifest.lines().find(|line| line.starts_with("proptest = "));
        let manifest = format!(
            "[package]\nname = \"model\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [lib]\npath = \"lib.rs\"\n[dev-dependencies]\n{}\n[profile.test]\nopt-level = 1\n",
            proptest.context("Cargo.toml has no proptest")?
        );
        fs::write(dir.join("Cargo.toml"), manifest)?;
        fs::write(dir.join("lib.rs"), "")?;
        let abi = dir.join("tests/model/abi.rs");
        let source = fs::read_to_string(&abi)?;
        let linked = "#[link(name = \"rmon\")]\nunsafe extern \"C\" {}";
        fs::write(abi, source.replace("use rmon as _;", linked))?;
        let libraries = self.libraries.display();
        let cmd =
            sh::cargo().args(["test", "--no-run", "--test", "model", "--message-format=json"]);
        let cmd = cmd.env("RUSTFLAGS", format!("-L{libraries} -Clink-arg=-Wl,-rpath,{libraries}"));
        let messages = cmd.env("CARGO_TARGET_DIR", dir.join("target")).cwd(&dir).read()?;
        let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
        let made = |message: Value| Some(PathBuf::from(message["executable"].as_str()?));
        messages.filter_map(made).next_back().context("cargo made no model")
    }

    /// The first test that fails, if one does.
    fn caught(&self, tests: &[(String, PathBuf)]) -> Result<Option<String>> {
        for (name, test) in tests {
            let outcome = Cmd::new(test).env("RMON_MODEL_CASES", "900").outcome(PATIENCE)?;
            if !outcome.success() {
                return Ok(Some(name.clone()));
            }
        }
        let units = self.cargo("test").arg("--lib").outcome(10 * PATIENCE)?;
        Ok((!units.success()).then(|| "unit tests".to_string()))
    }
}
