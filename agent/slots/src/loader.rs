//! Which entry systemd-boot takes.
//!
//! Owns: its order of entries, as far as entries of type #1 go, so that we can say which slot is next and that a trial
//! comes before the committed slot. Never does: I/O. Checked against systemd 257, `boot_entry_compare`.
//!
//! ```text
//!   1. tries left, or not counted           before    no tries left
//!   2. with a sort key                      before    without
//!   3. lower sort key                       before    higher
//!   4. newer version                        before    older
//!   5. higher file name, compared as a version; so NAME+3.conf comes before NAME.conf
//! ```

use std::cmp::Ordering;

use roamcore_agent::entry::EntryName;

use crate::boot_entry::BootEntry;

/// An entry on the ESP whose program is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: EntryName,
    /// Its text.
    pub entry: BootEntry,
}

impl Candidate {
    /// File name.
    #[must_use]
    pub fn file(&self) -> &str {
        match &self.name {
            EntryName::Committed { file } | EntryName::Counted { file, .. } => file,
        }
    }

    fn used_up(&self) -> bool {
        matches!(&self.name, EntryName::Counted { counter, .. } if counter.left == 0)
    }
}

/// In the boot loader's order; the first one boots.
pub fn order(candidates: &mut [Candidate]) {
    candidates.sort_by(compare);
}

fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let versions = |a: &Option<String>, b: &Option<String>| {
        compare_versions(a.as_deref().unwrap_or(""), b.as_deref().unwrap_or(""))
    };
    a.used_up()
        .cmp(&b.used_up())
        .then_with(|| match (&a.entry.sort_key, &b.entry.sort_key) {
            (Some(one), Some(two)) => one
                .cmp(two)
                .then_with(|| versions(&a.entry.version, &b.entry.version).reverse()),
            (one, two) => one.is_none().cmp(&two.is_none()),
        })
        .then_with(|| {
            let id = |candidate: &Candidate| candidate.file().to_ascii_lowercase();
            compare_versions(&id(a), &id(b)).reverse()
        })
}

/// Compares two versions by the UAPI Version Format Specification (systemd's `strverscmp_improved`).
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        // "~" sorts before everything, even the end.
        match (a.first() == Some(&b'~'), b.first() == Some(&b'~')) {
            (true, true) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let mut both = false;
        for mark in [b'-', b'^', b'.'] {
            match (a[0] == mark, b[0] == mark) {
                (true, true) => both = true,
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                _ => continue,
            }
            break;
        }
        if both {
            (a, b) = (&a[1..], &b[1..]);
            continue;
        }
        let digits = a[0].is_ascii_digit() || b[0].is_ascii_digit();
        let is = |byte: &u8| match digits {
            true => byte.is_ascii_digit(),
            false => byte.is_ascii_alphabetic(),
        };
        let (one, rest_a) = split(a, is);
        let (two, rest_b) = split(b, is);
        let order = if digits {
            number(one).cmp(&number(two))
        } else {
            // By ASCII, so upper case first; a longer run wins over its own beginning.
            one.cmp(two)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    let start = text.iter().position(valid).unwrap_or(text.len());
    &text[start..]
}

fn split(text: &[u8], is: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// Digits as a number of any length: more digits are more, without leading zeros. No digits at all are less than any.
fn number(digits: &[u8]) -> (bool, usize, &[u8]) {
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (!digits.is_empty(), digits.len() - zeros, &digits[zeros..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cases from the specification, as `systemd-analyze compare-versions` (252) answers them, and our own names.
    #[test]
    fn versions() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            ("11", "11", Equal),
            ("systemd-123", "systemd-123", Equal),
            ("bar-123", "foo-123", Less),
            ("123a", "123", Greater),
            ("123.a", "123", Greater),
            ("123.a", "123.b", Less),
            ("123a", "123.a", Greater),
            ("11α", "11β", Equal),
            ("A", "a", Less),
            ("", "0", Less),
            ("0.", "0", Greater),
            ("0.0", "0", Greater),
            ("0", "~", Greater),
            ("", "~", Greater),
            ("1_", "1", Equal),
            ("_1", "1", Equal),
            ("1_", "1.2", Less),
            ("1_2_3", "1.3.3", Greater),
            ("1+", "1", Equal),
            ("+1", "1", Equal),
            ("1+", "1.2", Less),
            ("1+2+3", "1.3.3", Greater),
            ("9", "10", Less),
            ("007", "7", Equal),
            ("99999999999999999999", "100000000000000000000", Less),
            ("roamcore-b+3.conf", "roamcore-b+2-1.conf", Greater),
            ("roamcore-b+2-1.conf", "roamcore-b.conf", Greater),
            ("roamcore-b.conf", "roamcore-a+3.conf", Greater),
        ];
        for (a, b, want) in cases {
            assert_eq!(compare_versions(a, b), want, "{a} {b}");
            assert_eq!(compare_versions(b, a), want.reverse(), "{b} {a}");
        }
    }

    fn candidate(file: &str, sort_key: Option<&str>, version: &str) -> Candidate {
        Candidate {
            name: EntryName::parse(file).unwrap(),
            entry: BootEntry {
                sort_key: sort_key.map(str::to_owned),
                version: Some(version.into()),
                ..BootEntry::default()
            },
        }
    }

    #[test]
    fn what_boots() {
        let ours = Some("roamcore");
        let a = |version| candidate("roamcore-a.conf", ours, version);
        let b = |file, version| candidate(file, ours, version);
        let cases: [(&[Candidate], &str); 7] = [
            (
                &[a("12"), b("roamcore-b+3.conf", "13")],
                "roamcore-b+3.conf",
            ),
            (
                &[a("12"), b("roamcore-b+1-2.conf", "13")],
                "roamcore-b+1-2.conf",
            ),
            (
                &[a("12"), b("roamcore-b+0-3.conf", "13")],
                "roamcore-a.conf",
            ),
            (&[a("12"), b("roamcore-b.conf", "9")], "roamcore-a.conf"),
            (
                &[b("roamcore-b.conf", "13"), b("roamcore-b+2-1.conf", "13")],
                "roamcore-b+2-1.conf",
            ),
            (
                &[candidate("x.conf", None, "99"), a("1")],
                "roamcore-a.conf",
            ),
            (
                &[candidate("x.conf", Some("other"), "99"), a("1")],
                "x.conf",
            ),
        ];
        for (list, want) in cases {
            let mut list = list.to_vec();
            order(&mut list);
            assert_eq!(list[0].file(), want);
            list.reverse();
            order(&mut list);
            assert_eq!(list[0].file(), want);
        }
    }

    proptest! {
        #[test]
        fn an_order(a in "[0-9a-cA-C.~^_+-]{0,6}", b in "[0-9a-cA-C.~^_+-]{0,6}", c in "[0-9a-cA-C.~^_+-]{0,6}") {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
            if compare_versions(&a, &b).is_le() && compare_versions(&b, &c).is_le() {
                prop_assert!(compare_versions(&a, &c).is_le());
            }
        }

        #[test]
        fn numbers_are_numbers(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(compare_versions(&a.to_string(), &b.to_string()), a.cmp(&b));
        }
    }
}
