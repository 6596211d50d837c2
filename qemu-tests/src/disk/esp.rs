//! Looks into and edits the EFI system partition of a powered-off machine, with mtools.
//!
//! Owns a temporary copy of the partition. Nothing reaches the disk before [`Esp::write_back`].

use super::{Overlay, gpt};
use crate::args;
use crate::error::{Result, file};
use crate::tool;

/// A copy of the ESP.
#[derive(Debug)]
pub struct Esp {
    copy: tempfile::NamedTempFile,
    offset: u64,
}

impl Esp {
    /// Takes a copy of partition `esp`.
    pub fn open(disk: &Overlay) -> Result<Self> {
        let partition = gpt::named(disk, "esp")?;
        let copy = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
        disk.extract(partition.offset, partition.length, copy.path())?;
        Ok(Self {
            copy,
            offset: partition.offset,
        })
    }

    fn mtool(&self, program: &str, args: &[String]) -> Result<Vec<u8>> {
        let image = args!["-i", self.copy.path().display()];
        tool::run(program, &[&image[..], args].concat())
    }

    /// A file's bytes; `path` from the root, as in `/loader/loader.conf`.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.mtool("mtype", &[inside(path)])
    }

    /// Names of what is in a directory, sorted.
    pub fn list(&self, directory: &str) -> Result<Vec<String>> {
        let out = self.mtool("mdir", &args!["-b", inside(directory)])?;
        let out = String::from_utf8_lossy(&out).into_owned();
        let last = |line: &str| {
            line.trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let mut names: Vec<String> = out.lines().map(last).collect();
        names.sort();
        Ok(names)
    }

    /// Writes a file, over an old one if there is one.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let temp = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
        std::fs::write(temp.path(), bytes).map_err(file("write", temp.path()))?;
        self.mtool("mcopy", &args!["-o", temp.path().display(), inside(path)])
            .map(drop)
    }

    /// Makes a directory.
    pub fn make_directory(&mut self, path: &str) -> Result<()> {
        self.mtool("mmd", &[inside(path)]).map(drop)
    }

    /// Renames a file within its directory.
    pub fn rename(&mut self, path: &str, name: &str) -> Result<()> {
        self.mtool("mren", &[inside(path), name.to_owned()])
            .map(drop)
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.mtool("mdel", &[inside(path)]).map(drop)
    }

    /// Puts the copy back on the disk it came from.
    pub fn write_back(self, disk: &mut Overlay) -> Result<()> {
        disk.insert(self.offset, self.copy.path())
    }
}

fn inside(path: &str) -> String {
    format!("::{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_survive_the_way_back() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("base.raw");
        std::fs::File::create(&raw)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        tool::run(
            "sgdisk",
            &args!["-n", "1:2048:+48M", "-c", "1:esp", raw.display()],
        )
        .unwrap();
        let at = format!("{}@@1M", raw.display());
        tool::run("mformat", &args!["-i", at, "-F", "-T", 98304, "::"]).unwrap();
        tool::run("mmd", &args!["-i", at, "::/loader", "::/loader/entries"]).unwrap();
        let mut disk = Overlay::on_raw(&raw, &dir.path().join("o"), 1 << 30).unwrap();

        let mut esp = Esp::open(&disk).unwrap();
        esp.write("/loader/entries/roamcore-b.conf", b"title b\n")
            .unwrap();
        esp.rename("/loader/entries/roamcore-b.conf", "roamcore-b+3.conf")
            .unwrap();
        esp.write("/loader/gone", b"x").unwrap();
        esp.remove("/loader/gone").unwrap();
        esp.write_back(&mut disk).unwrap();

        let esp = Esp::open(&disk).unwrap();
        assert_eq!(esp.list("/loader/entries").unwrap(), ["roamcore-b+3.conf"]);
        assert_eq!(esp.list("/loader").unwrap(), ["entries"]);
        assert_eq!(
            esp.read("/loader/entries/roamcore-b+3.conf").unwrap(),
            b"title b\n"
        );
        assert!(
            esp.read("/loader/gone")
                .unwrap_err()
                .to_string()
                .starts_with("`mtype")
        );
    }
}
