//! What a guest reads at its first boot, so that a vendor's image is what the appliance says without a hand on it.
//!
//! Owns the words of each guest's own configuration and the small volumes they are found on. Never holds a secret: where
//! one belongs there is a placeholder, which the device fills. Invariant: every text of a caller is escaped or refused, so
//! that a name cannot become a line, an element or a command; the same input gives the same bytes.
//!
//! ```text
//!  OPNsense   conf/config.xml            disk with a partition table, one FAT partition
//!  OpenWrt    /etc/uci-defaults/...      a script inside its root file system
//!  HAOS       network/, timesyncd.conf   FAT volume, label CONFIG
//!  Debian     meta-data, user-data, ...  FAT volume, label CIDATA
//! ```

mod cloudinit;
mod haos;
mod openwrt;
mod opnsense;
mod secret;
mod text;
mod volume;
mod xml;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use cloudinit::{Address, CloudInit, Nic, User};
pub use haos::Haos;
pub use openwrt::{OpenWrt, OpenWrtVlan, OpenWrtWan};
pub use opnsense::{Network, OpnSense, Peer, Vlan, Wan, WanAddress, WireGuard};
pub use secret::{Secret, SecretError, fill, names};
pub use volume::{Volume, VolumeError, fat, fat_bytes, partitioned};

/// Paths on the volume, or in the guest, and what the files hold.
pub type Seed = BTreeMap<String, Vec<u8>>;

/// A text that would not arrive as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value:?}: expected {expected}")]
pub struct SeedError {
    /// What it was for.
    pub field: &'static str,
    /// Value seen.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

/// An IPv4 address in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net4 {
    /// The address of the one who has it.
    pub address: Ipv4Addr,
    /// Bits of the network.
    pub prefix: u8,
}

impl Net4 {
    pub(crate) fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix.min(32)))
            .unwrap_or(0)
    }

    pub(crate) fn netmask(self) -> Ipv4Addr {
        self.mask().into()
    }

    /// Whether a host of that address is in the network, and is not the network or everybody.
    pub(crate) fn has_host(self, address: Ipv4Addr) -> bool {
        let (mask, host) = (self.mask(), u32::from(address));
        host & mask == u32::from(self.address) & mask
            && host & !mask != 0
            && host | mask != u32::MAX
    }

    fn check(self, field: &'static str) -> Result<(), SeedError> {
        if (8..=30).contains(&self.prefix) && self.has_host(self.address) {
            return Ok(());
        }
        Err(SeedError {
            field,
            value: self.to_string(),
            expected: "the address of a host with /8 to /30",
        })
    }
}

impl std::fmt::Display for Net4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Addresses that are given out, first and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

impl Range {
    fn check(self, net: Net4, field: &'static str) -> Result<(), SeedError> {
        let inside = net.has_host(self.first) && net.has_host(self.last);
        let own = self.first <= net.address && net.address <= self.last;
        if inside && self.first <= self.last && !own {
            return Ok(());
        }
        Err(SeedError {
            field,
            value: format!("{} to {}", self.first, self.last),
            expected: "a rising range of the network without the router's own address",
        })
    }
}
