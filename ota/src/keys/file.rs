//! The header of a key file: four lines before the PEM block.
//!
//! ```text
//! roamcore-public-key: 1            or roamcore-private-key: 1
//! role: development                 or role: release, role: root
//! key-id: 21fe31dfa154a261
//! -----BEGIN PUBLIC KEY-----        or PRIVATE KEY
//! ```
//!
//! RFC 7468 section 2 lets text stand before a PEM block, so OpenSSL reads these files as they are. Owns the split into
//! header and PEM; never decodes a key. Quotes nothing of the file in errors: any line of it may be the secret.

use zeroize::Zeroizing;

use super::{KeyError, KeyId, Role};

/// Largest key file; a real one is under 300 bytes.
pub const MAX_KEY_FILE_BYTES: usize = 8 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Public,
    Private,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Public => "public",
            Kind::Private => "private",
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Kind::Public => "roamcore-public-key: ",
            Kind::Private => "roamcore-private-key: ",
        }
    }

    fn first_line(self) -> &'static str {
        match self {
            Kind::Public => "roamcore-public-key: 1",
            Kind::Private => "roamcore-private-key: 1",
        }
    }

    fn other(self) -> Kind {
        match self {
            Kind::Public => Kind::Private,
            Kind::Private => Kind::Public,
        }
    }
}

pub(super) struct KeyFile<'a> {
    pub(super) role: Role,
    pub(super) pem: &'a str,
    id: KeyId,
}

impl<'a> KeyFile<'a> {
    pub(super) fn parse(text: &'a str, kind: Kind) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_FILE_BYTES {
            return Err(KeyError::TooLarge);
        }
        let mut rest = text;
        let mut line = || {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            line
        };
        check_first_line(line(), kind)?;
        let role = match line() {
            "role: development" => Role::Development,
            "role: release" => Role::Release,
            "role: root" => Role::Root,
            _ => {
                return Err(KeyError::Header {
                    line: 2,
                    expected: "role: development|release|root",
                });
            }
        };
        let id = line()
            .strip_prefix("key-id: ")
            .and_then(|id| KeyId::try_from(id.to_owned()).ok());
        let id = id.ok_or(KeyError::Header {
            line: 3,
            expected: "key-id: 16 hex digits",
        })?;
        Ok(KeyFile {
            role,
            pem: rest,
            id,
        })
    }

    /// Guards against a header pasted onto another key.
    pub(super) fn check_id(&self, held: KeyId) -> Result<(), KeyError> {
        if self.id == held {
            Ok(())
        } else {
            Err(KeyError::IdMismatch {
                header: self.id,
                held,
            })
        }
    }
}

fn check_first_line(line: &str, kind: Kind) -> Result<(), KeyError> {
    if line.starts_with(kind.other().tag()) {
        return Err(KeyError::WrongKind {
            found: kind.other().name(),
            expected: kind.name(),
        });
    }
    match line
        .strip_prefix(kind.tag())
        .and_then(|format| format.parse().ok())
    {
        Some(1) if line == kind.first_line() => Ok(()),
        Some(found) if found != 1 => Err(KeyError::UnsupportedFormat { found }),
        _ => Err(KeyError::Header {
            line: 1,
            expected: kind.first_line(),
        }),
    }
}

/// Header and PEM as one text, built without leaving copies of a private key behind.
pub(super) fn write(kind: Kind, role: Role, id: KeyId, pem: &str) -> Zeroizing<String> {
    let header = format!("{}\nrole: {role}\nkey-id: {id}\n", kind.first_line());
    let mut text = Zeroizing::new(String::with_capacity(header.len() + pem.len()));
    text.push_str(&header);
    text.push_str(pem);
    text
}
