//! SpcIndirectDataContent: the little structure that is actually signed, and the PKCS#7 around it.

use cms::content_info::ContentInfo;
use cms::signed_data::{EncapsulatedContentInfo, SignedData};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Decode, Encode, Header, Reader, Sequence, SliceReader};
use spki::AlgorithmIdentifierOwned;

use super::SignatureError;
use crate::certs::SigningKey;
use crate::pkcs7::{self, Pkcs7Error, asn1};

const SPC_INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");

/// SpcPeImageData: no flags, file = [0] [2] [0] "<<<Obsolete>>>" in UTF-16BE, the constant every signer writes.
const PE_IMAGE_DATA: [u8; 39] = [
    0x30, 0x25, 0x03, 0x01, 0x00, 0xa0, 0x20, 0xa2, 0x1e, 0x80, 0x1c, 0, b'<', 0, b'<', 0, b'<', 0,
    b'O', 0, b'b', 0, b's', 0, b'o', 0, b'l', 0, b'e', 0, b't', 0, b'e', 0, b'>', 0, b'>', 0, b'>',
];

#[derive(Sequence)]
struct SpcIndirectData {
    data: SpcAttribute,
    message_digest: DigestInfo,
}

#[derive(Sequence)]
struct SpcAttribute {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// One PKCS#7 signature: a DER ContentInfo of type signedData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs7Der(Vec<u8>);

impl Pkcs7Der {
    /// Takes DER made elsewhere (the offline signer). Zero padding after it, as certificate tables have, is dropped.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Pkcs7Error> {
        let header = SliceReader::new(bytes)
            .and_then(|r| r.peek_header())
            .map_err(asn1("ContentInfo header"))?;
        let length = element_length(&header).map_err(asn1("ContentInfo header"))?;
        let cut = || asn1("ContentInfo")(der::ErrorKind::Overlength.into());
        let (der, padding) = bytes.split_at_checked(length).ok_or_else(cut)?;
        if padding.len() >= 8 || padding.iter().any(|b| *b != 0) {
            let found = format!("{} bytes", padding.len());
            return Err(Pkcs7Error::Field {
                field: "data after the signature",
                found,
                expected: "at most 7 zero bytes",
            });
        }
        let signature = Self(der.to_vec());
        signature.signed_data()?;
        Ok(signature)
    }

    /// The DER bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn signed_data(&self) -> Result<SignedData, Pkcs7Error> {
        let info = ContentInfo::from_der(&self.0).map_err(asn1("ContentInfo"))?;
        if info.content_type != pkcs7::ID_SIGNED_DATA {
            let found = info.content_type.to_string();
            return Err(Pkcs7Error::Field {
                field: "content type",
                found,
                expected: "signedData",
            });
        }
        info.content.decode_as().map_err(asn1("SignedData"))
    }
}

fn element_length(header: &Header) -> Result<usize, der::Error> {
    let total = (header.encoded_len()? + header.length)?;
    usize::try_from(total)
}

/// Signs a PE image hash. The same digest and key always give the same bytes.
pub fn sign_digest(digest: [u8; 32], key: &SigningKey) -> Result<Pkcs7Der, SignatureError> {
    let build = || -> Result<Any, der::Error> {
        Any::encode_from(&SpcIndirectData {
            data: SpcAttribute {
                kind: SPC_PE_IMAGE_DATA,
                value: Any::from_der(&PE_IMAGE_DATA)?,
            },
            message_digest: DigestInfo {
                algorithm: pkcs7::sha256(),
                digest: OctetString::new(digest)?,
            },
        })
    };
    let content = build()
        .map_err(asn1("SpcIndirectDataContent"))
        .map_err(SignatureError::Sign)?;
    let content = EncapsulatedContentInfo {
        econtent_type: SPC_INDIRECT_DATA,
        econtent: Some(content),
    };
    let signed = pkcs7::sign_embedded(content, key).map_err(SignatureError::Sign)?;
    let wrap = || -> Result<Vec<u8>, der::Error> {
        ContentInfo {
            content_type: pkcs7::ID_SIGNED_DATA,
            content: Any::encode_from(&signed)?,
        }
        .to_der()
    };
    wrap()
        .map(Pkcs7Der)
        .map_err(asn1("ContentInfo"))
        .map_err(SignatureError::Sign)
}

/// The image digest a SignedData speaks about, and the content octets that are signed.
pub(super) fn image_digest(data: &SignedData) -> Result<(Vec<u8>, &[u8]), Pkcs7Error> {
    let content = &data.encap_content_info;
    pkcs7::expect_oid(
        "content type",
        content.econtent_type,
        &[SPC_INDIRECT_DATA],
        "SPC_INDIRECT_DATA",
    )?;
    let absent = || Pkcs7Error::Field {
        field: "content",
        found: "absent".into(),
        expected: "SpcIndirectDataContent",
    };
    let any = content.econtent.as_ref().ok_or_else(absent)?;
    let spc: SpcIndirectData = any.decode_as().map_err(asn1("SpcIndirectDataContent"))?;
    pkcs7::expect_oid(
        "SPC data type",
        spc.data.kind,
        &[SPC_PE_IMAGE_DATA],
        "SPC_PE_IMAGE_DATA",
    )?;
    let algorithm = spc.message_digest.algorithm.oid;
    pkcs7::expect_oid(
        "image digest algorithm",
        algorithm,
        &[pkcs7::sha256().oid],
        "SHA-256",
    )?;
    Ok((spc.message_digest.digest.as_bytes().to_vec(), any.value()))
}
