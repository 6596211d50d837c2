//! From an appliance and its board to the files that Proxmox reads.
//!
//! Owns the translation, and nothing else: it is a function of its arguments. Never holds a secret, and never an identity:
//! SMBIOS ids, keys and tokens come to be on each unit. Invariant: every guest's configuration has passed [`schema`], so
//! Proxmox VE 8 and 9 take every key of it.
//!
//! ```text
//!  appliance, board ──> etc/pve/     nodes/HOST/{qemu-server,lxc}/ID.conf   vm.rs, ct.rs
//!                  │                 storage.cfg jobs.cfg datacenter.cfg    store.rs
//!                  │                 mapping/directory.cfg                  store.rs
//!                  │                 user.cfg                               users.rs
//!                  │                 firewall/*.fw nodes/HOST/host.fw       rules.rs, ends.rs
//!                  ├──> etc/         network/interfaces hosts               network.rs
//!                  └──> what a unit must find out or make: devices.rs, volumes.rs
//! ```
//!
//! [`schema`]: crate::text::schema

mod ct;
mod devices;
mod ends;
mod network;
mod rules;
mod store;
mod users;
mod vm;
mod volumes;

use std::collections::BTreeMap;

use roamcore_spec::appliance::{Guest, Host, Kind, Template};
use roamcore_spec::{Appliance, Board};

use crate::db::{self, Files};
use crate::text::schema::{self, Invalid};
use crate::text::{GuestConfig, Kind as ConfigKind, TextError};

pub use devices::UnitDevice;
pub use store::{BACKUP_STORAGE, GUEST_STORAGE, THIN_POOL, VOLUME_GROUP};
pub use users::{AGENT_ROLE, AGENT_TOKEN, AGENT_USER};
pub use volumes::{Content, Volume, volumes};

/// Why an appliance could not be translated. An appliance that `check` accepts with its board never is: each of these
/// means that it was not checked, or a mistake in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A section that an appliance with guests needs.
    #[error(
        "appliance `{appliance}` has no section [{section}], so there is nothing for Proxmox in it"
    )]
    NoSection {
        /// Which appliance.
        appliance: String,
        /// The section.
        section: &'static str,
    },
    /// A reference to something that is not there.
    #[error("`{of}` names {what} `{name}`, which is not there")]
    Missing {
        /// Who refers to it.
        of: String,
        /// What kind of thing.
        what: &'static str,
        /// The name looked for.
        name: String,
    },
    /// A value that cannot stand in a file of Proxmox's.
    #[error("configuration of guest {guest}")]
    Text {
        /// The guest's id.
        guest: u32,
        /// What is wrong.
        source: TextError,
    },
    /// A key or value that Proxmox would not take.
    #[error("{file} would not be taken by Proxmox")]
    Schema {
        /// The file.
        file: String,
        /// What is wrong.
        source: Invalid,
    },
}

/// What an appliance is to Proxmox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The node's name.
    pub node: String,
    /// Files below `/etc/pve`.
    pub pve: Files,
    /// Files below `/etc` besides.
    pub etc: BTreeMap<String, Vec<u8>>,
    /// Devices whose address only the unit knows.
    pub devices: Vec<UnitDevice>,
}

impl Compiled {
    /// All files by their path from the root.
    pub fn files(&self) -> BTreeMap<String, &[u8]> {
        let pve = self
            .pve
            .iter()
            .map(|(path, bytes)| (format!("etc/pve/{path}"), bytes.as_slice()));
        let etc = self
            .etc
            .iter()
            .map(|(path, bytes)| (format!("etc/{path}"), bytes.as_slice()));
        pve.chain(etc).collect()
    }
}

/// Translates an appliance for its board.
///
/// # Errors
/// The appliance has no host, or was not checked.
pub fn compile(appliance: &Appliance, board: &Board) -> Result<Compiled, CompileError> {
    let host = appliance
        .host
        .as_ref()
        .ok_or_else(|| CompileError::NoSection {
            appliance: appliance.name.to_string(),
            section: "host",
        })?;
    let input = Input {
        appliance,
        board,
        host,
        node: appliance.hostname.as_str(),
    };
    let mut pve = Files::new();
    for (step, guest) in appliance.start_order() {
        let template = input.template(guest)?;
        let config = match template.kind {
            Kind::Vm => vm::config(&input, guest, template, step)?,
            Kind::Ct => ct::config(&input, guest, template, step)?,
        };
        let path = db::guest_path(input.node, config.kind().directory(), guest.id);
        let refused = |source| CompileError::Schema {
            file: path.clone(),
            source,
        };
        schema::check(&config).map_err(refused)?;
        schema::check_canonical(&config).map_err(refused)?;
        pve.insert(path, config.to_text().into_bytes());
    }
    store::files(&input, &mut pve)?;
    pve.insert("user.cfg".to_owned(), users::text().into_bytes());
    rules::files(&input, &mut pve)?;
    Ok(Compiled {
        node: input.node.to_owned(),
        pve,
        etc: network::files(&input)?,
        devices: devices::of_units(appliance, board),
    })
}

/// What every part of the translation looks at.
struct Input<'a> {
    appliance: &'a Appliance,
    board: &'a Board,
    host: &'a Host,
    node: &'a str,
}

impl<'a> Input<'a> {
    fn template(&self, guest: &Guest) -> Result<&'a Template, CompileError> {
        let missing = || CompileError::Missing {
            of: guest.name.to_string(),
            what: "template",
            name: guest.template.to_string(),
        };
        self.appliance.template_of(guest).ok_or_else(missing)
    }

    fn segment(
        &self,
        of: &str,
        name: &roamcore_spec::names::Name,
    ) -> Result<&'a roamcore_spec::appliance::Segment, CompileError> {
        let missing = || CompileError::Missing {
            of: of.to_owned(),
            what: "segment",
            name: name.to_string(),
        };
        self.appliance.segment_named(name).ok_or_else(missing)
    }
}

/// A guest's configuration in the making: remembers whose it is when something is refused.
struct Draft {
    guest: u32,
    config: GuestConfig,
}

impl Draft {
    fn new(guest: &Guest, kind: ConfigKind, step: u32) -> Result<Self, CompileError> {
        let mut draft = Self {
            guest: guest.id,
            config: GuestConfig::new(kind),
        };
        draft.config.describe(&guest.description);
        draft.set("cores", guest.cores)?;
        draft.set("memory", guest.memory.whole_mib())?;
        draft.set("onboot", u8::from(guest.autostart))?;
        if guest.protection {
            draft.set("protection", 1)?;
        }
        let start = &guest.start;
        let mut startup = format!("order={step}");
        if start.delay_seconds > 0 {
            startup += &format!(",up={}", start.delay_seconds);
        }
        startup += &format!(",down={}", start.stop_seconds);
        draft.set("startup", startup)?;
        draft.set("tags", "roamcore")?;
        Ok(draft)
    }

    fn set(&mut self, key: &str, value: impl std::fmt::Display) -> Result<(), CompileError> {
        let refused = |source| CompileError::Text {
            guest: self.guest,
            source,
        };
        self.config.set(key, value).map(drop).map_err(refused)
    }

    /// A key whose value has parts.
    fn parts(
        &mut self,
        key: &str,
        format: &schema::Format,
        parts: &crate::text::Props,
    ) -> Result<(), CompileError> {
        let refused = |source| CompileError::Schema {
            file: format!("{} of guest {}", key, self.guest),
            source,
        };
        let value = parts.text(format).map_err(refused)?;
        self.set(key, value)
    }
}
