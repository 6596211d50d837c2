//! What can go wrong between a request and a lock.
//!
//! Owns: the error type and its wording. Never does: repeat a cause in its own text; printing
//! walks the chain. Invariant: every message names what was refused and what to do next.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{Set, Sha256};
use crate::command::CommandError;

/// A lock that could not be read, found wanting, or made.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The lock's text is not valid.
    #[error("{}:{line}: {message}; do not edit a lock by hand, make it anew with `lock --update`", path.display())]
    Parse {
        /// Lock file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The lock's format is of another time.
    #[error("{}: lock format {found} is unknown, this builder reads format {known}: use the builder it was made with, or `lock --update`", path.display())]
    Format {
        /// Lock file.
        path: PathBuf,
        /// Format it declares.
        found: i64,
        /// Format this builder writes.
        known: i64,
    },
    /// Rows are not those that were resolved.
    #[error("{}:{line}: the rows have the digest {found}, but the lock says {stated}: a row was lost, added or changed after it was made; take the file from version control again, or make it anew with `lock --update`", path.display())]
    Rows {
        /// Lock file.
        path: PathBuf,
        /// Line of the digest, from 1.
        line: usize,
        /// Digest in the lock.
        stated: Sha256,
        /// Digest of its rows.
        found: Sha256,
    },
    /// The lock answers another request.
    #[error(
        "the lock of `{appliance}` was made for other packages than its overlays name now; run `roamcore-image lock {appliance}` and review the difference"
    )]
    Stale {
        /// Appliance.
        appliance: String,
    },
    /// The lock lacks a package that is asked for by name.
    #[error(
        "the lock of `{appliance}` has no row for the {set} package `{package}`, which is asked for; make it anew with `roamcore-image lock {appliance} --update`"
    )]
    NoRow {
        /// Appliance.
        appliance: String,
        /// Set that asks for it.
        set: Set,
        /// The package.
        package: String,
    },
    /// The request asks for something that cannot be asked.
    #[error("{what} `{value}` is refused: {why}")]
    Request {
        /// Kind of thing.
        what: &'static str,
        /// The value as given.
        value: String,
        /// The rule it breaks.
        why: String,
    },
    /// An extra apt source without a key.
    #[error(
        "apt source `{name}` has no trusted key: get its key from its owner by a way you trust, then run `lock --trust-key NAME=FILE`"
    )]
    NoKey {
        /// Source.
        name: String,
    },
    /// A key file that is no OpenPGP key.
    #[error(
        "the key given for apt source `{name}` is not an OpenPGP public key: expected a binary or armoured key file (`lock --trust-key NAME=FILE`)"
    )]
    BadKey {
        /// Source.
        name: String,
    },
    /// A key file that does not hold the declared key, or holds more than that.
    #[error(
        "the key given for apt source `{name}` is refused: its overlay declares the fingerprint {declared}, the file has {found}; ask the source's owner which is right, then give that key alone with `lock --trust-key NAME=FILE` or correct `fingerprint`"
    )]
    Fingerprint {
        /// Source.
        name: String,
        /// Fingerprint in the overlay.
        declared: String,
        /// Fingerprints of the file's primary keys.
        found: String,
    },
    /// gpg could not be run.
    #[error("asking gpg for the fingerprint of a key")]
    Gpg(#[source] CommandError),
    /// A work directory cannot be had.
    #[error(transparent)]
    Work(#[from] roamcore_scratch::Error),
    /// The source is signed by a key other than the trusted one.
    #[error(
        "apt source `{name}` is not signed by its trusted key: check the key with its owner, then run `lock --trust-key NAME=FILE`; apt says:\n{words}"
    )]
    WrongKey {
        /// Source.
        name: String,
        /// apt's own words.
        words: String,
    },
    /// No Debian keyring on this machine.
    #[error("no Debian archive keyring at {}: install it with `apt-get install debian-archive-keyring`", path.display())]
    NoKeyring {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The keyring does not know the suite's signing key.
    #[error("the Debian keyring {} cannot verify {suites}, it may be too old: update it with `apt-get update && apt-get install debian-archive-keyring`; apt says:\n{words}", path.display())]
    OldKeyring {
        /// Keyring used.
        path: PathBuf,
        /// Suites asked for.
        suites: String,
        /// apt's own words.
        words: String,
    },
    /// No mirror in the machine's apt configuration and none given.
    #[error(
        "no mirror of the {archive} archive in this machine's apt configuration: give one with `{flag} URI`"
    )]
    NoMirror {
        /// Archive name.
        archive: String,
        /// Flag that sets it.
        flag: String,
    },
    /// A mirror apt cannot use.
    #[error("mirror `{uri}` is refused: {why}")]
    BadMirror {
        /// As given.
        uri: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The temporary directory's name cannot be written into apt's configuration.
    #[error("temporary directory {} has blanks, quotes or brackets in its name, which apt's configuration cannot hold: set TMPDIR to another", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The package index could not be fetched.
    #[error("apt cannot fetch the package index of {suites}; apt says:\n{words}")]
    Update {
        /// Suites asked for.
        suites: String,
        /// apt's own words.
        words: String,
    },
    /// A package that does not exist or cannot be installed.
    #[error("{set} package `{package}` cannot be resolved; apt says:\n{words}")]
    Unresolvable {
        /// Set that asks for it.
        set: Set,
        /// The package at fault.
        package: String,
        /// apt's own words.
        words: String,
    },
    /// A requested name that is not a real package.
    #[error(
        "{set} package `{package}` is a virtual name that apt replaced by another package: name the real package"
    )]
    Virtual {
        /// Set that asks for it.
        set: Set,
        /// The name.
        package: String,
    },
    /// apt answered in a way this resolver does not understand.
    #[error("apt's answer is not understood: {what}")]
    Answer {
        /// What was found.
        what: String,
    },
    /// apt itself broke.
    #[error("running apt failed")]
    Apt(#[from] CommandError),
}

impl LockError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LockError {
        let path = path.into();
        move |source| LockError::File { path, source }
    }
}
