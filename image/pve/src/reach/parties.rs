//! Who there is, and at which addresses: what the appliance gives to the question, which has nothing to do with rules.

use roamcore_spec::Appliance;
use roamcore_spec::net::Address;

use super::ranges::Ranges;

/// Somebody who can send or receive.
pub(super) struct Party {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) ranges: Ranges,
}

pub(super) enum Place {
    /// A guest, by its id.
    Guest(u32),
    Host,
    /// Outside of this node; `Some` arrives at the host over this interface.
    Outside(Option<String>),
}

/// Everybody, each address with one of them only: guests and host before the segment they are in.
pub(super) fn parties(appliance: &Appliance) -> Vec<Party> {
    let mut all = Vec::new();
    let mut taken: Vec<Address> = Vec::new();
    for guest in &appliance.guest {
        let addresses = appliance.addresses_of(guest);
        let mut ranges = Ranges::of_addresses(&addresses);
        if addresses.is_empty() {
            let cards = guest
                .nic
                .iter()
                .filter_map(|nic| appliance.segment_named(&nic.segment));
            cards.for_each(|segment| ranges.add(segment.subnet));
        }
        taken.extend(addresses);
        all.push(Party {
            name: guest.name.to_string(),
            place: Place::Guest(guest.id),
            ranges,
        });
    }
    if let Some(host) = &appliance.host {
        taken.push(host.address);
        all.push(Party {
            name: "host".to_owned(),
            place: Place::Host,
            ranges: Ranges::of_addresses(&[host.address]),
        });
    }
    // Routers that are guests have these addresses already.
    let gateways = appliance
        .segment
        .iter()
        .filter_map(|segment| segment.gateway);
    let foreign: Vec<Address> = gateways
        .filter(|gateway| !taken.contains(gateway))
        .collect();
    let outside = |name: &str, ranges: Ranges| Party {
        name: name.to_owned(),
        place: Place::Outside(None),
        ranges,
    };
    if !foreign.is_empty() {
        all.push(outside("gateway", Ranges::of_addresses(&foreign)));
        taken.extend(foreign);
    }
    let mut internet = Ranges::machines();
    for external in &appliance.external {
        let mut ranges = Ranges::default();
        for subnet in &external.addresses {
            ranges.add(*subnet);
            internet.remove_subnet(*subnet);
        }
        taken
            .iter()
            .for_each(|address| ranges.remove_address(*address));
        all.push(outside(external.name.as_str(), ranges));
    }
    for segment in &appliance.segment {
        let mut ranges = Ranges::of_subnet(segment.subnet);
        let externals = appliance
            .external
            .iter()
            .flat_map(|external| &external.addresses);
        externals.for_each(|subnet| ranges.remove_subnet(*subnet));
        taken
            .iter()
            .for_each(|address| ranges.remove_address(*address));
        internet.remove_subnet(segment.subnet);
        all.push(outside(segment.name.as_str(), ranges));
    }
    let tunnels = appliance
        .guest
        .iter()
        .filter_map(|guest| guest.router.as_ref()?.wireguard.as_ref());
    tunnels.for_each(|tunnel| internet.remove_subnet(tunnel.subnet));
    all.push(outside("internet", internet));
    if let Some(interface) = appliance
        .host
        .as_ref()
        .and_then(|host| host.admin_interface.as_ref())
    {
        all.push(Party {
            name: interface.to_string(),
            place: Place::Outside(Some(interface.to_string())),
            // Any address: rules of the host look at the interface. This one is of the shared space that VPNs use.
            ranges: Ranges::of_addresses(&[Address::from_bits(0x6440_0001)]),
        });
    }
    all
}
