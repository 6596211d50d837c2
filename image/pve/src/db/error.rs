//! What can be wrong with a database: with a tree that is to become one, and with one that exists.

use std::path::PathBuf;

/// A tree that cannot be written, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// A part of a path that the mounted file system could not show.
    #[error("{path:?}: the part {part:?} {why}; rename it")]
    Name {
        /// Path in the tree.
        path: String,
        /// The part of it.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a node name.
    #[error(
        "node name {host:?}: letters, digits and inner hyphens, at most 63, without a domain; else its guests are ignored"
    )]
    Host {
        /// Value seen.
        host: String,
    },
    /// Something of a node that is not this one.
    #[error(
        "{path:?} belongs to another node than {host:?}; its guests would not be on this device: write below nodes/{host}/"
    )]
    OtherNode {
        /// Path in the tree.
        path: String,
        /// This node.
        host: String,
    },
    /// A name that the daemon shows itself.
    #[error("{path:?}: {name:?} at the top is made by the daemon itself; use {instead}")]
    Reserved {
        /// Path in the tree.
        path: String,
        /// Its first part.
        name: String,
        /// Where it should go.
        instead: String,
    },
    /// A secret in an image that everybody has.
    #[error("{path:?}: nothing of a priv directory is seeded; each device makes its own")]
    Private {
        /// Path in the tree.
        path: String,
    },
    /// A path that is a file and a directory.
    #[error("{path:?} is a file, but {below:?} needs it to be a directory; rename one of them")]
    FileAsDirectory {
        /// The file.
        path: String,
        /// A path below it.
        below: String,
    },
    /// Too large.
    #[error("{path:?} has {bytes} bytes, the file system allows {limit}; make it smaller")]
    FileTooLarge {
        /// Path in the tree.
        path: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too much.
    #[error(
        "with {path:?} all files need {bytes} bytes in whole blocks, the file system has {limit}; remove some"
    )]
    TreeTooLarge {
        /// The file that was too much.
        path: String,
        /// What is needed up to it.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many.
    #[error(
        "with {path:?} there are {count} files and directories, the file system allows {limit}; remove some"
    )]
    TooMany {
        /// The path that was too much.
        path: String,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A file among the guests that is no guest.
    #[error(
        "{path:?}: guests are called ID.conf with an id from 100 to 999999999 and lie in qemu-server or lxc"
    )]
    GuestName {
        /// Path in the tree.
        path: String,
    },
    /// Two guests of one id.
    #[error(
        "guest {vmid} is there twice, as {first:?} and as {second:?}; one of them needs another id"
    )]
    DuplicateVmid {
        /// The id.
        vmid: u32,
        /// One path.
        first: String,
        /// The other.
        second: String,
    },
    /// A log beside the file, which would be replayed into the new one.
    #[error("{} belongs to a database in use or not closed; stop pve-cluster, or open and close the database once", path.display())]
    Companion {
        /// The log.
        path: PathBuf,
    },
    /// The file system.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite.
    #[error("SQLite: cannot {doing}")]
    Sqlite {
        /// The operation.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file that is no database of this kind.
    #[error("not a database of /etc/pve: {why}")]
    NotOurs {
        /// What is wrong.
        why: String,
    },
}

/// Why the daemon does not start with a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A row without a name.
    #[error("inode {inode} has no name")]
    NoName {
        /// The row.
        inode: u64,
    },
    /// Row 0 is something else.
    #[error("row 0 is called {name:?}, not \"__version__\"")]
    RootName {
        /// Value seen.
        name: String,
    },
    /// A directory with content.
    #[error("directory {name:?} (inode {inode}) has {bytes} bytes of data")]
    DirectoryData {
        /// The row.
        inode: u64,
        /// Its name.
        name: String,
        /// What it has.
        bytes: usize,
    },
    /// Neither file nor directory.
    #[error("{name:?} (inode {inode}) has type {kind}; only 4 (directory) and 8 (file) load")]
    UnknownType {
        /// The row.
        inode: u64,
        /// Its name.
        name: String,
        /// The type, of which only the low byte counts.
        kind: u8,
    },
    /// A parent that is a file.
    #[error("{name:?} (inode {inode}) lies in inode {parent}, which is a file")]
    ParentIsFile {
        /// The row.
        inode: u64,
        /// Its name.
        name: String,
        /// Its parent.
        parent: u64,
    },
    /// A parent that does not exist.
    #[error("directory inode {parent} is missing, although rows lie in it")]
    ParentMissing {
        /// The inode that is not there.
        parent: u64,
    },
    /// Two rows of one name in one directory.
    #[error("{name:?} is twice in directory inode {parent}: inodes {first} and {second}")]
    DuplicateName {
        /// The directory.
        parent: u64,
        /// The name.
        name: String,
        /// One row.
        first: u64,
        /// The other.
        second: u64,
    },
    /// Two guests of one id.
    #[error("guest {vmid} is there twice: on {first} and on {second}")]
    DuplicateVmid {
        /// The id.
        vmid: u32,
        /// One place.
        first: String,
        /// The other.
        second: String,
    },
}

/// What loads, and is wrong all the same. The strict judge refuses every one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Hazard {
    /// No record of the root.
    #[error(
        "row 0 \"__version__\" is missing: the first files created overwrite others, then the database is dead"
    )]
    VersionMissing,
    /// The record of the root is behind.
    #[error(
        "\"__version__\" says {version}, the highest inode is {highest}: files created overwrite others, then the database is dead"
    )]
    VersionLow {
        /// Value seen.
        version: u64,
        /// It must be at least this.
        highest: u64,
    },
    /// Rows that no path leads to.
    #[error("{name:?} (inode {inode}) is not reachable from the root: its content is lost")]
    Unreachable {
        /// The row.
        inode: u64,
        /// Its name.
        name: String,
    },
    /// A name that cannot be shown.
    #[error("the name {name:?} (inode {inode}) {why}")]
    Name {
        /// The row.
        inode: u64,
        /// The name.
        name: String,
        /// What it does.
        why: &'static str,
    },
    /// Loads and can be read, not written.
    #[error("{path:?} has {bytes} bytes, more than the {MAX} it could be saved with", MAX = super::MAX_FILE)]
    FileTooLarge {
        /// Path.
        path: String,
        /// Size.
        bytes: usize,
    },
    /// More than the file system says it has.
    #[error("{what} of the tree: {found}, the file system has {limit}")]
    TreeTooLarge {
        /// What is counted.
        what: &'static str,
        /// How much of it.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// An id the management layer does not take.
    #[error("guest id {vmid} of {path:?} is not from 100 to 999999999: no tool manages it")]
    Vmid {
        /// The id.
        vmid: u32,
        /// Path.
        path: String,
    },
    /// No directory of this host.
    #[error("{path:?} is missing or a file: links of /etc/pve dangle, and no guest is listed")]
    NoHost {
        /// The directory.
        path: String,
    },
    /// A number of which only the low bits are read.
    #[error("{field} of inode {inode} is {value}, outside of what is kept of it")]
    Truncated {
        /// The row.
        inode: u64,
        /// Column.
        field: &'static str,
        /// Value seen.
        value: i64,
    },
}

/// A database that an image must not carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It does not load.
    #[error("the daemon does not start with it")]
    Refused(#[from] Refusal),
    /// It loads.
    #[error("it loads, but {}", each(.0))]
    Hazards(Vec<Hazard>),
}

fn each(hazards: &[Hazard]) -> String {
    let texts: Vec<String> = hazards.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
