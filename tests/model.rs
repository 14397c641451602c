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
//!
//! `RMON_MODEL_CASES` says how many lists are tried, `RMON_MODEL_SEED` which. With 1000 and more,
//! they must reach all that coverage.rs lists. A list that tells the
//! two apart is made as short as it can be, and printed.

#[path = "model/abi.rs"]
mod abi;
#[path = "model/calls.rs"]
mod calls;
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

use coverage::Coverage;
use op::{Behaviour, Case, Op, Seen, same_versions};

/// So many cases reach everything, whatever the seed.
const ENOUGH: u64 = 1000;

/// How the traces of a case differ, if they do.
fn difference(case: &Case, coverage: &mut Coverage) -> Option<String> {
    let mut library = library::run(case);
    let made = library.iter().filter_map(|seen| match seen {
        Seen::Made(address) => Some(*address),
        _ => None,
    });
    let (mut model, reached) = calls::run(case, made.collect());
    coverage.add(reached);
    same_versions(&mut library);
    same_versions(&mut model);
    let same = library.iter().zip(&model).take_while(|(library, model)| library == model).count();
    if same == library.len().max(model.len()) {
        return None;
    }
    let before = model[same.saturating_sub(8)..same].iter().map(|seen| format!("\n  {seen:?}"));
    Some(format!(
        "both saw, last: {}\nthen the model: {:?}\nbut the library: {:?}",
        before.collect::<String>(),
        model.get(same),
        library.get(same)
    ))
}

/// All lists that are a little shorter: without one call, or with less in one callback.
fn shorter(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut found = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let with = |instead: Option<Op>| {
            ops[..at].iter().cloned().chain(instead).chain(ops[at + 1..].iter().cloned()).collect()
        };
        found.push(with(None));
        let Op::Register { tool, event, behaviour } = op else {
            continue;
        };
        let (tool, event) = (*tool, *event);
        for inside in shorter(&behaviour.inside) {
            let behaviour = Behaviour { inside, ..behaviour.clone() };
            found.push(with(Some(Op::Register { tool, event, behaviour })));
        }
        for ops in shorter(behaviour.destroy.as_deref().unwrap_or(&[])) {
            let behaviour = Behaviour { destroy: Some(ops), ..behaviour.clone() };
            found.push(with(Some(Op::Register { tool, event, behaviour })));
        }
    }
    found
}

/// As short as a case can be made that still tells the two apart. (What proptest leaves has the pieces
/// that it was generated in.)
fn shortest(mut case: Case) -> Case {
    loop {
        let tried = shorter(&case.ops).into_iter();
        let mut cases = tried.map(|ops| Case { arrays: case.arrays.clone(), ops });
        match cases.find(|case| difference(case, &mut Coverage::default()).is_some()) {
            Some(found) => case = found,
            None => return case,
        }
    }
}

fn listed(case: &Case) -> String {
    let array = |(number, types)| format!("array {number}: {types:?}");
    let arrays = case.arrays.iter().enumerate().map(array);
    let ops = case.ops.iter().map(|op| format!("  {op:?}"));
    arrays.chain(ops).collect::<Vec<_>>().join("\n")
}

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
