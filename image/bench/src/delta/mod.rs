//! What a device downloads to go from one real image to another.
//!
//! Owns: the pairs of images and what is compared. Never does: count documents; count anybody's kernel and initrd,
//! which the images do not hold (they have no `/boot`); take a figure from elsewhere. Invariant: everybody has the
//! same: the running slot holds the old image, the idle slot nothing.

mod peers;
mod rauc;
mod show;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_delta::{Index, Limits, PackOptions, Plan, PlanOptions, Quiet, pack};
use roamcore_image::lock::{Lock, Set};
use roamcore_image::release::{FileAt, Parts};
use serde::Serialize;

use crate::report::Aim;
use crate::workshop::{Extra, Workshop};

/// Suites of a point release alone, and with everything since.
const OLD: [&str; 1] = ["trixie"];
const NEW: [&str; 3] = ["trixie", "trixie-updates", "trixie-security"];
/// What turns the small host into another one: virtual machines, containers, storage, interpreters.
const MAJOR: Extra = Extra {
    packages: &[
        "qemu-system-x86",
        "containerd",
        "ceph-common",
        "corosync",
        "python3",
        "git",
        "samba-common-bin",
    ],
    // Numbers that no overlay has.
    groups: &[("rdma", 890)],
};
/// Requests besides those for frames of the root: update.json, its signatures, roles.json, the index; the index of the
/// kernel image and one for its frames, which lie side by side.
const FIXED_REQUESTS: u64 = 6;

/// zstd's level of a patch that is made once and downloaded often, and one for when minutes do not matter enough.
const PATCH: &str = "-19";
const QUICK_PATCH: &str = "-9";

const RAUC_AIM: f64 = 0.85;
const CASYNC_AIM: f64 = 0.95;
const REQUESTS_AIM: f64 = 200.0;

/// Everything measured here.
#[derive(Debug, Serialize)]
pub struct Figures {
    peers: Vec<String>,
    pairs: Vec<Pair>,
}

/// One update.
#[derive(Debug, Serialize)]
struct Pair {
    what: &'static str,
    packages: Packages,
    old_bytes: u64,
    new_bytes: u64,
    ours: Ours,
    rauc: rauc::Adaptive,
    casync: Vec<peers::Casync>,
    known: Vec<peers::Known>,
}

/// Packages of two images.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Packages {
    all: usize,
    changed: usize,
    added: usize,
    removed: usize,
}

/// Our download.
#[derive(Debug, Serialize)]
struct Ours {
    index: u64,
    frames: u64,
    requests: u64,
    /// For a device that has nothing, without the index.
    full: u64,
    pack_ms: u128,
    plan_ms: u128,
}

impl Ours {
    fn bytes(&self) -> u64 {
        self.index + self.frames
    }
}

/// Measures.
pub fn measure(workshop: &mut Workshop, quick: bool) -> Result<Figures> {
    let (old, old_lock) = workshop
        .root_of(&OLD, &Extra::default(), "old.erofs")
        .context("the point release")?;
    let (new, new_lock) = workshop
        .root_of(&NEW, &Extra::default(), "new.erofs")
        .context("with updates")?;
    let mut figures = Figures {
        peers: peers::versions(),
        pairs: Vec::new(),
    };
    let what = "point update: trixie main alone to main, updates and security";
    let packages = difference(&old_lock, &new_lock);
    let level = if quick { QUICK_PATCH } else { PATCH };
    let measured = pair(workshop, what, packages, [&old, &new], level)?;
    figures.pairs.push(measured);
    if quick {
        return Ok(figures);
    }
    let what = "major change: the same to a host of virtual machines, containers and storage";
    let (major, lock) = workshop
        .root_of(&NEW, &MAJOR, "major.erofs")
        .context("the major change")?;
    let packages = difference(&old_lock, &lock);
    let measured = pair(workshop, what, packages, [&old, &major], QUICK_PATCH)?;
    figures.pairs.push(measured);
    Ok(figures)
}

fn pair(
    workshop: &mut Workshop,
    what: &'static str,
    packages: Packages,
    [old, new]: [&Path; 2],
    level: &str,
) -> Result<Pair> {
    let work = workshop.ready()?.directory("delta")?;
    let pair = Pair {
        what,
        packages,
        old_bytes: crate::peer::size(old)?,
        new_bytes: crate::peer::size(new)?,
        ours: ours(&work, old, new)?,
        rauc: rauc::adaptive(old, new)?,
        casync: peers::casync(&work, old, new)?,
        known: peers::known(&work, old, new, level)?,
    };
    std::fs::remove_dir_all(&work).context("removing what was measured")?;
    Ok(pair)
}

fn ours(work: &Path, old: &Path, new: &Path) -> Result<Ours> {
    let parts = work.join("parts");
    std::fs::create_dir(&parts).context("creating a directory for parts")?;
    let started = std::time::Instant::now();
    let mut sink = Parts::new(parts, "root");
    let packed = pack(&FileAt::open(new)?, &PackOptions::default(), &mut sink)?;
    sink.finish().context("writing the last part")?;
    let pack_ms = started.elapsed().as_millis();
    let index = Index::parse(&packed.index, &Limits::default())?;
    let running = FileAt::open(old)?;
    let idle = FileAt::create(&work.join("idle"), packed.image_size)?;
    let started = std::time::Instant::now();
    let options = PlanOptions::default();
    let plan = Plan::make(&index, Some(&running), &idle, &options, &mut Quiet)?;
    Ok(Ours {
        index: packed.index.len() as u64,
        frames: plan.download_bytes(),
        requests: plan.requests() + FIXED_REQUESTS,
        full: index.full_download_bytes(),
        pack_ms,
        plan_ms: started.elapsed().as_millis(),
    })
}

fn difference(old: &Lock, new: &Lock) -> Packages {
    let versions = |lock: &Lock| -> BTreeMap<String, String> {
        let packages = lock.packages(Set::Image).iter();
        packages
            .map(|p| (p.name.clone(), p.version.clone()))
            .collect()
    };
    let (old, new) = (versions(old), versions(new));
    let both = |(name, version): (&String, &String)| old.get(name).map(|o| o != version);
    Packages {
        all: new.len(),
        changed: new.iter().filter(|p| both(*p) == Some(true)).count(),
        added: new.keys().filter(|name| !old.contains_key(*name)).count(),
        removed: old.keys().filter(|name| !new.contains_key(*name)).count(),
    }
}

impl Pair {
    fn against_rauc(&self) -> f64 {
        self.ours.bytes() as f64 / self.rauc.best() as f64
    }

    /// Against casync's own chunk size, where casync is installed.
    fn against_casync(&self) -> Option<f64> {
        let usual = self.casync.iter().find(|c| c.usual)?;
        Some(self.ours.bytes() as f64 / usual.bytes() as f64)
    }
}

impl Figures {
    /// The point update's, which is what devices do every week.
    pub fn aims(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        if let Some(pair) = self.pairs.first() {
            let download = |against: &str| format!("download of a point update against {against}");
            let ratio = pair.against_rauc();
            aims.push(Aim::at_most(download("RAUC adaptive"), ratio, RAUC_AIM));
            if let Some(ratio) = pair.against_casync() {
                aims.push(Aim::at_most(download("casync"), ratio, CASYNC_AIM));
            }
        }
        for pair in &self.pairs {
            let kind = pair.what.split(':').next().unwrap_or(pair.what);
            let requests = pair.ours.requests as f64;
            aims.push(Aim::at_most(
                format!("requests, {kind}"),
                requests,
                REQUESTS_AIM,
            ));
        }
        aims
    }
}
