//! What a device's feedback means.
//!
//! Owns: hawkBit's tables of executions, for deployments and for cancellations, and its texts. Pure: gives an entry for
//! the history and what is to happen, and does neither.
//!
//! On a cancellation the word `canceled` does not cancel: hawkBit notes a warning; `closed` accepts it.

use roamcore_ddi::messages::{Execution, Feedback, Finished};

use super::status::Status;
use super::{Millis, text};

/// What the server itself adds starts with this; it is left out of devices' action histories.
pub const SERVER_PREFIX: &str = "Update Server: ";

/// A line of an action's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of which kind.
    pub status: Status,
    /// The device's number.
    pub code: Option<i32>,
    /// When, by the clock of who reports.
    pub at: Millis,
    /// Texts, in pieces that are kept.
    pub messages: Vec<String>,
}

impl Entry {
    /// Made by the server.
    pub fn of_server(status: Status, at: Millis, text: &str) -> Self {
        Entry {
            status,
            code: None,
            at,
            messages: vec![format!("{SERVER_PREFIX}{text}")],
        }
    }

    /// True when the quota of entries applies: everything that does not end the action.
    pub fn counts(&self) -> bool {
        !matches!(self.status, Status::Finished | Status::Error)
    }
}

/// What follows from feedback about a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing but the entry.
    Noted,
    /// Installed.
    Finished,
    /// Failed.
    Failed,
    /// Downloaded, which ends an action that is download-only.
    Downloaded,
}

/// What follows from feedback about a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelEffect {
    /// Nothing but the entry, which counts against the quota.
    Noted,
    /// The action is over.
    Accepted,
    /// The action goes on.
    Refused,
}

/// Feedback about a deployment.
pub fn about_deployment(feedback: &Feedback, now: Millis) -> (Entry, Effect) {
    let failed = feedback.status.result.finished == Finished::Failure;
    let (status, effect, text) = match feedback.status.execution {
        Execution::Closed if failed => (
            Status::Error,
            Effect::Failed,
            "Target reported CLOSED with ERROR!",
        ),
        Execution::Closed => (
            Status::Finished,
            Effect::Finished,
            "Target reported CLOSED with OK!",
        ),
        Execution::Download => (
            Status::Download,
            Effect::Noted,
            "Target confirmed download start",
        ),
        Execution::Downloaded => (
            Status::Downloaded,
            Effect::Downloaded,
            "Target confirmed download finished",
        ),
        Execution::Rejected => (Status::Warning, Effect::Noted, "Target REJECTED update"),
        Execution::Canceled => (
            Status::Canceled,
            Effect::Noted,
            "Target confirmed cancellation.",
        ),
        Execution::Proceeding => (Status::Running, Effect::Noted, "Target reported PROCEEDING"),
        Execution::Scheduled => (Status::Running, Effect::Noted, "Target reported SCHEDULED"),
        Execution::Resumed => (Status::Running, Effect::Noted, "Target reported RESUMED"),
    };
    let mut texts = reported(feedback);
    if texts.is_empty() {
        texts.push(format!("{SERVER_PREFIX}{text}."));
    }
    (entry(feedback, status, texts, now), effect)
}

/// Feedback about a cancellation.
pub fn about_cancellation(feedback: &Feedback, now: Millis) -> (Entry, CancelEffect) {
    let failed = feedback.status.result.finished == Finished::Failure;
    let (status, effect, text) = match feedback.status.execution {
        Execution::Closed if failed => (
            Status::Error,
            CancelEffect::Refused,
            Some("Target was not able to complete cancellation."),
        ),
        Execution::Closed => (
            Status::Canceled,
            CancelEffect::Accepted,
            Some("Cancellation confirmed."),
        ),
        Execution::Rejected => (
            Status::CancelRejected,
            CancelEffect::Refused,
            Some("Target rejected the cancellation request."),
        ),
        Execution::Canceled => (
            Status::Warning,
            CancelEffect::Noted,
            Some("Target reported cancel for a cancel which is not supported by the server."),
        ),
        _ => (Status::Running, CancelEffect::Noted, None),
    };
    let mut texts: Vec<String> = text
        .iter()
        .map(|text| format!("{SERVER_PREFIX}{text}"))
        .collect();
    texts.extend(reported(feedback));
    if effect == CancelEffect::Accepted {
        texts.push(format!(
            "{SERVER_PREFIX}Cancellation completion is finished successfully."
        ));
    }
    (entry(feedback, status, texts, now), effect)
}

fn reported(feedback: &Feedback) -> Vec<String> {
    let code = feedback
        .status
        .code
        .map(|code| format!("Device reported status code: {code}"));
    feedback
        .status
        .details
        .iter()
        .cloned()
        .chain(code)
        .collect()
}

fn entry(feedback: &Feedback, status: Status, texts: Vec<String>, now: Millis) -> Entry {
    Entry {
        status,
        code: feedback.status.code,
        at: feedback.timestamp.unwrap_or(now),
        messages: texts.iter().flat_map(|one| text::pieces(one)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_deployments() {
        use Execution::*;
        let cases = [
            (
                Closed,
                Finished::Success,
                Status::Finished,
                Effect::Finished,
            ),
            (Closed, Finished::None, Status::Finished, Effect::Finished),
            (Closed, Finished::Failure, Status::Error, Effect::Failed),
            (Download, Finished::None, Status::Download, Effect::Noted),
            (
                Downloaded,
                Finished::None,
                Status::Downloaded,
                Effect::Downloaded,
            ),
            (Proceeding, Finished::None, Status::Running, Effect::Noted),
            (
                Proceeding,
                Finished::Success,
                Status::Running,
                Effect::Noted,
            ),
            (Scheduled, Finished::None, Status::Running, Effect::Noted),
            (Resumed, Finished::None, Status::Running, Effect::Noted),
            (Rejected, Finished::Failure, Status::Warning, Effect::Noted),
            (Canceled, Finished::Success, Status::Canceled, Effect::Noted),
        ];
        for (execution, finished, status, effect) in cases {
            let (entry, found) = about_deployment(&Feedback::new(execution, finished), 7);
            assert_eq!(
                (entry.status, found, entry.at),
                (status, effect, 7),
                "{execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn the_table_of_cancellations() {
        use Execution::*;
        let cases = [
            (
                Closed,
                Finished::Success,
                Status::Canceled,
                CancelEffect::Accepted,
            ),
            (
                Closed,
                Finished::None,
                Status::Canceled,
                CancelEffect::Accepted,
            ),
            (
                Closed,
                Finished::Failure,
                Status::Error,
                CancelEffect::Refused,
            ),
            (
                Rejected,
                Finished::None,
                Status::CancelRejected,
                CancelEffect::Refused,
            ),
            (
                Canceled,
                Finished::Success,
                Status::Warning,
                CancelEffect::Noted,
            ),
            (
                Proceeding,
                Finished::None,
                Status::Running,
                CancelEffect::Noted,
            ),
            (
                Download,
                Finished::None,
                Status::Running,
                CancelEffect::Noted,
            ),
        ];
        for (execution, finished, status, effect) in cases {
            let (entry, found) = about_cancellation(&Feedback::new(execution, finished), 0);
            assert_eq!(
                (entry.status, found),
                (status, effect),
                "{execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn texts_are_those_of_hawkbit() {
        let plain = |execution| {
            about_deployment(&Feedback::new(execution, Finished::None), 0)
                .0
                .messages
        };
        assert_eq!(
            plain(Execution::Proceeding),
            ["Update Server: Target reported PROCEEDING."]
        );
        assert_eq!(
            plain(Execution::Closed),
            ["Update Server: Target reported CLOSED with OK!."]
        );
        let told = Feedback::new(Execution::Closed, Finished::Failure)
            .detail("boom")
            .code(-5)
            .at(3);
        let (entry, _) = about_deployment(&told, 9);
        assert_eq!((entry.at, entry.code), (3, Some(-5)));
        assert_eq!(entry.messages, ["boom", "Device reported status code: -5"]);
        let bye = Feedback::new(Execution::Closed, Finished::None).detail("bye");
        assert_eq!(
            about_cancellation(&bye, 0).0.messages,
            [
                "Update Server: Cancellation confirmed.",
                "bye",
                "Update Server: Cancellation completion is finished successfully."
            ]
        );
    }
}
