//! What the core answers.
//!
//! Owns: the meaning of each request. Never does: anything slow in the loop: files are looked at elsewhere.

use std::path::PathBuf;

use roamcore_engine::history::History;
use roamcore_engine::{Event, Gate, LocalOffer, Store, StoreError};
use tokio::sync::oneshot;

use super::{Connected, Core, Input, answer};
use crate::chain::chain;
use crate::protocol::{Answer, MOST_LINES, Overview, Request, ServerStatus};
use crate::stick::Stick;
use crate::uplink::Order;

impl<S: Store> Core<S> {
    pub(super) fn request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<Answer>,
    ) -> Result<(), StoreError> {
        match request {
            Request::Ping => answer(
                reply,
                Answer::Pong {
                    turns: self.turns,
                    problem: self.parts.problem.clone(),
                },
            ),
            Request::Status => answer(reply, Answer::Status(Box::new(self.overview()))),
            Request::Check => answer(reply, self.check()),
            Request::Install { path } => self.look(path, reply),
            Request::Log { lines } => self.log(lines, reply),
            Request::Confirm => return self.handle(Event::Confirm, Some(reply)),
            Request::Deny => return self.handle(Event::Deny, Some(reply)),
            Request::Cancel => return self.handle(Event::Cancel, Some(reply)),
            Request::Rollback => return self.handle(Event::RollBack, Some(reply)),
            Request::AutoConfirm { active } => match self.server() {
                Ok(_) => return self.handle(Event::AutoConfirm { active }, Some(reply)),
                Err(refused) => answer(reply, refused),
            },
            Request::Gate { failure } => {
                let gate = failure.map_or(Gate::Passed, Gate::Failed);
                return self.handle(Event::Gate(gate), Some(reply));
            }
        }
        Ok(())
    }

    fn overview(&self) -> Overview {
        let server = self.parts.connected.as_ref().map(|connected| ServerStatus {
            received: connected.link.client.received(),
            ..connected.status.clone()
        });
        Overview {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            problem: self.parts.problem.clone(),
            server,
            engine: self.parts.engine.status(self.now()),
        }
    }

    /// The server, or the answer to who wants something of it.
    fn server(&self) -> Result<&Connected, Answer> {
        self.parts.connected.as_ref().ok_or_else(|| {
            let reason = match &self.parts.problem {
                Some(problem) => format!("there is no server to ask: {problem}"),
                None => {
                    "there is no server to ask; set [server] in /etc/roamcore/agent.toml".to_owned()
                }
            };
            Answer::Refused { reason }
        })
    }

    fn check(&self) -> Answer {
        let connected = match self.server() {
            Ok(connected) => connected,
            Err(refused) => return refused,
        };
        match connected.orders.try_send(Order::Check) {
            Ok(()) => Answer::Accepted,
            Err(_) => Answer::Failed {
                reason: "the uplink is busy; try again".to_owned(),
            },
        }
    }

    /// A stick may be slow, so it is opened elsewhere.
    fn look(&self, path: PathBuf, reply: oneshot::Sender<Answer>) {
        let sender = self.parts.sender.clone();
        tokio::task::spawn_blocking(move || {
            let looked = Stick::open(&path).and_then(|stick| stick.check());
            let title = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let result = match looked {
                Ok(()) => Ok(LocalOffer {
                    place: path.to_string_lossy().into_owned(),
                    title: title.unwrap_or_default(),
                }),
                Err(error) => Err(chain(&error)),
            };
            drop(sender.blocking_send(Input::Looked { result, reply }));
        });
    }

    fn log(&self, lines: usize, reply: oneshot::Sender<Answer>) {
        let history = History::new(&self.parts.history);
        tokio::task::spawn_blocking(move || {
            let found = match history.last(lines.min(MOST_LINES)) {
                Ok(lines) => Answer::Log { lines },
                Err(error) => Answer::Failed {
                    reason: chain(&error),
                },
            };
            answer(reply, found);
        });
    }
}
