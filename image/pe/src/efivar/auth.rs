//! EFI_VARIABLE_AUTHENTICATION_2 (UEFI 8.2.2).
//!
//! Signed is: name in UTF-16LE without its NUL, vendor GUID, attributes, timestamp, new content. The SignedData is
//! bare (no ContentInfo around it), detached and without attributes: EDK2 looks for the digest algorithm at a fixed
//! offset of exactly this shape.

use cms::signed_data::SignedData;
use der::{Decode, Encode};

use super::esl::array;
use super::{EfiTime, EfiVarError, Guid, SecureBootVariable};
use crate::certs::{Certificate, SigningKey};
use crate::pkcs7::{self, asn1};

/// EFI_CERT_TYPE_PKCS7_GUID
const PKCS7: Guid = Guid::fields(
    0x4aaf_d29d,
    0x68df,
    0x49ee,
    [0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7],
);
const REVISION_2: u16 = 0x0200;
const WIN_CERT_TYPE_EFI_GUID: u16 = 0x0ef1;
const TIME: usize = 16;
/// WIN_CERTIFICATE_UEFI_GUID before its data.
const HEADER: usize = 24;

/// The `.auth` file that sets `variable` to `content` (an .esl), signed by `key`.
pub fn sign_variable(
    variable: SecureBootVariable,
    content: &[u8],
    time: EfiTime,
    key: &SigningKey,
) -> Result<Vec<u8>, EfiVarError> {
    let time = time.to_bytes();
    let failed = |source| EfiVarError::Sign {
        variable: variable.name(),
        source,
    };
    let signed = pkcs7::sign_detached(&message(variable, &time, content), key).map_err(failed)?;
    let der = signed
        .to_der()
        .map_err(asn1("SignedData"))
        .map_err(failed)?;
    let size = HEADER + der.len();
    let length = u32::try_from(size).map_err(|_| EfiVarError::TooLarge {
        what: "WIN_CERTIFICATE",
        size,
    })?;
    let mut out = Vec::with_capacity(TIME + size + content.len());
    out.extend(time);
    out.extend(length.to_le_bytes());
    out.extend(REVISION_2.to_le_bytes());
    out.extend(WIN_CERT_TYPE_EFI_GUID.to_le_bytes());
    out.extend(PKCS7.0);
    out.extend(der);
    out.extend(content);
    Ok(out)
}

fn message(variable: SecureBootVariable, time: &[u8; TIME], content: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = variable
        .name()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    out.extend(variable.vendor().0);
    out.extend(variable.attributes().to_le_bytes());
    out.extend(time);
    out.extend(content);
    out
}

/// The parts of an `.auth` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthFile<'a> {
    /// EFI_TIME as stored.
    pub time: [u8; 16],
    /// Bare SignedData, DER.
    pub signature: &'a [u8],
    /// New content of the variable.
    pub content: &'a [u8],
}

/// Splits an `.auth` file, without judging the signature.
pub fn parse_auth(bytes: &[u8]) -> Result<AuthFile<'_>, EfiVarError> {
    let time = array(bytes, 0, "EFI_TIME")?;
    let length = u32::from_le_bytes(array(bytes, TIME, "dwLength")?) as usize;
    let revision = u16::from_le_bytes(array(bytes, TIME + 4, "wRevision")?);
    let kind = u16::from_le_bytes(array(bytes, TIME + 6, "wCertificateType")?);
    let guid = Guid(array(bytes, TIME + 8, "CertType")?);
    let refuse = |field, offset, found, expected| {
        Err(EfiVarError::Field {
            field,
            offset,
            found,
            expected,
        })
    };
    if revision != REVISION_2 {
        return refuse("wRevision", TIME + 4, format!("{revision:#06x}"), "0x0200");
    }
    if kind != WIN_CERT_TYPE_EFI_GUID {
        return refuse(
            "wCertificateType",
            TIME + 6,
            format!("{kind:#06x}"),
            "0x0ef1",
        );
    }
    if guid != PKCS7 {
        return refuse(
            "CertType",
            TIME + 8,
            guid.to_string(),
            "EFI_CERT_TYPE_PKCS7_GUID",
        );
    }
    let short = EfiVarError::Truncated {
        what: "WIN_CERTIFICATE",
        offset: TIME,
        need: length,
        have: bytes.len(),
    };
    let rest = bytes.get(TIME + HEADER..).unwrap_or_default();
    let split = length
        .checked_sub(HEADER)
        .and_then(|der| rest.split_at_checked(der));
    let (signature, content) = split.ok_or(short)?;
    Ok(AuthFile {
        time,
        signature,
        content,
    })
}

/// Checks that `bytes` sets `variable` with a signature of one of `trusted`; gives the new content.
pub fn verify_auth<'a>(
    variable: SecureBootVariable,
    bytes: &'a [u8],
    trusted: &[Certificate],
) -> Result<&'a [u8], EfiVarError> {
    let AuthFile {
        time,
        signature,
        content,
    } = parse_auth(bytes)?;
    let refused = |source| EfiVarError::Signature {
        variable: variable.name(),
        source,
    };
    let data = SignedData::from_der(signature)
        .map_err(asn1("SignedData"))
        .map_err(refused)?;
    pkcs7::verify(&data, &message(variable, &time, content), trusted).map_err(refused)?;
    Ok(content)
}
