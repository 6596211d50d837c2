//! The machine around the slots.
//!
//! Owns: the reboot, the boot loader's one-shot variable, and what a failed boot leaves behind. The only module of this crate
//! that starts programs. Never does: judge. Invariant: every program has its time; evidence that cannot be had is
//! missing, never a failure.
//!
//! ```text
//!   evidence:  journal of the last trial boot that came up | new records of pstore | the watchdog's boot status
//! ```

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roamcore_agent::efivar;
use roamcore_agent::files::{self, IoAt};
use roamcore_agent::log;
use roamcore_agent::mounts;
use roamcore_agent::roots::Roots;
use roamcore_ota::{Timestamp, Version};
use roamcore_slots::Slots;

use super::chain;
use super::image::ImageError;
use super::pass::{passing, slot_error};
use super::slots::{SlotDevice, Surroundings};
use super::trust::Identity;
use super::{Destination, DeviceError, Trouble};
use crate::facts::{BootId, Evidence};

/// Lines of the journal that are sent; a server takes 50 in one message.
const JOURNAL_LINES: &str = "40";
/// Of one pstore record.
const PSTORE_LINES: usize = 30;
const PSTORE_LIMIT: u64 = 256 * 1024;
/// Most output that is read of a program.
const OUTPUT_LIMIT: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// linux/watchdog.h, WDIOF_CARDRESET: the last reset was the watchdog's.
const CARD_RESET: u64 = 0x20;

/// Opens the machine's own device. `directory` lasts and belongs to it alone.
pub fn open_machine(
    roots: &Roots,
    directory: &Path,
    agent: Version,
) -> Result<SlotDevice, DeviceError> {
    let identity = Identity::load(roots, agent)
        .map_err(|error: ImageError| DeviceError::new(Trouble::Final, chain(&error)))?;
    let slots = Slots::open(roots).map_err(|error| slot_error(&error))?;
    let machine = Machine {
        roots: roots.clone(),
        seen: directory.join("pstore-seen"),
    };
    SlotDevice::open(slots, identity, directory, Box::new(machine))
}

#[derive(Debug)]
struct Machine {
    roots: Roots,
    /// Names of pstore records that were there when the slot was armed.
    seen: PathBuf,
}

impl Surroundings for Machine {
    fn boot(&self) -> Result<BootId, DeviceError> {
        let path = self.roots.proc.join("sys/kernel/random/boot_id");
        files::read_text(&path, 64)
            .map(|text| BootId(text.trim_end().to_owned()))
            .map_err(|error| passing(&error))
    }

    /// What it shows; a time before the image was made is known to be wrong by the judge.
    fn clock(&self) -> Option<Timestamp> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()?;
        Timestamp::from_unix(now.as_secs()).ok()
    }

    fn reboot(&mut self, _: Destination, entry: Option<&str>) -> Result<(), DeviceError> {
        if let Some(entry) = entry {
            // Without it the trial is tried again until the boot loader has used up its tries: later, not wrong.
            if let Err(error) = self.take_once(entry) {
                log::error(format!(
                    "cannot name the next entry: {}",
                    chain(error.as_ref())
                ));
            }
        }
        run("/usr/bin/systemctl", &["reboot"]).map(drop)
    }

    fn evidence(&self, boots: &[String]) -> Evidence {
        Evidence {
            journal: boots.last().map_or_else(Vec::new, |boot| journal(boot)),
            pstore: self.pstore(),
            detectors: self.watchdog().into_iter().collect(),
        }
    }

    fn snapshot(&mut self) -> Result<(), DeviceError> {
        let names: Vec<String> = self
            .records()
            .into_iter()
            .map(|path| path.display().to_string())
            .collect();
        files::write_atomic(&self.seen, names.join("\n").as_bytes(), 0o600)
            .map_err(|error| passing(&error))
    }

    /// What was seen is only compared with.
    fn restore(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn forget(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

impl Machine {
    fn take_once(&self, entry: &str) -> Result<(), Box<dyn std::error::Error>> {
        mounts::ensure_efivarfs(&self.roots)?;
        let variables = self.roots.sys.join("firmware/efi/efivars");
        let path = variables.join(efivar::ENTRY_ONE_SHOT);
        efivar::delete(&path)?;
        Ok(efivar::replace(&path, &efivar::encode_text(entry))?)
    }

    /// Records of crashed kernels, where the kernel and where systemd-pstore puts them.
    fn records(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let kept = self
            .roots
            .run
            .with_file_name("var")
            .join("lib/systemd/pstore");
        let mut directories = vec![self.roots.sys.join("fs/pstore"), kept];
        // systemd-pstore makes one directory for each time; deeper than that there is nothing.
        for _ in 0..2 {
            let mut deeper = Vec::new();
            for entry in directories
                .iter()
                .filter_map(|path| path.read_dir().ok())
                .flatten()
            {
                let Ok(entry) = entry else { continue };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => deeper.push(entry.path()),
                    Ok(kind) if kind.is_file() => drop(found.insert(entry.path())),
                    _ => {}
                }
            }
            directories = deeper;
        }
        found
    }

    fn pstore(&self) -> Vec<String> {
        let seen = files::read_if_any(&self.seen, PSTORE_LIMIT)
            .ok()
            .flatten()
            .unwrap_or_default();
        let seen = String::from_utf8_lossy(&seen).into_owned();
        let old: BTreeSet<&str> = seen.lines().collect();
        let mut lines = Vec::new();
        for path in self.records() {
            if old.contains(path.display().to_string().as_str()) {
                continue;
            }
            let text: Result<Vec<u8>, IoAt> = files::read(&path, PSTORE_LIMIT);
            let Ok(bytes) = text else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let all: Vec<&str> = text.lines().collect();
            let tail = all.len().saturating_sub(PSTORE_LINES);
            lines.push(format!("{}:", path.display()));
            lines.extend(all.iter().skip(tail).map(|line| (*line).to_owned()));
        }
        lines
    }

    /// Whether this boot follows a reset by the watchdog.
    fn watchdog(&self) -> Option<String> {
        let path = self.roots.sys.join("class/watchdog/watchdog0/bootstatus");
        let text = files::read_text(&path, 64).ok()?;
        let status: u64 = text.trim_end().parse().ok()?;
        (status & CARD_RESET != 0)
            .then(|| format!("the watchdog reset the machine (boot status {status:#x})"))
    }
}

/// The last lines of a boot's journal.
fn journal(boot: &str) -> Vec<String> {
    let id: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    let boot = format!("--boot={id}");
    let arguments = [
        boot.as_str(),
        "--lines",
        JOURNAL_LINES,
        "--output=short-monotonic",
        "--no-hostname",
        "--no-pager",
        "--quiet",
    ];
    match run("/usr/bin/journalctl", &arguments) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) => {
            log::warning(format!("no journal of boot {id}: {error}"));
            Vec::new()
        }
    }
}

/// Runs a program to its end, within its time.
fn run(program: &str, arguments: &[&str]) -> Result<String, DeviceError> {
    let failed = |what: String| {
        DeviceError::new(Trouble::Passing, format!("{program} {arguments:?} {what}"))
    };
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    // Read aside, so that neither a full pipe nor a silent program holds us up.
    let reader = child.stdout.take().map(|mut out| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(out.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes));
            drop(std::io::copy(&mut out, &mut std::io::sink()));
            bytes
        })
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err(failed(format!("took more than {} s", PATIENCE.as_secs())));
            }
            Err(error) => return Err(failed(format!("cannot be waited for: {error}"))),
        }
    };
    if !status.success() {
        return Err(failed(format!("ended with {status}")));
    }
    let bytes = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(dir: &Path) -> Machine {
        let roots = Roots::below(dir);
        fs::create_dir_all(roots.sys.join("fs/pstore")).unwrap();
        fs::create_dir_all(dir.join("var/lib/systemd/pstore/1700000000")).unwrap();
        fs::create_dir_all(roots.sys.join("class/watchdog/watchdog0")).unwrap();
        Machine {
            roots,
            seen: dir.join("seen"),
        }
    }

    #[test]
    fn only_new_records_are_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(dir.path());
        fs::write(dir.path().join("sys/fs/pstore/dmesg-efi-1"), "old panic\n").unwrap();
        assert_eq!(machine.evidence(&[]).pstore.len(), 2);
        machine.snapshot().unwrap();
        assert_eq!(machine.evidence(&[]), Evidence::default());
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = dir
            .path()
            .join("var/lib/systemd/pstore/1700000000/dmesg.txt");
        fs::write(&kept, text).unwrap();
        let lines = machine.evidence(&[]).pstore;
        assert_eq!(lines.len(), 1 + PSTORE_LINES);
        assert_eq!(lines[0], format!("{}:", kept.display()));
        assert_eq!(lines[PSTORE_LINES], "line 99");
    }

    #[test]
    fn the_watchdogs_word() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path());
        let status = dir.path().join("sys/class/watchdog/watchdog0/bootstatus");
        for (text, want) in [("0\n", false), ("32\n", true), ("33\n", true), ("?", false)] {
            fs::write(&status, text).unwrap();
            assert_eq!(machine.watchdog().is_some(), want, "{text:?}");
        }
    }

    #[test]
    fn programs_answer_fail_or_are_not_there() {
        assert_eq!(
            run("/bin/sh", &["-c", "echo out; echo err >&2"]).unwrap(),
            "out\n"
        );
        let error = run("/bin/sh", &["-c", "exit 3"]).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        let error = run("/does/not/exist", &[]).unwrap_err().to_string();
        assert!(error.contains("cannot be started"), "{error}");
        // More than a pipe holds.
        let long = run("/bin/sh", &["-c", "yes | head -c 300000"]).unwrap();
        assert_eq!(long.len() as u64, OUTPUT_LIMIT);
    }
}
