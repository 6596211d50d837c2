//! TOML with a version, read strictly.
//!
//! Owns: the first look at `schema`, and errors that name file, line and column. Never does: repeat a
//! line of the file in an error: it might be one that somebody wrote a secret into.

use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, IoAt};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Settings are a page or two.
const LIMIT: u64 = 64 * 1024;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum TomlError {
    /// Reading.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// Content.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Another version.
    #[error("{}: schema is {seen}, this program knows {known}; use a file that fits the installed release", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What it says.
        seen: u64,
        /// What is known.
        known: u64,
    },
}

#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// Reads a document whose `schema` is `known`; a missing file is `None`.
pub fn read<T: DeserializeOwned>(path: &Path, known: u64) -> Result<Option<T>, TomlError> {
    let Some(bytes) = files::read_if_any(path, LIMIT)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|error| TomlError::Content {
        path: path.to_owned(),
        line: 1,
        column: 1,
        message: format!(
            "it is not UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        ),
    })?;
    parse(path, &text, known).map(Some)
}

/// Parses a document; `path` is for errors.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str, known: u64) -> Result<T, TomlError> {
    // The version first: of an unknown one, every other complaint would be beside the point.
    let head: Head = toml::from_str(text).map_err(|error| located(path, text, &error))?;
    if head.schema != known {
        return Err(TomlError::Schema {
            path: path.to_owned(),
            seen: head.schema,
            known,
        });
    }
    toml::from_str(text).map_err(|error| located(path, text, &error))
}

fn located(path: &Path, text: &str, error: &toml::de::Error) -> TomlError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    TomlError::Content {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Document {
        schema: u64,
        name: Option<String>,
    }

    #[test]
    fn errors_have_a_place() {
        let table = [
            (
                "schema = 1\nnaem = \"x\"\n",
                "/f:2:1: unknown field `naem`, expected `schema` or `name`",
            ),
            (
                "schema = 1\nname = 5\n",
                "/f:2:8: invalid type: integer `5`, expected a string",
            ),
            ("name = \"x\"\n", "/f:1:1: missing field `schema`"),
            (
                "schema = 2\nnew = 1\n",
                "/f: schema is 2, this program knows 1; use a file that fits the installed release",
            ),
            ("schema = 1\n\n  name = \"\u{e4}\" x\n", "/f:3:14: "),
        ];
        for (text, want) in table {
            let error = parse::<Document>(Path::new("/f"), text, 1)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(want), "{error}");
        }
        assert!(parse::<Document>(Path::new("/f"), "schema = 1", 1).is_ok());
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        assert!(read::<Document>(&path, 1).unwrap().is_none());
        std::fs::write(&path, b"schema = 1\nname = \"\xff\"").unwrap();
        assert!(
            read::<Document>(&path, 1)
                .unwrap_err()
                .to_string()
                .contains("not UTF-8 from byte 19")
        );
        std::fs::write(&path, "#".repeat(70_000)).unwrap();
        assert!(read::<Document>(&path, 1).is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,80}", near in "[a-z=\"\\[\\]{}\n\u{e4}. 0-9]{0,60}") {
            drop(parse::<Document>(Path::new("/f"), &text, 1));
            drop(parse::<Document>(Path::new("/f"), &format!("schema = 1\n{near}"), 1));
        }
    }
}
