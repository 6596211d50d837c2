//! EFI_SIGNATURE_LIST with X.509 entries (UEFI 32.4.1): one list per certificate, since entries share a size.

use super::{EfiVarError, Guid};
use crate::certs::Certificate;

/// EFI_CERT_X509_GUID
const X509: Guid = Guid::fields(
    0xa5c0_59a1,
    0x94e4,
    0x4aa7,
    [0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72],
);
/// GUID and three u32.
const LIST_HEADER: usize = 28;
const OWNER: usize = 16;

/// One certificate of a signature list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// SignatureOwner.
    pub owner: Guid,
    /// The certificate.
    pub certificate: Certificate,
}

/// The .esl for `certificates`, all with the same owner.
pub fn signature_list(owner: Guid, certificates: &[Certificate]) -> Result<Vec<u8>, EfiVarError> {
    let mut out = Vec::new();
    for certificate in certificates {
        let signature = OWNER + certificate.as_der().len();
        let size = LIST_HEADER + signature;
        let too_large = |_| EfiVarError::TooLarge {
            what: "signature list",
            size,
        };
        out.extend(X509.0);
        out.extend(u32::try_from(size).map_err(too_large)?.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(u32::try_from(signature).map_err(too_large)?.to_le_bytes());
        out.extend(owner.0);
        out.extend(certificate.as_der());
    }
    Ok(out)
}

/// Reads an .esl that holds X.509 entries only; anything else in it is refused.
pub fn parse_esl(bytes: &[u8]) -> Result<Vec<Entry>, EfiVarError> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let kind = Guid(array(bytes, at, "SignatureType")?);
        let list = u32::from_le_bytes(array(bytes, at + 16, "SignatureListSize")?) as usize;
        let header = u32::from_le_bytes(array(bytes, at + 20, "SignatureHeaderSize")?) as usize;
        let size = u32::from_le_bytes(array(bytes, at + 24, "SignatureSize")?) as usize;
        let refuse = |field, offset, found: String, expected| {
            Err(EfiVarError::Field {
                field,
                offset,
                found,
                expected,
            })
        };
        if kind != X509 {
            return refuse("SignatureType", at, kind.to_string(), "EFI_CERT_X509_GUID");
        }
        if header != 0 {
            return refuse(
                "SignatureHeaderSize",
                at + 20,
                header.to_string(),
                "0 for X.509",
            );
        }
        if size <= OWNER || list <= LIST_HEADER || !(list - LIST_HEADER).is_multiple_of(size) {
            let found = format!("{size} in a list of {list}");
            return refuse(
                "SignatureSize",
                at + 24,
                found,
                "more than 16 and a divisor of the list's body",
            );
        }
        let short = EfiVarError::Truncated {
            what: "signature list",
            offset: at,
            need: list,
            have: bytes.len(),
        };
        let body = bytes.get(at + LIST_HEADER..at + list).ok_or(short)?;
        for entry in body.chunks_exact(size) {
            let (owner, der) = entry.split_at(OWNER);
            let index = entries.len();
            let certificate = Certificate::from_der(der)
                .map_err(|source| EfiVarError::Certificate { index, source })?;
            entries.push(Entry {
                owner: Guid(array(owner, 0, "SignatureOwner")?),
                certificate,
            });
        }
        at += list;
    }
    Ok(entries)
}

pub(super) fn array<const N: usize>(
    bytes: &[u8],
    at: usize,
    what: &'static str,
) -> Result<[u8; N], EfiVarError> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    part.copied().ok_or(EfiVarError::Truncated {
        what,
        offset: at,
        need: N,
        have: bytes.len(),
    })
}
