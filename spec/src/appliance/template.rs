//! Templates: what guests are cloned from, and where it comes from.
//!
//! No hash is written here. A vendor's image is pinned in the appliance's lock file, by an operator who has checked it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{CheckoutPath, DownloadUrl, Name, PackageName};
use crate::size::Size;

/// What a guest is made from. Exactly one of `url`, `path` and `debian` says where it comes from.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Name by which guests refer to it.
    pub name: Name,
    /// What its guests are.
    pub kind: Kind,
    /// The system in it: decides how its guests are configured.
    pub os: Os,
    /// Its version, as its maker calls it.
    pub version: String,
    /// Room that its content takes on the device once unpacked, at most.
    pub size: Size,
    /// Firmware that starts it; without it, `uefi`. For VMs only.
    pub firmware: Option<Firmware>,
    /// Form of the file behind `url` or `path`.
    pub format: Option<Format>,
    /// How that file is packed; without it, not at all.
    #[serde(default)]
    pub compression: Compression,
    /// Where its maker publishes it.
    pub url: Option<DownloadUrl>,
    /// A file in the checkout.
    pub path: Option<CheckoutPath>,
    /// Built from Debian packages by the image builder.
    pub debian: Option<DebianTemplate>,
}

impl Template {
    /// The firmware, as given or by default.
    pub fn firmware(&self) -> Firmware {
        self.firmware.unwrap_or(Firmware::Uefi)
    }
}

/// What a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A virtual machine.
    Vm,
    /// A container, without privileges on the host.
    Ct,
}

impl Kind {
    /// Its name in messages.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Vm => "a virtual machine",
            Self::Ct => "a container",
        }
    }
}

/// The system in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Os {
    /// Debian: cloud-init in VMs, files in containers; as a router, nftables, dnsmasq and WireGuard.
    Debian,
    /// Alpine Linux.
    Alpine,
    /// Home Assistant OS, configured by a disk named `CONFIG`.
    HomeAssistant,
    /// OPNsense, configured by its importer.
    Opnsense,
    /// OpenWrt, configured by uci-defaults.
    Openwrt,
    /// Another Linux, not configured from here.
    Linux,
    /// Anything else, not configured from here.
    Other,
}

impl Os {
    /// True for systems that can be configured as a router.
    pub const fn routes(self) -> bool {
        matches!(self, Self::Debian | Self::Opnsense | Self::Openwrt)
    }
}

/// What starts a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// OVMF.
    Uefi,
    /// SeaBIOS.
    Bios,
}

/// The form of a template's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A QEMU disk image.
    Qcow2,
    /// A disk image, byte by byte.
    Raw,
    /// A tar archive of a root directory.
    Tar,
}

/// How a template's file is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gz,
    /// bzip2.
    Bz2,
    /// xz.
    Xz,
    /// Zstandard.
    Zst,
    /// A zip archive with one file.
    Zip,
}

/// A template built from Debian packages.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DebianTemplate {
    /// Packages; their dependencies follow, recommended packages do not.
    pub packages: Vec<PackageName>,
}
