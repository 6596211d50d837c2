//! Three answers side by side: what the flows mean, what the packets did, what `reach` says.

use std::collections::{BTreeMap, BTreeSet};

use roamcore_pve::reach::{Open, Pair};
use roamcore_spec::Appliance;

use super::intent::{Service, allowed, is_of};
use super::parties::{Kind, Party};
use super::probes::{Probe, is_asked};
use super::stage::Report;

/// Where the answers differ, as lines.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What does not work on this stage, whatever the rules: nothing else is worth reading then.
    pub broken: Vec<String>,
    /// Packets against flows.
    pub packets: BTreeSet<String>,
    /// Packets against flows, of guests with an address that is not theirs. `reach` knows no such guests.
    pub pretended: BTreeSet<String>,
    /// `reach` against flows.
    pub reach: BTreeSet<String>,
    /// `reach` against packets.
    pub between: BTreeSet<String>,
    /// Flows of which no packet passed.
    pub unproved: Vec<String>,
    pub allowed: usize,
    pub refused: usize,
    seconds: f64,
}

impl Comparison {
    pub fn agree(&self) -> bool {
        let sets = [&self.packets, &self.pretended, &self.reach, &self.between];
        sets.iter().all(|set| set.is_empty())
    }

    pub fn summary(&self) -> String {
        format!(
            "{} probes passed, {} were refused, in {:.1} s",
            self.allowed, self.refused, self.seconds
        )
    }

    pub fn told(&self) -> String {
        let mut text = self.summary() + "\n";
        let lists: [(&str, Vec<&String>); 6] = [
            ("the stage is broken", self.broken.iter().collect()),
            ("packets", self.packets.iter().collect()),
            ("false addresses", self.pretended.iter().collect()),
            ("reach", self.reach.iter().collect()),
            ("packets and reach", self.between.iter().collect()),
            ("no packet of flow", self.unproved.iter().collect()),
        ];
        for (what, lines) in lists {
            for line in lines {
                text += &format!("{what}: {line}\n");
            }
        }
        text
    }
}

/// One pair and service: what the flows mean and what passed, of any of their addresses.
#[derive(Default)]
struct Any {
    meant: bool,
    passed: bool,
}

fn word(passes: bool) -> &'static str {
    if passes { "it passes" } else { "it is refused" }
}

fn meaning(allowed: bool) -> &'static str {
    if allowed {
        "flows allow it"
    } else {
        "flows refuse it"
    }
}

pub fn compare(
    spec: &Appliance,
    parties: &[Party],
    probes: &[Probe],
    report: &Report,
    pairs: &[Pair],
) -> Comparison {
    let mut found = Comparison {
        seconds: report.seconds,
        ..Comparison::default()
    };
    let mut any: BTreeMap<(usize, usize, Service), Any> = BTreeMap::new();
    let mut proved = BTreeSet::new();
    assert_eq!(
        (report.before.len(), report.after.len()),
        (probes.len(), probes.len())
    );
    for ((probe, before), after) in probes.iter().zip(&report.before).zip(&report.after) {
        let packet = probe.packet(parties);
        let (from, to, service) = (&packet.from.name, &packet.to.name, probe.service);
        let addressed = format!(
            "{from} ({}) -> {to} ({}) {service}",
            probe.source, probe.dest
        );
        if before != "open" {
            found
                .broken
                .push(format!("{addressed} without a rule: {before}"));
        }
        let passed = match after.as_str() {
            "open" => true,
            "silent" => false,
            // The answer to a false address is the neighbour's; that it arrives is enough.
            other if probe.pretended && other.starts_with("arrives") => true,
            other => {
                found.broken.push(format!("{addressed}: {other}"));
                continue;
            }
        };
        let meant = allowed(spec, &packet);
        match passed {
            true => found.allowed += 1,
            false => found.refused += 1,
        }
        let differs = passed != meant;
        if probe.pretended {
            if differs {
                let line = format!("{addressed}: {}, {}", meaning(meant), word(passed));
                found.pretended.insert(line);
            }
            continue;
        }
        if differs {
            let line = format!(
                "{from} -> {to} {service}: {}, {}",
                meaning(meant),
                word(passed)
            );
            found.packets.insert(line);
        }
        let one = any.entry((probe.from, probe.to, service)).or_default();
        one.meant |= meant;
        one.passed |= passed;
        if passed {
            let flows = spec.flow.iter().enumerate();
            proved.extend(
                flows
                    .filter(|(_, flow)| is_of(spec, flow, &packet))
                    .map(|(at, _)| at),
            );
        }
    }
    for (at, flow) in spec.flow.iter().enumerate() {
        if !proved.contains(&at) {
            found.unproved.push(flow.name.to_string());
        }
    }
    same_pairs(parties, pairs, &mut found);
    for ((from, to, service), Any { meant, passed }) in any {
        let (from, to) = (&parties[from].name, &parties[to].name);
        let pair = pairs
            .iter()
            .find(|pair| pair.from == *from && pair.to == *to);
        let Some(pair) = pair else { continue };
        let says = says(pair, service);
        if says != meant {
            let line = format!(
                "{from} -> {to} {service}: {}, {}",
                meaning(meant),
                word(says)
            );
            found.reach.insert(line);
        }
        if says != passed {
            let line = format!(
                "{from} -> {to} {service}: {}, reach says {}",
                word(passed),
                word(says)
            );
            found.between.insert(line);
        }
    }
    found
}

fn says(pair: &Pair, service: Service) -> bool {
    let name = service.protocol.name();
    pair.open.iter().any(|open| match open {
        Open::All => true,
        Open::Protocol(protocol) => *protocol == name,
        Open::Ports(protocol, first, last) => {
            *protocol == name && (*first..=*last).contains(&service.port)
        }
    })
}

/// Nobody is forgotten on either side. What a group would send cannot be tried, so nothing filtered may be open to it.
fn same_pairs(parties: &[Party], pairs: &[Pair], found: &mut Comparison) {
    let mut asked = BTreeSet::new();
    for from in parties {
        for to in parties.iter().filter(|to| is_asked(from, to)) {
            asked.insert((from.name.as_str(), to.name.as_str()));
        }
    }
    let groups: Vec<&str> = parties
        .iter()
        .filter(|party| party.kind == Kind::Group)
        .map(|party| party.name.as_str())
        .collect();
    let mut answered = BTreeSet::new();
    for pair in pairs {
        if !groups.contains(&pair.from.as_str()) {
            answered.insert((pair.from.as_str(), pair.to.as_str()));
        } else if pair.filtered && !pair.open.is_empty() {
            let line = format!("{} -> {}: open to a group", pair.from, pair.to);
            found.reach.insert(line);
        }
    }
    for (from, to) in asked.symmetric_difference(&answered) {
        found
            .between
            .insert(format!("{from} -> {to}: only one of both knows this pair"));
    }
}
