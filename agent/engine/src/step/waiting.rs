//! Why nothing happens, in a sentence.
//!
//! Owns: the words. Never does: decide; it asks the same functions that do.

use crate::offer::Handling;
use crate::policy::Policy;
use crate::record::{Answer, Asker, Phase, Source};
use crate::state::{Now, State};

use super::Turn;
use super::desire::Hold;

/// What the state waits for; none while work runs or nothing is wanted.
pub(crate) fn waiting_for(state: &State, policy: &Policy, now: Now) -> Option<String> {
    let turn = Turn {
        record: state.record.clone(),
        session: state.session.clone(),
        policy,
        now,
        effects: Vec::new(),
    };
    turn.waiting_for()
}

impl Turn<'_> {
    fn waiting_for(&self) -> Option<String> {
        if self.session.running.is_some() {
            return None;
        }
        if let Some(retry) = self.session.retry
            && let Some(left) = retry.not_before_ms.checked_sub(self.now.boot_ms)
            && left > 0
        {
            return Some(format!("the next attempt in {} s", left.div_ceil(1000)));
        }
        let text = match &self.record.phase {
            Phase::Idle | Phase::Arming { .. } | Phase::Committed { .. } => return None,
            Phase::RolledBack { .. } | Phase::Cancelling { .. } => return None,
            Phase::Offered { job } | Phase::Writing { job, .. } => {
                if self.session.facts.on_trial {
                    "the end of the trial boot"
                } else if job.mode.download == Handling::Skip {
                    "the server to allow the download"
                } else if matches!(job.source, Source::Server { .. }) && !self.may_fetch(job) {
                    "the server to be reached"
                } else if self.grant().is_none() {
                    "the next day or month of the data budget"
                } else {
                    return None;
                }
            }
            Phase::AwaitingConfirmation {
                asker: Asker::Server,
                answer: Answer::Confirmed,
                ..
            } => "the server to take the confirmation",
            Phase::AwaitingConfirmation {
                answer: Answer::Denied,
                ..
            } => "the server to withdraw what was denied; `roamcore confirm` accepts it after all",
            Phase::AwaitingConfirmation { .. } => "`roamcore confirm` or `roamcore cancel`",
            Phase::Verified { job, .. } => match self.hold(job) {
                Hold::None => return None,
                Hold::Server if job.mode.is_download_only() => {
                    "an order to install; `roamcore confirm` installs it now"
                }
                Hold::Server => "the server's maintenance window",
                Hold::Stale => "a poll that shows that the maintenance window is open",
                Hold::Consent => "`roamcore confirm` or the hours for soft updates",
                Hold::Conditions => "conditions that allow a reboot (power, ignition, guests)",
            },
            Phase::Armed { .. } => "conditions that allow a reboot (power, ignition, guests)",
            Phase::Trial { failed: None, .. } => "the health gate and the commit",
            Phase::Trial { .. } => "the reboot out of the failed trial",
        };
        Some(text.to_owned())
    }
}
