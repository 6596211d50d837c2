//! What is tried: every ordered pair of parties, from each address to each, on every port that matters.

use roamcore_pve::reach::{FwFile, Rule};
use roamcore_spec::net::{Address, Protocol};

use super::files::Files;
use super::intent::{Packet, Service};
use super::parties::{Kind, Party};
use super::translate::MANAGER_PORTS;

pub struct Probe {
    pub from: usize,
    pub source: Address,
    pub to: usize,
    pub dest: Address,
    pub service: Service,
    /// True when the source is an address that the sender has no right to.
    pub pretended: bool,
}

impl Probe {
    pub fn packet<'a>(&self, parties: &'a [Party]) -> Packet<'a> {
        Packet {
            from: &parties[self.from],
            source: self.source,
            to: &parties[self.to],
            dest: self.dest,
            service: self.service,
        }
    }
}

/// Every port that a rule names, those that Proxmox opens by itself, and the first above the privileged ones that is in
/// nobody's range.
pub fn ports(files: &Files) -> Vec<u16> {
    let mut ranges: Vec<(u16, u16)> = MANAGER_PORTS.to_vec();
    let guests = files.guests.values().map(|guest| &guest.rules);
    let of_rules = |rules: &[Rule]| -> Vec<(u16, u16)> {
        let ranges = rules.iter().map(|rule| match rule {
            Rule::Match(one) => one.ports.clone(),
            Rule::Group(_) => Vec::new(),
        });
        ranges.flatten().collect()
    };
    let of_file = |file: &FwFile| {
        let groups = file.groups.values().flat_map(|rules| of_rules(rules));
        groups.chain(of_rules(&file.rules)).collect::<Vec<_>>()
    };
    ranges.extend(
        guests
            .chain([&files.cluster, &files.host])
            .flat_map(of_file),
    );
    let nobody = (1025..=u16::MAX).find(|port| {
        let holds = |(first, last): &(u16, u16)| (*first..=*last).contains(port);
        !ranges.iter().any(holds)
    });
    let mut all: Vec<u16> = ranges
        .iter()
        .flat_map(|(first, last)| [*first, *last])
        .collect();
    all.extend(nobody);
    all.sort_unstable();
    all.dedup();
    all
}

/// Who arrives over the host's own interface is nobody's neighbour but the host's. Nobody sends as a group.
pub fn is_asked(from: &Party, to: &Party) -> bool {
    from.name != to.name
        && from.kind != Kind::Group
        && to.kind != Kind::Vpn
        && (from.kind != Kind::Vpn || to.kind == Kind::Host)
}

pub fn probes(parties: &[Party], files: &Files) -> Vec<Probe> {
    let ports = ports(files);
    let of = |protocol: Protocol| {
        ports.iter().map(move |port| Service {
            protocol,
            port: *port,
        })
    };
    let icmp = Service {
        protocol: Protocol::Icmp,
        port: 0,
    };
    // Groups have neither connections nor echoes.
    let to_groups: Vec<Service> = of(Protocol::Udp).collect();
    let to_machines: Vec<Service> = of(Protocol::Tcp)
        .chain(of(Protocol::Udp))
        .chain([icmp])
        .collect();
    let mut all = Vec::new();
    for (at, from) in parties.iter().enumerate() {
        for (towards, to) in parties.iter().enumerate() {
            if !is_asked(from, to) {
                continue;
            }
            let services = match to.kind {
                Kind::Group => &to_groups,
                _ => &to_machines,
            };
            let own = from.addresses.iter().map(|address| (*address, false));
            let false_ones = from.pretended.iter().map(|address| (*address, true));
            for (source, pretended) in own.chain(false_ones) {
                for dest in &to.addresses {
                    all.extend(services.iter().map(|service| Probe {
                        from: at,
                        source,
                        to: towards,
                        dest: *dest,
                        service: *service,
                        pretended,
                    }));
                }
            }
        }
    }
    all
}
