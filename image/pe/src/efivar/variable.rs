//! The variables we write, with what the specification fixes for each.

use super::Guid;

/// EFI_GLOBAL_VARIABLE (UEFI 3.3)
const GLOBAL: Guid = Guid::fields(
    0x8be4_df61,
    0x93ca,
    0x11d2,
    [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
);
/// EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 32.6.1)
const SECURITY_DATABASE: Guid = Guid::fields(
    0xd719_b2cb,
    0x3d3a,
    0x4596,
    [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f],
);

/// A Secure Boot variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBootVariable {
    /// Platform key; its update is signed by the platform key.
    Pk,
    /// Key exchange keys; signed by the platform key.
    Kek,
    /// Allowed signers of images; signed by a key exchange key.
    Db,
}

impl SecureBootVariable {
    /// Variable name, which is also the file name systemd-boot looks for (plus `.auth`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
        }
    }

    /// Vendor GUID.
    pub const fn vendor(self) -> Guid {
        match self {
            Self::Pk | Self::Kek => GLOBAL,
            Self::Db => SECURITY_DATABASE,
        }
    }

    /// NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS, which systemd-boot
    /// sets when it enrols: the signature covers them, so they must be the same.
    pub const fn attributes(self) -> u32 {
        0x27
    }
}
