//! What the crates depend on, and as how old a Rust they compile.
//!
//! The half that needs no other program looks at cargo's own metadata; cargo-deny does the rest where it is
//! installed, by deny.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::rust_extension::find_rustc;
use crate::sh::{self, Cmd, root, say, target_dir};
use crate::steps::{Verdict, passed_with};

/// All that is in librmon besides the standard library.
const LINKED: [&str; 8] = [
    "bitflags",
    "cfg-if",
    "libc",
    "lock_api",
    "parking_lot",
    "parking_lot_core",
    "scopeguard",
    "smallvec",
];

/// Licences that any crate may have.
const LICENCES: [&str; 2] = ["MIT", "Apache-2.0"];
/// Licences that one crate may have, none of which is linked with.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("cbindgen", "MPL-2.0"),
    ("unicode-ident", "Unicode-3.0"),
    ("target-lexicon", "Apache-2.0 WITH LLVM-exception"),
];

/// The workspaces: ours, and those of examples and tests.
const WORKSPACES: [&str; 5] = [
    ".",
    "bindings/rust/tests/oldest-pyo3",
    "bindings/rust/tests/python",
    "examples/rust-emitter",
    "examples/rust-tool",
];

/// How long cargo-deny may take for a workspace.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// A step of the tests: licences, sources, and what librmon and rmon-emitter depend on.
pub fn dependencies() -> Result<Verdict> {
    planted_faults_are_found()?;
    let mut crates = BTreeSet::new();
    for workspace in WORKSPACES {
        let found = metadata(workspace)?;
        for package in packages(&found)? {
            check_package(package).with_context(|| workspace.to_string())?;
            crates.insert(name(package).to_string());
        }
    }
    let ours = metadata(".")?;
    check_linked(&linked(&ours, "rmon")?, &LINKED)?;
    check_linked(&linked(&ours, "rmon-emitter")?, &[])?;
    passed_with(format!("{} crates, {} of them in librmon", crates.len(), LINKED.len()))
}

/// A workspace as cargo sees it on this platform, without features.
fn metadata(workspace: &str) -> Result<Value> {
    let platform = Cmd::new("rustc").args(["--version", "--verbose"]).read()?;
    let platform = platform.lines().find_map(|line| line.strip_prefix("host: "));
    let cmd =
        sh::cargo().args(["metadata", "--format-version=1", "--locked", "--no-default-features"]);
    let cmd = cmd.args(["--filter-platform", platform.context("rustc names no host")?]);
    Ok(serde_json::from_str(&cmd.cwd(root().join(workspace)).read()?)?)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("cargo metadata has no packages")
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// A crate's licence is one that it may have, and it is crates.io's or ours.
fn check_package(package: &Value) -> Result<()> {
    let name = name(package);
    let licence = package["license"].as_str().unwrap_or_default();
    let is_ours = package["source"].is_null();
    let may_have_none = is_ours && licence.is_empty();
    if !may_have_none && !is_allowed(name, licence) {
        bail!("{name} has the licence {licence:?}");
    }
    let source = package["source"].as_str().unwrap_or_default();
    if !is_ours && !source.starts_with("registry+") {
        bail!("{name} is not from the registry but from {source}");
    }
    Ok(())
}

/// Whether an expression of licences leaves a choice that is allowed.
fn is_allowed(name: &str, licence: &str) -> bool {
    let is_one = |word: &str| LICENCES.contains(&word) || EXCEPTIONS.contains(&(name, word));
    let words = licence.replace(['(', ')'], " ").replace('/', " OR ");
    let mut all = words.split(" AND ");
    all.all(|some| some.split(" OR ").any(|licence| is_one(licence.trim())))
}

/// The crates that are linked into one, each with its versions.
fn linked(metadata: &Value, root: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let packages: BTreeMap<&str, &Value> = packages(metadata)?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata resolves nothing")?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let is_root = |package: &&&Value| name(package) == root;
    let start = packages.values().find(is_root).with_context(|| format!("no crate {root}"))?;
    let mut work = vec![start["id"].as_str().context("no id")?];
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(id) = work.pop() {
        let package = packages.get(id).with_context(|| format!("no package {id}"))?;
        let version = package["version"].as_str().unwrap_or_default().to_string();
        if !found.entry(name(package).to_string()).or_default().insert(version) {
            continue;
        }
        let node = nodes.get(id).with_context(|| format!("no node {id}"))?;
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let is_normal = |kind: &Value| kind["kind"].is_null() && kind["target"] != "cfg(loom)";
            let kinds = dependency["dep_kinds"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(is_normal)) {
                work.extend(dependency["pkg"].as_str());
            }
        }
    }
    found.remove(root);
    Ok(found)
}

/// What is linked is what is named, each in one version.
fn check_linked(found: &BTreeMap<String, BTreeSet<String>>, named: &[&str]) -> Result<()> {
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    if names != named {
        bail!("linked with {names:?}, and named are {named:?}");
    }
    match found.iter().find(|(_, versions)| versions.len() > 1) {
        Some((name, versions)) => bail!("{name} in several versions: {versions:?}"),
        None => Ok(()),
    }
}

/// The checks see what they are for.
fn planted_faults_are_found() -> Result<()> {
    let package = |licence: &str, source: &str| serde_json::json!({"name": "planted", "license": licence, "source": source});
    let registry = "registry+somewhere";
    check_package(&package("(GPL-3.0 OR MIT) AND Apache-2.0", registry))?;
    let once = |names: &[&str]| {
        let entry = |name: &&str| (name.to_string(), BTreeSet::from(["1.0.0".to_string()]));
        names.iter().map(entry).collect::<BTreeMap<_, _>>()
    };
    let mut twice = once(&LINKED);
    twice.entry("libc".into()).or_default().insert("2.0.0".into());
    let unseen = [
        check_package(&package("GPL-3.0", registry)),
        check_package(&package("MIT AND GPL-3.0", registry)),
        check_package(&package("MPL-2.0", registry)),
        check_package(&package("", registry)),
        check_package(&package("MIT", "git+somewhere")),
        check_linked(&twice, &LINKED),
        check_linked(&once(&LINKED), &LINKED[1..]),
        check_linked(&once(&LINKED[1..]), &LINKED),
    ];
    if unseen.iter().any(Result::is_ok) {
        bail!("a planted fault is not found: {unseen:?}");
    }
    Ok(())
}

/// A step of the tests: cargo-deny, by deny.toml.
pub fn deny() -> Result<Verdict> {
    let Some(cargo_deny) = sh::which("cargo-deny") else {
        return Ok(Verdict::Skipped("no cargo-deny (`cargo install cargo-deny --locked`)".into()));
    };
    let check = |workspace: &str, options: &[&str], checks: &[&str]| {
        let mut cmd = Cmd::new(&cargo_deny).args(["--color", "never", "--locked"]);
        cmd = cmd.arg("--manifest-path").arg(root().join(workspace).join("Cargo.toml"));
        cmd = cmd.arg("--config").arg(root().join("deny.toml")).args(options);
        cmd = cmd.args(["check", "--hide-inclusion-graph"]).args(checks);
        // Not every workspace has two versions of what may have them.
        cmd = cmd.args(["--allow", "unmatched-skip", "--allow", "unnecessary-skip"]);
        say(format!("$ {}", cmd.line()));
        say(cmd.succeed(TIME_LIMIT)?);
        anyhow::Ok(())
    };
    let advisories = advisories().is_some();
    for workspace in WORKSPACES {
        check(workspace, &[], &["bans", "licenses", "sources"])?;
        if advisories {
            check(workspace, &["--offline"], &["advisories"])?;
        }
    }
    passed_with(if advisories {
        "bans, licences, sources, advisories"
    } else {
        "bans, licences, sources; no copy of the advisories (`cargo deny fetch`)"
    })
}

/// The copy of the advisories that cargo-deny keeps, if it has been fetched.
fn advisories() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let mut copies = std::fs::read_dir(home.join("advisory-dbs")).ok()?.filter_map(Result::ok);
    copies.find(|copy| copy.path().join("crates").is_dir()).map(|copy| copy.path())
}

/// A step of the tests: librmon compiles with the oldest Rust that Cargo.toml names, and without warnings.
pub fn old_rust() -> Result<Verdict> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let line = manifest.lines().find(|line| line.starts_with("rust-version = \""));
    let wanted =
        line.and_then(|line| line.split('"').nth(1)).context("there is no rust-version")?;
    let Some(rustc) = find_rustc(wanted) else {
        return Ok(Verdict::Skipped(format!("no rustc {wanted}")));
    };
    let version = |rustc: &Path| Cmd::new(rustc).arg("--version").read();
    let mut cmd =
        sh::cargo().args(["check", "--package", "rmon", "--lib", "--no-default-features"]);
    if version(&rustc)? != version(Path::new("rustc"))? {
        cmd = cmd.env("RUSTC", &rustc).env("CARGO_TARGET_DIR", target_dir().join("old-rust"));
    }
    cmd.run()?;
    passed_with(version(&rustc)?)
}
