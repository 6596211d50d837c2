//! A checkout and a cache that a benchmark may spoil.
//!
//! Owns: a copy of the checkout's sources, a cache of its own beside the real one, and the calls of
//! `roamcore-image`. Never does: touch the checkout, its lock, its outputs or the developer's keys.
//! Invariant: the package pool is the real one, shared by a link, so that no build waits for a
//! mirror; filling it is timed apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use roamcore_image::build::Sources;
use roamcore_image::cache::Cache;
use roamcore_image::command::Command;
use roamcore_image::events::Events;
use roamcore_image::keys::KeySet;
use roamcore_image::lock::{self, Lock, Mirrors, Set};
use roamcore_image::pool::Pool;
use roamcore_ota::{Channel, Role};
use roamcore_scratch::Scratch;
use roamcore_spec::names::Name;
use serde::Serialize;

use crate::built::{BuildReport, first_conf, newest_root};
use crate::stats::{Sample, time};

/// The appliance that is built: small, and free of anything that needs a key of a third party.
pub const APPLIANCE: &str = "bare";
/// Where the file lies that is changed between builds; every appliance has this overlay.
const CHANGED: &str = "overlays/base/files";

/// Where Debian is, when not where apt says.
#[derive(Debug, Clone)]
pub struct MirrorFlags {
    /// The main archive.
    pub debian: Option<String>,
    /// The security archive.
    pub security: Option<String>,
}

/// A place to build in.
#[derive(Debug)]
pub struct Workshop {
    checkout: PathBuf,
    mirrors: MirrorFlags,
    cache: Cache,
    ready: Option<Ready>,
}

/// What [`Workshop::ready`] makes once.
#[derive(Debug)]
pub struct Ready {
    temp: Scratch,
    builder: PathBuf,
    agent: PathBuf,
    edits: u32,
    warm: bool,
    /// The lock of these builds.
    pub lock: Lock,
    /// How the pool was filled.
    pub downloads: Downloads,
}

/// What a root has besides what the appliance asks for.
#[derive(Debug, Default)]
pub struct Extra {
    /// Packages.
    pub packages: &'static [&'static str],
    /// Groups that they make, with a number for each.
    pub groups: &'static [(&'static str, u32)],
}

/// What had to be fetched before building.
#[derive(Debug, Clone, Serialize)]
pub struct Downloads {
    /// Packages fetched now; the others were in the pool.
    pub fetched: usize,
    /// Packages in the pool already.
    pub present: usize,
    /// Milliseconds for fetching and checking all of them.
    pub milliseconds: u64,
    /// True when the committed lock's versions were gone and newer ones were taken.
    pub relocked: bool,
}

impl Workshop {
    /// A workshop for the sources of `checkout`; nothing is made before it is needed.
    pub fn new(checkout: &Path, mirrors: MirrorFlags) -> Result<Workshop> {
        let checkout = checkout
            .canonicalize()
            .with_context(|| format!("finding the checkout {}", checkout.display()))?;
        let cache = Cache::open(&Cache::default_root()?)?;
        Ok(Workshop {
            checkout,
            mirrors,
            cache,
            ready: None,
        })
    }

    /// The real cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Debian's mirrors, from flags or from this machine's apt.
    pub fn mirrors(&self) -> Result<Mirrors> {
        let flags = &self.mirrors;
        Ok(Mirrors::find(
            flags.debian.as_deref(),
            flags.security.as_deref(),
        )?)
    }

    /// Copies the sources, fills the pool and makes keys, once.
    pub fn ready(&mut self) -> Result<&mut Ready> {
        if self.ready.is_none() {
            self.ready = Some(self.prepare()?);
        }
        self.ready.as_mut().context("the workshop was just made")
    }

    fn prepare(&self) -> Result<Ready> {
        let temp = self.cache.scratch("bench")?;
        let checkout = temp.path().join("checkout");
        fs::create_dir(&checkout).context("creating the copy of the checkout")?;
        Command::new("cp")
            .arg("-a")
            .args(["appliances", "hardware", "overlays"].map(|d| self.checkout.join(d)))
            .arg(&checkout)
            .run()
            .context("copying the checkout")?;
        let (lock, downloads) = self.fill_pool(&checkout)?;
        KeySet::create(&temp.path().join("keys/development"), Role::Development)
            .context("making keys for the benchmark")?;
        Ok(Ready {
            builder: self.program("ROAMCORE_IMAGE_BIN", "target/release/roamcore-image")?,
            agent: self.program("ROAMCORE_AGENT", "target/agent/roamcore-agent")?,
            temp,
            edits: 0,
            warm: false,
            lock,
            downloads,
        })
    }

    fn program(&self, variable: &str, default: &str) -> Result<PathBuf> {
        let path =
            std::env::var_os(variable).map_or_else(|| self.checkout.join(default), PathBuf::from);
        if !path.is_file() {
            bail!(
                "{} is missing: run `./dev bench`, which builds it, or name another with {variable}",
                path.display()
            );
        }
        std::path::absolute(&path).with_context(|| format!("resolving {}", path.display()))
    }

    /// Fills the pool; resolves anew, in the copy only, when the committed lock cannot be used.
    fn fill_pool(&self, checkout: &Path) -> Result<(Lock, Downloads)> {
        let started = Instant::now();
        let events = Events::new(false);
        let name: Name = APPLIANCE.parse().context("the appliance's name")?;
        let request = Sources::load(checkout, &name, Channel::Development)?.request()?;
        let path = checkout.join(format!("appliances/{APPLIANCE}.lock"));
        let lock = Lock::read(&path)?;
        let (lock, done, relocked) = match self.ensure(&lock, &events)? {
            Some(done) if lock.matches(&request) => (lock, done, false),
            _ => {
                println!(
                    "note: the committed lock cannot be used as it is; taking the newest packages"
                );
                let lock = lock::resolve(&request, &self.mirrors()?, &events)?;
                lock.write(&path)?;
                let done = self.ensure(&lock, &events)?;
                let done = done.context("a version vanished while it was being resolved")?;
                (lock, done, true)
            }
        };
        let downloads = Downloads {
            fetched: done.0,
            present: done.1,
            milliseconds: millis(started.elapsed()),
            relocked,
        };
        Ok((lock, downloads))
    }

    /// Fetched and present packages; none when a locked version is gone from the mirrors.
    fn ensure(&self, lock: &Lock, events: &Events) -> Result<Option<(usize, usize)>> {
        let pool = Pool::open(self.cache.root().join("pool"))?;
        let (mut fetched, mut present) = (0, 0);
        for set in [Set::Tools, Set::Image] {
            // Mirrors are looked for only when something is missing: a full pool works offline.
            let missing = |p: &&lock::Package| !pool.path(p).is_file();
            let mirrors = match lock.packages(set).iter().find(missing) {
                Some(_) => Some(self.mirrors()?),
                None => None,
            };
            match pool.ensure(lock, set, mirrors.as_ref(), None, events) {
                Ok(done) => {
                    fetched += done.fetched;
                    present += done.present;
                }
                Err(error) if error.is_gone() => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some((fetched, present)))
    }

    /// A root of the packages of the committed lock and `extra` ones, as they stand in `suites`; kept as `to`. Roots of
    /// one workshop are made by the same tools.
    pub fn root_of(&mut self, suites: &[&str], extra: &Extra, to: &str) -> Result<(PathBuf, Lock)> {
        self.ready()?;
        let checkout = self.ready()?.temp.path().join("checkout");
        let name: Name = APPLIANCE.parse().context("the appliance's name")?;
        let asked = Sources::load(&checkout, &name, Channel::Development)?.request()?;
        let mut request = asked.clone();
        request.suites = suites.iter().map(|s| (*s).to_owned()).collect();
        let packages = extra.packages.iter().map(|s| (*s).to_owned());
        request.image.extend(packages);
        let mut lock = if request == asked {
            self.ready()?.lock.clone()
        } else {
            lock::resolve(&request, &self.mirrors()?, &Events::new(false))?
        };
        // The builder takes a lock only for the request it answers: this one is to pass for it.
        lock.inputs = asked.inputs();
        lock.tools = self.ready()?.lock.tools.clone();
        let filled = self.ensure(&lock, &Events::new(false))?;
        filled.context("a version vanished while it was being resolved")?;
        let pool = self.cache.root().join("pool");
        let ready = self.ready()?;
        ready.empty_cache(&pool)?;
        lock.write(&checkout.join(format!("appliances/{APPLIANCE}.lock")))?;
        let overlay = checkout.join("overlays/base/overlay.toml");
        let text = fs::read_to_string(&overlay).context("reading an overlay")?;
        fs::write(&overlay, format!("{text}{}", extra.declared())).context("writing an overlay")?;
        let built = ready.build();
        fs::write(&overlay, text).context("writing an overlay")?;
        ready
            .lock
            .write(&checkout.join(format!("appliances/{APPLIANCE}.lock")))?;
        built?;
        let root = newest_root(&ready.cache_dir())?.context("a build left no root filesystem")?;
        let kept = ready.temp.path().join(to);
        fs::copy(&root, &kept).context("keeping a root filesystem")?;
        Ok((kept, lock))
    }

    /// The root filesystem of the newest build, built now when there is none.
    pub fn root_image(&mut self) -> Result<PathBuf> {
        let caches = [
            self.ready.as_ref().map(Ready::cache_dir),
            Some(self.cache.root().to_owned()),
        ];
        for cache in caches.into_iter().flatten() {
            if let Some(found) = newest_root(&cache)? {
                return Ok(found);
            }
        }
        let ready = self.ready()?;
        ready.build()?;
        newest_root(&ready.cache_dir())?.context("a build left no root filesystem in its cache")
    }
}

impl Extra {
    /// The groups, as an overlay says them.
    fn declared(&self) -> String {
        let group =
            |(name, gid): &(&str, u32)| format!("\n[[group]]\nname = \"{name}\"\ngid = {gid}\n");
        self.groups.iter().map(group).collect()
    }
}

impl Ready {
    /// A directory that vanishes with the workshop.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.temp.path().join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    fn cache_dir(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    /// Empties the cache except for the packages.
    pub fn empty_cache(&mut self, pool: &Path) -> Result<()> {
        let dir = self.cache_dir();
        if dir.exists() {
            fs::remove_dir_all(&dir).context("emptying the benchmark's cache")?;
        }
        fs::create_dir(&dir).context("creating the benchmark's cache")?;
        std::os::unix::fs::symlink(pool, dir.join("pool")).context("sharing the package pool")?;
        self.warm = false;
        Ok(())
    }

    /// Fills the cache by one build, unless a build filled it before.
    pub fn warm_up(&mut self, pool: &Path) -> Result<()> {
        if !self.warm {
            self.empty_cache(pool)?;
            self.build()?;
        }
        Ok(())
    }

    /// Appends a comment of its own to one file of an overlay.
    pub fn change_overlay(&mut self) -> Result<()> {
        let dir = self.temp.path().join("checkout").join(CHANGED);
        let file = first_conf(&dir)?
            .with_context(|| format!("{} has no .conf file to change", dir.display()))?;
        self.edits += 1;
        let mut text = fs::read_to_string(&file).context("reading an overlay's file")?;
        text += &format!("# benchmark change {}\n", self.edits);
        fs::write(&file, text).context("changing an overlay's file")
    }

    /// Builds and gives the time of the whole process and the build's own report.
    pub fn build(&mut self) -> Result<(Sample, BuildReport)> {
        let (output, sample) = time(|| {
            Command::new(&self.builder)
                .env("ROAMCORE_CACHE", self.cache_dir())
                .env("ROAMCORE_KEYS", self.temp.path().join("keys"))
                .args(["build", APPLIANCE, "--offline", "--checkout"])
                .arg(self.temp.path().join("checkout"))
                .arg("--out")
                .arg(self.temp.path().join("out"))
                .arg("--agent")
                .arg(&self.agent)
                .run()
                .context("building")
        })?;
        self.warm = true;
        let dir = String::from_utf8(output.stdout).context("reading the builder's answer")?;
        let path = Path::new(dir.trim()).join("build-report.json");
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let report = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not as expected", path.display()))?;
        Ok((sample, report))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
