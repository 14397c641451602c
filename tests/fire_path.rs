//! The machine code of the fire path: no panic, no allocation, no lock can be reached from it.
//!
//! Reads the disassembly of the release library and follows every call and jump from the functions
//! that fire and enter scopes. It stops at the two functions behind which a fire may do control work
//! because a callback asked for it: carrying out DISABLE, and freeing what a callback removed.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use std::collections::{BTreeMap, BTreeSet};

/// Where control begins, on behalf of a callback.
const CONTROL: [&str; 2] = ["rmon::dispatch::carry_out_disable", "rmon::sync::reclaim::collect"];

/// What must not be reached.
const FORBIDDEN: [&str; 12] = [
    "panic",
    "unwrap_failed",
    "expect_failed",
    "handle_alloc_error",
    "__rust_alloc",
    "__rustc::__rust_alloc",
    "malloc",
    "calloc",
    "parking_lot",
    "lock_slow",
    "bounds_check",
    "_Unwind",
];

/// Every function, and what it calls or jumps to.
fn call_graph(disassembly: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut function = String::new();
    for line in disassembly.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name.1.to_owned();
            graph.entry(function.clone()).or_default();
        } else if line.contains("\tcall") || line.contains("\tj") {
            let target = line.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
            if let Some(target) = target {
                let name = target.split_once("+0x").map_or(target, |(name, _)| name);
                if name != function {
                    graph.entry(function.clone()).or_default().insert(name.to_owned());
                }
            }
        }
    }
    graph
}

fn is_root(name: &str) -> bool {
    name.starts_with("rmon_fire_")
        || name.starts_with("PyMonitoring_Fire")
        || name.starts_with("rmon_enter_scope")
        || name == "rmon_exit_scope"
}

/// A path from a root to something forbidden, if there is one.
fn forbidden(graph: &BTreeMap<String, BTreeSet<String>>, control: &[&str]) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut work: Vec<Vec<String>> =
        graph.keys().filter(|name| is_root(name)).map(|name| vec![name.clone()]).collect();
    assert!(work.len() > 50, "only {} functions fire or enter", work.len());
    while let Some(path) = work.pop() {
        let name = &path[path.len() - 1];
        if control.iter().any(|control| name.contains(control)) || !seen.insert(name.clone()) {
            continue;
        }
        if FORBIDDEN.iter().any(|forbidden| name.contains(forbidden)) {
            return Some(path);
        }
        for callee in graph.get(name).into_iter().flatten() {
            work.push(path.iter().chain([callee]).cloned().collect());
        }
    }
    None
}

#[test]
fn nothing_that_panics_allocates_or_locks_is_reached_from_a_fire() {
    let library = common::release_library();
    let text = common::output("objdump", &["-d", "-C", "--no-show-raw-insn"], &library);
    let graph = call_graph(&text);
    for control in CONTROL {
        assert!(
            graph.keys().any(|name| name.contains(control)),
            "{control} is not in the library under its name; the test would not stop there"
        );
    }
    if let Some(path) = forbidden(&graph, &CONTROL) {
        panic!("reached: {}", path.join("\n  -> "));
    }
    // The test can see what it looks for: without the two stops it finds something.
    assert!(forbidden(&graph, &[]).is_some(), "the control functions are known to lock");
}
