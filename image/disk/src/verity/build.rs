//! Builds a tree in one pass over the data.
//!
//! Workers take units of 256 data blocks from a counter, hash them, and hash the two level 0 blocks that result. The
//! caller's thread alone writes: level 0 as it arrives, the levels above at the end. A bounded channel keeps a slow
//! writer from piling up finished units.

use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sha2::Sha256;

use super::levels::Levels;
use super::{
    BLOCK, DIGEST, FANOUT, MAX_THREADS, RootHash, Superblock, UNIT_BLOCKS, VerityError, digest,
    salted,
};
use crate::gpt::Guid;
use crate::region::ReadAt;

/// A unit's level 0 blocks and their digests.
struct Unit {
    number: u64,
    level0: Vec<u8>,
    digests: Vec<u8>,
}

/// Hashes `data_len` bytes of `data` and writes superblock and tree to `out`, starting at its offset 0.
///
/// # Errors
/// Length or salt refused, reading or writing failed. On error `out` holds an unusable part of a tree.
pub fn build<R: ReadAt + Sync + ?Sized, W: Write + Seek>(
    data: &R,
    data_len: u64,
    salt: &[u8],
    uuid: Guid,
    out: &mut W,
    threads: usize,
) -> Result<RootHash, VerityError> {
    let levels = Levels::of_len(data_len)?;
    let superblock = Superblock {
        uuid,
        data_blocks: levels.data_blocks,
        salt: salt.to_vec(),
    };
    put(out, 0, &superblock.encode()?)?;
    let hasher = salted(salt);
    if levels.levels.is_empty() {
        let mut block = vec![0; BLOCK];
        fetch(data, 0, &mut block)?;
        return Ok(RootHash::from_bytes(digest(&hasher, &block)));
    }

    let mut digests = level0(data, &levels, &hasher, out, threads.clamp(1, MAX_THREADS))?;
    for level in 1..levels.levels.len() {
        digests.resize(digests.len().next_multiple_of(BLOCK), 0);
        put(out, levels.offset(level, 0), &digests)?;
        digests = digests
            .chunks_exact(BLOCK)
            .flat_map(|block| digest(&hasher, block))
            .collect();
    }
    let mut root = [0; DIGEST];
    root.copy_from_slice(&digests[..DIGEST]);
    Ok(RootHash::from_bytes(root))
}

/// Writes level 0; gives the digests of its blocks.
fn level0<R: ReadAt + Sync + ?Sized, W: Write + Seek>(
    data: &R,
    levels: &Levels,
    hasher: &Sha256,
    out: &mut W,
    threads: usize,
) -> Result<Vec<u8>, VerityError> {
    let units = levels.data_blocks.div_ceil(UNIT_BLOCKS as u64);
    let mut digests = vec![0; (levels.levels[0].1 as usize) * DIGEST];
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (send, receive) = sync_channel(2 * threads);
        for _ in 0..threads {
            let (send, next, stop) = (send.clone(), &next, &stop);
            scope.spawn(move || work(data, levels.data_blocks, hasher, next, stop, &send));
        }
        drop(send);
        let mut done = 0;
        // Dropping the receiver on an error makes every worker's next send fail, which ends it.
        for unit in receive {
            let unit = unit.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            let first = unit.number * (UNIT_BLOCKS / FANOUT) as u64;
            put(out, levels.offset(0, first), &unit.level0)?;
            let at = first as usize * DIGEST;
            digests[at..at + unit.digests.len()].copy_from_slice(&unit.digests);
            done += 1;
        }
        if done == units {
            Ok(())
        } else {
            Err(VerityError::Worker)
        }
    })?;
    Ok(digests)
}

fn work<R: ReadAt + ?Sized>(
    data: &R,
    data_blocks: u64,
    hasher: &Sha256,
    next: &AtomicU64,
    stop: &AtomicBool,
    send: &SyncSender<Result<Unit, VerityError>>,
) {
    let mut buf = vec![0; UNIT_BLOCKS * BLOCK];
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let first = number * UNIT_BLOCKS as u64;
        if first >= data_blocks {
            return;
        }
        let blocks = (data_blocks - first).min(UNIT_BLOCKS as u64) as usize;
        let bytes = &mut buf[..blocks * BLOCK];
        let unit = fetch(data, first * BLOCK as u64, bytes).map(|()| {
            let mut level0 = Vec::with_capacity(UNIT_BLOCKS * DIGEST);
            for block in bytes.chunks_exact(BLOCK) {
                level0.extend_from_slice(&digest(hasher, block));
            }
            level0.resize(level0.len().next_multiple_of(BLOCK), 0);
            let digests = level0
                .chunks_exact(BLOCK)
                .flat_map(|block| digest(hasher, block))
                .collect();
            Unit {
                number,
                level0,
                digests,
            }
        });
        if send.send(unit).is_err() {
            return;
        }
    }
}

fn fetch<R: ReadAt + ?Sized>(data: &R, offset: u64, buf: &mut [u8]) -> Result<(), VerityError> {
    data.read_exact_at(buf, offset)
        .map_err(|source| VerityError::Io {
            action: "reading",
            what: "data",
            offset,
            source,
        })
}

fn put<W: Write + Seek>(out: &mut W, offset: u64, bytes: &[u8]) -> Result<(), VerityError> {
    out.seek(SeekFrom::Start(offset))
        .and_then(|_| out.write_all(bytes))
        .map_err(|source| VerityError::Io {
            action: "writing",
            what: "the tree",
            offset,
            source,
        })
}
