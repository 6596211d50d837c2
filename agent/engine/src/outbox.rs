//! What the server still has to be told.
//!
//! Owns: the durable queue, the bounds on what is said. Never does: send, decide what to say. Invariants: a final answer
//! leaves the queue only when the server took it or says that the action is closed; messages about one action go out in
//! the order in which they were made.

use serde::{Deserialize, Serialize};

use crate::facts::Release;
use crate::offer::ActionId;

/// hawkBit: `maxMessagesPerActionStatus`.
const MOST_DETAILS: usize = 50;
/// hawkBit splits what is longer, which would break the limit above.
const LONGEST_DETAIL: usize = 512;
/// Of one message, so that the record stays within its fixed size on disk.
const MOST_BYTES: usize = 16 * 1024;

/// A message of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Message {
    /// The end of an action: `closed` with success or failure.
    Final {
        /// Whose.
        action: ActionId,
        /// Which.
        success: bool,
        /// What a success made run; for us, to know what the server believes once it has heard of it.
        runs: Option<Release>,
        /// Class of the failure, 0 for none.
        code: i32,
        /// For people.
        details: Vec<String>,
    },
    /// Everything is in the idle slot: `downloaded`.
    Downloaded {
        /// Whose.
        action: ActionId,
        /// For people.
        details: Vec<String>,
    },
    /// Under way: `proceeding`. Never durable.
    Progress {
        /// Whose.
        action: ActionId,
        /// Percent.
        percent: u8,
        /// For people.
        details: Vec<String>,
    },
    /// The answer to a cancel, on the cancel action: accepted is `closed`/success, else `rejected`.
    Cancel {
        /// Whose.
        action: ActionId,
        /// Which.
        accepted: bool,
        /// For people.
        details: Vec<String>,
    },
    /// The answer to confirmationBase.
    Confirmation {
        /// Whose.
        action: ActionId,
        /// Which.
        confirmed: bool,
        /// For people.
        details: Vec<String>,
    },
    /// Corrects what the server believes runs here: PUT installedBase.
    Installed {
        /// What runs.
        release: Release,
    },
    /// Switches the server's own confirming for this device on or off.
    AutoConfirm {
        /// Which.
        active: bool,
    },
}

impl Message {
    /// The action it is about.
    pub fn action(&self) -> Option<&ActionId> {
        match self {
            Self::Final { action, .. }
            | Self::Downloaded { action, .. }
            | Self::Progress { action, .. }
            | Self::Cancel { action, .. }
            | Self::Confirmation { action, .. } => Some(action),
            Self::Installed { .. } | Self::AutoConfirm { .. } => None,
        }
    }

    fn details_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Self::Final { details, .. }
            | Self::Downloaded { details, .. }
            | Self::Progress { details, .. }
            | Self::Cancel { details, .. }
            | Self::Confirmation { details, .. } => Some(details),
            Self::Installed { .. } | Self::AutoConfirm { .. } => None,
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Taken (2xx).
    Taken,
    /// The server knows no such open action (404, 405, 410): there is nobody to tell any more.
    Gone,
    /// The server will never take this text (400, 413).
    Malformed,
    /// The action's quota is used up (429 with a body).
    Quota,
    /// Anything that may pass: no network, 5xx, 401, 409, 429 without a body.
    Retry,
}

/// By which a delivery is matched with its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MessageId {
    /// In the queue.
    Durable(u64),
    /// A progress report, by its number in this session.
    Volatile(u64),
}

/// One place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Number.
    pub id: u64,
    /// Text.
    pub message: Message,
    /// What is left of the details, because the server would not have them.
    pub text: Text,
}

/// How much of a message's details is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// All.
    #[default]
    Whole,
    /// The first line, which says what happened in our own words.
    FirstLine,
    /// None.
    None,
}

/// The queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    next: u64,
    queue: Vec<Queued>,
}

impl Outbox {
    /// No new job is begun while so many messages wait: the record has a fixed size, and a server that takes no answers
    /// should not give orders.
    pub const FULL: usize = 6;

    /// Adds a message with its details bounded.
    pub fn push(&mut self, mut message: Message) {
        if let Some(details) = message.details_mut() {
            *details = bounded(details);
        }
        // Of these only the last one counts.
        self.queue.retain(|old| {
            std::mem::discriminant(&old.message) != std::mem::discriminant(&message)
                || message.action().is_some() && old.message.action() != message.action()
        });
        self.queue.push(Queued {
            id: self.next,
            message,
            text: Text::Whole,
        });
        self.next += 1;
    }

    /// Removes one.
    pub fn remove(&mut self, id: u64) -> Option<Message> {
        let at = self.queue.iter().position(|queued| queued.id == id)?;
        Some(self.queue.remove(at).message)
    }

    /// One by its number.
    pub fn get(&self, id: u64) -> Option<&Queued> {
        self.queue.iter().find(|queued| queued.id == id)
    }

    /// Takes details out: all but the first line, then that too; false when nothing is left to take.
    pub fn strip(&mut self, id: u64) -> bool {
        let found = self
            .queue
            .iter_mut()
            .find(|queued| queued.id == id && queued.text != Text::None);
        let Some(queued) = found else { return false };
        queued.text = match queued.text {
            Text::Whole => Text::FirstLine,
            Text::FirstLine | Text::None => Text::None,
        };
        if let Some(details) = queued.message.details_mut() {
            details.truncate(usize::from(queued.text == Text::FirstLine));
            details.push("(the server refused the details of this message)".to_owned());
        }
        true
    }

    /// Messages that may be sent now: none before an earlier one about the same action.
    pub fn sendable(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter().enumerate().filter_map(|(at, queued)| {
            let action = queued.message.action();
            let behind = self
                .queue
                .iter()
                .take(at)
                .any(|earlier| action.is_some() && earlier.message.action() == action);
            (!behind).then_some(queued)
        })
    }

    /// Whether something about an action waits; what the server shows of it is out of date then.
    pub fn speaks_of(&self, action: &ActionId) -> bool {
        self.queue
            .iter()
            .any(|queued| queued.message.action() == Some(action))
    }

    /// Whether a correction of installedBase waits, and for what.
    pub fn correction(&self) -> Option<&Release> {
        self.queue.iter().find_map(|queued| match &queued.message {
            Message::Installed { release } => Some(release),
            _ => None,
        })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Cuts details to what a server takes: at most 50 of 512 characters each, without control characters. The first line
/// says what happened, the last ones of a journal say why, so the middle is left out.
pub fn bounded(details: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for detail in details {
        let clean: Vec<char> = detail
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        lines.extend(
            clean
                .chunks(LONGEST_DETAIL)
                .map(|chunk| chunk.iter().collect::<String>()),
        );
    }
    let total: usize = lines.iter().map(String::len).sum();
    if lines.len() <= MOST_DETAILS && total <= MOST_BYTES {
        return lines;
    }
    let Some((first, rest)) = lines.split_first() else {
        return lines;
    };
    let mut bytes = first.len();
    let mut kept: Vec<String> = rest
        .iter()
        .rev()
        .take(MOST_DETAILS - 2)
        .take_while(|line| {
            bytes += line.len();
            bytes <= MOST_BYTES
        })
        .cloned()
        .collect();
    kept.reverse();
    let left_out = rest.len() - kept.len();
    let note = format!("({left_out} lines left out)");
    [first.clone(), note].into_iter().chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn action(id: &str) -> ActionId {
        ActionId(id.into())
    }

    fn ending(id: &str) -> Message {
        Message::Final {
            action: action(id),
            success: true,
            runs: None,
            code: 0,
            details: vec![],
        }
    }

    fn downloaded(id: &str) -> Message {
        Message::Downloaded {
            action: action(id),
            details: vec![],
        }
    }

    #[test]
    fn one_action_is_told_in_order_and_others_do_not_wait_for_it() {
        let mut outbox = Outbox::default();
        for message in [
            downloaded("1"),
            ending("1"),
            ending("2"),
            Message::AutoConfirm { active: true },
        ] {
            outbox.push(message);
        }
        let sendable = |outbox: &Outbox| {
            outbox
                .sendable()
                .map(|queued| queued.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(sendable(&outbox), [0, 2, 3]);
        assert_eq!(outbox.remove(0), Some(downloaded("1")));
        assert_eq!(sendable(&outbox), [1, 2, 3]);
        assert!(outbox.speaks_of(&action("1")) && !outbox.speaks_of(&action("3")));
    }

    #[test]
    fn the_same_thing_is_said_once() {
        let mut outbox = Outbox::default();
        outbox.push(ending("1"));
        outbox.push(ending("1"));
        outbox.push(ending("2"));
        outbox.push(Message::AutoConfirm { active: true });
        outbox.push(Message::AutoConfirm { active: false });
        assert_eq!(outbox.len(), 3);
        assert!(
            outbox
                .get(4)
                .is_some_and(|queued| queued.message == Message::AutoConfirm { active: false })
        );
    }

    #[test]
    fn details_are_stripped_from_their_end() {
        let mut outbox = Outbox::default();
        outbox.push(Message::Downloaded {
            action: action("1"),
            details: vec!["why".into(), "line".into(), "line".into()],
        });
        let left = |outbox: &Outbox| {
            let mut queued = outbox.get(0).unwrap().clone();
            queued.message.details_mut().unwrap().clone()
        };
        assert!(outbox.strip(0));
        assert_eq!(left(&outbox).len(), 2);
        assert_eq!(left(&outbox)[0], "why");
        assert!(outbox.strip(0));
        assert_eq!(left(&outbox).len(), 1);
        assert_ne!(left(&outbox)[0], "why");
        assert!(!outbox.strip(0));
        assert!(!outbox.strip(1));
    }

    #[test]
    fn the_first_line_and_the_end_survive() {
        let lines: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
        let kept = bounded(&lines);
        assert_eq!(kept.len(), 50);
        assert_eq!(kept[0], "line 0");
        assert_eq!(kept[1], "(451 lines left out)");
        assert_eq!(kept[49], "line 499");
    }

    proptest! {
        #[test]
        fn nothing_is_beyond_the_bounds(lines in proptest::collection::vec("(?s).{0,2000}", 0..80)) {
            let kept = bounded(&lines);
            prop_assert!(kept.len() <= MOST_DETAILS);
            prop_assert!(kept.iter().all(|line| line.chars().count() <= LONGEST_DETAIL));
            prop_assert!(kept.iter().all(|line| !line.chars().any(char::is_control)));
            // The first line and the note come on top.
            prop_assert!(kept.iter().map(String::len).sum::<usize>() <= MOST_BYTES + 64 + 4 * LONGEST_DETAIL);
        }
    }
}
