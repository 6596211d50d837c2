//! Everything that can go wrong in the server, and what it is called outside.
//!
//! Owns: the reasons, their HTTP status and hawkBit's name for them. Never does: decide. Invariant: a refusal changed
//! nothing; [`Error::Broken`] is the only one that is the server's own fault.

use crate::model::cron::CronError;
use crate::model::id::NameError;
use crate::model::status::UnknownName;
use crate::model::window::WindowError;
use crate::store::StoreError;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such target.
    #[error("there is no target {0:?}; see `target list`")]
    NoTarget(String),
    /// No such action.
    #[error("there is no action {0}; see `actions list`")]
    NoAction(i64),
    /// Another target's.
    #[error("action {action} is not one of target {target:?}")]
    ForeignAction {
        /// The action.
        action: i64,
        /// The target.
        target: String,
    },
    /// No such release.
    #[error("there is no release {0}; see `release list`")]
    NoRelease(String),
    /// No such module.
    #[error("there is no software module {0}")]
    NoModule(i64),
    /// No such artifact.
    #[error("software module {module} has no artifact {name:?}")]
    NoArtifact {
        /// The module.
        module: i64,
        /// The file.
        name: String,
    },
    /// The device has no business with the module now.
    #[error("software module {module} is not assigned to target {target:?} by an active action")]
    NotAssigned {
        /// The module.
        module: i64,
        /// The target.
        target: String,
    },
    /// The action is there, and not in the phase that was asked for. hawkBit says so by 404 alone.
    #[error("action {action} is {status}: this cannot be asked of it now")]
    WrongPhase {
        /// The action.
        action: i64,
        /// Its state.
        status: crate::model::status::Status,
    },
    /// The action is over.
    #[error("action {0} is over")]
    Closed(i64),
    /// An artifact's bytes are gone.
    #[error("the bytes of artifact {0:?} are no longer here; add the release again")]
    BytesGone(String),
    /// Nothing to cancel.
    #[error("action {action} is {status} and cannot be cancelled: {why}")]
    NotCancelable {
        /// The action.
        action: i64,
        /// Its state.
        status: crate::model::status::Status,
        /// What would have to be.
        why: &'static str,
    },
    /// Not to be ended by force.
    #[error(
        "action {action} is {status} and cannot be ended by force: cancel it first, and only while it is open"
    )]
    NotForceQuitable {
        /// The action.
        action: i64,
        /// Its state.
        status: crate::model::status::Status,
    },
    /// Too many of something.
    #[error("quota exceeded: {found} {what}, the most is {limit}")]
    Quota {
        /// Of what.
        what: &'static str,
        /// How many there would be.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Attributes that hawkBit would refuse.
    #[error("the target's attributes are refused: {0}")]
    Attributes(#[from] roamcore_ddi::messages::AttributeError),
    /// Text that hawkBit would refuse.
    #[error("message {0:?} is refused: it looks like markup; replace '<'")]
    Markup(String),
    /// Automatic confirmation is on already.
    #[error("automatic confirmation is already on for target {0:?}")]
    AutoConfirmActive(String),
    /// A release that was deployed cannot change.
    #[error("release {0} was deployed and cannot change: add another version")]
    Locked(i64),
    /// A release that is in use cannot go.
    #[error("release {release} is assigned to or installed on target {target:?}")]
    InUse {
        /// The release.
        release: i64,
        /// One of its users.
        target: String,
    },
    /// The name is taken.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The request says something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A body that cannot be read.
    #[error("the request's body is not well formed: {0}")]
    Unreadable(String),
    /// A window.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The server's own fault.
    #[error("the server could not carry this out")]
    Broken(#[from] StoreError),
}

impl Error {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Error::NoTarget(_)
            | Error::NoAction(_)
            | Error::ForeignAction { .. }
            | Error::NoRelease(_)
            | Error::NoModule(_)
            | Error::NoArtifact { .. }
            | Error::NotAssigned { .. }
            | Error::WrongPhase { .. } => 404,
            Error::Closed(_) | Error::BytesGone(_) => 410,
            Error::NotCancelable { .. } | Error::NotForceQuitable { .. } => 405,
            Error::Quota { .. } => 429,
            Error::AutoConfirmActive(_) | Error::Exists { .. } | Error::InUse { .. } => 409,
            Error::Locked(_) => 423,
            Error::Attributes(_)
            | Error::Markup(_)
            | Error::Invalid(_)
            | Error::Unreadable(_)
            | Error::Window(_) => 400,
            Error::Broken(_) => 500,
        }
    }

    /// hawkBit's name for it; none where hawkBit answers without a body.
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Error::WrongPhase { .. } | Error::Closed(_) => return None,
            Error::NoTarget(_)
            | Error::NoAction(_)
            | Error::ForeignAction { .. }
            | Error::NoRelease(_)
            | Error::NoModule(_)
            | Error::NoArtifact { .. }
            | Error::NotAssigned { .. } => "hawkbit.server.error.repo.entityNotFound",
            Error::BytesGone(_) => "hawkbit.server.error.artifact.binaryDeleted",
            Error::NotCancelable { .. } => "hawkbit.server.error.action.notCancelable",
            Error::NotForceQuitable { .. } => "hawkbit.server.error.action.notForceQuitable",
            Error::Quota { .. } => roamcore_ddi::messages::QUOTA_ENTRIES,
            Error::Attributes(_) => "hawkbit.server.error.repo.invalidTargetAttributes",
            Error::AutoConfirmActive(_) => "hawkbit.server.error.repo.autoConfAlreadyActive",
            Error::Locked(_) => "hawkbit.server.error.locked",
            Error::Exists { .. } | Error::InUse { .. } => {
                "hawkbit.server.error.repo.entityAlreadyExists"
            }
            Error::Markup(_) | Error::Invalid(_) => "hawkbit.server.error.repo.constraintViolation",
            Error::Unreadable(_) => "hawkbit.server.error.rest.body.notReadable",
            Error::Window(_) => "hawkbit.server.error.maintenanceScheduleInvalid",
            Error::Broken(_) => "hawkbit.server.error.internal",
        })
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Broken(error.into())
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Error::Invalid(error.to_string())
    }
}

impl From<UnknownName> for Error {
    fn from(error: UnknownName) -> Self {
        Error::Invalid(error.to_string())
    }
}

impl From<CronError> for Error {
    fn from(error: CronError) -> Self {
        Error::Window(error.into())
    }
}
