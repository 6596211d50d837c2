//! Who takes part, and at which addresses: guests, host, routers, external machines, a client in each segment, somebody
//! in the internet, and who manages the host. Names are those that flows and `reach` use.

use roamcore_spec::Appliance;
use roamcore_spec::appliance::{GATEWAY, HOST, INTERNET};
use roamcore_spec::net::{Address, Subnet};

/// Of the networks that stand for examples.
pub const SOMEBODY: &str = "198.51.100.7";
/// The router's address on the way there.
pub const WAN: &str = "198.51.100.1";
/// Of the shared space that VPNs use.
pub const MANAGER: &str = "100.64.0.1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Guest(u32),
    Host,
    /// Who comes over the host's interface for management.
    Vpn,
    /// A machine beside the host.
    Machine,
    /// No machine: whoever listens to a group's addresses.
    Group,
}

pub struct Party {
    pub name: String,
    pub kind: Kind,
    pub addresses: Vec<Address>,
    /// An address of its segment that a guest has no right to.
    pub pretended: Option<Address>,
}

pub fn is_group(subnet: Subnet) -> bool {
    let groups: Subnet = "224.0.0.0/4".parse().unwrap();
    groups.contains(subnet.first())
}

pub fn parties(spec: &Appliance) -> Vec<Party> {
    let host = spec.host.as_ref().unwrap();
    let mut taken: Vec<Address> = vec![host.address];
    taken.extend(spec.guest.iter().flat_map(|guest| spec.addresses_of(guest)));
    // Routers that are guests have these already.
    let gateways = spec.segment.iter().filter_map(|segment| segment.gateway);
    let foreign: Vec<Address> = gateways
        .filter(|address| !taken.contains(address))
        .collect();
    taken.extend(&foreign);
    let externals = spec
        .external
        .iter()
        .flat_map(|external| &external.addresses);
    taken.extend(externals.map(|subnet| subnet.first()));
    // From the end, where DHCP and people rarely begin.
    let mut free = |subnet: Subnet| {
        let mut bits = subnet.last().bits() - 1;
        while taken.contains(&Address::from_bits(bits)) {
            bits -= 1;
        }
        let address = Address::from_bits(bits);
        assert!(subnet.has_host(address), "{subnet} is full");
        taken.push(address);
        address
    };

    let mut all = Vec::new();
    let mut add = |name: &str, kind: Kind, addresses: Vec<Address>, pretended| {
        all.push(Party {
            name: name.to_owned(),
            kind,
            addresses,
            pretended,
        });
    };
    for guest in &spec.guest {
        let addresses = spec.addresses_of(guest);
        let name = guest.name.as_str();
        assert!(
            !addresses.is_empty(),
            "{name} has no fixed address: no place for it here"
        );
        let filtered = guest.nic.iter().find(|nic| nic.firewall);
        let segment = filtered.and_then(|nic| spec.segment_named(&nic.segment));
        let pretended = segment.map(|segment| free(segment.subnet));
        add(name, Kind::Guest(guest.id), addresses, pretended);
    }
    add(HOST, Kind::Host, vec![host.address], None);
    if !foreign.is_empty() {
        add(GATEWAY, Kind::Machine, foreign, None);
    }
    for external in &spec.external {
        let single = external
            .addresses
            .iter()
            .all(|subnet| subnet.prefix() == 32);
        assert!(
            single,
            "{} is a network: no place for it here",
            external.name
        );
        let groups = external
            .addresses
            .iter()
            .filter(|subnet| is_group(**subnet));
        let kind = match groups.count() {
            0 => Kind::Machine,
            _ => Kind::Group,
        };
        let addresses = external.addresses.iter().map(|subnet| subnet.first());
        add(external.name.as_str(), kind, addresses.collect(), None);
    }
    for segment in &spec.segment {
        let client = free(segment.subnet);
        add(segment.name.as_str(), Kind::Machine, vec![client], None);
    }
    add(
        INTERNET,
        Kind::Machine,
        vec![SOMEBODY.parse().unwrap()],
        None,
    );
    if let Some(interface) = &host.admin_interface {
        let manager = vec![MANAGER.parse().unwrap()];
        add(interface.as_str(), Kind::Vpn, manager, None);
    }
    all
}
