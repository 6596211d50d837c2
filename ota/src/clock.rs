//! What is known of the time, and what follows for expiry.
//!
//! Owns the judgement of expiry with a clock that may be wrong. Never reads a clock: callers say what theirs shows and
//! whether it was ever set.
//!
//! A device also knows a time that has certainly passed: its image was built then, or a document it accepted was made
//! then. A clock that shows less is wrong, by accident or because somebody turned it back to make an expired document
//! good again, and counts as not set. What has expired before that time has expired whatever the clock shows.

use crate::timestamp::Timestamp;
use crate::verify::VerifyError;

/// What is known of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What the clock shows, if it was set (by network time, a battery, or an operator).
    pub now: Option<Timestamp>,
    /// A time that has certainly passed, if one is known.
    pub passed: Option<Timestamp>,
}

/// What is known about a verified document's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryCheck {
    /// It names no expiry.
    NeverExpires,
    /// The time was known and lies before this expiry.
    ValidUntil(Timestamp),
    /// It names this expiry, but the time was not known: judge it again once the clock is set.
    ClockNotSet(Timestamp),
}

impl Clock {
    /// A clock beside which nothing is known.
    pub fn new(now: Option<Timestamp>) -> Self {
        Clock { now, passed: None }
    }

    /// The time, when the clock was set and shows nothing impossible.
    pub fn trusted(&self) -> Option<Timestamp> {
        self.now.filter(|now| self.passed.is_none_or(|p| p <= *now))
    }

    /// Whether `expires` has certainly passed, and by which time.
    pub(crate) fn past(&self, expires: Timestamp) -> Option<Timestamp> {
        self.trusted().or(self.passed).filter(|t| expires <= *t)
    }

    /// What is known about an expiry that has not certainly passed.
    pub(crate) fn check(&self, expires: Option<Timestamp>) -> ExpiryCheck {
        match (expires, self.trusted()) {
            (None, _) => ExpiryCheck::NeverExpires,
            (Some(expires), None) => ExpiryCheck::ClockNotSet(expires),
            (Some(expires), Some(_)) => ExpiryCheck::ValidUntil(expires),
        }
    }

    /// Judges an expiry. Fails when it has certainly passed.
    pub fn judge(&self, expires: Option<Timestamp>) -> Result<ExpiryCheck, VerifyError> {
        if let Some((expires, now)) = expires.and_then(|e| Some((e, self.past(e)?))) {
            return Err(VerifyError::Expired { expires, now });
        }
        Ok(self.check(expires))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    #[test]
    fn a_clock_can_be_set_unset_or_turned_back() {
        let clock = |now: Option<u64>, passed: Option<u64>| Clock {
            now: now.map(at),
            passed: passed.map(at),
        };
        let (open, good) = (
            Ok(ExpiryCheck::ClockNotSet(at(100))),
            Ok(ExpiryCheck::ValidUntil(at(100))),
        );
        let cases = [
            (clock(None, None), open),
            (clock(None, Some(99)), open),
            (clock(None, Some(100)), Err(at(100))),
            (clock(Some(99), None), good),
            (clock(Some(100), None), Err(at(100))),
            (clock(Some(99), Some(50)), good),
            // Turned back: what it shows says nothing, what has passed still does.
            (clock(Some(40), Some(50)), open),
            (clock(Some(40), Some(200)), Err(at(200))),
            (clock(Some(300), Some(50)), Err(at(300))),
        ];
        for (clock, expected) in cases {
            let seen = clock.judge(Some(at(100))).map_err(|e| match e {
                VerifyError::Expired { now, .. } => now,
                other => panic!("{other}"),
            });
            assert_eq!(seen, expected, "{clock:?}");
            assert_eq!(clock.judge(None).unwrap(), ExpiryCheck::NeverExpires);
        }
    }
}
