//! A minimal, bounds-checked view of a PE32+ image.
//!
//! Owns the offsets of the few header fields that UKIs and Authenticode need, the section table, and the place of
//! the attribute certificate table. Never interprets code, relocations or any other data directory, and never writes.
//!
//! Invariant: a [`Pe`] exists only if every range it can hand out lies inside the file.
//!
//! ```text
//!  0        MZ, e_lfanew at 0x3c
//!  e_lfanew "PE\0\0" | COFF header 20 B | optional header (PE32+) | section headers 40 B each
//!           ... up to SizeOfHeaders, then section data, then (only at the very end) the certificate table
//! ```
//!
//! Field offsets: Microsoft "PE Format" specification, sections "COFF File Header", "Optional Header", "Section Table".

mod bytes;
mod checksum;
mod error;
mod section;

use std::ops::Range;

pub(crate) use bytes::{put_u16, put_u32, round_up, u16_at, u32_at};
pub use checksum::checksum;
pub(crate) use checksum::fix_checksum;
pub use error::PeError;
pub use section::{SECTION_HEADER_SIZE, Section};

/// IMAGE_FILE_MACHINE_AMD64, the only machine RoamCore ships on.
pub const MACHINE_AMD64: u16 = 0x8664;
/// The Windows loader's own limit; far above the 15 sections of a full UKI, low enough to bound hostile tables.
pub const MAX_SECTIONS: u16 = 96;

/// The specification's own limit; without it a hostile stub could make us pad each section by 2 GiB.
const MAX_FILE_ALIGNMENT: u32 = 0x1_0000;

pub(crate) const OPT_SIZE_OF_INITIALIZED_DATA: usize = 8;
pub(crate) const OPT_SIZE_OF_IMAGE: usize = 56;
pub(crate) const OPT_SIZE_OF_HEADERS: usize = 60;
pub(crate) const OPT_CHECKSUM: usize = 64;
/// Data directory 4, "Certificate Table": a file offset, not an RVA, and its size.
pub(crate) const OPT_SECURITY_DIR: usize = 112 + 4 * 8;
pub(crate) const COFF_NUMBER_OF_SECTIONS: usize = 2;
pub(crate) const COFF_SYMBOL_TABLE: usize = 8;
pub(crate) const COFF_NUMBER_OF_SYMBOLS: usize = 12;
pub(crate) const COFF_CHARACTERISTICS: usize = 18;
const PE32_PLUS: u16 = 0x20b;

/// A parsed PE32+ image over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Pe<'a> {
    bytes: &'a [u8],
    coff: usize,
    optional: usize,
    section_table: usize,
    sections: Vec<Section>,
    certificates: Option<Range<usize>>,
    size_of_headers: usize,
    size_of_image: u32,
    section_alignment: u32,
    file_alignment: u32,
}

impl<'a> Pe<'a> {
    /// Parses `bytes`, checking every offset it will later hand out.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        let magic = u16_at(bytes, 0, "DOS header")?;
        if magic != u16::from_le_bytes(*b"MZ") {
            return Err(PeError::Magic {
                what: "MZ",
                offset: 0,
                found: magic.into(),
            });
        }
        let signature = u32_at(bytes, 0x3c, "e_lfanew")? as usize;
        let found = u32_at(bytes, signature, "PE signature")?;
        if found != u32::from_le_bytes(*b"PE\0\0") {
            return Err(PeError::Magic {
                what: "PE signature",
                offset: signature,
                found,
            });
        }
        let coff = signature + 4;
        let count = u16_at(bytes, coff + COFF_NUMBER_OF_SECTIONS, "NumberOfSections")?;
        if count > MAX_SECTIONS {
            return Err(PeError::TooManySections {
                found: count,
                max: MAX_SECTIONS,
            });
        }
        let optional_size = u16_at(bytes, coff + 16, "SizeOfOptionalHeader")? as usize;
        let optional = coff + 20;
        let magic = u16_at(bytes, optional, "optional header magic")?;
        if magic != PE32_PLUS {
            return Err(PeError::Magic {
                what: "PE32+ magic 0x20b",
                offset: optional,
                found: magic.into(),
            });
        }
        let directories = u32_at(bytes, optional + 108, "NumberOfRvaAndSizes")?;
        if optional_size < OPT_SECURITY_DIR + 8 || directories < 5 {
            return Err(PeError::NoSecurityDirectory {
                optional_size,
                directories,
            });
        }
        let section_alignment = alignment(bytes, optional + 32, "SectionAlignment", u32::MAX)?;
        let file_alignment = alignment(bytes, optional + 36, "FileAlignment", MAX_FILE_ALIGNMENT)?;
        let size_of_headers =
            u32_at(bytes, optional + OPT_SIZE_OF_HEADERS, "SizeOfHeaders")? as usize;
        let section_table = optional + optional_size;
        let table_end = section_table + usize::from(count) * SECTION_HEADER_SIZE;
        if size_of_headers < table_end || size_of_headers > bytes.len() {
            return Err(PeError::Headers {
                size_of_headers,
                table_end,
                file: bytes.len(),
            });
        }
        let sections = (0..usize::from(count))
            .map(|i| {
                Section::parse(
                    bytes,
                    section_table + i * SECTION_HEADER_SIZE,
                    size_of_headers,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut pe = Self {
            bytes,
            coff,
            optional,
            section_table,
            sections,
            certificates: None,
            size_of_headers,
            size_of_image: u32_at(bytes, optional + OPT_SIZE_OF_IMAGE, "SizeOfImage")?,
            section_alignment,
            file_alignment,
        };
        pe.certificates = pe.certificate_range()?;
        Ok(pe)
    }

    /// The certificate table must be the last thing in the file: bytes after it would be covered by nothing.
    fn certificate_range(&self) -> Result<Option<Range<usize>>, PeError> {
        let offset = u32_at(self.bytes, self.security_dir(), "certificate table offset")? as usize;
        let size = u32_at(
            self.bytes,
            self.security_dir() + 4,
            "certificate table size",
        )? as usize;
        if offset == 0 && size == 0 {
            return Ok(None);
        }
        let refuse = |why| PeError::CertificateTable {
            offset,
            size,
            file: self.bytes.len(),
            why,
        };
        if !offset.is_multiple_of(8) || !size.is_multiple_of(8) || size == 0 {
            return Err(refuse("offset and size must be non-zero multiples of 8"));
        }
        if offset + size != self.bytes.len() {
            return Err(refuse("it must end exactly where the file ends"));
        }
        if offset < self.image_end() {
            return Err(refuse("it overlaps headers or sections"));
        }
        Ok(Some(offset..offset + size))
    }

    /// End of the headers and of every section's raw data.
    pub(crate) fn image_end(&self) -> usize {
        let ends = self.sections.iter().map(|s| s.raw().end);
        ends.chain([self.size_of_headers])
            .max()
            .unwrap_or(self.size_of_headers)
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Section headers in table order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Raw (file) bytes of a section of this image, file padding included.
    pub fn raw(&self, section: &Section) -> Result<&'a [u8], PeError> {
        let range = section.raw();
        let (offset, need) = (range.start, range.len());
        let cut = PeError::Truncated {
            what: "section data",
            offset,
            need,
            file: self.bytes.len(),
        };
        self.bytes.get(range).ok_or(cut)
    }

    /// Where the attribute certificate table lies, if the image is signed.
    pub fn certificate_table(&self) -> Option<Range<usize>> {
        self.certificates.clone()
    }

    /// COFF machine type.
    pub fn machine(&self) -> Result<u16, PeError> {
        u16_at(self.bytes, self.coff, "Machine")
    }

    /// Bytes of memory the loaded image takes.
    pub fn size_of_image(&self) -> u32 {
        self.size_of_image
    }

    /// Bytes of the file that are headers.
    pub fn size_of_headers(&self) -> usize {
        self.size_of_headers
    }

    /// Alignment of sections in memory (a power of two).
    pub fn section_alignment(&self) -> u32 {
        self.section_alignment
    }

    /// Alignment of sections in the file (a power of two).
    pub fn file_alignment(&self) -> u32 {
        self.file_alignment
    }

    pub(crate) fn coff(&self) -> usize {
        self.coff
    }

    pub(crate) fn optional(&self) -> usize {
        self.optional
    }

    pub(crate) fn section_table_end(&self) -> usize {
        self.section_table + self.sections.len() * SECTION_HEADER_SIZE
    }

    pub(crate) fn checksum_field(&self) -> usize {
        self.optional + OPT_CHECKSUM
    }

    pub(crate) fn security_dir(&self) -> usize {
        self.optional + OPT_SECURITY_DIR
    }
}

fn alignment(bytes: &[u8], offset: usize, field: &'static str, max: u32) -> Result<u32, PeError> {
    let value = u32_at(bytes, offset, field)?;
    if value.is_power_of_two() && value <= max {
        Ok(value)
    } else {
        Err(PeError::Alignment { field, value, max })
    }
}

#[cfg(test)]
mod tests;
