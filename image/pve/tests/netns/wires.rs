//! How the parties are connected: bridges and cards as the compiled configurations have them, addresses from the
//! appliance. Written as lines for `ip` and `bridge`; `@NAME` is the process that holds a party's namespace.

use std::collections::BTreeSet;

use roamcore_spec::Appliance;
use roamcore_spec::appliance::{Guest, INTERNET, Segment};
use roamcore_spec::net::Address;
use serde_json::{Value, json};

use super::files::{Card, Files, link, tap};
use super::parties::{Kind, MANAGER, Party, SOMEBODY, WAN};
use super::probes;
use super::stage::Kernel;
use super::translate::Hook;

struct Wires<'a> {
    spec: &'a Appliance,
    kernel: &'a Kernel,
    /// In the host's namespace.
    links: Vec<String>,
    vlans: Vec<String>,
    /// In the namespace of the party that is being connected.
    inside: Vec<String>,
}

/// Everything that is there before any rule, for `stage.py`.
pub fn plan(spec: &Appliance, files: &Files, parties: &[Party], kernel: &Kernel) -> Value {
    let mut wires = Wires {
        spec,
        kernel,
        links: Vec::new(),
        vlans: Vec::new(),
        inside: Vec::new(),
    };
    wires.bridges();
    let gateways: Vec<Address> = spec
        .segment
        .iter()
        .filter_map(|segment| segment.gateway)
        .collect();
    let routes = |party: &Party| {
        gateways
            .iter()
            .all(|gateway| party.addresses.contains(gateway))
    };
    let router = parties.iter().find(|party| routes(party));
    let router = router
        .unwrap_or_else(|| panic!("no party is the gateway of all segments"))
        .name
        .as_str();
    let groups = parties.iter().filter(|party| party.kind == Kind::Group);
    let groups: Vec<String> = groups.flat_map(|party| texts(&party.addresses)).collect();
    let ports = probes::ports(files);
    let over_ip = u8::from(kernel.hook == Hook::BrNetfilter);
    let mut told = Vec::new();
    for (number, party) in parties.iter().enumerate() {
        if party.kind == Kind::Group {
            continue;
        }
        wires.inside = vec!["link set lo up".to_owned()];
        wires.party(number, party, files);
        let mut addresses = texts(&party.addresses);
        let forwards = party.name == router;
        if forwards {
            wires.links.push(format!(
                "link add wan netns @{router} type veth peer name net0 netns @{INTERNET}"
            ));
            wires.inside.extend([
                "link set wan up".to_owned(),
                format!("addr add {WAN}/24 dev wan"),
            ]);
            addresses.push(WAN.to_owned());
        }
        told.push(json!({
            "name": party.name,
            "here": party.kind == Kind::Host,
            "setup": {
                "sysctls": {
                    "ipv4/ip_forward": u8::from(forwards),
                    "bridge/bridge-nf-call-iptables": over_ip,
                    "bridge/bridge-nf-call-ip6tables": over_ip,
                },
                "links": wires.inside,
                "ports": ports,
                "addresses": addresses,
                "groups": groups,
            },
        }));
    }
    json!({ "parties": told, "links": wires.links, "vlans": wires.vlans })
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

impl<'a> Wires<'a> {
    /// A bridge for each of the appliance's, or one for each VLAN where the kernel cannot tell them apart.
    fn bridges(&mut self) {
        let all = self.spec.segment.iter();
        let names: BTreeSet<String> = all
            .map(|segment| self.bridge(segment.bridge.as_str(), segment.vlan))
            .collect();
        let filtering = if self.kernel.vlans {
            " vlan_filtering 1"
        } else {
            ""
        };
        for name in names {
            self.links.push(format!(
                "link add {name} type bridge mcast_snooping 0{filtering}"
            ));
            self.links.push(format!("link set {name} up"));
        }
    }

    fn bridge(&self, bridge: &str, vlan: Option<u16>) -> String {
        match vlan.filter(|_| !self.kernel.vlans) {
            Some(vlan) => format!("{bridge}v{vlan}"),
            None => bridge.to_owned(),
        }
    }

    /// Puts a port into a VLAN, and into no other.
    fn join(&mut self, port: &str, vlan: Option<u16>, whose: &str) {
        if let Some(vlan) = vlan.filter(|vlan| self.kernel.vlans && *vlan != 1) {
            self.vlans.push(format!(
                "vlan add dev {port} vid {vlan} pvid untagged{whose}"
            ));
            self.vlans.push(format!("vlan del dev {port} vid 1{whose}"));
        }
    }

    fn plug(&mut self, port: &str, bridge: &str, vlan: Option<u16>) {
        let bridge = self.bridge(bridge, vlan);
        self.links.push(format!("link set {port} master {bridge}"));
        self.links.push(format!("link set {port} up"));
        self.join(port, vlan, "");
    }

    fn segment(&self, address: Address) -> &'a Segment {
        let mut all = self.spec.segment.iter();
        let found = all.find(|segment| segment.subnet.contains(address));
        found.unwrap_or_else(|| panic!("{address} is in no segment: no place for it here"))
    }

    /// An address inside, with its network.
    fn address(&mut self, address: Address, device: &str) {
        let prefix = self.segment(address).subnet.prefix();
        self.inside.push(format!("link set {device} up"));
        self.inside
            .push(format!("addr add {address}/{prefix} dev {device}"));
    }

    /// The way out, for all but the router itself.
    fn way_out(&mut self, party: &Party) {
        let first = party.addresses.first();
        let gateway = first.and_then(|address| self.segment(*address).gateway);
        if let Some(gateway) = gateway.filter(|gateway| !party.addresses.contains(gateway)) {
            self.inside.push(format!("route add default via {gateway}"));
        }
    }

    fn party(&mut self, number: usize, party: &Party, files: &Files) {
        let name = &party.name;
        match party.kind {
            Kind::Guest(id) => {
                let guest = self.spec.guest.iter().find(|guest| guest.id == id).unwrap();
                for card in &files.guests[&id].cards {
                    self.card(party, guest, card);
                }
                self.way_out(party);
            }
            Kind::Host => {
                let address = party.addresses[0];
                let home = self.segment(address);
                let device = self.bridge(home.bridge.as_str(), home.vlan);
                self.join(&device, home.vlan, " self");
                self.address(address, &device);
                self.way_out(party);
                if let Some(interface) = self
                    .spec
                    .host
                    .as_ref()
                    .and_then(|host| host.admin_interface.as_ref())
                {
                    self.inside.push(format!("link set {interface} up"));
                    self.inside
                        .push(format!("route add {MANAGER}/32 dev {interface}"));
                }
            }
            Kind::Vpn => {
                let host = self.spec.host.as_ref().unwrap().address;
                self.links.push(format!(
                    "link add {name} type veth peer name net0 netns @{name}"
                ));
                self.inside.push("link set net0 up".to_owned());
                self.inside.push(format!("addr add {MANAGER}/32 dev net0"));
                self.inside.push(format!("route add {host}/32 dev net0"));
            }
            // Its link is the router's.
            Kind::Machine if name == INTERNET => {
                self.inside.push("link set net0 up".to_owned());
                self.inside.push(format!("addr add {SOMEBODY}/24 dev net0"));
                self.inside.push(format!("route add default via {WAN}"));
            }
            Kind::Machine => {
                for (at, address) in party.addresses.iter().enumerate() {
                    let (port, device) = (format!("nic{number}p{at}"), format!("net{at}"));
                    self.links.push(format!(
                        "link add {port} type veth peer name {device} netns @{name}"
                    ));
                    let segment = self.segment(*address);
                    self.plug(&port, segment.bridge.as_str(), segment.vlan);
                    self.address(*address, &device);
                }
                self.way_out(party);
            }
            Kind::Group => {}
        }
    }

    /// A card, and for each VLAN that reaches it tagged another: what a guest does with tags is its own business.
    fn card(&mut self, party: &Party, guest: &Guest, card: &Card) {
        let (id, number, name) = (guest.id, card.number, &party.name);
        let (port, device) = (tap(id, number), format!("net{number}"));
        self.links.push(format!(
            "link add {port} type veth peer name {device} address {} netns @{name}",
            card.mac
        ));
        match card.firewall {
            true => {
                assert!(
                    card.trunks.is_empty(),
                    "{name}: tags on a filtered card have no place here"
                );
                let (own, inner, outer) = (
                    format!("fwbr{id}i{number}"),
                    link(id, number),
                    format!("fwpr{id}p{number}"),
                );
                let over_ip = match self.kernel.hook {
                    Hook::BrNetfilter => " nf_call_iptables 1 nf_call_ip6tables 1",
                    Hook::Bridge => "",
                };
                self.links.push(format!(
                    "link add {own} type bridge mcast_snooping 0{over_ip}"
                ));
                self.links
                    .push(format!("link add {inner} type veth peer name {outer}"));
                self.links.push(format!("link set {own} up"));
                for port in [&port, &inner] {
                    self.links.push(format!("link set {port} master {own}"));
                    self.links.push(format!("link set {port} up"));
                }
                self.plug(&outer, &card.bridge, card.vlan);
            }
            false => self.plug(&port, &card.bridge, card.vlan),
        }
        if let Some(address) = self.spec.address_of(guest, number) {
            self.address(address, &device);
        }
        if let Some(address) = party.pretended.filter(|_| guest.nic[number].firewall) {
            self.inside
                .push(format!("addr add {address}/32 dev {device}"));
        }
        for vlan in &card.trunks {
            let (port, device) = (format!("{port}v{vlan}"), format!("{device}v{vlan}"));
            self.links.push(format!(
                "link add {port} type veth peer name {device} netns @{name}"
            ));
            self.plug(&port, &card.bridge, Some(*vlan));
            let served = |segment: &&Segment| {
                let here = segment.bridge.as_str() == card.bridge && segment.vlan == Some(*vlan);
                here && guest.serves(&segment.name)
            };
            let segment = self.spec.segment.iter().find(served);
            if let Some(gateway) = segment.and_then(|segment| segment.gateway) {
                self.address(gateway, &device);
            }
        }
    }
}
