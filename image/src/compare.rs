//! Comparing two releases byte by byte, and saying where they differ.
//!
//! Owns: the descent from file to partition to file inside the partition. Never does: call
//! different releases equal because a tool is missing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use roamcore_disk::fat::FatReader;
use roamcore_disk::region::Region;
use roamcore_ota::Release;
use roamcore_pe::uki;

use crate::build::{ROOT_FILES, hash_file};

/// Files of a release directory that say when and how fast it was built.
const NOT_COMPARED: [&str; 1] = ["build-report.json"];

/// Differences in words; empty when the releases are the same.
pub fn releases(a: &Path, b: &Path) -> Result<Vec<String>> {
    let (files_a, files_b) = (digests(a)?, digests(b)?);
    let mut found = Vec::new();
    for name in files_a
        .keys()
        .chain(files_b.keys().filter(|n| !files_a.contains_key(*n)))
    {
        match (files_a.get(name), files_b.get(name)) {
            (Some(x), Some(y)) if x == y => {}
            (Some(_), Some(_)) => found.push(format!("{name} differs")),
            _ => found.push(format!("{name} is in one release only")),
        }
    }
    if found.is_empty() {
        return Ok(found);
    }
    let (left, right) = (manifest(a)?, manifest(b)?);
    if left.disk.raw_size != right.disk.raw_size {
        found.push(format!(
            "the disk images have {} and {} bytes",
            left.disk.raw_size, right.disk.raw_size
        ));
    }
    for part in &left.partitions {
        let other = right.partitions.iter().find(|p| p.name == part.name);
        match other {
            Some(other) if other.sha256 == part.sha256 && other.offset == part.offset => {}
            Some(_) => {
                found.push(format!("region {} differs", part.name));
                if part.name.as_str() == "esp" {
                    found.extend(esp(a, b, part.offset, part.size)?);
                }
            }
            None => found.push(format!("region {} is in one release only", part.name)),
        }
    }
    Ok(found)
}

fn digests(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !NOT_COMPARED.contains(&name.as_str()) {
            found.insert(name, hash_file(&entry.path())?.1.to_string());
        }
    }
    Ok(found)
}

fn manifest(dir: &Path) -> Result<Release> {
    let path = dir.join("release.json");
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Release::parse(&bytes).with_context(|| format!("{}", path.display()))
}

/// Which files of the two ESPs differ.
fn esp(a: &Path, b: &Path, offset: u64, size: u64) -> Result<Vec<String>> {
    let read = |dir: &Path| -> Result<BTreeMap<String, Vec<u8>>> {
        let mut file = tempfile::tempfile().context("creating a temporary file")?;
        let source = File::open(dir.join("disk.img.zst")).context("opening the disk image")?;
        let decoder = zstd::Decoder::new(source).context("decompressing the disk image")?;
        std::io::copy(&mut decoder.take(offset + size), &mut file)
            .context("decompressing the disk image")?;
        let mut reader =
            FatReader::open(Region::new(&mut file, offset, size)?).context("reading an ESP")?;
        let paths: Vec<String> = reader
            .entries()
            .iter()
            .filter(|e| !e.is_dir)
            .map(|e| e.path.clone())
            .collect();
        paths
            .into_iter()
            .map(|path| Ok((path.clone(), reader.read_file(&path, 1 << 30)?)))
            .collect()
    };
    let (left, right) = (read(a)?, read(b)?);
    let names = left
        .keys()
        .chain(right.keys().filter(|n| !left.contains_key(*n)));
    let mut found = Vec::new();
    for name in names.filter(|n| left.get(*n) != right.get(*n)) {
        found.push(format!("ESP file {name} differs"));
        if let (Some(x), Some(y)) = (left.get(name), right.get(name)) {
            found.extend(
                sections(x, y)
                    .into_iter()
                    .map(|s| format!("section {s} of {name} differs")),
            );
        }
    }
    Ok(found)
}

/// Which parts of two UKIs differ; none for what is not a UKI.
fn sections(a: &[u8], b: &[u8]) -> Vec<&'static str> {
    let (Ok(x), Ok(y)) = (uki::read(a), uki::read(b)) else {
        return Vec::new();
    };
    let parts = [
        (".osrel", x.osrel != y.osrel),
        (".cmdline", x.cmdline != y.cmdline),
        (".uname", x.uname != y.uname),
        (".initrd", x.initrd != y.initrd),
        (".linux", x.linux != y.linux),
    ];
    parts
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
}

/// Which files of two roots differ, by the lists that their builds left in their caches.
pub fn roots(cache_a: &Path, cache_b: &Path) -> Result<Vec<String>> {
    let (left, right) = (list(cache_a)?, list(cache_b)?);
    let mut found = Vec::new();
    for (path, (about, content)) in &left {
        match right.get(path) {
            None => found.push(format!("file {path} is in one root only")),
            Some((other_about, other_content)) => {
                if content != other_content {
                    found.push(format!("file {path} differs: {content}, {other_content}"));
                }
                if about != other_about {
                    found.push(format!(
                        "file {path} has other mode, owner or attributes: {about}, {other_about}"
                    ));
                }
            }
        }
    }
    found.extend(
        right
            .keys()
            .filter(|p| !left.contains_key(*p))
            .map(|p| format!("file {p} is in one root only")),
    );
    Ok(found)
}

/// The files of the one root in a cache: path, what is not content, content.
fn list(cache: &Path) -> Result<BTreeMap<String, (String, String)>> {
    let steps = cache.join("steps");
    let mut lists = Vec::new();
    for entry in fs::read_dir(&steps).with_context(|| format!("listing {}", steps.display()))? {
        let path = entry
            .with_context(|| format!("listing {}", steps.display()))?
            .path()
            .join(ROOT_FILES);
        if path.is_file() {
            lists.push(path);
        }
    }
    let [path] = lists.as_slice() else {
        bail!(
            "{} has {} roots, one was expected",
            cache.display(),
            lists.len()
        );
    };
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            match (fields.next(), fields.next(), fields.next()) {
                (Some(path), Some(about), Some(content)) => Ok((path, (about, content))),
                _ => bail!(
                    "{} has the line {line:?}, which is none of ours",
                    path.display()
                ),
            }
        })
        .collect()
}
