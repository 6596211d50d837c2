//! The document.
//!
//! Element names and values are those of the models in OPNsense's own source (26.x); what is left out has their defaults.
//! A gateway group's members are written in the old way, `NAME|TIER`, which old and new releases read.

use super::super::SeedError;
use super::super::xml::Xml;
use super::{GROUP, OpnSense, WanAddress, rules};

/// Identities inside the document: fixed, one per kind and place.
pub(super) fn uuid(kind: u8, number: usize) -> String {
    format!("526f616d-436f-4{kind:03x}-8000-{:012x}", number + 1)
}

const GATEWAY: u8 = 1;
const PEER: u8 = 3;
const SERVER: u8 = 4;

pub(super) fn write(want: &OpnSense) -> Result<Vec<u8>, SeedError> {
    let mut xml = Xml::new();
    xml.node("opnsense", |xml| {
        system(want, xml)?;
        interfaces(want, xml)?;
        if !want.vlans.is_empty() {
            vlans(want, xml)?;
        }
        dnsmasq(want, xml)?;
        xml.node("unbound", |xml| xml.leaf("enable", 1))?;
        xml.node("nat", |xml| {
            xml.node("outbound", |xml| xml.leaf("mode", "automatic"))
        })?;
        if want.wans.len() > 1 {
            group(want, xml)?;
        }
        xml.node("OPNsense", |xml| {
            gateways(want, xml)?;
            rules::write(want, xml)?;
            wireguard(want, xml)
        })
    })?;
    Ok(xml.finish())
}

fn system(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node("system", |xml| {
        xml.leaves(&[
            ("optimization", "normal"),
            ("hostname", &want.hostname),
            ("domain", &want.domain),
            ("dnsallowoverride", "1"),
            ("timezone", &want.timezone),
            ("disablenatreflection", "yes"),
            ("usevirtualterminal", "1"),
            ("ipv6allow", "1"),
            // The host reads and writes this console: it is how the first import is done, and the last way in.
            ("serialspeed", "115200"),
            ("primaryconsole", "serial"),
            ("secondaryconsole", "video"),
        ])?;
        xml.node("group", |xml| {
            xml.leaves(&[
                ("name", "admins"),
                ("description", "System Administrators"),
                ("scope", "system"),
                ("gid", "1999"),
                ("member", "0"),
                ("priv", "page-all"),
            ])
        })?;
        xml.node("user", |xml| {
            xml.leaves(&[
                ("name", "root"),
                ("descr", "System Administrator"),
                ("scope", "system"),
                ("groupname", "admins"),
            ])?;
            xml.leaf("password", &want.password_hash)?;
            xml.leaf("uid", 0)?;
            if want.ssh_keys.is_empty() {
                return Ok(());
            }
            let keys = want.ssh_keys.join("\n") + "\n";
            xml.leaf("authorizedkeys", base64(keys.as_bytes()))
        })?;
        xml.node("webgui", |xml| {
            // Inside only: the rules of the WANs let nothing in either.
            xml.leaves(&[("protocol", "https"), ("interfaces", "lan")])
        })?;
        xml.node("ssh", |xml| {
            xml.leaf("group", "admins")?;
            if want.ssh_keys.is_empty() {
                return Ok(());
            }
            xml.leaves(&[
                ("enabled", "enabled"),
                ("permitrootlogin", "1"),
                ("interfaces", "lan"),
            ])
        })?;
        xml.node("bogons", |xml| xml.leaf("interval", "monthly"))
    })
}

fn interfaces(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node("interfaces", |xml| {
        for (at, (id, wan)) in want.ways_out().enumerate() {
            xml.node(tag(&id)?, |xml| {
                xml.leaves(&[("enable", "1"), ("if", &wan.device), ("descr", &wan.name)])?;
                match wan.address {
                    WanAddress::Dhcp => {
                        xml.leaf("ipaddr", "dhcp")?;
                        // One delegated prefix is handed on; more ways out would each hand on theirs.
                        if at == 0 {
                            xml.leaf("ipaddrv6", "dhcp6")?;
                        }
                    }
                    WanAddress::Fixed { net, .. } => {
                        xml.leaf("ipaddr", net.address)?;
                        xml.leaf("subnet", net.prefix)?;
                        xml.leaf("gateway", format!("{}_GW", wan.name))?;
                    }
                }
                xml.leaves(&[("blockpriv", "0"), ("blockbogons", "1")])
            })?;
        }
        for (at, (id, network)) in want.networks().enumerate() {
            let device = match at.checked_sub(1) {
                None => want.lan_device.clone(),
                Some(vlan) => OpnSense::vlan_device(vlan),
            };
            xml.node(tag(&id)?, |xml| {
                xml.leaves(&[("enable", "1"), ("if", &device), ("descr", &network.name)])?;
                xml.leaf("ipaddr", network.net.address)?;
                xml.leaf("subnet", network.net.prefix)
            })?;
        }
        Ok(())
    })
}

/// Interfaces are elements by their names, of which there is a fixed list here.
fn tag(id: &str) -> Result<&'static str, SeedError> {
    const TAGS: [&str; 18] = [
        "wan", "lan", "opt1", "opt2", "opt3", "opt4", "opt5", "opt6", "opt7", "opt8", "opt9",
        "opt10", "opt11", "opt12", "opt13", "opt14", "opt15", "opt16",
    ];
    let found = TAGS.into_iter().find(|tag| *tag == id);
    found.ok_or_else(|| SeedError {
        field: "network",
        value: id.into(),
        expected: "at most 16 networks beside WAN and LAN",
    })
}

fn vlans(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node_with("vlans", &[("version", "1.0.0")], |xml| {
        for (at, vlan) in want.vlans.iter().enumerate() {
            xml.node_with("vlan", &[("uuid", &uuid(2, at))], |xml| {
                xml.leaf("if", &want.lan_device)?;
                xml.leaf("tag", vlan.tag)?;
                xml.leaf("pcp", 0)?;
                xml.leaf("descr", &vlan.network.name)?;
                xml.leaf("vlanif", OpnSense::vlan_device(at))
            })?;
        }
        Ok(())
    })
}

/// DHCP. Names are Unbound's, so it listens where the vendor's own default has it.
fn dnsmasq(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    let served: Vec<_> = want
        .networks()
        .filter(|(_, network)| network.dhcp.is_some())
        .collect();
    let names: Vec<&str> = served.iter().map(|(id, _)| id.as_str()).collect();
    xml.node("dnsmasq", |xml| {
        xml.leaf("enable", u8::from(!served.is_empty()))?;
        xml.leaf("port", 53053)?;
        xml.leaf("interface", names.join(","))?;
        for (id, network) in &served {
            let Some(range) = network.dhcp else { continue };
            xml.node("dhcp_ranges", |xml| {
                xml.leaf("interface", id)?;
                xml.leaf("start_addr", range.first)?;
                xml.leaf("end_addr", range.last)?;
                xml.leaf("domain", &want.domain)
            })?;
        }
        Ok(())
    })
}

fn gateways(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node_with("Gateways", &[("version", "1.0.0")], |xml| {
        for (at, (id, wan)) in want.ways_out().enumerate() {
            xml.node_with("gateway_item", &[("uuid", &uuid(GATEWAY, at))], |xml| {
                xml.leaf("disabled", 0)?;
                xml.leaf("name", format!("{}_GW", wan.name))?;
                xml.leaf("interface", &id)?;
                xml.leaf("ipprotocol", "inet")?;
                match wan.address {
                    // Empty: whatever the interface was given.
                    WanAddress::Dhcp => xml.leaf("gateway", "")?,
                    WanAddress::Fixed { router, .. } => xml.leaf("gateway", router)?,
                }
                xml.leaf("defaultgw", 1)?;
                xml.leaf("monitor_disable", 0)?;
                xml.leaf("monitor", wan.monitor)?;
                xml.leaf("priority", 10 * u16::from(wan.tier))?;
                xml.leaf("weight", 1)
            })?;
        }
        Ok(())
    })
}

fn group(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    xml.node("gateways", |xml| {
        xml.node_with("gateway_group", &[("uuid", &uuid(5, 0))], |xml| {
            xml.leaf("name", GROUP)?;
            for wan in &want.wans {
                xml.leaf("item", format!("{}_GW|{}", wan.name, wan.tier))?;
            }
            xml.leaf("trigger", "downloss")
        })
    })
}

fn wireguard(want: &OpnSense, xml: &mut Xml) -> Result<(), SeedError> {
    let Some(tunnel) = &want.wireguard else {
        return Ok(());
    };
    xml.node("wireguard", |xml| {
        xml.node_with("general", &[("version", "0.0.1")], |xml| {
            xml.leaf("enabled", 1)
        })?;
        xml.node_with("server", &[("version", "1.0.1")], |xml| {
            xml.node("servers", |xml| {
                xml.node_with("server", &[("uuid", &uuid(SERVER, 0))], |xml| {
                    xml.leaf("enabled", 1)?;
                    xml.leaf("name", &tunnel.name)?;
                    xml.leaf("instance", 0)?;
                    xml.leaf("privkey", &tunnel.private_key)?;
                    xml.leaf("port", tunnel.port)?;
                    xml.leaf("tunneladdress", tunnel.net)?;
                    xml.leaf("disableroutes", 0)?;
                    let peers: Vec<_> = (0..tunnel.peers.len()).map(|at| uuid(PEER, at)).collect();
                    xml.leaf("peers", peers.join(","))
                })
            })
        })?;
        xml.node_with("client", &[("version", "1.0.0")], |xml| {
            xml.node("clients", |xml| {
                for (at, peer) in tunnel.peers.iter().enumerate() {
                    xml.node_with("client", &[("uuid", &uuid(PEER, at))], |xml| {
                        xml.leaf("enabled", 1)?;
                        xml.leaf("name", &peer.name)?;
                        xml.leaf("pubkey", &peer.public_key)?;
                        if let Some(secret) = &peer.preshared {
                            xml.leaf("psk", secret)?;
                        }
                        xml.leaf("tunneladdress", peer.allowed.join(","))?;
                        if let Some((host, port)) = &peer.endpoint {
                            xml.leaf("serveraddress", host)?;
                            xml.leaf("serverport", port)?;
                        }
                        peer.keepalive
                            .map_or(Ok(()), |seconds| xml.leaf("keepalive", seconds))
                    })?;
                }
                Ok(())
            })
        })
    })
}

/// RFC 4648, section 4. A dozen lines, for the one field that wants it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let byte = |at: usize| u32::from(piece.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= piece.len() {
                letter.into()
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn the_vectors_of_rfc_4648() {
        let table = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, want) in table {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }
}
