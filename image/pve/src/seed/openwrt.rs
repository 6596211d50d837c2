//! OpenWrt: a script of `/etc/uci-defaults`, which runs once at the first start and is then removed.
//!
//! It changes what the vendor's own first-start scripts have made, by `uci`. Every value stands between single quotes, in
//! a here-document that the shell does not read; texts that could end either are refused.

use std::fmt::{Display, Write};

use super::{Net4, Peer, Range, Secret, Seed, SeedError, WireGuard, text};

const LONGEST_ZONE: usize = 11;
/// What the vendor's first-start scripts have made of the ports they found, and what hangs on it.
const REPLACED: [&str; 5] = [
    "network.lan",
    "network.wan",
    "network.wan6",
    "'network.@device[0]'",
    "'firewall.@zone[1].network'",
];

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWrtWan {
    /// Name of the interface; the first of the image is `wan`.
    pub name: String,
    /// The kernel's device.
    pub device: String,
    /// The lowest that is up is used.
    pub metric: u16,
}

/// A network beside the LAN: devices in it reach the internet, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWrtVlan {
    /// Name of interface and zone.
    pub name: String,
    /// Its tag on the LAN device.
    pub tag: u16,
    /// The router's address in it.
    pub net: Net4,
    /// Addresses given out.
    pub dhcp: Option<Range>,
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWrt {
    /// Without a domain.
    pub hostname: String,
    /// The local domain.
    pub domain: String,
    /// For example `Europe/Berlin`.
    pub zone_name: String,
    /// The same as POSIX writes it, which is what counts: `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub zone: String,
    /// A hash for `/etc/shadow`.
    pub password_hash: Secret,
    /// Public keys for root.
    pub ssh_keys: Vec<String>,
    /// One or more.
    pub wans: Vec<OpenWrtWan>,
    /// The kernel's device of the LAN.
    pub lan_device: String,
    /// The router's address.
    pub lan: Net4,
    /// Addresses given out.
    pub dhcp: Option<Range>,
    /// Networks beside the LAN.
    pub vlans: Vec<OpenWrtVlan>,
    /// A tunnel; needs the package in the image.
    pub wireguard: Option<WireGuard>,
}

/// Lines for `uci batch`.
struct Batch(String);

impl Batch {
    fn set(&mut self, option: &str, value: impl Display) {
        let _ = writeln!(self.0, "set {option}='{value}'");
    }

    fn add(&mut self, option: &str, value: impl Display) {
        let _ = writeln!(self.0, "add_list {option}='{value}'");
    }
}

impl OpenWrt {
    /// Where the script belongs in its root file system; the name makes it the last one.
    pub const PATH: &'static str = "etc/uci-defaults/zz-roamcore";

    /// The script. It is read by a shell, not executed: mode 0644.
    ///
    /// # Errors
    /// A text that would not arrive as it is.
    pub fn seed(&self) -> Result<Seed, SeedError> {
        self.check()?;
        let mut batch = Batch(String::new());
        self.system(&mut batch);
        self.network(&mut batch);
        for vlan in &self.vlans {
            vlan.write(&self.lan_device, &mut batch);
        }
        if let Some(tunnel) = &self.wireguard {
            wireguard(tunnel, &mut batch);
        }
        let mut keys = String::new();
        if !self.ssh_keys.is_empty() {
            keys = format!(
                "umask 077\ncat > /etc/dropbear/authorized_keys <<'END'\n{}\nEND\n",
                self.ssh_keys.join("\n")
            );
        }
        // Deleting what is not there fails, and is no error; anything after it is.
        let script = format!(
            "#!/bin/sh\n# Run once, at the first start.\nfor option in {}; do\n\tuci -q delete \"$option\"\ndone\n\
             uci batch <<'END' || exit 1\n{}END\nuci commit || exit 1\n\
             sed -i 's|^root:[^:]*:|root:{}:|' /etc/shadow || exit 1\n{keys}exit 0\n",
            REPLACED.join(" "),
            batch.0,
            self.password_hash
        );
        Ok(Seed::from([(Self::PATH.into(), script.into_bytes())]))
    }

    fn check(&self) -> Result<(), SeedError> {
        text::hostname("host name", &self.hostname)?;
        text::dns_name("domain", &self.domain)?;
        text::timezone("time zone", &self.zone_name)?;
        let posix = |b: u8| b.is_ascii_alphanumeric() || b"<>+-,./:".contains(&b);
        if self.zone.is_empty() || !self.zone.bytes().all(posix) {
            return Err(SeedError {
                field: "time zone",
                value: self.zone.clone(),
                expected: "a zone in the words of POSIX",
            });
        }
        for key in &self.ssh_keys {
            text::ssh_key("SSH key", key)?;
        }
        if self.wans.is_empty() {
            return Err(SeedError {
                field: "WAN",
                value: String::new(),
                expected: "one or more",
            });
        }
        let names = self.wans.iter().map(|wan| wan.name.as_str());
        let names = names.chain(self.vlans.iter().map(|vlan| vlan.name.as_str()));
        let names = names.chain(self.wireguard.iter().map(|tunnel| tunnel.name.as_str()));
        text::distinct(
            "interface",
            names.clone().chain(["lan", "loopback", "globals"]),
        )?;
        // Names of zones become names of chains, which the packet filter keeps short.
        if let Some(long) = names.clone().find(|name| name.len() > LONGEST_ZONE) {
            return Err(SeedError {
                field: "interface",
                value: long.into(),
                expected: "at most 11 characters",
            });
        }
        for wan in &self.wans {
            text::name("interface", &wan.name)?;
            text::device("device", &wan.device)?;
        }
        text::device("device", &self.lan_device)?;
        self.lan.check("LAN")?;
        if let Some(range) = self.dhcp {
            range.check(self.lan, "DHCP")?;
        }
        for vlan in &self.vlans {
            text::name("interface", &vlan.name)?;
            text::vlan("VLAN", vlan.tag)?;
            vlan.net.check("VLAN")?;
            if let Some(range) = vlan.dhcp {
                range.check(vlan.net, "DHCP")?;
            }
        }
        self.wireguard.as_ref().map_or(Ok(()), WireGuard::check)
    }

    fn system(&self, batch: &mut Batch) {
        batch.set("system.@system[0].hostname", &self.hostname);
        batch.set("system.@system[0].timezone", &self.zone);
        batch.set("system.@system[0].zonename", &self.zone_name);
        batch.set("dhcp.@dnsmasq[0].domain", &self.domain);
        batch.set("dhcp.@dnsmasq[0].local", format!("/{}/", self.domain));
        // Keys only; the password is for the console.
        batch.set("dropbear.@dropbear[0].PasswordAuth", "off");
        batch.set("dropbear.@dropbear[0].RootPasswordAuth", "off");
        batch.set("dropbear.@dropbear[0].Interface", "lan");
    }

    fn network(&self, batch: &mut Batch) {
        batch.set("network.lan", "interface");
        batch.set("network.lan.device", &self.lan_device);
        batch.set("network.lan.proto", "static");
        batch.set("network.lan.ipaddr", self.lan.address);
        batch.set("network.lan.netmask", self.lan.netmask());
        dhcp("lan", self.lan, self.dhcp, batch);
        // The vendor's second zone is the one that masquerades.
        for wan in &self.wans {
            let section = format!("network.{}", wan.name);
            batch.set(&section, "interface");
            batch.set(&format!("{section}.device"), &wan.device);
            batch.set(&format!("{section}.proto"), "dhcp");
            batch.set(&format!("{section}.metric"), wan.metric);
            batch.add("firewall.@zone[1].network", &wan.name);
        }
    }
}

/// Addresses are given out by offset and number.
fn dhcp(name: &str, net: Net4, range: Option<Range>, batch: &mut Batch) {
    let section = format!("dhcp.{name}");
    batch.set(&section, "dhcp");
    batch.set(&format!("{section}.interface"), name);
    match range {
        None => batch.set(&format!("{section}.ignore"), 1),
        Some(range) => {
            let (first, last) = (u32::from(range.first), u32::from(range.last));
            batch.set(&format!("{section}.start"), first & !net.mask());
            batch.set(&format!("{section}.limit"), last.saturating_sub(first) + 1);
            batch.set(&format!("{section}.leasetime"), "12h");
        }
    }
}

impl OpenWrtVlan {
    fn write(&self, device: &str, batch: &mut Batch) {
        let name = &self.name;
        let section = format!("network.{name}");
        batch.set(&section, "interface");
        batch.set(
            &format!("{section}.device"),
            format!("{device}.{}", self.tag),
        );
        batch.set(&format!("{section}.proto"), "static");
        batch.set(&format!("{section}.ipaddr"), self.net.address);
        batch.set(&format!("{section}.netmask"), self.net.netmask());
        dhcp(name, self.net, self.dhcp, batch);
        zone(name, "REJECT", batch);
        forward(name, "wan", batch);
        for (service, ports, protocols) in [("dns", "53", "tcp udp"), ("dhcp", "67", "udp")] {
            let rule = format!("firewall.{name}_{service}");
            batch.set(&rule, "rule");
            batch.set(&format!("{rule}.name"), format!("{name} {service}"));
            batch.set(&format!("{rule}.src"), name);
            batch.set(&format!("{rule}.dest_port"), ports);
            batch.set(&format!("{rule}.proto"), protocols);
            batch.set(&format!("{rule}.target"), "ACCEPT");
        }
        forward("lan", name, batch);
    }
}

fn zone(name: &str, input: &str, batch: &mut Batch) {
    let section = format!("firewall.{name}");
    batch.set(&section, "zone");
    batch.set(&format!("{section}.name"), name);
    batch.add(&format!("{section}.network"), name);
    batch.set(&format!("{section}.input"), input);
    batch.set(&format!("{section}.output"), "ACCEPT");
    batch.set(&format!("{section}.forward"), "REJECT");
}

fn forward(from: &str, to: &str, batch: &mut Batch) {
    let section = format!("firewall.{from}_to_{to}");
    batch.set(&section, "forwarding");
    batch.set(&format!("{section}.src"), from);
    batch.set(&format!("{section}.dest"), to);
}

fn wireguard(tunnel: &WireGuard, batch: &mut Batch) {
    let name = &tunnel.name;
    let section = format!("network.{name}");
    batch.set(&section, "interface");
    batch.set(&format!("{section}.proto"), "wireguard");
    batch.set(&format!("{section}.private_key"), &tunnel.private_key);
    batch.set(&format!("{section}.listen_port"), tunnel.port);
    batch.add(&format!("{section}.addresses"), tunnel.net);
    for (number, peer) in tunnel.peers.iter().enumerate() {
        let Peer {
            public_key,
            preshared,
            allowed,
            endpoint,
            keepalive,
            ..
        } = peer;
        let section = format!("network.{name}_peer{number}");
        batch.set(&section, format!("wireguard_{name}"));
        batch.set(&format!("{section}.description"), &peer.name);
        batch.set(&format!("{section}.public_key"), public_key);
        if let Some(secret) = preshared {
            batch.set(&format!("{section}.preshared_key"), secret);
        }
        for net in allowed {
            batch.add(&format!("{section}.allowed_ips"), net);
        }
        batch.set(&format!("{section}.route_allowed_ips"), 1);
        if let Some((host, port)) = endpoint {
            batch.set(&format!("{section}.endpoint_host"), host);
            batch.set(&format!("{section}.endpoint_port"), port);
        }
        if let Some(seconds) = keepalive {
            batch.set(&format!("{section}.persistent_keepalive"), seconds);
        }
    }
    zone(name, "ACCEPT", batch);
    forward(name, "lan", batch);
    forward("lan", name, batch);
    let rule = format!("firewall.{name}_in");
    batch.set(&rule, "rule");
    batch.set(&format!("{rule}.name"), format!("{name} in"));
    batch.set(&format!("{rule}.src"), "wan");
    batch.set(&format!("{rule}.dest_port"), tunnel.port);
    batch.set(&format!("{rule}.proto"), "udp");
    batch.set(&format!("{rule}.target"), "ACCEPT");
}
