//! What firmware, boot loader and kernel make of a disk: as they are, not as they should be.
//!
//! Owns the rules of EDK II (GPT and FAT drivers), systemd-boot 257 and Linux 6.12 as far as a boot of ours depends on them.
//! Never says what is good. Invariant: whatever is on the disk, every answer comes in bounded time.
//!
//! The strict readers of `roamcore_disk` refuse whatever is damaged. These read on where the real ones would, and fail
//! where those fail: a torn long name shows a file under its short one, a chain that ends early makes a directory empty.

pub mod crc;
pub mod dirent;
pub mod entry;
pub mod fat;
pub mod gpt;
pub mod version;
