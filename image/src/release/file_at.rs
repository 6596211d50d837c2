//! A file as the delta crate reads and writes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_delta::{ReadAt, WriteAt};

/// A file of known size.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    size: u64,
}

impl FileAt {
    /// Opens an existing file for reading.
    pub fn open(path: &Path) -> Result<FileAt> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let meta = file.metadata();
        let size = meta
            .with_context(|| format!("looking at {}", path.display()))?
            .len();
        Ok(FileAt { file, size })
    }

    /// Makes a file of zeros, sparse.
    pub fn create(path: &Path, size: u64) -> Result<FileAt> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("creating {}", path.display()))?;
        file.set_len(size)
            .with_context(|| format!("sizing {}", path.display()))?;
        Ok(FileAt { file, size })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for FileAt {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl WriteAt for FileAt {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    /// Nothing: what is written here is compared and thrown away.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
