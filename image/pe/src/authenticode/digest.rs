//! The PE image hash ("Calculating the PE Image Hash" in the Authenticode specification).
//!
//! The specification hashes headers, then sections sorted by file offset, then what follows them. Firmware, sbsign
//! and Windows disagree when sections overlap or leave gaps, so such images are refused; what is left is the whole
//! file in order, minus three fields.

use sha2::{Digest, Sha256};

use super::SignatureError;
use crate::pe::{Pe, PeError, Section};

/// SHA-256 PE image hash. A file not ending at a multiple of 8 is hashed as [`super::attach`] will pad it.
pub fn digest(image: &[u8]) -> Result<[u8; 32], SignatureError> {
    let pe = Pe::parse(image)?;
    digest_of(&pe)
}

pub(super) fn digest_of(pe: &Pe<'_>) -> Result<[u8; 32], SignatureError> {
    refuse_gaps(pe)?;
    let image = pe.bytes();
    let end = pe
        .certificate_table()
        .map_or(image.len(), |table| table.start);
    let (checksum, security) = (pe.checksum_field(), pe.security_dir());
    let mut hash = Sha256::new();
    for range in [0..checksum, checksum + 4..security, security + 8..end] {
        let cut = PeError::Truncated {
            what: "hashed range",
            offset: range.start,
            need: range.len(),
            file: end,
        };
        hash.update(image.get(range).ok_or(cut)?);
    }
    let padding = end.next_multiple_of(8) - end;
    hash.update([0u8; 8].get(..padding).unwrap_or_default());
    Ok(hash.finalize().into())
}

fn refuse_gaps(pe: &Pe<'_>) -> Result<(), SignatureError> {
    let mut sections: Vec<&Section> = pe.sections().iter().filter(|s| s.raw_size != 0).collect();
    sections.sort_by_key(|s| s.raw_offset);
    let mut expected = pe.size_of_headers();
    for section in sections {
        let raw = section.raw();
        if raw.start != expected {
            let name = section.name_lossy();
            return Err(SignatureError::Layout {
                name,
                offset: raw.start,
                expected,
            });
        }
        expected = raw.end;
    }
    Ok(())
}
