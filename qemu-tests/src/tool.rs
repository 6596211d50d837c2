//! Every subprocess of the harness starts here.
//!
//! Owns: running tools to their end with their output, and daemons (QEMU, swtpm, a network namespace's holder).
//! Invariant: a [`Daemon`] dies with its value, and by the kernel's parent-death signal with the *thread* that started it:
//! start machines from a thread that outlives them. Programs are looked up in PATH and the sbin directories, never by a shell.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::deadline::Deadline;
use crate::error::{Error, Result};

/// Where `program` is, also in the sbin directories that an ordinary user's PATH lacks. One with a slash is a path, as
/// everywhere.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(program))
        .find(|full| full.is_file())
}

/// `program` and its arguments as one line that can be pasted into a shell.
pub fn shown(program: &str, args: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    let quoted = args
        .iter()
        .map(|arg| match !arg.is_empty() && arg.chars().all(plain) {
            true => arg.clone(),
            false => format!("'{}'", arg.replace('\'', r"'\''")),
        });
    std::iter::once(program.to_owned())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn command(program: &str, args: &[String]) -> Result<Command> {
    let full = find(program).ok_or_else(|| Error::Missing {
        what: format!("the program `{program}`"),
        remedy: "run `./dev` once, it installs what the tests need".into(),
    })?;
    let mut command = Command::new(full);
    command.args(args).stdin(Stdio::null());
    Ok(command)
}

/// Runs a tool to its end and gives its stdout; a bad exit is an error with the command and its stderr.
pub fn run(program: &str, args: &[String]) -> Result<Vec<u8>> {
    run_judged(program, args, ExitStatus::success)
}

/// Like [`run`], for a tool that has more than one good exit: `good` knows them.
pub fn run_judged(
    program: &str,
    args: &[String],
    good: impl FnOnce(&ExitStatus) -> bool,
) -> Result<Vec<u8>> {
    let out = command(program, args)?
        .output()
        .map_err(|source| Error::Start {
            program: program.into(),
            source,
        })?;
    if good(&out.status) {
        return Ok(out.stdout);
    }
    let said = [out.stderr, out.stdout].concat();
    Err(Error::Tool {
        command: shown(program, args),
        status: out.status.to_string(),
        stderr: tail(&String::from_utf8_lossy(&said), 20),
    })
}

/// Like [`run`], as text.
pub fn text(program: &str, args: &[String]) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(program, args)?).into_owned())
}

/// The last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// `["a", 1.to_string()]`-like argument lists without noise: `args!["-f", path.display()]`.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$($arg.to_string()),*] };
}

/// How a daemon is tied to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tty {
    /// No input; stderr is kept for error messages.
    Detached,
    /// Shares the harness' terminal.
    Shared,
}

/// A running background process, killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    shown: String,
    tty: Tty,
}

impl Daemon {
    /// Starts `program`; `wrapper` goes in front (for example `nsenter ... --`).
    pub fn start(wrapper: &[String], program: &str, args: &[String], tty: Tty) -> Result<Self> {
        let full = find(program).map_or_else(|| program.to_owned(), |p| p.display().to_string());
        let mut line: Vec<String> = wrapper.to_vec();
        // setpriv comes last: changing credentials or namespaces clears the parent-death signal.
        line.extend(args!["setpriv", "--pdeathsig", "KILL", "--", full]);
        line.extend_from_slice(args);
        let (first, rest) = (line[0].clone(), &line[1..]);
        let mut command = command(&first, rest)?;
        match tty {
            Tty::Detached => command.stdout(Stdio::null()).stderr(Stdio::piped()),
            Tty::Shared => command.stdin(Stdio::inherit()),
        };
        let child = command.spawn().map_err(|source| Error::Start {
            program: program.into(),
            source,
        })?;
        Ok(Self {
            child,
            shown: shown(program, args),
            tty,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The command line, to replay it by hand.
    pub fn command_line(&self) -> &str {
        &self.shown
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if !deadline.pause(50) {
                return Err(Error::Timeout {
                    what: "the end of a process".into(),
                    seconds: deadline.seconds(),
                    tail: self.shown.clone(),
                });
            }
        }
    }

    /// The error for a daemon that ended too early, with what it said.
    pub fn died(&mut self) -> Option<Error> {
        let status = self.ended()?;
        let mut said = String::new();
        if let (Tty::Detached, Some(mut pipe)) = (self.tty, self.child.stderr.take()) {
            // Lost words of a dead process change nothing in the verdict.
            let _ = pipe.read_to_string(&mut said);
        }
        let stderr = tail(&said, 20);
        Some(Error::Tool {
            command: self.shown.clone(),
            status: status.to_string(),
            stderr,
        })
    }

    /// Ends it at once (SIGKILL) and reaps it.
    pub fn kill(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_tool_tells_command_and_words() {
        let error = run("sh", &args!["-c", "echo why >&2; exit 3"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo why >&2; exit 3'` ended with exit status: 3: why"
        );
    }

    #[test]
    fn a_path_is_not_looked_for() {
        assert_eq!(find("src/tool.rs"), Some("src/tool.rs".into()));
        assert_eq!(find("src/no-such-tool"), None);
    }

    #[test]
    fn missing_tool_is_named() {
        let error = run("no-such-tool", &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the program `no-such-tool` not found")
        );
    }

    #[test]
    fn daemon_dies_with_its_value() {
        let daemon = Daemon::start(&[], "sleep", &args!["60"], Tty::Detached).unwrap();
        let proc = format!("/proc/{}", daemon.pid());
        assert!(std::path::Path::new(&proc).exists());
        drop(daemon);
        assert!(!std::path::Path::new(&proc).exists());
    }
}
