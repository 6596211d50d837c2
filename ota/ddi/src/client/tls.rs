//! TLS: whom we believe, and as whom we speak.
//!
//! Owns: rustls's configuration, with `ring` named explicitly and no process-wide default. Never does:
//! trust the system's store by itself, or show our certificate to a host that is not the server.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::SetupError;
use super::secret::Identity;

/// Makes a configuration that trusts the PEM certificates in `roots` and nothing else.
pub(super) fn config(
    what: &'static str,
    roots: &[u8],
    identity: Option<&Identity>,
) -> Result<ClientConfig, SetupError> {
    let refuse = |what: &'static str, why: String| SetupError::Certificates { what, why };
    let mut store = RootCertStore::empty();
    for certificate in certificates(what, roots)? {
        store
            .add(certificate)
            .map_err(|error| refuse(what, error.to_string()))?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(what, error.to_string()))?
            .with_root_certificates(store);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let what = "the client certificate";
            let pem = identity.reveal();
            // The parser's error could quote the key file; ours says only what is missing.
            let key = PrivateKeyDer::from_pem_slice(pem)
                .map_err(|_| refuse(what, "no private key in PEM was found in it".to_owned()))?;
            builder
                .with_client_auth_cert(certificates(what, pem)?, key)
                .map_err(|error| refuse(what, error.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let refuse = |why: String| SetupError::Certificates { what, why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(refuse("no certificate in PEM was found in it".to_owned())),
        Err(_) => Err(refuse("it is damaged PEM".to_owned())),
    }
}
