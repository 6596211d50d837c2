//! What a release consists of, on the operator's disk.
//!
//! Owns: finding the files that `update.json` names, in a directory or a `.roam` file, and judging them before anything
//! is sent: sizes and names always, signatures when there is a role document to begin with. Never does: judge whether a
//! device may install it: that is the device's. Invariant: nothing beyond the documents is read into memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use roamcore_delta::ReadAt;
use roamcore_delta::roam::Archive;
use roamcore_ota::{
    Clock, Digest, Document, DocumentError, Refusal, Timestamp, TrustedRoles, Update,
    UpdateDocuments, UpdateFile, authenticate, signature_name,
};

use super::client::Failure;
use crate::http::stream::{FileBody, Part, Span};

/// Documents are at most so large.
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// hawkBit's limit of artifacts in a module is 50; ours have one for every 512 MiB.
const MOST_FILES: usize = 1024;

/// Role documents to begin with.
pub(super) struct Trust(TrustedRoles);

impl Trust {
    /// Reads them.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_small(path)?;
        TrustedRoles::anchor(&bytes)
            .map(Trust)
            .map_err(|e| refused(Refusal::from(e)))
    }
}

/// A release on the disk.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// What is worth remembering.
    pub(super) note: BTreeMap<String, String>,
    /// Its files, small ones first.
    pub(super) files: Vec<SourceFile>,
}

/// A file of a release: a whole file, or a part of one.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Its name.
    pub(super) name: String,
    /// What it has to be, where a manifest says so.
    pub(super) sha256: Option<Digest>,
    path: PathBuf,
    offset: u64,
    size: u64,
}

impl SourceFile {
    /// Its bytes, to be sent.
    pub(super) fn body(&self) -> Result<FileBody, Failure> {
        let file = File::open(&self.path).map_err(Failure::file("open", &self.path))?;
        let part = Span::from(self.offset, self.size).map(Part::File);
        Ok(FileBody::new(file, part.into_iter().collect()))
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        let fail = || Failure::file("read", &self.path);
        if self.size > LARGEST_DOCUMENT {
            let why = format!(
                "{} has {} bytes, a document has at most {LARGEST_DOCUMENT}",
                self.name, self.size
            );
            return Err(fail()(io::Error::other(why)));
        }
        let file = File::open(&self.path).map_err(Failure::file("open", &self.path))?;
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        file.read_exact_at(&mut bytes, self.offset)
            .map_err(fail())?;
        Ok(bytes)
    }
}

impl Source {
    /// Finds a release. `named` is for directories without a manifest.
    pub(super) fn open(
        path: &Path,
        named: Option<(String, String)>,
        trust: Option<&Trust>,
    ) -> Result<Self, Failure> {
        let members = match path.is_dir() {
            true => directory(path)?,
            false => archive(path)?,
        };
        if members.len() > MOST_FILES {
            return Err(Failure::Usage(format!(
                "{} has {} files, at most {MOST_FILES} are taken",
                path.display(),
                members.len()
            )));
        }
        let manifest = Document::Update.to_string();
        match (members.contains_key(&manifest), named) {
            (true, None) => with_manifest(members, trust),
            (false, Some((name, version))) if trust.is_none() => Ok(Source {
                name,
                version,
                note: BTreeMap::new(),
                files: members.into_values().collect(),
            }),
            (false, Some(_)) => Err(Failure::Usage(format!(
                "{} has no {manifest} to verify",
                path.display()
            ))),
            (true, Some(_)) => Err(Failure::Usage(format!(
                "{} has {manifest}, which says name and version: leave --name and --release-version out",
                path.display()
            ))),
            (false, None) => Err(Failure::Usage(format!(
                "{} has no {manifest}: it is no release; other files need --name and --release-version",
                path.display()
            ))),
        }
    }
}

type Members = BTreeMap<String, SourceFile>;

fn directory(dir: &Path) -> Result<Members, Failure> {
    let mut members = Members::new();
    for entry in fs::read_dir(dir).map_err(Failure::file("list", dir))? {
        let entry = entry.map_err(Failure::file("list", dir))?;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        let meta = fs::metadata(&path).map_err(Failure::file("look at", &path))?;
        if meta.is_file() {
            members.insert(
                name.clone(),
                SourceFile {
                    name,
                    sha256: None,
                    path,
                    offset: 0,
                    size: meta.len(),
                },
            );
        }
    }
    Ok(members)
}

/// A file that is read anywhere.
struct Whole {
    file: File,
    size: u64,
}

impl ReadAt for Whole {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn archive(path: &Path) -> Result<Members, Failure> {
    let file = File::open(path).map_err(Failure::file("open", path))?;
    let size = file
        .metadata()
        .map_err(Failure::file("look at", path))?
        .len();
    let whole = Whole { file, size };
    let opened = Archive::open(&whole)
        .map_err(|e| Failure::file("read as a .roam file", path)(io::Error::other(e)))?;
    let members = opened.members().iter().map(|member| {
        let file = SourceFile {
            name: member.name.clone(),
            sha256: None,
            path: path.to_owned(),
            offset: member.offset,
            size: member.size,
        };
        (member.name.clone(), file)
    });
    Ok(members.collect())
}

fn with_manifest(mut members: Members, trust: Option<&Trust>) -> Result<Source, Failure> {
    let mut documents = Vec::new();
    for name in [
        Document::Update.to_string(),
        signature_name(Document::Update),
        Document::Roles.to_string(),
    ] {
        match members.remove(&name) {
            Some(file) => documents.push(file),
            None => return Err(Failure::Usage(format!("the release has no {name}"))),
        }
    }
    let [manifest, signatures, roles] = documents.as_slice() else {
        return Err(Failure::Usage(
            "the release has not all its documents".into(),
        ));
    };
    let (manifest, signatures, roles) = (manifest.read()?, signatures.read()?, roles.read()?);
    let update = match trust {
        None => Update::parse(&manifest)
            .map_err(|e: DocumentError| refused(Refusal::Verify(e.into())))?,
        Some(Trust(anchor)) => {
            let documents = UpdateDocuments {
                manifest: &manifest,
                signatures: &signatures,
                roles: &roles,
            };
            verified(anchor, &documents).map_err(refused)?
        }
    };
    let mut files = documents;
    for listed in update.files() {
        files.push(listed_file(&mut members, listed)?);
    }
    let note = [
        ("board", update.board.to_string()),
        ("channel", update.channel.to_string()),
        ("sequence", update.sequence.to_string()),
        ("security_epoch", update.security_epoch.to_string()),
        ("update_sha256", Digest::of(&manifest).to_string()),
        (
            "verified",
            if trust.is_some() { "yes" } else { "no" }.to_owned(),
        ),
    ];
    Ok(Source {
        name: update.product.to_string(),
        version: update.version.to_string(),
        note: note
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        files,
    })
}

fn verified(anchor: &TrustedRoles, documents: &UpdateDocuments<'_>) -> Result<Update, Refusal> {
    let roles = anchor.advance(documents.roles)?;
    let clock = Clock::new(clock());
    let update = authenticate(documents, &roles, &clock)?;
    update.check_validity(&clock)?;
    Ok(update.update().clone())
}

fn clock() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_unix(since.as_secs()).ok()
}

fn listed_file(members: &mut Members, listed: &UpdateFile) -> Result<SourceFile, Failure> {
    let Some(file) = members.remove(listed.name.as_str()) else {
        return Err(Failure::Usage(format!(
            "the release has no {}, which its manifest names",
            listed.name
        )));
    };
    if file.size != listed.size {
        return Err(Failure::Usage(format!(
            "{} has {} bytes, its manifest says {}: take the original",
            listed.name, file.size, listed.size
        )));
    }
    Ok(SourceFile {
        sha256: Some(listed.sha256),
        ..file
    })
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Release {
        code: refusal.exit_code(),
        source: Box::new(refusal),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST_DOCUMENT).read_to_end(&mut bytes));
    read.map_err(Failure::file("read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, named: Option<(&str, &str)>) -> Result<Source, String> {
        let named = named.map(|(name, version)| (name.to_owned(), version.to_owned()));
        Source::open(dir, named, None)
            .map_err(|e| e.to_string().replace(&dir.display().to_string(), "DIR"))
    }

    #[test]
    fn plain_directories_need_a_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.bin"), "hello").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        assert_eq!(
            open(dir.path(), None).unwrap_err(),
            "DIR has no update.json: it is no release; other files need --name and --release-version"
        );
        let source = open(dir.path(), Some(("demo", "1"))).unwrap();
        assert_eq!(
            (
                source.name.as_str(),
                source.files.len(),
                source.files[0].size
            ),
            ("demo", 1, 5)
        );
    }

    #[test]
    fn manifests_name_the_release() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("update.json"), "{}").unwrap();
        assert_eq!(
            open(dir.path(), Some(("demo", "1"))).unwrap_err(),
            "DIR has update.json, which says name and version: leave --name and --release-version out"
        );
        assert_eq!(
            open(dir.path(), None).unwrap_err(),
            "the release has no update.json.sig"
        );
        for name in ["update.json.sig", "roles.json"] {
            fs::write(dir.path().join(name), "{}").unwrap();
        }
        assert_eq!(
            open(dir.path(), None).unwrap_err(),
            "the release is refused"
        );
    }
}
