//! The compiled files that say what is filtered and how, read by the crate's own parsers.

use std::collections::BTreeMap;

use roamcore_pve::compile::Compiled;
use roamcore_pve::db::guest_path;
use roamcore_pve::reach::{FwFile, Level, parse};
use roamcore_pve::text::schema::{CT_NET, VM_NET};
use roamcore_pve::text::{GuestConfig, Kind, Props};
use roamcore_spec::Appliance;
use roamcore_spec::net::Subnet;

/// A guest's card, from `netN` of its configuration.
pub struct Card {
    pub number: usize,
    pub mac: String,
    pub bridge: String,
    pub vlan: Option<u16>,
    pub trunks: Vec<u16>,
    pub firewall: bool,
}

pub struct Guest {
    pub cards: Vec<Card>,
    pub rules: FwFile,
}

pub struct Files {
    pub cluster: FwFile,
    pub host: FwFile,
    /// The network that the host's address is in.
    pub local: Subnet,
    pub guests: BTreeMap<u32, Guest>,
}

/// The host's end of a card, as Proxmox names it.
pub fn tap(guest: u32, card: usize) -> String {
    format!("tap{guest}i{card}")
}

/// The port over which everything for a filtered card comes into its own bridge.
pub fn link(guest: u32, card: usize) -> String {
    format!("fwln{guest}i{card}")
}

fn text<'a>(compiled: &'a Compiled, path: &str) -> Option<&'a str> {
    let bytes = compiled.pve.get(path)?;
    Some(std::str::from_utf8(bytes).unwrap())
}

fn rules(compiled: &Compiled, path: &str, level: Level) -> FwFile {
    let text = text(compiled, path).unwrap_or_default();
    parse(path, level, text).unwrap_or_else(|error| panic!("{error}"))
}

impl Files {
    pub fn of(spec: &Appliance, compiled: &Compiled) -> Self {
        let home = &spec.host.as_ref().unwrap().segment;
        let node = &compiled.node;
        let guests = spec.guest.iter().map(|guest| {
            let path = format!("firewall/{}.fw", guest.id);
            let guarded = Guest {
                cards: cards(compiled, guest.id),
                rules: rules(compiled, &path, Level::Guest),
            };
            (guest.id, guarded)
        });
        Self {
            cluster: rules(compiled, "firewall/cluster.fw", Level::Cluster),
            host: rules(compiled, &format!("nodes/{node}/host.fw"), Level::Host),
            local: spec.segment_named(home).unwrap().subnet,
            guests: guests.collect(),
        }
    }
}

fn cards(compiled: &Compiled, id: u32) -> Vec<Card> {
    let kinds = [
        (Kind::Vm, &VM_NET, "macaddr"),
        (Kind::Ct, &CT_NET, "hwaddr"),
    ];
    let found = kinds.into_iter().find_map(|(kind, format, mac)| {
        let path = guest_path(&compiled.node, kind.directory(), id);
        Some((kind, format, mac, text(compiled, &path)?))
    });
    let (kind, format, mac, text) = found.unwrap_or_else(|| panic!("no configuration of {id}"));
    let config = GuestConfig::parse(kind, text).unwrap();
    let numbered = |key: &str| key.strip_prefix("net")?.parse().ok();
    config
        .main()
        .keys()
        .filter_map(|(key, value)| Some((numbered(key)?, value)))
        .map(|(number, value)| {
            let parts = Props::parse(format, value).unwrap();
            let trunks = parts.get("trunks").unwrap_or_default();
            Card {
                number,
                mac: parts.get(mac).unwrap().to_ascii_lowercase(),
                bridge: parts.get("bridge").unwrap().to_owned(),
                vlan: parts.get("tag").map(|tag| tag.parse().unwrap()),
                trunks: trunks
                    .split(';')
                    .filter(|vlan| !vlan.is_empty())
                    .map(|vlan| vlan.parse().unwrap())
                    .collect(),
                firewall: parts.get("firewall") == Some("1"),
            }
        })
        .collect()
}
