//! Why a plan could not be carried out, and whose fault it is.

use std::io;

use crate::{FetchError, FrameError};

/// Whose fault, and so what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The observer stopped it: plan again when wanted.
    Cancelled,
    /// The network or the server: try again later, with a new plan.
    Network,
    /// Reading or writing a slot failed: this device has a problem.
    Local,
    /// The server's bytes are not what the index promises: this release, or its copy, is bad.
    Integrity,
}

/// A plan could not be carried out. The idle slot holds something in between; a new plan goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The observer stopped it.
    #[error("stopped while the image was written")]
    Cancelled,
    /// The plan was made for another image, or the slot has become smaller.
    #[error("the plan belongs to another image or another slot: make a new one")]
    OtherPlan,
    /// A range did not come.
    #[error("bytes {start}..{end} of part {part} could not be fetched")]
    Fetch {
        /// Number of the part.
        part: usize,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Why.
        source: FetchError,
    },
    /// A range ended early although its transfer claimed success.
    #[error(
        "of bytes {start}..{end} of part {part} only {got} came: the part is shorter than the manifest says, or was cut on the way"
    )]
    Short {
        /// Number of the part.
        part: usize,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Bytes that came.
        got: u64,
    },
    /// More came than was asked for.
    #[error("more than bytes {start}..{end} of part {part} came")]
    Long {
        /// Number of the part.
        part: usize,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A frame was refused.
    #[error("the frame at {offset} of part {part} is refused")]
    Frame {
        /// Number of the part.
        part: usize,
        /// Where it begins.
        offset: u64,
        /// Why.
        source: FrameError,
    },
    /// A frame holds something else than its chunk.
    #[error(
        "the frame at {offset} of part {part} holds another content than chunk {chunk} of the index"
    )]
    Content {
        /// Number of the part.
        part: usize,
        /// Where it begins.
        offset: u64,
        /// Number of the chunk.
        chunk: usize,
    },
    /// The idle slot could not be read.
    #[error("reading {length} bytes at {offset} of the idle slot failed")]
    Read {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// Why.
        source: io::Error,
    },
    /// The idle slot does not give back what was written or found there.
    #[error(
        "the idle slot has other bytes at {offset} than it had before: {length} bytes changed under our hands"
    )]
    Changed {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
    },
    /// The idle slot could not be written.
    #[error("writing {length} bytes at {offset} of the idle slot failed")]
    Write {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// Why.
        source: io::Error,
    },
    /// What was written could not be brought to stable storage.
    #[error("syncing the idle slot failed")]
    Sync(#[source] io::Error),
}

impl ApplyError {
    /// Whose fault.
    pub fn class(&self) -> ErrorClass {
        match self {
            ApplyError::Cancelled => ErrorClass::Cancelled,
            ApplyError::Fetch { .. } | ApplyError::Short { .. } | ApplyError::Long { .. } => {
                ErrorClass::Network
            }
            ApplyError::Frame { .. } | ApplyError::Content { .. } => ErrorClass::Integrity,
            ApplyError::OtherPlan
            | ApplyError::Read { .. }
            | ApplyError::Changed { .. }
            | ApplyError::Write { .. }
            | ApplyError::Sync(_) => ErrorClass::Local,
        }
    }
}
