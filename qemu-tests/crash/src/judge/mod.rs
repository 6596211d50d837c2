//! Says what would happen if a machine were switched on with a disk in a given state.
//!
//! Owns the whole way: partition table, ESP, boot loader, entries, UKI, partitions by root hash, every block of the slot. Never
//! writes. Invariant: no claim without the bytes; what is taken from a cache was computed from the same bytes of the same
//! sources.
//!
//! ```text
//!  table -> ESP -> [entries: sort, take the first, count it down] -> UKI known? -> partitions -> hash tree
//!                     ^----------- the trial failed, again --------------------------'
//!                     until an entry without a counter starts: the fallback
//! ```
//! Ten thousand states of one disk have few different tables, ESPs and slots: each part is judged once for each content.

mod cache;
mod esp;
mod expect;
mod slot;
mod verdict;

pub use expect::{Expect, Fixed, Release, Sha256};
pub use verdict::{Bad, Boot, Fallback, Story};

use roamcore_disk::gpt::Guid;

use crate::firmware::gpt::{self, Table};
use crate::state::{Disk, fingerprint};
use cache::Cache;
use esp::EspStory;

/// Type GUID of an EFI system partition (UEFI 2.10, table 5.7).
const ESP: Guid = Guid::from_bytes([
    0xC1, 0x2A, 0x73, 0x28, 0xF8, 0x1F, 0x11, 0xD2, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B,
]);

/// Judges states of one disk.
#[derive(Debug)]
pub struct Judge {
    expect: Expect,
    tables: Cache<Result<Table, Bad>>,
    esps: Cache<Result<EspStory, Bad>>,
    files: Cache<Sha256>,
    slots: Cache<Result<(), String>>,
}

/// How much work was done anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Different partition tables.
    pub tables: usize,
    /// Different ESPs.
    pub esps: usize,
    /// Different files that were hashed.
    pub files: usize,
    /// Different slots that were verified.
    pub slots: usize,
}

impl Judge {
    /// A judge who knows what is good.
    #[must_use]
    pub fn new(expect: Expect) -> Self {
        Self {
            expect,
            tables: Cache::default(),
            esps: Cache::default(),
            files: Cache::default(),
            slots: Cache::default(),
        }
    }

    /// What is known to be good.
    #[must_use]
    pub const fn expect(&self) -> &Expect {
        &self.expect
    }

    /// What was done so far.
    #[must_use]
    pub fn work(&self) -> Work {
        Work {
            tables: self.tables.len(),
            esps: self.esps.len(),
            files: self.files.len(),
            slots: self.slots.len(),
        }
    }

    /// Tells how a state goes on.
    ///
    /// # Errors
    /// It does not boot something valid, or could stop doing so after failed trials.
    pub fn judge(&self, disk: &dyn Disk) -> Result<Story, Bad> {
        let table = self.table(disk)?;
        let mut systems = table.of_kind(ESP);
        let (Some(esp), None) = (systems.next(), systems.next()) else {
            return Err(Bad::SystemPartitions(table.of_kind(ESP).count()));
        };
        let range = (esp.start, esp.end);
        let key = fingerprint(disk, &[range]);
        let esp = self.esps.get(key, || esp::tell(self, disk, range))?;
        let mut told: Option<Story> = None;
        for boots in esp.worlds {
            let mut root_at = 0;
            for boot in &boots {
                root_at = self.slot(disk, &table, boot)?;
            }
            let Some(boot) = boots.last().cloned() else {
                continue;
            };
            let fallback = Fallback { boot, root_at };
            match &told {
                // Which of two files of one name is opened must not decide what the fallback is.
                Some(first) if first.fallback != fallback => {
                    return Err(Bad::Fallback {
                        now: self.describe(&fallback),
                        allowed: self.describe(&first.fallback),
                    });
                }
                Some(_) => {}
                None => {
                    told = Some(Story {
                        boots,
                        fallback,
                        fragile: esp.fragile.clone(),
                    });
                }
            }
        }
        self.promises(disk, &table)?;
        told.ok_or(Bad::NoEntry(Vec::new()))
    }

    /// The partition table in use.
    ///
    /// # Errors
    /// There is none.
    pub fn table(&self, disk: &dyn Disk) -> Result<Table, Bad> {
        let key = fingerprint(disk, &gpt::ranges(disk.size()));
        self.tables.get(key, || Ok(Table::read(disk)?))
    }

    /// A fallback in words.
    #[must_use]
    pub fn describe(&self, fallback: &Fallback) -> String {
        let name = self.expect.releases.get(fallback.boot.release);
        format!(
            "{} ({}) starting {} at byte {}",
            fallback.boot.entry,
            &fallback.boot.content.to_string()[..12],
            name.map_or("?", |release| release.name.as_str()),
            fallback.root_at
        )
    }
}
