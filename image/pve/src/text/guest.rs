//! The configuration of one guest, as a file of `qemu-server` or `lxc`.
//!
//! Owns the grammar: which lines there are and in which order. What keys and values mean is `schema`'s. Invariant: a value
//! in here can be written, and reads back as itself.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{TextError, check_value, decode_text, encode_text};

/// Virtual machine or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `qemu-server`
    Vm,
    /// `lxc`
    Ct,
}

impl Kind {
    /// Below `nodes/HOST`.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Vm => "qemu-server",
            Self::Ct => "lxc",
        }
    }
}

/// One section: the guest as it is, what is pending, or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    kind: Kind,
    description: String,
    keys: BTreeMap<String, String>,
    lxc: Vec<(String, String)>,
}

impl Block {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            description: String::new(),
            keys: BTreeMap::new(),
            lxc: Vec::new(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Keys and values, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Raw `lxc.` lines.
    pub fn raw(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lxc
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Free text, without white space at its end.
    pub fn description(&self) -> &str {
        &self.description
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), TextError> {
        if !is_key(self.kind, key) {
            return Err(TextError::Key {
                key: key.into(),
                why: "keys are lower case letters and underscores, then digits",
            });
        }
        check_value(key, &value)?;
        self.keys.insert(key.into(), value);
        Ok(())
    }

    fn add_raw(&mut self, key: &str, value: String) -> Result<(), TextError> {
        if self.kind == Kind::Vm || !is_raw_key(key) {
            return Err(TextError::Key {
                key: key.into(),
                why: "raw keys begin with \"lxc.\" and are for containers",
            });
        }
        check_value(key, &value)?;
        self.lxc.push((key.into(), value));
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.lxc.is_empty() && self.description.is_empty()
    }

    fn write(&self, out: &mut String) {
        if !self.description.is_empty() {
            for line in self.description.split('\n') {
                out.push_str(&format!("#{}\n", encode_text(line)));
            }
        }
        for (key, value) in self.keys().chain(self.raw()) {
            out.push_str(&format!("{key}: {value}\n"));
        }
    }
}

/// The configuration of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestConfig {
    main: Block,
    pending: Option<Block>,
    special: BTreeMap<String, Block>,
    snapshots: BTreeMap<String, Block>,
}

impl GuestConfig {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        Self {
            main: Block::new(kind),
            pending: None,
            special: BTreeMap::new(),
            snapshots: BTreeMap::new(),
        }
    }

    /// What it configures.
    pub fn kind(&self) -> Kind {
        self.main.kind
    }

    /// The guest as it is.
    pub fn main(&self) -> &Block {
        &self.main
    }

    /// What the guest becomes at its next start, if there is such.
    pub fn pending(&self) -> Option<&Block> {
        self.pending.as_ref()
    }

    /// Snapshots by name.
    pub fn snapshots(&self) -> &BTreeMap<String, Block> {
        &self.snapshots
    }

    /// Sets a key; an older value is replaced.
    ///
    /// # Errors
    /// Key or value cannot be a line.
    pub fn set(&mut self, key: &str, value: impl Display) -> Result<&mut Self, TextError> {
        self.main.set(key, value.to_string())?;
        Ok(self)
    }

    /// Takes a key away; what it was.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.main.keys.remove(key)
    }

    /// Adds a raw `lxc.` line.
    ///
    /// # Errors
    /// Not a container, or not such a line.
    pub fn raw(&mut self, key: &str, value: impl Display) -> Result<&mut Self, TextError> {
        self.main.add_raw(key, value.to_string())?;
        Ok(self)
    }

    /// Sets the free text. White space at its end is not kept, as Proxmox does not keep it.
    pub fn describe(&mut self, text: &str) -> &mut Self {
        self.main.description = text.trim_end().to_owned();
        self
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.main.write(&mut out);
        let name = match self.kind() {
            Kind::Vm => "PENDING",
            Kind::Ct => "pve:pending",
        };
        let pending = self.pending.as_ref().filter(|block| !block.is_empty());
        let mut section = |name: &str, block: &Block| {
            out.push_str(&format!("\n[{name}]\n"));
            block.write(&mut out);
        };
        if let Some(block) = pending {
            section(name, block);
        }
        for (name, block) in &self.special {
            section(&format!("special:{name}"), block);
        }
        for (name, block) in &self.snapshots {
            section(name, block);
        }
        out
    }

    /// Reads a file. Where Proxmox only warns and drops or keeps a line, this is an error.
    ///
    /// # Errors
    /// A line that is none of the format, or is there twice.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, TextError> {
        let mut config = Self::new(kind);
        let mut place = Place::Main;
        let mut lines: BTreeMap<Place, Vec<String>> = BTreeMap::new();
        for (at, line) in text.split('\n').enumerate() {
            let failed = |why: String| TextError::Line {
                line: at + 1,
                text: line.into(),
                why,
            };
            if line.trim().is_empty() {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest.trim_end().strip_suffix(']');
                place = name.and_then(|name| Place::of(kind, name)).ok_or_else(|| {
                    failed(format!("no section of this kind of guest ({kind:?})"))
                })?;
                if !config.open(&place) {
                    return Err(failed("this section is there twice".into()));
                }
                continue;
            }
            if let Some(text) = line.strip_prefix('#') {
                let text = decode_text(text).map_err(|error| failed(error.to_string()))?;
                lines.entry(place.clone()).or_default().push(text);
                continue;
            }
            let (key, value) = line
                .split_once(':')
                .ok_or_else(|| failed("a line is \"key: value\"".into()))?;
            let block = config.block(&place);
            if block.keys.contains_key(key) {
                return Err(failed("this key is there twice".into()));
            }
            if key == "description" || (key == "delete" && place != Place::Pending) {
                return Err(failed("this key is not written here".into()));
            }
            let value = value.trim().to_owned();
            let added = if key.starts_with("lxc.") {
                block.add_raw(key, value)
            } else {
                block.set(key, value)
            };
            added.map_err(|error| failed(error.to_string()))?;
        }
        for (place, lines) in lines {
            config.block(&place).description = lines.join("\n").trim_end().to_owned();
        }
        Ok(config)
    }

    /// Makes a section; false if it is there.
    fn open(&mut self, place: &Place) -> bool {
        let block = Block::new(self.kind());
        match place {
            Place::Main => false,
            Place::Pending => self.pending.replace(block).is_none(),
            Place::Special(name) => self.special.insert(name.clone(), block).is_none(),
            Place::Snapshot(name) => self.snapshots.insert(name.clone(), block).is_none(),
        }
    }

    fn block(&mut self, place: &Place) -> &mut Block {
        let new = || Block::new(self.main.kind);
        match place {
            Place::Main => &mut self.main,
            Place::Pending => self.pending.get_or_insert_with(new),
            Place::Special(name) => self.special.entry(name.clone()).or_insert_with(new),
            Place::Snapshot(name) => self.snapshots.entry(name.clone()).or_insert_with(new),
        }
    }
}

/// Which section a line is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Main,
    Pending,
    Special(String),
    Snapshot(String),
}

impl Place {
    fn of(kind: Kind, name: &str) -> Option<Self> {
        match (kind, name) {
            (Kind::Vm, "PENDING") | (Kind::Ct, "pve:pending") => Some(Self::Pending),
            // In every spelling the pending section of virtual machines, so no name of a snapshot.
            (_, name) if name.eq_ignore_ascii_case("pending") => None,
            (Kind::Vm, "special:cloudinit" | "special:fleecing") => {
                let name = name.strip_prefix("special:")?;
                Some(Self::Special(name.into()))
            }
            (_, name) => {
                let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
                let first = name.bytes().next()?.is_ascii_alphabetic();
                let good = first && name.len() > 1 && name.bytes().all(rest);
                good.then(|| Self::Snapshot(name.into()))
            }
        }
    }
}

fn is_key(kind: Kind, key: &str) -> bool {
    let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b == b'_' || (b == b'-' && kind == Kind::Vm);
    name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && name.bytes().all(inner)
}

fn is_raw_key(key: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    key.strip_prefix("lxc.")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(inner))
}
