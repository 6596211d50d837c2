//! Deciding whether an image is signed by somebody we trust.

use super::{Pkcs7Der, SignatureError, digest, signatures, spc};
use crate::certs::Certificate;
use crate::pe::Pe;
use crate::pkcs7::{self, Pkcs7Error, hex};

/// Checks the image against certificates trusted directly; gives the one that signed it.
///
/// Like firmware, one good signature is enough. Unlike firmware there are no chains: the signer's own certificate
/// must be in `trusted`. If no signature is good, the error is that of the signature that came closest.
pub fn verify<'t>(
    image: &[u8],
    trusted: &'t [Certificate],
) -> Result<&'t Certificate, SignatureError> {
    let pe = Pe::parse(image)?;
    let computed = digest::digest_of(&pe)?;
    let mut closest = SignatureError::NotSigned { size: image.len() };
    for (index, signature) in signatures(image)?.iter().enumerate() {
        match verify_one(index, signature, &computed, trusted) {
            Ok(cert) => return Ok(cert),
            Err(error) if rank(&error) > rank(&closest) => closest = error,
            Err(_) => {}
        }
    }
    Err(closest)
}

/// How much an error tells: a foreign signature beside ours is normal, a broken one of ours is not.
fn rank(error: &SignatureError) -> u8 {
    match error {
        SignatureError::NotSigned { .. } => 0,
        SignatureError::Signer(Pkcs7Error::UnknownCertificate { .. }) => 1,
        SignatureError::Malformed { .. } => 2,
        SignatureError::DigestMismatch { .. } => 3,
        _ => 4,
    }
}

fn verify_one<'t>(
    index: usize,
    signature: &Pkcs7Der,
    computed: &[u8; 32],
    trusted: &'t [Certificate],
) -> Result<&'t Certificate, SignatureError> {
    let malformed = |source| SignatureError::Malformed { index, source };
    let data = signature.signed_data().map_err(malformed)?;
    let (signed, content) = spc::image_digest(&data).map_err(malformed)?;
    if signed != computed {
        return Err(SignatureError::DigestMismatch {
            signed: hex(&signed),
            computed: hex(computed),
        });
    }
    pkcs7::verify(&data, content, trusted).map_err(|error| match error {
        Pkcs7Error::UnknownCertificate { .. } | Pkcs7Error::BadSignature { .. } => {
            SignatureError::Signer(error)
        }
        source => malformed(source),
    })
}
