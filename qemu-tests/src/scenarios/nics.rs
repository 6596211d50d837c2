//! Proves (f): the WAN NIC is bound to vfio-pci from the start, the other three keep their driver and form the LAN bridge;
//! all four sit in IOMMU groups of their own; names follow the root ports of the board file.

use anyhow::ensure;

use crate::context::Ctx;
use crate::guest::Guest;
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::second_boot;

/// The row.
pub const TEST: Test = Test {
    name: "nics",
    proves: "the WAN NIC belongs to vfio-pci, the others to the host's bridge, each in its own IOMMU group and rightly named",
    group: Group::Ci,
    needs: &[Need::Image],
    run,
};

/// Root port function below 00:1c, name of the interface (none: given away to the router).
const ROLES: [(u8, Option<&str>); 4] = [
    (1, None),
    (2, Some("nic1")),
    (3, Some("nic2")),
    (6, Some("nic3")),
];

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    ctx.with_shared(second_boot, look)
}

fn look(guest: &mut Guest) -> anyhow::Result<Vec<String>> {
    let mut proofs = Vec::new();
    let mut groups = Vec::new();
    for (function, name) in ROLES {
        // One question for each port: bus numbers are the firmware's choice, so the device is found below its port.
        let answer = guest.ok(&format!(
            "cd /sys/bus/pci/devices/0000:00:1c.{function}/0000:*:00.0 && basename $PWD && \
             basename $(readlink driver) && basename $(readlink iommu_group) && ls iommu_group/devices | wc -l && \
             echo $(ls net 2>/dev/null)"
        ))?;
        let lines: Vec<&str> = answer.lines().collect();
        let [address, driver, group, members, rest @ ..] = lines.as_slice() else {
            anyhow::bail!("port 1c.{function} answered `{answer}`");
        };
        let interface = rest.first().copied().unwrap_or_default();
        ensure!(
            *members == "1",
            "{address} shares IOMMU group {group} with {members} devices"
        );
        groups.push(group.to_string());
        match name {
            None => ensure!(
                *driver == "vfio-pci" && interface.is_empty(),
                "WAN {address}: driver {driver}, interface `{interface}`"
            ),
            Some(name) => {
                ensure!(*driver != "vfio-pci", "{address} was given away");
                ensure!(
                    interface == name,
                    "the NIC at 1c.{function} is `{interface}`, not `{name}`"
                );
            }
        }
        proofs.push(format!(
            "1c.{function} -> {address} {} driver {driver}, IOMMU group {group} alone",
            name.unwrap_or("wan")
        ));
    }
    groups.sort();
    groups.dedup();
    ensure!(
        groups.len() == ROLES.len(),
        "only {} IOMMU groups for four NICs",
        groups.len()
    );

    let members = guest.ok("ls /sys/class/net/vmbr0/brif")?;
    ensure!(
        members.split_whitespace().eq(["nic1", "nic2", "nic3"]),
        "vmbr0 holds `{}`",
        members.replace('\n', " ")
    );
    let address = guest.ok("ip -4 -brief address show dev vmbr0")?;
    ensure!(address.contains("192.168.50.2/24"), "vmbr0 has `{address}`");
    let dmesg = guest.ok(
        "dmesg | grep -c -i 'DMAR: IOMMU enabled\\|DMAR: Intel(R) Virtualization Technology'",
    )?;
    proofs.push(format!(
        "vmbr0 192.168.50.2/24 holds nic1, nic2, nic3; VT-d is on ({dmesg} kernel lines)"
    ));
    Ok(proofs)
}
