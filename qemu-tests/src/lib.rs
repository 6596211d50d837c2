//! Boots the shipping image in QEMU and proves what it promises.
//!
//! ```text
//!  scenarios/*  one proof each       registry, runner   which run, verdicts, table
//!       |                                  |
//!    context    image, stages, shared guest, logs
//!       |
//!    guest      machine + shell: up, run, power off         disk, image         the disk from outside
//!       |                                                   release, bootfile   a further release, spoiled boot files
//!    machine    QEMU + qmp, serial, tpm, net, firmware, accel
//!       |
//!    tool       every subprocess
//! ```
//! The image under test is never changed for a test. A test speaks to it as people and hardware do: by SMBIOS strings that
//! development images honour, serial ports, buttons, cables, and a disk taken out and read elsewhere.

pub mod accel;
pub mod ansi;
pub mod bootfile;
pub mod context;
pub mod deadline;
pub mod disk;
pub mod error;
pub mod firmware;
pub mod fleet;
pub mod guest;
pub mod hawkbit;
pub mod image;
pub mod lanes;
pub mod machine;
pub mod net;
pub mod picture;
pub mod qmp;
pub mod registry;
pub mod release;
pub mod runner;
pub mod scenarios;
pub mod serial;
pub mod shell;
pub mod starved;
pub mod tool;
pub mod tpm;
