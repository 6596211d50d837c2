//! What the disk allows: the image written and read back around the page cache, and hashed.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use roamcore_image::command::Command;

use super::{Run, worn};

/// dd has no larger effect from here on.
const BLOCK: &str = "bs=4M";

/// One run.
pub fn write(work: &Path, root: &Path) -> Result<Run> {
    let disk = work.join("raw.img");
    worn(&disk, crate::peer::size(root)?)?;
    let script = "set -e\n\
        dd if=\"$1\" of=\"$2\" \"$3\" oflag=direct conv=notrunc,fsync status=none\n\
        dd if=\"$2\" \"$3\" iflag=direct status=none | sha256sum";
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(root)
        .arg(&disk)
        .arg(BLOCK)
        .run()
        .context("writing with dd")?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let expected = Command::new("sha256sum").arg(root).run()?;
    let digest = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    ensure!(
        digest(&output.stdout) == digest(&expected.stdout),
        "dd wrote something else than {}",
        root.display()
    );
    std::fs::remove_file(&disk).context("removing the disk")?;
    Ok(Run {
        milliseconds,
        peak_kib: 0,
        stages: Vec::new(),
    })
}
