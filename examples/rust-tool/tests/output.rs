//! The program prints what README.md says.

use std::process::Command;

/// What the program prints.
fn output(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rust-tool")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The text after a command in README.md.
fn promised(command: &str) -> &'static str {
    let readme = include_str!("../README.md");
    let after = readme.split_once(command).expect("README.md has the command").1;
    let text = after.split_once("```text\n").expect("its output follows").1;
    text.split_once("```").expect("the output ends").0
}

#[test]
fn without_the_tool_there_are_the_results_alone() {
    assert_eq!(output(&[]), promised("cargo run\n"));
}

#[test]
fn with_the_tool_each_line_is_counted() {
    assert_eq!(output(&["--profile"]), promised("cargo run -- --profile\n"));
}

#[test]
fn another_option_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_rust-tool")).arg("--count").output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}
