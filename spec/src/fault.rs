//! What can be wrong with a document. Each message is complete by itself: what was refused, the value seen, and what would
//! have been accepted.

use crate::size::Size;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// No `schema = N` at the top.
    #[error("no schema number: {document} files start with `schema = {newest}`")]
    MissingSchema {
        /// `appliance`, `board` or `overlay`.
        document: &'static str,
        /// The newest schema this program reads.
        newest: u32,
    },
    /// A schema number that this program does not read.
    #[error("{document} schema {found} is not supported; this program reads {supported}")]
    UnsupportedSchema {
        /// `appliance`, `board` or `overlay`.
        document: &'static str,
        /// What the file says.
        found: String,
        /// The numbers that are supported.
        supported: String,
    },
    /// A key that the schema does not have.
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// A required key that is absent.
    #[error("missing key `{0}`")]
    MissingKey(String),
    /// A value of the wrong type or form.
    #[error("{0}")]
    Malformed(String),
    /// Something that may appear once appears again.
    #[error("duplicate {what} `{value}`; first used by {first}")]
    Duplicate {
        /// What kind of thing.
        what: &'static str,
        /// The value that appears again.
        value: String,
        /// What uses it first.
        first: String,
    },
    /// A number or size outside its range.
    #[error("`{key}` is {found}, but must be {allowed}")]
    OutOfRange {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// The range, in words.
        allowed: String,
    },
    /// A text that says nothing.
    #[error("`{0}` is empty")]
    Empty(String),
    /// The partitions do not fit on the smallest disk.
    #[error("the partitions need a disk of {} GB ({needed}), but `disk.smallest` is {smallest}", needed.gigabytes_rounded_up())]
    DiskTooSmall {
        /// Smallest disk that holds everything at its minimum.
        needed: Size,
        /// What the appliance promises.
        smallest: Size,
    },
    /// More is asked for than there is.
    #[error("{what} need {needed}, but {limit} is {available}")]
    Exceeds {
        /// Who asks, in the plural.
        what: &'static str,
        /// How much, in words.
        needed: String,
        /// What bounds it.
        limit: String,
        /// How much that is.
        available: Size,
    },
    /// Things that wait for each other, the first named again at the end.
    #[error("the start order is a circle: {}", .0.join(" waits for "))]
    Cycle(Vec<String>),
    /// A key that has no meaning where it stands.
    #[error("`{key}` is not for {what}")]
    Unfit {
        /// The key.
        key: String,
        /// What it was given to, and why that cannot be.
        what: String,
    },
    /// None, or several, of keys of which exactly one is wanted.
    #[error("{what} needs exactly one of {}, but has {found}", choices.join(", "))]
    Choice {
        /// What needs them.
        what: String,
        /// The keys.
        choices: &'static [&'static str],
        /// Those that are there, in words.
        found: String,
    },
    /// Two settings that exclude each other.
    #[error("{what} `{value}` is {this}, but {other}")]
    Conflict {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        value: String,
        /// What is said here.
        this: String,
        /// What is said elsewhere.
        other: String,
    },
    /// A reference to something that is not there.
    #[error("no {what} `{name}`")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// The name looked for.
        name: String,
    },
    /// The document's own name differs from where it lies.
    #[error("{document} is named `{name}`, but lies in `{expected}`")]
    Misplaced {
        /// `appliance`, `board` or `overlay`.
        document: &'static str,
        /// The name in the document.
        name: String,
        /// The name of its file or directory.
        expected: String,
    },
}

impl Fault {
    /// A short stable word for this kind of fault, for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::MissingSchema { .. } => "missing-schema",
            Self::UnsupportedSchema { .. } => "unsupported-schema",
            Self::UnknownKey(_) => "unknown-key",
            Self::MissingKey(_) => "missing-key",
            Self::Malformed(_) => "malformed",
            Self::Duplicate { .. } => "duplicate",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Empty(_) => "empty",
            Self::DiskTooSmall { .. } => "disk-too-small",
            Self::Exceeds { .. } => "exceeds",
            Self::Cycle(_) => "cycle",
            Self::Unfit { .. } => "unfit",
            Self::Choice { .. } => "choice",
            Self::Conflict { .. } => "conflict",
            Self::Missing { .. } => "missing",
            Self::Misplaced { .. } => "misplaced",
        }
    }
}
