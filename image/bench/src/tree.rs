//! One hash tree by the library, as a process of its own.
//!
//! Invariant: reads and writes as the builder does: the data by offset, the tree as a plain file.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_disk::gpt::Guid;
use roamcore_disk::verity;

/// Salt for both sides; any value serves, its length is that of veritysetup's own.
pub const SALT: [u8; 32] = [0xA5; 32];
/// Every byte of the tree's UUID, for both sides. Equal bytes, because a GUID's text is in another
/// order than its bytes.
pub const UUID_BYTE: u8 = 0x11;

/// Builds the tree and prints the root hash.
pub fn build(data: &Path, tree: &Path, threads: usize) -> Result<()> {
    let file = File::open(data).with_context(|| format!("opening {}", data.display()))?;
    let len = file.metadata().context("looking at the data")?.len();
    let mut out = File::create(tree).with_context(|| format!("creating {}", tree.display()))?;
    let uuid = Guid::from_bytes([UUID_BYTE; 16]);
    let root = verity::build(&file, len, &SALT, uuid, &mut out, threads)
        .with_context(|| format!("hashing {}", data.display()))?;
    println!("{root}");
    Ok(())
}
