//! On-disk formats as bytes: GPT, FAT32 and the dm-verity hash tree.
