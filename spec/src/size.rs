//! Sizes in bytes, written as people write them. Integers only: a size that cannot be said exactly is refused.

use std::borrow::Cow;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Suffixes; `Display` takes the largest unit that is exact, of either family.
const BINARY: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];
const DECIMAL: [(&str, u64); 3] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
];

/// A number of bytes. Text form: `"6GiB"`, `"512MiB"` (binary) or `"128GB"` (decimal, as disks are sold).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// No bytes at all.
    pub const ZERO: Self = Self(0);
    /// One MiB: the alignment of every partition.
    pub const MIB: Self = Self(1 << 20);

    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of so many MiB; saturates.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Whole MiB, rounded down.
    pub const fn whole_mib(self) -> u64 {
        self.0 >> 20
    }

    /// The same size rounded up to a whole MiB.
    pub const fn round_up_to_mib(self) -> Self {
        Self::from_mib(self.0.div_ceil(1 << 20))
    }

    /// Decimal gigabytes as sold, rounded up: what to print on a box.
    pub const fn gigabytes_rounded_up(self) -> u64 {
        self.0.div_ceil(1_000_000_000)
    }

    /// The difference, or zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// True when the size is a whole number of MiB.
    pub const fn is_whole_mib(self) -> bool {
        self.0.is_multiple_of(1 << 20)
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = BINARY
            .iter()
            .chain(&DECIMAL)
            .filter(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let exact = exact.max_by_key(|(_, unit)| *unit);
        match exact {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No whole number in front.
    #[error("`{0}` is not a size: it must start with a whole number, as in \"6GiB\" or \"128GB\"")]
    Number(String),
    /// A suffix that is not known.
    #[error(
        "`{text}` has the unknown unit `{unit}`: use MiB, GiB, TiB (binary) or MB, GB, TB (decimal, as sold)"
    )]
    Unit {
        /// The whole text.
        text: String,
        /// What stands behind the number.
        unit: String,
    },
    /// More than 2^64 bytes.
    #[error("`{0}` is more than 16 EiB")]
    TooLarge(String),
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        if digits.is_empty() {
            return Err(SizeError::Number(text.to_owned()));
        }
        let bytes = BINARY
            .iter()
            .chain(&DECIMAL)
            .chain(&[("B", 1)])
            .find(|(suffix, _)| *suffix == unit)
            .map(|(_, bytes)| *bytes)
            .ok_or_else(|| SizeError::Unit {
                text: text.to_owned(),
                unit: unit.to_owned(),
            })?;
        let number: u64 = digits
            .parse()
            .map_err(|_| SizeError::TooLarge(text.to_owned()))?;
        number
            .checked_mul(bytes)
            .map(Self)
            .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A size in bytes with a unit: binary (\"6GiB\", \"512MiB\") or decimal as sold (\"128GB\").",
            "pattern": "^[0-9]+(KiB|MiB|GiB|TiB|MB|GB|TB|B)$",
        })
    }
}
