//! Data volume: what was used and what is left.
//!
//! Owns: the counters of the day and the month. Never does: read a clock. Invariant: a clock that jumps back never gives
//! bytes back, and neither does its return; without a clock the bytes count for the last day that was known.

use serde::{Deserialize, Serialize};

/// Days by which a clock may go back and still be the same one: time zones, a network that is wrong, a dead battery's
/// memory of the last boot.
const FARTHEST_BACK: i64 = 7;

/// What to do when it is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenShort {
    /// Wait for the next day or month.
    #[default]
    Wait,
    /// Refuse an update whose plan does not fit.
    Refuse,
}

/// Bytes that may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// In a day (UTC).
    pub per_day: Option<u64>,
    /// In a month (UTC).
    pub per_month: Option<u64>,
    /// And then?
    pub when_short: WhenShort,
}

/// Bytes that were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Days since 1970.
    pub day: i64,
    /// In that day.
    pub day_bytes: u64,
    /// Months since year 0.
    pub month: i64,
    /// In that month.
    pub month_bytes: u64,
}

impl Usage {
    /// Follows the clock. Days are only left behind, unless the clock was so far ahead that waiting for it to be right
    /// again would be worse: then it is followed back, and the bytes stay.
    pub fn at(self, unix: Option<i64>) -> Self {
        let Some(unix) = unix else { return self };
        let clock = unix.div_euclid(86_400);
        let day = match self.day - clock {
            1..=FARTHEST_BACK => self.day,
            _ => clock,
        };
        let month = month_of(day);
        Self {
            day,
            day_bytes: if day > self.day { 0 } else { self.day_bytes },
            month,
            month_bytes: if month > self.month {
                0
            } else {
                self.month_bytes
            },
        }
    }

    /// Counts bytes.
    pub fn plus(self, bytes: u64) -> Self {
        Self {
            day_bytes: self.day_bytes.saturating_add(bytes),
            month_bytes: self.month_bytes.saturating_add(bytes),
            ..self
        }
    }

    /// Bytes left; none for no limit.
    pub fn left(&self, budget: &Budget) -> Option<u64> {
        let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
        match (
            left(budget.per_day, self.day_bytes),
            left(budget.per_month, self.month_bytes),
        ) {
            (Some(day), Some(month)) => Some(day.min(month)),
            (day, month) => day.or(month),
        }
    }
}

/// Months since year 0 of a day since 1970, by the civil calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days).
fn month_of(day: i64) -> i64 {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March, so that a leap day is the last one of its year.
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + month_from_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unix(date: &str) -> i64 {
        format!("{date}T12:00:00Z")
            .parse::<roamcore_ota::Timestamp>()
            .unwrap()
            .as_unix()
    }

    #[test]
    fn months_follow_the_calendar() {
        for (first, second, same) in [
            ("2025-01-01", "2025-01-31", true),
            ("2025-01-31", "2025-02-01", false),
            ("2024-02-01", "2024-02-29", true),
            ("2024-02-29", "2024-03-01", false),
            ("2025-12-31", "2026-01-01", false),
            ("2000-02-29", "2000-02-01", true),
        ] {
            let month = |date| month_of(unix(date).div_euclid(86_400));
            assert_eq!(month(first) == month(second), same, "{first} {second}");
            assert_eq!(
                month(second) - month(first),
                i64::from(!same),
                "{first} {second}"
            );
        }
        assert_eq!(month_of(0), 1970 * 12);
    }

    #[test]
    fn a_new_day_and_a_new_month_start_at_zero() {
        let budget = Budget {
            per_day: Some(100),
            per_month: Some(150),
            when_short: WhenShort::Wait,
        };
        let first = Usage::default().at(Some(unix("2025-03-30"))).plus(90);
        assert_eq!(first.left(&budget), Some(10));
        let next = first.at(Some(unix("2025-03-31")));
        assert_eq!(
            next.left(&budget),
            Some(60),
            "the month is the tighter limit now"
        );
        assert_eq!(
            next.plus(70).at(Some(unix("2025-04-01"))).left(&budget),
            Some(100)
        );
        assert_eq!(first.left(&Budget::default()), None);
    }

    proptest! {
        #[test]
        fn no_clock_and_no_jump_back_gives_bytes_back(start in 0i64..4_000_000_000, back in 0i64..4_000_000_000, used: u64) {
            let usage = Usage::default().at(Some(start)).plus(used);
            for later in [usage.at(None), usage.at(Some(start.saturating_sub(back)))] {
                prop_assert_eq!((later.day_bytes, later.month_bytes), (used, used));
            }
        }

        #[test]
        fn the_return_of_a_clock_gives_nothing_back(start in 0i64..4_000_000_000, back in 0i64..6 * 86_400, used in 0..u64::MAX / 2) {
            let usage = Usage::default().at(Some(start)).plus(used);
            let back = usage.at(Some(start - back)).plus(1);
            prop_assert_eq!(back.at(Some(start)), Usage { day_bytes: used + 1, month_bytes: used + 1, ..usage });
        }

        #[test]
        fn a_clock_that_was_years_ahead_is_not_waited_for(start in 0i64..2_000_000_000, ahead in 1i64..50, used: u64) {
            let usage = Usage::default().at(Some(start + ahead * 31_556_952)).plus(used).at(Some(start));
            prop_assert_eq!(usage.day_bytes, used);
            prop_assert_eq!(usage.at(Some(start + 86_400)).day_bytes, 0);
        }
    }
}
