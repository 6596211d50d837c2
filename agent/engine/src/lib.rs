//! The update engine: phases, their durable record, and what follows what.
//!
//! Owns: the way of one update from an offer to a committed slot or back ([`step`]), the record that survives every power
//! cut ([`record`], [`store`]), the words for the server ([`outbox`]), and the order of the steps on the disk ([`perform`]).
//! Never does: networking (the daemon polls, sends and fetches), decide about trust (the judge does), touch a disk other
//! than through [`Device`]. Invariants: every phase is durable before its side effect; the server hears of success only after
//! a commit; the running slot, its entry and the boot loader are never written.
//!
//! ```text
//!   polls, commands,      +--------+   save, then    +----------+ Begin/StopWork   +---------+
//!   ticks, gate, facts -->| Engine |---------------->| daemon   |----------------->| perform |--> Device, Sources
//!   work events --------->|  step  |    effects      | (driver) |<-- WorkEvent ----|         |
//!   deliveries ---------->+--------+                 +----------+                  +---------+
//!                             |  outgoing()               ^
//!                             '----- Message ------------'  sends it, answers Event::Delivered
//! ```
//!
//! How a daemon uses it: read [`Facts`], [`Engine::start`], execute the effects; then for ever: [`Engine::handle`] each
//! event, execute its effects, and while [`Engine::outgoing`] gives a message, send it and report [`Event::Delivered`].
//! [`Effect::Begin`] runs [`perform()`] on a thread of its own and feeds its [`WorkEvent`]s back. A poll that failed is no
//! event. In a trial, read the facts again when the gate has passed, until the slot is committed.

pub mod budget;
mod control;
pub mod device;
mod engine;
pub mod facts;
pub mod history;
mod job;
pub mod offer;
pub mod outbox;
mod perform;
pub mod policy;
pub mod record;
pub mod state;
pub mod status;
pub mod step;
pub mod store;
pub mod work;

pub use control::{Control, Pace, RealPace};
pub use device::{
    Destination, Device, DeviceError, Judgement, Payload, PlanFacts, Progress, Sink, Stage,
    Trouble, Watch,
};
pub use engine::{Damaged, Engine};
pub use facts::{BootId, Entry, Evidence, Facts, Release, SlotFacts, Target};
pub use offer::{
    ActionId, Artifact, Deployment, ForeignDeployment, Handling, LocalOffer, Mode, Module, View,
    Window,
};
pub use outbox::{Delivery, Message, MessageId};
pub use perform::{Sources, perform};
pub use policy::Policy;
pub use record::{Job, JobId, Memory, Phase, Record, Source};
pub use state::{Conditions, Effect, Event, Gate, Now, Reply, State};
pub use status::Status;
pub use store::{FileStore, Loaded, Store, StoreError};
pub use work::{Done, Grant, Work, WorkEvent};
