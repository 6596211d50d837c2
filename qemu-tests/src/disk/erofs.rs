//! Finds where a file's bytes lie in an EROFS partition, by `dump.erofs`.
//!
//! Used to alter exactly one block whose reader is known.

use std::path::Path;

use crate::args;
use crate::error::{Error, Result};
use crate::tool;

/// Start of a whole block of the file's data in the image `erofs`, past its first block (which might share its place).
pub fn block_of(erofs: &Path, path: &str) -> Result<u64> {
    let out = tool::text(
        "dump.erofs",
        &args!["-e", format!("--path={path}"), erofs.display()],
    )?;
    last_extent(&out).ok_or_else(|| Error::Format {
        what: format!("extents of {path}"),
        reason: format!("found no whole block in {out}"),
    })
}

/// The start of the last extent that holds at least one block.
/// A line reads ` 0:        0..   12345 |   12345 :    8192..   20480 |   12288`: logical range, length, physical range, length.
fn last_extent(out: &str) -> Option<u64> {
    const BLOCK: u64 = 4096;
    out.lines().rev().find_map(|line| {
        let physical = line.split('|').nth(1)?.split_once(':')?.1;
        let (start, end) = physical.split_once("..")?;
        let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
        (end >= start + BLOCK).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_very_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let bytes: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_le_bytes()).collect();
        std::fs::write(tree.join("file"), &bytes).unwrap();
        std::fs::write(tree.join("tiny"), b"inline").unwrap();
        for options in [&args!["-zlz4"][..], &[]] {
            let image = dir.path().join("i.erofs");
            let line = [options, &args!["--quiet", image.display(), tree.display()]].concat();
            tool::run("mkfs.erofs", &line).unwrap();
            let at = block_of(&image, "/file").unwrap() as usize;
            let raw = std::fs::read(&image).unwrap();
            assert!(
                at.is_multiple_of(4096) && at > 0 && at + 4096 <= raw.len(),
                "{at}"
            );
            if options.is_empty() {
                assert!(
                    bytes
                        .windows(64)
                        .step_by(4096)
                        .any(|w| w == &raw[at..at + 64]),
                    "{at}"
                );
            }
            assert!(block_of(&image, "/tiny").is_err());
            std::fs::remove_file(&image).unwrap();
        }
    }
}
