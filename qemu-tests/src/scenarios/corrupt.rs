//! Proves (b): a changed byte in root-a never reaches a program. In a block that is read at boot it stops the boot; in one
//! that is not, reading the whole slot (as the agent does before it commits) finds it.

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::disk::{Overlay, erofs, gpt};
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::fork;
use crate::serial::Pattern;

/// The row.
pub const TEST: Test = Test {
    name: "corrupt",
    proves: "one changed bit in the root partition stops the boot or is found by a full read, and is never used",
    group: Group::Ci,
    needs: &[Need::Image, Need::Tool("dump.erofs")],
    run,
};

/// EROFS's superblock (its documentation, "On-disk details"): read by every mount.
/// Past the checksummed start: bytes 64.. hold the volume's name and reserved fields. Only verity can notice.
pub const SUPERBLOCK: u64 = 1024 + 70;

/// Files that every Debian root has and that no boot reads; the first one found is used.
pub const UNREAD: [&str; 3] = [
    "/usr/share/common-licenses/GPL-3",
    "/usr/share/perl5/unicore/Name.pl",
    "/usr/share/zoneinfo/tzdata.zi",
];

/// What the kernel says of a block whose hash is wrong.
const VERDICT: &str =
    "device-mapper: verity: [^\n]*(data block|metadata block) [0-9]+ is corrupted";

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut proofs = vec![read_block(ctx).context("a block that is read")?];
    proofs.extend(unread_block(ctx).context("a block that is not read")?);
    Ok(proofs)
}

/// A bit in the superblock: the boot must not get past the initrd.
fn read_block(ctx: &Ctx) -> anyhow::Result<String> {
    let mut state = fork(ctx)?;
    let disk = state.disk.as_mut().context("no disk")?;
    let root = gpt::named(disk, "root-a")?;
    disk.flip_bit(root.offset + SUPERBLOCK)?;
    let mut guest = ctx.start(&MachineSpec::default(), state, "read-block")?;
    let deadline = guest.within(60);
    let machine = guest.machine()?;
    machine
        .console()?
        .wait_for(Pattern::regex(VERDICT)?, deadline)?;
    machine
        .wait_event("RESET", 0, deadline)
        .context("the kernel noticed, yet the machine was not reset")?;
    ensure!(
        !machine.console()?.heard("login:"),
        "a login prompt came up on altered data"
    );
    guest.discard();
    Ok("a bit in the superblock: verity reports it, no login, the machine resets".into())
}

/// A bit in a file nobody reads: the boot works, a full read finds it, and the file cannot be read.
fn unread_block(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut state = fork(ctx)?;
    let disk = state.disk.as_mut().context("no disk")?;
    let (offset, path) = find_unread(disk)?;
    disk.flip_bit(offset)?;
    let mut guest = ctx.boot(&MachineSpec::default(), state, "unread-block")?;
    let up = guest.settled()?;
    ensure!(up == "running", "systemd says `{up}`");
    ensure!(
        !guest.machine()?.console()?.heard(Pattern::regex(VERDICT)?),
        "{path} was read during boot: choose another file"
    );

    // Either the read fails, or the kernel panics in the middle of it; both are right, success is not.
    let resets = guest.machine()?.resets();
    guest.fire(
        "dd if=/dev/mapper/root of=/dev/null bs=1M iflag=direct && echo ALL-READ || echo REFUSED",
    )?;
    let deadline = guest.within(120);
    loop {
        let machine = guest.machine()?;
        ensure!(
            !machine.channel.pending("ALL-READ"),
            "the whole slot was read and the changed bit in {path} not found"
        );
        if machine.channel.pending("REFUSED") || machine.resets() > resets {
            break;
        }
        ensure!(
            deadline.pause(200),
            "the full read did not end in {} s",
            deadline.seconds()
        );
    }
    let soon = guest.within(5);
    let seen = guest
        .machine()?
        .console()?
        .wait_for(Pattern::regex(VERDICT)?, soon);
    seen.context("the read stopped without verity's verdict on the console")?;
    let how = if guest.machine()?.resets() > resets {
        "panic and reset"
    } else {
        "a read error"
    };
    guest.discard();
    Ok(vec![
        format!("a bit in {path}: boots healthy, the file is not read"),
        format!("reading the whole slot ends in {how} with verity's verdict"),
    ])
}

/// Offset on the disk of a block of the first of [`UNREAD`] that the root has.
fn find_unread(disk: &Overlay) -> anyhow::Result<(u64, &'static str)> {
    let root = gpt::named(disk, "root-a")?;
    let copy = tempfile::NamedTempFile::new()?;
    disk.extract(root.offset, root.length, copy.path())?;
    let mut reasons = Vec::new();
    for path in UNREAD {
        match erofs::block_of(copy.path(), path) {
            Ok(within) => return Ok((root.offset + within + 100, path)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    anyhow::bail!("no file to spoil: {}", reasons.join("; "))
}
