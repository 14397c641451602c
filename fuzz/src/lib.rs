//! What is fuzzed, as functions from bytes. `cargo xtask fuzz` runs them under libFuzzer and
//! AddressSanitizer; tests/fuzz.rs runs them on the corpus, with neither.
#![allow(dead_code, reason = "tests/model.rs uses more of these modules")]

#[path = "../../tests/model/abi.rs"]
mod abi;
#[path = "../../tests/model/calls.rs"]
mod calls;
#[path = "../../tests/model/compare.rs"]
mod compare;
#[path = "../../tests/model/coverage.rs"]
mod coverage;
#[path = "../../tests/model/library.rs"]
mod library;
#[path = "../../tests/model/naive.rs"]
mod naive;
#[path = "../../tests/model/op.rs"]
mod op;

pub mod arguments;
mod bytes;
pub mod operations;
