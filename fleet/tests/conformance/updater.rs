//! A device that updates itself, built on the real client: what the agent does, without disks.
//!
//! Owns: one action from the poll to the verdict. Mode `Whole` fetches every artifact with one request, mode `Ranges` in
//! pieces out of order, as a delta does. It polls for a cancellation between pieces, and accepts one until it installs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roamcore_ddi::client::retry::Clock;
use roamcore_ddi::client::{Auth, Channel, Client, ClientError, Limits, Roots, Settings, Token};
use roamcore_ddi::messages::{Artifact, Deployment, Execution, Feedback, Finished, Handling};
use sha2::{Digest, Sha256};

/// How bytes are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One request for each artifact.
    Whole,
    /// Many.
    Ranges,
}

impl Mode {
    /// Both, for cases that are run twice.
    pub const BOTH: [Mode; 2] = [Mode::Whole, Mode::Ranges];

    /// For names of cases.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Whole => "whole",
            Mode::Ranges => "ranges",
        }
    }
}

/// Waits a tenth of the time, so that tests of patience do not need it.
pub struct Hasty;

impl Clock for Hasty {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time / 10).await;
    }

    fn random(&self) -> u64 {
        u64::MAX / 2
    }
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Idle,
    /// Installed, or failed as it was told to; reported.
    Closed,
    /// Downloaded; not to be installed (yet).
    Downloaded,
    /// Given up, as the server wished.
    Canceled,
    /// Waits for its user.
    Waiting,
}

/// What is to go wrong on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The place for the bytes does not exist.
    NoPlace,
    /// The place for the bytes cannot be written.
    NotAllowed,
    /// There is no installer.
    NoInstaller,
    /// The installer fails.
    Install,
    /// The deployment is not one release of ours: one module with `update.json`.
    NotOurs,
}

/// The device.
pub struct Updater {
    /// The client.
    pub client: Client,
    mode: Mode,
    trouble: Trouble,
    /// Called before installing, when no cancellation is accepted any more.
    pub before_install: Option<tokio::sync::oneshot::Sender<()>>,
    /// Installing waits for this.
    pub may_install: Option<tokio::sync::oneshot::Receiver<()>>,
    /// Wait so long between pieces.
    pub pause: Duration,
}

/// Settings of a client for tests: short waits.
pub fn settings(server: &str, id: &str, auth: Auth) -> Settings {
    Settings {
        server: server.to_owned(),
        tenant: "DEFAULT".into(),
        controller: id.to_owned(),
        auth,
        roots: Roots {
            // The client insists on an authority, also where there is no TLS. Nobody has this one's key.
            server: include_bytes!("nobody.pem").to_vec(),
            others: None,
        },
        plaintext: true,
        limits: Limits {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
            document: Duration::from_secs(20),
            idle: Duration::from_secs(2),
            window: Duration::from_secs(3),
            slowest: 3 * 256,
            skip: 1 << 20,
            attempts: 6,
        },
        agent: "fleet-conformance".into(),
    }
}

/// A target token.
pub fn target_token(text: &str) -> Result<Auth> {
    Ok(Auth::TargetToken(Token::new(text)?))
}

impl Updater {
    /// A device that polls `server`.
    pub fn new(server: &str, id: &str, token: &str, mode: Mode, trouble: Trouble) -> Result<Self> {
        Self::with(&settings(server, id, target_token(token)?), mode, trouble)
    }

    /// A device with a client of its own.
    pub fn with(settings: &Settings, mode: Mode, trouble: Trouble) -> Result<Self> {
        Ok(Updater {
            client: Client::new(settings)?,
            mode,
            trouble,
            before_install: None,
            may_install: None,
            pause: Duration::ZERO,
        })
    }

    /// Polls, and does what there is to do.
    pub async fn step(&mut self) -> Result<Outcome> {
        let poll = self.client.poll().await?.poll;
        if let Some(link) = poll.cancellation()? {
            let cancel = self.client.cancellation(&link).await?;
            let told = Feedback::new(Execution::Closed, Finished::Success)
                .detail("action was not processed");
            self.client
                .report(Channel::Cancellation, &cancel.id, &told)
                .await?;
            return Ok(Outcome::Canceled);
        }
        if poll.confirmation()?.is_some() {
            return Ok(Outcome::Waiting);
        }
        let Some(link) = poll.deployment()? else {
            return Ok(Outcome::Idle);
        };
        let found = self.client.deployment(&link, 0).await?;
        let report = |told: Feedback| {
            let (client, id) = (&self.client, found.id.clone());
            async move { client.report(Channel::Deployment, &id, &told).await }
        };
        let fail = |text: &str| Feedback::new(Execution::Closed, Finished::Failure).detail(text);
        if self.trouble == Trouble::NotOurs
            && let Err(why) = ours(&found.deployment)
        {
            report(fail(&why)).await?;
            return Ok(Outcome::Closed);
        }
        report(Feedback::new(Execution::Download, Finished::None)).await?;
        match self.download(&found.deployment).await {
            Ok(false) => {}
            Ok(true) => {
                let told = Feedback::new(Execution::Closed, Finished::Success)
                    .detail("download was stopped");
                self.client
                    .report(Channel::Cancellation, &found.id, &told)
                    .await?;
                return Ok(Outcome::Canceled);
            }
            Err(error) => {
                report(fail(&chain(&error))).await?;
                return Err(error.into());
            }
        }
        report(Feedback::new(Execution::Downloaded, Finished::None).detail("hashes are right"))
            .await?;
        if found.deployment.update == Handling::Skip {
            return Ok(Outcome::Downloaded);
        }
        if let Some(signal) = self.before_install.take() {
            signal.send(()).ok();
        }
        if let Some(go) = self.may_install.take() {
            drop(go.await);
        }
        match self.trouble {
            Trouble::NoInstaller => report(fail("there is no installer")).await?,
            Trouble::Install => report(fail("installation failed: slot is on fire")).await?,
            _ => {
                report(Feedback::new(Execution::Closed, Finished::Success).detail("installed"))
                    .await?
            }
        }
        Ok(Outcome::Closed)
    }

    /// Steps until something is over, or `time` is.
    pub async fn until_over(&mut self, time: Duration) -> Result<Outcome> {
        let deadline = Instant::now() + time;
        loop {
            match self.step().await? {
                over @ (Outcome::Closed | Outcome::Canceled) => return Ok(over),
                other if Instant::now() > deadline => return Ok(other),
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// True when it was cancelled meanwhile.
    async fn download(&self, deployment: &Deployment) -> std::result::Result<bool, ClientError> {
        for artifact in deployment.chunks.iter().flat_map(|chunk| &chunk.artifacts) {
            let mut bytes = vec![0; usize::try_from(artifact.size).unwrap_or(0)];
            let mut source = self.client.source(artifact, artifact.size)?;
            for (from, to) in pieces(artifact.size, self.mode) {
                let mut at = usize::try_from(from).unwrap_or(0);
                let trouble = self.trouble;
                let mut sink = |piece: &[u8]| {
                    match trouble {
                        Trouble::NoPlace => return Err(std::io::ErrorKind::NotFound.into()),
                        Trouble::NotAllowed => {
                            return Err(std::io::ErrorKind::PermissionDenied.into());
                        }
                        _ => {}
                    }
                    bytes[at..at + piece.len()].copy_from_slice(piece);
                    at += piece.len();
                    Ok(())
                };
                self.client
                    .fetch(&mut source, from..to, &Hasty, &mut sink)
                    .await?;
                tokio::time::sleep(self.pause).await;
                if !self.pause.is_zero() && self.client.poll().await?.poll.cancellation()?.is_some()
                {
                    return Ok(true);
                }
            }
            check(artifact, &bytes);
        }
        Ok(false)
    }
}

fn pieces(size: u64, mode: Mode) -> Vec<(u64, u64)> {
    if mode == Mode::Whole || size < 4 {
        return vec![(0, size)];
    }
    let quarter = size / 4;
    // Out of order, as a delta fetches.
    vec![
        (2 * quarter, 3 * quarter),
        (0, quarter),
        (3 * quarter, size),
        (quarter, 2 * quarter),
    ]
}

fn check(artifact: &Artifact, bytes: &[u8]) {
    let sum: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        artifact.hashes.sha256.as_deref(),
        Some(sum.as_str()),
        "SHA-256 of {}",
        artifact.filename
    );
}

fn ours(deployment: &Deployment) -> std::result::Result<(), String> {
    match deployment.chunks.as_slice() {
        [one]
            if one
                .artifacts
                .iter()
                .any(|artifact| artifact.filename == "update.json") =>
        {
            Ok(())
        }
        [_] => Err("the deployment has no update.json".into()),
        many => Err(format!(
            "the deployment has {} software modules, one is supported",
            many.len()
        )),
    }
}

/// An error with its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// The HTTP status in an error of the client.
pub fn status_of(error: &anyhow::Error) -> Result<u16> {
    match error
        .downcast_ref::<ClientError>()
        .context("another error")?
    {
        ClientError::Status { status, .. } => Ok(*status),
        other => anyhow::bail!("no status: {other}"),
    }
}
