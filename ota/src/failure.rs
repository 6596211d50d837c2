//! Failure classes and their exit codes.
//!
//! Owns the numbers that scripts and CI rely on: one class, one code, never reused. `docs/release.md` holds the same
//! table, and a test compares the two. Codes start at 10, above what shells, clap (2) and panics (101) use.

macro_rules! failure_classes {
    ($($variant:ident = $code:literal, $name:literal, $meaning:literal;)*) => {
        /// Why a release or an update was refused, or why it could not be judged.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FailureClass {
            $(#[doc = $meaning] $variant = $code,)*
        }

        impl FailureClass {
            /// Every class, in order of its code.
            pub const ALL: &[FailureClass] = &[$(FailureClass::$variant,)*];

            /// Short stable name, for machine-readable output.
            pub fn name(self) -> &'static str {
                match self { $(FailureClass::$variant => $name,)* }
            }

            /// What the class means, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(FailureClass::$variant => $meaning,)* }
            }
        }
    };
}

failure_classes! {
    BadSignature = 10, "bad-signature", "a signature by a trusted key does not match the document";
    UnknownKey = 11, "unknown-key", "no signature is by a trusted key";
    WrongKeyRole = 12, "wrong-key-role", "signed only by keys whose role does not fit the channel";
    BelowThreshold = 13, "below-threshold", "fewer signatures that count than the trust store asks for";
    MissingSignature = 14, "missing-signature", "no signature file, or one without signatures";
    MalformedSignature = 15, "malformed-signature", "the signature file is not in the documented form";
    Expired = 16, "expired", "the release's expiry time has passed";
    MalformedManifest = 17, "malformed-manifest", "the manifest is not in the documented form or contradicts itself";
    UnsupportedFormat = 18, "unsupported-format", "a format number or a required feature is newer than this program";
    ArtefactMissing = 19, "artefact-missing", "the manifest names an artefact that is not there";
    ArtefactNotListed = 20, "artefact-not-listed", "the manifest does not name this artefact";
    ArtefactTruncated = 21, "artefact-truncated", "an artefact ends before its signed size";
    ArtefactTooLong = 22, "artefact-too-long", "an artefact goes on after its signed size";
    ArtefactMismatch = 23, "artefact-mismatch", "an artefact has the right size but another SHA-256";
    DiskTruncated = 24, "disk-truncated", "the raw disk image ends before its signed size";
    DiskTooLong = 25, "disk-too-long", "the raw disk image goes on after its signed size";
    PartitionMismatch = 26, "partition-mismatch", "a region of the raw disk image has another SHA-256";
    ReadFailed = 27, "read-failed", "the input could not be read, so nothing is known about it";
    BadKey = 28, "bad-key", "a key file is unusable or a key could not be made";
    BadTrustStore = 29, "bad-trust-store", "the set of trusted keys contradicts itself";
    SigningRefused = 30, "signing-refused", "this key may not sign this document";
    MalformedRoles = 31, "malformed-roles", "the role chain is not in the documented form or contradicts itself";
    RolesGap = 32, "roles-gap", "the role chain does not connect to the role document this device trusts";
    RolesRolledBack = 33, "roles-rolled-back", "the role chain ends before the role document this device trusts";
    RolesConflict = 34, "roles-conflict", "a role document contradicts the one before it or the one this device trusts";
    RolesNotVouched = 35, "roles-not-vouched", "a role document has too few signatures by root keys of the one before it";
    RolesBelowThreshold = 36, "roles-below-threshold", "a role document has too few signatures by its own root keys";
    RolesExpired = 37, "roles-expired", "the newest role document's expiry time has passed";
    RevokedKey = 38, "revoked-key", "too few signatures count, because keys were revoked";
    SequenceOutsideWindow = 39, "sequence-outside-window", "the sequence is outside the window of the role document";
    EpochOutsideWindow = 40, "epoch-outside-window", "the security epoch is outside the window of the role document";
    TimeOutsideWindow = 41, "time-outside-window", "the creation time is not before the role document's expiry";
    WrongProduct = 42, "wrong-product", "the update is for another product";
    WrongBoard = 43, "wrong-board", "the update is for another board";
    AgentTooOld = 44, "agent-too-old", "the update needs a newer agent than the one that judges it";
    ConflictsWithRunning = 45, "conflicts-with-running", "the update has the sequence or the root of what runs, but is not what runs";
    SequenceRolledBack = 46, "sequence-rolled-back", "the sequence is below the highest one committed on this device";
    EpochRolledBack = 47, "epoch-rolled-back", "the security epoch is below the highest one committed on this device";
    DoesNotFit = 48, "does-not-fit", "the root is larger than a slot of this device";
    MalformedIndex = 49, "malformed-index", "the chunk index is not in the documented form or contradicts the update manifest";
    FrameMismatch = 50, "frame-mismatch", "a frame of a part does not hold what the chunk index says";
    RootMismatch = 51, "root-mismatch", "the root that was put together is not the one the update manifest names";
    MalformedBundle = 52, "malformed-bundle", "the single-file form is damaged, or not one";
    MissingManifest = 53, "missing-manifest", "there is no manifest: not a release, or one that was not copied whole";
}

impl FailureClass {
    /// Process exit code of this class.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::FailureClass;

    #[test]
    fn codes_are_unique_ascending_and_clear_of_reserved_ones() {
        for (class, code) in FailureClass::ALL.iter().zip(10u8..) {
            assert_eq!(class.exit_code(), code, "{}", class.name());
        }
        let mut names: Vec<_> = FailureClass::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FailureClass::ALL.len());
    }
}
