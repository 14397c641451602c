//! LTTng's side of its rows: a session in which the tracepoint is recorded, in flight-recorder mode.

use anyhow::{Context as _, Result};

use crate::sh::{Cmd, on_path, target_dir};

const SESSION: &str = "rmon-bench";

/// Whether a session daemon runs here. (Most commands would start one.)
pub fn is_running() -> bool {
    on_path("lttng") && lttng(&["list"]).read().is_ok()
}

fn lttng(words: &[&str]) -> Cmd {
    Cmd::new("lttng").args(["--no-sessiond", "--quiet"]).args(words)
}

/// A session that records; it ends with the value.
pub struct Session;

impl Session {
    /// Begins to record what the benchmark's tracepoint says, into buffers in memory.
    pub fn start() -> Result<Session> {
        let output = format!("--output={}", target_dir().join("bench/lttng").display());
        drop(lttng(&["destroy", SESSION]).read()); // an interrupted run's
        lttng(&["create", SESSION, "--snapshot", &output]).read().context("lttng create")?;
        let session = Session;
        lttng(&["enable-event", "--userspace", "rmon_bench:line", "--session", SESSION]).read()?;
        lttng(&["start", SESSION]).read()?;
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(lttng(&["destroy", SESSION]).read());
    }
}
