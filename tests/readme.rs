//! The README's first program is c-tests/readme.c, and prints what the README says; the one in C++ is
//! c-tests/readme.cpp, which c-test runs.

#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;

/// The contents of the README's first fenced block of a language.
fn block<'a>(readme: &'a str, language: &str) -> &'a str {
    let start = format!("```{language}\n");
    let from = readme.find(&start).expect("the README has such a block") + start.len();
    let to = from + readme[from..].find("```").expect("the block ends");
    &readme[from..to]
}

#[test]
fn the_first_program_is_the_tested_one_and_prints_what_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = include_str!("../README.md");
    let source = root.join("c-tests/readme.c");
    assert_eq!(block(readme, "c"), std::fs::read_to_string(&source).unwrap());

    let library = common::release_library();
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    // The cc crate finds the compiler that the user means (CC, cross tools), as build scripts do.
    let compiler = cc::Build::new()
        .opt_level(1)
        .target(env!("RMON_TARGET"))
        .host(env!("RMON_TARGET"))
        .try_get_compiler()
        .expect("a C compiler is needed");
    let compiled = compiler
        .to_command()
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(&source)
        .arg(&library)
        .arg("-o")
        .arg(&program)
        .status()
        .expect("the C compiler can be run");
    assert!(compiled.success());

    // The program looks for librmon.so.0, the library's SONAME.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-library");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&library, folder.join("librmon.so.0")).unwrap();
    let run = Command::new(&program).env("LD_LIBRARY_PATH", &folder).output().unwrap();
    assert!(run.status.success());
    assert_eq!(String::from_utf8_lossy(&run.stdout), block(readme, "text"));
}

#[test]
fn the_cpp_program_is_the_tested_one() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c-tests/readme.cpp");
    assert_eq!(
        block(include_str!("../README.md"), "cpp"),
        std::fs::read_to_string(source).unwrap()
    );
}
