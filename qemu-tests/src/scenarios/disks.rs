//! Proves (h): each appliance makes the right partitions on the disks it is made for, and refuses a smaller one with the
//! size it needs.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::disk::gpt;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::boot::check_partitions;
use crate::scenarios::common::{ensure_healthy, facts, provisioned};
use crate::serial::Pattern;

/// Disks are sold by these.
const GB: u64 = 1_000_000_000;

/// `bare` on its smallest disk.
pub const BARE: Test = Test {
    name: "disk-32",
    proves: "bare makes its partitions on a 32 GB disk",
    group: Group::All,
    needs: &[Need::Appliance("roamcore-bare")],
    run: |ctx| partitions(ctx, &[32 * GB]),
};

/// `roamcore` on its smallest disk and on a large one.
pub const ROAMCORE: Test = Test {
    name: "disk-128",
    proves: "roamcore makes its partitions on a 128 GB and on a 1 TB disk; the two are different machines",
    group: Group::All,
    needs: &[Need::Appliance("roamcore")],
    run: |ctx| partitions(ctx, &[128 * GB, 1000 * GB]),
};

/// Any appliance on a disk that is too small.
pub const TOO_SMALL: Test = Test {
    name: "disk-small",
    proves: "a disk that is too small is refused with the size it needs",
    group: Group::All,
    needs: &[Need::Image],
    run: too_small,
};

fn partitions(ctx: &Ctx, sizes: &[u64]) -> anyhow::Result<Vec<String>> {
    let appliance = ctx.image()?.spec()?;
    let mut proofs = Vec::new();
    let mut machines: Vec<Facts> = Vec::new();
    for &size in sizes {
        let gb = size / GB;
        let (table, facts) = if size == ctx.image()?.smallest_disk() {
            let stage = provisioned(ctx)?;
            let table = gpt::partitions(stage.state.disk().context("no disk")?)?;
            (table, stage.facts.clone())
        } else {
            first_boot(ctx, size).with_context(|| format!("on {gb} GB"))?
        };
        ensure_healthy(&facts).with_context(|| format!("on {gb} GB"))?;
        let names =
            check_partitions(&table, &appliance, size).with_context(|| format!("on {gb} GB"))?;
        proofs.push(format!("{gb} GB: {names}"));
        machines.push(facts);
    }
    if let [one, other] = &machines[..] {
        for own in ["machine-id", "ssh host keys"] {
            ensure!(
                one[own] != other[own],
                "two machines of one image have the same {own}: {}",
                one[own]
            );
        }
        proofs.push("machine-id and SSH host keys differ between the two".into());
    }
    Ok(proofs)
}

/// What a guest answered: name, answer.
type Facts = BTreeMap<String, String>;

/// The partitions and the answers after a first boot on a disk of `size` bytes.
fn first_boot(ctx: &Ctx, size: u64) -> anyhow::Result<(Vec<gpt::Partition>, Facts)> {
    let state = ctx.new_machine(size)?;
    let mut guest = ctx.boot(&MachineSpec::default(), state, "first-boot")?;
    let facts = facts(&mut guest)?;
    let state = guest.power_off()?;
    let table = gpt::partitions(state.disk.as_ref().context("no disk")?)?;
    Ok((table, facts))
}

fn too_small(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    // Holds the image as written, with nothing left for what first boot must make.
    let raw = ctx.image_size()?;
    let size = (raw + (64 << 20)).next_multiple_of(1 << 20);
    let mut guest = ctx.start(&MachineSpec::default(), ctx.new_machine(size)?, "too-small")?;
    let deadline = guest.within(60);
    let refusal = Pattern::regex(
        "is too small for [^\n]*: it has [0-9]+ bytes [^\n]*, [0-9]+ bytes \\([0-9]+ GB\\) are needed[^\n]*",
    )?;
    let said = guest.machine()?.console()?.wait_for(refusal, deadline)?;
    let line = said
        .lines()
        .next_back()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [has, needed] = numbers[..] else {
        anyhow::bail!("no two sizes in `{line}`");
    };
    let smallest = ctx.image()?.smallest_disk();
    ensure!(has == size, "it says {has} bytes, the disk has {size}");
    ensure!(
        needed > size && needed <= smallest,
        "it asks for {needed} bytes, the appliance is for disks from {smallest}"
    );
    let state = guest.wait_off(deadline)?;
    let table = gpt::partitions(state.disk.as_ref().context("no disk")?)?;
    ensure!(
        table.iter().all(|p| p.name != "state"),
        "the disk was partitioned all the same"
    );
    Ok(vec![
        format!("on {} MiB the console says: {line}", size >> 20),
        "nothing was partitioned, and the machine powered itself off".into(),
    ])
}
