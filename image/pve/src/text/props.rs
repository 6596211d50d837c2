//! Property strings: `vmbr0,tag=10` and the like, one value of a key in parts.
//!
//! Owns their grammar and Proxmox's own order: the part without a name, then what is required, then the rest, sorted.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::schema::{Format, Invalid};

/// Properties by name. Which of them may stand without its name is the format's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Props(BTreeMap<String, String>);

impl Props {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more, or another value of it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// As [`Props::with`], for what may be absent.
    #[must_use]
    pub fn with_any(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads the value of a key. Every part must be a property of the format, with a value that it allows.
    ///
    /// # Errors
    /// What is wrong, with the part.
    pub fn parse(format: &Format, text: &str) -> Result<Self, Invalid> {
        let mut found = Self::new();
        for part in text.split(',') {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, value),
                None => (format.default.unwrap_or(""), part),
            };
            let failed = |why: &str| Invalid::new(name, part, why);
            if name.is_empty() || value.is_empty() {
                return Err(failed("a part is NAME=VALUE"));
            }
            let pair = match &format.pair {
                // `virtio=MAC` says two things.
                Some(pair) if pair.names.contains(&name) => {
                    vec![(pair.first, name), (pair.second, value)]
                }
                _ => vec![(name, value)],
            };
            for (name, value) in pair {
                if found.0.insert(name.into(), value.into()).is_some() {
                    return Err(failed("it is there twice"));
                }
            }
        }
        found.check(format)?;
        Ok(found)
    }

    /// As Proxmox writes it.
    ///
    /// # Errors
    /// A property that the format does not have or lacks, or a value it does not allow.
    pub fn text(&self, format: &Format) -> Result<String, Invalid> {
        self.check(format)?;
        let mut parts = Vec::new();
        let mut left: BTreeMap<&str, &str> = self.iter().collect();
        let first = format.default.and_then(|name| left.remove_entry(name));
        if let Some((name, value)) = first {
            let second = format.pair.as_ref().filter(|pair| pair.first == name);
            let second = second.and_then(|pair| left.remove(pair.second));
            let value = format.canonical(name, value);
            parts.push(match second {
                Some(second) => format!("{value}={second}"),
                None => value,
            });
        }
        let is_required = |name: &str| format.prop(name).is_some_and(|prop| prop.required);
        let (required, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(name, _)| is_required(name));
        for (name, value) in required.into_iter().chain(rest) {
            parts.push(format!("{name}={}", format.canonical(name, value)));
        }
        Ok(parts.join(","))
    }

    fn shown(&self) -> String {
        let parts: Vec<String> = self
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        parts.join(",")
    }

    fn check(&self, format: &Format) -> Result<(), Invalid> {
        for (name, value) in self.iter() {
            let prop = format
                .prop(name)
                .ok_or_else(|| Invalid::new(name, value, "no property of this key"))?;
            if value.contains(',') {
                return Err(Invalid::new(name, value, "a comma ends a property"));
            }
            prop.value.check(name, value)?;
        }
        let missing = |name: &str| self.get(name).is_none();
        if let Some(prop) = format
            .props
            .iter()
            .find(|prop| prop.required && missing(prop.name))
        {
            return Err(Invalid::new(prop.name, "", "this property is required"));
        }
        match (format.also)(self) {
            Some(why) => Err(Invalid::new("properties", &self.shown(), why)),
            None => Ok(()),
        }
    }
}
