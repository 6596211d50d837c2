//! Schedules of maintenance windows: the part of Quartz's cron syntax that we take.
//!
//! Owns: `second minute hour day-of-month month day-of-week [year]`, separated by spaces. Every field takes `*`,
//! numbers, lists `a,b`, ranges `a-b` (`22-2` runs over the end) and steps `a/n`, `*/n`, `a-b/n`. Months are 1 to 12 or
//! JAN to DEC, days of the week 1 to 7 or SUN to SAT, with Sunday as 1. Exactly one of the two day fields is `?`. Day of
//! month also takes `L`, the last one. hawkBit's `W`, `LW`, `#` and `nL` are refused, never misread.
//!
//! Invariant: [`Cron::next`] ends after at most the days until 2100, whatever the schedule says.

use jiff::civil::{Date, DateTime, Time};

/// Longest schedule, as in hawkBit's database.
const LONGEST: usize = 128;
const FIRST_YEAR: u32 = 1970;
const LAST_YEAR: u32 = 2099;
const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A schedule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not six or seven fields.
    #[error(
        "schedule {schedule:?} has {found} fields: write second minute hour day-of-month month day-of-week [year]"
    )]
    Fields {
        /// Start of it.
        schedule: String,
        /// How many.
        found: usize,
    },
    /// A field that says nothing we know.
    #[error("{field} {found:?} of the schedule is refused: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it could say.
        rule: String,
    },
    /// Both day fields, or neither.
    #[error("exactly one of day-of-month {month:?} and day-of-week {week:?} has to be '?'")]
    Days {
        /// Day of month.
        month: String,
        /// Day of week.
        week: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth { days: Vec<u32>, last: bool },
    OfWeek(Vec<u32>),
}

/// A parsed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    seconds: Vec<u32>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    days: Days,
    months: Vec<u32>,
    years: Option<Vec<u32>>,
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    words: &'static [&'static str],
}

const fn field(name: &'static str, first: u32, last: u32, words: &'static [&'static str]) -> Field {
    Field {
        name,
        first,
        last,
        words,
    }
}

impl Field {
    fn refuse(&self, found: &str) -> CronError {
        let words = if self.words.is_empty() {
            ""
        } else {
            " (or their names)"
        };
        CronError::Field {
            field: self.name,
            found: found.to_owned(),
            rule: format!(
                "use {} to {}{words}, '*', lists a,b, ranges a-b and steps a/n",
                self.first, self.last
            ),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = self
            .words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(text));
        let found = match word {
            Some(at) => self.first + u32::try_from(at).ok()?,
            None if text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()?
            }
            None => return None,
        };
        (self.first..=self.last).contains(&found).then_some(found)
    }

    /// The values that one field names, in order.
    fn parse(&self, text: &str) -> Result<Vec<u32>, CronError> {
        let mut values: Vec<u32> = Vec::new();
        for item in text.split(',') {
            values.extend(self.item(item).ok_or_else(|| self.refuse(text))?);
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn item(&self, item: &str) -> Option<Vec<u32>> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if range == "*" => (self.first, self.last),
            // `a/n` runs from a to the end, `a` alone is a.
            None => (
                self.value(range)?,
                if step.is_some() {
                    self.last
                } else {
                    self.value(range)?
                },
            ),
        };
        let step: usize = match step {
            Some(step) => step.parse().ok().filter(|step| (1..=60).contains(step))?,
            None => 1,
        };
        let values: Vec<u32> = match from <= to {
            true => (from..=to).collect(),
            false => (from..=self.last).chain(self.first..=to).collect(),
        };
        Some(values.into_iter().step_by(step).collect())
    }
}

impl std::str::FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (first, year) = match fields.as_slice() {
            [first @ .., year] if first.len() == 6 => (first, Some(*year)),
            all => (all, None),
        };
        let [second, minute, hour, day, month, weekday] = *first else {
            return Err(fields_error(text, fields.len()));
        };
        if text.len() > LONGEST {
            return Err(fields_error(text, fields.len()));
        }
        let years = field("year", FIRST_YEAR, LAST_YEAR, &[]);
        Ok(Cron {
            seconds: field("second", 0, 59, &[]).parse(second)?,
            minutes: field("minute", 0, 59, &[]).parse(minute)?,
            hours: field("hour", 0, 23, &[]).parse(hour)?,
            days: parse_days(day, weekday)?,
            months: field("month", 1, 12, MONTHS).parse(month)?,
            years: year
                .filter(|year| *year != "*")
                .map(|year| years.parse(year))
                .transpose()?,
        })
    }
}

fn fields_error(text: &str, found: usize) -> CronError {
    CronError::Fields {
        schedule: text.chars().take(LONGEST).collect(),
        found,
    }
}

fn parse_days(day: &str, weekday: &str) -> Result<Days, CronError> {
    match (day, weekday) {
        ("?", "?") => {}
        ("?", weekday) => {
            return field("day of week", 1, 7, WEEKDAYS)
                .parse(weekday)
                .map(Days::OfWeek);
        }
        ("L", "?") => {
            return Ok(Days::OfMonth {
                days: Vec::new(),
                last: true,
            });
        }
        (day, "?") => {
            let days = field("day of month", 1, 31, &[]).parse(day)?;
            return Ok(Days::OfMonth { days, last: false });
        }
        _ => {}
    }
    Err(CronError::Days {
        month: day.to_owned(),
        week: weekday.to_owned(),
    })
}

impl Cron {
    /// The first time strictly after `after`, or none until 2100.
    pub fn next(&self, after: DateTime) -> Option<DateTime> {
        let after = after.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
        let mut date = after.date();
        // What is left of the first day, then whole days.
        let mut earliest = Time::new(after.hour(), after.minute(), after.second(), 0).ok()?;
        while year(date) <= LAST_YEAR {
            if !self.has_year(date)
                || !self
                    .months
                    .contains(&u32::from(date.month().unsigned_abs()))
            {
                date = date.last_of_month().tomorrow().ok()?;
            } else {
                if let Some(time) = self
                    .has_day(date)
                    .then(|| self.time_from(earliest))
                    .flatten()
                {
                    return Some(date.to_datetime(time));
                }
                date = date.tomorrow().ok()?;
            }
            earliest = Time::midnight();
        }
        None
    }

    fn has_year(&self, date: Date) -> bool {
        self.years
            .as_ref()
            .is_none_or(|years| years.contains(&year(date)))
    }

    fn has_day(&self, date: Date) -> bool {
        let day = u32::from(date.day().unsigned_abs());
        match &self.days {
            Days::OfMonth { last: true, .. } => date == date.last_of_month(),
            Days::OfMonth { days, .. } => days.contains(&day),
            Days::OfWeek(days) => days.contains(&u32::from(
                date.weekday().to_sunday_one_offset().unsigned_abs(),
            )),
        }
    }

    /// The first time of a day at or after `earliest`.
    fn time_from(&self, earliest: Time) -> Option<Time> {
        let [h, m, s] = [earliest.hour(), earliest.minute(), earliest.second()]
            .map(|n| u32::from(n.unsigned_abs()));
        let at = |hour: u32, minute: u32, second: u32| {
            let part = |n: u32| i8::try_from(n).ok();
            Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
        };
        let from = |values: &[u32], least: u32| values.iter().copied().find(|v| *v >= least);
        let (first_minute, first_second) = (*self.minutes.first()?, *self.seconds.first()?);
        if self.hours.contains(&h) {
            if self.minutes.contains(&m)
                && let Some(second) = from(&self.seconds, s)
            {
                return at(h, m, second);
            }
            if let Some(minute) = from(&self.minutes, m + 1) {
                return at(h, minute, first_second);
            }
        }
        at(from(&self.hours, h + 1)?, first_minute, first_second)
    }
}

fn year(date: Date) -> u32 {
    // The calendar's years before 0 would come out as others; schedules start in 1970.
    u32::try_from(date.year()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        let cron: Cron = schedule.parse().unwrap();
        cron.next(after.parse().unwrap())
            .map(|found| found.to_string())
    }

    #[test]
    fn next_times() {
        let cases = [
            ("0 30 2 ? * *", "2026-11-21T02:29:59", "2026-11-21T02:30:00"),
            ("0 30 2 ? * *", "2026-11-21T02:30:00", "2026-11-22T02:30:00"),
            (
                "21 44 11 21 11 ? 2026",
                "2026-11-21T11:44:13",
                "2026-11-21T11:44:21",
            ),
            (
                "0 0 3 ? * MON-FRI",
                "2026-11-20T04:00:00",
                "2026-11-23T03:00:00",
            ),
            ("0 0 3 ? * 7", "2026-11-21T00:00:00", "2026-11-21T03:00:00"),
            ("0 0 3 L * ?", "2026-02-01T00:00:00", "2026-02-28T03:00:00"),
            ("0 0 0 29 2 ?", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
            (
                "0 0/20 22-2 ? * *",
                "2026-11-21T02:40:00",
                "2026-11-21T22:00:00",
            ),
            (
                "*/15 * * ? * *",
                "2026-12-31T23:59:50",
                "2027-01-01T00:00:00",
            ),
            (
                "0 0 0 1 JAN,jul ?",
                "2026-02-01T00:00:00",
                "2026-07-01T00:00:00",
            ),
        ];
        for (schedule, after, expected) in cases {
            assert_eq!(
                next(schedule, after).as_deref(),
                Some(expected),
                "{schedule}"
            );
        }
        assert_eq!(next("0 0 0 1 1 ? 2020", "2026-01-01T00:00:00"), None);
        assert_eq!(next("0 0 0 31 2 ?", "2026-01-01T00:00:00"), None);
    }

    #[test]
    fn what_is_refused_and_why() {
        let cases = [
            (
                "garbage",
                "schedule \"garbage\" has 1 fields: write second minute hour day-of-month month day-of-week [year]",
            ),
            (
                "0 0 2 * *",
                "schedule \"0 0 2 * *\" has 5 fields: write second minute hour day-of-month month day-of-week [year]",
            ),
            (
                "0 0 0 * * *",
                "exactly one of day-of-month \"*\" and day-of-week \"*\" has to be '?'",
            ),
            (
                "0 0 0 ? * ?",
                "exactly one of day-of-month \"?\" and day-of-week \"?\" has to be '?'",
            ),
            (
                "0 0 24 ? * *",
                "hour \"24\" of the schedule is refused: use 0 to 23, '*', lists a,b, ranges a-b and steps a/n",
            ),
            (
                "0 0 2 ? * 0",
                "day of week \"0\" of the schedule is refused: use 1 to 7 (or their names), '*', lists a,b, ranges a-b and steps a/n",
            ),
        ];
        for (schedule, message) in cases {
            assert_eq!(schedule.parse::<Cron>().unwrap_err().to_string(), message);
        }
        for schedule in [
            "0 0 2 15W * ?",
            "0 0 2 LW * ?",
            "0 0 2 ? * 6#3",
            "0 0 2 ? * 6L",
            "0 0 2 1-0/0 * ?",
            "0 0 2 1/61 * ?",
            "-1 0 2 1 * ?",
            "1- 0 2 1 * ?",
        ] {
            assert!(schedule.parse::<Cron>().is_err(), "{schedule}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_in_a_verdict(text in "[-0-9*?/, LWA-Z#]{0,40}") {
            if let Ok(cron) = text.parse::<Cron>() {
                let after = "2026-11-21T11:44:13".parse().unwrap();
                if let Some(found) = cron.next(after) {
                    prop_assert!(found > after);
                }
            }
        }
    }
}
