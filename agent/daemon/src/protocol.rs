//! What is said over the socket.
//!
//! Owns: requests, answers, their one-line form and its bounds. Never does: I/O of its own.
//! Invariant: a line names its version, and a line of another version is refused by both sides: program
//! and daemon come from one image, so they differ only while an update is half way.
//!
//! ```text
//!   {"v":1,"request":{"do":"install","path":"/mnt/usb/x.roam"}}      one line each way, then the next,
//!   {"v":1,"answer":{"is":"accepted"}}                               or the end
//! ```

use std::path::PathBuf;

use roamcore_engine::Status;
use roamcore_engine::history::Line;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The only version.
pub const VERSION: u32 = 1;
/// Longest request: a path and some words.
pub const MOST_REQUEST: usize = 64 * 1024;
/// Longest answer: the log at its longest.
pub const MOST_ANSWER: usize = 8 << 20;
/// More lines of the log are not asked for.
pub const MOST_LINES: usize = 2000;

/// What the command line, the health gate or a program of the image asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Are you there?
    Ping,
    /// Everything at a glance.
    Status,
    /// Poll now.
    Check,
    /// Install a file.
    Install {
        /// Absolute path of a `.roam` file.
        path: PathBuf,
    },
    /// Yes.
    Confirm,
    /// No.
    Deny,
    /// Stop it.
    Cancel,
    /// Back to the other slot.
    Rollback,
    /// Switch the server's automatic confirming.
    AutoConfirm {
        /// On or off.
        active: bool,
    },
    /// The last lines of the history.
    Log {
        /// How many.
        lines: usize,
    },
    /// The health gate has decided.
    Gate {
        /// Why not; none when the trial is healthy.
        failure: Option<String>,
    },
}

/// What the daemon says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Answer {
    /// Here.
    Pong {
        /// Turns of the engine's loop since the start.
        turns: u64,
        /// What is wrong with the settings, if something is.
        problem: Option<String>,
    },
    /// Everything at a glance.
    Status(Box<Overview>),
    /// It will be done.
    Accepted,
    /// It will not: why, and what to do.
    Refused {
        /// For people.
        reason: String,
    },
    /// It went wrong.
    Failed {
        /// For people.
        reason: String,
    },
    /// Oldest first.
    Log {
        /// Whole lines only.
        lines: Vec<Line>,
    },
}

/// The engine's status, and what only the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Version of the agent.
    pub agent: String,
    /// What is wrong with the settings; the daemon then works without a server.
    pub problem: Option<String>,
    /// The server, when there is one.
    pub server: Option<ServerStatus>,
    /// The engine.
    pub engine: Status,
}

/// The conversation with the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address.
    pub url: String,
    /// The device's name there.
    pub controller: String,
    /// Seconds since 1970 of the last good poll.
    pub answered: Option<i64>,
    /// Why the last poll failed; none when it was good.
    pub problem: Option<String>,
    /// Seconds between polls, as the server wants.
    pub interval: u64,
    /// Bytes received from it since the daemon started.
    pub received: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    v: u32,
    request: Request,
}

#[derive(Serialize, Deserialize)]
struct Response {
    v: u32,
    answer: Answer,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
}

/// A line that is refused.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Another version.
    #[error(
        "the line is of version {seen}, this program speaks {VERSION}; restart roamcore.service after an update"
    )]
    Version {
        /// What it says.
        seen: u32,
    },
    /// Not in the form above.
    #[error("the line is not in the form of version {VERSION}")]
    Form(#[source] serde_json::Error),
    /// Too long to be sent.
    #[error("the line has {size} bytes, the most is {most}")]
    Long {
        /// Bytes.
        size: usize,
        /// The bound.
        most: usize,
    },
}

impl Request {
    /// Reads a line without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse::<Question>(line).map(|question| question.request)
    }

    /// The line, newline included.
    pub fn to_line(&self) -> Result<Vec<u8>, LineError> {
        let question = Question {
            v: VERSION,
            request: self.clone(),
        };
        line(&question, MOST_REQUEST)
    }
}

impl Answer {
    /// Reads a line without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse::<Response>(line).map(|response| response.answer)
    }

    /// The line, newline included.
    pub fn to_line(&self) -> Result<Vec<u8>, LineError> {
        let response = Response {
            v: VERSION,
            answer: self.clone(),
        };
        line(&response, MOST_ANSWER)
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let head: Head = serde_json::from_slice(line).map_err(LineError::Form)?;
    if head.v != VERSION {
        return Err(LineError::Version { seen: head.v });
    }
    serde_json::from_slice(line).map_err(LineError::Form)
}

fn line<T: Serialize>(value: &T, most: usize) -> Result<Vec<u8>, LineError> {
    let mut bytes = serde_json::to_vec(value).map_err(LineError::Form)?;
    bytes.push(b'\n');
    match bytes.len() {
        size if size > most => Err(LineError::Long { size, most }),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_lines() {
        let install = Request::Install {
            path: "/mnt/usb/x.roam".into(),
        };
        let line = install.to_line().unwrap();
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            "{\"v\":1,\"request\":{\"do\":\"install\",\"path\":\"/mnt/usb/x.roam\"}}\n"
        );
        assert_eq!(Request::parse(&line).unwrap(), install);
        let line = Answer::Accepted.to_line().unwrap();
        assert_eq!(line, b"{\"v\":1,\"answer\":{\"is\":\"accepted\"}}\n");
        assert_eq!(Answer::parse(&line).unwrap(), Answer::Accepted);
    }

    #[test]
    fn refused_lines() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"v\":1}",
            "{\"v\":1,\"request\":{\"do\":\"format\"}}",
            "{\"v\":1,\"request\":{\"do\":\"install\"}}",
            "{\"v\":1,\"request\":{\"do\":\"install\",\"path\":\"/x\",\"force\":true}}",
            "{\"v\":1,\"request\":{\"do\":\"ping\"},\"more\":1}",
            "{\"v\":\"1\",\"request\":{\"do\":\"ping\"}}",
        ] {
            assert!(
                matches!(Request::parse(text.as_bytes()), Err(LineError::Form(_))),
                "{text}"
            );
        }
        let newer = b"{\"v\":2,\"question\":{}}";
        assert!(matches!(
            Request::parse(newer),
            Err(LineError::Version { seen: 2 })
        ));
        let long = Request::Gate {
            failure: Some("x".repeat(MOST_REQUEST)),
        };
        assert!(matches!(long.to_line(), Err(LineError::Long { .. })));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), name in "[a-z-]{0,8}", value in "(?s).{0,20}") {
            drop(Request::parse(&bytes));
            drop(Answer::parse(&bytes));
            let near = serde_json::json!({"v": 1, "request": {"do": name, "path": value, "lines": value.len()}});
            drop(Request::parse(near.to_string().as_bytes()));
            let near = serde_json::json!({"v": 1, "answer": {"is": name, "reason": value}});
            drop(Answer::parse(near.to_string().as_bytes()));
        }

        #[test]
        fn requests_come_back(failure in proptest::option::of("(?s).{0,40}"), path in "(?s)/.{0,40}", lines: usize) {
            for request in [Request::Gate { failure }, Request::Install { path: path.into() }, Request::Log { lines }] {
                let line = request.to_line().unwrap();
                prop_assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
                prop_assert_eq!(Request::parse(&line).unwrap(), request);
            }
        }
    }
}
