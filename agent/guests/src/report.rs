//! What LVM reports.
//!
//! Owns: the fields that are asked for, and the reading of the answer. Never does: run a program. Invariant: a volume
//! that cannot be understood is an error, never left out: what is not in a report is made anew.
//!
//! The format is that of `--reportformat json` with `--units b --nosuffix` (lvmreport(7)): every value is a string. Other
//! members than those asked for are passed over; later versions add a log. The ten characters of `lv_attr` are in lvs(8):
//!
//! ```text
//!   V w i - a o t z - k
//!   |and t: type        |perm.: w, r, R       a: active     o: open       k: skipped at activation
//!   0                   1                     4             5             9
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Thousands of volumes with long tags.
pub const MOST_BYTES: usize = 8 << 20;
/// Fields of `pvs`.
pub const PV_FIELDS: &str = "pv_name,vg_name";
/// Fields of `vgs`.
pub const VG_FIELDS: &str = "vg_name,vg_uuid,vg_extent_size,vg_free";
/// Fields of `lvs`.
pub const LV_FIELDS: &str = "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,lv_tags";

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Larger than any report.
    #[error("LVM's report has {size} bytes, more than {MOST_BYTES}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Not the documented format.
    #[error("LVM's report cannot be read: {0}")]
    Grammar(String),
    /// A value that is none.
    #[error("LVM's report: {field} of {of:?} is {seen:?}")]
    Value {
        /// Which.
        field: &'static str,
        /// Of what.
        of: String,
        /// The value seen.
        seen: String,
    },
    /// Two of one name.
    #[error("LVM reports {0:?} twice")]
    Twice(String),
}

/// The partition and what is on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lvm {
    /// Name of the volume group on the partition; empty when it is prepared for LVM and in no group.
    pub physical: Option<String>,
    /// The group of the plan's name.
    pub group: Option<Group>,
    /// Its volumes by name.
    pub volumes: BTreeMap<String, Logical>,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// LVM's own name for it, made at random.
    pub uuid: String,
    /// Bytes of an extent: every size is a multiple.
    pub extent: u64,
    /// Bytes that are in no volume.
    pub free: u64,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logical {
    /// What it is.
    pub kind: LogicalKind,
    /// Bytes.
    pub size: u64,
    /// Cannot be written.
    pub read_only: bool,
    /// Is not activated with the others.
    pub skipped: bool,
    /// Has a device.
    pub active: bool,
    /// Somebody has that device open.
    pub open: bool,
    /// The thin pool it is in.
    pub pool: String,
    /// The volume it was cloned from, while that exists.
    pub origin: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
}

/// What a logical volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicalKind {
    /// Holds thin volumes.
    Pool,
    /// In a pool.
    Thin,
    /// Of no use to us.
    Other,
}

#[derive(Deserialize)]
struct Report<T> {
    report: Vec<T>,
}

#[derive(Deserialize)]
struct PvRows {
    pv: Vec<Pv>,
}

#[derive(Deserialize)]
struct Pv {
    pv_name: String,
    vg_name: String,
}

#[derive(Deserialize)]
struct VgRows {
    vg: Vec<Vg>,
}

#[derive(Deserialize)]
struct Vg {
    vg_name: String,
    vg_uuid: String,
    vg_extent_size: String,
    vg_free: String,
}

#[derive(Deserialize)]
struct LvRows {
    lv: Vec<Lv>,
}

#[derive(Deserialize)]
struct Lv {
    lv_name: String,
    vg_name: String,
    lv_attr: String,
    lv_size: String,
    pool_lv: String,
    origin: String,
    lv_tags: String,
}

impl Lvm {
    /// Reads the three reports. `device` is the partition, `group` the name of the plan's group.
    ///
    /// # Errors
    /// One of them is not understood.
    pub fn parse(
        device: &str,
        group: &str,
        pvs: &[u8],
        vgs: &[u8],
        lvs: &[u8],
    ) -> Result<Self, ReportError> {
        let mut found = Self::default();
        for row in rows::<PvRows>(pvs)?.into_iter().flat_map(|rows| rows.pv) {
            if row.pv_name == device && found.physical.replace(row.vg_name).is_some() {
                return Err(ReportError::Twice(row.pv_name));
            }
        }
        for row in rows::<VgRows>(vgs)?.into_iter().flat_map(|rows| rows.vg) {
            if row.vg_name != group {
                continue;
            }
            let extent = number("vg_extent_size", &row.vg_name, &row.vg_extent_size)?;
            if !extent.is_power_of_two() {
                return Err(value("vg_extent_size", &row.vg_name, &row.vg_extent_size));
            }
            let one = Group {
                extent,
                free: number("vg_free", &row.vg_name, &row.vg_free)?,
                uuid: row.vg_uuid,
            };
            if found.group.replace(one).is_some() {
                return Err(ReportError::Twice(row.vg_name));
            }
        }
        for row in rows::<LvRows>(lvs)?.into_iter().flat_map(|rows| rows.lv) {
            if row.vg_name != group {
                continue;
            }
            let (name, one) = logical(row)?;
            if found.volumes.insert(name.clone(), one).is_some() {
                return Err(ReportError::Twice(name));
            }
        }
        Ok(found)
    }

    /// A volume by its duty.
    #[must_use]
    pub fn get(&self, volume: crate::names::Volume) -> Option<&Logical> {
        self.volumes.get(&volume.to_string())
    }
}

fn rows<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, ReportError> {
    if bytes.len() > MOST_BYTES {
        return Err(ReportError::TooLarge { size: bytes.len() });
    }
    let report: Report<T> =
        serde_json::from_slice(bytes).map_err(|e| ReportError::Grammar(e.to_string()))?;
    Ok(report.report)
}

fn value(field: &'static str, of: &str, seen: &str) -> ReportError {
    ReportError::Value {
        field,
        of: of.to_owned(),
        seen: seen.chars().take(80).collect(),
    }
}

fn number(field: &'static str, of: &str, seen: &str) -> Result<u64, ReportError> {
    let plain = !seen.is_empty() && seen.bytes().all(|b| b.is_ascii_digit());
    seen.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| value(field, of, seen))
}

fn logical(row: Lv) -> Result<(String, Logical), ReportError> {
    let attr = row.lv_attr.as_bytes();
    let bad = || value("lv_attr", &row.lv_name, &row.lv_attr);
    let at = |index: usize| attr.get(index).copied().ok_or_else(bad);
    let kind = match at(0)? {
        b't' => LogicalKind::Pool,
        b'V' => LogicalKind::Thin,
        _ => LogicalKind::Other,
    };
    let one = Logical {
        kind,
        size: number("lv_size", &row.lv_name, &row.lv_size)?,
        read_only: match at(1)? {
            b'r' => true,
            // R: its device is read-only, it is not.
            b'w' | b'R' | b'-' => false,
            _ => return Err(bad()),
        },
        active: at(4)? == b'a',
        open: at(5)? == b'o',
        skipped: at(9)? == b'k',
        pool: row.pool_lv,
        origin: row.origin,
        tags: row
            .lv_tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    Ok((row.lv_name, one))
}
