//! Values that must not be seen.
//!
//! Owns: tokens and private keys in memory. Invariant: no `Display`, no `Serialize`, and a `Debug`
//! that says nothing, so that no log line and no error can hold one by accident.

/// hawkBit's longest token, with room for other servers.
const LONGEST_TOKEN: usize = 1024;

/// A token of a device or a gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A token was refused; the message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token of {length} bytes is refused: it has to be 1 to {LONGEST_TOKEN} visible ASCII characters without \
     spaces; look at the file it comes from"
)]
pub struct TokenError {
    length: usize,
}

impl Token {
    /// Takes a token as it stands in a file: white space around it does not count.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        let plain = token.bytes().all(|b| b.is_ascii_graphic());
        if plain && (1..=LONGEST_TOKEN).contains(&token.len()) {
            return Ok(Self(token.to_owned()));
        }
        Err(TokenError { length: text.len() })
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// A client certificate with its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Vec<u8>);

impl Identity {
    /// Takes certificates and a key; they are parsed when a client is made.
    pub fn new(pem: Vec<u8>) -> Self {
        Self(pem)
    }

    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_from_files() {
        assert_eq!(Token::new(" abc \n").unwrap().reveal(), "abc");
        for text in [
            "",
            " \n",
            "a b",
            "a\nb",
            "t\u{f6}ken",
            "a\0",
            &"x".repeat(1025),
        ] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_shown() {
        let token = Token::new("hunter2").unwrap();
        let identity = Identity::new(b"hunter2".to_vec());
        assert_eq!(
            format!("{token:?} {identity:?}"),
            "Token(secret) Identity(secret)"
        );
        let refused = Token::new("hunter2 hunter2").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}
