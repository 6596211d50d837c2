//! Debian's cloud images: cloud-init with the data source NoCloud, on a volume called CIDATA.
//!
//! Written as JSON, which every YAML parser reads and which leaves nothing to the rules of indentation and quoting.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{Net4, Secret, Seed, SeedError, text};
use crate::text::schema::is_mac;

/// How an interface gets its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Asks for one.
    Dhcp,
    /// Up, without an address.
    None,
    /// Has one.
    Fixed {
        /// The address.
        net: Net4,
        /// The way out.
        router: Option<Ipv4Addr>,
        /// Name servers.
        dns: Vec<Ipv4Addr>,
    },
}

/// A network card, found by its MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// What the guest shall call it.
    pub name: String,
    /// Its address on the wire.
    pub mac: String,
    /// Its address.
    pub address: Address,
    /// Networks on top of it, by tag.
    pub vlans: Vec<(u16, Address)>,
}

/// A user. The password, if there is one, is a hash that the device fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Public keys that may log in.
    pub ssh_keys: Vec<String>,
    /// `crypt(3)`
    pub password_hash: Option<Secret>,
    /// Whether it may become root without a password.
    pub admin: bool,
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// Changes when the guest shall do it all again.
    pub instance_id: String,
    /// Without a domain.
    pub hostname: String,
    /// For example `Europe/Berlin`.
    pub timezone: Option<String>,
    /// All users; those of the image do not get a key.
    pub users: Vec<User>,
    /// Network cards; any other stays down.
    pub nics: Vec<Nic>,
    /// Files: path, mode, content. The content may hold placeholders.
    pub files: Vec<(String, u16, String)>,
    /// Programs with their arguments, run once, in this order.
    pub run: Vec<Vec<String>>,
}

impl CloudInit {
    /// The label it looks for.
    pub const LABEL: &'static str = "CIDATA";

    /// The files.
    ///
    /// # Errors
    /// A text that would not arrive as it is.
    pub fn seed(&self) -> Result<Seed, SeedError> {
        text::hostname("host name", &self.hostname)?;
        text::device("instance id", &self.instance_id)?;
        let meta = json!({"instance-id": self.instance_id, "local-hostname": self.hostname});
        let user = format!("#cloud-config\n{}", pretty(&self.user_data()?));
        Ok(Seed::from([
            ("meta-data".into(), pretty(&meta).into_bytes()),
            (
                "network-config".into(),
                pretty(&self.network()?).into_bytes(),
            ),
            ("user-data".into(), user.into_bytes()),
        ]))
    }

    fn user_data(&self) -> Result<Value, SeedError> {
        let mut users = Vec::new();
        text::distinct("user", self.users.iter().map(|user| user.name.as_str()))?;
        for user in &self.users {
            text::name("user", &user.name)?;
            for key in &user.ssh_keys {
                text::ssh_key("SSH key", key)?;
            }
            let mut one = Map::new();
            one.insert("lock_passwd".into(), user.password_hash.is_none().into());
            one.insert("name".into(), user.name.clone().into());
            if let Some(secret) = &user.password_hash {
                one.insert("passwd".into(), secret.to_string().into());
            }
            one.insert("shell".into(), "/bin/bash".into());
            one.insert("ssh_authorized_keys".into(), user.ssh_keys.clone().into());
            if user.admin {
                one.insert("sudo".into(), "ALL=(ALL) NOPASSWD:ALL".into());
            }
            users.push(Value::Object(one));
        }
        let mut files = Vec::new();
        for (path, mode, content) in &self.files {
            text::line("path", path)?;
            if !path.starts_with('/') || *mode > 0o7777 {
                return Err(SeedError {
                    field: "path",
                    value: format!("{path} {mode:o}"),
                    expected: "an absolute path and a mode of four octal digits",
                });
            }
            files.push(
                json!({"content": content, "path": path, "permissions": format!("{mode:04o}")}),
            );
        }
        let mut all = Map::new();
        all.insert("disable_root".into(), true.into());
        all.insert("hostname".into(), self.hostname.clone().into());
        // Nothing is fetched at first boot: there may be no network, and what is installed is in the template.
        all.insert("package_update".into(), false.into());
        all.insert("preserve_hostname".into(), false.into());
        if !self.run.is_empty() {
            all.insert("runcmd".into(), self.run.clone().into());
        }
        all.insert("ssh_pwauth".into(), false.into());
        if let Some(zone) = &self.timezone {
            text::timezone("time zone", zone)?;
            all.insert("timezone".into(), zone.clone().into());
        }
        all.insert("users".into(), users.into());
        if !files.is_empty() {
            all.insert("write_files".into(), files.into());
        }
        Ok(Value::Object(all))
    }

    /// Version 2, netplan's.
    fn network(&self) -> Result<Value, SeedError> {
        let (mut cards, mut vlans) = (Map::new(), Map::new());
        text::distinct(
            "network card",
            self.nics.iter().map(|nic| nic.name.as_str()),
        )?;
        for nic in &self.nics {
            text::device("network card", &nic.name)?;
            if !is_mac(&nic.mac) {
                return Err(SeedError {
                    field: "MAC address",
                    value: nic.mac.clone(),
                    expected: "a unicast MAC address, two digits per byte",
                });
            }
            let mut one = address(&nic.address)?;
            // Compared as text with what the kernel shows.
            let mac = nic.mac.to_ascii_lowercase();
            one.insert("match".into(), json!({"macaddress": mac}));
            one.insert("set-name".into(), nic.name.clone().into());
            cards.insert(nic.name.clone(), one.into());
            for (tag, place) in &nic.vlans {
                text::vlan("VLAN", *tag)?;
                let mut one = address(place)?;
                one.insert("id".into(), (*tag).into());
                one.insert("link".into(), nic.name.clone().into());
                vlans.insert(format!("{}.{tag}", nic.name), one.into());
            }
        }
        let mut all = Map::new();
        all.insert("ethernets".into(), cards.into());
        all.insert("version".into(), 2.into());
        if !vlans.is_empty() {
            all.insert("vlans".into(), vlans.into());
        }
        Ok(all.into())
    }
}

fn address(address: &Address) -> Result<Map<String, Value>, SeedError> {
    let mut map = Map::new();
    match address {
        Address::Dhcp => {
            map.insert("dhcp4".into(), true.into());
        }
        Address::None => {
            map.insert("dhcp4".into(), false.into());
        }
        Address::Fixed { net, router, dns } => {
            net.check("address")?;
            map.insert("addresses".into(), json!([net.to_string()]));
            map.insert("dhcp4".into(), false.into());
            if !dns.is_empty() {
                let list: Vec<String> = dns.iter().map(ToString::to_string).collect();
                map.insert("nameservers".into(), json!({"addresses": list}));
            }
            if let Some(router) = router {
                // Not `to: default`, which renderers of older releases do not know.
                map.insert(
                    "routes".into(),
                    json!([{"to": "0.0.0.0/0", "via": router.to_string()}]),
                );
            }
        }
    }
    Ok(map)
}

/// Keys sorted: the map of this build of serde_json is, and the parts above are written so, should another keep its order.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
