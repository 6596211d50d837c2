//! The firewall's intents, proved with packets.
//!
//! The compiled files of an appliance are put into real nftables on real bridges, with every party in a network namespace
//! of its own, and all of them try each other on every port that a rule names and on one that none does:
//!
//! ```text
//!  guest ns      host ns: nftables, the host's own sockets                              other ns
//!  net0 ── tap110i0 ─ fwbr110i0 ─ fwln110i0 ── fwpr110p0 ─ vmbr0 ─┬─ nic4p0 ── net0      a client of each segment
//!          (a filtered card; one that is not plugs into vmbr0) ───┤                     external machines
//!                                  the host's address ─ vmbr0 ────┴─ nic6p0 ── net0 ┐
//!                                                                            router ┴ wan ── net0 internet
//! ```
//!
//! Three answers are compared, and each disagreement is told: what the flows mean (`intent.rs`, from the specification
//! alone), what the packets do, and what `reach` says. First all of it runs without a rule, and then everything must pass:
//! silence on a broken stage is no proof. The last tests break a compiled file and must see it.
//!
//! What this proves is our intents and our translation of them, not Proxmox's compiler: `translate.rs` says what each rule
//! means to nftables, as we read Proxmox's documentation, and it stands in tests only. Nor does it say what a router lets
//! through between segments: the one here forwards everything. IPv4 only, like appliances.
//!
//! The wiring is Proxmox's: a bridge of its own for each filtered card, so that what a guest gets from its host is
//! forwarded like everything else. Rules hang in the `forward` hook there, in one of two ways, both with connection tracking:
//! over `br_netfilter`, which is how Proxmox's own rules see bridged packets, where the running kernel has it; otherwise in
//! nftables' bridge family. Loading `br_netfilter` would change the machine's own bridges, so nobody does. A kernel without
//! filtering of VLANs gets a bridge for each VLAN, which separates them as well.
//!
//! Everything lives in private user, mount, process and network namespaces: nothing of the machine's network is touched,
//! and nothing is left when the test is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "helpers of tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod files;
mod intent;
mod parties;
mod probes;
mod stage;
mod translate;
mod translate_tests;
mod wires;

use std::collections::BTreeSet;
use std::path::Path;

use compare::{Comparison, compare};
use files::Files;
use roamcore_pve::compile::{Compiled, compile};
use roamcore_pve::reach::reach;
use roamcore_spec::{Appliance, Board, Document, load};

fn appliance(name: &str) -> Document<Appliance> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = load::appliance_path(&root, &name.parse().unwrap());
    load::document(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn compiled(appliance: &Appliance) -> Compiled {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let board: Document<Board> =
        load::board(&root, &appliance.board).unwrap_or_else(|error| panic!("{error}"));
    compile(appliance, &board).unwrap_or_else(|error| panic!("{error}"))
}

/// All three answers about an appliance and these files of it; `None` after a skip.
fn answers(spec: &Appliance, compiled: &Compiled) -> Option<Comparison> {
    let kernel = stage::kernel()?;
    let files = Files::of(spec, compiled);
    let parties = parties::parties(spec);
    let probes = probes::probes(&parties, &files);
    let rules = translate::ruleset(&files, kernel.hook);
    let plan = wires::plan(spec, &files, &parties, &kernel);
    let report = stage::run(&plan, &rules, &parties, &probes);
    let pairs = reach(spec, compiled).unwrap_or_else(|error| panic!("{error:?}"));
    let found = compare(spec, &parties, &probes, &report, &pairs);
    println!("{}", found.summary());
    assert!(found.broken.is_empty(), "{}", found.told());
    Some(found)
}

fn holds(name: &str) {
    let spec = appliance(name);
    let Some(found) = answers(&spec, &compiled(&spec)) else {
        return;
    };
    assert!(found.agree(), "{name}\n{}", found.told());
    assert!(found.unproved.is_empty(), "{name}\n{}", found.told());
    assert!(
        found.allowed > 0 && found.refused > 0,
        "{}",
        found.summary()
    );
}

#[test]
fn portal_lets_pass_what_its_flows_say() {
    holds("portal");
}

#[test]
fn roamcore_lets_pass_what_its_flows_say() {
    holds("roamcore");
}

/// The answers after one change of one compiled file. Packets and `reach` see it alike.
fn changed(name: &str, path: &str, from: &str, to: &str) -> Option<Comparison> {
    let spec = appliance(name);
    let mut compiled = compiled(&spec);
    let bytes = compiled.pve.get_mut(path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(from), "{path} has no {from:?}:\n{text}");
    *bytes = text.replacen(from, to, 1).into_bytes();
    let found = answers(&spec, &compiled)?;
    assert!(!found.agree(), "{path}: {from:?} -> {to:?} was not noticed");
    assert!(found.between.is_empty(), "{}", found.told());
    // `reach` speaks of a party as a whole, packets of each of its addresses.
    assert!(!found.reach.is_empty(), "{}", found.told());
    assert!(found.reach.is_subset(&found.packets), "{}", found.told());
    Some(found)
}

/// Names before and after an arrow, of all disagreements.
fn who(found: &BTreeSet<String>) -> (BTreeSet<&str>, BTreeSet<&str>) {
    found
        .iter()
        .map(|line| {
            let (from, rest) = line.split_once(" -> ").unwrap();
            (from, rest.split_once(' ').unwrap().0)
        })
        .unzip()
}

#[test]
fn a_lost_rule_is_noticed() {
    let rule = "IN ACCEPT -source dc/guest-app -p tcp -dport 5432 -log nolog # app-to-db\n";
    let Some(found) = changed("portal", "firewall/130.fw", rule, "") else {
        return;
    };
    let told: Vec<&String> = found.packets.iter().collect();
    assert_eq!(told, ["app -> db tcp/5432: flows allow it, it is refused"]);
    assert_eq!(found.unproved, ["app-to-db"]);
}

#[test]
fn an_open_policy_is_noticed() {
    let from = "policy_in: DROP";
    let Some(found) = changed("portal", "firewall/110.fw", from, "policy_in: ACCEPT") else {
        return;
    };
    let (from, to) = who(&found.packets);
    // Whoever is not a guest: guests are held back by their own doors.
    let outside = [
        "app-net", "data", "dmz", "gateway", "host", "internet", "mgmt", "nas",
    ];
    assert_eq!(from, BTreeSet::from(outside));
    assert_eq!(to, BTreeSet::from(["edge"]));
    assert!(found.packets.iter().all(|line| line.ends_with("it passes")));
}

#[test]
fn a_card_without_its_filter_is_noticed() {
    let path = "nodes/roamcore/lxc/102.conf";
    let Some(found) = changed("roamcore", path, ",firewall=1", "") else {
        return;
    };
    let (from, to) = who(&found.packets);
    // Everything into it, everything out of it but to who has doors of their own.
    assert!(from.contains("app") && from.contains("security") && to.contains("app"));
    assert!(!from.contains("tailscale0"), "{}", found.told());
    let to_host = found
        .packets
        .iter()
        .any(|line| line.starts_with("app -> host"));
    assert!(!to_host, "{}", found.told());
    // And nothing holds it to its own address.
    assert!(!found.pretended.is_empty(), "{}", found.told());
}

#[test]
fn what_proxmox_opens_to_its_own_network_is_noticed() {
    let path = "firewall/cluster.fw";
    let alias = "local_network 127.0.0.0/8\n";
    let Some(found) = changed("portal", path, alias, "") else {
        return;
    };
    let (from, to) = who(&found.packets);
    assert_eq!(from, BTreeSet::from(["gateway", "mgmt"]));
    assert_eq!(to, BTreeSet::from(["host"]));
    let console = "mgmt -> host tcp/3128: flows refuse it, it passes";
    assert!(found.packets.contains(console), "{}", found.told());
}
