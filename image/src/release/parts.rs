//! Payload parts as files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use roamcore_delta::PartSink;

/// The name of an image's part in an update.
pub fn name(image: &str, part: usize) -> String {
    format!("{image}.{part:03}")
}

/// Writes parts into a directory, one file after the other.
pub struct Parts {
    dir: PathBuf,
    image: &'static str,
    current: Option<BufWriter<File>>,
}

impl Parts {
    /// Parts of an image of an update in `dir`.
    pub fn new(dir: PathBuf, image: &'static str) -> Parts {
        Parts {
            dir,
            image,
            current: None,
        }
    }

    /// Ends the last part.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(mut part) => part.flush(),
            None => Ok(()),
        }
    }
}

impl PartSink for Parts {
    fn begin(&mut self, part: usize) -> io::Result<()> {
        self.end()?;
        let file = File::create_new(self.dir.join(name(self.image, part)))?;
        self.current = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.current {
            Some(part) => part.write_all(bytes),
            None => Err(io::Error::other("bytes before the first part")),
        }
    }
}
