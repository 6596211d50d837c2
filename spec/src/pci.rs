//! PCI addresses as Linux prints them: `domain:bus:device.function`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a PCI function sits, for example `0000:00:1c.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u16,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciAddress {
    /// PCI segment.
    pub const fn domain(self) -> u16 {
        self.domain
    }

    /// Bus number within the domain.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// Device number, 0 to 31.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// Function number, 0 to 7.
    pub const fn function(self) -> u8 {
        self.function
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.domain, self.bus, self.device, self.function
        )
    }
}

/// A text that is not a PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a PCI address: write domain:bus:device.function in lower-case hex, as in \"0000:00:1c.1\""
)]
pub struct PciAddressError(String);

impl FromStr for PciAddress {
    type Err = PciAddressError;

    fn from_str(text: &str) -> Result<Self, PciAddressError> {
        let refuse = || PciAddressError(text.to_owned());
        let (domain, rest) = text.split_once(':').ok_or_else(refuse)?;
        let (bus, rest) = rest.split_once(':').ok_or_else(refuse)?;
        let (device, function) = rest.split_once('.').ok_or_else(refuse)?;
        let hex = |digits: &str, length: usize, below: u16| {
            let lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            let value = u16::from_str_radix(digits, 16)
                .ok()
                .filter(|v| below == 0 || *v < below);
            value
                .filter(|_| digits.len() == length && digits.chars().all(lower))
                .ok_or_else(refuse)
        };
        let small = |value: u16| u8::try_from(value).map_err(|_| refuse());
        Ok(Self {
            domain: hex(domain, 4, 0)?,
            bus: small(hex(bus, 2, 0)?)?,
            device: small(hex(device, 2, 32)?)?,
            function: small(hex(function, 1, 8)?)?,
        })
    }
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PciAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PciAddress {
    fn schema_name() -> Cow<'static, str> {
        "PciAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A PCI address as Linux prints it: domain:bus:device.function, lower-case hex.",
            "pattern": "^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]$",
        })
    }
}
