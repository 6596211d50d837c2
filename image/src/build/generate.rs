//! Files that follow from the board and the appliance.
//!
//! Owns: turning facts into the configuration that programs of the image read. Never does: know
//! anything about a board that `board.toml` does not say.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use roamcore_agent::layout::Layout;
use roamcore_ota::Channel;
use roamcore_spec::{Appliance, Board, Origin, Planned, Role};

use super::guids;
use crate::tree::{Kind, Node, Tree};

/// What distinguishes one build from another of the same sources.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Version, as in the release.
    pub version: String,
    /// Deployment sequence, as in the release.
    pub sequence: u64,
    /// Development or release.
    pub channel: Channel,
}

/// `/usr/lib/os-release` (os-release(5)).
pub fn os_release(appliance: &Appliance, identity: &Identity) -> String {
    let channel = match identity.channel {
        Channel::Development => "development",
        Channel::Release => "release",
    };
    format!(
        "NAME=\"{title}\"\nPRETTY_NAME=\"{title} {version}\"\nID=roamcore\nID_LIKE=debian\n\
         VERSION_ID={version}\nIMAGE_ID={product}\nIMAGE_VERSION={version}\nROAMCORE_BOARD={board}\n\
         ROAMCORE_CHANNEL={channel}\nROAMCORE_SEQUENCE={sequence}\nROAMCORE_EPOCH={epoch}\n",
        title = appliance.title,
        version = identity.version,
        product = appliance.product,
        board = appliance.board,
        sequence = identity.sequence,
        epoch = appliance.update.security_epoch,
    )
}

/// systemd's manager settings for the board's watchdog (systemd-system.conf(5)).
fn watchdog_conf(board: &Board) -> String {
    format!(
        "# Made from board.toml.\n[Manager]\nRuntimeWatchdogSec={}\nRebootWatchdogSec={}\n",
        board.watchdog.timeout_seconds, board.watchdog.reboot_timeout_seconds
    )
}

/// Modules the watchdog needs, loaded by name because no device asks for them in time. Where the firmware has a WDAT table
/// the kernel gives the timer to that driver and keeps it from the other; each is idle where it has nothing to do.
fn watchdog_modules(board: &Board) -> String {
    let watchdog = &board.watchdog;
    let drivers = [Some(&watchdog.module), watchdog.wdat_module.as_ref()];
    let modules = watchdog.needs.iter().chain(drivers.into_iter().flatten());
    modules.map(|m| format!("{m}\n")).collect()
}

/// NICs are named by the root port they hang from: ID_PATH has bus numbers, which change.
fn nic_rules(board: &Board) -> String {
    let mut rules = String::from("# Made from board.toml.\n");
    for nic in &board.nic {
        let _ = writeln!(
            rules,
            "SUBSYSTEM==\"net\", ACTION==\"add\", KERNELS==\"{}\", NAME=\"{}\"",
            nic.root_port, nic.name
        );
    }
    rules
}

/// tmpfiles lines that reserve a device below a root port for vfio-pci by address. All NICs of the
/// board share one device id, so an id would reserve them all. The path is the real one: below a
/// link such as /sys/bus/pci/devices/* systemd-tmpfiles matches no pattern, and says nothing.
fn passthrough_conf(board: &Board) -> String {
    let mut conf = String::from("# Made from board.toml.\n");
    for nic in board.nic.iter().filter(|nic| nic.passthrough) {
        let port = nic.root_port.to_string();
        let bus = port.rsplit_once(':').map_or(port.as_str(), |(bus, _)| bus);
        let _ = writeln!(
            conf,
            "w /sys/devices/pci{bus}/{port}/0000:*/driver_override - - - - vfio-pci"
        );
    }
    conf
}

/// repart.d(5) definitions of the partitions made on first boot. They are taken in the order of their names.
fn repart_definitions(appliance: &Appliance) -> Vec<(String, String)> {
    appliance
        .layout()
        .iter()
        .filter(|part| part.origin == Origin::FirstBoot)
        .map(|part| {
            let mut text = format!(
                "[Partition]\nType={}\nLabel={}\n",
                guids::partition_type(part.role),
                part.label
            );
            if part.role != Role::Guests {
                text += "Format=ext4\n";
            }
            let _ = writeln!(text, "SizeMinBytes={}", part.min.bytes());
            if let Some(max) = part.max {
                let _ = writeln!(text, "SizeMaxBytes={}", max.bytes());
            }
            let _ = writeln!(
                text,
                "Weight={}",
                if part.max == Some(part.min) {
                    0
                } else {
                    part.weight
                }
            );
            (format!("{:03}-{}.conf", part.number * 10, part.label), text)
        })
        .collect()
}

/// What the agent needs to know in the initrd.
fn layout(appliance: &Appliance) -> Result<Vec<u8>> {
    let labels = appliance
        .layout()
        .iter()
        .map(|p| p.label.to_owned())
        .collect();
    let layout = Layout::new(
        appliance.product.as_str(),
        appliance.minimum_disk().bytes(),
        labels,
    )
    .context("describing the layout")?;
    Ok(layout.to_json().into())
}

/// A mount unit for a data partition; the boot goes on without it.
fn mount_unit(part: &Planned, mount: &str) -> (String, String) {
    let name = mount
        .trim_matches('/')
        .replace('-', "\\x2d")
        .replace('/', "-");
    let what = format!("/dev/disk/by-partlabel/{}", part.label);
    let text = format!(
        "# Made from the appliance.\n[Unit]\nDescription=Partition {0}\nBefore=local-fs.target\n\
         Requires=systemd-fsck@dev-disk-by\\x2dpartlabel-{0}.service\n\
         After=systemd-fsck@dev-disk-by\\x2dpartlabel-{0}.service\n\n\
         [Mount]\nWhat={what}\nWhere={mount}\nType=ext4\nOptions=noatime,nosuid,nodev,noexec\n",
        part.label
    );
    (format!("{name}.mount"), text)
}

/// Files that the initrd gets besides what it takes from the image.
pub fn initrd_files(appliance: &Appliance, board: &Board) -> Result<Vec<(String, u32, Vec<u8>)>> {
    let mut files = vec![
        (
            "etc/systemd/system.conf.d/10-roamcore.conf".to_owned(),
            watchdog_conf(board),
        ),
        (
            "etc/modules-load.d/roamcore.conf".to_owned(),
            watchdog_modules(board),
        ),
    ];
    for (name, text) in repart_definitions(appliance) {
        files.push((format!("usr/lib/roamcore/repart.d/{name}"), text));
    }
    let mut files: Vec<_> = files
        .into_iter()
        .map(|(p, t)| (p, 0o644, t.into_bytes()))
        .collect();
    files.push((
        "usr/lib/roamcore/layout.json".to_owned(),
        0o644,
        layout(appliance)?,
    ));
    Ok(files)
}

/// Adds the generated files to the image's tree.
pub fn add(
    tree: &mut Tree,
    appliance: &Appliance,
    board: &Board,
    board_text: &str,
    identity: &Identity,
    roles: &[u8],
) -> Result<()> {
    let host = appliance.hostname.as_str();
    // Our own prefix for what the image itself installs, so that an owner's file in /etc wins.
    let files = [
        ("usr/lib/os-release", os_release(appliance, identity)),
        ("etc/hostname", format!("{host}\n")),
        ("etc/machine-id", "uninitialized\n".to_owned()),
        (
            "etc/issue",
            format!("{} {} \\n \\l\n\n", appliance.title, identity.version),
        ),
        (
            "usr/lib/systemd/system.conf.d/10-roamcore.conf",
            watchdog_conf(board),
        ),
        (
            "usr/lib/modules-load.d/roamcore-board.conf",
            watchdog_modules(board),
        ),
        (
            "usr/lib/udev/rules.d/76-roamcore-nics.rules",
            nic_rules(board),
        ),
        ("usr/lib/roamcore/passthrough.conf", passthrough_conf(board)),
        ("usr/lib/roamcore/board.toml", board_text.to_owned()),
    ];
    for (path, text) in files {
        tree.insert_bytes(path, 0o644, text)
            .with_context(|| format!("adding /{path}"))?;
    }
    tree.insert_bytes("usr/lib/roamcore/layout.json", 0o644, layout(appliance)?)?;
    tree.insert_bytes(crate::roles::IN_IMAGE, 0o644, roles)?;
    for part in &appliance.layout() {
        if let Some(mount) = &part.mount {
            let (name, text) = mount_unit(part, mount.as_str());
            let unit = format!("usr/lib/systemd/system/{name}");
            tree.insert_bytes(&unit, 0o644, text)?;
            tree.insert_symlink(
                &format!("usr/lib/systemd/system/local-fs.target.wants/{name}"),
                &format!("../{name}"),
            )?;
            tree.insert(mount.as_str(), Node::root(Kind::Dir, 0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_names_of_definitions_sort_as_the_partitions_lie() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliances/roamcore.toml");
        let appliance = roamcore_spec::load::document::<Appliance>(&path).unwrap();
        let appliance = appliance.into_value();
        let mut names: Vec<String> = repart_definitions(&appliance)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.sort();
        let labels: Vec<&str> = names.iter().map(|name| &name[4..name.len() - 5]).collect();
        assert_eq!(labels, ["identity", "state", "guests", "video", "backup"]);
    }
}
