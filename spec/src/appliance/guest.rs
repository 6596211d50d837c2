//! Guests: virtual machines and containers.
//!
//! What a guest *is* comes from its template; here stands what it is given: processor, memory, disks, cards, devices,
//! its place in the start order, and how one sees that it is well. What it reads is in [`super::settings`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule::Snapshots;
use super::settings::{CloudInit, GuestFile, HomeAssistant, Router};
use crate::board::NicRole;
use crate::layout::Role;
use crate::names::{Hostname, ImagePath, Name, UsbId};
use crate::net::{Address, MacAddress};
use crate::pci::PciAddress;
use crate::size::Size;

/// A guest.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its host name, and its name in Proxmox.
    pub name: Hostname,
    /// Its number in Proxmox, 100 to 8999; higher ones are for templates.
    #[schemars(range(min = 100, max = 8999))]
    pub id: u32,
    /// The template it is cloned from.
    pub template: Name,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Number of processor cores, at most the board's.
    #[schemars(range(min = 1))]
    pub cores: u16,
    /// Memory, in whole MiB.
    pub memory: Size,
    /// Swap of a container, in whole MiB; without it, none.
    pub swap: Option<Size>,
    /// False when it is not started with the host.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// True when Proxmox refuses to destroy it.
    #[serde(default)]
    pub protection: bool,
    /// True when the QEMU guest agent runs in it.
    #[serde(default)]
    pub agent: bool,
    /// True for a hardware watchdog (i6300esb) that resets it.
    #[serde(default)]
    pub watchdog: bool,
    /// NICs of the board that it owns, by role; the board says which they are.
    #[serde(default)]
    pub passthrough: Vec<NicRole>,
    /// USB devices that it owns, such as a modem; they may be absent.
    #[serde(default)]
    pub usb: Vec<UsbId>,
    /// Devices of the host below `/dev` that a container may use.
    #[serde(default)]
    pub devices: Vec<ImagePath>,
    /// Secrets that each unit makes for it, to be named in `file` as `@@secret:name@@`.
    #[serde(default)]
    pub secrets: Vec<Name>,
    /// Its place in the start order.
    #[serde(default)]
    pub start: Start,
    /// How one sees that it is well.
    pub health: Option<Health>,
    /// Snapshots for a quick way back.
    pub snapshots: Option<Snapshots>,
    /// Its disks: the first holds the template.
    pub disk: Vec<Disk>,
    /// Its network cards, in order.
    #[serde(default)]
    pub nic: Vec<GuestNic>,
    /// Other PCI devices that it owns.
    #[serde(default)]
    pub pci: Vec<PciDevice>,
    /// Data partitions that it sees.
    #[serde(default)]
    pub mount: Vec<Mount>,
    /// Settings of a router.
    pub router: Option<Router>,
    /// Settings of Home Assistant OS.
    pub home_assistant: Option<HomeAssistant>,
    /// Settings of a Debian virtual machine.
    pub cloud_init: Option<CloudInit>,
    /// Files put into a container.
    #[serde(default)]
    pub file: Vec<GuestFile>,
}

impl Guest {
    /// True when it is the router of this segment.
    pub fn serves(&self, segment: &Name) -> bool {
        let router = self.router.as_ref();
        router.is_some_and(|router| router.serves.contains(segment))
    }
}

pub(super) const fn yes() -> bool {
    true
}

/// A guest's place in the start order. Guests stop in reverse.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// Guests that are started before it.
    pub after: Vec<Hostname>,
    /// Seconds to wait after its start before the next.
    pub delay_seconds: u32,
    /// Seconds that it may take to shut down before it is stopped.
    #[schemars(range(min = 1))]
    pub stop_seconds: u32,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            delay_seconds: 0,
            // Well below the time that a supply holds up after ignition is off, for three guests in a row.
            stop_seconds: 60,
        }
    }
}

/// How one sees that a guest is well.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is tried.
    pub probe: Probe,
    /// Port of `tcp` and `http`.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Path of `http`; without it, `/`.
    pub path: Option<String>,
    /// Seconds from its start until it must be well.
    #[schemars(range(min = 1))]
    pub within_seconds: u32,
    /// True when an update is only kept if the guest is well.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A way to see that a guest is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// It runs.
    Running,
    /// Its guest agent answers.
    Agent,
    /// It answers ICMP echo.
    Ping,
    /// It accepts a TCP connection.
    Tcp,
    /// It answers an HTTP request with a status below 400.
    Http,
}

/// A disk in the guests' pool.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Its size, in whole MiB.
    pub size: Size,
    /// False when backups leave it out.
    #[serde(default = "yes")]
    pub backup: bool,
    /// Where a container sees it; for all but the first.
    pub mount: Option<ImagePath>,
}

/// A network card of a guest.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestNic {
    /// The segment it is in.
    pub segment: Name,
    /// Further segments of the same bridge that reach it tagged.
    #[serde(default)]
    pub trunk: Vec<Name>,
    /// Its address in the segment; with `dhcp`, the one reserved for it.
    pub address: Option<Address>,
    /// True when the guest asks the segment's router for its address.
    #[serde(default)]
    pub dhcp: bool,
    /// False when nothing is filtered on this card: for routers.
    #[serde(default = "yes")]
    pub firewall: bool,
    /// Its Ethernet address; without it, one derived from appliance, guest and card.
    pub mac: Option<MacAddress>,
}

/// A PCI device of the board that a guest owns.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PciDevice {
    /// The root port it sits behind.
    pub root_port: PciAddress,
    /// True when the guest starts without it: units without the card.
    #[serde(default)]
    pub optional: bool,
}

/// A data partition that a guest sees.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Which partition.
    pub partition: DataPartition,
    /// Where a container sees it; without it, where the host does. A virtual machine mounts it by its name (virtiofs).
    pub path: Option<ImagePath>,
    /// True when a container can only read it.
    #[serde(default)]
    pub read_only: bool,
}

/// A partition of the owner's data.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DataPartition {
    /// `partitions.video`.
    Video,
    /// `partitions.backup`.
    Backup,
}

impl DataPartition {
    /// Its name, in documents and on the disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => Role::Video.label(),
            Self::Backup => Role::Backup.label(),
        }
    }
}
