//! The rules of a single overlay; those between overlays are in [`crate::check`].

use std::collections::BTreeMap;

use super::Overlay;
use crate::document::Spec;
use crate::fault::Fault;
use crate::findings::Findings;
use serde::Deserialize;

/// Static numbers stay below the first ordinary user (Debian Policy 9.2.2), and 0 is root.
const SYSTEM_IDS: std::ops::RangeInclusive<u32> = 1..=999;

impl Spec for Overlay {
    const KIND: &'static str = "overlay";
    const VERSIONS: &'static [(
        u32,
        fn(toml::Deserializer<'_>) -> Result<Self, toml::de::Error>,
    )] = &[(1, |text| Self::deserialize(text))];

    fn validate(&self, findings: &mut Findings<'_>) {
        findings.filled("description", &self.description);
        self.validate_lists(findings);
        self.validate_units(findings);
        self.validate_ids(findings);
        self.validate_paths(findings);
        for (index, source) in self.apt_source.iter().enumerate() {
            for (key, words) in [
                ("suites", &source.suites),
                ("components", &source.components),
            ] {
                if words.is_empty() {
                    let path = format!("apt_source[{index}].{key}");
                    findings.add(&path.clone(), Fault::Empty(path));
                }
            }
        }
    }
}

/// Path, value and place in the list of every item of a list of words.
fn listed<'a, T: AsRef<str>>(
    path: &'a str,
    items: &'a [T],
) -> impl Iterator<Item = (String, &'a str, String)> {
    items.iter().enumerate().map(move |(i, item)| {
        (
            format!("{path}[{i}]"),
            item.as_ref(),
            format!("entry {}", i + 1),
        )
    })
}

impl Overlay {
    fn validate_lists(&self, findings: &mut Findings<'_>) {
        findings.unique(
            "package",
            listed("packages.install", &self.packages.install),
        );
        findings.unique(
            "kernel argument",
            listed("kernel.arguments", &self.kernel.arguments),
        );
        findings.unique(
            "module",
            listed("kernel.modules_load", &self.kernel.modules_load),
        );
        findings.unique("module", listed("kernel.blacklist", &self.kernel.blacklist));
        findings.unique("pattern", listed("remove.paths", &self.remove.paths));
        findings.unique("program", listed("initrd.binaries", &self.initrd.binaries));
        findings.unique("module", listed("initrd.modules", &self.initrd.modules));
        findings.unique("unit", listed("initrd.units", &self.initrd.units));
        findings.unique("file", listed("initrd.files", &self.initrd.files));
        let sources = self.apt_source.iter().enumerate();
        findings.unique(
            "apt source",
            sources.map(|(i, source)| {
                (
                    format!("apt_source[{i}].name"),
                    source.name.as_str(),
                    format!("entry {}", i + 1),
                )
            }),
        );
        for (index, module) in self.kernel.modules_load.iter().enumerate() {
            if self.kernel.blacklist.contains(module) {
                let fault = Fault::Conflict {
                    what: "module",
                    value: module.to_string(),
                    this: "loaded".to_owned(),
                    other: "`kernel.blacklist` names it too, and modules-load honours that"
                        .to_owned(),
                };
                findings.add(&format!("kernel.modules_load[{index}]"), fault);
            }
        }
    }

    fn validate_units(&self, findings: &mut Findings<'_>) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, state, units) in self.unit_states() {
            for (path, unit, _) in listed(key, units) {
                match seen.insert(unit, state) {
                    Some(first) if first == state => {
                        let fault = Fault::Duplicate {
                            what: "unit",
                            value: unit.to_owned(),
                            first: format!("`{key}`"),
                        };
                        findings.add(&path, fault);
                    }
                    Some(first) => {
                        let fault = Fault::Conflict {
                            what: "unit",
                            value: unit.to_owned(),
                            this: state.to_owned(),
                            other: format!("the same overlay has it {first}"),
                        };
                        findings.add(&path, fault);
                    }
                    None => {}
                }
            }
        }
    }

    fn validate_ids(&self, findings: &mut Findings<'_>) {
        let users = || self.user.iter().enumerate();
        let groups = || self.group.iter().enumerate();
        let name = |text: &str| format!("`{text}`");
        findings.unique(
            "user",
            users().map(|(i, u)| {
                (
                    format!("user[{i}].name"),
                    u.name.as_str(),
                    format!("uid {}", u.uid),
                )
            }),
        );
        findings.unique(
            "uid",
            users().map(|(i, u)| (format!("user[{i}].uid"), u.uid, name(u.name.as_str()))),
        );
        findings.unique(
            "group",
            groups().map(|(i, g)| {
                (
                    format!("group[{i}].name"),
                    g.name.as_str(),
                    format!("gid {}", g.gid),
                )
            }),
        );
        findings.unique(
            "gid",
            groups().map(|(i, g)| (format!("group[{i}].gid"), g.gid, name(g.name.as_str()))),
        );
        let uids = users().map(|(i, user)| (format!("user[{i}].uid"), user.uid));
        let primary = users().filter_map(|(i, user)| Some((format!("user[{i}].gid"), user.gid?)));
        let gids = groups().map(|(i, group)| (format!("group[{i}].gid"), group.gid));
        for (path, id) in uids.chain(primary).chain(gids) {
            if !SYSTEM_IDS.contains(&id) {
                let allowed = format!("{} to {}", SYSTEM_IDS.start(), SYSTEM_IDS.end());
                findings.add(
                    &path.clone(),
                    Fault::OutOfRange {
                        key: path,
                        found: id.to_string(),
                        allowed,
                    },
                );
            }
        }
        for (index, user) in users() {
            // It ends up in a sysusers.d line and as a field of /etc/passwd.
            if user.comment.contains([':', '"', '\\']) || user.comment.chars().any(char::is_control)
            {
                let rule =
                    "the comment must not hold colons, quotes, backslashes or control characters"
                        .to_owned();
                findings.add(&format!("user[{index}].comment"), Fault::Malformed(rule));
            }
        }
    }

    fn validate_paths(&self, findings: &mut Findings<'_>) {
        let modes = self.file_mode.iter().enumerate();
        findings.unique(
            "file mode for",
            modes.map(|(i, f)| {
                (
                    format!("file_mode[{i}].path"),
                    f.path.as_str(),
                    format!("mode {}", f.mode),
                )
            }),
        );
        let links = self.symlink.iter().enumerate();
        let links = links.map(|(i, l)| {
            (
                format!("symlink[{i}].path"),
                l.path.as_str(),
                format!("a link to `{}`", l.target),
            )
        });
        let directories = self.directory.iter().enumerate();
        let directories = directories.map(|(i, d)| {
            (
                format!("directory[{i}].path"),
                d.path.as_str(),
                "a directory".to_owned(),
            )
        });
        findings.unique("path", links.chain(directories));
    }

    /// The three lists of units: key, state in words, names.
    pub(crate) fn unit_states(
        &self,
    ) -> [(&'static str, &'static str, &[crate::names::UnitName]); 3] {
        [
            ("units.enable", "enabled", &self.units.enable),
            ("units.disable", "disabled", &self.units.disable),
            ("units.mask", "masked", &self.units.mask),
        ]
    }
}
