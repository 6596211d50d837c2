//! What happened, for `roamcore log`.
//!
//! Owns: two files of JSON lines, the rotation. Never does: fail an update because it cannot be written (its caller logs
//! and goes on). Invariant: a line is whole or is not shown; the two files together never exceed twice the limit.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, At, IoAt};
use serde::{Deserialize, Serialize};

/// Some thousand lines: years of updates.
const FILE_BYTES: u64 = 512 * 1024;
/// Longer lines are cut; a reason with a journal line in it fits.
const LONGEST_TEXT: usize = 2048;
const NAMES: [&str; 2] = ["history.jsonl", "history.1.jsonl"];

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds since 1970; absent when the clock was not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<i64>,
    /// Milliseconds since boot.
    pub boot_ms: u64,
    /// Name of the phase afterwards.
    pub phase: String,
    /// What happened.
    pub text: String,
}

/// The log on disk.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
}

impl History {
    /// In a directory that exists.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.directory.join(NAMES.get(index).copied().unwrap_or(""))
    }

    /// Adds a line.
    pub fn append(&self, line: &Line) -> Result<(), IoAt> {
        let mut line = line.clone();
        if let Some((end, _)) = line.text.char_indices().nth(LONGEST_TEXT) {
            line.text.truncate(end);
        }
        let path = self.path(0);
        let size = path.metadata().map_or(0, |found| found.len());
        let mut bytes = serde_json::to_vec(&line)
            .map_err(std::io::Error::from)
            .at("write", &path)?;
        bytes.push(b'\n');
        if size > 0 && size + bytes.len() as u64 > FILE_BYTES {
            std::fs::rename(&path, self.path(1)).at("rotate", &path)?;
        }
        let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(flags)
            .open(&path)
            .at("open", &path)?;
        // A line that a power cut tore must not swallow this one.
        if !ends_a_line(&file, &path)? {
            bytes.insert(0, b'\n');
        }
        file.write_all(&bytes).at("write", &path)?;
        file.sync_data().at("sync", &path)
    }

    /// The last `most` lines, oldest first. Torn ones are passed over.
    pub fn last(&self, most: usize) -> Result<Vec<Line>, IoAt> {
        let mut lines = Vec::new();
        for index in [1, 0] {
            // A line may pass the limit when it is the only one of its file.
            let limit = FILE_BYTES * 2;
            let Some(bytes) = files::read_if_any(&self.path(index), limit)? else {
                continue;
            };
            lines.extend(
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter_map(|line| serde_json::from_slice::<Line>(line).ok()),
            );
        }
        let surplus = lines.len().saturating_sub(most);
        lines.drain(..surplus);
        Ok(lines)
    }
}

fn ends_a_line(file: &std::fs::File, path: &Path) -> Result<bool, IoAt> {
    let size = file.metadata().at("inspect", path)?.len();
    let Some(last) = size.checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut byte, last).at("read", path)?;
    Ok(byte == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line {
            unix: number.is_multiple_of(2).then_some(1_700_000_000),
            boot_ms: number,
            phase: "idle".into(),
            text: text.into(),
        }
    }

    #[test]
    fn lines_come_back_and_the_size_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        assert!(history.last(5).unwrap().is_empty());
        let text = "x".repeat(2000);
        for number in 0..1200 {
            history.append(&line(number, &text)).unwrap();
        }
        let last = history.last(3).unwrap();
        assert_eq!(last, [1197, 1198, 1199].map(|number| line(number, &text)));
        let total: u64 = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(total <= 2 * FILE_BYTES, "{total}");
        assert!(history.last(usize::MAX).unwrap().len() > 250);
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.append(&line(1, "one")).unwrap();
        let path = dir.path().join(NAMES[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"boot_ms\":2,\"pha");
        std::fs::write(&path, bytes).unwrap();
        history.append(&line(3, "three")).unwrap();
        assert_eq!(history.last(9).unwrap(), [line(1, "one"), line(3, "three")]);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.append(&line(1, &"\u{e4}".repeat(5000))).unwrap();
        let text = &history.last(1).unwrap()[0].text;
        assert_eq!(text.chars().count(), LONGEST_TEXT);
    }
}
