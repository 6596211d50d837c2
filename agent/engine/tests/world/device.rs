//! The device of the model, as the engine sees it.

use std::ops::Range;
use std::rc::Rc;

use roamcore_engine::record::Memory;
use roamcore_engine::{
    Destination, Device, DeviceError, Entry, Evidence, Facts, Judgement, Payload, PlanFacts, Sink,
    Source, Sources, Stage, Target, Trouble, Watch,
};
use roamcore_ota::Timestamp;

use super::releases::{FRAME, FRAMES, Fate, frame, target};
use super::{Core, Shared};

/// Frames between two syncs, as the real one's 4 MiB.
pub const SYNC_EVERY: usize = 4;

pub struct FakeDevice {
    core: Shared,
}

/// What a slot holds, frame by frame.
type Frames = Vec<Option<u64>>;

impl FakeDevice {
    pub fn new(core: &Shared) -> Self {
        Self {
            core: Rc::clone(core),
        }
    }

    /// What both slots hold, the idle one first.
    fn held(core: &mut Core) -> Result<(Frames, Frames), DeviceError> {
        let frames = (&core.disk.idle().frames, &core.disk.running().frames);
        Ok((frames.0.clone(), frames.1.clone()))
    }

    /// One step on the disk, with a boundary before and after it.
    fn step<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Core) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let mut core = self.core.borrow_mut();
        if !core.alive() {
            return Err(died());
        }
        if let Some(at) = core.trouble.iter().position(|(what, _)| *what == name) {
            let (_, trouble) = core.trouble.remove(at);
            return Err(DeviceError::new(
                trouble,
                format!("{name} failed in the test"),
            ));
        }
        core.log.push(format!("  disk: {name}"));
        let result = act(&mut core);
        if core.alive() { result } else { Err(died()) }
    }

    fn idle_only(core: &mut Core, what: &str) {
        if core.disk.on_trial() {
            core.violations
                .push(format!("{what} touches the way back during a trial"));
        }
    }
}

pub fn died() -> DeviceError {
    DeviceError::new(Trouble::Passing, "the process is dead")
}

impl Device for FakeDevice {
    fn facts(&mut self) -> Result<Facts, DeviceError> {
        self.step("facts", |core| {
            Ok(core.disk.facts(core.sign.clone(), core.came_up))
        })
    }

    fn judge(&mut self, payload: &mut dyn Payload, _: &Memory) -> Result<Judgement, DeviceError> {
        let mut bytes = Vec::new();
        payload.fetch("update.json", 0..FRAME, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let number = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.step("judge", |core| {
            if core.fates.get(&number) == Some(&Fate::WrongBoard) {
                return Err(DeviceError {
                    trouble: Trouble::Final,
                    code: 43,
                    reason: "refused: it is for board \"other\", this is \"vp2430\"".into(),
                });
            }
            let target = target(number);
            Ok(if core.disk.running().number == number {
                Judgement::Running(target)
            } else {
                Judgement::Wanted(target)
            })
        })
    }

    fn invalidate(&mut self) -> Result<(), DeviceError> {
        self.step("invalidate", |core| {
            Self::idle_only(core, "invalidate");
            let idle = core.disk.idle_mut();
            idle.published = false;
            idle.uki = None;
            idle.number = 0;
            Ok(())
        })
    }

    fn plan(
        &mut self,
        target: &Target,
        _: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let (here, there) = self.step("plan", Self::held)?;
        let known = |content: u64| here.contains(&Some(content)) || there.contains(&Some(content));
        let wanted = (0..FRAMES).map(|at| frame(target.release.sequence, at));
        let missing = wanted.filter(|content| !known(*content)).count() as u64;
        watch.planned(PlanFacts {
            download_bytes: missing * FRAME,
            full_bytes: FRAMES * FRAME,
            write_bytes: FRAMES * FRAME,
            requests: 1,
        })
    }

    fn write(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let number = target.release.sequence;
        let (here, there) = self.step("begin", Self::held)?;
        let known = |content: u64| here.contains(&Some(content)) || there.contains(&Some(content));
        let wanted: Vec<u64> = (0..FRAMES).map(|at| frame(number, at)).collect();
        let mut unsynced = 0;
        for (at, content) in wanted.iter().enumerate() {
            if here[at] == Some(*content) {
                continue;
            }
            let mut bytes = content.to_le_bytes().to_vec();
            if !known(*content) {
                bytes.clear();
                let start = at as u64 * FRAME;
                payload.fetch("root.000", start..start + FRAME, &mut |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
            }
            let found = u64::from_le_bytes(bytes.try_into().expect("a frame"));
            self.step("frame", |core| {
                Self::idle_only(core, "write");
                core.disk.write(at, found);
                unsynced += 1;
                if unsynced == SYNC_EVERY {
                    core.disk.sync();
                    unsynced = 0;
                }
                Ok(())
            })?;
            watch.progress(Stage::Writing, at as u64 + 1, FRAMES)?;
        }
        self.step("sync", |core| {
            core.disk.sync();
            Ok(())
        })
    }

    fn read_back(&mut self, target: &Target, watch: &mut dyn Watch) -> Result<(), DeviceError> {
        watch.progress(Stage::ReadingBack, FRAMES, FRAMES)?;
        let number = target.release.sequence;
        self.step("read back", |core| {
            let right =
                |(at, found): (usize, &Option<u64>)| *found == Some(frame(number, at as u64));
            if core.disk.idle().frames.iter().enumerate().all(right) {
                Ok(())
            } else {
                Err(DeviceError::new(
                    Trouble::Passing,
                    "read back something else",
                ))
            }
        })
    }

    fn publish(&mut self, target: &Target) -> Result<(), DeviceError> {
        let number = target.release.sequence;
        self.step("publish", |core| {
            Self::idle_only(core, "publish");
            let idle = core.disk.idle_mut();
            idle.number = number;
            idle.published = true;
            Ok(())
        })
    }

    fn write_uki(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        _: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        payload.fetch("uki.000", 0..FRAME, &mut |_| Ok(()))?;
        let number = target.release.sequence;
        self.step("uki", |core| {
            core.disk.idle_mut().uki = Some(number);
            Ok(())
        })
    }

    fn arm(&mut self, target: &Target, _: Option<Timestamp>) -> Result<(), DeviceError> {
        let number = target.release.sequence;
        self.step("arm", |core| {
            Self::idle_only(core, "arm");
            if core.disk.idle().number != number {
                core.violations.push("armed something else".into());
            }
            match core.disk.idle().entry {
                Entry::Counted { done, .. } if done > 0 => core.rearmed += 1,
                Entry::Counted { .. } => {}
                _ => core.armed += 1,
            }
            core.came_up = 0;
            core.sign = None;
            let order = core.disk.running().order + 1;
            let idle = core.disk.idle_mut();
            idle.entry = Entry::Counted { left: 3, done: 0 };
            idle.order = order;
            Ok(())
        })
    }

    fn restore(&mut self, _: &Target) -> Result<(), DeviceError> {
        self.step("restore", |_| Ok(()))
    }

    fn disarm(&mut self) -> Result<(), DeviceError> {
        self.step("disarm", |core| {
            Self::idle_only(core, "disarm");
            core.disk.idle_mut().entry = Entry::Absent;
            Ok(())
        })
    }

    fn reboot(&mut self, destination: Destination) -> Result<(), DeviceError> {
        self.step("reboot", |core| {
            if destination == Destination::Committed {
                core.disk.one_shot = Some(1 - core.disk.running);
            }
            core.reboot = true;
            Ok(())
        })
    }

    fn evidence(&mut self, _: &Target) -> Result<Evidence, DeviceError> {
        self.step("evidence", |_| {
            Ok(Evidence {
                journal: vec!["last words".into()],
                ..Evidence::default()
            })
        })
    }

    fn settle(&mut self, _: &Target) -> Result<(), DeviceError> {
        self.step("settle", |_| Ok(()))
    }

    fn previous(&mut self, _: &mut dyn Watch) -> Result<Target, DeviceError> {
        self.step("previous", |core| {
            let idle = core.disk.idle();
            if idle.whole() {
                Ok(target(idle.number))
            } else {
                Err(DeviceError::new(
                    Trouble::Final,
                    "the other slot is not whole",
                ))
            }
        })
    }
}

/// Finds payloads: the server's, or a stick's.
pub struct FakeSources {
    core: Shared,
}

impl FakeSources {
    pub fn new(core: &Shared) -> Self {
        Self {
            core: Rc::clone(core),
        }
    }
}

impl Sources for FakeSources {
    fn open(&mut self, source: &Source) -> Result<Box<dyn Payload + '_>, DeviceError> {
        Ok(Box::new(FakePayload {
            core: Rc::clone(&self.core),
            source: source.clone(),
        }))
    }
}

struct FakePayload {
    core: Shared,
    source: Source,
}

impl Payload for FakePayload {
    fn size(&mut self, _: &str) -> Result<Option<u64>, DeviceError> {
        Ok(Some(FRAME))
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        let number = {
            let mut core = self.core.borrow_mut();
            if !core.alive() {
                return Err(died());
            }
            core.pass(200);
            match &self.source {
                Source::Local { place } => place.parse().expect("a number"),
                Source::Server { action, .. } => {
                    if !core.network {
                        return Err(DeviceError::new(Trouble::Offline, "no network"));
                    }
                    let number = core.server.download(action)?;
                    core.fetched += FRAME;
                    core.frames += u64::from(name == "root.000");
                    number
                }
                other => panic!("no payload for {other:?}"),
            }
        };
        let content = if name == "root.000" {
            frame(number, range.start / FRAME)
        } else {
            number
        };
        sink(&content.to_le_bytes())
    }
}
