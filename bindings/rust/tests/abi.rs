//! The types in src/abi.rs are those of rmon.h.

const HEADER: &str = include_str!("../../../include/rmon.h");
const SOURCE: &str = include_str!("../src/abi.rs");

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
fn fields_in_c(name: &str) -> Vec<String> {
    let text = code(HEADER);
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
fn fields_in_rust(name: &str) -> Vec<String> {
    let text = code(SOURCE);
    let start = text.find(&format!("struct {name} {{")).expect("the source has the struct");
    let body = &text[start..][..text[start..].find("\n}").expect("it ends")];
    let field = |line: &str| {
        let name = line.trim().strip_prefix("pub(crate) ").or(line.trim().strip_prefix("pub "))?;
        Some(name.split_once(':')?.0.to_string())
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
        assert_eq!(fields_in_c(c), fields_in_rust(rust), "{c}");
    }
    let (whole, used) = (fields_in_c("rmon_table"), fields_in_rust("Table"));
    assert!(used.len() > 20, "{used:?}");
    assert_eq!(whole[..used.len()], used, "the table is the start of the header's");
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
