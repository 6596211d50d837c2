//! Where each level of a tree lies.

use super::{BLOCK, FANOUT, VerityError};

/// The levels of a tree, index 0 next to the data. All numbers are in blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) data_blocks: u64,
    /// (first block in the tree, number of blocks); empty for a single data block.
    pub(super) levels: Vec<(u64, u64)>,
    /// Blocks of the whole tree, superblock included.
    pub(super) total: u64,
}

impl Levels {
    pub(super) fn of_len(bytes: u64) -> Result<Self, VerityError> {
        if bytes == 0 || !bytes.is_multiple_of(BLOCK as u64) || bytes > i64::MAX as u64 {
            return Err(VerityError::DataLen { bytes });
        }
        let data_blocks = bytes / BLOCK as u64;
        let mut counts = Vec::new();
        let mut blocks = data_blocks;
        while blocks > 1 {
            blocks = blocks.div_ceil(FANOUT as u64);
            counts.push(blocks);
        }
        let mut total = 1;
        let mut levels: Vec<(u64, u64)> = Vec::new();
        for count in counts.into_iter().rev() {
            levels.push((total, count));
            total += count;
        }
        levels.reverse();
        Ok(Self {
            data_blocks,
            levels,
            total,
        })
    }

    /// Byte offset of a block of a level.
    pub(super) fn offset(&self, level: usize, block: u64) -> u64 {
        (self.levels[level].0 + block) * BLOCK as u64
    }
}

/// Bytes of the tree for `data_len` bytes of data, superblock included.
///
/// # Errors
/// [`VerityError::DataLen`].
pub fn tree_size(data_len: u64) -> Result<u64, VerityError> {
    Ok(Levels::of_len(data_len)?.total * BLOCK as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_at_the_edges() {
        for (blocks, tree) in [
            (1, 1),
            (2, 2),
            (127, 2),
            (128, 2),
            (129, 4),
            (16384, 130),
            (16385, 133),
        ] {
            assert_eq!(tree_size(blocks * 4096).unwrap(), tree * 4096, "{blocks}");
        }
        for bytes in [0, 1, 4095, 4097, 1 << 63, u64::MAX - 4095] {
            assert_eq!(
                tree_size(bytes).unwrap_err().to_string(),
                format!(
                    "{bytes} bytes cannot be protected: the length must be a positive multiple of 4096 below 2^63; pad the data with zeros"
                )
            );
        }
    }

    #[test]
    fn top_level_comes_first() {
        let levels = Levels::of_len(16385 * 4096).unwrap();
        assert_eq!(levels.levels, [(4, 129), (2, 2), (1, 1)]);
    }
}
