//! Building refused, reading refused.

/// A volume that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FatError {
    /// Outside what FAT32 with our cluster sizes can be.
    #[error(
        "a FAT32 volume of {bytes} bytes is refused; give a multiple of 512 between 33 MiB and 8 GiB"
    )]
    Size {
        /// Size given.
        bytes: u64,
    },
    /// Not a FAT volume label.
    #[error("volume label {label:?} is refused; use 1 to 11 of A-Z, 0-9, '-' and '_'")]
    Label {
        /// Label given.
        label: String,
    },
    /// FAT dates end.
    #[error(
        "time {epoch} (seconds since 1970) is outside 1980-01-01 to 2107-12-31, the range of FAT dates"
    )]
    Time {
        /// Seconds given.
        epoch: i64,
    },
    /// A component that FAT or a firmware would not take.
    #[error("path {path:?} is refused: {reason}")]
    Path {
        /// The whole path.
        path: String,
        /// Which rule.
        reason: &'static str,
    },
    /// Added twice, or with another case.
    #[error("path {path:?} is taken: the volume already has {other:?} (FAT ignores case)")]
    Taken {
        /// Path given.
        path: String,
        /// Name in the tree.
        other: String,
    },
    /// FAT file sizes are 32 bits.
    #[error("file {path:?} has {len} bytes; FAT32 ends at 4294967295")]
    FileTooLarge {
        /// Path.
        path: String,
        /// Length given.
        len: u64,
    },
    /// The directory limit.
    #[error("directory {path:?} needs {bytes} bytes of entries; FAT32 allows 2097152")]
    DirectoryTooLarge {
        /// Name of the directory.
        path: String,
        /// Bytes its entries need.
        bytes: u64,
    },
    /// The tree does not fit.
    #[error("the tree needs {needed} clusters of {cluster} bytes, the volume has {available}")]
    Full {
        /// Clusters needed.
        needed: u64,
        /// Clusters there are.
        available: u64,
        /// Bytes of a cluster.
        cluster: u64,
    },
    /// A source that did not keep its word.
    #[error(
        "{path:?}: the source was announced with {announced} bytes but {what}; it changed while it was read"
    )]
    SourceLength {
        /// Path in the volume.
        path: String,
        /// Length announced.
        announced: u64,
        /// What it did instead.
        what: &'static str,
    },
    /// A source that failed.
    #[error("reading the source of {path:?} failed")]
    Source {
        /// Path in the volume.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer failed.
    #[error("writing the FAT volume at byte {offset} failed")]
    Write {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A volume that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FatReadError {
    /// The reader failed.
    #[error("reading the FAT volume at byte {offset} failed")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer given for a file's content failed.
    #[error("writing out the content of {path:?} failed")]
    Output {
        /// Path in the volume.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A boot sector field is not what FAT32 allows.
    #[error("boot sector: {field} is {found}, expected {expected}; not a FAT32 volume we can read")]
    BootSector {
        /// Field.
        field: &'static str,
        /// Value seen.
        found: u64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A chain that loops, leaves the volume, crosses another or has the wrong length.
    #[error("{path:?}: cluster chain is damaged at cluster {cluster}: {reason}")]
    Chain {
        /// Path.
        path: String,
        /// Cluster.
        cluster: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// A directory entry that makes no sense.
    #[error("directory {path:?}: entry {index} is damaged: {reason}")]
    Entry {
        /// Directory.
        path: String,
        /// Entry number from 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than the reader is willing to hold.
    #[error("the volume has more than {limit} files and directories")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No such file.
    #[error("the volume has no file {path:?}")]
    NotFound {
        /// Path asked for.
        path: String,
    },
    /// Larger than the caller allowed.
    #[error("file {path:?} has {len} bytes, more than the {limit} allowed here")]
    TooLarge {
        /// Path.
        path: String,
        /// Its length.
        len: u64,
        /// The caller's limit.
        limit: u64,
    },
}
