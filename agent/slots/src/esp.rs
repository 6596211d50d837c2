//! The ESP as the steps see it.
//!
//! Owns: the trait and the names. Never does: I/O. Paths are relative, with `/`, and made of constants and checked
//! entry names only.

use std::io::Read;

use roamcore_ota::Digest;

use crate::error::SlotError;
use crate::media::Block;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// File name.
    pub name: String,
    /// A plain file.
    pub is_file: bool,
}

/// A mounted ESP. Changes are durable when [`EspTree::sync`] has returned; a file's content already when
/// [`EspTree::create`] has.
pub trait EspTree {
    /// Names in a directory, sorted; a directory that does not exist has none.
    ///
    /// # Errors
    /// It cannot be read, or holds more than anybody put there.
    fn list(&self, directory: &str) -> Result<Vec<Item>, SlotError>;
    /// A file of at most `limit` bytes.
    ///
    /// # Errors
    /// It is longer, or cannot be read.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SlotError>;
    /// A file's size.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn size(&self, path: &str) -> Result<Option<u64>, SlotError>;
    /// SHA-256 of a file as the device holds it.
    ///
    /// # Errors
    /// It cannot be read.
    fn digest(&self, path: &str) -> Result<Option<Digest>, SlotError>;
    /// Bytes left.
    ///
    /// # Errors
    /// The file system does not say.
    fn free(&self) -> Result<u64, SlotError>;
    /// A file to be read anywhere, if there is one. It must be dropped before the tree is closed.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Block>>, SlotError>;
    /// A file to be written anywhere, made where there is none. It has `size` bytes and all of their clusters; after
    /// the next [`EspTree::sync`] whatever is written to it changes these and nothing else of the file system that
    /// matters. It must be dropped before the tree is closed.
    ///
    /// # Errors
    /// It cannot be opened, or there is no room for it.
    fn edit(&self, path: &str, size: u64) -> Result<Box<dyn Block>, SlotError>;
    /// Makes a new file and syncs it.
    ///
    /// # Errors
    /// It exists, or cannot be written.
    fn create(&self, path: &str, content: &mut dyn Read) -> Result<(), SlotError>;
    /// Renames within a directory, over what is there.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, directory: &str, from: &str, to: &str) -> Result<(), SlotError>;
    /// Removes a file; there need not be one.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> Result<(), SlotError>;
    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// The system's, or something else has the name.
    fn ensure_directory(&self, path: &str) -> Result<(), SlotError>;
    /// Makes every change durable: the whole file system, then a directory, which also empties the disk's own cache.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, directory: &str) -> Result<(), SlotError>;
    /// The bytes of a directory, where the driver put its names; none when this is no FAT32 volume of its own.
    ///
    /// # Errors
    /// The device's.
    fn raw_directory(&self, _directory: &str) -> Result<Option<Vec<u8>>, SlotError> {
        Ok(None)
    }
    /// Unmounts, and says whether that worked.
    ///
    /// # Errors
    /// It did not.
    fn close(self: Box<Self>) -> Result<(), SlotError>;
}
