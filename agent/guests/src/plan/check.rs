//! The rules of `guests.json`.

use std::collections::BTreeSet;

use super::{Disk, Format, Guest, Plan, PlanError, Snapshots, Template};
use crate::names::is_ours;

/// More than a board of this class can hold.
pub const MOST_TEMPLATES: usize = 256;
/// As above.
pub const MOST_GUESTS: usize = 256;
/// Proxmox numbers 31 SCSI disks and 256 mount points; nobody needs more than this.
pub const MOST_DISKS: usize = 32;

/// Above it, dm-thin with our chunk size runs out of addresses (15.88 TiB).
const MOST_SIZE: u64 = 15 << 40;
const MIB: u64 = 1 << 20;
/// Numbers below are Proxmox's own, numbers from 9000 are for templates.
const GUESTS: std::ops::RangeInclusive<u32> = 100..=8999;
/// Proxmox's highest number.
const TEMPLATES: std::ops::RangeInclusive<u32> = 9000..=999_999_999;

fn rule<T>(
    at: impl Into<String>,
    seen: impl std::fmt::Debug,
    rule: &'static str,
) -> Result<T, PlanError> {
    // A hostile value must not fill the journal.
    let seen: String = format!("{seen:?}").chars().take(120).collect();
    Err(PlanError::Rule {
        at: at.into(),
        seen,
        rule,
    })
}

pub(super) fn check(plan: &Plan) -> Result<(), PlanError> {
    pool(plan)?;
    if plan.templates.len() > MOST_TEMPLATES {
        return rule("templates", plan.templates.len(), "at most 256");
    }
    if plan.guests.len() > MOST_GUESTS {
        return rule("guests", plan.guests.len(), "at most 256");
    }
    let (mut ids, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, found) in plan.templates.iter().enumerate() {
        let at = format!("templates[{index}]");
        template(&at, found)?;
        if !ids.insert(&found.id) {
            return rule(at, &found.id, "an id that no other template has");
        }
        if !numbers.insert(found.number) {
            return rule(at, found.number, "a number that no other template has");
        }
    }
    let (mut vmids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, found) in plan.guests.iter().enumerate() {
        let at = format!("guests[{index}]");
        guest(plan, &at, found)?;
        if !vmids.insert(found.vmid) {
            return rule(at, found.vmid, "a number that no other guest has");
        }
        if !names.insert(&found.name) {
            return rule(at, &found.name, "a name that no other guest has");
        }
    }
    Ok(())
}

fn pool(plan: &Plan) -> Result<(), PlanError> {
    let pool = &plan.pool;
    let names = [
        ("pool.partition", &pool.partition),
        ("pool.group", &pool.group),
        ("pool.name", &pool.name),
    ];
    for (at, name) in names {
        if !is_name(name) {
            return rule(
                at,
                name,
                "lower-case letters, digits and hyphens, a letter first, at most 63",
            );
        }
    }
    if is_ours(&pool.name) {
        return rule(
            "pool.name",
            &pool.name,
            "a name that no volume of a guest can have",
        );
    }
    Ok(())
}

fn template(at: &str, found: &Template) -> Result<(), PlanError> {
    if !is_name(&found.id) {
        return rule(
            at,
            &found.id,
            "lower-case letters, digits and hyphens, a letter first, at most 63",
        );
    }
    let printable = |c: char| c.is_ascii_graphic();
    if found.version.is_empty() || found.version.len() > 64 || !found.version.chars().all(printable)
    {
        return rule(
            at,
            &found.version,
            "a version of 1 to 64 visible characters",
        );
    }
    if !TEMPLATES.contains(&found.number) {
        return rule(at, found.number, "a number from 9000 to 999999999");
    }
    if !is_file(&found.file) {
        return rule(
            at,
            &found.file,
            "a relative path of plain names without \"..\"",
        );
    }
    if found.size == 0 || found.size > MOST_SIZE || !found.size.is_multiple_of(512) {
        return rule(at, found.size, "a size in whole sectors, up to 15 TiB");
    }
    let volume = found.volume_bytes();
    if volume < found.size || volume > MOST_SIZE || !volume.is_multiple_of(512) {
        return rule(
            at,
            volume,
            "a volume in whole sectors that holds the content, up to 15 TiB",
        );
    }
    if found.format == Format::Tar && (found.kind != super::Kind::Ct || found.volume.is_none()) {
        return rule(
            at,
            found.format,
            "an archive is for containers, and needs the size of its volume",
        );
    }
    Ok(())
}

fn guest(plan: &Plan, at: &str, found: &Guest) -> Result<(), PlanError> {
    if !GUESTS.contains(&found.vmid) {
        return rule(at, found.vmid, "a number from 100 to 8999");
    }
    if !is_name(&found.name) {
        return rule(
            at,
            &found.name,
            "lower-case letters, digits and hyphens, a letter first, at most 63",
        );
    }
    if found.disks.is_empty() || found.disks.len() > MOST_DISKS {
        return rule(at, found.disks.len(), "1 to 32 disks");
    }
    let mut numbers = BTreeSet::new();
    for (index, given) in found.disks.iter().enumerate() {
        let at = format!("{at}.disks[{index}]");
        disk(plan, &at, found, given)?;
        if !numbers.insert(given.number) {
            return rule(
                at,
                given.number,
                "a number that no other disk of the guest has",
            );
        }
    }
    found
        .snapshots
        .as_ref()
        .map_or(Ok(()), |given| snapshots(at, given))
}

fn disk(plan: &Plan, at: &str, guest: &Guest, found: &Disk) -> Result<(), PlanError> {
    if found.number >= 256 {
        return rule(at, found.number, "a disk number below 256");
    }
    if found.size == 0 || found.size > MOST_SIZE || !found.size.is_multiple_of(MIB) {
        return rule(at, found.size, "a size in whole MiB, up to 15 TiB");
    }
    let Some(id) = &found.template else {
        return Ok(());
    };
    let Some(template) = plan.template(id) else {
        return rule(at, id, "the id of a template");
    };
    if template.kind != guest.kind {
        return rule(at, id, "a template of the guest's kind");
    }
    if found.size < template.volume_bytes() {
        return rule(at, found.size, "at least the size of its template");
    }
    Ok(())
}

fn snapshots(at: &str, found: &Snapshots) -> Result<(), PlanError> {
    if !found.days.iter().all(|day| (1..=7).contains(day)) || found.days.len() > 7 {
        return rule(at, &found.days, "days of the week from 1 to 7");
    }
    if found.minute >= 24 * 60 {
        return rule(at, found.minute, "a minute of the day below 1440");
    }
    let keep = found.keep;
    let numbers = [keep.last, keep.daily, keep.weekly, keep.monthly];
    // Each is a thin volume per disk; the pool's metadata is made for some hundreds.
    if numbers.iter().all(|n| *n == 0) || numbers.iter().any(|n| *n > 100) {
        return rule(at, keep, "at least one number, none above 100");
    }
    Ok(())
}

/// What serves as a name of a guest, of an LVM volume and of a GPT partition.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(inner)
        && !text.ends_with('-')
}

fn is_file(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    let component = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(plain)
    };
    text.len() <= 255 && text.split('/').all(component)
}
