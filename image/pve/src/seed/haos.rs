//! Home Assistant OS: a volume called CONFIG, which it imports at every start that it is attached.
//!
//! With the `network` directory all connections it has are replaced, and without `authorized_keys` those it has are taken
//! away: detach the volume after the first start, or what the owner changes there is undone.

use std::net::Ipv4Addr;

use super::{Net4, Seed, SeedError, text};

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Haos {
    /// A fixed address, router and name servers; `None` asks by DHCP.
    pub fixed: Option<(Net4, Ipv4Addr, Vec<Ipv4Addr>)>,
    /// Time servers; none leaves its own.
    pub ntp: Vec<String>,
    /// Public keys for its debug console, which is off without.
    pub ssh_keys: Vec<String>,
}

impl Haos {
    /// The label it looks for.
    pub const LABEL: &'static str = "CONFIG";

    /// The files.
    ///
    /// # Errors
    /// A text that would not arrive as it is.
    pub fn seed(&self) -> Result<Seed, SeedError> {
        let mut seed = Seed::from([("network/roamcore".into(), self.connection()?.into_bytes())]);
        if !self.ntp.is_empty() {
            for server in &self.ntp {
                text::dns_name("time server", server)?;
            }
            let text = format!("[Time]\nNTP={}\n", self.ntp.join(" "));
            seed.insert("timesyncd.conf".into(), text.into_bytes());
        }
        if !self.ssh_keys.is_empty() {
            for key in &self.ssh_keys {
                text::ssh_key("SSH key", key)?;
            }
            let text = self.ssh_keys.join("\n") + "\n";
            seed.insert("authorized_keys".into(), text.into_bytes());
        }
        Ok(seed)
    }

    /// A key file of NetworkManager.
    fn connection(&self) -> Result<String, SeedError> {
        let ipv4 = match &self.fixed {
            None => "method=auto\n".to_owned(),
            Some((net, router, servers)) => {
                net.check("address")?;
                if !net.has_host(*router) || *router == net.address {
                    return Err(SeedError {
                        field: "router",
                        value: router.to_string(),
                        expected: "another host of the same network",
                    });
                }
                let servers: String = servers.iter().map(|server| format!("{server};")).collect();
                let dns = if servers.is_empty() {
                    String::new()
                } else {
                    format!("dns={servers}\n")
                };
                format!("address1={net},{router}\n{dns}method=manual\n")
            }
        };
        // The import leaves no other profile, so any identity will do, as long as it stays the same.
        Ok(format!(
            "[connection]\nid=roamcore\nuuid=526f616d-436f-4007-8000-000000000001\ntype=802-3-ethernet\n\
             llmnr=2\nmdns=2\n\n[ipv4]\n{ipv4}\n[ipv6]\naddr-gen-mode=stable-privacy\nmethod=auto\n"
        ))
    }
}
