//! Backup jobs, and what is kept.

use crate::appliance::{Appliance, DataPartition, Keep};
use crate::fault::Fault;
use crate::findings::Findings;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    let jobs = appliance.backup.iter().enumerate();
    findings.unique(
        "backup job",
        jobs.map(|(i, job)| {
            (
                format!("backup[{i}].name"),
                job.name.clone(),
                format!("job {}", i + 1),
            )
        }),
    );
    for (i, job) in appliance.backup.iter().enumerate() {
        let path = |key: &str| format!("backup[{i}].{key}");
        if appliance.data_partition(DataPartition::Backup).is_none() {
            let fault = Fault::Missing {
                what: "partition",
                name: DataPartition::Backup.name().to_owned(),
            };
            findings.add_with_hint(
                &path("name"),
                fault,
                "add [partitions.backup], or leave the job out",
            );
        }
        if job.guests.is_empty() {
            findings.add(&path("guests"), Fault::Empty(path("guests")));
        }
        for (j, name) in job.guests.iter().enumerate() {
            if !appliance.guest.iter().any(|guest| guest.name == *name) {
                let there = appliance.guest.iter().map(|guest| guest.name.as_str());
                findings.missing(
                    &path(&format!("guests[{j}]")),
                    "guest",
                    name.as_str(),
                    there,
                );
            }
        }
        let guests = job.guests.iter().enumerate();
        findings.unique(
            "guest",
            guests.map(|(j, name)| {
                (
                    path(&format!("guests[{j}]")),
                    name.clone(),
                    format!("entry {}", j + 1),
                )
            }),
        );
        keep(&job.keep, &path("keep"), findings);
    }
}

/// Nothing kept would mean either nothing done, or a disk that fills up.
pub(super) fn keep(keep: &Keep, path: &str, findings: &mut Findings<'_>) {
    if keep.set().is_empty() {
        findings.add_with_hint(
            path,
            Fault::Empty(path.to_owned()),
            "say how many are kept, as in `last = 3`",
        );
    }
}
