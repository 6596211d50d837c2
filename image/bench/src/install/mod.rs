//! A full install: one root image from a file beside the disk into the idle slot, proved to be there.
//!
//! Owns: the turns and what is compared. Never does: fail because RAUC cannot run here: that is told as a skip.
//! Invariant: everybody writes the same image to the same file system over the same kind of old content, and ends with
//! it on stable storage. What each proves besides is printed.

pub mod ours;
mod rauc;
mod raw;

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::peer;
use crate::report::Aim;
use crate::stats::Samples;
use crate::workshop::Workshop;

const RUNS: usize = 3;
/// Old content of a slot: nothing that a plan could keep, nothing that a file system could leave out.
const OLD: u8 = 0xee;

const RAUC_AIM: f64 = 3.0;
const RAW_AIM: f64 = 0.85;

/// Everything measured here.
#[derive(Debug, Serialize)]
pub struct Figures {
    image_bytes: u64,
    rauc_version: String,
    /// Plan, fetch from a file, write, hash tree, read back with both hashes, PARTUUIDs.
    ours: Contender,
    /// Check of the bundle's signature, write, mark; none when it cannot run here.
    rauc: Result<Contender, String>,
    /// Write around the page cache, read back around it, SHA-256.
    raw: Contender,
}

/// One way to get an image onto a disk.
#[derive(Debug, Default, Serialize)]
struct Contender {
    wall: Samples,
    peak_kib: u64,
    /// What is read from the source.
    source_bytes: u64,
    /// Parts of the last run.
    stages: Vec<(String, u64)>,
}

/// One run, as a process reports it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    milliseconds: u64,
    peak_kib: u64,
    /// Names and milliseconds of its parts, where they are known.
    stages: Vec<(String, u64)>,
}

impl Contender {
    fn add(&mut self, run: &Run) {
        self.wall.push_ms(run.milliseconds);
        self.peak_kib = self.peak_kib.max(run.peak_kib);
        self.stages.clone_from(&run.stages);
    }

    fn seconds(&self) -> f64 {
        self.wall.median().unwrap_or(f64::NAN)
    }
}

/// Measures, in turns.
pub fn measure(workshop: &mut Workshop, quick: bool) -> Result<Figures> {
    let root = workshop.root_image()?;
    let work = workshop.ready()?.directory("install")?;
    let image_bytes = peer::size(&root)?;
    let mut figures = Figures {
        image_bytes,
        rauc_version: peer::version("rauc", "--version").unwrap_or("RAUC: not installed".into()),
        ours: Contender::default(),
        rauc: Ok(Contender::default()),
        raw: Contender::default(),
    };
    let ours = ours::Release::pack(&work.join("ours"), &root)?;
    figures.ours.source_bytes = ours.bytes;
    figures.raw.source_bytes = image_bytes;
    let bundle = match rauc::Bundle::make(&work.join("rauc"), &root) {
        Ok(bundle) => Some(bundle),
        Err(error) => {
            figures.rauc = Err(format!("{error:#}"));
            None
        }
    };
    for _ in 0..if quick { 1 } else { RUNS } {
        figures.ours.add(&ours.install()?);
        figures.raw.add(&raw::write(&work, &root)?);
        if let (Some(bundle), Ok(contender)) = (&bundle, &mut figures.rauc) {
            contender.source_bytes = bundle.bytes;
            match bundle.install(&root) {
                Ok(run) => contender.add(&run),
                Err(error) => figures.rauc = Err(format!("{error:#}")),
            }
        }
    }
    std::fs::remove_dir_all(&work).context("removing what was measured")?;
    Ok(figures)
}

/// Fills `bytes` of an open file with old content, durably.
fn wear(file: &File, bytes: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let block = [OLD; 4096];
    for _ in 0..bytes.div_ceil(4096) {
        out.write_all(&block).context("writing old content")?;
    }
    out.flush().context("writing old content")?;
    drop(out);
    file.sync_all().context("writing old content")
}

/// A file of old content.
fn worn(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    wear(&file, bytes)
}

/// The high-water mark of a process's memory.
fn peak_kib(process: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("{path} has no VmHWM"))
}

impl Figures {
    /// Ratios of medians.
    pub fn aims(&self) -> Vec<Aim> {
        let ours = self.ours.seconds();
        let against = |what: &str| format!("throughput of a full install against {what}");
        let raw = Aim::at_least(
            against("a raw verified write"),
            self.raw.seconds() / ours,
            RAW_AIM,
        );
        let rauc = self.rauc.iter();
        rauc.map(|rauc| Aim::at_least(against("RAUC"), rauc.seconds() / ours, RAUC_AIM))
            .chain([raw])
            .collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "\n5. Full install of a root of {:.1} MiB into a slot with other content, beside a running one without use; {}",
            mib(self.image_bytes),
            self.rauc_version
        )?;
        let mut row = |what: &str, contender: &Contender, proves: &str| {
            let rate = self.image_bytes as f64 / 1e6 / contender.seconds();
            writeln!(
                f,
                "   {what:<10} {rate:>6.0} MB/s  {}; {:.1} MiB at most; from {:.1} MiB; {proves}",
                contender.wall,
                contender.peak_kib as f64 / 1024.0,
                mib(contender.source_bytes)
            )
        };
        row(
            "RoamCore",
            &self.ours,
            "writes the hash tree, reads all back past the cache, compares SHA-256 and root hash",
        )?;
        let stages = self.ours.stages.iter();
        let stages: Vec<String> = stages
            .map(|(name, ms)| format!("{name} {:.3} s", *ms as f64 / 1e3))
            .collect();
        let stages = format!("{:<22} of ours, in its last run: {}", "", stages.join(", "));
        match &self.rauc {
            Ok(rauc) => row("RAUC", rauc, "checks the bundle before, reads nothing back")?,
            Err(reason) => writeln!(f, "   SKIP RAUC: {reason}")?,
        }
        writeln!(f, "{stages}")?;
        let rate = self.image_bytes as f64 / 1e6 / self.raw.seconds();
        writeln!(
            f,
            "   {:<10} {rate:>6.0} MB/s  {}; dd around the cache, read back the same way into sha256sum",
            "raw", self.raw.wall
        )
    }
}
