//! RAUC's adaptive method `block-hash-index`, computed: the real one needs device-mapper.
//!
//! ```text
//!  index    32 bytes for every 4 KiB of the image, downloaded whole
//!  blocks   each that is not in the running slot, once; blocks of zeros are free
//!  bundle   a squashfs: whoever reads 4 KiB of it fetches the compressed block around them
//! ```
//!
//! Not counted, in RAUC's favour: rounding to pages and to HTTP ranges, read-ahead, the bundle's own hash tree.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

const BLOCK: usize = 4096;
const HASH: u64 = 32;
/// Block sizes of the squashfs: the least possible, what RAUC's manual advises about, mksquashfs's own.
const BUNDLES: [usize; 4] = [4 << 10, 32 << 10, 64 << 10, 128 << 10];
/// What `mksquashfs -comp zstd` uses.
const LEVEL: i32 = 15;

/// What RAUC would download.
#[derive(Debug, Serialize)]
pub struct Adaptive {
    /// Bytes of the index.
    pub index: u64,
    /// Blocks that the running slot does not have.
    pub missing: u64,
    /// Block size of the bundle, bytes downloaded with it, the index included.
    pub bundles: Vec<(usize, u64)>,
}

impl Adaptive {
    /// With the block size of the bundle that suits this update best.
    pub fn best(&self) -> u64 {
        self.bundles.iter().map(|b| b.1).min().unwrap_or(0)
    }
}

/// Computes.
pub fn adaptive(old: &Path, new: &Path) -> Result<Adaptive> {
    let mut known: HashSet<[u8; 32]> = HashSet::from([Sha256::digest([0; BLOCK]).into()]);
    each(old, BLOCK, |block| {
        known.insert(Sha256::digest(block).into());
        Ok(())
    })?;
    let (mut blocks, mut missing) = (0, Vec::new());
    each(new, BLOCK, |block| {
        // What was fetched once is in the slot that is being written.
        missing.push(known.insert(Sha256::digest(block).into()));
        blocks += 1;
        Ok(())
    })?;
    let index = blocks * HASH;
    let mut bundles = Vec::new();
    for size in BUNDLES {
        let (mut at, mut bytes) = (0, index);
        let mut zstd = zstd::bulk::Compressor::new(LEVEL).context("starting zstd")?;
        each(new, size, |block| {
            let here = &missing[at..at + block.len().div_ceil(BLOCK)];
            at += here.len();
            if here.contains(&true) {
                // squashfs stores what does not get smaller.
                bytes += zstd.compress(block)?.len().min(block.len()) as u64;
            }
            Ok(())
        })?;
        bundles.push((size, bytes));
    }
    Ok(Adaptive {
        index,
        missing: missing.iter().filter(|m| **m).count() as u64,
        bundles,
    })
}

fn each(path: &Path, size: usize, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
    let what = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(what)?;
    let mut block = Vec::with_capacity(size);
    loop {
        block.clear();
        let part = (&mut file).take(size as u64);
        let found = { part }.read_to_end(&mut block).with_context(what)?;
        if found == 0 {
            return Ok(());
        }
        take(&block).with_context(what)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_blocks_count_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let noise = |seed: u8| -> Vec<u8> {
            let bytes = (0..BLOCK / 32).map(|i| Sha256::digest([seed, i as u8, (i >> 8) as u8]));
            bytes.flatten().collect()
        };
        let [a, b, zero] = [noise(1), noise(2), vec![0; BLOCK]];
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::write(&old, &a).unwrap();
        std::fs::write(&new, [&*b, &a, &zero, &b].concat()).unwrap();
        let found = adaptive(&old, &new).unwrap();
        assert_eq!((found.index, found.missing), (4 * 32, 1));
        assert_eq!(found.bundles[0], (4096, 4 * 32 + 4096));
        assert_eq!(found.best(), 4 * 32 + 4096);
    }
}
