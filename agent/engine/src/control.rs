//! Brakes on running work: stop, data grant, bandwidth.
//!
//! Owns: the counting of fetched bytes, the token bucket. Never does: fetch. Invariant: every byte that a payload hands over
//! is counted before anything else can fail.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::device::{DeviceError, Payload, Sink, Trouble};
use crate::work::Grant;

/// Shared between the engine's loop and the thread that works.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
}

impl Control {
    /// Not stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop at its next step.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// An error if it was asked to stop.
    pub fn check(&self) -> Result<(), DeviceError> {
        if self.stop.load(Ordering::Relaxed) {
            Err(DeviceError::stopped())
        } else {
            Ok(())
        }
    }
}

/// A clock that can wait, so that tests need not.
pub trait Pace {
    /// Time since some moment.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The real one.
#[derive(Debug)]
pub struct RealPace {
    start: Instant,
}

impl Default for RealPace {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A token bucket: `rate` bytes per second on average, never more than a second's worth ahead.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: u64,
    /// When all that was taken will have been paid for.
    paid_at: Cell<Duration>,
}

impl Bucket {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            // Zero would wait for ever; who wants no download sets a budget.
            rate: rate.max(1),
            paid_at: Cell::new(Duration::ZERO),
        }
    }

    /// Takes bytes that were received; returns how long to wait before the next ones.
    pub(crate) fn take(&self, bytes: u64, now: Duration) -> Duration {
        const AHEAD: Duration = Duration::from_secs(1);
        let cost = Duration::from_nanos(
            u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(self.rate))
                .unwrap_or(u64::MAX),
        );
        let start = self.paid_at.get().max(now.saturating_sub(AHEAD));
        let paid = start.saturating_add(cost);
        self.paid_at.set(paid);
        paid.saturating_sub(now)
    }
}

/// A payload with brakes.
pub(crate) struct Metered<'a> {
    pub(crate) inner: &'a mut dyn Payload,
    pub(crate) meter: &'a Meter<'a>,
}

/// What [`Metered`] shares with whoever reports progress.
pub(crate) struct Meter<'a> {
    control: &'a Control,
    pace: &'a dyn Pace,
    grant: Option<u64>,
    bucket: Option<Bucket>,
    fetched: Cell<u64>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(grant: &Grant, control: &'a Control, pace: &'a dyn Pace) -> Self {
        Self {
            control,
            pace,
            grant: grant.bytes,
            bucket: grant.rate.map(Bucket::new),
            fetched: Cell::new(0),
        }
    }

    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.get()
    }

    fn count(&self, bytes: usize) {
        self.fetched
            .set(self.fetched.get().saturating_add(bytes as u64));
    }

    /// Up to where a range is asked for in one request.
    ///
    /// Whoever reads slower than the network delivers finds the kernel's buffer full, megabytes that are paid for and lost when
    /// the program dies or stops at its grant. So nothing is asked for that the grant does not cover or that is not soon used.
    fn ask(&self, range: &Range<u64>) -> u64 {
        /// Of a limited rate, as bytes of one request.
        const SECONDS: u64 = 4;
        /// Below this a request's own headers would count.
        const LEAST: u64 = 256 << 10;
        let soon = self
            .bucket
            .as_ref()
            .map(|bucket| bucket.rate.saturating_mul(SECONDS).max(LEAST));
        // A spent grant ends the transfer at the first bytes, as `brake` does.
        let granted = self
            .grant
            .map(|grant| grant.saturating_sub(self.fetched.get()).max(1));
        [soon, granted]
            .into_iter()
            .flatten()
            .fold(range.end, |end, most| {
                end.min(range.start.saturating_add(most))
            })
            .max(range.start)
    }

    /// After bytes were handed on.
    fn brake(&self, bytes: usize) -> Result<(), DeviceError> {
        /// A long wait still notices a stop.
        const SLICE: Duration = Duration::from_millis(200);
        self.control.check()?;
        let fetched = self.fetched.get();
        if let Some(grant) = self.grant.filter(|grant| fetched >= *grant) {
            let reason = format!("{fetched} bytes are fetched, {grant} were granted");
            return Err(DeviceError::new(Trouble::OutOfBudget, reason));
        }
        if let Some(bucket) = &self.bucket {
            let mut wait = bucket.take(bytes as u64, self.pace.now());
            while wait > Duration::ZERO {
                let slice = wait.min(SLICE);
                self.pace.sleep(slice);
                wait = wait.saturating_sub(slice);
                self.control.check()?;
            }
        }
        Ok(())
    }
}

impl Payload for Metered<'_> {
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError> {
        self.meter.control.check()?;
        self.inner.size(name)
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        let meter = self.meter;
        let mut left = range;
        loop {
            meter.control.check()?;
            let piece = left.start..meter.ask(&left);
            left.start = piece.end;
            self.inner.fetch(name, piece, &mut |bytes| {
                meter.count(bytes.len());
                sink(bytes)?;
                meter.brake(bytes.len())
            })?;
            if left.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        now: Cell<Duration>,
    }

    impl Pace for Fake {
        fn now(&self) -> Duration {
            self.now.get()
        }
        fn sleep(&self, time: Duration) {
            self.now.set(self.now.get() + time);
        }
    }

    /// Gives any range in pieces of at most 1000 bytes, and keeps what it was asked for.
    #[derive(Default)]
    struct Endless {
        asked: Vec<Range<u64>>,
    }

    impl Payload for Endless {
        fn size(&mut self, _: &str) -> Result<Option<u64>, DeviceError> {
            Ok(None)
        }
        fn fetch(
            &mut self,
            _: &str,
            range: Range<u64>,
            sink: &mut Sink<'_>,
        ) -> Result<(), DeviceError> {
            self.asked.push(range.clone());
            for at in range.clone().step_by(1000) {
                sink(&[0; 1000][..(range.end - at).min(1000) as usize])?;
            }
            Ok(())
        }
    }

    fn run(
        grant: Grant,
        control: &Control,
        bytes: u64,
    ) -> (Result<(), DeviceError>, u64, Duration) {
        let (result, fetched, time, _) = asked(grant, control, bytes);
        (result, fetched, time)
    }

    fn asked(
        grant: Grant,
        control: &Control,
        bytes: u64,
    ) -> (Result<(), DeviceError>, u64, Duration, Vec<Range<u64>>) {
        let pace = Fake {
            now: Cell::new(Duration::ZERO),
        };
        let meter = Meter::new(&grant, control, &pace);
        let mut endless = Endless::default();
        let mut metered = Metered {
            inner: &mut endless,
            meter: &meter,
        };
        let mut seen = 0;
        let result = metered.fetch("x", 0..bytes, &mut |bytes| {
            seen += bytes.len() as u64;
            Ok(())
        });
        assert_eq!(seen, meter.fetched());
        (result, meter.fetched(), pace.now(), endless.asked)
    }

    #[test]
    fn the_grant_ends_a_transfer_and_nothing_is_lost() {
        let grant = Grant {
            bytes: Some(4500),
            ..Grant::default()
        };
        let (result, fetched, _) = run(grant, &Control::new(), 100_000);
        let error = result.unwrap_err();
        assert_eq!(error.trouble, Trouble::OutOfBudget);
        assert_eq!(
            error.to_string(),
            "4500 bytes are fetched, 4500 were granted"
        );
        assert_eq!(fetched, 4500, "no more than was granted is asked for");
    }

    #[test]
    fn the_rate_holds_on_average() {
        let grant = Grant {
            rate: Some(10_000),
            ..Grant::default()
        };
        let (result, fetched, time) = run(grant, &Control::new(), 100_000);
        assert!(result.is_ok());
        assert_eq!(fetched, 100_000);
        let seconds = time.as_secs_f64();
        assert!((8.9..=10.1).contains(&seconds), "{seconds}");
    }

    #[test]
    fn what_is_asked_for_at_once_is_what_is_soon_used() {
        let grant = Grant {
            rate: Some(100_000),
            bytes: Some(900_000),
            ..Grant::default()
        };
        let (result, fetched, _, requests) = asked(grant, &Control::new(), 1_000_000);
        assert_eq!(result.unwrap_err().trouble, Trouble::OutOfBudget);
        assert_eq!(fetched, 900_000);
        assert_eq!(requests, [0..400_000, 400_000..800_000, 800_000..900_000]);
        let slow = Grant {
            rate: Some(1),
            ..Grant::default()
        };
        let (_, _, _, requests) = asked(slow, &Control::new(), 300_000);
        assert_eq!(requests, [0..262_144, 262_144..300_000]);
        let (_, _, _, requests) = asked(Grant::default(), &Control::new(), 9_000_000);
        assert_eq!(requests.len(), 1, "no limits, one request");
        assert_eq!(requests.first(), Some(&(0..9_000_000)));
    }

    #[test]
    fn no_limits_cost_no_time_and_a_stop_stops() {
        let control = Control::new();
        let (result, _, time) = run(Grant::default(), &control, 100_000);
        assert!(result.is_ok());
        assert_eq!(time, Duration::ZERO);
        control.stop();
        let (result, fetched, _) = run(Grant::default(), &control, 100_000);
        assert_eq!((result, fetched), (Err(DeviceError::stopped()), 0));
    }
}
