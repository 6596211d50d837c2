//! Disks of test machines: the unpacked image, qcow2 overlays on it, and looks and edits from outside.
//!
//! Owns every access to a disk that does not go through the guest. No root, no loop device, no mount.
//! Invariant: the unpacked image is never written to; edits land in the overlay of the machine under test.
//!
//! ```text
//! disk.img.zst --once--> cache/<sha256>.raw  <- overlay (stage) <- overlay (test)
//! ```

pub mod base;
pub mod erofs;
pub mod esp;
pub mod gpt;
pub mod journal;
pub mod slot;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::args;
use crate::error::{Error, Result, file};
use crate::tool;

/// Unit of edits from outside.
pub const SECTOR: u64 = 512;

/// A qcow2 file on top of another image.
#[derive(Debug)]
pub struct Overlay {
    path: PathBuf,
}

impl Overlay {
    /// An overlay of `size` bytes on a raw image that may be smaller.
    pub fn on_raw(base: &Path, path: &Path, size: u64) -> Result<Self> {
        let had = std::fs::metadata(base)
            .map_err(file("look at", base))?
            .len();
        if size < had {
            let reason = format!("a disk of {size} bytes cannot hold an image of {had}");
            return Err(Error::Format {
                what: base.display().to_string(),
                reason,
            });
        }
        let line = args![
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            base.display(),
            path.display(),
            size
        ];
        tool::run("qemu-img", &line)?;
        Ok(Self { path: path.into() })
    }

    /// An overlay that is there already; whole, as far as `qemu-img` can tell.
    pub fn open(path: &Path) -> Result<Self> {
        let disk = Self { path: path.into() };
        disk.size()?;
        Ok(disk)
    }

    /// An overlay of the same size on another overlay.
    pub fn on_overlay(base: &Overlay, path: &Path) -> Result<Self> {
        let line = args![
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            base.path.display(),
            path.display()
        ];
        tool::run("qemu-img", &line)?;
        Ok(Self { path: path.into() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the disk that the guest sees.
    pub fn size(&self) -> Result<u64> {
        let bad = |reason: String| Error::Format {
            what: "qemu-img info".into(),
            reason,
        };
        let info = tool::run(
            "qemu-img",
            &args!["info", "--output=json", self.path.display()],
        )?;
        let info: serde_json::Value =
            serde_json::from_slice(&info).map_err(|e| bad(e.to_string()))?;
        info["virtual-size"]
            .as_u64()
            .ok_or_else(|| bad(format!("no virtual-size in {info}")))
    }

    /// Copies a range into a sparse file; offset and length in whole sectors.
    pub fn extract(&self, offset: u64, length: u64, to: &Path) -> Result<()> {
        let line = args![
            "convert",
            "-O",
            "raw",
            "--image-opts",
            self.window(offset, length),
            to.display()
        ];
        tool::run("qemu-img", &line).map(drop)
    }

    /// Writes a file over a range; offset and length of the file in whole sectors.
    pub fn insert(&mut self, offset: u64, from: &Path) -> Result<()> {
        let length = std::fs::metadata(from)
            .map_err(file("look at", from))?
            .len();
        let window = self.window(offset, length);
        let line = args![
            "convert",
            "-n",
            "-f",
            "raw",
            "--target-image-opts",
            from.display(),
            window
        ];
        tool::run("qemu-img", &line).map(drop)
    }

    fn window(&self, offset: u64, length: u64) -> String {
        let path = self.path.display().to_string().replace(',', ",,");
        format!(
            "driver=raw,offset={offset},size={length},file.driver=qcow2,file.file.driver=file,file.file.filename={path}"
        )
    }

    /// Reads bytes at any offset.
    pub fn read_bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let start = offset / SECTOR * SECTOR;
        let end = (offset + length).div_ceil(SECTOR) * SECTOR;
        let temp = tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
        self.extract(start, end - start, temp.path())?;
        let mut source = File::open(temp.path()).map_err(file("open", temp.path()))?;
        source
            .seek(SeekFrom::Start(offset - start))
            .map_err(file("seek in", temp.path()))?;
        let mut bytes = Vec::new();
        source
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(file("read", temp.path()))?;
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(Error::Format {
                what: self.path.display().to_string(),
                reason: format!(
                    "wanted {length} bytes at {offset}, the disk ends after {}",
                    bytes.len()
                ),
            }),
        }
    }

    /// Writes bytes at any offset.
    pub fn edit_bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let start = offset / SECTOR * SECTOR;
        let end = (offset + bytes.len() as u64).div_ceil(SECTOR) * SECTOR;
        let mut around = self.read_bytes(start, end - start)?;
        let within = (offset - start) as usize;
        around[within..within + bytes.len()].copy_from_slice(bytes);
        let mut temp =
            tempfile::NamedTempFile::new().map_err(file("create", "a temporary file"))?;
        temp.write_all(&around)
            .map_err(file("write", temp.path()))?;
        self.insert(start, temp.path())
    }

    /// Inverts one bit of the byte at `offset`.
    pub fn flip_bit(&mut self, offset: u64) -> Result<()> {
        let byte = self.read_bytes(offset, 1)?[0];
        self.edit_bytes(offset, &[byte ^ 0x10])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A raw image of `size` bytes, sparse, and an overlay of `disk` bytes on it.
    pub fn overlay(dir: &Path, size: u64, disk: u64) -> Overlay {
        let base = dir.join("base.raw");
        File::create(&base).unwrap().set_len(size).unwrap();
        Overlay::on_raw(&base, &dir.join("o.qcow2"), disk).unwrap()
    }

    #[test]
    fn edits_land_in_the_overlay_alone_and_overlays_stack() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = overlay(dir.path(), 1 << 20, 1_000_000_000_000 / 512 * 512);
        assert_eq!(first.size().unwrap(), 1_000_000_000_000 / 512 * 512);
        first.edit_bytes(1000, b"across a sector").unwrap();
        first.edit_bytes(999_999_999_000, b"far").unwrap();
        let mut second = Overlay::on_overlay(&first, &dir.path().join("p.qcow2")).unwrap();
        second.flip_bit(1000).unwrap();
        assert_eq!(first.read_bytes(1000, 15).unwrap(), b"across a sector");
        assert_eq!(second.read_bytes(1000, 15).unwrap(), b"qcross a sector");
        assert_eq!(second.read_bytes(999_999_999_000, 3).unwrap(), b"far");
        assert!(
            std::fs::read(dir.path().join("base.raw"))
                .unwrap()
                .iter()
                .all(|&b| b == 0)
        );
    }

    #[test]
    fn a_disk_smaller_than_the_image_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("b");
        File::create(&base).unwrap().set_len(4096).unwrap();
        let error = Overlay::on_raw(&base, &dir.path().join("o"), 512).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("a disk of 512 bytes cannot hold an image of 4096")
        );
    }
}
