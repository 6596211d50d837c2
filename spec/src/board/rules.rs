//! The rules of a board.

use serde::Deserialize;

use super::{Board, Nic, NicRole};
use crate::document::Spec;
use crate::fault::Fault;
use crate::findings::Findings;

/// Time-outs that the iTCO driver accepts, in seconds: its counter takes 4 to 1023 ticks of 0.6 s, and the driver halves
/// the ticks of chips that count twice (Linux drivers/watchdog/iTCO_wdt.c, iTCO_wdt_set_timeout).
const WATCHDOG_SECONDS: std::ops::RangeInclusive<u32> = 5..=614;

impl Spec for Board {
    const KIND: &'static str = "board";
    const VERSIONS: &'static [(
        u32,
        fn(toml::Deserializer<'_>) -> Result<Self, toml::de::Error>,
    )] = &[(1, |text| Self::deserialize(text))];

    fn validate(&self, findings: &mut Findings<'_>) {
        let texts = [
            ("vendor", &self.vendor),
            ("product", &self.product),
            ("dmi.sys_vendor", &self.dmi.sys_vendor),
            ("dmi.product_name", &self.dmi.product_name),
            ("soc.family", &self.soc.family),
        ];
        for (path, text) in texts {
            findings.filled(path, text);
        }
        for (index, name) in self.dmi.other_product_names.iter().enumerate() {
            findings.filled(&format!("dmi.other_product_names[{index}]"), name);
        }
        for fact in self.facts() {
            findings.filled(&format!("{}.source", fact.group), fact.source);
        }
        self.validate_nics(findings);
        if let Some(memory) = &self.memory {
            if memory.largest == crate::size::Size::ZERO {
                findings.out_of_range("memory.largest", &memory.largest, "more than nothing");
            }
            if memory.sockets == 0 {
                findings.out_of_range("memory.sockets", &0, "1 or more");
            }
        }
        let times = [
            ("timeout_seconds", self.watchdog.timeout_seconds),
            (
                "reboot_timeout_seconds",
                self.watchdog.reboot_timeout_seconds,
            ),
        ];
        for (key, seconds) in times {
            if !WATCHDOG_SECONDS.contains(&seconds) {
                let allowed = format!(
                    "{} to {} seconds",
                    WATCHDOG_SECONDS.start(),
                    WATCHDOG_SECONDS.end()
                );
                let key = format!("watchdog.{key}");
                findings.add(
                    &key.clone(),
                    Fault::OutOfRange {
                        key,
                        found: seconds.to_string(),
                        allowed,
                    },
                );
            }
        }
    }
}

impl Board {
    fn validate_nics(&self, findings: &mut Findings<'_>) {
        if self.nic.is_empty() {
            findings.add("nic", Fault::Empty("nic".to_owned()));
        }
        let each = |key: &'static str| move |(i, nic)| (format!("nic[{i}].{key}"), nic, i);
        let owner = |nic: &Nic| format!("`{}`", nic.name);
        let by_port = |(path, nic, _): (String, &Nic, usize)| (path, nic.port, owner(nic));
        findings.unique(
            "port",
            self.nic.iter().enumerate().map(each("port")).map(by_port),
        );
        let by_name = |(path, nic, _): (String, &Nic, usize)| {
            (path, nic.name.to_string(), format!("port {}", nic.port))
        };
        findings.unique(
            "NIC name",
            self.nic.iter().enumerate().map(each("name")).map(by_name),
        );
        let slots = self
            .nic
            .iter()
            .enumerate()
            .map(|(i, nic)| (format!("nic[{i}].root_port"), nic.root_port, owner(nic)));
        let disk = (
            "storage.root_port".to_owned(),
            self.storage.root_port,
            "the disk".to_owned(),
        );
        findings.unique("root port", slots.chain([disk]));
        for (index, nic) in self.nic.iter().enumerate() {
            if nic.passthrough && nic.role != NicRole::Wan {
                let fault = Fault::Conflict {
                    what: "NIC",
                    value: nic.name.to_string(),
                    this: "passed through".to_owned(),
                    other: "only a NIC with role \"wan\" may be taken from the host".to_owned(),
                };
                findings.add(&format!("nic[{index}].passthrough"), fault);
            }
        }
        if !self.nic.is_empty() && !self.nic.iter().any(|nic| nic.role == NicRole::Lan) {
            findings.add_with_hint(
                "nic[0].role",
                Fault::Missing {
                    what: "NIC with the role",
                    name: "lan".to_owned(),
                },
                "without one the host cannot be reached",
            );
        }
    }
}
