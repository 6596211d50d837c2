//! When to ask again.
//!
//! Owns: jitter, backoff, and the rules of the poll schedule, all as functions of what happened and a
//! random number; time itself is behind [`Clock`]. Never does: wait for zero time.
//! Invariant: two failures in a row are at least [`SHORTEST`] apart.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Advice, ClientError};
use crate::sleep;

/// No wait is shorter.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// No backoff is longer, so that a device is back soon after a long outage of the server.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// hawkBit's default, until the server has said another.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// Poll at this pace while an action goes on, to hear of a cancellation.
pub const BUSY: Duration = Duration::from_secs(5);
/// Conflicts resolve at once or not at all.
pub const CONFLICTS: u32 = 5;

/// Time and chance; tests bring their own.
pub trait Clock {
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
    /// A random number.
    fn random(&self) -> u64;
}

/// Small and fast; not for secrets. (SplitMix64)
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed, such as a hash of the device's name, so that devices of a fleet that all
    /// start at once do not all poll at once.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Exponential backoff with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    cap: Duration,
}

impl Backoff {
    /// Starts at up to one second and never waits longer than `cap`.
    pub fn new(cap: Duration) -> Self {
        Self {
            failures: 0,
            cap: cap.clamp(SHORTEST, LONGEST),
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// After one more failure.
    pub fn next(&mut self, random: u64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        // 2^20 s is beyond every cap.
        let ceiling = SHORTEST
            .saturating_mul(1 << self.failures.min(20))
            .min(self.cap);
        share(ceiling, random).max(SHORTEST)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `random` / 2^64 of `whole`.
fn share(whole: Duration, random: u64) -> Duration {
    let nanoseconds = (whole.as_nanos().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
    Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX))
}

/// Ten per cent up or down.
pub fn jitter(interval: Duration, random: u64) -> Duration {
    (interval - interval / 10 + share(interval / 5, random)).max(SHORTEST)
}

/// When to poll.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Duration,
    fixed: bool,
    bounds: RangeInclusive<Duration>,
    backoff: Backoff,
    conflicts: u32,
}

impl Schedule {
    /// Follows the server, or keeps to `fixed` for tests.
    pub fn new(fixed: Option<Duration>) -> Self {
        let interval = fixed.unwrap_or(DEFAULT_INTERVAL).max(SHORTEST);
        Self {
            interval,
            fixed: fixed.is_some(),
            bounds: sleep::BOUNDS,
            backoff: Backoff::new(LONGEST),
            conflicts: 0,
        }
    }

    /// The interval without jitter.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Before the first poll: anywhere in one interval, so that a fleet that gets power back at once
    /// spreads, but soon enough that somebody who waits does not give up.
    pub fn first(&self, random: u64) -> Duration {
        share(self.interval.min(Duration::from_secs(60)), random)
    }

    /// After an answer; an unreadable interval keeps the last good one.
    pub fn after_answer(
        &mut self,
        sleep: &str,
        busy: bool,
        random: u64,
    ) -> (Duration, Result<(), sleep::SleepError>) {
        self.backoff.reset();
        self.conflicts = 0;
        let read = match sleep::interval(sleep, &self.bounds) {
            Ok(interval) if !self.fixed => {
                self.interval = interval;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) if self.fixed => Ok(()),
            Err(error) => Err(error),
        };
        let interval = match busy {
            true => self.interval.min(BUSY),
            false => self.interval,
        };
        (jitter(interval, random), read)
    }

    /// After a failure.
    pub fn after_failure(&mut self, error: &ClientError, random: u64) -> Duration {
        let wait = match error.advice() {
            Advice::Conflict if self.conflicts < CONFLICTS => {
                self.conflicts += 1;
                conflict(random)
            }
            Advice::Credentials => jitter(self.interval, random),
            _ => self.backoff.next(random),
        };
        // A server that asks for a pause gets it, within reason.
        let asked = error.retry_after().unwrap_or_default().min(LONGEST);
        wait.max(asked)
    }
}

/// One to three seconds.
pub fn conflict(random: u64) -> Duration {
    SHORTEST + share(2 * SHORTEST, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{MessageError, QUOTA_ENTRIES, ServerError};
    use proptest::prelude::*;

    fn status(status: u16, retry_after: Option<u64>) -> ClientError {
        ClientError::Status {
            url: String::new(),
            status,
            own: true,
            error: ServerError::default(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn backoff_grows_to_its_cap_and_never_reaches_zero() {
        let mut backoff = Backoff::new(S(100));
        let longest: Vec<_> = (0..9)
            .map(|_| backoff.next(u64::MAX).as_secs_f64().round())
            .collect();
        assert_eq!(longest, [2., 4., 8., 16., 32., 64., 100., 100., 100.]);
        for _ in 0..100 {
            assert_eq!(backoff.next(0), SHORTEST);
        }
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX).as_secs_f64().round(), 2.);
        let mut unbounded = Backoff::new(Duration::MAX);
        for _ in 0..100 {
            unbounded.next(0);
        }
        assert!(unbounded.next(u64::MAX) <= LONGEST);
    }

    #[test]
    fn the_server_sets_the_interval_and_garbage_does_not() {
        let mut schedule = Schedule::new(None);
        assert_eq!(schedule.interval(), DEFAULT_INTERVAL);
        let middle = 1 << 63;
        assert_eq!(
            schedule.after_answer("00:10:00", false, middle),
            (S(600), Ok(()))
        );
        let (wait, read) = schedule.after_answer("aa:bb:cc", false, middle);
        assert_eq!(wait, S(600));
        assert!(read.is_err());
        assert_eq!(schedule.after_answer("PT48H", true, middle), (BUSY, Ok(())));
        assert_eq!(
            schedule.after_answer("00:00:00", false, middle),
            (SHORTEST, Ok(()))
        );
        assert_eq!(
            schedule.after_answer("00:00:02", true, middle),
            (S(2), Ok(()))
        );
    }

    #[test]
    fn a_fixed_interval_stays() {
        let mut schedule = Schedule::new(Some(S(2)));
        assert_eq!(
            schedule.after_answer("00:10:00", false, 1 << 63),
            (S(2), Ok(()))
        );
        assert_eq!(schedule.after_answer("", false, 1 << 63), (S(2), Ok(())));
        assert_eq!(Schedule::new(Some(Duration::ZERO)).interval(), SHORTEST);
    }

    #[test]
    fn failures() {
        let mut schedule = Schedule::new(None);
        assert_eq!(
            schedule.after_failure(&status(401, None), 1 << 63),
            DEFAULT_INTERVAL
        );
        for _ in 0..CONFLICTS {
            assert_eq!(schedule.after_failure(&status(409, None), 1 << 63), S(2));
        }
        for _ in 0..20 {
            schedule.after_failure(&status(409, None), 0);
        }
        assert!(schedule.after_failure(&status(409, None), u64::MAX) > S(800));
        let mut schedule = Schedule::new(None);
        assert_eq!(schedule.after_failure(&status(503, Some(30)), 0), S(30));
        assert_eq!(
            schedule.after_failure(&status(503, Some(1 << 40)), 0),
            LONGEST
        );
        let quota = ClientError::Status {
            url: String::new(),
            status: 429,
            own: true,
            error: ServerError {
                error_code: Some(QUOTA_ENTRIES.into()),
                ..ServerError::default()
            },
            retry_after: None,
        };
        assert!(schedule.after_failure(&quota, 0) >= SHORTEST);
    }

    #[test]
    fn garbage_never_becomes_a_tight_loop() {
        let mut schedule = Schedule::new(Some(S(1)));
        let garbage = ClientError::Document {
            url: String::new(),
            source: MessageError::TooLarge {
                what: "poll",
                size: 0,
            },
        };
        let total: Duration = (0..20).map(|_| schedule.after_failure(&garbage, 0)).sum();
        assert!(total >= S(20));
    }

    #[test]
    fn seeds_spread_a_fleet() {
        let schedule = Schedule::new(None);
        let mut slots = [0; 6];
        for device in 0..600 {
            let first = schedule.first(Random::seeded(device).draw());
            slots[usize::try_from(first.as_secs() / 10).unwrap()] += 1;
        }
        assert!(
            slots.iter().all(|count| (60..140).contains(count)),
            "{slots:?}"
        );
    }

    proptest! {
        #[test]
        fn jitter_is_ten_per_cent(seconds in 1..700_000u64, random: u64) {
            let got = jitter(S(seconds), random);
            prop_assert!(got >= S(seconds) * 9 / 10 && got <= S(seconds) * 11 / 10 + SHORTEST && got >= SHORTEST);
        }

        #[test]
        fn waits_have_bounds(steps in proptest::collection::vec((0..6u8, any::<u64>(), ".{0,10}"), 0..60)) {
            let mut schedule = Schedule::new(None);
            for (step, random, text) in steps {
                let wait = match step {
                    0 => schedule.after_answer(&text, false, random).0,
                    1 => schedule.after_answer("PT999999999H", random % 2 == 0, random).0,
                    2 => schedule.after_failure(&status(409, None), random),
                    3 => schedule.after_failure(&status(401, None), random),
                    _ => schedule.after_failure(&status(500, Some(random)), random),
                };
                prop_assert!(wait >= SHORTEST && wait <= *sleep::BOUNDS.end() * 11 / 10);
            }
        }
    }
}
