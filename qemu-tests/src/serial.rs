//! A serial port of the guest: everything it says is logged with time stamps and can be waited for.
//!
//! Owns one unix socket, its reader thread and its log file. Never interprets what comes beyond removing terminal control
//! sequences. Invariant: text before the cursor has been consumed by a successful wait and is never matched again.
//!
//! ```text
//! text:  ....consumed....|....unseen....|<- reader thread appends
//!                      cursor
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regex_lite::Regex;

use crate::ansi::Stripper;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::tool::tail;

/// What a wait looks for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// This very text.
    Text(String),
    /// A regular expression (`regex-lite` syntax).
    Regex(Regex),
}

impl Pattern {
    /// A regular expression; a bad one is the scenario's mistake and is reported as such.
    pub fn regex(expression: &str) -> Result<Self> {
        Regex::new(expression)
            .map(Self::Regex)
            .map_err(|e| Error::Format {
                what: format!("pattern `{expression}`"),
                reason: e.to_string(),
            })
    }

    /// Byte range of the first match.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::Text(wanted) => text.find(wanted.as_str()).map(|at| (at, at + wanted.len())),
            Self::Regex(regex) => regex.find(text).map(|m| (m.start(), m.end())),
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{}`", text.escape_debug()),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

#[derive(Debug, Default)]
struct Heard {
    text: String,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One serial port.
#[derive(Debug)]
pub struct Serial {
    name: String,
    shared: Arc<Shared>,
    writer: UnixStream,
    cursor: usize,
    log: PathBuf,
}

impl Serial {
    /// Takes over a connected socket and logs to `log`.
    pub fn new(name: &str, stream: UnixStream, log: &Path) -> Result<Self> {
        let reader = stream
            .try_clone()
            .map_err(file("clone the socket of", log))?;
        let log_file = File::create(log).map_err(file("create", log))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("serial-{name}"))
            .spawn(move || read_all(reader, log_file, &theirs))
            .map_err(|source| Error::Start {
                program: format!("reader of {name}"),
                source,
            })?;
        Ok(Self {
            name: name.into(),
            shared,
            writer: stream,
            cursor: 0,
            log: log.into(),
        })
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends bytes as typed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.writer
            .write_all(bytes.as_ref())
            .map_err(file("write to serial port", &self.name))
    }

    /// Waits for `pattern` in what was not consumed yet; gives everything up to and with the match, and consumes it.
    pub fn wait_for(&mut self, pattern: impl Into<Pattern>, deadline: Deadline) -> Result<String> {
        self.wait_for_any(&[pattern.into()], deadline)
            .map(|(_, text)| text)
    }

    /// Waits for the first of several patterns to match; tells which.
    pub fn wait_for_any(
        &mut self,
        patterns: &[Pattern],
        deadline: Deadline,
    ) -> Result<(usize, String)> {
        let mut heard = self.shared.lock();
        loop {
            let unseen = &heard.text[self.cursor..];
            let found = patterns
                .iter()
                .enumerate()
                .filter_map(|(i, p)| p.find(unseen).map(|(_, end)| (end, i)));
            if let Some((end, which)) = found.min() {
                let text = unseen[..end].to_owned();
                self.cursor += end;
                return Ok((which, text));
            }
            if heard.closed || deadline.passed() {
                let what = patterns
                    .iter()
                    .map(Pattern::to_string)
                    .collect::<Vec<_>>()
                    .join(" or ");
                let tail = tail(unseen, 12);
                return Err(match heard.closed {
                    true => Error::Gone {
                        channel: self.name.clone(),
                        what,
                        tail,
                    },
                    false => Error::Timeout {
                        what,
                        seconds: deadline.seconds(),
                        tail,
                    },
                });
            }
            heard = wait(&self.shared, heard, deadline);
            drop(heard);
            // Let a burst come in whole instead of searching after every byte.
            std::thread::sleep(Duration::from_millis(15));
            heard = self.shared.lock();
        }
    }

    /// Whether `pattern` was heard since the start, consumed or not.
    pub fn heard(&self, pattern: impl Into<Pattern>) -> bool {
        pattern.into().find(&self.shared.lock().text).is_some()
    }

    /// Whether `pattern` is in what was not consumed yet; consumes nothing.
    pub fn pending(&self, pattern: impl Into<Pattern>) -> bool {
        pattern
            .into()
            .find(&self.shared.lock().text[self.cursor..])
            .is_some()
    }

    /// How many times `text` was heard since the start.
    pub fn count(&self, text: &str) -> usize {
        self.shared.lock().text.matches(text).count()
    }

    /// Consumes everything heard so far.
    pub fn skip(&mut self) {
        self.cursor = self.shared.lock().text.len();
    }

    /// Everything heard since the start.
    pub fn text(&self) -> String {
        self.shared.lock().text.clone()
    }

    /// Whether the other end has closed.
    pub fn closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        // Ends the reader thread; it fails only when the peer is gone already.
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
    }
}

fn wait<'a>(
    shared: &'a Shared,
    guard: MutexGuard<'a, Heard>,
    deadline: Deadline,
) -> MutexGuard<'a, Heard> {
    let (guard, _) = shared
        .changed
        .wait_timeout(guard, deadline.left())
        .unwrap_or_else(PoisonError::into_inner);
    guard
}

fn read_all(mut reader: UnixStream, mut log: File, shared: &Shared) {
    let start = Instant::now();
    let mut stripper = Stripper::default();
    let mut fresh_line = true;
    let mut buffer = [0u8; 16384];
    // An interrupted read and a closed socket both end here as "no more": the machine is being dropped.
    while let Ok(length @ 1..) = reader.read(&mut buffer) {
        let text = String::from_utf8_lossy(&stripper.feed(&buffer[..length])).into_owned();
        let mut line = String::with_capacity(text.len() + 64);
        for piece in text.split_inclusive('\n') {
            if fresh_line {
                line.push_str(&format!("[{:9.3}] ", start.elapsed().as_secs_f64()));
            }
            line.push_str(piece);
            fresh_line = piece.ends_with('\n');
        }
        // A full disk must not stop the guest's port: the text stays in memory.
        let _ = log.write_all(line.as_bytes());
        shared.lock().text.push_str(&text);
        shared.changed.notify_all();
    }
    shared.lock().closed = true;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(dir: &tempfile::TempDir) -> (Serial, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (
            Serial::new("ttyS9", ours, &dir.path().join("log")).unwrap(),
            theirs,
        )
    }

    #[test]
    fn consumes_up_to_the_match_and_logs_with_time() {
        let dir = tempfile::tempdir().unwrap();
        let (mut serial, mut guest) = port(&dir);
        guest.write_all(b"one\r\n\x1b[1mtwo\x1b[0m\nthree").unwrap();
        let (which, text) = serial
            .wait_for_any(
                &["three".into(), Pattern::regex("t[a-z]o").unwrap()],
                Deadline::secs(5),
            )
            .unwrap();
        assert_eq!((which, text.as_str()), (1, "one\ntwo"));
        assert!(!serial.pending("one") && serial.heard("one"));
        assert_eq!(
            serial.wait_for("three", Deadline::secs(5)).unwrap(),
            "\nthree"
        );
        let log = std::fs::read_to_string(serial.log()).unwrap();
        assert_eq!(
            log.lines().filter(|l| l.starts_with("[    0.")).count(),
            3,
            "{log}"
        );
    }

    #[test]
    fn says_what_was_missing_and_what_came() {
        let dir = tempfile::tempdir().unwrap();
        let (mut serial, mut guest) = port(&dir);
        guest.write_all(b"panic\n").unwrap();
        drop(guest);
        let error = serial.wait_for("login:", Deadline::secs(5)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ttyS9 closed while waiting for `login:`; last seen: panic"
        );
    }
}
