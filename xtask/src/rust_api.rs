//! `cargo xtask rust-api`: compares the public API of the crates with the one that is checked in.
//!
//! The API is what rustdoc shows: declarations, functions, the traits that types have, those that the
//! compiler gives them, too (Send, Sync). A line that is gone or has changed is a break; what has been added
//! is none, and `--bless` then makes it part of what is checked in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::sh::{self, Cmd, root, say, target_dir};
use crate::steps::{Verdict, passed_with};

/// Options of `cargo xtask rust-api`.
#[derive(clap::Args)]
pub struct Args {
    /// Make the crates' API the one that is checked in
    #[arg(long)]
    bless: bool,
}

/// The crates, with the features that they are looked at with (rmon-emitter's PyO3 types need a Python).
const CRATES: [(&str, &str); 2] = [("rmon", ""), ("rmon-emitter", "python")];

/// Traits that the compiler gives to types and that are no matter of programs yet.
const UNSTABLE: [&str; 2] = ["Freeze", "UnsafeUnpin"];

/// Checks or blesses.
pub fn run(args: Args) -> Result<()> {
    if args.bless {
        for (name, features) in CRATES {
            fs::write(root().join(kept(name)), listing(name, features)?)?;
        }
        return Ok(());
    }
    match check()? {
        Verdict::Passed(note) => println!("API: {note}"),
        Verdict::Skipped(why) => bail!("cannot look at the API: {why}"),
    }
    Ok(())
}

/// Where a crate's API is checked in.
fn kept(name: &str) -> String {
    format!("tests/abi/{name}.api.txt")
}

/// A step of the tests: the API is the one that is checked in, or more.
pub fn check() -> Result<Verdict> {
    let (mut lines, mut added) = (0, 0);
    for (name, features) in CRATES {
        let file = kept(name);
        let kept = fs::read_to_string(root().join(&file)).with_context(|| format!("no {file}"))?;
        let first = kept.lines().next().unwrap_or_default();
        if first != header()? {
            let why = format!("{file} was made by another Rust ({first}); see --bless");
            return Ok(Verdict::Skipped(why));
        }
        let now = listing(name, features)?;
        planted_changes_are_found(&now)?;
        let (gone, new) = compare(&kept, &now);
        if !gone.is_empty() {
            bail!("{file} has what {name} has not:\n{}\nnew:\n{}", gone.join("\n"), new.join("\n"));
        }
        new.iter().for_each(say);
        lines += now.lines().count();
        added += new.len();
    }
    if added != 0 {
        return passed_with("there are additions: run `cargo xtask rust-api --bless`");
    }
    passed_with(format!("{lines} lines"))
}

/// The first line of a list: how signatures are written may change with rustdoc.
fn header() -> Result<String> {
    let version = Cmd::new("rustdoc").arg("--version").read()?;
    let number = version.split(' ').nth(1).context("rustdoc has no version")?;
    let (minor, _) = number.rsplit_once('.').context("rustdoc's version has no dots")?;
    Ok(format!("# by rustdoc {minor}"))
}

/// The lines that only the one has, and those that only the other has.
fn compare<'a>(kept: &'a str, now: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let [kept, now] = [kept, now].map(|text| text.lines().collect::<BTreeSet<_>>());
    (kept.difference(&now).copied().collect(), now.difference(&kept).copied().collect())
}

/// A crate's API, a line for each part of it.
fn listing(name: &str, features: &str) -> Result<String> {
    let target = target_dir().join("api");
    let doc = target.join("doc").join(name.replace('-', "_"));
    if doc.exists() {
        fs::remove_dir_all(&doc)?; // pages of what is gone
    }
    sh::cargo()
        .args(["doc", "--no-deps", "--no-default-features", "--lib", "--package", name])
        .args(["--features", features])
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTDOCFLAGS")
        .run()?;
    let mut lines = BTreeSet::new();
    for page in pages(&doc)? {
        let text = fs::read_to_string(doc.join(&page)).with_context(|| page.clone())?;
        let path = page.trim_end_matches(".html").replace('/', "::");
        lines.extend(parts(&text).into_iter().map(|part| format!("{path}: {part}")));
    }
    let lines: Vec<String> = [header()?].into_iter().chain(lines).collect();
    Ok(lines.join("\n") + "\n")
}

/// The pages of all that is public.
fn pages(doc: &Path) -> Result<Vec<String>> {
    let all = fs::read_to_string(doc.join("all.html")).context("rustdoc made no all.html")?;
    let links = all.split("<li><a href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let pages: Vec<_> = links.filter(|link| link.ends_with(".html")).map(str::to_string).collect();
    if pages.len() < 5 {
        bail!("rustdoc lists only {pages:?}");
    }
    Ok(pages)
}

/// What a page declares.
fn parts(page: &str) -> Vec<String> {
    let before = |text: &'static str| page.split(text).next().unwrap_or_default();
    // What every type has by the standard library's own implementations stands last.
    let own = before("<h2 id=\"blanket-implementations\"");
    let inherent = before("<h2 id=\"trait-implementations\"").len();
    let inherent =
        inherent.min(before("<h2 id=\"synthetic-implementations\"").len()).min(own.len());
    let (inherent, traits) = own.split_at(inherent);
    let mut found = between(inherent, "<pre class=\"rust item-decl\">", "</pre>");
    found.extend(between(inherent, "<h4 class=\"code-header\">", "</h4>"));
    let is_stable =
        |line: &String| !UNSTABLE.iter().any(|name| line.contains(&format!(" {name} for ")));
    let traits = between(traits, "<h3 class=\"code-header\">", "</h3>");
    found.extend(traits.into_iter().filter(is_stable));
    found
}

/// The texts between two marks, without tags and line ends.
fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    let found = text.split(start).skip(1).filter_map(|rest| rest.split(end).next());
    found.map(plain).collect()
}

fn plain(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The check sees what it is for.
fn planted_changes_are_found(now: &str) -> Result<()> {
    let (of, to) = ("pub fn ", "pub unsafe fn ");
    let planted = [
        now.replacen(of, to, 1),
        now.replacen("i32", "i64", 1),
        now.lines().filter(|line| !line.contains("impl Send for ")).collect::<Vec<_>>().join("\n"),
    ];
    for changed in planted {
        if compare(now, &changed).0.is_empty() {
            bail!("a planted change is not found");
        }
    }
    if !compare(now, &format!("{now}more\n")).0.is_empty() {
        bail!("an addition is taken for a break");
    }
    Ok(())
}
