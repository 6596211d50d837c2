//! Names that devices and operators bring: controller ids, file names, names of releases.
//!
//! Owns: what a name may be. Invariant: a [`ControllerId`] is one plain segment of a path in a URL, a [`Name`] fits
//! on one line; neither can climb out of a directory, since no file is ever named after one.

/// hawkBit's limit.
const LONGEST_CONTROLLER_ID: usize = 256;
/// Longest name of a release, a module, a version or a file; hawkBit's limit for names.
const LONGEST_NAME: usize = 128;

/// A name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is refused: {rule}")]
pub struct NameError {
    what: &'static str,
    found: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, found: &str, rule: &'static str) -> Self {
        let found = found.chars().take(64).collect();
        NameError { what, found, rule }
    }
}

/// Name of a device. Narrower than hawkBit's: what would need escaping in a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControllerId(String);

impl ControllerId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when a device may register itself under it. hawkBit takes the id as the target's name, and names are
    /// shorter than ids.
    pub fn can_register(&self) -> bool {
        self.0.len() <= LONGEST_NAME
    }
}

impl std::str::FromStr for ControllerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@+!$&'()*,=".contains(&b);
        let good = (1..=LONGEST_CONTROLLER_ID).contains(&text.len())
            && text.bytes().all(plain)
            && !matches!(text, "." | "..");
        if good {
            return Ok(ControllerId(text.to_owned()));
        }
        Err(NameError::new(
            "controller id",
            text,
            "use 1 to 256 of A-Z, a-z, 0-9 and -._~:@+!$&'()*,=",
        ))
    }
}

impl std::fmt::Display for ControllerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a name of a release, module, version or the like.
pub fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let good = (1..=LONGEST_NAME).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if good {
        return Ok(());
    }
    Err(NameError::new(
        what,
        text,
        "use 1 to 128 characters, none of them a control character, no space at either end",
    ))
}

/// Checks the name of an artifact: it becomes part of a URL and of a header.
pub fn check_file_name(text: &str) -> Result<(), NameError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+~".contains(&b);
    let good = (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(plain)
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && !text.ends_with(MD5_SUFFIX);
    if good {
        return Ok(());
    }
    Err(NameError::new(
        "artifact name",
        text,
        "use 1 to 128 of A-Z, a-z, 0-9 and -._+~, starting with a letter or digit, not ending with .MD5SUM",
    ))
}

/// hawkBit serves the MD5 sum of an artifact under its name with this appended.
pub const MD5_SUFFIX: &str = ".MD5SUM";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controller_ids() {
        let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
        for good in ["a", "00:11:22", "van-7.example", longest.as_str()] {
            assert_eq!(good.parse::<ControllerId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "a\\b",
            "a%2f",
            "a;b",
            "a?b",
            "a#b",
            "ä",
            "a\n",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<ControllerId>().is_err(), "{bad:?}");
        }
        assert!(
            "x".repeat(128)
                .parse::<ControllerId>()
                .unwrap()
                .can_register()
        );
        assert!(
            !"x".repeat(129)
                .parse::<ControllerId>()
                .unwrap()
                .can_register()
        );
    }

    #[test]
    fn file_names() {
        for good in ["root.000", "update.json.sig", "a"] {
            assert_eq!(check_file_name(good), Ok(()));
        }
        for bad in [
            "",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "a\"b",
            "a.MD5SUM",
            "ü",
            "a\r\nX: y",
        ] {
            assert!(check_file_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(check_name("release", "roamcore bare"), Ok(()));
        for bad in ["", " a", "a ", "a\nb", &"n".repeat(129)] {
            assert!(check_name("release", bad).is_err(), "{bad:?}");
        }
    }
}
