//! `cargo xtask demo`: the main job on real code.

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the demonstration.
pub fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("the demonstration is not there yet")
}
