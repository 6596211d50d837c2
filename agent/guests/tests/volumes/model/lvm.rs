//! The volumes, lvm2's commands and its reports.

use std::collections::{BTreeMap, BTreeSet};

use roamcore_guests::machine::MachineError;

use super::{DEVICE, EXTENT, Pages};

const PARTITION: u64 = 4 << 30;

#[derive(Debug, Clone, Default)]
pub struct Lv {
    pub pool: bool,
    pub size: u64,
    pub read_only: bool,
    pub skip: bool,
    pub active: bool,
    pub open: bool,
    pub origin: String,
    pub tags: BTreeSet<String>,
    /// On the medium.
    pub durable: Pages,
    /// What readers see.
    pub seen: Pages,
}

#[derive(Debug, Clone, Default)]
pub struct Lvm {
    pub group: Option<(String, u64)>,
    pub lvs: BTreeMap<String, Lv>,
}

/// What lvm2 says with exit status 5.
pub fn refused(arguments: &[String], said: &str) -> MachineError {
    MachineError::Program {
        line: arguments.join(" "),
        status: "exit status: 5".into(),
        said: said.into(),
    }
}

/// Options with values, and the rest.
fn split(arguments: &[String]) -> (BTreeMap<&str, &str>, Vec<&str>, Vec<&str>) {
    let (mut options, mut tags, mut rest) = (BTreeMap::new(), vec![], vec![]);
    let mut words = arguments[1..].iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--yes" | "--snapshot" | "--ignoreactivationskip" | "--nosuffix" => {
                options.insert(word, "");
            }
            "--addtag" => tags.push(words.next().unwrap()),
            _ if word.starts_with("--") => {
                assert!(options.insert(word, words.next().unwrap()).is_none());
            }
            _ => rest.push(word),
        }
    }
    (options, tags, rest)
}

fn bytes(text: &str) -> u64 {
    text.strip_suffix('b').unwrap().parse().unwrap()
}

impl Lvm {
    fn free(&self) -> u64 {
        let used: u64 = self
            .lvs
            .values()
            .filter(|lv| lv.pool)
            .map(|lv| lv.size)
            .sum();
        PARTITION - EXTENT - used
    }

    pub fn change(&mut self, arguments: &[String], half: bool) -> Result<(), MachineError> {
        let (options, tags, rest) = split(arguments);
        assert_eq!(options.get("--devices"), Some(&DEVICE));
        let error = |said: &str| Err(refused(arguments, said));
        let plain = |full: &str| full.strip_prefix("guests/").unwrap().to_owned();
        match arguments[0].as_str() {
            "vgcreate" => {
                assert_eq!(rest, ["guests", DEVICE]);
                if self.group.is_some() {
                    return error("A volume group called guests already exists.");
                }
                if !half {
                    self.group = Some(("guests".into(), 0));
                }
            }
            "lvcreate" if options.get("--type") == Some(&"thin-pool") => {
                let size = bytes(options["--size"]) + 2 * bytes(options["--poolmetadatasize"]);
                if self.lvs.contains_key(options["--name"]) {
                    return error("already exists");
                }
                if size > self.free() {
                    return error("insufficient free space");
                }
                // Metadata is made first, with a name of its own.
                let name = if half { "lvol0" } else { options["--name"] };
                let lv = Lv {
                    pool: !half,
                    size,
                    ..Lv::default()
                };
                self.lvs.insert(name.into(), lv);
            }
            "lvcreate" => {
                let name = options["--name"].to_owned();
                let mut lv = match rest[..] {
                    [full] if options.contains_key("--snapshot") => {
                        let origin = plain(full);
                        let Some(from) = self.lvs.get(&origin) else {
                            return error("not found");
                        };
                        // A snapshot is of what the origin's writers have flushed, and of the rest as well.
                        Lv {
                            origin,
                            read_only: options["--permission"] == "r",
                            skip: options["--setactivationskip"] == "y",
                            tags: BTreeSet::new(),
                            active: true,
                            open: false,
                            ..from.clone()
                        }
                    }
                    ["guests"] => {
                        assert!(
                            self.lvs
                                .get(options["--thinpool"])
                                .is_some_and(|lv| lv.pool)
                        );
                        Lv {
                            size: bytes(options["--virtualsize"]),
                            active: true,
                            ..Lv::default()
                        }
                    }
                    _ => panic!("{arguments:?}"),
                };
                assert!(lv.size.is_multiple_of(EXTENT) && lv.size > 0);
                lv.tags.extend(tags.iter().map(|tag| (*tag).to_owned()));
                if self.lvs.contains_key(&name) {
                    return error("already exists");
                }
                if !half {
                    self.lvs.insert(name, lv);
                }
            }
            "lvchange" => {
                let Some(lv) = self.lvs.get_mut(&plain(rest[0])) else {
                    return error("Failed to find logical volume");
                };
                let changes = options.len() + tags.len() - 1;
                let skip = usize::from(options.contains_key("--ignoreactivationskip"));
                assert_eq!(changes - skip, 1, "one change at a time: {arguments:?}");
                if options.get("--permission") == Some(&"r") && lv.read_only {
                    return error("is already read only.");
                }
                if half {
                    return Ok(());
                }
                match options.get("--activate") {
                    Some(&"y") => lv.active |= skip == 1 || !lv.skip,
                    Some(_) if lv.open => return error("is used by another device."),
                    Some(_) => lv.active = false,
                    None => {}
                }
                lv.read_only |= options.contains_key("--permission");
                lv.skip |= options.contains_key("--setactivationskip");
                lv.tags.extend(tags.iter().map(|tag| (*tag).to_owned()));
            }
            "lvextend" => {
                let size = bytes(options["--size"]);
                let Some(lv) = self.lvs.get_mut(&plain(rest[0])) else {
                    return error("not found");
                };
                assert!(size > lv.size, "never smaller, never for nothing");
                if !half {
                    lv.size = size.next_multiple_of(EXTENT);
                }
            }
            "lvrename" => {
                let [group, from, to] = rest[..] else {
                    panic!("{arguments:?}");
                };
                assert_eq!(group, "guests");
                if self.lvs.contains_key(to) || !self.lvs.contains_key(from) {
                    return error("already exists, or does not");
                }
                if !half {
                    let lv = self.lvs.remove(from).unwrap();
                    self.lvs.insert(to.into(), lv);
                    for lv in self.lvs.values_mut().filter(|lv| lv.origin == from) {
                        lv.origin = to.into();
                    }
                }
            }
            "lvremove" => {
                let name = plain(rest[0]);
                let Some(lv) = self.lvs.get(&name) else {
                    return error("Failed to find logical volume");
                };
                if lv.open {
                    return error("contains a filesystem in use.");
                }
                if !half {
                    self.lvs.remove(&name);
                    for lv in self.lvs.values_mut().filter(|lv| lv.origin == name) {
                        lv.origin.clear();
                    }
                }
            }
            other => panic!("{other}"),
        }
        Ok(())
    }

    /// As lvm2 2.03 prints it.
    pub fn report(&self, verb: &str) -> String {
        let frame = |kind: &str, rows: Vec<String>| {
            let rows = rows.join(",\n                  ");
            format!(
                "  {{\n      \"report\": [\n          {{\n              \"{kind}\": [\n                  {rows}\n              ]\n          }}\n      ]\n  }}\n"
            )
        };
        let group = self.group.iter();
        match verb {
            "pvs" => frame(
                "pv",
                group
                    .map(|(name, _)| format!("{{\"pv_name\":\"{DEVICE}\", \"vg_name\":\"{name}\"}}"))
                    .collect(),
            ),
            "vgs" => frame(
                "vg",
                group
                    .map(|(name, uuid)| {
                        let free = self.free();
                        format!(
                            "{{\"vg_name\":\"{name}\", \"vg_uuid\":\"uuid-{uuid}\", \"vg_extent_size\":\"{EXTENT}\", \"vg_free\":\"{free}\"}}"
                        )
                    })
                    .collect(),
            ),
            _ => frame("lv", self.lvs.iter().map(|(name, lv)| row(name, lv)).collect()),
        }
    }
}

fn row(name: &str, lv: &Lv) -> String {
    let thin = !lv.pool && name != "lvol0";
    let attr = format!(
        "{}{}i-{}{}tz-{}",
        if lv.pool {
            't'
        } else if thin {
            'V'
        } else {
            '-'
        },
        if lv.read_only { 'r' } else { 'w' },
        if lv.active { 'a' } else { '-' },
        if lv.open { 'o' } else { '-' },
        if lv.skip { 'k' } else { '-' },
    );
    let tags: Vec<&str> = lv.tags.iter().map(String::as_str).collect();
    format!(
        "{{\"lv_name\":\"{name}\", \"vg_name\":\"guests\", \"lv_attr\":\"{attr}\", \"lv_size\":\"{}\", \"pool_lv\":\"{}\", \
         \"origin\":\"{}\", \"lv_tags\":\"{}\"}}",
        lv.size,
        if thin { "pool" } else { "" },
        lv.origin,
        tags.join(","),
    )
}
