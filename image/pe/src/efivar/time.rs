//! EFI_TIME as authenticated variables use it: Pad1, Nanosecond, TimeZone, Daylight and Pad2 zero (UEFI 8.2.2).

use std::time::Duration;

use der::DateTime;

use super::EfiVarError;

/// A UTC second. Firmware refuses an update that is not newer than the variable's last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfiTime(DateTime);

impl EfiTime {
    /// From seconds since 1970.
    pub fn from_unix(seconds: u64) -> Result<Self, EfiVarError> {
        let date = DateTime::from_unix_duration(Duration::from_secs(seconds));
        date.map(Self).map_err(|_| EfiVarError::Time { seconds })
    }

    /// The 16 bytes of the structure.
    pub fn to_bytes(self) -> [u8; 16] {
        let [low, high] = self.0.year().to_le_bytes();
        let (month, day) = (self.0.month(), self.0.day());
        let (hour, minute, second) = (self.0.hour(), self.0.minutes(), self.0.seconds());
        [
            low, high, month, day, hour, minute, second, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]
    }
}
