//! Sets of signing keys on disk.
//!
//! Owns: the files of a key set: one Ed25519 release key, the three Secure Boot keys, and the
//! public files made from them. Never does: overwrite a key, or put one inside the checkout.
//! Invariant: everything a build needs is in `public/`; only `sign` reads the rest.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use roamcore_ota::{PrivateKey, PublicKey, Role};
use roamcore_pe::certs::{Certificate, SigningKey, Validity};
use roamcore_pe::efivar::{EfiTime, SecureBootVariable, sign_variable, signature_list};

/// Owner of our entries in the firmware's signature lists.
const OWNER: &str = "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f00";
/// Firmware does not look at the dates; tools do. Thirty years outlast the hardware.
const VALID_SECONDS: u64 = 30 * 365 * 86_400;
const RELEASE: &str = "release";
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
}

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
            bail!(
                "{} exists already; keys are never overwritten",
                dir.display()
            );
        }
        let whole =
            std::path::absolute(dir).with_context(|| format!("resolving {}", dir.display()))?;
        if let Some(checkout) = whole.ancestors().find(|a| a.join(".git").exists()) {
            bail!(
                "{} lies inside the checkout {}; keys in a checkout end up in its history: choose a place outside",
                dir.display(),
                checkout.display()
            );
        }
        let parent = whole
            .parent()
            .context("a key set needs a parent directory")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        let temp = tempfile::Builder::new()
            .prefix(".keys-")
            .tempdir_in(parent)
            .context("creating a directory")?;
        let set = KeySet {
            dir: temp.path().to_owned(),
        };
        set.fill(role)?;
        // Still owned by `temp` until it has its name, so that a failure leaves no private key behind.
        fs::rename(temp.path(), dir).with_context(|| format!("renaming into {}", dir.display()))?;
        let _ = temp.keep();
        fs::File::open(parent)
            .and_then(|d| d.sync_all())
            .with_context(|| format!("syncing {}", parent.display()))?;
        KeySet::open(dir)
    }

    /// Opens the development set, making it on first use.
    pub fn development() -> Result<(KeySet, bool)> {
        let dir = KeySet::development_dir()?;
        if dir.exists() {
            Ok((KeySet::open(&dir)?, false))
        } else {
            Ok((KeySet::create(&dir, Role::Development)?, true))
        }
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
        let path = self.dir.join("release.key");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        PrivateKey::parse(&text).with_context(|| format!("the release key {}", path.display()))
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
    Ok(PublicSet { release, db, enrol })
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
