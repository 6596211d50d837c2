//! What the engine's device asks of the machine around the slots.
//!
//! Owns: the boot's id, the clock, the reboot, the snapshot of state that a trial may change.
//! Never does: decide when to reboot.

use std::time::Duration;

use roamcore_agent::efivar;
use roamcore_agent::files::{self, At, IoAt};
use roamcore_agent::slot::Slot;
use roamcore_agent::{log, mounts};
use roamcore_engine::device::Surroundings;
use roamcore_engine::{BootId, Destination, DeviceError, Evidence, Trouble};
use roamcore_ota::Timestamp;
use roamcore_slots::snapshot;

use super::evidence;
use crate::chain::chain;
use crate::health::{Machine as Programs, System};
use crate::image::Image;
use crate::places::Places;

/// Directories below /var whose content a newer release may change so that an older one cannot use it.
const SNAPSHOTS: [(&str, &str); 1] = [("pve-cluster", "lib/pve-cluster")];
/// systemctl only asks; PID 1 does the rest.
const ASKING: Duration = Duration::from_secs(30);
const SYNC: Duration = Duration::from_secs(10);

/// The machine.
#[derive(Debug)]
pub(super) struct Machine {
    places: Places,
    image: Image,
    running: Slot,
}

impl Machine {
    pub(super) fn new(places: Places, image: Image, running: Slot) -> Self {
        Self {
            places,
            image,
            running,
        }
    }

    /// Names the entry that the boot loader shall take next, once. Without it the counter leads back too,
    /// after the tries that are left.
    fn choose(&self, entry: &str) -> Result<(), IoAt> {
        let roots = &self.places.roots;
        let variables = roots.sys.join("firmware/efi/efivars");
        mounts::ensure_efivarfs(roots)
            .map_err(std::io::Error::other)
            .at("mount efivarfs at", &variables)?;
        let path = variables.join(efivar::ENTRY_ONE_SHOT);
        efivar::delete(&path)?;
        efivar::replace(&path, &efivar::encode_text(entry))
    }
}

fn passing(error: &dyn std::error::Error) -> DeviceError {
    DeviceError::new(Trouble::Passing, chain(error))
}

impl Surroundings for Machine {
    fn boot(&self) -> Result<BootId, DeviceError> {
        let path = self.places.roots.proc.join("sys/kernel/random/boot_id");
        let text = files::read_text(&path, 64).map_err(|error| passing(&error))?;
        Ok(BootId(text.trim().to_owned()))
    }

    fn clock(&self) -> Option<Timestamp> {
        Timestamp::from_unix(u64::try_from(self.image.clock()?).ok()?).ok()
    }

    fn reboot(&mut self, destination: Destination, entry: Option<&str>) -> Result<(), DeviceError> {
        if let (Destination::Committed, Some(entry)) = (destination, entry)
            && let Err(error) = self.choose(entry)
        {
            log::warning(format!(
                "the way back takes the remaining tries: {}",
                chain(&error)
            ));
        }
        // What the journal has not written yet is the reason that support will look for.
        drop(Programs.run("journalctl", &["--sync"], SYNC));
        let arguments: &[&str] = match destination {
            Destination::Trial => &["reboot", "--no-block"],
            // Services of a trial that failed may not stop either; file systems are still unmounted.
            Destination::Committed => &["reboot", "--force"],
        };
        match Programs.run("systemctl", arguments, ASKING) {
            Ok(output) if output.success => Ok(()),
            Ok(output) => {
                let reason = format!(
                    "systemctl reboot: {}: {}",
                    output.ending,
                    output.stderr.trim()
                );
                Err(DeviceError::new(Trouble::Passing, reason))
            }
            Err(error) => Err(passing(&error)),
        }
    }

    fn evidence(&self, boots: &[String]) -> Evidence {
        evidence::collect(&self.places, &Programs, boots)
    }

    fn snapshot(&mut self) -> Result<(), DeviceError> {
        let state = self.places.roots.facts().join("state");
        for (name, below) in SNAPSHOTS {
            let directory = self.places.var.join(below);
            if directory.is_dir() {
                snapshot::take(&state, self.running, name, &directory)
                    .map_err(|error| passing(&error))?;
            }
        }
        Ok(())
    }
}
