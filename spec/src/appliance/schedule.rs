//! Backups and snapshots: when, of what, and how many are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Hostname, Name, Schedule};

/// A backup job to the backup partition. A run missed while the unit was off is made up for.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Its name.
    pub name: Name,
    /// When it runs.
    pub schedule: Schedule,
    /// The guests it saves.
    pub guests: Vec<Hostname>,
    /// What happens to a running guest meanwhile.
    #[serde(default)]
    pub mode: BackupMode,
    /// How many backups are kept.
    pub keep: Keep,
}

/// What happens to a running guest while it is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupMode {
    /// It goes on.
    #[default]
    Snapshot,
    /// It is suspended.
    Suspend,
    /// It is stopped.
    Stop,
}

impl BackupMode {
    /// Proxmox's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        }
    }
}

/// Snapshots of a guest's disks, made by the agent.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// When one is made.
    pub schedule: Schedule,
    /// How many are kept.
    pub keep: Keep,
}

/// How many are kept: the newest ones, and the newest of each day, week and month. At least one number.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest.
    pub last: u32,
    /// Of as many days.
    pub daily: u32,
    /// Of as many weeks.
    pub weekly: u32,
    /// Of as many months.
    pub monthly: u32,
}

impl Keep {
    /// The numbers with their names, those that are set.
    pub fn set(&self) -> Vec<(&'static str, u32)> {
        let all = [
            ("last", self.last),
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
        ];
        all.into_iter().filter(|(_, number)| *number > 0).collect()
    }
}
