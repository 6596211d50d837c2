//! The firewall: flows as Proxmox's rules.
//!
//! A flow opens two doors where there are any: out of the guest it comes from, into the guest it goes to. All doors are
//! shut by policy. A guest's card lets out what has the guest's own address only (`ipfilter`), so that a door that opens
//! for an address opens for one guest. Where a flow concerns several guests in the same way it becomes a security group.
//!
//! Proxmox lets whoever is in the host's own network manage it, whatever the rules say: the network in the alias
//! `local_network` joins the set of managers, with SSH, consoles and migration. Here that alias is the loopback, and the
//! doors of the managers are rules like all others.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use roamcore_spec::appliance::{Flow, Guest, HOST};
use roamcore_spec::net::{Ports, Protocol, Subnet};

use super::ends::Names;
use super::{CompileError, Input};
use crate::db::Files;

/// SSH, and Proxmox's web interface and API.
const ADMIN_PORTS: &str = "22,8006";

/// See the header.
const LOCAL_NETWORK: &str = "127.0.0.0/8";

/// The longest list of ports that one rule takes; a range counts twice (iptables' multiport).
const PORTS_IN_RULE: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

pub(super) fn files(input: &Input<'_>, pve: &mut Files) -> Result<(), CompileError> {
    let mut names = Names::default();
    if let Ok(subnet) = LOCAL_NETWORK.parse::<Subnet>() {
        names.alias("local_network", subnet);
    }
    let flows = &input.appliance.flow;
    let mut groups: Vec<(String, String)> = Vec::new();
    for flow in flows {
        for way in [Way::In, Way::Out] {
            if is_group(input, flow, way) {
                groups.push((
                    flow.name.to_string(),
                    lines(input, &mut names, flow, way, None)?,
                ));
            }
        }
    }
    groups.sort();
    for guest in &input.appliance.guest {
        if guest.nic.iter().any(|nic| nic.firewall) {
            let text = guest_text(input, &mut names, guest)?;
            pve.insert(format!("firewall/{}.fw", guest.id), text.into_bytes());
        }
    }
    let host = host_text(input, &mut names)?;
    pve.insert(format!("nodes/{}/host.fw", input.node), host.into_bytes());
    pve.insert(
        "firewall/cluster.fw".to_owned(),
        cluster_text(&names, &groups).into_bytes(),
    );
    Ok(())
}

fn cluster_text(names: &Names, groups: &[(String, String)]) -> String {
    let mut text = String::from(
        "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\npolicy_out: ACCEPT\n\n[ALIASES]\n\n",
    );
    for (name, subnet) in &names.aliases {
        let _ = writeln!(text, "{name} {subnet}");
    }
    text += "\n";
    for (name, entries) in &names.sets {
        let _ = write!(text, "[IPSET {name}]\n\n");
        text += &set_lines(entries);
        text += "\n";
    }
    for (name, rules) in groups {
        let _ = write!(text, "[group {name}]\n\n{rules}\n");
    }
    text
}

/// Sorted as text, as Proxmox sorts them.
fn set_lines(entries: &BTreeSet<(Subnet, bool)>) -> String {
    let mut lines: Vec<(String, bool)> = entries
        .iter()
        .map(|(subnet, not)| (subnet.to_string(), *not))
        .collect();
    lines.sort();
    let line =
        |(subnet, not): &(String, bool)| format!("{}{subnet}\n", if *not { "!" } else { "" });
    lines.iter().map(line).collect()
}

/// True for guests that have a filter.
fn filtered(guest: &Guest) -> bool {
    guest.nic.iter().any(|nic| nic.firewall)
}

/// The guests on one side of a flow that have a filter.
fn side<'a>(input: &Input<'a>, flow: &Flow, way: Way) -> Vec<&'a Guest> {
    let ends = match way {
        Way::In => &flow.to,
        Way::Out => &flow.from,
    };
    let named = |guest: &&Guest| ends.iter().any(|name| name.as_str() == guest.name.as_str());
    input
        .appliance
        .guest
        .iter()
        .filter(named)
        .filter(|guest| filtered(guest))
        .collect()
}

/// A group opens both ways wherever it is put, so it must be one-sided.
fn is_group(input: &Input<'_>, flow: &Flow, way: Way) -> bool {
    let other = if way == Way::In { Way::Out } else { Way::In };
    side(input, flow, way).len() > 1 && side(input, flow, other).is_empty()
}

fn guest_text(input: &Input<'_>, names: &mut Names, guest: &Guest) -> Result<String, CompileError> {
    let dhcp = guest.nic.iter().any(|nic| nic.firewall && nic.dhcp);
    let mut text = format!(
        "[OPTIONS]\n\nenable: 1\ndhcp: {}\nipfilter: 1\nmacfilter: 1\npolicy_in: DROP\npolicy_out: DROP\n\n",
        u8::from(dhcp)
    );
    for (card, nic) in guest.nic.iter().enumerate().filter(|(_, nic)| nic.firewall) {
        // Cards whose address nobody knows have their segment's: they can pretend to be a neighbour at most.
        let segment = input.segment(guest.name.as_str(), &nic.segment)?;
        let own = nic
            .address
            .map_or(segment.subnet, |address| Subnet::new(address, 32));
        let _ = write!(text, "[IPSET ipfilter-net{card}]\n\n{own}\n\n");
    }
    let mut rules = String::new();
    for flow in &input.appliance.flow {
        for way in [Way::In, Way::Out] {
            if !side(input, flow, way)
                .iter()
                .any(|other| other.id == guest.id)
            {
                continue;
            }
            if is_group(input, flow, way) {
                let _ = writeln!(rules, "GROUP {}", flow.name);
            } else {
                rules += &lines(input, names, flow, way, Some(guest))?;
            }
        }
    }
    if !rules.is_empty() {
        let _ = write!(text, "[RULES]\n\n{rules}\n");
    }
    Ok(text)
}

fn host_text(input: &Input<'_>, names: &mut Names) -> Result<String, CompileError> {
    let mut text = String::from(
        "[OPTIONS]\n\nenable: 1\nlog_level_in: nolog\nlog_level_out: nolog\n\n[RULES]\n\n",
    );
    if let Some(interface) = &input.host.admin_interface {
        let _ = writeln!(
            text,
            "IN ACCEPT -i {interface} -p tcp -dport {ADMIN_PORTS} -log nolog # admin"
        );
    }
    for name in &input.host.admin_segments {
        let source = names.refer(input, "host", name)?;
        let _ = writeln!(
            text,
            "IN ACCEPT -source {source} -p tcp -dport {ADMIN_PORTS} -log nolog # admin"
        );
    }
    for flow in &input.appliance.flow {
        if flow.to.iter().any(|name| name.as_str() == HOST) {
            text += &lines(input, names, flow, Way::In, None)?;
        }
    }
    text += "\n";
    Ok(text)
}

/// A flow's rules on one side: one for each end on the other side and each kind of port. `own` is whose they are.
fn lines(
    input: &Input<'_>,
    names: &mut Names,
    flow: &Flow,
    way: Way,
    own: Option<&Guest>,
) -> Result<String, CompileError> {
    let (word, key, ends) = match way {
        Way::In => ("IN", "-source", &flow.from),
        Way::Out => ("OUT", "-dest", &flow.to),
    };
    let log = if flow.log { "info" } else { "nolog" };
    let mut text = String::new();
    for name in ends {
        if own.is_some_and(|guest| guest.name.as_str() == name.as_str()) {
            continue;
        }
        let end = names.refer(input, flow.name.as_str(), name)?;
        for ports in port_words(&flow.ports) {
            let _ = writeln!(
                text,
                "{word} ACCEPT {key} {end}{ports} -log {log} # {}",
                flow.name
            );
        }
    }
    Ok(text)
}

/// What rules say about ports: nothing at all for everything, else one text for each protocol and so many ports.
fn port_words(ports: &[Ports]) -> Vec<String> {
    if ports.is_empty() {
        return vec![String::new()];
    }
    let mut words = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut list: Vec<(u16, u16)> = ports
            .iter()
            .filter(|p| p.protocol() == protocol)
            .filter_map(|p| p.range())
            .collect();
        list.sort_unstable();
        let mut rest = list.as_slice();
        while !rest.is_empty() {
            let mut room = PORTS_IN_RULE;
            let fits = rest.iter().take_while(|(first, last)| {
                let takes = if first == last { 1 } else { 2 };
                let fits = room >= takes;
                room = room.saturating_sub(takes);
                fits
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            let texts: Vec<String> = now
                .iter()
                .map(|(first, last)| {
                    if first == last {
                        first.to_string()
                    } else {
                        format!("{first}:{last}")
                    }
                })
                .collect();
            words.push(format!(
                " -p {} -dport {}",
                protocol.name(),
                texts.join(",")
            ));
            rest = later;
        }
    }
    if ports.iter().any(|p| p.protocol() == Protocol::Icmp) {
        words.push(" -p icmp".to_owned());
    }
    words
}
