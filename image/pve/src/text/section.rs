//! Section files: `storage.cfg`, `jobs.cfg`, `mapping/pci.cfg`.
//!
//! A blank line ends a section, and nothing else does: a header right after another section's line is, to Proxmox, a line
//! of that section which it passes over, and the new section's lines land in the old one. Invariant: written with one blank
//! line after each, read only so.

use std::fmt::Display;

use super::schema::{Invalid, SectionType, Value};
use super::{TextError, check_value};

/// How a section begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `type: id`
    TypeAndId,
    /// `id`, of files with one type only.
    IdOnly,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    kind: String,
    id: String,
    lines: Vec<(String, Option<String>)>,
}

impl Section {
    /// Without lines. The type of a file with ids only is the empty string.
    pub fn new(kind: &str, id: &str) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
            lines: Vec::new(),
        }
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let line = self.lines.iter().find(|line| line.0 == key)?;
        line.1.as_deref()
    }

    /// Keys and values.
    pub fn lines(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lines
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// With one more line.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.lines.push((key.into(), Some(value.to_string())));
        self
    }

    /// As [`Section::with`], for what may be absent.
    #[must_use]
    pub fn with_any(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With `disable`, the one line without a value.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.lines.push(("disable".into(), None));
        self
    }

    fn check(&self, header: Header, types: &[SectionType]) -> Result<(), Invalid> {
        let found = types.iter().find(|one| one.name == self.kind);
        let Some(kind) = found.filter(|one| (header == Header::IdOnly) == one.name.is_empty())
        else {
            return Err(Invalid::new(&self.id, &self.kind, "no type of this file"));
        };
        (kind.id)(&self.id)
            .then_some(())
            .ok_or_else(|| Invalid::new("id", &self.id, "not an id of this type"))?;
        for (at, (key, value)) in self.lines.iter().enumerate() {
            let key = key.as_str();
            let shown = value.as_deref().unwrap_or_default();
            let prop = kind.props.iter().find(|prop| prop.name == key);
            let prop = prop.ok_or_else(|| Invalid::new(key, shown, "no key of this type"))?;
            let before = self.lines.iter().take(at).any(|line| line.0 == key);
            if before && !kind.repeated.contains(&key) {
                return Err(Invalid::new(key, shown, "it is there twice"));
            }
            match value {
                Some(value) => prop.value.check(key, value)?,
                None if key == "disable" && matches!(prop.value, Value::Bool) => {}
                None => return Err(Invalid::new(key, "", "a value is missing")),
            }
        }
        let missing = |name: &str| !self.lines.iter().any(|line| line.0 == name);
        if let Some(prop) = kind
            .props
            .iter()
            .find(|prop| prop.required && missing(prop.name))
        {
            return Err(Invalid::new(prop.name, "", "this key is required"));
        }
        Ok(())
    }

    /// Comment and `disable`, what is required, then the rest: as Proxmox would write it.
    fn sort(&mut self, types: &[SectionType]) {
        let kind = types.iter().find(|one| one.name == self.kind);
        let props = kind.map_or(&[][..], |kind| kind.props);
        let rank = |key: &str| match key {
            "comment" => 0,
            "disable" => 1,
            _ if props.iter().any(|prop| prop.name == key && prop.required) => 2,
            _ => 3,
        };
        // Stable: repeated keys keep their order.
        self.lines
            .sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    }
}

/// A file of sections.
#[derive(Debug, Clone)]
pub struct SectionFile {
    header: Header,
    types: &'static [SectionType],
    sections: Vec<Section>,
}

impl SectionFile {
    /// An empty file of these types, for example [`super::schema::STORAGE`].
    pub fn new(header: Header, types: &'static [SectionType]) -> Self {
        Self {
            header,
            types,
            sections: Vec::new(),
        }
    }

    /// Adds a section.
    ///
    /// # Errors
    /// Type, id, key or value that the types do not have.
    pub fn add(&mut self, mut section: Section) -> Result<&mut Self, Invalid> {
        section.check(self.header, self.types)?;
        for (key, value) in section.lines() {
            check_value(key, value.unwrap_or("1")).map_err(|error| {
                Invalid::new(key, value.unwrap_or_default(), &error.to_string())
            })?;
        }
        if self.sections.iter().any(|other| other.id == section.id) {
            return Err(Invalid::new("id", &section.id, "two sections of one id"));
        }
        section.sort(self.types);
        self.sections.push(section);
        Ok(self)
    }

    /// In the order of the file.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for section in &self.sections {
            match self.header {
                Header::TypeAndId => out.push_str(&format!("{}: {}\n", section.kind, section.id)),
                Header::IdOnly => out.push_str(&format!("{}\n", section.id)),
            }
            for (key, value) in section.lines() {
                match value {
                    Some(value) => out.push_str(&format!("\t{key} {value}\n")),
                    None => out.push_str(&format!("\t{key}\n")),
                }
            }
            out.push('\n');
        }
        out
    }

    /// Reads a file. What Proxmox passes over with a warning is an error, comments too: they are lost at its next write.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn parse(
        header: Header,
        types: &'static [SectionType],
        text: &str,
    ) -> Result<Self, TextError> {
        let mut file = Self::new(header, types);
        let mut open: Option<(usize, Section)> = None;
        // One more empty line than there is: the end of the file ends a section too.
        for (at, line) in text.split('\n').chain([""]).enumerate() {
            let failed = |line: usize, why: String| TextError::Line {
                line: line + 1,
                text: text.split('\n').nth(line).unwrap_or_default().into(),
                why,
            };
            if line.is_empty() {
                if let Some((begun, section)) = open.take() {
                    file.add(section)
                        .map_err(|error| failed(begun, error.to_string()))?;
                }
                continue;
            }
            if line.trim_start().starts_with('#') {
                let why = "a comment would be lost at the next write; use the key \"comment\"";
                return Err(failed(at, why.into()));
            }
            let header = header_of(header, line);
            let indented = line.starts_with([' ', '\t']);
            open = match (open, indented, header) {
                (None, false, Some((kind, id))) => Some((at, Section::new(kind, id))),
                (None, ..) => return Err(failed(at, "a section begins with its header".into())),
                (Some(_), false, Some(_)) => {
                    let why = "a header needs a blank line before it, or it is swallowed";
                    return Err(failed(at, why.into()));
                }
                (Some(_), false, None) => {
                    return Err(failed(at, "a key of a section is indented".into()));
                }
                (Some((begun, mut section)), true, _) => {
                    let line = line.trim();
                    if line.is_empty() {
                        let why = "white space does not end a section; make the line empty";
                        return Err(failed(at, why.into()));
                    }
                    let (key, value) = match line.split_once([' ', '\t']) {
                        Some((key, value)) => (key, Some(value.trim().to_owned())),
                        None => (line, None),
                    };
                    section.lines.push((key.into(), value));
                    Some((begun, section))
                }
            };
        }
        Ok(file)
    }
}

fn header_of(header: Header, line: &str) -> Option<(&str, &str)> {
    let line = line.trim_end();
    let (kind, id) = match header {
        Header::TypeAndId => line.split_once(':')?,
        Header::IdOnly => ("", line),
    };
    let id = id.trim_start();
    let word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    let typed = header == Header::IdOnly || word(kind);
    (typed && word(id)).then_some((kind, id))
}
