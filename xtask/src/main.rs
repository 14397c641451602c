//! The project's own commands. Each lives in a module of its own; this file only names them.

mod abi;
mod bench;
mod bless;
mod c_tests;
mod cargo_c;
mod compilers;
mod crates;
mod demo;
mod examples;
mod exports;
mod fuzz;
mod headers;
mod install;
mod installed;
mod library;
mod mutants;
mod package;
mod parallel;
mod pypi;
mod pytests;
mod pythons;
mod rust_api;
mod rust_extension;
mod sanitize;
mod sh;
mod steps;
mod supply;
mod test;
mod valgrind;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// rmon's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Does rmon's main job on real code, to be looked at
    Demo(demo::Args),
    /// Runs every test: Rust, C, C++, each CPython found
    ///
    /// Each step is named and timed; its output is shown if it fails and kept under
    /// target/xtask/logs/. The last line counts the steps: `N passed, N failed, N skipped`. What is
    /// missing on this machine (a compiler, valgrind, a CPython) is skipped by name.
    Test(test::Args),
    /// Builds and runs the programs of c-tests/ with every compiler found
    ///
    /// gcc and clang (and what CC and CXX name), C99 and C11, C++11 and C++20, against the shared
    /// and the static library.
    CTest(c_tests::Args),
    /// Runs the programs of c-tests/ under valgrind's memory checker
    Valgrind(valgrind::Args),
    /// Runs the programs of c-tests/, and tests in Rust, under the compilers' sanitizers
    ///
    /// Of memory and of threads, over C and Rust; of undefined behaviour, over C and C++ with every
    /// compiler found; of memory, over the Python package. Each first finds the faults that are
    /// planted for it.
    Sanitize(sanitize::Args),
    /// Measures rmon against its targets
    Bench(bench::Args),
    /// Makes include/rmon.h anew from the sources
    Bless(bless::Args),
    /// Compares librmon's ABI with the one that is checked in, by abidiff
    ///
    /// What is gone or has changed is a failure, what has been added is not. --bless makes the ABI the
    /// one that is checked in.
    Abi(abi::Args),
    /// Compares the public API of the crates with the one that is checked in, as rustdoc shows it
    ///
    /// What is gone or has changed is a failure, what has been added is not. --bless makes the API the
    /// one that is checked in.
    RustApi(rust_api::Args),
    /// Changes the library in one place at a time and sees whether a test notices
    ///
    /// The model, programs of c-tests/ and the unit tests are asked. A mutant that survives must be
    /// argued for in docs/mutants.md. Needs cargo-mutants, which lists the places.
    Mutants(mutants::Args),
    /// Fuzzes the library by its C ABI: libFuzzer, AddressSanitizer, and what must come out
    ///
    /// Two targets: lists of operations, which the model must agree with, and hostile arguments. Needs a
    /// C++ compiler. --planted shows that faults are found.
    Fuzz(fuzz::Args),
    /// Installs librmon, its headers, rmon.pc and a CMake package below a prefix
    ///
    /// For who does not have cargo-c: `cargo cinstall` does the same and more.
    Install(install::Args),
    /// Lists the CPython interpreters that the tests use
    ///
    /// One per minor version from 3.9 on that has its headers: those that RMON_PYTHONS names (paths
    /// with colons between), those under target/pythons/, pyenv's, those on the PATH.
    Pythons(pythons::Args),
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).map(done),
        Command::Test(args) => test::run(args),
        Command::CTest(args) => c_tests::run(args),
        Command::Valgrind(args) => valgrind::run(args),
        Command::Sanitize(args) => sanitize::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Bless(args) => bless::run(args).map(done),
        Command::Abi(args) => abi::run(args).map(done),
        Command::RustApi(args) => rust_api::run(args).map(done),
        Command::Mutants(args) => mutants::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Install(args) => install::run(args).map(done),
        Command::Pythons(args) => pythons::run(args).map(done),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
