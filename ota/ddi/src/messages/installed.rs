//! `PUT .../installedBase`: what is installed without an action, for example from a USB stick.

use serde::{Deserialize, Serialize};

/// A distribution set by name and version. Experimental in hawkBit: 201 newly assigned, 200 was so already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledBase {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}
