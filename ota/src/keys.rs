//! Ed25519 keys with a role, and the files that hold them.
//!
//! Owns key ids, roles and the two PEM forms (see `file` for the header). Never stores a private key, never prints one:
//! secret bytes are wiped when dropped and absent from `Debug` and from every error.
//!
//! A role in a public key file is the statement of whoever installs that file into a trust store. A role in a private
//! key file only keeps its owner from signing the wrong thing.

mod file;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    self, DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::failure::FailureClass;
use crate::hex;
pub use file::MAX_KEY_FILE_BYTES;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Signs development images only.
    Development,
    /// Signs release images only.
    Release,
    /// Signs role documents only: it says who the others are.
    Root,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Development => "development",
            Role::Release => "release",
            Role::Root => "root",
        })
    }
}

/// Name of a key: the first 8 bytes of SHA-256 of its 32 public bytes, as 16 hex digits.
///
/// A name only finds the key; a forged one that collides still needs a valid signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl TryFrom<String> for KeyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        hex::parse_exact(&text)
            .map(KeyId)
            .ok_or("a key id is exactly 16 of 0-9 and a-f")
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// A key or key file was refused. No variant carries text of the file: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Larger than [`MAX_KEY_FILE_BYTES`].
    #[error(
        "the key file is larger than {MAX_KEY_FILE_BYTES} bytes: it is not a key file of this program"
    )]
    TooLarge,
    /// A header line is missing or wrong.
    #[error("line {line} of the key file is not \"{expected}\": take a file made by this program")]
    Header {
        /// Counted from 1.
        line: usize,
        /// The form the line must have.
        expected: &'static str,
    },
    /// A private key where a public one belongs, or the reverse.
    #[error("this is a {found} key file, a {expected} one is needed here")]
    WrongKind {
        /// What the file is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A format of another program version.
    #[error(
        "the key file has format {found}, this program reads format 1: update this program first"
    )]
    UnsupportedFormat {
        /// The format found.
        found: u32,
    },
    /// The header names another key than the one that follows.
    #[error(
        "the key file's header names key {header}, but it holds key {held}: header and key were mixed up"
    )]
    IdMismatch {
        /// The id in the header.
        header: KeyId,
        /// The id of the key.
        held: KeyId,
    },
    /// Not a PEM form of an Ed25519 key.
    #[error("the key file holds no readable Ed25519 key (PKCS#8 or SubjectPublicKeyInfo in PEM)")]
    Pem(#[source] pkcs8::Error),
    /// 32 bytes that are no public key.
    #[error("the 32 bytes are not a point of the curve, so no key signs for them: make a new key")]
    NotAPoint,
    /// A public key under which anybody can sign.
    #[error(
        "the public key {0} has small order, so that anybody could sign for it: make a new key"
    )]
    Weak(KeyId),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a new key")]
    Random(#[source] getrandom::Error),
}

impl KeyError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            KeyError::UnsupportedFormat { .. } => FailureClass::UnsupportedFormat,
            _ => FailureClass::BadKey,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

/// A public key with its role.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    role: Role,
    id: KeyId,
}

impl PublicKey {
    fn new(key: VerifyingKey, role: Role) -> Result<Self, KeyError> {
        let mut id = [0; 8];
        id.copy_from_slice(&Digest::of(key.as_bytes()).as_bytes()[..8]);
        let id = KeyId(id);
        if key.is_weak() {
            Err(KeyError::Weak(id))
        } else {
            Ok(PublicKey { key, role, id })
        }
    }

    /// Reads a public key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let file = file::KeyFile::parse(text, file::Kind::Public)?;
        let key =
            VerifyingKey::from_public_key_pem(file.pem).map_err(|e| KeyError::Pem(e.into()))?;
        let key = Self::new(key, file.role)?;
        file.check_id(key.id)?;
        Ok(key)
    }

    /// The text of the public key file.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = self
            .key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| KeyError::Pem(e.into()))?;
        Ok(file::write(file::Kind::Public, self.role, self.id, &pem).to_string())
    }

    /// Adopts the 32 bytes of a public key (RFC 8032 section 5.1.5), as role documents hold them.
    pub fn from_bytes(bytes: &[u8; 32], role: Role) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        Self::new(key, role)
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether `signature` is this key's over `message`. Strict: refuses the malleable forms of RFC 8032 verification.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .is_ok()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({}, {})", self.id, self.role)
    }
}

/// A private key with its role. Wiped when dropped.
pub struct PrivateKey {
    key: SigningKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key from the system's random bytes.
    pub fn generate(role: Role) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(KeyError::Random)?;
        Self::new(SigningKey::from_bytes(&seed), role)
    }

    /// Adopts a PKCS#8 PEM of another tool, such as `openssl genpkey -algorithm ed25519`, which knows no roles.
    pub fn from_pkcs8_pem(pem: &str, role: Role) -> Result<Self, KeyError> {
        Self::new(
            SigningKey::from_pkcs8_pem(pem).map_err(KeyError::Pem)?,
            role,
        )
    }

    /// Reads a private key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let file = file::KeyFile::parse(text, file::Kind::Private)?;
        let key = Self::from_pkcs8_pem(file.pem, file.role)?;
        file.check_id(key.public.id)?;
        Ok(key)
    }

    /// The text of the private key file. Wiped when dropped; write it readable by its owner alone.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        // Without the public key, which would make it PKCS#8 version 2: OpenSSL reads version 1 only.
        let bytes = KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(KeyError::Pem)?;
        Ok(file::write(
            file::Kind::Private,
            self.public.role,
            self.public.id,
            &pem,
        ))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    fn new(key: SigningKey, role: Role) -> Result<Self, KeyError> {
        let public = PublicKey::new(key.verifying_key(), role)?;
        Ok(PrivateKey { key, public })
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PrivateKey({}, {}, secret redacted)",
            self.public.id, self.public.role
        )
    }
}
