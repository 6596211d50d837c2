//! The firewall: what is compiled opens what flows say, and nothing else; and the judge refuses what Proxmox would drop.

use roamcore_pve::compile::Compiled;
use roamcore_pve::reach::{Open, Pair, ReachError, parse, reach};
use roamcore_spec::Appliance;

use super::{appliance, compiled};

fn open(pairs: &[Pair], from: &str, to: &str) -> String {
    let pair = pairs.iter().find(|pair| pair.from == from && pair.to == to);
    let pair = pair.unwrap_or_else(|| panic!("no pair {from} -> {to}"));
    let open: Vec<String> = pair.open.iter().map(ToString::to_string).collect();
    open.join(" ")
}

fn pairs(name: &str) -> Vec<Pair> {
    let appliance = appliance(name);
    reach(&appliance, &compiled(&appliance)).unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn portal_has_one_way_in_and_one_way_between_each_two() {
    let pairs = pairs("portal");
    for (from, to, wanted) in [
        ("internet", "edge", "tcp/443"),
        ("internet", "app", ""),
        ("internet", "db", ""),
        ("internet", "host", ""),
        ("edge", "app", "tcp/3000 tcp/8080"),
        ("edge", "db", ""),
        ("app", "db", "tcp/5432"),
        ("app", "edge", ""),
        ("db", "app", ""),
        ("db", "edge", ""),
        ("app", "nas", "tcp/2049"),
        ("db", "nas", "tcp/2049"),
        ("edge", "nas", ""),
        ("nas", "db", ""),
        ("mgmt", "db", "tcp/22 icmp"),
        ("mgmt", "host", "tcp/22 tcp/8006"),
        ("dmz", "host", ""),
        ("edge", "host", ""),
        ("app-net", "db", ""),
        ("data", "app", ""),
        ("db", "internet", "tcp/80 tcp/443"),
        ("db", "gateway", "tcp/53 udp/53 udp/123"),
    ] {
        assert_eq!(open(&pairs, from, to), wanted, "{from} -> {to}");
    }
}

#[test]
fn roamcore_is_managed_over_its_admin_interface_only() {
    let pairs = pairs("roamcore");
    for (from, to, wanted) in [
        ("tailscale0", "host", "tcp/22 tcp/8006"),
        ("lan", "host", ""),
        ("internet", "host", ""),
        ("app", "host", "tcp/8180"),
        (
            "lan",
            "homeassistant",
            "tcp/1883 tcp/8123 tcp/8883 udp/1900 udp/5353 icmp",
        ),
        ("internet", "homeassistant", ""),
        ("app", "internet", "everything"),
        ("app", "lan", ""),
        ("homeassistant", "app", "tcp/8080"),
    ] {
        assert_eq!(open(&pairs, from, to), wanted, "{from} -> {to}");
    }
}

fn changed(compiled: &Compiled, path: &str, from: &str, to: &str) -> Compiled {
    let mut compiled = compiled.clone();
    let bytes = compiled.pve.get_mut(path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(from), "{path} has no {from:?}:\n{text}");
    *bytes = text.replacen(from, to, 1).into_bytes();
    compiled
}

#[test]
fn the_answer_comes_from_the_files() {
    let spec = appliance("portal");
    let whole = compiled(&spec);
    let asked = |path: &str, from: &str, to: &str| {
        let pairs = reach(&spec, &changed(&whole, path, from, to));
        pairs.unwrap_or_else(|error| panic!("{error:?}"))
    };
    // The master switch, a guest's own, and its card's: each opens everything.
    let cluster = "firewall/cluster.fw";
    assert_eq!(
        open(
            &asked(cluster, "enable: 1", "enable: 0"),
            "internet",
            "host"
        ),
        "everything"
    );
    let db = "firewall/130.fw";
    assert_eq!(
        open(&asked(db, "enable: 1", "enable: 0"), "data", "db"),
        "everything"
    );
    let config = "nodes/portal/qemu-server/130.conf";
    assert_eq!(
        open(&asked(config, ",firewall=1", ""), "data", "db"),
        "everything"
    );
    // What Proxmox opens by itself to the host's own network: the alias keeps it shut.
    let found = asked(cluster, "local_network 127.0.0.0/8\n", "");
    assert_eq!(
        open(&found, "mgmt", "host"),
        "tcp/22 tcp/3128 tcp/5900-5999 tcp/8006 tcp/60000-60050"
    );
    // Without its filter of addresses a guest can send what it likes, but the other door stays.
    let found = asked("firewall/110.fw", "policy_out: DROP", "policy_out: ACCEPT");
    assert_eq!(open(&found, "edge", "db"), "");
    assert_eq!(open(&found, "edge", "nas"), "everything");
    // A wider alias lets in a neighbour.
    let found = asked(
        cluster,
        "guest-app 10.20.120.10",
        "guest-app 10.20.120.0/24",
    );
    assert_eq!(open(&found, "app-net", "db"), "tcp/5432");
}

#[test]
fn what_proxmox_would_drop_is_an_error() {
    let spec = appliance("portal");
    let whole = compiled(&spec);
    let refused = |path: &str, from: &str, to: &str| -> String {
        match reach(&spec, &changed(&whole, path, from, to)) {
            Err(ReachError::Firewall(error)) => error.why,
            Err(error) => error.to_string(),
            Ok(_) => "accepted".to_owned(),
        }
    };
    let (cluster, db) = ("firewall/cluster.fw", "firewall/130.fw");
    for (path, from, to, wanted) in [
        (
            cluster,
            "guest-app 10.20.120.10\n",
            "",
            "rules refer to what is not there: alias guest-app, alias guest-app",
        ),
        (
            cluster,
            "[group ssh]",
            "[group shs]",
            "rules refer to what is not there: group ssh, group ssh, group ssh",
        ),
        (
            cluster,
            "[group ssh]",
            "[group a-name-that-is-too-long]",
            "no section of this file",
        ),
        (
            cluster,
            "0.0.0.0/1",
            "0.0.0.0/0",
            "a set takes no entry without a prefix",
        ),
        (
            cluster,
            "[OPTIONS]\n\nenable: 1",
            "enable: 1",
            "it is in no section",
        ),
        (
            db,
            "IN ACCEPT",
            "IN ALLOW",
            "an action is ACCEPT, DROP or REJECT; macros are not used here",
        ),
        (
            db,
            "-p tcp -dport 5432",
            "-dport 5432",
            "ports need -p tcp or -p udp",
        ),
        (db, "-dport 5432", "-dport 70000", "\"70000\" is no port"),
        (
            db,
            "policy_in: DROP",
            "policy_in: BLOCK",
            "no value of this option",
        ),
        (
            db,
            "macfilter: 1",
            "mac_filter: 1",
            "no option of this file",
        ),
        (
            db,
            "[IPSET ipfilter-net0]",
            "[ipset x]",
            "no section of this file",
        ),
    ] {
        assert_eq!(refused(path, from, to), wanted, "{path}: {from} -> {to}");
    }
}

#[test]
fn every_file_of_the_firewall_reads_back() {
    for name in ["roamcore", "portal"] {
        let compiled = compiled(&appliance(name));
        for (path, bytes) in compiled
            .pve
            .iter()
            .filter(|(path, _)| path.ends_with(".fw"))
        {
            let level = match path.as_str() {
                "firewall/cluster.fw" => roamcore_pve::reach::Level::Cluster,
                path if path.ends_with("host.fw") => roamcore_pve::reach::Level::Host,
                _ => roamcore_pve::reach::Level::Guest,
            };
            parse(path, level, std::str::from_utf8(bytes).unwrap())
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// What the flows of an appliance say about two ends of flows, without a look at any rule.
pub(crate) fn meant(appliance: &Appliance, from: &str, to: &str) -> Vec<Open> {
    let names = |ends: &[roamcore_spec::names::Name], name: &str| {
        ends.iter().any(|end| end.as_str() == name)
    };
    let mut open = Vec::new();
    for flow in &appliance.flow {
        if names(&flow.from, from) && names(&flow.to, to) {
            if flow.ports.is_empty() {
                return vec![Open::All];
            }
            open.extend(flow.ports.iter().map(|ports| match ports.range() {
                Some((first, last)) => Open::Ports(ports.protocol().name(), first, last),
                None => Open::Protocol(ports.protocol().name()),
            }));
        }
    }
    open.sort();
    open.dedup();
    open
}
