//! The collector that rules report to, so that validation tells everything at once.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::Fault;
use crate::hint::nearest;
use crate::problem::Problem;
use crate::source::Source;

/// Collects the problems of one document during validation.
#[derive(Debug)]
pub struct Findings<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl<'a> Findings<'a> {
    pub(crate) const fn new(source: &'a Source) -> Self {
        Self {
            source,
            problems: Vec::new(),
        }
    }

    /// Records a fault at a key path such as `nic[1].name`.
    pub fn add(&mut self, path: &str, fault: Fault) {
        self.problems.push(Problem::new(
            self.source,
            self.source.find(path),
            fault,
            None,
        ));
    }

    /// Records a fault with a hint.
    pub fn add_with_hint(&mut self, path: &str, fault: Fault, hint: impl Into<String>) {
        self.problems.push(Problem::new(
            self.source,
            self.source.find(path),
            fault,
            Some(hint.into()),
        ));
    }

    /// Records a reference to something that is not there, with the nearest of what is there as hint.
    pub(crate) fn missing<'n>(
        &mut self,
        path: &str,
        what: &'static str,
        name: &str,
        there: impl IntoIterator<Item = &'n str>,
    ) {
        let there: Vec<&str> = there.into_iter().collect();
        let fault = Fault::Missing {
            what,
            name: name.to_owned(),
        };
        match nearest(name, there.iter().copied()) {
            Some(near) => self.add_with_hint(path, fault, format!("did you mean `{near}`?")),
            None if there.is_empty() => self.add(path, fault),
            None => self.add_with_hint(path, fault, format!("there are: {}", there.join(", "))),
        }
    }

    /// Records a value outside its range.
    pub(crate) fn out_of_range(&mut self, path: &str, found: &dyn fmt::Display, allowed: &str) {
        let fault = Fault::OutOfRange {
            key: path.to_owned(),
            found: found.to_string(),
            allowed: allowed.to_owned(),
        };
        self.add(path, fault);
    }

    /// Records a contradiction.
    pub(crate) fn conflict(
        &mut self,
        path: &str,
        what: &'static str,
        value: &dyn fmt::Display,
        this: &str,
        other: &str,
    ) {
        let fault = Fault::Conflict {
            what,
            value: value.to_string(),
            this: this.to_owned(),
            other: other.to_owned(),
        };
        self.add(path, fault);
    }

    /// Records a key that has no meaning where it stands.
    pub(crate) fn unfit(&mut self, path: &str, key: &str, what: &str) {
        let fault = Fault::Unfit {
            key: key.to_owned(),
            what: what.to_owned(),
        };
        self.add(path, fault);
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Refuses a text of nothing but spaces.
    pub(crate) fn filled(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(path, Fault::Empty(path.to_owned()));
        }
    }

    /// Refuses a value that an earlier item already has. `items` yields (path of the value, value, where it is used).
    pub(crate) fn unique<V: fmt::Display + Ord>(
        &mut self,
        what: &'static str,
        items: impl IntoIterator<Item = (String, V, String)>,
    ) {
        let mut seen = BTreeMap::new();
        for (path, value, owner) in items {
            match seen.get(&value) {
                Some(first) => {
                    let first = String::clone(first);
                    self.add(
                        &path,
                        Fault::Duplicate {
                            what,
                            value: value.to_string(),
                            first,
                        },
                    );
                }
                None => {
                    seen.insert(value, owner);
                }
            }
        }
    }
}
