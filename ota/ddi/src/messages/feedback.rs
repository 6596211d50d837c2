//! What a device says about an action.
//!
//! Owns: the document of `POST .../deploymentBase/{id}/feedback` and `POST .../cancelAction/{id}/feedback`.
//! Invariant: `result.finished` is always there, since hawkBit refuses feedback without it.

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// hawkBit keeps 50 messages of one report and answers 429 to more.
pub const MOST_DETAILS: usize = 50;
/// hawkBit splits longer messages, in the middle of a word.
pub const LONGEST_DETAIL: usize = 512;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// When it happened, in milliseconds since 1970. Left out while the device's clock is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// What happened.
    pub status: Status,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which step.
    pub execution: Execution,
    /// How it went.
    pub result: Outcome,
    /// A number for statistics; the device's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Text for people.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub details: Vec<String>,
}

/// Which step an action is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Execution {
    /// Over, one way or the other. The only one that ends an action (but see `Downloaded`).
    Closed,
    /// Going on.
    Proceeding,
    /// Legacy: it does not accept a cancellation, `Closed` does.
    Canceled,
    /// Will be done later.
    Scheduled,
    /// Not wanted. On a deployment the action stays open.
    Rejected,
    /// Going on again.
    Resumed,
    /// Downloading.
    Download,
    /// Everything is downloaded; ends an action that is download-only.
    Downloaded,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict.
    pub finished: Finished,
    /// How far; accepted by hawkBit, and not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finished {
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// None yet. With `Closed`, hawkBit takes it as success.
    None,
}

/// Steps done out of all steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Done.
    pub cnt: u64,
    /// All, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

impl Feedback {
    /// A report without time, number or text.
    pub fn new(execution: Execution, finished: Finished) -> Self {
        Self {
            timestamp: None,
            status: Status {
                execution,
                result: Outcome {
                    finished,
                    progress: None,
                },
                code: None,
                details: Vec::new(),
            },
        }
    }

    /// Adds text, cut into pieces and to a number that the server keeps, and without what it refuses: hawkBit answers 400
    /// to a report in which it sees markup, and every kernel's stack dump has `<TASK>`.
    pub fn detail(mut self, text: &str) -> Self {
        let printable: Vec<char> = text
            .chars()
            .map(|c| match c {
                '<' => '\u{2039}',
                '>' => '\u{203a}',
                c if c.is_control() && c != '\n' => ' ',
                c => c,
            })
            .collect();
        for piece in printable.chunks(LONGEST_DETAIL) {
            if self.status.details.len() < MOST_DETAILS {
                self.status.details.push(piece.iter().collect());
            }
        }
        self
    }

    /// Adds the number.
    pub fn code(mut self, code: i32) -> Self {
        self.status.code = Some(code);
        self
    }

    /// Adds the time.
    pub fn at(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Adds how far it is.
    pub fn progress(mut self, cnt: u64, of: u64) -> Self {
        self.status.result.progress = Some(Progress { cnt, of: Some(of) });
        self
    }
}
