//! Files of a deployment, from the server.
//!
//! Owns: the blocking bridge between work, which runs on a thread of its own, and the asynchronous
//! client. Never does: keep a byte. Invariant: a stop is noticed within a fraction of a second, also
//! while nothing arrives.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use roamcore_ddi::client::retry::{Clock, Random};
use roamcore_ddi::client::{Client, ClientError, Source};
use roamcore_ddi::messages::Artifact;
use roamcore_engine::{Control, DeviceError, Payload, Sink, Trouble};
use tokio::runtime::Handle;

use crate::chain::chain;
use crate::offers::Offers;
use crate::translate;

/// How often a waiting download looks whether it shall stop.
const LOOK: Duration = Duration::from_millis(200);

/// What a download needs.
#[derive(Debug, Clone)]
pub struct Link {
    /// The client.
    pub client: Arc<Client>,
    /// The links.
    pub offers: Arc<Offers>,
    /// The runtime whose threads do the network's part.
    pub runtime: Handle,
}

/// The files of one deployment.
pub struct Remote {
    link: Link,
    control: Arc<Control>,
    artifacts: Vec<Artifact>,
    /// Kept for their entity tags.
    sources: BTreeMap<String, Source>,
}

struct RealClock(std::sync::Mutex<Random>);

impl Clock for RealClock {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    fn random(&self) -> u64 {
        self.0
            .lock()
            .map(|mut random| random.draw())
            .unwrap_or(u64::MAX)
    }
}

impl Remote {
    /// For the files in `artifacts`.
    pub fn new(link: Link, control: Arc<Control>, artifacts: Vec<Artifact>) -> Self {
        Self {
            link,
            control,
            artifacts,
            sources: BTreeMap::new(),
        }
    }

    fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|artifact| artifact.filename == name)
    }

    fn failed(&self, name: &str, error: &ClientError, elsewhere: bool) -> DeviceError {
        if translate::links_may_be_old(error) {
            self.link.offers.suspect();
        }
        let mut trouble = translate::trouble(error);
        let mut reason = format!("{name}: {}", chain(error));
        // A host that nobody can reach would otherwise look like a van in a tunnel, and be waited for in vain.
        if elsewhere
            && trouble == Trouble::Offline
            && self.link.runtime.block_on(self.link.client.poll()).is_ok()
        {
            trouble = Trouble::Passing;
            reason += "; the update server itself answers";
        }
        DeviceError::new(trouble, reason)
    }

    async fn stopped(control: &Control) {
        while control.check().is_ok() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Payload for Remote {
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError> {
        Ok(self.artifact(name).map(|artifact| artifact.size))
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        let mut source = match (self.sources.remove(name), self.artifact(name)) {
            (Some(source), _) => source,
            // Whether the size is the signed one was compared by whoever asked `size`.
            (None, Some(artifact)) => self
                .link
                .client
                .source(artifact, artifact.size)
                .map_err(|error| self.failed(name, &error, false))?,
            (None, None) => {
                let reason = format!("the deployment has no file {name:?}");
                return Err(DeviceError::new(Trouble::Passing, reason));
            }
        };
        let clock = RealClock(std::sync::Mutex::new(Random::seeded(
            range.start ^ range.end,
        )));
        let mut refused = None;
        let mut pour = |bytes: &[u8]| {
            sink(bytes).map_err(|error| {
                refused = Some(error);
                io::Error::other("the receiver wants no more")
            })
        };
        let client = self.link.client.clone();
        let result = self.link.runtime.block_on(async {
            tokio::select! {
                result = client.fetch(&mut source, range, &clock, &mut pour) => Some(result),
                () = Self::stopped(&self.control) => None,
            }
        });
        let elsewhere = !source.is_own();
        self.sources.insert(name.to_owned(), source);
        match (refused, result) {
            (Some(error), _) => Err(error),
            (None, None) => Err(DeviceError::stopped()),
            (None, Some(Ok(()))) => Ok(()),
            (None, Some(Err(error))) => Err(self.failed(name, &error, elsewhere)),
        }
    }
}
