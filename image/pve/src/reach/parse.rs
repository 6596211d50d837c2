//! Reading the firewall's files: `cluster.fw`, `host.fw`, `ID.fw`.
//!
//! Owns the grammar, strictly: where Proxmox warns and drops a line, this is an error, because a dropped line of a
//! firewall is an open or a shut door that nobody meant. Invariant: what a rule refers to exists, as Proxmox wants it.

use std::collections::BTreeMap;

use roamcore_spec::net::{Address, Subnet};

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {text:?}: {why}")]
pub struct FwError {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

/// Which file it is: decides what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `cluster.fw`
    Cluster,
    /// `host.fw`
    Host,
    /// `ID.fw`
    Guest,
}

/// Whose names a reference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The file's own, then the cluster's.
    Any,
    /// `dc/`
    Cluster,
    /// `guest/`
    Guest,
}

/// One word of a rule's source or destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// From and to.
    Range(Address, Address),
    /// An alias.
    Alias(Scope, String),
    /// A set.
    Set(Scope, String),
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards the owner of the file.
    In,
    /// Away from it.
    Out,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It passes.
    Accept,
    /// It vanishes, with or without an answer.
    Refuse,
}

/// A rule that says something about packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which way.
    pub way: Way,
    /// What happens.
    pub action: Action,
    /// Interface of the host, or card of the guest.
    pub interface: Option<String>,
    /// Where it comes from; none is anywhere.
    pub source: Vec<Target>,
    /// Where it goes to; none is anywhere.
    pub dest: Vec<Target>,
    /// Protocol; `None` is any.
    pub protocol: Option<String>,
    /// Ports at the destination; none is any.
    pub ports: Vec<(u16, u16)>,
}

/// One line of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A rule of its own.
    Match(Match),
    /// A group of the cluster's.
    Group(String),
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FwFile {
    /// Options.
    pub options: BTreeMap<String, String>,
    /// Aliases.
    pub aliases: BTreeMap<String, Subnet>,
    /// Sets; true for entries that are taken out again.
    pub sets: BTreeMap<String, Vec<(Subnet, bool)>>,
    /// Rules in their order. Disabled ones are left out.
    pub rules: Vec<Rule>,
    /// Groups of rules.
    pub groups: BTreeMap<String, Vec<Rule>>,
}

enum Section {
    None,
    Options,
    Aliases,
    Set(String),
    Rules,
    Group(String),
}

/// Options of each level that version 8 and 9 have, of those that are used here.
const fn options(level: Level) -> &'static [&'static str] {
    match level {
        Level::Cluster => &[
            "enable",
            "ebtables",
            "policy_in",
            "policy_out",
            "log_ratelimit",
        ],
        Level::Host => &[
            "enable",
            "log_level_in",
            "log_level_out",
            "ndp",
            "nosmurfs",
            "tcpflags",
        ],
        Level::Guest => &[
            "enable",
            "dhcp",
            "ipfilter",
            "macfilter",
            "ndp",
            "radv",
            "policy_in",
            "policy_out",
            "log_level_in",
            "log_level_out",
        ],
    }
}

const LEVELS: [&str; 9] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog",
];

/// Proxmox's limits of names: of groups because of iptables' chains.
const GROUP_MAX: usize = 18;
const NAME_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    text.len() >= 2
        && text.len() <= NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Reads a file.
///
/// # Errors
/// The first line that Proxmox would drop, or that says what is not known here.
pub fn parse(file: &str, level: Level, text: &str) -> Result<FwFile, FwError> {
    let mut found = FwFile::default();
    let mut section = Section::None;
    for (at, whole) in text.lines().enumerate() {
        let failed = |why: String| FwError {
            file: file.to_owned(),
            line: at + 1,
            text: whole.to_owned(),
            why,
        };
        let line = whole.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let header = header
                .strip_suffix(']')
                .ok_or_else(|| failed("a section is [NAME]".into()))?;
            section = open(level, header, &mut found).map_err(failed)?;
            continue;
        }
        read_line(level, &section, line, &mut found).map_err(failed)?;
    }
    Ok(found)
}

fn open(level: Level, header: &str, found: &mut FwFile) -> Result<Section, String> {
    let (word, name) = header.split_once(' ').unwrap_or((header, ""));
    let name = name.trim().to_ascii_lowercase();
    match (word.to_ascii_lowercase().as_str(), level) {
        ("options", _) => Ok(Section::Options),
        ("rules", _) => Ok(Section::Rules),
        ("aliases", Level::Cluster | Level::Guest) => Ok(Section::Aliases),
        ("ipset", Level::Cluster | Level::Guest) if is_name(&name) => {
            if found.sets.insert(name.clone(), Vec::new()).is_some() {
                return Err("this set is there twice".into());
            }
            Ok(Section::Set(name))
        }
        ("group", Level::Cluster) if is_name(&name) && name.len() <= GROUP_MAX => {
            if found.groups.insert(name.clone(), Vec::new()).is_some() {
                return Err("this group is there twice".into());
            }
            Ok(Section::Group(name))
        }
        _ => Err("no section of this file".into()),
    }
}

fn read_line(
    level: Level,
    section: &Section,
    line: &str,
    found: &mut FwFile,
) -> Result<(), String> {
    match section {
        Section::None => Err("it is in no section".into()),
        Section::Options => {
            let (key, value) = line.split_once(':').ok_or("an option is KEY: VALUE")?;
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if !options(level).contains(&key.as_str()) {
                return Err("no option of this file".into());
            }
            if !is_value(&key, value) {
                return Err("no value of this option".into());
            }
            match found.options.insert(key, value.to_owned()) {
                None => Ok(()),
                Some(_) => Err("this option is there twice".into()),
            }
        }
        Section::Aliases => {
            let (name, address) = line.split_once(' ').ok_or("an alias is NAME ADDRESS")?;
            let subnet = address
                .trim()
                .parse::<Subnet>()
                .map_err(|error| error.to_string())?;
            if !is_name(name) {
                return Err("no name of an alias".into());
            }
            match found.aliases.insert(name.to_ascii_lowercase(), subnet) {
                None => Ok(()),
                Some(_) => Err("this alias is there twice".into()),
            }
        }
        Section::Set(name) => {
            let (text, not) = line
                .strip_prefix('!')
                .map_or((line, false), |rest| (rest.trim(), true));
            let subnet = text.parse::<Subnet>().map_err(|error| error.to_string())?;
            let set = found.sets.entry(name.clone()).or_default();
            if subnet.prefix() == 0 {
                return Err("a set takes no entry without a prefix".into());
            }
            if set.iter().any(|(other, _)| *other == subnet) {
                return Err("this entry is there twice".into());
            }
            set.push((subnet, not));
            Ok(())
        }
        Section::Rules => {
            found.rules.extend(rule(level, line, true)?);
            Ok(())
        }
        Section::Group(name) => {
            let rule = rule(level, line, false)?;
            found.groups.entry(name.clone()).or_default().extend(rule);
            Ok(())
        }
    }
}

fn is_value(key: &str, value: &str) -> bool {
    match key {
        "policy_in" | "policy_out" => ["ACCEPT", "DROP", "REJECT"].contains(&value),
        "log_level_in" | "log_level_out" => LEVELS.contains(&value),
        "log_ratelimit" => !value.is_empty(),
        _ => value == "0" || value == "1",
    }
}

/// A rule; `None` for one that is switched off.
fn rule(level: Level, line: &str, groups: bool) -> Result<Option<Rule>, String> {
    let (line, enabled) = line
        .strip_prefix('|')
        .map_or((line, true), |rest| (rest, false));
    let mut words = line.split_whitespace();
    let (first, second) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let way = match first {
        "IN" => Way::In,
        "OUT" => Way::Out,
        "GROUP" if groups => {
            if !is_name(second) || words.next().is_some() {
                return Err("a group is GROUP NAME".into());
            }
            return Ok(enabled.then(|| Rule::Group(second.to_ascii_lowercase())));
        }
        _ => return Err("a rule begins with IN, OUT or GROUP".into()),
    };
    let action = match second {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Refuse,
        _ => return Err("an action is ACCEPT, DROP or REJECT; macros are not used here".into()),
    };
    let mut found = Match {
        way,
        action,
        interface: None,
        source: Vec::new(),
        dest: Vec::new(),
        protocol: None,
        ports: Vec::new(),
    };
    while let Some(key) = words.next() {
        let value = words.next().ok_or("a parameter lacks its value")?;
        match key {
            "-i" if groups && is_interface(level, value) => {
                found.interface = Some(value.to_owned())
            }
            "-source" => found.source = targets(value)?,
            "-dest" => found.dest = targets(value)?,
            "-p" if ["tcp", "udp", "icmp"].contains(&value) => {
                found.protocol = Some(value.to_owned())
            }
            "-dport" => found.ports = ports(value)?,
            "-log" if LEVELS.contains(&value) => {}
            _ => return Err(format!("no parameter that is used here: {key} {value}")),
        }
    }
    let with_ports = matches!(found.protocol.as_deref(), Some("tcp" | "udp"));
    if !found.ports.is_empty() && !with_ports {
        return Err("ports need -p tcp or -p udp".into());
    }
    Ok(enabled.then_some(Rule::Match(found)))
}

fn is_interface(level: Level, value: &str) -> bool {
    let card = value
        .strip_prefix("net")
        .is_some_and(|digits| digits.parse::<u8>().is_ok());
    match level {
        Level::Guest => card,
        Level::Cluster | Level::Host => is_name(value),
    }
}

fn targets(text: &str) -> Result<Vec<Target>, String> {
    text.split(',').map(target).collect()
}

fn target(text: &str) -> Result<Target, String> {
    let (text, set) = text
        .strip_prefix('+')
        .map_or((text, false), |rest| (rest, true));
    let (scope, name) = match text.split_once('/') {
        Some(("dc", name)) => (Scope::Cluster, name),
        Some(("guest", name)) => (Scope::Guest, name),
        _ => (Scope::Any, text),
    };
    if is_name(name) {
        let name = name.to_ascii_lowercase();
        return Ok(if set {
            Target::Set(scope, name)
        } else {
            Target::Alias(scope, name)
        });
    }
    if let Some((first, last)) = text.split_once('-') {
        let address = |text: &str| text.parse::<Address>().map_err(|error| error.to_string());
        return Ok(Target::Range(address(first)?, address(last)?));
    }
    let subnet = text.parse::<Subnet>().map_err(|error| error.to_string())?;
    Ok(Target::Range(subnet.first(), subnet.last()))
}

/// iptables takes fifteen in one rule, a range for two.
fn ports(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let number = |digits: &str| {
        digits
            .parse::<u16>()
            .map_err(|_| format!("{digits:?} is no port"))
    };
    let mut found = Vec::new();
    let mut room = 15_usize;
    for part in text.split(',') {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err("a range goes upwards".into());
        }
        let takes = if first == last { 1 } else { 2 };
        room = room
            .checked_sub(takes)
            .ok_or("more ports than one rule takes")?;
        found.push((first, last));
    }
    Ok(found)
}
