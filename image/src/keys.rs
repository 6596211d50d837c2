//! Sets of signing keys on disk.
//!
//! Owns: the files of a key set: an Ed25519 release key, an Ed25519 root key, the three Secure Boot
//! keys, and the public files made from them. Never does: overwrite a key, or put one inside the checkout.
//! Invariant: everything a build needs is in `public/`; only `sign` reads the rest.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use roamcore_ota::{Channel, PrivateKey, PublicKey, Role, TrustedRoles};
use roamcore_pe::certs::{Certificate, SigningKey, Validity};
use roamcore_pe::efivar::{EfiTime, SecureBootVariable, sign_variable, signature_list};
use roamcore_scratch::{Scratch, tidy};
use thiserror::Error;

use crate::roles;

/// Owner of our entries in the firmware's signature lists.
const OWNER: &str = "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f00";
/// Firmware does not look at the dates; tools do. Thirty years outlast the hardware.
const VALID_SECONDS: u64 = 30 * 365 * 86_400;
const RELEASE: &str = "release";
/// Start of the name of a set that is being made; parents are people's own directories.
const UNFINISHED: &str = ".roamcore-keys-";
const VARIABLES: [(SecureBootVariable, &str); 3] = [
    (SecureBootVariable::Pk, "PK"),
    (SecureBootVariable::Kek, "KEK"),
    (SecureBootVariable::Db, "db"),
];

/// The public half: what builders and verifiers need.
#[derive(Debug, Clone)]
pub struct PublicSet {
    /// Verifies release manifests.
    pub release: PublicKey,
    /// Verifies boot files.
    pub db: Certificate,
    /// Files that enrol the keys: name and bytes.
    pub enrol: Vec<(String, Vec<u8>)>,
    /// The role documents that images carry; a set of an older builder has none.
    pub roles: Option<Vec<u8>>,
}

impl PublicSet {
    /// The role documents of an image of this channel.
    pub fn anchor(&self, channel: Channel) -> Result<TrustedRoles> {
        let roles = self.roles.as_ref().context(
            "the key set has no role documents (public/roles.json), so a device could not be updated; make them with \
             `roamcore-image keys roles init`",
        )?;
        roles::anchor(roles, channel, &self.release)
    }
}

/// There are keys already, or another process has made some meanwhile.
#[derive(Debug, Error)]
#[error("{} exists already; keys are never overwritten", .0.display())]
struct Taken(PathBuf);

/// A directory with a key set.
#[derive(Debug, Clone)]
pub struct KeySet {
    dir: PathBuf,
}

impl KeySet {
    /// The place of the development keys: `$ROAMCORE_KEYS`, else `~/.local/share/roamcore/keys`.
    pub fn development_dir() -> Result<PathBuf> {
        if let Some(dir) = std::env::var_os("ROAMCORE_KEYS") {
            return Ok(PathBuf::from(dir).join("development"));
        }
        let home = std::env::var_os("HOME").context("neither HOME nor ROAMCORE_KEYS is set")?;
        Ok(PathBuf::from(home).join(".local/share/roamcore/keys/development"))
    }

    /// Opens an existing set.
    pub fn open(dir: &Path) -> Result<KeySet> {
        if !dir.join("public").join("release.pub").is_file() {
            bail!(
                "{} is not a key set; make one with `roamcore-image keys create --role release {}`",
                dir.display(),
                dir.display()
            );
        }
        Ok(KeySet {
            dir: dir.to_owned(),
        })
    }

    /// Makes a new set; every private file is readable by its owner alone.
    pub fn create(dir: &Path, role: Role) -> Result<KeySet> {
        if dir.exists() {
            return Err(Taken(dir.to_owned()).into());
        }
        let whole = outside_checkouts(dir)?;
        let parent = whole
            .parent()
            .context("a key set needs a parent directory")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        // What a killed run left has private keys in it.
        tidy(parent, UNFINISHED)?;
        let scratch = Scratch::create(parent, UNFINISHED)?;
        let set = KeySet {
            dir: scratch.path().to_owned(),
        };
        set.fill(role)?;
        // Still owned by `scratch` until it has its name, so that a failure leaves no private key behind.
        rename_new(scratch.path(), dir)?;
        let _ = scratch.keep();
        fs::File::open(parent)
            .and_then(|d| d.sync_all())
            .with_context(|| format!("syncing {}", parent.display()))?;
        KeySet::open(dir)
    }

    /// Opens the development set, making it on first use.
    pub fn development() -> Result<(KeySet, bool)> {
        KeySet::development_in(&KeySet::development_dir()?)
    }

    /// The same for a set in `dir`. Of several builds that find none, the first to finish one has
    /// made the keys of all.
    fn development_in(dir: &Path) -> Result<(KeySet, bool)> {
        if !dir.exists() {
            match KeySet::create(dir, Role::Development) {
                Ok(set) => return Ok((set, true)),
                Err(error) if error.is::<Taken>() => {}
                Err(error) => return Err(error),
            }
        }
        let set = KeySet::open(dir)?;
        set.add_roles()?;
        Ok((set, false))
    }

    fn fill(&self, role: Role) -> Result<()> {
        let public = self.dir.join("public");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&public)
            .context("creating the public directory")?;
        let release = PrivateKey::generate(role).context("making the release key")?;
        write_new(
            &self.dir.join("release.key"),
            release.to_pem()?.as_bytes(),
            0o600,
        )?;
        write_new(
            &public.join("release.pub"),
            release.public().to_pem()?.as_bytes(),
            0o644,
        )?;

        self.make_roles()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?
            .as_secs();
        let validity = Validity {
            not_before: now,
            not_after: now + VALID_SECONDS,
        };
        let label = if role == Role::Development {
            "RoamCore development"
        } else {
            "RoamCore"
        };
        let mut keys = Vec::new();
        for (_, name) in VARIABLES {
            let key = SigningKey::generate(&format!("{label} {name}"), validity)
                .context("making a Secure Boot key")?;
            key.write_new(
                &self.dir.join(format!("{name}.key")),
                &public.join(format!("{name}.crt")),
            )?;
            keys.push(key);
        }
        let owner = OWNER.parse().context("our owner GUID")?;
        let time = EfiTime::from_unix(now).context("the time for the firmware")?;
        // UEFI 2.10, 8.2.2 and 32.3: PK signs itself and KEK; KEK signs db.
        for (index, signer) in [(0, 0), (1, 0), (2, 1)] {
            let (variable, name) = VARIABLES[index];
            let list = signature_list(owner, std::slice::from_ref(keys[index].certificate()))?;
            let auth = sign_variable(variable, &list, time, &keys[signer])
                .context("signing an enrolment file")?;
            write_new(&public.join(format!("{name}.auth")), &auth, 0o644)?;
        }
        Ok(())
    }

    /// [`KeySet::make_roles`] in a set that others may use.
    fn add_roles(&self) -> Result<()> {
        let door =
            fs::File::open(&self.dir).with_context(|| format!("opening {}", self.dir.display()))?;
        door.lock()
            .with_context(|| format!("locking {}", self.dir.display()))?;
        self.make_roles()
    }

    /// Makes the root key and the first role document of a set that has none. A build that is
    /// killed in between leaves a root key, which the next one uses.
    fn make_roles(&self) -> Result<()> {
        let path = self.dir.join("public").join(roles::FILE);
        if path.exists() {
            return Ok(());
        }
        let key = self.dir.join("root.key");
        if !key.exists() {
            let root = PrivateKey::generate(Role::Root).context("making the root key")?;
            write_new(&key, root.to_pem()?.as_bytes(), 0o600)?;
        }
        let chain = roles::of_key_set(&read_key(&key)?, self.release_key()?.public())?;
        roles::write_new(&path, &chain)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the public half.
    pub fn public(&self) -> Result<PublicSet> {
        read_public(&self.dir.join("public"))
    }

    /// Reads the key that signs release manifests.
    pub fn release_key(&self) -> Result<PrivateKey> {
        read_key(&self.dir.join("release.key"))
    }

    /// Reads the key that signs role documents.
    pub fn root_key(&self) -> Result<PrivateKey> {
        read_key(&self.dir.join("root.key"))
    }

    /// Reads the key that signs boot files.
    pub fn boot_key(&self) -> Result<SigningKey> {
        SigningKey::read(&self.dir.join("db.key"), &self.dir.join("public/db.crt"))
            .context("reading the Secure Boot key")
    }
}

/// Reads a `public/` directory, which may have been copied from another machine.
pub fn read_public(dir: &Path) -> Result<PublicSet> {
    let read = |name: &str| {
        fs::read(dir.join(name)).with_context(|| format!("reading {}", dir.join(name).display()))
    };
    let text = |name: &str| -> Result<String> {
        String::from_utf8(read(name)?)
            .with_context(|| format!("{} is not text", dir.join(name).display()))
    };
    let release = PublicKey::parse(&text(&format!("{RELEASE}.pub"))?)
        .context("the release key's public half")?;
    let db = Certificate::from_pem(&text("db.crt")?).context("the Secure Boot certificate")?;
    let enrol = VARIABLES
        .iter()
        .map(|(_, name)| Ok((format!("{name}.auth"), read(&format!("{name}.auth"))?)))
        .collect::<Result<_>>()?;
    let roles = match fs::read(dir.join(roles::FILE)) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(e).with_context(|| format!("reading {}/roles.json", dir.display())),
    };
    Ok(PublicSet {
        release,
        db,
        enrol,
        roles,
    })
}

/// Reads a private Ed25519 key file.
pub fn read_key(path: &Path) -> Result<PrivateKey> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    PrivateKey::parse(&text).with_context(|| format!("the key {}", path.display()))
}

/// Makes a root key of its own: `path` with the private half, `.pub` in place of its extension for
/// the public one.
pub fn create_root_key(path: &Path) -> Result<PublicKey> {
    let whole = outside_checkouts(path)?;
    let root = PrivateKey::generate(Role::Root).context("making the root key")?;
    write_new(&whole, root.to_pem()?.as_bytes(), 0o600)?;
    let public = root.public().clone();
    write_new(
        &whole.with_extension("pub"),
        public.to_pem()?.as_bytes(),
        0o644,
    )?;
    Ok(public)
}

/// The absolute path, which must be where no history keeps it.
fn outside_checkouts(path: &Path) -> Result<PathBuf> {
    let whole =
        std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))?;
    if let Some(checkout) = whole.ancestors().find(|a| a.join(".git").exists()) {
        bail!(
            "{} lies inside the checkout {}; keys in a checkout end up in its history: choose a place outside",
            path.display(),
            checkout.display()
        );
    }
    Ok(whole)
}

/// Gives a directory its name. rename(2) replaces an empty directory at most, never a key set.
fn rename_new(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Ok(()) => Ok(()),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
            ) =>
        {
            Err(Taken(to.to_owned()).into())
        }
        Err(e) => Err(e).with_context(|| format!("renaming into {}", to.display())),
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_that_start_together_have_the_same_keys() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("development");
        let start = std::sync::Barrier::new(4);
        let results: Vec<(Vec<u8>, bool)> = std::thread::scope(|scope| {
            let build = || {
                start.wait();
                let (set, made) = KeySet::development_in(&dir).unwrap();
                (fs::read(set.dir().join("release.key")).unwrap(), made)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|(_, made)| *made).count(), 1);
        assert!(results.iter().all(|(key, _)| *key == results[0].0));
        KeySet::open(&dir).unwrap().public().unwrap();
        let left = fs::read_dir(parent.path()).unwrap().count();
        assert_eq!(left, 1, "keys of those that came second are left behind");
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_over() {
        let parent = tempfile::tempdir().unwrap();
        let (from, to) = (parent.path().join("from"), parent.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(to.join("release.key"), "theirs").unwrap();
        let error = rename_new(&from, &to).unwrap_err();
        assert!(error.to_string().contains("never overwritten"), "{error}");
        assert_eq!(
            fs::read_to_string(to.join("release.key")).unwrap(),
            "theirs"
        );
        rename_new(&from, &parent.path().join("other")).unwrap();
    }
}
