//! include/rmon.h is what the sources make of it.

#![cfg(feature = "header")]

use std::path::Path;

#[test]
fn the_header_is_what_the_sources_make_of_it() {
    let made = std::fs::read_to_string(Path::new(env!("OUT_DIR")).join("rmon.h")).unwrap();
    let kept =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/rmon.h"))
            .unwrap_or_default();
    let first = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "include/rmon.h is stale from line {} on; run: cargo xtask bless",
        first.unwrap_or(made.lines().count().min(kept.lines().count())) + 1
    );
}

#[test]
fn every_exported_function_has_a_comment_for_the_c_reader() {
    let header =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/rmon.h"))
            .unwrap();
    let lines: Vec<&str> = header.lines().collect();
    let mut functions = 0;
    for (index, line) in lines.iter().enumerate() {
        let declares =
            ["int rmon_", "void rmon_", "void *rmon_", "uint32_t rmon_", "const char *rmon_"]
                .iter()
                .any(|start| line.trim_start_matches("static inline ").starts_with(start));
        let private = line.contains("rmon_priv_");
        // Declared again only to be called without the procedure linkage table.
        let again = lines[index..].iter().take(3).any(|line| line.ends_with("RMON_PRIV_NO_PLT;"));
        if declares && line.contains('(') && !private && !again {
            functions += 1;
            let before = lines[index - 1];
            assert!(before.trim_end().ends_with("*/"), "no comment before: {line}");
        }
    }
    assert!(functions > 60, "found only {functions} functions; has the header another form?");
}
