//! Takes the journal off the disk of a machine that cannot be asked any more.
//!
//! Owns: finding it on the state partition, its repair as a boot would do it (in a copy), and its text. Never writes to the
//! machine's disk. What a boot said before that partition was mounted is on the console alone.

use std::path::Path;

use super::{Overlay, gpt};
use crate::args;
use crate::error::{Error, Result, file};
use crate::tool;

/// Label of the partition that holds /var.
const STATE: &str = "state";
/// journald's directory on that partition.
const JOURNAL: &str = "/var/log/journal";
/// e2fsck's exit status has a bit for each thing that happened; from this one on it failed (e2fsck(8)).
const NOT_REPAIRED: i32 = 4;

/// Puts the journal's files under `directory`, which is made, and its text, all boots, into `text`; says how many lines.
pub fn keep(disk: &Overlay, directory: &Path, text: &Path) -> Result<usize> {
    let part = gpt::named(disk, STATE)?;
    let copy = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
    disk.extract(part.offset, part.length, copy.path())?;
    // The plug was pulled: without the file system's own journal the newest names are not there yet.
    tool::run_judged(
        "e2fsck",
        &args!["-f", "-y", copy.path().display()],
        |status| status.code().is_some_and(|code| code < NOT_REPAIRED),
    )?;
    std::fs::create_dir_all(directory).map_err(file("create", directory))?;
    let quoted = directory.display().to_string().replace('"', "\"\"");
    let dump = format!("rdump {JOURNAL} \"{quoted}\"");
    tool::run("debugfs", &args!["-R", dump, copy.path().display()])?;
    let kept = directory.join("journal");
    // debugfs exits well when it finds nothing, too.
    if !kept.is_dir() {
        return Err(Error::Missing {
            what: format!("{JOURNAL} on the partition `{STATE}`"),
            remedy: "this boot did not come that far; see the console".into(),
        });
    }
    let lines = tool::run(
        "journalctl",
        &args![
            "--directory",
            kept.display(),
            "--no-pager",
            "--output=short-iso-precise"
        ],
    )?;
    std::fs::write(text, &lines).map_err(file("write", text))?;
    Ok(lines.iter().filter(|&&byte| byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a real journal are real only where one was written: a boot test has those. Here: its way off the disk, and
    /// what is said when there is none.
    #[test]
    fn finds_the_directory_or_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str, tree: &Path| {
            let (raw, overlay) = (dir.path().join(name), dir.path().join(format!("{name}.q")));
            let whole = std::fs::File::create(&raw).unwrap();
            whole.set_len(64 << 20).unwrap();
            let table = args!["-n", "1:2048:0", "-c", "1:state", raw.display()];
            tool::run("sgdisk", &table).unwrap();
            let make = args![
                "-q",
                "-F",
                "-d",
                tree.display(),
                "-E",
                "offset=1048576",
                raw.display(),
                "60M"
            ];
            tool::run("mkfs.ext4", &make).unwrap();
            Overlay::on_raw(&raw, &overlay, 64 << 20).unwrap()
        };
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        let text = dir.path().join("journal.txt");
        let none = keep(&disk("none", &tree), &dir.path().join("a"), &text).unwrap_err();
        assert!(none.to_string().contains(JOURNAL), "{none}");
        let journal = tree.join("var/log/journal/00112233445566778899aabbccddeeff");
        std::fs::create_dir_all(&journal).unwrap();
        std::fs::write(journal.join("note"), "not a journal").unwrap();
        let to = dir.path().join("with \"quotes\" and blanks");
        let lines = keep(&disk("some", &tree), &to, &text).unwrap();
        assert!(
            to.join("journal")
                .join(journal.file_name().unwrap())
                .join("note")
                .exists()
        );
        assert_eq!(
            std::fs::read_to_string(&text).unwrap().lines().count(),
            lines
        );
    }
}
