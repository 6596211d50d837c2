//! What an update says of a root, found out from the image's own bytes.
//!
//! Owns: comparing root, hash tree and UKI with each other, as a device will once more. Never
//! does: take a value from the manifest where the bytes tell it.

use std::io::{Seek, SeekFrom, Write};

use anyhow::{Context, Result, ensure};
use roamcore_delta::ReadAt as _;
use roamcore_disk::fat::FatReader;
use roamcore_disk::gpt::Guid;
use roamcore_disk::verity::{self, Superblock};
use roamcore_ota::{
    Digest, Extra, MAX_UKI_BYTES, RootImage, Salt, Uuid, VERITY_BLOCK, VerityParams,
};
use roamcore_pe::uki;

use super::file_at::FileAt;
use crate::build::UKI_A;

/// The root of an image: its hash tree is made anew and must have the root hash that was signed.
pub fn root(
    root: &FileAt,
    sha256: Digest,
    tree: &FileAt,
    signed: Digest,
    threads: usize,
) -> Result<RootImage> {
    let mut block = [0; 512];
    tree.read_exact_at(&mut block, 0)
        .context("reading the hash tree's superblock")?;
    let superblock = Superblock::parse(&block).context("the hash tree's superblock")?;
    let size = superblock.data_blocks * u64::from(VERITY_BLOCK);
    ensure!(
        size == root.size(),
        "the hash tree covers {size} bytes, the root has {}",
        root.size()
    );
    let found = root_hash(root, &superblock.salt, superblock.uuid, threads)?;
    ensure!(
        found == signed,
        "the root has root hash {found}, the release says {signed}"
    );
    Ok(RootImage {
        size,
        sha256,
        root_hash: found,
        verity: VerityParams {
            salt: Salt::try_from(superblock.salt)?,
            uuid: Uuid::from(*superblock.uuid.as_bytes()),
            data_block_size: VERITY_BLOCK,
            hash_block_size: VERITY_BLOCK,
            extra: Extra::new(),
        },
        extra: Extra::new(),
    })
}

/// The root hash of these bytes.
pub fn root_hash(root: &FileAt, salt: &[u8], uuid: Guid, threads: usize) -> Result<Digest> {
    let mut nowhere = Nowhere { at: 0, end: 0 };
    let hash = verity::build(root.file(), root.size(), salt, uuid, &mut nowhere, threads)
        .context("hashing the root")?;
    Ok(Digest::from(*hash.as_bytes()))
}

/// The UKI of the image's slot A, which must name the root it is for.
pub fn uki(esp: &FileAt, root_hash: Digest) -> Result<Vec<u8>> {
    let mut reader = FatReader::open(esp.file()).context("reading the ESP")?;
    let uki = reader
        .read_file(UKI_A, MAX_UKI_BYTES)
        .context("reading the UKI from the ESP")?;
    let view = uki::read(&uki).context("the UKI on the ESP")?;
    let cmdline = String::from_utf8_lossy(view.cmdline);
    let says = cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix("roothash="));
    ensure!(
        says == Some(&root_hash.to_string()),
        "the UKI says roothash={says:?}, but the root has {root_hash}"
    );
    Ok(uki)
}

/// Takes a hash tree that nobody wants to keep.
struct Nowhere {
    at: u64,
    end: u64,
}

impl Write for Nowhere {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.at += buf.len() as u64;
        self.end = self.end.max(self.at);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Nowhere {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
