//! Steps that make a template's base volume.

use std::collections::BTreeMap;

use super::{Refusal, Situation, Step, Todo, VERIFIED, sha_tag, up};
use crate::names::Volume;
use crate::plan::Template;
use crate::report::{Group, LogicalKind};

/// Templates that were looked at: is there a base volume, at this point of the list of steps?
#[derive(Debug, Default)]
pub(super) struct Bases(BTreeMap<u32, bool>);

impl Bases {
    /// Adds the steps that a template still needs, once; tells whether clones can be made after them.
    pub(super) fn need(
        &mut self,
        situation: &Situation<'_>,
        group: &Group,
        template: &Template,
        todo: &mut Todo,
    ) -> bool {
        if let Some(known) = self.0.get(&template.number) {
            return *known;
        }
        let answer = base(situation, group, template, todo);
        self.0.insert(template.number, answer);
        answer
    }
}

fn base(situation: &Situation<'_>, group: &Group, template: &Template, todo: &mut Todo) -> bool {
    let number = template.number;
    let (volume, last) = (Volume::BaseNew { number }, Volume::Base { number });
    let mut found = situation.lvm.get(volume);
    if let Some(made) = situation.lvm.get(last) {
        if found.is_some() {
            todo.steps.push(Step::Remove { volume });
        }
        let why = if made.kind != LogicalKind::Thin || !made.tags.contains(VERIFIED) {
            "it has no mark of a verified import"
        } else if !made.tags.contains(&sha_tag(template)) {
            "its content has another hash"
        } else if !made.read_only {
            "it can be written"
        } else {
            return true;
        };
        todo.refusals.push(Refusal::ForeignBase { number, why });
        return false;
    }
    let size = up(template.volume_bytes(), group);
    let usable = |found: &&crate::report::Logical| {
        found.kind == LogicalKind::Thin
            && found.size == size
            && found.tags.contains(&sha_tag(template))
            // What can no more be written has to be verified; anything else is not of our making.
            && (found.tags.contains(VERIFIED) || !found.read_only)
    };
    let bad = situation.bad.templates.contains(&number);
    if found.is_some() && (bad || found.as_ref().filter(|f| usable(f)).is_none()) {
        todo.steps.push(Step::Remove { volume });
        found = None;
    }
    if bad {
        todo.refusals.push(Refusal::BadTemplate {
            id: template.id.clone(),
            version: template.version.clone(),
        });
        return false;
    }
    if found.is_none() {
        let tags = vec![sha_tag(template)];
        todo.steps.push(Step::Create { volume, size, tags });
    }
    if !found.is_some_and(|f| f.tags.contains(VERIFIED)) {
        todo.steps.push(Step::Fill { number });
        let tag = VERIFIED.to_owned();
        todo.steps.push(Step::Tag { volume, tag });
    }
    todo.steps.push(Step::Deactivate { volume });
    // LVM takes it for an error to be asked twice.
    if !found.is_some_and(|f| f.read_only) {
        todo.steps.push(Step::ReadOnly { volume });
    }
    if !found.is_some_and(|f| f.skipped) {
        todo.steps.push(Step::Skip { volume });
    }
    todo.steps.push(Step::Rename {
        from: volume,
        to: last,
    });
    true
}
