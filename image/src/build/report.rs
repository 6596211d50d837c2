//! The build report: times, sizes, largest packages.
//!
//! Owns: measuring. It is not part of the release: times differ from run to run.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use super::disk::Composed;
use super::root::Root;
use crate::cache::write_atomically;
use crate::events::{Event, Events};

/// Name of the report in the release directory.
pub const NAME: &str = "build-report.json";

#[derive(Debug, Serialize)]
struct Step {
    name: String,
    milliseconds: u64,
    cached: bool,
}

#[derive(Debug, Serialize)]
struct Sizes {
    root: u64,
    verity: u64,
    initrd: u64,
    initrd_unpacked: u64,
    uki: u64,
    disk_raw: u64,
    disk_compressed: u64,
}

#[derive(Debug, Serialize)]
struct Package<'a> {
    name: &'a str,
    kib: u64,
}

/// A report being gathered.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    steps: Vec<Step>,
}

impl Report {
    /// Starts the clock.
    pub fn new() -> Report {
        Report {
            started: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Runs one step, telling and timing it. The step says whether its result came from the cache.
    pub fn time<T>(
        &mut self,
        events: &Events,
        name: &str,
        detail: &str,
        work: impl FnOnce() -> Result<(T, bool)>,
    ) -> Result<T> {
        events.emit(&Event::Step { name, detail });
        let started = Instant::now();
        let (value, cached) = work()?;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        events.emit(&Event::Done {
            name,
            cached,
            milliseconds,
        });
        self.steps.push(Step {
            name: name.to_owned(),
            milliseconds,
            cached,
        });
        Ok(value)
    }

    /// Writes the report beside the release.
    pub fn write(self, dir: &Path, root: &Root, composed: &Composed, uki: u64) -> Result<()> {
        #[derive(Serialize)]
        struct Whole<'a> {
            format: u32,
            milliseconds: u64,
            steps: &'a [Step],
            bytes: Sizes,
            largest_packages: Vec<Package<'a>>,
        }
        let size = |path: &Path| -> Result<u64> {
            Ok(std::fs::metadata(path)
                .with_context(|| format!("looking at {}", path.display()))?
                .len())
        };
        let whole = Whole {
            format: 1,
            milliseconds: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            steps: &self.steps,
            bytes: Sizes {
                root: size(&root.image())?,
                verity: size(&root.tree())?,
                initrd: size(&root.initrd())?,
                initrd_unpacked: root.facts.initrd_unpacked,
                uki,
                disk_raw: composed.size,
                disk_compressed: size(&dir.join(super::outputs::DISK))?,
            },
            largest_packages: root
                .facts
                .largest_packages
                .iter()
                .map(|(name, kib)| Package { name, kib: *kib })
                .collect(),
        };
        write_atomically(&dir.join(NAME), &serde_json::to_vec_pretty(&whole)?)
    }
}
