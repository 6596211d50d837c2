//! Proves (a): the image boots to a healthy system on a verified, read-only root; partitions are made at first boot, each
//! as large as the specification says; after a clean power-off the second boot is the same machine and remembers the
//! first.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use roamcore_spec::{Appliance, Size};

use crate::context::Ctx;
use crate::disk::{Overlay, gpt, gpt::Partition, journal};
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::{all_facts, ensure_healthy, provisioned, second_boot};

/// The row.
pub const TEST: Test = Test {
    name: "boot",
    proves: "first boot is healthy on a verified read-only root and makes the partitions; identity and journal are kept",
    group: Group::Ci,
    needs: &[Need::Image, Need::Tool("swtpm")],
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
    let [source, kind, options] = root.split_whitespace().collect::<Vec<_>>()[..] else {
        bail!("findmnt says `{root}` of the root");
    };
    ensure!(kind == "erofs", "the root is `{kind}`, not erofs");
    ensure!(
        options.split(',').any(|option| option == "ro"),
        "the root is mounted `{options}`"
    );
    let devices = first.fact("dm devices")?;
    // What systemd-veritysetup calls the device that it makes of `roothash=`.
    ensure!(
        source == "/dev/mapper/root"
            && devices.lines().any(|d| d.starts_with("root CRYPT-VERITY-")),
        "the root is `{source}`, which is no verity device among `{devices}`"
    );
    let line = first.fact("kernel command line")?;
    let signed = ctx.image()?.manifest["root_hash"].clone();
    let hash = signed.as_str().context("the manifest has no root hash")?;
    ensure!(
        line.split(' ')
            .any(|word| word == format!("roothash={hash}")),
        "the root hash is {hash}, and the kernel was told {line}"
    );
    proofs.push(
        "the root is erofs, read-only, behind dm-verity with the manifest's root hash".into(),
    );

    ensure!(
        first.fact("tpm")? == "1 2",
        "/dev/tpmrm0 and its TPM's version: `{}`",
        first.fact("tpm")?
    );
    proofs.push("the TPM 2.0 is there as /dev/tpmrm0".into());
    let io = first.fact("io")?;
    ensure!(
        io.contains("[bfq]") && io.contains("default 20"),
        "nothing makes the update service wait for others' I/O: `{io}`"
    );
    proofs.push("the disk's scheduler is BFQ and the update service's weight a fifth".into());
    check_names(&ctx.image()?.spec()?, &first.facts)?;
    check_journal(first.fact("journal")?)?;

    let disk = first.state.disk().context("the stage has no disk")?;
    let table = gpt::partitions(disk)?;
    let names = check_partitions(&table, &ctx.image()?.spec()?, disk.size()?)?;
    proofs.push(format!(
        "partitions on {} GB: {names}",
        disk.size()? / 1_000_000_000
    ));

    proofs.push(check_taken_journal(disk)?);

    ctx.with_shared(second_boot, |guest| {
        let second = all_facts(guest)?;
        ensure_healthy(&second).context("second boot")?;
        for same in [
            "machine-id",
            "ssh host keys",
            "host name",
            "version",
            "entry",
        ] {
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
        check_journal(&second["journal"])?;
        let earlier = first.fact("boot id")?.replace('-', "");
        ensure!(
            second["boots"].contains(&earlier),
            "the journal does not know the first boot {earlier}: {}",
            second["boots"]
        );
        proofs.push(format!(
            "second boot is healthy; machine-id {id}, SSH host keys, host name {} and the first boot's journal are kept",
            second["host name"]
        ));
        Ok(())
    })?;
    Ok(proofs)
}

/// Checks that a failed test would have the journal of a machine whose shell is silent.
fn check_taken_journal(disk: &Overlay) -> anyhow::Result<String> {
    let to = tempfile::tempdir()?;
    let text = to.path().join("journal.txt");
    let lines = journal::keep(disk, to.path(), &text)?;
    let journal = std::fs::read_to_string(&text)?;
    for wanted in [
        "Linux version",
        "Reached target multi-user.target",
        "/var/log/journal/",
    ] {
        ensure!(
            journal.contains(wanted),
            "{lines} lines of journal were read from the disk, and none has `{wanted}`"
        );
    }
    // Before that nothing would end a system whose PID 1 stands still.
    let fed = journal.find("Using hardware watchdog");
    let root = journal.find("Switching root");
    ensure!(
        fed.zip(root).is_some_and(|(fed, root)| fed < root),
        "the journal does not have the hardware watchdog in the initrd: fed at {fed:?}, the root at {root:?} of it"
    );
    Ok(format!(
        "the first boot's journal, {lines} lines, is read from the disk without the guest; the watchdog is fed from the \
         initrd on"
    ))
}

/// Checks that the host is called as the specification says and knows itself and `localhost`, itself never on 127.x:
/// Proxmox refuses that.
fn check_names(appliance: &Appliance, facts: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let (name, full) = (&facts["host name"], &facts["full host name"]);
    ensure!(
        name == appliance.hostname.as_str() && full == name,
        "the host is called `{name}`, in full `{full}`, the specification says `{}`",
        appliance.hostname
    );
    let addresses = &facts["own address"];
    ensure!(
        !addresses.is_empty() && !addresses.lines().any(|a| a.starts_with("127.")),
        "{name} has the address `{addresses}`"
    );
    let localhost = &facts["localhost"];
    ensure!(
        localhost.starts_with("127.0.0.1"),
        "localhost is `{localhost}`"
    );
    Ok(())
}

/// Checks journald's own word on where it writes and how much at most: on the state partition, and not more than the
/// image says.
fn check_journal(said: &str) -> anyhow::Result<()> {
    ensure!(
        said.starts_with("System Journal (/var/log/journal/")
            && (said.contains(", max 512M,") || said.contains(", max 512.0M,")),
        "journald says `{said}`, wanted at most 512M in /var/log/journal"
    );
    Ok(())
}

/// What systemd-repart may make of the last MiB before the backup table and of the part of a MiB at the disk's end,
/// which [`Appliance::on_disk`] gives to nobody.
const SLACK: u64 = 2 << 20;

/// Compares the table with what the specification says of a disk of this size; gives the names with their sizes.
pub fn check_partitions(
    table: &[Partition],
    appliance: &Appliance,
    disk: u64,
) -> anyhow::Result<String> {
    const MIB: u64 = 1 << 20;
    let planned = appliance.on_disk(Size::from_bytes(disk))?.partitions;
    ensure!(
        table.len() == planned.len(),
        "{} partitions, the specification has {}",
        table.len(),
        planned.len()
    );
    let mut end = planned.first().map_or(0, |first| first.start.bytes());
    for (found, wanted) in table.iter().zip(&planned) {
        let plan = &wanted.planned;
        ensure!(
            (found.number, found.name.as_str()) == (plan.number, plan.label),
            "partition {} is `{}`, wanted {} `{}`",
            found.number,
            found.name,
            plan.number,
            plan.label
        );
        let slack = if plan.max == Some(plan.min) { 0 } else { SLACK };
        ensure!(
            found.length.abs_diff(wanted.size.bytes()) <= slack,
            "`{}` has {} bytes, the specification says {}, {} bytes",
            found.name,
            found.length,
            wanted.size,
            wanted.size.bytes()
        );
        // One behind the other: what grows moves what follows it.
        let gap = found.offset.checked_sub(end);
        ensure!(
            gap.is_some_and(|gap| gap < MIB),
            "`{}` begins at {}, what is before it ends at {end}",
            found.name,
            found.offset
        );
        end = found.offset + found.length;
    }
    ensure!(
        disk.checked_sub(end).is_some_and(|rest| rest <= SLACK),
        "the last partition ends at {end}, the disk has {disk} bytes"
    );
    let uuids: std::collections::BTreeSet<&str> = table.iter().map(|p| p.uuid.as_str()).collect();
    ensure!(
        uuids.len() == table.len(),
        "two partitions have one PARTUUID"
    );
    Ok(table
        .iter()
        .map(|p| format!("{} {} MiB", p.name, p.length / MIB))
        .collect::<Vec<_>>()
        .join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use roamcore_spec::load;
    use std::path::Path;

    const DISK: u64 = 128_000_000_000;

    /// What is done to a good table.
    type Change = fn(&mut Vec<Partition>);

    fn appliance() -> Appliance {
        let name = "roamcore".parse().unwrap();
        load::document::<Appliance>(&load::appliance_path(Path::new(".."), &name))
            .unwrap()
            .into_value()
    }

    /// The table as planned, with what grows and what follows it moved as systemd-repart does.
    fn table() -> Vec<Partition> {
        let planned = appliance().on_disk(Size::from_bytes(DISK)).unwrap();
        let parts = planned.partitions.iter().map(|p| Partition {
            number: p.planned.number,
            name: p.planned.label.into(),
            offset: p.start.bytes(),
            length: p.size.bytes(),
            kind: String::new(),
            uuid: p.planned.label.into(),
        });
        let mut table: Vec<_> = parts.collect();
        // It rounds shares to 4 KiB and not to a MiB, and takes what is left before the backup table.
        let mut moved = 0;
        for (part, more) in table.iter_mut().skip(7).zip([0, 409_600, 307_200, 614_400]) {
            part.offset += moved;
            part.length += more;
            moved += more;
        }
        table
    }

    #[test]
    fn only_the_specified_sizes_in_the_specified_order_pass() {
        let text = check_partitions(&table(), &appliance(), DISK).unwrap();
        assert!(text.contains("identity 64 MiB, state "), "{text}");
        let changes: [(Change, &str); 8] = [
            (|t| t[1].length -= 4096, "`root-a` has 6442446848 bytes"),
            (|t| t[8].length += 3 << 20, "`guests` has "),
            (|t| t[8].offset += 2 << 20, "`guests` begins at "),
            (|t| t[8].offset -= 4096, "`guests` begins at "),
            (
                |t| t.swap(8, 9),
                "partition 10 is `video`, wanted 9 `guests`",
            ),
            (|t| drop(t.pop()), "10 partitions, the specification has 11"),
            (
                |t| t[10].length -= 2_600_000,
                "the last partition ends at 127997",
            ),
            (|t| t[3].uuid = t[1].uuid.clone(), "one PARTUUID"),
        ];
        for (change, complaint) in changes {
            let mut table = table();
            change(&mut table);
            let error = check_partitions(&table, &appliance(), DISK).unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }
}
