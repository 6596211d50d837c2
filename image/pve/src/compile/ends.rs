//! Names for addresses: aliases and sets of `cluster.fw`, and how rules refer to them.
//!
//! ```text
//!  guest with one address     dc/guest-NAME      with more   +dc/guest-NAME
//!  external with one          dc/ext-NAME        with more   +dc/ext-NAME
//!  segment                    dc/net-NAME        host        dc/node
//!  routers of the segments    +dc/gateway        internet    +dc/internet
//! ```

use std::collections::{BTreeMap, BTreeSet};

use roamcore_spec::appliance::End;
use roamcore_spec::net::{Address, Subnet};
use roamcore_spec::{Appliance, names::Name};

use super::{CompileError, Input};

/// Aliases and sets, those that the appliance's flows need.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) aliases: BTreeMap<String, Subnet>,
    /// Entries; true for those that are taken out again.
    pub(super) sets: BTreeMap<String, BTreeSet<(Subnet, bool)>>,
}

/// All of IPv4 in halves, since a set takes no entry without a prefix, and what is nobody's in it: this machine's own,
/// multicast and what lies above.
const EVERYTHING: [(&str, bool); 4] = [
    ("0.0.0.0/1", false),
    ("128.0.0.0/1", false),
    ("127.0.0.0/8", true),
    ("224.0.0.0/3", true),
];

impl Names {
    /// What a rule writes for an end of a flow; defines its name.
    pub(super) fn refer(
        &mut self,
        input: &Input<'_>,
        of: &str,
        name: &Name,
    ) -> Result<String, CompileError> {
        let missing = || CompileError::Missing {
            of: of.to_owned(),
            what: "guest, segment or external",
            name: name.to_string(),
        };
        let end = input.appliance.end(name).ok_or_else(missing)?;
        Ok(match end {
            End::Internet => self.set("internet", internet(input.appliance)),
            End::Gateway => {
                let gateways = input
                    .appliance
                    .segment
                    .iter()
                    .filter_map(|segment| segment.gateway);
                self.set("gateway", gateways.map(one).collect())
            }
            End::Host => self.alias("node", single(input.host.address)),
            End::Segment(segment) => self.alias(&format!("net-{name}"), segment.subnet),
            End::Guest(guest) => {
                let addresses = input.appliance.addresses_of(guest);
                self.either(
                    &format!("guest-{name}"),
                    addresses.into_iter().map(single).collect(),
                )
            }
            End::External(external) => self.either(
                &format!("ext-{name}"),
                external.addresses.iter().copied().collect(),
            ),
        })
    }

    pub(super) fn alias(&mut self, name: &str, subnet: Subnet) -> String {
        self.aliases.insert(name.to_owned(), subnet);
        format!("dc/{name}")
    }

    fn set(&mut self, name: &str, entries: BTreeSet<(Subnet, bool)>) -> String {
        self.sets.insert(name.to_owned(), entries);
        format!("+dc/{name}")
    }

    fn either(&mut self, name: &str, subnets: BTreeSet<Subnet>) -> String {
        match (subnets.first(), subnets.len()) {
            (Some(subnet), 1) => self.alias(name, *subnet),
            _ => self.set(
                name,
                subnets.into_iter().map(|subnet| (subnet, false)).collect(),
            ),
        }
    }
}

fn single(address: Address) -> Subnet {
    Subnet::new(address, 32)
}

fn one(address: Address) -> (Subnet, bool) {
    (single(address), false)
}

/// Everything but what the appliance has a name for.
fn internet(appliance: &Appliance) -> BTreeSet<(Subnet, bool)> {
    let known = EVERYTHING
        .iter()
        .filter_map(|(text, not)| Some((text.parse().ok()?, *not)));
    let segments = appliance
        .segment
        .iter()
        .map(|segment| (segment.subnet, true));
    let externals = appliance
        .external
        .iter()
        .flat_map(|external| &external.addresses);
    let tunnels = appliance
        .guest
        .iter()
        .filter_map(|guest| guest.router.as_ref()?.wireguard.as_ref());
    known
        .chain(segments)
        .chain(externals.map(|subnet| (*subnet, true)))
        .chain(tunnels.map(|tunnel| (tunnel.subnet, true)))
        .collect()
}
