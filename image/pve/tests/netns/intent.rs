//! What the flows of an appliance mean for one packet, from its specification alone: no compiled file is looked at.
//!
//! There are three kinds of doors: out of a guest that is filtered, into one, and into the host. A flow opens the doors of
//! those whom it names, towards whatever has an address that its other end covers. A packet passes when each door on its
//! way is open; where there is none, everything passes.

use std::fmt;

use roamcore_spec::Appliance;
use roamcore_spec::appliance::{End, Flow, Guest, HOST};
use roamcore_spec::names::Name;
use roamcore_spec::net::{Address, Protocol, Subnet};

use super::parties::{Kind, Party};

/// What is asked for; ICMP has no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    pub protocol: Protocol,
    pub port: u16,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => f.write_str("icmp"),
            protocol => write!(f, "{}/{}", protocol.name(), self.port),
        }
    }
}

/// The first packet of a connection.
pub struct Packet<'a> {
    pub from: &'a Party,
    pub source: Address,
    pub to: &'a Party,
    pub dest: Address,
    pub service: Service,
}

/// SSH, and Proxmox's web interface.
const ADMIN: [u16; 2] = [22, 8006];

pub fn allowed(spec: &Appliance, packet: &Packet<'_>) -> bool {
    leaves(spec, packet) && enters(spec, packet)
}

fn leaves(spec: &Appliance, packet: &Packet<'_>) -> bool {
    let Some(guest) = filtered(spec, packet.from) else {
        return true;
    };
    let mut flows = spec.flow.iter();
    // A guest cannot pretend another address.
    spec.addresses_of(guest).contains(&packet.source)
        && flows.any(|flow| {
            names(&flow.from, guest.name.as_str())
                && covers(spec, &flow.to, packet.dest)
                && carries(flow, packet.service)
        })
}

fn enters(spec: &Appliance, packet: &Packet<'_>) -> bool {
    let opened = |name: &str| {
        spec.flow.iter().any(|flow| {
            names(&flow.to, name)
                && covers(spec, &flow.from, packet.source)
                && carries(flow, packet.service)
        })
    };
    match (&packet.to.kind, filtered(spec, packet.to)) {
        (Kind::Host, _) => opened(HOST) || manages(spec, packet),
        (_, Some(guest)) => opened(guest.name.as_str()),
        (_, None) => true,
    }
}

/// The host is managed over one interface and from some segments.
fn manages(spec: &Appliance, packet: &Packet<'_>) -> bool {
    let host = spec.host.as_ref().unwrap();
    let segments = host.admin_segments.as_slice();
    packet.service.protocol == Protocol::Tcp
        && ADMIN.contains(&packet.service.port)
        && (matches!(packet.from.kind, Kind::Vpn) || covers(spec, segments, packet.source))
}

/// True when the packet is one that this flow speaks of.
pub fn is_of(spec: &Appliance, flow: &Flow, packet: &Packet<'_>) -> bool {
    covers(spec, &flow.from, packet.source)
        && covers(spec, &flow.to, packet.dest)
        && carries(flow, packet.service)
}

fn filtered<'a>(spec: &'a Appliance, party: &Party) -> Option<&'a Guest> {
    let Kind::Guest(id) = party.kind else {
        return None;
    };
    let guest = spec.guest.iter().find(|guest| guest.id == id);
    guest.filter(|guest| guest.nic.iter().any(|nic| nic.firewall))
}

fn names(ends: &[Name], name: &str) -> bool {
    ends.iter().any(|end| end.as_str() == name)
}

fn carries(flow: &Flow, service: Service) -> bool {
    let mut ports = flow.ports.iter();
    flow.ports.is_empty()
        || ports.any(|ports| {
            let range = ports.range();
            ports.protocol() == service.protocol
                && range.is_none_or(|(first, last)| (first..=last).contains(&service.port))
        })
}

fn covers(spec: &Appliance, ends: &[Name], address: Address) -> bool {
    ends.iter().any(|end| match spec.end(end).unwrap() {
        End::Internet => is_internet(spec, address),
        End::Host => spec.host.as_ref().unwrap().address == address,
        End::Gateway => spec
            .segment
            .iter()
            .any(|segment| segment.gateway == Some(address)),
        End::Guest(guest) => spec.addresses_of(guest).contains(&address),
        End::Segment(segment) => segment.subnet.contains(address),
        End::External(external) => external.addresses.iter().any(|net| net.contains(address)),
    })
}

/// Everything that the appliance has no name for, of what can be a machine's address.
fn is_internet(spec: &Appliance, address: Address) -> bool {
    let nobody = ["127.0.0.0/8", "224.0.0.0/3"].map(|text| text.parse::<Subnet>().unwrap());
    let segments = spec.segment.iter().map(|segment| segment.subnet);
    let externals = spec
        .external
        .iter()
        .flat_map(|external| &external.addresses);
    let routers = spec.guest.iter().filter_map(|guest| guest.router.as_ref());
    let tunnels = routers.filter_map(|router| Some(router.wireguard.as_ref()?.subnet));
    let mut known = segments
        .chain(externals.copied())
        .chain(tunnels)
        .chain(nobody);
    !known.any(|net| net.contains(address))
}
