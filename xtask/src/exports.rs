//! What librmon shows to the loader: its own names only, none that a CPython has, and its SONAME.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::library::{self, Library, SONAME};
use crate::pythons::Python;
use crate::sh::Cmd;
use crate::steps::{Verdict, passed_with};

/// Every exported name is one of ours.
pub fn own_names(library: &Library) -> Result<Verdict> {
    let names = exported(&library.shared)?;
    let strange: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !is_ours(name)).collect();
    if !strange.is_empty() {
        bail!("librmon.so exports names that are not its own: {}", strange.join(" "));
    }
    // An empty list would please the check above.
    for needed in ["rmon_version", "rmon_enter_scope", "PyMonitoring_FireLineEvent"] {
        if !names.contains(needed) {
            bail!("librmon.so does not export {needed}");
        }
    }
    passed_with(format!("{} names", names.len()))
}

/// No CPython of this machine exports a name of librmon's: it could be taken for the interpreter's
/// by somebody else.
pub fn none_of_python(library: &Library, pythons: &[Python]) -> Result<Verdict> {
    let ours = exported(&library.shared)?;
    let mut compared = Vec::new();
    for python in pythons {
        let theirs = exported(python.symbols())?;
        if !theirs.contains("PyObject_Repr") {
            bail!(
                "CPython {}: {} does not show CPython's symbols",
                python.name,
                python.symbols().display()
            );
        }
        let both: Vec<&str> = ours.intersection(&theirs).map(String::as_str).collect();
        if !both.is_empty() {
            bail!("librmon.so and CPython {} both export {}", python.name, both.join(" "));
        }
        compared.push(python.name.as_str());
    }
    if compared.is_empty() {
        return Ok(Verdict::Skipped("no CPython found".to_string()));
    }
    passed_with(format!("compared with CPython {}", compared.join(", ")))
}

/// Two builds of the library export the same.
pub fn same_names(one: &Library, other: &Library) -> Result<()> {
    let [names, others] = [one, other].map(|library| exported(&library.shared));
    let (names, others) = (names?, others?);
    if let Some(name) = names.symmetric_difference(&others).next() {
        bail!("{} and {} do not both export {name}", one.shared.display(), other.shared.display());
    }
    Ok(())
}

/// The SONAME is there from a plain `cargo build` on, the library stays loaded, and nothing of
/// Python is needed.
pub fn dynamic_section(library: &Library) -> Result<Verdict> {
    let file = &library.shared;
    let sonames = library::dynamic(file, "SONAME")?;
    if sonames != [SONAME] {
        bail!("the SONAME of librmon.so is {sonames:?}, not {SONAME}");
    }
    if !library::dynamic_section(file)?.contains("NODELETE") {
        bail!("librmon.so could be unloaded: threads that end call into it");
    }
    let needed = library::dynamic(file, "NEEDED")?;
    let known =
        ["libc.so", "libgcc_s.so", "ld-linux", "libm.so", "libpthread.so", "libdl.so", "librt.so"];
    let strange: Vec<&String> =
        needed.iter().filter(|lib| !known.iter().any(|known| lib.starts_with(known))).collect();
    if !strange.is_empty() {
        bail!("librmon.so needs {strange:?}");
    }
    passed_with(format!("{SONAME}, needs {}", needed.join(" ")))
}

/// True for the names that librmon may export.
fn is_ours(name: &str) -> bool {
    let fire = name.strip_prefix("PyMonitoring_Fire").and_then(|rest| rest.strip_suffix("Event"));
    let own = name.strip_prefix("rmon_");
    let word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    fire.is_some_and(word) || own.is_some_and(word)
}

/// The names that a file's dynamic symbol table defines, without their versions.
fn exported(file: &Path) -> Result<BTreeSet<String>> {
    let text =
        Cmd::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(file).read()?;
    let name = |line: &str| line.split([' ', '@']).next().unwrap_or_default().to_string();
    Ok(text.lines().map(name).filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_families_are_ours() {
        for name in ["rmon_version", "rmon_fire_line", "PyMonitoring_FireLineEvent"] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "PyMonitoring_EnterScope",
            "_PyMonitoring_FireLineEvent",
            "PyMonitoring_FireEvent",
            "rmon_",
            "rust_eh_personality",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
