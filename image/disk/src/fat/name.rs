//! Long names and their 8.3 aliases.
//!
//! Owns which names are allowed and how an alias is made. Invariant: within a directory no alias equals another alias
//! or another entry's long name, so no driver can find the wrong file.

use std::collections::{BTreeMap, BTreeSet};

use super::fold;

/// UTF-16 units of a long name (specification, section 7).
pub(super) const MAX_UNITS: usize = 255;

/// Why a path component is refused, if it is.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it has an empty component");
    }
    if name == "." || name == ".." {
        return Some("'.' and '..' are not names");
    }
    if name.encode_utf16().count() > MAX_UNITS {
        return Some("a component has more than 255 UTF-16 units");
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Some("a component starts with a space or ends with a dot or a space");
    }
    if name
        .chars()
        .any(|c| c.is_control() || r#""*/:<>?\|"#.contains(c))
    {
        return Some("a component has a control character or one of \" * / : < > ? \\ |");
    }
    None
}

/// Whether a character may stand in a short name (specification, section 6.1).
fn short_char(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "$%'-_@~`!(){}^#&".contains(c)
}

/// The 11 bytes of a name that is a short name as it stands.
fn exact(name: &str) -> Option<[u8; 11]> {
    let (base, ext) = match name.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (name, ""),
    };
    let fits = (1..=8).contains(&base.len())
        && ext.len() <= 3
        && base.chars().chain(ext.chars()).all(short_char);
    fits.then(|| pad(base, ext))
}

fn pad(base: &str, ext: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + ext.len()].copy_from_slice(ext.as_bytes());
    short
}

/// An entry's short name, and whether a long one is needed beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) short: [u8; 11],
    pub(super) long: bool,
}

/// Aliases for the names of one directory, in the order given.
pub(super) fn aliases(names: &[&str]) -> Vec<Alias> {
    let mut taken: BTreeSet<String> = names.iter().map(|name| fold(name)).collect();
    let mut counters = BTreeMap::new();
    names
        .iter()
        .map(|name| {
            if let Some(short) = exact(name) {
                return Alias { short, long: false };
            }
            // Only the case differs: the alias keeps the name, firmware setup screens then show it readably.
            if let Some(short) = exact(&name.to_ascii_uppercase()) {
                return Alias { short, long: true };
            }
            Alias {
                short: numbered(name, &mut taken, &mut counters),
                long: true,
            }
        })
        .collect()
}

/// `BASE~N.EXT` (specification, section 7.2), the first N that is free.
fn numbered(
    name: &str,
    taken: &mut BTreeSet<String>,
    counters: &mut BTreeMap<(String, String), u32>,
) -> [u8; 11] {
    let clean = |part: &str, max: usize| -> String {
        let kept = part.chars().filter(|c| !matches!(c, ' ' | '.'));
        kept.map(|c| c.to_ascii_uppercase())
            .map(|c| if short_char(c) { c } else { '_' })
            .take(max)
            .collect()
    };
    let trimmed = name.trim_start_matches('.');
    let (base, ext) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
    let (base, ext) = (clean(base, 6), clean(ext, 3));
    let counter = counters.entry((base.clone(), ext.clone())).or_insert(0);
    loop {
        // A directory holds at most 65536 entries, so the tail never outgrows `~99999` and this ends.
        *counter += 1;
        let tail = format!("~{counter}");
        let stem: String = base
            .chars()
            .take(8 - tail.len())
            .chain(tail.chars())
            .collect();
        let shown = if ext.is_empty() {
            stem.clone()
        } else {
            format!("{stem}.{ext}")
        };
        if taken.insert(shown) {
            return pad(&stem, &ext);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> Vec<String> {
        let list = aliases(names);
        list.iter()
            .map(|a| {
                format!(
                    "{}{}",
                    String::from_utf8_lossy(&a.short),
                    if a.long { "+" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn aliases_are_unique_and_stable() {
        assert_eq!(
            shown(&["BOOTX64.EFI", "loader", "loader.conf"]),
            ["BOOTX64 EFI", "LOADER     +", "LOADER~1CON+"]
        );
        assert_eq!(
            shown(&[
                "roamcore-a+3.conf",
                "roamcore-b.conf",
                "roamco~1.con",
                "ROAMCO~2.CON"
            ]),
            [
                "ROAMCO~3CON+",
                "ROAMCO~4CON+",
                "ROAMCO~1CON+",
                "ROAMCO~2CON"
            ]
        );
        assert_eq!(
            shown(&[".hidden", "äöü", "a b.c d", "x.tar.gz"]),
            [
                "HIDDEN~1   +",
                "___~1      +",
                "AB~1    CD +",
                "XTAR~1  GZ +"
            ]
        );
        let many: Vec<String> = (0..120).map(|i| format!("a long name {i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(shown(&many)[119], "ALON~120   +");
    }

    #[test]
    fn names_that_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a.",
            "a ",
            " a",
            "a:b",
            "a\u{1}",
            "a\u{7f}",
            &"x".repeat(256),
        ] {
            assert!(fault(name).is_some(), "{name:?}");
        }
        for name in ["a", ".a", "a+3.conf", "ü", &"x".repeat(255)] {
            assert_eq!(fault(name), None, "{name:?}");
        }
    }
}
