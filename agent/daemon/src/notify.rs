//! The service manager.
//!
//! Owns: readiness, the watchdog's ping, the status line. Never does: decide whether we are alive.

use std::time::Duration;

use roamcore_agent::log;
use sd_notify::NotifyState;

/// What was said last.
#[derive(Debug, Default)]
pub struct Notify {
    status: String,
    silent: bool,
}

impl Notify {
    /// Speaks to the manager that started us, if there is one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The watchdog's time-out.
    pub fn period(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    /// The service is up.
    pub fn ready(&mut self) {
        self.say(&[NotifyState::Ready]);
    }

    /// The loop turned.
    pub fn alive(&mut self) {
        if self.period().is_some() {
            self.say(&[NotifyState::Watchdog]);
        }
    }

    /// For `systemctl status`; said when it changes.
    pub fn status(&mut self, text: String) {
        if self.status != text {
            self.say(&[NotifyState::Status(&text)]);
            self.status = text;
        }
    }

    /// The service is about to end.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping]);
    }

    fn say(&mut self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            // Once: without a manager this would be a line per tick.
            if !self.silent {
                log::warning(format!("the service manager cannot be reached: {error}"));
            }
            self.silent = true;
        }
    }
}
