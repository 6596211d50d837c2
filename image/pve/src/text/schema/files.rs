//! Sections of `storage.cfg`, `jobs.cfg` and `mapping/pci.cfg`.

use super::rules;
use super::value::{Format, Prop, Value, free, prop, required};
use Value::{Bool, Enum, Int, List, Props, Text};

/// A type of section.
#[derive(Debug)]
pub struct SectionType {
    /// The word before the id; empty in files that have ids only.
    pub name: &'static str,
    /// What an id is.
    pub id: fn(&str) -> bool,
    /// Its keys.
    pub props: &'static [Prop],
    /// Keys that may be there more than once.
    pub repeated: &'static [&'static str],
}

const KEEP: Value = Int(0, u64::MAX);

/// `prune-backups`
pub static PRUNE: Format = Format {
    default: None,
    pair: None,
    props: &[
        prop("keep-all", Bool),
        prop("keep-daily", KEEP),
        prop("keep-hourly", KEEP),
        prop("keep-last", KEEP),
        prop("keep-monthly", KEEP),
        prop("keep-weekly", KEEP),
        prop("keep-yearly", KEEP),
    ],
    also: free,
};
/// `fleecing`
pub static FLEECING: Format = Format {
    default: Some("enabled"),
    pair: None,
    props: &[
        prop("enabled", Bool),
        prop("storage", Text(&rules::STORAGE_ID)),
    ],
    also: free,
};
static PCI_MAP: Format = Format {
    default: None,
    pair: None,
    props: &[
        required("id", Text(&rules::HEX_PAIR)),
        // Missing, they are compared with what the unit has and refuse every start.
        required("iommugroup", Int(0, u64::MAX)),
        required("node", Text(&rules::NODE)),
        required("path", Text(&rules::PCI_FULL)),
        required("subsystem-id", Text(&rules::HEX_PAIR)),
    ],
    also: free,
};

const CONTENT: Prop = prop("content", List(',', &Text(&rules::CONTENT)));
const DISABLE: Prop = prop("disable", Bool);
const NODES: Prop = prop("nodes", List(',', &Text(&rules::NODE)));

/// `storage.cfg`
pub static STORAGE: &[SectionType] = &[
    SectionType {
        name: "dir",
        id: rules::is_storage_id,
        props: &[
            required("path", Text(&rules::PATH)),
            CONTENT,
            prop("create-base-path", Bool),
            prop("create-subdirs", Bool),
            DISABLE,
            prop("is_mountpoint", Text(&rules::PATH_OR_BOOL)),
            NODES,
            prop("prune-backups", Props(&PRUNE)),
            prop("shared", Bool),
        ],
        repeated: &[],
    },
    SectionType {
        name: "lvmthin",
        id: rules::is_storage_id,
        props: &[
            required("thinpool", Text(&rules::LVM_NAME)),
            required("vgname", Text(&rules::LVM_NAME)),
            CONTENT,
            DISABLE,
            NODES,
        ],
        repeated: &[],
    },
];

/// `jobs.cfg`
pub static JOBS: &[SectionType] = &[SectionType {
    name: "vzdump",
    id: rules::is_config_id,
    props: &[
        required("schedule", Text(&rules::SCHEDULE)),
        prop("all", Bool),
        prop("comment", Text(&rules::LINE)),
        prop("compress", Enum(&["0", "1", "gzip", "lzo", "zstd"])),
        prop("enabled", Bool),
        prop("exclude", List(',', &Text(&rules::GUEST_ID))),
        prop("fleecing", Props(&FLEECING)),
        prop("mode", Enum(&["snapshot", "suspend", "stop"])),
        prop("node", Text(&rules::NODE)),
        prop("notes-template", Text(&rules::LINE)),
        prop(
            "notification-mode",
            Enum(&["auto", "legacy-sendmail", "notification-system"]),
        ),
        prop("pool", Text(&rules::LABEL)),
        prop("prune-backups", Props(&PRUNE)),
        prop("repeat-missed", Bool),
        prop("storage", Text(&rules::STORAGE_ID)),
        prop("vmid", List(',', &Text(&rules::GUEST_ID))),
    ],
    repeated: &[],
}];

/// `mapping/pci.cfg`, whose headers are ids only.
pub static PCI_MAPPING: &[SectionType] = &[SectionType {
    name: "",
    id: rules::is_config_id,
    props: &[
        required("map", Props(&PCI_MAP)),
        prop("description", Text(&rules::LINE)),
    ],
    repeated: &["map"],
}];
