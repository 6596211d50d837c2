//! Texts of callers, by what they may consist of.

use super::SeedError;
use super::secret::MARK;
use crate::text::schema::is_dns_name;

fn check(
    field: &'static str,
    value: &str,
    good: bool,
    expected: &'static str,
) -> Result<(), SeedError> {
    if good && !value.contains(MARK) {
        return Ok(());
    }
    Err(SeedError {
        field,
        value: value.into(),
        expected,
    })
}

fn all(text: &str, good: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(good)
}

/// One line of free text, in a format that escapes.
pub(super) fn line(field: &'static str, value: &str) -> Result<(), SeedError> {
    let good = value.len() <= 255 && !value.contains(char::is_control);
    check(
        field,
        value,
        good,
        "one line of at most 255 bytes, without the mark of secrets",
    )
}

pub(super) fn dns_name(field: &'static str, value: &str) -> Result<(), SeedError> {
    check(field, value, is_dns_name(value), "a DNS name")
}

/// One label of a DNS name.
pub(super) fn hostname(field: &'static str, value: &str) -> Result<(), SeedError> {
    let good = is_dns_name(value) && !value.contains('.');
    check(field, value, good, "a host name without a domain")
}

/// Letters, digits and underscores, a letter first: a name in every format here, also of a variable.
pub(super) fn name(field: &'static str, value: &str) -> Result<(), SeedError> {
    let first = value
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic());
    let good = first && value.len() <= 32 && all(value, |b| b.is_ascii_alphanumeric() || b == b'_');
    check(
        field,
        value,
        good,
        "a letter, then letters, digits and underscores, at most 32",
    )
}

/// A network device, as the guest's kernel calls it.
pub(super) fn device(field: &'static str, value: &str) -> Result<(), SeedError> {
    let good =
        value.len() <= 15 && all(value, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    check(
        field,
        value,
        good,
        "a network device of at most 15 characters",
    )
}

pub(super) fn timezone(field: &'static str, value: &str) -> Result<(), SeedError> {
    let good = all(value, |b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    check(field, value, good, "a time zone such as Europe/Berlin")
}

/// Of a WireGuard key: 32 bytes in Base64.
pub(super) fn key(field: &'static str, value: &str) -> Result<(), SeedError> {
    let body = value.strip_suffix('=').unwrap_or_default();
    let good = body.len() == 43 && all(body, |b| b.is_ascii_alphanumeric() || b"+/".contains(&b));
    check(
        field,
        value,
        good,
        "a key of WireGuard: 44 characters of Base64",
    )
}

/// A public key of SSH, as in `authorized_keys`.
pub(super) fn ssh_key(field: &'static str, value: &str) -> Result<(), SeedError> {
    let mut words = value.split(' ');
    let kind = words.next().is_some_and(|word| {
        [
            "ssh-ed25519",
            "ssh-rsa",
            "ecdsa-sha2-nistp256",
            "sk-ssh-ed25519@openssh.com",
        ]
        .contains(&word)
    });
    let body = words
        .next()
        .is_some_and(|word| all(word, |b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
    let rest = all(value, |b| {
        b.is_ascii_alphanumeric() || b" +/=@._-".contains(&b)
    });
    check(
        field,
        value,
        kind && body && rest,
        "TYPE BASE64 COMMENT of a public key",
    )
}

/// An IPv4 or IPv6 network.
pub(super) fn cidr(field: &'static str, value: &str) -> Result<(), SeedError> {
    let good = value.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    check(field, value, good, "a network such as 10.0.0.0/24")
}

pub(super) fn vlan(field: &'static str, tag: u16) -> Result<(), SeedError> {
    let good = (1..=4094).contains(&tag);
    check(field, &tag.to_string(), good, "a VLAN from 1 to 4094")
}

/// All of a list are different.
pub(super) fn distinct<'a>(
    field: &'static str,
    values: impl Iterator<Item = &'a str>,
) -> Result<(), SeedError> {
    let mut seen = std::collections::BTreeSet::new();
    for value in values {
        check(field, value, seen.insert(value), "no two of one name")?;
    }
    Ok(())
}
