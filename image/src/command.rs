//! Running other programs.
//!
//! Owns: every subprocess of the builder. Never does: use a shell, inherit the caller's locale or
//! clock settings, or hide what a program said when it failed.
//! Invariant: a non-zero exit is an error that carries the program, its arguments, its status and
//! the end of its standard error.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use thiserror::Error;

/// How much of standard error is kept for the message.
const TAIL_BYTES: usize = 4096;

/// A program that could not be run or that failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot start {program}: install the package that provides it, or see ./dev --help")]
    Start {
        /// Program as it was named.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Talking to it failed.
    #[error("cannot talk to {program}")]
    Pipe {
        /// Program as it was named.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("{program} failed ({status}); command: {program} {args}; {}it said:\n{stderr_tail}", whole(log.as_deref()))]
    Failed {
        /// Program as it was named.
        program: String,
        /// Its arguments, for replaying by hand.
        args: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
        /// All of it, when that was asked for.
        log: Option<PathBuf>,
    },
    /// Its log cannot be kept.
    #[error("cannot write the log {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

fn whole(log: Option<&Path>) -> String {
    log.map(|path| format!("the whole log is {}; ", path.display()))
        .unwrap_or_default()
}

/// What a successful program left.
#[derive(Debug)]
pub struct Output {
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// The end of standard error.
    pub stderr_tail: String,
}

/// A program about to be run.
#[derive(Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    stdout: Option<File>,
    log: Option<PathBuf>,
}

impl Command {
    /// Prepares `program`, looked up in `PATH` unless it is a path.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: vec![("LC_ALL".into(), "C.UTF-8".into())],
            clear_env: false,
            dir: None,
            stdin: None,
            stdout: None,
            log: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Command {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Command {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.envs
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment, so that the caller's cannot shape the result.
    #[must_use]
    pub fn clear_env(mut self) -> Command {
        self.clear_env = true;
        self
    }

    /// Runs in `dir`.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Command {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Feeds these bytes to standard input; otherwise it is empty.
    #[must_use]
    pub fn stdin_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sends standard output to a file instead of memory.
    #[must_use]
    pub fn stdout_file(mut self, file: File) -> Command {
        self.stdout = Some(file);
        self
    }

    /// Keeps all of standard error in a file while it runs; the file goes when it succeeds.
    #[must_use]
    pub fn log_to(mut self, path: impl Into<PathBuf>) -> Command {
        self.log = Some(path.into());
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Output, CommandError> {
        self.run_heard(|_| ())
    }

    /// Runs it to its end; `heard` gets each line of standard error when it is there.
    pub fn run_heard(self, heard: impl FnMut(&str)) -> Result<Output, CommandError> {
        let program = self.program.to_string_lossy().into_owned();
        let args = self
            .args
            .iter()
            .map(|a| a.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        let log = self.log.map(Log::create).transpose()?;
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        if self.clear_env {
            command.env_clear();
        }
        command.envs(self.envs.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from));
        command.stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| CommandError::Start {
            program: program.clone(),
            source,
        })?;
        let (status, stdout, stderr_tail) = converse(child, self.stdin, log.as_ref(), heard)
            .map_err(|source| CommandError::Pipe {
                program: program.clone(),
                source,
            })?;
        if !status.success() {
            return Err(CommandError::Failed {
                program,
                args,
                status,
                stderr_tail,
                log: log.map(|log| log.path),
            });
        }
        log.map(Log::remove).transpose()?;
        Ok(Output {
            stdout,
            stderr_tail,
        })
    }
}

/// Standard error, kept in a file while a program runs.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn create(path: PathBuf) -> Result<Log, CommandError> {
        match File::create(&path) {
            Ok(file) => Ok(Log { path, file }),
            Err(source) => Err(CommandError::Log { path, source }),
        }
    }

    fn remove(self) -> Result<(), CommandError> {
        std::fs::remove_file(&self.path).map_err(|source| CommandError::Log {
            path: self.path,
            source,
        })
    }
}

/// Feeds and drains all three pipes at once, so that none can block the others.
fn converse(
    mut child: Child,
    stdin: Option<Vec<u8>>,
    log: Option<&Log>,
    mut heard: impl FnMut(&str),
) -> std::io::Result<(ExitStatus, Vec<u8>, String)> {
    let (stdin_pipe, stdout_pipe, stderr_pipe) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = std::thread::scope(|scope| {
        if let (Some(mut pipe), Some(bytes)) = (stdin_pipe, stdin) {
            // A program may close its input early; its exit status tells whether that was wrong.
            scope.spawn(move || drop(pipe.write_all(&bytes)));
        }
        let out = scope.spawn(move || {
            let mut all = Vec::new();
            stdout_pipe
                .map_or(Ok(0), |mut p| p.read_to_end(&mut all))
                .map(|_| all)
        });
        let mut tail = Vec::new();
        let mut line = Vec::new();
        if let Some(mut pipe) = stderr_pipe {
            let mut chunk = [0u8; 4096];
            loop {
                let n = pipe.read(&mut chunk)?;
                if n == 0 {
                    if !line.is_empty() {
                        heard(&String::from_utf8_lossy(&line));
                    }
                    break;
                }
                tail.extend_from_slice(&chunk[..n]);
                for &byte in &chunk[..n] {
                    match byte {
                        b'\n' => {
                            heard(&String::from_utf8_lossy(&line));
                            line.clear();
                        }
                        // Whoever says more in a line is not listened to.
                        _ if line.len() == TAIL_BYTES => {}
                        _ => line.push(byte),
                    }
                }
                // On a full disk the program's own failure is the one to tell; the tail has it.
                let _ = log.map(|log| (&log.file).write_all(&chunk[..n]));
                let excess = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..excess);
            }
        }
        let out = out
            .join()
            .map_err(|_| std::io::Error::other("reader thread panicked"))??;
        Ok::<_, std::io::Error>((out, tail))
    })?;
    let status = child.wait()?;
    Ok((
        status,
        stdout,
        String::from_utf8_lossy(&stderr).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_heard_whole_and_the_endless_one_in_part() {
        let script = "printf 'one\\ntw' >&2; sleep 0.1; printf 'o\\n' >&2; head -c 10000 /dev/zero | tr '\\0' x >&2";
        let mut heard = Vec::new();
        let done = Command::new("sh")
            .args(["-c", script])
            .run_heard(|line| heard.push(line.to_owned()))
            .unwrap();
        assert_eq!(heard, ["one", "two", &"x".repeat(TAIL_BYTES)]);
        assert_eq!(done.stderr_tail, "x".repeat(TAIL_BYTES));
    }
}
