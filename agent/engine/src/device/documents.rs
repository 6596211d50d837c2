//! The small files of one update, kept on the state partition until it is committed: documents and indexes, never
//! payload.
//!
//! Owns: one directory named by the manifest's digest, and files that arrive in pieces. Never does: trust a file before its
//! signed digest was compared. Invariant: what is under its final name is whole; what is under `.part` is a beginning, and
//! a download goes on behind it after any cut.
//!
//! ```text
//!   documents/<sha256 of update.json>/update.json, update.json.sig, roles.json    as they were judged
//!                                     root.index, uki.index                       compared with the manifest
//!                                     root.index.part                             under way
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, At, IoAt};
use roamcore_ota::{Digest, Document, MAX_SIGNATURE_BYTES, Update, UpdateFile, signature_name};
use sha2::Digest as _;

use super::chain;
use super::{DeviceError, Payload, Trouble};

/// Bytes between two syncs: what a power cut may cost of a download.
const SYNC_EVERY: u64 = 1024 * 1024;
const PART: &str = ".part";

/// The directory of all of them.
#[derive(Debug)]
pub(super) struct Documents {
    root: PathBuf,
}

/// What is judged: three files as bytes.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) manifest: Vec<u8>,
    pub(super) signatures: Vec<u8>,
    pub(super) roles: Vec<u8>,
}

fn local(error: IoAt) -> DeviceError {
    DeviceError::new(Trouble::Passing, chain(&error))
}

impl Documents {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn directory(&self, manifest: &Digest) -> PathBuf {
        self.root.join(manifest.to_string())
    }

    /// Fetches what is judged. Small, and asked for again with every judgement, because it may have changed.
    pub(super) fn fetch(payload: &mut dyn Payload) -> Result<Judged, DeviceError> {
        let mut whole = |name: &str, most: u64| {
            let size = payload.size(name)?.unwrap_or(0);
            if size > most {
                let reason = format!("refused: {name} has {size} bytes, at most {most} are read");
                return Err(DeviceError::new(Trouble::Final, reason));
            }
            let mut bytes = Vec::new();
            if size > 0 {
                payload.fetch(name, 0..size, &mut |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
            }
            Ok(bytes)
        };
        Ok(Judged {
            manifest: whole(
                Document::Update.file_name(),
                Document::Update.max_bytes() as u64,
            )?,
            signatures: whole(
                &signature_name(Document::Update),
                MAX_SIGNATURE_BYTES as u64,
            )?,
            roles: whole(
                Document::Roles.file_name(),
                Document::Roles.max_bytes() as u64,
            )?,
        })
    }

    /// Keeps what was judged, and nothing of other updates.
    pub(super) fn keep(&self, judged: &Judged) -> Result<(), DeviceError> {
        let digest = Digest::of(&judged.manifest);
        self.forget_all_but(Some(&digest)).map_err(local)?;
        let directory = self.directory(&digest);
        files::ensure_directory(&self.root, 0o700).map_err(local)?;
        files::ensure_directory(&directory, 0o700).map_err(local)?;
        let signatures = signature_name(Document::Update);
        for (name, bytes) in [
            (Document::Roles.file_name(), &judged.roles),
            (signatures.as_str(), &judged.signatures),
            (Document::Update.file_name(), &judged.manifest),
        ] {
            let path = directory.join(name);
            files::write_atomic(&path, bytes, 0o600).map_err(local)?;
        }
        Ok(())
    }

    /// What was kept of an update, by its digest.
    pub(super) fn judged(&self, manifest: &Digest) -> Result<Judged, DeviceError> {
        let directory = self.directory(manifest);
        let read = |name: &str, most: usize| {
            files::read(&directory.join(name), most as u64).map_err(local)
        };
        let judged = Judged {
            manifest: read(Document::Update.file_name(), Document::Update.max_bytes())?,
            signatures: read(&signature_name(Document::Update), MAX_SIGNATURE_BYTES)?,
            roles: read(Document::Roles.file_name(), Document::Roles.max_bytes())?,
        };
        if Digest::of(&judged.manifest) != *manifest {
            let reason = format!(
                "{} was judged as {manifest} and is another file now",
                directory.join(Document::Update.file_name()).display()
            );
            return Err(DeviceError::new(Trouble::Passing, reason));
        }
        Ok(judged)
    }

    /// The manifest, which was believed when it was kept.
    pub(super) fn update(&self, manifest: &Digest) -> Result<Update, DeviceError> {
        let judged = self.judged(manifest)?;
        Update::parse(&judged.manifest)
            .map_err(|error| DeviceError::new(Trouble::Final, chain(&error)))
    }

    /// A file of the update, fetched unless it is there, and compared with its signed size and digest.
    pub(super) fn file(
        &self,
        manifest: &Digest,
        file: &UpdateFile,
        payload: &mut dyn Payload,
    ) -> Result<PathBuf, DeviceError> {
        let path = self.directory(manifest).join(file.name.as_str());
        if path.exists() {
            if digest_of(&path).map_err(local)? == (file.size, file.sha256) {
                return Ok(path);
            }
            fs::remove_file(&path)
                .at("remove the damaged", &path)
                .map_err(local)?;
        }
        let part = self
            .directory(manifest)
            .join(format!("{}{PART}", file.name));
        fetch_rest(&part, file, payload)?;
        let (size, sha256) = digest_of(&part).map_err(local)?;
        if (size, sha256) != (file.size, file.sha256) {
            fs::remove_file(&part)
                .at("remove the wrong", &part)
                .map_err(local)?;
            let reason = format!(
                "{} has SHA-256 {sha256}, the signed manifest says {}",
                file.name, file.sha256
            );
            return Err(DeviceError {
                trouble: Trouble::Passing,
                code: i32::from(roamcore_ota::FailureClass::ArtefactMismatch.exit_code()),
                reason,
            });
        }
        fs::rename(&part, &path)
            .at("rename to", &path)
            .map_err(local)?;
        files::sync_directory(&self.directory(manifest)).map_err(local)?;
        Ok(path)
    }

    /// Bytes of a file that are still to be fetched.
    pub(super) fn missing(&self, manifest: &Digest, file: &UpdateFile) -> u64 {
        let path = self.directory(manifest).join(file.name.as_str());
        if path.exists() {
            return 0;
        }
        let part = self
            .directory(manifest)
            .join(format!("{}{PART}", file.name));
        let have = part.metadata().map_or(0, |found| found.len());
        file.size.saturating_sub(have)
    }

    /// Removes everything, or all but one update.
    pub(super) fn forget_all_but(&self, keep: Option<&Digest>) -> Result<(), IoAt> {
        let kept = keep.map(|digest| self.directory(digest));
        let listing = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.at("list", &self.root)?,
        };
        for entry in listing {
            let path = entry.at("list", &self.root)?.path();
            if Some(&path) != kept.as_ref() {
                fs::remove_dir_all(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }
}

fn fetch_rest(
    part: &Path,
    file: &UpdateFile,
    payload: &mut dyn Payload,
) -> Result<(), DeviceError> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut out = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(part)
        .at("open", part)
        .map_err(local)?;
    let mut have = out.metadata().at("inspect", part).map_err(local)?.len();
    if have > file.size {
        out.set_len(0).at("empty", part).map_err(local)?;
        have = 0;
    }
    if have < file.size {
        let mut unsynced = 0;
        payload.fetch(file.name.as_str(), have..file.size, &mut |piece| {
            out.write_all(piece).at("write", part).map_err(local)?;
            unsynced += piece.len() as u64;
            if unsynced >= SYNC_EVERY {
                unsynced = 0;
                out.sync_data().at("sync", part).map_err(local)?;
            }
            Ok(())
        })?;
    }
    out.sync_all().at("sync", part).map_err(local)
}

fn digest_of(path: &Path) -> Result<(u64, Digest), IoAt> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).at("read", path)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            let sum: [u8; 32] = hasher.finalize().into();
            return Ok((size, Digest::from(sum)));
        };
        hasher.update(bytes);
        size += read as u64;
    }
}
