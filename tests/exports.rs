//! What the shared library exports, its name, and what it needs: the ABI gate.

#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;

fn exported() -> BTreeSet<String> {
    common::output("nm", &["-D", "--defined-only"], &common::release_library())
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect()
}

#[test]
fn the_exports_are_the_listed_ones() {
    let list = include_str!("exports.txt");
    let listed: BTreeSet<String> =
        list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let exported = exported();
    let new: Vec<_> = exported.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&exported).collect();
    assert!(new.is_empty(), "exported but not listed in tests/exports.txt: {new:?}");
    assert!(gone.is_empty(), "listed in tests/exports.txt but not exported: {gone:?}");
}

#[test]
fn nothing_else_than_rmon_and_pymonitoring_fires_is_exported() {
    for name in exported() {
        let fire = name.starts_with("PyMonitoring_Fire") && name.ends_with("Event");
        assert!(name.starts_with("rmon_") || fire, "{name}");
    }
}

#[test]
fn the_library_carries_its_soname_is_never_unloaded_and_needs_no_python() {
    let dynamic = common::output("readelf", &["-d"], &common::release_library());
    assert!(dynamic.contains("Library soname: [librmon.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    assert!(!dynamic.contains("python"), "{dynamic}");
}
