//! LTTng's side of its rows: a session in which the tracepoint is recorded, in flight-recorder mode.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::sh::{Cmd, on_path, target_dir};

const SESSION: &str = "rmon-bench";

/// The session daemon: one that runs here already, or one of our own, which ends with the value.
pub struct Daemon(Option<Child>);

impl Daemon {
    /// Finds it or starts it; `None` if that is not possible.
    pub fn find() -> Option<Daemon> {
        let answers = || lttng(&["list"]).read().is_ok();
        if !on_path("lttng") || !on_path("lttng-sessiond") {
            return None;
        }
        if answers() {
            return Some(Daemon(None));
        }
        let mut command = Command::new("lttng-sessiond");
        command.arg("--no-kernel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon(Some(command.spawn().ok()?));
        let begins = || {
            sleep(Duration::from_millis(100));
            answers()
        };
        (0..50).any(|_| begins()).then_some(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Asked, not killed: it has helpers of its own to end.
            drop(Cmd::new("kill").arg(child.id().to_string()).read());
            drop(child.wait());
        }
    }
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
