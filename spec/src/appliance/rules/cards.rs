//! Cards of guests: their segments, trunks, addresses and filters.

use std::collections::BTreeMap;

use crate::appliance::{Appliance, Guest, GuestNic};
use crate::fault::Fault;
use crate::findings::Findings;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    let mut addresses = BTreeMap::new();
    if let Some(host) = &appliance.host {
        addresses.insert(host.address, "the host".to_owned());
    }
    for (index, guest) in appliance.guest.iter().enumerate() {
        for (card, nic) in guest.nic.iter().enumerate() {
            let path = |key: &str| format!("guest[{index}].nic[{card}].{key}");
            segments(appliance, nic, &path, findings);
            let duplicate = address(appliance, guest, nic, &path, findings)
                .and_then(|address| Some((address, addresses.get(&address)?.clone())));
            if let Some((address, first)) = duplicate {
                let fault = Fault::Duplicate {
                    what: "address",
                    value: address.to_string(),
                    first,
                };
                findings.add(&path("address"), fault);
            }
            if let Some(address) = nic.address {
                addresses
                    .entry(address)
                    .or_insert_with(|| format!("guest `{}`", guest.name));
            }
            filter(guest, nic, &path, findings);
        }
    }
    macs(appliance, findings);
}

fn segments(
    appliance: &Appliance,
    nic: &GuestNic,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    let there = || {
        appliance
            .segment
            .iter()
            .map(|segment| segment.name.as_str())
    };
    let own = appliance.segment_named(&nic.segment);
    if own.is_none() {
        findings.missing(&path("segment"), "segment", nic.segment.as_str(), there());
    }
    let mut seen = vec![&nic.segment];
    for (i, name) in nic.trunk.iter().enumerate() {
        let at = path(&format!("trunk[{i}]"));
        match appliance.segment_named(name) {
            None => findings.missing(&at, "segment", name.as_str(), there()),
            Some(segment) if segment.vlan.is_none() => {
                findings.conflict(&at, "segment", name, "on a trunk", "it has no `vlan`");
            }
            Some(segment) => {
                if let Some(own) = own.filter(|own| own.bridge != segment.bridge) {
                    let this = format!("on {}", segment.bridge);
                    let other = format!("the card is on {}", own.bridge);
                    findings.conflict(&at, "segment", name, &this, &other);
                }
            }
        }
        if seen.contains(&name) {
            let fault = Fault::Duplicate {
                what: "segment",
                value: name.to_string(),
                first: "this card".to_owned(),
            };
            findings.add(&at, fault);
        }
        seen.push(name);
    }
}

/// A fixed address that others must not have, once it is found to be in its place.
fn address(
    appliance: &Appliance,
    guest: &Guest,
    nic: &GuestNic,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) -> Option<crate::net::Address> {
    let segment = appliance.segment_named(&nic.segment)?;
    let served = guest.serves(&segment.name);
    if served && nic.dhcp {
        findings.unfit(
            &path("dhcp"),
            "dhcp",
            "a card in a segment that the guest routes: it has the gateway's address",
        );
    }
    let address = nic.address?;
    if served {
        findings.unfit(
            &path("address"),
            "address",
            "a card in a segment that the guest routes: it has the gateway's",
        );
        return None;
    }
    if !segment.subnet.has_host(address) {
        let allowed = format!(
            "an address of a machine in {} (segment `{}`)",
            segment.subnet, segment.name
        );
        findings.out_of_range(&path("address"), &address, &allowed);
        return None;
    }
    let this = format!("guest `{}`'s", guest.name);
    if segment.gateway == Some(address) {
        let other = format!("it is the gateway of segment `{}`", segment.name);
        findings.conflict(&path("address"), "address", &address, &this, &other);
    }
    if let Some(dhcp) = &segment.dhcp
        && (dhcp.first..=dhcp.last).contains(&address)
    {
        let other = format!("segment `{}` gives it away by DHCP", segment.name);
        findings.conflict(&path("address"), "address", &address, &this, &other);
    }
    Some(address)
}

/// A filter on a card would see a router's forwarded packets as forged, and cannot look into a trunk.
fn filter(
    guest: &Guest,
    nic: &GuestNic,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    if !nic.firewall {
        return;
    }
    let why = if guest.router.is_some() {
        "a router forwards what is not its own"
    } else if !nic.trunk.is_empty() {
        "tagged packets of a trunk cannot be filtered"
    } else {
        return;
    };
    let fault = Fault::Conflict {
        what: "card of guest",
        value: guest.name.to_string(),
        this: "filtered".to_owned(),
        other: why.to_owned(),
    };
    findings.add_with_hint(
        &path("segment"),
        fault,
        "write `firewall = false` for this card",
    );
}

fn macs(appliance: &Appliance, findings: &mut Findings<'_>) {
    let mut cards = Vec::new();
    for (index, guest) in appliance.guest.iter().enumerate() {
        let mut before = appliance.guest.iter().take(index);
        if before.any(|other| other.id == guest.id) {
            continue; // told already; from one id comes one address
        }
        for (card, nic) in guest.nic.iter().enumerate() {
            let path = format!("guest[{index}].nic[{card}].mac");
            let mac = appliance.mac_of(guest, card);
            if !mac.is_unicast() {
                findings.out_of_range(&path, &mac, "one card's own: an even first byte");
            }
            // What is given comes first, so that a collision is told at the derived one, which can be settled by `mac`.
            cards.push((
                nic.mac.is_none(),
                path,
                mac,
                format!("card {card} of guest `{}`", guest.name),
            ));
        }
    }
    cards.sort_by_key(|(derived, ..)| *derived);
    findings.unique(
        "MAC",
        cards
            .into_iter()
            .map(|(_, path, mac, owner)| (path, mac, owner)),
    );
}
