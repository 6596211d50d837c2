//! Failure classes of what the delta crate refuses.
//!
//! Owns: which exit code such an error has. The classes and their table are the `ota` crate's.

use std::error::Error;
use std::io::ErrorKind;

use roamcore_delta::roam::RoamError;
use roamcore_delta::{ApplyError, ErrorClass, IndexError};
use roamcore_ota::FailureClass;

use super::check::Mismatch;

/// The class of one error, without its causes.
pub fn class(error: &(dyn Error + 'static)) -> Option<FailureClass> {
    if let Some(error) = error.downcast_ref::<IndexError>() {
        return Some(match error {
            IndexError::Format { .. } => FailureClass::UnsupportedFormat,
            _ => FailureClass::MalformedIndex,
        });
    }
    if let Some(error) = error.downcast_ref::<RoamError>() {
        return Some(match error {
            RoamError::Format { .. } => FailureClass::UnsupportedFormat,
            // Shorter than its own header.
            RoamError::Io(e) if e.kind() != ErrorKind::UnexpectedEof => FailureClass::ReadFailed,
            _ => FailureClass::MalformedBundle,
        });
    }
    if let Some(error) = error.downcast_ref::<ApplyError>() {
        return Some(match error.class() {
            ErrorClass::Integrity => FailureClass::FrameMismatch,
            ErrorClass::Cancelled | ErrorClass::Network | ErrorClass::Local => {
                FailureClass::ReadFailed
            }
        });
    }
    let mismatch = error.downcast_ref::<Mismatch>();
    mismatch.map(|_| FailureClass::RootMismatch)
}
