//! From published bytes to an [`Index`].
//!
//! Owns the checks. Invariant: nothing is allocated for a count before the counts were compared with the size of the
//! content, and that size with the limits; content is decompressed as it is read, never beyond that size.

use std::io::Read;

use roamcore_ota::Digest;

use super::write::{FORMAT, MAGIC, NEW, RAW_HEADER, REPEAT, WIRE_HEADER, ZERO};
use super::{
    Extra, Group, Index, IndexError, Limits, MAX_CONTEXT, MAX_GROUP, MAX_PARTS, Span, What,
};
use crate::chunk::{BLOCK, ChunkId, MAX_BLOCKS};
use crate::frame::max_frame;

/// zstd's window when reading, 1 MiB, which is what the writer uses.
pub(super) const WINDOW_LOG: u32 = 20;

/// See [`Index::parse`].
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Index, IndexError> {
    let raw = open(bytes, limits)?;
    let content = &bytes[WIRE_HEADER..];
    let damaged = IndexError::Damaged {
        at: 0,
        expected: raw,
    };
    let mut zstd = zstd::stream::read::Decoder::with_buffer(content)
        .map_err(|_| damaged.clone())?
        .single_frame();
    zstd.window_log_max(WINDOW_LOG).map_err(|_| damaged)?;
    let mut input = Input {
        inner: &mut zstd,
        at: 0,
        size: raw,
    };
    let header = Header::read(&mut input, raw, limits)?;
    let mut index = header.body(&mut input)?;
    input.end()?;
    if !zstd.finish().is_empty() {
        return Err(IndexError::Trailing { expected: raw });
    }
    index.repeats = super::repeats(&index.extras);
    Ok(index)
}

/// Judges the uncompressed header and returns the size of the content.
fn open(bytes: &[u8], limits: &Limits) -> Result<u64, IndexError> {
    if bytes.len() as u64 > limits.wire_bytes {
        return Err(IndexError::WireTooLarge {
            found: bytes.len() as u64,
            limit: limits.wire_bytes,
        });
    }
    let rest = bytes.strip_prefix(&MAGIC).ok_or(IndexError::Magic)?;
    let (format, rest) = rest.split_first_chunk().ok_or(IndexError::Magic)?;
    let found = u32::from_le_bytes(*format);
    if found != FORMAT {
        return Err(IndexError::Format { found });
    }
    let (raw, _) = rest.split_first_chunk().ok_or(IndexError::Magic)?;
    let found = u64::from(u32::from_le_bytes(*raw));
    if found > limits.raw_bytes {
        return Err(IndexError::RawTooLarge {
            found,
            limit: limits.raw_bytes,
        });
    }
    Ok(found)
}

/// The decompressed content, never more than its announced size.
struct Input<'a, R> {
    inner: &'a mut R,
    at: u64,
    size: u64,
}

impl<R: Read> Input<'_, R> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), IndexError> {
        self.inner
            .read_exact(out)
            .map_err(|_| IndexError::Damaged {
                at: self.at,
                expected: self.size,
            })?;
        self.at += out.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, IndexError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn end(&mut self) -> Result<(), IndexError> {
        match self.inner.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(IndexError::Trailing {
                expected: self.size,
            }),
            Err(_) => Err(IndexError::Damaged {
                at: self.at,
                expected: self.size,
            }),
        }
    }
}

struct Header {
    image_size: u64,
    image_sha256: Digest,
    group_bytes: u32,
    context_bytes: u32,
    parts: u32,
    groups: u32,
    chunks: u32,
    layout: u32,
}

impl Header {
    fn read(
        input: &mut Input<'_, impl Read>,
        raw: u64,
        limits: &Limits,
    ) -> Result<Header, IndexError> {
        let header = Header {
            image_size: input.u64()?,
            image_sha256: Digest::from(input.array::<32>()?),
            group_bytes: input.u32()?,
            context_bytes: input.u32()?,
            parts: input.u32()?,
            groups: input.u32()?,
            chunks: input.u32()?,
            layout: input.u32()?,
        };
        let block = BLOCK as u64;
        // Blocks are counted in 32 bits.
        let limit = limits.image_bytes.min(u64::from(u32::MAX) * block);
        let found = header.image_size;
        if found == 0 || !found.is_multiple_of(block) || found > limit {
            return Err(IndexError::ImageSize { found, limit });
        }
        for (what, found, limit) in [
            ("a group", header.group_bytes, MAX_GROUP),
            ("a context", header.context_bytes, MAX_CONTEXT),
        ] {
            if !found.is_multiple_of(BLOCK as u32) || found > limit {
                return Err(IndexError::Window { what, found, limit });
            }
        }
        if header.parts > MAX_PARTS {
            return Err(IndexError::PartCount {
                found: header.parts,
                limit: MAX_PARTS,
            });
        }
        let expected = RAW_HEADER as u64
            + u64::from(header.parts) * 8
            + u64::from(header.groups) * 8
            + u64::from(header.layout) * 4
            + u64::from(header.chunks) * (3 + ChunkId::LEN as u64);
        if raw != expected {
            return Err(IndexError::Counts {
                found: raw,
                expected,
            });
        }
        Ok(header)
    }

    fn body(self, input: &mut Input<'_, impl Read>) -> Result<Index, IndexError> {
        let chunks = self.chunks as usize;
        let parts: Vec<u64> = (0..self.parts)
            .map(|_| input.u64())
            .collect::<Result<_, _>>()?;
        if let Some(part) = parts.iter().position(|size| *size == 0) {
            return Err(IndexError::EmptyPart { part });
        }
        let groups: Vec<(u32, u32)> = (0..self.groups)
            .map(|_| Ok((input.u32()?, input.u32()?)))
            .collect::<Result<_, _>>()?;
        let layout: Vec<u32> = (0..self.layout)
            .map(|_| input.u32())
            .collect::<Result<_, _>>()?;
        let mut blocks = vec![0; chunks];
        input.fill(&mut blocks)?;
        if let Some(chunk) = blocks.iter().position(|b| !(1..=MAX_BLOCKS).contains(b)) {
            let blocks = blocks[chunk];
            return Err(IndexError::ChunkLength { chunk, blocks });
        }
        let frames = frames(input, &blocks)?;
        let (places, extras) = self.places(&layout, &blocks)?;
        drop(layout);
        let groups = self.groups(&groups, &blocks, &frames, &parts)?;
        let mut ids = vec![ChunkId([0; ChunkId::LEN]); chunks];
        for id in &mut ids {
            input.fill(&mut id.0)?;
        }
        Ok(Index {
            image_size: self.image_size,
            image_sha256: self.image_sha256,
            group_bytes: self.group_bytes,
            context_bytes: self.context_bytes,
            part_sizes: parts,
            groups,
            ids,
            blocks,
            frames,
            places,
            extras,
            repeats: Vec::new(),
        })
    }

    /// Walks the layout: first appearances, zero runs and repeats, one after the other through the whole image.
    fn places(&self, layout: &[u32], blocks: &[u8]) -> Result<(Vec<u32>, Vec<Extra>), IndexError> {
        let image = self.image_size / BLOCK as u64;
        let mut places = Vec::with_capacity(blocks.len());
        let mut extras = Vec::new();
        let mut at = 0u64;
        let mut last = u32::MAX;
        for (entry, word) in layout.iter().enumerate() {
            let refuse = |why| IndexError::Layout { entry, why };
            let (kind, value) = (word & 3, word >> 2);
            if value == 0 && kind != REPEAT {
                return Err(refuse("a run of nothing"));
            }
            if kind == last && kind != REPEAT {
                return Err(refuse("a run that goes on where one of its kind ended"));
            }
            last = kind;
            // At most image + 2^30 * 4 blocks: below 2^33, so `at` is far from overflowing.
            let place = u32::try_from(at).map_err(|_| refuse("it begins behind the image"))?;
            match kind {
                NEW => {
                    let from = places.len();
                    let run = blocks
                        .get(from..from.saturating_add(value as usize))
                        .ok_or(refuse("it names more chunks than there are"))?;
                    for blocks in run {
                        let place =
                            u32::try_from(at).map_err(|_| refuse("it begins behind the image"))?;
                        places.push(place);
                        at += u64::from(*blocks);
                    }
                }
                ZERO => {
                    extras.push(Extra {
                        place,
                        what: What::Zero(value),
                    });
                    at += u64::from(value);
                }
                REPEAT => {
                    if value as usize >= places.len() {
                        return Err(refuse("it repeats a chunk that has not come yet"));
                    }
                    extras.push(Extra {
                        place,
                        what: What::Repeat(value),
                    });
                    at += u64::from(blocks[value as usize]);
                }
                _ => return Err(refuse("its kind is unknown")),
            }
            if at > image {
                return Err(refuse("it reaches beyond the image"));
            }
        }
        if at != image || places.len() != blocks.len() {
            return Err(IndexError::LayoutSum {
                found: at,
                chunks: places.len() as u64,
                expected: image,
                expected_chunks: blocks.len() as u64,
            });
        }
        Ok((places, extras))
    }

    /// Gives every group its chunks and its bytes of the parts: all small frames first, then all large ones.
    fn groups(
        &self,
        counts: &[(u32, u32)],
        blocks: &[u8],
        frames: &[u16],
        parts: &[u64],
    ) -> Result<Vec<Group>, IndexError> {
        let mut groups = Vec::with_capacity(counts.len());
        let mut cursor = Cursor::new(parts);
        let mut first = 0usize;
        for (group, (count, large)) in counts.iter().enumerate() {
            let end = first.saturating_add(*count as usize);
            let sum = IndexError::GroupSum {
                found: end as u64,
                expected: blocks.len() as u64,
            };
            let raw: u64 = blocks
                .get(first..end)
                .ok_or(sum)?
                .iter()
                .map(|b| u64::from(*b) * BLOCK as u64)
                .sum();
            if *count == 0 || raw > u64::from(self.group_bytes) {
                return Err(IndexError::GroupLength {
                    group,
                    chunks: *count,
                    bytes: raw,
                    limit: self.group_bytes,
                });
            }
            let limit = max_frame(raw as usize) as u64;
            if *large == 0 || u64::from(*large) > limit {
                return Err(IndexError::FrameLength {
                    what: "group",
                    number: group,
                    found: u64::from(*large),
                    limit,
                });
            }
            // At most 8 MiB of raw bytes in chunks of at least 4096: no overflow.
            let small = frames[first..end].iter().map(|f| u32::from(*f)).sum();
            groups.push(Group {
                first: first as u32,
                end: end as u32,
                small: cursor.take(group, small)?,
                large: Span::default(),
            });
            first = end;
        }
        if first != blocks.len() {
            return Err(IndexError::GroupSum {
                found: first as u64,
                expected: blocks.len() as u64,
            });
        }
        for (group, (_, large)) in counts.iter().enumerate() {
            groups[group].large = cursor.take(group, *large)?;
        }
        cursor.finish()?;
        Ok(groups)
    }
}

/// Two columns, low and high bytes, compress better than one of pairs.
fn frames(input: &mut Input<'_, impl Read>, blocks: &[u8]) -> Result<Vec<u16>, IndexError> {
    let mut low = vec![0; blocks.len()];
    input.fill(&mut low)?;
    let mut frames = Vec::with_capacity(blocks.len());
    let mut high = [0; 4096];
    for (low, blocks) in low.chunks(high.len()).zip(blocks.chunks(high.len())) {
        let high = &mut high[..low.len()];
        input.fill(high)?;
        for ((low, high), blocks) in low.iter().zip(high.iter()).zip(blocks) {
            let frame = u16::from_le_bytes([*low, *high]);
            let limit = max_frame(usize::from(*blocks) * BLOCK);
            if frame == 0 || usize::from(frame) > limit {
                return Err(IndexError::FrameLength {
                    what: "chunk",
                    number: frames.len(),
                    found: u64::from(frame),
                    limit: limit as u64,
                });
            }
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Deals out the bytes of the parts in order. What belongs together never crosses from one part to the next.
struct Cursor<'a> {
    parts: &'a [u64],
    part: usize,
    at: u64,
}

impl<'a> Cursor<'a> {
    fn new(parts: &'a [u64]) -> Self {
        Cursor {
            parts,
            part: 0,
            at: 0,
        }
    }

    fn free(&self) -> u64 {
        self.parts.get(self.part).map_or(0, |size| size - self.at)
    }

    fn take(&mut self, group: usize, len: u32) -> Result<Span, IndexError> {
        if self.free() == 0 && self.at > 0 {
            (self.part, self.at) = (self.part + 1, 0);
        }
        let (free, need) = (self.free(), u64::from(len));
        if need > free {
            return Err(IndexError::FrameOutsidePart {
                group,
                part: self.part,
                free,
                need,
            });
        }
        let span = Span {
            part: self.part as u32,
            start: self.at,
            len,
        };
        self.at += need;
        Ok(span)
    }

    fn finish(self) -> Result<(), IndexError> {
        let unused = self.free();
        let next = self.part + usize::from(self.at > 0);
        if self.at > 0 && unused > 0 {
            return Err(IndexError::PartNotFilled {
                part: self.part,
                unused,
            });
        }
        match self.parts.get(next) {
            None => Ok(()),
            Some(size) => Err(IndexError::PartNotFilled {
                part: next,
                unused: *size,
            }),
        }
    }
}
