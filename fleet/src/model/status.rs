//! States of actions and targets, and their one spelling each.
//!
//! Owns: the names that stand in the database, in the management API and in devices' action histories.
//! Invariant: parsing a name gives back the state it was written from; an unknown name is an error, never a default.

use serde::{Deserialize, Serialize};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|one| one.as_str() == text)
                    .ok_or_else(|| UnknownName {
                        what: stringify!($name),
                        found: text.chars().take(64).collect(),
                        known: Self::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", "),
                    })
            }
        }
    };
}

/// A name that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}: use one of {known}")]
pub struct UnknownName {
    what: &'static str,
    found: String,
    known: String,
}

named! {
    /// State of an action, and kind of an entry in its history.
    Status {
        /// Installed.
        Finished = "finished",
        /// Failed.
        Error = "error",
        /// The device refused something, or used a word wrongly. Entries only.
        Warning = "warning",
        /// Going on.
        Running = "running",
        /// Cancelled, and over.
        Canceled = "canceled",
        /// To be cancelled; the device has not agreed yet.
        Canceling = "canceling",
        /// The device read the deployment, or the wish to cancel it.
        Retrieved = "retrieved",
        /// The device downloads. Entries only.
        Download = "download",
        /// The device goes on in spite of a wish to cancel. Entries only.
        CancelRejected = "cancel_rejected",
        /// Everything was downloaded.
        Downloaded = "downloaded",
        /// The device's user has to agree first.
        WaitForConfirmation = "wait_for_confirmation",
    }
}

named! {
    /// State of a target.
    TargetState {
        /// Made by an operator; the device never called.
        Unknown = "unknown",
        /// The device called; nothing was assigned.
        Registered = "registered",
        /// Something is assigned and not installed.
        Pending = "pending",
        /// What is assigned is installed.
        InSync = "in_sync",
        /// The last action failed.
        Error = "error",
    }
}

impl Status {
    /// The spelling of action histories: as in [`Status::as_str`], in capitals.
    pub fn in_capitals(self) -> String {
        self.as_str().to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, TargetState};

    #[test]
    fn names_come_back() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        for state in TargetState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert_eq!(
            Status::WaitForConfirmation.in_capitals(),
            "WAIT_FOR_CONFIRMATION"
        );
        assert_eq!(
            "done".parse::<TargetState>().unwrap_err().to_string(),
            "\"done\" is no TargetState: use one of unknown, registered, pending, in_sync, error"
        );
    }
}
