//! Files of accounts, merged line by line.
//!
//! Owns: the three-way merge of files whose lines have a key before the first colon. Never does: guess: a line that both
//! changed differently, or a key that is there twice, makes the file as a whole the user's, and a conflict. Without it a
//! user who had set a password would never get the account a new service needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

/// One line for each account or group; shadow(5) and its kin have the name first as well.
const FILES: [&str; 6] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
/// Far more than any of these files has.
const MOST_LINES: usize = 50_000;

/// Whether a file directly below /etc is one of these.
#[must_use]
pub fn mergeable(name: &OsStr) -> bool {
    FILES.iter().any(|known| name == *known)
}

/// The merged file, or `None` when the user's must stay as it is.
///
/// Lines stay in the user's order; what the image added comes at the end, in its order.
#[must_use]
pub fn merge_lines(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let (base_keys, ours_keys, theirs_keys) = (index(base)?, index(ours)?, index(theirs)?);
    let mut merged: Vec<&[u8]> = Vec::new();
    let names: BTreeSet<_> = base_keys
        .keys()
        .chain(theirs_keys.keys())
        .copied()
        .collect();
    let mut decided: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
    for name in names {
        let (was, mine, new) = (
            base_keys.get(name).copied(),
            ours_keys.get(name).copied(),
            theirs_keys.get(name).copied(),
        );
        let line = if mine == was || mine == new {
            new
        } else if was == new {
            mine
        } else {
            return None;
        };
        decided.insert(name, line);
    }
    for line in lines(ours) {
        let name = key(line);
        match decided.remove(name) {
            Some(Some(line)) => merged.push(line),
            Some(None) => {}
            None => merged.push(line),
        }
    }
    for line in lines(theirs) {
        if let Some(Some(line)) = decided.remove(key(line)) {
            merged.push(line);
        }
    }
    let mut bytes = merged.join(&b'\n');
    bytes.push(b'\n');
    Some(bytes)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

fn key(line: &[u8]) -> &[u8] {
    line.split(|b| *b == b':').next().unwrap_or(line)
}

/// Lines by key; none when a key is there twice, or it is no such file.
fn index(bytes: &[u8]) -> Option<BTreeMap<&[u8], &[u8]>> {
    let mut found = BTreeMap::new();
    for line in lines(bytes) {
        let fresh = line.contains(&b':') && found.insert(key(line), line).is_none();
        if !fresh || found.len() > MOST_LINES {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let cases: [(&str, &str, &str, &str, Option<&str>); 9] = [
            (
                "password set, account added",
                "root:*\nd:x\n",
                "root:$6\nd:x\n",
                "root:*\nd:x\nnew:x\n",
                Some("root:$6\nd:x\nnew:x\n"),
            ),
            (
                "account removed by the image",
                "r:1\nold:1\n",
                "r:2\nold:1\n",
                "r:1\n",
                Some("r:2\n"),
            ),
            (
                "account removed by the user",
                "r:1\nu:1\n",
                "r:1\n",
                "r:1\nu:1\nn:1\n",
                Some("r:1\nn:1\n"),
            ),
            (
                "account added by the user",
                "r:1\n",
                "r:1\nme:1\n",
                "r:1\nn:1\n",
                Some("r:1\nme:1\nn:1\n"),
            ),
            (
                "both added the same",
                "r:1\n",
                "r:1\nn:1\n",
                "r:1\nn:1\n",
                Some("r:1\nn:1\n"),
            ),
            ("both changed one", "r:1\n", "r:2\n", "r:3\n", None),
            (
                "removed and changed",
                "r:1\nu:1\n",
                "r:1\n",
                "r:1\nu:2\n",
                None,
            ),
            ("a key twice", "r:1\n", "r:1\nr:2\n", "r:1\n", None),
            ("no such file", "r:1\n", "hello\n", "r:1\n", None),
        ];
        for (name, base, ours, theirs, want) in cases {
            let got = merge_lines(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
            assert_eq!(
                got.map(|b| String::from_utf8(b).unwrap()).as_deref(),
                want,
                "{name}"
            );
        }
        assert!(mergeable(OsStr::new("shadow")));
        assert!(!mergeable(OsStr::new("shadow-")));
    }

    proptest! {
        #[test]
        fn never_panics(a in proptest::collection::vec(any::<u8>(), 0..80), b in ".{0,40}", c in "([a-c]:[12]\n){0,4}") {
            let files = [a.as_slice(), b.as_bytes(), c.as_bytes()];
            for base in files { for ours in files { for theirs in files {
                drop(merge_lines(base, ours, theirs));
            } } }
        }

        #[test]
        fn one_side_changed(a in "([a-f]:[12]\n){0,5}", b in "([a-f]:[12]\n){0,5}") {
            let sorted = |bytes: Vec<u8>| { let mut l: Vec<_> = lines(&bytes).map(<[u8]>::to_vec).collect(); l.sort(); l };
            prop_assume!(index(a.as_bytes()).is_some() && index(b.as_bytes()).is_some());
            let theirs = merge_lines(a.as_bytes(), a.as_bytes(), b.as_bytes()).unwrap();
            prop_assert_eq!(sorted(theirs), sorted(b.clone().into()));
            let ours = merge_lines(a.as_bytes(), b.as_bytes(), a.as_bytes()).unwrap();
            prop_assert_eq!(sorted(ours), sorted(b.into()));
        }
    }
}
