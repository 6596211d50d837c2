//! The service: everything put together.
//!
//! Owns: what starts in which order, and what a damaged setting or record leads to. Never does: work.
//!
//! ```text
//!   lock -> image -> settings -> disk -> record -> socket -> uplink -> READY -> core loop
//!             damaged settings: no server, a problem that the health gate sees, local use goes on
//!             damaged record:   rebuilt from the disk, said aloud
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use roamcore_agent::files::{self, At};
use roamcore_agent::log;
use roamcore_ddi::client::retry::Schedule;
use roamcore_engine::{Conditions, Damaged, Effect, Engine, FileStore, Now, StoreError};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;

use crate::chain::chain;
use crate::config::{Config, Server};
use crate::connect;
use crate::core::{Connected, Core, Input, Parts};
use crate::image::Image;
use crate::notify::Notify;
use crate::offers::Offers;
use crate::places::Places;
use crate::protocol::ServerStatus;
use crate::remote::Link;
use crate::socket;
use crate::uplink::Uplink;
use crate::work::SharedDevice;

/// Inputs that wait; work and uplink pause beyond it.
const QUEUE: usize = 64;

/// Runs the service until it is told to end.
pub fn run(places: &Places, device: SharedDevice) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The network is no work; one thread for it, one for what may block.
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(serve(places, device, told_to_end()))
}

/// As [`run`], inside a runtime, until `end` is over.
pub async fn serve(
    places: &Places,
    device: SharedDevice,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let _lock = lock(places)?;
    let image = Image::load(&places.os_release())?;
    let (config, mut problem) = settings(places);
    if let Some(problem) = &problem {
        log::error(format!("settings: {problem}; going on without a server"));
    }
    let (sender, inputs) = mpsc::channel(QUEUE);
    let connected = match &config.server {
        None => None,
        Some(server) => match uplink(server, &image, places, sender.clone()) {
            Ok(connected) => Some(connected),
            Err(error) => {
                let text = chain(&error);
                log::error(format!("server: {text}; going on without it"));
                problem = problem.or(Some(text));
                None
            }
        },
    };
    let (engine, effects) = start(places, &image, &config, &device)?;
    let listener = socket::bind(&places.socket())?;
    let (ask, asked) = mpsc::channel(socket::MOST_CLIENTS);
    tokio::spawn(socket::serve(listener, ask));
    let ended = sender.clone();
    tokio::spawn(async move {
        end.await;
        drop(ended.send(Input::Terminate).await);
    });
    let core = Core::new(Parts {
        engine,
        effects,
        device,
        connected,
        problem,
        image,
        history: places.state(),
        notify: Notify::new(),
        sender,
    });
    let ended = core.run(inputs, asked).await;
    // A socket that nobody serves would make clients wait.
    drop(std::fs::remove_file(places.socket()));
    ended.context("the update record cannot be written")?;
    log::notice("the service ends");
    Ok(())
}

/// Two daemons on one disk would be a disaster; the kernel drops the lock of a dead one.
fn lock(places: &Places) -> Result<File> {
    let path = places.lock();
    files::ensure_directory(&places.roots.facts(), 0o755)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .at("open", &path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!(
            "another update service holds {}; use `systemctl restart roamcore.service`",
            path.display()
        );
    }
    Ok(file)
}

/// The settings, or the defaults and what is wrong: whoever broke them still needs a service that
/// installs from a stick and a gate that says no.
fn settings(places: &Places) -> (Config, Option<String>) {
    match Config::load(&places.config()) {
        Ok(config) => (config, None),
        Err(error) => (Config::default(), Some(chain(&error))),
    }
}

fn uplink(
    server: &Server,
    image: &Image,
    places: &Places,
    core: mpsc::Sender<Input>,
) -> Result<Connected, connect::ConnectError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let ready = connect::connect(server, image, places, credentials.as_deref())?;
    let client = Arc::new(ready.client);
    let offers = Arc::new(Offers::default());
    let (orders, received) = mpsc::channel(QUEUE);
    let uplink = Uplink::new(
        client.clone(),
        offers.clone(),
        image.clone(),
        core,
        received,
        Schedule::new(server.poll()),
        ready.seed,
    );
    tokio::spawn(uplink.run());
    Ok(Connected {
        link: Link {
            client,
            offers,
            runtime: tokio::runtime::Handle::current(),
        },
        orders,
        status: ServerStatus {
            url: server.url.clone(),
            controller: ready.controller,
            ..ServerStatus::default()
        },
    })
}

fn start(
    places: &Places,
    image: &Image,
    config: &Config,
    device: &SharedDevice,
) -> Result<(Engine<FileStore>, Vec<Effect>)> {
    let facts = device
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .facts()
        .context("the slots cannot be looked at")?;
    let conditions = Conditions {
        may_reboot: true,
        online: false,
    };
    let now = Now {
        boot_ms: 0,
        unix: image.clock(),
    };
    let begin = |damaged| {
        let store = FileStore::new(&places.state())?;
        Engine::start(
            store,
            damaged,
            facts.clone(),
            conditions,
            config.policy.clone(),
            now,
        )
    };
    match begin(Damaged::Refuse) {
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Newer { .. })) => {
            log::error(chain(&error));
            begin(Damaged::RebuildFromDisk)
        }
        other => other,
    }
    .context("the update record cannot be used")
}

/// SIGTERM or SIGINT.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (term, int) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut term), Ok(mut int)) = (term, int) else {
        log::warning(
            "signals cannot be received; the service ends by being killed, which it survives",
        );
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
