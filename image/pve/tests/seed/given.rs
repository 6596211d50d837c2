//! One of each guest, with everything that it can have.

use std::net::Ipv4Addr;

use roamcore_pve::seed::{
    Address, CloudInit, Haos, Net4, Network, Nic, OpenWrt, OpenWrtVlan, OpenWrtWan, OpnSense, Peer,
    Range, Secret, Seed, User, Vlan, Wan, WanAddress, WireGuard,
};

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfJ9Kc1C6n0 owner@van";
pub const PUBLIC: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub fn net(text: &str) -> Net4 {
    let (address, prefix) = text.split_once('/').unwrap();
    Net4 {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

pub fn range(first: &str, last: &str) -> Option<Range> {
    Some(Range {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    })
}

pub fn secret(name: &str) -> Secret {
    Secret::new(name).unwrap()
}

pub fn tunnel() -> WireGuard {
    WireGuard {
        name: "home".into(),
        private_key: secret("router-wireguard"),
        port: 51820,
        net: net("10.99.0.1/24"),
        peers: vec![
            Peer {
                name: "phone".into(),
                public_key: PUBLIC.into(),
                preshared: Some(secret("router-phone")),
                allowed: vec!["10.99.0.2/32".into()],
                endpoint: None,
                keepalive: None,
            },
            Peer {
                name: "house".into(),
                public_key: PUBLIC.replacen('A', "B", 1),
                preshared: None,
                allowed: vec!["10.99.0.3/32".into(), "192.168.178.0/24".into()],
                endpoint: Some(("vpn.example.org".into(), 51820)),
                keepalive: Some(25),
            },
        ],
    }
}

pub fn network(name: &str, text: &str, reaches_inside: bool) -> Network {
    let base = text.rsplit_once('.').unwrap().0;
    Network {
        name: name.into(),
        net: net(text),
        dhcp: range(&format!("{base}.100"), &format!("{base}.199")),
        reaches_inside,
    }
}

pub fn opnsense() -> OpnSense {
    let wan = |name: &str, device: &str, tier, monitor: &str| Wan {
        name: name.into(),
        device: device.into(),
        address: WanAddress::Dhcp,
        tier,
        monitor: monitor.parse().unwrap(),
    };
    let mut fixed = wan("WAN2", "vtnet1", 2, "9.9.9.9");
    fixed.address = WanAddress::Fixed {
        net: net("203.0.113.2/30"),
        router: Ipv4Addr::new(203, 0, 113, 1),
    };
    OpnSense {
        hostname: "router".into(),
        domain: "van.internal".into(),
        timezone: "Europe/Berlin".into(),
        password_hash: secret("router-password"),
        ssh_keys: vec![KEY.into()],
        wans: vec![wan("WAN1", "igc0", 1, "1.1.1.1"), fixed],
        lan_device: "vtnet0".into(),
        lan: network("LAN", "192.168.1.1/24", true),
        vlans: vec![
            Vlan {
                tag: 20,
                network: network("GUESTS", "192.168.20.1/24", false),
            },
            Vlan {
                tag: 30,
                network: network("CAMERAS", "192.168.30.1/24", false),
            },
        ],
        wireguard: Some(tunnel()),
    }
}

pub fn openwrt() -> OpenWrt {
    let wan = |name: &str, device: &str, metric| OpenWrtWan {
        name: name.into(),
        device: device.into(),
        metric,
    };
    OpenWrt {
        hostname: "router".into(),
        domain: "van.internal".into(),
        zone_name: "Europe/Berlin".into(),
        zone: "CET-1CEST,M3.5.0,M10.5.0/3".into(),
        password_hash: secret("router-password"),
        ssh_keys: vec![KEY.into()],
        wans: vec![wan("wan", "eth0", 10), wan("wan2", "eth2", 20)],
        lan_device: "eth1".into(),
        lan: net("192.168.1.1/24"),
        dhcp: range("192.168.1.100", "192.168.1.199"),
        vlans: vec![OpenWrtVlan {
            name: "guests".into(),
            tag: 20,
            net: net("192.168.20.1/24"),
            dhcp: range("192.168.20.10", "192.168.20.99"),
        }],
        wireguard: Some(tunnel()),
    }
}

pub fn cloud_init() -> CloudInit {
    CloudInit {
        instance_id: "app-1".into(),
        hostname: "app".into(),
        timezone: Some("Europe/Berlin".into()),
        users: vec![User {
            name: "roam".into(),
            ssh_keys: vec![KEY.into()],
            password_hash: Some(secret("app-password")),
            admin: true,
        }],
        nics: vec![Nic {
            name: "lan0".into(),
            mac: "BC:24:11:00:00:01".into(),
            address: Address::Fixed {
                net: net("192.168.1.5/24"),
                router: Some(Ipv4Addr::new(192, 168, 1, 1)),
                dns: vec![Ipv4Addr::new(192, 168, 1, 1)],
            },
            vlans: vec![(30, Address::Dhcp)],
        }],
        files: vec![(
            "/etc/app.conf".into(),
            0o640,
            format!(
                "token = {}\n: - \"quoted\" 'too' {{}} é\n",
                secret("app-token")
            ),
        )],
        run: vec![vec![
            "systemctl".into(),
            "enable".into(),
            "--now".into(),
            "app".into(),
        ]],
    }
}

pub fn haos() -> Haos {
    Haos {
        fixed: Some((
            net("192.168.1.4/24"),
            Ipv4Addr::new(192, 168, 1, 1),
            vec![Ipv4Addr::new(192, 168, 1, 1)],
        )),
        ntp: vec!["192.168.1.1".into(), "pool.ntp.org".into()],
        ssh_keys: vec![KEY.into()],
    }
}

pub fn text(seed: &Seed, path: &str) -> String {
    String::from_utf8(seed[path].clone()).unwrap()
}
