//! From an image to index and parts.
//!
//! Owns the two passes over an image: finding its chunks, then compressing its groups twice, as small frames for devices
//! that have most of it and as one large frame for those that have nothing. Never does: know where parts end up.
//!
//! Invariant: the output is a function of image, level, part and group size, and of the version of zstd; never of the
//! number of threads. Every frame was decoded and compared before it counts.

mod compress;
mod parts;
mod survey;

use std::io;

use roamcore_ota::Digest;

use crate::chunk::BLOCK;
use crate::frame::{FrameError, max_frame};
use crate::index::{self, Index, MAX_CONTEXT, MAX_GROUP};
use crate::{IndexError, Limits, ReadAt};
use compress::{Kind, Work};
use parts::Parts;

/// How an image is packed.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// zstd level, 1 to 19.
    pub level: i32,
    /// Largest part in bytes.
    pub part_bytes: u64,
    /// Threads. The output does not depend on it.
    pub threads: usize,
    /// Raw bytes of a group, the unit of a large frame; whole blocks.
    pub group_bytes: u32,
    /// Raw bytes before a group that its frames lean on; whole blocks.
    pub context_bytes: u32,
}

impl Default for PackOptions {
    fn default() -> Self {
        PackOptions {
            // Against 19: 5 % more bytes in a tenth of the time.
            level: 12,
            // Below hawkBit's default limit of an artefact, 1 GiB.
            part_bytes: 512 << 20,
            threads: 2,
            // The context is indexed anew for each group: smaller groups take longer to pack. Small frames do not see
            // each other, only the context: larger groups give larger small frames.
            group_bytes: 2 << 20,
            context_bytes: MAX_CONTEXT,
        }
    }
}

/// Takes the parts as they are made, one after the other.
pub trait PartSink {
    /// Part number `part` begins; the one before it is complete. Parts come in order from 0.
    fn begin(&mut self, part: usize) -> io::Result<()>;
    /// The next bytes of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A part, for the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

/// What packing gave besides the parts.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The index as published.
    pub index: Vec<u8>,
    /// The parts that went to the sink.
    pub parts: Vec<PartInfo>,
    /// Bytes of the image.
    pub image_size: u64,
    /// SHA-256 of the image.
    pub image_sha256: Digest,
}

/// An image could not be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The image could not be read.
    #[error("reading the image at {offset} failed")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The image changed between two reads.
    #[error("the image changed at {offset} while it was packed")]
    Changed {
        /// Where.
        offset: u64,
    },
    /// A part could not be written.
    #[error("writing part {part} failed")]
    Sink {
        /// Number of the part.
        part: usize,
        /// Why.
        source: io::Error,
    },
    /// An image of no size, of no whole blocks, or too large.
    #[error(
        "an image of {size} bytes cannot be packed: whole blocks of 4096, at most {limit} bytes"
    )]
    ImageSize {
        /// Its size.
        size: u64,
        /// Limit.
        limit: u64,
    },
    /// Options that no reader would accept.
    #[error("{option} = {value} is refused: {rule}")]
    Option {
        /// Which.
        option: &'static str,
        /// Its value.
        value: u64,
        /// What is possible.
        rule: &'static str,
    },
    /// Two different chunks have the same id.
    #[error(
        "the chunks at {first} and {second} differ and have the same id: this image needs another chunking"
    )]
    Collision {
        /// Where the first is.
        first: u64,
        /// Where the second is.
        second: u64,
    },
    /// Compression failed or did not give back what went in.
    #[error("compressing group {group} failed")]
    Frame {
        /// Number of the group.
        group: usize,
        /// Why.
        source: FrameError,
    },
    /// The index that came out would be refused by readers.
    #[error("the finished index is refused")]
    Index(#[source] IndexError),
    /// The index could not be written to memory.
    #[error("the index could not be written")]
    Write(#[source] io::Error),
}

/// Packs an image whose size is a positive multiple of [`ALIGN`](crate::ALIGN).
pub fn pack(
    image: &dyn ReadAt,
    options: &PackOptions,
    sink: &mut dyn PartSink,
) -> Result<Packed, PackError> {
    check(image, options)?;
    let (layout, image_sha256) = survey::survey(image)?;
    let mut index = Index {
        image_size: image.size(),
        image_sha256,
        group_bytes: options.group_bytes,
        context_bytes: options.context_bytes,
        part_sizes: Vec::new(),
        groups: survey::groups(&layout, options.group_bytes),
        frames: vec![0; layout.ids.len()],
        ids: layout.ids,
        blocks: layout.blocks,
        places: layout.places,
        repeats: index::repeats(&layout.extras),
        extras: layout.extras,
    };
    let mut parts = Parts::new(options.part_bytes, sink);
    let mut lengths = Vec::with_capacity(index.frames.len());
    for kind in [Kind::Small, Kind::Large] {
        let work = Work {
            image,
            index: &index,
            level: options.level,
            kind,
        };
        let mut spans = Vec::with_capacity(index.groups.len());
        work.run(options.threads, &mut |made| {
            lengths.extend(made.lengths);
            spans.push(parts.put(&made.bytes)?);
            Ok(())
        })?;
        for (group, span) in index.groups.iter_mut().zip(spans) {
            match kind {
                Kind::Small => group.small = span,
                Kind::Large => group.large = span,
            }
        }
    }
    for (frame, length) in index.frames.iter_mut().zip(lengths) {
        *frame = length;
    }
    let parts = parts.finish();
    index.part_sizes = parts.iter().map(|p| p.size).collect();
    let bytes = index.to_bytes().map_err(PackError::Write)?;
    // What no reader would take must not be published.
    Index::parse(&bytes, &Limits::default()).map_err(PackError::Index)?;
    Ok(Packed {
        index: bytes,
        parts,
        image_size: image.size(),
        image_sha256,
    })
}

fn check(image: &dyn ReadAt, options: &PackOptions) -> Result<(), PackError> {
    let (size, limit) = (image.size(), Limits::default().image_bytes);
    if size == 0 || !size.is_multiple_of(BLOCK as u64) || size > limit {
        return Err(PackError::ImageSize { size, limit });
    }
    let blocks = |bytes: u32| bytes.is_multiple_of(BLOCK as u32);
    let refuse = |option, value, rule| {
        Err(PackError::Option {
            option,
            value,
            rule,
        })
    };
    let group = options.group_bytes;
    if !blocks(group) || !(crate::chunk::MAX as u32..=MAX_GROUP).contains(&group) {
        let rule = "whole blocks, 16 KiB to 8 MiB";
        return refuse("group_bytes", u64::from(group), rule);
    }
    let context = options.context_bytes;
    if !blocks(context) || context > MAX_CONTEXT {
        let rule = "whole blocks, at most 8 MiB";
        return refuse("context_bytes", u64::from(context), rule);
    }
    if !(1..=19).contains(&options.level) {
        return refuse("level", options.level.unsigned_abs().into(), "1 to 19");
    }
    // The small frames of a group stay together; at worst each chunk is one block and grows by its frame's header.
    let least = (max_frame(BLOCK) * (group as usize / BLOCK)) as u64;
    if options.part_bytes < least {
        let rule = "a part holds at least all frames of a group";
        return refuse("part_bytes", options.part_bytes, rule);
    }
    Ok(())
}
