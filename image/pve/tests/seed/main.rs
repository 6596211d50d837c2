//! What guests read: parsed by somebody else's parsers, filled with secrets, and hostile texts kept out.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod given;
mod secrets;

use std::net::Ipv4Addr;

use common::{ok, skip, tool};
use given::{KEY, PUBLIC, cloud_init, haos, network, openwrt, opnsense, range, text};
use roamcore_pve::seed::{Haos, OpenWrt, OpnSense, Vlan};

/// Runs a piece of Python on a text; `None` after a SKIP line.
fn python(code: &str, input: &str) -> Option<String> {
    Some(ok(&tool("python3")?, &["-c", code], input.as_bytes()))
}

#[test]
fn opnsense_has_what_was_asked_for() {
    let seed = opnsense().seed().unwrap();
    let config = text(&seed, "conf/config.xml");
    let code = r#"
import sys, xml.etree.ElementTree as E
r = E.fromstring(sys.stdin.buffer.read())
t = lambda p: [e.text for e in r.findall(p)]
print(r.tag, t("system/hostname"), t("system/user/password"), t("system/timezone"))
print([(i.tag, i.findtext("if"), i.findtext("descr"), i.findtext("ipaddr")) for i in r.find("interfaces")])
print([(v.findtext("if"), v.findtext("tag"), v.findtext("vlanif")) for v in r.findall("vlans/vlan")])
print([(g.findtext("name"), g.findtext("interface"), g.findtext("gateway"), g.findtext("monitor")) for g in r.findall("OPNsense/Gateways/gateway_item")])
print(t("gateways/gateway_group/name"), t("gateways/gateway_group/item"))
print(t("dnsmasq/interface"), t("dnsmasq/dhcp_ranges/start_addr"))
print(t("OPNsense/wireguard/server/servers/server/privkey"), t("OPNsense/wireguard/client/clients/client/psk"))
peers = r.findtext("OPNsense/wireguard/server/servers/server/peers").split(",")
print(peers == [c.get("uuid") for c in r.findall("OPNsense/wireguard/client/clients/client")])
ids = [e.get("uuid") for e in r.iter() if e.get("uuid")]
print(len(ids) == len(set(ids)))
for u in r.findall("OPNsense/Firewall/Filter/rules/rule"):
    print(u.findtext("sequence"), u.findtext("action"), u.findtext("interface"), u.findtext("protocol"), u.findtext("destination_net"), u.findtext("destination_port") or "-", u.findtext("gateway") or "-")
"#;
    let want = "\
opnsense ['router'] ['@@secret:router-password@@'] ['Europe/Berlin']
[('wan', 'igc0', 'WAN1', 'dhcp'), ('opt1', 'vtnet1', 'WAN2', '203.0.113.2'), ('lan', 'vtnet0', 'LAN', '192.168.1.1'), \
('opt2', 'vlan01', 'GUESTS', '192.168.20.1'), ('opt3', 'vlan02', 'CAMERAS', '192.168.30.1')]
[('vtnet0', '20', 'vlan01'), ('vtnet0', '30', 'vlan02')]
[('WAN1_GW', 'wan', '', '1.1.1.1'), ('WAN2_GW', 'opt1', '203.0.113.1', '9.9.9.9')]
['WAN_GROUP'] ['WAN1_GW|1', 'WAN2_GW|2']
['lan,opt2,opt3'] ['192.168.1.100', '192.168.20.100', '192.168.30.100']
['@@secret:router-wireguard@@'] ['@@secret:router-phone@@']
True
True
10 pass lan any (self) - -
20 pass lan any opt2 - -
30 pass lan any opt3 - -
40 pass lan any 10.99.0.2/32 - -
50 pass lan any 10.99.0.3/32 - -
60 pass lan any 192.168.178.0/24 - -
70 pass lan any any - WAN_GROUP
80 pass opt2 TCP/UDP (self) 53 -
90 pass opt2 UDP (self) 123 -
100 block opt2 any (self) - -
110 block opt2 any lan - -
120 block opt2 any opt3 - -
130 pass opt2 any any - WAN_GROUP
140 pass opt3 TCP/UDP (self) 53 -
150 pass opt3 UDP (self) 123 -
160 block opt3 any (self) - -
170 block opt3 any lan - -
180 block opt3 any opt2 - -
190 pass opt3 any any - WAN_GROUP
200 pass wan UDP (self) 51820 -
210 pass opt1 UDP (self) 51820 -
220 pass wireguard any any - -
";
    if let Some(got) = python(code, &config) {
        assert_eq!(got, want);
    }
    // One WAN, nothing else: no group, no tunnel, no VLANs.
    let mut small = opnsense();
    small.wans.truncate(1);
    small.vlans.clear();
    small.wireguard = None;
    small.ssh_keys.clear();
    let config = text(&small.seed().unwrap(), "conf/config.xml");
    for absent in [
        "gateway_group",
        "wireguard",
        "vlan",
        "authorizedkeys",
        "WAN_GROUP",
    ] {
        assert!(!config.contains(absent), "{absent}");
    }
}

#[test]
fn openwrt_script_is_a_script() {
    let seed = openwrt().seed().unwrap();
    let script = text(&seed, OpenWrt::PATH);
    let lines: Vec<&str> = script.lines().collect();
    for line in [
        "#!/bin/sh",
        "set network.lan.ipaddr='192.168.1.1'",
        "set network.lan.netmask='255.255.255.0'",
        "set dhcp.lan.start='100'",
        "set dhcp.lan.limit='100'",
        "set network.wan2.device='eth2'",
        "set network.wan2.metric='20'",
        "add_list firewall.@zone[1].network='wan2'",
        "set network.guests.device='eth1.20'",
        "set firewall.guests.input='REJECT'",
        "set firewall.guests_to_wan.dest='wan'",
        "set network.home.private_key='@@secret:router-wireguard@@'",
        "set network.home_peer1='wireguard_home'",
        "add_list network.home_peer1.allowed_ips='192.168.178.0/24'",
        "set firewall.home_in.dest_port='51820'",
        KEY,
    ] {
        assert!(lines.contains(&line), "{line}\n{script}");
    }
    assert!(!script.contains("guests_to_lan"));
    let shell = tool("sh").unwrap();
    ok(&shell, &["-n"], script.as_bytes());
    // What `uci` is given: everything between the marks, and nothing of it is the shell's.
    let batch = script
        .split("<<'END' || exit 1\n")
        .nth(1)
        .unwrap()
        .split("END\n")
        .next()
        .unwrap();
    let simple = |line: &str| line.ends_with('\'') && line.matches('\'').count() == 2;
    assert!(batch.lines().all(simple), "{batch}");
}

#[test]
fn haos_reads_a_key_file() {
    let seed = haos().seed().unwrap();
    assert_eq!(
        seed.keys().collect::<Vec<_>>(),
        ["authorized_keys", "network/roamcore", "timesyncd.conf"]
    );
    let code = "import sys, configparser as c; p = c.ConfigParser(); p.read_string(sys.stdin.read()); \
        print({s: dict(p[s]) for s in p.sections()})";
    if let Some(got) = python(code, &text(&seed, "network/roamcore")) {
        assert_eq!(
            got,
            "{'connection': {'id': 'roamcore', 'uuid': '526f616d-436f-4007-8000-000000000001', 'type': '802-3-ethernet', \
             'llmnr': '2', 'mdns': '2'}, 'ipv4': {'address1': '192.168.1.4/24,192.168.1.1', 'dns': '192.168.1.1;', \
             'method': 'manual'}, 'ipv6': {'addr-gen-mode': 'stable-privacy', 'method': 'auto'}}\n"
        );
    }
    assert_eq!(
        text(&seed, "timesyncd.conf"),
        "[Time]\nNTP=192.168.1.1 pool.ntp.org\n"
    );
    let plain = Haos {
        fixed: None,
        ntp: vec![],
        ssh_keys: vec![],
    }
    .seed()
    .unwrap();
    assert_eq!(plain.len(), 1);
    assert!(text(&plain, "network/roamcore").contains("[ipv4]\nmethod=auto\n"));
}

#[test]
fn cloud_init_is_json_and_yaml() {
    let seed = cloud_init().seed().unwrap();
    assert_eq!(
        seed.keys().collect::<Vec<_>>(),
        ["meta-data", "network-config", "user-data"]
    );
    let user = text(&seed, "user-data");
    let (first, rest) = user.split_once('\n').unwrap();
    assert_eq!(first, "#cloud-config");
    let user: serde_json::Value = serde_json::from_str(rest).unwrap();
    assert_eq!(user["users"][0]["passwd"], "@@secret:app-password@@");
    assert_eq!(user["users"][0]["lock_passwd"], false);
    assert_eq!(user["write_files"][0]["permissions"], "0640");
    assert_eq!(user["runcmd"][0][3], "app");
    let network: serde_json::Value = serde_json::from_str(&text(&seed, "network-config")).unwrap();
    assert_eq!(network["version"], 2);
    assert_eq!(
        network["ethernets"]["lan0"]["match"]["macaddress"],
        "bc:24:11:00:00:01"
    );
    assert_eq!(
        network["ethernets"]["lan0"]["routes"][0]["via"],
        "192.168.1.1"
    );
    assert_eq!(network["vlans"]["lan0.30"]["link"], "lan0");
    let code = "
import sys, json
try:
    import yaml
except ImportError:
    print('no yaml'); sys.exit()
t = sys.stdin.read()
print(yaml.safe_load(t) == json.loads(t.removeprefix('#cloud-config')))
";
    for path in seed.keys() {
        match python(code, &text(&seed, path)).as_deref() {
            Some("no yaml\n") => skip("python3 has no yaml module, so its verdict is unknown"),
            Some(got) => assert_eq!(got, "True\n", "{path}"),
            None => {}
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(opnsense().seed().unwrap(), opnsense().seed().unwrap());
    assert_eq!(cloud_init().seed().unwrap(), cloud_init().seed().unwrap());
    assert_eq!(openwrt().seed().unwrap(), openwrt().seed().unwrap());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refuse = |change: fn(&mut OpnSense), want: &str| {
        let mut one = opnsense();
        change(&mut one);
        let error = one.seed().expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    };
    refuse(
        |o| o.hostname = "a.b".into(),
        "host name: \"a.b\": expected a host name without a domain",
    );
    refuse(|o| o.wans.clear(), "WAN: \"\": expected one or more");
    refuse(
        |o| o.wans[1].name = "WAN1".into(),
        "network: \"WAN1\": expected no two of one name",
    );
    refuse(
        |o| o.wans[1].device = "igc0".into(),
        "device: \"igc0\": expected no two of one name",
    );
    refuse(|o| o.wans[1].monitor = Ipv4Addr::new(1, 1, 1, 1), "monitor");
    refuse(|o| o.wans[0].tier = 6, "tier");
    refuse(
        |o| o.lan.net.address = Ipv4Addr::new(192, 168, 1, 255),
        "network: \"192.168.1.255/24\"",
    );
    refuse(|o| o.lan.dhcp = range("192.168.1.1", "192.168.1.9"), "DHCP");
    refuse(|o| o.lan.dhcp = range("192.168.2.1", "192.168.2.9"), "DHCP");
    refuse(
        |o| o.vlans[1].tag = 20,
        "VLAN: \"20\": expected no two of one name",
    );
    refuse(|o| o.vlans[0].tag = 4095, "VLAN");
    refuse(
        |o| o.ssh_keys = vec!["ssh-ed25519 A\nssh-rsa B".into()],
        "SSH key",
    );
    refuse(
        |o| o.wireguard.as_mut().unwrap().peers[0].public_key = "x".into(),
        "a key of WireGuard",
    );
    refuse(
        |o| o.wireguard.as_mut().unwrap().peers[1].public_key = PUBLIC.into(),
        "no two of one name",
    );
    refuse(
        |o| {
            o.vlans = (1..20)
                .map(|tag| Vlan {
                    tag,
                    network: network(&format!("N{tag}"), "10.1.1.1/24", true),
                })
                .collect()
        },
        "at most 16 networks",
    );

    let refuse = |change: fn(&mut OpenWrt), want: &str| {
        let mut one = openwrt();
        change(&mut one);
        let error = one.seed().expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    };
    refuse(
        |o| o.lan_device = "eth1'; reboot; '".into(),
        "a network device",
    );
    refuse(
        |o| o.zone = "UTC0'\nEND\nreboot".into(),
        "a zone in the words of POSIX",
    );
    refuse(|o| o.wans[0].name = "lan".into(), "no two of one name");
    refuse(
        |o| o.vlans[0].name = "a_long_name_1".into(),
        "at most 11 characters",
    );

    let mut one = cloud_init();
    one.nics[0].mac = "bc:24:11:0:0:1".into();
    assert!(one.seed().unwrap_err().to_string().contains("MAC address"));
    let mut one = haos();
    one.ntp = vec!["a\n[Other]".into()];
    assert!(one.seed().is_err());
}
