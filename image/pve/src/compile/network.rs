//! The host's network: `/etc/network/interfaces` for ifupdown2, `/etc/hosts`.
//!
//! NICs that guests own do not appear: the host never touches them. Every port of a bridge has a stanza of its own, or
//! Proxmox could not write the file again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roamcore_spec::appliance::{Bridge, Segment};

use super::{CompileError, Input};

pub(super) fn files(input: &Input<'_>) -> Result<BTreeMap<String, Vec<u8>>, CompileError> {
    let mut files = BTreeMap::new();
    files.insert(
        "network/interfaces".to_owned(),
        interfaces(input)?.into_bytes(),
    );
    files.insert("hosts".to_owned(), hosts(input).into_bytes());
    Ok(files)
}

/// The short name comes with an address of the host's own: with one of the loopback, Proxmox does not start.
fn hosts(input: &Input<'_>) -> String {
    let (address, node, domain) = (input.host.address, input.node, input.host.domain());
    format!(
        "127.0.0.1 localhost\n{address} {node}.{domain} {node}\n\n::1 localhost ip6-localhost ip6-loopback\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
}

fn interfaces(input: &Input<'_>) -> Result<String, CompileError> {
    let home = input.segment("host", &input.host.segment)?;
    let mut text = String::from("auto lo\niface lo inet loopback\n");
    let mut nics: Vec<_> = input
        .appliance
        .bridge
        .iter()
        .flat_map(|bridge| &bridge.nics)
        .collect();
    nics.sort_unstable();
    for nic in nics {
        let _ = write!(text, "\nauto {nic}\niface {nic} inet manual\n");
    }
    for bridge in &input.appliance.bridge {
        stanza(input, bridge, home, &mut text);
    }
    text += "\nsource /etc/network/interfaces.d/*\n";
    Ok(text)
}

/// A bridge, and the host's address on it or on a VLAN of it.
fn stanza(input: &Input<'_>, bridge: &Bridge, home: &Segment, text: &mut String) {
    let at_home = bridge.name == home.bridge;
    let address = |text: &mut String| {
        let _ = writeln!(
            text,
            "\taddress {}/{}",
            input.host.address,
            home.subnet.prefix()
        );
        if let Some(gateway) = home.gateway {
            let _ = writeln!(text, "\tgateway {gateway}");
        }
    };
    let own = at_home && home.vlan.is_none();
    let name = &bridge.name;
    let _ = write!(
        text,
        "\nauto {name}\niface {name} inet {}\n",
        if own { "static" } else { "manual" }
    );
    if own {
        address(text);
    }
    let ports: Vec<&str> = bridge.nics.iter().map(|nic| nic.as_str()).collect();
    let ports = if ports.is_empty() {
        "none".to_owned()
    } else {
        ports.join(" ")
    };
    let _ = writeln!(text, "\tbridge-ports {ports}");
    let _ = writeln!(
        text,
        "\tbridge-stp off\n\tbridge-fd 0\n\tbridge-vlan-aware yes\n\tbridge-vids 2-4094"
    );
    if let Some(vlan) = home.vlan.filter(|_| at_home) {
        let _ = write!(
            text,
            "\nauto {name}.{vlan}\niface {name}.{vlan} inet static\n"
        );
        address(text);
    }
}
