//! Progress of long work, for people and for machines.
//!
//! Owns: the one channel through which every step of the builder speaks. Never does: decide
//! anything, or write to standard output (that belongs to a command's result).
//! Invariant: in JSON mode each event is one line on standard error with `"v": 1`. docs/image.md has the table of them.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
        /// Name of the work.
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
    log: Mutex<Option<(PathBuf, File)>>,
}

impl Events {
    /// Events on standard error; `json` selects one JSON object per line.
    pub fn new(json: bool) -> Events {
        Events {
            json,
            terminal: std::io::stderr().is_terminal(),
            last: Mutex::new(None),
            log: Mutex::new(None),
        }
    }

    /// From now on everything but progress is also written to a new file at `path`.
    pub fn log_to(&self, path: &Path) -> std::io::Result<()> {
        let file = File::create(path)?;
        *self.logging() = Some((path.to_owned(), file));
        Ok(())
    }

    /// Ends the log of work that succeeded: nobody needs it.
    pub fn drop_log(&self) {
        if let Some((path, _)) = self.logging().take() {
            // What stays is a file too many, no reason to fail.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Ends the log of work that failed with its last words; gives the log's path.
    pub fn close_log(&self, words: &str) -> Option<PathBuf> {
        let (path, mut file) = self.logging().take()?;
        // On a full disk the words are on standard error.
        let _ = file.write_all(words.as_bytes());
        Some(path)
    }

    fn logging(&self) -> MutexGuard<'_, Option<(PathBuf, File)>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Speaks one event.
    pub fn emit(&self, event: &Event<'_>) {
        if let (Some((_, file)), Some(line)) = (self.logging().as_mut(), human(event, false)) {
            let _ = file.write_all(line.as_bytes());
        }
        let line = if self.json {
            json_line(event)
        } else {
            human(event, self.terminal)
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
}

/// The event in words; on a terminal a line of progress is overwritten by what follows.
fn human(event: &Event<'_>, terminal: bool) -> Option<String> {
    match event {
        Event::Step { name, detail } => Some(format!("{name:<12} {detail}\n")),
        Event::Done {
            name, cached: true, ..
        } => Some(format!("{name:<12} from cache\n")),
        Event::Done {
            name, milliseconds, ..
        } => {
            let clear = if terminal { "\x1b[K" } else { "" };
            Some(format!(
                "{clear}{name:<12} done in {}.{:03} s\n",
                milliseconds / 1000,
                milliseconds % 1000
            ))
        }
        Event::Progress { name, done, of } if terminal => {
            let percent = done.saturating_mul(100).checked_div(*of).unwrap_or(100);
            Some(format!("\x1b[K{name:<12} {percent:>3} %\r"))
        }
        Event::Progress { .. } => None,
        Event::Note { text } => Some(format!("note: {text}\n")),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Members of each event, from the table in docs/image.md.
    fn documented() -> BTreeMap<String, Vec<String>> {
        let text = include_str!("../../docs/image.md");
        let (_, table) = text.split_once("<!-- events -->").unwrap();
        let (table, _) = table.split_once("<!-- end -->").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let words = |cell: &str| -> Vec<String> {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let events = rows.map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (words(cells[1]).remove(0), words(cells[2]))
        });
        // The first row is the heading, whose first cell is `event`.
        events.filter(|(name, _)| name != "event").collect()
    }

    #[test]
    fn every_event_is_as_documented() {
        let all = [
            Event::Step {
                name: "root",
                detail: "x",
            },
            Event::Done {
                name: "root",
                cached: true,
                milliseconds: 5,
            },
            Event::Progress {
                name: "root",
                done: 1,
                of: 2,
            },
            Event::Note { text: "x" },
        ];
        let mut table = documented();
        // Printed where the exit code is known, with these members: cli/mod.rs and its tests.
        assert_eq!(
            table.remove("failed").unwrap(),
            ["exit_code", "causes", "log"]
        );
        for event in &all {
            let line: serde_json::Value = serde_json::from_str(&json_line(event).unwrap()).unwrap();
            let mut members = line.as_object().unwrap().clone();
            assert_eq!(members.remove("v"), Some(1.into()));
            let name = members.remove("event").unwrap();
            let wanted = table.remove(name.as_str().unwrap()).unwrap();
            let found: Vec<&String> = members.keys().collect();
            let mut wanted: Vec<&String> = wanted.iter().collect();
            wanted.sort();
            assert_eq!(found, wanted, "{name}");
        }
        assert!(table.is_empty(), "documented, but not there: {table:?}");
    }

    #[test]
    fn the_log_has_everything_but_progress() {
        let dir = tempfile::tempdir().unwrap();
        let (path, events) = (dir.path().join("log"), Events::new(true));
        events.log_to(&path).unwrap();
        events.note("one");
        events.progress("root", 1, 1);
        events.emit(&Event::Step {
            name: "root",
            detail: "two",
        });
        assert_eq!(events.close_log("error: three\n"), Some(path.clone()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "note: one\nroot         two\nerror: three\n");
        assert_eq!(events.close_log("again"), None);
        events.log_to(&path).unwrap();
        events.drop_log();
        assert!(!path.exists());
    }
}
