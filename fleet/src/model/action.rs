//! One action: a release that one target is to take.
//!
//! Owns: what a device is told about it at a given time. Invariant: [`Action::checksum`] changes whenever
//! [`Action::handling`] does, so that a device reads the deployment again.

use roamcore_ddi::messages::{Handling, Window as WindowWord};
use serde::{Deserialize, Serialize};

use super::Millis;
use super::status::Status;
use super::window::{Window, WindowState};

/// hawkBit's bounds.
pub const HIGHEST_WEIGHT: u16 = 1000;

/// How much hurry there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Kind {
    /// At once.
    Forced,
    /// When it suits.
    Soft,
    /// When it suits, and from then on at once.
    TimeForced {
        /// From when on.
        force_at: Millis,
    },
    /// Only to be downloaded.
    DownloadOnly,
}

impl Kind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Forced => "forced",
            Kind::Soft => "soft",
            Kind::TimeForced { .. } => "timeforced",
            Kind::DownloadOnly => "downloadonly",
        }
    }

    /// From its word and, for time-forced ones, the time.
    pub fn from_parts(word: &str, force_at: Option<Millis>) -> Option<Self> {
        Some(match (word, force_at) {
            ("forced", _) => Kind::Forced,
            ("soft", _) => Kind::Soft,
            ("timeforced", Some(force_at)) => Kind::TimeForced { force_at },
            ("downloadonly", _) => Kind::DownloadOnly,
            _ => return None,
        })
    }

    /// The time, of time-forced ones.
    pub fn force_at(self) -> Option<Millis> {
        match self {
            Kind::TimeForced { force_at } => Some(force_at),
            _ => None,
        }
    }

    fn is_forced(self, now: Millis) -> bool {
        match self {
            Kind::Forced => true,
            Kind::TimeForced { force_at } => now >= force_at,
            Kind::Soft | Kind::DownloadOnly => false,
        }
    }
}

/// What a device is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Whether to download.
    pub download: Handling,
    /// Whether to install.
    pub update: Handling,
    /// Whether the window is open, if there is one.
    pub window: Option<WindowWord>,
}

/// An action as stored.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its number, never used twice.
    pub id: i64,
    /// The target's row.
    pub target: i64,
    /// The release.
    pub release: i64,
    /// How much hurry there is.
    pub kind: Kind,
    /// The heaviest comes first.
    pub weight: u16,
    /// Its state.
    pub status: Status,
    /// False when it is over.
    pub active: bool,
    /// When it may be installed.
    pub window: Option<Window>,
    /// Who wanted it.
    pub initiator: String,
    /// The latest number that the device reported.
    pub last_code: Option<i32>,
    /// When it was made.
    pub created: Millis,
}

impl Action {
    /// The device is, or was, to give it up.
    pub fn is_canceling_or_canceled(&self) -> bool {
        matches!(self.status, Status::Canceling | Status::Canceled)
    }

    /// The device's user has not agreed yet.
    pub fn is_waiting(&self) -> bool {
        self.status == Status::WaitForConfirmation
    }

    /// It has a window, and none will come.
    pub fn has_lapsed(&self, now: Millis) -> bool {
        self.window
            .as_ref()
            .is_some_and(|window| window.state(now) == WindowState::Lapsed)
    }

    /// What the device is told at `now`.
    pub fn handling(&self, now: Millis) -> Instruction {
        let download = match self.kind {
            Kind::DownloadOnly => Handling::Forced,
            kind if kind.is_forced(now) => Handling::Forced,
            _ => Handling::Attempt,
        };
        let window = self.window.as_ref().map(|window| match window.state(now) {
            WindowState::Open => WindowWord::Available,
            WindowState::Pending(_) | WindowState::Lapsed => WindowWord::Unavailable,
        });
        let update = match (self.kind, window) {
            (Kind::DownloadOnly, _) | (_, Some(WindowWord::Unavailable)) => Handling::Skip,
            _ => download,
        };
        Instruction {
            download,
            update,
            window,
        }
    }

    /// The number behind `c=` in links: equal as long as the device would be told the same.
    pub fn checksum(&self, now: Millis) -> i32 {
        let Instruction {
            download,
            update,
            window,
        } = self.handling(now);
        let word = |handling| match handling {
            Handling::Skip => 1,
            Handling::Attempt => 2,
            Handling::Forced => 3,
        };
        let window = match window {
            None => 1,
            Some(WindowWord::Available) => 2,
            Some(WindowWord::Unavailable) => 3,
        };
        let id = i32::from_le_bytes({
            let [a, b, c, d, ..] = self.id.to_le_bytes();
            [a, b, c, d]
        });
        [word(download), word(update), window]
            .iter()
            .fold(id, |sum, part| sum.wrapping_mul(31).wrapping_add(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(kind: Kind, window: Option<Window>) -> Action {
        Action {
            id: 5,
            target: 1,
            release: 1,
            kind,
            weight: HIGHEST_WEIGHT,
            status: Status::Running,
            active: true,
            window,
            initiator: String::new(),
            last_code: None,
            created: 0,
        }
    }

    #[test]
    fn hurry_becomes_words() {
        use Handling::{Attempt, Forced, Skip};
        let cases = [
            (Kind::Forced, 0, Forced, Forced),
            (Kind::Soft, 0, Attempt, Attempt),
            (Kind::TimeForced { force_at: 10 }, 9, Attempt, Attempt),
            (Kind::TimeForced { force_at: 10 }, 10, Forced, Forced),
            (Kind::DownloadOnly, 0, Forced, Skip),
        ];
        for (kind, now, download, update) in cases {
            let told = action(kind, None).handling(now);
            assert_eq!(
                (told.download, told.update, told.window),
                (download, update, None),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_closed_window_lets_download_and_not_install() {
        let window = Window::stored("0 0 2 1 1 ? 1970", "01:00", "Z").unwrap();
        let action = action(Kind::Forced, Some(window));
        let hour = 3_600_000;
        let told: Vec<_> = [hour, 2 * hour + 1, 3 * hour]
            .iter()
            .map(|now| {
                let told = action.handling(*now);
                (
                    told.download,
                    told.update,
                    told.window,
                    action.has_lapsed(*now),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    Handling::Forced,
                    Handling::Skip,
                    Some(WindowWord::Unavailable),
                    false
                ),
                (
                    Handling::Forced,
                    Handling::Forced,
                    Some(WindowWord::Available),
                    false
                ),
                (
                    Handling::Forced,
                    Handling::Skip,
                    Some(WindowWord::Unavailable),
                    true
                ),
            ]
        );
    }

    #[test]
    fn the_checksum_follows_what_is_told() {
        let action = action(Kind::TimeForced { force_at: 10 }, None);
        assert_eq!(action.checksum(0), action.checksum(9));
        assert_ne!(action.checksum(9), action.checksum(10));
    }
}
