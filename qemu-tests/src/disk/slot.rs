//! Puts a release into slot B of a powered-off machine, as an update would: data, hash tree, then the PARTUUIDs.
//!
//! Never touches slot A, nor the ESP: boot files and entries are the scenario's.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use roamcore_disk::gpt::Gpt;

use super::{Overlay, gpt};
use crate::error::{Error, Result, file};
use crate::release::Release;

/// Both ends of a disk that hold its partition table, generously.
const ENDS: u64 = 1 << 20;

/// Makes slot B hold `release`.
pub fn install_b(disk: &mut Overlay, release: &Release) -> Result<()> {
    for (label, range) in [("root-b", release.root), ("verity-b", release.verity)] {
        let target = gpt::named(disk, label)?;
        let piece = cut(release, range)?;
        disk.insert(target.offset, piece.path())?;
    }
    let (root, verity) = release.root_hash.partuuids();
    let bad = |why: String| Error::Format {
        what: "partition table".into(),
        reason: why,
    };
    let size = disk.size()?;
    let whole = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
    for offset in [0, size - ENDS] {
        let end = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
        disk.extract(offset, ENDS, end.path())?;
        let bytes = std::fs::read(end.path()).map_err(file("read", end.path()))?;
        let mut target = whole.as_file();
        target
            .seek(SeekFrom::Start(offset))
            .and_then(|_| target.write_all(&bytes))
            .map_err(file("write", whole.path()))?;
    }
    let mut table = Gpt::read_from(&mut whole.as_file(), size)
        .map_err(|e| bad(e.to_string()))?
        .gpt;
    for (label, guid) in [("root-b", root), ("verity-b", verity)] {
        let found = table.partitions.iter_mut().find(|p| p.name == label);
        found.ok_or_else(|| bad(format!("no {label}")))?.part_guid = guid;
    }
    let encoded = table.encode().map_err(|e| bad(e.to_string()))?;
    disk.edit_bytes(0, &encoded.head)?;
    disk.edit_bytes(encoded.tail_offset, &encoded.tail)
}

/// The release's root as a file.
pub fn root_of(release: &Release) -> Result<tempfile::NamedTempFile> {
    cut(release, release.root)
}

/// A stretch of the release's disk as a file.
fn cut(release: &Release, (offset, length): (u64, u64)) -> Result<tempfile::NamedTempFile> {
    let mut source = File::open(&release.raw).map_err(file("open", &release.raw))?;
    source
        .seek(SeekFrom::Start(offset))
        .map_err(file("seek in", &release.raw))?;
    let piece = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
    std::io::copy(&mut source.take(length), &mut piece.as_file())
        .map_err(file("write", piece.path()))?;
    Ok(piece)
}
