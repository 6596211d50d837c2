//! What a build leaves: its report, its root filesystem, and what a change may touch.
//!
//! Owns: finding and reading. Never does: write.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The parts of build-report.json that are used here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildReport {
    /// Steps in their order.
    pub steps: Vec<Step>,
    /// Sizes.
    pub bytes: Bytes,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub milliseconds: u64,
    /// True when nothing had to be done.
    pub cached: bool,
}

/// Sizes of what was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bytes {
    /// The root filesystem.
    pub root: u64,
    /// Its hash tree.
    pub verity: u64,
    /// The compressed initrd.
    pub initrd: u64,
    /// The initrd before compression.
    pub initrd_unpacked: u64,
    /// The signed UKI.
    pub uki: u64,
    /// The disk image before compression.
    pub disk_raw: u64,
    /// disk.img.zst.
    pub disk_compressed: u64,
}

/// The root filesystem that was made last with this cache.
pub fn newest_root(cache: &Path) -> Result<Option<PathBuf>> {
    let steps = cache.join("steps");
    let mut found = Vec::new();
    if steps.is_dir() {
        for entry in fs::read_dir(&steps).with_context(|| format!("reading {}", steps.display()))? {
            let file = entry
                .context("reading the cache")?
                .path()
                .join("root.erofs");
            if let Ok(facts) = fs::metadata(&file) {
                found.push((facts.modified().context("reading a file's time")?, file));
            }
        }
    }
    Ok(found.into_iter().max().map(|(_, file)| file))
}

/// The first configuration file below `dir`: a comment line does not change its meaning.
pub fn first_conf(dir: &Path) -> Result<Option<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut paths = read
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("reading {}", dir.display()))?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if let Some(found) = first_conf(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|e| e == "conf") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
