//! One section header, 40 bytes ("Section Table (Section Headers)" of the PE specification), both ways.

use std::ops::Range;

use super::{PeError, u32_at};

/// Bytes of one section header.
pub const SECTION_HEADER_SIZE: usize = 40;

/// A section header whose raw range is known to lie in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Name, zero padded; COFF string table names are not used by images.
    pub name: [u8; 8],
    /// Bytes in memory; less than `raw_size` when the file is padded, more when the tail is zeroes.
    pub virtual_size: u32,
    /// Address in memory relative to the image base.
    pub virtual_address: u32,
    /// Bytes in the file.
    pub raw_size: u32,
    /// Offset in the file; meaningless when `raw_size` is 0.
    pub raw_offset: u32,
    /// IMAGE_SCN_* flags.
    pub characteristics: u32,
}

impl Section {
    pub(super) fn parse(bytes: &[u8], at: usize, headers: usize) -> Result<Self, PeError> {
        let field = |i: usize| u32_at(bytes, at + i, "section header");
        let mut name = [0; 8];
        for (half, i) in name.chunks_exact_mut(4).zip([0, 4]) {
            half.copy_from_slice(&field(i)?.to_le_bytes());
        }
        let section = Self {
            name,
            virtual_size: field(8)?,
            virtual_address: field(12)?,
            raw_size: field(16)?,
            raw_offset: field(20)?,
            characteristics: field(36)?,
        };
        let raw = section.raw();
        if section.raw_size != 0 && (raw.start < headers || raw.end > bytes.len()) {
            let name = section.name_lossy();
            return Err(PeError::Section {
                name,
                offset: raw.start,
                size: raw.len(),
                headers,
                file: bytes.len(),
            });
        }
        Ok(section)
    }

    /// The header as it stands in the file; relocation and line number fields are zero, as images require.
    pub fn encode(&self) -> [u8; SECTION_HEADER_SIZE] {
        let mut out = [0; SECTION_HEADER_SIZE];
        let (name, rest) = out.split_at_mut(8);
        name.copy_from_slice(&self.name);
        let fields = [
            self.virtual_size,
            self.virtual_address,
            self.raw_size,
            self.raw_offset,
            0,
            0,
            0,
        ];
        for (slot, value) in rest
            .chunks_exact_mut(4)
            .zip(fields.into_iter().chain([self.characteristics]))
        {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    /// Range of the file this section's data takes; empty when it has none.
    pub fn raw(&self) -> Range<usize> {
        if self.raw_size == 0 {
            return 0..0;
        }
        let start = self.raw_offset as usize;
        start..start + self.raw_size as usize
    }

    /// Whether the section is called `name`.
    pub fn is(&self, name: &str) -> bool {
        self.name_bytes() == name.as_bytes()
    }

    fn name_bytes(&self) -> &[u8] {
        let end = self
            .name
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(self.name.len());
        self.name.get(..end).unwrap_or_default()
    }

    /// Name for messages.
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(self.name_bytes()).into_owned()
    }
}
