//! Why an index was refused.

use roamcore_ota::Digest;

/// An index was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Larger than a reader accepts.
    #[error("the index has {found} bytes as published, {limit} are accepted")]
    WireTooLarge {
        /// Bytes.
        found: u64,
        /// Limit.
        limit: u64,
    },
    /// It would be too large in memory.
    #[error("the index says it has {found} bytes when decompressed, {limit} are accepted")]
    RawTooLarge {
        /// Bytes.
        found: u64,
        /// Limit.
        limit: u64,
    },
    /// Not an index.
    #[error("these bytes are not a chunk index: the first eight are wrong")]
    Magic,
    /// A newer format.
    #[error("the index has format {found}, this program knows 1: update the agent first")]
    Format {
        /// The number found.
        found: u32,
    },
    /// The compressed bytes are broken or end early.
    #[error("the index is damaged: its content ends or breaks after {at} of {expected} bytes")]
    Damaged {
        /// Bytes that came.
        at: u64,
        /// Bytes that should have.
        expected: u64,
    },
    /// There is more than there should be.
    #[error("the index goes on after its {expected} bytes")]
    Trailing {
        /// Bytes that there should be.
        expected: u64,
    },
    /// The counts in its header do not add up to its size.
    #[error("the index has {found} bytes when decompressed, its counts need {expected}")]
    Counts {
        /// Its size.
        found: u64,
        /// By its counts.
        expected: u64,
    },
    /// An image of no size, of no whole blocks, or too large.
    #[error("an image of {found} bytes is refused: whole blocks of 4096, at most {limit} bytes")]
    ImageSize {
        /// Bytes.
        found: u64,
        /// Limit.
        limit: u64,
    },
    /// Groups or contexts beyond what a device's memory is planned for.
    #[error("{what} of {found} bytes is refused: whole blocks of 4096, at most {limit} bytes")]
    Window {
        /// Which of the two.
        what: &'static str,
        /// Bytes.
        found: u32,
        /// Limit.
        limit: u32,
    },
    /// Too many parts.
    #[error("{found} parts are refused, {limit} are accepted")]
    PartCount {
        /// Parts.
        found: u32,
        /// Limit.
        limit: u32,
    },
    /// A part of no size.
    #[error("part {part} is empty")]
    EmptyPart {
        /// Number of the part.
        part: usize,
    },
    /// A chunk of no or too many blocks.
    #[error("chunk {chunk} has {blocks} blocks: 1 to 4 are possible")]
    ChunkLength {
        /// Number of the chunk.
        chunk: usize,
        /// Blocks.
        blocks: u8,
    },
    /// A frame that cannot be.
    #[error("the frame of {what} {number} has {found} bytes: 1 to {limit} are possible")]
    FrameLength {
        /// Chunk or group.
        what: &'static str,
        /// Its number.
        number: usize,
        /// Bytes.
        found: u64,
        /// Largest possible.
        limit: u64,
    },
    /// A group of no chunks, or of more bytes than groups have.
    #[error(
        "group {group} has {chunks} chunks and {bytes} bytes: at most {limit} bytes, and one chunk"
    )]
    GroupLength {
        /// Number of the group.
        group: usize,
        /// Its chunks.
        chunks: u32,
        /// Its bytes.
        bytes: u64,
        /// Largest possible.
        limit: u32,
    },
    /// The groups have more or fewer chunks than there are.
    #[error("the groups have {found} chunks, the index has {expected}")]
    GroupSum {
        /// In groups.
        found: u64,
        /// In the index.
        expected: u64,
    },
    /// An entry of the layout that cannot be.
    #[error("entry {entry} of the layout is refused: {why}")]
    Layout {
        /// Number of the entry.
        entry: usize,
        /// Why.
        why: &'static str,
    },
    /// The layout covers more or less than the image.
    #[error(
        "the layout covers {found} blocks and {chunks} chunks, the image has {expected} blocks and {expected_chunks} chunks"
    )]
    LayoutSum {
        /// Blocks covered.
        found: u64,
        /// Chunks named.
        chunks: u64,
        /// Blocks of the image.
        expected: u64,
        /// Chunks of the index.
        expected_chunks: u64,
    },
    /// Frames do not fill the parts.
    #[error(
        "the frames of group {group} do not fit part {part}: {free} bytes are left, {need} needed"
    )]
    FrameOutsidePart {
        /// Number of the group.
        group: usize,
        /// Number of the part.
        part: usize,
        /// Bytes left in it.
        free: u64,
        /// Bytes needed.
        need: u64,
    },
    /// A part has bytes that no frame has.
    #[error("part {part} has {unused} bytes that belong to no frame")]
    PartNotFilled {
        /// Number of the part.
        part: usize,
        /// Bytes.
        unused: u64,
    },
    /// Another image than the manifest's, by size.
    #[error("the index is of an image of {found} bytes, the manifest's has {expected}")]
    OtherSize {
        /// By the index.
        found: u64,
        /// By the manifest.
        expected: u64,
    },
    /// Another image than the manifest's, by hash.
    #[error("the index is of image {found}, the manifest names {expected}")]
    OtherImage {
        /// By the index.
        found: Digest,
        /// By the manifest.
        expected: Digest,
    },
    /// Other parts than the manifest's, by number.
    #[error("the index has {found} parts, the manifest {expected}")]
    OtherPartCount {
        /// By the index.
        found: usize,
        /// By the manifest.
        expected: usize,
    },
    /// Other parts than the manifest's, by size.
    #[error("the index says part {part} has {found} bytes, the manifest says {expected}")]
    OtherPartSize {
        /// Number of the part.
        part: usize,
        /// By the index.
        found: u64,
        /// By the manifest.
        expected: u64,
    },
}
