//! Seconds since 1970 as FAT date and time, in UTC.

use super::FatError;

/// A FAT date and time; two-second steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FatTime {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl FatTime {
    pub(super) fn from_epoch(epoch: i64) -> Result<Self, FatError> {
        let bad = || FatError::Time { epoch };
        let seconds = u64::try_from(epoch).map_err(|_| bad())?;
        let (mut days, second) = (seconds / 86400, seconds % 86400);
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut year = 1970;
        loop {
            let length = if leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            if year == 2107 {
                return Err(bad());
            }
            days -= length;
            year += 1;
        }
        if year < 1980 {
            return Err(bad());
        }
        let february = if leap(year) { 29 } else { 28 };
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let date = (year - 1980) << 9 | month << 5 | (days + 1);
        let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
        Ok(Self {
            date: date as u16,
            time: time as u16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let table = [
            (315_532_800, Some((1980, 1, 1, 0, 0, 0))),
            (951_827_696, Some((2000, 2, 29, 12, 34, 56))),
            (1_798_761_599, Some((2026, 12, 31, 23, 59, 58))),
            (4_354_819_199, Some((2107, 12, 31, 23, 59, 58))),
            (315_532_799, None),
            (4_354_819_200, None),
            (-1, None),
            (i64::MAX, None),
        ];
        for (epoch, want) in table {
            let got = FatTime::from_epoch(epoch).ok().map(|t| {
                let (d, t) = (u32::from(t.date), u32::from(t.time));
                (
                    1980 + (d >> 9),
                    d >> 5 & 15,
                    d & 31,
                    t >> 11,
                    t >> 5 & 63,
                    2 * (t & 31),
                )
            });
            assert_eq!(got, want, "{epoch}");
        }
    }
}
