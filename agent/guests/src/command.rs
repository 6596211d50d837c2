//! LVM's command lines.
//!
//! Owns: every argument. Never does: run a program. Invariants: every command sees one physical volume, so that a stick
//! with a group of the same name changes nothing; each changes LVM's metadata once, so that a power cut leaves it done or
//! not done; none that could wipe what is not ours says yes in advance.

use crate::names::Volume;
use crate::next::Step;
use crate::plan::Pool;
use crate::report::{LV_FIELDS, PV_FIELDS, VG_FIELDS};

/// Small enough that clones stay cheap when guests write here and there; 15.88 TiB are in reach.
const CHUNK: &str = "64k";

fn line(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn report(verb: &str, fields: &str, device: &str) -> Vec<String> {
    line(&[
        verb,
        "--devices",
        device,
        "--reportformat",
        "json",
        "--units",
        "b",
        "--nosuffix",
        "--options",
        fields,
    ])
}

/// The three reports: `pvs`, `vgs`, `lvs`.
#[must_use]
pub fn survey(device: &str) -> [Vec<String>; 3] {
    [
        report("pvs", PV_FIELDS, device),
        report("vgs", VG_FIELDS, device),
        report("lvs", LV_FIELDS, device),
    ]
}

/// Gives a volume its device, also if it is skipped otherwise.
#[must_use]
pub fn activate(pool: &Pool, volume: Volume, device: &str) -> Vec<String> {
    let full = format!("{}/{volume}", pool.group);
    line(&[
        "lvchange",
        "--devices",
        device,
        "--activate",
        "y",
        "--ignoreactivationskip",
        &full,
    ])
}

/// A read-only snapshot of a guest's disk.
#[must_use]
pub fn snapshot(
    pool: &Pool,
    from: Volume,
    volume: Volume,
    tags: &[String],
    device: &str,
) -> Vec<String> {
    clone(pool, from, volume, tags, device, ("r", "y"))
}

fn clone(
    pool: &Pool,
    from: Volume,
    volume: Volume,
    tags: &[String],
    device: &str,
    (permission, skip): (&str, &str),
) -> Vec<String> {
    let mut words = line(&[
        "lvcreate",
        "--devices",
        device,
        "--snapshot",
        "--name",
        &volume.to_string(),
        "--permission",
        permission,
        "--setactivationskip",
        skip,
    ]);
    add_tags(&mut words, tags);
    words.push(format!("{}/{from}", pool.group));
    words
}

fn add_tags(words: &mut Vec<String>, tags: &[String]) {
    for tag in tags {
        words.extend(["--addtag".to_owned(), tag.clone()]);
    }
}

/// The command of a step; none for steps that are not LVM's.
#[must_use]
pub fn of(step: &Step, pool: &Pool, device: &str) -> Option<Vec<String>> {
    let full = |volume: &Volume| format!("{}/{volume}", pool.group);
    let change = |volume: &Volume, option: &str, value: &str| {
        let full = full(volume);
        line(&["lvchange", "--devices", device, option, value, &full])
    };
    Some(match step {
        // Without --yes: it asks before it wipes what is no LVM, gets no answer and gives up.
        Step::CreateGroup => line(&["vgcreate", "--devices", device, &pool.group, device]),
        Step::CreatePool { data, metadata } => line(&[
            "lvcreate",
            "--devices",
            device,
            "--yes",
            "--type",
            "thin-pool",
            "--name",
            &pool.name,
            "--size",
            &format!("{data}b"),
            "--poolmetadatasize",
            &format!("{metadata}b"),
            "--poolmetadataspare",
            "y",
            "--chunksize",
            CHUNK,
            // What one guest has freed another one must not read.
            "--zero",
            "y",
            &pool.group,
        ]),
        Step::RemoveScrap { name } => {
            let full = format!("{}/{name}", pool.group);
            line(&["lvremove", "--devices", device, "--yes", &full])
        }
        Step::Create { volume, size, tags } => {
            let mut words = line(&[
                "lvcreate",
                "--devices",
                device,
                "--type",
                "thin",
                "--name",
                &volume.to_string(),
                "--virtualsize",
                &format!("{size}b"),
                "--thinpool",
                &pool.name,
                // A new thin volume reads as zeros.
                "--wipesignatures",
                "n",
            ]);
            add_tags(&mut words, tags);
            words.push(pool.group.clone());
            words
        }
        Step::Clone { from, volume, tags } => {
            clone(pool, *from, *volume, tags, device, ("rw", "n"))
        }
        Step::Grow { volume, size } => {
            let (full, size) = (full(volume), format!("{size}b"));
            line(&["lvextend", "--devices", device, "--size", &size, &full])
        }
        Step::Tag { volume, tag } => change(volume, "--addtag", tag),
        Step::Deactivate { volume } => change(volume, "--activate", "n"),
        Step::ReadOnly { volume } => change(volume, "--permission", "r"),
        Step::Skip { volume } => change(volume, "--setactivationskip", "y"),
        Step::Rename { from, to } => line(&[
            "lvrename",
            "--devices",
            device,
            &pool.group,
            &from.to_string(),
            &to.to_string(),
        ]),
        Step::Remove { volume } => {
            let full = full(volume);
            line(&["lvremove", "--devices", device, "--yes", &full])
        }
        Step::Fill { .. }
        | Step::Personalize { .. }
        | Step::RememberPool { .. }
        | Step::RememberDisk { .. }
        | Step::EndJob { .. } => return None,
    })
}
