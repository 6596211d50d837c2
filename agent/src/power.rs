//! The end for a disk that is too small.
//!
//! Owns: the message to whoever stands before the machine, and the power-off.
//! Never does: reboot, since the disk would be just as small next time.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::log;
use crate::roots::Roots;

/// Long enough to read the message on a monitor; the watchdog's time-out is longer.
const READING_TIME: Duration = Duration::from_secs(10);

/// A disk that the product cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "disk {disk} is too small for {product}: it has {bytes} bytes ({} GB), {needed} bytes ({} GB) are needed; \
     install a larger disk",
    bytes / GB, needed.div_ceil(GB)
)]
pub struct DiskTooSmall {
    /// Kernel name.
    pub disk: String,
    /// Product that does not fit.
    pub product: String,
    /// Its size.
    pub bytes: u64,
    /// The smallest size.
    pub needed: u64,
}

/// Disks are sold in these.
const GB: u64 = 1_000_000_000;

/// Tells everybody; failing to write to the console must not stop the power-off.
pub fn announce(roots: &Roots, refusal: &DiskTooSmall) {
    log::error(refusal);
    let console = roots.dev.join("console");
    let written = OpenOptions::new()
        .write(true)
        .open(&console)
        .and_then(|mut file| writeln!(file, "\r\n*** {refusal}; the machine powers off ***\r"));
    if let Err(error) = written {
        log::warning(format!("cannot write to {}: {error}", console.display()));
    }
    rustix::fs::sync();
}

/// Powers the machine off; returns only when that failed.
pub fn off() -> std::io::Error {
    std::thread::sleep(READING_TIME);
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => std::io::Error::other("the kernel returned from powering off"),
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_disk_and_sizes() {
        let refusal = DiskTooSmall {
            disk: "nvme0n1".into(),
            product: "roamcore".into(),
            bytes: 63_999_999_999,
            needed: 128_000_000_001,
        };
        assert_eq!(
            refusal.to_string(),
            "disk nvme0n1 is too small for roamcore: it has 63999999999 bytes (63 GB), 128000000001 bytes (129 GB) are \
             needed; install a larger disk"
        );
    }
}
