//! From a verified read-only root to a system that can write: `prepare-root`.
//!
//! Owns: the order of the steps. Never does: touch a slot, repartition a disk that has a state
//! partition, repartition in a trial. Invariant: the trial is known before anything is written.
//!
//! ```text
//!   slot+disk -> size -> trial? -> [first boot: repart, wait] -> fsck -> mount state
//!             -> machine-id -> /var bind -> /etc overlay
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::attempts;
use crate::disk::{self, Disk, DiskError, Partition, Running};
use crate::files::{self, At, IoAt};
use crate::fsck::{self, FsckError};
use crate::layout::{self, Layout, LayoutError};
use crate::log;
use crate::machine_id::{self, MachineIdError};
use crate::mounts::{self, MountError};
use crate::power::DiskTooSmall;
use crate::roots::Roots;
use crate::slot::Slot;
use crate::trial::{Trial, TrialError};

const REPART: &str = "/usr/bin/systemd-repart";
const REPART_DEFINITIONS: &str = "/usr/lib/roamcore/repart.d";
const STATE: &str = "state";
/// Device nodes appear within a second; a slow disk's udev probing takes some more.
const NODES_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
const LAYOUT_LIMIT: u64 = 64 * 1024;

/// Why the root was not prepared.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the variants carry the errors of the steps in the drawing"
)]
pub enum PrepareError {
    #[error(transparent)]
    TooSmall(#[from] DiskTooSmall),
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Fsck(#[from] FsckError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    MachineId(#[from] MachineIdError),
    #[error(
        "disk {0} has no partition \"state\" in a trial boot; it is never partitioned in a trial"
    )]
    NoStateInTrial(String),
    #[error("{REPART} failed on {disk} ({status}); its own lines are above")]
    Repart { disk: PathBuf, status: ExitStatus },
    #[error("disk {disk}: after {} s these partitions have no device node: {missing:?}", NODES_WITHIN.as_secs())]
    Nodes { disk: String, missing: Vec<String> },
}

/// Does all steps.
pub fn run(roots: &Roots, sysroot: &Path) -> Result<(), PrepareError> {
    let path = roots.usr.join(layout::PATH);
    let layout = Layout::from_json(&files::read_text(&path, LAYOUT_LIMIT)?)?;
    let running = disk::running(roots)?;
    check_size(&layout, &running.disk)?;
    let trial = record_facts(roots, &running)?;
    let state = state_partition(
        roots,
        &running.disk,
        &layout,
        trial.is_some(),
        systemd_repart,
    )?;
    let device = disk::node(roots, &state.name);
    fsck::check(&device)?;
    let target = roots.facts().join(STATE);
    files::ensure_directory(&target, 0o755)?;
    mounts::state(&device, &target)?;
    if let Some(trial) = &trial
        && let Err(error) = attempts::started(roots, &target, trial)
    {
        // The trial is worth more than the note about it.
        log::error(format!("{error}: this trial boot was not noted"));
    }
    attach(&target, sysroot, running.slot)?;
    log::info(format!(
        "{} on {}: /var and /etc are ready",
        running.slot, running.disk.name
    ));
    Ok(())
}

/// Refuses a disk on which the product cannot work.
pub fn check_size(layout: &Layout, disk: &Disk) -> Result<(), DiskTooSmall> {
    let needed = layout.minimum_disk_bytes();
    if disk.bytes >= needed {
        return Ok(());
    }
    Err(DiskTooSmall {
        disk: disk.name.clone(),
        product: layout.product().to_owned(),
        bytes: disk.bytes,
        needed,
    })
}

/// Writes slot.json, and trial.json when this boot is counted.
pub fn record_facts(roots: &Roots, running: &Running) -> Result<Option<Trial>, PrepareError> {
    files::ensure_directory(&roots.facts(), 0o755)?;
    let facts = serde_json::json!({ "slot": running.slot, "disk": running.disk.name });
    files::write_atomic(
        &roots.facts().join("slot.json"),
        format!("{facts}\n").as_bytes(),
        0o644,
    )?;
    let trial = Trial::detect(roots, running.slot)?;
    if let Some(trial) = &trial {
        trial.store(roots)?;
        log::notice(format!(
            "trial boot of {}: try {}, {} left ({})",
            trial.slot, trial.tries_done, trial.tries_left, trial.entry_path
        ));
    }
    Ok(trial)
}

/// The state partition; made by `repart` on the first boot.
pub fn state_partition(
    roots: &Roots,
    disk: &Disk,
    layout: &Layout,
    in_trial: bool,
    repart: impl FnOnce(&Path) -> Result<(), PrepareError>,
) -> Result<Partition, PrepareError> {
    if let Some(state) = disk.labelled(roots, STATE)? {
        return Ok(state);
    }
    if in_trial {
        return Err(PrepareError::NoStateInTrial(disk.name.clone()));
    }
    log::notice(format!(
        "first boot: partitioning the rest of {}",
        disk.name
    ));
    repart(&disk::node(roots, &disk.name))?;
    let missing = wait_for(|| disk.missing(roots, layout.partitions()))?;
    let state = disk.labelled(roots, STATE)?;
    match state.filter(|_| missing.is_empty()) {
        Some(state) => Ok(state),
        None => Err(PrepareError::Nodes {
            disk: disk.name.clone(),
            missing,
        }),
    }
}

/// Polls until nothing is missing or the time is up.
fn wait_for(
    mut missing: impl FnMut() -> Result<Vec<String>, DiskError>,
) -> Result<Vec<String>, DiskError> {
    let start = Instant::now();
    loop {
        let left = missing()?;
        if left.is_empty() || start.elapsed() >= NODES_WITHIN {
            return Ok(left);
        }
        std::thread::sleep(POLL);
    }
}

fn systemd_repart(disk: &Path) -> Result<(), PrepareError> {
    let status = Command::new(REPART)
        // Formatting through a loop device: the other way makes a whole copy in memory.
        .args(["--dry-run=no", "--empty=refuse", "--offline=no"])
        .arg(format!("--definitions={REPART_DEFINITIONS}"))
        .arg(disk)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .at("run", Path::new(REPART))?;
    if status.success() {
        Ok(())
    } else {
        Err(PrepareError::Repart {
            disk: disk.to_owned(),
            status,
        })
    }
}

/// Puts the mounted state under the new root.
pub fn attach(state: &Path, sysroot: &Path, slot: Slot) -> Result<(), PrepareError> {
    let layers = make_directories(state, slot)?;
    let id = machine_id::stored_or_new(&state.join("roamcore/machine-id"))?;
    machine_id::put_into_upper(&layers.upper, &id)?;
    mounts::bind(&state.join("var"), &sysroot.join("var"))?;
    mounts::overlay(&sysroot.join("etc"), &layers.upper, &layers.work)?;
    Ok(())
}

/// A slot's writable layer of /etc.
#[derive(Debug)]
pub struct Layers {
    /// What was changed.
    pub upper: PathBuf,
    /// overlayfs's own.
    pub work: PathBuf,
}

impl Layers {
    /// Where a slot's layer is on the state partition.
    pub fn of(state: &Path, slot: Slot) -> Self {
        let own = Self::directory(state, slot);
        Self {
            upper: own.join("upper"),
            work: own.join("work"),
        }
    }

    /// The slot's directory, which holds both.
    pub fn directory(state: &Path, slot: Slot) -> PathBuf {
        state.join("etc").join(slot.data_label())
    }
}

/// Creates what the state partition must hold.
pub fn make_directories(state: &Path, slot: Slot) -> Result<Layers, IoAt> {
    let layers = Layers::of(state, slot);
    for path in [
        &state.join("var"),
        &state.join("roamcore"),
        &state.join("etc"),
        &Layers::directory(state, slot),
        &layers.upper,
    ] {
        files::ensure_directory(path, 0o755)?;
    }
    files::ensure_directory(&layers.work, 0o700)?;
    Ok(layers)
}
