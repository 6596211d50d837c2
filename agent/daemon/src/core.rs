//! The loop around the engine.
//!
//! Owns: the order of events, carrying out effects, the answers to the socket, the watchdog's ping.
//! Never does: network, long work, decisions. Invariants: an effect is carried out after the engine made
//! its cause durable; the watchdog hears of us only after the engine took a tick; when the record cannot
//! be written the process ends instead of going on from memory.
//!
//! ```text
//!   socket --Request--+                             +--> uplink (Order)
//!   uplink --Event----+--> core --> Engine::handle -+--> work  (Begin, StopWork)
//!   work ---Event-----+      ^                      +--> Reply, Note, history
//!   time ---Tick------+      '------ watchdog ------'
//! ```

mod requests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use roamcore_agent::log;
use roamcore_ddi::messages::ConfigData;
use roamcore_engine::history::{History, Line};
use roamcore_engine::state::Session;
use roamcore_engine::{
    Conditions, Delivery, DeviceError, Effect, Engine, Event, LocalOffer, Now, Phase, Reply, Store,
    StoreError, Work, WorkEvent,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::chain::chain;
use crate::image::{self, Image};
use crate::notify::Notify;
use crate::protocol::{Answer, ServerStatus};
use crate::remote::Link;
use crate::socket::Asked;
use crate::uplink::{Connection, Order};
use crate::work::{self, Running, SharedDevice};

/// The engine asks for one every ten seconds at least.
const TICK: Duration = Duration::from_secs(5);
/// Work that is asked to stop may finish a write.
const FAREWELL: Duration = Duration::from_secs(10);

/// What comes in besides requests and time.
#[derive(Debug)]
pub enum Input {
    /// For the engine.
    Event(Event),
    /// How the conversation with the server goes.
    Connection(Connection),
    /// A file was looked at.
    Looked {
        /// What to install, or why not.
        result: Result<LocalOffer, String>,
        /// Who asked.
        reply: oneshot::Sender<Answer>,
    },
    /// The service is to end.
    Terminate,
}

/// The way to the server.
#[derive(Debug)]
pub struct Connected {
    /// For downloads.
    pub link: Link,
    /// To the uplink.
    pub orders: mpsc::Sender<Order>,
    /// What is known.
    pub status: ServerStatus,
}

/// Everything the core works with.
pub struct Parts<S> {
    /// The engine, started.
    pub engine: Engine<S>,
    /// What its start asked for.
    pub effects: Vec<Effect>,
    /// The device.
    pub device: SharedDevice,
    /// The server, when there is one.
    pub connected: Option<Connected>,
    /// What is wrong with the settings.
    pub problem: Option<String>,
    /// The running image.
    pub image: Image,
    /// Where the history is kept.
    pub history: PathBuf,
    /// The service manager.
    pub notify: Notify,
    /// To ourselves.
    pub sender: mpsc::Sender<Input>,
}

/// The loop's state.
pub struct Core<S> {
    parts: Parts<S>,
    history: History,
    running: Option<Running>,
    busy: bool,
    attributes: Option<ConfigData>,
    turns: u64,
    ending: Option<Instant>,
}

impl<S: Store> Core<S> {
    /// Ready to run.
    pub fn new(parts: Parts<S>) -> Self {
        Self {
            history: History::new(&parts.history),
            parts,
            running: None,
            busy: false,
            attributes: None,
            turns: 0,
            ending: None,
        }
    }

    /// Runs until the service is to end, or the record cannot be written.
    pub async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut asked: mpsc::Receiver<Asked>,
    ) -> Result<(), StoreError> {
        let effects = std::mem::take(&mut self.parts.effects);
        self.carry_out(effects, None);
        self.after()?;
        let mut ticks = tokio::time::interval(
            self.parts
                .notify
                .period()
                .map_or(TICK, |period| TICK.min(period / 3)),
        );
        // After a long suspend one tick is enough.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.parts.notify.ready();
        while !self.is_over() {
            tokio::select! {
                _ = ticks.tick() => self.tick()?,
                Some(input) = inputs.recv() => self.input(input)?,
                Some((request, reply)) = asked.recv() => self.request(request, reply)?,
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ending
            .is_some_and(|ending| self.running.is_none() || Instant::now() >= ending)
    }

    fn now(&self) -> Now {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let milliseconds = boot.tv_sec * 1000 + boot.tv_nsec / 1_000_000;
        Now {
            boot_ms: u64::try_from(milliseconds).unwrap_or(0),
            unix: self.parts.image.clock(),
        }
    }

    fn tick(&mut self) -> Result<(), StoreError> {
        self.handle(Event::Tick, None)?;
        if matches!(self.parts.engine.state().record.phase, Phase::Trial { .. }) {
            self.look_at_disk()?;
        }
        self.turns += 1;
        // Only here: a loop that turns without its engine is not alive.
        self.parts.notify.alive();
        Ok(())
    }

    /// In a trial the commit service renames the entry behind our back.
    fn look_at_disk(&mut self) -> Result<(), StoreError> {
        let facts = match self.parts.device.try_lock() {
            Ok(mut device) => device.facts(),
            // Work has it; the next tick will do.
            Err(_) => return Ok(()),
        };
        match facts {
            Ok(facts) => self.handle(Event::Facts(Box::new(facts)), None),
            Err(error) => {
                log::warning(format!("the disk cannot be looked at: {}", chain(&error)));
                Ok(())
            }
        }
    }

    fn input(&mut self, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Event(event) => self.handle(event, None),
            Input::Connection(connection) => self.connection(connection),
            Input::Looked {
                result: Ok(offer),
                reply,
            } => self.handle(Event::Install(offer), Some(reply)),
            Input::Looked {
                result: Err(reason),
                reply,
            } => {
                answer(reply, Answer::Refused { reason });
                Ok(())
            }
            Input::Terminate => {
                self.parts.notify.stopping();
                self.ending = Some(Instant::now() + FAREWELL);
                if let Some(running) = &self.running {
                    running.stop();
                }
                Ok(())
            }
        }
    }

    fn connection(&mut self, connection: Connection) -> Result<(), StoreError> {
        let online = connection.problem.is_none();
        let clock = self.parts.image.clock();
        if let Some(connected) = &mut self.parts.connected {
            let status = &mut connected.status;
            status.received = connected.link.client.received();
            status.interval = connection.interval;
            status.problem = connection.problem;
            if online {
                status.answered = clock;
            }
        }
        let before = self.session().conditions;
        if before.online == online {
            return Ok(());
        }
        self.handle(Event::Conditions(Conditions { online, ..before }), None)
    }

    fn session(&self) -> &Session {
        &self.parts.engine.state().session
    }

    /// One event, and whatever follows from it.
    fn handle(
        &mut self,
        event: Event,
        reply: Option<oneshot::Sender<Answer>>,
    ) -> Result<(), StoreError> {
        let mut reply = reply;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if matches!(event, Event::Work(WorkEvent::Ended { .. })) {
                self.running = None;
            }
            let now = self.now();
            let effects = match self.parts.engine.handle(event, now) {
                Ok(effects) => effects,
                Err(error) => {
                    if let Some(reply) = reply.take() {
                        answer(
                            reply,
                            Answer::Failed {
                                reason: chain(&error),
                            },
                        );
                    }
                    return Err(error);
                }
            };
            events.extend(self.carry_out(effects, reply.take()));
            events.extend(self.send(now));
        }
        self.after()
    }

    /// Carries out effects; what fails at once comes back as an event.
    fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        reply: Option<oneshot::Sender<Answer>>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut said = Answer::Accepted;
        for effect in effects {
            match effect {
                Effect::Begin { work, grant } => {
                    let link = self
                        .parts
                        .connected
                        .as_ref()
                        .map(|connected| connected.link.clone());
                    let begun = work::begin(
                        *work,
                        grant,
                        self.parts.device.clone(),
                        link,
                        self.parts.sender.clone(),
                    );
                    match begun {
                        Ok(running) => self.running = Some(running),
                        Err(error) => events.push(Event::Work(WorkEvent::Ended {
                            result: Err(DeviceError::new(
                                roamcore_engine::Trouble::Passing,
                                format!("no thread could be started: {error}"),
                            )),
                            fetched: 0,
                            facts: None,
                        })),
                    }
                }
                Effect::StopWork => {
                    if let Some(running) = &self.running {
                        running.stop();
                    }
                }
                Effect::Poll => self.order(Order::Poll),
                Effect::Reply(Reply::Accepted) => said = Answer::Accepted,
                Effect::Reply(Reply::Refused(reason)) => said = Answer::Refused { reason },
                Effect::Note(text) => self.note(text),
            }
        }
        if let Some(reply) = reply {
            answer(reply, said);
        }
        events
    }

    /// Hands the uplink what the engine has to say.
    fn send(&mut self, now: Now) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(connected) = &self.parts.connected {
            while let Some((id, message)) = self.parts.engine.outgoing(now) {
                if connected.orders.try_send(Order::Send(id, message)).is_err() {
                    let result = Delivery::Retry;
                    events.push(Event::Delivered { id, result });
                    break;
                }
            }
        }
        events
    }

    fn order(&self, order: Order) {
        if let Some(connected) = &self.parts.connected {
            // A full queue means that the uplink is at it already.
            drop(connected.orders.try_send(order));
        }
    }

    fn note(&self, text: String) {
        log::notice(&text);
        let now = self.now();
        let line = Line {
            unix: now.unix,
            boot_ms: now.boot_ms,
            phase: self.parts.engine.state().record.phase.name().to_owned(),
            text,
        };
        if let Err(error) = self.history.append(&line) {
            log::warning(format!("history: {}", chain(&error)));
        }
    }

    /// What others have to know after every event.
    fn after(&mut self) -> Result<(), StoreError> {
        let fetching = |work: &Work| work.payload().is_some();
        let busy = self
            .session()
            .running
            .as_ref()
            .is_some_and(|running| fetching(&running.work));
        if busy != self.busy {
            self.busy = busy;
            self.order(Order::Busy(busy));
        }
        let attributes = image::attributes(&self.parts.image, &self.session().facts);
        if self.attributes.as_ref() != Some(&attributes) {
            self.attributes = Some(attributes.clone());
            self.order(Order::Attributes(attributes));
        }
        let status = self.parts.engine.status(self.now());
        let percent = status
            .progress
            .map(|progress| format!(" {} %", progress.percent));
        let waiting = status
            .waiting_for
            .map(|what| format!(", waits for: {what}"));
        let status = format!(
            "{}{}{}",
            status.phase,
            percent.unwrap_or_default(),
            waiting.unwrap_or_default()
        );
        self.parts.notify.status(status);
        Ok(())
    }
}

fn answer(reply: oneshot::Sender<Answer>, answer: Answer) {
    // Whoever asked may have gone away.
    drop(reply.send(answer));
}
