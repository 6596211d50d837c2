//! Proves (a): the image boots to a healthy system on a verified, read-only root; partitions are made at first boot; after a
//! clean power-off the second boot is the same machine.

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::disk::{gpt, gpt::Partition};
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::{ensure_healthy, facts, provisioned, second_boot};

/// The row.
pub const TEST: Test = Test {
    name: "boot",
    proves: "first boot is healthy on a verified read-only root and makes the partitions; the second keeps the identity",
    group: Group::Ci,
    needs: &[Need::Image],
    run,
};

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let first = provisioned(ctx)?;
    ensure_healthy(&first.facts).context("first boot")?;
    let mut proofs = vec![format!(
        "first boot of {} is healthy after {} s, no failed unit",
        first.fact("version")?,
        first.fact("uptime")?
    )];

    let root = first.fact("root mount")?;
    let (kind, options) = root.split_once(' ').unwrap_or((root, ""));
    ensure!(kind == "erofs", "the root is `{kind}`, not erofs");
    ensure!(
        options.split(',').any(|option| option == "ro"),
        "the root is mounted `{options}`"
    );
    let devices = first.fact("dm devices")?;
    ensure!(
        devices.lines().any(|d| d.contains(" CRYPT-VERITY-")),
        "no verity device among `{devices}`"
    );
    let line = first.fact("kernel command line")?;
    ensure!(
        line.contains("roothash="),
        "no root hash on the kernel's command line: {line}"
    );
    proofs.push("the root is erofs, read-only, behind dm-verity with the UKI's root hash".into());

    let disk = first.state.disk().context("the stage has no disk")?;
    let table = gpt::partitions(disk)?;
    let names = check_partitions(&table, disk.size()?)?;
    proofs.push(format!(
        "partitions on {} GB: {names}",
        disk.size()? / 1_000_000_000
    ));

    ctx.with_shared(second_boot, |guest| {
        let second = facts(guest)?;
        ensure_healthy(&second).context("second boot")?;
        for same in ["machine-id", "ssh host keys", "version", "entry"] {
            ensure!(
                first.fact(same)? == second[same],
                "{same} changed from `{}` to `{}`",
                first.facts[same],
                second[same]
            );
        }
        ensure!(
            first.fact("boot id")? != second["boot id"],
            "the second boot has the first one's boot id"
        );
        let id = &second["machine-id"];
        ensure!(
            id.len() == 32 && id != "uninitialized",
            "machine-id is `{id}`"
        );
        proofs.push(format!(
            "second boot is healthy and keeps machine-id {id} and the SSH host keys"
        ));
        Ok(())
    })?;
    Ok(proofs)
}

/// Checks what holds on every disk; gives the names with their sizes.
pub fn check_partitions(table: &[Partition], disk: u64) -> anyhow::Result<String> {
    const MIB: u64 = 1 << 20;
    for (number, name) in (1..).zip(["esp", "root-a", "verity-a", "root-b", "verity-b"]) {
        let found = table
            .iter()
            .find(|p| p.number == number)
            .map(|p| p.name.as_str());
        ensure!(
            found == Some(name),
            "partition {number} is {found:?}, not `{name}`"
        );
    }
    let size = |name: &str| {
        table
            .iter()
            .find(|p| p.name == name)
            .map(|p| p.length)
            .with_context(|| format!("no partition `{name}`"))
    };
    ensure!(
        size("root-a")? == size("root-b")?,
        "the slots' roots differ in size"
    );
    ensure!(
        size("verity-a")? == size("verity-b")?,
        "the slots' hash trees differ in size"
    );
    size("state")?;
    let uuids: std::collections::BTreeSet<&str> = table.iter().map(|p| p.uuid.as_str()).collect();
    ensure!(
        uuids.len() == table.len(),
        "two partitions have one PARTUUID"
    );
    let mut by_place: Vec<&Partition> = table.iter().collect();
    by_place.sort_by_key(|p| p.offset);
    for pair in by_place.windows(2) {
        ensure!(
            pair[0].offset + pair[0].length <= pair[1].offset,
            "{} runs into {}",
            pair[0].name,
            pair[1].name
        );
    }
    let last = by_place.last().context("the table is empty")?;
    let unused = disk.saturating_sub(last.offset + last.length);
    ensure!(
        unused < 64 * MIB,
        "{} MiB behind the last partition `{}` are unused",
        unused / MIB,
        last.name
    );
    Ok(table
        .iter()
        .map(|p| format!("{} {} MiB", p.name, p.length / MIB))
        .collect::<Vec<_>>()
        .join(", "))
}
