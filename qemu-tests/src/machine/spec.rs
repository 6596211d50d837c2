//! What a test can choose about its machine. Plain data; everything not said here is the VP2430's and fixed in `topology`.

use std::path::PathBuf;

use crate::firmware::Firmware;

/// How QEMU treats the guest's flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Flushes ignored: fastest, right when the machine is powered off cleanly.
    Unsafe,
    /// Flushes honoured: right when a test cuts the power.
    WriteBack,
    /// Every write is flushed.
    WriteThrough,
    /// Past the host's page cache.
    Direct,
}

/// Where the guest's LAN port 1 ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// In QEMU's restricted user network: link up, nobody there.
    Isolated,
    /// On a tap in the harness' own network namespace.
    Tap,
}

/// Where ttyS0 ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// In the harness, which logs it.
    Socket,
    /// On the terminal, for people; `ctrl-a x` leaves.
    Terminal,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// RAM.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// OVMF build.
    pub firmware: Firmware,
    /// SMBIOS type 1 serial number.
    pub serial_number: String,
    /// SMBIOS type 1 UUID.
    pub uuid: String,
    /// SMBIOS type 11 strings.
    pub oem_strings: Vec<String>,
    /// LAN port 1.
    pub lan: Net,
    /// Disk cache mode.
    pub cache: Cache,
    /// A file, empty at the start, in which QEMU notes every write and flush of the disk (`blklogwrites`, the format of
    /// dm-log-writes). `cache` then has no meaning: the guest's flushes are noted, and none is done.
    pub write_log: Option<PathBuf>,
    /// Values of further `-drive` options.
    pub extra_drives: Vec<String>,
    /// Further QEMU arguments, as they are.
    pub extra_args: Vec<String>,
    /// Whether there is a TPM.
    pub tpm: bool,
    /// ttyS0.
    pub console: Console,
    /// Whether a reset ends QEMU.
    pub no_reboot: bool,
}

impl Default for MachineSpec {
    fn default() -> Self {
        Self {
            memory_mib: 2048,
            cpus: 2,
            firmware: Firmware::Plain,
            serial_number: "QEMU0001".into(),
            uuid: "5d3a1f5e-2430-4000-8000-000000000001".into(),
            oem_strings: Vec::new(),
            lan: Net::Isolated,
            cache: Cache::Unsafe,
            write_log: None,
            extra_drives: Vec::new(),
            extra_args: Vec::new(),
            tpm: false,
            console: Console::Socket,
            no_reboot: false,
        }
    }
}

impl MachineSpec {
    /// Adds an SMBIOS type 11 string.
    pub fn oem(mut self, value: &str) -> Self {
        self.oem_strings.push(value.into());
        self
    }

    /// With the harness' namespace on LAN port 1.
    pub fn with_tap(mut self) -> Self {
        self.lan = Net::Tap;
        self
    }
}
