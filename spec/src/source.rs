//! The text of a document and where each of its keys stands, so that a rule broken later can still point at it.
//!
//! Keys are addressed by a path: `partitions.state.min`, `nic[2].name`. A rule about something that is absent points at
//! the nearest part of the path that is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// A position in a document: one-based line and column (in characters), and the bytes it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte range in the text.
    pub span: Range<usize>,
}

#[derive(Debug)]
struct Inner {
    file: String,
    text: String,
    keys: BTreeMap<String, Range<usize>>,
}

/// A document's file name, text and key positions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Source(Arc<Inner>);

impl Source {
    /// A text whose keys are not known (it may not even be TOML).
    pub(crate) fn unparsed(file: &str, text: &str) -> Self {
        Self(Arc::new(Inner {
            file: file.to_owned(),
            text: text.to_owned(),
            keys: BTreeMap::new(),
        }))
    }

    /// A text with the positions of the keys of its table.
    pub(crate) fn parsed(file: &str, text: &str, root: &DeTable<'_>) -> Self {
        let mut keys = BTreeMap::new();
        collect_table("", root, &mut keys);
        Self(Arc::new(Inner {
            file: file.to_owned(),
            text: text.to_owned(),
            keys,
        }))
    }

    /// The file name as it was given.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Where a key path stands: its value, or the nearest parent that exists.
    pub fn find(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(span) = self.0.keys.get(path) {
                return Some(self.place(span.clone()));
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Line and column of a byte range; a range outside the text is moved into it.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let text = self.text();
        let clamp = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (clamp(span.start), clamp(span.end));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            span: start..end.max(start),
        }
    }
}

fn collect_table(prefix: &str, table: &DeTable<'_>, keys: &mut BTreeMap<String, Range<usize>>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        // A table's own span is its header or braces; for pointing, its key is clearer.
        let span = if value.get_ref().is_table() {
            key.span()
        } else {
            value.span()
        };
        collect_value(&path, value.get_ref(), span, keys);
    }
}

fn collect_value(
    path: &str,
    value: &DeValue<'_>,
    span: Range<usize>,
    keys: &mut BTreeMap<String, Range<usize>>,
) {
    keys.insert(path.to_owned(), span);
    match value {
        DeValue::Table(table) => collect_table(path, table, keys),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_value(
                    &format!("{path}[{index}]"),
                    item.get_ref(),
                    item.span(),
                    keys,
                );
            }
        }
        _ => {}
    }
}
