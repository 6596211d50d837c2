//! What guests read at their first start. The builder makes each system's own files of it (OPNsense's `config.xml`,
//! OpenWrt's uci-defaults, Home Assistant's `CONFIG` disk, cloud-init's NoCloud); what differs by unit, keys above all,
//! is filled in on the device and never stands here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guest::yes;
use crate::board::NicRole;
use crate::names::{DomainName, ImagePath, Mode, Name, PackageName, UsbId, UserName};
use crate::net::{Address, Subnet};

/// Settings of a router: OPNsense, OpenWrt or Debian, as its template says.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// Segments that it routes; it has the gateway address of each.
    pub serves: Vec<Name>,
    /// Ways out: one gateway group, in which the lowest tier that works is used.
    pub wan: Vec<Wan>,
    /// Name servers that it asks; without any it resolves by itself.
    #[serde(default)]
    pub dns: Vec<Address>,
    /// True when devices are discovered across the served segments (mDNS reflector).
    #[serde(default)]
    pub reflect_mdns: bool,
    /// Access for the owner from outside.
    pub wireguard: Option<Wireguard>,
}

/// A way out. Exactly one of `passthrough`, `usb` and `segment` says over what; its address comes by DHCP or the modem.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wan {
    /// Its name.
    pub name: Name,
    /// Its place in the gateway group, from 1; ways out of one tier share the load.
    #[schemars(range(min = 1, max = 5))]
    pub tier: u8,
    /// The NIC of the board, by role; the guest must own it.
    pub passthrough: Option<NicRole>,
    /// The modem; the guest must own it.
    pub usb: Option<UsbId>,
    /// A segment of the guest's cards.
    pub segment: Option<Name>,
    /// Access point name of the modem's subscription; units may set another.
    pub apn: Option<String>,
    /// Address that is asked to see whether the way works.
    pub monitor: Option<Address>,
}

/// A WireGuard server. Its keys, and a profile for each owner, are made on the device.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wireguard {
    /// UDP port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Addresses in the tunnel; the first is the router's.
    pub subnet: Subnet,
}

/// Settings of Home Assistant OS. Its network is that of its first card.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeAssistant {
    /// Time servers; without any, those it comes with.
    #[serde(default)]
    pub ntp: Vec<DomainName>,
}

/// Settings of a Debian virtual machine. Its network is that of its cards.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInit {
    /// The user that may become root; its keys come from the device.
    pub user: UserName,
    /// Packages installed at the first start, when there is a network.
    #[serde(default)]
    pub packages: Vec<PackageName>,
    /// False when the host name in the guest is left alone.
    #[serde(default = "yes")]
    pub set_hostname: bool,
}

/// A file put into a container before its first start, and written again when the appliance changes it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestFile {
    /// Where it lies.
    pub path: ImagePath,
    /// Its text; `@@secret:name@@` is replaced on the device by the guest's secret of this name.
    pub content: String,
    /// Permission bits as four octal digits; without it, `0644`.
    pub mode: Option<Mode>,
}

/// Begins and ends a placeholder; none of its characters needs an escape in any format that guests read.
const MARK: &str = "@@";

/// Names of the secrets that a text asks for, or what stands at the first mark that is no placeholder.
pub(crate) fn placeholders(text: &str) -> Result<Vec<&str>, &str> {
    let mut found = Vec::new();
    let mut pieces = text.split(MARK).skip(1);
    while let Some(inner) = pieces.next() {
        let name = inner.strip_prefix("secret:").ok_or(inner)?;
        // What follows the closing mark is plain text again.
        pieces.next().ok_or(inner)?;
        found.push(name);
    }
    Ok(found)
}
