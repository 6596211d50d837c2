//! Appliances by chance: every one that is accepted becomes files that Proxmox takes, and its firewall opens what its
//! flows say.

use std::fmt::Write as _;

use proptest::prelude::*;
use roamcore_pve::reach::{Open, reach};

use super::firewall::meant;
use super::{accepted, compiled, holds};

/// Choices for one guest.
#[derive(Clone, Debug)]
struct Choice {
    container: bool,
    uefi: bool,
    segment: usize,
    address: bool,
    filtered: bool,
    cores: u16,
    memory: u64,
    extra_disk: bool,
    mount: bool,
    after: bool,
    agent: bool,
    settings: bool,
    description: String,
}

/// Choices for one flow: ends by number, ports.
#[derive(Clone, Debug)]
struct Way {
    from: Vec<usize>,
    to: Vec<usize>,
    ports: Vec<(bool, u16, u16)>,
    icmp: bool,
}

fn choice() -> impl Strategy<Value = Choice> {
    let flags = (any::<[bool; 9]>(), 0..3_usize, 1..=4_u16, 1..8_u64);
    (flags, "[ -~äß%:#]{0,40}").prop_map(|((flags, segment, cores, memory), description)| {
        let [
            container,
            uefi,
            address,
            filtered,
            extra_disk,
            mount,
            after,
            agent,
            settings,
        ] = flags;
        Choice {
            container,
            uefi,
            segment,
            address,
            filtered,
            cores,
            memory: memory * 128,
            extra_disk,
            mount,
            after,
            agent: agent && !container,
            settings: settings && !container,
            description,
        }
    })
}

fn way() -> impl Strategy<Value = Way> {
    let ends = || prop::collection::btree_set(0..12_usize, 1..4);
    let ports = prop::collection::vec((any::<bool>(), 1..60_u16, 0..3_u16), 0..4);
    (ends(), ends(), ports, any::<bool>()).prop_map(|(from, to, ports, icmp)| Way {
        from: from.into_iter().collect(),
        to: to.into_iter().collect(),
        ports,
        icmp,
    })
}

const HEAD: &str = r#"schema = 1
name = "random"
title = "Random"
product = "random"
board = "vp2430"
overlays = ["base"]
hostname = "roamcore"
disk = { smallest = "512GB" }
slots = { root = "6GiB", esp = "1GiB" }
update = { security_epoch = 1 }
memory = { smallest = "16GiB", host = "2GiB" }

[partitions]
seed = { size = "4GiB" }
state = { min = "16GiB", weight = 1 }
guests = { min = "200GiB", weight = 9 }
video = { min = "8GiB", weight = 1, mount = "/mnt/video" }
backup = { min = "8GiB", weight = 1, mount = "/mnt/backup" }

[host]
segment = "net0"
address = "10.0.0.2"
admin_interface = "wg0"
admin_segments = ["net1"]

[[bridge]]
name = "vmbr0"
nics = ["nic1", "nic2"]

[[bridge]]
name = "vmbr1"

[[segment]]
name = "net0"
bridge = "vmbr0"
subnet = "10.0.0.0/24"
gateway = "10.0.0.1"

[[segment]]
name = "net1"
bridge = "vmbr0"
vlan = 11
subnet = "10.0.1.0/24"
gateway = "10.0.1.1"

[[segment]]
name = "net2"
bridge = "vmbr1"
subnet = "10.0.2.0/25"

[[external]]
name = "outside"
addresses = ["192.168.1.0/24", "10.0.2.200"]

[[external]]
name = "inside"
addresses = ["10.0.1.77"]

[[template]]
name = "vm"
kind = "vm"
os = "debian"
version = "1"
size = "1GiB"
debian = { packages = ["nftables"] }

[[template]]
name = "bios"
kind = "vm"
os = "debian"
version = "1"
size = "1GiB"
firmware = "bios"
debian = { packages = ["nftables"] }

[[template]]
name = "ct"
kind = "ct"
os = "debian"
version = "1"
size = "1GiB"
debian = { packages = ["python3"] }
"#;

/// The text of an appliance, and the names of all ends of its flows.
fn appliance(guests: &[Choice], ways: &[Way]) -> (String, Vec<String>) {
    let mut text = HEAD.to_owned();
    let mut ends: Vec<String> = [
        "internet", "gateway", "host", "net0", "net1", "net2", "outside", "inside",
    ]
    .map(str::to_owned)
    .to_vec();
    for (i, guest) in guests.iter().enumerate() {
        let template = match (guest.container, guest.uefi) {
            (true, _) => "ct",
            (false, true) => "vm",
            (false, false) => "bios",
        };
        let description = serde_json::to_string(&guest.description).unwrap();
        let _ = write!(
            text,
            "\n[[guest]]\nname = \"guest{i}\"\nid = {}\ntemplate = \"{template}\"\ncores = {}\nmemory = \"{}MiB\"\n\
             description = {description}\nagent = {}\nwatchdog = {}\nprotection = {}\n",
            200 + i,
            guest.cores,
            guest.memory,
            guest.agent,
            guest.agent,
            guest.uefi,
        );
        if guest.after && i > 0 {
            let _ = writeln!(
                text,
                "start = {{ after = [\"guest{}\"], delay_seconds = {i} }}",
                i - 1
            );
        }
        text += "\n[[guest.disk]]\nsize = \"2GiB\"\n";
        if guest.extra_disk {
            let mount = if guest.container {
                "mount = \"/srv\"\n"
            } else {
                ""
            };
            let _ = write!(
                text,
                "\n[[guest.disk]]\nsize = \"1025MiB\"\nbackup = {}\n{mount}",
                guest.uefi
            );
        }
        let segment = guest.segment;
        let _ = write!(
            text,
            "\n[[guest.nic]]\nsegment = \"net{segment}\"\nfirewall = {}\n",
            guest.filtered
        );
        if guest.address {
            let _ = writeln!(text, "address = \"10.0.{segment}.{}\"", 10 + i);
            ends.push(format!("guest{i}"));
        } else {
            text += "dhcp = true\n";
        }
        if guest.mount {
            text += "\n[[guest.mount]]\npartition = \"video\"\n";
        }
        if guest.settings {
            text += "\n[guest.cloud_init]\nuser = \"portal\"\n";
        }
    }
    for (i, way) in ways.iter().enumerate() {
        let names = |numbers: &[usize]| {
            let mut names: Vec<String> = numbers
                .iter()
                .map(|n| format!("\"{}\"", ends[n % ends.len()]))
                .collect();
            names.sort();
            names.dedup();
            names
        };
        let (from, mut to) = (names(&way.from), names(&way.to));
        if from.iter().any(|name| name == "\"internet\"") {
            to.retain(|name| name != "\"host\"");
        }
        if to.is_empty() {
            continue;
        }
        let mut ports: Vec<String> = way
            .ports
            .iter()
            .map(|(tcp, first, more)| {
                let protocol = if *tcp { "tcp" } else { "udp" };
                // Apart from each other, so that no two ranges touch.
                let first = first * 100;
                match more {
                    0 => format!("\"{protocol}/{first}\""),
                    more => format!("\"{protocol}/{first}-{}\"", first + more),
                }
            })
            .collect();
        ports.extend(way.icmp.then(|| "\"icmp\"".to_owned()));
        ports.sort();
        ports.dedup();
        let _ = write!(
            text,
            "\n[[flow]]\nname = \"flow{i}\"\nfrom = [{}]\nto = [{}]\nports = [{}]\n",
            from.join(", "),
            to.join(", "),
            ports.join(", ")
        );
    }
    if !guests.is_empty() {
        text += "\n[[backup]]\nname = \"nightly\"\nschedule = \"02:30\"\nguests = [\"guest0\"]\nkeep = { last = 1 }\n";
    }
    (text, ends)
}

/// True when each opening of one list lies in an opening of the other.
fn within(open: &[Open], other: &[Open]) -> bool {
    let holds = |outer: &Open, inner: &Open| match (outer, inner) {
        (Open::All, _) => true,
        (Open::Protocol(a), Open::Protocol(b) | Open::Ports(b, ..)) => a == b,
        (Open::Ports(a, low, high), Open::Ports(b, first, last)) => {
            a == b && low <= first && last <= high
        }
        _ => false,
    };
    open.iter()
        .all(|inner| other.iter().any(|outer| holds(outer, inner)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_appliance_becomes_what_proxmox_takes(
        guests in prop::collection::vec(choice(), 0..5),
        ways in prop::collection::vec(way(), 0..5),
    ) {
        let (text, ends) = appliance(&guests, &ways);
        let appliance = accepted(&text);
        let compiled = compiled(&appliance);
        holds(&compiled);
        prop_assert_eq!(&compiled, &super::compiled(&appliance));
        let pairs = match reach(&appliance, &compiled) {
            Ok(pairs) => pairs,
            Err(error) => panic!("{error:?}\n{text}"),
        };
        let filtered = |name: &str| {
            appliance.guest.iter().any(|g| g.name.as_str() == name && g.nic.iter().any(|nic| nic.firewall))
        };
        for pair in pairs.iter().filter(|pair| pair.filtered) {
            let (from, to) = (pair.from.as_str(), pair.to.as_str());
            let known = |name: &str| ends.iter().any(|end| end == name);
            if !known(from) || !known(to) {
                continue;
            }
            // Who else is meant by what a flow names: a guest, a router or a machine outside is in its segment too.
            let said = meant(&appliance, from, to);
            prop_assert!(within(&said, &pair.open), "{} -> {}: {:?} is meant, open is {:?}\n{}", from, to, said, pair.open, text);
            let narrow = filtered(from) && filtered(to);
            let named_otherwise = appliance.flow.iter().any(|flow| {
                let wide = |name: &roamcore_spec::names::Name| name.as_str().starts_with("net") || name.as_str().ends_with("side");
                flow.from.iter().chain(&flow.to).any(wide)
            });
            if narrow && !named_otherwise {
                prop_assert!(within(&pair.open, &said), "{} -> {}: open is {:?}, {:?} is meant\n{}", from, to, pair.open, said, text);
            }
        }
    }
}
