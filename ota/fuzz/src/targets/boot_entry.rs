//! Boot entries on the ESP: `n` and a file name, `v` and two versions to compare, or anything else and an entry's text.

use roamcore_agent::entry::EntryName;
use roamcore_slots::{BootEntry, compare_versions};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "boot-entry",
    from: "loader/entries on the ESP",
    longest: 1024,
    run: |bytes| match bytes.split_first() {
        Some((b'n', name)) => std::str::from_utf8(name).is_ok_and(name_is_safe),
        Some((b'v', versions)) => {
            let text = String::from_utf8_lossy(versions);
            let Some((a, b)) = text.split_once('\n') else {
                return false;
            };
            assert_eq!(compare_versions(a, b), compare_versions(b, a).reverse());
            assert!(compare_versions(a, a).is_eq());
            true
        }
        Some((_, text)) => {
            let entry = BootEntry::parse(text);
            assert_eq!(BootEntry::parse(entry.to_text().as_bytes()), entry);
            entry.note.is_some()
        }
        None => false,
    },
    seeds: || {
        let hash = "54".repeat(32);
        [
            "nroamcore-a.conf".to_owned(),
            "nroamcore-b+3.conf".to_owned(),
            "nroamcore-b+2-1.conf".to_owned(),
            "v1.2.3~rc1-4\n1.2.3^5+a".to_owned(),
            format!(
                "t# roamcore 1 release=1.4.0 sequence=12 root={hash} uki={hash} rearmed=0\n\
                 title RoamCore OS 1.4.0\nsort-key roamcore\nversion 13\nefi /EFI/roamcore/b/roamcore.efi\n"
            ),
        ]
        .map(String::into_bytes)
        .into()
    },
};

fn name_is_safe(name: &str) -> bool {
    let Ok(entry) = EntryName::parse(name) else {
        return false;
    };
    let files = match &entry {
        EntryName::Committed { file } => vec![file],
        EntryName::Counted {
            file, committed, ..
        } => vec![file, committed],
    };
    for file in files {
        assert!(!file.contains('/') && !file.starts_with('.') && file.ends_with(".conf"));
    }
    let path = format!("\\loader\\entries\\{name}");
    let counted = matches!(entry, EntryName::Counted { .. });
    assert_eq!(EntryName::of_boot_count_path(&path).is_ok(), counted);
    true
}
