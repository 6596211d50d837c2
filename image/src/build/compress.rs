//! The raw image as `disk.img.zst`, with the hash of every stretch of it.
//!
//! Owns: one pass over the raw image that compresses and hashes. Never does: read what is zero by
//! construction: a zero frame and a zero hash are made once and repeated.
//! Invariant: the bytes depend on the image and the areas alone, not on threads, holes or time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};

use super::disk::Area;
use crate::events::Events;

/// Level 6: the root is mostly xz-compressed modules and ELF; 9 takes twice as long for 2 %.
const LEVEL: i32 = 6;
/// One frame of zeros stands for this many bytes.
const ZERO_FRAME: u64 = 64 << 20;
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
    let mut zeros = HashMap::new();
    let total = areas.last().map_or(0, |a| a.range.end);
    let length = |area: &Area| area.range.end - area.range.start;
    let empty: BTreeSet<u64> = areas.iter().filter(|a| a.zero).map(length).collect();
    let digests = std::thread::scope(|scope| {
        // The image is mostly zeros, and hashing them takes as long as compressing the rest.
        let empty = scope.spawn(|| zero_digests(&empty));
        let mut known = Vec::with_capacity(areas.len());
        for area in areas {
            if area.zero {
                write_zeros(&mut zeros, &mut writer, length(area))?;
                known.push(None);
            } else {
                input.seek(SeekFrom::Start(area.range.start))?;
                let digest = data(&mut input, &mut writer, length(area), threads, |at| {
                    events.progress("compress", area.range.start + at, total);
                })?;
                known.push(Some(digest));
            }
        }
        let empty = empty.join();
        let empty = empty.map_err(|_| anyhow!("a thread that hashes zeros has panicked"))?;
        let digest =
            |(area, known): (&Area, Option<_>)| known.or_else(|| empty.get(&length(area)).copied());
        let digests: Option<Vec<_>> = areas.iter().zip(known).map(digest).collect();
        digests.context("the hash of an empty stretch is missing")
    })?;
    let file = writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("writing the image")?;
    file.sync_all().context("syncing the compressed image")?;
    Ok(digests)
}

fn data(
    input: &mut File,
    out: &mut impl Write,
    len: u64,
    threads: usize,
    mut progress: impl FnMut(u64),
) -> Result<[u8; 32]> {
    let mut encoder = zstd::Encoder::new(out, LEVEL).context("starting compression")?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(len))?;
    encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; CHUNK];
    let mut left = len;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        input
            .read_exact(&mut buffer[..want])
            .context("reading the raw image")?;
        hasher.update(&buffer[..want]);
        encoder
            .write_all(&buffer[..want])
            .context("writing the compressed image (is the disk full?)")?;
        left -= want as u64;
        progress(len - left);
    }
    encoder
        .finish()
        .context("writing the compressed image (is the disk full?)")?;
    Ok(hasher.finalize().into())
}

/// Writes a run of zeros; a frame of each length is made once.
fn write_zeros(
    frames: &mut HashMap<u64, Vec<u8>>,
    out: &mut impl Write,
    mut len: u64,
) -> Result<()> {
    while len > 0 {
        let part = len.min(ZERO_FRAME);
        let frame = match frames.entry(part) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(zero_frame(part)?),
        };
        out.write_all(frame)
            .context("writing the compressed image (is the disk full?)")?;
        len -= part;
    }
    Ok(())
}

/// Hashes of runs of zeros of these lengths: each goes on where the one before it ended.
fn zero_digests(lengths: &BTreeSet<u64>) -> HashMap<u64, [u8; 32]> {
    let block = vec![0u8; CHUNK];
    let mut hasher = Sha256::new();
    let (mut done, mut digests) = (0, HashMap::new());
    for len in lengths {
        while done < *len {
            let part = (len - done).min(CHUNK as u64);
            hasher.update(&block[..part as usize]);
            done += part;
        }
        digests.insert(*len, hasher.clone().finalize().into());
    }
    digests
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
        let mut bytes: Vec<u8> = (0..3_000_000u32)
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
