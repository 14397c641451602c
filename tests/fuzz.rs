//! Runs what the fuzzers keep of what they found, fuzz/corpus/, without a fuzzer; `cargo xtask fuzz` looks
//! for more.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;
use std::{env, fs};

/// Runs the corpus of a target.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus can be read") {
        let path = entry.expect("the corpus can be read").path();
        let bytes = fs::read(&path).expect("an input can be read");
        eprintln!("{}", path.display()); // shown if it fails
        run(&bytes);
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
    assert!(inputs > 10, "no corpus");
}

// One after the other: there is one library.
#[test]
fn the_corpora_are_replayed() {
    replay("operations", fuzz::operations::run);
    replay("arguments", fuzz::arguments::run);
}
