//! Cold and warm builds, by step.
//!
//! Invariant: the cold build begins with nothing but packages; no warm build is preceded by
//! anything but a build of the same sources, changed at most in one line.

use std::fmt;

use anyhow::Result;
use roamcore_image::lock::Set;
use serde::Serialize;

use crate::built::{BuildReport, Bytes};
use crate::stats::{Sample, Samples};
use crate::workshop::{APPLIANCE, Downloads, Workshop};

/// Runs of each warm build.
const RUNS: usize = 3;

/// Everything measured here.
#[derive(Debug, Serialize)]
pub struct Figures {
    appliance: &'static str,
    image_packages: usize,
    tool_packages: usize,
    downloads: Downloads,
    cold: Kind,
    unchanged: Kind,
    /// After one line was added to one file of an overlay.
    pub changed: Kind,
    bytes: Bytes,
}

/// One kind of build.
#[derive(Debug, Default, Serialize)]
pub struct Kind {
    /// The whole process, from start to end.
    pub whole: Samples,
    /// Its steps, in order.
    steps: Vec<Timed>,
}

#[derive(Debug, Serialize)]
struct Timed {
    name: String,
    cached: bool,
    samples: Samples,
}

/// Measures.
pub fn measure(workshop: &mut Workshop, quick: bool) -> Result<Figures> {
    let pool = workshop.cache().root().join("pool");
    let ready = workshop.ready()?;
    let runs = if quick { 1 } else { RUNS };
    ready.empty_cache(&pool)?;
    let (mut cold, mut unchanged, mut changed) =
        (Kind::default(), Kind::default(), Kind::default());
    let (sample, report) = ready.build()?;
    cold.add(sample, &report);
    let bytes = report.bytes;
    for _ in 0..runs {
        let (sample, report) = ready.build()?;
        unchanged.add(sample, &report);
    }
    for _ in 0..runs {
        ready.change_overlay()?;
        let (sample, report) = ready.build()?;
        changed.add(sample, &report);
    }
    Ok(Figures {
        appliance: APPLIANCE,
        image_packages: ready.lock.packages(Set::Image).len(),
        tool_packages: ready.lock.packages(Set::Tools).len(),
        downloads: ready.downloads.clone(),
        cold,
        unchanged,
        changed,
        bytes,
    })
}

impl Kind {
    fn add(&mut self, sample: Sample, report: &BuildReport) {
        self.whole.push(sample);
        for step in merged(report) {
            match self.steps.iter_mut().find(|t| t.name == step.0) {
                Some(timed) => {
                    timed.cached &= step.2;
                    timed.samples.push_ms(step.1);
                }
                None => {
                    let mut samples = Samples::default();
                    samples.push_ms(step.1);
                    self.steps.push(Timed {
                        name: step.0,
                        cached: step.2,
                        samples,
                    });
                }
            }
        }
    }

    fn step(&self, name: &str) -> String {
        let Some(timed) = self.steps.iter().find(|t| t.name == name) else {
            return "-".to_owned();
        };
        let seconds = timed.samples.median().unwrap_or(0.0);
        let cached = if timed.cached { "cached " } else { "" };
        format!("{cached}{seconds:.3}")
    }
}

/// Steps with one name (two package sets) as one: name, milliseconds, from the cache.
fn merged(report: &BuildReport) -> Vec<(String, u64, bool)> {
    let mut steps: Vec<(String, u64, bool)> = Vec::new();
    for step in &report.steps {
        match steps.iter_mut().find(|s| s.0 == step.name) {
            Some(known) => {
                known.1 += step.milliseconds;
                known.2 &= step.cached;
            }
            None => steps.push((step.name.clone(), step.milliseconds, step.cached)),
        }
    }
    steps
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n1. Build of `{}` with roamcore-image {}: {} packages, {} for the tools",
            self.appliance,
            env!("CARGO_PKG_VERSION"),
            self.image_packages,
            self.tool_packages
        )?;
        let relocked = if self.downloads.relocked {
            "; RELOCKED: the committed lock could not be used"
        } else {
            ""
        };
        writeln!(
            f,
            "   Downloads, apart from all below: {} fetched, {} in the pool, {:.1} s{relocked}",
            self.downloads.fetched,
            self.downloads.present,
            self.downloads.milliseconds as f64 / 1e3
        )?;
        writeln!(
            f,
            "   cold      {}; empty cache, shared package pool",
            self.cold.whole
        )?;
        writeln!(f, "   unchanged {}", self.unchanged.whole)?;
        writeln!(
            f,
            "   changed   {}; one line more in one overlay file",
            self.changed.whole
        )?;
        writeln!(
            f,
            "\n   {:<10} {:>14} {:>14} {:>14}  seconds, medians",
            "step", "cold", "unchanged", "changed"
        )?;
        for timed in &self.cold.steps {
            let name = &timed.name;
            let [cold, unchanged, changed] =
                [&self.cold, &self.unchanged, &self.changed].map(|k| k.step(name));
            writeln!(f, "   {name:<10} {cold:>14} {unchanged:>14} {changed:>14}")?;
        }
        let b = &self.bytes;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "\n   MiB: image {:.1} (disk.img.zst; raw {:.0}), root {:.1} + tree {:.1}, initrd {:.1} (unpacked {:.1}), UKI {:.1}",
            mib(b.disk_compressed),
            mib(b.disk_raw),
            mib(b.root),
            mib(b.verity),
            mib(b.initrd),
            mib(b.initrd_unpacked),
            mib(b.uki)
        )
    }
}
