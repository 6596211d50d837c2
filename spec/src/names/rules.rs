//! The rules behind the string types: plain predicates on text.

/// Longest DNS label and file name part we use (RFC 1035 2.3.4).
const LABEL_MAX: usize = 63;

/// systemd's UNIT_NAME_MAX.
const UNIT_MAX: usize = 255;

const UNIT_SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

pub(super) fn name(text: &str) -> bool {
    text.len() <= LABEL_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--")
}

pub(super) fn package(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() >= 2
        && text.starts_with(letter)
        && text.chars().all(|c| letter(c) || "+-.".contains(c))
}

pub(super) fn unit(text: &str) -> bool {
    let Some((stem, suffix)) = text.rsplit_once('.') else {
        return false;
    };
    text.len() <= UNIT_MAX
        && !stem.is_empty()
        && !stem.starts_with('@')
        && stem
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c))
        && UNIT_SUFFIXES.contains(&suffix)
}

pub(super) fn user(text: &str) -> bool {
    text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

/// True when every part of a path split at `/` is a real name.
fn parts(text: &str) -> bool {
    text.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control))
}

pub(super) fn image_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(parts) && !text.contains(['*', '?', '[', ']'])
}

pub(super) fn path_pattern(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    // A wildcard in the first part would let one line empty the image.
    let Some((first, _)) = rest.split_once('/') else {
        return false;
    };
    parts(rest)
        && !first.contains(['*', '?', '['])
        && rest.matches('[').count() == rest.matches(']').count()
}

pub(super) fn overlay_path(text: &str) -> bool {
    parts(text)
}

pub(super) fn kernel_argument(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '"' && c != '\'')
}

pub(super) fn module(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn nic(text: &str) -> bool {
    // The kernel's IFNAMSIZ leaves 15 characters.
    let digits = text.strip_prefix("nic").unwrap_or_default();
    !digits.is_empty() && text.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn tty(text: &str) -> bool {
    let rest = text.strip_prefix("tty").unwrap_or_default();
    !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric())
}

pub(super) fn fingerprint(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn apt_word(text: &str) -> bool {
    parts(text)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
}
