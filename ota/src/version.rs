//! The version people read: `1.4.0`, `2025.11.3-rc2`.
//!
//! Owns grammar and order. It is for people and for file names; what decides whether a release is newer is `sequence`,
//! and what refuses a known-bad one is `security_epoch`.
//!
//! ```text
//! version = number *( "." number ) [ "-" suffix ]     at most 64 characters
//! number  = "0" / ( %x31-39 *17DIGIT )                no leading zero
//! suffix  = 1*( a-z / 0-9 / "." ), starting with a letter or a digit
//! ```
//!
//! Order: numbers are compared one by one as numbers; a version that runs out of them is the smaller one. With equal
//! numbers, one with a suffix comes *before* one without (`1.0-rc1 < 1.0`). Suffixes are compared by runs of digits (as
//! numbers) and runs of other characters (as bytes), a run of digits before one of other characters; the rest is byte
//! order. Two versions are equal only if their texts are.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::{Bytes, FromStr};

use serde::{Deserialize, Serialize};

use crate::names::{excerpt, string_newtype};

/// A version that follows the grammar above.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// A version was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {value:?} is refused: use numbers without leading zeros joined by '.', then optionally '-' and a suffix \
     of a-z, 0-9 and '.', at most 64 characters, as in 1.4.0 or 1.4.0-rc2"
)]
pub struct VersionError {
    value: String,
}

string_newtype!(Version, VersionError);

impl Version {
    /// Longest version.
    pub const MAX_LEN: usize = 64;

    fn split(&self) -> (&str, Option<&str>) {
        self.0
            .split_once('-')
            .map_or((self.0.as_str(), None), |(numbers, suffix)| {
                (numbers, Some(suffix))
            })
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let version = Version(text.to_owned());
        let (numbers, suffix) = version.split();
        let good_number = |n: &str| {
            (1..=18).contains(&n.len())
                && n.bytes().all(|b| b.is_ascii_digit())
                && (n == "0" || !n.starts_with('0'))
        };
        let good_suffix = |s: &str| {
            s.bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.'))
                && !s.is_empty()
                && !s.starts_with('.')
        };
        if text.len() <= Self::MAX_LEN
            && numbers.split('.').all(good_number)
            && suffix.is_none_or(good_suffix)
        {
            return Ok(version);
        }
        Err(VersionError {
            value: excerpt(text),
        })
    }
}

/// Digits compare as numbers of any length: longer without leading zeros is larger.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The next run of characters of one sort, and whether they are digits.
fn next_run(bytes: &mut Peekable<Bytes<'_>>) -> Option<(bool, String)> {
    let digits = bytes.peek()?.is_ascii_digit();
    let mut run = String::new();
    while let Some(byte) = bytes.next_if(|b| b.is_ascii_digit() == digits) {
        run.push(char::from(byte));
    }
    Some((digits, run))
}

fn compare_suffix(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.bytes().peekable(), b.bytes().peekable());
    loop {
        let order = match (next_run(&mut left), next_run(&mut right)) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some((true, x)), Some((true, y))) => compare_digits(&x, &y),
            (Some((false, x)), Some((false, y))) => x.cmp(&y),
            (Some((true, _)), Some((false, _))) => Ordering::Less,
            (Some((false, _)), Some((true, _))) => Ordering::Greater,
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((numbers, suffix), (other_numbers, other_suffix)) = (self.split(), other.split());
        let (mut left, mut right) = (numbers.split('.'), other_numbers.split('.'));
        loop {
            let order = match (left.next(), right.next()) {
                (None, None) => break,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(x), Some(y)) => compare_digits(x, y),
            };
            if order.is_ne() {
                return order;
            }
        }
        match (suffix, other_suffix) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_suffix(a, b),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn the_order_is_total_over_this_ladder() {
        let ladder = [
            "0",
            "0.9",
            "1-0",
            "1-rc1",
            "1",
            "1.0-1",
            "1.0-1a",
            "1.0-2",
            "1.0-rc",
            "1.0-rc01",
            "1.0-rc1",
            "1.0-rc1.dev",
            "1.0-rc2",
            "1.0-rc10",
            "1.0-rc.1",
            "1.0",
            "1.0.0",
            "1.2",
            "1.10",
            "2025.11.3",
            "999999999999999999",
        ];
        let versions: Vec<Version> = ladder.iter().map(|v| v.parse().unwrap()).collect();
        for (i, a) in versions.iter().enumerate() {
            for (j, b) in versions.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn bad_versions() {
        let too_long = format!("1.{}", "0.".repeat(32));
        let bad = [
            "",
            ".",
            "1.",
            ".1",
            "1..2",
            "01",
            "1.02",
            "v1",
            "1-",
            "1-.a",
            "1-RC",
            "1-a-b",
            "1 ",
            "1/2",
            "-1",
            "1+2",
            "1000000000000000000",
            too_long.as_str(),
        ];
        for bad in bad {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }
}
