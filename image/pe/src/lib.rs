//! Unified kernel images and deterministic Secure Boot signatures.
