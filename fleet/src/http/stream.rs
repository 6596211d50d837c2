//! A body that is read from a file piece by piece.
//!
//! Owns: pieces of files and of text in a row, as ranges in one answer need them. Invariant: at most one piece of
//! [`PIECE`] bytes is in memory, and no thread waits for a slow client.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

/// Bytes `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Span {
    /// `length` bytes from `first`, or none.
    pub fn from(first: u64, length: u64) -> Option<Self> {
        Some(Span {
            first,
            last: first.checked_add(length.checked_sub(1)?)?,
        })
    }

    /// How many; never none.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Large enough that the way to another thread does not count.
const PIECE: u64 = 256 << 10;

/// A part of a body.
#[derive(Debug)]
pub enum Part {
    /// These bytes.
    Text(String),
    /// These bytes of the file.
    File(Span),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::File(span) => span.count(),
        }
    }
}

/// The body.
pub struct FileBody {
    file: Arc<File>,
    parts: VecDeque<Part>,
    left: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl FileBody {
    /// These parts of `file`, one after the other.
    pub fn new(file: File, parts: Vec<Part>) -> Self {
        let left = parts.iter().map(Part::len).sum();
        FileBody {
            file: Arc::new(file),
            parts: parts.into(),
            left,
            reading: None,
        }
    }

    /// Bytes to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next piece: at hand, on its way, or none.
    fn next(&mut self) -> Option<Result<Bytes, JoinHandle<io::Result<Vec<u8>>>>> {
        match self.parts.pop_front()? {
            Part::Text(text) => Some(Ok(Bytes::from(text))),
            Part::File(span) => {
                let take = span.count().min(PIECE);
                if take < span.count() {
                    self.parts.push_front(Part::File(Span {
                        first: span.first + take,
                        ..span
                    }));
                }
                let file = Arc::clone(&self.file);
                Some(Err(tokio::task::spawn_blocking(move || {
                    read(&file, span.first, take)
                })))
            }
        }
    }
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            let bytes = if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = Pin::new(reading).poll(cx) else {
                    return Poll::Pending;
                };
                self.reading = None;
                match read.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())) {
                    Ok(bytes) => Bytes::from(bytes),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            } else {
                match self.next() {
                    None => return Poll::Ready(None),
                    Some(Ok(bytes)) => bytes,
                    Some(Err(reading)) => {
                        self.reading = Some(reading);
                        continue;
                    }
                }
            };
            self.left = self.left.saturating_sub(bytes.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
