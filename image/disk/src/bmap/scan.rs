//! Finds the blocks that have content.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{BLOCK, BlockMap, BmapError, MappedRange};

/// Read size.
const CHUNK: u64 = 1 << 20;

impl BlockMap {
    /// The blocks of `file` that are not all zero. Moves the file's cursor.
    ///
    /// # Errors
    /// Seeking or reading failed.
    pub fn scan(file: &File) -> Result<Self, BmapError> {
        Self::scan_keeping(file, &[])
    }

    /// The same, with every block that touches one of the byte ranges of `keep` mapped even if it is zero.
    ///
    /// # Errors
    /// Seeking or reading failed, or a range is outside the file.
    pub fn scan_keeping(file: &File, keep: &[Range<u64>]) -> Result<Self, BmapError> {
        let fail = |action, offset| {
            move |source| BmapError::Io {
                action,
                offset,
                source,
            }
        };
        let size = file.metadata().map_err(fail("sizing", 0))?.len();
        let mut kept = Vec::with_capacity(keep.len());
        for range in keep {
            if range.end > size || range.start > range.end {
                return Err(BmapError::Keep {
                    start: range.start,
                    end: range.end,
                    size,
                });
            }
            if !range.is_empty() {
                kept.push(range.start / BLOCK..range.end.div_ceil(BLOCK));
            }
        }
        let kept = union(kept);
        let look = union(
            data_blocks(file, size)?
                .into_iter()
                .chain(kept.iter().cloned())
                .collect(),
        );

        let mut open: Option<(u64, u64, Sha256)> = None;
        let mut ranges = Vec::new();
        let mut buf = vec![0; CHUNK as usize];
        let mut still_kept = kept.as_slice();
        for extent in look {
            for first in extent.clone().step_by((CHUNK / BLOCK) as usize) {
                let offset = first * BLOCK;
                let end = (extent.end * BLOCK).min(offset + CHUNK).min(size);
                let bytes = &mut buf[..(end - offset) as usize];
                file.read_exact_at(bytes, offset)
                    .map_err(fail("reading", offset))?;
                for (block, number) in bytes.chunks(BLOCK as usize).zip(first..) {
                    while still_kept.first().is_some_and(|range| range.end <= number) {
                        still_kept = &still_kept[1..];
                    }
                    let keep = still_kept
                        .first()
                        .is_some_and(|range| range.contains(&number));
                    if !keep && block.iter().all(|byte| *byte == 0) {
                        continue;
                    }
                    // Blocks arrive in order; anything but the direct successor closes the range.
                    let (start, _, hasher) = match open.take() {
                        Some(range) if range.1 + 1 == number => range,
                        other => {
                            ranges.extend(other.map(close));
                            (number, number, Sha256::new())
                        }
                    };
                    open = Some((start, number, hasher.chain_update(block)));
                }
            }
        }
        ranges.extend(open.map(close));
        Ok(Self {
            image_size: size,
            ranges,
        })
    }
}

fn close((first, last, hasher): (u64, u64, Sha256)) -> MappedRange {
    MappedRange {
        first,
        last,
        sha256: hasher.finalize().into(),
    }
}

/// Sorted, merged block ranges.
fn union(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Blocks the file system has data for. One without `SEEK_DATA` reports the whole file, which is right too.
fn data_blocks(file: &File, size: u64) -> Result<Vec<Range<u64>>, BmapError> {
    let fail = |action, offset| {
        move |errno: Errno| BmapError::Io {
            action,
            offset,
            source: errno.into(),
        }
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => 0,
            Err(errno) => return Err(fail("seeking data in", at)(errno)),
        };
        let hole = match seek(file, SeekFrom::Hole(data)) {
            Ok(hole) => hole,
            Err(Errno::INVAL) => size,
            Err(errno) => return Err(fail("seeking a hole in", data)(errno)),
        };
        // A file that shrinks under us could make no progress; stop, the reads will report it.
        if hole <= at {
            break;
        }
        found.push(data / BLOCK..hole.min(size).div_ceil(BLOCK));
        at = hole;
    }
    Ok(found)
}
