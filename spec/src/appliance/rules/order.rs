//! The start order: guests wait for others, never in a circle.

use std::collections::BTreeMap;

use crate::appliance::{Appliance, Guest};
use crate::fault::Fault;
use crate::findings::Findings;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    for (i, guest) in appliance.guest.iter().enumerate() {
        for (j, name) in guest.start.after.iter().enumerate() {
            let path = format!("guest[{i}].start.after[{j}]");
            match appliance.guest.iter().find(|other| other.name == *name) {
                None => {
                    let there = appliance.guest.iter().map(|other| other.name.as_str());
                    findings.missing(&path, "guest", name.as_str(), there);
                }
                Some(other) if guest.autostart && !other.autostart => {
                    let waits = format!("awaited by `{}`", guest.name);
                    findings.conflict(
                        &path,
                        "guest",
                        name,
                        &waits,
                        "it is not started with the host (`autostart`)",
                    );
                }
                Some(_) => {}
            }
        }
    }
    if let Some((path, circle)) = circle(appliance) {
        findings.add(&path, Fault::Cycle(circle));
    }
}

/// The first circle, as where it closes and the names in it.
fn circle(appliance: &Appliance) -> Option<(String, Vec<String>)> {
    let mut done: Vec<usize> = Vec::new();
    for start in 0..appliance.guest.len() {
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((guest, next)) = way.last_mut() {
            let here = *guest;
            let Some(name) = appliance.guest[here].start.after.get(*next) else {
                done.push(here);
                way.pop();
                continue;
            };
            let item = *next;
            *next += 1;
            let Some(other) = appliance.guest.iter().position(|guest| guest.name == *name) else {
                continue;
            };
            if let Some(first) = way.iter().position(|(guest, _)| *guest == other) {
                let mut names: Vec<String> = way[first..]
                    .iter()
                    .map(|(guest, _)| appliance.guest[*guest].name.to_string())
                    .collect();
                names.push(name.to_string());
                return Some((format!("guest[{here}].start.after[{item}]"), names));
            }
            if !done.contains(&other) {
                way.push((other, 0));
            }
        }
    }
    None
}

impl Appliance {
    /// The guests in the order in which they start, each with its step from 1: those of one step wait for the same.
    /// Within a step the order is that of their ids. In a circle, which no accepted appliance has, steps end at the
    /// number of guests.
    pub fn start_order(&self) -> Vec<(u32, &Guest)> {
        let mut steps: BTreeMap<&str, u32> =
            self.guest.iter().map(|g| (g.name.as_str(), 1)).collect();
        for _ in &self.guest {
            for guest in &self.guest {
                let before = guest
                    .start
                    .after
                    .iter()
                    .filter_map(|name| steps.get(name.as_str()));
                let step = before.max().map_or(1, |step| step + 1);
                steps.insert(guest.name.as_str(), step);
            }
        }
        let step = |guest: &Guest| steps.get(guest.name.as_str()).copied().unwrap_or(1);
        let mut order: Vec<(u32, &Guest)> = self.guest.iter().map(|g| (step(g), g)).collect();
        order.sort_by_key(|(step, guest)| (*step, guest.id));
        order
    }
}
