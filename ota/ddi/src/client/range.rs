//! Content-Range (RFC 9110, section 14.4), and what an answer to a range must say.
//!
//! Owns: the comparison of an answer's headers with what was asked. Never does: I/O.
//! Invariant: `Plan` says exactly which bytes of the body are the wanted ones.

use std::ops::Range;

/// What to do with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bytes to throw away first.
    pub skip: u64,
    /// Bytes to take; what comes after is not read.
    pub take: u64,
}

/// An answer that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is about another file.
    NotTheFile(String),
    /// The whole file, and too much to throw away.
    NoRanges,
}

/// `bytes FIRST-LAST/LENGTH`
#[derive(Debug, Clone, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    length: Option<u64>,
}

fn parse(text: &str) -> Option<ContentRange> {
    let number = |digits: &str| -> Option<u64> {
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
    };
    let (range, length) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let length = match length {
        "*" => None,
        digits => Some(number(digits)?),
    };
    let found = ContentRange {
        first: number(first)?,
        last: number(last)?,
        length,
    };
    (found.first <= found.last).then_some(found)
}

/// The length in `bytes */LENGTH` of a 416.
pub(super) fn unsatisfied_length(text: &str) -> Option<u64> {
    let digits = text.trim().strip_prefix("bytes */")?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

/// 206: the body begins at the wanted place of a file with the signed size. It may be shorter than asked for.
pub(super) fn partial(
    wanted: &Range<u64>,
    size: u64,
    content_range: Option<&str>,
    content_length: Option<u64>,
) -> Result<Plan, Misfit> {
    let text = content_range.unwrap_or("no Content-Range");
    let misfit = || {
        let (first, last) = (wanted.start, wanted.end.saturating_sub(1));
        Misfit::NotTheFile(format!(
            "asked for bytes {first}-{last}/{size}, it sent {:?}",
            excerpt(text)
        ))
    };
    let got = parse(text).ok_or_else(misfit)?;
    if got.first != wanted.start
        || got.last >= wanted.end
        || got.length.is_some_and(|length| length != size)
    {
        return Err(misfit());
    }
    let take = got.last - got.first + 1;
    if let Some(length) = content_length.filter(|length| *length != take) {
        return Err(Misfit::NotTheFile(format!(
            "its Content-Range {:?} has {take} bytes and its Content-Length says {length}",
            excerpt(text)
        )));
    }
    Ok(Plan { skip: 0, take })
}

/// 200: the whole file, of which the wanted part is taken.
pub(super) fn whole(
    wanted: &Range<u64>,
    size: u64,
    content_length: Option<u64>,
    most: u64,
) -> Result<Plan, Misfit> {
    if let Some(length) = content_length.filter(|length| *length != size) {
        return Err(Misfit::NotTheFile(format!(
            "it has {length} bytes, the signed size is {size}"
        )));
    }
    if wanted.start > most {
        return Err(Misfit::NoRanges);
    }
    Ok(Plan {
        skip: wanted.start,
        take: wanted.end - wanted.start,
    })
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partial_answers() {
        let wanted = 10..20;
        let fits = |range: &str, length| partial(&wanted, 100, Some(range), length);
        let plan = |take| Ok(Plan { skip: 0, take });
        assert_eq!(fits("bytes 10-19/100", Some(10)), plan(10));
        assert_eq!(fits("bytes 10-19/*", None), plan(10));
        assert_eq!(fits("bytes 10-14/100", Some(5)), plan(5));
        for (range, length) in [
            ("bytes 0-9/100", Some(10)),
            ("bytes 11-19/100", Some(9)),
            ("bytes 10-20/100", Some(11)),
            ("bytes 10-19/101", Some(10)),
            ("bytes 10-19/100", Some(9)),
            ("bytes 10-9/100", None),
            ("bytes 10-/100", None),
            ("bytes +10-19/100", None),
            ("bytes 10-19", None),
            ("items 10-19/100", None),
            ("bytes */100", None),
            ("bytes 99999999999999999999-1/1", None),
            ("", None),
        ] {
            assert!(
                matches!(fits(range, length), Err(Misfit::NotTheFile(_))),
                "{range}"
            );
        }
        assert!(partial(&wanted, 100, None, Some(10)).is_err());
    }

    #[test]
    fn whole_answers() {
        assert_eq!(whole(&(0..5), 9, Some(9), 0), Ok(Plan { skip: 0, take: 5 }));
        assert_eq!(whole(&(3..5), 9, None, 3), Ok(Plan { skip: 3, take: 2 }));
        assert_eq!(whole(&(4..5), 9, None, 3), Err(Misfit::NoRanges));
        assert!(matches!(
            whole(&(0..5), 9, Some(8), 0),
            Err(Misfit::NotTheFile(_))
        ));
    }

    #[test]
    fn lengths_of_416() {
        assert_eq!(unsatisfied_length("bytes */12"), Some(12));
        for text in ["bytes 0-1/12", "bytes */", "bytes */*", "bytes */-1", ""] {
            assert_eq!(unsatisfied_length(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_leaves_the_range(
            start in 0..1000u64, len in 1..1000u64, text in "(bytes )?[0-9*/ -]{0,30}", length in proptest::option::of(any::<u64>()),
        ) {
            let wanted = start..start + len;
            if let Ok(plan) = partial(&wanted, 2000, Some(&text), length) {
                prop_assert!(plan.skip == 0 && plan.take >= 1 && plan.take <= len);
            }
            drop(whole(&wanted, 2000, length, 500));
            let _ = unsatisfied_length(&text);
        }
    }
}
