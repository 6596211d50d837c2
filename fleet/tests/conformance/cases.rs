//! What devices can rely on, case by case.
//!
//! The first group is the suite of rauc-hawkbit-updater in our words: one case for each of its 42, parameters counted. The
//! rest is what that suite leaves out.

mod actions;
mod artifacts;
mod attributes;
mod cancel;
mod confirmation;
mod feedback;
mod hostile;
mod polling;
mod quotas;
mod rauc;
mod restart;
mod windows;

use crate::runner::Case;

/// All cases; those that run alone are last.
pub fn all() -> Vec<Case> {
    let groups = [
        rauc::cases(),
        polling::cases(),
        feedback::cases(),
        quotas::cases(),
        cancel::cases(),
        actions::cases(),
        confirmation::cases(),
        windows::cases(),
        attributes::cases(),
        artifacts::cases(),
        hostile::cases(),
        restart::cases(),
    ];
    let mut all: Vec<Case> = groups.into_iter().flatten().collect();
    all.sort_by_key(Case::is_alone);
    all
}

/// Fails with both values when they differ.
macro_rules! same {
    ($found:expr, $expected:expr $(, $($what:tt)+)?) => {
        match (&$found, &$expected) {
            (found, expected) if found == expected => {}
            (found, expected) => {
                #[allow(unused_mut, unused_assignments)]
                let mut what = String::new();
                $(what = format!(" ({})", format!($($what)+));)?
                anyhow::bail!("{}{what}: {found:?}, not {expected:?}", stringify!($found));
            }
        }
    };
}
pub(crate) use same;
