//! `cargo xtask abi`: compares the ABI of librmon with the one that is checked in, from the library's
//! own debug information, by libabigail's abidw and abidiff.
//!
//! What is gone or has changed is a break. What has been added, also at the end of a struct that has
//! a struct_size, is none; `--bless` then makes it part of what is checked in.

mod dump;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::sh::{self, Cmd, fresh_dir, on_path, root, say, target_dir};
use crate::steps::{Verdict, passed_with};

use dump::Element;

/// How long abidw or abidiff may take.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Bits of abidiff's exit code.
const FAILED: i32 = 1 | 2;
const CHANGED: i32 = 4;

/// Options of `cargo xtask abi`.
#[derive(clap::Args)]
pub struct Args {
    /// Make the library's ABI the one that is checked in
    #[arg(long)]
    bless: bool,
}

/// Checks or blesses.
pub fn run(args: Args) -> Result<()> {
    let verdict = if args.bless { bless() } else { check() };
    match verdict? {
        Verdict::Passed(note) => println!("ABI: {note}"),
        Verdict::Skipped(why) => bail!("cannot look at the ABI: {why}"),
    }
    Ok(())
}

/// A step of the tests: the ABI is the one that is checked in, or more.
pub fn check() -> Result<Verdict> {
    if let Some(why) = impossible() {
        return Ok(Verdict::Skipped(why));
    }
    let dir = fresh_dir("abi")?;
    let now = seen()?;
    planted_changes_are_found(&dir, &now)?;
    let kept = fs::read_to_string(root().join(KEPT)).with_context(|| format!("no {KEPT}"))?;
    let kept = Element::parse(&kept).context(KEPT)?;
    let differences = compare(&dir, &kept, &now)?;
    if !differences.breaks.is_empty() {
        bail!("the ABI is not what {KEPT} says\n{}", differences.breaks);
    }
    if !differences.all.is_empty() {
        say(&differences.all);
        return passed_with("there are additions: run `cargo xtask abi --bless`");
    }
    passed_with(format!("{} symbols", symbols(&now)))
}

/// Makes the library's ABI the one that is checked in.
fn bless() -> Result<Verdict> {
    if let Some(why) = impossible() {
        return Ok(Verdict::Skipped(why));
    }
    let text = seen()?.text();
    let file = root().join(KEPT);
    if fs::read_to_string(&file).is_ok_and(|kept| kept == text) {
        return passed_with(format!("{KEPT}: unchanged"));
    }
    fs::write(&file, text).with_context(|| format!("cannot write {KEPT}"))?;
    passed_with(format!("{KEPT}: changed"))
}

/// The ABI that is checked in.
const KEPT: &str = "tests/abi/x86_64-linux.abi";

/// The structs that may grow at their end: each has a struct_size, by which both sides know what the
/// other has.
const GROWING: [&str; 5] = ["rmon_code_info", "rmon_event", "rmon_host", "rmon_slot", "rmon_table"];

/// Why the ABI cannot be looked at here.
fn impossible() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some(format!("{KEPT} is for Linux on x86-64"));
    }
    let missing = ["abidw", "abidiff"].into_iter().find(|program| !on_path(program));
    missing.map(|program| format!("{program} not found (Debian: abigail-tools)"))
}

/// The library's ABI, by its debug information. Fails if abidw does not see what we know to be there.
fn seen() -> Result<Element> {
    let dump = Cmd::new("abidw")
        .args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"])
        .args(["--no-elf-needed", "--no-parameter-names"])
        .arg(build()?)
        .read()?;
    let abi = dump::reduced(&Element::parse(&dump)?, &c_names()?)?;
    let state = abi.find("class-decl", "rmon_state").context("abidw sees no rmon_state")?;
    let members: Vec<_> = state.walk().iter().filter_map(|part| part.get("name")).collect();
    if members != ["rmon_state", "active", "opaque"] || state.get("size-in-bits") != Some("16") {
        bail!("abidw sees this as rmon_state:\n{}", state.text());
    }
    Ok(abi)
}

/// Builds librmon as it is released, but with full debug information, and without making one function
/// of two that do the same: only one of them would be described. Its file.
fn build() -> Result<PathBuf> {
    let target = target_dir().join("abi");
    sh::cargo()
        .args(["rustc", "--release", "--package", "rmon", "--lib", "--crate-type", "cdylib"])
        .arg("--no-default-features")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_TARGET_DIR", &target)
        .run()?;
    Ok(target.join("release/librmon.so"))
}

/// The names that the header has for the library's types.
fn c_names() -> Result<HashMap<String, String>> {
    let text = fs::read_to_string(root().join("cbindgen.toml"))?;
    let (_, names) = text.split_once("[export.rename]").context("cbindgen.toml renames nothing")?;
    let words = names.lines().map(|line| line.split('"').collect::<Vec<_>>());
    let names = words.filter_map(|words| match words.as_slice() {
        [_, rust, _, c, ..] => Some((rust.to_string(), c.to_string())),
        _ => None,
    });
    Ok(names.collect())
}

/// How many symbols are exported.
fn symbols(abi: &Element) -> usize {
    abi.walk().iter().filter(|element| element.kind() == "elf-symbol").count()
}

/// What abidiff reports; empty where it has nothing to report.
struct Differences {
    /// What is gone or has changed.
    breaks: String,
    /// That, and what has been added.
    all: String,
}

/// Compares two ABIs.
fn compare(dir: &Path, old: &Element, new: &Element) -> Result<Differences> {
    let paths = ["old.abi", "new.abi", "ungrown.abi"].map(|name| dir.join(name));
    fs::write(&paths[0], old.text())?;
    fs::write(&paths[1], new.text())?;
    fs::write(&paths[2], ungrown(old, new).text())?;
    let abidiff = |new: &Path, options: &[&str]| {
        let cmd = Cmd::new("abidiff").arg("--no-default-suppression").args(options);
        let cmd = cmd.arg(&paths[0]).arg(new);
        let line = cmd.line();
        let outcome = cmd.outcome(TIME_LIMIT)?;
        match outcome.status.code() {
            Some(0) => Ok(String::new()),
            Some(code) if code & FAILED == 0 && code & CHANGED != 0 => Ok(outcome.text),
            _ => bail!("{}: {line}\n{}", outcome.ending(), outcome.text),
        }
    };
    Ok(Differences {
        breaks: abidiff(&paths[2], &["--no-added-syms"])?,
        all: abidiff(&paths[1], &[])?,
    })
}

/// The new ABI without what its growing structs have behind the end of the old ones. (abidiff's own
/// suppressions for this would hide changes of the old members as well.)
fn ungrown(old: &Element, new: &Element) -> Element {
    let mut ungrown = new.clone();
    for name in GROWING {
        let (Some(old), Some(new)) =
            (old.find("class-decl", name), ungrown.find_mut("class-decl", name))
        else {
            continue;
        };
        let size = number(old, "size-in-bits");
        let is_old = |member: &Element| number(member, "layout-offset-in-bits") < size;
        if size < number(new, "size-in-bits") && !new.children.iter().all(is_old) {
            new.children.retain(is_old);
            new.set("size-in-bits", old.get("size-in-bits").unwrap_or_default());
        }
    }
    ungrown
}

/// An attribute that is a number.
fn number(element: &Element, attribute: &str) -> Option<u32> {
    element.get(attribute)?.parse().ok()
}

/// A change to plant; None if what it changes is not there.
type Change<'a> = &'a dyn Fn(&mut Element) -> Option<()>;

/// Changes the ABI in ways that break programs, or do not, and asks abidiff: a gate that sees nothing
/// would always be content.
fn planted_changes_are_found(dir: &Path, abi: &Element) -> Result<()> {
    let verdict = |name: &str, change: Change| -> Result<[bool; 2]> {
        let mut changed = abi.clone();
        change(&mut changed).with_context(|| format!("cannot plant this: {name}"))?;
        let found = compare(dir, abi, &changed)?;
        say(format!("planted: {name}\n{}", found.breaks));
        Ok([!found.breaks.is_empty(), !found.all.is_empty()])
    };
    let breaks: [(&str, Change); 7] = [
        ("rmon_state is larger", &|abi| {
            abi.find_mut("class-decl", "rmon_state")?.set("size-in-bits", "24");
            Some(())
        }),
        ("two members of rmon_state change places", &|abi| swap(abi, "rmon_state", 0, 1)),
        ("two members of rmon_event change places", &|abi| swap(abi, "rmon_event", 3, 4)),
        ("rmon_table has a new member amid the others", &|abi| grow(abi, "rmon_table", 4)),
        ("rmon_line_entry, which is an array's element, has a new member", &|abi| {
            grow(abi, "rmon_line_entry", 2)
        }),
        ("rmon_get_events has one parameter less", &|abi| {
            abi.find_mut("function-decl", "rmon_get_events")?.children.remove(1);
            Some(())
        }),
        ("rmon_version is gone", &|abi| remove(abi, "rmon_version")),
    ];
    for (name, change) in breaks {
        if !verdict(name, change)?[0] {
            bail!("abidiff does not see this: {name}");
        }
    }
    let grown = |abi: &mut Element| {
        let members = abi.find_mut("class-decl", "rmon_table")?.children.len();
        grow(abi, "rmon_table", members)
    };
    match verdict("rmon_table has a new member at its end", &grown)? {
        [false, true] => {}
        [true, _] => bail!("a new member at the end of rmon_table counts as a break"),
        [_, false] => bail!("abidiff does not see a new member at the end of rmon_table"),
    }
    Ok(())
}

/// Two members of a struct change places.
fn swap(abi: &mut Element, name: &str, one: usize, other: usize) -> Option<()> {
    let members = &mut abi.find_mut("class-decl", name)?.children;
    let places = [one, other].map(|member| {
        members
            .get(member)
            .and_then(|member| member.get("layout-offset-in-bits"))
            .map(str::to_string)
    });
    let [Some(first), Some(second)] = places else {
        return None;
    };
    members[one].set("layout-offset-in-bits", &second);
    members[other].set("layout-offset-in-bits", &first);
    Some(())
}

/// A struct gets another member, like the one that was there; what stands behind it moves.
fn grow(abi: &mut Element, name: &str, place: usize) -> Option<()> {
    let before = abi.find_mut("class-decl", name)?;
    let size = number(before, "size-in-bits")?;
    let offset = |member: &Element| number(member, "layout-offset-in-bits");
    let start = before.children.get(place).map_or(Some(size), offset)?;
    let width = size - offset(before.children.last()?)?;

    let mut member = before.children.last()?.clone();
    member.children.first_mut()?.set("name", "planted");
    member.set("layout-offset-in-bits", &start.to_string());
    for moved in before.children.iter_mut().skip(place) {
        let to = offset(moved)? + width;
        moved.set("layout-offset-in-bits", &to.to_string());
    }
    before.children.insert(place, member);
    before.set("size-in-bits", &(size + width).to_string());
    Some(())
}

/// A function is gone, with its symbol.
fn remove(abi: &mut Element, name: &str) -> Option<()> {
    let parts = abi.children.iter_mut();
    let gone: usize = parts
        .map(|part| {
            let before = part.children.len();
            part.children.retain(|child| child.get("name") != Some(name));
            before - part.children.len()
        })
        .sum();
    (gone == 2).then_some(())
}
