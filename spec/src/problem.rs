//! What is wrong, where, and what to do about it.
//!
//! A [`Fault`] says what is wrong, in full; a [`Problem`] adds file, line, column and a hint; [`Problems`] is everything
//! wrong with a document at once. Three forms: one line (`Display` of the fault), a rendered snippet, and a [`Report`]
//! for machines.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::fault::Fault;
use crate::source::{Place, Source};

/// A fault with its place. `Display` is the plain rendered snippet.
#[derive(Clone, Debug)]
pub struct Problem {
    fault: Fault,
    hint: Option<String>,
    place: Option<Place>,
    source: Source,
}

/// A problem as data, for `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Kind of fault, a stable word.
    pub code: &'static str,
    /// The file as it was named to the parser.
    pub file: String,
    /// Line from 1; absent when the problem is the whole file.
    pub line: Option<usize>,
    /// Column in characters from 1.
    pub column: Option<usize>,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(
        source: &Source,
        place: Option<Place>,
        fault: Fault,
        hint: Option<String>,
    ) -> Self {
        Self {
            fault,
            hint,
            place,
            source: source.clone(),
        }
    }

    /// What is wrong.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The file as it was named to the parser.
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// Where in the file, unless it is about the whole file.
    pub const fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The problem as data.
    pub fn report(&self) -> Report {
        Report {
            code: self.fault.code(),
            file: self.file().to_owned(),
            line: self.place.as_ref().map(|place| place.line),
            column: self.place.as_ref().map(|place| place.column),
            message: self.fault.to_string(),
            hint: self.hint.clone(),
        }
    }

    /// Source line, caret and hint; `styled` adds terminal colours.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let title = self.fault.to_string();
        let mut group = match &self.place {
            Some(place) => Group::with_title(Level::ERROR.primary_title(title)).element(
                Snippet::source(self.source.text())
                    .path(self.file())
                    .annotation(AnnotationKind::Primary.span(place.span.clone())),
            ),
            None => {
                Group::with_title(Level::ERROR.primary_title(format!("{}: {title}", self.file())))
            }
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong with one or more documents; never empty.
#[derive(Clone, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` without problems, else all of them.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }

    /// Problems of which the caller knows that there are some.
    pub(crate) const fn of(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems in the order in which they were found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The problems themselves.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// All problems as data.
    pub fn reports(&self) -> Vec<Report> {
        self.0.iter().map(Problem::report).collect()
    }

    /// All snippets, a blank line between them.
    pub fn render(&self, styled: bool) -> String {
        self.0
            .iter()
            .map(|problem| problem.render(styled))
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
