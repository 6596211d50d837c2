//! A network between the harness and the guest's LAN ports.
//!
//! Owns a network namespace, held open by a sleeping process, with one tap device in it. Works for root, and for an ordinary
//! user where user namespaces are allowed. Never touches the host's own network; the namespace goes with its holder.
//!
//! ```text
//!   namespace: lan0 (tap, 192.168.50.1/24) <-> guest's NIC <-> vmbr0 192.168.50.2
//!   QEMU and the scanners run inside it (nsenter); QMP and serial sockets are files and cross it.
//! ```

use crate::args;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::tool::{self, Daemon, Tty};

/// The tap's name inside the namespace.
pub const TAP: &str = "lan0";
/// The harness' address on the guest's LAN.
pub const HOST_ADDRESS: &str = "192.168.50.1";

/// A namespace with a tap.
#[derive(Debug)]
pub struct Lan {
    holder: Daemon,
    as_root: bool,
}

impl Lan {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let as_root = rustix::process::geteuid().is_root();
        let mut unshare = Vec::from(args!["unshare", "--net"]);
        if !as_root {
            unshare.extend(args!["--user", "--map-root-user"]);
        }
        unshare.push("--".into());
        let holder = Daemon::start(&unshare, "sleep", &args!["infinity"], Tty::Detached)?;
        let mut lan = Self { holder, as_root };
        lan.wait_for_namespace()?;
        lan.run("ip", &args!["tuntap", "add", "dev", TAP, "mode", "tap"])?;
        lan.run(
            "ip",
            &args!["address", "add", format!("{HOST_ADDRESS}/24"), "dev", TAP],
        )?;
        lan.run("ip", &args!["link", "set", TAP, "up"])?;
        lan.run("ip", &args!["link", "set", "lo", "up"])?;
        Ok(lan)
    }

    /// Why this host cannot have one, if so.
    pub fn impossible() -> Option<String> {
        Self::new()
            .err()
            .map(|e| format!("no network namespace with a tap here: {e}"))
    }

    fn wait_for_namespace(&mut self) -> Result<()> {
        let theirs = format!("/proc/{}/ns/net", self.holder.pid());
        let deadline = Deadline::secs(5);
        loop {
            if let Some(error) = self.holder.died() {
                return Err(error);
            }
            // Unreadable for a moment while credentials change: same as "not yet".
            let (ours, theirs) = (
                std::fs::read_link("/proc/self/ns/net"),
                std::fs::read_link(&theirs),
            );
            if matches!((&ours, &theirs), (Ok(a), Ok(b)) if a != b) {
                return Ok(());
            }
            if !deadline.pause(20) {
                let (what, tail) = ("a network namespace".into(), format!("{theirs:?}"));
                return Err(Error::Timeout {
                    what,
                    seconds: deadline.seconds(),
                    tail,
                });
            }
        }
    }

    /// What to put in front of a command line so that it runs inside.
    pub fn enter(&self) -> Vec<String> {
        let mut line = Vec::from(args!["nsenter", "--target", self.holder.pid(), "--net"]);
        if !self.as_root {
            line.extend(args!["--user", "--preserve-credentials"]);
        }
        line.push("--".into());
        line
    }

    /// Runs a tool inside to its end.
    pub fn run(&self, program: &str, args: &[String]) -> Result<String> {
        let enter = self.enter();
        let full =
            tool::find(program).map_or_else(|| program.to_owned(), |p| p.display().to_string());
        let line = [&enter[1..], &[full], args].concat();
        tool::text(&enter[0], &line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_has_its_own_tap() {
        match Lan::new() {
            Ok(lan) => {
                let shown = lan
                    .run("ip", &args!["-brief", "address", "show", "dev", TAP])
                    .unwrap();
                assert!(shown.contains("192.168.50.1/24"), "{shown}");
            }
            Err(reason) => eprintln!("skipped: {reason}"),
        }
    }
}
