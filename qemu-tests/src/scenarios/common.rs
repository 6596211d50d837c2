//! What scenarios share: the stage `provisioned` and the guest that only-looking tests share.
//!
//! ```text
//! image --keys enrolled, reset, first boot, facts asked, clean power-off--> stage "provisioned" --second boot--> shared guest
//! ```
//! The first boot runs in the Secure Boot firmware, in setup mode as delivered: what it enrols is there
//! for the later boots, which only the tests of Secure Boot make in that firmware.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::ensure;

use crate::context::{Ctx, Stage};
use crate::firmware::Firmware;
use crate::guest::Guest;
use crate::machine::spec::MachineSpec;
use crate::machine::state::MachineState;
use crate::net::Lan;
use crate::tool;

/// What systemd-boot says when it has put our keys into the firmware; it resets the machine then.
pub const ENROLLED: &str = "Secure Boot keys successfully enrolled";

/// Questions asked at every boot whose answers tests compare: name, command.
pub const QUESTIONS: &[(&str, &str)] = &[
    (
        "failed units",
        "systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1",
    ),
    ("machine-id", "cat /etc/machine-id"),
    (
        "ssh host keys",
        "cd /etc/ssh && sha256sum ssh_host_*_key.pub",
    ),
    ("boot id", "cat /proc/sys/kernel/random/boot_id"),
    (
        "version",
        ". /etc/os-release && printf '%s' \"$IMAGE_VERSION\"",
    ),
    ("root mount", "findmnt -no SOURCE,FSTYPE,OPTIONS /"),
    (
        "dm devices",
        "for d in /sys/block/dm-*/dm; do [ -e $d ] && echo \"$(cat $d/name) $(cat $d/uuid)\"; done; true",
    ),
    ("kernel command line", "cat /proc/cmdline"),
    // The loader's own word (systemd.io/BOOT_LOADER_INTERFACE), UTF-16 behind four bytes of attributes.
    (
        "entry",
        "tail -c +5 /sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f | tr -d '\\0'",
    ),
    (
        "secure boot",
        "tail -c 1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | od -An -tu1 | tr -d ' '",
    ),
    (
        "setup mode",
        "tail -c 1 /sys/firmware/efi/efivars/SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c | od -An -tu1 | tr -d ' '",
    ),
    ("uptime", "cut -d' ' -f1 /proc/uptime"),
];

/// Further questions, for the first boot and one later: an answer takes a second where the processor is emulated.
const FURTHER: &[(&str, &str)] = &[
    ("host name", "hostname"),
    // Answers that do not come at once are wrong, but say so in the check: sudo and mail would wait as long.
    ("full host name", "timeout 20 hostname -f || true"),
    (
        "own address",
        "timeout 20 getent ahostsv4 \"$(hostname)\" | awk '{ print $1 }' | sort -u || true",
    ),
    (
        "localhost",
        "timeout 20 getent ahostsv4 localhost | head -n 1 || true",
    ),
    (
        "io",
        "cat /sys/block/nvme0n1/queue/scheduler /sys/fs/cgroup/system.slice/roamcore.service/io.bfq.weight",
    ),
    (
        "tpm",
        "echo $([ -e /dev/tpmrm0 ] && echo 1) $(cat /sys/class/tpm/tpm0/tpm_version_major 2>/dev/null)",
    ),
    ("boots", "journalctl --list-boots --no-pager"),
    // journald's own word when it begins to write to the disk, thus with every limit in force.
    (
        "journal",
        "journalctl -b --no-pager -o cat -t systemd-journald | grep '^System Journal' | tail -n 1",
    ),
];

/// Asks all [`QUESTIONS`], and for systemd's verdict once it has settled.
pub fn facts(guest: &mut Guest) -> anyhow::Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::from([("state".to_owned(), guest.settled()?)]);
    for (name, command) in QUESTIONS {
        facts.insert((*name).to_owned(), guest.ok(command)?);
    }
    Ok(facts)
}

/// Asks [`facts`], and what is asked of two boots only.
pub fn all_facts(guest: &mut Guest) -> anyhow::Result<BTreeMap<String, String>> {
    let mut facts = facts(guest)?;
    for (name, command) in FURTHER {
        facts.insert((*name).to_owned(), guest.ok(command)?);
    }
    Ok(facts)
}

/// Fails unless the system is up without a failed unit.
pub fn ensure_healthy(facts: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let (state, units) = (&facts["state"], &facts["failed units"]);
    ensure!(
        state == "running",
        "systemd says `{state}`, failed units: {}",
        units.replace('\n', ", ")
    );
    ensure!(
        units.is_empty(),
        "failed units: {}",
        units.replace('\n', ", ")
    );
    Ok(())
}

/// First boot on the smallest disk, then a clean power-off.
pub fn provisioned(ctx: &Ctx) -> anyhow::Result<Rc<Stage>> {
    ctx.stage("provisioned", |ctx| {
        let state = ctx.new_machine(ctx.image()?.smallest_disk())?;
        let spec = MachineSpec {
            firmware: Firmware::Secure,
            // In this boot alone: firmware measures every boot file into it, which emulation makes slow.
            tpm: tool::find("swtpm").is_some(),
            ..MachineSpec::default()
        };
        let mut guest = ctx.boot(&spec, state, "first-boot")?;
        let facts = all_facts(&mut guest)?;
        let resets = guest.machine()?.resets();
        ensure!(
            resets == 1 && guest.machine()?.console()?.heard(ENROLLED),
            "{resets} resets during the first boot, wanted one, after the enrolment of keys"
        );
        Ok(Stage {
            state: guest.power_off()?.freeze(),
            facts,
        })
    })
}

/// Boots from `provisioned`, with a cable to the harness on LAN port 1 where the host allows it.
pub fn second_boot(ctx: &Ctx) -> anyhow::Result<Guest> {
    let state = fork(ctx)?;
    let spec = match Lan::impossible() {
        None => MachineSpec::default().with_tap(),
        Some(_) => MachineSpec::default(),
    };
    let mut guest = ctx.boot(&spec, state, "second-boot")?;
    // The shell is there before the last drivers are: what looks at devices must come later.
    guest.settled()?;
    Ok(guest)
}

/// A machine as `provisioned` left it.
pub fn fork(ctx: &Ctx) -> anyhow::Result<MachineState> {
    Ok(ctx.fork(&*provisioned(ctx)?)?)
}
