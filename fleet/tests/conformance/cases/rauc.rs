//! rauc-hawkbit-updater's suite, re-expressed: what its client does with hawkBit, ours does with either server. Where that
//! suite tests a configuration file, ours tests the settings of the client or the program's own command line.

mod basics;
mod cancel;
mod download;
mod install;

use crate::runner::Case;

/// The 42.
pub fn cases() -> Vec<Case> {
    let groups = [
        basics::cases(),
        cancel::cases(),
        download::cases(),
        install::cases(),
    ];
    groups.into_iter().flatten().collect()
}
