//! The two slots.
//!
//! Owns: their names. Never does: I/O. Invariant: there is no third value and no "none".

use serde::{Deserialize, Serialize};

/// One of the two system slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// Partitions root-a and verity-a.
    #[serde(rename = "root-a")]
    A,
    /// Partitions root-b and verity-b.
    #[serde(rename = "root-b")]
    B,
}

impl Slot {
    /// The slot that is not this one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Partition label of the slot's data; also its name everywhere else.
    pub fn data_label(self) -> &'static str {
        match self {
            Self::A => "root-a",
            Self::B => "root-b",
        }
    }

    /// Partition label of the slot's verity hash tree.
    pub fn hash_label(self) -> &'static str {
        match self {
            Self::A => "verity-a",
            Self::B => "verity-b",
        }
    }

    /// File name of the slot's committed boot entry. One fixed name for each slot: a slot has at most
    /// one entry, and the directory of entries stays within one sector, which is what makes a rename in
    /// it one write.
    pub fn entry_file(self) -> &'static str {
        match self {
            Self::A => "roamcore-a.conf",
            Self::B => "roamcore-b.conf",
        }
    }

    /// The slot's own directory on the ESP.
    pub fn esp_directory(self) -> &'static str {
        match self {
            Self::A => "EFI/roamcore/a",
            Self::B => "EFI/roamcore/b",
        }
    }

    /// The slot's UKI on the ESP.
    pub fn uki_path(self) -> &'static str {
        match self {
            Self::A => "EFI/roamcore/a/roamcore.efi",
            Self::B => "EFI/roamcore/b/roamcore.efi",
        }
    }

    /// The slot whose data partition has this label.
    pub fn of_data_label(label: &str) -> Option<Self> {
        [Self::A, Self::B]
            .into_iter()
            .find(|slot| slot.data_label() == label)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.data_label())
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn names_and_the_other_one() {
        for slot in [Slot::A, Slot::B] {
            assert_eq!(slot.other().other(), slot);
            assert_ne!(slot.other(), slot);
            assert_eq!(Slot::of_data_label(slot.data_label()), Some(slot));
            assert_eq!(Slot::of_data_label(slot.hash_label()), None);
            assert!(slot.uki_path().starts_with(slot.esp_directory()));
            assert_ne!(slot.entry_file(), slot.other().entry_file());
            assert_eq!(serde_json::to_string(&slot).unwrap(), format!("\"{slot}\""));
        }
    }
}
