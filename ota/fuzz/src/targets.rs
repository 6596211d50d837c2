//! The list.

mod boot_entry;
mod ddi;
mod fat;
mod firmware;
mod frames;
mod gpt;
mod guests_plan;
mod index;
mod index_wire;
mod judge;
mod lvm_reports;
mod protocol;
mod pve_db;
mod pve_rows;
mod pve_text;
mod record;
mod release_manifest;
mod roam;
mod roles;
mod settings;
mod signatures;
mod update_manifest;
mod verity;

use crate::Target;

/// All targets.
pub const TARGETS: &[Target] = &[
    release_manifest::TARGET,
    update_manifest::TARGET,
    roles::TARGET,
    signatures::TARGET,
    judge::TARGET,
    index::TARGET,
    index_wire::TARGET,
    frames::TARGET,
    roam::TARGET,
    ddi::TARGET,
    record::TARGET,
    settings::TARGET,
    protocol::TARGET,
    boot_entry::TARGET,
    firmware::TARGET,
    gpt::TARGET,
    verity::TARGET,
    fat::TARGET,
    pve_db::TARGET,
    pve_rows::TARGET,
    pve_text::TARGET,
    guests_plan::TARGET,
    lvm_reports::TARGET,
];

/// The fenced block of a book whose info string ends in this label: its examples are good documents.
fn block(book: &str, label: &str) -> Vec<u8> {
    let (_, after) = book.split_once(&format!(" {label}\n")).unwrap();
    after.split("```").next().unwrap().into()
}

/// Bytes one after the other, as a parser of pieces sees them.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (piece, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    piece
}
