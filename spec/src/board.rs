//! `hardware/<board>/board.toml`: facts about a board. The builder makes settings from them; the file is also installed
//! in the image, for programs there: none reads it yet.
//!
//! Every group of facts says where it comes from and whether somebody has checked it on the hardware, so that a guess is
//! never taken for a measurement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{KernelArgument, ModuleName, Name, NicName, TtyName};
use crate::pci::PciAddress;
use crate::size::Size;

mod rules;

/// A board.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Schema number of this document: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// Name of the board: its directory in `hardware/`.
    pub name: Name,
    /// Who makes it.
    pub vendor: String,
    /// What the maker calls it.
    pub product: String,
    /// How firmware names it.
    pub dmi: Dmi,
    /// Network ports, as numbered on the case.
    pub nic: Vec<Nic>,
    /// Which disk is the system disk.
    pub storage: Storage,
    /// What memory it takes; needed for appliances with guests.
    pub memory: Option<Memory>,
    /// Where a person sees it boot.
    pub console: Console,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// DMA remapping.
    pub iommu: Iommu,
    /// What the kernel needs on this board.
    pub kernel: Kernel,
    /// Processors it is sold with.
    pub soc: Soc,
    /// Heat.
    pub thermal: Thermal,
    /// Firmware and the settings that matter.
    pub firmware: Firmware,
}

/// SMBIOS strings by which the board is recognised; both must be equal to the letter.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dmi {
    /// `/sys/class/dmi/id/sys_vendor`.
    pub sys_vendor: String,
    /// `/sys/class/dmi/id/product_name`.
    pub product_name: String,
    /// Further product names of the same board.
    #[serde(default)]
    pub other_product_names: Vec<String>,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

impl Dmi {
    /// True when firmware that reports these strings is this board's.
    pub fn matches(&self, sys_vendor: &str, product_name: &str) -> bool {
        let mut names = self.other_product_names.iter().chain([&self.product_name]);
        self.sys_vendor == sys_vendor && names.any(|name| name == product_name)
    }
}

/// A network port.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Number printed on the case, from 1.
    #[schemars(range(min = 1))]
    pub port: u8,
    /// Interface name in Linux.
    pub name: NicName,
    /// What it is wired to.
    pub role: NicRole,
    /// The root port it sits behind: fixed by the board, while bus numbers behind it are not.
    pub root_port: PciAddress,
    /// True when it is handed to the router guest by vfio-pci instead of being used by the host.
    #[serde(default)]
    pub passthrough: bool,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// What a network port is wired to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum NicRole {
    /// The way out: modem or dish.
    Wan,
    /// The owner's network, and the host's own address.
    Lan,
}

impl NicRole {
    /// The word in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wan => "wan",
            Self::Lan => "lan",
        }
    }
}

/// The system disk. Exactly one disk must match; no match and two matches are both refused.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// How the disk is attached.
    pub bus: Bus,
    /// The root port or controller it sits behind.
    pub root_port: PciAddress,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// NVM Express.
    Nvme,
    /// Serial ATA.
    Sata,
}

/// Memory. How much a unit has is not the board's to say: an appliance says the least it needs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The most that it takes.
    pub largest: Size,
    /// Number of sockets.
    #[schemars(range(min = 1))]
    pub sockets: u8,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// Consoles.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Serial device; it becomes `/dev/console`.
    pub serial: TtyName,
    /// Its speed in bits per second, eight data bits, no parity.
    pub baud: u32,
    /// True when there is a screen as well (`tty0`).
    pub vga: bool,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// The hardware watchdog.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Driver, loaded by name (Proxmox kernels blacklist all watchdog drivers).
    pub module: ModuleName,
    /// Driver, loaded as well, to which the kernel gives the timer when the firmware has an ACPI WDAT table.
    pub wdat_module: Option<ModuleName>,
    /// Modules to load before it, in order: what makes its device appear.
    #[serde(default)]
    pub needs: Vec<ModuleName>,
    /// Time without a sign of life until the reset, in seconds: 5 to 614. Some chips count it
    /// twice before they reset.
    #[schemars(range(min = 5, max = 614))]
    pub timeout_seconds: u32,
    /// Time that a reboot may take until it is forced, in seconds: 5 to 614.
    #[schemars(range(min = 5, max = 614))]
    pub reboot_timeout_seconds: u32,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// DMA remapping.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Iommu {
    /// Kernel arguments that switch it on.
    pub kernel_arguments: Vec<KernelArgument>,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// What the kernel needs on this board.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Further kernel arguments.
    #[serde(default)]
    pub arguments: Vec<KernelArgument>,
    /// Modules that the initrd must hold to find and open the root, and to keep the watchdog running.
    pub initrd_modules: Vec<ModuleName>,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// Processors the board is sold with.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soc {
    /// Model names.
    pub models: Vec<String>,
    /// Platform.
    pub family: String,
    /// Number of cores.
    #[schemars(range(min = 1))]
    pub cores: u16,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// Heat.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thermal {
    /// Temperature of the processor at which it starts to slow down, in degrees Celsius.
    #[schemars(range(min = 1))]
    pub throttle_celsius: u8,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// Firmware.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Firmware the board comes with or can be given.
    pub kinds: Vec<String>,
    /// Settings that must be made.
    pub settings: Vec<String>,
    /// Other things to know.
    #[serde(default)]
    pub notes: String,
    /// Where these facts come from.
    pub source: String,
    /// True when checked on the hardware.
    pub verified: bool,
}

/// Where a group of facts comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact<'a> {
    /// The group, as a key path: `nic[0]`, `watchdog`.
    pub group: String,
    /// Where it comes from.
    pub source: &'a str,
    /// True when checked on the hardware.
    pub verified: bool,
}

impl Board {
    /// Every group of facts with its origin.
    pub fn facts(&self) -> Vec<Fact<'_>> {
        let nics = self
            .nic
            .iter()
            .enumerate()
            .map(|(i, nic)| (format!("nic[{i}]"), &nic.source, nic.verified));
        let groups = [
            ("dmi", &self.dmi.source, self.dmi.verified),
            ("storage", &self.storage.source, self.storage.verified),
            ("console", &self.console.source, self.console.verified),
            ("watchdog", &self.watchdog.source, self.watchdog.verified),
            ("iommu", &self.iommu.source, self.iommu.verified),
            ("kernel", &self.kernel.source, self.kernel.verified),
            ("soc", &self.soc.source, self.soc.verified),
            ("thermal", &self.thermal.source, self.thermal.verified),
            ("firmware", &self.firmware.source, self.firmware.verified),
        ];
        let groups = groups
            .into_iter()
            .map(|(group, source, verified)| (group.to_owned(), source, verified));
        let memory = self.memory.iter();
        let memory = memory.map(|facts| ("memory".to_owned(), &facts.source, facts.verified));
        nics.chain(groups)
            .chain(memory)
            .map(|(group, source, verified)| Fact {
                group,
                source,
                verified,
            })
            .collect()
    }

    /// The kernel arguments of this board: IOMMU, its own, and consoles (the last one named is `/dev/console`).
    pub fn kernel_arguments(&self) -> Vec<String> {
        let given = self
            .iommu
            .kernel_arguments
            .iter()
            .chain(&self.kernel.arguments)
            .map(ToString::to_string);
        let screen = self.console.vga.then(|| "console=tty0".to_owned());
        let serial = format!("console={},{}n8", self.console.serial, self.console.baud);
        given.chain(screen).chain([serial]).collect()
    }
}
