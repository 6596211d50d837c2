//! A pass over a slot on a thread of its own, and what errors of the slots mean for the engine.
//!
//! Owns: the hand-over between the threads of a pass and the one thread that may stop it. Never does: I/O of its own.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use roamcore_slots::SlotError;

use super::chain;
use super::{DeviceError, Stage, Trouble, Watch};

pub(super) fn slot_error(error: &SlotError) -> DeviceError {
    let trouble = match error {
        SlotError::Stopped => Trouble::Stopped,
        SlotError::OnTrial { .. } => Trouble::Passing,
        SlotError::NotCommitted { .. }
        | SlotError::TooLarge { .. }
        | SlotError::GuidTaken { .. }
        | SlotError::GuidReserved(_)
        | SlotError::RearmedTooOften { .. } => Trouble::Final,
        _ => Trouble::Passing,
    };
    DeviceError::new(trouble, chain(error))
}

pub(super) fn passing(error: &dyn std::error::Error) -> DeviceError {
    DeviceError::new(Trouble::Passing, chain(error))
}

/// Told of bytes done, from any thread.
pub(super) type Observer<'a> = &'a (dyn Fn(u64) -> ControlFlow<()> + Sync);

/// Runs a pass over the slot on a thread of its own, while this one tells the watch how far it is: the pass reports from
/// several threads, the watch lives on this one.
pub(super) fn watched<T: Send>(
    watch: &mut dyn Watch,
    total: u64,
    pass: impl FnOnce(Observer<'_>) -> T + Send,
) -> Result<T, DeviceError> {
    const TELL_EVERY: Duration = Duration::from_millis(100);
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let observer = |bytes: u64| {
        done.store(bytes, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let (sender, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Nobody listens only when the watch has stopped the pass.
            drop(sender.send(pass(&observer)));
        });
        loop {
            match ended.recv_timeout(TELL_EVERY) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => {
                    let told =
                        watch.progress(Stage::ReadingBack, done.load(Ordering::Relaxed), total);
                    if let Err(error) = told {
                        stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let reason = "reading the slot back ended without a result";
                    return Err(DeviceError::new(Trouble::Passing, reason));
                }
            }
        }
    })
}
