//! What can go wrong in the harness itself.
//!
//! Owns the framework's error type. Never says whether a *check* failed: scenarios do that with `anyhow`.
//! Invariant: a variant's text holds what was tried and what was seen, never its own cause.

use std::io;
use std::path::PathBuf;

/// A failure of the framework or of a tool it drives.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket operation failed.
    #[error("{action} {path}")]
    File {
        /// Verb, as in "read".
        action: &'static str,
        /// The file or socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The work directory.
    #[error(transparent)]
    Work(#[from] roamcore_scratch::Error),
    /// A program could not be started.
    #[error("start {program}")]
    Start {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("`{command}` ended with {status}: {stderr}")]
    Tool {
        /// The whole command line, to replay it.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        stderr: String,
    },
    /// Something awaited did not come.
    #[error("waited {seconds} s for {what}; last seen: {tail}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        seconds: u64,
        /// The end of what came instead.
        tail: String,
    },
    /// The other end closed.
    #[error("{channel} closed while waiting for {what}; last seen: {tail}")]
    Gone {
        /// Which connection.
        channel: String,
        /// What was awaited.
        what: String,
        /// The end of what came instead.
        tail: String,
    },
    /// QEMU refused a QMP command.
    #[error("QMP `{command}` refused: {reason}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's reason.
        reason: String,
    },
    /// A command in the guest ended badly.
    #[error("in the guest, `{command}` ended with {status}: {output}")]
    Guest {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// stdout and stderr together.
        output: String,
    },
    /// Bytes from outside are not what they should be.
    #[error("{what}: {reason}")]
    Format {
        /// The thing read.
        what: String,
        /// Why it is refused, with the value seen.
        reason: String,
    },
    /// Something the host must have is not there.
    #[error("{what} not found; {remedy}")]
    Missing {
        /// The thing.
        what: String,
        /// What the reader can do about it.
        remedy: String,
    },
}

/// Result of framework calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Turns an `io::Error` into [`Error::File`]: `fs::read(p).map_err(file("read", p))`.
pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
