//! Role documents as files: who may sign updates, for publishers.
//!
//! Owns: the first document of a key set, changes of later ones, and what an image must carry. The
//! format and its rules are the `ota` crate's. Never does: overwrite a chain with a shorter one, or
//! build on a document that is not signed by all who must.
//! Invariant: a chain on disk was read back as it was written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use roamcore_ota::{
    Channel, KeyId, PrivateKey, PublicKey, Role, RoleChain, RoleTerms, RolesError, Timestamp,
    TrustedRoles, Window,
};

use crate::cache::write_atomically;

/// Where an image carries its role documents.
pub const IN_IMAGE: &str = "usr/share/roamcore/trust/roles.json";
/// Name of the chain in a key set's `public` directory and in an update.
pub const FILE: &str = "roles.json";
const DAY: u64 = 86_400;
/// Largest integer of canonical JSON (RFC 7493 section 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// What a publisher changes from one document to the next.
#[derive(Debug, Default)]
pub struct Change {
    /// Keys that come, each with its role.
    pub add: Vec<PublicKey>,
    /// Keys that go.
    pub remove: Vec<KeyId>,
    /// Keys that go and must never count again.
    pub revoke: Vec<KeyId>,
    /// New thresholds.
    pub thresholds: BTreeMap<Role, usize>,
    /// Days until the document expires; `None` takes the role's ordinary time.
    pub days: Option<u64>,
    /// New window of sequences.
    pub sequence: Option<Window<u64>>,
    /// New window of security epochs.
    pub security_epoch: Option<Window<u32>>,
}

/// How long a document is good for unless its publisher says otherwise: two years for release
/// keys, after which devices ask for a newer one. Development machines are not asked for ten.
fn ordinary_days(keys: &[PublicKey]) -> u64 {
    let ships = keys.iter().any(|key| key.role() == Role::Release);
    if ships { 2 * 365 } else { 10 * 365 }
}

/// Windows of a first document. Development numbers are anything. Those of releases are bounded,
/// so that a stolen key cannot use up the numbers: sequences up to what a time in seconds needs
/// until 2106, and more security epochs than anybody should need.
fn first_windows(keys: &[PublicKey]) -> (Window<u64>, Window<u32>) {
    let ships = keys.iter().any(|key| key.role() == Role::Release);
    let (sequence, epoch) = if ships {
        (u32::MAX.into(), 255)
    } else {
        (MAX_INTEGER, u32::MAX)
    };
    (
        Window {
            minimum: 0,
            maximum: sequence,
        },
        Window {
            minimum: 0,
            maximum: epoch,
        },
    )
}

fn dates(days: u64) -> Result<(Timestamp, Timestamp)> {
    let now = now()?;
    let now_seconds = now.as_unix().unsigned_abs();
    let expires = days
        .checked_mul(DAY)
        .and_then(|seconds| now_seconds.checked_add(seconds))
        .with_context(|| format!("{days} days is too long"))?;
    Ok((now, Timestamp::from_unix(expires)?))
}

/// The time of this machine.
pub fn now() -> Result<Timestamp> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Timestamp::from_unix(now.as_secs()).context("the clock is out of range")
}

/// A chain with its first document, not signed.
pub fn first(change: Change) -> Result<RoleChain> {
    if !change.remove.is_empty() || !change.revoke.is_empty() {
        bail!("a first role document has no keys to take away");
    }
    let days = change.days.unwrap_or_else(|| ordinary_days(&change.add));
    let (created, expires) = dates(days)?;
    let (sequence, security_epoch) = first_windows(&change.add);
    let terms = RoleTerms {
        created,
        expires,
        keys: change.add,
        thresholds: change.thresholds,
        revoked: Default::default(),
        security_epoch: change.security_epoch.unwrap_or(security_epoch),
        sequence: change.sequence.unwrap_or(sequence),
    };
    Ok(RoleChain::start(terms)?)
}

/// Adds the next document, not signed, to a chain whose newest one is.
pub fn next(chain: &mut RoleChain, change: Change) -> Result<()> {
    if let Some(wanted) = wanted(chain)? {
        return Err(wanted)
            .context("the newest role document must be in force before the next one");
    }
    let old = chain.newest()?.document().terms(now()?, now()?)?;
    for id in change.remove.iter().chain(&change.revoke) {
        if !old.keys.iter().any(|key| key.id() == *id) && !change.revoke.contains(id) {
            bail!("key {id} is not in the newest role document, so it cannot be taken away");
        }
    }
    let gone =
        |key: &PublicKey| change.remove.contains(&key.id()) || change.revoke.contains(&key.id());
    let mut keys: Vec<PublicKey> = old.keys.iter().filter(|k| !gone(k)).cloned().collect();
    keys.extend(change.add);
    let (created, expires) = dates(change.days.unwrap_or_else(|| ordinary_days(&keys)))?;
    let mut thresholds = old.thresholds;
    thresholds.extend(change.thresholds);
    let mut revoked = old.revoked;
    revoked.extend(change.revoke);
    chain.push(RoleTerms {
        created,
        expires,
        keys,
        thresholds,
        revoked,
        security_epoch: change.security_epoch.unwrap_or(old.security_epoch),
        sequence: change.sequence.unwrap_or(old.sequence),
    })?;
    Ok(())
}

/// What a chain still lacks to be followed: signatures of its newest document. Anything else that
/// is wrong with it is an error.
pub fn wanted(chain: &RoleChain) -> Result<Option<RolesError>> {
    match TrustedRoles::anchor(&chain.encode()?) {
        Ok(_) => Ok(None),
        Err(wanted @ (RolesError::NotVouched { .. } | RolesError::BelowThreshold { .. })) => {
            Ok(Some(wanted))
        }
        Err(error) => Err(error.into()),
    }
}

/// The documents of an image of this channel whose signing key is `key`; refuses those by which no
/// device could be updated, or a user's device could be given a development image.
pub fn anchor(roles: &[u8], channel: Channel, key: &PublicKey) -> Result<TrustedRoles> {
    let trusted = TrustedRoles::anchor(roles).context("the role documents of the key set")?;
    let signs = trusted.trust().get(key.id()).map(PublicKey::role);
    if signs != Some(channel.role()) {
        bail!(
            "role document {} does not let key {} sign {channel} images, so a device with this image could not be \
             updated by it; add it with `roamcore-image keys roles rotate`",
            trusted.version(),
            key.id()
        );
    }
    if channel == Channel::Release && trusted.document().role(Role::Development).is_some() {
        bail!(
            "role document {} lets development keys sign; a release image must not trust any",
            trusted.version()
        );
    }
    Ok(trusted)
}

/// Reads a chain.
pub fn read(path: &Path) -> Result<RoleChain> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    RoleChain::parse(&bytes).with_context(|| format!("{}", path.display()))
}

/// Replaces a chain by a longer or better signed one.
pub fn replace(path: &Path, chain: &RoleChain) -> Result<()> {
    let whole =
        std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))?;
    write_atomically(&whole, &chain.encode()?)
}

/// Writes a new chain; an existing file is left alone.
pub fn write_new(path: &Path, chain: &RoleChain) -> Result<()> {
    let bytes = chain.encode()?;
    let file = fs::File::options().write(true).create_new(true).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} exists already; role documents are never overwritten: go on from it with `rotate`",
            path.display()
        ),
        _ => anyhow::Error::new(e).context(format!("creating {}", path.display())),
    })?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

/// The chain of a new key set: one root key, one signing key.
pub fn of_key_set(root: &PrivateKey, release: &PublicKey) -> Result<RoleChain> {
    let mut chain = first(Change {
        add: vec![root.public().clone(), release.clone()],
        ..Change::default()
    })?;
    chain.sign(root)?;
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(role: Role) -> (PrivateKey, PrivateKey, RoleChain) {
        let root = PrivateKey::generate(Role::Root).unwrap();
        let key = PrivateKey::generate(role).unwrap();
        let chain = of_key_set(&root, key.public()).unwrap();
        (root, key, chain)
    }

    #[test]
    fn a_key_set_of_each_role_anchors_its_own_images() {
        for (role, channel) in [
            (Role::Development, Channel::Development),
            (Role::Release, Channel::Release),
        ] {
            let (_, key, chain) = set(role);
            let bytes = chain.encode().unwrap();
            anchor(&bytes, channel, key.public()).unwrap();
            let stranger = PrivateKey::generate(role).unwrap();
            let error = anchor(&bytes, channel, stranger.public()).unwrap_err();
            assert!(error.to_string().contains("does not let key"), "{error}");
        }
    }

    #[test]
    fn a_release_image_trusts_no_development_key() {
        let (root, key, mut chain) = set(Role::Release);
        let development = PrivateKey::generate(Role::Development).unwrap();
        let change = Change {
            add: vec![development.public().clone()],
            ..Change::default()
        };
        next(&mut chain, change).unwrap();
        chain.sign(&root).unwrap();
        let error = anchor(&chain.encode().unwrap(), Channel::Release, key.public()).unwrap_err();
        assert!(error.to_string().contains("must not trust any"), "{error}");
    }

    #[test]
    fn rotation_and_revocation_go_on_from_a_signed_document_only() {
        let (root, key, mut chain) = set(Role::Release);
        let new = PrivateKey::generate(Role::Release).unwrap();
        let change = || Change {
            add: vec![new.public().clone()],
            revoke: vec![key.public().id()],
            ..Change::default()
        };
        next(&mut chain, change()).unwrap();
        assert!(matches!(
            wanted(&chain).unwrap(),
            Some(RolesError::NotVouched { version: 2, .. })
        ));
        let error = next(&mut chain, Change::default()).unwrap_err();
        assert!(error.to_string().contains("must be in force"), "{error}");
        chain.sign(&root).unwrap();
        assert!(wanted(&chain).unwrap().is_none());

        let newest = chain.newest().unwrap().document();
        assert!(newest.revoked.contains(&key.public().id()));
        assert_eq!(newest.version, 2);
        let trusted = TrustedRoles::anchor(&chain.encode().unwrap()).unwrap();
        assert!(trusted.trust().get(new.public().id()).is_some());
        assert!(trusted.trust().get(key.public().id()).is_none());

        let gone = Change {
            remove: vec![key.public().id()],
            ..Change::default()
        };
        let error = next(&mut chain, gone).unwrap_err();
        assert!(
            error.to_string().contains("cannot be taken away"),
            "{error}"
        );
    }
}
