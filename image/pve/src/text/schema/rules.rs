//! Words, ids, numbers and addresses.
//!
//! Invariant: what passes here passes the pattern of the same name in Proxmox's schema.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::value::Rule;

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Digits without a sign or a leading zero.
pub(super) fn integer(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if plain && digits {
        text.parse().ok()
    } else {
        None
    }
}

/// The whole part of a decimal number, rounded up.
pub(super) fn number(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let good = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let up = u64::from(part.bytes().any(|b| b != b'0'));
    integer(whole).filter(|_| good)?.checked_add(up)
}

/// Bytes, more than none. Proxmox also takes fractions, which nobody should write.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match text.strip_prefix(digits)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let bytes = integer(digits)?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(bytes)
}

/// With the largest unit that leaves no rest.
pub(super) fn format_size(bytes: u64) -> String {
    let mut value = bytes;
    let mut unit = "";
    for larger in ["K", "M", "G", "T"] {
        if !value.is_multiple_of(1024) {
            break;
        }
        (value, unit) = (value / 1024, larger);
    }
    format!("{value}{unit}")
}

fn all(text: &str, good: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(good)
}

/// `store:name`.
pub fn is_volume_id(text: &str) -> bool {
    let Some((store, name)) = text.split_once(':') else {
        return false;
    };
    is_storage_id(store) && !name.is_empty() && !name.contains(char::is_whitespace)
}

/// Two characters or more: a letter first, a letter or digit last.
pub(super) fn is_storage_id(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let last = text
        .bytes()
        .last()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() > 1 && first && last && text.bytes().all(inner)
}

/// A letter, then letters, digits, hyphens and underscores.
pub(super) fn is_config_id(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    text.len() > 1 && first && text.bytes().all(inner)
}

/// Labels of letters, digits and inner hyphens: no underscore.
pub fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        let ends = !label.starts_with('-') && !label.ends_with('-');
        ends && label.len() < 64 && all(label, |b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() < 256 && text.split('.').all(label)
}

/// `XX:XX:XX:XX:XX:XX` of one station, not of a group.
pub fn is_mac(text: &str) -> bool {
    let pair = |part: &str| part.len() == 2 && all(part, |b| b.is_ascii_hexdigit());
    let good = text.len() == 17 && text.split(':').count() == 6 && text.split(':').all(pair);
    good && u8::from_str_radix(&text[..2], 16).is_ok_and(|first| first & 1 == 0)
}

fn is_cidr(text: &str, v4: bool) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = if v4 { 32 } else { 128 };
    let known = if v4 {
        address.parse::<Ipv4Addr>().is_ok()
    } else {
        address.parse::<Ipv6Addr>().is_ok()
    };
    // Wider than /8 is no network to Proxmox.
    known && integer(bits).is_some_and(|bits| (8..=most).contains(&bits))
}

fn is_path(text: &str) -> bool {
    let part = |part: &str| part != "." && part != "..";
    text.starts_with('/') && text.split('/').all(part) && !text.contains([',', ' '])
}

/// `[DDDD:]BB:DD[.F]` in lower case.
fn is_pci(text: &str) -> bool {
    let hex = |text: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&text.len()) && all(text, |b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let (slot, function) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = slot.split(':').collect();
    let slot = match parts.as_slice() {
        [bus, device] => hex(bus, 2..=2) && hex(device, 2..=2),
        [domain, bus, device] => hex(domain, 4..=8) && hex(bus, 2..=2) && hex(device, 2..=2),
        _ => false,
    };
    slot && hex(function, 1..=1)
}

fn is_usb(text: &str) -> bool {
    let hex = |text: &str| text.len() == 4 && all(text, |b| b.is_ascii_hexdigit());
    let numbers = |text: &str| {
        text.split('.')
            .all(|part| all(part, |b| b.is_ascii_digit()))
    };
    let id = text
        .split_once(':')
        .is_some_and(|(vendor, product)| hex(vendor) && hex(product));
    let port = text
        .split_once('-')
        .is_some_and(|(bus, port)| all(bus, |b| b.is_ascii_digit()) && numbers(port));
    id || port || text == "spice"
}

fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let part = |(part, length): (&str, usize)| {
        part.len() == length && all(part, |b| b.is_ascii_hexdigit())
    };
    text.split('-').count() == lengths.len() && text.split('-').zip(lengths).all(part)
}

fn is_startup(text: &str) -> bool {
    let part = |part: &str| {
        let known = part
            .split_once('=')
            .filter(|(name, _)| ["order", "up", "down"].contains(name));
        known.is_some_and(|(_, value)| integer(value).is_some())
    };
    text.split(',').all(part)
}

fn is_machine(text: &str) -> bool {
    let Some(version) = text
        .strip_prefix("pc-q35-")
        .or(text.strip_prefix("pc-i440fx-"))
    else {
        return ["pc", "q35"].contains(&text);
    };
    let (number, revision) = version.split_once("+pve").unwrap_or((version, "0"));
    let numbers = number
        .split('.')
        .all(|part| all(part, |b| b.is_ascii_digit()));
    numbers && number.contains('.') && text.len() <= 40 && all(revision, |b| b.is_ascii_digit())
}

fn is_tag(text: &str) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(&b))
}

fn is_boot_device(text: &str) -> bool {
    let stem = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let known = ["ide", "sata", "scsi", "virtio", "net", "usb", "hostpci"].contains(&stem);
    known && super::find(super::Kind::Vm, text).is_some()
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() - body.len() <= 2 && all(body, |b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
}

/// What a calendar event is made of; whether it ever happens Proxmox's own code says.
fn is_schedule(text: &str) -> bool {
    all(text, |b| {
        b.is_ascii_alphanumeric() || b" .,:*/-".contains(&b)
    }) && text.bytes().any(|b| b.is_ascii_alphanumeric() || b == b'*')
}

macro_rules! rules {
    ($($name:ident = $expected:literal, $test:expr;)*) => {
        $(pub(super) const $name: Rule = Rule { expected: $expected, test: $test };)*
    };
}

rules! {
    VOLUME = "a volume STORAGE:NAME", is_volume_id;
    VOLUME_OR_PATH = "a volume STORAGE:NAME, an absolute path, none or cdrom",
        |t| is_volume_id(t) || is_path(t) || ["none", "cdrom"].contains(&t);
    MOUNT_SOURCE = "a volume STORAGE:NAME or an absolute path", |t| is_volume_id(t) || is_path(t);
    PATH = "an absolute path without . and ..", is_path;
    PATH_OR_BOOL = "1, 0 or an absolute path", |t| is_path(t) || boolean(t).is_some();
    DEVICE = "a path below /dev", |t| t.starts_with("/dev/") && t.len() > 5 && is_path(t);
    SERIAL_PORT = "socket or a path below /dev",
        |t| t == "socket" || (t.starts_with("/dev/") && t.len() > 5 && is_path(t));
    STORAGE_ID = "an id of a storage: two characters or more, a letter first", is_storage_id;
    CONFIG_ID = "an id: two characters or more, a letter first", is_config_id;
    NODE = "a node name", crate::db::is_node;
    DNS_NAME = "a DNS name, without underscores", is_dns_name;
    ADDRESS = "an IP address or a DNS name",
        |t| t.parse::<std::net::IpAddr>().is_ok() || (is_dns_name(t) && t != "0");
    IP = "an IP address", |t| t.parse::<std::net::IpAddr>().is_ok();
    IPV4 = "an IPv4 address", |t| t.parse::<Ipv4Addr>().is_ok();
    IPV6 = "an IPv6 address", |t| t.parse::<Ipv6Addr>().is_ok();
    IPV4_CONFIG = "dhcp, manual or an IPv4 address with /8 to /32",
        |t| ["dhcp", "manual"].contains(&t) || is_cidr(t, true);
    IPV6_CONFIG = "auto, dhcp, manual or an IPv6 address with /8 to /128",
        |t| ["auto", "dhcp", "manual"].contains(&t) || is_cidr(t, false);
    MAC = "a unicast MAC address, two digits per byte", is_mac;
    BRIDGE = "a bridge", |t| all(t, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    PCI = "[DDDD:]BB:DD[.F] in lower case", is_pci;
    PCI_FULL = "DDDD:BB:DD.F in lower case", |t| is_pci(t) && t.len() >= 12;
    HEX_ID = "0x and four hexadecimal digits",
        |t| t.strip_prefix("0x").is_some_and(|h| h.len() == 4 && all(h, |b| b.is_ascii_hexdigit()));
    HEX_PAIR = "VVVV:DDDD in hexadecimal", |t| is_usb(t) && t.len() == 9 && t.contains(':');
    USB = "VVVV:PPPP, BUS-PORT or spice", is_usb;
    UUID = "a UUID", is_uuid;
    GENERATION = "a UUID, 1 or 0", |t| is_uuid(t) || ["0", "1"].contains(&t);
    BASE64 = "text in Base64", is_base64;
    STARTUP = "order=N, up=SECONDS, down=SECONDS", is_startup;
    MACHINE = "pc, q35 or a versioned one of these", is_machine;
    TAG = "a tag of letters, digits, _, -, + and .", is_tag;
    BOOT_DEVICE = "a disk, net, usb or hostpci with its number; devices are separated by ;", is_boot_device;
    CPU_FLAG = "+FLAG or -FLAG of the ones a single guest may have",
        |t| t.strip_prefix(['+', '-']).is_some_and(|flag| super::vm::CPU_FLAGS.contains(&flag));
    PHYS_BITS = "host or 8 to 64", |t| t == "host" || integer(t).is_some_and(|n| (8..=64).contains(&n));
    VLANS = "VLAN ids, or ranges of them, separated by ;", |t| t.split(';').all(|one| {
        let (from, to) = one.split_once('-').unwrap_or((one, one));
        let id = |t: &str| integer(t).filter(|n| (1..=4094).contains(n));
        matches!((id(from), id(to)), (Some(from), Some(to)) if from <= to)
    });
    VLAN_IDS = "VLAN ids, separated by ;",
        |t| t.split(';').all(|id| integer(id).is_some_and(|n| (1..=4094).contains(&n)));
    INTERFACE = "an interface name", |t| t.len() < 16 && all(t, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    MODE = "0 and three octal digits", |t| t.len() == 4 && t.starts_with('0') && t.bytes().all(|b| (b'0'..=b'7').contains(&b));
    MOUNT_OPTION = "discard, lazytime, noatime, nodev, noexec or nosuid",
        |t| ["discard", "lazytime", "noatime", "nodev", "noexec", "nosuid"].contains(&t);
    FILE_SYSTEMS = "file system types, separated by ;", |t| all(t, |b| b.is_ascii_alphanumeric() || b"_;".contains(&b));
    TIMEZONE = "host, UTC or a zone such as Europe/Berlin", |t| ["host", "UTC"].contains(&t)
        || (t.contains('/') && !t.contains("..") && all(t, |b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b)));
    URL_ENCODED = "percent-encoded text", |t| all(t, |b| b.is_ascii_alphanumeric() || b"-%_.!~*'()".contains(&b));
    HOTPLUG = "0, or network, disk, cpu, memory, usb, cloudinit", |t| t == "0" || t.split(',').all(|word| {
        ["network", "disk", "cpu", "memory", "usb", "cloudinit"].contains(&word)
    });
    USER = "a user name", |t| all(t, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    LINE = "text without line breaks", |t| !t.is_empty() && !t.contains(char::is_control);
    LABEL = "letters, digits, - and _", |t| all(t, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    META = "creation-qemu=VERSION, ctime=SECONDS", |t| all(t, |b| b.is_ascii_alphanumeric() || b"-_.=,+".contains(&b));
    SCHEDULE = "a calendar event such as 03:30 or mon..fri 22:00", is_schedule;
    GUEST_ID = "an id of a guest", |t| integer(t).is_some_and(|n| (100..=999_999_999).contains(&n));
    CONTENT = "images, rootdir, vztmpl, iso, backup, snippets, import or none",
        |t| ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"].contains(&t);
    LVM_NAME = "a name of LVM", |t| !t.starts_with('-') && all(t, |b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
}
