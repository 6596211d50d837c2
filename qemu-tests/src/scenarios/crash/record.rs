//! Recordings: a machine does something to its disk, and every write is noted.
//!
//! Two today: a first boot, and an update by hand, in the order that the update engine keeps, since an image has no engine
//! yet. Another way to update is another function that gives a [`Captured`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, ensure};
use roamcore_crash::judge::{Expect, Fixed, Release as Known, Sha256};
use roamcore_disk::gpt::Gpt;
use roamcore_pe::uki;
use sha2::Digest as _;

use crate::context::Ctx;
use crate::disk::esp::Esp;
use crate::firmware::Firmware;
use crate::guest::Guest;
use crate::machine::spec::MachineSpec;
use crate::machine::state::{Frozen, MachineState};
use crate::release::Release;
use crate::scenarios::bench::{ENTRY_A, committed, entry};
use crate::scenarios::common::fork;

/// The release that is installed.
const VERSION: (&str, u64) = ("0.0.9", 2);
/// Files on the ESP that no update touches.
const FIXED: [&str; 2] = ["/EFI/BOOT/BOOTX64.EFI", "/loader/loader.conf"];
/// UKI of slot A.
const UKI_A: &str = "/EFI/roamcore/a/roamcore.efi";
/// Serial number of the disk that holds what is installed.
const PAYLOAD: &str = "PAYLOAD";
/// Where the guest mounts the ESP.
const ESP: &str = "/run/esp";
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

/// Install in slot B, arm, cut the first trial short, let the second one commit, power off.
pub fn update_by_hand(ctx: &Ctx) -> anyhow::Result<Captured> {
    let release = ctx.release(VERSION.0, VERSION.1)?;
    let state = fork(ctx)?;
    let (frozen, mut captured) = look(ctx, state, Some(&release))?;
    let running = ctx.fork_state(&frozen)?;
    captured.log = log_in(&running)?;
    let payload = running.directory().join("payload.raw");
    let places = pack(&release, &payload)?;
    let spec = MachineSpec {
        write_log: Some(captured.log.clone()),
        extra_args: [
            "-drive".into(),
            format!(
                "if=none,id=payload,format=raw,readonly=on,file={}",
                payload.display()
            ),
            "-device".into(),
            format!("nvme,drive=payload,serial={PAYLOAD}"),
        ]
        .into(),
        ..MachineSpec::default()
    };
    let mut guest = ctx.boot(&spec, running, "recorded")?;
    install(&mut guest, &release, &captured.table, &places)?;

    let resets = guest.machine()?.resets();
    guest.machine()?.reset()?;
    let deadline = guest.within(30);
    guest.wait_reset(resets, deadline)?;
    let console = guest.machine()?.console()?;
    console
        .wait_for(KERNEL, deadline)
        .context("the first trial")?;
    guest.machine()?.reset()?;
    guest.wait_reset(resets + 1, deadline)?;
    guest.wait_up().context("the second trial")?;
    committed(&mut guest, &release, &captured.entry_a, "slot A")?;
    guest.power_off()?;
    std::fs::remove_file(&payload).context("remove the payload")?;
    Ok(captured)
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

/// A stretch of the payload disk.
struct Place {
    offset: u64,
    length: u64,
}

/// What is installed, one after the other: root, hash tree, UKI.
struct Places {
    root: Place,
    tree: Place,
    uki: Place,
}

fn pack(release: &Release, path: &Path) -> anyhow::Result<Places> {
    // Parts begin at whole mebibytes, so that the guest can copy them past its page cache.
    const ALIGN: u64 = 1 << 20;
    let mut to = File::create_new(path).context("make the payload")?;
    let mut from = File::open(&release.raw).context("open the release")?;
    let mut end = 0_u64;
    let mut place = |length: u64| {
        let offset = end;
        end = (offset + length).next_multiple_of(ALIGN);
        Place { offset, length }
    };
    let places = Places {
        root: place(release.root.1),
        tree: place(release.verity.1),
        uki: place(release.uki.len() as u64),
    };
    for (range, place) in [(release.root, &places.root), (release.verity, &places.tree)] {
        from.seek(SeekFrom::Start(range.0))?;
        to.seek(SeekFrom::Start(place.offset))?;
        let copied = std::io::copy(&mut Read::by_ref(&mut from).take(range.1), &mut to)?;
        ensure!(
            copied == range.1,
            "the release ends after {copied} of {} bytes",
            range.1
        );
    }
    to.seek(SeekFrom::Start(places.uki.offset))?;
    to.write_all(&release.uki)?;
    to.set_len(end)?;
    Ok(places)
}

/// The order of an update: data, tree, PARTUUIDs with a flush between the copies, UKI, entry under another name, rename.
fn install(
    guest: &mut Guest,
    release: &Rc<Release>,
    table: &Gpt,
    places: &Places,
) -> anyhow::Result<()> {
    let payload = guest.ok(&format!(
        "for c in /sys/class/nvme/*; do grep -q {PAYLOAD} $c/serial && echo /dev/$(basename $c)n1; done; true"
    ))?;
    ensure!(
        payload.starts_with("/dev/nvme"),
        "the guest does not see the payload: `{payload}`"
    );
    let system = guest.ok("echo /dev/$(lsblk -nro PKNAME /dev/disk/by-partlabel/esp)")?;
    let copy = |place: &Place, to: &str, how: &str| {
        let Place { offset, length } = place;
        format!(
            "dd if={payload} of={to} bs=1M iflag=skip_bytes,count_bytes skip={offset} count={length} {how} status=none"
        )
    };
    for (place, label) in [(&places.root, "root-b"), (&places.tree, "verity-b")] {
        let to = format!("/dev/disk/by-partlabel/{label}");
        let deadline = guest.within(60);
        let line = copy(place, &to, "oflag=direct conv=notrunc,fsync");
        let output = guest.run_until(&line, deadline)?;
        ensure!(output.status == 0, "`{line}`: {}", output.text());
    }
    let mut table = table.clone();
    let (root, tree) = release.root_hash.partuuids();
    for (label, uuid) in [("root-b", root), ("verity-b", tree)] {
        let part = table.partitions.iter_mut().find(|p| p.name == label);
        part.with_context(|| format!("no {label}"))?.part_guid = uuid;
    }
    let encoded = table.encode()?;
    let last = encoded.tail_offset / 512;
    // Sector 0 holds no part of the table.
    for (name, bytes, sector) in [
        ("tail", &encoded.tail[..], last),
        ("head", &encoded.head[512..], 1),
    ] {
        guest.write_file(&format!("/run/gpt-{name}"), bytes)?;
        guest.ok(&format!(
            "dd if=/run/gpt-{name} of={system} bs=512 seek={sector} conv=notrunc,fsync status=none"
        ))?;
    }
    guest.ok(&format!(
        "mkdir -p {ESP} && mount -t vfat /dev/disk/by-partlabel/esp {ESP}"
    ))?;
    guest.ok(&copy(
        &places.uki,
        &format!("{ESP}/EFI/roamcore/b/roamcore.efi"),
        "conv=fsync",
    ))?;
    guest.ok(&sync("EFI/roamcore/b"))?;
    let name = format!("{ESP}/loader/entries/roamcore-b");
    guest.write_file(
        &format!("{name}.new"),
        entry(release, "roamcore.efi").as_bytes(),
    )?;
    let durable = sync("loader/entries");
    guest.ok(&format!(
        "{durable} && mv {name}.new {name}+3.conf && {durable}"
    ))?;
    guest.ok(&format!("umount {ESP}"))?;
    Ok(())
}

/// Makes the ESP durable: everything written, then a flush. `syncfs` on vfat writes and flushes nothing, `fsync` of the
/// directory alone would make a renamed file durable without its content.
fn sync(directory: &str) -> String {
    format!("sync -f {ESP} && sync {ESP}/{directory}")
}
