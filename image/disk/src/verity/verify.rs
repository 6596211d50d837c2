//! Checks data against a tree and a root hash, top down.
//!
//! A level is looked at only after every block of the level above matched. The answer is about the moment of reading:
//! the blocks are read again below, so this guards against rot and mix-ups, not against a concurrent writer.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sha2::Sha256;

use super::levels::Levels;
use super::{
    BLOCK, DIGEST, FANOUT, MAX_THREADS, RootHash, Superblock, UNIT_BLOCKS, VerityError, digest,
    salted,
};
use crate::region::ReadAt;

/// Checks every block of `tree` and of the data it covers, on all cores.
///
/// # Errors
/// The first block that is wrong (tree before data, then by number), or the failure that kept us from knowing.
pub fn verify<D, T>(data: &D, tree: &T, root_hash: &RootHash) -> Result<(), VerityError>
where
    D: ReadAt + Sync + ?Sized,
    T: ReadAt + Sync + ?Sized,
{
    let (levels, hasher) = check_top_down(Some(data), tree, root_hash)?;
    if levels.levels.is_empty() {
        Ok(())
    } else {
        check_data(data, tree, &levels, &hasher)
    }
}

/// Checks every block of `tree` without its data: what it says of the data is then what the root hash says.
///
/// A tree over one data block has no blocks; nothing is known about that data.
///
/// # Errors
/// The first block that is wrong, or the failure that kept us from knowing.
pub fn verify_tree<T: ReadAt + ?Sized>(tree: &T, root_hash: &RootHash) -> Result<(), VerityError> {
    check_top_down(None::<&[u8]>, tree, root_hash).map(drop)
}

/// The tree, from the root hash down; `data` only for a tree over one block of it.
fn check_top_down<D, T>(
    data: Option<&D>,
    tree: &T,
    root_hash: &RootHash,
) -> Result<(Levels, Sha256), VerityError>
where
    D: ReadAt + ?Sized,
    T: ReadAt + ?Sized,
{
    let mut block = vec![0; BLOCK];
    fetch(tree, "the tree", 0, &mut block)?;
    let superblock = Superblock::parse(&block)?;
    let levels = Levels::of_len(superblock.data_blocks * BLOCK as u64)?;
    let hasher = salted(&superblock.salt);

    match (levels.levels.is_empty(), data) {
        (true, None) => return Ok((levels, hasher)),
        (true, Some(data)) => fetch(data, "data", 0, &mut block)?,
        (false, _) => fetch(tree, "the tree", BLOCK as u64, &mut block)?,
    }
    let found = RootHash::from_bytes(digest(&hasher, &block));
    if found != *root_hash {
        return Err(VerityError::Root {
            expected: *root_hash,
            found,
        });
    }
    for level in (0..levels.levels.len().saturating_sub(1)).rev() {
        check_level(tree, &levels, level, &hasher)?;
    }
    Ok((levels, hasher))
}

/// Every block of `level` against the digests in the level above.
fn check_level<T: ReadAt + ?Sized>(
    tree: &T,
    levels: &Levels,
    level: usize,
    hasher: &Sha256,
) -> Result<(), VerityError> {
    let (mut above, mut block) = (vec![0; BLOCK], vec![0; BLOCK]);
    for number in 0..levels.levels[level].1 {
        let slot = (number % FANOUT as u64) as usize;
        if slot == 0 {
            fetch(
                tree,
                "the tree",
                levels.offset(level + 1, number / FANOUT as u64),
                &mut above,
            )?;
        }
        let offset = levels.offset(level, number);
        fetch(tree, "the tree", offset, &mut block)?;
        if above[slot * DIGEST..(slot + 1) * DIGEST] != digest(hasher, &block) {
            return Err(VerityError::TreeBlock {
                level,
                block: number,
                offset,
            });
        }
    }
    Ok(())
}

fn check_data<D, T>(data: &D, tree: &T, levels: &Levels, hasher: &Sha256) -> Result<(), VerityError>
where
    D: ReadAt + Sync + ?Sized,
    T: ReadAt + Sync + ?Sized,
{
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MAX_THREADS);
    let next = AtomicU64::new(0);
    // The unit number orders the findings: the lowest wins, whichever worker was faster.
    let worst = Mutex::new(None::<(u64, VerityError)>);
    let limit = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buf = vec![0; UNIT_BLOCKS * BLOCK];
                let mut hashes = vec![0; UNIT_BLOCKS * DIGEST];
                loop {
                    let unit = next.fetch_add(1, Ordering::Relaxed);
                    if unit >= limit.load(Ordering::Relaxed)
                        || unit * UNIT_BLOCKS as u64 >= levels.data_blocks
                    {
                        return;
                    }
                    if let Err(error) =
                        check_unit(data, tree, levels, hasher, unit, &mut buf, &mut hashes)
                    {
                        limit.fetch_min(unit, Ordering::Relaxed);
                        let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                        if worst.as_ref().is_none_or(|(other, _)| unit < *other) {
                            *worst = Some((unit, error));
                        }
                        return;
                    }
                }
            });
        }
    });
    match worst.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

fn check_unit<D: ReadAt + ?Sized, T: ReadAt + ?Sized>(
    data: &D,
    tree: &T,
    levels: &Levels,
    hasher: &Sha256,
    unit: u64,
    buf: &mut [u8],
    hashes: &mut [u8],
) -> Result<(), VerityError> {
    let first = unit * UNIT_BLOCKS as u64;
    let blocks = (levels.data_blocks - first).min(UNIT_BLOCKS as u64) as usize;
    let (buf, hashes) = (&mut buf[..blocks * BLOCK], &mut hashes[..blocks * DIGEST]);
    fetch(
        tree,
        "the tree",
        levels.offset(0, 0) + first * DIGEST as u64,
        hashes,
    )?;
    fetch(data, "data", first * BLOCK as u64, buf)?;
    for ((block, hash), number) in buf
        .chunks_exact(BLOCK)
        .zip(hashes.chunks_exact(DIGEST))
        .zip(first..)
    {
        if digest(hasher, block) != *hash {
            return Err(VerityError::DataBlock {
                block: number,
                offset: number * BLOCK as u64,
            });
        }
    }
    Ok(())
}

fn fetch<R: ReadAt + ?Sized>(
    from: &R,
    what: &'static str,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), VerityError> {
    from.read_exact_at(buf, offset)
        .map_err(|source| VerityError::Io {
            action: "reading",
            what,
            offset,
            source,
        })
}
