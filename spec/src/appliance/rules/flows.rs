//! Flows: their ends exist, have addresses, and have one meaning.

use std::collections::BTreeMap;

use crate::appliance::flow::End;
use crate::appliance::{Appliance, HOST, INTERNET, RESERVED};
use crate::fault::Fault;
use crate::findings::Findings;
use crate::names::Name;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    names_apart(appliance, findings);
    let flows = appliance.flow.iter().enumerate();
    findings.unique(
        "flow",
        flows.map(|(i, flow)| {
            (
                format!("flow[{i}].name"),
                flow.name.clone(),
                format!("flow {}", i + 1),
            )
        }),
    );
    for (i, flow) in appliance.flow.iter().enumerate() {
        for (key, ends) in [("from", &flow.from), ("to", &flow.to)] {
            let path = format!("flow[{i}].{key}");
            if ends.is_empty() {
                findings.add(&path, Fault::Empty(path.clone()));
            }
            for (j, name) in ends.iter().enumerate() {
                end(appliance, &format!("{path}[{j}]"), name, findings);
            }
            findings.unique(
                "end",
                ends.iter().enumerate().map(|(j, name)| {
                    (
                        format!("{path}[{j}]"),
                        name.clone(),
                        format!("entry {}", j + 1),
                    )
                }),
            );
        }
        let ports = flow.ports.iter().enumerate();
        findings.unique(
            "port",
            ports.map(|(j, port)| {
                (
                    format!("flow[{i}].ports[{j}]"),
                    *port,
                    format!("entry {}", j + 1),
                )
            }),
        );
        let from_outside = flow.from.iter().any(|name| name.as_str() == INTERNET);
        if let Some(j) = flow
            .to
            .iter()
            .position(|name| name.as_str() == HOST)
            .filter(|_| from_outside)
        {
            findings.conflict(
                &format!("flow[{i}].to[{j}]"),
                "flow",
                &flow.name,
                "from the internet to the host",
                "the host serves nobody outside",
            );
        }
    }
}

/// A flow names guests, segments and external machines alike.
fn names_apart(appliance: &Appliance, findings: &mut Findings<'_>) {
    let segments = appliance
        .segment
        .iter()
        .enumerate()
        .map(|(i, s)| (format!("segment[{i}].name"), s.name.as_str(), "segment"));
    let externals = appliance
        .external
        .iter()
        .enumerate()
        .map(|(i, e)| (format!("external[{i}].name"), e.name.as_str(), "external"));
    let guests = appliance
        .guest
        .iter()
        .enumerate()
        .map(|(i, g)| (format!("guest[{i}].name"), g.name.as_str(), "guest"));
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, name, what) in segments.chain(externals).chain(guests) {
        if RESERVED.contains(&name) {
            let this = format!("that of a {what}");
            findings.conflict(
                &path,
                "name",
                &name,
                &this,
                "flows mean something else by it",
            );
        }
        match seen.get(name) {
            // Told by the rules on segments and guests.
            Some(first) if *first == what && what != "external" => {}
            Some(first) => {
                let fault = Fault::Duplicate {
                    what: "name",
                    value: name.to_owned(),
                    first: format!("a {first}"),
                };
                findings.add(&path, fault);
            }
            None => {
                seen.insert(name, what);
            }
        }
    }
}

fn end(appliance: &Appliance, path: &str, name: &Name, findings: &mut Findings<'_>) {
    let Some(end) = appliance.end(name) else {
        let segments = appliance
            .segment
            .iter()
            .map(|segment| segment.name.as_str());
        let externals = appliance
            .external
            .iter()
            .map(|external| external.name.as_str());
        let guests = appliance.guest.iter().map(|guest| guest.name.as_str());
        let there: Vec<&str> = guests
            .chain(segments)
            .chain(externals)
            .chain(RESERVED)
            .collect();
        findings.missing(path, "guest, segment or external", name.as_str(), there);
        return;
    };
    match end {
        // An address in an unknown segment is told there.
        End::Guest(guest)
            if appliance.addresses_of(guest).is_empty()
                && guest.nic.iter().all(|nic| nic.address.is_none()) =>
        {
            let fault = Fault::Conflict {
                what: "guest",
                value: name.to_string(),
                this: "an end of a flow".to_owned(),
                other: "none of its cards has a fixed address".to_owned(),
            };
            findings.add_with_hint(
                path,
                fault,
                "give a card an `address`; with `dhcp = true` its router reserves it",
            );
        }
        End::Host if appliance.host.is_none() => {
            findings.conflict(
                path,
                "end",
                &HOST,
                "an end of a flow",
                "there is no section [host]",
            );
        }
        End::Gateway
            if appliance
                .segment
                .iter()
                .all(|segment| segment.gateway.is_none()) =>
        {
            findings.conflict(
                path,
                "end",
                &name,
                "an end of a flow",
                "no segment has a `gateway`",
            );
        }
        _ => {}
    }
}
