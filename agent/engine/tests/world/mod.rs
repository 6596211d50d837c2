//! A model world: a device with durable and volatile state, a boot loader, a server, a network, and somebody who pulls plugs.
//!
//! Everything is deterministic: the same seed gives the same history. The engine and [`perform`] are the real ones. A process
//! dies by a fuse that counts boundaries (before and after every save, every step on the disk, every message): from then on
//! nothing it does has an effect, exactly as if it had been killed there.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(
    dead_code,
    reason = "every test file uses another part of the world, and so may other crates"
)]

pub mod chaos;
pub mod device;
pub mod disk;
pub mod process;
pub mod releases;
pub mod rng;
pub mod scenario;
pub mod server;
pub mod short;
pub mod store;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use roamcore_engine::{
    ActionId, Conditions, Damaged, Engine, Entry, Facts, Message, Now, Phase, Policy, Release,
    Trouble,
};

use device::FakeDevice;
use disk::Disk;
use process::Process;
use releases::Fate;
use rng::Rng;
use server::Server;
use store::MemStore;

/// How a process ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// `kill -9`: what the kernel has in memory survives.
    Kill,
    /// The plug: only what was synced survives, and of the rest any part.
    Power,
}

/// Everything outside of the process.
pub struct Core {
    pub disk: Disk,
    pub copies: [Vec<u8>; 2],
    pub server: Box<dyn Server>,
    pub rng: Rng,
    /// Milliseconds since boot.
    pub boot_ms: u64,
    /// Seconds since 1970.
    pub unix: i64,
    /// Boundaries passed.
    pub boundaries: u64,
    /// Dies at this boundary.
    pub fuse: Option<(u64, Cut)>,
    /// How the process died; nothing it does has an effect any more.
    pub dead: Option<Cut>,
    /// The network works.
    pub network: bool,
    /// Of 100 messages so many get lost on their way there, and so many answers on their way back.
    pub loss: u64,
    /// A reboot was asked for.
    pub reboot: bool,
    /// What must never happen, and did.
    pub violations: Vec<String>,
    /// Bytes fetched.
    pub fetched: u64,
    /// Of which payload.
    pub frames: u64,
    /// Commits by release.
    pub commits: BTreeMap<u64, u64>,
    /// Actions whose trial was committed.
    pub committed: BTreeSet<ActionId>,
    /// Times a tried entry was given new tries.
    pub rearmed: u64,
    /// Times the idle slot was armed.
    pub armed: u64,
    /// Final answers as the server took them, in order.
    pub finals: Vec<(ActionId, bool, Vec<String>)>,
    pub log: Vec<String>,
    /// How releases behave on trial.
    pub fates: BTreeMap<u64, Fate>,
    /// Power is cut in the next so many trial boots, early.
    pub cranks: u64,
    /// And after those in so many that came as far as the state partition.
    pub late_cranks: u64,
    /// Failure signs the device knows.
    pub sign: Option<String>,
    /// Trial boots that came up.
    pub came_up: u32,
    pub trial_started: bool,
    /// Deletes the trial's entry before the next boot.
    pub lose_entry: bool,
    /// Work fails in this way, so many times.
    pub trouble: Vec<(&'static str, Trouble)>,
}

impl Core {
    /// One boundary; false when the process is dead.
    pub fn alive(&mut self) -> bool {
        if self.dead.is_some() {
            return false;
        }
        self.boundaries += 1;
        if let Some((at, cut)) = self.fuse
            && self.boundaries >= at
        {
            self.fuse = None;
            self.dead = Some(cut);
            return false;
        }
        self.check_bootable();
        true
    }

    /// At every boundary something must be there that boots without any luck.
    fn check_bootable(&mut self) {
        if let Err(why) = self.disk.check() {
            self.violations.push(why);
        }
    }

    /// By the durable record, because the process may be dead.
    fn action_on_trial(&self) -> Option<ActionId> {
        let newest = self
            .copies
            .iter()
            .filter_map(|bytes| roamcore_engine::store::decode(bytes).ok())
            .max_by_key(|(sequence, _)| *sequence)?;
        let phase = newest.1.phase;
        assert!(
            !phase.can_be_cancelled(),
            "a trial runs while the record is {}",
            phase.name()
        );
        phase.job()?.source.action().cloned()
    }

    pub fn now(&self) -> Now {
        Now {
            boot_ms: self.boot_ms,
            unix: Some(self.unix),
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.boot_ms += ms;
        self.unix += i64::try_from(ms.div_ceil(1000)).unwrap();
        self.server.pass(ms);
    }
}

pub type Shared = Rc<RefCell<Core>>;

pub struct World {
    pub core: Shared,
    pub policy: Policy,
    pub conditions: Conditions,
    pub process: Option<Process>,
    /// Called with every round, for operators and people.
    pub rounds: u64,
}

impl World {
    pub fn new(seed: u64, server: Box<dyn Server>) -> Self {
        let core = Core {
            disk: Disk::factory(1),
            copies: [Vec::new(), Vec::new()],
            server,
            rng: Rng::new(seed),
            boot_ms: 10_000,
            unix: 1_760_000_000,
            boundaries: 0,
            fuse: None,
            dead: None,
            network: true,
            loss: 0,
            reboot: false,
            violations: Vec::new(),
            fetched: 0,
            frames: 0,
            commits: BTreeMap::new(),
            committed: BTreeSet::new(),
            rearmed: 0,
            armed: 0,
            finals: Vec::new(),
            log: Vec::new(),
            fates: BTreeMap::new(),
            cranks: 0,
            late_cranks: 0,
            sign: None,
            came_up: 0,
            trial_started: false,
            lose_entry: false,
            trouble: Vec::new(),
        };
        Self {
            core: Rc::new(RefCell::new(core)),
            policy: Policy::default(),
            conditions: Conditions {
                may_reboot: true,
                online: true,
            },
            process: None,
            rounds: 0,
        }
    }

    /// One round: the process is started if there is none, does one thing, time passes, deaths and boots happen.
    pub fn round(&mut self) {
        self.rounds += 1;
        if self.process.is_none() {
            self.start();
        }
        if let Some(process) = &mut self.process {
            process.round();
        }
        self.core.borrow_mut().pass(2000);
        self.trial();
        let (dead, reboot) = {
            let mut core = self.core.borrow_mut();
            (core.dead.take(), std::mem::take(&mut core.reboot))
        };
        match dead {
            Some(Cut::Kill) => self.process = None,
            Some(Cut::Power) => self.power_cut(),
            None if reboot => self.boot(),
            None => {}
        }
    }

    fn start(&mut self) {
        let mut device = FakeDevice::new(&self.core);
        let Ok(facts) = roamcore_engine::Device::facts(&mut device) else {
            return;
        };
        let now = self.core.borrow().now();
        let mut result = self.engine(Damaged::Refuse, facts.clone(), now);
        if matches!(result, Err(roamcore_engine::StoreError::Corrupt { .. })) {
            result = self.engine(Damaged::RebuildFromDisk, facts, now);
        }
        match result {
            Ok((engine, effects)) => {
                self.process = Some(Process::new(&self.core, engine, effects));
            }
            // Died while it started.
            Err(_) => assert!(self.core.borrow().dead.is_some(), "cannot start"),
        }
    }

    fn engine(
        &self,
        damaged: Damaged,
        facts: Facts,
        now: Now,
    ) -> Result<(Engine<MemStore>, Vec<roamcore_engine::Effect>), roamcore_engine::StoreError> {
        let store = MemStore::new(&self.core);
        Engine::start(
            store,
            damaged,
            facts,
            self.conditions,
            self.policy.clone(),
            now,
        )
    }

    pub fn power_cut(&mut self) {
        {
            let mut core = self.core.borrow_mut();
            let Core { disk, rng, .. } = &mut *core;
            disk.lose_volatile(rng);
        }
        self.boot();
    }

    /// Firmware, boot loader, kernel.
    pub fn boot(&mut self) {
        self.process = None;
        let mut core = self.core.borrow_mut();
        core.reboot = false;
        core.dead = None;
        core.trial_started = false;
        core.disk.sync();
        if std::mem::take(&mut core.lose_entry) {
            core.disk.lose_idle_entry();
        }
        // Boots that end before any process of ours runs.
        for _ in 0..20 {
            let number = core.disk.boot();
            core.boot_ms = 10_000;
            core.pass(20_000);
            if !core.disk.on_trial() {
                return;
            }
            if core.cranks > 0 {
                core.cranks -= 1;
                continue;
            }
            if core.late_cranks > 0 {
                core.late_cranks -= 1;
                core.came_up += 1;
                continue;
            }
            match core.fates.get(&number).copied().unwrap_or(Fate::Good) {
                Fate::Panics => continue,
                _ => {
                    core.came_up += 1;
                    return;
                }
            }
        }
        panic!("the boot loader never leaves the trial");
    }

    /// What runs in a trial without the engine: gate, commit service, deadline timer.
    fn trial(&mut self) {
        let mut core = self.core.borrow_mut();
        if !core.disk.on_trial() || core.dead.is_some() || core.reboot {
            return;
        }
        let number = core.disk.running().number;
        let fate = core.fates.get(&number).copied().unwrap_or(Fate::Good);
        let up = core.boot_ms;
        match fate {
            Fate::Good if up > 60_000 => {
                core.disk.commit();
                if let Some(action) = core.action_on_trial() {
                    core.committed.insert(action);
                }
                *core.commits.entry(number).or_default() += 1;
                core.log.push(format!("committed {number}"));
                drop(core);
                if let Some(process) = &mut self.process {
                    process.gate(roamcore_engine::Gate::Passed);
                    process.read_facts();
                }
            }
            Fate::GateFails if up > 60_000 => {
                drop(core);
                if let Some(process) = &mut self.process {
                    process.gate(roamcore_engine::Gate::Failed("storage is missing".into()));
                }
            }
            // The timer of the deadline does not need the engine.
            _ if up > 15 * 60 * 1000 => core.reboot = true,
            _ => {}
        }
    }

    // ---- for tests ----

    pub fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.round();
        }
    }

    /// Rounds until a condition holds; panics with the history when it never does.
    pub fn until(&mut self, what: &str, most: u64, condition: impl Fn(&Self) -> bool) {
        for _ in 0..most {
            if condition(self) {
                return;
            }
            self.round();
        }
        panic!("never: {what}\n{}", self.history());
    }

    pub fn phase(&self) -> &'static str {
        self.process
            .as_ref()
            .map_or("none", |process| process.phase().name())
    }

    pub fn with_phase<T>(&self, look: impl FnOnce(&Phase) -> T) -> Option<T> {
        self.process.as_ref().map(|process| look(&process.phase()))
    }

    /// Nothing is going on and nothing is owed.
    pub fn quiet(&self) -> bool {
        // What a download-only action brought is kept until somebody wants it.
        let resting = |phase: &Phase| match phase {
            Phase::Idle => true,
            Phase::Verified { job, .. } => job.told_downloaded && job.mode.is_download_only(),
            _ => false,
        };
        self.process.as_ref().is_some_and(|process| {
            resting(&process.phase()) && process.unsent() == 0 && process.told_truth()
        }) && self.core.borrow_mut().server.is_quiet()
    }

    pub fn settle(&mut self) {
        self.until("quiet", 4000, Self::quiet);
    }

    pub fn running(&self) -> u64 {
        self.core.borrow().disk.running().number
    }

    pub fn history(&self) -> String {
        let core = self.core.borrow();
        let tail = core.log.len().saturating_sub(120);
        let status = self
            .process
            .as_ref()
            .map(|process| format!("{:?}", process.status()));
        format!(
            "{}\nviolations: {:?}\ndisk: {:#?}\nserver: {}\n{}",
            core.log[tail..].join("\n"),
            core.violations,
            core.disk,
            core.server.describe(),
            status.unwrap_or_default()
        )
    }

    /// Invariants that hold at every end.
    pub fn check(&self) {
        let core = self.core.borrow();
        assert!(core.violations.is_empty(), "{}", self.history());
        let running = core.disk.running().number;
        assert_eq!(
            core.server.installed(),
            Some(running),
            "server and device differ\n{}",
            self.history()
        );
        assert!(!core.disk.on_trial(), "{}", self.history());
        // Nothing that the next boot would try.
        let armed = matches!(core.disk.idle().entry, Entry::Counted { .. });
        assert!(!armed, "{}", self.history());
    }
}

/// What a release of the model is called.
pub fn release(number: u64) -> Release {
    releases::release(number)
}

pub fn is_final(message: &Message) -> bool {
    matches!(message, Message::Final { .. })
}
