//! Dates of Release files and of locks.
//!
//! Owns: the two spellings a lock meets, RFC 1123 (Debian's `Date:` field) and RFC 3339 in UTC.
//! Never does: read the clock or know a time zone. Years before 1970 do not exist here.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Days from 1970-01-01 to a date of the Gregorian calendar (years counted from March, so that
/// the leap day is a year's last).
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

fn unix(year: u64, month: u64, day: u64, clock: &str) -> Option<u64> {
    let mut parts = clock.split(':').map(|p| {
        if p.len() == 2 {
            p.parse::<u64>().ok()
        } else {
            None
        }
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=last).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && parts.next().is_none();
    valid.then(|| days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Unix seconds of `Sat, 12 Sep 2026 07:55:41 UTC`; other zones than UTC are refused, as Debian's
/// repository format wants it.
pub fn parse_rfc1123(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let day = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month_name)? as u64 + 1;
    let year = words.next()?.parse().ok()?;
    let clock = words.next()?;
    matches!(words.next()?, "UTC" | "GMT" | "Z" | "+0000").then_some(())?;
    unix(year, month, day, clock)
}

/// Unix seconds of `2026-09-12T07:55:41Z`.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-').map(|p| p.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let seconds = unix(year, month, day, clock)?;
    // One instant, one spelling.
    (rfc3339(seconds) == text).then_some(seconds)
}

/// `Sat, 12 Sep 2026 07:55:41 UTC` of Unix seconds.
pub fn rfc1123(seconds: u64) -> String {
    // 1970-01-01 was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let iso = rfc3339(seconds);
    let day = DAYS[(seconds / 86_400 % 7) as usize];
    let month = MONTHS[iso[5..7]
        .parse::<usize>()
        .map_or(0, |m| m.saturating_sub(1) % 12)];
    format!(
        "{day}, {} {month} {} {} UTC",
        &iso[8..10],
        &iso[..4],
        &iso[11..19]
    )
}

/// `2026-09-12T07:55:41Z` of Unix seconds.
pub fn rfc3339(seconds: u64) -> String {
    let shifted = seconds / 86_400 + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        // Each checked with `date -u -d @N`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(parse_rfc3339(text), Some(seconds));
        }
        assert_eq!(
            parse_rfc1123("Sat, 12 Sep 2026 07:55:41 UTC")
                .map(rfc3339)
                .as_deref(),
            Some("2026-09-12T07:55:41Z")
        );
    }

    #[test]
    fn rfc1123_round_trip() {
        let text = "Sat, 12 Sep 2026 07:55:41 UTC";
        assert_eq!(parse_rfc1123(text).map(rfc1123).as_deref(), Some(text));
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            "Sat, 12 Sep 2026 07:55:41 CEST",
            "Sat, 31 Sep 2026 07:55:41 UTC",
        ] {
            assert_eq!(parse_rfc1123(bad), None, "{bad}");
        }
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-9-12T07:55:41Z",
            "2026-09-12T07:55:60Z",
            "2026-09-12 07:55:41Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
