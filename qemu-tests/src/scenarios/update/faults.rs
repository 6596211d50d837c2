//! Proves the way back: whatever is wrong with a release or happens to the device, it ends on a slot that works, and
//! the server is told the truth.
//!
//! One device is offered one bad release after the other. Each ends where it began, so that the next one can follow.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::changes;
use super::road::{Kind, Offer, Road, UPDATE_SECONDS};
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::disk::esp::Esp;
use crate::fleet::Hurry;
use crate::guest::Guest;
use crate::registry::{Group, Need, Test};
use crate::release::Change;
use crate::scenarios::bench::{View, remove_entry, service_up};
use crate::serial::Pattern;
use crate::starved;

/// The row of what every change must leave working.
pub const ROLLBACK: Test = Test {
    name: "rollback",
    proves: "a release whose health gate fails, and one whose kernel panics, end on the old slot and the server is told why",
    group: Group::Ci,
    needs: super::NEEDS,
    run: rollback,
};

const MORE: &[Need] = &[
    Need::Image,
    Need::Builder,
    Need::Lan,
    Need::Fleet,
    Need::Tool("mdel"),
];

/// The row of what is found before a trial, and of a slot that only the boot finds damaged.
pub const SLOT: Test = Test {
    name: "faults-slot",
    proves: "what is wrong with an update or its slot is found, the device stays where it is, and the server is told why",
    group: Group::All,
    needs: MORE,
    run: slot,
};

/// The row of a release that never comes as far as the state partition.
pub const INITRD: Test = Test {
    name: "faults-initrd",
    proves: "a release whose initrd hangs ends on the old slot, and the server is told why",
    group: Group::All,
    needs: MORE,
    run: initrd,
};

/// The row of releases that hang or die later.
pub const TRIAL: Test = Test {
    name: "faults-trial",
    proves: "a release whose gate hangs or whose service dies ends on the old slot, and the server is told why",
    group: Group::All,
    needs: MORE,
    run: trial,
};

/// The row of the release that takes longest: nine tries, two boots of the old slot in between.
pub const FROZEN: Test = Test {
    name: "faults-frozen",
    proves: "a release whose PID 1 freezes is tried again as after a power cut, boundedly, and ends on the old slot",
    group: Group::All,
    needs: MORE,
    run: frozen,
};

/// The row of what is nobody's fault.
pub const POWER: Test = Test {
    name: "faults-power",
    proves: "cut power, a lost entry, no network and a slot that rots leave a slot that works, and a good release is not blamed",
    group: Group::All,
    needs: MORE,
    run: power,
};

/// What the server is told when the boot loader had enough.
const USED_UP: &str = "used up";
/// What it is told when no try came beyond the initrd ...
const NEVER_CAME_UP: &str = "0 of them came as far as the state partition";
/// ... and a line of the journal when one did; PID 1's, unless that is what stood still.
const JOURNAL: &str = " systemd[1]: ";
const JOURNAL_OF_ANYONE: &str = "] roamcore ";
/// What neither firmware nor boot loader say: a kernel's message, whichever comes through `quiet` first.
const KERNEL: &str = r"\[ +\d+\.\d{6}\] ";
/// KiB the service may need for an update, of any size.
const MOST_MEMORY: u64 = 64 * 1024;
/// Boots of a committed slot that end before anything of ours can say why, until the other one is taken.
const BOOTS_TO_FALL_OVER: usize = 8;
/// Seconds under KVM for all tries of a trial, its way back and its report: nine tries, where nothing tells a hang
/// from a power cut.
const TRIES_SECONDS: u64 = 8 * UPDATE_SECONDS;

/// A release that its trial does not survive.
struct Bad {
    what: &'static str,
    version: &'static str,
    sequence: u64,
    change: Change,
    /// What the server must have been told, among other things.
    why: &'static [&'static str],
    /// Resets from the one that began the trial to the old slot's, at most: the table in docs/update.md.
    resets: usize,
}

/// Three tries.
const TRIES: usize = 3;
/// Nine tries, and two boots of the old slot that arms the other one again.
const ALL_TRIES: usize = 3 * TRIES + 2;

fn rollback(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let bad = [
        Bad {
            what: "the health gate fails",
            version: "0.2.1",
            sequence: 11,
            change: changes::failing_gate,
            why: &["required units: roamcore-firewall.service", JOURNAL],
            resets: 1,
        },
        Bad {
            what: "the kernel panics",
            version: "0.2.2",
            sequence: 12,
            change: changes::panicking,
            why: &[USED_UP, NEVER_CAME_UP],
            resets: TRIES,
        },
    ];
    all_fail(ctx, &bad)
}

fn slot(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut road = Road::begin(ctx, Kind::Embedded)?;
    let offer = Offer::forced("0.3.1", 31, Some(changes::other_board));
    let proofs = vec![
        spoilt_leaf(&mut road, ctx)?,
        refused(&mut road, ctx, &offer, "board")?,
        state_full(&mut road, ctx)?,
        spoilt_root(&mut road, ctx)?,
    ];
    road.guest.discard();
    Ok(proofs)
}

fn initrd(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let bad = Bad {
        what: "the initrd hangs",
        version: "0.3.5",
        sequence: 35,
        change: changes::hanging_initrd,
        why: &[USED_UP, NEVER_CAME_UP],
        resets: TRIES,
    };
    all_fail(ctx, &[bad])
}

fn trial(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let bad = [
        Bad {
            what: "the health gate hangs",
            version: "0.3.7",
            sequence: 37,
            change: changes::hanging_gate,
            // In the journal of the try that ran into it, and of no other.
            why: &["deadline", "Starting roamcore-trial-expired.service"],
            // The timer reboots into the next try, whose service leads back.
            resets: 2,
        },
        Bad {
            what: "the update service dies again and again",
            version: "0.3.8",
            sequence: 38,
            change: changes::agent_dies,
            why: &["roamcore-health", JOURNAL],
            // Nobody leads back: the gate ends each try.
            resets: TRIES,
        },
    ];
    all_fail(ctx, &bad)
}

fn frozen(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let bad = Bad {
        what: "PID 1 is frozen",
        version: "0.3.6",
        sequence: 36,
        change: changes::frozen_pid_1,
        why: &[USED_UP, "3 of them came as far", JOURNAL_OF_ANYONE],
        resets: ALL_TRIES,
    };
    all_fail(ctx, &[bad])
}

fn power(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let road = Road::begin(ctx, Kind::Embedded)?;
    let mut proofs = Vec::new();
    let (mut road, proof) = entry_lost(road, ctx)?;
    proofs.push(proof);
    proofs.push(committed_entry_lost(&mut road, ctx)?);
    proofs.push(network_dead(&mut road, ctx)?);
    let (road, proof) = interrupted(road, ctx)?;
    proofs.push(proof);
    let (mut road, proof) = rotten(road, ctx)?;
    proofs.push(proof);
    // Lower than what was committed before that.
    proofs.push(refused(
        &mut road,
        ctx,
        &Offer::forced("0.3.12", 38, None),
        "sequence",
    )?);
    road.guest.discard();
    Ok(proofs)
}

/// One device, one bad release after the other.
fn all_fail(ctx: &Ctx, bad: &[Bad]) -> anyhow::Result<Vec<String>> {
    let mut road = Road::begin(ctx, Kind::Embedded)?;
    let proofs = bad.iter().map(|bad| fails(&mut road, ctx, bad)).collect();
    road.guest.discard();
    proofs
}

/// Deploys a release whose trial fails, and waits until the old one runs again.
fn fails(road: &mut Road, ctx: &Ctx, bad: &Bad) -> anyhow::Result<String> {
    let what = bad.what;
    let before = road.settled()?;
    let offer = Offer::forced(bad.version, bad.sequence, Some(bad.change));
    let begun = std::time::Instant::now();
    let action = road
        .deploy(ctx, &offer)
        .with_context(|| format!("a release in which {what}"))?;
    road.trial(action)
        .with_context(|| format!("a release in which {what}"))?;
    let trial = begun.elapsed().as_secs();
    let first = road.guest.machine()?.resets();
    let why = given_up(road, action, &before, bad.why)
        .with_context(|| format!("a release in which {what}"))?;
    let resets = road.guest.machine()?.resets() - first;
    ensure!(
        resets <= bad.resets,
        "{what}: back after {resets} resets, at most {} were to be",
        bad.resets
    );
    Ok(format!(
        "{what}: back on {} {} after {resets} resets, {} s after the trial began; the server was told {why}",
        before.slot,
        before.version,
        begun.elapsed().as_secs() - trial
    ))
}

/// Waits for the end of an action in an error that says `why`, and for the system that ran before.
fn given_up(road: &mut Road, action: i64, before: &View, why: &[&str]) -> anyhow::Result<String> {
    let told = road.over(action, TRIES_SECONDS)?;
    ensure!(told["status"] == "error", "the server was told {told}");
    let said = messages(&told);
    for why in why {
        ensure!(
            said.contains(why),
            "the server was not told `{why}`: {said}"
        );
    }
    road.guest.wait_up()?;
    same(road, before)?;
    Ok(said)
}

fn messages(told: &Value) -> String {
    told["history"][0]["messages"].to_string()
}

fn same(road: &mut Road, before: &View) -> anyhow::Result<()> {
    let seen = road.settled()?;
    ensure!(
        (&seen.slot, &seen.version, &seen.entry_a)
            == (&before.slot, &before.version, &before.entry_a)
            && !seen.on_trial,
        "it runs {seen:?}, not {before:?}"
    );
    Ok(())
}

fn other_slot(view: &View) -> &'static str {
    match view.slot.as_str() {
        "root-a" => "root-b",
        _ => "root-a",
    }
}

/// A release that the device must not write a byte of.
fn refused(road: &mut Road, ctx: &Ctx, offer: &Offer, why: &str) -> anyhow::Result<String> {
    let before = road.settled()?;
    // Sectors written, the seventh figure of Documentation/block/stat.rst, of both partitions; and what leads to them.
    let root = other_slot(&before);
    let counter = format!(
        "for p in {root} {}; do awk '{{print $7}}' /sys/class/block/$(basename $(readlink -f /dev/disk/by-partlabel/$p))/stat; done; \
         find /dev/disk/by-partuuid -type l -printf '%f %l\\n' | sort",
        root.replace("root", "verity")
    );
    let written = road.guest.ok(&counter)?;
    let resets = road.guest.machine()?.resets();
    let action = road.deploy(ctx, offer)?;
    let told = road.over(action, UPDATE_SECONDS)?;
    let said = messages(&told);
    ensure!(
        told["status"] == "error" && said.contains(why),
        "{}: the server was told {told}",
        offer.version
    );
    ensure!(
        road.guest.ok(&counter)? == written && road.guest.machine()?.resets() == resets,
        "something was written to the idle slot or the device was reset"
    );
    same(road, &before)?;
    let entries = road.settled()?.entries;
    ensure!(
        entries == before.entries,
        "boot entries were {:?} and are {entries:?}",
        before.entries
    );
    Ok(format!(
        "{} is refused before a byte is written; the server was told {said}",
        offer.version
    ))
}

/// No room is left on the state partition when the update begins.
fn state_full(road: &mut Road, ctx: &Ctx) -> anyhow::Result<String> {
    let before = road.settled()?;
    road.guest.ok(
        "fallocate -l $(($(df --output=avail -B1 /var | tail -n 1) - 65536)) /var/full; dd if=/dev/zero of=/var/rest bs=4096 2>/dev/null; \
         df -h /var; test $(df --output=avail -B1 /var | tail -n 1) -lt 65536",
    )?;
    let action = road.deploy(
        ctx,
        &Offer::forced("0.3.2", 32, Some(changes::overlay_and_arguments)),
    )?;
    let told = road.over(action, TRIES_SECONDS)?;
    let said = messages(&told);
    ensure!(
        told["status"] == "error" && said.contains("space"),
        "the server was told {told}"
    );
    road.guest.ok("rm -f /var/full /var/rest && sync")?;
    same(road, &before)?;
    Ok(format!(
        "no room on the state partition: still on {} {}; the server was told {said}",
        before.slot, before.version
    ))
}

/// Deploys a good release and waits until it is in its slot, proven, and waits for a person's word.
fn proven(road: &mut Road, ctx: &Ctx, version: &'static str, sequence: u64) -> anyhow::Result<i64> {
    let offer = Offer {
        hurry: Hurry::Soft,
        ..Offer::forced(version, sequence, Some(changes::overlay_and_arguments))
    };
    let action = road.deploy(ctx, &offer)?;
    road.written()?;
    Ok(action)
}

/// A bit of the idle slot turns after the slot was proven and before it is booted.
fn turn_a_bit(road: &mut Road, partition: &str, offset: u64) -> anyhow::Result<()> {
    road.guest.ok(&format!(
        "d=/dev/disk/by-partlabel/{partition}; b=$(od -An -tu1 -j {offset} -N 1 $d) && \
         printf \"\\\\x$(printf %x $((b ^ 16)))\" | dd of=$d bs=1 seek={offset} conv=notrunc,fsync status=none"
    ))?;
    Ok(())
}

/// The root's superblock: the slot's own service finds it when it mounts the root to carry settings over, and never
/// arms the slot.
fn spoilt_root(road: &mut Road, ctx: &Ctx) -> anyhow::Result<String> {
    let before = road.settled()?;
    let action = proven(road, ctx, "0.3.3", 33)?;
    let memory = service_memory(&mut road.guest)?;
    turn_a_bit(
        road,
        other_slot(&before),
        crate::scenarios::corrupt::SUPERBLOCK,
    )?;
    road.guest.ok("roamcore confirm")?;
    let told = road.over(action, TRIES_SECONDS)?;
    let said = messages(&told);
    ensure!(
        told["status"] == "error" && said.contains("could not be armed"),
        "the server was told {told}"
    );
    same(road, &before)?;
    Ok(format!(
        "a bit of the root's superblock turned after the write: still on {} {}; the server was told {said}; the service had \
         needed {memory} KiB at most for the update",
        before.slot, before.version
    ))
}

/// The hash of the root's first block, in the middle of the tree: nothing but a read of that block through verity can
/// notice, and the first to do so is the initrd that mounts it.
fn spoilt_leaf(road: &mut Road, ctx: &Ctx) -> anyhow::Result<String> {
    let before = road.settled()?;
    let action = proven(road, ctx, "0.3.4", 34)?;
    let tree = other_slot(&before).replace("root", "verity");
    let offset = first_leaf(&mut road.guest, &tree)?;
    turn_a_bit(road, &tree, offset)?;
    road.guest.ok("roamcore confirm")?;
    road.trial(action).context("a damaged slot")?;
    let why =
        given_up(road, action, &before, &[USED_UP, NEVER_CAME_UP]).context("a damaged slot")?;
    Ok(format!(
        "a bit of the hash tree turned after the write: back on {} {}; the server was told {why}",
        before.slot, before.version
    ))
}

/// Where a tree's lowest level begins, by the number of data blocks in its superblock (cryptsetup's "DMVerity" on-disk
/// format: 64 bits at byte 72). Levels lie behind the superblock's block, the highest first.
fn first_leaf(guest: &mut Guest, partition: &str) -> anyhow::Result<u64> {
    let blocks = guest.ok(&format!(
        "od -An -tu8 -j 72 -N 8 /dev/disk/by-partlabel/{partition} | tr -d ' '"
    ))?;
    let mut level = blocks
        .parse::<u64>()
        .with_context(|| format!("{partition} has {blocks:?} data blocks"))?
        .div_ceil(128);
    let mut above = 1;
    while level > 1 {
        level = level.div_ceil(128);
        above += level;
    }
    Ok(above * 4096)
}

/// KiB that the update service had resident at most since its start.
fn service_memory(guest: &mut Guest) -> anyhow::Result<u64> {
    let peak = guest.ok(
        "awk '/^VmHWM:/ {print $2}' /proc/$(systemctl show -P MainPID roamcore.service)/status",
    )?;
    let peak = peak.trim().parse().with_context(|| peak.clone())?;
    ensure!(
        peak <= MOST_MEMORY,
        "the update service had {peak} KiB resident"
    );
    Ok(peak)
}

/// The trial's boot entry is gone at its first boot.
fn entry_lost(mut road: Road, ctx: &Ctx) -> anyhow::Result<(Road, String)> {
    const ENTRIES: &str = "/loader/entries";
    let before = road.settled()?;
    let action = road.deploy(
        ctx,
        &Offer::forced("0.3.9", 39, Some(changes::overlay_and_arguments)),
    )?;
    road.trial(action)?;
    let mut gone = Vec::new();
    let mut road = road.cut(ctx, "entry-lost", |state| {
        let disk = state.disk.as_mut().context("no disk")?;
        let mut esp = Esp::open(disk)?;
        gone = esp.list(ENTRIES)?;
        gone.retain(|name| name.contains('+'));
        for name in &gone {
            esp.remove(&format!("{ENTRIES}/{name}"))?;
        }
        Ok(esp.write_back(disk)?)
    })?;
    ensure!(gone.len() == 1, "counted entries: {gone:?}");
    let why = given_up(&mut road, action, &before, &["entry"]).context("a lost entry")?;
    Ok((
        road,
        format!(
            "{} is gone from the ESP: still on {} {}; the server was told {why}",
            gone[0], before.slot, before.version
        ),
    ))
}

/// The entry of the running system is gone: the other slot is not touched, and what the manual says brings the entry back.
/// The updates that follow show that it is as good as the one that was lost.
fn committed_entry_lost(road: &mut Road, ctx: &Ctx) -> anyhow::Result<String> {
    let before = road.settled()?;
    let letter = before.slot.trim_start_matches("root-");
    let name = format!("roamcore-{letter}.conf");
    let lost = remove_entry(&mut road.guest, &name)?;
    let offer = Offer::forced("0.3.13", 42, None);
    let told = refused(road, ctx, &offer, "without a committed boot entry")?;
    let number = lost
        .lines()
        .find_map(|line| line.strip_prefix("version "))
        .with_context(|| format!("no version in {name}: {lost}"))?;
    let commands = manual("without a committed boot entry")?
        .replace("version N", &format!("version {}", number.trim()))
        .replace("/roamcore/X/", &format!("/roamcore/{letter}/"))
        .replace("roamcore-X.conf", &name);
    road.guest.ok(&format!("set -e\n{commands}"))?;
    service_up(&mut road.guest)?;
    let after = road.settled()?;
    ensure!(
        after.entries == before.entries && after.slot == before.slot,
        "by the manual's commands {before:?} became {after:?}"
    );
    Ok(format!(
        "{name} is gone while it runs: {told}; the manual's commands brought it back"
    ))
}

/// The commands that docs/update.md has below the words `heading`.
fn manual(heading: &str) -> anyhow::Result<String> {
    let page = include_str!("../../../../docs/update.md");
    let below = page.split_once(heading).map(|(_, below)| below);
    let block = below
        .and_then(|below| below.split_once("```sh\n"))
        .and_then(|(_, rest)| rest.split_once("```"));
    let (commands, _) = block.with_context(|| format!("no commands for `{heading}`"))?;
    Ok(commands.to_owned())
}

/// The network is gone when the trial begins: no reason to go back.
fn network_dead(road: &mut Road, ctx: &Ctx) -> anyhow::Result<String> {
    let offer = Offer::forced("0.3.10", 40, Some(changes::overlay_and_arguments));
    let action = road.deploy(ctx, &offer)?;
    road.trial(action)?;
    link(road, false)?;
    road.guest.wait_up().context("a trial without network")?;
    let deadline = road.guest.within(UPDATE_SECONDS);
    let commit = road.guest.run_until(
        "while [ -e /run/roamcore/trial.json ]; do sleep 2; done",
        deadline,
    )?;
    ensure!(commit.status == 0, "{}", commit.text());
    let seen = road.settled()?;
    ensure!(
        seen.version == offer.version && !seen.on_trial,
        "without network it runs {seen:?}"
    );
    link(road, true)?;
    let told = road.over(action, UPDATE_SECONDS)?;
    ensure!(told["status"] == "finished", "the server was told {told}");
    Ok(format!(
        "no network in the trial: {} is committed in {} all the same, and the server hears it later",
        seen.version, seen.slot
    ))
}

fn link(road: &mut Road, up: bool) -> anyhow::Result<()> {
    let order = json!({"name": "lan1", "up": up});
    road.guest
        .machine()?
        .qmp()
        .execute("set_link", order, Deadline::secs(30))?;
    Ok(())
}

/// The power is cut in each of the three tries: the entry is armed again, and interruptions are no verdict.
fn interrupted(mut road: Road, ctx: &Ctx) -> anyhow::Result<(Road, String)> {
    let offer = Offer::forced("0.3.11", 41, Some(changes::overlay_and_arguments));
    let action = road.deploy(ctx, &offer)?;
    road.trial(action)?;
    kernel_runs(&mut road).context("the first try")?;
    road = road.cut(ctx, "interrupted-1", |_| Ok(()))?;
    // One try that came up, and was not over, shows that the release is not what ended the other two.
    road.guest.wait_up().context("the second try")?;
    road.guest.ok("test -e /run/roamcore/trial.json")?;
    road = road.cut(ctx, "interrupted-2", |_| Ok(()))?;
    kernel_runs(&mut road).context("the third try")?;
    road = road.cut(ctx, "interrupted-3", |_| Ok(()))?;
    // Now the old slot runs, and leads to the trial again by itself.
    let resets = road.guest.machine()?.resets();
    let deadline = road.guest.within(UPDATE_SECONDS);
    road.guest
        .wait_reset(resets, deadline)
        .context("three interrupted tries were not armed again")?;
    road.guest.wait_up().context("the trial after three cuts")?;
    let told = road.over_after_trial(action, UPDATE_SECONDS)?;
    ensure!(told["status"] == "finished", "the server was told {told}");
    let seen = road.settled()?;
    ensure!(
        seen.version == offer.version && !seen.on_trial,
        "after three power cuts it runs {seen:?}"
    );
    Ok((
        road,
        format!(
            "power cut in all three tries: armed again, {} is committed in {}",
            seen.version, seen.slot
        ),
    ))
}

/// Right after a reset, or with a new machine: what was heard before is another kernel's.
fn kernel_runs(road: &mut Road) -> anyhow::Result<()> {
    let deadline = road.guest.within(60);
    let console = road.guest.machine()?.console()?;
    console.skip();
    console.wait_for(Pattern::regex(KERNEL)?, deadline)?;
    Ok(())
}

/// A block of the committed slot rots that every boot reads: no boot of it comes as far as to say so, and the other
/// slot runs all the same.
fn rotten(mut road: Road, ctx: &Ctx) -> anyhow::Result<(Road, String)> {
    let before = road.settled()?;
    road.guest.ok("sync")?;
    let mut road = road.cut(ctx, "rotten", |state| {
        let disk = state.disk.as_mut().context("no disk")?;
        let root = crate::disk::gpt::named(disk, &before.slot)?;
        Ok(disk.flip_bit(root.offset + crate::scenarios::corrupt::SUPERBLOCK)?)
    })?;
    let first = road.guest.machine()?.resets();
    for boot in 0..BOOTS_TO_FALL_OVER {
        let deadline = road.guest.within(120);
        road.guest
            .wait_reset(first + boot, deadline)
            .with_context(|| format!("boot {} of the rotten slot", boot + 1))?;
    }
    road.guest.wait_up().context("the other slot")?;
    let seen = road.settled()?;
    ensure!(
        seen.slot == other_slot(&before) && !seen.on_trial,
        "with {} rotten it runs {seen:?}",
        before.slot
    );
    let machine = road.guest.machine()?;
    // A boot that the emulator failed may or may not have come as far as where boots are counted.
    let most = BOOTS_TO_FALL_OVER + starved::boots(&machine.logs().file("console.log"));
    let boots = machine.resets() - first;
    ensure!(
        (BOOTS_TO_FALL_OVER..=most).contains(&boots),
        "it took {boots} boots and not {BOOTS_TO_FALL_OVER} to {most}"
    );
    service_up(&mut road.guest)?;
    let entries = crate::scenarios::bench::view(&mut road.guest)?.entries;
    let own = match seen.slot.as_str() {
        "root-a" => "roamcore-a.conf",
        _ => "roamcore-b.conf",
    };
    ensure!(
        entries == [own],
        "the rotten slot would be booted again: {entries:?}"
    );
    Ok((
        road,
        format!(
            "a bit of the committed slot turned: {boots} boots of {} {} end in a panic, then {} {} runs \
             and keeps the only entry",
            before.slot, before.version, seen.slot, seen.version
        ),
    ))
}
