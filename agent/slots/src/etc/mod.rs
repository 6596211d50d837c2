//! /etc across an update: which of the user's changes go with him.
//!
//! Owns: the three-way decision between the running image's /etc (base), the running upper layer (ours) and the new
//! image's /etc (theirs), and the making of the new upper layer. Never does: change the running layer, or lose a change
//! of the user's: where both sides changed something, his stays and the conflict is recorded.
//!
//! ```text
//!                    theirs = base              theirs differs
//!  ours = base       nothing: theirs shows      nothing: theirs shows      (a file that was only copied up)
//!  ours = theirs     nothing: theirs shows      nothing: theirs shows
//!  ours differs      ours                       ours, and a conflict       (passwd and the like: line by line)
//!  ours removed      removed                    removed, and a conflict
//! ```
//! An overlay copies a file up when it is opened for writing, when its mode or owner is set, even to what it was; such a
//! copy would hide every later version of the image's file. Directories merge; what is new in them is the image's, unless
//! the user had replaced the whole directory (an opaque one).
//!
//! Facts of the machine: /etc/machine-id is in the upper layer and differs from the image's `uninitialized`, so it goes
//! along (and `prepare-root` would put it there again); host keys are links to /var, which both slots share; the name is
//! the image's file until the user changes it.

mod build;
mod decide;
mod lines;
mod tree;

use std::path::PathBuf;

use roamcore_agent::files::IoAt;
use serde::{Deserialize, Serialize};

pub(crate) use build::{Copied, copy_file, copy_tree_with};
pub use build::{build, copy_tree};
pub use decide::{Keep, Plan, decide};
pub use lines::{merge_lines, mergeable};
pub use tree::{Marks, Meta, Node, scan};

/// Why an upper layer could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum EtcError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error("{path} has more than {limit} {what}; that is no /etc")]
    TooMuch {
        path: PathBuf,
        what: &'static str,
        limit: u64,
    },
    #[error("{0} changed while it was copied; try again")]
    Changed(PathBuf),
    #[error("the database {path} cannot be copied")]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("the database {path} was in use for more than {seconds} s while it was copied")]
    DatabaseBusy { path: PathBuf, seconds: u64 },
    #[error("{0} is no record of a carry-over of /etc; it is made anew when a slot is armed")]
    Record(PathBuf),
}

/// Something that both the user and the new image changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// Below /etc.
    pub path: String,
    /// What the two did.
    pub kind: ConflictKind,
}

/// The user's part comes first; it is what holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// Both changed a file.
    BothChanged,
    /// Both added a file of this name.
    BothAdded,
    /// He changed what the image no longer has.
    ChangedRemoved,
    /// He removed what the image has changed.
    RemovedChanged,
    /// Owner, mode or attributes of a directory.
    DirectoryAttributes,
    /// He replaced a directory, and the image has changed something in it.
    DirectoryReplaced,
}
