//! Unified kernel images and deterministic Secure Boot signatures.
//!
//! Owns the bytes between "here are a kernel, an initrd and a key" and "the firmware boots it":
//!
//! ```text
//!  stub + parts --uki::assemble--> UKI --authenticode::digest--> 32 bytes
//!                                   |                              | (may cross to an offline signer)
//!                                   |                       authenticode::sign_digest
//!                                   +--authenticode::attach <------+
//!  certs::SigningKey --efivar--> PK.auth, KEK.auth, db.auth   (systemd-boot enrols them)
//! ```
//!
//! Never reads the clock, never runs a program, never guesses: everything is a function of its arguments. The two
//! exceptions are fenced and named: [`certs::SigningKey::generate`] uses OS randomness, and the `read`/`write_new`
//! pair of [`certs::SigningKey`] touches key files.
//!
//! Invariant: the same inputs give the same output bytes, on every host, for ever. Bytes that come from a file are
//! hostile until parsed; no parser here indexes without a bounds check.

pub mod authenticode;
pub mod certs;
pub mod efivar;
pub mod pe;
mod pkcs7;
pub mod tiny;
pub mod uki;

pub use pkcs7::Pkcs7Error;
