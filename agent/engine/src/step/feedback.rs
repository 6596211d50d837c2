//! Telling the server.
//!
//! Owns: when something is said, again and again if need be, and how often progress is reported. Never does: send.
//! Invariants: one message is under way at a time; a final answer is repeated until the server took it or says that there is
//! nobody to tell; what the server showed before it was told something is forgotten.

use crate::device::{Progress, Stage};
use crate::outbox::{Delivery, Message, MessageId};
use crate::record::Phase;
use crate::state::{Effect, Now, Retry, State};

use super::Turn;

/// Longest delay between two attempts at one message.
const LONGEST_DELAY_MS: u64 = 15 * 60 * 1000;
/// A report needs this much time since the last one ...
const REPORT_EVERY_MS: u64 = 10_000;
/// ... and this many percent.
const REPORT_EVERY_PERCENT: u8 = 5;

impl Turn<'_> {
    pub(super) fn delivered(&mut self, id: MessageId, result: Delivery) {
        if self.session.sending.in_flight == Some(id) {
            self.session.sending.in_flight = None;
        }
        match id {
            MessageId::Volatile(number) => self.report_delivered(number, result),
            MessageId::Durable(number) => self.message_delivered(number, result),
        }
    }

    fn report_delivered(&mut self, number: u64, result: Delivery) {
        let sending = &mut self.session.sending;
        let Some((current, message)) = &sending.report else {
            return;
        };
        if *current != number {
            return;
        }
        let action = message.action().cloned();
        sending.report = None;
        match result {
            // A newer report follows soon enough.
            Delivery::Taken | Delivery::Retry | Delivery::Malformed => {}
            Delivery::Quota => sending.muted = action,
            Delivery::Gone => self.look_again(),
        }
    }

    fn message_delivered(&mut self, number: u64, result: Delivery) {
        let Some(queued) = self.record.outbox.get(number).cloned() else {
            return;
        };
        let id = MessageId::Durable(number);
        let settled = match result {
            Delivery::Taken | Delivery::Gone => true,
            Delivery::Retry => false,
            // Malformed: with less text, which is the only thing that can be wrong. Without any: a final answer is owed all
            // the same, anything else is not worth it.
            Delivery::Malformed | Delivery::Quota => {
                let stripped = self.record.outbox.strip(number);
                !stripped && !matches!(queued.message, Message::Final { .. })
            }
        };
        if !settled {
            let previous = self.session.sending.delays.get(&id).copied();
            let delay = Retry::after(previous, self.now, LONGEST_DELAY_MS);
            self.session.sending.delays.insert(id, delay);
            return;
        }
        self.record.outbox.remove(number);
        self.session.sending.delays.remove(&id);
        let taken = result == Delivery::Taken;
        match queued.message {
            Message::Final {
                success: true,
                runs,
                ..
            } => {
                // It may be late, and something else runs by now. Gone: somebody else closed the action, so nobody knows
                // what the server believes.
                self.record.told = runs.filter(|_| taken);
                self.look_again();
            }
            Message::Installed { release } => {
                if !taken {
                    self.note(format!(
                        "the server does not know {release} and cannot be told that it runs here"
                    ));
                }
                self.record.told = Some(release);
            }
            Message::AutoConfirm { active } => {
                let now = match (active, taken) {
                    (true, true) => "the server confirms by itself from now on",
                    (false, true) => "the server asks for confirmations again",
                    (_, false) => "the server does not do automatic confirmation",
                };
                self.note(now.to_owned());
            }
            // While an action is open, servers take the word on what is installed and forget it. Said again, it costs one
            // small request.
            Message::Final { success: false, .. } | Message::Cancel { accepted: true, .. } => {
                self.record.told = None;
                self.look_again();
            }
            _ => self.look_again(),
        }
    }

    /// What was shown before is out of date.
    fn look_again(&mut self) {
        self.session.seen = None;
        self.effects.push(Effect::Poll);
    }

    /// After any change of slots that no action explains, the server learns what runs.
    pub(super) fn consider_correction(&mut self) {
        if self.record.phase != Phase::Idle || self.session.facts.on_trial {
            return;
        }
        let Some(running) = self.session.facts.running.release.clone() else {
            return;
        };
        let outbox = &self.record.outbox;
        let success_pending = outbox.sendable().any(
            |queued| matches!(&queued.message, Message::Final { runs, .. } if runs.as_ref() == Some(&running)),
        );
        let known = self.record.told.as_ref() == Some(&running);
        if !known && !success_pending && outbox.correction() != Some(&running) {
            self.record
                .outbox
                .push(Message::Installed { release: running });
        }
    }

    /// At most one report in ten seconds, and one in five percent: at most 21 for one job.
    pub(super) fn report_progress(&mut self) {
        let progress = self.session.progress;
        let percent = percent(&progress);
        let sending = &mut self.session.sending;
        let soon = sending
            .last_ms
            .is_some_and(|last| self.now.boot_ms.saturating_sub(last) < REPORT_EVERY_MS);
        let Some(job) = self.record.phase.job_mut() else {
            return;
        };
        let Some(action) = job.source.action().cloned() else {
            return;
        };
        let near = job
            .told_percent
            .is_some_and(|told| percent < told.saturating_add(REPORT_EVERY_PERCENT));
        if soon || near || sending.muted.as_ref() == Some(&action) {
            return;
        }
        job.told_percent = Some(percent);
        sending.last_ms = Some(self.now.boot_ms);
        sending.reports += 1;
        let details = vec![format!(
            "{:?}: {} of {} bytes, {} fetched",
            progress.stage, progress.done, progress.total, progress.fetched
        )];
        let message = Message::Progress {
            action,
            percent,
            details,
        };
        sending.report = Some((sending.reports, message));
    }
}

/// Shares of the stages in the time of an update, measured on the product: only for a bar that moves evenly.
pub(crate) fn percent(progress: &Progress) -> u8 {
    let (start, end) = match progress.stage {
        Stage::Starting => (0, 0),
        Stage::Planning => (0, 10),
        Stage::Writing => (10, 80),
        Stage::ReadingBack => (80, 98),
        Stage::Publishing => (98, 100),
    };
    let span: u64 = end - start;
    let share = if progress.total == 0 {
        0
    } else {
        u128::from(span) * u128::from(progress.done.min(progress.total))
            / u128::from(progress.total)
    };
    u8::try_from(u128::from(start) + share).unwrap_or(100)
}

/// The next message to send, marked as under way; none while one is, or while all wait.
pub fn next_message(state: &mut State, now: Now) -> Option<(MessageId, Message)> {
    if state.session.sending.in_flight.is_some() {
        return None;
    }
    let delays = &state.session.sending.delays;
    let due = |id: MessageId| {
        delays
            .get(&id)
            .is_none_or(|delay| now.boot_ms >= delay.not_before_ms)
    };
    let durable = state
        .record
        .outbox
        .sendable()
        .map(|queued| (MessageId::Durable(queued.id), &queued.message))
        .find(|(id, _)| due(*id));
    let report = state
        .session
        .sending
        .report
        .as_ref()
        // After the end of an action nobody wants to hear how it went on.
        .filter(|(_, message)| {
            !message
                .action()
                .is_some_and(|action| state.record.outbox.speaks_of(action))
        })
        .map(|(number, message)| (MessageId::Volatile(*number), message));
    let (id, message) = durable.or(report)?;
    let message = message.clone();
    state.session.sending.in_flight = Some(id);
    Some((id, message))
}
