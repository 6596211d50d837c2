//! Bridges, segments, the host's address, and machines outside.

use std::collections::BTreeMap;

use crate::appliance::{Appliance, Segment};
use crate::fault::Fault;
use crate::findings::Findings;

/// Prefixes of a segment: room for a router and a guest, and no more than a private network of class A.
const PREFIXES: std::ops::RangeInclusive<u8> = 8..=30;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    bridges(appliance, findings);
    let named = |(i, segment): (usize, &Segment)| {
        let path = format!("segment[{i}].name");
        (path, segment.name.clone(), format!("segment {}", i + 1))
    };
    findings.unique("segment", appliance.segment.iter().enumerate().map(named));
    for (index, segment) in appliance.segment.iter().enumerate() {
        one_segment(appliance, index, segment, findings);
    }
    between_segments(appliance, findings);
    host(appliance, findings);
    for (index, external) in appliance.external.iter().enumerate() {
        if external.addresses.is_empty() {
            let path = format!("external[{index}].addresses");
            findings.add(&path.clone(), Fault::Empty(path));
        }
        for (item, subnet) in external.addresses.iter().enumerate() {
            let path = format!("external[{index}].addresses[{item}]");
            if subnet.prefix() == 0 {
                findings.out_of_range(
                    &path,
                    subnet,
                    "less than every address; `internet` is a name of its own",
                );
            }
            let first = external
                .addresses
                .iter()
                .take(item)
                .position(|other| other == subnet);
            if let Some(first) = first {
                let fault = Fault::Duplicate {
                    what: "address",
                    value: subnet.to_string(),
                    first: format!("entry {}", first + 1),
                };
                findings.add(&path, fault);
            }
        }
    }
}

fn bridges(appliance: &Appliance, findings: &mut Findings<'_>) {
    let names = appliance.bridge.iter().enumerate();
    findings.unique(
        "bridge",
        names.map(|(i, b)| {
            (
                format!("bridge[{i}].name"),
                b.name.clone(),
                format!("bridge {}", i + 1),
            )
        }),
    );
    let ports = appliance.bridge.iter().enumerate().flat_map(|(i, bridge)| {
        let nics = bridge.nics.iter().enumerate();
        nics.map(move |(j, nic)| {
            let path = format!("bridge[{i}].nics[{j}]");
            (path, nic.clone(), format!("`{}`", bridge.name))
        })
    });
    findings.unique("NIC", ports);
}

fn one_segment(
    appliance: &Appliance,
    index: usize,
    segment: &Segment,
    findings: &mut Findings<'_>,
) {
    let path = |key: &str| format!("segment[{index}].{key}");
    if !appliance
        .bridge
        .iter()
        .any(|bridge| bridge.name == segment.bridge)
    {
        let there = appliance.bridge.iter().map(|bridge| bridge.name.as_str());
        findings.missing(&path("bridge"), "bridge", segment.bridge.as_str(), there);
    }
    if let Some(vlan) = segment.vlan.filter(|vlan| !(1..=4094).contains(vlan)) {
        findings.out_of_range(&path("vlan"), &vlan, "1 to 4094");
    }
    let subnet = segment.subnet;
    if !PREFIXES.contains(&subnet.prefix()) {
        let allowed = format!(
            "a network of {} to {} bits",
            PREFIXES.start(),
            PREFIXES.end()
        );
        findings.out_of_range(&path("subnet"), &subnet, &allowed);
    }
    let inside = |findings: &mut Findings<'_>, key: &str, address| {
        if !subnet.has_host(address) {
            let allowed = format!("an address of a machine in {subnet}");
            findings.out_of_range(&path(key), &address, &allowed);
        }
    };
    if let Some(gateway) = segment.gateway {
        inside(findings, "gateway", gateway);
    }
    let Some(dhcp) = &segment.dhcp else { return };
    inside(findings, "dhcp.first", dhcp.first);
    inside(findings, "dhcp.last", dhcp.last);
    if dhcp.last < dhcp.first {
        let allowed = format!("{} or higher", dhcp.first);
        findings.out_of_range(&path("dhcp.last"), &dhcp.last, &allowed);
    }
    let served = |guest: &crate::appliance::Guest| {
        let router = guest.router.as_ref();
        router.is_some_and(|router| router.serves.contains(&segment.name))
    };
    if !appliance.guest.iter().any(served) {
        findings.conflict(
            &path("dhcp"),
            "segment",
            &segment.name,
            "to have DHCP",
            "no guest routes it (`router.serves`)",
        );
    }
    let pool = |address| (dhcp.first..=dhcp.last).contains(&address);
    if let Some(gateway) = segment.gateway.filter(|gateway| pool(*gateway)) {
        findings.conflict(
            &path("dhcp"),
            "address",
            &gateway,
            "given away by DHCP",
            "it is the gateway's",
        );
    }
    if let Some(host) = &appliance.host
        && host.segment == segment.name
        && pool(host.address)
    {
        findings.conflict(
            &path("dhcp"),
            "address",
            &host.address,
            "given away by DHCP",
            "it is the host's",
        );
    }
}

/// One VLAN of a bridge is one segment; several may share what is untagged, as long as their addresses differ.
fn between_segments(appliance: &Appliance, findings: &mut Findings<'_>) {
    let mut tags: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    for (index, segment) in appliance.segment.iter().enumerate() {
        let name = segment.name.as_str();
        if let Some(vlan) = segment.vlan {
            let first = *tags.entry((segment.bridge.as_str(), vlan)).or_insert(name);
            if first != name {
                let fault = Fault::Duplicate {
                    what: "VLAN",
                    value: format!("{vlan} on {}", segment.bridge),
                    first: format!("segment `{first}`"),
                };
                findings.add(&format!("segment[{index}].vlan"), fault);
            }
        }
        let before = appliance.segment.iter().take(index);
        if let Some(other) = before
            .into_iter()
            .find(|other| other.subnet.overlaps(segment.subnet))
        {
            let this = format!("that of segment `{name}`");
            let overlap = format!("it overlaps {} of segment `{}`", other.subnet, other.name);
            findings.conflict(
                &format!("segment[{index}].subnet"),
                "network",
                &segment.subnet,
                &this,
                &overlap,
            );
        }
    }
}

fn host(appliance: &Appliance, findings: &mut Findings<'_>) {
    let Some(host) = &appliance.host else { return };
    let there = || {
        appliance
            .segment
            .iter()
            .map(|segment| segment.name.as_str())
    };
    match appliance.segment_named(&host.segment) {
        None => findings.missing("host.segment", "segment", host.segment.as_str(), there()),
        Some(segment) => {
            if !segment.subnet.has_host(host.address) {
                let allowed = format!("an address of a machine in {}", segment.subnet);
                findings.out_of_range("host.address", &host.address, &allowed);
            }
            if segment.gateway == Some(host.address) {
                let other = format!("it is the gateway of segment `{}`", segment.name);
                findings.conflict(
                    "host.address",
                    "address",
                    &host.address,
                    "the host's",
                    &other,
                );
            }
            if segment.gateway.is_none() && host.dns.is_empty() {
                findings.add_with_hint(
                    "host",
                    Fault::MissingKey("dns".to_owned()),
                    format!(
                        "segment `{}` has no gateway that could be asked",
                        segment.name
                    ),
                );
            }
        }
    }
    for (index, name) in host.admin_segments.iter().enumerate() {
        if appliance.segment_named(name).is_none() {
            findings.missing(
                &format!("host.admin_segments[{index}]"),
                "segment",
                name.as_str(),
                there(),
            );
        }
    }
    if host.admin_interface.is_none() && host.admin_segments.is_empty() {
        findings.add_with_hint(
            "host",
            Fault::MissingKey("admin_interface".to_owned()),
            "without it and `admin_segments` nobody can manage the host",
        );
    }
}
