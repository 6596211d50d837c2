//! What can go wrong in an exchange, and what to do then.
//!
//! Owns: the error type and the rules of hawkBit's status codes. Never does: show a secret: addresses
//! lose user information, query and fragment before they get in here.
//! Invariant: every error has exactly one [`Advice`].

use std::io;
use std::time::Duration;

use crate::messages::{LinkError, MessageError, ServerError};

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The network, or a server in trouble: try again later, each time later.
    Backoff,
    /// Somebody else changed the same thing: again in a moment, a few times.
    Conflict,
    /// Not believed: wait for the poll interval, an operator has to act.
    Credentials,
    /// The action is closed: forget it.
    Gone,
    /// The server has another idea of what goes on: poll and see.
    Resync,
    /// The same request will always fail: drop it.
    Never,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum SetupError {
    #[error("server address {url:?} is refused: {rule}")]
    Server { url: String, rule: &'static str },
    #[error(
        "{what} {value:?} is refused: use 1 to 256 visible ASCII characters, not \".\" or \"..\""
    )]
    Name { what: &'static str, value: String },
    #[error("{what} cannot be used: {why}")]
    Certificates { what: &'static str, why: String },
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum ClientError {
    #[error("{url} cannot be reached{hint}")]
    Network {
        url: String,
        hint: &'static str,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} gave no complete answer within {} s; the connection is too slow, or the server hangs", after.as_secs_f32())]
    Late { url: String, after: Duration },
    #[error("{url} sent nothing for {} s", after.as_secs_f32())]
    Idle { url: String, after: Duration },
    #[error("{url} sent only {bytes} bytes in {} s", window.as_secs_f32())]
    Slow {
        url: String,
        bytes: u64,
        window: Duration,
    },
    #[error("{url} answered {status}{}", explain(*status, *own, error))]
    Status {
        url: String,
        status: u16,
        /// False when the address is not the server's own, so that no credentials were sent.
        own: bool,
        error: ServerError,
        retry_after: Option<Duration>,
    },
    #[error("{url} redirects to {to}, which is refused: {rule}")]
    Redirect {
        url: String,
        to: String,
        rule: &'static str,
    },
    #[error("{url} answered with a document that is refused")]
    Document {
        url: String,
        #[source]
        source: MessageError,
    },
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the link {href:?} of {name} is refused: {rule}")]
    Address {
        name: String,
        href: String,
        rule: &'static str,
    },
    #[error(
        "{url} is refused: {why}; the file on the server is not the signed one, or a proxy changes it"
    )]
    NotTheFile { url: String, why: String },
    #[error("{url} has changed since its download began")]
    Changed { url: String },
    #[error("{url} ended after {delivered} of {wanted} bytes")]
    Truncated {
        url: String,
        delivered: u64,
        wanted: u64,
    },
    #[error(
        "{url} ignores ranges, and {start} bytes would have to be thrown away, more than {limit}; a proxy in between \
         takes the Range header away"
    )]
    NoRanges { url: String, start: u64, limit: u64 },
    #[error("what {url} sent could not be taken")]
    Sink {
        url: String,
        #[source]
        source: io::Error,
    },
}

impl ClientError {
    /// What to do now.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Network { .. }
            | Self::Late { .. }
            | Self::Idle { .. }
            | Self::Slow { .. }
            | Self::Truncated { .. }
            | Self::Document { .. }
            | Self::Link(_)
            | Self::Redirect { .. } => Advice::Backoff,
            Self::Changed { .. } => Advice::Resync,
            Self::Address { .. }
            | Self::NotTheFile { .. }
            | Self::NoRanges { .. }
            | Self::Sink { .. } => Advice::Never,
            Self::Status { status, error, .. } => of_status(*status, error),
        }
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The status code, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn of_status(status: u16, error: &ServerError) -> Advice {
    match status {
        401 | 403 | 407 => Advice::Credentials,
        404 | 412 | 416 => Advice::Resync,
        409 => Advice::Conflict,
        410 => Advice::Gone,
        // A quota stays used up; the limit per second does not.
        429 if error.is_quota() => Advice::Never,
        408 | 423 | 425 | 429 | 500..=599 => Advice::Backoff,
        _ => Advice::Never,
    }
}

fn explain(status: u16, own: bool, error: &ServerError) -> String {
    let meaning = match status {
        401 if !own => {
            "no credentials were sent, because the link is not to the configured server; where it should be, check how \
             the server makes its links (hawkBit: server.forward-headers-strategy)"
        }
        401 => {
            "the token or certificate is not accepted; check it, and that the server has this kind of authentication \
             switched on and knows the device"
        }
        403 => "refused to this device or address",
        404 => "no such thing for this device now; the next poll will tell",
        409 => "somebody changed the same action at the same time",
        410 => "the action is closed",
        423 => "locked",
        429 if error.is_quota() => "a quota of the server is used up",
        429 => "too many requests from this address",
        500..=599 => "the server is in trouble",
        _ => "",
    };
    let said = error.message.as_deref().or(error.error_code.as_deref());
    let excerpt: String = said
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    match (meaning, excerpt.as_str()) {
        ("", "") => String::new(),
        (meaning, "") => format!(": {meaning}"),
        ("", said) => format!(": it says {said:?}"),
        (meaning, said) => format!(": {meaning}; it says {said:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::QUOTA_ENTRIES;

    #[test]
    fn every_status_has_its_rule() {
        let quota = ServerError {
            error_code: Some(QUOTA_ENTRIES.to_owned()),
            ..ServerError::default()
        };
        let other = ServerError {
            error_code: Some("hawkbit.server.error.other".to_owned()),
            ..ServerError::default()
        };
        let table = [
            (400, Advice::Never),
            (401, Advice::Credentials),
            (403, Advice::Credentials),
            (404, Advice::Resync),
            (405, Advice::Never),
            (406, Advice::Never),
            (408, Advice::Backoff),
            (409, Advice::Conflict),
            (410, Advice::Gone),
            (412, Advice::Resync),
            (415, Advice::Never),
            (416, Advice::Resync),
            (423, Advice::Backoff),
            (429, Advice::Backoff),
            (500, Advice::Backoff),
            (503, Advice::Backoff),
            (599, Advice::Backoff),
            (299, Advice::Never),
        ];
        for (status, advice) in table {
            assert_eq!(
                of_status(status, &ServerError::default()),
                advice,
                "{status}"
            );
            assert_eq!(of_status(status, &other), advice, "{status}");
        }
        assert_eq!(of_status(429, &quota), Advice::Never);
    }

    #[test]
    fn messages_say_what_to_do() {
        let status = |status, own| ClientError::Status {
            url: "http://h/x".into(),
            status,
            own,
            error: ServerError {
                message: Some("no\u{1b}[2J".into()),
                ..ServerError::default()
            },
            retry_after: None,
        };
        assert_eq!(
            status(410, true).to_string(),
            "http://h/x answered 410: the action is closed; it says \"no[2J\""
        );
        assert!(
            status(401, false)
                .to_string()
                .contains("forward-headers-strategy")
        );
        assert!(status(401, true).to_string().contains("switched on"));
    }
}
