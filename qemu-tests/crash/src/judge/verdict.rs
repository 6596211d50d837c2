//! What a state is worth.

use super::expect::Sha256;
use crate::firmware::entry::Tries;
use crate::firmware::fat::FatFault;
use crate::firmware::gpt::TableFault;

/// One boot, as it would go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Boot {
    /// The entry's file.
    pub entry: String,
    /// Its content.
    pub content: Sha256,
    /// Its counter before this boot.
    pub tries: Option<Tries>,
    /// The release it starts: its number among those that are known.
    pub release: usize,
}

/// What boots once every trial has failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fallback {
    /// The boot.
    pub boot: Boot,
    /// The byte of the disk at which its root begins, which tells the slot.
    pub root_at: u64,
}

/// How a state goes on: the boots that would follow if every trial failed. The last one is the fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// At least one.
    pub boots: Vec<Boot>,
    /// The last one, with its slot.
    pub fallback: Fallback,
    /// Damage that no boot minds but a later write may turn into loss.
    pub fragile: Vec<String>,
}

impl Story {
    /// Whether the next boot is a trial.
    #[must_use]
    pub fn on_trial(&self) -> bool {
        self.boots.len() > 1
    }
}

/// Why a state is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bad {
    /// Firmware finds no partitions.
    #[error("{0}")]
    Table(#[from] TableFault),
    /// No EFI system partition, or several.
    #[error("the partition table has {0} EFI system partitions")]
    SystemPartitions(usize),
    /// The ESP cannot be read.
    #[error("ESP: {0}")]
    Esp(#[from] FatFault),
    /// The boot loader or its settings changed.
    #[error("{path} is not what it was: SHA-256 {found}, wanted {wanted}")]
    Fixed {
        /// Path on the ESP.
        path: String,
        /// Content found.
        found: Sha256,
        /// Content wanted.
        wanted: Sha256,
    },
    /// Nothing to start.
    #[error("systemd-boot finds no entry; present: {0:?}")]
    NoEntry(Vec<String>),
    /// Only entries without tries are left.
    #[error("only {0} is left, which has used up its tries")]
    UsedUp(String),
    /// Counting fails, so a failing trial is tried for ever.
    #[error(
        "{entry} cannot be counted down, since {next} exists: if this trial fails, it is tried for ever"
    )]
    NotCounted {
        /// The entry.
        entry: String,
        /// The name it would get.
        next: String,
    },
    /// More tries than anybody waits for.
    #[error("{0} has more than 16 tries")]
    TooManyTries(String),
    /// The program cannot be loaded. The firmware then stops: systemd-boot tries no other entry.
    #[error("{entry} starts {program}, which cannot be loaded ({why}); the firmware stops there")]
    Program {
        /// The entry.
        entry: String,
        /// Path of the UKI.
        program: String,
        /// Why.
        why: String,
    },
    /// The UKI has no partitions.
    #[error("{entry} starts {release}, but {count} partitions have PARTUUID {uuid}")]
    Partition {
        /// The entry.
        entry: String,
        /// The release.
        release: String,
        /// How many there are.
        count: usize,
        /// What was looked for.
        uuid: String,
    },
    /// The slot does not hold what the UKI vouches for.
    #[error("{entry} starts {release}, whose slot is not whole: {why}")]
    Slot {
        /// The entry.
        entry: String,
        /// The release.
        release: String,
        /// Why.
        why: String,
    },
    /// A PARTUUID promises what is not there.
    #[error("the partition table promises {release}, which is not there: {why}")]
    Promise {
        /// The release.
        release: String,
        /// Why.
        why: String,
    },
    /// Another fallback than there was.
    #[error("the fallback changed without a commit: {now}; allowed here: {allowed}")]
    Fallback {
        /// What it is now.
        now: String,
        /// What it may be.
        allowed: String,
    },
}

impl Bad {
    /// Short name, for counting.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Table(_) => "no partition table",
            Self::SystemPartitions(_) => "no ESP",
            Self::Esp(_) => "ESP unreadable",
            Self::Fixed { .. } => "boot loader changed",
            Self::NoEntry(_) => "no entry",
            Self::UsedUp(_) => "no committed entry",
            Self::NotCounted { .. } => "trial without end",
            Self::TooManyTries(_) => "too many tries",
            Self::Program { .. } => "UKI not loadable",
            Self::Partition { .. } => "partition not found",
            Self::Slot { .. } => "slot not whole",
            Self::Promise { .. } => "promise not kept",
            Self::Fallback { .. } => "fallback changed",
        }
    }
}
