//! The whole build against mkosi, from Debian trixie in a tree of its own.
//!
//! Owns: the turns and what is compared. Never does: fail because mkosi cannot run here: that is
//! told as a skip, with the end of its log. A failure of our own builder is an error.
//! Invariant: both sides install the same packages, have them on disk beforehand, and end in a
//! bootable disk image with an EROFS root and its hash tree. What differs is printed, packages by name.

mod config;
mod show;
mod tree;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use roamcore_image::command::CommandError;
use roamcore_image::lock::Set;
use serde::Serialize;

use crate::stats::{Sample, Samples};
use crate::workshop::{Ready, Workshop};
use tree::Mkosi;

/// Rebuilds of each kind.
const RUNS: usize = 3;
/// What the issue asks: our rebuild takes at most this part of mkosi's.
pub const AIM: f64 = 3.0;
/// The builder's own level, so that both compress alike.
const COMPRESS: [&str; 2] = ["--compress-output=zstd", "--compress-level=6"];

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figures {
    /// mkosi could not run here.
    Skipped {
        /// Why, and the end of its log.
        reason: String,
    },
    /// It ran.
    Measured(Box<Measured>),
}

/// What is installed on both sides.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Packages {
    /// How many have both.
    both: usize,
    /// What only the builder's image has.
    only_ours: Vec<String>,
    /// What only mkosi's has.
    only_mkosis: Vec<String>,
}

impl Packages {
    fn compare(ours: &BTreeSet<String>, mkosis: &BTreeSet<String>) -> Self {
        Self {
            both: ours.intersection(mkosis).count(),
            only_ours: ours.difference(mkosis).cloned().collect(),
            only_mkosis: mkosis.difference(ours).cloned().collect(),
        }
    }
}

/// Everything measured here.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// What mkosi and the tools it calls say they are.
    peers: Vec<String>,
    /// Packages installed by the builder and by mkosi.
    packages: Packages,
    /// mkosi with an empty package cache; none when a former run had filled it.
    with_downloads: Option<Samples>,
    /// mkosi with packages but no cached trees.
    first: Samples,
    /// mkosi after one file changed.
    incremental: Samples,
    /// The same with a compressed image, which the builder always makes.
    incremental_compressed: Samples,
    /// The builder after one file changed.
    pub ours: Samples,
    /// mkosi's median by ours.
    pub ratio: f64,
    /// The same with compression on both sides.
    pub ratio_compressed: f64,
    sizes: tree::Sizes,
}

/// Measures.
pub fn measure(workshop: &mut Workshop, quick: bool) -> Result<Figures> {
    let mkosi = match set_up(workshop) {
        Ok(mkosi) => mkosi,
        Err(error) => return Ok(skipped(&error)),
    };
    let pool = workshop.cache().root().join("pool");
    let ready = workshop.ready()?;
    let mut turns = Turns::default();
    if let Err(error) = turns.begin(&mkosi) {
        return Ok(skipped(&error));
    }
    ready.warm_up(&pool)?;
    for number in 0..if quick { 1 } else { RUNS } {
        turns.ours.push(rebuild(ready)?);
        if let Err(error) = turns.rebuild(&mkosi, number) {
            return Ok(skipped(&error));
        }
    }
    let ours = ready
        .lock
        .packages(Set::Image)
        .iter()
        .map(|p| p.name.clone());
    match turns.sum_up(&mkosi, &ours.collect()) {
        Ok(measured) => Ok(Figures::Measured(Box::new(measured))),
        Err(error) => Ok(skipped(&error)),
    }
}

fn set_up(workshop: &mut Workshop) -> Result<Mkosi> {
    tree::possible()?;
    let mirrors = workshop.mirrors()?;
    let ready = workshop.ready()?;
    let names: Vec<String> = ready
        .lock
        .packages(Set::Image)
        .iter()
        .map(|p| p.name.clone())
        .collect();
    Mkosi::set_up(workshop.cache(), &mirrors, &names)
}

fn rebuild(ready: &mut Ready) -> Result<Sample> {
    ready.change_overlay()?;
    Ok(ready.build()?.0)
}

/// The reason in few words; of a failed program only what it said.
fn skipped(error: &anyhow::Error) -> Figures {
    let said = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(CommandError::Failed {
            program,
            status,
            stderr_tail,
            ..
        }) => {
            let lines: Vec<&str> = stderr_tail.lines().collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            Some(format!(
                "{error}: {program} failed ({status}); its last lines:\n{}",
                last.join("\n")
            ))
        }
        _ => None,
    });
    Figures::Skipped {
        reason: said.unwrap_or_else(|| format!("{error:#}")),
    }
}

/// Samples being gathered.
#[derive(Debug, Default)]
struct Turns {
    with_downloads: Option<Samples>,
    first: Samples,
    incremental: Samples,
    compressed: Samples,
    ours: Samples,
}

impl Turns {
    fn begin(&mut self, mkosi: &Mkosi) -> Result<()> {
        if !mkosi.has_packages()? {
            let sample = mkosi.build(&["-ff"]).context("building with downloads")?;
            let mut samples = Samples::default();
            samples.push(sample);
            self.with_downloads = Some(samples);
        }
        let sample = mkosi.build(&["-ff"]).context("the first build")?;
        self.first.push(sample);
        Ok(())
    }

    fn rebuild(&mut self, mkosi: &Mkosi, number: usize) -> Result<()> {
        mkosi.change(&format!("compressed {number}"))?;
        let [output, level] = COMPRESS;
        let sample = mkosi
            .build(&["-f", output, level])
            .context("a compressed rebuild")?;
        self.compressed.push(sample);
        mkosi.change(&format!("plain {number}"))?;
        let sample = mkosi.build(&["-f"]).context("a rebuild")?;
        self.incremental.push(sample);
        Ok(())
    }

    fn sum_up(self, mkosi: &Mkosi, ours: &BTreeSet<String>) -> Result<Measured> {
        let by_ours = |theirs: &Samples| match (theirs.median(), self.ours.median()) {
            (Some(theirs), Some(ours)) if ours > 0.0 => theirs / ours,
            _ => 0.0,
        };
        Ok(Measured {
            peers: mkosi.versions()?,
            packages: Packages::compare(ours, &mkosi.installed()?),
            ratio: by_ours(&self.incremental),
            ratio_compressed: by_ours(&self.compressed),
            with_downloads: self.with_downloads,
            first: self.first,
            incremental: self.incremental,
            incremental_compressed: self.compressed,
            ours: self.ours,
            sizes: mkosi.sizes()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_compared_by_name_not_counted() {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let found = Packages::compare(&set(&["bash", "less"]), &set(&["bash", "systemd-boot-efi"]));
        let wanted = Packages {
            both: 1,
            only_ours: vec!["less".into()],
            only_mkosis: vec!["systemd-boot-efi".into()],
        };
        assert_eq!(found, wanted);
        assert_eq!(
            found.to_string(),
            "1 in both; only in ours: less; only in mkosi's: systemd-boot-efi"
        );
    }
}
