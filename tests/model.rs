//! Runs lists of calls through the library and through a naive model of it, and compares all that can
//! be seen: who was called in which order and with what, what every call returned, what the scopes'
//! states hold, when destroy functions ran.
//!
//! - `model/naive.rs`: the model. It is also the shortest full account of what rmon does.
//! - `model/calls.rs`: the model as its callers see it.
//! - `model/op.rs`: the calls, as data, and what is seen of them.
//! - `model/library.rs`, `model/abi.rs`: the library, as a C program sees it.
//! - `model/generate.rs`: lists at random.
//! - `model/coverage.rs`: what they have reached.
//! - `model/compare.rs`: how the two differ, and on how short a list.
//!
//! `RMON_MODEL_CASES` says how many lists are tried, `RMON_MODEL_SEED` which. With 1000 and more,
//! they must reach all that coverage.rs lists. A list that tells the
//! two apart is made as short as it can be, and printed.

#[path = "model/abi.rs"]
mod abi;
#[path = "model/calls.rs"]
mod calls;
#[path = "model/compare.rs"]
mod compare;
#[path = "model/coverage.rs"]
mod coverage;
#[path = "model/generate.rs"]
mod generate;
#[path = "model/library.rs"]
mod library;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/op.rs"]
mod op;

use std::cell::RefCell;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use compare::{difference, listed, shortest};
use coverage::Coverage;

/// So many cases reach everything, whatever the seed.
const ENOUGH: u64 = 1000;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

#[test]
fn the_library_does_what_the_model_says() {
    let cases = from_environment("RMON_MODEL_CASES", 1000);
    let seed = from_environment("RMON_MODEL_SEED", 669);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases.try_into().unwrap_or(u32::MAX),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let coverage = RefCell::default();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let result = TestRunner::new_with_rng(config, rng).run(&generate::case(), |case| {
        match difference(&case, &mut coverage.borrow_mut()) {
            None => Ok(()),
            Some(difference) => Err(TestCaseError::fail(difference)),
        }
    });
    match result {
        Ok(()) => {
            let coverage = coverage.into_inner();
            println!("{cases} cases with seed {seed} have reached:\n{coverage}");
            let missing = coverage.missing();
            assert!(cases < ENOUGH || missing.is_empty(), "not reached: {missing:#?}");
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(_, case)) => {
            let case = shortest(case);
            let difference = difference(&case, &mut Coverage::default()).unwrap_or_default();
            panic!("with seed {seed}, this list tells them apart:\n{}\n{difference}", listed(&case))
        }
    }
}

/// On a system that has no membarrier, readers fence: another way through a fire and an enter. In a
/// process of its own, since a library chooses once.
#[test]
fn so_it_does_where_readers_fence() {
    let cases = std::env::var("RMON_MODEL_CASES").unwrap_or_else(|_| "500".to_owned());
    let model = std::env::current_exe().expect("this program has a path");
    let output = std::process::Command::new(model)
        .args(["--exact", "the_library_does_what_the_model_says"])
        .env("RMON_NO_MEMBARRIER", "1")
        .env("RMON_MODEL_CASES", cases)
        .output()
        .expect("this program can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
