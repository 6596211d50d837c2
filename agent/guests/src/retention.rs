//! Which snapshots to take and which to drop.
//!
//! Owns: the rule. Never does: I/O, read a clock. Invariants: while the clock is not trusted nothing is taken and no whole
//! snapshot is dropped; nothing is dropped but for a rule; the newest whole snapshot is never dropped.
//!
//! A device that was off at the time takes its snapshot when it is on again: one, however many it missed. Days, weeks (from
//! Monday) and months are those of UTC.

use std::collections::BTreeSet;

use crate::plan::{Keep, Snapshots};
use crate::snapshot::Snapshot;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// The time, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970.
    pub now: u64,
    /// Somebody has set it: the network, the battery, the GPS.
    pub trusted: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Take one, named after now.
    pub take: bool,
    /// Drop those of these times.
    pub drop: Vec<u64>,
}

/// Decides for one guest.
#[must_use]
pub fn decide(clock: Clock, rule: &Snapshots, there: &[Snapshot]) -> Decision {
    let torn = there.iter().filter(|one| !one.whole).map(|one| one.at);
    let mut drop: BTreeSet<u64> = torn.collect();
    if !clock.trusted {
        return Decision {
            take: false,
            drop: drop.into_iter().collect(),
        };
    }
    let whole = there.iter().filter(|one| one.whole).map(|one| one.at);
    // One of the future was taken by a clock that was wrong: it is older than all that are not, nobody knows how old.
    let (mut times, future): (Vec<u64>, Vec<u64>) = whole.partition(|at| *at <= clock.now);
    let last = last_due(clock.now, rule);
    let take = last.is_some_and(|due| times.iter().all(|at| *at < due));
    // Two in one second would be one.
    let take = take && there.iter().all(|one| one.at != clock.now);
    if take {
        times.push(clock.now);
    }
    times.sort_unstable();
    times.reverse();
    let kept = keep(&times, rule.keep);
    drop.extend(times.iter().filter(|at| !kept.contains(at)));
    // Of those of the future as many stay as places are left.
    let most = [
        rule.keep.last,
        rule.keep.daily,
        rule.keep.weekly,
        rule.keep.monthly,
    ];
    let most = most.into_iter().map(|n| n as usize).sum::<usize>();
    drop.extend(future.iter().skip(most.saturating_sub(kept.len())));
    Decision {
        take,
        drop: drop.into_iter().collect(),
    }
}

/// The last moment of the schedule that is not after now.
fn last_due(now: u64, rule: &Snapshots) -> Option<u64> {
    (0..=7).find_map(|back| {
        let day = (now / DAY).checked_sub(back)?;
        let due = (day * DAY).saturating_add(u64::from(rule.minute) * MINUTE);
        let wanted =
            rule.days.is_empty() || rule.days.iter().any(|d| u64::from(*d) == weekday(day));
        (wanted && due <= now).then_some(due)
    })
}

/// Monday is 1. The first of January 1970 was a Thursday.
const fn weekday(day: u64) -> u64 {
    (day + 3) % 7 + 1
}

/// Those that stay of `times`, newest first.
fn keep(times: &[u64], rule: Keep) -> BTreeSet<u64> {
    let mut kept: BTreeSet<u64> = times.iter().take(rule.last as usize).copied().collect();
    let week = |at: u64| (at / DAY + 3) / 7;
    newest_of_each(times, rule.daily, |at| at / DAY, &mut kept);
    newest_of_each(times, rule.weekly, week, &mut kept);
    newest_of_each(times, rule.monthly, |at| month(at / DAY), &mut kept);
    kept.extend(times.first());
    kept
}

fn newest_of_each(
    times: &[u64],
    count: u32,
    period: impl Fn(u64) -> u64,
    kept: &mut BTreeSet<u64>,
) {
    let mut last = None;
    let mut left = count;
    for at in times {
        let this = period(*at);
        if last == Some(this) {
            continue;
        }
        if left == 0 {
            return;
        }
        left -= 1;
        last = Some(this);
        kept.insert(*at);
    }
}

/// Months since the year 0 of a day since 1970, in the Gregorian calendar: 400 years have 146097 days, and years that begin
/// in March have their leap day at the end.
const fn month(day: u64) -> u64 {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-02-29 12:00 UTC, a Thursday.
    const NOON: u64 = 1_709_208_000;
    const HOUR: u64 = 3600;

    fn rule(days: &[u8], keep: Keep) -> Snapshots {
        Snapshots {
            days: days.to_vec(),
            minute: 210,
            keep,
        }
    }

    fn whole(times: &[u64]) -> Vec<Snapshot> {
        let one = |at: &u64| Snapshot {
            at: *at,
            disks: vec![0],
            whole: true,
        };
        times.iter().map(one).collect()
    }

    fn trusted(now: u64) -> Clock {
        Clock { now, trusted: true }
    }

    #[test]
    fn days_weeks_and_months() {
        assert_eq!(weekday(NOON / DAY), 4);
        assert_eq!(weekday(0), 4);
        let of = |at: u64| month(at / DAY);
        assert_eq!(of(NOON) + 1, of(NOON + DAY));
        assert_eq!(of(NOON), of(NOON - 28 * DAY));
        assert_eq!(of(NOON) - 1, of(NOON - 29 * DAY));
        // 1 January and 31 December of 2024.
        assert_eq!(of(1_704_067_200), of(1_704_067_199) + 1);
        assert_eq!(of(1_735_689_599) + 1, of(1_735_689_600));
    }

    #[test]
    fn one_is_taken_when_due_and_only_once() {
        let keep = Keep {
            last: 3,
            ..Keep::default()
        };
        let due = NOON - 8 * HOUR - 30 * MINUTE;
        let every = rule(&[], keep);
        assert_eq!(last_due(NOON, &every), Some(due));
        assert!(decide(trusted(NOON), &every, &[]).take);
        assert!(decide(trusted(NOON), &every, &whole(&[due - 1])).take);
        assert!(!decide(trusted(NOON), &every, &whole(&[due])).take);
        assert!(!decide(trusted(due - 1), &every, &whole(&[due - DAY])).take);
        let sunday = rule(&[7], keep);
        assert_eq!(last_due(NOON, &sunday), Some(due - 4 * DAY));
        // Off for a month: one.
        assert!(decide(trusted(NOON), &sunday, &whole(&[due - 30 * DAY])).take);
        assert!(!decide(trusted(NOON), &sunday, &whole(&[due - 4 * DAY])).take);
    }

    #[test]
    fn without_a_clock_only_what_is_torn_goes() {
        let keep = Keep {
            last: 1,
            ..Keep::default()
        };
        let mut there = whole(&[NOON - 9 * DAY, NOON - 8 * DAY, NOON - DAY]);
        there[1].whole = false;
        let clock = Clock {
            now: 100 * DAY,
            trusted: false,
        };
        let got = decide(clock, &rule(&[], keep), &there);
        assert_eq!(
            got,
            Decision {
                take: false,
                drop: vec![NOON - 8 * DAY]
            }
        );
    }

    #[test]
    fn the_newest_of_each_period_stay() {
        let keep = Keep {
            last: 2,
            daily: 3,
            weekly: 2,
            monthly: 2,
        };
        let ages = [0, 1, 2, 3, 4, 5, 6, 7, 20, 29, 40, 60];
        let times: Vec<u64> = ages.iter().map(|age| NOON - age * DAY).collect();
        let got = decide(trusted(NOON), &rule(&[], keep), &whole(&times));
        assert!(!got.take);
        let stay: Vec<u64> = ages
            .into_iter()
            .filter(|age| !got.drop.contains(&(NOON - age * DAY)))
            .collect();
        // Three days; Sunday of the week before; the last of January.
        assert_eq!(stay, [0, 1, 2, 4, 29]);
    }

    #[test]
    fn those_of_the_future_go_when_their_places_are_taken() {
        let keep = Keep {
            last: 2,
            ..Keep::default()
        };
        let rule = rule(&[], keep);
        let there = whole(&[NOON - HOUR, NOON + DAY, NOON + 2 * DAY]);
        assert_eq!(decide(trusted(NOON), &rule, &there).drop, [NOON + 2 * DAY]);
        let there = whole(&[NOON - 2 * HOUR, NOON - HOUR, NOON + DAY]);
        assert_eq!(decide(trusted(NOON), &rule, &there).drop, [NOON + DAY]);
    }

    proptest! {
        #[test]
        fn nothing_is_dropped_twice_and_never_the_newest(
            now in 0..u64::from(u32::MAX), days in proptest::collection::vec(1..8_u8, 0..3), minute in 0..1440_u16,
            ages in proptest::collection::btree_set(0..400 * DAY, 0..20), numbers in (0..4_u32, 0..4_u32, 0..4_u32, 1..4_u32),
        ) {
            let keep = Keep { last: numbers.0, daily: numbers.1, weekly: numbers.2, monthly: numbers.3 };
            let rule = Snapshots { days, minute, keep };
            let mut there: Vec<u64> = ages.iter().map(|age| now.saturating_sub(*age)).collect();
            there.sort_unstable();
            there.dedup();
            let first = decide(trusted(now), &rule, &whole(&there));
            if let (Some(newest), false) = (there.last(), first.take) {
                prop_assert!(!first.drop.contains(newest));
            }
            there.retain(|at| !first.drop.contains(at));
            there.extend(first.take.then_some(now));
            prop_assert!(there.len() <= (numbers.0 + numbers.1 + numbers.2 + numbers.3) as usize);
            prop_assert_eq!(decide(trusted(now), &rule, &whole(&there)), Decision::default());
        }

        #[test]
        fn any_numbers_do(now: u64, at in proptest::collection::vec(any::<u64>(), 0..4), minute: u16) {
            let keep = Keep { last: 1, daily: 1, weekly: 1, monthly: 1 };
            let rule = Snapshots { days: vec![], minute, keep };
            drop(decide(trusted(now), &rule, &whole(&at)));
        }
    }
}
