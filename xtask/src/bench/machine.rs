//! Names what a number belongs to: processor, kernel, compilers, peers.

use std::fs;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::programs::Programs;
use super::rows::Row;
use crate::sh::Cmd;

/// What the numbers were measured on, by name.
pub fn describe(programs: &Programs, rows: &[&Row]) -> Result<Map<String, Value>> {
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| drop(facts.insert(name.to_string(), value));
    add("processor", json!(processor()));
    add("processors", json!(std::thread::available_parallelism()?.get()));
    add("kernel", json!(Cmd::new("uname").arg("-srm").read()?));
    add("load", json!(load()));
    add("c compiler", json!(programs.c_compiler));
    add("rustc", json!(Cmd::new("rustc").arg("--version").read()?));
    add("valgrind", json!(Cmd::new("valgrind").arg("--version").read()?));
    for (name, text) in programs.interpreters.names(rows) {
        add(&name, json!(text));
    }
    Ok(facts)
}

/// The model as Linux names it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(
        || std::env::consts::ARCH.to_string(),
        |rest| rest.trim_start_matches([' ', '\t', ':']).to_string(),
    )
}

/// How many processes ran in the last minute: what disturbs the times.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
