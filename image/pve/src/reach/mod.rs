//! Who can reach whom, answered from the compiled files.
//!
//! Owns the question, not the rules: the texts that Proxmox will read are parsed and judged, flows are not looked at. What
//! the appliance gives is who there is and at which addresses. The answer holds for every address: all are cut where any
//! rule draws a line, and one of each piece is tried, for every piece of the ports.
//!
//! An upper bound: whatever is not filtered by Proxmox, above all a router between segments, is taken to let everything
//! pass. Not told are replies, DHCP of guests that use it, and neighbour discovery.

mod judge;
mod parse;
mod parties;
mod ranges;

use std::collections::BTreeMap;
use std::fmt;

use roamcore_spec::Appliance;
use roamcore_spec::net::{Address, Subnet};

use crate::compile::Compiled;
use crate::text::schema::{CT_NET, Invalid, VM_NET};
use crate::text::{GuestConfig, Kind, Props, TextError};
use judge::{Firewall, Packet};
use parties::{Party, Place, parties};
use ranges::bounds;

pub use parse::{Action, FwError, FwFile, Level, Match, Rule, Scope, Target, Way, parse};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// A file of the firewall that cannot be read.
    #[error("the firewall's files")]
    Firewall(#[source] FwError),
    /// A rule that names what is not there; Proxmox drops it.
    #[error("rules refer to what is not there: {}", .0.join(", "))]
    Dangling(Vec<String>),
    /// A file that is not there, or is not text.
    #[error("no file {0}")]
    NoFile(String),
    /// A guest's configuration that cannot be read.
    #[error("{file}")]
    Guest {
        /// The file.
        file: String,
        /// What is wrong.
        source: TextError,
    },
    /// A card of a guest that cannot be read.
    #[error("{file}")]
    Card {
        /// The file.
        file: String,
        /// What is wrong.
        source: Invalid,
    },
}

/// What one can use of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// Everything.
    All,
    /// A protocol, all of it.
    Protocol(&'static str),
    /// Ports of a protocol, first and last.
    Ports(&'static str, u16, u16),
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Protocol(name) => f.write_str(name),
            Self::Ports(name, first, last) if first == last => write!(f, "{name}/{first}"),
            Self::Ports(name, first, last) => write!(f, "{name}/{first}-{last}"),
        }
    }
}

/// One and another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who opens the connection.
    pub from: String,
    /// Who accepts it.
    pub to: String,
    /// False when Proxmox filters at neither.
    pub filtered: bool,
    /// What is open; nothing is a closed door.
    pub open: Vec<Open>,
}

/// A guest as its files have it: its cards, true for those that are filtered, and its rules.
struct Guarded {
    cards: BTreeMap<String, bool>,
    rules: FwFile,
}

/// Every pair of the appliance's guests, segments, external machines, host and internet.
///
/// # Errors
/// A file that cannot be read, or that Proxmox would read otherwise than it is meant.
pub fn reach(appliance: &Appliance, compiled: &Compiled) -> Result<Vec<Pair>, ReachError> {
    let firewall = firewall(appliance, compiled)?;
    let mut guests = BTreeMap::new();
    for guest in &appliance.guest {
        guests.insert(guest.id, guarded(compiled, guest.id)?);
    }
    let files: Vec<&FwFile> = guests.values().map(|guest| &guest.rules).collect();
    let dangling = firewall.dangling(&files);
    if !dangling.is_empty() {
        return Err(ReachError::Dangling(dangling));
    }
    let (addresses, ports) = lines(&firewall, &files);
    let parties = parties(appliance);
    let question = Question {
        appliance,
        firewall: &firewall,
        guests: &guests,
        addresses,
        ports,
    };
    let mut pairs = Vec::new();
    for from in &parties {
        for to in &parties {
            if from.name != to.name && !matches!(to.place, Place::Outside(Some(_))) {
                pairs.extend(question.pair(from, to));
            }
        }
    }
    Ok(pairs)
}

fn text<'a>(compiled: &'a Compiled, path: &str) -> Result<&'a str, ReachError> {
    let missing = || ReachError::NoFile(path.to_owned());
    let bytes = compiled.pve.get(path).ok_or_else(missing)?;
    std::str::from_utf8(bytes).map_err(|_| missing())
}

fn firewall(appliance: &Appliance, compiled: &Compiled) -> Result<Firewall, ReachError> {
    let read =
        |path: &str, level| parse(path, level, text(compiled, path)?).map_err(ReachError::Firewall);
    let host = appliance.host.as_ref();
    let home = host.and_then(|host| appliance.segment_named(&host.segment));
    Ok(Firewall {
        cluster: read("firewall/cluster.fw", Level::Cluster)?,
        host: read(&format!("nodes/{}/host.fw", compiled.node), Level::Host)?,
        local: home.map_or(Subnet::new(Address::from_bits(0), 0), |segment| {
            segment.subnet
        }),
    })
}

fn guarded(compiled: &Compiled, id: u32) -> Result<Guarded, ReachError> {
    let paths = [Kind::Vm, Kind::Ct].map(|kind| {
        let path = crate::db::guest_path(&compiled.node, kind.directory(), id);
        (kind, path)
    });
    let found = paths
        .into_iter()
        .find(|(_, path)| compiled.pve.contains_key(path));
    let (kind, file) = found.ok_or_else(|| ReachError::NoFile(format!("{id}.conf")))?;
    let config =
        GuestConfig::parse(kind, text(compiled, &file)?).map_err(|source| ReachError::Guest {
            file: file.clone(),
            source,
        })?;
    let format = match kind {
        Kind::Vm => &VM_NET,
        Kind::Ct => &CT_NET,
    };
    let mut cards = BTreeMap::new();
    let nets = config.main().keys().filter(|(key, _)| {
        let digits = key.strip_prefix("net").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    for (key, value) in nets {
        let parts = Props::parse(format, value).map_err(|source| ReachError::Card {
            file: file.clone(),
            source,
        })?;
        cards.insert(key.to_owned(), parts.get("firewall") == Some("1"));
    }
    let path = format!("firewall/{id}.fw");
    let rules = match compiled.pve.contains_key(&path) {
        true => parse(&path, Level::Guest, text(compiled, &path)?).map_err(ReachError::Firewall)?,
        false => FwFile::default(),
    };
    Ok(Guarded { cards, rules })
}

/// Every address and port at which a rule draws a line.
fn lines(firewall: &Firewall, guests: &[&FwFile]) -> (Vec<u32>, Vec<u16>) {
    // Where Proxmox draws lines by itself: see the ports of managers.
    let mut ports: Vec<u16> = vec![22, 23, 3128, 3129, 5900, 6000, 8006, 8007, 60000, 60051];
    let mut addresses = Vec::new();
    bounds(firewall.local, &mut addresses);
    for file in guests
        .iter()
        .copied()
        .chain([&firewall.cluster, &firewall.host])
    {
        file.aliases
            .values()
            .for_each(|subnet| bounds(*subnet, &mut addresses));
        file.sets
            .values()
            .flatten()
            .for_each(|(subnet, _)| bounds(*subnet, &mut addresses));
        for rule in file.rules.iter().chain(file.groups.values().flatten()) {
            let Rule::Match(one) = rule else { continue };
            for (first, last) in &one.ports {
                ports.push(*first);
                ports.extend(last.checked_add(1));
            }
            for target in one.source.iter().chain(&one.dest) {
                if let Target::Range(first, last) = target {
                    addresses.push(first.bits());
                    addresses.extend(last.bits().checked_add(1));
                }
            }
        }
    }
    ports.push(1);
    ports.retain(|port| *port > 0);
    ports.sort_unstable();
    ports.dedup();
    addresses.sort_unstable();
    addresses.dedup();
    (addresses, ports)
}

struct Question<'a> {
    appliance: &'a Appliance,
    firewall: &'a Firewall,
    guests: &'a BTreeMap<u32, Guarded>,
    addresses: Vec<u32>,
    ports: Vec<u16>,
}

impl Question<'_> {
    fn pair(&self, from: &Party, to: &Party) -> Option<Pair> {
        // Who arrives over the host's own interface is no neighbour of guests.
        if matches!(from.place, Place::Outside(Some(_))) && !matches!(to.place, Place::Host) {
            return None;
        }
        let guarded = |party: &Party| match &party.place {
            Place::Guest(id) => self
                .guests
                .get(id)
                .is_some_and(|guest| guest.cards.values().any(|on| *on)),
            Place::Host | Place::Outside(_) => false,
        };
        let filtered = guarded(from) || guarded(to) || matches!(to.place, Place::Host);
        let sources = from.ranges.representatives(&self.addresses);
        let dests = to.ranges.representatives(&self.addresses);
        let can = |protocol: &str, port: u16| {
            sources.iter().any(|source| {
                dests.iter().any(|dest| {
                    self.passes(
                        from,
                        to,
                        &Packet {
                            source: *source,
                            dest: *dest,
                            protocol,
                            port,
                        },
                    )
                })
            })
        };
        Some(Pair {
            from: from.name.clone(),
            to: to.name.clone(),
            filtered,
            open: self.open(&can),
        })
    }

    fn passes(&self, from: &Party, to: &Party, packet: &Packet<'_>) -> bool {
        let sent = match &from.place {
            Place::Guest(id) => self.at_cards(*id, packet.source, |guest, card| {
                self.firewall.leaves(&guest.rules, card, packet)
            }),
            // What the host sends is not filtered: `policy_out` of the cluster.
            Place::Host | Place::Outside(_) => true,
        };
        sent && match &to.place {
            Place::Guest(id) => self.at_cards(*id, packet.dest, |guest, card| {
                self.firewall.enters(&guest.rules, card, packet)
            }),
            Place::Host => {
                let interface = match &from.place {
                    Place::Outside(Some(name)) => name.as_str(),
                    _ => "",
                };
                self.firewall.reaches_host(interface, packet)
            }
            Place::Outside(_) => true,
        }
    }

    /// True when one of the guest's cards that can have this address lets it pass.
    fn at_cards(&self, id: u32, address: Address, test: impl Fn(&Guarded, &str) -> bool) -> bool {
        let Some(guest) = self.guests.get(&id) else {
            return true;
        };
        let spec = self.appliance.guest.iter().find(|guest| guest.id == id);
        guest.cards.iter().any(|(card, on)| {
            let number: Option<usize> = card
                .strip_prefix("net")
                .and_then(|digits| digits.parse().ok());
            let fixed = spec
                .zip(number)
                .and_then(|(spec, number)| self.appliance.address_of(spec, number));
            let can_be = fixed.is_none_or(|fixed| fixed == address);
            can_be && (!on || test(guest, card))
        })
    }

    fn open(&self, can: &dyn Fn(&str, u16) -> bool) -> Vec<Open> {
        let mut open = Vec::new();
        for protocol in ["tcp", "udp"] {
            let mut ranges: Vec<(u16, u16)> = Vec::new();
            for (i, first) in self.ports.iter().enumerate() {
                let last = self.ports.get(i + 1).map_or(u16::MAX, |next| next - 1);
                if !can(protocol, *first) {
                    continue;
                }
                match ranges.last_mut() {
                    Some(before) if before.1.checked_add(1) == Some(*first) => before.1 = last,
                    _ => ranges.push((*first, last)),
                }
            }
            match ranges.as_slice() {
                [(1, u16::MAX)] => open.push(Open::Protocol(protocol)),
                _ => open.extend(
                    ranges
                        .into_iter()
                        .map(|(first, last)| Open::Ports(protocol, first, last)),
                ),
            }
        }
        if can("icmp", 0) {
            open.push(Open::Protocol("icmp"));
        }
        // Stands for all protocols that nothing names.
        let rest = can("other", 0);
        let all = ["tcp", "udp", "icmp"]
            .iter()
            .all(|name| open.contains(&Open::Protocol(name)));
        match (rest, all) {
            (true, true) => vec![Open::All],
            (true, false) => {
                open.push(Open::Protocol("other"));
                open
            }
            (false, _) => open,
        }
    }
}

/// Pairs as lines: what is open between two of which Proxmox filters at least one, then who is not filtered at all.
pub fn to_text(pairs: &[Pair]) -> String {
    let width = pairs
        .iter()
        .map(|pair| pair.from.len() + pair.to.len() + 4)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for pair in pairs
        .iter()
        .filter(|pair| pair.filtered && !pair.open.is_empty())
    {
        let who = format!("{} -> {}", pair.from, pair.to);
        let open: Vec<String> = pair.open.iter().map(ToString::to_string).collect();
        text += &format!("{who:<width$}  {}\n", open.join(" "));
    }
    let closed = pairs
        .iter()
        .filter(|pair| pair.filtered && pair.open.is_empty())
        .count();
    text += &format!("closed: the other {closed} pairs that Proxmox filters\n");
    let mut free: Vec<&str> = Vec::new();
    for pair in pairs.iter().filter(|pair| !pair.filtered) {
        for name in [pair.from.as_str(), pair.to.as_str()] {
            if !free.contains(&name) {
                free.push(name);
            }
        }
    }
    if !free.is_empty() {
        text += &format!(
            "not filtered by Proxmox among themselves: {}\n",
            free.join(", ")
        );
    }
    text
}
