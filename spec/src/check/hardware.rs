//! An appliance's guests and bridges against the board they run on.

use crate::appliance::Appliance;
use crate::board::{Board, Nic};
use crate::document::Document;
use crate::fault::Fault;
use crate::hint::nearest;
use crate::problem::Problem;
use crate::size::Size;

use super::conflict;

/// Everything that the board cannot give.
pub(super) fn conflicts(appliance: &Document<Appliance>, board: &Board) -> Vec<Problem> {
    let mut problems = Vec::new();
    let taken = passthrough(appliance, board, &mut problems);
    bridges(appliance, board, &taken, &mut problems);
    processors(appliance, board, &mut problems);
    memory(appliance, board, &mut problems);
    root_ports(appliance, board, &mut problems);
    problems
}

fn bridge_of<'a>(appliance: &'a Appliance, nic: &Nic) -> Option<&'a str> {
    let with = |bridge: &&crate::appliance::Bridge| bridge.nics.contains(&nic.name);
    appliance
        .bridge
        .iter()
        .find(with)
        .map(|bridge| bridge.name.as_str())
}

/// The NICs that guests own.
fn passthrough<'b>(
    appliance: &Document<Appliance>,
    board: &'b Board,
    problems: &mut Vec<Problem>,
) -> Vec<&'b Nic> {
    let mut taken = Vec::new();
    for (i, guest) in appliance.guest.iter().enumerate() {
        for (j, role) in guest.passthrough.iter().enumerate() {
            let path = format!("guest[{i}].passthrough[{j}]");
            let of_role: Vec<&Nic> = board
                .nic
                .iter()
                .filter(|nic| nic.role == *role && nic.passthrough)
                .collect();
            if of_role.is_empty() {
                let this = format!("passed through to guest `{}`", guest.name);
                let other = format!(
                    "no NIC of board `{}` with this role has `passthrough = true`",
                    board.name
                );
                problems.push(appliance.problem(
                    &path,
                    conflict("NIC role", &role.name(), &this, &other),
                    None,
                ));
            }
            for nic in of_role {
                if let Some(bridge) = bridge_of(appliance, nic) {
                    let this = format!("passed through to guest `{}`", guest.name);
                    let other = format!("it is a port of bridge `{bridge}`");
                    let hint = format!(
                        "take it out of `nics` of `{bridge}`: a NIC is the host's or a guest's"
                    );
                    problems.push(appliance.problem(
                        &path,
                        conflict("NIC", &nic.name, &this, &other),
                        Some(hint),
                    ));
                }
                taken.push(nic);
            }
        }
    }
    taken
}

fn bridges(
    appliance: &Document<Appliance>,
    board: &Board,
    taken: &[&Nic],
    problems: &mut Vec<Problem>,
) {
    for (i, bridge) in appliance.bridge.iter().enumerate() {
        for (j, name) in bridge.nics.iter().enumerate() {
            let path = format!("bridge[{i}].nics[{j}]");
            let Some(nic) = board.nic.iter().find(|nic| nic.name == *name) else {
                let there = || board.nic.iter().map(|nic| nic.name.as_str());
                let hint = nearest(name.as_str(), there()).map_or_else(
                    || {
                        format!(
                            "board `{}` has: {}",
                            board.name,
                            there().collect::<Vec<_>>().join(", ")
                        )
                    },
                    |near| format!("did you mean `{near}`?"),
                );
                let fault = Fault::Missing {
                    what: "NIC",
                    name: name.to_string(),
                };
                problems.push(appliance.problem(&path, fault, Some(hint)));
                continue;
            };
            if nic.passthrough && !taken.iter().any(|other| other.name == nic.name) {
                let this = format!("a port of bridge `{}`", bridge.name);
                let other = format!(
                    "board `{}` keeps it from the host (`passthrough = true`)",
                    board.name
                );
                problems.push(appliance.problem(&path, conflict("NIC", name, &this, &other), None));
            }
        }
    }
}

fn processors(appliance: &Document<Appliance>, board: &Board, problems: &mut Vec<Problem>) {
    for (i, guest) in appliance.guest.iter().enumerate() {
        if guest.cores > board.soc.cores {
            let fault = Fault::OutOfRange {
                key: format!("guest[{i}].cores"),
                found: guest.cores.to_string(),
                allowed: format!(
                    "at most {}, the cores of board `{}`",
                    board.soc.cores, board.name
                ),
            };
            problems.push(appliance.problem(&format!("guest[{i}].cores"), fault, None));
        }
    }
}

fn memory(appliance: &Document<Appliance>, board: &Board, problems: &mut Vec<Problem>) {
    let Some(memory) = &appliance.memory else {
        return;
    };
    let Some(facts) = &board.memory else {
        let fault = Fault::Missing {
            what: "section [memory] in board",
            name: board.name.to_string(),
        };
        let hint = "the board must say how much memory it takes";
        problems.push(appliance.problem("memory", fault, Some(hint.to_owned())));
        return;
    };
    let mut tell = |available: Size, needed: Size| {
        let fault = Fault::Exceeds {
            what: "host and guests",
            needed: format!("a unit with {needed} of memory"),
            limit: format!("the most that board `{}` takes", board.name),
            available,
        };
        problems.push(appliance.problem("memory.smallest", fault, None));
    };
    if memory.smallest > facts.largest {
        tell(facts.largest, memory.smallest);
    }
}

fn root_ports(appliance: &Document<Appliance>, board: &Board, problems: &mut Vec<Problem>) {
    for (i, guest) in appliance.guest.iter().enumerate() {
        for (j, device) in guest.pci.iter().enumerate() {
            let nic = board
                .nic
                .iter()
                .find(|nic| nic.root_port == device.root_port);
            let other = match nic {
                Some(nic) => format!("NIC `{}` sits behind it", nic.name),
                None if board.storage.root_port == device.root_port => {
                    "the system disk sits behind it".to_owned()
                }
                None => continue,
            };
            let this = format!("given to guest `{}`", guest.name);
            let path = format!("guest[{i}].pci[{j}].root_port");
            problems.push(appliance.problem(
                &path,
                conflict("root port", &device.root_port, &this, &other),
                None,
            ));
        }
    }
}
