//! Bridges, segments and the host's own place among them.
//!
//! ```text
//!   nic1 nic2 nic3          a bridge joins the board's NICs and the guests' cards
//!      \  |  /
//!       vmbr0 ── segment lan   untagged   10.10.0.0/24      a segment is one network on a bridge:
//!             └─ segment iot   VLAN 20    10.10.20.0/24     a VLAN, or what is untagged
//! ```
//!
//! A segment without `vlan` shares the untagged network of its bridge with others like it, so a plan can be drawn with
//! its addresses first, and VLANs added later without new addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{BridgeName, DomainName, InterfaceName, Name, NicName, Timezone};
use crate::net::{Address, Subnet};

/// A bridge, aware of VLANs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Its name on the host.
    pub name: BridgeName,
    /// NICs of the board that are its ports; without any it joins guests only.
    #[serde(default)]
    pub nics: Vec<NicName>,
}

/// A network: one VLAN of a bridge, or what is untagged on it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Name by which guests and flows refer to it.
    pub name: Name,
    /// The bridge that carries it.
    pub bridge: BridgeName,
    /// VLAN tag, 1 to 4094; without it, untagged.
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<u16>,
    /// Its addresses.
    pub subnet: Subnet,
    /// The address of its router.
    pub gateway: Option<Address>,
    /// Addresses that the router guest gives away; without it there is no DHCP.
    pub dhcp: Option<Dhcp>,
}

/// Addresses given away by DHCP.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dhcp {
    /// The first.
    pub first: Address,
    /// The last.
    pub last: Address,
}

/// Machines that are not guests, named for flows.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Name by which flows refer to them.
    pub name: Name,
    /// Their addresses or networks.
    pub addresses: Vec<Subnet>,
}

/// The host's own address and who may manage it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The segment it has its address in.
    pub segment: Name,
    /// Its address: fixed, because Proxmox starts only when its host name has one.
    pub address: Address,
    /// Name servers; without any, the gateway of its segment.
    #[serde(default)]
    pub dns: Vec<Address>,
    /// Its DNS domain; without it, `lan`.
    pub domain: Option<DomainName>,
    /// Time zone of host and guests; without it, `UTC`.
    pub timezone: Option<Timezone>,
    /// The interface over which it is managed (SSH, and Proxmox on port 8006), such as a VPN's.
    pub admin_interface: Option<InterfaceName>,
    /// Segments from which it is managed as well.
    #[serde(default)]
    pub admin_segments: Vec<Name>,
}

impl Host {
    /// Its DNS domain, as given or by default.
    pub fn domain(&self) -> &str {
        self.domain.as_ref().map_or("lan", DomainName::as_str)
    }

    /// The time zone, as given or by default.
    pub fn timezone(&self) -> &str {
        self.timezone.as_ref().map_or("UTC", Timezone::as_str)
    }
}
