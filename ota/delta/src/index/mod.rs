//! The chunk index: what an image is made of, and where its frames lie in the parts.
//!
//! Owns the index in memory and the questions others ask of it. Invariant: an [`Index`] agrees with itself: chunks, zero
//! runs and repeats cover the image exactly once, groups cover the chunks, frames fill the parts to the last byte.
//!
//! ```text
//!  image    | c0 | c1 | zero | c2 | c1 again | c3 | c4 |           in blocks of 4096
//!  chunks   | c0 | c1 | c2 | c3 | c4 |                             each content once, by first appearance
//!  groups   '------ g0 -----' '-- g1 --'                           whole chunks, at most `group_bytes`
//!  parts    f0 f1 f2 f3 f4 | F0 F1                                 a small frame per chunk, then a large one per group
//! ```
//!
//! A frame of group g leans on a context: the chunks before the group, at most `context_bytes` of them, whole. A device
//! decodes in ascending order, so it has them: kept, copied or fetched before.

mod error;
mod parse;
mod write;

use std::ops::Range;

use roamcore_ota::Digest;

use crate::chunk::{BLOCK, ChunkId};

pub use error::IndexError;

/// What a reader accepts at most, whatever an index says of itself. Generous for real images, small for a device.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Bytes of the index as published (compressed).
    pub wire_bytes: u64,
    /// Bytes of the index when decompressed.
    pub raw_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            image_bytes: 16 << 30,
            // 8 GiB cut as finely as the format can: 2^21 chunks of 15 bytes.
            wire_bytes: 32 << 20,
            raw_bytes: 32 << 20,
        }
    }
}

/// Largest context and largest group, in bytes: they are a device's memory.
pub const MAX_CONTEXT: u32 = 8 << 20;
/// See [`MAX_CONTEXT`].
pub const MAX_GROUP: u32 = 8 << 20;
/// Most parts: with the default part limit more than any image needs.
pub const MAX_PARTS: u32 = 4096;

/// What the signed update manifest says about the image and its parts.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Size of the image.
    pub image_size: u64,
    /// SHA-256 of the image; none where the manifest's is of the image without the zeros that make it whole blocks.
    /// Then it is left to the end, when what came out is compared.
    pub image_sha256: Option<Digest>,
    /// Sizes of the parts, in order.
    pub part_sizes: &'a [u64],
}

/// A chunk index that agrees with itself.
#[derive(Debug, Clone)]
pub struct Index {
    pub(crate) image_size: u64,
    pub(crate) image_sha256: Digest,
    pub(crate) group_bytes: u32,
    pub(crate) context_bytes: u32,
    pub(crate) part_sizes: Vec<u64>,
    pub(crate) groups: Vec<Group>,
    pub(crate) ids: Vec<ChunkId>,
    /// Blocks of each chunk.
    pub(crate) blocks: Vec<u8>,
    /// Bytes of each chunk's small frame.
    pub(crate) frames: Vec<u16>,
    /// First block of each chunk's first appearance.
    pub(crate) places: Vec<u32>,
    /// Everything in the image that is not a chunk's first appearance, in image order.
    pub(crate) extras: Vec<Extra>,
    /// Positions of the repeats in `extras`, by chunk, then by place.
    pub(crate) repeats: Vec<u32>,
}

/// Consecutive chunks that share a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its first chunk.
    pub first: u32,
    /// One past its last chunk.
    pub end: u32,
    /// Where its small frames lie, one after the other.
    pub small: Span,
    /// Where its large frame lies.
    pub large: Span,
}

impl Group {
    pub fn chunks(&self) -> Range<usize> {
        self.first as usize..self.end as usize
    }
}

/// Bytes of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub part: u32,
    pub start: u64,
    pub len: u32,
}

impl Span {
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

/// A piece of the image that needs no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extra {
    pub place: u32,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// So many zero blocks.
    Zero(u32),
    /// The content of a chunk that came before.
    Repeat(u32),
}

impl Index {
    /// Reads an index as published. Never panics; allocates at most a small multiple of `limits.raw_bytes`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Index, IndexError> {
        parse::parse(bytes, limits)
    }

    /// Refuses an index of another image or of other parts than the manifest's. Call it before anything else.
    pub fn expect(&self, expected: &Expected<'_>) -> Result<(), IndexError> {
        if self.image_size != expected.image_size {
            return Err(IndexError::OtherSize {
                found: self.image_size,
                expected: expected.image_size,
            });
        }
        if let Some(expected) = expected.image_sha256
            && self.image_sha256 != expected
        {
            return Err(IndexError::OtherImage {
                found: self.image_sha256,
                expected,
            });
        }
        if self.part_sizes.len() != expected.part_sizes.len() {
            return Err(IndexError::OtherPartCount {
                found: self.part_sizes.len(),
                expected: expected.part_sizes.len(),
            });
        }
        let mut pairs = self.part_sizes.iter().zip(expected.part_sizes);
        match pairs.position(|(found, expected)| found != expected) {
            None => Ok(()),
            Some(part) => Err(IndexError::OtherPartSize {
                part,
                found: self.part_sizes[part],
                expected: expected.part_sizes[part],
            }),
        }
    }

    /// Bytes of the image.
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// SHA-256 of the image, as the index says; the manifest's is the one that counts.
    pub fn image_sha256(&self) -> Digest {
        self.image_sha256
    }

    /// Sizes of the parts, in order.
    pub fn part_sizes(&self) -> &[u64] {
        &self.part_sizes
    }

    /// Bytes that a device fetches that has nothing of the image.
    pub fn full_download_bytes(&self) -> u64 {
        self.groups.iter().map(|g| u64::from(g.large.len)).sum()
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn chunk_len(&self, chunk: usize) -> usize {
        usize::from(self.blocks[chunk]) * BLOCK
    }

    pub(crate) fn chunk_offset(&self, chunk: usize) -> u64 {
        offset(self.places[chunk])
    }

    pub(crate) fn raw_len(&self, chunks: Range<usize>) -> usize {
        chunks.map(|c| self.chunk_len(c)).sum()
    }

    pub(crate) fn extra_len(&self, extra: &Extra) -> u64 {
        match extra.what {
            What::Zero(blocks) => offset(blocks),
            What::Repeat(chunk) => self.chunk_len(chunk as usize) as u64,
        }
    }

    /// Positions in `extras` of the other places of a chunk.
    pub(crate) fn repeats_of(&self, chunk: usize) -> impl Iterator<Item = usize> + '_ {
        let of = move |at: &u32| match self.extras[*at as usize].what {
            What::Repeat(c) => c as usize,
            What::Zero(_) => usize::MAX,
        };
        let from = self.repeats.partition_point(|at| of(at) < chunk);
        self.repeats[from..]
            .iter()
            .take_while(move |at| of(at) == chunk)
            .map(|at| *at as usize)
    }

    /// The chunks that the frames of a group whose first chunk is `first` lean on.
    pub(crate) fn context_chunks(&self, first: usize) -> Range<usize> {
        let mut begin = first;
        let mut bytes = 0;
        while begin > 0 {
            bytes += self.chunk_len(begin - 1);
            if bytes > self.context_bytes as usize {
                break;
            }
            begin -= 1;
        }
        begin..first
    }
}

/// Byte offset of a block.
pub(crate) fn offset(block: u32) -> u64 {
    u64::from(block) * BLOCK as u64
}

/// What an index stands in before its frames are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub ids: Vec<ChunkId>,
    pub blocks: Vec<u8>,
    pub places: Vec<u32>,
    pub extras: Vec<Extra>,
}

/// Positions of repeats in `extras`, sorted as [`Index::repeats`] is.
pub(crate) fn repeats(extras: &[Extra]) -> Vec<u32> {
    let chunk = |at: u32| match extras[at as usize].what {
        What::Repeat(chunk) => Some(chunk),
        What::Zero(_) => None,
    };
    let mut repeats: Vec<u32> = (0..extras.len() as u32)
        .filter(|at| chunk(*at).is_some())
        .collect();
    repeats.sort_by_key(|at| (chunk(*at), *at));
    repeats
}
