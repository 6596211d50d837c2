//! The server of the model: hawkBit's rules for one target.

use roamcore_engine::{
    ActionId, Artifact, Delivery, Deployment, DeviceError, Handling, Message, Mode, Module,
    Trouble, View, Window,
};

use super::releases::release;

/// How an action is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Forced,
    Soft,
    /// Soft, forced when so many milliseconds have passed.
    TimeForced(u64),
    DownloadOnly,
    /// The window opens after so many milliseconds.
    Window(u64),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    WaitingForConfirmation,
    Running,
    Canceling,
    Finished,
    Error,
    Canceled,
    /// Closed by `downloaded`; one later end is still taken.
    Downloaded,
}

impl Status {
    fn is_active(self) -> bool {
        matches!(
            self,
            Self::WaitingForConfirmation | Self::Running | Self::Canceling
        )
    }
}

/// What the engine's world needs of a server; the embedded one can stand behind it as well.
pub trait Server {
    /// The device polls.
    fn poll(&mut self) -> Option<View>;
    /// The device speaks.
    fn tell(&mut self, message: &Message) -> Delivery;
    /// The device fetches a file of an action; the number of its release.
    fn download(&mut self, action: &ActionId) -> Result<u64, DeviceError>;
    /// Time passes.
    fn pass(&mut self, ms: u64);
    /// The operator assigns a release.
    fn assign(&mut self, release: u64, kind: Kind, confirm: bool) -> ActionId;
    /// The operator cancels.
    fn cancel(&mut self, action: &ActionId);
    /// The operator gives up waiting for the device.
    fn force_quit(&mut self, action: &ActionId);
    /// Soft becomes forced.
    fn force(&mut self, action: &ActionId);
    /// It forgets the end of an action, as after the restore of a backup.
    fn reopen(&mut self, action: &ActionId);
    /// The server process ends and starts anew.
    fn restart(&mut self);
    /// Messages that came about an action, taken or not.
    fn heard(&self, action: &ActionId) -> usize;
    /// What an action installs.
    fn release_of(&self, action: &ActionId) -> Option<u64>;
    /// What became of an action.
    fn status(&self, action: &ActionId) -> Option<Status>;
    /// The release it believes installed.
    fn installed(&self) -> Option<u64>;
    /// No action is open.
    fn is_quiet(&mut self) -> bool;
    /// For failed tests.
    fn describe(&self) -> String;
}

#[derive(Debug)]
pub struct Action {
    pub id: u64,
    pub release: u64,
    pub kind: Kind,
    pub status: Status,
    pub entries: u64,
    pub messages: Vec<Message>,
    pub deadline: u64,
    /// What it holds besides our module.
    pub extra: Vec<Module>,
}

#[derive(Debug)]
pub struct FakeServer {
    pub actions: Vec<Action>,
    pub installed: Option<u64>,
    pub now: u64,
    /// Down until then.
    pub down_until: u64,
    /// Closes replaced actions without asking the device.
    pub autoclose: bool,
    /// Messages that broke a rule.
    pub wrong: Vec<String>,
    pub polls: u64,
    pub extra: Vec<Module>,
}

impl FakeServer {
    pub fn new() -> Self {
        Self {
            actions: Vec::new(),
            installed: None,
            now: 0,
            down_until: 0,
            autoclose: false,
            wrong: Vec::new(),
            polls: 0,
            extra: Vec::new(),
        }
    }

    fn find(&mut self, action: &ActionId) -> Option<&mut Action> {
        self.actions
            .iter_mut()
            .find(|candidate| candidate.id.to_string() == action.0)
    }

    fn mode(&self, action: &Action) -> Mode {
        let due = self.now >= action.deadline;
        let (download, update, window) = match action.kind {
            Kind::Forced => (Handling::Forced, Handling::Forced, Window::None),
            Kind::Soft => (Handling::Attempt, Handling::Attempt, Window::None),
            Kind::TimeForced(_) if due => (Handling::Forced, Handling::Forced, Window::None),
            Kind::TimeForced(_) => (Handling::Attempt, Handling::Attempt, Window::None),
            Kind::DownloadOnly => (Handling::Forced, Handling::Skip, Window::None),
            Kind::Window(_) if due => (Handling::Forced, Handling::Forced, Window::Available),
            Kind::Window(_) => (Handling::Forced, Handling::Skip, Window::Unavailable),
        };
        Mode {
            download,
            update,
            window,
        }
    }

    fn deployment(&self, action: &Action) -> Deployment {
        let artifact = |name: &str| Artifact {
            name: name.into(),
            size: action.release,
            sha256: None,
        };
        let ours = Module {
            part: "os".into(),
            name: "bare".into(),
            version: format!("1.{}", action.release),
            encrypted: false,
            artifacts: ["update.json", "update.json.sig", "root.000"]
                .map(artifact)
                .to_vec(),
        };
        let modules = std::iter::once(ours).chain(action.extra.clone()).collect();
        Deployment {
            action: ActionId(action.id.to_string()),
            mode: self.mode(action),
            modules,
        }
    }
}

impl Server for FakeServer {
    fn poll(&mut self) -> Option<View> {
        if self.now < self.down_until {
            return None;
        }
        self.polls += 1;
        let Some(action) = self.actions.iter().find(|action| action.status.is_active()) else {
            return Some(View::Nothing);
        };
        Some(match action.status {
            Status::Canceling => View::Cancel(ActionId(action.id.to_string())),
            Status::WaitingForConfirmation => View::Confirmation(self.deployment(action)),
            _ => View::Deployment(self.deployment(action)),
        })
    }

    fn tell(&mut self, message: &Message) -> Delivery {
        if self.now < self.down_until {
            return Delivery::Retry;
        }
        if let Message::Installed { release: told } = message {
            self.installed = Some(told.sequence);
            return Delivery::Taken;
        }
        let Some(id) = message.action() else {
            return Delivery::Taken;
        };
        let Some(action) = self.find(id) else {
            return Delivery::Gone;
        };
        action.messages.push(message.clone());
        let status = action.status;
        match message {
            Message::Final { success, .. } => {
                if !(status.is_active() || status == Status::Downloaded) {
                    return Delivery::Gone;
                }
                if status == Status::WaitingForConfirmation {
                    return Delivery::Gone;
                }
                action.status = if *success {
                    Status::Finished
                } else {
                    Status::Error
                };
                if *success {
                    self.installed = Some(action.release);
                }
            }
            Message::Downloaded { .. } => {
                if !status.is_active() {
                    return Delivery::Gone;
                }
                action.entries += 1;
                if action.kind == Kind::DownloadOnly {
                    action.status = Status::Downloaded;
                }
            }
            Message::Progress { .. } => {
                if !status.is_active() {
                    return Delivery::Gone;
                }
                action.entries += 1;
                if action.entries > 1000 {
                    return Delivery::Quota;
                }
            }
            Message::Cancel { accepted, .. } => {
                if status != Status::Canceling {
                    return Delivery::Gone;
                }
                action.status = if *accepted {
                    Status::Canceled
                } else {
                    Status::Running
                };
            }
            Message::Confirmation { confirmed, .. } => {
                if status != Status::WaitingForConfirmation {
                    return Delivery::Gone;
                }
                if *confirmed {
                    action.status = Status::Running;
                }
            }
            Message::Installed { .. } | Message::AutoConfirm { .. } => {}
        }
        Delivery::Taken
    }

    fn download(&mut self, action: &ActionId) -> Result<u64, DeviceError> {
        if self.now < self.down_until {
            return Err(DeviceError::new(Trouble::Offline, "the server is down"));
        }
        match self.find(action) {
            Some(action) if action.status == Status::Running => Ok(action.release),
            _ => Err(DeviceError::new(Trouble::Passing, "404")),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
    }

    fn assign(&mut self, release: u64, kind: Kind, confirm: bool) -> ActionId {
        for old in &mut self.actions {
            if old.status.is_active() {
                old.status = if self.autoclose {
                    Status::Canceled
                } else {
                    Status::Canceling
                };
            }
        }
        let wait = match kind {
            Kind::TimeForced(ms) | Kind::Window(ms) => ms,
            _ => 0,
        };
        let id = self.actions.len() as u64 + 1;
        let extra = std::mem::take(&mut self.extra);
        self.actions.push(Action {
            id,
            release,
            kind,
            status: if confirm {
                Status::WaitingForConfirmation
            } else {
                Status::Running
            },
            entries: 0,
            messages: Vec::new(),
            deadline: self.now + wait,
            extra,
        });
        ActionId(id.to_string())
    }

    fn cancel(&mut self, action: &ActionId) {
        if let Some(action) = self.find(action)
            && action.status.is_active()
        {
            action.status = Status::Canceling;
        }
    }

    fn force_quit(&mut self, action: &ActionId) {
        if let Some(action) = self.find(action)
            && action.status.is_active()
        {
            action.status = Status::Canceled;
        }
    }

    fn force(&mut self, action: &ActionId) {
        if let Some(action) = self.find(action)
            && action.status.is_active()
        {
            action.kind = Kind::Forced;
        }
    }

    fn reopen(&mut self, action: &ActionId) {
        if let Some(action) = self.find(action) {
            action.status = Status::Running;
        }
    }

    fn restart(&mut self) {
        self.down_until = self.now + 30_000;
    }

    fn heard(&self, action: &ActionId) -> usize {
        let found = self
            .actions
            .iter()
            .find(|one| one.id.to_string() == action.0);
        found.map_or(0, |action| action.messages.len())
    }

    fn release_of(&self, action: &ActionId) -> Option<u64> {
        self.actions
            .iter()
            .find(|candidate| candidate.id.to_string() == action.0)
            .map(|action| action.release)
    }

    fn status(&self, action: &ActionId) -> Option<Status> {
        self.actions
            .iter()
            .find(|candidate| candidate.id.to_string() == action.0)
            .map(|action| action.status)
    }

    fn installed(&self) -> Option<u64> {
        self.installed
    }

    fn is_quiet(&mut self) -> bool {
        !self.actions.iter().any(|action| action.status.is_active())
    }

    fn describe(&self) -> String {
        let mut text = format!("installed {:?}, {:?}", self.installed, self.wrong);
        for action in self.actions.iter().rev().take(4) {
            text += &format!(
                "\n  action {} release {} {:?} {:?}, {} messages, last {:?}",
                action.id,
                release(action.release).version,
                action.kind,
                action.status,
                action.messages.len(),
                action.messages.last()
            );
        }
        text
    }
}
