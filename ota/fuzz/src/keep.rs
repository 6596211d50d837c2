//! The committed corpus: as few and as small inputs as give the coverage that was found.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_fuzz::{TARGETS, Target};

use crate::Places;
use crate::campaign::{driver, make, write_seeds};

/// Of one target: all of them together stay far below what a clone notices.
const MOST_BYTES: u64 = 24 << 10;
/// Inputs added to one target at a time: a spread over the sizes, since small inputs alone do not reach far.
const MOST_INPUTS: usize = 64;

/// Adds from found inputs and seeds to the corpus of every target. What is there stays.
pub fn run(places: &Places) -> Result<()> {
    for target in TARGETS {
        one(places, target)?;
    }
    Ok(())
}

fn one(places: &Places, target: &Target) -> Result<()> {
    let corpus = places.corpus.join(target.name);
    let seeds = places.found.join("seeds").join(target.name);
    let found = places.found.join(target.name);
    make(&corpus)?;
    make(&found)?;
    write_seeds(target, &seeds)?;
    let merged = tempfile::tempdir().context("making a directory")?;
    // The first directory receives what the others add to it; of two inputs that do the same, the smaller one.
    let output = driver(places, target)
        .args(["-merge=1", &format!("-max_len={}", target.longest)])
        .arg(merged.path())
        .args([&corpus, &seeds, &found])
        .output()
        .with_context(|| format!("starting {}", places.driver.display()))?;
    if !output.status.success() {
        bail!(
            "{}: merging failed:\n{}",
            target.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut total: u64 = sizes(&corpus)?.iter().map(|(size, _)| size).sum();
    // Seeds first, so that a test finds accepted inputs.
    let merged = sizes(merged.path())?;
    let step = merged.len().div_ceil(MOST_INPUTS).max(1);
    let spread = merged.into_iter().step_by(step);
    for (size, path) in sizes(&seeds)?.into_iter().chain(spread) {
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let place = corpus.join(roamcore_fuzz::name_of(&bytes));
        if total + size <= MOST_BYTES && !place.exists() {
            fs::write(&place, bytes).with_context(|| format!("writing {}", place.display()))?;
            total += size;
        }
    }
    let count = sizes(&corpus)?.len();
    println!("{:18} {count:>4} inputs, {total} bytes", target.name);
    Ok(())
}

/// Files of a directory, smallest first.
fn sizes(directory: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for file in fs::read_dir(directory)? {
        let file = file?;
        files.push((file.metadata()?.len(), file.path()));
    }
    files.sort();
    Ok(files)
}
