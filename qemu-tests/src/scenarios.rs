//! The table of tests. One file per scenario; its first comment says what it proves.
//!
//! Order matters for time, not for truth: `boot` makes the stage that most others stand on, and the tests that only look
//! share one running guest before `watchdog` takes it.

pub mod bench;
pub mod boot;
pub mod common;
pub mod corrupt;
pub mod crash;
pub mod disks;
pub mod harness;
pub mod initrd;
pub mod nics;
pub mod ports;
pub mod secure;
pub mod trial;
pub mod trials;
pub mod update;
pub mod watchdog;

use crate::registry::Test;

/// Every test.
pub const ALL: &[Test] = &[
    harness::TEST,
    boot::TEST,
    nics::TEST,
    ports::TEST,
    watchdog::TEST,
    corrupt::TEST,
    secure::TEST,
    trial::TEST,
    update::TEST,
    update::faults::ROLLBACK,
    update::faults::SLOT,
    update::faults::INITRD,
    update::faults::TRIAL,
    update::faults::FROZEN,
    update::faults::POWER,
    update::HAWKBIT,
    crash::TEST,
    crash::FIRST,
    secure::MORE,
    trials::TEST,
    initrd::TEST,
    disks::BARE,
    disks::ROAMCORE,
    disks::TOO_SMALL,
];
