//! Carries out one piece of work on a device.
//!
//! Owns: the order of the steps on the disk, and the guard that keeps a way back. Never does: decide, send, write the record.
//! Invariant: the idle slot is written, and its entry removed, only while a committed slot runs outside of a trial.
//!
//! ```text
//!   Write:     guard | invalidate | write | read back | publish | UKI
//!   RollBack:  evidence | guard | restore | disarm            Clear: guard | disarm | invalidate
//! ```

use crate::control::{Control, Meter, Metered, Pace};
use crate::device::Judgement;
use crate::device::{
    Destination, Device, DeviceError, Payload, PlanFacts, Progress, Stage, Trouble, Watch,
};
use crate::facts::{Entry, Evidence, Target};
use crate::record::Source;
use crate::work::{Done, Grant, Work, WorkEvent};

/// Finds the files of an update.
pub trait Sources {
    /// Those of this source. An action whose deployment the server does not show any more is [`Trouble::Offline`]: the
    /// next poll says what became of it.
    fn open(&mut self, source: &Source) -> Result<Box<dyn Payload + '_>, DeviceError>;
}

/// Blocks until the work is done, failed or stopped; the last event is [`WorkEvent::Ended`].
pub fn perform(
    work: &Work,
    grant: &Grant,
    device: &mut dyn Device,
    sources: &mut dyn Sources,
    control: &Control,
    pace: &dyn Pace,
    emit: &mut dyn FnMut(WorkEvent),
) {
    let meter = Meter::new(grant, control, pace);
    let mut hands = Hands {
        device,
        sources,
        watch: Reporter {
            grant,
            control,
            meter: &meter,
            emit,
        },
    };
    let result = hands.work(work);
    // What was known of the disk is out of date, whatever came of the work.
    let facts = hands.device.facts().ok().map(Box::new);
    let fetched = meter.fetched();
    emit(WorkEvent::Ended {
        result,
        fetched,
        facts,
    });
}

struct Hands<'a> {
    device: &'a mut dyn Device,
    sources: &'a mut dyn Sources,
    watch: Reporter<'a>,
}

impl Hands<'_> {
    fn work(&mut self, work: &Work) -> Result<Done, DeviceError> {
        self.watch.control.check()?;
        match work {
            Work::Judge { source, memory, .. } => {
                self.guard()?;
                let mut payload = self.sources.open(source)?;
                let mut metered = Metered {
                    inner: payload.as_mut(),
                    meter: self.watch.meter,
                };
                let judgement = self.device.judge(&mut metered, memory)?;
                Ok(Done::Judged(Box::new(judgement)))
            }
            Work::Previous { .. } => {
                self.guard()?;
                let target = self.device.previous(&mut self.watch)?;
                Ok(Done::Judged(Box::new(Judgement::Wanted(target))))
            }
            Work::Write { source, target, .. } => self.write(source, target),
            Work::Arm { target, passed, .. } => {
                self.guard()?;
                self.device.arm(target, *passed)?;
                Ok(Done::Armed)
            }
            Work::Reboot { destination, .. } => self.reboot(*destination),
            Work::RollBack { target, .. } => self.roll_back(target),
            Work::Clear { .. } => {
                self.guard()?;
                self.device.disarm()?;
                self.device.invalidate()?;
                Ok(Done::Cleared)
            }
            Work::Settle { target, .. } => {
                self.device.settle(target)?;
                Ok(Done::Settled)
            }
        }
    }

    /// Nothing may be done to the idle slot while it is the only one that is known to boot.
    fn guard(&mut self) -> Result<(), DeviceError> {
        let facts = self.device.facts()?;
        if facts.on_trial {
            let reason = format!(
                "{} is on trial, {} is the way back and is not touched",
                facts.running.slot, facts.idle.slot
            );
            return Err(DeviceError::new(Trouble::Passing, reason));
        }
        if facts.running.entry != Entry::Committed {
            let reason = format!(
                "{} runs without a committed boot entry (it is {:?}); {} is not touched, because there would be \
                 nothing to go back to. Restore the entry (docs/update.md has it), or write the factory image anew",
                facts.running.slot, facts.running.entry, facts.idle.slot
            );
            return Err(DeviceError::new(Trouble::Final, reason));
        }
        Ok(())
    }

    fn write(&mut self, source: &Source, target: &Target) -> Result<Done, DeviceError> {
        self.guard()?;
        let mut payload = self.sources.open(source)?;
        let mut metered = Metered {
            inner: payload.as_mut(),
            meter: self.watch.meter,
        };
        let watch = &mut self.watch;
        self.device.plan(target, &mut metered, watch)?;
        // From here on the slot is no way back; an entry of an earlier, forgotten attempt must not boot what is half
        // written.
        self.device.disarm()?;
        self.device.invalidate()?;
        self.device.write(target, &mut metered, watch)?;
        self.device.read_back(target, watch)?;
        watch.control.check()?;
        self.device.publish(target)?;
        self.device.write_uki(target, &mut metered, watch)?;
        Ok(Done::Written)
    }

    /// The commit service may have been faster than the verdict.
    fn reboot(&mut self, destination: Destination) -> Result<Done, DeviceError> {
        if destination == Destination::Committed {
            let facts = self.device.facts()?;
            if facts.running.entry == Entry::Committed && !facts.on_trial {
                return Ok(Done::FoundCommitted);
            }
        }
        self.device.reboot(destination)?;
        Ok(Done::RebootAsked)
    }

    /// Missing evidence is no reason not to tell the server, a slot that may not be touched neither.
    fn roll_back(&mut self, target: &Target) -> Result<Done, DeviceError> {
        let mut evidence = self
            .device
            .evidence(target)
            .unwrap_or_else(|error| Evidence {
                detectors: vec![format!("no evidence could be read: {error}")],
                ..Evidence::default()
            });
        match self.guard() {
            Ok(()) => {
                // Before the entry goes, which shows that there was a trial. A device that cannot have its old state back
                // must say so and go on all the same.
                if let Err(error) = self.device.restore(target) {
                    let reason =
                        format!("the state from before the trial was not put back: {error}");
                    evidence.detectors.push(reason);
                }
                self.device.disarm()?;
            }
            Err(error) if error.trouble == Trouble::Final => {
                evidence.detectors.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(Done::RolledBack(evidence))
    }
}

struct Reporter<'a> {
    grant: &'a Grant,
    control: &'a Control,
    meter: &'a Meter<'a>,
    emit: &'a mut dyn FnMut(WorkEvent),
}

impl Reporter<'_> {
    fn afford(&self, plan: &PlanFacts) -> Result<(), DeviceError> {
        let refused = self.grant.limits.refuse(plan).or_else(|| {
            let left = self
                .grant
                .refuse_above
                .filter(|left| plan.download_bytes > *left)?;
            Some(format!(
                "the update needs {} bytes, the data budget has {left} left",
                plan.download_bytes
            ))
        });
        if let Some(reason) = refused {
            return Err(DeviceError::new(
                Trouble::Final,
                format!("refused: {reason}"),
            ));
        }
        self.control.check()
    }
}

impl Watch for Reporter<'_> {
    fn ahead(&mut self, least: PlanFacts) -> Result<(), DeviceError> {
        self.afford(&least)
    }

    fn planned(&mut self, plan: PlanFacts) -> Result<(), DeviceError> {
        self.afford(&plan)?;
        (self.emit)(WorkEvent::Planned(plan));
        self.control.check()
    }

    fn progress(&mut self, stage: Stage, done: u64, total: u64) -> Result<(), DeviceError> {
        let fetched = self.meter.fetched();
        (self.emit)(WorkEvent::Progress(Progress {
            stage,
            done,
            total,
            fetched,
        }));
        self.control.check()
    }
}
