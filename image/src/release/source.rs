//! An update at hand: a directory, or a single file.
//!
//! Owns: finding its files, and reading no further than the limits. Never believes anything.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use roamcore_delta::roam::{Archive, Member};
use roamcore_delta::{ReadAt, Section};
use roamcore_ota::{Document, MAX_SIGNATURE_BYTES, UpdateDocuments, read_document};

use super::file_at::FileAt;

/// Where an update is.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory,
    Single { file: FileAt, members: Vec<Member> },
}

/// The documents of an update, as they were found.
#[derive(Debug)]
pub struct Documents {
    manifest: Vec<u8>,
    signatures: Vec<u8>,
    roles: Vec<u8>,
}

impl Documents {
    /// For judging.
    pub fn as_ota(&self) -> UpdateDocuments<'_> {
        UpdateDocuments {
            manifest: &self.manifest,
            signatures: &self.signatures,
            roles: &self.roles,
        }
    }
}

impl Source {
    /// Opens a directory or a single file.
    pub fn open(path: &Path) -> Result<Source> {
        let place = if path.is_dir() {
            Place::Directory
        } else {
            let file = FileAt::open(path)?;
            let archive = Archive::open(&file);
            let members = archive
                .with_context(|| format!("{}", path.display()))?
                .members()
                .to_vec();
            Place::Single { file, members }
        };
        Ok(Source {
            path: path.to_owned(),
            place,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its documents, no further than a reader may go. A missing signature file is empty, which has
    /// a refusal of its own.
    pub fn documents(&self) -> Result<Documents> {
        let read = |name: &str, limit| {
            let reader = self.reader(name);
            reader
                .and_then(|reader| read_document(reader, limit))
                .with_context(|| format!("reading {name} of {}", self.path.display()))
        };
        let signatures = Document::Update.file_name().to_owned() + ".sig";
        Ok(Documents {
            manifest: read(Document::Update.file_name(), Document::Update.max_bytes())?,
            signatures: match self.reader(&signatures) {
                Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
                _ => read(&signatures, MAX_SIGNATURE_BYTES)?,
            },
            roles: read(Document::Roles.file_name(), Document::Roles.max_bytes())?,
        })
    }

    /// A file as a stream.
    pub fn reader(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        match &self.place {
            Place::Directory => Ok(Box::new(File::open(self.path.join(name))?)),
            Place::Single { .. } => Ok(Box::new(Stream {
                section: self.section(name)?,
                at: 0,
            })),
        }
    }

    /// A file for reading anywhere.
    pub fn at(&self, name: &str) -> Result<Box<dyn ReadAt + '_>> {
        match &self.place {
            Place::Directory => Ok(Box::new(FileAt::open(&self.path.join(name))?)),
            Place::Single { .. } => Ok(Box::new(self.section(name)?)),
        }
    }

    fn section(&self, name: &str) -> io::Result<Section<'_>> {
        let Place::Single { file, members } = &self.place else {
            return Err(ErrorKind::Unsupported.into());
        };
        let member = members.iter().find(|member| member.name == name);
        let member = member.ok_or(ErrorKind::NotFound)?;
        Section::new(file, member.offset, member.size).ok_or(ErrorKind::UnexpectedEof.into())
    }
}

/// A section read from front to back.
struct Stream<'a> {
    section: Section<'a>,
    at: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.section.size() - self.at;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.section.read_exact_at(&mut buf[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
