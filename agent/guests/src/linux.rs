//! The machine itself.
//!
//! Owns: every process of this crate, and which device nodes are opened. Never does: decide anything, create or truncate a
//! node. Invariant: a volume that is open for writing is claimed (O_EXCL): nothing has it mounted or mapped meanwhile.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roamcore_agent::disk;
use roamcore_agent::files::{self, At};
use roamcore_agent::mounts::{Access, Mounted};
use roamcore_agent::roots::Roots;
use roamcore_slots::{Block, FileBlock};
use rustix::fs::OFlags;

use crate::machine::{Machine, MachineError};
use crate::plan::{Disk, Guest, Plan};
use crate::record;

const LVM: &str = "/usr/sbin/lvm";
const MKFS: &str = "/usr/sbin/mkfs.ext4";
const TAR: &str = "/usr/bin/tar";
/// Of what a program said: enough for LVM's reason.
const LAST_WORDS: usize = 600;

/// Writes what only this unit knows on a disk.
pub type Personal = Box<dyn FnMut(&Guest, &Disk, &dyn Block) -> Result<(), MachineError>>;

/// See the module.
pub struct Linux {
    roots: Roots,
    device: PathBuf,
    seed: PathBuf,
    record: PathBuf,
    personal: Option<Personal>,
}

impl fmt::Debug for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linux")
            .field("device", &self.device)
            .field("seed", &self.seed)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl Linux {
    /// The partition of the plan on the disk that this system runs from. `seed` is where the seed is mounted, `record` the
    /// file of the record, in a directory that exists.
    ///
    /// # Errors
    /// There is no such disk or partition.
    pub fn open(
        roots: &Roots,
        plan: &Plan,
        seed: &Path,
        record: &Path,
        personal: Option<Personal>,
    ) -> Result<Self, MachineError> {
        let running = disk::running(roots)?;
        let label = &plan.pool.partition;
        let found = running.disk.labelled(roots, label)?;
        let found = found.ok_or_else(|| MachineError::NoPartition {
            disk: running.disk.name.clone(),
            label: label.clone(),
        })?;
        Ok(Self {
            roots: roots.clone(),
            device: disk::node(roots, &found.name),
            seed: seed.to_owned(),
            record: record.to_owned(),
            personal,
        })
    }

    fn node(&self, group: &str, name: &str) -> PathBuf {
        self.roots.dev.join(group).join(name)
    }

    fn mounted(&self, node: &Path, access: Access) -> Result<Mounted, MachineError> {
        let target = self.roots.facts().join("guest-volume");
        Ok(Mounted::volume(&self.roots, node, &target, access)?)
    }
}

impl Machine for Linux {
    fn device(&self) -> String {
        self.device.display().to_string()
    }

    fn lvm(&mut self, arguments: &[String]) -> Result<Vec<u8>, MachineError> {
        let output = Command::new(LVM)
            .args(arguments)
            .env("LC_ALL", "C")
            // Our descriptors are closed on exec; a parent's that are not are none of its business.
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .stdin(Stdio::null())
            .output()
            .at("run", Path::new(LVM))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(MachineError::Program {
            line: format!("lvm {}", arguments.join(" ")),
            status: output.status.to_string(),
            said: last_words(&output.stderr),
        })
    }

    fn volume(&mut self, group: &str, name: &str) -> Result<Box<dyn Block>, MachineError> {
        let flags = OFlags::RDWR | OFlags::EXCL;
        Ok(Box::new(FileBlock::open(&self.node(group, name), flags)?))
    }

    fn seed(&mut self, file: &str) -> Result<Box<dyn Read>, MachineError> {
        let path = self.seed.join(file);
        Ok(Box::new(File::open(&path).at("open", &path)?))
    }

    fn unpack(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError> {
        let node = self.node(group, name);
        let mut mkfs = Command::new(MKFS);
        mkfs.args(["-q", "-F"]).arg(&node);
        program(mkfs, &mut io::empty())?;
        let mounted = self.mounted(&node, Access::Write)?;
        let mut tar = Command::new(TAR);
        tar.args(["--extract", "--numeric-owner", "--same-owner"])
            .args(["--preserve-permissions", "--xattrs", "--xattrs-include=*"])
            .args(["--file", "-", "--directory"])
            .arg(mounted.path());
        program(tar, archive)?;
        // Unmounting writes everything, and says whether it could.
        Ok(mounted.unmount()?)
    }

    fn compare(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError> {
        let node = self.node(group, name);
        {
            let block = FileBlock::open(&node, OFlags::RDWR | OFlags::EXCL)?;
            block.sync().at("flush", &node)?;
            // The last one to close a device takes its pages out of memory: what is mounted next comes from the device.
        }
        let mounted = self.mounted(&node, Access::Read)?;
        let mut tar = Command::new(TAR);
        tar.args(["--compare", "--numeric-owner", "--file", "-"])
            .arg("--directory")
            .arg(mounted.path());
        program(tar, archive)?;
        Ok(mounted.unmount()?)
    }

    fn personalize(
        &mut self,
        guest: &Guest,
        disk: &Disk,
        volume: &dyn Block,
    ) -> Result<(), MachineError> {
        match &mut self.personal {
            Some(write) => write(guest, disk, volume),
            None => Err(MachineError::NothingPersonal {
                guest: guest.name.clone(),
                disk: disk.number,
            }),
        }
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        let limit = record::MOST_BYTES as u64;
        Ok(files::read_if_any(&self.record, limit)?)
    }

    fn save(&mut self, record: &[u8]) -> Result<(), MachineError> {
        Ok(files::write_atomic(&self.record, record, 0o600)?)
    }
}

/// Runs a program that reads `input`, all of which is read whatever becomes of the program.
fn program(mut command: Command, input: &mut dyn Read) -> Result<(), MachineError> {
    let path = PathBuf::from(command.get_program());
    let line = format!("{command:?}");
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        // What it says belongs to the journal.
        .stdout(io::stderr())
        .spawn()
        .at("run", &path)?;
    let fed = match child.stdin.take() {
        Some(mut stdin) => io::copy(input, &mut stdin).map(drop),
        None => Ok(()),
    };
    let rest = io::copy(input, &mut io::sink());
    let status = child.wait().at("wait for", &path)?;
    if !status.success() {
        return Err(MachineError::Program {
            line,
            status: status.to_string(),
            said: "its words are in the journal".into(),
        });
    }
    match fed.and(rest.map(drop)) {
        // It had enough: an archive ends before its padding does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other.at("feed", &path)?),
    }
}

fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(LAST_WORDS);
    text.chars()
        .skip(skip)
        .collect::<String>()
        .replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_input_is_read_whatever_becomes_of_the_program() {
        for (name, good) in [("true", true), ("false", false), ("sha256sum", true)] {
            let bytes = vec![7; 1 << 20];
            let mut input = bytes.as_slice();
            let got = program(Command::new(name), &mut input);
            assert_eq!(got.is_ok(), good, "{name}: {got:?}");
            assert!(input.is_empty(), "{name}");
        }
    }

    #[test]
    fn last_words_are_one_short_line() {
        let long = "a\n".repeat(5000) + "the reason\n";
        let words = last_words(long.as_bytes());
        assert!(words.ends_with("a; the reason") && words.len() <= 3 * LAST_WORDS);
        assert_eq!(last_words(b"\xff\n"), "\u{fffd}");
    }
}
