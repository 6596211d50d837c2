//! Files of an update in a directory, with a meter and a network that ends.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use roamcore_engine::{DeviceError, Payload, Sink, Source, Sources, Trouble};

/// Payload from a directory, counted in a file that survives the process.
pub struct Directory {
    pub dir: PathBuf,
    pub counter: Option<fs::File>,
    /// Pieces until the network is gone.
    pub pieces: Option<u64>,
}

impl Payload for Directory {
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError> {
        Ok(fs::metadata(self.dir.join(name))
            .ok()
            .map(|found| found.len()))
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        let bytes = fs::read(self.dir.join(name))
            .map_err(|error| DeviceError::new(Trouble::Passing, error.to_string()))?;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        for piece in bytes[range].chunks(16 * 1024) {
            if let Some(pieces) = &mut self.pieces {
                if *pieces == 0 {
                    return Err(DeviceError::new(Trouble::Offline, "no network"));
                }
                *pieces -= 1;
            }
            if let Some(counter) = &mut self.counter {
                writeln!(counter, "{name} {}", piece.len()).unwrap();
            }
            sink(piece)?;
        }
        Ok(())
    }
}

pub struct Directories {
    pub counter: Option<PathBuf>,
    pub pieces: Option<u64>,
}

impl Sources for Directories {
    fn open(&mut self, source: &Source) -> Result<Box<dyn Payload + '_>, DeviceError> {
        let Source::Local { place } = source else {
            panic!("no directory for {source:?}");
        };
        let counter = self.counter.as_ref().map(|path| {
            let mut options = fs::OpenOptions::new();
            options.append(true).create(true).open(path).unwrap()
        });
        Ok(Box::new(Directory {
            dir: place.into(),
            counter,
            pieces: self.pieces,
        }))
    }
}

/// Bytes of payload parts and indexes that a counter file tells of.
pub fn counted(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| name.starts_with("root.") || name.starts_with("uki."))
        .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
        .sum()
}
