//! The translation, rule by rule.

use std::collections::BTreeMap;

use roamcore_pve::reach::{FwFile, Level, parse};

use super::files::{Card, Files, Guest};
use super::translate::{Hook, pieces, ruleset};

fn read(level: Level, text: &str) -> FwFile {
    parse("test", level, text).unwrap_or_else(|error| panic!("{error}"))
}

fn card(number: usize, firewall: bool) -> Card {
    Card {
        number,
        mac: format!("bc:24:11:00:00:0{number}"),
        bridge: "vmbr0".to_owned(),
        vlan: None,
        trunks: Vec::new(),
        firewall,
    }
}

const ON: &str = "[OPTIONS]\nenable: 1\n";
/// A guest without what Proxmox opens by itself.
const PLAIN: &str = "[OPTIONS]\nenable: 1\ndhcp: 0\nndp: 0\n";

fn files(cluster: &str, host: &str, guest: &str) -> Files {
    let guarded = Guest {
        cards: vec![card(0, true), card(1, false)],
        rules: read(Level::Guest, guest),
    };
    Files {
        cluster: read(Level::Cluster, cluster),
        host: read(Level::Host, host),
        local: "10.0.0.0/24".parse().unwrap(),
        guests: BTreeMap::from([(100, guarded)]),
    }
}

fn text(files: &Files) -> String {
    ruleset(files, Hook::BrNetfilter)
}

/// The lines of a chain, without those that every chain of its kind begins with.
fn chain(text: &str, table: &str, name: &str) -> Vec<String> {
    let (_, table) = text.split_once(&format!("table {table} {{\n")).unwrap();
    let (table, _) = table.split_once("\n}\n").unwrap();
    let (_, chain) = table.rsplit_once(&format!("  chain {name} {{\n")).unwrap();
    let (lines, _) = chain.split_once("  }").unwrap();
    let known = |line: &&str| !line.starts_with("ct state") && !line.starts_with("type filter");
    lines
        .lines()
        .map(str::trim)
        .filter(known)
        .map(str::to_owned)
        .collect()
}

/// What a guest's rules become, without what is not a rule.
fn rules(cluster: &str, guest: &str, way: &str) -> Vec<String> {
    let files = files(&format!("{ON}{cluster}"), "", &format!("{PLAIN}{guest}"));
    let mut lines = chain(&text(&files), "inet guests", &format!("tap100i0-{way}"));
    lines.retain(|line| !line.starts_with("icmpv6"));
    lines.pop();
    lines
}

#[test]
fn replies_come_first() {
    let text = text(&files(ON, "", PLAIN));
    let replies = "ct state vmap { established : accept, related : accept, invalid : drop }";
    for start in ["chain tap100i0-in {", "chain tap100i0-out {"] {
        let wanted = format!("{start}\n    {replies}\n");
        assert!(text.contains(&wanted), "{text}");
    }
    let input = format!("iifname \"lo\" accept\n    {replies}\n");
    assert!(text.contains(&input), "{text}");
}

#[test]
fn policies_have_proxmoxs_defaults() {
    let last = |guest: &str, way: &str| {
        let text = text(&files(ON, "", &format!("{PLAIN}{guest}")));
        chain(&text, "inet guests", &format!("tap100i0-{way}"))
            .pop()
            .unwrap()
    };
    for (options, inside, outside) in [
        ("", "drop", "accept"),
        ("policy_in: ACCEPT\npolicy_out: DROP\n", "accept", "drop"),
        ("policy_in: REJECT\npolicy_out: REJECT\n", "drop", "drop"),
    ] {
        assert_eq!(
            (last(options, "in").as_str(), last(options, "out").as_str()),
            (inside, outside)
        );
    }
    let host = |options: &str, name: &str| {
        let text = text(&files(&format!("{ON}{options}"), "", PLAIN));
        chain(&text, "inet host", name).pop().unwrap()
    };
    assert_eq!(host("", "input"), "drop");
    assert_eq!(host("", "output"), "accept");
    assert_eq!(host("policy_in: ACCEPT\n", "input"), "accept");
    assert_eq!(host("policy_out: DROP\n", "output"), "drop");
}

#[test]
fn what_is_off_has_no_chain() {
    let off = "[OPTIONS]\nenable: 0\n";
    assert_eq!(text(&files("", "", PLAIN)), "");
    assert_eq!(text(&files(off, "", PLAIN)), "");
    let without_guest = text(&files(ON, "", ""));
    assert!(!without_guest.contains("tap100"), "{without_guest}");
    assert!(without_guest.contains("inet host"));
    assert!(!text(&files(ON, off, PLAIN)).contains("inet host"));
    // The card without `firewall=1` of a guest that is on.
    let on = text(&files(ON, "", PLAIN));
    assert!(on.contains("tap100i0") && !on.contains("tap100i1"), "{on}");
}

#[test]
fn both_hooks_send_a_card_to_the_same_chains() {
    let files = files(ON, "", PLAIN);
    let (over_ip, bridged) = (
        ruleset(&files, Hook::BrNetfilter),
        ruleset(&files, Hook::Bridge),
    );
    assert_eq!(
        chain(&over_ip, "bridge wires", "prerouting")[..2],
        [
            "meta mark set 0",
            "meta mark set iifname map { \"tap100i0\" : 1, \"fwln100i0\" : 2 }"
        ]
    );
    assert_eq!(
        chain(&over_ip, "inet guests", "forward"),
        ["meta mark vmap { 1 : jump tap100i0-out, 2 : jump tap100i0-in }"]
    );
    assert_eq!(
        chain(&bridged, "bridge guests", "forward"),
        ["iifname vmap { \"tap100i0\" : jump tap100i0-out, \"fwln100i0\" : jump tap100i0-in }"]
    );
    for name in ["tap100i0-in", "tap100i0-out"] {
        let both = [
            chain(&over_ip, "inet guests", name),
            chain(&bridged, "bridge guests", name),
        ];
        assert_eq!(both[0], both[1]);
    }
}

#[test]
fn rules_keep_way_order_and_verdict() {
    let guest = "[RULES]\nIN DROP -p tcp -dport 22,80:90\nOUT ACCEPT -p udp\nIN ACCEPT -p icmp\n|IN ACCEPT -p udp\n\
                 IN REJECT -source 10.0.0.1 -dest 10.0.0.2\nIN ACCEPT\n";
    assert_eq!(
        rules("", guest, "in"),
        [
            "tcp dport { 22, 80-90 } drop",
            "meta l4proto icmp accept",
            "ip saddr 10.0.0.1 ip daddr 10.0.0.2 drop",
            "accept",
        ]
    );
    assert_eq!(rules("", guest, "out"), ["meta l4proto udp accept"]);
}

#[test]
fn a_rule_of_a_card_is_for_that_card() {
    let guest = "[RULES]\nIN ACCEPT -i net0 -p tcp\nIN ACCEPT -i net1 -p udp\n";
    assert_eq!(rules("", guest, "in"), ["meta l4proto tcp accept"]);
    let host = "[RULES]\nIN ACCEPT -i wg0 -p tcp\nOUT DROP -i wg0 -p udp\n";
    let text = text(&files(ON, host, PLAIN));
    let has = |name: &str, line: &str| {
        chain(&text, "inet host", name)
            .iter()
            .any(|found| found == line)
    };
    assert!(
        has("input", "iifname \"wg0\" meta l4proto tcp accept"),
        "{text}"
    );
    assert!(
        has("output", "oifname \"wg0\" meta l4proto udp drop"),
        "{text}"
    );
}

#[test]
fn names_are_the_guests_own_before_the_clusters() {
    let cluster = "[ALIASES]\nfar 10.9.0.0/16\nnear 10.1.0.1\n[IPSET both]\n10.1.0.0/24\n[IPSET only]\n10.2.0.0/24\n";
    let own = "[ALIASES]\nnear 10.1.0.2\n[IPSET both]\n10.3.0.0/24\n";
    let lines = |rule: &str| rules(cluster, &format!("{own}[RULES]\n{rule}\n"), "in");
    for (said, wanted) in [
        ("far", "10.9.0.0/16"),
        ("near", "10.1.0.2"),
        ("guest/near", "10.1.0.2"),
        ("dc/near", "10.1.0.1"),
        ("+both", "@g100-both"),
        ("+dc/both", "@dc-both"),
        ("+only", "@dc-only"),
        ("10.0.0.5-10.0.0.9", "10.0.0.5-10.0.0.9"),
    ] {
        let found = lines(&format!("IN ACCEPT -source {said}"));
        assert_eq!(found, [format!("ip saddr {wanted} accept")]);
    }
    let found = lines("IN ACCEPT -source far,+both -p tcp -dport 1");
    let wanted =
        ["10.9.0.0/16", "@g100-both"].map(|who| format!("ip saddr {who} tcp dport {{ 1 }} accept"));
    assert_eq!(found, wanted);
}

#[test]
#[should_panic(expected = "no alias nobody")]
fn a_name_that_is_nowhere_ends_the_test() {
    rules("", "[RULES]\nIN ACCEPT -source dc/nobody\n", "in");
}

#[test]
fn groups_are_the_clusters_and_see_its_names() {
    let cluster = "[ALIASES]\nnear 10.1.0.1\n[group web]\nIN ACCEPT -source near -p tcp -dport 80\nOUT ACCEPT -p udp\n";
    let guest = format!("{PLAIN}[ALIASES]\nnear 10.1.0.2\n[RULES]\nGROUP web\n");
    let text = text(&files(&format!("{ON}{cluster}"), "", &guest));
    let of = |name: &str| chain(&text, "inet guests", name);
    assert!(of("tap100i0-in").contains(&"jump group-web-in".to_owned()));
    assert!(of("tap100i0-out").contains(&"jump group-web-out".to_owned()));
    assert_eq!(
        of("group-web-in"),
        ["ip saddr 10.1.0.1 tcp dport { 80 } accept"]
    );
    assert_eq!(of("group-web-out"), ["meta l4proto udp accept"]);
}

#[test]
fn the_narrowest_entry_of_a_set_decides() {
    let set = |text: &str| -> Vec<String> {
        let file = read(Level::Cluster, &format!("[IPSET one]\n{text}"));
        let pieces = pieces(&file.sets["one"]);
        pieces
            .iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect()
    };
    assert_eq!(
        set("10.0.0.0/30\n!10.0.0.1\n"),
        ["10.0.0.0-10.0.0.0", "10.0.0.2-10.0.0.3"]
    );
    // Whatever their order, and inside of what was taken out.
    assert_eq!(
        set("10.0.0.6\n!10.0.0.4/30\n10.0.0.0/29\n"),
        ["10.0.0.0-10.0.0.3", "10.0.0.6-10.0.0.6"]
    );
    assert_eq!(
        set("128.0.0.0/1\n!224.0.0.0/3\n"),
        ["128.0.0.0-223.255.255.255"]
    );
    assert!(set("!10.0.0.0/8\n").is_empty());
}

#[test]
fn proxmox_opens_and_shuts_some_doors_of_guests_by_itself() {
    let lines = |options: &str, way: &str| {
        let text = text(&files(ON, "", &format!("{ON}{options}")));
        let mut lines = chain(&text, "inet guests", &format!("tap100i0-{way}"));
        lines.pop();
        lines
    };
    let neighbours = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept";
    assert_eq!(
        lines("", "in"),
        [
            "udp sport 67 udp dport 68 accept",
            neighbours,
            "icmpv6 type nd-router-advert accept"
        ]
    );
    assert_eq!(
        lines("", "out"),
        [
            "udp sport 68 udp dport 67 accept",
            neighbours,
            "icmpv6 type nd-router-solicit accept",
            "icmpv6 type nd-router-advert drop"
        ]
    );
    assert!(lines("dhcp: 0\nndp: 0\n", "in").is_empty());
    assert_eq!(
        lines("dhcp: 0\nndp: 0\nradv: 1\n", "out"),
        ["icmpv6 type nd-router-advert accept"]
    );
}

#[test]
fn a_guest_keeps_to_its_own_addresses() {
    let own = "[IPSET ipfilter-net0]\n10.0.0.5\n";
    let guest =
        |options: &str, sets: &str| text(&files(ON, "", &format!("{PLAIN}{options}{sets}")));
    let wires = |text: &str| chain(text, "bridge wires", "prerouting").split_off(2);
    let mac = "iifname \"tap100i0\" ether saddr != bc:24:11:00:00:00 drop";
    let arp = "iifname \"tap100i0\" arp saddr ip != @g100-ipfilter-net0 drop";
    assert_eq!(wires(&guest("", "")), [mac]);
    assert_eq!(wires(&guest("ipfilter: 1\n", own)), [mac, arp]);
    assert_eq!(wires(&guest("macfilter: 0\n", own)), [arp]);
    let out = chain(&guest("", own), "inet guests", "tap100i0-out");
    assert_eq!(
        out[1..3],
        [
            "ip saddr != @g100-ipfilter-net0 drop",
            "meta protocol ip6 drop"
        ]
    );
    // Only what goes out is held to it.
    let inside = chain(&guest("", own), "inet guests", "tap100i0-in");
    assert_eq!(inside, ["drop"]);
}

#[test]
fn the_hosts_rules_come_before_the_clusters_and_the_managers() {
    let cluster = "[IPSET management]\n10.7.0.0/24\n[RULES]\nIN ACCEPT -p udp\n";
    let host = "[OPTIONS]\nndp: 0\n[RULES]\nIN ACCEPT -p icmp\n";
    let ports = "tcp dport { 22, 3128, 5900-5999, 8006, 60000-60050 } accept";
    let managed = |local: &str, alias: &str| {
        let text = text(&files(&format!("{ON}{alias}{cluster}"), host, PLAIN));
        assert_eq!(
            chain(&text, "inet host", "input"),
            [
                "iifname \"lo\" accept",
                "meta l4proto igmp accept",
                "meta l4proto icmp accept",
                "meta l4proto udp accept",
                format!("ip saddr {local} {ports}").as_str(),
                format!("ip saddr @dc-management {ports}").as_str(),
                "drop",
            ]
        );
    };
    managed("10.0.0.0/24", "");
    managed("127.0.0.0/8", "[ALIASES]\nlocal_network 127.0.0.0/8\n");
}
