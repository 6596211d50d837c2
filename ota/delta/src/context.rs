//! The raw bytes that the frames of a group lean on.
//!
//! Owns a window over the stream of chunks that slides forward as groups are dealt with. What it lacks it reads from an
//! image or a slot, at the places where the index says the chunks lie.
//!
//! Invariant: it holds consecutive chunks, each one hashed when `verify` was asked for; its memory is bounded by the
//! largest context and a few groups.

use std::io;
use std::ops::Range;

use crate::ReadAt;
use crate::chunk::ChunkId;
use crate::frame::DICTIONARY_MAGIC;
use crate::index::Index;

/// Bytes kept in front of the window before it is moved to the start of the buffer: moving costs a copy of the window.
const SLACK: usize = 8 << 20;

/// A chunk of the context could not be had.
#[derive(Debug)]
pub enum ContextError {
    /// Reading failed.
    Read {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// Why.
        source: io::Error,
    },
    /// Other bytes than the index says.
    Changed {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
    },
}

/// A window over the stream of chunks.
pub struct Context {
    buffer: Vec<u8>,
    /// First byte of the window in the buffer.
    start: usize,
    chunks: Range<usize>,
    verify: bool,
}

impl Context {
    /// An empty window. With `verify`, chunks that are read are hashed.
    pub fn new(verify: bool) -> Context {
        Context {
            buffer: Vec::new(),
            start: 0,
            chunks: 0..0,
            verify,
        }
    }

    /// The chunks that [`prepare`](Self::prepare) would read.
    pub fn missing(&self, index: &Index, first: usize) -> Range<usize> {
        let wanted = index.context_chunks(first);
        match self.slides_to(&wanted) {
            true => self.chunks.end..wanted.end,
            false => wanted,
        }
    }

    /// The window holds the beginning of what is wanted.
    fn slides_to(&self, wanted: &Range<usize>) -> bool {
        wanted.start < self.chunks.end && wanted.start >= self.chunks.start
    }

    /// The context of the group whose first chunk is `first`.
    pub fn prepare(
        &mut self,
        index: &Index,
        first: usize,
        slot: &dyn ReadAt,
    ) -> Result<(), ContextError> {
        let wanted = index.context_chunks(first);
        if !self.slides_to(&wanted) {
            self.buffer.clear();
            self.start = 0;
            self.chunks = wanted.start..wanted.start;
        }
        self.start += index.raw_len(self.chunks.start..wanted.start);
        self.chunks.start = wanted.start;
        if self.start > SLACK {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.read(index, wanted.end, slot)
    }

    /// Chunks that follow the window and are in memory already.
    pub fn push(&mut self, index: &Index, chunks: Range<usize>, bytes: &[u8]) {
        if chunks.start == self.chunks.end && index.raw_len(chunks.clone()) == bytes.len() {
            self.buffer.extend_from_slice(bytes);
            self.chunks.end = chunks.end;
        }
    }

    /// Appends the chunks up to `end`, consecutive places at once.
    fn read(&mut self, index: &Index, end: usize, slot: &dyn ReadAt) -> Result<(), ContextError> {
        while self.chunks.end < end {
            let first = self.chunks.end;
            let mut last = first + 1;
            let mut length = index.chunk_len(first);
            while last < end
                && index.chunk_offset(first) + length as u64 == index.chunk_offset(last)
            {
                length += index.chunk_len(last);
                last += 1;
            }
            let (offset, old) = (index.chunk_offset(first), self.buffer.len());
            self.buffer.resize(old + length, 0);
            let bytes = &mut self.buffer[old..];
            let outcome = match slot.read_exact_at(bytes, offset) {
                Err(source) => Err(ContextError::Read {
                    offset,
                    length: length as u64,
                    source,
                }),
                Ok(()) if self.verify => check(index, first..last, bytes),
                Ok(()) => Ok(()),
            };
            if let Err(error) = outcome {
                self.buffer.truncate(old);
                return Err(error);
            }
            self.chunks.end = last;
        }
        Ok(())
    }

    /// What was prepared, without leading chunks that a decoder would take for a dictionary with tables.
    pub fn bytes(&self, index: &Index) -> &[u8] {
        let mut from = self.start;
        let mut chunk = self.chunks.start;
        while self.buffer[from..].starts_with(&DICTIONARY_MAGIC) {
            from += index.chunk_len(chunk);
            chunk += 1;
        }
        &self.buffer[from..]
    }
}

fn check(index: &Index, chunks: Range<usize>, mut bytes: &[u8]) -> Result<(), ContextError> {
    for chunk in chunks {
        let (head, rest) = bytes.split_at(index.chunk_len(chunk));
        if ChunkId::of(head) != index.ids[chunk] {
            return Err(ContextError::Changed {
                offset: index.chunk_offset(chunk),
                length: head.len() as u64,
            });
        }
        bytes = rest;
    }
    Ok(())
}
