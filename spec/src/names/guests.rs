//! The string types of guests and networks.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::{NameError, rules};

string_type! {
    /// The name of a flow; Proxmox limits the names of security groups to 18 characters.
    FlowName, "a flow name", "use lower-case letters, digits and single hyphens, starting with a letter, 2 to 18 characters",
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", |text| rules::name(text) && (2..=18).contains(&text.len())
}
string_type! {
    /// A Linux bridge as Proxmox names them.
    BridgeName, "a bridge name", "Proxmox names bridges `vmbr` and a number up to 4094, as in \"vmbr0\"",
    "^vmbr(0|[1-9][0-9]{0,3})$", bridge
}
string_type! {
    /// The name of a network interface of the host.
    InterfaceName, "an interface name", "use 2 to 15 letters, digits and _, starting with a letter, as in \"tailscale0\"",
    "^[A-Za-z][A-Za-z0-9_]{1,14}$", interface
}
string_type! {
    /// A DNS name, or an address in its place.
    DomainName, "a DNS name", "use letters, digits and hyphens between dots, 253 characters at most",
    "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$", domain
}
string_type! {
    /// A time zone of the IANA database.
    Timezone, "a time zone", "write area and place, as in \"Europe/Berlin\", or \"UTC\"",
    "^(UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_-]+){1,2})$", timezone
}
string_type! {
    /// When something happens: a time of day, with days of the week before it if not daily.
    Schedule, "a schedule", "write hours and minutes, days of the week before them if not daily: \"03:30\", \"sat 04:00\", \"mon..fri 22:15\", \"mon,thu 01:00\"",
    "^((mon|tue|wed|thu|fri|sat|sun)((\\.\\.|,)(mon|tue|wed|thu|fri|sat|sun))* )?([01][0-9]|2[0-3]):[0-5][0-9]$", schedule
}
string_type! {
    /// A USB device by vendor and product.
    UsbId, "a USB device id", "write vendor and product as `lsusb` prints them, as in \"2c7c:0125\"",
    "^[0-9a-f]{4}:[0-9a-f]{4}$", usb
}
string_type! {
    /// Where a vendor publishes an image. Plain HTTP would do as well, since the content is pinned, but tells who asks for what.
    DownloadUrl, "a download address", "write an https:// address without spaces, user name or fragment",
    "^https://[^\\s@#]+/[^\\s@#]+$", url
}
string_type! {
    /// A path below the checkout.
    CheckoutPath, "a path inside the checkout", "it must be relative, without `..`, `.`, `//` or a trailing `/`",
    "^[^/]+(/[^/]+)*$", rules::overlay_path
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn bridge(text: &str) -> bool {
    let digits = text.strip_prefix("vmbr").unwrap_or_default();
    let number: Option<u16> = digits.parse().ok();
    number.is_some_and(|number| number <= 4094 && number.to_string() == digits)
}

/// The kernel's IFNAMSIZ leaves 15 characters, Proxmox's own rule wants two at least.
fn interface(text: &str) -> bool {
    (2..=15).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// RFC 1035 2.3.4, with the digits in front that RFC 1123 2.1 allows.
fn domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn timezone(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.len() >= 2
            && part
                .chars()
                .all(|c| c.is_ascii_alphabetic() || c == '_' || c == '-')
    };
    text == "UTC" || ((2..=3).contains(&parts.len()) && parts.iter().all(word))
}

fn schedule(text: &str) -> bool {
    let (days, time) = text.rsplit_once(' ').unwrap_or(("mon", text));
    let named = days.split(',').all(|range| {
        range.split("..").count() <= 2 && range.split("..").all(|d| DAYS.contains(&d))
    });
    let number = |digits: &str, below: u8| {
        digits.len() == 2
            && digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u8>().is_ok_and(|n| n < below)
    };
    let Some((hours, minutes)) = time.split_once(':') else {
        return false;
    };
    named && number(hours, 24) && number(minutes, 60)
}

fn usb(text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let part = |digits: &str| digits.len() == 4 && digits.chars().all(hex);
    text.split_once(':')
        .is_some_and(|(vendor, product)| part(vendor) && part(product))
}

fn url(text: &str) -> bool {
    let Some((host, path)) = text
        .strip_prefix("https://")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    !host.is_empty()
        && !path.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !"@#\"'\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_a_small_part_of_calendar_events() {
        for good in ["03:30", "sat 04:00", "mon..fri 22:15", "mon,wed..fri 00:00"] {
            assert!(schedule(good), "{good}");
        }
        for bad in [
            "",
            "daily",
            "3:30",
            "24:00",
            "03:60",
            "mon",
            "mon  03:30",
            "mon..tue..wed 01:00",
            "+1:+2",
            "xyz 03:30",
        ] {
            assert!(!schedule(bad), "{bad}");
        }
    }

    #[test]
    fn bridges_addresses_and_zones() {
        assert!(bridge("vmbr0") && bridge("vmbr4094"));
        assert!(!bridge("vmbr") && !bridge("vmbr00") && !bridge("vmbr4095") && !bridge("br0"));
        assert!(url("https://example.org/a.qcow2.xz"));
        assert!(
            !url("http://example.org/a") && !url("https://u@example.org/a") && !url("https:///a")
        );
        assert!(
            timezone("UTC") && timezone("America/Argentina/Buenos_Aires") && !timezone("berlin")
        );
        assert!(domain("pool.ntp.org") && domain("10.0.0.1") && !domain("a..b") && !domain("-a"));
    }
}
