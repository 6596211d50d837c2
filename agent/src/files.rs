//! Small files: bounded reads, atomic writes, directories that are really directories.
//!
//! Owns: the rule that a file is either the old one or the new one after a power cut.
//! Never does: follow a symbolic link it is about to replace, read more than the caller allows.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An operation of the file system that failed, with its place.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct IoAt {
    /// The operation, as a verb.
    pub doing: &'static str,
    /// Its object.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl IoAt {
    /// True when the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Adds operation and place to a system error.
pub trait At<T> {
    /// `doing` is a verb that reads well before the path.
    fn at(self, doing: &'static str, path: &Path) -> Result<T, IoAt>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, IoAt> {
        self.map_err(|source| IoAt {
            doing,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

/// Reads a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, IoAt> {
    let file = File::open(path).at("open", path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .at("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes"))).at("read", path);
    }
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> Result<String, IoAt> {
    String::from_utf8(read(path, limit)?)
        .map_err(io::Error::other)
        .at("read as UTF-8", path)
}

/// As [`read`], but a file that does not exist is `None`.
pub fn read_if_any(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, IoAt> {
    match read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Temp in the same directory, fsync, rename, fsync of the directory.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IoAt> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).at("write", path);
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = directory.join(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).at("remove what was left at", &temporary);
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .at("create", &temporary)?;
    file.write_all(bytes).at("write", &temporary)?;
    file.set_permissions(Permissions::from_mode(mode))
        .at("set the mode of", &temporary)?;
    file.sync_all().at("sync", &temporary)?;
    fs::rename(&temporary, path).at("rename to", path)?;
    sync_directory(directory)
}

/// Makes a rename or removal in `directory` durable.
pub fn sync_directory(directory: &Path) -> Result<(), IoAt> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .at("sync", directory)
}

/// Creates a directory with exactly `mode`, or accepts an existing one that is no symbolic link.
pub fn ensure_directory(path: &Path, mode: u32) -> Result<(), IoAt> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::NotADirectory)).at("use as a directory", path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .mode(mode)
                .create(path)
                .at("create", path)?;
            // The umask may have taken bits away.
            fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
        }
        Err(error) => Err(error).at("inspect", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_a_link_and_not_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        fs::write(dir.path().join(".link.new"), "left by a power cut").unwrap();
        write_atomic(&link, b"new", 0o444).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        let metadata = fs::symlink_metadata(&link).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o444);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn reads_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(
            read(&path, 4)
                .unwrap_err()
                .source
                .to_string()
                .contains("larger than 4 bytes")
        );
        assert!(read_if_any(&dir.path().join("none"), 4).unwrap().is_none());
    }

    #[test]
    fn a_link_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(ensure_directory(&link, 0o755).is_err());
        let made = dir.path().join("made");
        ensure_directory(&made, 0o700).unwrap();
        ensure_directory(&made, 0o755).unwrap();
        assert_eq!(
            fs::metadata(&made).unwrap().permissions().mode() & 0o7777,
            0o700
        );
    }
}
