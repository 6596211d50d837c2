//! The raw image as `disk.img.zst`, with the hash of every stretch of it.
//!
//! Owns: one pass over the raw image that compresses and hashes. Never does: read what is zero by
//! construction: a zero frame and a zero hash are made once and repeated.
//! Invariant: the bytes depend on the image and the areas alone, not on threads, holes or time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::disk::Area;
use crate::events::Events;

/// Level 6: the root is mostly xz-compressed modules and ELF; 9 takes twice as long for 2 %.
const LEVEL: i32 = 6;
/// One frame of zeros stands for this many bytes.
const ZERO_FRAME: u64 = 64 << 20;
/// One frame of data: four windows of this level, so that little is lost at its beginning.
const FRAME: u64 = 8 << 20;
const CHUNK: usize = 1 << 20;

/// Compresses `raw` to `out`; returns one SHA-256 per area.
pub fn compress(
    raw: &Path,
    areas: &[Area],
    out: &Path,
    threads: usize,
    events: &Events,
) -> Result<Vec<[u8; 32]>> {
    let mut input = File::open(raw).with_context(|| format!("opening {}", raw.display()))?;
    let file = File::create(out).with_context(|| format!("creating {}", out.display()))?;
    let mut writer = BufWriter::with_capacity(CHUNK, file);
    let mut zeros = Zeros::default();
    let total = areas.last().map_or(0, |a| a.range.end);
    let mut digests = Vec::with_capacity(areas.len());
    for area in areas {
        let len = area.range.end - area.range.start;
        if area.zero {
            zeros.write(&mut writer, len)?;
            digests.push(zeros.digest(len));
        } else {
            input.seek(SeekFrom::Start(area.range.start))?;
            digests.push(data(&mut input, &mut writer, len, threads, |at| {
                events.progress("compress", area.range.start + at, total);
            })?);
        }
    }
    let file = writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("writing the image")?;
    file.sync_all().context("syncing the compressed image")?;
    Ok(digests)
}

/// Frames of their own, as many at once as there are threads: zstd's own workers keep one and a half busy.
fn data(
    input: &mut File,
    out: &mut impl Write,
    len: u64,
    threads: usize,
    mut progress: impl FnMut(u64),
) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut stretches = vec![Vec::new(); threads.max(1)];
    let mut left = len;
    while left > 0 {
        for stretch in &mut stretches {
            let want = left.min(FRAME);
            stretch.resize(usize::try_from(want)?, 0);
            input.read_exact(stretch).context("reading the raw image")?;
            left -= want;
        }
        let full = stretches.iter().filter(|stretch| !stretch.is_empty());
        let frames = std::thread::scope(|scope| {
            let making: Vec<_> = full
                .clone()
                .map(|stretch| scope.spawn(|| frame(stretch)))
                .collect();
            full.for_each(|stretch| hasher.update(stretch));
            let made = making.into_iter().map(|thread| {
                let dead = |_| std::io::Error::other("a thread that compresses has panicked");
                thread.join().map_err(dead)?
            });
            made.collect::<std::io::Result<Vec<_>>>()
        })
        .context("compressing the image")?;
        for frame in frames {
            out.write_all(&frame)
                .context("writing the compressed image (is the disk full?)")?;
        }
        progress(len - left);
    }
    Ok(hasher.finalize().into())
}

fn frame(stretch: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(stretch)
}

/// Frames and hashes of runs of zeros, each length made once.
#[derive(Default)]
struct Zeros {
    frames: HashMap<u64, Vec<u8>>,
    digests: HashMap<u64, [u8; 32]>,
}

impl Zeros {
    fn write(&mut self, out: &mut impl Write, mut len: u64) -> Result<()> {
        while len > 0 {
            let part = len.min(ZERO_FRAME);
            let frame = match self.frames.entry(part) {
                Entry::Occupied(made) => made.into_mut(),
                Entry::Vacant(place) => place.insert(zero_frame(part)?),
            };
            out.write_all(frame)
                .context("writing the compressed image (is the disk full?)")?;
            len -= part;
        }
        Ok(())
    }

    fn digest(&mut self, len: u64) -> [u8; 32] {
        *self.digests.entry(len).or_insert_with(|| {
            let block = vec![0u8; CHUNK];
            let mut hasher = Sha256::new();
            let mut left = len;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                hasher.update(&block[..part]);
                left -= part as u64;
            }
            hasher.finalize().into()
        })
    }
}

fn zero_frame(len: u64) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(len))?;
    std::io::copy(&mut std::io::repeat(0).take(len), &mut encoder)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_thread_count_gives_the_same_bytes_and_zstd_gives_the_image_back() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("raw");
        let mut bytes: Vec<u8> = (0..7_000_000u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect();
        let data_end = bytes.len() as u64;
        bytes.resize(bytes.len() + 5_000_000, 0);
        std::fs::write(&raw, &bytes).unwrap();
        let area = |name: &str, range, zero| Area {
            name: name.to_owned(),
            number: None,
            range,
            zero,
        };
        let areas = [
            area("data", 0..data_end, false),
            area("zero", data_end..bytes.len() as u64, true),
        ];
        let events = Events::new(true);
        let run = |name: &str, threads| {
            let out = dir.path().join(name);
            let digests = compress(&raw, &areas, &out, threads, &events).unwrap();
            (std::fs::read(out).unwrap(), digests)
        };
        let (one, digests) = run("1", 1);
        assert_eq!(one, run("4", 4).0);
        assert_eq!(zstd::decode_all(&one[..]).unwrap(), bytes);
        let zero: [u8; 32] = Sha256::digest(&bytes[data_end as usize..]).into();
        assert_eq!(digests[1], zero);
    }
}
