//! Unpacks `disk.img.zst` once and keeps it by its SHA-256.
//!
//! Owns the cache directory. Invariant: a file there with its final name is complete; it was written under a temporary name
//! and renamed. Zero blocks become holes, so an unpacked image costs what it holds. The newest [`KEPT`] are kept; a run works
//! with names of its own for them, so that another run that makes room takes nothing away from it.

use std::fs::File;
use std::io::ErrorKind::NotFound;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use roamcore_scratch::{self as scratch, Scratch};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, file};

/// Unpacked images that stay. Two appliances with one build to compare to; more only fills developers' disks.
const KEPT: usize = 4;

/// How directories with what is not unpacked wholly begin.
const UNFINISHED: &str = ".unpacking-";

/// Granularity of holes: a multiple of every file system's block.
const BLOCK: usize = 64 * 1024;

/// Where unpacked images are kept.
pub fn cache_directory() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("/var/tmp"))
        .join("roamcore/qemu-tests")
}

/// The unpacked form of `packed`, by a name in `own`; taken from `cache`, which is on the same file system.
pub fn unpacked(packed: &Path, cache: &Path, own: &Path) -> Result<PathBuf> {
    let name = format!("{}.raw", digest(packed)?);
    let (kept, link) = (cache.join(&name), own.join(&name));
    // Twice, because another run may make room just now.
    for last in [false, true] {
        if !link.exists() {
            if !kept.exists() {
                unpack_to(packed, &kept)?;
                prune(cache, &kept)?;
            }
            match std::fs::hard_link(&kept, &link) {
                Err(e) if e.kind() == NotFound && !last => continue,
                linked => linked.map_err(file("link", &kept))?,
            }
        }
        break;
    }
    // Absolute, because qcow2 resolves its backing file from its own directory.
    std::fs::canonicalize(&link).map_err(file("resolve", &link))
}

/// Unpacks `packed` to `raw`, which appears when it is complete.
pub fn unpack_to(packed: &Path, raw: &Path) -> Result<()> {
    let directory = raw.parent().unwrap_or(raw);
    std::fs::create_dir_all(directory).map_err(file("create", directory))?;
    // What a killed run was unpacking is gigabytes.
    scratch::tidy(directory, UNFINISHED)?;
    let work = Scratch::create(directory, UNFINISHED)?;
    let unfinished = work.path().join("raw");
    let to = File::create_new(&unfinished).map_err(file("create", &unfinished))?;
    unpack(packed, &to)?;
    std::fs::rename(&unfinished, raw).map_err(file("rename to", raw))?;
    Ok(work.close()?)
}

fn digest(path: &Path) -> Result<String> {
    let mut source = File::open(path).map_err(file("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        match source.read(&mut buffer).map_err(file("read", path))? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn unpack(packed: &Path, mut raw: &File) -> Result<()> {
    let source = File::open(packed).map_err(file("open", packed))?;
    let mut decoder = zstd::Decoder::new(BufReader::with_capacity(1 << 20, source))
        .map_err(file("unpack", packed))?;
    let mut block = Vec::with_capacity(BLOCK);
    let mut length = 0u64;
    loop {
        block.clear();
        decoder
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut block)
            .map_err(file("unpack", packed))?;
        if block.is_empty() {
            break;
        }
        length += block.len() as u64;
        match block.iter().all(|&byte| byte == 0) {
            true => raw.seek(SeekFrom::Start(length)).map(drop),
            false => raw.write_all(&block),
        }
        .map_err(file("write what is unpacked from", packed))?;
    }
    raw.set_len(length)
        .map_err(file("size what is unpacked from", packed))?;
    match length {
        0 => Err(Error::Format {
            what: packed.display().to_string(),
            reason: "holds no bytes".into(),
        }),
        _ => Ok(()),
    }
}

/// Removes all but the newest images; `keep` always stays.
fn prune(cache: &Path, keep: &Path) -> Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cache).map_err(file("list", cache))? {
        let entry = entry.map_err(file("list", cache))?;
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "raw") && path != keep {
            match entry.metadata().and_then(|m| m.modified()) {
                Ok(made) => found.push((made, path)),
                // Another run makes room as well.
                Err(e) if e.kind() == NotFound => {}
                Err(e) => return Err(file("look at", &path)(e)),
            }
        }
    }
    found.sort();
    for (_, old) in found.iter().rev().skip(KEPT - 1) {
        match std::fs::remove_file(old) {
            Err(e) if e.kind() != NotFound => return Err(file("remove", old)(e)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_a_killed_run_was_unpacking_goes_with_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let packed = dir.path().join("disk.img.zst");
        std::fs::write(&packed, zstd::encode_all(&[1, 2, 3][..], 3).unwrap()).unwrap();
        let cache = dir.path().join("cache");
        std::fs::create_dir(&cache).unwrap();
        let killed = Scratch::create(&cache, UNFINISHED).unwrap().keep();
        let other = Scratch::create(&cache, UNFINISHED).unwrap();
        let raw = unpacked(&packed, &cache, dir.path()).unwrap();
        assert_eq!(std::fs::read(raw).unwrap(), [1, 2, 3]);
        assert!(!killed.exists());
        assert!(other.path().exists(), "another run is still at it");
        other.close().unwrap();
        let left: Vec<_> = std::fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().starts_with(UNFINISHED))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn unpacks_once_with_holes_and_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = vec![0u8; 8 << 20];
        image[5_000_000] = 7;
        let packed = dir.path().join("disk.img.zst");
        std::fs::write(&packed, zstd::encode_all(image.as_slice(), 3).unwrap()).unwrap();
        let cache = dir.path().join("cache");
        let raw = unpacked(&packed, &cache, dir.path()).unwrap();
        assert!(std::fs::read(&raw).unwrap() == image);
        let before = std::fs::metadata(&raw).unwrap();
        assert!(
            before.blocks() * 512 <= BLOCK as u64 * 2,
            "{} blocks",
            before.blocks()
        );
        assert_eq!(unpacked(&packed, &cache, dir.path()).unwrap(), raw);
        assert_eq!(std::fs::metadata(&raw).unwrap().ino(), before.ino());
        // Somebody else makes room: ours stays.
        std::fs::remove_dir_all(&cache).unwrap();
        assert_eq!(unpacked(&packed, &cache, dir.path()).unwrap(), raw);
        assert!(std::fs::read(&raw).unwrap() == image);
    }

    #[test]
    fn torn_image_leaves_nothing_under_a_final_name() {
        let dir = tempfile::tempdir().unwrap();
        let packed = dir.path().join("disk.img.zst");
        let whole = zstd::encode_all(vec![9u8; 1 << 20].as_slice(), 3).unwrap();
        std::fs::write(&packed, &whole[..whole.len() - 4]).unwrap();
        assert!(unpacked(&packed, dir.path(), dir.path()).is_err());
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1);
    }
}
