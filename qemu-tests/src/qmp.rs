//! QEMU's control socket: commands with a deadline, and the events it reports.
//!
//! Owns the connection and its reader thread. Never decides what an event means.
//! Invariant: one command is under way at a time, answers are matched by id, every event is kept in order of arrival.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deadline::Deadline;
use crate::error::{Error, Result, file};

/// Something QEMU reported.
#[derive(Debug, Clone)]
pub struct Event {
    /// Name, for example `RESET`.
    pub name: String,
    /// Its data, for example `{"guest": true, "reason": "guest-reset"}`.
    pub data: Value,
    /// When, since the connection was made.
    pub at: Duration,
}

#[derive(Debug, Default)]
struct Inbox {
    answers: VecDeque<Value>,
    events: Vec<Event>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `pick` finds something, the connection ends or time is over.
    fn wait<T>(
        &self,
        what: &str,
        deadline: Deadline,
        mut pick: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T> {
        let mut inbox = self.lock();
        loop {
            if let Some(found) = pick(&mut inbox) {
                return Ok(found);
            }
            let seen = || {
                inbox
                    .events
                    .iter()
                    .map(|e| e.name.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            if inbox.closed {
                return Err(Error::Gone {
                    channel: "QMP".into(),
                    what: what.into(),
                    tail: seen(),
                });
            }
            if deadline.passed() {
                return Err(Error::Timeout {
                    what: what.into(),
                    seconds: deadline.seconds(),
                    tail: seen(),
                });
            }
            (inbox, _) = self
                .changed
                .wait_timeout(inbox, deadline.left())
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct Qmp {
    writer: UnixStream,
    shared: Arc<Shared>,
    last_id: u64,
}

impl Qmp {
    /// Takes over a connected socket and shakes hands.
    pub fn new(stream: UnixStream, path: &Path, deadline: Deadline) -> Result<Self> {
        let reader = stream.try_clone().map_err(file("clone the socket", path))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("qmp".into())
            .spawn(move || read_all(reader, &theirs))
            .map_err(|source| Error::Start {
                program: "reader of QMP".into(),
                source,
            })?;
        let mut client = Self {
            writer: stream,
            shared,
            last_id: 0,
        };
        client.execute("qmp_capabilities", json!({}), deadline)?;
        Ok(client)
    }

    /// Runs a command and gives what it returns.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        deadline: Deadline,
    ) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let line = format!(
            "{}\n",
            json!({"execute": command, "arguments": arguments, "id": id})
        );
        self.writer
            .write_all(line.as_bytes())
            .map_err(file("write to", "QMP socket"))?;
        let answer =
            self.shared
                .wait(&format!("QMP answer to `{command}`"), deadline, |inbox| {
                    while let Some(answer) = inbox.answers.pop_front() {
                        if answer["id"] == id {
                            return Some(answer);
                        }
                    }
                    None
                })?;
        match answer.get("error") {
            Some(error) => Err(Error::Qmp {
                command: command.into(),
                reason: error["desc"]
                    .as_str()
                    .map_or_else(|| error.to_string(), str::to_owned),
            }),
            None => Ok(answer["return"].clone()),
        }
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().events.clone()
    }

    /// How many events of this name came so far.
    pub fn count(&self, name: &str) -> usize {
        self.shared
            .lock()
            .events
            .iter()
            .filter(|e| e.name == name)
            .count()
    }

    /// Waits until more than `already` events of this name have come, and gives the first new one.
    /// Take `already` from [`Qmp::count`] before the action that causes the event.
    pub fn wait_event(&self, name: &str, already: usize, deadline: Deadline) -> Result<Event> {
        self.shared.wait(
            &format!("QMP event {name} number {}", already + 1),
            deadline,
            |inbox| {
                inbox
                    .events
                    .iter()
                    .filter(|e| e.name == name)
                    .nth(already)
                    .cloned()
            },
        )
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        // Ends the reader thread; it fails only when QEMU is gone already.
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
    }
}

fn read_all(reader: UnixStream, shared: &Shared) {
    let start = Instant::now();
    for line in BufReader::new(reader).lines().map_while(|line| line.ok()) {
        // QEMU writes nothing but JSON; a torn last line means that it died.
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            break;
        };
        let mut inbox = shared.lock();
        if let Some(name) = message["event"].as_str() {
            let event = Event {
                name: name.into(),
                data: message["data"].clone(),
                at: start.elapsed(),
            };
            inbox.events.push(event);
        } else if message.get("QMP").is_none() {
            inbox.answers.push_back(message);
        }
        drop(inbox);
        shared.changed.notify_all();
    }
    shared.lock().closed = true;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says `lines` whatever it is asked.
    fn against(lines: &'static str) -> Result<Qmp> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(lines.as_bytes()).unwrap();
        std::thread::spawn(move || std::io::copy(&mut theirs, &mut std::io::sink()));
        Qmp::new(ours, Path::new("qmp"), Deadline::secs(2))
    }

    #[test]
    fn answers_by_id_and_events_in_order() {
        let mut qmp = against(concat!(
            "{\"QMP\": {\"version\": {}}}\n{\"return\": {}, \"id\": 1}\n",
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": 0, \"id\": 99}\n",
            "{\"event\": \"RESET\", \"data\": {\"guest\": false}}\n{\"error\": {\"desc\": \"no\"}, \"id\": 2}\n",
        ))
        .unwrap();
        let error = qmp
            .execute("stop", json!({}), Deadline::secs(2))
            .unwrap_err();
        assert_eq!(error.to_string(), "QMP `stop` refused: no");
        assert_eq!(qmp.count("RESET"), 2);
        assert_eq!(
            qmp.wait_event("RESET", 1, Deadline::secs(1)).unwrap().data["guest"],
            false
        );
    }

    #[test]
    fn missing_event_says_what_came() {
        let qmp = against("{\"return\": {}, \"id\": 1}\n{\"event\": \"STOP\"}\n").unwrap();
        qmp.wait_event("STOP", 0, Deadline::secs(2)).unwrap();
        let error = qmp.wait_event("RESET", 0, Deadline::secs(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "waited 0 s for QMP event RESET number 1; last seen: STOP"
        );
    }
}
