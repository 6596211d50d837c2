//! Permission bits.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::NameError;

/// Permission bits, written as four octal digits: `"0644"`, `"1777"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// 0755, for directories.
    pub const DIRECTORY: Self = Self(0o755);

    /// The bits, at most `0o7777`.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for Mode {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = if digits {
            u16::from_str_radix(text, 8).ok()
        } else {
            None
        };
        bits.map(Self).ok_or_else(|| NameError {
            text: text.to_owned(),
            what: "a file mode",
            rule: "write four octal digits in quotes, as in \"0644\"",
        })
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Permission bits as four octal digits.",
            "pattern": "^[0-7]{4}$",
        })
    }
}
