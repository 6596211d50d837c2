//! OPNsense: its whole configuration, one XML document.
//!
//! Owns what is asked for and whether it makes sense; `config.rs` and `rules.rs` write it. Its importer takes the document
//! from `conf/config.xml` of a disk's first partition, but only when somebody presses a key at the console within seconds
//! of the start and names the disk: whoever starts the guest for the first time does that, on its serial port.

mod config;
mod rules;

use std::net::Ipv4Addr;

use super::{Net4, Range, Secret, Seed, SeedError, text};

/// How a WAN gets its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WanAddress {
    /// Asks for one.
    Dhcp,
    /// Has one.
    Fixed {
        /// The address.
        net: Net4,
        /// The way out.
        router: Ipv4Addr,
    },
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wan {
    /// What people call it, and its gateway with `_GW` after it.
    pub name: String,
    /// The kernel's device: `vtnet0`, `igc0`.
    pub device: String,
    /// Its address.
    pub address: WanAddress,
    /// 1 is used first; the same number shares the load.
    pub tier: u8,
    /// Answers pings as long as this way out works; another one for each.
    pub monitor: Ipv4Addr,
}

/// A network inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What people call it.
    pub name: String,
    /// The router's address in it.
    pub net: Net4,
    /// Addresses given out.
    pub dhcp: Option<Range>,
    /// Whether it reaches the other networks inside; the internet it does.
    pub reaches_inside: bool,
}

/// A network on top of the LAN's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// Its tag.
    pub tag: u16,
    /// The network.
    pub network: Network,
}

/// Somebody at the other end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub public_key: String,
    /// A second secret that both know.
    pub preshared: Option<Secret>,
    /// What it may send from, and is sent.
    pub allowed: Vec<String>,
    /// Where it is, if it does not come to us.
    pub endpoint: Option<(String, u16)>,
    /// Seconds between signs of life, through a NAT.
    pub keepalive: Option<u16>,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireGuard {
    /// Its name.
    pub name: String,
    /// Made on the device.
    pub private_key: Secret,
    /// The UDP port it is reached at.
    pub port: u16,
    /// The router's address in it.
    pub net: Net4,
    /// Who may come.
    pub peers: Vec<Peer>,
}

impl WireGuard {
    pub(super) fn check(&self) -> Result<(), SeedError> {
        text::name("tunnel", &self.name)?;
        self.net.check("tunnel")?;
        text::distinct("peer", self.peers.iter().map(|peer| peer.name.as_str()))?;
        text::distinct(
            "peer's key",
            self.peers.iter().map(|peer| peer.public_key.as_str()),
        )?;
        for peer in &self.peers {
            text::name("peer", &peer.name)?;
            text::key("peer's key", &peer.public_key)?;
            for net in &peer.allowed {
                text::cidr("peer's network", net)?;
            }
            if let Some((host, _)) = &peer.endpoint {
                text::dns_name("peer's place", host)?;
            }
        }
        Ok(())
    }
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpnSense {
    /// Without a domain.
    pub hostname: String,
    /// The local domain.
    pub domain: String,
    /// For example `Europe/Berlin`.
    pub timezone: String,
    /// Hash of root's password, as bcrypt writes it.
    pub password_hash: Secret,
    /// Public keys for root; SSH is off without, and never takes a password.
    pub ssh_keys: Vec<String>,
    /// One or more; with two there is a gateway group of their tiers.
    pub wans: Vec<Wan>,
    /// The kernel's device of the LAN.
    pub lan_device: String,
    /// The LAN.
    pub lan: Network,
    /// Networks beside it.
    pub vlans: Vec<Vlan>,
    /// A tunnel.
    pub wireguard: Option<WireGuard>,
}

/// The gateway group of two WANs or more.
const GROUP: &str = "WAN_GROUP";

impl OpnSense {
    /// Any label will do; this one says what it is.
    pub const LABEL: &'static str = "OPNSENSE";

    /// The files.
    ///
    /// # Errors
    /// A text that would not arrive as it is.
    pub fn seed(&self) -> Result<Seed, SeedError> {
        self.check()?;
        Ok(Seed::from([(
            "conf/config.xml".into(),
            config::write(self)?,
        )]))
    }

    fn check(&self) -> Result<(), SeedError> {
        text::hostname("host name", &self.hostname)?;
        text::dns_name("domain", &self.domain)?;
        text::timezone("time zone", &self.timezone)?;
        for key in &self.ssh_keys {
            text::ssh_key("SSH key", key)?;
        }
        let refuse = |field, value: &str, expected| {
            Err(SeedError {
                field,
                value: value.into(),
                expected,
            })
        };
        if self.wans.is_empty() {
            return refuse("WAN", "", "one or more");
        }
        let names = self.wans.iter().map(|wan| wan.name.as_str());
        text::distinct(
            "network",
            names.chain(self.networks().map(|(_, net)| net.name.as_str())),
        )?;
        let devices = self.wans.iter().map(|wan| wan.device.as_str());
        text::distinct("device", devices.chain([self.lan_device.as_str()]))?;
        let monitors: Vec<String> = self
            .wans
            .iter()
            .map(|wan| wan.monitor.to_string())
            .collect();
        text::distinct("monitor", monitors.iter().map(String::as_str))?;
        for wan in &self.wans {
            text::name("WAN", &wan.name)?;
            text::device("device", &wan.device)?;
            if !(1..=5).contains(&wan.tier) {
                return refuse("tier", &wan.tier.to_string(), "a tier from 1 to 5");
            }
            if let WanAddress::Fixed { net, router } = wan.address {
                net.check("WAN")?;
                if !net.has_host(router) || router == net.address {
                    return refuse(
                        "router",
                        &router.to_string(),
                        "another host of the same network",
                    );
                }
            }
        }
        text::device("device", &self.lan_device)?;
        for (_, network) in self.networks() {
            text::name("network", &network.name)?;
            network.net.check("network")?;
            if let Some(range) = network.dhcp {
                range.check(network.net, "DHCP")?;
            }
        }
        let tags: Vec<String> = self.vlans.iter().map(|vlan| vlan.tag.to_string()).collect();
        text::distinct("VLAN", tags.iter().map(String::as_str))?;
        for vlan in &self.vlans {
            text::vlan("VLAN", vlan.tag)?;
        }
        self.wireguard.as_ref().map_or(Ok(()), WireGuard::check)
    }

    /// Networks inside, by the name that the configuration knows them by.
    fn networks(&self) -> impl Iterator<Item = (String, &Network)> {
        let first = self.wans.len();
        let vlans = self.vlans.iter().enumerate();
        let vlans = vlans.map(move |(at, vlan)| (format!("opt{}", first + at), &vlan.network));
        [("lan".to_owned(), &self.lan)].into_iter().chain(vlans)
    }

    /// Ways out, likewise: the first is `wan`, the next `opt1`.
    fn ways_out(&self) -> impl Iterator<Item = (String, &Wan)> {
        let name = |at| {
            if at == 0 {
                "wan".to_owned()
            } else {
                format!("opt{at}")
            }
        };
        self.wans
            .iter()
            .enumerate()
            .map(move |(at, wan)| (name(at), wan))
    }

    /// The device of a VLAN.
    fn vlan_device(at: usize) -> String {
        format!("vlan{:02}", at + 1)
    }
}
