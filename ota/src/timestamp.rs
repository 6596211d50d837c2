//! Points in time as the documents write them: RFC 3339, UTC, whole seconds, `2025-11-21T07:41:00Z`.
//!
//! Owns the one accepted spelling, so that equal times have equal bytes. Never reads a clock.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::excerpt;

/// A time from 1970 to the end of 9999, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

/// A time was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not the accepted spelling.
    #[error(
        "time {value:?} is refused: write UTC with whole seconds from 1970 on, as in 2025-11-21T07:41:00Z"
    )]
    Spelling {
        /// The start of what was found.
        value: String,
    },
    /// Seconds since 1970 beyond the year 9999.
    #[error("{seconds} seconds since 1970 is later than the year 9999: is it in milliseconds?")]
    Range {
        /// What was given.
        seconds: u64,
    },
}

impl Timestamp {
    /// From seconds since 1970, as in `SOURCE_DATE_EPOCH`.
    pub fn from_unix(seconds: u64) -> Result<Self, TimestampError> {
        i64::try_from(seconds)
            .ok()
            .and_then(|signed| jiff::Timestamp::from_second(signed).ok())
            .map(Timestamp)
            .ok_or(TimestampError::Range { seconds })
    }

    /// Seconds since 1970.
    pub fn as_unix(self) -> i64 {
        self.0.as_second()
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let refuse = || TimestampError::Spelling {
            value: excerpt(text),
        };
        let time = text.parse().map(Timestamp).map_err(|_| refuse())?;
        // The parser accepts offsets, fractions and lower case; only the one spelling with whole seconds is ours.
        if time.as_unix() < 0 || time.0.subsec_nanosecond() != 0 || time.to_string() != text {
            return Err(refuse());
        }
        Ok(time)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_spelling_and_no_other() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_763_710_860, "2025-11-21T07:41:00Z"),
            (253_402_207_200, "9999-12-30T22:00:00Z"),
        ] {
            let time = Timestamp::from_unix(seconds).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap(), time);
        }
        for bad in [
            "",
            "2025-11-21",
            "2025-11-21T07:41:00",
            "2025-11-21 07:41:00Z",
            "2025-11-21t07:41:00z",
            "2025-11-21T07:41:00+00:00",
            "2025-11-21T07:41:00.5Z",
            "2025-11-21T07:41:60Z",
            "2025-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "20251121T074100Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?}");
        }
        assert_eq!(
            Timestamp::from_unix(u64::MAX),
            Err(TimestampError::Range { seconds: u64::MAX })
        );
    }
}
