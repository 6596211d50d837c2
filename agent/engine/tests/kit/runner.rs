//! A process on a bench: the engine with its real store and device, on one thread.

use std::path::Path;

use roamcore_engine::device::SlotDevice;
use roamcore_engine::{
    Conditions, Control, Damaged, Device, Effect, Engine, Event, FileStore, LocalOffer, Now, Phase,
    Policy, RealPace, Reply, WorkEvent, perform,
};

use super::{Bench, Directories, Made};

pub struct Runner {
    pub engine: Engine<FileStore>,
    pub device: SlotDevice,
    pub sources: Directories,
    /// Work events, for tests that look.
    pub events: Vec<WorkEvent>,
}

fn now() -> Now {
    Now {
        boot_ms: 60_000,
        unix: Some(1_763_700_000),
    }
}

impl Runner {
    /// As a daemon starts.
    pub fn start(
        bench: &Bench,
        made: &Made,
        keys: &Path,
        sources: Directories,
    ) -> (Self, Vec<Effect>) {
        let mut device = bench.device(made.identity(keys)).unwrap();
        let facts = device.facts().unwrap();
        let store = FileStore::new(&bench.dir.join("var")).unwrap();
        let conditions = Conditions {
            may_reboot: true,
            online: true,
        };
        let policy = Policy::default();
        let (engine, effects) =
            Engine::start(store, Damaged::Refuse, facts, conditions, policy, now()).unwrap();
        let runner = Self {
            engine,
            device,
            sources,
            events: Vec::new(),
        };
        (runner, effects)
    }

    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        self.engine.handle(event, now()).unwrap()
    }

    pub fn install(&mut self, place: &Path) -> Vec<Effect> {
        let effects = self.handle(Event::Install(LocalOffer {
            place: place.to_str().unwrap().to_owned(),
            title: "an update".into(),
        }));
        assert!(
            effects.contains(&Effect::Reply(Reply::Accepted)),
            "{effects:?}"
        );
        effects
    }

    /// Executes effects until nothing more is wanted or a reboot was asked for.
    pub fn run(&mut self, effects: Vec<Effect>, bench: &Bench) {
        let mut queue = effects;
        while let Some(at) = queue
            .iter()
            .position(|effect| matches!(effect, Effect::Begin { .. }))
        {
            let Effect::Begin { work, grant } = queue.remove(at) else {
                return;
            };
            let (engine, events) = (&mut self.engine, &mut self.events);
            perform(
                &work,
                &grant,
                &mut self.device,
                &mut self.sources,
                &Control::new(),
                &RealPace::default(),
                &mut |event| {
                    events.push(event.clone());
                    queue.extend(engine.handle(Event::Work(event), now()).unwrap());
                },
            );
            if bench.dir.join("reboot").exists() {
                return;
            }
        }
    }

    pub fn phase(&self) -> &Phase {
        &self.engine.state().record.phase
    }
}
