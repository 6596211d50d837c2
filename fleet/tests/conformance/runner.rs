//! Runs cases against servers and prints what came of them.
//!
//! Owns: names, order, time limits, the table. A case that fails does not stop others. Cases that change settings of the
//! whole server, or stop it, run alone after all others.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Semaphore;

use crate::device::Device;
use crate::server::{Action, Deployed, ModuleSpec, Order, Release, ServerUnderTest, Which};
use crate::updater::{Mode, Trouble, Updater};

/// What a case gets.
#[derive(Clone)]
pub struct Ctx {
    /// The server.
    pub server: Arc<dyn ServerUnderTest>,
    name: String,
}

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// A number that nobody else has.
pub fn unique() -> u64 {
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

impl Ctx {
    /// A new target of the operator's, with its device.
    pub async fn device(&self) -> Result<Device> {
        let number = unique();
        let (id, token) = (
            format!("van-{number}"),
            format!("a-token-for-tests-{number}"),
        );
        self.server.add_target(&id, &token).await?;
        Device::new(&self.server.url(), &id, &token)
    }

    /// A name for a device that nobody added.
    pub fn stranger(&self) -> String {
        format!("stranger-{}", unique())
    }

    /// A release of one module with these files.
    pub async fn release(&self, files: &[(&str, &[u8])]) -> Result<Release> {
        self.modules(&[module("os", files)]).await
    }

    /// A release of these modules.
    pub async fn modules(&self, modules: &[ModuleSpec]) -> Result<Release> {
        self.server
            .add_release(&format!("release-{}", unique()), modules)
            .await
    }

    /// Deploys, and expects an action.
    pub async fn deploy(&self, release: &Release, device: &Device, order: Order) -> Result<u64> {
        match self.server.deploy(release, &device.id, &order).await? {
            Deployed::Action(action) => Ok(action),
            other => bail!("deployment of {}: {other:?}", release.name),
        }
    }

    /// A new small release, deployed at once.
    pub async fn deployed(&self, device: &Device) -> Result<u64> {
        self.deployed_as(device, Order::default()).await
    }

    /// A new small release, deployed so.
    pub async fn deployed_as(&self, device: &Device, order: Order) -> Result<u64> {
        let release = self.release(&[("a.bin", b"0123456789abcdef")]).await?;
        self.deploy(&release, device, order).await
    }

    /// An action as its operator sees it.
    pub async fn action(&self, device: &Device, action: u64) -> Result<Action> {
        self.server.action(&device.id, action).await
    }

    /// A device that updates itself.
    pub fn updater(&self, device: &Device, mode: Mode, trouble: Trouble) -> Result<Updater> {
        Updater::new(&device.server, &device.id, &device.token, mode, trouble)
    }

    /// `embedded` or `hawkbit`, where the embedded server differs on purpose; see fleet/README.md.
    pub fn differs<T>(&self, embedded: T, hawkbit: T) -> T {
        match self.server.which() {
            Which::Embedded => embedded,
            Which::Hawkbit => hawkbit,
        }
    }
}

/// A module of a release.
pub fn module(part: &'static str, files: &[(&str, &[u8])]) -> ModuleSpec {
    ModuleSpec {
        part,
        files: files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
            .collect(),
        metadata: Default::default(),
    }
}

/// So many bytes that are not all alike.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count)
        .map(|n| u8::try_from((n * 31 + n / 251) % 256).unwrap_or(0))
        .collect()
}

// Not Send: a client that is downloading holds its caller's sink.
type Run = Box<dyn Fn(Ctx) -> Pin<Box<dyn Future<Output = Result<()>>>>>;

/// A case.
pub struct Case {
    /// Its name; those re-expressed from rauc-hawkbit-updater's suite begin with `rauc-`.
    pub name: String,
    alone: bool,
    run: Run,
}

/// A case.
pub fn case<F, Fut>(name: impl Into<String>, run: F) -> Case
where
    F: Fn(Ctx) -> Fut + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    Case {
        name: name.into(),
        alone: false,
        run: Box::new(move |ctx| Box::pin(run(ctx))),
    }
}

impl Case {
    /// It changes what others rely on.
    pub fn alone(self) -> Self {
        Case {
            alone: true,
            ..self
        }
    }

    /// Whether it does.
    pub fn is_alone(&self) -> bool {
        self.alone
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Verdict {
    /// None when it was good.
    pub failure: Option<String>,
    /// How long it took.
    pub time: Duration,
}

/// Runs all cases, so many at a time.
pub async fn run(
    cases: &Rc<Vec<Case>>,
    server: Arc<dyn ServerUnderTest>,
    at_once: u32,
    limit: Duration,
) -> Vec<Verdict> {
    let places = Arc::new(Semaphore::new(at_once as usize));
    let mut tasks = Vec::new();
    for index in 0..cases.len() {
        let (cases, server, places) = (Rc::clone(cases), Arc::clone(&server), Arc::clone(&places));
        tasks.push(tokio::task::spawn_local(async move {
            // Those that run alone take all places, and come last.
            let wanted = if cases[index].alone { at_once } else { 1 };
            let Ok(_place) = places.acquire_many(wanted).await else {
                return None;
            };
            let ctx = Ctx {
                server,
                name: cases[index].name.clone(),
            };
            Some(judge(&cases[index], ctx, limit).await)
        }));
    }
    let mut verdicts = Vec::new();
    for task in tasks {
        let verdict = match task.await {
            Ok(Some(verdict)) => verdict,
            Ok(None) => Verdict {
                failure: Some("not run".into()),
                time: Duration::ZERO,
            },
            Err(panic) => Verdict {
                failure: Some(format!("panicked: {}", words(panic))),
                time: Duration::ZERO,
            },
        };
        verdicts.push(verdict);
    }
    verdicts
}

fn words(error: tokio::task::JoinError) -> String {
    if !error.is_panic() {
        return error.to_string();
    }
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

async fn judge(case: &Case, ctx: Ctx, limit: Duration) -> Verdict {
    let start = Instant::now();
    let name = ctx.name.clone();
    let failure = match tokio::time::timeout(limit, (case.run)(ctx)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some(format!("{name} did not end within {} s", limit.as_secs())),
    };
    Verdict {
        failure,
        time: start.elapsed(),
    }
}
