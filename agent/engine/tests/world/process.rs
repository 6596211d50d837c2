//! The process of the model: what a daemon does with the engine, on one thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use roamcore_engine::{
    Control, Delivery, Device, Effect, Engine, Event, Gate, Grant, Message, Pace, Phase, Reply,
    Status, Work, perform,
};

use super::device::{FakeDevice, FakeSources};
use super::store::MemStore;
use super::{Cut, Shared};

/// Milliseconds between two polls.
const POLL_EVERY: u64 = 30_000;
/// While something goes on.
const POLL_BUSY: u64 = 5_000;

pub struct Process {
    core: Shared,
    engine: Rc<RefCell<Engine<MemStore>>>,
    effects: Rc<RefCell<VecDeque<Effect>>>,
    /// What people were told.
    pub replies: Rc<RefCell<Vec<Reply>>>,
    next_poll: Rc<RefCell<u64>>,
}

struct ModelPace(Shared);

impl Pace for ModelPace {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.borrow().boot_ms)
    }

    fn sleep(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.borrow_mut().pass(ms);
    }
}

impl Process {
    pub fn new(core: &Shared, engine: Engine<MemStore>, effects: Vec<Effect>) -> Self {
        Self {
            core: Rc::clone(core),
            engine: Rc::new(RefCell::new(engine)),
            effects: Rc::new(RefCell::new(effects.into())),
            replies: Rc::default(),
            next_poll: Rc::default(),
        }
    }

    /// One event; its effects are queued.
    pub fn handle(&self, event: Event) {
        let now = {
            let core = self.core.borrow();
            if core.dead.is_some() {
                return;
            }
            core.now()
        };
        let before = self.engine.borrow().state().record.phase.name();
        let result = self.engine.borrow_mut().handle(event, now);
        match result {
            Ok(effects) => {
                self.effects.borrow_mut().extend(effects);
                let after = self.engine.borrow().state().record.phase.name();
                if before != after {
                    self.core
                        .borrow_mut()
                        .log
                        .push(format!("{before} -> {after}"));
                }
            }
            Err(error) => {
                let mut core = self.core.borrow_mut();
                assert!(core.dead.is_some(), "the store failed: {error}");
                core.log.push("(died while saving)".into());
            }
        }
    }

    fn dead(&self) -> bool {
        self.core.borrow().dead.is_some()
    }

    pub fn round(&mut self) {
        self.handle(Event::Tick);
        self.background();
        for _ in 0..64 {
            if self.dead() || self.core.borrow().reboot {
                return;
            }
            let Some(effect) = self.effects.borrow_mut().pop_front() else {
                return;
            };
            self.execute(effect);
        }
    }

    fn execute(&self, effect: Effect) {
        match effect {
            Effect::Begin { work, grant } => self.work(&work, &grant),
            // Nothing runs outside of `work`, which has its own way to stop.
            Effect::StopWork => {}
            Effect::Poll => *self.next_poll.borrow_mut() = 0,
            Effect::Reply(reply) => self.replies.borrow_mut().push(reply),
            Effect::Note(text) => self.core.borrow_mut().log.push(format!("  {text}")),
        }
    }

    /// What other tasks do while work runs: poll, send.
    fn background(&self) {
        if self.dead() {
            return;
        }
        let now = self.core.borrow().boot_ms;
        if now >= *self.next_poll.borrow() {
            let busy = *self.engine.borrow().state().record.phase.name() != *"idle";
            *self.next_poll.borrow_mut() = now + if busy { POLL_BUSY } else { POLL_EVERY };
            self.poll();
        }
        self.send();
    }

    fn poll(&self) {
        let view = {
            let mut core = self.core.borrow_mut();
            if !core.alive() || !core.network {
                return;
            }
            let loss = core.loss;
            if core.rng.percent(loss) {
                return;
            }
            core.server.poll()
        };
        if let Some(view) = view {
            self.handle(Event::Server(view));
        }
    }

    fn send(&self) {
        let now = {
            let core = self.core.borrow();
            if core.dead.is_some() {
                return;
            }
            core.now()
        };
        let next = self.engine.borrow_mut().outgoing(now);
        if let Some((id, message)) = next {
            let result = self.deliver(&message);
            if let Some(result) = result {
                self.handle(Event::Delivered { id, result });
            }
        }
    }

    fn deliver(&self, message: &Message) -> Option<Delivery> {
        let mut core = self.core.borrow_mut();
        // Not sent.
        if !core.alive() {
            return None;
        }
        let loss = core.loss;
        if !core.network || core.rng.percent(loss) {
            return Some(Delivery::Retry);
        }
        let result = core.server.tell(message);
        if result == Delivery::Taken {
            core.log.push(format!("  told: {message:?}"));
            core.note_final(message);
        }
        // Taken, and the answer was lost.
        if core.rng.percent(loss) {
            return Some(Delivery::Retry);
        }
        core.alive().then_some(result)
    }

    fn work(&self, work: &Work, grant: &Grant) {
        let mut device = FakeDevice::new(&self.core);
        let mut sources = FakeSources::new(&self.core);
        let control = Control::new();
        let pace = ModelPace(Rc::clone(&self.core));
        perform(
            work,
            grant,
            &mut device,
            &mut sources,
            &control,
            &pace,
            &mut |event| {
                self.handle(Event::Work(event));
                self.background();
                self.effects.borrow_mut().retain(|effect| {
                    let stop = *effect == Effect::StopWork;
                    if stop {
                        control.stop();
                    }
                    !stop
                });
            },
        );
    }

    pub fn gate(&self, verdict: Gate) {
        if self.core.borrow_mut().alive() {
            self.handle(Event::Gate(verdict));
        }
    }

    pub fn read_facts(&self) {
        let facts = FakeDevice::new(&self.core).facts();
        if let Ok(facts) = facts {
            self.handle(Event::Facts(Box::new(facts)));
        }
    }

    /// A person's command and the answer.
    pub fn command(&mut self, event: Event) -> Option<Reply> {
        self.handle(event);
        let mut effects = self.effects.borrow_mut();
        let at = effects
            .iter()
            .position(|effect| matches!(effect, Effect::Reply(_)))?;
        match effects.remove(at) {
            Some(Effect::Reply(reply)) => Some(reply),
            _ => None,
        }
    }

    pub fn phase(&self) -> std::cell::Ref<'_, Phase> {
        std::cell::Ref::map(self.engine.borrow(), |engine| &engine.state().record.phase)
    }

    pub fn unsent(&self) -> usize {
        self.engine.borrow().state().record.outbox.len()
    }

    pub fn record<T>(&self, look: impl FnOnce(&roamcore_engine::Record) -> T) -> T {
        look(&self.engine.borrow().state().record)
    }

    /// The server was told what runs.
    pub fn told_truth(&self) -> bool {
        let engine = self.engine.borrow();
        let state = engine.state();
        state.record.told == state.session.facts.running.release
    }

    pub fn status(&self) -> Status {
        let now = self.core.borrow().now();
        self.engine.borrow().status(now)
    }
}

impl super::Core {
    /// The server may hear of success only after the commit.
    fn note_final(&mut self, message: &Message) {
        if let Message::Final {
            action,
            success,
            details,
            ..
        } = message
        {
            self.finals
                .push((action.clone(), *success, details.clone()));
            // It may be delivered late, when something else runs already; what counts is what happened.
            let committed = self.committed.contains(action);
            let nothing_to_do = details
                .iter()
                .any(|line| line.ends_with("is running already"));
            if *success && !committed && !nothing_to_do {
                self.violations
                    .push(format!("success of {action} without a commit: {details:?}"));
            }
            if !*success && committed {
                self.violations
                    .push(format!("failure of {action} after its commit: {details:?}"));
            }
        }
    }
}

/// Kills or cuts at once, between two rounds.
pub fn cut(core: &Shared, cut: Cut) {
    core.borrow_mut().dead = Some(cut);
}
