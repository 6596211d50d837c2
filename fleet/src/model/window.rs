//! Maintenance windows: a schedule, how long each window lasts, and where on earth.
//!
//! Owns: whether a window is open, comes, or will never come again. As in hawkBit the duration is `HH:mm` or
//! `HH:mm:ss` below one day and the time zone an offset such as `+02:00`: windows do not follow daylight saving.
//! Invariant: a [`Window`] that was parsed had an open or a coming window at that moment.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::Millis;
use super::cron::{Cron, CronError};

/// A window was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The schedule.
    #[error(transparent)]
    Schedule(#[from] CronError),
    /// The duration.
    #[error(
        "duration {0:?} of the maintenance window is refused: write HH:mm:ss, more than zero and less than one day"
    )]
    Duration(String),
    /// The time zone.
    #[error(
        "time zone {0:?} of the maintenance window is refused: write an offset from +18:00 to -18:00, such as +02:00"
    )]
    Zone(String),
    /// It is over already.
    #[error("no maintenance window of schedule {0:?} is open or to come: choose a later one")]
    Never(String),
}

/// Where a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Open.
    Open,
    /// Closed until then.
    Pending(Millis),
    /// There will be none any more.
    Lapsed,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As given.
    pub schedule: String,
    /// As given.
    pub duration: String,
    /// As given.
    pub timezone: String,
    cron: Cron,
    length: Millis,
    offset: Offset,
}

impl Window {
    /// Parses a window that was accepted before.
    pub fn stored(schedule: &str, duration: &str, timezone: &str) -> Result<Self, WindowError> {
        Ok(Window {
            cron: schedule.parse()?,
            length: length(duration).ok_or_else(|| WindowError::Duration(excerpt(duration)))?,
            offset: offset(timezone).ok_or_else(|| WindowError::Zone(excerpt(timezone)))?,
            schedule: schedule.to_owned(),
            duration: duration.to_owned(),
            timezone: timezone.to_owned(),
        })
    }

    /// Parses a new window, which must not have lapsed.
    pub fn parse(
        schedule: &str,
        duration: &str,
        timezone: &str,
        now: Millis,
    ) -> Result<Self, WindowError> {
        let window = Self::stored(schedule, duration, timezone)?;
        match window.state(now) {
            WindowState::Lapsed => Err(WindowError::Never(excerpt(schedule))),
            _ => Ok(window),
        }
    }

    /// Where it stands at `now`. A window that opened within the last `duration` is still open.
    pub fn state(&self, now: Millis) -> WindowState {
        match self.start(now) {
            Some(start) if start < now => WindowState::Open,
            Some(start) => WindowState::Pending(start),
            None => WindowState::Lapsed,
        }
    }

    fn start(&self, now: Millis) -> Option<Millis> {
        let after = Timestamp::from_millisecond(now.checked_sub(self.length)?).ok()?;
        let found = self.cron.next(self.offset.to_datetime(after))?;
        Some(self.offset.to_timestamp(found).ok()?.as_millisecond())
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

fn two_digits(text: &str, below: i64) -> Option<i64> {
    let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|n| *n < below)
}

fn length(text: &str) -> Option<Millis> {
    let mut parts = text.trim().split(':');
    let (hours, minutes) = (
        two_digits(parts.next()?, 24)?,
        two_digits(parts.next()?, 60)?,
    );
    let seconds = parts
        .next()
        .map_or(Some(0), |seconds| two_digits(seconds, 60))?;
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1000;
    (parts.next().is_none() && total > 0).then_some(total)
}

fn offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let minutes = two_digits(hours, 19)? * 60 + two_digits(minutes, 60)?;
    let seconds = i32::try_from(minutes * 60)
        .ok()
        .filter(|s| *s <= 18 * 3600)?;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn open_pending_lapsed() {
        let window = Window::parse(
            "0 30 2 21 11 ? 2026",
            "00:10:00",
            "+02:00",
            at("2026-11-20T00:00:00Z"),
        )
        .unwrap();
        let opens = at("2026-11-21T00:30:00Z");
        let states = [
            ("2026-11-20T00:00:00Z", WindowState::Pending(opens)),
            ("2026-11-21T00:30:00Z", WindowState::Pending(opens)),
            ("2026-11-21T00:30:00.001Z", WindowState::Open),
            ("2026-11-21T00:39:59Z", WindowState::Open),
            ("2026-11-21T00:40:00Z", WindowState::Lapsed),
        ];
        for (now, state) in states {
            assert_eq!(window.state(at(now)), state, "{now}");
        }
    }

    #[test]
    fn every_day_never_lapses() {
        let window =
            Window::parse("0 0 2 ? * *", "01:00", "Z", at("2026-11-20T12:00:00Z")).unwrap();
        assert_eq!(
            window.state(at("2031-01-01T03:00:00Z")),
            WindowState::Pending(at("2031-01-02T02:00:00Z"))
        );
        assert_eq!(window.state(at("2031-01-02T02:59:59Z")), WindowState::Open);
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let now = at("2026-11-20T12:00:00Z");
        let cases = [
            (
                "0 0 0 1 1 ? 2020",
                "00:10:00",
                "+00:00",
                "no maintenance window of schedule \"0 0 0 1 1 ? 2020\" is open or to come: choose a later one",
            ),
            (
                "0 0 0 ? * *",
                "25:10:00",
                "+00:00",
                "duration \"25:10:00\" of the maintenance window is refused: write HH:mm:ss, more than zero and less than one day",
            ),
            (
                "0 0 0 ? * *",
                "00:00:00",
                "+00:00",
                "duration \"00:00:00\" of the maintenance window is refused: write HH:mm:ss, more than zero and less than one day",
            ),
            (
                "0 0 0 ? * *",
                "00:10:00",
                "Mars",
                "time zone \"Mars\" of the maintenance window is refused: write an offset from +18:00 to -18:00, such as +02:00",
            ),
        ];
        for (schedule, duration, zone, message) in cases {
            assert_eq!(
                Window::parse(schedule, duration, zone, now)
                    .unwrap_err()
                    .to_string(),
                message
            );
        }
        for zone in ["+19:00", "+18:01", "02:00", "+2", "", "+0ü:00"] {
            assert!(offset(zone).is_none(), "{zone}");
        }
        assert_eq!(offset("-05:30").map(Offset::seconds), Some(-19800));
    }
}
