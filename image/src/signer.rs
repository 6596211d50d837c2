//! Signing in one phase or in two.
//!
//! Owns: what is signed (two PE digests, then the manifest) and the files that carry a request to
//! the machine with the keys and the signatures back. Never does: let anything but digests and the
//! manifest leave the build machine.
//! Invariant: signatures are deterministic, so both ways give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_ota::{Channel, PrivateKey, SignError, SignatureFile};
use roamcore_pe::authenticode::{self, Pkcs7Der};
use serde::{Deserialize, Serialize};

use crate::cache::write_atomically;
use crate::keys::KeySet;

const FORMAT: u32 = 1;
/// What the build machine wants signed.
pub const REQUEST: &str = "signing-request.json";
/// The boot files' signatures.
pub const BOOT_SIGNATURES: &str = "boot-signatures.json";
/// The manifest's signatures.
const MANIFEST_SIGNATURES: &str = "release.json.sig";

/// A file whose Authenticode digest is to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootDigest {
    /// Which boot file.
    pub name: String,
    /// Its Authenticode SHA-256, in hex.
    pub sha256: String,
}

/// A request to the machine with the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    format: u32,
    /// Product and version, for the operator's eyes.
    pub what: String,
    /// The image's channel. Digests do not tell it; it stops honest mistakes, before the manifest,
    /// which says it too, is signed.
    pub channel: Channel,
    /// Boot files to sign.
    pub boot: Vec<BootDigest>,
    /// True when `release.json` beside this file is to be signed too.
    pub manifest: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BootSignature {
    name: String,
    sha256: String,
    pkcs7_hex: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BootSignatures {
    format: u32,
    signatures: Vec<BootSignature>,
}

/// What is being signed.
#[derive(Debug, Clone)]
pub struct What {
    /// Product and version.
    pub name: String,
    /// The image's channel.
    pub channel: Channel,
}

impl What {
    fn request(&self, boot: Vec<BootDigest>, manifest: bool) -> Request {
        Request {
            format: FORMAT,
            what: self.name.clone(),
            channel: self.channel,
            boot,
            manifest,
        }
    }
}

/// Where signatures come from.
#[derive(Debug)]
pub enum Signer {
    /// From keys on this machine.
    Keys(KeySet),
    /// From files that travel; the directory holds requests and answers.
    Files(PathBuf),
}

/// What came of asking for signatures.
#[derive(Debug)]
pub enum Signed<T> {
    /// They are here.
    Done(T),
    /// They are not; a request was written into this directory.
    Wanted(PathBuf),
}

impl Signer {
    /// Signs boot files (name, unsigned bytes) and returns the signed ones.
    pub fn sign_boot(&self, what: &What, files: &[(&str, &[u8])]) -> Result<Signed<Vec<Vec<u8>>>> {
        let mut digests = Vec::new();
        for (name, bytes) in files {
            let digest = authenticode::digest(bytes).with_context(|| format!("hashing {name}"))?;
            digests.push(BootDigest {
                name: (*name).to_owned(),
                sha256: hex(&digest),
            });
        }
        let signatures = match self {
            Signer::Keys(keys) => {
                let key = keys.boot_key()?;
                let sign = |d: &BootDigest| Ok(authenticode::sign_digest(unhex(&d.sha256)?, &key)?);
                digests.iter().map(sign).collect::<Result<Vec<_>>>()?
            }
            Signer::Files(dir) => match read_boot_signatures(dir, &digests)? {
                Some(signatures) => signatures,
                None => {
                    write_request(dir, &what.request(digests, false))?;
                    return Ok(Signed::Wanted(dir.clone()));
                }
            },
        };
        let attach = |((name, bytes), signature): (&(&str, &[u8]), &Pkcs7Der)| {
            authenticode::attach(bytes, std::slice::from_ref(signature))
                .with_context(|| format!("signing {name}"))
        };
        Ok(Signed::Done(
            files
                .iter()
                .zip(&signatures)
                .map(attach)
                .collect::<Result<_>>()?,
        ))
    }

    /// Signs the manifest and returns the signature file.
    pub fn sign_manifest(&self, what: &What, manifest: &[u8]) -> Result<Signed<Vec<u8>>> {
        match self {
            Signer::Keys(keys) => {
                let mut signatures = SignatureFile::default();
                signatures.add(manifest, &keys.release_key()?)?;
                Ok(Signed::Done(signatures.encode()?))
            }
            Signer::Files(dir) => {
                let (manifest_path, signature_path) =
                    (dir.join("release.json"), dir.join(MANIFEST_SIGNATURES));
                let same = fs::read(&manifest_path).is_ok_and(|there| there == manifest);
                if same && signature_path.is_file() {
                    let bytes =
                        fs::read(&signature_path).context("reading the manifest's signatures")?;
                    SignatureFile::parse(&bytes).context("the manifest's signatures")?;
                    return Ok(Signed::Done(bytes));
                }
                if signature_path.exists() {
                    bail!(
                        "{} is for another manifest; remove it and sign again",
                        signature_path.display()
                    );
                }
                write_atomically(&manifest_path, manifest)?;
                write_request(dir, &what.request(Vec::new(), true))?;
                Ok(Signed::Wanted(dir.clone()))
            }
        }
    }
}

/// Answers a request with the keys of this machine; returns what was signed.
pub fn answer(dir: &Path, keys: &KeySet) -> Result<Request> {
    let path = dir.join(REQUEST);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let request: Request = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is malformed", path.display()))?;
    if request.format != FORMAT {
        bail!(
            "{} has format {}; this program knows {FORMAT}",
            path.display(),
            request.format
        );
    }
    fits(request.channel, keys)?;
    if !request.boot.is_empty() {
        let key = keys.boot_key()?;
        let mut signatures = Vec::new();
        for digest in &request.boot {
            let signature = authenticode::sign_digest(unhex(&digest.sha256)?, &key)?;
            signatures.push(BootSignature {
                name: digest.name.clone(),
                sha256: digest.sha256.clone(),
                pkcs7_hex: hex(signature.as_bytes()),
            });
        }
        let answer = BootSignatures {
            format: FORMAT,
            signatures,
        };
        write_atomically(
            &dir.join(BOOT_SIGNATURES),
            &serde_json::to_vec_pretty(&answer)?,
        )?;
    }
    if request.manifest {
        sign_manifest_file(dir, keys)?;
    }
    Ok(request)
}

/// Refuses to sign boot files for a channel that these keys are not for.
fn fits(channel: Channel, keys: &KeySet) -> Result<()> {
    let public = keys.public()?.release;
    if public.role() == channel.role() {
        return Ok(());
    }
    let key = public.id();
    Err(match channel {
        Channel::Development => SignError::ReleaseKeyOnDevelopment { key },
        Channel::Release => SignError::DevelopmentKeyOnRelease { key },
    }
    .into())
}

/// Adds this set's signature to the manifest in `dir`, keeping the ones that are there.
pub fn sign_manifest_file(dir: &Path, keys: &KeySet) -> Result<()> {
    add_signature(dir, "release.json", keys, SignatureFile::add)
}

/// The same for an update manifest.
pub fn sign_update_file(dir: &Path, keys: &KeySet) -> Result<()> {
    add_signature(dir, "update.json", keys, SignatureFile::add_update)
}

fn add_signature(
    dir: &Path,
    name: &str,
    keys: &KeySet,
    add: impl FnOnce(&mut SignatureFile, &[u8], &PrivateKey) -> Result<(), SignError>,
) -> Result<()> {
    let manifest = fs::read(dir.join(name)).with_context(|| format!("reading {name} to sign"))?;
    let path = dir.join(format!("{name}.sig"));
    let mut signatures = match fs::read(&path) {
        Ok(bytes) => SignatureFile::parse(&bytes).context("the signatures that are there")?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => SignatureFile::default(),
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    add(&mut signatures, &manifest, &keys.release_key()?)
        .with_context(|| format!("signing {name}"))?;
    write_atomically(&path, &signatures.encode()?)
}

/// Refuses to begin anew where signatures have been collected: people and a journey were needed for
/// them, and they are still good for `attach`.
pub fn refuse_collected(dir: &Path) -> Result<()> {
    let there: Vec<&str> = [BOOT_SIGNATURES, MANIFEST_SIGNATURES]
        .into_iter()
        .filter(|name| dir.join(name).exists())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    bail!(
        "{0} holds signatures that were collected already ({1}); go on with `roamcore-image attach {0}`, or, to \
         begin again without them, remove that directory first",
        dir.display(),
        there.join(", ")
    );
}

fn write_request(dir: &Path, request: &Request) -> Result<()> {
    write_atomically(&dir.join(REQUEST), &serde_json::to_vec_pretty(request)?)
}

fn read_boot_signatures(dir: &Path, digests: &[BootDigest]) -> Result<Option<Vec<Pkcs7Der>>> {
    let path = dir.join(BOOT_SIGNATURES);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    let answer: BootSignatures = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is malformed", path.display()))?;
    let mut signatures = Vec::new();
    for digest in digests {
        let same = |s: &&BootSignature| s.name == digest.name && s.sha256 == digest.sha256;
        let Some(found) = answer.signatures.iter().find(same) else {
            bail!(
                "{} is for other boot files: an overlay, the agent or the tools changed since; remove the directory \
                 and begin again with `build --unsigned`",
                path.display()
            );
        };
        let der = unhex_bytes(&found.pkcs7_hex)?;
        let signature = Pkcs7Der::from_der(&der)
            .with_context(|| format!("the signature for {}", digest.name))?;
        signatures.push(signature);
    }
    Ok(Some(signatures))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex_bytes(text: &str) -> Result<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) || !text.is_ascii() {
        bail!("`{text}` is not hexadecimal");
    }
    bytes
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).context("hexadecimal digits")?;
            u8::from_str_radix(pair, 16).with_context(|| format!("`{pair}` is not hexadecimal"))
        })
        .collect()
}

fn unhex(text: &str) -> Result<[u8; 32]> {
    unhex_bytes(text)?
        .try_into()
        .map_err(|_| anyhow::anyhow!("`{text}` is not a SHA-256 digest"))
}
