//! A running server.
//!
//! Owns: starting (state, operator's token, two listeners), the writing down of polls now and then, and stopping: new
//! connections are refused, answers under way get some time, then the state is closed.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::listen::{Patient, Remote};
use super::{App, Options, device, manage};
use crate::error::Error;
use crate::secret::Token;
use crate::store::{Store, StoreError, releases, targets};

/// How often the times of polls are written down.
const POLLS_EVERY: Duration = Duration::from_secs(10);
/// Answers under way have this long when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Where the operator's token is, in the server's directory.
pub const ADMIN_TOKEN: &str = "admin.token";

/// A running server. Stops when dropped, at once; better call [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    devices: SocketAddr,
    operators: SocketAddr,
    token_file: PathBuf,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the state and listens.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&dir)?;
            let token = admin_token(&dir.join(ADMIN_TOKEN))?;
            Ok::<_, Error>((store, token))
        });
        let (store, token) = opened.await.map_err(|_| StoreError::Stopping)??;
        sweep(&store).await?;
        let token_file = options.dir.join(ADMIN_TOKEN);
        let (patience, connections) = (options.patience, options.connections);
        let devices = bind(options.listen).await?;
        let operators = bind(options.manage).await?;
        let app = App::new(store, options, token.hashed()?);
        let (stop, stopped) = watch::channel(false);
        let mut server = Server {
            devices: address(&devices)?,
            operators: address(&operators)?,
            token_file,
            stop,
            tasks: Vec::new(),
        };
        for (listener, router) in [
            (devices, device::router(&app)),
            (operators, manage::router(&app)),
        ] {
            let listener = Patient::new(listener, connections, patience);
            server
                .tasks
                .push(tokio::spawn(serve(listener, router, stopped.clone())));
        }
        server.tasks.push(tokio::spawn(write_polls(app, stopped)));
        Ok(server)
    }

    /// Where devices call: `http://address:port`.
    pub fn device_url(&self) -> String {
        format!("http://{}", self.devices)
    }

    /// Where operators call.
    pub fn manage_url(&self) -> String {
        format!("http://{}", self.operators)
    }

    /// The file with the operator's token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Lets answers under way end, then closes the state.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut self.tasks);
        for mut task in tasks {
            if tokio::time::timeout(LAST_ANSWERS, &mut task).await.is_err() {
                task.abort();
                // Aborted tasks end at their next step; the error says only that.
                drop(task.await);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| {
        StoreError::file("cannot listen on", Path::new(&address.to_string()))(source).into()
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener
        .local_addr()
        .map_err(|source| StoreError::file("cannot use", Path::new("the socket"))(source).into())
}

async fn serve(listener: Patient, router: Router, mut stopped: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<Remote>();
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    if let Err(error) = axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await
    {
        crate::log::error(format!("a listener ended: {error}"));
    }
}

async fn write_polls(app: App, mut stopped: watch::Receiver<bool>) {
    loop {
        let stopping = tokio::time::timeout(POLLS_EVERY, stopped.wait_for(|stop| *stop))
            .await
            .is_ok();
        if let Err(error) = app.flush_polls().await {
            crate::log::warning(crate::log::chain(&error));
        }
        if stopping {
            return;
        }
    }
}

impl App {
    /// Writes down who polled since the last time.
    pub(super) async fn flush_polls(&self) -> Result<(), Error> {
        let polls = self.take_polls();
        if polls.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |db| {
                polls
                    .iter()
                    .try_for_each(|(id, at)| targets::set_last_poll(db, id, *at))
            })
            .await
    }
}

/// Bytes that no artifact has: an upload or a removal was cut off.
async fn sweep(store: &Store) -> Result<(), Error> {
    let keep = store.read(releases::all_hashes).await?;
    let blobs = store.blobs().clone();
    let swept = tokio::task::spawn_blocking(move || blobs.sweep(&keep))
        .await
        .map_err(|_| StoreError::Stopping)??;
    if swept > 0 {
        crate::log::notice(format!("removed {swept} files that no artifact refers to"));
    }
    Ok(())
}

/// Reads the operator's token, or makes one: readable by its owner alone, whole or not there.
fn admin_token(path: &Path) -> Result<Token, Error> {
    match std::fs::File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            // A real one has 65 bytes.
            file.take(4096)
                .read_to_string(&mut text)
                .map_err(StoreError::file("cannot read", path))?;
            Token::chosen(text.trim_end()).map_err(|e| {
                Error::Invalid(format!(
                    "{}: {e}; remove the file to get a new one",
                    path.display()
                ))
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = Token::generate()?;
            let temporary = path.with_extension("new");
            let write = || {
                let mut options = OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&temporary)?;
                writeln!(file, "{}", token.expose())?;
                file.sync_all()?;
                std::fs::rename(&temporary, path)
            };
            write().map_err(StoreError::file("cannot write", path))?;
            Ok(token)
        }
        Err(error) => Err(StoreError::file("cannot read", path)(error).into()),
    }
}
