//! What the engine asks of a device.
//!
//! Owns: the traits and the classes of failure. Never does: I/O. Every method is idempotent and durable when it returns;
//! none may touch the running slot, its boot entry or the boot loader.
//!
//! ```text
//!   judge -> invalidate -> write -> read_back -> publish -> write_uki -> arm -> reboot(Trial)
//!            \____________________ one Work, redone from its start after any cut ___/
//! ```

mod documents;
mod fill;
mod known;
mod pass;
mod slots;
mod stream;
mod trust;

use std::ops::Range;

use roamcore_ota::Timestamp;

use crate::facts::{Evidence, Facts, Target};
use crate::record::Memory;

pub use slots::{SlotDevice, Surroundings};
pub use trust::Identity;

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Class of a failure: what may be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Asked to stop. Not a failure.
    Stopped,
    /// No network or no answer: wait and go on, for ever.
    Offline,
    /// The granted bytes are used up: wait for the next grant.
    OutOfBudget,
    /// May pass, but not for ever: a missing artifact, a busy disk. Tried again a bounded number of times.
    Passing,
    /// Trying again cannot help: refused, or the device cannot do it.
    Final,
}

/// A failed piece of work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DeviceError {
    /// What may be done about it.
    pub trouble: Trouble,
    /// Number of the failure's class in the reports to a server, as in the table of exit codes; 0 for none.
    pub code: i32,
    /// The whole chain of causes in one line, with the values seen.
    pub reason: String,
}

impl DeviceError {
    /// A failure without a class number.
    pub fn new(trouble: Trouble, reason: impl Into<String>) -> Self {
        Self {
            trouble,
            code: 0,
            reason: reason.into(),
        }
    }

    /// The answer of work that was asked to stop.
    pub fn stopped() -> Self {
        Self::new(Trouble::Stopped, "stopped")
    }
}

/// What the judge says about an offered update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// To be installed.
    Wanted(Target),
    /// It is what runs, committed: nothing to do.
    Running(Target),
}

/// Sizes of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct PlanFacts {
    /// Bytes to fetch: indexes and frames, of the root and of the UKI.
    pub download_bytes: u64,
    /// Bytes a device with empty slots would fetch.
    pub full_bytes: u64,
    /// Bytes to write.
    pub write_bytes: u64,
    /// Requests it takes.
    pub requests: u64,
}

/// Where a piece of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing to say yet.
    #[default]
    Starting,
    /// Comparing the slots with the index.
    Planning,
    /// Fetching and writing.
    Writing,
    /// Reading back and hashing.
    ReadingBack,
    /// Partition table and UKI.
    Publishing,
}

/// How far a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Where.
    pub stage: Stage,
    /// Bytes done in this stage.
    pub done: u64,
    /// Bytes of this stage.
    pub total: u64,
    /// Bytes fetched since this piece of work began, everything that was paid for included.
    pub fetched: u64,
}

/// Called by long work; an error ends it, and it says so in its own error.
pub trait Watch {
    /// So much must be fetched before there can be a plan, which will ask for more. Judged as a plan is.
    fn ahead(&mut self, least: PlanFacts) -> Result<(), DeviceError>;
    /// The plan is made. Nothing was fetched but what [`Watch::ahead`] accepted, which is part of its costs again.
    fn planned(&mut self, plan: PlanFacts) -> Result<(), DeviceError>;
    /// So much of a stage is done. Called often; cheap.
    fn progress(&mut self, stage: Stage, done: u64, total: u64) -> Result<(), DeviceError>;
}

/// Takes fetched bytes in order; an error ends the transfer and is handed on.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), DeviceError> + 'a;

/// The files of one update, wherever they come from: a server's artifacts or a single file on a stick. Nothing it
/// delivers is trusted.
pub trait Payload {
    /// Size of a file as its source says, none when there is no such file.
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError>;

    /// Hands the bytes `range` of a file to `sink`, each exactly once; blocks until the last one was taken. May retry
    /// inside by going on after the last byte handed over; [`Trouble::Offline`] says that nobody answers, so that waiting
    /// costs no patience.
    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError>;
}

impl<P: Payload + ?Sized> Payload for &mut P {
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError> {
        (**self).size(name)
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        (**self).fetch(name, range, sink)
    }
}

/// Where a requested reboot shall lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The armed slot, by its counted entry.
    Trial,
    /// Out of a failed trial, straight to the committed slot; a device that cannot say so reboots, and the counter does it.
    Committed,
}

/// One device with two slots.
pub trait Device {
    /// Reads everything anew.
    fn facts(&mut self) -> Result<Facts, DeviceError>;

    /// Fetches the small documents, judges them and keeps them for [`Device::write`]. Refusals are [`Trouble::Final`].
    fn judge(
        &mut self,
        payload: &mut dyn Payload,
        memory: &Memory,
    ) -> Result<Judgement, DeviceError>;

    /// Makes the idle slot unbootable and unmountable. Its data stays as a source of chunks.
    fn invalidate(&mut self) -> Result<(), DeviceError>;

    /// Plans root and UKI by what both slots hold, and asks `watch` whether that may be. Writes nothing: an update that is
    /// refused here leaves the way back as it was.
    fn plan(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError>;

    /// Fetches and writes the idle slot's root by the plan that was made last.
    fn write(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError>;

    /// Reads the idle slot past the page cache and compares SHA-256 and root hash.
    fn read_back(&mut self, target: &Target, watch: &mut dyn Watch) -> Result<(), DeviceError>;

    /// Gives the idle slot the PARTUUIDs of its root hash.
    fn publish(&mut self, target: &Target) -> Result<(), DeviceError>;

    /// Fetches and writes the UKI into the idle slot's directory. Resumes by looking at what is there.
    fn write_uki(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError>;

    /// Judges the expiry again, carries the settings over, snapshots state, and writes the counted entry. Also arms again
    /// after an interrupted trial.
    /// `passed` is a time that has certainly passed, from the record.
    fn arm(&mut self, target: &Target, passed: Option<Timestamp>) -> Result<(), DeviceError>;

    /// Puts back the state that was copied when `target` was armed, if its trial ever ran: what a newer release made of it,
    /// this one may not understand.
    fn restore(&mut self, target: &Target) -> Result<(), DeviceError>;

    /// Removes the idle slot's entry, whatever its state.
    fn disarm(&mut self) -> Result<(), DeviceError>;

    /// Asks for a reboot and returns.
    fn reboot(&mut self, destination: Destination) -> Result<(), DeviceError>;

    /// What is left of the failed trial of `target`.
    fn evidence(&mut self, target: &Target) -> Result<Evidence, DeviceError>;

    /// After a commit: forget the documents, the snapshots and the evidence that are no longer needed.
    fn settle(&mut self, target: &Target) -> Result<(), DeviceError>;

    /// The release in the idle slot, when it is whole (read back) and may be booted again: for a local rollback.
    fn previous(&mut self, watch: &mut dyn Watch) -> Result<Target, DeviceError>;
}
