//! Names the shared library, and, with the feature `header`, makes rmon.h into OUT_DIR.
//!
//! include/rmon.h is a checked-in copy of that file: tests/header.rs compares them, and
//! `cargo xtask bless` replaces it. cargo-c sets the library's name itself.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rerun-if-changed=src");
    // For tests/readme.rs, which compiles C.
    println!("cargo::rustc-env=RMON_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    name_library();
    #[cfg(feature = "header")]
    header::make();
}

/// The SONAME carries the ABI version. A thread's exit hook lies in the library, so it must never be
/// unloaded.
fn name_library() {
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux {
        if std::env::var_os("CARGO_FEATURE_CAPI").is_none() {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,librmon.so.0");
        }
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

#[cfg(feature = "header")]
mod header {
    use std::env::var;
    use std::path::{Path, PathBuf};

    /// Where the C API's types and functions stand. cbindgen follows the modules of `ffi` itself.
    const SOURCES: [&str; 6] =
        ["ffi/mod.rs", "state.rs", "tool.rs", "code.rs", "host.rs", "attach.rs"];

    /// Negative constants in parentheses, and no two empty lines in a row.
    fn tidied(text: &str) -> String {
        let mut out = String::new();
        for line in text.lines() {
            match line.strip_prefix("#define ").and_then(|rest| rest.split_once(" -")) {
                Some((name, value)) => out.push_str(&format!("#define {name} (-{value})")),
                None if line.is_empty() && out.ends_with("\n\n") => continue,
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }

    /// What is exported but declared, or defined inline, in src/ffi/inline.h.
    fn is_inline(name: &str) -> bool {
        name.starts_with("PyMonitoring_")
            || matches!(name, "rmon_enter_scope" | "rmon_exit_scope")
            || (name.starts_with("rmon_fire_") && !name.ends_with("_slow"))
    }

    /// The functions that the sources export, read off their text.
    fn exported(root: &Path) -> Vec<String> {
        let files = std::fs::read_dir(root.join("src/ffi")).expect("src/ffi is there");
        let mut names = Vec::new();
        for file in files {
            let path = file.expect("src/ffi can be listed").path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source can be read");
                names.extend(text.split("extern \"C\" fn ").skip(1).filter_map(|rest| {
                    let end = rest.find('(')?;
                    Some(rest[..end].to_owned())
                }));
            }
        }
        names
    }

    fn version() -> String {
        let part = |name: &str| var(name).expect("cargo sets the package's version");
        let [major, minor, patch] =
            ["CARGO_PKG_VERSION_MAJOR", "CARGO_PKG_VERSION_MINOR", "CARGO_PKG_VERSION_PATCH"]
                .map(part);
        format!(
            "\n/** The version of this header; rmon_version_number() is the library's. */\n\
             #define RMON_VERSION_MAJOR {major}\n\
             #define RMON_VERSION_MINOR {minor}\n\
             #define RMON_VERSION_PATCH {patch}\n\
             #define RMON_VERSION_NUMBER \
             (RMON_VERSION_MAJOR * 1000000 + RMON_VERSION_MINOR * 1000 + RMON_VERSION_PATCH)\n"
        )
    }

    pub fn make() {
        let root = PathBuf::from(var("CARGO_MANIFEST_DIR").expect("cargo sets the root"));
        let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))
            .expect("cbindgen.toml can be read");
        config.export.exclude.extend(exported(&root).into_iter().filter(|name| is_inline(name)));
        config.after_includes = Some(version());
        config.trailer = Some(
            std::fs::read_to_string(root.join("src/ffi/inline.h")).expect("inline.h can be read"),
        );
        let out = PathBuf::from(var("OUT_DIR").expect("cargo sets the output directory"));
        let mut builder = cbindgen::Builder::new().with_config(config);
        for source in SOURCES {
            builder = builder.with_src(root.join("src").join(source));
        }
        let mut text = Vec::new();
        builder.generate().expect("cbindgen understands the sources").write(&mut text);
        let text = String::from_utf8(text).expect("the header is UTF-8");
        std::fs::write(out.join("rmon.h"), tidied(&text)).expect("OUT_DIR can be written to");
    }
}
