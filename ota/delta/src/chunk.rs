//! Where an image is cut, and what a chunk is called.
//!
//! Owns the cut rule of format 1 and the chunk id. The rule sees only content, so a chunk that moved is cut the same way.
//!
//! ```text
//!  blocks of 4096:  | data data data data | zero zero zero | data data ...
//!                   '- chunk -'- chunk ---'- one zero run -'- chunk
//! ```
//!
//! Cuts are whole blocks. The images are block file systems: content moves by blocks, and whole blocks can be written
//! past the page cache without reading their neighbours first. Measured on a point update of a 1.2 GB root, rounding
//! costs 0.7 % of the download against cuts at any byte, at equal chunk size it costs nothing.

use fastcdc::v2020::{Normalization, select_masks};
use sha2::{Digest as _, Sha256};

/// A block: the unit of cuts, reads and writes.
pub const BLOCK: usize = 4096;
/// A cut is looked for from here on. Below one block, so that the first block may already end a chunk.
const MIN: usize = 2048;
/// Nominal average before rounding; after it, chunks of real images have 8.4 KB. Smaller chunks find more and need a
/// larger index: 2.1 % less to download than twice this size, for 0.04 % more index.
const AVERAGE: usize = 4096;
/// A cut is forced here. A multiple of [`BLOCK`].
pub const MAX: usize = 16384;
/// Most blocks of a chunk.
pub const MAX_BLOCKS: u8 = (MAX / BLOCK) as u8;

/// The first 12 bytes of a chunk's SHA-256.
///
/// 96 bits: between the 2^21 chunks of the largest image and 2^23 in two slots, two different ones have one id by chance
/// with a probability of 2^-52. Whoever *makes* two (2^48 work) gains one failed update: the whole image's SHA-256 and its
/// root hash judge the result, and the next attempt trusts nothing local. A whole digest would more than double the
/// index, which every device downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkId(pub [u8; ChunkId::LEN]);

impl ChunkId {
    /// Bytes of an id.
    pub const LEN: usize = 12;

    /// Id of a chunk.
    pub fn of(bytes: &[u8]) -> ChunkId {
        ChunkId::from_digest(&Sha256::digest(bytes).into())
    }

    /// Id from the whole digest.
    pub fn from_digest(digest: &[u8; 32]) -> ChunkId {
        let mut id = [0; ChunkId::LEN];
        id.copy_from_slice(&digest[..ChunkId::LEN]);
        ChunkId(id)
    }

    /// Bits to choose a slot of a hash table by. Ids are uniform already.
    pub fn bits(&self) -> u64 {
        let mut low = [0; 8];
        low.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(low)
    }
}

/// What begins at a position, and how many blocks it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Zero blocks: as many as the window shows.
    Zero(usize),
    /// A chunk.
    Data(usize),
}

impl Cut {
    /// Bytes of it.
    pub fn len(self) -> usize {
        match self {
            Cut::Zero(blocks) | Cut::Data(blocks) => blocks * BLOCK,
        }
    }
}

/// Finds the cuts.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    mask_s: u64,
    mask_l: u64,
}

impl Cutter {
    /// The cutter of format 1.
    pub fn new() -> Cutter {
        let (mask_s, mask_l) = select_masks(AVERAGE, Normalization::Level1);
        Cutter { mask_s, mask_l }
    }

    /// What begins at the start of `window`. The window is whole blocks, at least one, and at least [`MAX`] bytes
    /// unless the image ends with it.
    pub fn next(&self, window: &[u8]) -> Cut {
        let zero = window
            .chunks_exact(BLOCK)
            .take_while(|b| is_zero(b))
            .count();
        if zero > 0 {
            return Cut::Zero(zero);
        }
        let limit = window.len().min(MAX);
        let data = window[..limit]
            .chunks_exact(BLOCK)
            .take_while(|b| !is_zero(b))
            .count();
        let (_, cut) = fastcdc::v2020::cut(
            &window[..data * BLOCK],
            MIN,
            AVERAGE,
            MAX,
            self.mask_s,
            self.mask_l,
            // The algorithm looks at two bytes in a step; these are its masks for the first of them.
            self.mask_s << 1,
            self.mask_l << 1,
        );
        Cut::Data(cut.div_ceil(BLOCK).clamp(1, data))
    }
}

/// True when every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen bytes at a time: the compiler makes wide comparisons of it.
    let (wide, rest) = bytes.as_chunks::<16>();
    wide.iter().all(|w| u128::from_ne_bytes(*w) == 0) && rest.iter().all(|b| *b == 0)
}
