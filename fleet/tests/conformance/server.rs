//! What a case can ask of a server's operator, whichever server it is.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
use roamcore_fleet::{Kind, Status, TargetState};

/// The answer is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Which server it is. Cases look at it only where the embedded one differs on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Ours.
    Embedded,
    /// Eclipse hawkBit.
    Hawkbit,
}

/// A software module of a release.
#[derive(Debug, Clone)]
pub struct ModuleSpec {
    /// Its type.
    pub part: &'static str,
    /// Its files.
    pub files: Vec<(String, Vec<u8>)>,
    /// What devices are told beside.
    pub metadata: BTreeMap<String, String>,
}

/// A release on the server.
#[derive(Debug, Clone)]
pub struct Release {
    /// The server's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Numbers of its modules.
    pub modules: Vec<u64>,
}

/// A maintenance window: schedule, duration, time zone.
pub type Window = (String, String, String);

/// A deployment.
#[derive(Debug, Clone)]
pub struct Order {
    /// How much hurry there is.
    pub kind: Kind,
    /// The heaviest first.
    pub weight: Option<u16>,
    /// The device's user has to agree.
    pub confirm: bool,
    /// When.
    pub window: Option<Window>,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            kind: Kind::Forced,
            weight: None,
            confirm: false,
            window: None,
        }
    }
}

/// What became of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployed {
    /// This action.
    Action(u64),
    /// The target has the release assigned already.
    Already,
    /// HTTP status of a refusal.
    Refused(u16),
}

/// An entry of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its kind.
    pub status: Status,
    /// The device's number.
    pub code: Option<i64>,
    /// Texts.
    pub messages: Vec<String>,
}

/// An action.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its state.
    pub status: Status,
    /// False when it is over.
    pub active: bool,
    /// The device's latest number.
    pub code: Option<i64>,
    /// Its history, the newest first.
    pub entries: Vec<Entry>,
}

/// A target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its state.
    pub state: TargetState,
    /// What it has: name and version.
    pub installed: Option<(String, String)>,
    /// What it should have.
    pub assigned: Option<(String, String)>,
    /// What it says of itself.
    pub attributes: BTreeMap<String, String>,
}

/// Settings that cases change; all of them are put back by the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Deployments may ask for a confirmation.
    ConfirmationFlow(bool),
    /// A new deployment closes older ones at once.
    Autoclose(bool),
    /// How long devices sleep.
    PollInterval(&'static str),
}

/// A server and its operator.
pub trait ServerUnderTest: Send + Sync {
    /// Which one.
    fn which(&self) -> Which;
    /// Where devices call.
    fn url(&self) -> String;
    /// The gateway token.
    fn gateway_token(&self) -> &str;
    /// The authority whose devices a proxy may vouch for.
    fn authority(&self) -> &str;
    /// Entries of an action's history, at most.
    fn entry_quota(&self) -> usize;
    /// Adds a target.
    fn add_target<'a>(&'a self, id: &'a str, token: &'a str) -> Pending<'a, ()>;
    /// Adds a release.
    fn add_release<'a>(&'a self, name: &'a str, modules: &'a [ModuleSpec]) -> Pending<'a, Release>;
    /// Adds a file to a module of a release: HTTP status.
    fn add_file<'a>(
        &'a self,
        release: &'a Release,
        name: &'a str,
        bytes: &'a [u8],
    ) -> Pending<'a, u16>;
    /// Deploys.
    fn deploy<'a>(
        &'a self,
        release: &'a Release,
        target: &'a str,
        order: &'a Order,
    ) -> Pending<'a, Deployed>;
    /// Asks the device to give an action up, or ends it by force: HTTP status.
    fn cancel<'a>(&'a self, target: &'a str, action: u64, force: bool) -> Pending<'a, u16>;
    /// Makes an action forced.
    fn force<'a>(&'a self, target: &'a str, action: u64) -> Pending<'a, ()>;
    /// Speaks for the device's user, `confirmed` or `denied`: HTTP status.
    fn confirm<'a>(&'a self, target: &'a str, action: u64, word: &'a str) -> Pending<'a, u16>;
    /// An action with its history.
    fn action<'a>(&'a self, target: &'a str, action: u64) -> Pending<'a, Action>;
    /// A target with its attributes.
    fn target<'a>(&'a self, id: &'a str) -> Pending<'a, Target>;
    /// Changes a setting.
    fn set<'a>(&'a self, setting: &'a Setting) -> Pending<'a, ()>;
    /// Stops the server and starts it again, with the same state at the same address.
    fn restart(&self) -> Pending<'_, ()>;
}
