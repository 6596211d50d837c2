//! What a scenario works with: the image, directories, shared boots.
//!
//! Owns the stages. A stage is a named machine state at power-off, made at most once in each lane of a run, that tests
//! build on by overlays. (`savevm` cannot snapshot an NVMe disk, so a stage is a disk, never a running machine.) One guest may also be shared while
//! it runs, between tests that only look.
//! Invariant: a stage that failed is not tried again; every test that needs it fails with the first reason.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, anyhow};

use roamcore_scratch::{self as scratch, Scratch};

use crate::accel::Accel;
use crate::disk::base;
use crate::error::{Error, Result, file};
use crate::guest::Guest;
use crate::image::Image;
use crate::machine::Logs;
use crate::machine::spec::MachineSpec;
use crate::machine::state::{Frozen, MachineState};
use crate::release::{Change, Release};

/// A stage: the state and what its boot told.
#[derive(Debug)]
pub struct Stage {
    /// The machine at power-off.
    pub state: Frozen,
    /// Facts asked from the guest while it ran: name, answer.
    pub facts: BTreeMap<String, String>,
}

impl Stage {
    /// A fact; an error names the one that is missing.
    pub fn fact(&self, name: &str) -> anyhow::Result<&str> {
        self.facts
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the stage knows no fact `{name}`"))
    }
}

/// Which states of the disk the test `crash` boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashStates {
    /// How many.
    pub count: usize,
    /// Chooses them.
    pub seed: u64,
}

/// Where a run has its disks and firmware variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Removed at its end, or by the next run when this one is killed.
    Passing,
    /// Stays, for people to look at.
    Kept,
}

impl Work {
    /// Begins its directory's name.
    fn prefix(self) -> &'static str {
        match self {
            Work::Passing => "work-",
            Work::Kept => "kept-",
        }
    }
}

/// Handed to every scenario.
#[derive(Debug)]
pub struct Ctx {
    /// How guests run here.
    pub accel: Accel,
    /// For the test `crash`.
    pub crash: CrashStates,
    images: Vec<Image>,
    chosen: Cell<usize>,
    out: PathBuf,
    cache: PathBuf,
    /// Before `work`: what is dropped first still runs on the disks that go with it.
    shared: RefCell<Option<Guest>>,
    kind: Work,
    work: Scratch,
    test: RefCell<String>,
    machines: Cell<u32>,
    console: RefCell<Option<PathBuf>>,
    stages: RefCell<BTreeMap<String, std::result::Result<Rc<Stage>, String>>>,
    releases: RefCell<BTreeMap<String, Rc<Release>>>,
}

impl Ctx {
    /// For a run with logs under `out` and big files under `cache`. The first image is for every test that does not ask
    /// for an appliance of which there is another one. What killed runs left in the cache is removed.
    pub fn new(images: Vec<Image>, out: &Path, cache: &Path, work: Work) -> Result<Self> {
        std::fs::create_dir_all(cache).map_err(file("create", cache))?;
        scratch::tidy(cache, Work::Passing.prefix())?;
        let kind = work;
        let work = Scratch::create(cache, kind.prefix())?;
        Ok(Self {
            kind,
            accel: Accel::detect(),
            crash: CrashStates { count: 2, seed: 1 },
            images,
            chosen: Cell::new(0),
            out: out.into(),
            cache: cache.into(),
            work,
            test: RefCell::default(),
            machines: Cell::new(0),
            console: RefCell::default(),
            stages: RefCell::default(),
            shared: RefCell::default(),
            releases: RefCell::default(),
        })
    }

    /// The image under test.
    pub fn image(&self) -> Result<&Image> {
        self.images
            .get(self.chosen.get())
            .ok_or_else(|| Error::Missing {
                what: "an image".into(),
                remedy: "give its release directory with --image".into(),
            })
    }

    /// Whether an image was given.
    pub fn has_image(&self) -> bool {
        !self.images.is_empty()
    }

    /// Puts the image of this appliance under test, the first one when none is named. False if there is no such image.
    pub fn choose(&self, appliance: Option<&str>) -> bool {
        let wanted = |image: &Image| appliance.is_none_or(|name| image.appliance == name);
        let Some(index) = self.images.iter().position(wanted) else {
            return false;
        };
        if self.chosen.replace(index) != index {
            // It runs the other image.
            self.end_shared();
        }
        true
    }

    /// Begins a test: its logs go to a directory of their own, emptied first.
    pub fn begin(&self, test: &str) -> Result<()> {
        *self.test.borrow_mut() = test.into();
        *self.console.borrow_mut() = None;
        let directory = self.logs_directory();
        match std::fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file("empty", &directory)(e)),
            _ => std::fs::create_dir_all(&directory).map_err(file("create", &directory)),
        }
    }

    /// Forgets what failed, so that the current test can run again; its first logs stay beside the new ones.
    pub fn again(&self, attempt: u32) -> Result<()> {
        self.end_shared();
        self.stages.borrow_mut().retain(|_, stage| stage.is_ok());
        let test = self.test.borrow().clone();
        self.begin(&format!("{test}-again-{attempt}"))
    }

    /// Where the current test's logs are.
    pub fn logs_directory(&self) -> PathBuf {
        self.out.join(self.test.borrow().as_str())
    }

    /// The console log of the machine started last in this test.
    pub fn last_console(&self) -> Option<PathBuf> {
        self.console.borrow().clone()
    }

    /// Ends the run; says where its disks are, when they stay.
    pub fn end(self) -> Option<PathBuf> {
        self.end_shared();
        match self.kind {
            Work::Passing => None,
            Work::Kept => Some(self.work.keep()),
        }
    }

    /// Names the logs of the next machine.
    pub fn logs(&self, label: &str) -> Logs {
        self.machines.set(self.machines.get() + 1);
        let logs = Logs {
            directory: self.logs_directory(),
            prefix: format!("{}-{label}", self.machines.get()),
        };
        *self.console.borrow_mut() = Some(logs.file("console.log"));
        logs
    }

    /// A new machine with the image on a disk of `size` bytes and fresh firmware variables.
    pub fn new_machine(&self, size: u64) -> Result<MachineState> {
        let raw = base::unpacked(&self.image()?.disk, &self.cache, self.work.path())?;
        self.bare_machine()?.with_disk(&raw, size)
    }

    /// Size of the unpacked image in bytes.
    pub fn image_size(&self) -> Result<u64> {
        let raw = base::unpacked(&self.image()?.disk, &self.cache, self.work.path())?;
        Ok(std::fs::metadata(&raw)
            .map_err(file("look at", &raw))?
            .len())
    }

    /// A release like the image, but with this version and sequence; built at most once per run.
    pub fn release(&self, version: &str, sequence: u64) -> Result<Rc<Release>> {
        self.changed_release(version, sequence, None)
    }

    /// A release of changed sources; a version stands for one change.
    pub fn changed_release(
        &self,
        version: &str,
        sequence: u64,
        change: Option<Change>,
    ) -> Result<Rc<Release>> {
        let key = self.keyed(version);
        if let Some(known) = self.releases.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let out = self.work.path().join("releases");
        std::fs::create_dir_all(&out).map_err(file("create", &out))?;
        let built = Rc::new(Release::build(
            self.image()?,
            (version, sequence),
            change,
            &out,
        )?);
        self.releases.borrow_mut().insert(key, Rc::clone(&built));
        Ok(built)
    }

    /// A name that is one image's own.
    fn keyed(&self, name: &str) -> String {
        match self.image() {
            Ok(image) => format!("{name} of {}", image.appliance),
            Err(_) => name.into(),
        }
    }

    /// A new machine without a disk.
    pub fn bare_machine(&self) -> Result<MachineState> {
        MachineState::fresh(self.work.path(), &self.next_name())
    }

    /// A new machine that starts as a stage ended.
    pub fn fork(&self, stage: &Stage) -> Result<MachineState> {
        self.fork_state(&stage.state)
    }

    /// A new machine that starts as a frozen one.
    pub fn fork_state(&self, frozen: &Frozen) -> Result<MachineState> {
        frozen.fork(self.work.path(), &self.next_name())
    }

    fn next_name(&self) -> String {
        self.machines.set(self.machines.get() + 1);
        format!("m{}", self.machines.get())
    }

    /// Starts a machine on `state`.
    pub fn start(&self, spec: &MachineSpec, state: MachineState, label: &str) -> Result<Guest> {
        Guest::start(spec, state, self.accel, self.logs(label))
    }

    /// Boots `state` until its shell answers.
    pub fn boot(&self, spec: &MachineSpec, state: MachineState, label: &str) -> Result<Guest> {
        let mut guest = self.start(spec, state, label)?;
        guest.wait_up()?;
        Ok(guest)
    }

    /// The stage `name`, made by `make` if nobody asked for it before.
    pub fn stage(
        &self,
        name: &str,
        make: impl FnOnce(&Self) -> anyhow::Result<Stage>,
    ) -> anyhow::Result<Rc<Stage>> {
        let name = &self.keyed(name);
        if let Some(known) = self.stages.borrow().get(name) {
            return known.clone().map_err(|first| {
                let first = first.lines().next().unwrap_or_default();
                anyhow!("stage `{name}` failed before: {first}")
            });
        }
        // Not borrowed while it is made: a stage may stand on another one.
        let made = make(self).with_context(|| format!("make the stage `{name}`"));
        let kept = made.map(Rc::new).map_err(|error| format!("{error:#}"));
        self.stages.borrow_mut().insert(name.into(), kept.clone());
        let stage = kept.map_err(anyhow::Error::msg)?;
        Ok(stage)
    }

    /// Lets `look` use the shared guest, made by `make` if none runs. A guest whose look failed is not used again.
    pub fn with_shared<T>(
        &self,
        make: impl FnOnce(&Self) -> anyhow::Result<Guest>,
        look: impl FnOnce(&mut Guest) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut guest = self.take_shared(make)?;
        let result = look(&mut guest)?;
        *self.shared.borrow_mut() = Some(guest);
        Ok(result)
    }

    /// Takes the shared guest away, for a test that will spoil or end it.
    pub fn take_shared(
        &self,
        make: impl FnOnce(&Self) -> anyhow::Result<Guest>,
    ) -> anyhow::Result<Guest> {
        let Some(mut guest) = self.shared.take() else {
            return make(self);
        };
        let logs = self.logs("shared");
        *self.console.borrow_mut() = Some(guest.machine()?.logs().file("console.log"));
        guest.leave_evidence_in(logs);
        Ok(guest)
    }

    /// Ends the shared guest, if one runs.
    pub fn end_shared(&self) {
        if let Some(guest) = self.shared.take() {
            guest.discard();
        }
    }
}
