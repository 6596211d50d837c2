//! The guests' volumes: from the templates in the signed image to disks that Proxmox starts.
//!
//! Owns: the pool, the base volumes, each guest's disks, their snapshots, and the way back to any of them. Never does:
//! start or stop a guest, decide about trust in the seed (the image did), touch a volume that it did not make, change a
//! base volume in place, make a pool or a disk anew that once was and is gone. Invariants: a base volume has its final
//! name only after it was read back past the page cache and hashed; a guest's disk has its final name only when it is
//! whole; whatever the moment of a power cut, the next run ends in the same state.
//!
//! ```text
//!   guests.json --parse--> Plan ---.                         steps            lvm, volumes,
//!   pvs, vgs, lvs --parse--> Lvm --+--> next() (pure) -----> run() ---------> Machine ------> seed, record
//!   record --parse--> Record ------'      ^                    |
//!                                         '---- survey again <-'   until there is no step left
//! ```
//!
//! LVM's metadata is the memory of what a volume *is*: each change of it is whole or not there, and it cannot disagree
//! with the volumes. The record says only what no volume can say: that there was one, and what a person asked for.

pub mod command;
pub mod fill;
pub mod linux;
pub mod machine;
pub mod names;
pub mod next;
pub mod plan;
pub mod record;
pub mod report;
pub mod reset;
pub mod retention;
pub mod run;
pub mod snapshot;
pub mod versions;

pub use linux::Linux;
pub use machine::{Machine, MachineError};
pub use names::Volume;
pub use next::{Refusal, Step, Todo, next};
pub use plan::{Plan, PlanError};
pub use record::{Record, RecordError};
pub use report::{Lvm, ReportError};
pub use run::{Event, Outcome, RunError, run};
