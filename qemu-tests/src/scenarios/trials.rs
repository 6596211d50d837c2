//! Proves (d) and the second half of (b): whatever a trial in slot B dies of, the machine comes back on A by itself, and A's
//! entry is as it was. Then a good, newer release with three tries commits.
//!
//! A boot file that was put together wrongly would come back too. So each trial must first say on the console what only
//! its own fault makes it say, and a kernel panics where it should and nowhere else.
//!
//! One disk, one QEMU: each return to A arms the next trial.

use anyhow::{Context as _, ensure};
use roamcore_disk::verity;

use crate::bootfile;
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::disk::{erofs, slot};
use crate::guest::Guest;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::release::Release;
use crate::scenarios::bench::{Bench, View, back_on_a, committed, prepare, rearm};
use crate::scenarios::corrupt::{SUPERBLOCK, UNREAD};
use crate::serial::Pattern;

/// The row.
pub const TEST: Test = Test {
    name: "trials",
    proves: "trials that hang, lack their root or have an altered one return to slot A untouched; a newer one commits",
    group: Group::All,
    needs: &[Need::Image, Need::Builder, Need::Tool("dump.erofs")],
    run,
};

/// A unit that the initrd waits for without end. PID 1 is well meanwhile and feeds the watchdog. First it says
/// [`HANGS`]: the initrd has no `echo`, but `sleep` repeats a time that it does not understand.
const HANG: &str = "[Service]\nTimeoutStartSec=infinity\nExecStartPre=-/usr/bin/sleep roamcore-trial-hangs\n\
                    ExecStartPre=/usr/bin/sleep infinity\n";
/// What the console shows of [`HANG`].
const HANGS: &str = "invalid time interval [^\n]*roamcore-trial-hangs";
/// What it shows of a root hash that no partition has: it is made of `0f`, and so is the partition's name.
const NOWHERE: &str = "Timed out waiting for device [^\n]*0f0f";
/// What the agent says in the initrd of slot B when everything is mounted.
const MOUNTED: &str = "root-b on [^\n]*: /var and /etc are ready";
/// What every panic of the kernel begins with.
const PANIC: &str = "Kernel panic - not syncing";

/// One trial that must fail.
struct Case {
    label: &'static str,
    file: &'static str,
    /// A bit of slot B that is inverted for it: offset in root-b.
    flip: Option<u64>,
    /// What the console must show of it, one after the other, before the machine resets (regular expressions).
    signs: Vec<String>,
    /// Whether its kernel is to panic.
    panics: bool,
    /// Seconds until it has failed, at most: time-outs of the image count real time, boots depend on the machine.
    limit: (u64, u64),
}

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let bench = prepare(ctx, ("0.2.0", 3), |release| {
        let nowhere = |line: &str| line.replace(&release.root_hash.to_string(), &"0f".repeat(32));
        let hang = bootfile::initrd_with(
            "usr/lib/systemd/system/roamcore-prepare-root.service.d",
            "hang.conf",
            HANG,
        );
        Ok(vec![
            ("roamcore.efi", release.uki.clone()),
            (
                "hang.efi",
                bootfile::rebuilt(&release.uki, str::to_owned, &hang)?,
            ),
            (
                "nowhere.efi",
                bootfile::rebuilt(&release.uki, nowhere, &[])?,
            ),
        ])
    })?;
    let unread = unread(&bench.release)?;
    let cases = [
        Case {
            label: "whose initrd hangs",
            file: "hang.efi",
            flip: None,
            signs: vec![HANGS.into(), "Timed out starting initrd.target".into()],
            panics: false,
            limit: (30, 260),
        },
        Case {
            label: "whose root is missing",
            file: "nowhere.efi",
            flip: None,
            signs: vec![NOWHERE.into(), "failed boot 1 of [0-9]+ of root-b".into()],
            panics: false,
            limit: (30, 120),
        },
        Case {
            label: "whose root has an altered superblock",
            file: "roamcore.efi",
            flip: Some(SUPERBLOCK),
            signs: vec![corrupted(SUPERBLOCK)],
            panics: true,
            limit: (30, 120),
        },
        Case {
            label: "with an altered bit that no boot reads",
            file: "roamcore.efi",
            flip: Some(unread),
            // The boot got past the initrd on altered data; the full read then found this very block.
            signs: vec![MOUNTED.into(), corrupted(unread)],
            panics: true,
            limit: (60, 120),
        },
    ];
    trials(ctx, bench, &cases)
}

fn trials(ctx: &Ctx, bench: Bench, cases: &[Case]) -> anyhow::Result<Vec<String>> {
    let Bench {
        state,
        release,
        entry_a,
    } = bench;
    let mut proofs = Vec::new();
    let mut guest = ctx.boot(&MachineSpec::default(), state, "trials")?;
    // It would take the slot out of use after a trial that it knows nothing of.
    guest.ok("systemctl mask --now roamcore.service && sync")?;
    let mut old = "none.conf";
    let mut version = String::new();
    for case in cases {
        let begun = std::time::Instant::now();
        if let Some(offset) = case.flip {
            flip(&mut guest, offset)?;
        }
        let resets = reboot_into(&mut guest, &release, old, "roamcore-b+1.conf", case.file)?;
        let (boots, seconds) = case.limit;
        let deadline = Deadline::secs(ctx.accel.patience(boots) + seconds);
        let seen = failed(&mut guest, case, &entry_a, resets, deadline)
            .with_context(|| format!("a trial {}", case.label))?;
        if let Some(offset) = case.flip {
            flip(&mut guest, offset)?;
        }
        old = "roamcore-b+0-1.conf";
        version = seen.version;
        proofs.push(format!(
            "a trial {}: back on {} by itself after {} s, A's entry byte-identical",
            case.label,
            seen.slot,
            begun.elapsed().as_secs()
        ));
    }
    reboot_into(
        &mut guest,
        &release,
        old,
        "roamcore-b+3.conf",
        "roamcore.efi",
    )?;
    guest.wait_up().context("good trial")?;
    proofs.push(committed(&mut guest, &release, &entry_a, &version)?);
    guest.discard();
    Ok(proofs)
}

/// Waits until the trial has died of its fault, and of nothing else, and the machine is back on A.
fn failed(
    guest: &mut Guest,
    case: &Case,
    entry_a: &[u8],
    resets: usize,
    deadline: Deadline,
) -> anyhow::Result<View> {
    let console = guest.machine()?.console()?;
    let before = console.count(PANIC);
    for sign in &case.signs {
        console
            .wait_for(Pattern::regex(sign)?, deadline)
            .context("it did not show its fault")?;
    }
    let seen = back_on_a(guest, entry_a, resets, deadline)?;
    let panics = guest.machine()?.console()?.count(PANIC) - before;
    ensure!(
        (panics > 0) == case.panics,
        "{panics} kernel panics on the console"
    );
    Ok(seen)
}

/// What the kernel says of the data block that holds this byte of the root.
fn corrupted(offset: u64) -> String {
    format!(
        "device-mapper: verity: [^\n]*data block {} is corrupted",
        offset / verity::BLOCK as u64
    )
}

/// Arms, presses reset, and gives the number of resets up to and with this one.
fn reboot_into(
    guest: &mut Guest,
    release: &Release,
    old: &str,
    name: &str,
    file: &str,
) -> anyhow::Result<usize> {
    rearm(guest, release, old, name, file)?;
    let resets = guest.machine()?.resets();
    guest.machine()?.reset()?;
    let deadline = guest.within(10);
    guest.wait_reset(resets, deadline)?;
    Ok(resets + 1)
}

/// Inverts a bit of root-b from the running slot A.
fn flip(guest: &mut Guest, offset: u64) -> anyhow::Result<()> {
    guest.ok(&format!(
        "d=/dev/disk/by-partlabel/root-b; b=$(od -An -tu1 -j {offset} -N 1 $d) && \
         printf \"\\\\x$(printf %x $((b ^ 16)))\" | dd of=$d bs=1 seek={offset} conv=notrunc,fsync status=none"
    ))?;
    Ok(())
}

/// Offset in the root of a bit in a file that no boot reads.
fn unread(release: &Release) -> anyhow::Result<u64> {
    let root = slot::root_of(release)?;
    let found = UNREAD
        .iter()
        .find_map(|path| erofs::block_of(root.path(), path).ok());
    Ok(found.context("no file to spoil")? + 100)
}
