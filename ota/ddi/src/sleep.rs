//! The text of poll intervals.
//!
//! Owns: `HH:mm:ss`, which hawkBit writes below one day, and ISO-8601 durations such as `PT48H`, which
//! it writes from one day on. Never does: give zero for what it could not read: that would be a device
//! that polls without a pause. Invariant: a duration from [`interval`] is within the given bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bounds that protect both sides: a server that says zero, and one that says for ever.
pub const BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * DAY);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Nine digits never overflow when multiplied by the seconds of a day.
const MOST_DIGITS: usize = 9;

/// A poll interval that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "poll interval {0:?} is neither HH:mm:ss nor an ISO-8601 duration such as PT48H; the last good one stays in force"
)]
pub struct SleepError(String);

/// Reads either form.
pub fn parse(text: &str) -> Result<Duration, SleepError> {
    let trimmed = text.trim();
    clock(trimmed)
        .or_else(|| iso(trimmed))
        .map(Duration::from_secs)
        .ok_or_else(|| SleepError(text.chars().take(64).collect()))
}

/// Reads either form and keeps it within `bounds`.
pub fn interval(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, SleepError> {
    parse(text).map(|found| found.max(*bounds.start()).min(*bounds.end()))
}

/// Writes as hawkBit does; parts of a second are dropped.
pub fn format(interval: Duration) -> String {
    let seconds = interval.as_secs();
    let (hours, minutes, rest) = (seconds / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE);
    if seconds < DAY {
        return format!("{hours:02}:{minutes:02}:{rest:02}");
    }
    let part = |number: u64, unit: char| match number {
        0 => String::new(),
        _ => format!("{number}{unit}"),
    };
    format!(
        "PT{}{}{}",
        part(hours, 'H'),
        part(minutes, 'M'),
        part(rest, 'S')
    )
}

fn number(digits: &str) -> Option<u64> {
    let plain =
        (1..=MOST_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || minutes.len() != 2 || seconds.len() != 2 {
        return None;
    }
    let below_sixty = |digits| number(digits).filter(|n| *n < 60);
    Some(number(hours)? * HOUR + below_sixty(minutes)? * MINUTE + below_sixty(seconds)?)
}

/// `PnDTnHnMnS` as Java writes and reads it; what comes after a decimal point is dropped.
fn iso(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let body = upper.strip_prefix('P')?;
    let (days, time) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (body, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    Some(units(days, &[('D', DAY)])? + units(time, &[('H', HOUR), ('M', MINUTE), ('S', 1)])?)
}

/// Sums numbers that are each followed by one of `known`, in that order, each at most once.
fn units(text: &str, known: &[(char, u64)]) -> Option<u64> {
    let (mut rest, mut total) = (text, 0);
    for (unit, seconds) in known {
        if let Some((digits, after)) = rest.split_once(*unit) {
            let whole = match digits.split_once('.') {
                Some((whole, fraction)) if *unit == 'S' => number(fraction).map(|_| whole)?,
                Some(_) => return None,
                None => digits,
            };
            total += number(whole)? * seconds;
            rest = after;
        }
    }
    rest.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let good = [
            ("00:05:00", 300),
            ("23:59:59", 86_399),
            ("00:00:00", 0),
            (" 00:00:30 ", 30),
            ("100:00:01", 360_001),
            ("PT48H", 172_800),
            ("PT24H", 86_400),
            ("PT24H0.5S", 86_400),
            ("PT1H2M3.999999999S", 3723),
            ("P1DT1S", 86_401),
            ("P2D", 172_800),
            ("pt5m", 300),
            ("PT0S", 0),
        ];
        for (text, seconds) in good {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            ":",
            "::",
            "aa:bb:cc",
            "00:60:00",
            "00:00:60",
            "00:05",
            "00:05:0",
            "-1:00:00",
            "+1:00:00",
            "00:05:00:00",
            "1e3:00:00",
            "P",
            "PT",
            "P1DT",
            "PT1",
            "PTS",
            "PT-5M",
            "PT5M3H",
            "PT1H1H",
            "P1H",
            "PT1.5H",
            "PT1.S",
            "PT.5S",
            "PT1,5S",
            "P1W",
            "PT9999999999H",
            "9999999999:00:00",
            "PT1\u{0661}S",
            "300",
        ] {
            assert_eq!(parse(text), Err(SleepError(text.into())), "{text:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(interval("00:00:00", &BOUNDS), Ok(*BOUNDS.start()));
        assert_eq!(interval("PT999999999H", &BOUNDS), Ok(*BOUNDS.end()));
        assert!(interval("soon", &BOUNDS).is_err());
    }

    #[test]
    fn writes_as_hawkbit_does() {
        for (seconds, text) in [
            (0, "00:00:00"),
            (300, "00:05:00"),
            (86_399, "23:59:59"),
            (86_400, "PT24H"),
            (172_800, "PT48H"),
            (90_061, "PT25H1M1S"),
        ] {
            assert_eq!(format(Duration::from_secs(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,40}", near in "[PpTtDHMSs0-9:.+-]{0,30}") {
            drop(parse(&text));
            drop(parse(&near));
        }

        #[test]
        fn what_is_written_is_read(seconds in 0..2_000_000_000u64) {
            let interval = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format(interval)), Ok(interval));
        }
    }
}
