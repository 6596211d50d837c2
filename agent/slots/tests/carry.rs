//! /etc across an update, with real directories.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "../../../image/tests/support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{files, new, old, write};
use roamcore_slots::etc::{Conflict, ConflictKind, Marks, Node, scan};
use roamcore_slots::{CarryOver, ImageFiles, Slot, Slots};

struct Trees {
    _dir: tempfile::TempDir,
    media: ImageFiles,
    base: PathBuf,
    theirs: PathBuf,
    ours: PathBuf,
    new: PathBuf,
    state: PathBuf,
}

fn trees() -> Trees {
    let (dir, mut media) = files(Slot::A, &old());
    let at = |name: &str| dir.path().join(name);
    let (base, theirs, state) = (at("base"), at("theirs"), at("state"));
    let ours = state.join("etc/root-a/upper");
    for path in [&base, &theirs, &ours] {
        fs::create_dir_all(path).unwrap();
    }
    media.state = Some(state.clone());
    media.etc = Some((base.clone(), theirs.clone()));
    let slots = Slots::on(Box::new(media.clone()));
    write(&slots.idle().unwrap(), &new()).unwrap();
    let new = state.join("etc/root-b/upper");
    Trees {
        _dir: dir,
        media,
        base,
        theirs,
        ours,
        new,
        state,
    }
}

impl Trees {
    fn put(&self, tree: &Path, path: &str, text: &str) {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn carry(&self) -> CarryOver {
        let slots = Slots::on(Box::new(self.media.clone()));
        slots
            .idle()
            .unwrap()
            .carry_etc_with(Marks::Names)
            .unwrap()
            .unwrap()
    }

    fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut stack = vec![self.new.clone()];
        while let Some(directory) = stack.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(&self.new)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                if path.is_symlink() {
                    found.insert(
                        name,
                        format!("-> {}", fs::read_link(&path).unwrap().display()),
                    );
                } else if path.is_dir() {
                    stack.push(path);
                } else {
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        found
    }
}

fn map(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn a_day_in_the_life_of_etc() {
    let t = trees();
    for (path, old, new) in [
        ("machine-id", "uninitialized\n", "uninitialized\n"),
        ("hostname", "roamcore\n", "roamcore\n"),
        (
            "passwd",
            "root:x:0\nd:x:1\n",
            "root:x:0\nd:x:1\nnew:x:800\n",
        ),
        ("ssh/sshd_config.d/10-roamcore.conf", "A 1\n", "A 2\n"),
        ("systemd/journald.conf", "old\n", "new\n"),
        ("resolv.conf", "one\n", "two\n"),
        ("motd", "hello\n", "welcome\n"),
    ] {
        t.put(&t.base, path, old);
        t.put(&t.theirs, path, new);
    }
    let id = format!("{}\n", "ab".repeat(16));
    for (path, text) in [
        ("machine-id", id.as_str()),
        ("hostname", "van\n"),
        ("passwd", "root:$6:0\nd:x:1\n"),
        // Copied up, but as it was.
        ("systemd/journald.conf", "old\n"),
        // Changed by both.
        ("resolv.conf", "mine\n"),
        ("ssh/sshd_config.d/20-own.conf", "B\n"),
    ] {
        t.put(&t.ours, path, text);
    }
    t.put(&t.ours, ".wh.motd", "");
    symlink("../usr/share/zoneinfo/CET", t.ours.join("localtime")).unwrap();
    let record = t.carry();
    let want = [
        (".wh.motd", ""),
        ("hostname", "van\n"),
        ("localtime", "-> ../usr/share/zoneinfo/CET"),
        ("machine-id", id.as_str()),
        ("passwd", "root:$6:0\nd:x:1\nnew:x:800\n"),
        ("resolv.conf", "mine\n"),
        ("ssh/sshd_config.d/20-own.conf", "B\n"),
    ];
    assert_eq!(t.files(), map(&want));
    let conflict = |path: &str, kind| Conflict {
        path: path.into(),
        kind,
    };
    assert_eq!(
        record.conflicts,
        [
            conflict("motd", ConflictKind::RemovedChanged),
            conflict("resolv.conf", ConflictKind::BothChanged)
        ]
    );
    assert_eq!(
        CarryOver::load(&t.state, Slot::B).unwrap(),
        Some(record.clone())
    );
    assert_eq!(CarryOver::load(&t.state, Slot::A).unwrap(), None);
    // Again, with what a cut of the first time left; and with a later change.
    t.put(&t.state, "etc/root-b/upper.new/rubbish", "x");
    assert_eq!(t.carry(), record);
    assert_eq!(t.files(), map(&want));
    t.put(&t.ours, "hostname", "van2\n");
    t.carry();
    assert_eq!(t.files()["hostname"], "van2\n");
    assert!(!t.state.join("etc/root-b/upper.new").exists());
    fs::write(t.state.join("etc/root-b/carry-over.json"), "{").unwrap();
    assert!(CarryOver::load(&t.state, Slot::B).is_err());
}

#[test]
fn account_files_that_cannot_be_merged_stay_the_user_s() {
    let t = trees();
    t.put(&t.base, "passwd", "a:1\n");
    t.put(&t.ours, "passwd", "a:2\n");
    t.put(&t.theirs, "passwd", "a:3\n");
    let record = t.carry();
    assert_eq!(t.files(), map(&[("passwd", "a:2\n")]));
    assert_eq!(record.conflicts[0].kind, ConflictKind::BothChanged);
}

#[test]
fn modes_times_and_directories() {
    let t = trees();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    t.put(&t.base, "d/a", "1");
    t.put(&t.theirs, "d/a", "1");
    t.put(&t.ours, "d/own", "2");
    mode(&t.ours.join("d/own"), 0o4711);
    for tree in [&t.base, &t.ours] {
        mode(&tree.join("d"), 0o755);
    }
    // The image has closed the directory; the user has not asked for the old mode.
    mode(&t.theirs.join("d"), 0o700);
    t.put(&t.ours, "opaque/x", "3");
    t.put(&t.ours, "opaque/.wh..wh..opq", "");
    t.put(&t.base, "opaque/y", "4");
    t.put(&t.theirs, "opaque/y", "4");
    let own = fs::File::options()
        .write(true)
        .open(t.ours.join("d/own"))
        .unwrap();
    own.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
        .unwrap();
    let record = t.carry();
    assert_eq!(record.conflicts, []);
    let found = fs::metadata(t.new.join("d/own")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o4711, 1_000_000));
    assert_eq!(
        fs::metadata(t.new.join("d")).unwrap().mode() & 0o7777,
        0o700
    );
    assert!(matches!(
        scan(&t.new.join("opaque"), Marks::Names).unwrap(),
        Node::Dir { opaque: true, .. }
    ));
}

/// Something that cannot be read leaves the slot's layer as it was.
#[test]
fn a_failure_changes_nothing() {
    let t = trees();
    t.put(&t.ours, "a", "1");
    t.carry();
    let mut media = t.media.clone();
    media.etc = Some((t.base.clone(), t.base.join("none")));
    let slots = Slots::on(Box::new(media));
    let error = slots
        .idle()
        .unwrap()
        .carry_etc_with(Marks::Names)
        .unwrap_err();
    assert!(error.to_string().starts_with("cannot inspect"), "{error}");
    assert_eq!(t.files(), map(&[("a", "1")]));
    // The running layer is never written.
    assert_eq!(fs::read_dir(&t.ours).unwrap().count(), 1);
}

/// With the kernel's own marks, where the system lets an ordinary user make them.
#[test]
fn whiteouts_of_the_kernel() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let t = trees();
    t.put(&t.base, "gone", "1");
    t.put(&t.theirs, "gone", "1");
    let path = t.ours.join("gone");
    if let Err(error) = mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0) {
        skip::skip(&format!(
            "this file system or user may not make whiteouts ({error})"
        ));
        return;
    }
    let slots = Slots::on(Box::new(t.media.clone()));
    slots.idle().unwrap().carry_etc().unwrap().unwrap();
    assert_eq!(
        scan(&t.new.join("gone"), Marks::Kernel).unwrap(),
        Node::Whiteout
    );
    let opaque = t.ours.join("opaque");
    t.put(&t.ours, "opaque/x", "1");
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::lsetxattr(&opaque, "trusted.overlay.opaque", b"y", flags) {
        skip::skip(&format!("attributes of overlayfs are for root ({error})"));
        return;
    }
    rustix::fs::lsetxattr(
        t.ours.join("opaque/x"),
        "trusted.overlay.origin",
        b"h",
        flags,
    )
    .unwrap();
    slots.idle().unwrap().carry_etc().unwrap().unwrap();
    assert!(matches!(
        scan(&t.new.join("opaque"), Marks::Kernel).unwrap(),
        Node::Dir { opaque: true, .. }
    ));
    // What ties a file to the layer below it is not carried along.
    let mut value = [0; 16];
    let origin = rustix::fs::lgetxattr(
        t.new.join("opaque/x"),
        "trusted.overlay.origin",
        &mut value[..],
    );
    assert!(origin.is_err(), "{origin:?}");
}

/// An overlay mount; unmounted whatever happens.
struct Overlay(PathBuf);

impl Overlay {
    /// With the options of the device; none where the system does not let us.
    fn mount(lower: &Path, upper: &Path, work: &Path, at: &Path) -> Option<Self> {
        for directory in [work, at] {
            fs::create_dir_all(directory).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=off,xino=off",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("overlay", at, "overlay", flags, options.as_c_str()) {
            Ok(()) => Some(Self(at.to_owned())),
            Err(error) => {
                skip::skip(&format!("overlay mounts are for root ({error})"));
                None
            }
        }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::empty()).unwrap();
    }
}

/// The kernel's overlayfs makes the layer, and shows the one that was made of it.
#[test]
fn through_a_real_overlay() {
    let t = trees();
    for (path, old, new) in [
        ("same", "1", "1"),
        ("touched", "1", "2"),
        ("removed", "1", "1"),
        ("d/a", "1", "2"),
        ("d/b", "1", "1"),
        ("replaced/x", "1", "1"),
        ("dropped/x", "1", "1"),
    ] {
        t.put(&t.base, path, old);
        t.put(&t.theirs, path, new);
    }
    t.put(&t.theirs, "fresh", "new in the image");
    t.put(&t.theirs, "d/fresh", "new in the image");
    let (work, at) = (t.state.join("etc/root-a/work"), t.state.join("at"));
    let Some(mounted) = Overlay::mount(&t.base, &t.ours, &work, &at) else {
        return;
    };
    // Opened for writing and closed: copied up, as it was.
    drop(
        fs::File::options()
            .append(true)
            .open(at.join("touched"))
            .unwrap(),
    );
    drop(
        fs::File::options()
            .append(true)
            .open(at.join("d/a"))
            .unwrap(),
    );
    fs::write(at.join("d/b"), "user").unwrap();
    fs::write(at.join("own"), "user").unwrap();
    fs::remove_file(at.join("removed")).unwrap();
    fs::remove_dir_all(at.join("dropped")).unwrap();
    fs::remove_dir_all(at.join("replaced")).unwrap();
    fs::create_dir(at.join("replaced")).unwrap();
    fs::write(at.join("replaced/y"), "user").unwrap();
    drop(mounted);
    assert!(t.ours.join("touched").exists(), "it was not copied up");

    let slots = Slots::on(Box::new(t.media.clone()));
    let record = slots.idle().unwrap().carry_etc().unwrap().unwrap();
    assert_eq!(record.conflicts, []);
    let work = t.state.join("etc/root-b/work");
    let _mounted = Overlay::mount(&t.theirs, &t.new, &work, &at).unwrap();
    let read = |path: &str| fs::read_to_string(at.join(path)).ok();
    let want = [
        ("same", Some("1")),
        ("touched", Some("2")),
        ("removed", None),
        ("d/a", Some("2")),
        ("d/b", Some("user")),
        ("own", Some("user")),
        ("fresh", Some("new in the image")),
        ("d/fresh", Some("new in the image")),
        ("replaced/x", None),
        ("replaced/y", Some("user")),
        ("dropped/x", None),
    ];
    for (path, want) in want {
        assert_eq!(read(path).as_deref(), want, "{path}");
    }
}
