//! The conversation with the server.
//!
//! Owns: when to poll, reading what a poll links, sending what the engine has to say, one thing at a
//! time. Never does: decide about an update. Invariants: a view is told only after everything it takes
//! was read; no deployment is read that the latest poll does not link; two polls are at least a second
//! apart, whoever asks.
//!
//! ```text
//!   schedule --due--> poll --> deploymentBase | confirmationBase | cancelAction --> Event::Server
//!   core ----Send---> report, confirm, installedBase, auto confirm              --> Event::Delivered
//!   core ----Check, Busy, Attributes
//! ```

use std::sync::Arc;
use std::time::Duration;

use roamcore_agent::log;
use roamcore_ddi::client::retry::{Random, SHORTEST, Schedule};
use roamcore_ddi::client::{Client, ClientError};
use roamcore_ddi::messages::{ActivateAutoConfirm, ConfigData, Poll};
use roamcore_engine::{ActionId, Delivery, Event, Message, MessageId, View};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chain::chain;
use crate::core::Input;
use crate::image::Image;
use crate::offers::Offers;
use crate::translate::{self, Call};

/// The server's last words about an action are for people; few are enough.
const HISTORY: u32 = 0;

/// What the core wants from the uplink.
#[derive(Debug)]
pub enum Order {
    /// Poll now; somebody waits.
    Check,
    /// Poll soon, but not before a backoff is over.
    Poll,
    /// Poll more often while work can be cancelled, or not.
    Busy(bool),
    /// Send this and say what became of it.
    Send(MessageId, Message),
    /// What the device is.
    Attributes(ConfigData),
}

/// How the conversation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Why the last poll failed; none when it was good.
    pub problem: Option<String>,
    /// Seconds between polls.
    pub interval: u64,
}

/// The task.
pub struct Uplink {
    client: Arc<Client>,
    offers: Arc<Offers>,
    image: Image,
    core: mpsc::Sender<Input>,
    orders: mpsc::Receiver<Order>,
    schedule: Schedule,
    random: Random,
    busy: bool,
    failing: Option<String>,
    attributes: Option<ConfigData>,
    told: Option<ConfigData>,
}

impl Uplink {
    /// Not started yet. `seed` spreads the devices of a fleet.
    pub fn new(
        client: Arc<Client>,
        offers: Arc<Offers>,
        image: Image,
        core: mpsc::Sender<Input>,
        orders: mpsc::Receiver<Order>,
        schedule: Schedule,
        seed: u64,
    ) -> Self {
        Self {
            client,
            offers,
            image,
            core,
            orders,
            schedule,
            random: Random::seeded(seed),
            busy: false,
            failing: None,
            attributes: None,
            told: None,
        }
    }

    /// Runs until the core is gone.
    pub async fn run(mut self) {
        let mut due = Instant::now() + self.schedule.first(self.random.draw());
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                // Orders first: a message that waits is worth more than a poll.
                biased;
                order = self.orders.recv() => {
                    let earliest = last.map_or_else(Instant::now, |last| last + SHORTEST);
                    match order {
                        None => return,
                        Some(Order::Check) => due = earliest,
                        Some(Order::Poll) if self.failing.is_none() => due = due.min(earliest),
                        Some(Order::Poll) => {}
                        Some(Order::Busy(busy)) => {
                            if busy && !self.busy && self.failing.is_none() {
                                due = due.min(earliest + roamcore_ddi::client::retry::BUSY);
                            }
                            self.busy = busy;
                        }
                        Some(Order::Attributes(attributes)) => self.attributes = Some(attributes),
                        Some(Order::Send(id, message)) => self.send(id, &message).await,
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    let wait = self.poll().await;
                    let now = Instant::now();
                    last = Some(now);
                    due = now + wait.max(SHORTEST);
                }
            }
        }
    }

    /// Polls, tells what there is, and says how long to wait.
    async fn poll(&mut self) -> Duration {
        let result = self.look().await;
        let random = self.random.draw();
        let (wait, problem) = match result {
            Ok((view, poll)) => {
                let sleep = &poll.config.polling.sleep;
                let (wait, read) = self.schedule.after_answer(sleep, self.busy, random);
                if let Err(error) = read {
                    log::warning(error);
                }
                if self.failing.take().is_some() {
                    log::notice("the server answers again");
                }
                self.report(None).await;
                self.tell(Input::Event(Event::Server(view))).await;
                return wait;
            }
            Err(error) => {
                let text = chain(&error);
                (self.schedule.after_failure(&error, random), text)
            }
        };
        // Once for each new problem: the same line every few minutes would bury the rest.
        if self.failing.as_ref() != Some(&problem) {
            log::warning(format!(
                "polling: {problem}; next try in {} s at most",
                wait.as_secs() + 1
            ));
        }
        self.failing = Some(problem.clone());
        self.report(Some(problem)).await;
        wait
    }

    async fn report(&self, problem: Option<String>) {
        let connection = Connection {
            problem,
            interval: self.schedule.interval().as_secs(),
        };
        self.tell(Input::Connection(connection)).await;
    }

    async fn tell(&self, input: Input) {
        // A core that is gone ends this task at its next turn.
        drop(self.core.send(input).await);
    }

    async fn look(&mut self) -> Result<(View, Poll), ClientError> {
        let poll = self.client.poll().await?.poll;
        let view = view(&self.client, &self.offers, &poll).await?;
        self.tell_attributes(poll.wants_attributes()).await;
        Ok((view, poll))
    }

    /// Tells what the device is when the server asks, and when it changed. A failure is tried again at the
    /// next poll and hides nothing else.
    async fn tell_attributes(&mut self, wanted: bool) {
        let Some(attributes) = &self.attributes else {
            return;
        };
        if !wanted && self.told.as_ref() == Some(attributes) {
            return;
        }
        match self.client.put_attributes(attributes).await {
            Ok(()) => self.told = Some(attributes.clone()),
            Err(error) => log::warning(format!("attributes: {}", chain(&error))),
        }
    }

    async fn send(&mut self, id: MessageId, message: &Message) {
        let result = match translate::call(message, self.image.clock()) {
            Some(call) => {
                let result = carry_out(&self.client, &call).await;
                if let Err(error) = &result {
                    log::warning(format!("a message to the server: {}", chain(error)));
                }
                translate::delivery(&call, &result)
            }
            None => {
                log::error(format!(
                    "no server has such an action: {:?}",
                    message.action()
                ));
                Delivery::Malformed
            }
        };
        self.tell(Input::Event(Event::Delivered { id, result }))
            .await;
    }
}

/// Reads what a poll links. When something of it cannot be read there is no view at all.
pub async fn view(client: &Client, offers: &Offers, poll: &Poll) -> Result<View, ClientError> {
    if let Some(link) = poll.cancellation()? {
        let cancel = client.cancellation(&link).await?;
        return Ok(View::Cancel(ActionId(
            cancel.cancel_action.stop_id.to_string(),
        )));
    }
    if let Some(link) = poll.deployment()? {
        let action = link.action();
        let document = match offers.known(action) {
            Some(known) => known,
            None => {
                let read = client.deployment(&link, HISTORY).await?;
                offers.put(action, read.clone());
                read
            }
        };
        return Ok(View::Deployment(translate::deployment(
            &document.id,
            &document.deployment,
        )));
    }
    offers.clear();
    if let Some(link) = poll.confirmation()? {
        let waiting = client.confirmation(&link, HISTORY).await?;
        return Ok(View::Confirmation(translate::deployment(
            &waiting.id,
            &waiting.confirmation,
        )));
    }
    Ok(View::Nothing)
}

/// Makes a call.
pub async fn carry_out(client: &Client, call: &Call) -> Result<(), ClientError> {
    match call {
        Call::Report(channel, id, feedback) => client.report(*channel, id, feedback).await,
        Call::Confirm(id, word) => client.confirm(id, word).await,
        Call::Installed(installed) => client.put_installed(installed).await.map(drop),
        Call::AutoConfirm(true) => {
            let who = ActivateAutoConfirm {
                initiator: Some("device".to_owned()),
                remark: Some("roamcore auto-confirm on".to_owned()),
            };
            client.activate_auto_confirm(&who).await
        }
        Call::AutoConfirm(false) => client.deactivate_auto_confirm().await,
    }
}
