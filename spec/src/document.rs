//! From text to a validated value: schema number first, then that version's types, then every rule at once.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Deserializer};

use crate::fault::Fault;
use crate::findings::Findings;
use crate::hint::nearest;
use crate::problem::{Problem, Problems};
use crate::source::Source;

/// Reads one schema version of a document into the newest types.
type Decode<T> = fn(Deserializer<'_>) -> Result<T, toml::de::Error>;

/// A kind of document.
pub trait Spec: Sized + 'static {
    /// What it is called in messages: `appliance`, `board` or `overlay`.
    const KIND: &'static str;

    /// The schema numbers that are read, newest last, each with its reader.
    const VERSIONS: &'static [(u32, Decode<Self>)];

    /// Records every broken rule that needs no other document.
    fn validate(&self, findings: &mut Findings<'_>);
}

/// A value that passed validation, with its text so that later checks can still point into it.
#[derive(Clone, Debug)]
pub struct Document<T> {
    value: T,
    source: Source,
}

impl<T> std::ops::Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Document<T> {
    /// The validated value.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The validated value, without its text.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The text and where its keys stand.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// A problem at a key path of this document.
    pub fn problem(&self, path: &str, fault: Fault, hint: Option<String>) -> Problem {
        Problem::new(&self.source, self.source.find(path), fault, hint)
    }
}

impl<T: Spec> Document<T> {
    /// Parses and validates a text; `file` is only used in messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let root = DeTable::parse(text).map_err(|error| {
            let source = Source::unparsed(file, text);
            let place = error.span().map(|span| source.place(span));
            Problem::new(
                &source,
                place,
                Fault::Syntax(error.message().to_owned()),
                None,
            )
        })?;
        let source = Source::parsed(file, text, root.get_ref());
        let decode = reader::<T>(&source, root.get_ref())?;
        let value =
            decode(Deserializer::from(root)).map_err(|error| shape_problem(&source, &error))?;
        let mut findings = Findings::new(&source);
        value.validate(&mut findings);
        let mut problems = findings.into_problems();
        problems.sort_by_key(|problem| problem.place().map(|place| place.span.start));
        Problems::check(problems)?;
        Ok(Self { value, source })
    }
}

/// The reader for the schema number that the text starts with.
fn reader<T: Spec>(source: &Source, root: &DeTable<'_>) -> Result<Decode<T>, Problems> {
    let newest = T::VERSIONS.last().map_or(0, |(number, _)| *number);
    let Some(schema) = root.get("schema") else {
        let fault = Fault::MissingSchema {
            document: T::KIND,
            newest,
        };
        let hint = format!("add `schema = {newest}` as the first line");
        return Err(Problem::new(source, None, fault, Some(hint)).into());
    };
    let (found, hint) = match schema.get_ref() {
        DeValue::Integer(integer) => (
            integer.to_string(),
            "a newer number needs a newer release of this program".to_owned(),
        ),
        other => (
            format!("of type {}", other.type_str()),
            format!("write the number alone: `schema = {newest}`"),
        ),
    };
    let mut numbers = Vec::new();
    for (number, decode) in T::VERSIONS {
        if number.to_string() == found {
            return Ok(*decode);
        }
        numbers.push(number.to_string());
    }
    let supported = format!("schema {}", numbers.join(", "));
    let fault = Fault::UnsupportedSchema {
        document: T::KIND,
        found,
        supported,
    };
    Err(Problem::new(source, source.find("schema"), fault, Some(hint)).into())
}

/// Serde's message as a typed fault. Its wording is pinned by the fixtures in `tests/bad`.
fn shape_problem(source: &Source, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let span = error.span().unwrap_or_default();
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (fault, hint) = match words.split_first() {
        Some((key, known)) if message.starts_with("unknown field `") => {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys here: {}", known.join(", ")),
            };
            (Fault::UnknownKey((*key).to_owned()), Some(hint))
        }
        Some((value, known)) if message.starts_with("unknown variant `") => {
            let hint =
                nearest(value, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            (
                Fault::Malformed(format!("`{value}` is not one of {}", known.join(", "))),
                hint,
            )
        }
        Some((key, _)) if message.starts_with("missing field `") => {
            let top = "it belongs at the top level, above the first [section] unless it is one";
            (
                Fault::MissingKey((*key).to_owned()),
                span.is_empty().then(|| top.to_owned()),
            )
        }
        Some(_) if message.ends_with("expected a string") => (
            Fault::Malformed(message.to_owned()),
            Some("write the value in quotes".to_owned()),
        ),
        _ => (Fault::Malformed(message.to_owned()), None),
    };
    Problem::new(
        source,
        Some(source.place(item_of_list(source.text(), span, words.first()))),
        fault,
        hint,
    )
}

/// The refused item of a list: the parser only gives the span of the list.
fn item_of_list(text: &str, span: Range<usize>, item: Option<&&str>) -> Range<usize> {
    let Some(list) = text.get(span.clone()).filter(|list| list.starts_with('[')) else {
        return span;
    };
    let Some(quoted) = item.map(|item| format!("\"{item}\"")) else {
        return span;
    };
    let found = list
        .find(&quoted)
        .map(|at| span.start + at..span.start + at + quoted.len());
    found.unwrap_or(span)
}
