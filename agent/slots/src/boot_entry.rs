//! The text of a boot entry.
//!
//! Owns: what we write into one, and how much of any entry we read. Never does: I/O.
//!
//! The boot loader ignores the first line, which is for us: it says what the entry stands for without mounting the
//! slot, and how often it was armed again, so that the bound of that holds without any other memory.
//!
//! ```text
//!   # roamcore 1 release=1.4.0 sequence=12 root=5412..6db2 uki=9f86..0a08 rearmed=0
//!   title RoamCore OS 1.4.0
//!   sort-key roamcore
//!   version 13
//!   efi /EFI/roamcore/b/roamcore.efi
//! ```

use roamcore_agent::slot::Slot;
use roamcore_disk::verity::RootHash;
use roamcore_ota::{Digest, Version};
use serde::Serialize;

/// All entries of RoamCore sort among themselves by version.
const SORT_KEY: &str = "roamcore";

/// What our line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The release's version.
    pub release: String,
    /// The release's sequence; the entry's own version may be higher.
    pub sequence: u64,
    /// Root hash of the slot.
    pub root: RootHash,
    /// SHA-256 of its UKI.
    pub uki: Digest,
    /// How often a trial was armed again.
    pub rearmed: u32,
}

/// An entry, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BootEntry {
    /// Where the boot loader sorts it.
    pub sort_key: Option<String>,
    /// Likewise.
    pub version: Option<String>,
    /// The program it starts, without the leading `/`.
    pub efi: Option<String>,
    /// Ours.
    pub note: Option<Note>,
}

impl BootEntry {
    /// A slot's entry.
    #[must_use]
    pub fn new(slot: Slot, version: u64, note: Note) -> Self {
        Self {
            sort_key: Some(SORT_KEY.to_owned()),
            version: Some(version.to_string()),
            efi: Some(slot.uki_path().to_owned()),
            note: Some(note),
        }
    }

    /// Its text; entries that we did not make have nothing to be written for.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut title = "RoamCore OS".to_owned();
        if let Some(note) = &self.note {
            text += &format!(
                "# roamcore 1 release={} sequence={} root={} uki={} rearmed={}\n",
                note.release, note.sequence, note.root, note.uki, note.rearmed
            );
            title = format!("{title} {}", note.release);
        }
        text += &format!("title {title}\n");
        for (key, value, before) in [
            ("sort-key", &self.sort_key, ""),
            ("version", &self.version, ""),
            ("efi", &self.efi, "/"),
        ] {
            if let Some(value) = value {
                text += &format!("{key} {before}{value}\n");
            }
        }
        text
    }

    /// Reads any entry the way the boot loader does: unknown keys are passed over, the last of a key holds.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut entry = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                entry.note = entry.note.or_else(|| note(comment));
                continue;
            }
            let Some((key, value)) = line.split_once([' ', '\t']) else {
                continue;
            };
            let value = value.trim();
            match key {
                "sort-key" => entry.sort_key = Some(value.to_owned()),
                "version" => entry.version = Some(value.to_owned()),
                "efi" => {
                    let path = value.replace('\\', "/");
                    entry.efi = Some(path.trim_start_matches('/').to_owned());
                }
                _ => {}
            }
        }
        entry
    }
}

/// Our line; another format, or a line with anything wrong in it, is none.
fn note(comment: &str) -> Option<Note> {
    let fields = comment.trim().strip_prefix("roamcore 1 ")?;
    let mut values = [None; 5];
    for field in fields.split(' ') {
        let (key, value) = field.split_once('=')?;
        let keys = ["release", "sequence", "root", "uki", "rearmed"];
        values[keys.iter().position(|known| *known == key)?] = Some(value);
    }
    let [release, sequence, root, uki, rearmed] = values;
    Some(Note {
        release: release?.parse::<Version>().ok()?.to_string(),
        sequence: sequence?.parse().ok()?,
        root: root?.parse().ok()?,
        uki: uki?.parse().ok()?,
        rearmed: rearmed?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> BootEntry {
        let note = Note {
            release: "1.4.0-dev.1".into(),
            sequence: 12,
            root: RootHash::from_bytes([0x54; 32]),
            uki: Digest::of(b"uki"),
            rearmed: 1,
        };
        BootEntry::new(Slot::B, 13, note)
    }

    #[test]
    fn round_trip() {
        let text = sample().to_text();
        assert_eq!(BootEntry::parse(text.as_bytes()), sample());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("# roamcore 1 release=1.4.0-dev.1 sequence=12 root=5454"));
        assert_eq!(
            lines[1..],
            [
                "title RoamCore OS 1.4.0-dev.1",
                "sort-key roamcore",
                "version 13",
                "efi /EFI/roamcore/b/roamcore.efi"
            ]
        );
    }

    #[test]
    fn the_factory_s_entry_and_others() {
        let factory =
            "title RoamCore OS\nsort-key roamcore\nversion 7\nefi /EFI/roamcore/a/roamcore.efi\n";
        let entry = BootEntry::parse(factory.as_bytes());
        assert_eq!(entry.version.as_deref(), Some("7"));
        assert_eq!(entry.efi.as_deref(), Some("EFI/roamcore/a/roamcore.efi"));
        assert_eq!(entry.note, None);
        let cases = [
            "# roamcore 2 release=1",
            "# roamcore 1 release=1.4.0",
            "# roamcore 1 release=../x sequence=1 root=x uki=x rearmed=0",
            "#",
            "version",
            "",
        ];
        for text in cases {
            assert_eq!(
                BootEntry::parse(text.as_bytes()),
                BootEntry::default(),
                "{text}"
            );
        }
        let entry = BootEntry::parse(b"version\t1\n  version  2 \nefi \\EFI\\x.efi\n");
        assert_eq!(entry.version.as_deref(), Some("2"));
        assert_eq!(entry.efi.as_deref(), Some("EFI/x.efi"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(?s).*") {
            drop(BootEntry::parse(&bytes));
            drop(BootEntry::parse(text.as_bytes()));
            drop(BootEntry::parse(format!("# roamcore 1 {text}").as_bytes()));
        }
    }
}
