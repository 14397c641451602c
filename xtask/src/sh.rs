//! Runs other programs: says what it runs, collects or passes on their output, and reports failures
//! usefully.
//!
//! What a program prints goes to the terminal, unless the calling thread is inside [`logged`]: then
//! it goes to a log file, so that a step of the tests is silent until it fails.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

thread_local! {
    /// Where this thread's commands write while [`logged`] runs.
    static LOG: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// The project's root: the folder that holds the workspace's Cargo.toml.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// Cargo's target folder; all that xtask makes goes below it.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// A scratch folder of the given name under the target folder, emptied.
pub fn fresh_dir(name: &str) -> Result<PathBuf> {
    let dir = target_dir().join("xtask").join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Copies a folder with all that is in it.
pub fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Sends the output of this thread's commands, and what [`say`] says, to `log` while `body` runs.
pub fn logged<T>(log: &Path, body: impl FnOnce() -> Result<T>) -> Result<T> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(log)?;
    logged_to(Some(file), body)
}

/// This thread's log, if it has one: for [`logged_to`] in another thread that works for it.
pub fn log() -> std::io::Result<Option<File>> {
    LOG.with_borrow(|log| log.as_ref().map(File::try_clone).transpose())
}

/// [`logged`] with a log that is open, if there is one.
pub fn logged_to<T>(log: Option<File>, body: impl FnOnce() -> T) -> T {
    // Two descriptors of one open file share its position, so the programs' output and ours keep
    // their order.
    let before = LOG.replace(log);
    let result = body();
    LOG.replace(before);
    result
}

/// Prints a line: to the log inside [`logged`], else to the standard output.
pub fn say(line: impl AsRef<str>) {
    let line = line.as_ref();
    LOG.with_borrow_mut(|log| match log {
        Some(file) => drop(writeln!(file, "{line}")),
        None => println!("{line}"),
    });
}

/// True if a program of this name is on the PATH.
pub fn on_path(program: &str) -> bool {
    which(program).is_some()
}

/// Where on the PATH a program is.
pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Cargo itself: the one that runs us.
pub fn cargo() -> Cmd {
    let mut cmd = Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cmd.shown = vec!["cargo".into()];
    cmd.outside_cargo()
}

/// What a program left behind.
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// Both its output streams, in their order.
    pub text: String,
    /// True if it was ended because its time was over.
    pub timed_out: bool,
    /// How long it took.
    pub time: Duration,
}

impl Outcome {
    /// True if it ended by itself with exit code 0.
    pub fn success(&self) -> bool {
        self.status.success() && !self.timed_out
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        if self.timed_out {
            return "timed out".to_string();
        }
        describe(self.status)
    }
}

/// A program with its arguments, about to be run in the project's root.
pub struct Cmd {
    command: Command,
    shown: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    quiet: bool,
}

impl Cmd {
    /// A command that runs `program`.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        let mut command = Command::new(&program);
        command.current_dir(root()).stdin(Stdio::null());
        if let Some(paths) = library_path() {
            command.env("LD_LIBRARY_PATH", paths);
        }
        Cmd { command, shown: vec![program.as_ref().to_owned()], envs: Vec::new(), quiet: false }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.command.arg(&arg);
        self.shown.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Cmd {
        args.into_iter().fold(self, Cmd::arg)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cmd {
        self.command.env(&name, &value);
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Cmd {
        self.command.env_remove(name);
        self
    }

    /// Removes what cargo set for this process: it describes xtask, not a package that an inner
    /// cargo builds.
    pub fn outside_cargo(mut self) -> Cmd {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || text == "CARGO_PRIMARY_PACKAGE"
            {
                self.command.env_remove(&name);
            }
        }
        self
    }

    /// Runs it in another folder than the project's root.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Cmd {
        self.command.current_dir(dir);
        self
    }

    /// The same program with the same environment, run by another one (a checker) with these
    /// options.
    pub fn under(self, checker: &str, options: &[String]) -> Cmd {
        let mut cmd = Cmd::new(checker).args(options).args(&self.shown);
        for (name, value) in self.envs {
            cmd = cmd.env(name, value);
        }
        cmd
    }

    /// Does not say what is run.
    pub fn quiet(mut self) -> Cmd {
        self.quiet = true;
        self
    }

    /// The command line as one would type it.
    pub fn line(&self) -> String {
        let envs =
            self.envs.iter().map(|(name, value)| format!("{}={}", name.display(), quoted(value)));
        envs.chain(self.shown.iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
    }

    fn echo(&self) {
        if !self.quiet {
            say(format!("$ {}", self.line()));
        }
    }

    /// Runs it, its output going to the terminal (or the log); an error unless it ends with exit
    /// code 0.
    pub fn run(mut self) -> Result<()> {
        self.echo();
        let line = self.line();
        if let Some(file) = log()? {
            self.command.stdout(file.try_clone()?).stderr(file);
        }
        let status = self.command.status().with_context(|| format!("cannot run {line}"))?;
        if !status.success() {
            bail!("{}: {line}", describe(status));
        }
        Ok(())
    }

    /// Runs it silently and returns its standard output without the last line end; an error, with
    /// what it printed to the standard error, unless it ends with exit code 0.
    pub fn read(mut self) -> Result<String> {
        let line = self.line();
        let output = self.command.output().with_context(|| format!("cannot run {line}"))?;
        if !output.status.success() {
            bail!(
                "{}: {line}\n{}",
                describe(output.status),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_string())
    }

    /// Runs it silently for at most `limit`, then ends it with all that it started. How it ended is
    /// the caller's to judge; an error only if it cannot be run.
    pub fn outcome(mut self, limit: Duration) -> Result<Outcome> {
        let line = self.line();
        // A file, not a pipe: a forked grandchild that outlives the program must not keep us
        // waiting.
        let path = output_file()?;
        let file = File::create(&path)?;
        let start = Instant::now();
        let mut child = self
            .command
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {line}"))?;
        let group = child.id();
        let mut pause = Duration::from_millis(1);
        let (status, timed_out) = loop {
            if let Some(status) = child.try_wait()? {
                break (status, false);
            }
            if start.elapsed() > limit {
                drop(child.kill());
                break (child.wait()?, true);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let time = start.elapsed();
        // What it forked and left behind must not go on. There is nobody left, as a rule, and kill
        // says so.
        let group = format!("-{group}");
        drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        fs::remove_file(&path)?;
        Ok(Outcome { status, text, timed_out, time })
    }

    /// The same for what must succeed: what it said; an error with that unless it did.
    pub fn succeed(self, limit: Duration) -> Result<String> {
        let line = self.line();
        let outcome = self.outcome(limit)?;
        if !outcome.success() {
            bail!("{}: {line}\n{}", outcome.ending(), outcome.text);
        }
        Ok(outcome.text)
    }
}

/// LD_LIBRARY_PATH without what `cargo run` put before it: its folders hold libraries of ours that
/// a program might load in place of its own.
fn library_path() -> Option<OsString> {
    let paths = std::env::var_os("LD_LIBRARY_PATH")?;
    let target = target_dir();
    std::env::join_paths(std::env::split_paths(&paths).filter(|path| !path.starts_with(&target)))
        .ok()
}

/// A new name for a file that takes a program's output.
fn output_file() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let dir = target_dir().join("xtask").join("output");
    fs::create_dir_all(&dir)?;
    // Relaxed: the number need only differ from the others.
    Ok(dir.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// How a program ended, in words.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// A word as a shell would have to read it.
fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    #[test]
    fn a_program_that_takes_too_long_is_ended() -> Result<()> {
        let outcome = Cmd::new("sh").args(["-c", "echo begun; sleep 60"]).outcome(SOON)?;
        assert!(outcome.timed_out && !outcome.success());
        assert_eq!((outcome.text.trim(), outcome.ending().as_str()), ("begun", "timed out"));
        Ok(())
    }

    #[test]
    fn what_a_program_leaves_behind_is_ended_too() -> Result<()> {
        let outcome = Cmd::new("sh").args(["-c", "sleep 60 & echo $!"]).outcome(SOON)?;
        assert!(outcome.success());
        let process = Path::new("/proc").join(outcome.text.trim());
        let start = Instant::now();
        let gone =
            || fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(10), "still there");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = Cmd::new("sh").args(["-c", "echo why >&2; exit 3"]).env("A", "b c").read();
        let text = error.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(text, "exit code 3: A='b c' sh -c 'echo why >&2; exit 3'\nwhy");
    }

    #[test]
    fn a_logged_step_is_silent_and_keeps_its_order() -> Result<()> {
        let log = target_dir().join("xtask").join(format!("log-test-{}", std::process::id()));
        logged(&log, || {
            say("before");
            Cmd::new("sh").args(["-c", "echo out; echo err >&2"]).run()?;
            say("after");
            Ok(())
        })?;
        let text = fs::read_to_string(&log)?;
        fs::remove_file(&log)?;
        assert_eq!(text, "before\n$ sh -c 'echo out; echo err >&2'\nout\nerr\nafter\n");
        Ok(())
    }
}
