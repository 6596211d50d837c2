//! apt's answers as data: the URIs it would download and the stanzas of its package index.
//!
//! Owns: the two parsers. Never does: run apt or read a file. Invariant: what they return has
//! been found in the text; a line that looks like an answer but cannot be read is an error.

use std::collections::BTreeMap;

use super::mirrors;

/// One line of `apt-get install --print-uris`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// URI, percent-encoded as apt gave it.
    pub uri: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Reads `'URI' file size SHA256:hash` lines among apt's chatter.
pub fn parse_uris(text: &str) -> Result<Vec<Wanted>, String> {
    let mut all = Vec::new();
    for line in text.lines().filter(|l| l.starts_with('\'')) {
        let wanted = (|| {
            let (uri, rest) = line[1..].split_once("' ")?;
            let mut words = rest.split_whitespace().skip(1);
            let size = words.next()?.parse().ok()?;
            let sha256 = words.next()?.strip_prefix("SHA256:")?.to_owned();
            Some(Wanted {
                uri: uri.to_owned(),
                size,
                sha256,
            })
        })();
        all.push(wanted.ok_or_else(|| format!("download line {line:?}"))?);
    }
    Ok(all)
}

/// Undoes percent-encoding; none when it is broken.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

/// The path below `base`, decoded, when the URI lies there.
pub fn path_below(uri: &str, base: &str) -> Option<String> {
    let path = uri.strip_prefix(base)?.strip_prefix('/')?;
    // Encode again, to know that fetching will ask for the same file.
    let plain = decode(path.trim_start_matches('/'))?;
    (decode(&mirrors::encode(&plain))? == plain).then_some(plain)
}

/// Fields of one stanza that a lock needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// `Package`.
    pub package: &'a str,
    /// `Version`.
    pub version: &'a str,
    /// `Architecture`.
    pub architecture: &'a str,
    /// `Filename`.
    pub filename: &'a str,
    /// `Size`.
    pub size: u64,
    /// `SHA256`.
    pub sha256: &'a str,
}

/// Stanzas of a `Packages` text whose `Filename` is a key of `wanted`.
pub fn find<'a, V>(text: &'a str, wanted: &BTreeMap<String, V>) -> Result<Vec<Stanza<'a>>, String> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let Some(filename) = field(stanza, "Filename") else {
            continue;
        };
        if !wanted.contains_key(filename) {
            continue;
        }
        let complete = (|| {
            Some(Stanza {
                package: field(stanza, "Package")?,
                version: field(stanza, "Version")?,
                architecture: field(stanza, "Architecture")?,
                filename,
                size: field(stanza, "Size")?.parse().ok()?,
                sha256: field(stanza, "SHA256")?,
            })
        })();
        found.push(complete.ok_or_else(|| format!("package index entry of {filename}"))?);
    }
    Ok(found)
}

/// A single-line field of a deb822 paragraph.
pub fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let hash = "a".repeat(64);
        let text = format!(
            "Reading package lists...\n'http://m.invalid/debian/pool/x/a%2bb_1%7e2.deb' a+b_1~2.deb 12 SHA256:{hash}\n"
        );
        let found = parse_uris(&text).unwrap();
        assert_eq!(
            (found.len(), found[0].size, &found[0].sha256),
            (1, 12, &hash)
        );
        assert_eq!(
            path_below(&found[0].uri, "http://m.invalid/debian").as_deref(),
            Some("pool/x/a+b_1~2.deb")
        );
        assert_eq!(path_below(&found[0].uri, "http://m.invalid/deb"), None);
        for bad in [
            "'http://m.invalid/a.deb' a.deb x SHA256:aa",
            "'http://m.invalid/a.deb' a.deb 1 MD5Sum:aa",
            "'x",
        ] {
            assert!(parse_uris(bad).unwrap_err().contains("download line"));
        }
    }

    #[test]
    fn decoding() {
        assert_eq!(decode("a%2Bb%7e").as_deref(), Some("a+b~"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn stanzas() {
        let wanted = BTreeMap::from([("pool/b.deb".to_owned(), ())]);
        let text = "Package: a\nFilename: pool/a.deb\n\nPackage: b\nVersion: 1\nArchitecture: all\nDescription: x\n y\nFilename: pool/b.deb\nSize: 5\nSHA256: ff\n";
        let found = find(text, &wanted).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].package, found[0].size), ("b", 5));
        assert!(find("Package: b\nFilename: pool/b.deb\n", &wanted).is_err());
    }
}
