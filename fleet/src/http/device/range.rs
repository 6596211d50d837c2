//! `Range`, as hawkBit reads it.
//!
//! Owns: `bytes=` with ranges `a-b`, `a-` and `-n`, separated by commas alone. Everything else is 416, where RFC 9110
//! would have it ignored. The end is clamped to the file, ranges are put in order, and ranges that overlap are 416.
//! Invariant: what is parsed lies within the file and does not overlap.

use crate::http::stream::Span;

/// The ranges of a header, in order, or none if it cannot be satisfied.
pub fn parse(header: &str, size: u64) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    for part in header.strip_prefix("bytes=")?.split(',') {
        let (first, last) = part.split_once('-')?;
        let span = match (first, last) {
            ("", last) => Span {
                first: size.checked_sub(number(last)?)?,
                last: size.checked_sub(1)?,
            },
            (first, "") => Span {
                first: number(first)?,
                last: size.checked_sub(1)?,
            },
            (first, last) => Span {
                first: number(first)?,
                last: number(last)?.min(size.checked_sub(1)?),
            },
        };
        if span.first > span.last {
            return None;
        }
        spans.push(span);
    }
    spans.sort_unstable();
    let apart = spans.windows(2).all(|pair| pair[0].last < pair[1].first);
    apart.then_some(spans)
}

/// As Java's long: eighteen digits and some of nineteen.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|n| *n <= i64::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_observed_of_hawkbit() {
        type Row = (&'static str, Option<&'static [(u64, u64)]>);
        let cases: [Row; 22] = [
            ("bytes=0-99", Some(&[(0, 99)])),
            ("bytes=100-", Some(&[(100, 4095)])),
            ("bytes=-10", Some(&[(4086, 4095)])),
            ("bytes=4090-5000", Some(&[(4090, 4095)])),
            ("bytes=4095-", Some(&[(4095, 4095)])),
            ("bytes=0-0,2-3", Some(&[(0, 0), (2, 3)])),
            ("bytes=20-30,0-5", Some(&[(0, 5), (20, 30)])),
            ("bytes=0-4095", Some(&[(0, 4095)])),
            ("bytes=4096-", None),
            ("bytes=5000-", None),
            ("bytes=10-5", None),
            ("bytes=abc", None),
            ("bytes=-", None),
            ("items=0-1", None),
            ("bytes=0-10,5-20", None),
            ("bytes=0-9, 20-29", None),
            ("bytes=-5000", None),
            ("bytes=0-99999999999999999999", None),
            ("bytes= 0-5", None),
            ("Bytes=0-5", None),
            ("bytes=--5", None),
            ("bytes=-0", None),
        ];
        for (header, expected) in cases {
            let expected = expected.map(|spans| {
                spans
                    .iter()
                    .map(|(first, last)| Span {
                        first: *first,
                        last: *last,
                    })
                    .collect()
            });
            assert_eq!(parse(header, 4096), expected, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), None);
    }

    proptest! {
        #[test]
        fn what_is_parsed_lies_within_the_file(header in "bytes=[-0-9,]{0,30}", size in 0u64..10_000) {
            if let Some(spans) = parse(&header, size) {
                prop_assert!(spans.iter().all(|span| span.first <= span.last && span.last < size));
                prop_assert!(spans.iter().map(|span| span.count()).sum::<u64>() <= size);
            }
        }
    }
}
