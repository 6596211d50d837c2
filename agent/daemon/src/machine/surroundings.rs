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

/// Directories below /var whose content a newer release may change so that an older one cannot use it, and the service
/// that writes there.
const SNAPSHOTS: [(&str, &str, &str); 1] =
    [("pve-cluster", "lib/pve-cluster", "pve-cluster.service")];
/// A service that takes longer to stop is killed by PID 1, which then answers.
const STOPPING: Duration = Duration::from_secs(120);
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

    fn evidence(&self, boot: Option<&str>) -> Evidence {
        evidence::collect(&self.places, &Programs, boot)
    }

    fn snapshot(&mut self) -> Result<(), DeviceError> {
        let state = self.places.roots.facts().join("state");
        for (name, below, _) in SNAPSHOTS {
            let directory = self.places.var.join(below);
            if directory.is_dir() {
                snapshot::take(&state, self.running, name, &directory)
                    .map_err(|error| passing(&error))?;
            }
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), DeviceError> {
        self.restore_with(&Programs)
    }

    fn forget(&mut self) -> Result<(), DeviceError> {
        // Those of an arming in which the other slot ran are of no use after its rollback either.
        let state = self.places.roots.facts().join("state");
        for slot in [self.running, self.running.other()] {
            snapshot::forget(&state, slot).map_err(|error| passing(&error))?;
        }
        Ok(())
    }
}

impl Machine {
    /// Each directory's service is stopped meanwhile, and started again whatever happened.
    fn restore_with(&self, programs: &dyn System) -> Result<(), DeviceError> {
        let state = self.places.roots.facts().join("state");
        for (name, below, service) in SNAPSHOTS {
            if !snapshot::path(&state, self.running, name).is_dir() {
                continue;
            }
            let ask = |verb: &str| match programs.run("systemctl", &[verb, service], STOPPING) {
                Ok(output) if output.success => Ok(()),
                Ok(output) => Err(DeviceError::new(
                    Trouble::Passing,
                    format!("systemctl {verb} {service}: {}", output.ending),
                )),
                Err(error) => Err(passing(&error)),
            };
            ask("stop")?;
            let directory = self.places.var.join(below);
            let restored = snapshot::restore(&state, self.running, name, &directory);
            let started = ask("start");
            restored.map_err(|error| passing(&error))?;
            started?;
            log::notice(format!("{name} is as it was before the trial"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::time::Instant;

    use super::*;
    use crate::health::{Output, ProgramError};

    /// Notes what is asked of systemctl, and what is in the directory then.
    struct Watched<'a> {
        asked: RefCell<Vec<String>>,
        file: &'a std::path::Path,
        works: bool,
    }

    impl System for Watched<'_> {
        fn run(&self, _: &str, words: &[&str], _: Duration) -> Result<Output, ProgramError> {
            let text = fs::read_to_string(self.file).unwrap();
            self.asked
                .borrow_mut()
                .push(format!("{}: {text}", words.join(" ")));
            Ok(Output {
                success: self.works,
                ending: "ended".into(),
                stdout: String::new(),
                stderr: String::new(),
            })
        }

        fn uptime(&self) -> Duration {
            Duration::ZERO
        }

        fn now(&self) -> Instant {
            Instant::now()
        }

        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn state_is_put_back_while_its_service_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let data = places.var.join("lib/pve-cluster");
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(places.roots.facts().join("state")).unwrap();
        let file = data.join("config.db");
        fs::write(&file, "old").unwrap();
        let image = Image {
            product: "bare".into(),
            board: "vp2430".into(),
            version: "1".into(),
            development: true,
            made: None,
        };
        let mut machine = Machine::new(places, image, Slot::A);
        let watched = |works| Watched {
            asked: RefCell::default(),
            file: &file,
            works,
        };
        // Without a copy no service is touched.
        let programs = watched(true);
        machine.restore_with(&programs).unwrap();
        assert!(programs.asked.borrow().is_empty());
        machine.snapshot().unwrap();
        fs::write(&file, "new").unwrap();
        // A service that does not stop would write over what is put back.
        let error = machine.restore_with(&watched(false)).unwrap_err();
        assert!(
            error.reason.contains("systemctl stop pve-cluster.service"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        machine.restore_with(&programs).unwrap();
        assert_eq!(
            *programs.asked.borrow(),
            [
                "stop pve-cluster.service: new",
                "start pve-cluster.service: old"
            ]
        );
        machine.forget().unwrap();
        fs::write(&file, "later").unwrap();
        machine.restore_with(&programs).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "later");
    }
}
