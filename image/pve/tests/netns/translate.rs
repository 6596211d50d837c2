//! Proxmox's firewall files as nftables rules: what each of them means to a packet, as Proxmox documents it.
//!
//! ```text
//!  out of a guest   replies -> DHCP, neighbours -> its own address? -> OUT rules -> policy_out (ACCEPT)
//!  into a guest     replies -> DHCP, neighbours -> IN rules -> policy_in (DROP)
//!  into the host    replies -> neighbours -> host.fw -> cluster.fw -> managers -> policy_in (DROP)
//!  out of the host  replies -> host.fw -> cluster.fw -> policy_out (ACCEPT)
//! ```
//!
//! Cards without `firewall=1`, guests and hosts that are switched off, and everything when the cluster is, have no chain.
//! DROP and REJECT are both `drop`: the parser makes no difference, and neither does who may reach whom. Logging is left
//! out, and so is what Proxmox adds to its policies: errors about what is open are `related`, and none opens anything.
//!
//! Never looks at flows. A rule that names what is not there, which Proxmox would drop, ends the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roamcore_pve::reach::{Action, FwFile, Match, Rule, Scope, Target, Way};
use roamcore_spec::net::{Address, Subnet};

use super::files::{Card, Files, link, tap};

/// How rules get to see what crosses a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// In the bridge family, with its own connection tracking.
    Bridge,
    /// As IP packets, through `br_netfilter`. The card is told by a mark, since both interfaces are the bridge there.
    BrNetfilter,
}

/// Ports that managers reach whatever the rules say.
pub const MANAGER_PORTS: [(u16, u16); 5] = [
    (22, 22),
    (3128, 3128),
    (5900, 5999),
    (8006, 8006),
    (60000, 60050),
];

const REPLIES: &str = "ct state vmap { established : accept, related : accept, invalid : drop }";
const NEIGHBOURS: &str = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept";

/// Chains by name, each with its lines.
type Chains = BTreeMap<String, Vec<String>>;

/// Everything for the host's namespace, as one transaction.
pub fn ruleset(files: &Files, hook: Hook) -> String {
    if option(&files.cluster, "enable", "0") == "0" {
        return String::new();
    }
    let mut guests = groups(files);
    let mut frames = Vec::new();
    let mut doors: Vec<(String, String)> = Vec::new();
    for (id, guest) in &files.guests {
        let off = option(&guest.rules, "enable", "0") == "0";
        for card in guest.cards.iter().filter(|card| card.firewall && !off) {
            let owner = Owner {
                files,
                guest: Some((*id, &guest.rules)),
            };
            let tap = tap(*id, card.number);
            frames.extend(owner.frames(card, &tap));
            for (port, way) in [(tap.clone(), Way::Out), (link(*id, card.number), Way::In)] {
                let chain = format!("{tap}-{}", word(way));
                guests.insert(chain.clone(), owner.card(card, way));
                doors.push((port, chain));
            }
        }
    }
    let mut wires = vec!["type filter hook prerouting priority -300".to_owned()];
    let (family, forward) = match hook {
        Hook::Bridge => {
            let jumps = doors
                .iter()
                .map(|(port, chain)| format!("{port:?} : jump {chain}"));
            ("bridge", map("iifname vmap", jumps))
        }
        Hook::BrNetfilter => {
            let marks = doors
                .iter()
                .zip(1..)
                .map(|((port, _), mark)| format!("{port:?} : {mark}"));
            wires.push("meta mark set 0".to_owned());
            wires.extend(map("meta mark set iifname map", marks));
            let jumps = doors
                .iter()
                .zip(1..)
                .map(|((_, chain), mark)| format!("{mark} : jump {chain}"));
            ("inet", map("meta mark vmap", jumps))
        }
    };
    wires.extend(frames);
    let hooked = "type filter hook forward priority 0".to_owned();
    guests.insert(
        "forward".to_owned(),
        [hooked].into_iter().chain(forward).collect(),
    );

    let mut text = table(
        files,
        "bridge wires",
        Chains::from([("prerouting".to_owned(), wires)]),
    );
    text += &table(files, &format!("{family} guests"), guests);
    if option(&files.host, "enable", "1") != "0" {
        text += &table(files, "inet host", host(files));
    }
    text
}

/// A map cannot be empty.
fn map(what: &str, entries: impl Iterator<Item = String>) -> Option<String> {
    let entries: Vec<String> = entries.collect();
    (!entries.is_empty()).then(|| format!("{what} {{ {} }}", entries.join(", ")))
}

fn option<'a>(file: &'a FwFile, key: &str, default: &'a str) -> &'a str {
    file.options.get(key).map_or(default, String::as_str)
}

fn word(way: Way) -> &'static str {
    match way {
        Way::In => "in",
        Way::Out => "out",
    }
}

fn policy(file: &FwFile, way: Way) -> String {
    let value = match way {
        Way::In => option(file, "policy_in", "DROP"),
        Way::Out => option(file, "policy_out", "ACCEPT"),
    };
    if value == "ACCEPT" { "accept" } else { "drop" }.to_owned()
}

/// Groups are the cluster's, and look at its names only. One that a guest uses has both ways in it.
fn groups(files: &Files) -> Chains {
    let owner = Owner { files, guest: None };
    let mut chains = Chains::new();
    for (name, rules) in &files.cluster.groups {
        for way in [Way::In, Way::Out] {
            let lines = owner.rules(rules, way, None);
            chains.insert(format!("group-{name}-{}", word(way)), lines);
        }
    }
    chains
}

fn host(files: &Files) -> Chains {
    let owner = Owner { files, guest: None };
    let mut chains = groups(files);
    for (way, hook, device) in [
        (Way::In, "input", "iifname"),
        (Way::Out, "output", "oifname"),
    ] {
        let mut lines = vec![
            format!("type filter hook {hook} priority 0"),
            format!("{device} \"lo\" accept"),
            REPLIES.to_owned(),
            "meta l4proto igmp accept".to_owned(),
        ];
        if option(&files.host, "ndp", "1") != "0" {
            lines.push(NEIGHBOURS.to_owned());
        }
        lines.extend(owner.rules(&files.host.rules, way, None));
        lines.extend(owner.rules(&files.cluster.rules, way, None));
        if way == Way::In {
            lines.extend(managers(files));
        }
        lines.push(policy(&files.cluster, way));
        chains.insert(hook.to_owned(), lines);
    }
    chains
}

/// Whoever is in the set of managers; the alias `local_network` is, or else the host's network.
fn managers(files: &Files) -> Vec<String> {
    let local = files
        .cluster
        .aliases
        .get("local_network")
        .unwrap_or(&files.local);
    let mut who = vec![local.to_string()];
    if files.cluster.sets.contains_key("management") {
        who.push("@dc-management".to_owned());
    }
    let ports = ports(&MANAGER_PORTS);
    who.iter()
        .map(|who| format!("ip saddr {who} tcp dport {ports} accept"))
        .collect()
}

fn ports(ranges: &[(u16, u16)]) -> String {
    let one = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let all: Vec<String> = ranges.iter().map(one).collect();
    format!("{{ {} }}", all.join(", "))
}

/// A table with all sets, so that any chain may use them.
fn table(files: &Files, name: &str, chains: Chains) -> String {
    let mut text = format!("table {name} {{\n");
    let cluster = files
        .cluster
        .sets
        .iter()
        .map(|(name, set)| (format!("dc-{name}"), set));
    let guests = files.guests.iter().flat_map(|(id, guest)| {
        let sets = guest.rules.sets.iter();
        sets.map(move |(name, set)| (format!("g{id}-{name}"), set))
    });
    for (name, set) in cluster.chain(guests) {
        let pieces: Vec<String> = pieces(set)
            .iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        let _ = write!(
            text,
            "  set {name} {{\n    type ipv4_addr\n    flags interval\n    auto-merge\n"
        );
        if !pieces.is_empty() {
            let _ = writeln!(text, "    elements = {{ {} }}", pieces.join(", "));
        }
        text += "  }\n";
    }
    for (name, lines) in chains {
        let _ = writeln!(text, "  chain {name} {{");
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
        text += "  }\n";
    }
    text + "}\n"
}

/// What a set holds: the narrowest entry decides, so wider ones come first.
pub fn pieces(set: &[(Subnet, bool)]) -> Vec<(Address, Address)> {
    let mut order = set.to_vec();
    order.sort_by_key(|(subnet, _)| subnet.prefix());
    // Ends do not belong to them, and can be beyond the last address.
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (subnet, not) in order {
        let (first, end) = (
            u64::from(subnet.first().bits()),
            u64::from(subnet.last().bits()) + 1,
        );
        let cut = |(low, high): (u64, u64)| [(low, high.min(first)), (low.max(end), high)];
        all = all
            .into_iter()
            .flat_map(cut)
            .filter(|(low, high)| low < high)
            .collect();
        if !not {
            all.push((first, end));
        }
    }
    all.sort_unstable();
    let address = |bits: u64| Address::from_bits(u32::try_from(bits).unwrap());
    all.into_iter()
        .map(|(first, end)| (address(first), address(end - 1)))
        .collect()
}

/// Whose rules they are: decides which names they see. The host has none of its own.
#[derive(Clone, Copy)]
struct Owner<'a> {
    files: &'a Files,
    guest: Option<(u32, &'a FwFile)>,
}

impl Owner<'_> {
    /// Frames that a card may not send: of another card, and answers for an address that is not its own.
    fn frames(&self, card: &Card, tap: &str) -> Vec<String> {
        let Some((id, file)) = self.guest else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if option(file, "macfilter", "1") != "0" {
            lines.push(format!("iifname {tap:?} ether saddr != {} drop", card.mac));
        }
        if let Some(set) = own_addresses(file, card) {
            lines.push(format!("iifname {tap:?} arp saddr ip != @g{id}-{set} drop"));
        }
        lines
    }

    fn card(&self, card: &Card, way: Way) -> Vec<String> {
        let Some((id, file)) = self.guest else {
            return Vec::new();
        };
        let mut lines = vec![REPLIES.to_owned()];
        if option(file, "dhcp", "1") != "0" {
            let (from, to) = if way == Way::Out { (68, 67) } else { (67, 68) };
            lines.push(format!("udp sport {from} udp dport {to} accept"));
        }
        if option(file, "ndp", "1") != "0" {
            lines.push(NEIGHBOURS.to_owned());
            let router = if way == Way::Out { "solicit" } else { "advert" };
            lines.push(format!("icmpv6 type nd-router-{router} accept"));
        }
        if way == Way::Out {
            let routes = option(file, "radv", "0") != "0";
            let verdict = if routes { "accept" } else { "drop" };
            lines.push(format!("icmpv6 type nd-router-advert {verdict}"));
            if let Some(set) = own_addresses(file, card) {
                lines.push(format!("ip saddr != @g{id}-{set} drop"));
                // A set of IPv4 addresses holds none of the other kind.
                lines.push("meta protocol ip6 drop".to_owned());
            }
        }
        lines.extend(self.rules(&file.rules, way, Some(card)));
        lines.push(policy(file, way));
        lines
    }

    fn rules(&self, rules: &[Rule], way: Way, card: Option<&Card>) -> Vec<String> {
        let lines = rules.iter().flat_map(|rule| match rule {
            Rule::Group(name) => {
                let known = self.files.cluster.groups.contains_key(name);
                assert!(known, "no group {name}");
                vec![format!("jump group-{name}-{}", word(way))]
            }
            Rule::Match(one) if one.way == way => self.lines(one, card),
            Rule::Match(_) => Vec::new(),
        });
        lines.collect()
    }

    /// One line for each source and destination: any of them will do.
    fn lines(&self, rule: &Match, card: Option<&Card>) -> Vec<String> {
        let device = match (&rule.interface, card) {
            (Some(name), Some(card)) if *name != format!("net{}", card.number) => {
                return Vec::new();
            }
            (Some(name), None) if rule.way == Way::In => format!("iifname {name:?}"),
            (Some(name), None) => format!("oifname {name:?}"),
            _ => String::new(),
        };
        let service = match rule.protocol.as_deref() {
            Some(protocol) if !rule.ports.is_empty() => {
                format!("{protocol} dport {}", ports(&rule.ports))
            }
            Some(protocol) => format!("meta l4proto {protocol}"),
            None => String::new(),
        };
        let verdict = match rule.action {
            Action::Accept => "accept",
            Action::Refuse => "drop",
        };
        let side = |word: &str, targets: &[Target]| -> Vec<String> {
            match targets {
                [] => vec![String::new()],
                _ => targets
                    .iter()
                    .map(|target| format!("ip {word} {}", self.target(target)))
                    .collect(),
            }
        };
        let (sources, dests) = (side("saddr", &rule.source), side("daddr", &rule.dest));
        let mut lines = Vec::new();
        for source in &sources {
            for dest in &dests {
                let parts: [&str; 5] = [&device, source, dest, &service, verdict];
                let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                lines.push(said.join(" "));
            }
        }
        lines
    }

    fn target(&self, target: &Target) -> String {
        match target {
            Target::Range(first, last) if first == last => first.to_string(),
            Target::Range(first, last) => format!("{first}-{last}"),
            Target::Alias(scope, name) => {
                let found = self
                    .seen(*scope)
                    .find_map(|(_, file)| file.aliases.get(name));
                found
                    .unwrap_or_else(|| panic!("no alias {name}"))
                    .to_string()
            }
            Target::Set(scope, name) => {
                let found = self
                    .seen(*scope)
                    .find(|(_, file)| file.sets.contains_key(name));
                let (prefix, _) = found.unwrap_or_else(|| panic!("no set {name}"));
                format!("@{prefix}-{name}")
            }
        }
    }

    /// Files whose names a reference can mean, the nearest first.
    fn seen(&self, scope: Scope) -> impl Iterator<Item = (String, &FwFile)> {
        let own = self.guest.filter(|_| scope != Scope::Cluster);
        let own = own.map(|(id, file)| (format!("g{id}"), file));
        let cluster = (scope != Scope::Guest).then(|| ("dc".to_owned(), &self.files.cluster));
        own.into_iter().chain(cluster)
    }
}

/// The set with a card's own addresses. Proxmox makes one where `ipfilter` is on and there is none; nothing here needs that.
fn own_addresses(file: &FwFile, card: &Card) -> Option<String> {
    let name = format!("ipfilter-net{}", card.number);
    let there = file.sets.contains_key(&name);
    assert!(
        there || option(file, "ipfilter", "0") == "0",
        "ipfilter without a set {name}"
    );
    there.then_some(name)
}
