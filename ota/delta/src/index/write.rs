//! From an [`Index`] to the bytes that are published.

use std::io::{self, Write};

use super::parse::WINDOW_LOG;
use super::{Index, What};
use crate::chunk::BLOCK;

/// First bytes of an index.
pub(super) const MAGIC: [u8; 8] = *b"roamidx\0";
/// The format described in docs/release-format-index.md.
pub(super) const FORMAT: u32 = 1;
/// Magic, format, size of the content.
pub(super) const WIRE_HEADER: usize = 16;
/// Fixed part of the content.
pub(super) const RAW_HEADER: usize = 8 + 32 + 6 * 4;
/// Kinds of layout entries: the two low bits.
pub(super) const NEW: u32 = 0;
pub(super) const ZERO: u32 = 1;
pub(super) const REPEAT: u32 = 2;

/// Ids do not compress and the rest is small: the level hardly matters.
const LEVEL: i32 = 19;

impl Index {
    /// The index as published. Same index, same bytes.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let raw = self.content();
        let mut out = Vec::with_capacity(raw.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        let size = u32::try_from(raw.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&size.to_le_bytes());
        let mut zstd = zstd::stream::write::Encoder::new(out, LEVEL)?;
        zstd.window_log(WINDOW_LOG)?;
        zstd.set_pledged_src_size(Some(u64::from(size)))?;
        zstd.include_contentsize(false)?;
        zstd.write_all(&raw)?;
        zstd.finish()
    }

    fn content(&self) -> Vec<u8> {
        let layout = self.layout();
        let mut raw = Vec::new();
        raw.extend_from_slice(&self.image_size.to_le_bytes());
        raw.extend_from_slice(self.image_sha256.as_bytes());
        for number in [
            self.group_bytes,
            self.context_bytes,
            self.part_sizes.len() as u32,
            self.groups.len() as u32,
            self.ids.len() as u32,
            layout.len() as u32,
        ] {
            raw.extend_from_slice(&number.to_le_bytes());
        }
        for size in &self.part_sizes {
            raw.extend_from_slice(&size.to_le_bytes());
        }
        for group in &self.groups {
            raw.extend_from_slice(&(group.end - group.first).to_le_bytes());
            raw.extend_from_slice(&group.large.len.to_le_bytes());
        }
        for word in layout {
            raw.extend_from_slice(&word.to_le_bytes());
        }
        raw.extend_from_slice(&self.blocks);
        raw.extend(self.frames.iter().map(|f| f.to_le_bytes()[0]));
        raw.extend(self.frames.iter().map(|f| f.to_le_bytes()[1]));
        raw.extend(self.ids.iter().flat_map(|id| id.0));
        raw
    }

    /// Runs of first appearances, zero runs and repeats in image order.
    fn layout(&self) -> Vec<u32> {
        let mut words = Vec::new();
        let mut chunk = 0;
        let mut run = |words: &mut Vec<u32>, before: u64| {
            let from = chunk;
            while chunk < self.places.len() && u64::from(self.places[chunk]) < before {
                chunk += 1;
            }
            if chunk > from {
                words.push(((chunk - from) as u32) << 2 | NEW);
            }
        };
        for extra in &self.extras {
            run(&mut words, u64::from(extra.place));
            words.push(match extra.what {
                What::Zero(blocks) => blocks << 2 | ZERO,
                What::Repeat(chunk) => chunk << 2 | REPEAT,
            });
        }
        run(&mut words, self.image_size / BLOCK as u64);
        words
    }
}
