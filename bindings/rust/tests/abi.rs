//! The types in src/abi.rs are those of rmon.h: to the eye, and to a C compiler.

use std::env::var_os;
use std::fmt::Write as _;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

#[path = "../src/abi.rs"]
#[allow(dead_code, reason = "only their layout is of interest")]
mod abi;

const HEADER: &str = include_str!("../../../include/rmon.h");
const SOURCE: &str = include_str!("../src/abi.rs");
/// And what Python's package is told of a fire.
const PYTHON_HEADER: &str = include_str!("../../../include/rmon_python.h");
const PYTHON_SOURCE: &str = include_str!("../src/python.rs");

/// The text without its comments.
fn code(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        code += before;
        rest = after.split_once("*/").expect("a comment ends").1;
    }
    let lines = (code + rest)
        .lines()
        .map(|line| line.split("//").next().unwrap().to_string() + "\n")
        .collect::<Vec<_>>();
    lines.concat()
}

/// The fields of a struct of the header, in their order.
fn fields_in_c(header: &str, name: &str) -> Vec<String> {
    let text = code(header);
    let start = text.find(&format!("typedef struct {name} {{")).expect("the header has the struct");
    let body = &text[start..][..text[start..].find(&format!("}} {name};")).expect("it ends")];
    let declarations = body.split_once('{').unwrap().1.split(';').map(str::trim);
    let declarations = declarations.filter(|declaration| !declaration.is_empty());
    declarations
        .map(|declaration| {
            // A function's name stands in parentheses, before those of its parameters.
            let declarator = match declaration.split_once("(*") {
                Some((_, rest)) => rest.split(')').next().unwrap(),
                None => declaration.split('[').next().unwrap(),
            };
            let word = |c: char| !(c.is_alphanumeric() || c == '_');
            declarator.rsplit(word).find(|word| !word.is_empty()).unwrap().to_string()
        })
        .collect()
}

/// The fields of a struct of the source.
fn fields_in_rust(source: &str, name: &str) -> Vec<String> {
    let text = code(source);
    let start = text.find(&format!("struct {name} {{")).expect("the source has the struct");
    let body = &text[start..][..text[start..].find("\n}").expect("it ends")];
    let field = |line: &str| {
        let name = line.split_once(':')?.0.trim();
        Some(name.trim_start_matches("pub(crate) ").trim_start_matches("pub ").to_string())
    };
    body.lines().filter_map(field).collect()
}

#[test]
fn structs_have_the_headers_fields_in_the_headers_order() {
    for (c, rust) in [
        ("rmon_slot", "Slot"),
        ("rmon_code_info", "CodeInfo"),
        ("rmon_line_entry", "LineEntry"),
        ("rmon_state", "Cell"),
    ] {
        assert_eq!(fields_in_c(HEADER, c), fields_in_rust(SOURCE, rust), "{c}");
    }
    assert_eq!(
        fields_in_c(PYTHON_HEADER, "rmon_python_fire"),
        fields_in_rust(PYTHON_SOURCE, "Fire")
    );
    let (whole, used) = (fields_in_c(HEADER, "rmon_table"), fields_in_rust(SOURCE, "Table"));
    assert!(used.len() > 20, "{used:?}");
    assert_eq!(whole[..used.len()], used, "the table is the start of the header's");
}

/// A C program that compiles only if the fields of a struct lie where they lie in Rust.
macro_rules! asserts {
    ($c:literal, $rust:ty, $rest:tt: $($field:ident)*) => {{
        let mut text = String::new();
        let mut assert = |what: &str, value: usize| {
            writeln!(text, "_Static_assert({what} == {value}, \"{what}\");").unwrap();
        };
        $(assert(&format!("offsetof({}, {})", $c, stringify!($field)), offset_of!($rust, $field));)*
        assert(&format!("_Alignof({})", $c), align_of::<$rust>());
        if stringify!($rest) == "whole" {
            assert(&format!("sizeof({})", $c), size_of::<$rust>());
        }
        text
    }};
}

#[test]
fn a_c_compiler_lays_the_structs_out_as_rust_does() {
    let text = [
        "#include <rmon.h>\n#include <stddef.h>\n".to_string(),
        asserts!("rmon_slot", abi::Slot, whole:
            magic version table address struct_size abi_version table_size flags),
        asserts!("rmon_code_info", abi::CodeInfo, whole:
            struct_size first_line name qualname filename lines line_count),
        asserts!("rmon_line_entry", abi::LineEntry, whole: offset line),
        asserts!("rmon_state", abi::Cell, whole: active opaque),
        asserts!("rmon_table", abi::Table, start:
            magic struct_size abi_version enter_scope fire_py_start fire_last_call host_note),
    ];
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join("abi.c");
    fs::write(&source, text.concat()).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include");
    let mut compile = Command::new(var_os("CC").unwrap_or_else(|| "cc".into()));
    compile.arg("-fsyntax-only").arg("-I").arg(include).arg(source);
    let output = compile.output().expect("a C compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn numbers_are_the_headers() {
    let value = |text: &str, start: &str| {
        let text = text.split(start).nth(1).unwrap_or_else(|| panic!("there is no {start}"));
        let word =
            text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        let word = word.replace('_', "");
        match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits.trim_end_matches("ull"), 16).unwrap(),
            None => word.parse().unwrap(),
        }
    };
    for (c, rust) in [
        ("#define RMON_MAGIC", " MAGIC: u64 ="),
        ("#define RMON_SLOT_MAGIC", " SLOT_MAGIC: u64 ="),
        ("#define RMON_ABI_VERSION", " ABI_VERSION: u32 ="),
    ] {
        assert_eq!(value(HEADER, c), value(SOURCE, rust), "{c}");
    }
    for event in rmon_emitter::Event::ALL {
        let define = format!("#define RMON_EVENT_{} ", event.name());
        assert_eq!(value(HEADER, &define), event as u64);
    }
}
