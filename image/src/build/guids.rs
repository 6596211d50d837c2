//! GUIDs of partitions and how new ones are derived.
//!
//! Owns: the partition types of the layout. Never does: use randomness: the same inputs give the
//! same disk.

use roamcore_disk::gpt::Guid;
use roamcore_spec::Role;
use sha2::{Digest, Sha256};

/// Type GUID of a partition, as text for repart.d and for parsing into a [`Guid`].
///
/// ESP, root and verity are those of the UAPI Discoverable Partitions Specification; `guests` is
/// Linux LVM's. The others are ours, so that no tool of a later systemd takes them for its own.
pub fn partition_type(role: Role) -> &'static str {
    match role {
        Role::Esp => "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        Role::Root(_) => "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
        Role::Verity(_) => "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
        Role::Seed => "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f01",
        Role::Identity => "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f02",
        Role::State => "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f03",
        Role::Guests => "e6d6d379-f507-44c2-a23c-238f2a3df928",
        Role::Video => "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f04",
        Role::Backup => "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f05",
    }
}

/// A GUID that follows from a purpose and a seed (the layout of RFC 9562, version 8).
pub fn derive(purpose: &str, seed: &[u8]) -> Guid {
    let mut hasher = Sha256::new();
    for part in [b"roamcore-guid".as_slice(), purpose.as_bytes(), seed] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Guid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_guids_differ_by_purpose_and_seed() {
        let one = derive("disk", b"1");
        assert_eq!(one, derive("disk", b"1"));
        assert_ne!(one, derive("disk", b"2"));
        assert_ne!(one, derive("root-b", b"1"));
        assert_eq!(one.to_string().as_bytes()[14], b'8');
    }
}
