//! The order of versions by which systemd-boot sorts (UAPI.10 Version Format Specification).
//!
//! Segments of digits or letters; before a segment `~` makes it older than nothing, then come nothing, `-`, `^`, `.` and no
//! mark. Numbers without leading zeros; digits are newer than letters; capital letters older than small ones.

use std::cmp::Ordering;

/// Compares two versions; the greater one is newer.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (skip_unknown(a), skip_unknown(b));
        // Older with the mark than without it, even at the end.
        match (starts(a, b'~'), starts(b, b'~')) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (true, true) => (a, b) = (&a[1..], &b[1..]),
            (false, false) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        for mark in [b'-', b'^', b'.'] {
            match (starts(a, mark), starts(b, mark)) {
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                (true, true) => (a, b) = (&a[1..], &b[1..]),
                (false, false) => {}
            }
        }
        let digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
        let order = if digit(a) || digit(b) {
            numbers(&mut a, &mut b)
        } else {
            let (x, y) = (
                take(&mut a, u8::is_ascii_alphabetic),
                take(&mut b, u8::is_ascii_alphabetic),
            );
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn numbers<'a>(a: &mut &'a [u8], b: &mut &'a [u8]) -> Ordering {
    let (x, y) = (take(a, u8::is_ascii_digit), take(b, u8::is_ascii_digit));
    let plain = |number: &'a [u8]| {
        let zeros = number.iter().take_while(|c| **c == b'0').count();
        &number[zeros..]
    };
    let (p, q) = (plain(x), plain(y));
    // No digits at all are older than any number.
    (!x.is_empty())
        .cmp(&!y.is_empty())
        .then(p.len().cmp(&q.len()))
        .then(p.cmp(q))
}

fn take<'a>(text: &mut &'a [u8], belongs: fn(&u8) -> bool) -> &'a [u8] {
    let len = text.iter().take_while(|c| belongs(c)).count();
    let (taken, rest) = text.split_at(len);
    *text = rest;
    taken
}

fn skip_unknown(text: &[u8]) -> &[u8] {
    let known = |c: &u8| c.is_ascii_alphanumeric() || b"~-^.".contains(c);
    &text[text.iter().take_while(|c| !known(c)).count()..]
}

fn starts(text: &[u8], mark: u8) -> bool {
    text.first() == Some(&mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The specification's own example, oldest first, and some of the manual page's.
    const ORDER: &[&str] = &[
        "~1",
        "",
        "~",
        "a",
        "122.1",
        "123~rc1-1",
        "123",
        "123-a",
        "123-a.1",
        "123-1",
        "123-1.1",
        "123^post1",
        "123.a-1",
        "123.1-1",
        "123a-1",
        "124-1",
    ];

    #[test]
    fn the_specifications_order() {
        // `~` alone: a mark before nothing, which is then two empty strings.
        assert_eq!(compare("~", ""), Ordering::Less);
        let order: Vec<&str> = ORDER
            .iter()
            .copied()
            .filter(|v| !v.starts_with('~'))
            .collect();
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [("00123", "123"), ("123_a", "123a"), ("7", "7_")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
        assert_eq!(compare("9", "10"), Ordering::Less);
        assert_eq!(compare("B", "a"), Ordering::Less);
        assert_eq!(compare("abc", "abcde"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[-~^.0-2ab_]{0,8}", b in "[-~^.0-2ab_]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
