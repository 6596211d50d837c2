//! What the compiled rules do with one packet: Proxmox's order of things, for a new connection.
//!
//! ```text
//!  a guest sends      dhcp? -> address its own? -> its OUT rules -> policy_out
//!  a guest receives   its IN rules -> policy_in
//!  the host receives  its IN rules -> the cluster's -> managers (22, 8006, consoles) -> policy_in
//! ```

use roamcore_spec::net::{Address, Subnet};

use super::parse::{Action, FwFile, Match, Rule, Scope, Target, Way};

/// A packet that opens a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) source: Address,
    pub(super) dest: Address,
    /// `tcp`, `udp`, `icmp`, or another word for everything else.
    pub(super) protocol: &'a str,
    pub(super) port: u16,
}

/// Ports that managers reach whatever the rules say (web and API, SSH, consoles, SPICE, migration).
const MANAGER_PORTS: [(u16, u16); 5] = [
    (8006, 8006),
    (22, 22),
    (5900, 5999),
    (3128, 3128),
    (60000, 60050),
];

/// The set of managers; the alias `local_network` is in it.
const MANAGERS: &str = "management";
const LOCAL_NETWORK: &str = "local_network";

/// The firewall of a node.
#[derive(Debug)]
pub(super) struct Firewall {
    pub(super) cluster: FwFile,
    pub(super) host: FwFile,
    /// The host's network, which joins the managers unless an alias says otherwise.
    pub(super) local: Subnet,
}

fn is_on(file: &FwFile, default: bool) -> bool {
    file.options
        .get("enable")
        .map_or(default, |value| value != "0")
}

impl Firewall {
    /// True when a guest's card lets a packet out.
    pub(super) fn leaves(&self, guest: &FwFile, card: &str, packet: &Packet<'_>) -> bool {
        if !self.guards(guest) {
            return true;
        }
        if let Some(own) = guest.sets.get(&format!("ipfilter-{card}"))
            && !in_set(own, packet.source)
        {
            return false;
        }
        let decided = self.decide(&guest.rules, Some(guest), Way::Out, card, packet);
        decided.unwrap_or_else(|| policy(guest, "policy_out", Action::Accept)) == Action::Accept
    }

    /// True when a guest's card lets a packet in.
    pub(super) fn enters(&self, guest: &FwFile, card: &str, packet: &Packet<'_>) -> bool {
        if !self.guards(guest) {
            return true;
        }
        let decided = self.decide(&guest.rules, Some(guest), Way::In, card, packet);
        decided.unwrap_or_else(|| policy(guest, "policy_in", Action::Refuse)) == Action::Accept
    }

    /// True when the host lets a packet in.
    pub(super) fn reaches_host(&self, interface: &str, packet: &Packet<'_>) -> bool {
        if !is_on(&self.cluster, false) || !is_on(&self.host, true) {
            return true;
        }
        let own = self.decide(&self.host.rules, None, Way::In, interface, packet);
        let decided =
            own.or_else(|| self.decide(&self.cluster.rules, None, Way::In, interface, packet));
        if let Some(action) = decided {
            return action == Action::Accept;
        }
        let local = self
            .cluster
            .aliases
            .get(LOCAL_NETWORK)
            .copied()
            .unwrap_or(self.local);
        let named = self
            .cluster
            .sets
            .get(MANAGERS)
            .is_some_and(|set| in_set(set, packet.source));
        let port = |(first, last): &(u16, u16)| (*first..=*last).contains(&packet.port);
        let managed = packet.protocol == "tcp" && MANAGER_PORTS.iter().any(port);
        if managed && (named || local.contains(packet.source)) {
            return true;
        }
        policy(&self.cluster, "policy_in", Action::Refuse) == Action::Accept
    }

    fn guards(&self, guest: &FwFile) -> bool {
        is_on(&self.cluster, false) && is_on(guest, false)
    }

    fn decide(
        &self,
        rules: &[Rule],
        own: Option<&FwFile>,
        way: Way,
        interface: &str,
        packet: &Packet<'_>,
    ) -> Option<Action> {
        rules.iter().find_map(|rule| match rule {
            Rule::Match(one) => self
                .matches(one, own, way, interface, packet)
                .then_some(one.action),
            // A group looks at the cluster's names only.
            Rule::Group(name) => {
                let rules = self.cluster.groups.get(name)?;
                self.decide(rules, None, way, interface, packet)
            }
        })
    }

    fn matches(
        &self,
        rule: &Match,
        own: Option<&FwFile>,
        way: Way,
        interface: &str,
        packet: &Packet<'_>,
    ) -> bool {
        let side = |targets: &[Target], address| {
            targets.is_empty()
                || targets
                    .iter()
                    .any(|target| self.covers(target, own, address))
        };
        let port = |(first, last): &(u16, u16)| (*first..=*last).contains(&packet.port);
        rule.way == way
            && rule
                .interface
                .as_deref()
                .is_none_or(|name| name == interface)
            && rule
                .protocol
                .as_deref()
                .is_none_or(|name| name == packet.protocol)
            && (rule.ports.is_empty() || rule.ports.iter().any(port))
            && side(&rule.source, packet.source)
            && side(&rule.dest, packet.dest)
    }

    fn covers(&self, target: &Target, own: Option<&FwFile>, address: Address) -> bool {
        let files = |scope: &Scope| -> Vec<&FwFile> {
            match scope {
                Scope::Any => own.into_iter().chain([&self.cluster]).collect(),
                Scope::Cluster => vec![&self.cluster],
                Scope::Guest => own.into_iter().collect(),
            }
        };
        match target {
            Target::Range(first, last) => (*first..=*last).contains(&address),
            Target::Alias(scope, name) => {
                let found = files(scope)
                    .into_iter()
                    .find_map(|file| file.aliases.get(name));
                found.is_some_and(|subnet| subnet.contains(address))
            }
            Target::Set(scope, name) => {
                let found = files(scope)
                    .into_iter()
                    .find_map(|file| file.sets.get(name));
                found.is_some_and(|set| in_set(set, address))
            }
        }
    }

    /// Names that rules refer to and that are nowhere. Proxmox drops such a rule.
    pub(super) fn dangling(&self, guests: &[&FwFile]) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |rules: &[Rule], own: Option<&FwFile>| {
            for rule in rules {
                match rule {
                    Rule::Group(name) if !self.cluster.groups.contains_key(name) => {
                        found.push(format!("group {name}"))
                    }
                    Rule::Group(_) => {}
                    Rule::Match(one) => {
                        let targets = one.source.iter().chain(&one.dest);
                        found.extend(targets.filter_map(|target| self.absent(target, own)));
                    }
                }
            }
        };
        look(&self.cluster.rules, None);
        look(&self.host.rules, None);
        self.cluster
            .groups
            .values()
            .for_each(|rules| look(rules, None));
        guests
            .iter()
            .for_each(|guest| look(&guest.rules, Some(guest)));
        found
    }

    fn absent(&self, target: &Target, own: Option<&FwFile>) -> Option<String> {
        let has = |scope: &Scope, look: &dyn Fn(&FwFile) -> bool| {
            (*scope != Scope::Guest && look(&self.cluster))
                || (*scope != Scope::Cluster && own.is_some_and(look))
        };
        match target {
            Target::Range(..) => None,
            Target::Alias(scope, name) => (!has(scope, &|file| file.aliases.contains_key(name)))
                .then(|| format!("alias {name}")),
            Target::Set(scope, name) => {
                (!has(scope, &|file| file.sets.contains_key(name))).then(|| format!("set {name}"))
            }
        }
    }
}

fn policy(file: &FwFile, key: &str, default: Action) -> Action {
    match file.options.get(key).map(String::as_str) {
        Some("ACCEPT") => Action::Accept,
        Some(_) => Action::Refuse,
        None => default,
    }
}

/// The narrowest entry decides, as in the kernel's hash:net.
fn in_set(set: &[(Subnet, bool)], address: Address) -> bool {
    let holding = set.iter().filter(|(subnet, _)| subnet.contains(address));
    holding
        .max_by_key(|(subnet, _)| subnet.prefix())
        .is_some_and(|(_, not)| !not)
}
