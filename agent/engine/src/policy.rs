//! The owner's rules: when an update may happen and what it may cost.
//!
//! Owns: the settings with their defaults and bounds. Never does: I/O, read a clock. Every member has a default that is safe
//! for a device nobody configured.

use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::device::PlanFacts;

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Who answers when the server asks for a confirmation.
    pub questions: Questions,
    /// Soft updates.
    pub soft: Soft,
    /// Bytes per day and month.
    pub budget: Budget,
    /// Fail instead of a full download.
    pub limits: Limits,
    /// Bytes per second, none for no limit.
    pub bytes_per_second: Option<u64>,
    /// Milliseconds after boot at which an uncommitted trial is given up. Below the 15 minutes of
    /// `roamcore-trial-deadline.timer`, so that the reason can be written down before that reboots.
    pub trial_deadline_ms: u64,
    /// Failed attempts (other than no network) before a job is given up.
    pub most_failures: u32,
    /// Milliseconds after which a poll no longer proves that a maintenance window is open.
    pub window_fresh_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            questions: Questions::Ask,
            soft: Soft::default(),
            budget: Budget::default(),
            limits: Limits::default(),
            bytes_per_second: None,
            trial_deadline_ms: 14 * 60 * 1000,
            most_failures: 8,
            window_fresh_ms: 10 * 60 * 1000,
        }
    }
}

/// Who answers the server's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Questions {
    /// A person, by `roamcore confirm`.
    Ask,
    /// This policy says yes.
    Accept,
}

/// Soft updates: the server leaves the time to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Soft {
    /// Whether a person is asked.
    pub ask: Ask,
    /// When it may reboot without being asked; none for always.
    pub hours: Option<Hours>,
}

impl Default for Soft {
    fn default() -> Self {
        Self {
            ask: Ask::BeforeReboot,
            hours: None,
        }
    }
}

/// When a person is asked about a soft update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Not at all.
    Never,
    /// Before anything is fetched.
    BeforeWriting,
    /// When everything is written and only the reboot is left.
    BeforeReboot,
}

/// A part of every day, in minutes of the UTC day; may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hours {
    /// First minute.
    pub from: u16,
    /// First minute that is not in it.
    pub to: u16,
}

impl Hours {
    /// Whether a time is in it.
    pub fn contains(self, unix: i64) -> bool {
        const DAY: i64 = 24 * 60;
        let minute = unix.div_euclid(60).rem_euclid(DAY);
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if from <= to {
            (from..to).contains(&minute)
        } else {
            minute >= from || minute < to
        }
    }
}

/// What one update may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes.
    pub download_bytes: Option<u64>,
    /// Percent of a full download: fail instead of full.
    pub percent_of_full: Option<u8>,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        download_bytes: None,
        percent_of_full: None,
    };

    /// Why a plan is refused.
    pub fn refuse(&self, plan: &PlanFacts) -> Option<String> {
        let need = plan.download_bytes;
        if let Some(most) = self.download_bytes.filter(|most| need > *most) {
            return Some(format!(
                "the update needs {need} bytes, the policy allows {most} for one update; raise limits.download-bytes \
                 or install from a stick"
            ));
        }
        let percent = self.percent_of_full?;
        // Sizes stay integers; u128 because 100 times a size may not fit.
        let above = u128::from(need) * 100 > u128::from(plan.full_bytes) * u128::from(percent);
        above.then(|| {
            format!(
                "the update needs {need} of {} bytes of a full download, the policy allows {percent} percent; raise \
                 limits.percent-of-full or install from a stick",
                plan.full_bytes
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_pass_midnight() {
        let at = |hour: i64, minute: i64| 86_400 * 20_000 + hour * 3600 + minute * 60;
        let day = Hours {
            from: 60,
            to: 5 * 60,
        };
        let night = Hours {
            from: 23 * 60,
            to: 4 * 60,
        };
        for (hours, hour, minute, want) in [
            (day, 0, 59, false),
            (day, 1, 0, true),
            (day, 4, 59, true),
            (day, 5, 0, false),
            (night, 22, 59, false),
            (night, 23, 0, true),
            (night, 3, 59, true),
            (night, 4, 0, false),
        ] {
            assert_eq!(hours.contains(at(hour, minute)), want, "{hour}:{minute}");
        }
    }

    #[test]
    fn limits_name_what_they_saw() {
        let plan = PlanFacts {
            download_bytes: 500,
            full_bytes: 1000,
            write_bytes: 900,
            requests: 3,
        };
        let limits = |bytes, percent| Limits {
            download_bytes: bytes,
            percent_of_full: percent,
        };
        assert_eq!(limits(Some(500), Some(50)).refuse(&plan), None);
        let text = limits(Some(499), None).refuse(&plan).unwrap();
        assert!(
            text.contains("500 bytes") && text.contains("allows 499"),
            "{text}"
        );
        let text = limits(None, Some(49)).refuse(&plan).unwrap();
        assert!(
            text.contains("500 of 1000") && text.contains("49 percent"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_document_is_the_default() {
        let policy: Policy = serde_json::from_str("{}").unwrap();
        assert_eq!(policy, Policy::default());
        assert!(serde_json::from_str::<Policy>("{\"sofr\": {}}").is_err());
    }
}
