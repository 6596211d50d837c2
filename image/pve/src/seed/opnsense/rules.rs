//! The packet filter: inside reaches out, some of inside reach each other, outside reaches the tunnel.
//!
//! Order is by `sequence`, and the first that matches decides. What no rule passes is blocked by OPNsense itself.

use std::collections::BTreeSet;

use super::super::SeedError;
use super::super::xml::Xml;
use super::config::uuid;
use super::{GROUP, OpnSense};

const RULE: u8 = 6;

/// One rule; what is `None` is anything.
struct Rule<'a> {
    action: &'static str,
    interface: &'a str,
    protocol: &'static str,
    source: &'a str,
    destination: &'a str,
    port: Option<u16>,
    gateway: Option<&'static str>,
    text: String,
}

pub(super) fn write(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    let inside: Vec<_> = want.networks().collect();
    let mut rules = Vec::new();
    let peers = want.wireguard.iter().flat_map(|tunnel| &tunnel.peers);
    // What all of the internet is behind stays the WANs'.
    let nets = peers
        .flat_map(|peer| &peer.allowed)
        .filter(|net| !net.ends_with("/0") && !net.contains(':'));
    let through: BTreeSet<&str> = nets.map(String::as_str).collect();
    for (id, network) in &inside {
        let rule = |action, destination, text: String| Rule {
            action,
            interface: id,
            protocol: "any",
            source: id,
            destination,
            port: None,
            gateway: None,
            text,
        };
        let name = &network.name;
        if network.reaches_inside {
            // Before the rule with a gateway, which would send inside's traffic out.
            rules.push(rule("pass", "(self)", format!("{name} to this router")));
        } else {
            for (port, what) in [(53, "names"), (123, "time")] {
                rules.push(Rule {
                    protocol: if port == 53 { "TCP/UDP" } else { "UDP" },
                    port: Some(port),
                    ..rule(
                        "pass",
                        "(self)",
                        format!("{name} to this router for {what}"),
                    )
                });
            }
            rules.push(rule("block", "(self)", format!("{name} to this router")));
        }
        for (other, to) in inside.iter().filter(|(other, _)| other != id) {
            let action = if network.reaches_inside {
                "pass"
            } else {
                "block"
            };
            rules.push(rule(action, other, format!("{name} to {}", to.name)));
        }
        if network.reaches_inside {
            for net in &through {
                rules.push(rule("pass", net, format!("{name} through the tunnel")));
            }
        }
        rules.push(Rule {
            gateway: (want.wans.len() > 1).then_some(GROUP),
            ..rule("pass", "any", format!("{name} to the internet"))
        });
    }
    let ways_out: Vec<_> = want.ways_out().collect();
    if let Some(tunnel) = &want.wireguard {
        for (id, wan) in &ways_out {
            rules.push(Rule {
                action: "pass",
                interface: id,
                protocol: "UDP",
                source: "any",
                destination: "(self)",
                port: Some(tunnel.port),
                gateway: None,
                text: format!("{} to the tunnel {}", wan.name, tunnel.name),
            });
        }
        rules.push(Rule {
            action: "pass",
            // All tunnels together are an interface group of this name.
            interface: "wireguard",
            protocol: "any",
            source: "any",
            destination: "any",
            port: None,
            gateway: None,
            text: format!("From the tunnel {}", tunnel.name),
        });
    }
    xml.node("Firewall", |xml| {
        xml.node("Filter", |xml| {
            xml.node("rules", |xml| {
                let mut numbered = rules.iter().enumerate();
                numbered.try_for_each(|(at, rule)| one(at, rule, xml))
            })
        })
    })
}

fn one(at: usize, rule: &Rule<'_>, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node_with("rule", &[("uuid", &uuid(RULE, at))], |xml| {
        xml.leaves(&[("enabled", "1"), ("statetype", "keep")])?;
        // Room between two for what the owner adds.
        xml.leaf("sequence", 10 * (at + 1))?;
        xml.leaves(&[
            ("action", rule.action),
            ("quick", "1"),
            ("interfacenot", "0"),
            ("interface", rule.interface),
            ("direction", "in"),
            ("ipprotocol", "inet"),
            ("protocol", rule.protocol),
            ("source_net", rule.source),
            ("source_not", "0"),
            ("destination_net", rule.destination),
            ("destination_not", "0"),
        ])?;
        rule.port
            .map_or(Ok(()), |port| xml.leaf("destination_port", port))?;
        rule.gateway
            .map_or(Ok(()), |gateway| xml.leaf("gateway", gateway))?;
        xml.leaves(&[("log", "0"), ("description", &rule.text)])
    })
}
