//! The C and C++ compilers that the tests use: gcc, clang, and what CC and CXX name.

use std::path::{Path, PathBuf};

use crate::sh::{Cmd, root};

/// What every test program is compiled with.
pub const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The versions of C that rmon.h promises to compile as.
pub const C_STANDARDS: [&str; 4] = ["c99", "c11", "c17", "c2x"];

/// The versions of C++ that rmon.h promises to compile as.
pub const CXX_STANDARDS: [&str; 4] = ["c++11", "c++14", "c++17", "c++20"];

/// The compilers that the tests look for: a C compiler and its C++ twin.
const KNOWN: [(&str, &str); 2] = [("gcc", "g++"), ("clang", "clang++")];

/// A C compiler and, where there is one, its C++ twin. Each is a command line: CC may hold options.
#[derive(Clone, Debug)]
pub struct Toolchain {
    c: Vec<String>,
    cxx: Option<Vec<String>>,
}

impl Toolchain {
    /// The compiler's name: of C, or of C++.
    pub fn name(&self, cxx: bool) -> String {
        let words = if cxx { self.cxx.as_ref().unwrap_or(&self.c) } else { &self.c };
        words.join(" ")
    }

    /// The compiler for a version of the language ("c11", "c++20"), with -std set; None if there is
    /// no C++ compiler.
    pub fn cmd(&self, standard: &str) -> Option<Cmd> {
        let words = if standard.starts_with("c++") { self.cxx.as_ref()? } else { &self.c };
        let (program, options) = words.split_first()?;
        Some(Cmd::new(program).args(options).arg(format!("-std={standard}")))
    }

    /// True if it has a C++ compiler.
    pub fn has_cxx(&self) -> bool {
        self.cxx.is_some()
    }
}

/// The toolchains of this machine, the one that CC and CXX name first; and the names of the known
/// ones that are missing.
pub fn find() -> (Vec<Toolchain>, Vec<&'static str>) {
    let mut found: Vec<Toolchain> = Vec::new();
    let mut missing = Vec::new();
    if let Some(c) = from_env("CC") {
        found.push(Toolchain { c, cxx: from_env("CXX") });
    }
    for (c, cxx) in KNOWN {
        let cxx_words = works(vec![cxx.to_string()]);
        if cxx_words.is_none() {
            missing.push(cxx);
        }
        match works(vec![c.to_string()]) {
            // What CC names is there already; it lacks its twin only if CXX names none.
            Some(words) => match found.iter_mut().find(|known| known.c == words) {
                Some(known) => known.cxx = known.cxx.take().or(cxx_words),
                None => found.push(Toolchain { c: words, cxx: cxx_words }),
            },
            None => missing.push(c),
        }
    }
    if found.is_empty() {
        found.extend(
            works(vec!["cc".to_string()])
                .map(|c| Toolchain { c, cxx: works(vec!["c++".to_string()]) }),
        );
    }
    (found, missing)
}

fn from_env(name: &str) -> Option<Vec<String>> {
    let value = std::env::var(name).ok()?;
    works(value.split_whitespace().map(str::to_string).collect())
}

/// The command line again if it is a compiler that runs.
fn works(words: Vec<String>) -> Option<Vec<String>> {
    let (program, options) = words.split_first()?;
    Cmd::new(program).args(options).arg("--version").read().ok()?;
    Some(words)
}

/// The -I options for the project's own headers.
pub fn include_flags() -> Vec<String> {
    [include_dir(), cpp_dir()].iter().map(|dir| format!("-I{}", dir.display())).collect()
}

/// Where rmon.h is.
pub fn include_dir() -> PathBuf {
    root().join("include")
}

/// Where rmon.hpp is.
pub fn cpp_dir() -> PathBuf {
    root().join("bindings/cpp")
}

/// True if the file is C++ by its name.
pub fn is_cxx(source: &Path) -> bool {
    source.extension().is_some_and(|ext| ext == "cpp" || ext == "cc" || ext == "cxx")
}
