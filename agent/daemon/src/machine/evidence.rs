//! What a failed trial boot has left.
//!
//! Owns: where to look (journal, pstore, watchdog) and how much of it is enough for the server's operator.
//! Never does: fail: evidence that is not there is not evidence. Only what this boot found is taken, so that an
//! old crash is not blamed on a new release.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use roamcore_agent::files;
use roamcore_engine::Evidence;

use crate::health::System;
use crate::places::Places;

/// A server keeps fifty lines; the first few are ours.
const LINES: usize = 30;
/// Of them, the last ones whatever their priority.
const LAST: usize = 10;
/// Lines at the end in which those are looked for: a resolver without a network says the same for minutes.
const END: usize = 400;
/// PID 1 on an orderly way down. What follows is the same at each, and says nothing about what led to it.
const WAY_DOWN: &str = " systemd[1]: Shutting down.";
const PATIENCE: Duration = Duration::from_secs(20);
/// A dump of the kernel's log.
const DUMP: u64 = 256 * 1024;
/// Dumps of one crash are a dozen parts.
const MOST_DUMPS: usize = 64;

pub(super) fn collect(places: &Places, system: &dyn System, boot: Option<&str>) -> Evidence {
    Evidence {
        journal: boot.map_or_else(Vec::new, |boot| journal(system, boot)),
        pstore: pstore(places, system),
        detectors: watchdogs(places),
    }
}

/// Errors first, then the end, without saying anything twice.
fn journal(system: &dyn System, boot: &str) -> Vec<String> {
    let plain = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    if boot.is_empty() || !boot.bytes().all(plain) {
        return Vec::new();
    }
    // journalctl knows boots by 32 digits, the kernel writes its own as a UUID.
    let boot = format!("--boot={}", boot.replace('-', ""));
    let ask = |more: &[&str]| -> Vec<String> {
        let arguments = [
            &[
                boot.as_str(),
                "--no-pager",
                "--quiet",
                "--output=short-monotonic",
            ],
            more,
        ]
        .concat();
        match system.run("journalctl", &arguments, PATIENCE) {
            Ok(output) if output.success => output.stdout.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let errors = format!("--lines={}", LINES - LAST);
    let mut lines = ask(&["--priority=err", &errors]);
    let mut end = ask(&[&format!("--lines={END}")]);
    if let Some(at) = end.iter().rposition(|line| line.ends_with(WAY_DOWN)) {
        end.truncate(at + 1);
    }
    let new: Vec<String> = distinct_end(&end)
        .filter(|line| !lines.contains(line))
        .collect();
    lines.extend(new);
    lines
}

/// The last lines in their order, of what is said again and again only the last time.
fn distinct_end(lines: &[String]) -> impl Iterator<Item = String> {
    let mut kept: Vec<&String> = Vec::new();
    for line in lines.iter().rev() {
        if kept.len() == LAST {
            break;
        }
        if kept.iter().all(|other| said(other) != said(line)) {
            kept.push(line);
        }
    }
    kept.into_iter().rev().cloned()
}

/// A line without its time: `[  12.345678] host program[7]: text`.
fn said(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, said)| said)
}

/// The end of the newest kernel dump that this boot's systemd-pstore put away.
fn pstore(places: &Places, system: &dyn System) -> Vec<String> {
    let started = SystemTime::now()
        .checked_sub(system.uptime())
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let archive = places.var.join("lib/systemd/pstore");
    let mut found = Vec::new();
    list(&archive, 2, &mut found);
    list(&places.roots.sys.join("fs/pstore"), 0, &mut found);
    let newest = found
        .into_iter()
        .filter(|(time, path)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            *time >= started && name.starts_with("dmesg")
        })
        .max();
    let Some((_, path)) = newest else {
        return Vec::new();
    };
    let bytes = files::read(&path, DUMP).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let surplus = lines.len().saturating_sub(LINES);
    lines.into_iter().skip(surplus).collect()
}

fn list(directory: &Path, depth: usize, found: &mut Vec<(SystemTime, PathBuf)>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten().take(MOST_DUMPS) {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let path = entry.path();
        if metadata.is_dir() && depth > 0 {
            list(&path, depth - 1, found);
        } else if metadata.is_file()
            && let Ok(time) = metadata.modified()
        {
            found.push((time, path));
        }
    }
}

/// The drivers know whether they reset the machine (WDIOF_CARDRESET in bootstatus).
fn watchdogs(places: &Places) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(places.roots.sys.join("class/watchdog")) else {
        return Vec::new();
    };
    let mut said: Vec<String> = entries
        .flatten()
        .take(8)
        .filter_map(|entry| {
            let status = files::read_text(&entry.path().join("bootstatus"), 64).ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number: u32 = status.trim().parse().ok()?;
            (number & 0x20 != 0)
                .then(|| format!("{name} reset the machine (bootstatus {number:#x})"))
        })
        .collect();
    said.sort();
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Output, ProgramError};
    use std::time::Instant;

    struct Fake;

    impl System for Fake {
        fn run(
            &self,
            program: &str,
            arguments: &[&str],
            _: Duration,
        ) -> Result<Output, ProgramError> {
            let boot = "--boot=0123456789abcdef0123456789abcdef";
            assert_eq!((program, arguments[0]), ("journalctl", boot));
            let text = match arguments.contains(&"--priority=err") {
                true => "[1] x.service: Failed\n[3] both\n",
                false => {
                    "[2] info\n[3] both\n[4] h systemd[1]: Shutting down.\n[5] h systemd-shutdown[1]: Syncing\n"
                }
            };
            Ok(Output {
                success: true,
                ending: String::new(),
                stdout: text.into(),
                stderr: String::new(),
            })
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(3600)
        }

        fn now(&self) -> Instant {
            Instant::now()
        }

        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn the_boot_speaks_until_its_way_down() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let boot = "01234567-89ab-cdef-0123-456789abcdef";
        let found = collect(&places, &Fake, Some(boot));
        let down = "[4] h systemd[1]: Shutting down.";
        assert_eq!(
            found.journal,
            ["[1] x.service: Failed", "[3] both", "[2] info", down]
        );
        assert!(found.pstore.is_empty() && found.detectors.is_empty());
        for nothing in [None, Some("--vacuum-size=1")] {
            assert!(collect(&places, &Fake, nothing).journal.is_empty());
        }
    }

    #[test]
    fn what_is_repeated_does_not_crowd_out_the_end() {
        let mut lines: Vec<String> = (0..20)
            .map(|n| format!("[  1.{n}] h a[1]: step {n}"))
            .collect();
        for n in 0..100 {
            lines.push(format!("[  2.{n}] h r[2]: no UDP"));
            lines.push(format!("[  3.{n}] h r[2]: no TCP"));
        }
        let end: Vec<String> = distinct_end(&lines).collect();
        assert_eq!(
            (end.len(), end[0].as_str()),
            (LAST, "[  1.12] h a[1]: step 12")
        );
        assert_eq!(
            end[8..],
            ["[  2.99] h r[2]: no UDP", "[  3.99] h r[2]: no TCP"]
        );
    }

    #[test]
    fn a_dump_of_an_earlier_crash_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let archive = places.var.join("lib/systemd/pstore/1700000000");
        std::fs::create_dir_all(&archive).unwrap();
        let text: String = (0..100).map(|n| format!("<6>line {n}\n")).collect();
        let dump = archive.join("dmesg.txt");
        std::fs::write(&dump, text).unwrap();
        std::fs::write(archive.join("console.txt"), "other").unwrap();
        let found = collect(&places, &Fake, None).pstore;
        assert_eq!((found.len(), found[29].as_str()), (LINES, "<6>line 99"));
        let old = SystemTime::now() - Duration::from_secs(7200);
        std::fs::File::options()
            .write(true)
            .open(&dump)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert!(collect(&places, &Fake, None).pstore.is_empty());
    }

    #[test]
    fn a_watchdog_that_bit_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        for (name, status) in [
            ("watchdog0", "32\n"),
            ("watchdog1", "0\n"),
            ("watchdog2", "x"),
        ] {
            let path = places.roots.sys.join("class/watchdog").join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("bootstatus"), status).unwrap();
        }
        let found = collect(&places, &Fake, None).detectors;
        assert_eq!(found, ["watchdog0 reset the machine (bootstatus 0x20)"]);
    }
}
