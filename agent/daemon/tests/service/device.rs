//! A device of two slots in memory.
//!
//! Owns: what a disk, a boot loader and a judge would do, as far as the service can see it.

use std::sync::{Arc, Mutex};

use roamcore_agent::slot::Slot;
use roamcore_engine::record::Memory;
use roamcore_engine::{
    BootId, Destination, Device, DeviceError, Entry, Evidence, Facts, Judgement, Payload,
    PlanFacts, Release, SlotFacts, Stage, Target, Trouble, Watch,
};
use roamcore_ota::{Digest, Floors};

/// Shared by the test and the service.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<Disk>>);

pub struct Disk {
    pub facts: Facts,
    /// A reboot was asked for.
    pub reboot: Option<Destination>,
    pub written: Vec<u8>,
    boots: u32,
}

fn slot(slot: Slot, version: Option<(&str, u64)>) -> SlotFacts {
    let release = version.map(|(version, sequence)| Release {
        product: "bare".parse().unwrap(),
        version: version.parse().unwrap(),
        sequence,
        security_epoch: 1,
    });
    SlotFacts {
        slot,
        root_hash: release
            .as_ref()
            .map(|release| Digest::of(release.version.to_string().as_bytes())),
        entry: if release.is_some() {
            Entry::Committed
        } else {
            Entry::Absent
        },
        uki: release.is_some(),
        release,
    }
}

impl Machine {
    /// 1.0.0 committed in root-a, nothing in root-b.
    pub fn new() -> Self {
        let facts = Facts {
            boot: BootId("boot-0".into()),
            running: slot(Slot::A, Some(("1.0.0", 10))),
            idle: slot(Slot::B, None),
            on_trial: false,
            failure_sign: None,
            came_up: 0,
        };
        Self(Arc::new(Mutex::new(Disk {
            facts,
            reboot: None,
            written: Vec::new(),
            boots: 0,
        })))
    }

    pub fn disk<T>(&self, look: impl FnOnce(&mut Disk) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Boots what the boot loader would.
    pub fn boot(&self) {
        self.disk(|disk| {
            let target = disk.reboot.take().unwrap();
            disk.boots += 1;
            let facts = &mut disk.facts;
            facts.boot = BootId(format!("boot-{}", disk.boots));
            match (target, facts.idle.entry) {
                (Destination::Trial, Entry::Counted { left, done }) => {
                    std::mem::swap(&mut facts.running, &mut facts.idle);
                    facts.running.entry = Entry::Counted {
                        left: left - 1,
                        done: done + 1,
                    };
                    facts.on_trial = true;
                }
                (Destination::Committed, _) if facts.on_trial => {
                    std::mem::swap(&mut facts.running, &mut facts.idle);
                    facts.on_trial = false;
                }
                other => panic!("{other:?}"),
            }
        });
    }

    /// What `roamcore-commit.service` does.
    pub fn commit(&self) {
        self.disk(|disk| {
            disk.facts.running.entry = Entry::Committed;
            disk.facts.on_trial = false;
        });
    }
}

/// The test's `update.json`: version, sequence and the size of root.000, in words.
pub fn manifest(version: &str, sequence: u64, size: usize) -> Vec<u8> {
    format!("{version} {sequence} {size}").into_bytes()
}

fn fetch(payload: &mut dyn Payload, name: &str) -> Result<Vec<u8>, DeviceError> {
    let size = payload
        .size(name)?
        .ok_or_else(|| DeviceError::new(Trouble::Passing, format!("no {name}")))?;
    let mut bytes = Vec::new();
    payload.fetch(name, 0..size, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// The device that the service works on.
pub struct Hands(pub Machine);

impl Device for Hands {
    fn facts(&mut self) -> Result<Facts, DeviceError> {
        Ok(self.0.disk(|disk| disk.facts.clone()))
    }

    fn judge(&mut self, payload: &mut dyn Payload, _: &Memory) -> Result<Judgement, DeviceError> {
        let text = String::from_utf8(fetch(payload, "update.json")?).unwrap();
        let mut words = text.split(' ');
        let (version, sequence) = (
            words.next().unwrap(),
            words.next().unwrap().parse().unwrap(),
        );
        let running = self.facts()?.running;
        if sequence < running.release.unwrap().sequence {
            let reason = format!("sequence {sequence} is below the floor 10");
            return Err(DeviceError {
                trouble: Trouble::Final,
                code: 33,
                reason,
            });
        }
        let wanted = slot(Slot::B, Some((version, sequence)));
        Ok(Judgement::Wanted(Target {
            manifest: Digest::of(text.as_bytes()),
            release: wanted.release.unwrap(),
            root_hash: wanted.root_hash.unwrap(),
            expires: None,
            root_bytes: words.next().unwrap().parse().unwrap(),
            floors: Floors::default(),
            created: None,
        }))
    }

    fn invalidate(&mut self) -> Result<(), DeviceError> {
        self.0
            .disk(|disk| disk.facts.idle = slot(disk.facts.idle.slot, None));
        Ok(())
    }

    fn plan(
        &mut self,
        target: &Target,
        _: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let total = target.root_bytes;
        watch.planned(PlanFacts {
            download_bytes: total,
            full_bytes: total,
            write_bytes: total,
            requests: 1,
        })
    }

    fn write(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let total = target.root_bytes;
        let start = self.0.disk(|disk| disk.written.len() as u64);
        payload.fetch("root.000", start..total, &mut |piece| {
            let done = self.0.disk(|disk| {
                disk.written.extend_from_slice(piece);
                disk.written.len() as u64
            });
            watch.progress(Stage::Writing, done, total)
        })
    }

    fn read_back(&mut self, _: &Target, _: &mut dyn Watch) -> Result<(), DeviceError> {
        Ok(())
    }

    fn publish(&mut self, target: &Target) -> Result<(), DeviceError> {
        self.0.disk(|disk| {
            disk.facts.idle.root_hash = Some(target.root_hash);
            disk.facts.idle.release = Some(target.release.clone());
        });
        Ok(())
    }

    fn write_uki(
        &mut self,
        _: &Target,
        _: &mut dyn Payload,
        _: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        self.0.disk(|disk| disk.facts.idle.uki = true);
        Ok(())
    }

    fn arm(&mut self, _: &Target, _: Option<roamcore_ota::Timestamp>) -> Result<(), DeviceError> {
        self.0
            .disk(|disk| disk.facts.idle.entry = Entry::Counted { left: 3, done: 0 });
        Ok(())
    }

    fn restore(&mut self, _: &Target) -> Result<(), DeviceError> {
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), DeviceError> {
        self.0.disk(|disk| disk.facts.idle.entry = Entry::Absent);
        Ok(())
    }

    fn reboot(&mut self, destination: Destination) -> Result<(), DeviceError> {
        self.0.disk(|disk| disk.reboot = Some(destination));
        Ok(())
    }

    fn evidence(&mut self, _: &Target) -> Result<Evidence, DeviceError> {
        Ok(Evidence {
            journal: vec!["x.service: Failed".into()],
            ..Evidence::default()
        })
    }

    fn settle(&mut self, _: &Target) -> Result<(), DeviceError> {
        Ok(())
    }

    fn previous(&mut self, _: &mut dyn Watch) -> Result<Target, DeviceError> {
        Err(DeviceError::new(Trouble::Final, "nothing there"))
    }
}
