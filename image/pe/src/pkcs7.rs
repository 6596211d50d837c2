//! PKCS#7 / CMS SignedData with one RSA signer, as UEFI wants it: SHA-256, PKCS#1 v1.5, the certificate included.
//!
//! Owns the ASN.1 shared by `authenticode` and `efivar`. Never adds a signing time, so equal input gives equal bytes.
//!
//! Why `cms` for the types and not its builder: the builder adds attributes and CMS versions of its own choosing,
//! while firmware expects PKCS#7 1.5 shapes (version 1 throughout, content as ANY and not OCTET STRING).
//!
//! RUSTSEC-2023-0071 (Marvin): `rsa` is not constant time. We sign offline at build time, where nobody can measure
//! single operations, and still ask for blinding; blinding does not change the signature's bytes.

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::CmsVersion;
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier,
    SignerInfo, SignerInfos,
};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Encode};
use rsa::pkcs1v15;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Verifier};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;

use crate::certs::{Certificate, SigningKey};

pub(crate) const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
pub(crate) const ID_SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const ID_CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const ID_MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// Why a SignedData was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs7Error {
    /// Not the ASN.1 it should be.
    #[error("cannot encode or decode {what}")]
    Asn1 {
        /// Structure.
        what: &'static str,
        /// Reason.
        source: der::Error,
    },
    /// ASN.1 is fine, the meaning is not.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Field.
        field: &'static str,
        /// Value seen.
        found: String,
        /// Value needed.
        expected: &'static str,
    },
    /// Signing itself failed (a key too small for the digest, or a broken key).
    #[error("RSA signing with certificate {subject:?} failed")]
    Sign {
        /// Subject of the certificate.
        subject: String,
        /// Reason.
        source: rsa::signature::Error,
    },
    /// None of the trusted certificates is the signer's.
    #[error(
        "signed by issuer {issuer:?} serial {serial}, which is none of the {trusted} trusted certificates"
    )]
    UnknownCertificate {
        /// Issuer named by the signer.
        issuer: String,
        /// Serial number in hex.
        serial: String,
        /// How many certificates were tried.
        trusted: usize,
    },
    /// The signature does not fit the signer's key.
    #[error(
        "RSA signature does not match certificate {subject:?}: forged, altered, or a key with a copied name"
    )]
    BadSignature {
        /// Subject of the certificate.
        subject: String,
    },
    /// The signed digest attribute is not the content's.
    #[error(
        "signed messageDigest {signed} is not the content's {computed}: the content was altered"
    )]
    ContentDigest {
        /// In the attribute.
        signed: String,
        /// Of the content.
        computed: String,
    },
}

pub(crate) fn asn1(what: &'static str) -> impl Fn(der::Error) -> Pkcs7Error {
    move |source| Pkcs7Error::Asn1 { what, source }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// AlgorithmIdentifier with the explicit NULL that PKCS#7 1.5 implementations in firmware compare against.
pub(crate) fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::null()),
    }
}

pub(crate) fn sha256() -> AlgorithmIdentifierOwned {
    with_null(SHA256)
}

/// contentType and messageDigest, the two attributes RFC 2315 section 9.2 demands for content other than id-data.
fn attributes(
    content_type: ObjectIdentifier,
    digest: &[u8],
) -> Result<SignedAttributes, der::Error> {
    let attribute = |oid, value: Any| -> Result<Attribute, der::Error> {
        Ok(Attribute {
            oid,
            values: SetOfVec::try_from(vec![value])?,
        })
    };
    let digest = Any::encode_from(&OctetString::new(digest)?)?;
    SetOfVec::try_from(vec![
        attribute(ID_CONTENT_TYPE, Any::encode_from(&content_type)?)?,
        attribute(ID_MESSAGE_DIGEST, digest)?,
    ])
}

/// Signs embedded content, with signed attributes (Authenticode).
pub(crate) fn sign_embedded(
    content: EncapsulatedContentInfo,
    key: &SigningKey,
) -> Result<SignedData, Pkcs7Error> {
    let value = content
        .econtent
        .as_ref()
        .map(|any| any.value())
        .unwrap_or_default();
    let attributes = attributes(content.econtent_type, &Sha256::digest(value))
        .map_err(asn1("signed attributes"))?;
    // RFC 2315 section 9.3: what is signed is the DER of the attributes as a plain SET OF.
    let message = attributes.to_der().map_err(asn1("signed attributes"))?;
    signed_data(content, Some(attributes), &message, key)
}

/// Signs `message` directly, content detached and no attributes (UEFI 8.2.2 authenticated variables).
pub(crate) fn sign_detached(message: &[u8], key: &SigningKey) -> Result<SignedData, Pkcs7Error> {
    let content = EncapsulatedContentInfo {
        econtent_type: ID_DATA,
        econtent: None,
    };
    signed_data(content, None, message, key)
}

fn signed_data(
    content: EncapsulatedContentInfo,
    signed_attrs: Option<SignedAttributes>,
    message: &[u8],
    key: &SigningKey,
) -> Result<SignedData, Pkcs7Error> {
    let signer = pkcs1v15::SigningKey::<Sha256>::new(key.private().clone());
    let signature = signer
        .try_sign_with_rng(&mut OsRng, message)
        .map_err(|source| Pkcs7Error::Sign {
            subject: key.certificate().subject(),
            source,
        })?;
    let cert = key.certificate().parsed();
    let build = || -> Result<SignedData, der::Error> {
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: cert.tbs_certificate.issuer.clone(),
                serial_number: cert.tbs_certificate.serial_number.clone(),
            }),
            digest_alg: sha256(),
            signed_attrs,
            signature_algorithm: with_null(RSA),
            signature: OctetString::new(signature.to_vec())?,
            unsigned_attrs: None,
        };
        Ok(SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![sha256()])?,
            encap_content_info: content,
            certificates: Some(CertificateSet(SetOfVec::try_from(vec![
                CertificateChoices::Certificate(cert.clone()),
            ])?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        })
    };
    build().map_err(asn1("SignedData"))
}

/// The only signer of a SignedData; more than one would make "signed by" ambiguous.
fn only_signer(data: &SignedData) -> Result<&SignerInfo, Pkcs7Error> {
    let expected = "exactly one";
    match data.signer_infos.0.as_slice() {
        [one] => Ok(one),
        more => Err(Pkcs7Error::Field {
            field: "number of signers",
            found: more.len().to_string(),
            expected,
        }),
    }
}

pub(crate) fn expect_oid(
    field: &'static str,
    found: ObjectIdentifier,
    allowed: &[ObjectIdentifier],
    expected: &'static str,
) -> Result<(), Pkcs7Error> {
    if allowed.contains(&found) {
        return Ok(());
    }
    Err(Pkcs7Error::Field {
        field,
        found: found.to_string(),
        expected,
    })
}

/// The value of the one attribute `oid`, which must be single-valued.
fn attribute<'a, T: der::DecodeValue<'a> + der::Choice<'a>>(
    attributes: &'a SignedAttributes,
    oid: ObjectIdentifier,
    field: &'static str,
) -> Result<T, Pkcs7Error> {
    let mut found = attributes.iter().filter(|a| a.oid == oid);
    let missing = |found: &str| Pkcs7Error::Field {
        field,
        found: found.to_owned(),
        expected: "one value",
    };
    let one = found.next().ok_or_else(|| missing("absent"))?;
    match (one.values.as_slice(), found.next()) {
        ([value], None) => value.decode_as().map_err(asn1(field)),
        _ => Err(missing("repeated")),
    }
}

/// Checks the signer of `data` over `content` against certificates trusted directly.
///
/// `content` is the embedded content's value octets or, detached, the message. Certificates inside `data` are not
/// looked at: trust comes from the caller only. Validity dates are not looked at either, as firmware has no clock to
/// trust. No chains: the signer's own certificate must be in `trusted`.
pub(crate) fn verify<'t>(
    data: &SignedData,
    content: &[u8],
    trusted: &'t [Certificate],
) -> Result<&'t Certificate, Pkcs7Error> {
    let signer = only_signer(data)?;
    expect_oid(
        "digest algorithm",
        signer.digest_alg.oid,
        &[SHA256],
        "SHA-256",
    )?;
    let rsa = [RSA, SHA256_WITH_RSA];
    expect_oid(
        "signature algorithm",
        signer.signature_algorithm.oid,
        &rsa,
        "RSA PKCS#1 v1.5 with SHA-256",
    )?;
    let message = match &signer.signed_attrs {
        None => content.to_vec(),
        Some(attributes) => {
            let kind: ObjectIdentifier =
                attribute(attributes, ID_CONTENT_TYPE, "contentType attribute")?;
            let same = "the content's own type";
            expect_oid(
                "contentType attribute",
                kind,
                &[data.encap_content_info.econtent_type],
                same,
            )?;
            let signed: OctetString =
                attribute(attributes, ID_MESSAGE_DIGEST, "messageDigest attribute")?;
            let computed = Sha256::digest(content);
            if signed.as_bytes() != computed.as_slice() {
                let (signed, computed) = (hex(signed.as_bytes()), hex(&computed));
                return Err(Pkcs7Error::ContentDigest { signed, computed });
            }
            attributes.to_der().map_err(asn1("signed attributes"))?
        }
    };
    let SignerIdentifier::IssuerAndSerialNumber(id) = &signer.sid else {
        let found = "a subject key identifier".to_owned();
        return Err(Pkcs7Error::Field {
            field: "signer identifier",
            found,
            expected: "issuer and serial number",
        });
    };
    let named = |c: &&Certificate| {
        let tbs = &c.parsed().tbs_certificate;
        tbs.issuer == id.issuer && tbs.serial_number == id.serial_number
    };
    let mut subject = None;
    for cert in trusted.iter().filter(named) {
        subject = Some(cert.subject());
        let signature = pkcs1v15::Signature::try_from(signer.signature.as_bytes());
        let key = pkcs1v15::VerifyingKey::<Sha256>::new(cert.public_key().clone());
        if signature.is_ok_and(|signature| key.verify(&message, &signature).is_ok()) {
            return Ok(cert);
        }
    }
    Err(match subject {
        Some(subject) => Pkcs7Error::BadSignature { subject },
        None => Pkcs7Error::UnknownCertificate {
            issuer: id.issuer.to_string(),
            serial: hex(id.serial_number.as_bytes()),
            trusted: trusted.len(),
        },
    })
}
