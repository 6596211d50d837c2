//! The release: signed manifest, keys and verification.
