//! The tree a volume is built from.
//!
//! Owns names and sources; never holds a file's content. Invariant: whatever was accepted here can be laid out, unless
//! the volume is too small for it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::geometry::Geometry;
use super::time::FatTime;
use super::{FatError, MAX_DEPTH, MAX_PATH, fold, name};

/// What a volume is, apart from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatParams {
    /// Size of the volume; the whole region it is written into.
    pub size: u64,
    /// Serial number.
    pub volume_id: u32,
    /// 1 to 11 of A-Z, 0-9, '-' and '_'.
    pub label: String,
    /// Time of every entry, in seconds since 1970 (UTC, two-second steps).
    pub time: i64,
}

/// A file's content: a stream that has exactly `len` bytes.
pub struct FileSource<'a> {
    pub(super) len: u64,
    pub(super) reader: Box<dyn Read + 'a>,
}

impl<'a> FileSource<'a> {
    /// From a stream. A stream that turns out shorter or longer fails the build.
    pub fn new(len: u64, reader: impl Read + 'a) -> Self {
        Self {
            len,
            reader: Box::new(reader),
        }
    }

    /// From bytes in memory.
    pub fn bytes(bytes: impl AsRef<[u8]> + 'a) -> Self {
        let len = bytes.as_ref().len() as u64;
        Self::new(len, io::Cursor::new(bytes))
    }

    /// From a file, opened now and read when the volume is written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self::new(file.metadata()?.len(), file))
    }
}

impl fmt::Debug for FileSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSource({} bytes)", self.len)
    }
}

#[derive(Debug)]
pub(super) enum Node<'a> {
    Dir(Dir<'a>),
    File(FileSource<'a>),
}

/// Children by folded name, which is also their order on disk.
#[derive(Debug, Default)]
pub(super) struct Dir<'a>(pub(super) BTreeMap<String, (String, Node<'a>)>);

/// A FAT32 volume to be written.
#[derive(Debug)]
pub struct FatImage<'a> {
    pub(super) geometry: Geometry,
    pub(super) volume_id: u32,
    pub(super) label: [u8; 11],
    pub(super) time: FatTime,
    pub(super) root: Dir<'a>,
}

impl<'a> FatImage<'a> {
    /// An empty volume.
    ///
    /// # Errors
    /// Size, label or time refused.
    pub fn new(params: &FatParams) -> Result<Self, FatError> {
        let geometry =
            Geometry::for_size(params.size).ok_or(FatError::Size { bytes: params.size })?;
        let text = params.label.as_bytes();
        let good = |c: &u8| c.is_ascii_uppercase() || c.is_ascii_digit() || b"-_".contains(c);
        if text.is_empty() || text.len() > 11 || !text.iter().all(good) {
            return Err(FatError::Label {
                label: params.label.clone(),
            });
        }
        let mut label = [b' '; 11];
        label[..text.len()].copy_from_slice(text);
        let time = FatTime::from_epoch(params.time)?;
        Ok(Self {
            geometry,
            volume_id: params.volume_id,
            label,
            time,
            root: Dir::default(),
        })
    }

    /// Adds a file; directories above it are made as needed. A leading `/` is optional.
    ///
    /// # Errors
    /// Path refused or taken, file too large.
    pub fn add_file(&mut self, path: &str, source: FileSource<'a>) -> Result<(), FatError> {
        if source.len > u64::from(u32::MAX) {
            return Err(FatError::FileTooLarge {
                path: path.to_owned(),
                len: source.len,
            });
        }
        let inner = path.strip_prefix('/').unwrap_or(path);
        let (parent, leaf) = inner
            .rsplit_once('/')
            .map_or((None, inner), |(parent, leaf)| (Some(parent), leaf));
        if let Some(reason) = name::fault(leaf) {
            return Err(FatError::Path {
                path: path.to_owned(),
                reason,
            });
        }
        let dir = self.dir(parent, path)?;
        if let Some((other, _)) = dir.0.get(&fold(leaf)) {
            return Err(FatError::Taken {
                path: path.to_owned(),
                other: other.clone(),
            });
        }
        dir.0
            .insert(fold(leaf), (leaf.to_owned(), Node::File(source)));
        Ok(())
    }

    /// Adds a directory and those above it; one that is there already is fine.
    ///
    /// # Errors
    /// Path refused, or taken by a file or by another spelling.
    pub fn add_dir(&mut self, path: &str) -> Result<(), FatError> {
        let inner = path.strip_prefix('/').unwrap_or(path);
        self.dir(Some(inner).filter(|inner| !inner.is_empty()), path)
            .map(drop)
    }

    /// The directory `dir`, made as needed; `None` is the root.
    fn dir(&mut self, dir: Option<&str>, path: &str) -> Result<&mut Dir<'a>, FatError> {
        let mut at = &mut self.root;
        let parts: Vec<&str> = dir.map_or_else(Vec::new, |dir| dir.split('/').collect());
        if path.len() >= MAX_PATH {
            return Err(FatError::Path {
                path: path.to_owned(),
                reason: "it is longer than 4095 bytes",
            });
        }
        if parts.len() >= MAX_DEPTH {
            return Err(FatError::Path {
                path: path.to_owned(),
                reason: "it has more than 32 components",
            });
        }
        for part in parts {
            if let Some(reason) = name::fault(part) {
                return Err(FatError::Path {
                    path: path.to_owned(),
                    reason,
                });
            }
            let child =
                at.0.entry(fold(part))
                    .or_insert_with(|| (part.to_owned(), Node::Dir(Dir::default())));
            at = match child {
                (name, Node::Dir(dir)) if name == part => dir,
                (other, _) => {
                    return Err(FatError::Taken {
                        path: path.to_owned(),
                        other: other.clone(),
                    });
                }
            };
        }
        Ok(at)
    }
}
