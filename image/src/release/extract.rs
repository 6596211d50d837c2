//! Regions of a compressed disk image as files, taken out while it is verified.
//!
//! Owns: the one pass over the image. Invariant: what was taken out is returned only when every
//! byte of the image matched its signed hash.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_ota::VerifiedRelease;

use super::file_at::FileAt;
use crate::events::Events;

/// Zeros are left out in units of this: the ESP and hash trees are mostly empty.
const BLOCK: usize = 4096;

/// A region that is wanted.
struct Wanted {
    start: u64,
    end: u64,
    out: FileAt,
}

impl Wanted {
    /// Writes what of `bytes`, which lie at `at` of the image, is in the region.
    fn take(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        let (from, to) = (self.start.max(at), self.end.min(end));
        if from >= to {
            return Ok(());
        }
        let inside = &bytes[(from - at) as usize..(to - at) as usize];
        for (index, block) in inside.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                let offset = from - self.start + (index * BLOCK) as u64;
                self.out.file().write_all_at(block, offset)?;
            }
        }
        Ok(())
    }
}

/// Passes a stream on and keeps the wanted regions.
struct Tee<'a, R> {
    inner: R,
    at: u64,
    of: u64,
    wanted: &'a [Wanted],
    events: &'a Events,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        for wanted in self.wanted {
            wanted.take(self.at, &buf[..count])?;
        }
        self.at += count as u64;
        self.events.progress("extract", self.at, self.of);
        Ok(count)
    }
}

/// Verifies the disk image of a release and gives the named regions as files in `dir`.
pub fn extract<const N: usize>(
    release: &VerifiedRelease,
    image: &Path,
    names: [&str; N],
    dir: &Path,
    events: &Events,
) -> Result<[FileAt; N]> {
    let mut wanted = Vec::new();
    for name in names {
        let mut regions = release.release().partitions.iter();
        let region = regions
            .find(|region| region.name.as_str() == name)
            .with_context(|| format!("the release has no region {name}: is it an A/B image?"))?;
        wanted.push(Wanted {
            start: region.offset,
            end: region.offset + region.size,
            out: FileAt::create(&dir.join(name), region.size)?,
        });
    }
    let file = File::open(image).with_context(|| format!("opening {}", image.display()))?;
    let decoder =
        zstd::Decoder::new(file).with_context(|| format!("decompressing {}", image.display()))?;
    let tee = Tee {
        inner: decoder,
        at: 0,
        of: release.release().disk.raw_size,
        wanted: &wanted,
        events,
    };
    release
        .check_partitions(tee)
        .with_context(|| format!("{} is refused", image.display()))?;
    let files: Vec<FileAt> = wanted.into_iter().map(|wanted| wanted.out).collect();
    files
        .try_into()
        .map_err(|_| anyhow::anyhow!("a region was lost"))
}
