//! Addresses: IPv4, subnets, Ethernet, and the ports of a flow.
//!
//! Each type is one text form, and what is read is written back the same. IPv4 only: networks of an appliance are its own,
//! and what the firewall does not name is closed, IPv6 included.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text refused by its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct NetError {
    /// What was written.
    pub text: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

macro_rules! text_form {
    ($name:ident, $pattern:literal, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

/// An IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Ipv4Addr);

text_form!(
    Address,
    "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$",
    "An IPv4 address, as in \"10.10.0.2\"."
);

impl Address {
    /// An address of four bytes in network order.
    pub const fn from_bits(bits: u32) -> Self {
        Self(Ipv4Addr::from_bits(bits))
    }

    /// Its four bytes in network order.
    pub const fn bits(self) -> u32 {
        self.0.to_bits()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        text.parse().map(Self).map_err(|_| NetError {
            text: text.to_owned(),
            what: "an IPv4 address",
            rule: "write four numbers up to 255, as in \"10.10.0.2\"",
        })
    }
}

/// An IPv4 network. A single address is a network of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

text_form!(
    Subnet,
    "^[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,2})?$",
    "An IPv4 network, as in \"10.10.0.0/24\", or one address."
);

impl Subnet {
    /// The network with this address and prefix; bits beyond the prefix are cleared.
    pub fn new(address: Address, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            network: address.bits() & mask(prefix),
            prefix,
        }
    }

    /// Number of bits that are fixed, 0 to 32.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its first address: the network itself.
    pub const fn first(self) -> Address {
        Address::from_bits(self.network)
    }

    /// Its last address: the broadcast address.
    pub const fn last(self) -> Address {
        Address::from_bits(self.network | !mask(self.prefix))
    }

    /// True when the address lies in it.
    pub const fn contains(self, address: Address) -> bool {
        address.bits() & mask(self.prefix) == self.network
    }

    /// True when an address can be given to a machine: neither the first nor the last.
    pub fn has_host(self, address: Address) -> bool {
        self.contains(address) && address != self.first() && address != self.last()
    }

    /// True when both have an address in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }
}

const fn mask(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        bits => u32::MAX << (32 - bits as u32),
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            32 => self.first().fmt(f),
            prefix => write!(f, "{}/{prefix}", self.first()),
        }
    }
}

impl FromStr for Subnet {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let refuse = |rule| NetError {
            text: text.to_owned(),
            what: "an IPv4 network",
            rule,
        };
        let form = "write its first address and its length, as in \"10.10.0.0/24\"";
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Address = address.parse().map_err(|_| refuse(form))?;
        let known = prefix.bytes().all(|b| b.is_ascii_digit()) && !prefix.starts_with("0");
        let bits: u8 = match prefix {
            "0" => 0,
            digits if known => digits.parse().map_err(|_| refuse(form))?,
            _ => return Err(refuse(form)),
        };
        if bits > 32 {
            return Err(refuse(form));
        }
        let subnet = Self::new(address, bits);
        if subnet.first() != address {
            return Err(refuse(
                "the address has bits beyond the length; write the network's first address",
            ));
        }
        Ok(subnet)
    }
}

/// The address of an Ethernet card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

text_form!(
    MacAddress,
    "^[0-9A-F]{2}(:[0-9A-F]{2}){5}$",
    "An Ethernet address, as in \"BC:24:11:01:02:03\"."
);

/// The prefix that Proxmox gives its guests' cards (its registered one, and the default of `mac_prefix`).
const MAC_PREFIX: [u8; 3] = [0xbc, 0x24, 0x11];

impl MacAddress {
    /// The address of card number `card` of a guest: the same in every build, and another for any other card.
    ///
    /// Three bytes leave room for collisions (one in 1500 with 150 cards on one bridge), hence a rule against them and
    /// `mac` to settle one by hand.
    pub fn derived(appliance: &str, guest: u32, card: usize) -> Self {
        let hash = fnv1a(format!("{appliance}/{guest}/net{card}").as_bytes());
        // Folded, so that every bit of the hash counts.
        let folded = (hash ^ (hash >> 24) ^ (hash >> 48)).to_be_bytes();
        let [a, b, c] = MAC_PREFIX;
        Self([a, b, c, folded[5], folded[6], folded[7]])
    }

    /// True when it is one card's own: not a group's.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }
}

/// FNV-1a with 64 bits: enough to spread names, with no claim to security, and part of every built appliance: it cannot
/// be replaced without new addresses for all guests.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

impl FromStr for MacAddress {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let refuse = || NetError {
            text: text.to_owned(),
            what: "an Ethernet address",
            rule: "write six bytes in upper-case hex, as in \"BC:24:11:01:02:03\"",
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(refuse)?;
            let upper = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
            if part.len() != 2 || !part.chars().all(upper) {
                return Err(refuse());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(refuse()),
        }
    }
}

/// A protocol that a flow can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, which has no ports.
    Icmp,
}

impl Protocol {
    /// Its name in `/etc/protocols`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// What a flow may use: `"tcp/443"`, `"udp/5000-5010"`, `"icmp"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    protocol: Protocol,
    first: u16,
    last: u16,
}

text_form!(
    Ports,
    "^(icmp|(tcp|udp)/[0-9]{1,5}(-[0-9]{1,5})?)$",
    "Protocol and port, as in \"tcp/443\" or \"udp/5000-5010\", or \"icmp\"."
);

impl Ports {
    /// The protocol.
    pub const fn protocol(self) -> Protocol {
        self.protocol
    }

    /// First and last port; `None` for ICMP.
    pub fn range(self) -> Option<(u16, u16)> {
        (self.protocol != Protocol::Icmp).then_some((self.first, self.last))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.name();
        match self.range() {
            None => f.write_str(protocol),
            Some((first, last)) if first == last => write!(f, "{protocol}/{first}"),
            Some((first, last)) => write!(f, "{protocol}/{first}-{last}"),
        }
    }
}

impl FromStr for Ports {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let refuse = || NetError {
            text: text.to_owned(),
            what: "a protocol with ports",
            rule: "write \"tcp/443\", \"udp/5000-5010\" or \"icmp\"",
        };
        if text == "icmp" {
            return Ok(Self {
                protocol: Protocol::Icmp,
                first: 0,
                last: 0,
            });
        }
        let (protocol, ports) = text.split_once('/').ok_or_else(refuse)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(refuse()),
        };
        let number = |digits: &str| -> Result<u16, NetError> {
            let port: u16 = digits.parse().map_err(|_| refuse())?;
            // Refuses 0, and forms such as "+1" and "01".
            match port > 0 && port.to_string() == digits {
                true => Ok(port),
                false => Err(refuse()),
            }
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(refuse());
        }
        Ok(Self {
            protocol,
            first,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: FromStr + fmt::Display>(texts: &[&str]) {
        for text in texts {
            let value = text
                .parse::<T>()
                .unwrap_or_else(|_| panic!("{text} is refused"));
            assert_eq!(&value.to_string(), text);
        }
    }

    fn refused<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text} is accepted");
        }
    }

    #[test]
    fn texts_come_back_as_they_were() {
        same::<Address>(&["10.0.0.1", "255.255.255.255"]);
        same::<Subnet>(&["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3", "10.1.2.0/31"]);
        same::<MacAddress>(&["BC:24:11:00:AF:09"]);
        same::<Ports>(&["tcp/443", "udp/1-65535", "icmp"]);
        refused::<Address>(&["10.0.0", "10.0.0.256", "::1", ""]);
        refused::<Subnet>(&[
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/",
            "10.0.0.0/+8",
        ]);
        refused::<MacAddress>(&[
            "bc:24:11:00:00:00",
            "BC:24:11:00:00",
            "BC:24:11:00:00:00:00",
            "BC24:11:00:00:00:0",
        ]);
        refused::<Ports>(&[
            "tcp",
            "tcp/",
            "tcp/0",
            "tcp/65536",
            "tcp/9-8",
            "icmp/8",
            "sctp/1",
            "tcp/+1",
        ]);
    }

    #[test]
    fn subnets_know_what_is_in_them() {
        let subnet: Subnet = "10.10.0.0/24".parse().unwrap();
        let at = |text: &str| text.parse::<Address>().unwrap();
        assert!(subnet.has_host(at("10.10.0.1")) && !subnet.has_host(at("10.10.0.0")));
        assert!(!subnet.has_host(at("10.10.0.255")) && !subnet.contains(at("10.10.1.0")));
        assert!(subnet.overlaps("10.0.0.0/8".parse().unwrap()));
        assert!(!subnet.overlaps("10.10.1.0/24".parse().unwrap()));
    }

    #[test]
    fn derived_addresses_differ_by_appliance_guest_and_card() {
        let one = MacAddress::derived("roamcore", 100, 0);
        assert!(one.is_unicast() && one.to_string().starts_with("BC:24:11:"));
        assert_eq!(one, MacAddress::derived("roamcore", 100, 0));
        for other in [
            ("portal", 100, 0),
            ("roamcore", 101, 0),
            ("roamcore", 100, 1),
        ] {
            assert_ne!(
                one,
                MacAddress::derived(other.0, other.1, other.2),
                "{other:?}"
            );
        }
        // Pinned: guests in the field keep their addresses.
        assert_eq!(one.to_string(), "BC:24:11:C0:7A:4E");
    }
}
