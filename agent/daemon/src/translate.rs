//! Between DDI and the engine's own words.
//!
//! Owns: which document becomes which view, and which message becomes which call. Never does: I/O.

use roamcore_ddi::client::{Advice, Channel, ClientError};
use roamcore_ddi::messages as ddi;
use roamcore_engine::{self as engine, Delivery, Message, Trouble};

/// A deployment, or one that waits for a confirmation.
pub fn deployment(action: &ddi::ActionId, from: &ddi::Deployment) -> engine::Deployment {
    engine::Deployment {
        action: engine::ActionId(action.to_string()),
        mode: engine::Mode {
            download: handling(from.download),
            update: handling(from.update),
            window: match from.maintenance_window {
                None => engine::Window::None,
                Some(ddi::Window::Available) => engine::Window::Available,
                Some(ddi::Window::Unavailable) => engine::Window::Unavailable,
            },
        },
        modules: from.chunks.iter().map(module).collect(),
    }
}

fn handling(from: ddi::Handling) -> engine::Handling {
    match from {
        ddi::Handling::Skip => engine::Handling::Skip,
        ddi::Handling::Attempt => engine::Handling::Attempt,
        ddi::Handling::Forced => engine::Handling::Forced,
    }
}

fn module(from: &ddi::Chunk) -> engine::Module {
    let artifact = |from: &ddi::Artifact| engine::Artifact {
        name: from.filename.clone(),
        size: from.size,
        sha256: from.hashes.sha256.clone(),
    };
    engine::Module {
        part: from.part.clone(),
        name: from.name.clone(),
        version: from.version.clone(),
        encrypted: from.encrypted.unwrap_or(false),
        artifacts: from.artifacts.iter().map(artifact).collect(),
    }
}

/// A call to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Feedback.
    Report(Channel, ddi::ActionId, ddi::Feedback),
    /// The user's word.
    Confirm(ddi::ActionId, ddi::ConfirmationFeedback),
    /// What runs.
    Installed(ddi::InstalledBase),
    /// Automatic confirming on or off.
    AutoConfirm(bool),
}

/// The call that a message is; none when its action's name cannot be one of this server.
pub fn call(message: &Message, unix: Option<i64>) -> Option<Call> {
    use ddi::{Execution, Finished};
    let id = |action: &engine::ActionId| action.0.parse::<ddi::ActionId>().ok();
    let report = |action, channel, execution, finished, details: &[String]| {
        let mut feedback = details
            .iter()
            .fold(ddi::Feedback::new(execution, finished), |feedback, text| {
                feedback.detail(text)
            });
        feedback.timestamp = unix.and_then(|seconds| seconds.checked_mul(1000));
        Some((channel, id(action)?, feedback))
    };
    let (channel, action, feedback) = match message {
        Message::Final {
            action,
            success,
            code,
            details,
            ..
        } => {
            let finished = if *success {
                Finished::Success
            } else {
                Finished::Failure
            };
            let (channel, action, feedback) = report(
                action,
                Channel::Deployment,
                Execution::Closed,
                finished,
                details,
            )?;
            // Zero is "no class", and hawkBit shows what it gets.
            let coded = if *code == 0 {
                feedback
            } else {
                feedback.code(*code)
            };
            (channel, action, coded)
        }
        Message::Downloaded { action, details } => report(
            action,
            Channel::Deployment,
            Execution::Downloaded,
            Finished::None,
            details,
        )?,
        Message::Progress {
            action,
            percent,
            details,
        } => {
            let (channel, action, feedback) = report(
                action,
                Channel::Deployment,
                Execution::Proceeding,
                Finished::None,
                details,
            )?;
            (channel, action, feedback.progress((*percent).into(), 100))
        }
        Message::Cancel {
            action,
            accepted,
            details,
        } => {
            // `canceled` would not accept anything: only `closed` does.
            let (execution, finished) = match accepted {
                true => (Execution::Closed, Finished::Success),
                false => (Execution::Rejected, Finished::None),
            };
            report(action, Channel::Cancellation, execution, finished, details)?
        }
        Message::Confirmation {
            action,
            confirmed,
            details,
        } => {
            let confirmation = if *confirmed {
                ddi::Decision::Confirmed
            } else {
                ddi::Decision::Denied
            };
            let feedback = ddi::ConfirmationFeedback {
                confirmation,
                code: None,
                details: details.clone(),
            };
            return Some(Call::Confirm(id(action)?, feedback));
        }
        Message::Installed { release } => {
            return Some(Call::Installed(ddi::InstalledBase {
                name: release.product.to_string(),
                version: release.version.to_string(),
            }));
        }
        Message::AutoConfirm { active } => return Some(Call::AutoConfirm(*active)),
    };
    Some(Call::Report(channel, action, feedback))
}

/// What became of a message.
pub fn delivery(call: &Call, result: &Result<(), ClientError>) -> Delivery {
    let Err(error) = result else {
        return Delivery::Taken;
    };
    match (error.status(), error.advice()) {
        // It was switched on already, and no other conflict is known for this call.
        (Some(409), _) if *call == Call::AutoConfirm(true) => Delivery::Taken,
        (Some(404 | 405 | 410), _) => Delivery::Gone,
        (Some(400 | 413), _) => Delivery::Malformed,
        (Some(429), Advice::Never) => Delivery::Quota,
        _ => Delivery::Retry,
    }
}

/// What a failed download means for the work that needs it.
pub fn trouble(error: &ClientError) -> Trouble {
    match error {
        // Somebody answers, but it is not what we asked for: a login page, an operator's mistake.
        ClientError::Document { .. }
        | ClientError::Link(_)
        | ClientError::Redirect { .. }
        | ClientError::NotTheFile { .. }
        | ClientError::NoRanges { .. }
        | ClientError::Address { .. }
        | ClientError::Sink { .. }
        | ClientError::Changed { .. } => Trouble::Passing,
        ClientError::Network { .. }
        | ClientError::Late { .. }
        | ClientError::Idle { .. }
        | ClientError::Slow { .. }
        | ClientError::Truncated { .. } => Trouble::Offline,
        ClientError::Status { .. } => match error.advice() {
            Advice::Backoff | Advice::Conflict => Trouble::Offline,
            Advice::Credentials | Advice::Gone | Advice::Resync | Advice::Never => Trouble::Passing,
        },
    }
}

/// True when the links of the deployment may be old: read it again, also when the poll has not changed.
pub fn links_may_be_old(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Status { .. }
            | ClientError::NotTheFile { .. }
            | ClientError::Changed { .. }
            | ClientError::Redirect { .. }
    ) && error.advice() != Advice::Backoff
}

#[cfg(test)]
mod tests {
    use super::*;
    use roamcore_ddi::messages::{Execution, Finished, QUOTA_ENTRIES, ServerError};
    use roamcore_engine::ActionId;

    fn status(status: u16, quota: bool) -> Result<(), ClientError> {
        Err(ClientError::Status {
            url: String::new(),
            status,
            own: true,
            error: ServerError {
                error_code: quota.then(|| QUOTA_ENTRIES.to_owned()),
                ..ServerError::default()
            },
            retry_after: None,
        })
    }

    #[test]
    fn deliveries() {
        let report = call(&ending("5"), None).unwrap();
        let auto = Call::AutoConfirm(true);
        let table = [
            (&report, Ok(()), Delivery::Taken),
            (&report, status(404, false), Delivery::Gone),
            (&report, status(405, false), Delivery::Gone),
            (&report, status(410, false), Delivery::Gone),
            (&report, status(400, false), Delivery::Malformed),
            (&report, status(413, false), Delivery::Malformed),
            (&report, status(429, true), Delivery::Quota),
            (&report, status(429, false), Delivery::Retry),
            (&report, status(409, false), Delivery::Retry),
            (&report, status(401, false), Delivery::Retry),
            (&report, status(500, false), Delivery::Retry),
            (&auto, status(409, false), Delivery::Taken),
            (
                &Call::AutoConfirm(false),
                status(409, false),
                Delivery::Retry,
            ),
        ];
        for (call, result, want) in table {
            assert_eq!(delivery(call, &result), want, "{call:?} {result:?}");
        }
    }

    fn ending(id: &str) -> Message {
        Message::Final {
            action: ActionId(id.into()),
            success: false,
            runs: None,
            code: 12,
            details: vec!["no\nway".into()],
        }
    }

    #[test]
    fn messages() {
        let Some(Call::Report(Channel::Deployment, id, feedback)) = call(&ending("5"), Some(2))
        else {
            panic!()
        };
        assert_eq!((id, feedback.timestamp), (5.into(), Some(2000)));
        assert_eq!(feedback.status.execution, Execution::Closed);
        assert_eq!(feedback.status.result.finished, Finished::Failure);
        assert_eq!(
            (feedback.status.code, feedback.status.details),
            (Some(12), vec!["no\nway".to_owned()])
        );
        assert_eq!(call(&ending("../5"), None), None);

        let action = ActionId("7".into());
        let cancel = |accepted| Message::Cancel {
            action: action.clone(),
            accepted,
            details: vec![],
        };
        for (accepted, execution, finished) in [
            (true, Execution::Closed, Finished::Success),
            (false, Execution::Rejected, Finished::None),
        ] {
            let Some(Call::Report(Channel::Cancellation, _, feedback)) =
                call(&cancel(accepted), None)
            else {
                panic!()
            };
            assert_eq!(
                (feedback.status.execution, feedback.status.result.finished),
                (execution, finished)
            );
        }
        let progress = Message::Progress {
            action,
            percent: 40,
            details: vec![],
        };
        let Some(Call::Report(_, _, feedback)) = call(&progress, None) else {
            panic!()
        };
        let progress = feedback.status.result.progress.unwrap();
        assert_eq!((progress.cnt, progress.of), (40, Some(100)));
    }

    #[test]
    fn troubles() {
        for (code, want, old) in [
            (401, Trouble::Passing, true),
            (403, Trouble::Passing, true),
            (404, Trouble::Passing, true),
            (410, Trouble::Passing, true),
            (416, Trouble::Passing, true),
            (423, Trouble::Offline, false),
            (429, Trouble::Offline, false),
            (502, Trouble::Offline, false),
        ] {
            let error = status(code, false).unwrap_err();
            assert_eq!(
                (trouble(&error), links_may_be_old(&error)),
                (want, old),
                "{code}"
            );
        }
        let late = ClientError::Late {
            url: String::new(),
            after: std::time::Duration::ZERO,
        };
        assert_eq!(
            (trouble(&late), links_may_be_old(&late)),
            (Trouble::Offline, false)
        );
    }
}
