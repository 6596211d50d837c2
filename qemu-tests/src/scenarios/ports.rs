//! Proves (g): seen from the LAN, no TCP port is open and no UDP service answers; sshd, which listens everywhere, answers
//! on the admin interface and nowhere else.
//!
//! A scan that reached nobody would find nothing open either: so the guest must have answered ARP, and its NIC must have
//! counted the scan's packets. Nor would a scan find an sshd that does not run: so it must have answered where it may.

use anyhow::{Context as _, ensure};

use crate::args;
use crate::context::Ctx;
use crate::guest::Guest;
use crate::net::{HOST_ADDRESS, TAP};
use crate::registry::{Group, Need, Skip, Test};
use crate::scenarios::common::second_boot;

/// The row.
pub const TEST: Test = Test {
    name: "ports",
    proves: "a scan of all TCP and the usual UDP ports from the LAN finds nothing open; sshd answers on tailscale0 alone",
    group: Group::Ci,
    needs: &[Need::Image, Need::Lan, Need::Tool("nmap")],
    run,
};

/// The host's address on vmbr0.
const GUEST: &str = "192.168.50.2";
/// All TCP ports.
const PORTS: u64 = 65_535;

/// A cable with one end in the guest's own network and the other one in a namespace, as if a neighbour were there.
const CABLE: &str = "set -e; ip netns add neighbour; ip link add tailscale0 type veth peer name far netns neighbour; \
                     ip address add 100.64.0.1/24 dev tailscale0; ip link set tailscale0 up; \
                     ip -n neighbour address add 100.64.0.2/24 dev far; ip -n neighbour link set far up";
/// Another name for the same cable; its address stays.
const RENAME: &str = "set -e; ip link set tailscale0 down; ip link set tailscale0 name stranger0; \
                      ip link set stranger0 up";
/// Takes namespace and cable away.
const UNPLUG: &str = "ip netns delete neighbour";

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    ctx.with_shared(second_boot, |guest| {
        let mut proofs = scan(guest)?;
        proofs.push(admin_interface(guest)?);
        Ok(proofs)
    })
}

/// Until there is Tailscale, a cable of its interface's name stands in for it: the firewall looks at the name only.
fn admin_interface(guest: &mut Guest) -> anyhow::Result<String> {
    guest.ok(CABLE)?;
    let banner = ssh_banner(guest, 60)?;
    ensure!(
        banner.starts_with("SSH-2.0-"),
        "sshd does not answer on tailscale0, but `{banner}`"
    );
    guest.ok(RENAME)?;
    let elsewhere = ssh_banner(guest, 5)?;
    ensure!(
        elsewhere.is_empty(),
        "on another interface port 22 answers `{elsewhere}`"
    );
    guest.ok(UNPLUG)?;
    Ok(format!(
        "sshd answers on tailscale0 (`{banner}`), and not on the same cable under another name"
    ))
}

/// What port 22 says to the neighbour within some seconds; nothing when no connection comes about.
fn ssh_banner(guest: &mut Guest, seconds: u32) -> anyhow::Result<String> {
    let ask = "exec 3<>/dev/tcp/100.64.0.1/22 && IFS= read -r line <&3 && printf %s \"$line\"";
    let output = guest.run(&format!(
        "ip netns exec neighbour timeout {seconds} bash -c '{ask}' 2>/dev/null"
    ))?;
    Ok(output.text())
}

fn scan(guest: &mut Guest) -> anyhow::Result<Vec<String>> {
    let before = received(guest)?;
    let lan = guest
        .machine()?
        .lan()
        .ok_or_else(|| Skip("LAN port 1 has no cable to the harness".into()))?;
    // An ARP ping; `-sn` alone does not probe ports.
    let ping = lan.run("nmap", &args!["-n", "-sn", "-PR", GUEST])?;
    ensure!(
        ping.contains("Host is up"),
        "{GUEST} does not answer ARP from {HOST_ADDRESS} on {TAP}: {ping}"
    );
    let tcp = args![
        "-n",
        "-Pn",
        "-sS",
        "-p-",
        "-T4",
        "--max-retries",
        1,
        "--min-rate",
        2000,
        "-oG",
        "-",
        GUEST
    ];
    let tcp = lan.run("nmap", &tcp)?;
    let udp = args![
        "-n",
        "-Pn",
        "-sU",
        "--top-ports",
        100,
        "-T4",
        "--max-retries",
        1,
        "-oG",
        "-",
        GUEST
    ];
    let udp = lan.run("nmap", &udp)?;
    let sent = received(guest)? - before;
    ensure!(
        sent >= PORTS,
        "only {sent} packets of the scan reached the guest"
    );
    for (kind, report) in [("TCP", &tcp), ("UDP", &udp)] {
        let open = open_ports(report);
        ensure!(open.is_empty(), "open {kind} ports: {}", open.join(", "));
    }
    Ok(vec![format!(
        "{PORTS} TCP and 100 UDP ports scanned, {sent} packets arrived, none open"
    )])
}

/// Packets that arrived at LAN port 1.
fn received(guest: &mut Guest) -> anyhow::Result<u64> {
    let count = guest.ok("cat /sys/class/net/nic1/statistics/rx_packets")?;
    count
        .parse()
        .with_context(|| format!("packet counter `{count}`"))
}

/// Ports that nmap's greppable report calls open: `Ports: 22/open/tcp//ssh///, ...`. `open|filtered` means no answer.
fn open_ports(report: &str) -> Vec<String> {
    let ports = report
        .lines()
        .filter_map(|line| line.split_once("Ports: "))
        .flat_map(|(_, ports)| ports.split([',', '\t']));
    ports
        .map(str::trim)
        .filter(|port| port.split('/').nth(1) == Some("open"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_answer_counts_as_open() {
        let report = "Host: 192.168.50.2 ()\tPorts: 22/open/tcp//ssh///, 53/open|filtered/udp//domain///, \
                      80/closed/tcp//http///\tIgnored State: filtered (65533)\n";
        assert_eq!(open_ports(report), ["22/open/tcp//ssh///"]);
    }
}
