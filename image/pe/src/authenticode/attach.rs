//! The attribute certificate table: WIN_CERTIFICATE entries at the very end of the file.
//!
//! ```text
//!  dwLength u32 (header + data, no padding) | wRevision 0x0200 | wCertificateType 0x0002 | PKCS#7 DER | zeroes
//! ```

use super::{Pkcs7Der, SignatureError};
use crate::pe::{Pe, fix_checksum, put_u32, u16_at, u32_at};

const HEADER: usize = 8;
const REVISION_2: u16 = 0x0200;
const TYPE_PKCS_SIGNED_DATA: u16 = 0x0002;

/// Puts signatures on an unsigned image, padding it to 8 bytes first (the padding is hashed).
pub fn attach(image: &[u8], signatures: &[Pkcs7Der]) -> Result<Vec<u8>, SignatureError> {
    let pe = Pe::parse(image)?;
    if let Some(table) = pe.certificate_table() {
        return Err(SignatureError::AlreadySigned {
            offset: table.start,
            size: table.len(),
        });
    }
    if signatures.is_empty() {
        return Err(SignatureError::NothingToAttach);
    }
    let start = image.len().next_multiple_of(8);
    let mut out = Vec::with_capacity(
        start
            + signatures
                .iter()
                .map(|s| s.as_bytes().len() + 16)
                .sum::<usize>(),
    );
    out.extend(image);
    out.resize(start, 0);
    for signature in signatures {
        let der = signature.as_bytes();
        // Like sbsign: dwLength without the padding, the directory's size with it (PE specification, "The Attribute
        // Certificate Table": walkers round dwLength up themselves).
        let length = HEADER + der.len();
        let end = (out.len() + length).next_multiple_of(8);
        out.extend(narrow(length)?.to_le_bytes());
        out.extend(REVISION_2.to_le_bytes());
        out.extend(TYPE_PKCS_SIGNED_DATA.to_le_bytes());
        out.extend(der);
        out.resize(end, 0);
    }
    let (offset, size) = (narrow(start)?, narrow(out.len())? - narrow(start)?);
    put_u32(
        &mut out,
        pe.security_dir(),
        offset,
        "certificate table offset",
    )?;
    put_u32(
        &mut out,
        pe.security_dir() + 4,
        size,
        "certificate table size",
    )?;
    fix_checksum(&mut out)?;
    Ok(out)
}

fn narrow(size: usize) -> Result<u32, SignatureError> {
    u32::try_from(size).map_err(|_| SignatureError::TooLarge { size })
}

/// Removes every signature. An unsigned image comes back with only its checksum corrected.
pub fn strip(image: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let pe = Pe::parse(image)?;
    let end = pe
        .certificate_table()
        .map_or(image.len(), |table| table.start);
    let mut out = image.get(..end).unwrap_or(image).to_vec();
    put_u32(&mut out, pe.security_dir(), 0, "certificate table offset")?;
    put_u32(&mut out, pe.security_dir() + 4, 0, "certificate table size")?;
    fix_checksum(&mut out)?;
    Ok(out)
}

/// The signatures of an image, in table order; empty when it is not signed.
pub fn signatures(image: &[u8]) -> Result<Vec<Pkcs7Der>, SignatureError> {
    let pe = Pe::parse(image)?;
    let Some(table) = pe.certificate_table() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut at = table.start;
    while at < table.end {
        let length = u32_at(image, at, "dwLength")?;
        let revision = u16_at(image, at + 4, "wRevision")?;
        let kind = u16_at(image, at + 6, "wCertificateType")?;
        let refuse = |field, found, expected| {
            Err(SignatureError::Table {
                offset: at,
                field,
                found,
                expected,
            })
        };
        let end = at + length as usize;
        if (length as usize) <= HEADER || end > table.end {
            return refuse("dwLength", length, "more than 8 and inside the table");
        }
        if revision != REVISION_2 {
            return refuse("wRevision", revision.into(), "0x200");
        }
        if kind != TYPE_PKCS_SIGNED_DATA {
            return refuse("wCertificateType", kind.into(), "2 (PKCS#7 SignedData)");
        }
        let der = image.get(at + HEADER..end).unwrap_or_default();
        let index = found.len();
        found.push(
            Pkcs7Der::from_der(der)
                .map_err(|source| SignatureError::Malformed { index, source })?,
        );
        at = end.next_multiple_of(8);
    }
    Ok(found)
}
