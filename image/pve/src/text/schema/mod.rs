//! What keys and values mean: tables of what Proxmox VE 8 *and* 9 accept, and the check against them.
//!
//! Owns the keys an appliance has use for. A key, property or word that is not in a table is refused: it may exist in one
//! of the two versions, in one only, or in none. Never more lenient than Proxmox's own schema, which its configuration
//! parser does not apply (it reads `bios: uefi`, `cores: 0`, `ostype: linux` without a word).
//!
//! ```text
//!  vm.rs, ct.rs   keys of guests -----+
//!  files.rs       storage, jobs, pci -+-> value.rs  one value     rules.rs  words, ids, addresses
//!  cross.rs       one key that needs another
//! ```

mod cross;
mod ct;
mod files;
mod rules;
mod value;
mod vm;

pub use ct::{CT_DEV, CT_FEATURES, CT_MP, CT_NET, CT_ROOTFS};
pub use files::{FLEECING, JOBS, PCI_MAPPING, PRUNE, STORAGE, SectionType};
pub use rules::{is_dns_name, is_mac, is_volume_id};
pub use value::{Format, Pair, Prop, Rule, Value};
pub use vm::{
    VM_AGENT, VM_BOOT, VM_CPU, VM_EFIDISK, VM_HOSTPCI, VM_IDE, VM_IPCONFIG, VM_NET, VM_SATA,
    VM_SCSI, VM_SMBIOS, VM_TPMSTATE, VM_USB, VM_VGA, VM_VIRTIO, VM_VIRTIOFS, VM_WATCHDOG,
};

use super::guest::{Block, GuestConfig, Kind};

/// A key or value that is not in the tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value:?}: {why}")]
pub struct Invalid {
    /// Key or property.
    pub key: String,
    /// Value seen, or the part of it.
    pub value: String,
    /// What is wrong, or what would be right.
    pub why: String,
}

impl Invalid {
    pub(super) fn new(key: &str, value: &str, why: &str) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            why: why.into(),
        }
    }
}

/// A key of a guest.
#[derive(Debug)]
pub struct Key {
    name: &'static str,
    /// How many there are, numbered from 0; none is a key without a number.
    count: u16,
    value: Value,
}

const fn key(name: &'static str, value: Value) -> Key {
    Key {
        name,
        count: 0,
        value,
    }
}

const fn keys(name: &'static str, count: u16, value: Value) -> Key {
    Key { name, count, value }
}

/// The table's entry for a key such as `net0`.
fn find(kind: Kind, name: &str) -> Option<&'static Key> {
    let table = match kind {
        Kind::Vm => vm::KEYS,
        Kind::Ct => ct::KEYS,
    };
    // Some names end with a digit of their own.
    let exact = table.iter().find(|key| key.count == 0 && key.name == name);
    exact.or_else(|| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = name.strip_prefix(stem)?;
        let number: u16 = digits.parse().ok()?;
        let plain = digits == number.to_string();
        let fits = |key: &&Key| key.name == stem && plain && number < key.count;
        table.iter().find(fits)
    })
}

/// Checks one key and its value.
///
/// # Errors
/// No such key in both versions, or not a value of it.
pub fn check_key(kind: Kind, name: &str, value: &str) -> Result<(), Invalid> {
    let key = find(kind, name).ok_or_else(|| {
        Invalid::new(
            name,
            value,
            "no key of Proxmox VE 8 and 9 that is used here",
        )
    })?;
    key.value.check(name, value)
}

/// Checks a guest: every key, every value, and what one key needs of another.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(config: &GuestConfig) -> Result<(), Invalid> {
    let kind = config.kind();
    check_block(kind, config.main())?;
    for block in config
        .pending()
        .into_iter()
        .chain(config.snapshots().values())
    {
        check_block(kind, block)?;
    }
    match kind {
        Kind::Vm => cross::vm(config.main()),
        Kind::Ct => cross::ct(config.main()),
    }
}

fn check_block(kind: Kind, block: &Block) -> Result<(), Invalid> {
    for (name, value) in block.keys() {
        check_key(kind, name, value)?;
    }
    for (name, value) in block.raw() {
        if !ct::is_raw_key(name) {
            let why = "no raw key of a container that Proxmox VE 8 and 9 both take";
            return Err(Invalid::new(name, value, why));
        }
    }
    // The schema's own limit, of the text before it is encoded.
    const LONGEST: usize = 8192;
    if block.description().chars().count() > LONGEST {
        let why = "a description has at most 8192 characters";
        return Err(Invalid::new("description", "...", why));
    }
    Ok(())
}

/// Checks that Proxmox would write every value as it is here: it reads and prints disks anew each time.
///
/// # Errors
/// The first key with another spelling than Proxmox's.
pub fn check_canonical(config: &GuestConfig) -> Result<(), Invalid> {
    for (name, value) in config.main().keys() {
        let Some(key) = find(config.kind(), name) else {
            continue;
        };
        let canonical = key.value.canonical(value)?;
        if canonical != value {
            let why = format!("Proxmox would write {canonical:?}");
            return Err(Invalid::new(name, value, &why));
        }
    }
    Ok(())
}
