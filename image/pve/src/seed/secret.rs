//! Placeholders for what only one device may know.
//!
//! `@@secret:NAME@@`, in any of the formats here: none of its characters needs to be escaped in XML, JSON, a key file, or
//! between single quotes of a shell. The same holds for what may take its place, so filling is replacing text and cannot
//! break the file around it. Invariant: a filled text has no mark left in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Begins a placeholder and ends it; refused in every other text.
pub(super) const MARK: &str = "@@";
const BEGIN: &str = "@@secret:";
/// Longest name: it is a file's name on some devices.
const LONGEST: usize = 64;

/// Why a text could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Not a name.
    #[error(
        "secret {name:?}: a name is lower case letters, digits and hyphens, a letter first, at most 64"
    )]
    Name {
        /// Name seen.
        name: String,
    },
    /// A mark that is no placeholder.
    #[error("{seen:?} has the mark of a placeholder but is none; it is @@secret:NAME@@")]
    Mark {
        /// The text from the mark on.
        seen: String,
    },
    /// Nobody has given it.
    #[error("secret {name:?} is asked for, but not given")]
    NotGiven {
        /// Its name.
        name: String,
    },
    /// Nobody has asked for it.
    #[error("secret {name:?} is given, but nothing asks for it")]
    NotAsked {
        /// Its name.
        name: String,
    },
    /// It would have to be escaped, each time differently. The value is not shown.
    #[error(
        "the value of secret {name:?} has a character that is not a letter, digit, space or one of + / = . _ $ : - @"
    )]
    Value {
        /// Its name.
        name: String,
    },
}

/// A secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// A secret called `name`.
    ///
    /// # Errors
    /// Not a name.
    pub fn new(name: &str) -> Result<Self, SecretError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if first && name.len() <= LONGEST && name.bytes().all(inner) {
            Ok(Self(name.into()))
        } else {
            Err(SecretError::Name { name: name.into() })
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// The placeholder.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{}{MARK}", self.0)
    }
}

/// A piece of a text.
enum Piece<'a> {
    Plain(&'a str),
    Secret(Secret),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, SecretError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (plain, marked) = rest.split_at(at);
        let seen = || SecretError::Mark {
            seen: marked.chars().take(2 * LONGEST).collect(),
        };
        let after = marked.strip_prefix(BEGIN).ok_or_else(seen)?;
        let (name, after) = after.split_once(MARK).ok_or_else(seen)?;
        found.push(Piece::Plain(plain));
        found.push(Piece::Secret(Secret::new(name)?));
        rest = after;
    }
    found.push(Piece::Plain(rest));
    Ok(found)
}

/// The names that a text asks for.
///
/// # Errors
/// A mark that is no placeholder.
pub fn names(text: &str) -> Result<BTreeSet<String>, SecretError> {
    let found = pieces(text)?.into_iter().filter_map(|piece| match piece {
        Piece::Secret(secret) => Some(secret.0),
        Piece::Plain(_) => None,
    });
    Ok(found.collect())
}

/// The text with every placeholder replaced.
///
/// # Errors
/// A mark that is no placeholder; a name without a value, a value without a place; a value that needs escaping.
pub fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, SecretError> {
    let asked = names(text)?;
    if let Some(name) = values.keys().find(|name| !asked.contains(*name)) {
        return Err(SecretError::NotAsked { name: name.clone() });
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Plain(plain) => out.push_str(plain),
            Piece::Secret(Secret(name)) => match values.get(&name) {
                Some(value) if is_plain(value) => out.push_str(value),
                Some(_) => return Err(SecretError::Value { name }),
                None => return Err(SecretError::NotGiven { name }),
            },
        }
    }
    Ok(out)
}

/// Keys in Base64, hashes of passwords, public keys: nothing that any of the formats would read as its own.
fn is_plain(value: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b" +/=._$:-@".contains(&b);
    !value.is_empty() && value.bytes().all(good) && value.trim() == value && !value.contains(MARK)
}
