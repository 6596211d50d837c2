//! Makes a directory tree from a plan.
//!
//! Owns: copies that keep content, owner, mode, attributes and times. Never does: write into a tree that is in use, or
//! carry overlayfs's own attributes over: they describe the layer they were made in. Nothing here is durable: the caller
//! syncs the file system before the new tree gets its name.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use roamcore_agent::files::{self, At};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr,
    mknodat, utimensat,
};

use super::decide::{Keep, Plan};
use super::lines::merge_lines;
use super::tree::{Marks, Meta, OPAQUE_NAME, OPAQUE_XATTR, WHITEOUT_NAME, take_overlay, xattrs};
use super::{Conflict, ConflictKind, EtcError};

/// Account files are small; what is larger is none.
const LINES_LIMIT: u64 = 4 * 1024 * 1024;

/// Makes the upper layer of `plan` at `out`, which must not exist; gives the conflicts that only showed on the way.
///
/// # Errors
/// Something cannot be read or written; `out` is then an unusable part of a tree.
pub fn build(
    plan: &Plan,
    [base, ours, theirs]: [&Path; 3],
    out: &Path,
    marks: Marks,
) -> Result<Vec<Conflict>, EtcError> {
    let mut build = Build {
        base,
        ours,
        theirs,
        out,
        marks,
        conflicts: Vec::new(),
    };
    fs::create_dir(out).at("create", out)?;
    build.children(Path::new(""), &plan.children)?;
    let found = fs::symlink_metadata(ours).at("inspect", ours)?;
    apply(out, &plan.meta)?;
    times(out, &found)?;
    Ok(build.conflicts)
}

struct Build<'a> {
    base: &'a Path,
    ours: &'a Path,
    theirs: &'a Path,
    out: &'a Path,
    marks: Marks,
    conflicts: Vec<Conflict>,
}

impl Build<'_> {
    fn children(
        &mut self,
        below: &Path,
        children: &BTreeMap<OsString, Keep>,
    ) -> Result<(), EtcError> {
        for (name, keep) in children {
            let path = below.join(name);
            let (from, to) = (self.ours.join(&path), self.out.join(&path));
            match keep {
                Keep::Ours => copy_tree(&from, &to)?,
                Keep::Lines => self.lines(&path)?,
                Keep::Whiteout => whiteout(&self.out.join(below), name, self.marks)?,
                Keep::Dir {
                    meta,
                    opaque,
                    children,
                } => {
                    fs::create_dir(&to).at("create", &to)?;
                    self.children(&path, children)?;
                    apply(&to, meta)?;
                    if *opaque {
                        make_opaque(&to, self.marks)?;
                    }
                    let found = fs::symlink_metadata(&from).at("inspect", &from)?;
                    times(&to, &found)?;
                }
            }
        }
        Ok(())
    }

    fn lines(&mut self, path: &Path) -> Result<(), EtcError> {
        let read = |tree: &Path| files::read(&tree.join(path), LINES_LIMIT);
        let merged = merge_lines(&read(self.base)?, &read(self.ours)?, &read(self.theirs)?);
        let (from, to) = (self.ours.join(path), self.out.join(path));
        copy_tree(&from, &to)?;
        match merged {
            // Into the copy, which has owner and mode already.
            Some(bytes) => fs::write(&to, bytes).at("write", &to)?,
            None => self.conflicts.push(Conflict {
                path: path.to_string_lossy().into_owned(),
                kind: ConflictKind::BothChanged,
            }),
        }
        Ok(())
    }
}

/// Copies a file or a whole tree to a name that does not exist.
///
/// # Errors
/// Something cannot be read or written, or changed meanwhile.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), EtcError> {
    copy_tree_with(from, to, &|from, found, to| {
        copy_file(from, found, to)?;
        Ok(Copied::Made)
    })
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// The copy is there.
    Made,
    /// It belongs to another one, and has no copy of its own.
    LeftOut,
}

/// Copies one file: from, as it was found, to.
pub(crate) type CopyFile<'a> = dyn Fn(&Path, &Metadata, &Path) -> Result<Copied, EtcError> + 'a;

/// As [`copy_tree`], with another way to copy files.
pub(crate) fn copy_tree_with(from: &Path, to: &Path, file: &CopyFile<'_>) -> Result<(), EtcError> {
    let found = fs::symlink_metadata(from).at("inspect", from)?;
    let kind = found.file_type();
    if kind.is_dir() {
        fs::create_dir(to).at("create", to)?;
        for entry in fs::read_dir(from).at("list", from)? {
            let name = entry.at("list", from)?.file_name();
            copy_tree_with(&from.join(&name), &to.join(&name), file)?;
        }
    } else if kind.is_symlink() {
        let target = fs::read_link(from).at("read the link", from)?;
        std::os::unix::fs::symlink(target, to).at("create", to)?;
    } else if kind.is_file() {
        if file(from, &found, to)? == Copied::LeftOut {
            return Ok(());
        }
    } else {
        let raw = match () {
            () if kind.is_char_device() => FileType::CharacterDevice,
            () if kind.is_block_device() => FileType::BlockDevice,
            () if kind.is_fifo() => FileType::Fifo,
            () => FileType::Socket,
        };
        mknodat(CWD, to, raw, Mode::RUSR | Mode::WUSR, found.rdev()).at("create", to)?;
    }
    let mut xattrs = xattrs(from)?;
    let opaque = take_overlay(&mut xattrs);
    let meta = Meta {
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        xattrs,
    };
    apply(to, &meta)?;
    if opaque {
        make_opaque(to, Marks::Kernel)?;
    }
    times(to, &found)
}

pub(crate) fn copy_file(from: &Path, before: &Metadata, to: &Path) -> Result<(), EtcError> {
    let mut source = File::open(from).at("open", from)?;
    let mut target = File::create_new(to).at("create", to)?;
    io::copy(&mut source, &mut target).at("copy", from)?;
    let after = source.metadata().at("inspect", from)?;
    let same = |a: &Metadata| (a.ino(), a.len(), a.mtime(), a.mtime_nsec());
    if same(before) == same(&after) {
        Ok(())
    } else {
        Err(EtcError::Changed(from.to_owned()))
    }
}

/// Owner first: a change of owner takes set-user-ID bits and capabilities away.
fn apply(path: &Path, meta: &Meta) -> Result<(), EtcError> {
    let found = fs::symlink_metadata(path).at("inspect", path)?;
    if (found.uid(), found.gid()) != (meta.uid, meta.gid) {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .at("set the owner of", path)?;
    }
    for (name, value) in &meta.xattrs {
        lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty())
            .at("set an attribute of", path)?;
    }
    if !found.file_type().is_symlink() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(meta.mode & 0o7777);
        fs::set_permissions(path, mode).at("set the mode of", path)?;
    }
    Ok(())
}

fn times(path: &Path, found: &Metadata) -> Result<(), EtcError> {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(found.atime(), found.atime_nsec()),
        last_modification: time(found.mtime(), found.mtime_nsec()),
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).at("set the times of", path)?)
}

fn whiteout(directory: &Path, name: &OsStr, marks: Marks) -> Result<(), EtcError> {
    match marks {
        Marks::Kernel => {
            let path = directory.join(name);
            mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)
                .at("create the whiteout", &path)?;
        }
        Marks::Names => {
            let mut marked = OsString::from(WHITEOUT_NAME);
            marked.push(name);
            let path = directory.join(marked);
            File::create_new(&path).at("create the whiteout", &path)?;
        }
    }
    Ok(())
}

fn make_opaque(directory: &Path, marks: Marks) -> Result<(), EtcError> {
    match marks {
        Marks::Kernel => lsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
            .at("make opaque", directory)?,
        Marks::Names => {
            let path = directory.join(OPAQUE_NAME);
            File::create_new(&path).at("create", &path)?;
        }
    }
    Ok(())
}
