//! Cuts the stream of frames into parts.
//!
//! Invariant: what one call brings lies in one part.

use sha2::{Digest as _, Sha256};

use super::{PackError, PartInfo, PartSink};
use crate::index::Span;

/// The parts so far.
pub struct Parts<'a> {
    limit: u64,
    sink: &'a mut dyn PartSink,
    done: Vec<PartInfo>,
    open: Option<(u64, Sha256)>,
}

impl<'a> Parts<'a> {
    /// No parts yet, none of them to be larger than `limit`.
    pub fn new(limit: u64, sink: &'a mut dyn PartSink) -> Self {
        Parts {
            limit,
            sink,
            done: Vec::new(),
            open: None,
        }
    }

    /// Appends bytes that belong together.
    pub fn put(&mut self, bytes: &[u8]) -> Result<Span, PackError> {
        let len = bytes.len() as u64;
        if let Some((size, _)) = &self.open
            && size + len > self.limit
        {
            self.close();
        }
        let part = self.done.len();
        let failed = |source| PackError::Sink { part, source };
        if self.open.is_none() {
            self.sink.begin(part).map_err(failed)?;
        }
        let (size, hash) = self.open.get_or_insert_with(|| (0, Sha256::new()));
        self.sink.write(bytes).map_err(failed)?;
        hash.update(bytes);
        let span = Span {
            part: part as u32,
            start: *size,
            // A group's frames: a few MiB.
            len: len as u32,
        };
        *size += len;
        Ok(span)
    }

    fn close(&mut self) {
        if let Some((size, hash)) = self.open.take() {
            let digest: [u8; 32] = hash.finalize().into();
            self.done.push(PartInfo {
                size,
                sha256: digest.into(),
            });
        }
    }

    /// All parts.
    pub fn finish(mut self) -> Vec<PartInfo> {
        self.close();
        self.done
    }
}
