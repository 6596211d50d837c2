//! Recordings: a machine does something to its disk, and every write is noted.
//!
//! Two today: a first boot, and updates by the image's own service. Another recording is another function that gives a
//! [`Captured`].

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use roamcore_crash::judge::{Expect, Fixed, Release as Known, Sha256};
use roamcore_disk::gpt::Gpt;
use roamcore_pe::uki;
use serde_json::Value;
use sha2::Digest as _;

use crate::args;
use crate::context::Ctx;
use crate::disk::esp::Esp;
use crate::firmware::Firmware;
use crate::fleet::make_file;
use crate::guest::Guest;
use crate::machine::spec::MachineSpec;
use crate::machine::state::{Frozen, MachineState};
use crate::release::Release;
use crate::scenarios::bench::{ENTRY_A, View, committed, view};
use crate::scenarios::common::fork;
use crate::tool;

/// The release that is installed.
const VERSION: (&str, u64) = ("0.0.9", 2);
/// Files on the ESP that no update touches.
const FIXED: [&str; 2] = ["/EFI/BOOT/BOOTX64.EFI", "/loader/loader.conf"];
/// UKI of slot A.
const UKI_A: &str = "/EFI/roamcore/a/roamcore.efi";
/// Volume label of what is installed from.
const STICK: &str = "STICK";
/// Seconds under KVM until everything is written and armed.
const TRIAL_SECONDS: u64 = 240;
/// What the kernel says first in every boot: from here on nothing of the boot loader runs.
const KERNEL: &str = "EFI stub:";

/// A recording, and what is known about it.
pub struct Captured {
    /// The disk before it, raw.
    pub base: PathBuf,
    /// The log.
    pub log: PathBuf,
    /// The machine's firmware variables.
    pub vars: PathBuf,
    /// What the disk may hold.
    pub expect: Expect,
    /// Slot A's entry.
    entry_a: Vec<u8>,
    /// The partition table.
    table: Gpt,
}

impl Captured {
    /// The slot whose root begins at a byte.
    pub fn slot_at(&self, root_at: u64) -> anyhow::Result<&'static str> {
        let mut roots = ["root-a", "root-b"].into_iter();
        let at = |name: &&str| self.table.partition(name).map(|p| p.offset()) == Some(root_at);
        let found = roots.find(at);
        found.with_context(|| format!("no slot begins at byte {root_at}"))
    }

    /// The other slot.
    pub fn other_slot(&self, root_at: u64) -> anyhow::Result<&'static str> {
        Ok(match self.slot_at(root_at)? {
            "root-a" => "root-b",
            _ => "root-a",
        })
    }
}

/// A first boot: Secure Boot keys enrolled, partitions and file systems made.
pub fn first_boot(ctx: &Ctx) -> anyhow::Result<Captured> {
    let state = ctx.new_machine(ctx.image()?.smallest_disk())?;
    let (frozen, mut captured) = look(ctx, state, None)?;
    let running = ctx.fork_state(&frozen)?;
    captured.log = log_in(&running)?;
    let spec = MachineSpec {
        firmware: Firmware::Secure,
        write_log: Some(captured.log.clone()),
        ..MachineSpec::default()
    };
    let mut guest = ctx.boot(&spec, running, "recorded")?;
    guest.settled()?;
    guest.power_off()?;
    Ok(captured)
}

/// The whole life of two updates, done by the image's own service from a stick: install in B, arm, a trial that is cut short,
/// a trial that commits; then back to A: three trials that are all cut short, so that B stays, and one that commits.
pub fn updates(ctx: &Ctx) -> anyhow::Result<Captured> {
    let release = ctx.release(VERSION.0, VERSION.1)?;
    let state = fork(ctx)?;
    let (frozen, mut captured) = look(ctx, state, Some(&release))?;
    let running = ctx.fork_state(&frozen)?;
    captured.log = log_in(&running)?;
    let (stick, name) = stick(&release, running.directory())?;
    let spec = MachineSpec {
        write_log: Some(captured.log.clone()),
        extra_args: [
            "-drive".into(),
            format!(
                "if=none,id=stick,format=raw,readonly=on,file={}",
                stick.display()
            ),
            "-device".into(),
            "qemu-xhci,id=usb".into(),
            "-device".into(),
            "usb-storage,bus=usb.0,drive=stick".into(),
        ]
        .into(),
        ..MachineSpec::default()
    };
    let mut guest = ctx.boot(&spec, running, "recorded")?;
    guest.settled()?;
    let deadline = guest.within(60);
    let mounted = guest.run_until(
        &format!("d=/dev/disk/by-label/{STICK}; udevadm wait --timeout=60 $d && mkdir -p /run/stick && mount -t vfat -o ro $d /run/stick"),
        deadline,
    )?;
    ensure!(mounted.status == 0, "the stick: {}", mounted.text());
    let resets = guest.machine()?.resets();
    guest.ok(&format!("roamcore install /run/stick/{name}"))?;
    begin_trial(&mut guest, resets)?;
    cut_short(&mut guest, 1).context("the first trial")?;
    guest.wait_up().context("the second trial")?;
    committed(&mut guest, &release, &captured.entry_a, "slot A")?;

    back(&mut guest, 3).context("three trials that are cut short")?;
    let seen = settled(&mut guest, "root-b")?;
    ensure!(
        seen.entries == ["roamcore-b.conf"],
        "entries after the trials: {:?}",
        seen.entries
    );
    back(&mut guest, 0).context("back to slot A")?;
    let seen = settled(&mut guest, "root-a")?;
    ensure!(
        seen.entries == ["roamcore-a.conf", "roamcore-b.conf"],
        "entries after the commit: {:?}",
        seen.entries
    );
    guest.power_off()?;
    std::fs::remove_file(&stick).context("remove the stick")?;
    Ok(captured)
}

/// Boots the other slot on trial; the power is cut in the first `cuts` trials.
fn back(guest: &mut Guest, cuts: usize) -> anyhow::Result<()> {
    let resets = guest.machine()?.resets();
    guest.ok("roamcore rollback")?;
    begin_trial(guest, resets)?;
    cut_short(guest, cuts)?;
    Ok(guest.wait_up()?)
}

/// Waits for the reset that the update service asks for when everything is written and armed.
fn begin_trial(guest: &mut Guest, resets: usize) -> anyhow::Result<()> {
    let deadline = guest.within(TRIAL_SECONDS);
    guest
        .wait_reset(resets, deadline)
        .with_context(|| "no trial began")
}

/// Presses reset as soon as the kernel speaks: the boot loader has counted by then.
fn cut_short(guest: &mut Guest, times: usize) -> anyhow::Result<()> {
    for _ in 0..times {
        let resets = guest.machine()?.resets();
        let deadline = guest.within(30);
        guest.machine()?.console()?.wait_for(KERNEL, deadline)?;
        guest.machine()?.reset()?;
        guest.wait_reset(resets, deadline)?;
    }
    Ok(())
}

/// Waits until nothing is on trial and the service has tidied up; it must run `slot`.
fn settled(guest: &mut Guest, slot: &str) -> anyhow::Result<View> {
    guest.settled()?;
    let deadline = guest.within(60);
    loop {
        let status = guest.ok("roamcore status --json")?;
        let seen: Value = serde_json::from_str(&status).with_context(|| status.clone())?;
        if seen["answer"]["engine"]["phase"] == "idle" {
            break;
        }
        ensure!(deadline.pause(1000), "not idle: {status}");
    }
    let seen = view(guest)?;
    ensure!(
        seen.slot == slot && !seen.on_trial,
        "it runs {seen:?}, not {slot}"
    );
    Ok(seen)
}

/// A USB stick as shops sell them, FAT32, with the release in one file on it; and that file's name.
fn stick(release: &Release, directory: &Path) -> anyhow::Result<(PathBuf, String)> {
    let content = tempfile::tempdir_in(directory)?;
    let file = make_file(release, content.path())?;
    let name = file.file_name().context("no name")?.to_string_lossy();
    let stick = directory.join("stick.img");
    // Both copies of the allocation table and the boot sectors have room in this.
    let size = std::fs::metadata(&file)?.len() + (64 << 20);
    File::create_new(&stick)?.set_len(size.next_multiple_of(1 << 20))?;
    tool::run("mkfs.vfat", &args!["-F", 32, "-n", STICK, stick.display()])?;
    tool::run("mcopy", &args!["-i", stick.display(), file.display(), "::"])?;
    Ok((stick, name.into_owned()))
}

/// What can be said of a machine before anything is recorded. The log is the caller's to name.
fn look(
    ctx: &Ctx,
    state: MachineState,
    release: Option<&Release>,
) -> anyhow::Result<(Frozen, Captured)> {
    let disk = state.disk.as_ref().context("no disk")?;
    let (base, size) = (state.directory().join("base.raw"), disk.size()?);
    disk.extract(0, size, &base)?;
    let esp = Esp::open(disk)?;
    let table = Gpt::read_from(&mut File::open(&base)?, size)?.gpt;
    let captured = Captured {
        base,
        log: PathBuf::new(),
        vars: state.vars.clone(),
        expect: expect(ctx, &esp, release)?,
        entry_a: esp.read(ENTRY_A)?,
        table,
    };
    Ok((state.freeze(), captured))
}

/// An empty log beside a machine's disk.
fn log_in(state: &MachineState) -> anyhow::Result<PathBuf> {
    let log = state.directory().join("writes.log");
    File::create_new(&log).context("make the log")?;
    Ok(log)
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn expect(ctx: &Ctx, esp: &Esp, release: Option<&Release>) -> anyhow::Result<Expect> {
    let fixed = |path: &str| -> anyhow::Result<Fixed> {
        Ok(Fixed {
            path: path.into(),
            sha256: sha256(&esp.read(path)?),
        })
    };
    let uki_a = esp.read(UKI_A)?;
    let view = uki::read(&uki_a)?;
    let line = String::from_utf8_lossy(view.cmdline).into_owned();
    let hash = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("roothash="));
    let version = ctx.image()?.manifest["version"].as_str();
    Ok(Expect {
        fixed: FIXED
            .into_iter()
            .map(fixed)
            .collect::<anyhow::Result<_>>()?,
        releases: std::iter::once(Known {
            name: version.context("the image has no version")?.to_owned(),
            uki_sha256: sha256(&uki_a),
            root_hash: hash.context("no roothash in slot A's UKI")?.parse()?,
        })
        .chain(release.map(|release| Known {
            name: release.version.clone(),
            uki_sha256: sha256(&release.uki),
            root_hash: release.root_hash,
        }))
        .collect(),
    })
}
