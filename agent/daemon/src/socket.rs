//! The daemon's side of the socket.
//!
//! Owns: the socket file, who may speak (root, or whoever runs the daemon), how many at once, how much
//! and how long. Never does: answer a request itself: it hands it to the core.
//! Invariant: a client that is slow, silent or mad costs one of [`MOST_CLIENTS`] places for a bounded time.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roamcore_agent::files::{At, IoAt};
use roamcore_agent::log;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::protocol::{Answer, MOST_REQUEST, Request};

/// People and gates; nobody needs more.
pub const MOST_CLIENTS: usize = 16;
/// A client has so long to send its line, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The core answers from memory; after this it hangs, and the watchdog will see to it.
const CORE: Duration = Duration::from_secs(60);

/// A request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Answer>);

/// Makes the socket, in place of one that a dead daemon left. The caller holds the lock of the one daemon.
pub fn bind(path: &Path) -> Result<UnixListener, IoAt> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(path).at("remove what was left at", path)?;
        }
        Ok(_) => {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists)).at("make a socket of", path);
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).at("listen at", path)?;
    // Who came in before this is still sent away by `allowed`.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .at("set the mode of", path)?;
    Ok(listener)
}

/// Serves until the core is gone.
pub async fn serve(listener: UnixListener, core: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.closed() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: without a pause this would be a busy loop.
                log::error(format!("cannot accept a client: {error}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let core = core.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &core).await {
                log::warning(format!("a client of the socket: {error}"));
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: UnixStream, core: &mpsc::Sender<Asked>) -> io::Result<()> {
    if let Err(reason) = allowed(&stream) {
        let answer = Answer::Refused { reason };
        return say(&mut stream, &answer).await;
    }
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(MOST_REQUEST as u64 + 1);
        let read = timeout(PATIENCE, bounded.read_until(b'\n', &mut line));
        let Ok(count) = read.await else { return Ok(()) };
        if count? == 0 {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            let reason = format!("the request has no end within {MOST_REQUEST} bytes");
            return say(&mut writer, &Answer::Failed { reason }).await;
        }
        let answer = match Request::parse(&line) {
            Ok(request) => ask(request, core).await,
            Err(error) => Answer::Failed {
                reason: format!("{:#}", anyhow::Error::from(error)),
            },
        };
        say(&mut writer, &answer).await?;
    }
}

/// Root, or the daemon's own user, which differs from root in tests only.
fn allowed(stream: &UnixStream) -> Result<(), String> {
    let peer = stream
        .peer_cred()
        .map_err(|error| format!("your user is not known: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    match peer.uid() {
        uid if uid == 0 || uid == own => Ok(()),
        uid => Err(format!(
            "user {uid} may not speak to the update service; use root"
        )),
    }
}

async fn ask(request: Request, core: &mpsc::Sender<Asked>) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let exchange = async {
        core.send((request, sender)).await.ok()?;
        receiver.await.ok()
    };
    match timeout(CORE, exchange).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::Failed {
            reason: "the update service is stopping".to_owned(),
        },
        Err(_) => Answer::Failed {
            reason: format!(
                "the update engine did not answer within {} s",
                CORE.as_secs()
            ),
        },
    }
}

async fn say(stream: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) -> io::Result<()> {
    let line = answer.to_line().map_err(io::Error::other)?;
    match timeout(PATIENCE, stream.write_all(&line)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it does not take its answer",
        )),
    }
}
