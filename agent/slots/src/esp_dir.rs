//! The ESP as a directory that is held open.
//!
//! Owns: the system calls. Every path is walked from the held directory without following links, so what is changed is
//! what was mounted, whatever happens to the mount point meanwhile. Never does: decide what to change.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use roamcore_agent::files::At;
use roamcore_agent::mounts::Esp;
use roamcore_ota::Digest;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fstatvfs, fsync, mkdirat, open, openat, renameat, statat,
    syncfs, unlinkat,
};
use rustix::io::Errno;
use sha2::Digest as _;

use crate::block::FileBlock;
use crate::error::SlotError;
use crate::esp::{EspTree, Item};
use crate::media::Block;
use crate::placement;

/// Two slots have two entries and two UKIs, and fillers of twenty places each; more than this is not our ESP.
const MOST_FILES: usize = 4096;
/// Step of hashing a file.
const STEP: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub struct EspDirectory {
    root: OwnedFd,
    path: PathBuf,
    // To see where the driver puts names: the kernel shows what it has not written yet as well.
    device: Option<FileBlock>,
    // Last: unmounted after the directory is closed.
    mounted: Option<Esp>,
}

impl EspDirectory {
    /// A plain directory.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, SlotError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: open(path, flags, Mode::empty()).at("open", path)?,
            path: path.to_owned(),
            device: None,
            mounted: None,
        })
    }

    /// A mounted ESP and the partition it is on.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn of_mount(esp: Esp, device: FileBlock) -> Result<Self, SlotError> {
        let mut directory = Self::open(esp.path())?;
        directory.mounted = Some(esp);
        directory.device = Some(device);
        Ok(directory)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Opens a directory by walking to it.
    fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = openat(&self.root, ".", flags, Mode::empty())?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part == ".." {
                return Err(Errno::INVAL);
            }
            at = openat(&at, part, flags, Mode::empty())?;
        }
        Ok(at)
    }

    /// The directory a path is in, and its name there; `None` when the directory does not exist.
    fn parent<'a>(&self, path: &'a str) -> Result<Option<(OwnedFd, &'a str)>, SlotError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.directory(directory) {
            Ok(fd) => Ok(Some((fd, name))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).at("open", &self.at(directory))?,
        }
    }

    fn file(&self, path: &str, extra: OFlags) -> Result<Option<File>, SlotError> {
        let Some((directory, name)) = self.parent(path)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
        match openat(&directory, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).at("open", &self.at(path))?,
        }
    }
}

impl EspTree for EspDirectory {
    fn list(&self, directory: &str) -> Result<Vec<Item>, SlotError> {
        let path = self.at(directory);
        let fd = match self.directory(directory) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other.at("open", &path)?,
        };
        let mut items = Vec::new();
        for entry in Dir::read_from(&fd).at("list", &path)? {
            let entry = entry.at("list", &path)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            if items.len() == MOST_FILES {
                return Err(SlotError::TooManyFiles(directory.to_owned()));
            }
            let found = statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .at("inspect", &path.join(&name))?;
            items.push(Item {
                name,
                is_file: FileType::from_raw_mode(found.st_mode) == FileType::RegularFile,
            });
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(items)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SlotError> {
        let Some(file) = self.file(path, OFlags::empty())? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .at("read", &self.at(path))?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it is larger than {limit} bytes")))
                .at("read", &self.at(path))?;
        }
        Ok(Some(bytes))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, SlotError> {
        let Some(file) = self.file(path, OFlags::empty())? else {
            return Ok(None);
        };
        let found = file.metadata().at("inspect", &self.at(path))?;
        Ok(found.is_file().then_some(found.len()))
    }

    fn digest(&self, path: &str) -> Result<Option<Digest>, SlotError> {
        let Some(file) = self.file(path, OFlags::empty())? else {
            return Ok(None);
        };
        let shown = self.at(path);
        let len = file.metadata().at("inspect", &shown)?.len();
        // Refused by some file systems; the block then drops the pages instead.
        let direct = self.file(path, OFlags::DIRECT).ok().flatten();
        let block = FileBlock::of_files(&shown, file, direct, 0, len);
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; STEP];
        let mut offset = 0;
        while offset < len {
            let part = &mut buffer[..STEP.min(usize::try_from(len - offset).unwrap_or(STEP))];
            block.read_past_cache(part, offset).at("read", &shown)?;
            hasher.update(&*part);
            offset += part.len() as u64;
        }
        let digest: [u8; 32] = hasher.finalize().into();
        Ok(Some(digest.into()))
    }

    fn free(&self) -> Result<u64, SlotError> {
        let found = fstatvfs(&self.root).at("measure", &self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Block>>, SlotError> {
        let Some(file) = self.file(path, OFlags::empty())? else {
            return Ok(None);
        };
        let shown = self.at(path);
        let len = file.metadata().at("inspect", &shown)?.len();
        let direct = self.file(path, OFlags::DIRECT).ok().flatten();
        Ok(Some(Box::new(FileBlock::of_files(
            &shown, file, direct, 0, len,
        ))))
    }

    fn edit(&self, path: &str, size: u64) -> Result<Box<dyn Block>, SlotError> {
        let shown = self.at(path);
        let Some((directory, name)) = self.parent(path)? else {
            return Err(io::Error::from(io::ErrorKind::NotFound)).at("create", &shown)?;
        };
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = openat(&directory, name, flags | OFlags::CREATE, mode).at("create", &shown)?;
        let file = File::from(fd);
        if file.metadata().at("inspect", &shown)?.len() != size {
            // Zeros down to the last cluster: vfat has no holes.
            file.set_len(size).at("give a size to", &shown)?;
            file.sync_all().at("sync", &shown)?;
        }
        // Refused by some file systems; the block then goes through the page cache.
        let direct = openat(&directory, name, flags | OFlags::DIRECT, mode);
        let direct = direct.ok().map(File::from);
        let block = FileBlock::of_files(&shown, file, direct, 0, size);
        Ok(Box::new(block))
    }

    fn create(&self, path: &str, content: &mut dyn Read) -> Result<(), SlotError> {
        let shown = self.at(path);
        let Some((directory, name)) = self.parent(path)? else {
            return Err(io::Error::from(io::ErrorKind::NotFound)).at("create", &shown)?;
        };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR).at("create", &shown)?;
        let mut file = File::from(fd);
        io::copy(content, &mut file).at("write", &shown)?;
        file.flush().at("write", &shown)?;
        Ok(file.sync_all().at("sync", &shown)?)
    }

    fn rename(&self, directory: &str, from: &str, to: &str) -> Result<(), SlotError> {
        let path = self.at(directory);
        let fd = self.directory(directory).at("open", &path)?;
        Ok(renameat(&fd, from, &fd, to).at("rename", &path.join(from))?)
    }

    fn remove(&self, path: &str) -> Result<(), SlotError> {
        let Some((directory, name)) = self.parent(path)? else {
            return Ok(());
        };
        match unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).at("remove", &self.at(path))?,
        }
    }

    fn ensure_directory(&self, path: &str) -> Result<(), SlotError> {
        let mut made = String::new();
        for part in path.split('/') {
            let parent = self.directory(&made).at("open", &self.at(&made))?;
            if !made.is_empty() {
                made.push('/');
            }
            made += part;
            match mkdirat(&parent, part, Mode::RWXU) {
                Ok(()) => fsync(&parent).at("sync", &self.at(&made))?,
                Err(Errno::EXIST) => {}
                Err(error) => Err(error).at("create", &self.at(&made))?,
            }
        }
        self.directory(path)
            .at("use as a directory", &self.at(path))?;
        Ok(())
    }

    fn sync(&self, directory: &str) -> Result<(), SlotError> {
        let path = self.at(directory);
        // vfat gives a renamed file its content only when the file is written back, which syncing the directory does
        // not do: it alone would make the name durable and leave it empty. But only it empties the disk's cache.
        syncfs(&self.root).at("sync the file system of", &path)?;
        match self.directory(directory) {
            Ok(fd) => Ok(fsync(&fd).at("sync", &path)?),
            Err(Errno::NOENT) => Ok(fsync(&self.root).at("sync", &self.path)?),
            Err(error) => Err(error).at("open", &path)?,
        }
    }

    fn raw_directory(&self, directory: &str) -> Result<Option<Vec<u8>>, SlotError> {
        let Some(device) = &self.device else {
            return Ok(None);
        };
        Ok(placement::read(device, directory).at("read", device.path())?)
    }

    fn close(self: Box<Self>) -> Result<(), SlotError> {
        let Self {
            root,
            path: _,
            device,
            mounted,
        } = *self;
        drop((root, device));
        match mounted {
            Some(esp) => Ok(esp.unmount()?),
            None => Ok(()),
        }
    }
}
