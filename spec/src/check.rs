//! The rules between documents: an appliance, its board and its overlays, taken together.

mod hardware;

use std::collections::BTreeMap;

use crate::appliance::Appliance;
use crate::board::Board;
use crate::document::Document;
use crate::fault::Fault;
use crate::hint::nearest;
use crate::overlay::Overlay;
use crate::problem::Problem;

/// Everything that is wrong with these documents together. `overlays` may hold more than the appliance uses; only those
/// it names are looked at, in its order.
pub fn cross_check(
    appliance: &Document<Appliance>,
    board: &Document<Board>,
    overlays: &[Document<Overlay>],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if appliance.board != board.name {
        let fault = Fault::Conflict {
            what: "board",
            value: appliance.board.to_string(),
            this: "what the appliance is for".to_owned(),
            other: format!("the board given is `{}`", board.name),
        };
        problems.push(appliance.problem("board", fault, None));
    } else {
        problems.extend(hardware::conflicts(appliance, board));
    }
    let mut used: Vec<&Document<Overlay>> = Vec::new();
    for (index, name) in appliance.overlays.iter().enumerate() {
        match overlays.iter().find(|overlay| overlay.name == *name) {
            Some(overlay) => used.push(overlay),
            None => {
                let near = nearest(
                    name.as_str(),
                    overlays.iter().map(|overlay| overlay.name.as_str()),
                );
                let hint = near.map_or_else(
                    || format!("overlays live in `overlays/{name}/overlay.toml`"),
                    |near| format!("did you mean `{near}`?"),
                );
                let fault = Fault::Missing {
                    what: "overlay",
                    name: name.to_string(),
                };
                problems.push(appliance.problem(&format!("overlays[{index}]"), fault, Some(hint)));
            }
        }
    }
    problems.extend(overlay_conflicts(&used));
    problems
}

/// Everything in which these overlays contradict each other, in the order in which they apply.
pub fn overlay_conflicts(used: &[&Document<Overlay>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    unit_conflicts(used, &mut problems);
    user_conflicts(used, &mut problems);
    group_conflicts(used, &mut problems);
    apt_conflicts(used, &mut problems);
    problems
}

/// The overlays of this appliance that make it a development image.
pub fn development_overlays<'a>(
    appliance: &Appliance,
    overlays: &'a [Document<Overlay>],
) -> Vec<&'a Overlay> {
    let used =
        |overlay: &&Overlay| overlay.development_only && appliance.overlays.contains(&overlay.name);
    overlays.iter().map(Document::value).filter(used).collect()
}

/// A unit has one state. Enabling twice is harmless; enabling and masking, in any order, is a contradiction.
fn unit_conflicts(overlays: &[&Document<Overlay>], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for overlay in overlays {
        for (key, state, units) in overlay.unit_states() {
            for (index, unit) in units.iter().enumerate() {
                let (first, owner) = *seen
                    .entry(unit.as_str())
                    .or_insert((state, overlay.name.as_str()));
                if first != state && owner != overlay.name.as_str() {
                    let fault = conflict(
                        "unit",
                        unit,
                        state,
                        &format!("overlay `{owner}` has it {first}"),
                    );
                    problems.push(overlay.problem(&format!("{key}[{index}]"), fault, None));
                }
            }
        }
    }
}

/// One number has one name, and one name has one number.
fn user_conflicts(overlays: &[&Document<Overlay>], problems: &mut Vec<Problem>) {
    let users = overlays.iter().flat_map(|overlay| {
        let each = overlay.user.iter().enumerate();
        each.map(move |(i, user)| {
            (
                *overlay,
                format!("user[{i}].uid"),
                user.name.as_str(),
                user.uid,
            )
        })
    });
    numbered("user", "uid", users, problems);
}

fn group_conflicts(overlays: &[&Document<Overlay>], problems: &mut Vec<Problem>) {
    let groups = overlays.iter().flat_map(|overlay| {
        let declared = overlay.group.iter().enumerate();
        let declared = declared.map(|(i, group)| {
            (
                *overlay,
                format!("group[{i}].gid"),
                group.name.as_str(),
                group.gid,
            )
        });
        // A user without a gid brings a group of its own name and number.
        let own = overlay
            .user
            .iter()
            .enumerate()
            .filter(|(_, user)| user.gid.is_none());
        declared.chain(own.map(|(i, user)| {
            (
                *overlay,
                format!("user[{i}].uid"),
                user.name.as_str(),
                user.uid,
            )
        }))
    });
    numbered("group", "gid", groups, problems);
}

fn numbered<'a>(
    what: &'static str,
    number: &str,
    items: impl Iterator<Item = (&'a Document<Overlay>, String, &'a str, u32)>,
    problems: &mut Vec<Problem>,
) {
    let mut by_number: BTreeMap<u32, (&str, &str)> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    for (overlay, path, name, id) in items {
        let owner = overlay.name.as_str();
        let (first_name, first_owner) = *by_number.entry(id).or_insert((name, owner));
        let (first_id, id_owner) = *by_name.entry(name).or_insert((id, owner));
        let this = format!("{number} {id}");
        if first_name != name {
            let other = format!("that is `{first_name}` in overlay `{first_owner}`");
            problems.push(overlay.problem(&path, conflict(what, &name, &this, &other), None));
        } else if first_id != id {
            let other = format!("overlay `{id_owner}` gives it {number} {first_id}");
            problems.push(overlay.problem(&path, conflict(what, &name, &this, &other), None));
        }
    }
}

/// Two overlays may need one repository, but then they must mean the same key.
fn apt_conflicts(overlays: &[&Document<Overlay>], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for overlay in overlays {
        for (index, source) in overlay.apt_source.iter().enumerate() {
            let owner = *seen
                .entry(source.name.as_str())
                .or_insert(overlay.name.as_str());
            if owner != overlay.name.as_str() {
                let fault = Fault::Duplicate {
                    what: "apt source",
                    value: source.name.to_string(),
                    first: format!("overlay `{owner}`"),
                };
                problems.push(overlay.problem(&format!("apt_source[{index}].name"), fault, None));
            }
        }
    }
}

fn conflict(what: &'static str, value: &dyn std::fmt::Display, this: &str, other: &str) -> Fault {
    Fault::Conflict {
        what,
        value: value.to_string(),
        this: this.to_owned(),
        other: other.to_owned(),
    }
}
