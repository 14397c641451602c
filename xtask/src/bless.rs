//! `cargo xtask bless`: makes include/rmon.h anew from the sources.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::compilers::include_dir;
use crate::library::{self, Library, copy};
use crate::steps::{Verdict, passed};

/// Options of `cargo xtask bless`.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail if include/rmon.h is not what the sources make
    #[arg(long)]
    check: bool,
}

/// Makes or checks the header.
pub fn run(args: Args) -> Result<()> {
    let library = library::build()?;
    if args.check {
        check(&library)?;
        println!("include/rmon.h is up to date");
        return Ok(());
    }
    if first_difference(&library)?.is_none() {
        println!("include/rmon.h: unchanged");
        return Ok(());
    }
    fs::create_dir_all(include_dir())?;
    copy(&library.header, &include_dir().join("rmon.h"))?;
    println!("include/rmon.h: changed");
    Ok(())
}

/// A step of the tests: the header that is checked in is the one that the sources make.
pub fn check(library: &Library) -> Result<Verdict> {
    match first_difference(library)? {
        None => passed(),
        Some(line) => {
            bail!("include/rmon.h is stale (first at line {line}): run `cargo xtask bless`")
        }
    }
}

/// The number of the first line in which the two headers differ.
fn first_difference(library: &Library) -> Result<Option<usize>> {
    let made = fs::read(&library.header)
        .with_context(|| format!("cannot read {}", library.header.display()))?;
    let Ok(kept) = fs::read(include_dir().join("rmon.h")) else {
        return Ok(Some(1));
    };
    if made == kept {
        return Ok(None);
    }
    let same = made.iter().zip(&kept).take_while(|(a, b)| a == b);
    Ok(Some(1 + same.filter(|(byte, _)| **byte == b'\n').count()))
}
