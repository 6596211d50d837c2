//! The command line's side of the socket.
//!
//! Owns: one request and its answer, within a bounded time. Never does: interpret the answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::protocol::{Answer, LineError, MOST_ANSWER, Request};

/// A little longer than the daemon's own patience with its core, so that its error is the one shown.
const PATIENCE: Duration = Duration::from_secs(75);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum CallError {
    #[error("the update service does not run (no socket at {path}); see `systemctl status roamcore`", path = path.display())]
    NotRunning { path: PathBuf },
    #[error("the update service may be asked by root only")]
    Forbidden,
    #[error("the update service at {path} cannot be reached; see `systemctl status roamcore`", path = path.display())]
    Unreachable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the update service gave no complete answer")]
    Broken(#[source] io::Error),
    #[error("the exchange with the update service failed")]
    Line(#[from] LineError),
}

/// Asks.
pub fn call(socket: &Path, request: &Request) -> Result<Answer, CallError> {
    call_within(socket, request, PATIENCE)
}

/// Asks, and waits no longer than this for each step.
pub fn call_within(
    socket: &Path,
    request: &Request,
    patience: Duration,
) -> Result<Answer, CallError> {
    let line = request.to_line()?;
    let mut stream = UnixStream::connect(socket).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning {
            path: socket.to_owned(),
        },
        io::ErrorKind::PermissionDenied => CallError::Forbidden,
        _ => CallError::Unreachable {
            path: socket.to_owned(),
            source,
        },
    })?;
    let exchange = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(&line)?;
        let mut answer = Vec::new();
        let mut reader = BufReader::new(stream).take(MOST_ANSWER as u64);
        reader.read_until(b'\n', &mut answer)?;
        match answer.pop() {
            Some(b'\n') => Ok(answer),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    };
    let answer = exchange(&mut stream).map_err(CallError::Broken)?;
    Ok(Answer::parse(&answer)?)
}
