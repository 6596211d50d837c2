//! Tokens: how they are made, kept and compared.
//!
//! Owns: 256-bit tokens in hex, their salted SHA-256 at rest, and a comparison whose time does not depend on what is
//! compared. Never does: keep a token, or print one twice. The hash needs no stretching: tokens are random,
//! and ones brought by an operator must have 16 characters at least.

use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
/// hawkBit's limit.
const LONGEST: usize = 128;
const SALT: usize = 16;
/// Form of [`Hashed`] as text.
const VERSION: &str = "1";

/// A token in clear, on its way to whoever asked for it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one from the system's random bytes.
    pub fn generate() -> Result<Self, Error> {
        Ok(Token(hex(&random::<32>()?)))
    }

    /// One that an operator chose.
    pub fn chosen(text: &str) -> Result<Self, Error> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        if plain && (SHORTEST..=LONGEST).contains(&text.len()) {
            return Ok(Token(text.to_owned()));
        }
        // The token itself stays out of the message: it may be right but for one character.
        Err(Error::Invalid(format!(
            "the token of {} characters is refused: use {SHORTEST} to {LONGEST} visible ASCII characters without spaces",
            text.chars().count()
        )))
    }

    /// The text; the only place where it is shown is the answer to whoever asked.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hashed(&self) -> Result<Hashed, Error> {
        let salt = random::<SALT>()?;
        Ok(Hashed {
            salt,
            sum: sum(&salt, &self.0),
        })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    salt: [u8; SALT],
    sum: [u8; 32],
}

impl Hashed {
    /// Whether `presented` is the token.
    pub fn matches(&self, presented: &str) -> bool {
        // Longer ones are no tokens of ours; hashing them would let a stranger choose how much work we do.
        presented.len() <= LONGEST && equal(&self.sum, &sum(&self.salt, presented))
    }

    /// As stored.
    pub fn to_text(&self) -> String {
        format!("{VERSION}:{}:{}", hex(&self.salt), hex(&self.sum))
    }

    /// From what was stored.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (version, salt, sum) = (parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        Some(Hashed {
            salt: unhex(salt)?,
            sum: unhex(sum)?,
        })
    }
}

fn sum(salt: &[u8], token: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"roamcore-fleet-token\0");
    hash.update(salt);
    hash.update(token.as_bytes());
    hash.finalize().into()
}

/// Looks at every byte, whether or not an earlier one differs.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a
        .iter()
        .zip(b)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(source) => Err(Error::Invalid(format!(
            "the system gave no random bytes: {source}"
        ))),
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16))
        .map(|d| d.and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_matches() {
        let token = Token::generate().unwrap();
        let kept = Hashed::from_text(&token.hashed().unwrap().to_text()).unwrap();
        assert!(kept.matches(token.expose()));
        for wrong in [
            "",
            "x",
            &token.expose()[1..],
            &format!("{} ", token.expose()),
            &token.expose().to_uppercase(),
        ] {
            assert_eq!(kept.matches(wrong), *wrong == *token.expose(), "{wrong}");
        }
        assert!(!format!("{:?}", token).contains(token.expose()));
    }

    #[test]
    fn equal_tokens_are_kept_differently() {
        let token = Token::chosen("sixteen-letters!").unwrap();
        assert_ne!(token.hashed().unwrap(), token.hashed().unwrap());
    }

    #[test]
    fn weak_and_odd_tokens_are_refused() {
        for bad in [
            "",
            "short",
            "fifteen-letters",
            "with space in it!",
            "sixteen-lettersü",
            &"x".repeat(129),
        ] {
            let message = Token::chosen(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !message.contains(bad), "{message}");
        }
    }

    #[test]
    fn damaged_hashes_are_none() {
        for bad in [
            "",
            "1",
            "1:00:00",
            "2:00000000000000000000000000000000:00",
            "1:zz:yy",
        ] {
            assert_eq!(Hashed::from_text(bad), None, "{bad}");
        }
    }
}
