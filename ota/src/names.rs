//! Names that come from outside: a string becomes a name only after a type has cleaned it.
//!
//! Owns [`Ident`] (products, boards, partitions, features) and [`FileName`] (artefacts). Neither can be a path, hide as
//! a dot file, look like a command-line option or carry control characters. Never repairs a bad name: it refuses it.

use serde::{Deserialize, Serialize};

/// A name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is refused: {rule}")]
pub struct NameError {
    what: &'static str,
    value: String,
    rule: &'static str,
}

/// The start of an untrusted value, for messages: enough to find it, never enough to flood a log.
pub(crate) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 64;
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    value.chars().take(SHOWN).chain("...".chars()).collect()
}

macro_rules! string_newtype {
    ($name:ident, $error:ty) => {
        impl $name {
            /// The text as it stands in the document.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
    };
}
pub(crate) use string_newtype;

/// Lower-case identifier: `[a-z0-9]` then `[a-z0-9-]`, 1 to 36 characters (36 is what a GPT partition name holds).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ident(String);

impl Ident {
    /// Longest identifier.
    pub const MAX_LEN: usize = 36;
}

string_newtype!(Ident, NameError);

impl std::str::FromStr for Ident {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let clean = text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if clean && !text.starts_with('-') && (1..=Self::MAX_LEN).contains(&text.len()) {
            return Ok(Ident(text.to_owned()));
        }
        Err(NameError {
            what: "identifier",
            value: excerpt(text),
            rule: "use 1 to 36 of a-z, 0-9 and '-', not starting with '-'",
        })
    }
}

/// Names that a file listed in a signed document cannot have, because they are the documents' own.
const RESERVED: [&str; 5] = [
    "release.json",
    "release.json.sig",
    "update.json",
    "update.json.sig",
    "roles.json",
];

/// Name of one file in the release's own directory: never a path, never a hidden file, never the manifest itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// Longest file name. Half of what file systems allow, so that a suffix for a temporary file always fits.
    pub const MAX_LEN: usize = 127;
}

string_newtype!(FileName, NameError);

impl std::str::FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |rule| {
            Err(NameError {
                what: "artefact name",
                value: excerpt(text),
                rule,
            })
        };
        let clean = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'));
        let first = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if !clean || !first || text.len() > Self::MAX_LEN {
            return refuse(
                "use 1 to 127 of A-Z, a-z, 0-9, '.', '_', '+' and '-', starting with a letter or digit",
            );
        }
        if text.ends_with('.') {
            return refuse("FAT drops a final '.', so the name would not survive a USB stick");
        }
        // Case is folded because a USB stick folds it: "Release.json" would replace the manifest there.
        if RESERVED.iter().any(|own| own.eq_ignore_ascii_case(text)) {
            return refuse("the name belongs to a signed document or its signatures");
        }
        Ok(FileName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let longest = "p".repeat(36);
        for good in ["a", "root-a", "vp2430", "0", longest.as_str()] {
            assert_eq!(good.parse::<Ident>().unwrap().as_str(), good);
        }
        let too_long = "p".repeat(37);
        for bad in [
            "",
            "-a",
            "Root",
            "a_b",
            "a b",
            "a/b",
            "a.b",
            "ä",
            "a\n",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<Ident>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "Root".parse::<Ident>().unwrap_err().to_string(),
            "identifier \"Root\" is refused: use 1 to 36 of a-z, 0-9 and '-', not starting with '-'"
        );
    }

    #[test]
    fn file_names() {
        let longest = "f".repeat(127);
        for good in [
            "disk.img.zst",
            "sbom.cdx.json",
            "A+b_c-1..x",
            longest.as_str(),
        ] {
            assert_eq!(good.parse::<FileName>().unwrap().as_str(), good);
        }
        let too_long = "f".repeat(128);
        let bad = [
            "",
            ".",
            "..",
            ".hidden",
            "-rf",
            "a/b",
            "../x",
            "/etc/passwd",
            "a\\b",
            "a\0",
            "a b",
            "a\n",
            "é",
            "C:x",
            "dot.",
            "release.json",
            "RELEASE.JSON",
            "release.json.sig",
            "update.json",
            "Update.json.sig",
            "roles.JSON",
            too_long.as_str(),
        ];
        for bad in bad {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "../x".parse::<FileName>().unwrap_err().to_string(),
            "artefact name \"../x\" is refused: use 1 to 127 of A-Z, a-z, 0-9, '.', '_', '+' and '-', starting with a \
             letter or digit"
        );
    }

    #[test]
    fn a_hostile_value_is_cut_in_the_message() {
        let message = "X"
            .repeat(100_000)
            .parse::<Ident>()
            .unwrap_err()
            .to_string();
        assert!(message.len() < 200, "{}", message.len());
    }
}
