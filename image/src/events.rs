//! Progress of long work, for people and for machines.
//!
//! Owns: the one channel through which every step of the builder speaks. Never does: decide
//! anything, or write to standard output (that belongs to a command's result).
//! Invariant: in JSON mode each event is one line on standard error with `"v": 1`.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Something worth telling while a build runs.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A step begins.
    Step {
        /// Short name of the step, as in the build report.
        name: &'a str,
        /// What it works on.
        detail: &'a str,
    },
    /// A step ended.
    Done {
        /// Name given at its start.
        name: &'a str,
        /// True when the result was taken from the cache.
        cached: bool,
        /// Milliseconds it took.
        milliseconds: u64,
    },
    /// Work within a step.
    Progress {
        /// Name of the step.
        name: &'a str,
        /// Units done (bytes or items).
        done: u64,
        /// Units in all.
        of: u64,
    },
    /// Something the operator should know but that stops nothing.
    Note {
        /// The sentence to show.
        text: &'a str,
    },
}

/// Where events go.
#[derive(Debug)]
pub struct Events {
    json: bool,
    terminal: bool,
    last: Mutex<Option<Instant>>,
}

impl Events {
    /// Events on standard error; `json` selects one JSON object per line.
    pub fn new(json: bool) -> Events {
        Events {
            json,
            terminal: std::io::stderr().is_terminal(),
            last: Mutex::new(None),
        }
    }

    /// Speaks one event.
    pub fn emit(&self, event: &Event<'_>) {
        let line = if self.json {
            json_line(event)
        } else {
            self.human(event)
        };
        let Some(line) = line else { return };
        // A closed standard error must not stop a build half-way.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// A remark for the operator.
    pub fn note(&self, text: &str) {
        self.emit(&Event::Note { text });
    }

    /// Progress, at most five times a second so that tight loops may call it freely.
    pub fn progress(&self, name: &str, done: u64, of: u64) {
        {
            let Ok(mut last) = self.last.lock() else {
                return;
            };
            let now = Instant::now();
            if done < of && last.is_some_and(|t| now - t < Duration::from_millis(200)) {
                return;
            }
            *last = Some(now);
        }
        self.emit(&Event::Progress { name, done, of });
    }

    fn human(&self, event: &Event<'_>) -> Option<String> {
        match event {
            Event::Step { name, detail } => Some(format!("{name:<12} {detail}\n")),
            Event::Done {
                name, cached: true, ..
            } => Some(format!("{name:<12} from cache\n")),
            Event::Done {
                name, milliseconds, ..
            } => {
                let clear = if self.terminal { "\x1b[K" } else { "" };
                Some(format!(
                    "{clear}{name:<12} done in {}.{:03} s\n",
                    milliseconds / 1000,
                    milliseconds % 1000
                ))
            }
            Event::Progress { name, done, of } if self.terminal => {
                let percent = done.saturating_mul(100).checked_div(*of).unwrap_or(100);
                Some(format!("\x1b[K{name:<12} {percent:>3} %\r"))
            }
            Event::Progress { .. } => None,
            Event::Note { text } => Some(format!("note: {text}\n")),
        }
    }
}

fn json_line(event: &Event<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        v: u32,
        #[serde(flatten)]
        event: &'a Event<'a>,
    }
    serde_json::to_string(&Line { v: 1, event })
        .ok()
        .map(|s| s + "\n")
}
