//! The rules of an appliance. Those on guests and what they need are one module for each idea.

mod backups;
mod cards;
mod devices;
mod flows;
mod guests;
mod networks;
mod order;
mod room;
mod settings;
mod templates;

use serde::Deserialize;

use super::{Appliance, Share};
use crate::document::Spec;
use crate::fault::Fault;
use crate::findings::Findings;
use crate::size::Size;

/// FAT32 with 4 KiB clusters needs 65525 of them (Microsoft FAT specification 1.03): a smaller ESP would be FAT16.
const ESP_MIN: Size = Size::from_mib(260);

/// systemd-repart's limit for Weight=.
const WEIGHT_MAX: u32 = 1_000_000;

impl Spec for Appliance {
    const KIND: &'static str = "appliance";
    const VERSIONS: &'static [(
        u32,
        fn(toml::Deserializer<'_>) -> Result<Self, toml::de::Error>,
    )] = &[(1, |text| Self::deserialize(text))];

    fn validate(&self, findings: &mut Findings<'_>) {
        findings.filled("title", &self.title);
        if self.overlays.is_empty() {
            findings.add("overlays", Fault::Empty("overlays".to_owned()));
        }
        findings.unique(
            "overlay",
            self.overlays
                .iter()
                .enumerate()
                .map(|(i, name)| (format!("overlays[{i}]"), name, format!("entry {}", i + 1))),
        );
        at_least(findings, "slots.esp", self.slots.esp, ESP_MIN);
        at_least(findings, "slots.root", self.slots.root, Size::MIB);
        if let Some(seed) = &self.partitions.seed {
            at_least(findings, "partitions.seed.size", seed.size, Size::MIB);
        }
        for (role, share, _) in self.shares() {
            check_share(findings, role.label(), &share);
        }
        let mounts = self.shares().into_iter().filter_map(|(role, _, mount)| {
            let label = role.label();
            Some((
                format!("partitions.{label}.mount"),
                mount?,
                format!("`{label}`"),
            ))
        });
        findings.unique("mount point", mounts);
        if self.update.security_epoch == 0 {
            findings.out_of_range("update.security_epoch", &0, "1 or more");
        }
        self.validate_guests(findings);
        let needed = self.minimum_disk();
        if needed > self.disk.smallest {
            let largest: Vec<String> = self
                .layout()
                .iter()
                .filter(|part| part.min >= Size::from_mib(256))
                .map(|p| format!("{} {}", p.label, p.min))
                .collect();
            findings.add_with_hint(
                "disk.smallest",
                Fault::DiskTooSmall {
                    needed,
                    smallest: self.disk.smallest,
                },
                format!(
                    "raise it to \"{}GB\", or shrink: {}",
                    needed.gigabytes_rounded_up(),
                    largest.join(", ")
                ),
            );
        }
    }
}

impl Appliance {
    /// Everything about guests. Each part looks at references for itself, so that one that is wrong hides no other.
    fn validate_guests(&self, findings: &mut Findings<'_>) {
        networks::check(self, findings);
        templates::check(self, findings);
        guests::check(self, findings);
        cards::check(self, findings);
        devices::check(self, findings);
        settings::check(self, findings);
        order::check(self, findings);
        flows::check(self, findings);
        backups::check(self, findings);
        room::check(self, findings);
    }
}

/// Partitions start and end on whole MiB, and decimal units are for disks: `"6GB"` here is most likely a slip.
fn at_least(findings: &mut Findings<'_>, path: &str, size: Size, min: Size) {
    if size < min {
        findings.out_of_range(path, &size, &format!("at least {min}"));
    } else if !size.is_whole_mib() {
        let fault = Fault::OutOfRange {
            key: path.to_owned(),
            found: size.to_string(),
            allowed: "a whole number of MiB".to_owned(),
        };
        findings.add_with_hint(
            path,
            fault,
            "write such sizes in MiB or GiB; GB is for disks as sold",
        );
    }
}

fn check_share(findings: &mut Findings<'_>, name: &str, share: &Share) {
    let path = |key: &str| format!("partitions.{name}.{key}");
    at_least(findings, &path("min"), share.min, Size::MIB);
    if let Some(max) = share.max {
        at_least(findings, &path("max"), max, share.min);
    }
    if share.weight == 0 || share.weight > WEIGHT_MAX {
        findings.out_of_range(
            &path("weight"),
            &share.weight,
            &format!("1 to {WEIGHT_MAX}"),
        );
    }
}
