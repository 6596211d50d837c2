//! A machine with a release in slot B, on trial: what the scenarios of trials share.
//!
//! Owns the edits of the ESP, from outside while the machine is off and from inside while slot A runs, and the looks at what
//! became of a trial. Secure Boot is off: boot files that must fail are not signed, and it is not what fails here.

use std::rc::Rc;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::disk::esp::Esp;
use crate::disk::slot;
use crate::firmware::Firmware;
use crate::guest::Guest;
use crate::machine::state::MachineState;
use crate::release::Release;
use crate::scenarios::common::{ensure_healthy, facts, fork};

/// Slot A's entry.
pub const ENTRY_A: &str = "/loader/entries/roamcore-a.conf";
/// Where entries are.
const ENTRIES: &str = "/loader/entries";
/// Where slot B's boot files are.
const FILES_B: &str = "/EFI/roamcore/b";
/// Keys that systemd-boot would enrol: without them unsigned UKIs may be tried.
const KEYS: [&str; 3] = ["PK", "KEK", "db"];
/// Where the guest mounts the ESP for a moment.
const MOUNT: &str = "/run/esp";
/// Where the process that keeps the ESP's lock for us writes its number.
const HOLDER: &str = "/run/esp.holder";

/// A machine with a release in slot B, and what its trials are compared with.
pub struct Bench {
    /// The machine, powered off.
    pub state: MachineState,
    /// What is in slot B.
    pub release: Rc<Release>,
    /// Slot A's entry as it was before the first trial.
    pub entry_a: Vec<u8>,
}

/// Text of slot B's entry for one of its boot files.
pub fn entry(release: &Release, file: &str) -> String {
    format!(
        "title RoamCore OS {}\nsort-key roamcore\nversion {}\nefi {FILES_B}/{file}\n",
        release.version, release.sequence
    )
}

/// Puts a release and boot files (name, bytes) into slot B of a provisioned machine; arms nothing.
pub fn prepare(
    ctx: &Ctx,
    (version, sequence): (&str, u64),
    ukis: impl FnOnce(&Release) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>>,
) -> anyhow::Result<Bench> {
    let release = ctx.release(version, sequence)?;
    let ukis = ukis(&release)?;
    let mut state = fork(ctx)?;
    Firmware::fresh_vars(&state.vars)?;
    let disk = state.disk.as_mut().context("no disk")?;
    slot::install_b(disk, &release)?;
    let mut esp = Esp::open(disk)?;
    for key in KEYS {
        esp.remove(&format!("/loader/keys/auto/{key}.auth"))?;
    }
    for (name, bytes) in ukis {
        esp.write(&format!("{FILES_B}/{name}"), &bytes)?;
    }
    let entry_a = esp.read(ENTRY_A)?;
    esp.write_back(disk)?;
    Ok(Bench {
        state,
        release,
        entry_a,
    })
}

impl Bench {
    /// Arms a trial while the machine is off.
    pub fn arm(&mut self, name: &str, file: &str) -> anyhow::Result<()> {
        let disk = self.state.disk.as_mut().context("no disk")?;
        let mut esp = Esp::open(disk)?;
        esp.write(
            &format!("{ENTRIES}/{name}"),
            entry(&self.release, file).as_bytes(),
        )?;
        Ok(esp.write_back(disk)?)
    }
}

/// What the guest runs on and has on its ESP.
#[derive(Debug)]
pub struct View {
    /// `root-a` or `root-b`.
    pub slot: String,
    /// Version of the running system.
    pub version: String,
    /// Whether it is on trial.
    pub on_trial: bool,
    /// Names of the entries.
    pub entries: Vec<String>,
    /// Slot A's entry; empty when it has none, as after trials in A that failed.
    pub entry_a: Vec<u8>,
}

/// Looks at a running guest and at its ESP.
pub fn view(guest: &mut Guest) -> anyhow::Result<View> {
    let facts = guest.ok("cat /run/roamcore/slot.json")?;
    let facts: serde_json::Value = serde_json::from_str(&facts).with_context(|| facts.clone())?;
    let on_trial = guest.run("test -e /run/roamcore/trial.json")?.status == 0;
    with_esp(guest, |guest| {
        let entries: Vec<String> = guest
            .ok(&format!("ls {MOUNT}{ENTRIES}"))?
            .lines()
            // Beside entries there are names that fill gaps until the next start of the service.
            .filter(|name| name.ends_with(".conf"))
            .map(str::to_owned)
            .collect();
        let entry_a = if entries.iter().any(|name| ENTRY_A.ends_with(name)) {
            guest.read_file(&format!("{MOUNT}{ENTRY_A}"))?
        } else {
            Vec::new()
        };
        Ok(View {
            slot: facts["slot"].as_str().unwrap_or_default().to_owned(),
            version: guest.ok(". /etc/os-release && printf '%s' \"$IMAGE_VERSION\"")?,
            on_trial,
            entries,
            entry_a,
        })
    })
}

/// Arms the next trial from the running system: the entry `name` for `file`, instead of `old`.
pub fn rearm(
    guest: &mut Guest,
    release: &Release,
    old: &str,
    name: &str,
    file: &str,
) -> anyhow::Result<()> {
    with_esp(guest, |guest| {
        guest.ok(&format!("rm -f {MOUNT}{ENTRIES}/{old}"))?;
        Ok(guest.write_file(
            &format!("{MOUNT}{ENTRIES}/{name}"),
            entry(release, file).as_bytes(),
        )?)
    })
}

/// Removes an entry; gives what it said.
pub fn remove_entry(guest: &mut Guest, name: &str) -> anyhow::Result<String> {
    with_esp(guest, |guest| {
        let file = format!("{MOUNT}{ENTRIES}/{name}");
        Ok(guest.ok(&format!("cat {file} && rm {file}"))?)
    })
}

fn with_esp<T>(
    guest: &mut Guest,
    work: impl FnOnce(&mut Guest) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // The lock that the device's own programs hold while they have it mounted: neither side meets the other's mount. It
    // is kept by a process of its own, as every command here is one.
    guest.ok(&format!(
        "rm -f {HOLDER}; flock -w 120 /run/roamcore/esp.lock sh -c 'echo $$ > {HOLDER}; exec sleep 600' >/dev/null 2>&1 & \
         n=0; until [ -s {HOLDER} ] || [ $n -ge 100 ]; do n=$((n + 1)); sleep 1; done; \
         mkdir -p {MOUNT}; mount -t vfat /dev/disk/by-partlabel/esp {MOUNT}"
    ))?;
    let result = work(guest);
    guest.ok(&format!("umount {MOUNT} && kill $(cat {HOLDER})"))?;
    result
}

/// Waits until the update service has put the other slot's part of the ESP right, which it does at its start: an entry
/// that a test arms before would look like a cut's remains.
pub fn service_up(guest: &mut Guest) -> anyhow::Result<()> {
    let deadline = guest.within(120);
    let up = guest.run_until(
        "n=0; until systemctl -q is-active roamcore.service; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 1; done",
        deadline,
    )?;
    ensure!(up.status == 0, "the update service is not up");
    Ok(())
}

/// Waits until the trial has failed by itself `resets` resets from the machine's start, and the machine is up on A again.
pub fn back_on_a(
    guest: &mut Guest,
    bench_entry: &[u8],
    resets: usize,
    deadline: Deadline,
) -> anyhow::Result<View> {
    guest
        .wait_reset(resets, deadline)
        .context("the trial did not fail by itself")?;
    guest.wait_up().context("after the failed trial")?;
    let seen = view(guest)?;
    ensure!(
        seen.slot == "root-a" && !seen.on_trial,
        "it came back on {seen:?}"
    );
    // The update service clears it away, now or in a moment.
    ensure!(
        seen.entries == ["roamcore-a.conf", "roamcore-b+0-1.conf"]
            || seen.entries == ["roamcore-a.conf"],
        "entries after the failed trial: {:?}",
        seen.entries
    );
    ensure!(seen.entry_a == bench_entry, "slot A's entry has changed");
    Ok(seen)
}

/// The guest runs slot B on trial: it must become healthy and commit.
pub fn committed(
    guest: &mut Guest,
    release: &Release,
    entry_a: &[u8],
    before: &str,
) -> anyhow::Result<String> {
    let facts = facts(guest)?;
    ensure_healthy(&facts)?;
    let seen = view(guest)?;
    ensure!(
        seen.slot == "root-b" && seen.version == release.version,
        "it runs {seen:?}, not {} in slot B",
        release.version
    );
    ensure!(
        !seen.on_trial && seen.entries == ["roamcore-a.conf", "roamcore-b.conf"],
        "not committed: {seen:?}"
    );
    ensure!(seen.entry_a == entry_a, "slot A's entry has changed");
    let journal = guest.ok(
        "journalctl -b --no-pager -o cat -u roamcore-verify-slot -u roamcore-commit | tail -n 12",
    )?;
    let read = journal
        .lines()
        .find(|line| line.starts_with("read "))
        .map(str::to_owned);
    let read = read.with_context(|| format!("no full read before the commit: {journal}"))?;
    let bytes: u64 = read
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or_default();
    ensure!(
        bytes == release.root.1,
        "`{read}`, but the slot has {} bytes",
        release.root.1
    );
    Ok(format!(
        "{} (sequence {}) is tried over {before}, healthy; `{read}`; its counter is gone",
        release.version, release.sequence
    ))
}
