//! The firewall, as intents: who may reach whom. Whatever no flow allows is closed, between guests as well as towards
//! the outside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Appliance, External, Guest, Segment};
use crate::names::{FlowName, Name};
use crate::net::Ports;

/// Names of ends that every appliance has: no guest, segment or external machine can be called so.
pub const RESERVED: [&str; 3] = [INTERNET, HOST, GATEWAY];

/// Everything outside of the appliance's segments and external machines.
pub const INTERNET: &str = "internet";

/// The host.
pub const HOST: &str = "host";

/// The routers of the segments.
pub const GATEWAY: &str = "gateway";

/// What may flow. Replies are always allowed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Its name, in rules and logs.
    pub name: FlowName,
    /// Who opens the connection: guests, segments, external machines, `internet`, `host` or `gateway`.
    pub from: Vec<Name>,
    /// Who accepts it: the same.
    pub to: Vec<Name>,
    /// Over what; without any, everything.
    #[serde(default)]
    pub ports: Vec<Ports>,
    /// True when each connection is logged.
    #[serde(default)]
    pub log: bool,
}

/// What a name in a flow means.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// Everything outside.
    Internet,
    /// The host.
    Host,
    /// The routers of the segments.
    Gateway,
    /// A guest.
    Guest(&'a Guest),
    /// Everything in a segment.
    Segment(&'a Segment),
    /// Machines that are not guests.
    External(&'a External),
}

impl Appliance {
    /// What a name in a flow means; `None` for an unknown one.
    pub fn end(&self, name: &Name) -> Option<End<'_>> {
        match name.as_str() {
            INTERNET => return Some(End::Internet),
            HOST => return Some(End::Host),
            GATEWAY => return Some(End::Gateway),
            _ => {}
        }
        let named = |guest: &&Guest| guest.name.as_str() == name.as_str();
        let guest = self.guest.iter().find(named).map(End::Guest);
        guest
            .or_else(|| self.segment_named(name).map(End::Segment))
            .or_else(|| {
                let mut externals = self.external.iter();
                externals
                    .find(|external| external.name == *name)
                    .map(End::External)
            })
    }
}
