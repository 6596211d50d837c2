//! Rules for names that come from outside: package names, versions, paths, archive names.
//!
//! Owns: the character sets. Never does: repair a value. Invariant: a name that passed can stand
//! in a file name, an apt source line, a URI path and a lock line without being misread.

/// Debian Policy 5.6.7, plus: no trailing `-`, which apt would read as "remove".
pub fn package_name(text: &str) -> Result<(), String> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() >= 2 && first && text.chars().all(rest) && !text.ends_with('-') {
        return Ok(());
    }
    Err("a package name has lower-case letters, digits, `+`, `-` and `.`, begins with a letter or digit and does not end in `-`".into())
}

/// Debian Policy 5.6.12.
pub fn version(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || ".+-~:".contains(c);
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(inner) {
        return Ok(());
    }
    Err("a version begins with a digit and has letters, digits, `.`, `+`, `-`, `~` and `:`".into())
}

/// Archive names, suites and components.
pub fn word(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner) {
        return Ok(());
    }
    Err("expected letters, digits, `.`, `-` and `_`, beginning with a letter or digit".into())
}

/// Architectures an image can hold.
pub fn architecture(text: &str) -> Result<(), String> {
    match text {
        "amd64" | "all" => Ok(()),
        _ => Err("expected `amd64` or `all`".into()),
    }
}

/// A path below an archive's base.
pub fn pool_path(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || ".+-~_:/%=,@".contains(c);
    let parts = text
        .split('/')
        .all(|p| !p.is_empty() && p != "." && p != "..");
    if parts && text.chars().all(inner) && text.ends_with(".deb") {
        return Ok(());
    }
    Err("expected a relative path to a .deb, without `..`, blanks or odd characters".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for good in ["bash", "libstdc++6", "g++", "0ad", "linux-image-6.12"] {
            package_name(good).unwrap();
        }
        for bad in [
            "",
            "a",
            "Bash",
            "-x",
            "bash-",
            "?essential",
            "a b",
            "bash:i386",
            "../x",
        ] {
            package_name(bad).unwrap_err();
        }
        for good in ["1:2.3~rc1+dfsg-4+b1", "5"] {
            version(good).unwrap();
        }
        for bad in ["", "v1", "1 2", "1\n2", "1/2"] {
            version(bad).unwrap_err();
        }
        pool_path("pool/main/b/bash/bash_5.2.37-2+b10_amd64.deb").unwrap();
        for bad in [
            "",
            "/a.deb",
            "a/../b.deb",
            "a//b.deb",
            "a b.deb",
            "a.rpm",
            "a/./b.deb",
        ] {
            pool_path(bad).unwrap_err();
        }
        word("non-free-firmware").unwrap();
        for bad in ["", "-x", "a/b", "a b", "[x]"] {
            word(bad).unwrap_err();
        }
        architecture("arm64").unwrap_err();
    }
}
