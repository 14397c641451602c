//! The machine code of the fire path: no panic, no allocation, no lock can be reached from it.
//!
//! Reads the disassembly of the release library and follows every call and jump from the functions
//! that fire and enter scopes, those by way of the global offset table, too. It stops at the two
//! functions behind which a fire may do control work because a callback asked for it: carrying out
//! DISABLE, and freeing what a callback removed. Panics planted in the same source are found.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// Where control begins, on behalf of a callback.
const CONTROL: [&str; 2] = ["rmon::dispatch::carry_out_disable", "rmon::sync::reclaim::collect"];

/// Where an unwinding ends that comes from what was called: landing pads only lead there. Control does not
/// let any out, and nothing else that is reached begins one.
const LANDING: &str = "core::panicking::panic_cannot_unwind";

/// What is called by way of a place that the loader is not told to fill.
const UNKNOWN: &str = "(unknown)";

/// What must not be reached.
const FORBIDDEN: [&str; 13] = [
    UNKNOWN,
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

/// What is called of other libraries: to make a new thread known. (glibc has room for the first 32 keys of a
/// process in the thread itself; for a later one it allocates, and where it cannot, nothing is delivered.)
const OTHERS: [&str; 1] = ["pthread_setspecific"];

/// What calls what is in a register or in memory: the host's function that knows the current exception, and
/// callbacks.
const CALLERS: [&str; 10] = [
    "PyMonitoring_FireExceptionHandledEvent",
    "PyMonitoring_FirePyThrowEvent",
    "PyMonitoring_FirePyUnwindEvent",
    "PyMonitoring_FireRaiseEvent",
    "PyMonitoring_FireReraiseEvent",
    "rmon_fire_current_exception_slow",
    "rmon::dispatch::more",
    "rmon::dispatch::one",
    "rmon::dispatch::outside",
    "rmon::dispatch::several",
];

/// What a function calls or jumps to.
#[derive(Default)]
struct Calls {
    named: BTreeSet<String>,
    /// Whether it calls what it has in a register or in memory.
    unnamed: bool,
}

type Graph = BTreeMap<String, Calls>;

/// Every function's calls.
fn call_graph(library: &Path) -> Graph {
    let disassembly = common::output("objdump", &["-d", "-C", "--no-show-raw-insn"], library);
    let lines = || disassembly.lines();
    let header = |line: &str| -> Option<(u64, String)> {
        let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
        Some((u64::from_str_radix(address, 16).ok()?, name.to_owned()))
    };
    let starts: BTreeMap<u64, String> = lines().filter_map(header).collect();
    let function_at =
        |address: u64| starts.range(..=address).next_back().map(|(_, name)| name.clone());
    let offsets = offset_table(library, &function_at);

    let mut graph = Graph::new();
    let mut function = String::new();
    let mut before = ("", "");
    for line in lines() {
        if let Some((_, name)) = header(line) {
            graph.entry(name.clone()).or_default();
            function = name;
            continue;
        }
        let Some(instruction) = line.split('\t').nth(1) else { continue };
        let mut words = instruction.split_whitespace();
        let prefixes = ["addr32", "bnd", "cs", "data16", "notrack", "rex.W"];
        let Some(mnemonic) = words.find(|word| !prefixes.contains(word)) else { continue };
        let operand = words.next().unwrap_or_default();
        let before = core::mem::replace(&mut before, (mnemonic, operand));
        if !mnemonic.starts_with("call") && !mnemonic.starts_with('j') {
            continue;
        }
        let calls = graph.entry(function.clone()).or_default();
        if let Some(place) = operand.strip_suffix("(%rip)") {
            assert!(place.starts_with('*'), "{line}");
            let slot = line.split_once("# ").and_then(|(_, rest)| rest.split(' ').next());
            let slot = u64::from_str_radix(slot.expect("objdump says where"), 16).expect("hex");
            let target = offsets.get(&slot).cloned();
            calls.named.insert(target.unwrap_or_else(|| format!("{UNKNOWN} {slot:x}")));
        } else if let Some(register) = operand.strip_prefix('*') {
            // A `match` adds what its table says to the table's address, and jumps within the function.
            let is_match = before.0.starts_with("add") && before.1.ends_with(register);
            calls.unnamed |= mnemonic.starts_with("call") || !is_match;
        } else {
            let target = u64::from_str_radix(operand, 16).expect("an address");
            let stub = line.rsplit_once('<').map_or("", |(_, name)| name.trim_end_matches('>'));
            let name = if stub.contains("@plt") {
                stub.to_owned()
            } else {
                function_at(target).expect("one")
            };
            if name != function {
                calls.named.insert(name);
            }
        }
    }
    // objdump shows one of the names of what is the same.
    for line in common::output("nm", &["-D", "--defined-only"], library).lines() {
        let mut words = line.split(' ');
        let (address, name) = (words.next().unwrap_or_default(), words.next_back());
        let name = name.unwrap_or_default().split('@').next().unwrap_or_default();
        let shown = u64::from_str_radix(address, 16).ok().and_then(|start| starts.get(&start));
        if let Some(shown) = shown.filter(|shown| *shown != name) {
            graph.entry(name.to_owned()).or_default().named.insert(shown.clone());
        }
    }
    for calls in graph.values_mut() {
        calls.named.remove(LANDING);
    }
    graph
}

/// The functions that the global offset table leads to, by the places of their addresses.
fn offset_table(
    library: &Path,
    function_at: &dyn Fn(u64) -> Option<String>,
) -> HashMap<u64, String> {
    let relocations = common::output("readelf", &["--wide", "--relocs"], library);
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let target = match words.as_slice() {
            [_, _, "R_X86_64_RELATIVE", address] => function_at(hex(address)?)?,
            [_, _, "R_X86_64_GLOB_DAT" | "R_X86_64_JUMP_SLOT", address, name, ..] => {
                match hex(address)? {
                    0 => (*name).to_owned(),
                    address => function_at(address)?,
                }
            }
            _ => return None,
        };
        Some((hex(words[0])?, target))
    };
    relocations.lines().filter_map(entry).collect()
}

fn is_root(name: &str) -> bool {
    name.starts_with("rmon_fire_")
        || name.starts_with("PyMonitoring_Fire")
        || name.starts_with("rmon_enter_scope")
        || name == "rmon_exit_scope"
}

/// What is reached from the roots: each with the path that leads to it.
fn reached(graph: &Graph, control: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::new();
    let roots = graph.keys().filter(|name| is_root(name));
    let mut work: Vec<Vec<String>> = roots.map(|name| vec![name.clone()]).collect();
    while let Some(path) = work.pop() {
        let name = path[path.len() - 1].clone();
        if control.iter().any(|control| name.contains(control)) || seen.contains_key(&name) {
            continue;
        }
        let callees = graph.get(&name).map(|calls| &calls.named).into_iter().flatten();
        work.extend(callees.map(|callee| path.iter().chain([callee]).cloned().collect()));
        seen.insert(name, path);
    }
    seen
}

/// A path from a root to something forbidden, if there is one.
fn forbidden(graph: &Graph, control: &[&str]) -> Option<String> {
    let found = reached(graph, control).into_iter();
    let is_forbidden = |name: &str| FORBIDDEN.iter().any(|forbidden| name.contains(forbidden));
    let mut found = found.filter(|(name, _)| is_forbidden(name));
    found.next().map(|(_, path)| path.join("\n  -> "))
}

/// The functions of exports.txt that fire or enter.
fn listed() -> impl Iterator<Item = &'static str> {
    include_str!("exports.txt").lines().filter(|name| is_root(name))
}

#[test]
fn nothing_that_panics_allocates_or_locks_is_reached_from_a_fire() {
    let graph = call_graph(&common::release_library());
    for control in CONTROL {
        assert!(
            graph.keys().any(|name| name.contains(control)),
            "{control} is not in the library under its name; the test would not stop there"
        );
    }
    if let Some(path) = forbidden(&graph, &CONTROL) {
        panic!("reached: {path}");
    }
    let seen = reached(&graph, &CONTROL);
    for name in listed() {
        assert!(seen.contains_key(name), "{name} was not looked at");
    }
    assert!(listed().count() > 50, "only {} functions fire or enter", listed().count());
    let is_known =
        |known: &[&str], name: &str| known.contains(&name.split('@').next().unwrap_or(name));
    for (name, path) in &seen {
        let Some(calls) = graph.get(name) else {
            assert!(is_known(&OTHERS, name), "of another library: {}", path.join("\n  -> "));
            continue;
        };
        let may = CALLERS.contains(&name.as_str());
        assert!(may || !calls.unnamed, "calls nobody knows what: {}", path.join("\n  -> "));
    }
    // Without the two stops something is found.
    assert!(forbidden(&graph, &[]).is_some(), "the control functions are known to lock");
}

/// The same sources, in which each addition panics that overflows.
#[test]
fn planted_panics_are_found() {
    let settings = [
        ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ];
    let graph = call_graph(&common::library("planted-panics", &settings));
    let path = forbidden(&graph, &CONTROL).expect("a panic is reached");
    assert!(path.contains("panic_const::panic_const_add_overflow"), "{path}");
}
