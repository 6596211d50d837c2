//! The initrd as a compressed file.
//!
//! Owns: the compression of what the `initrd` module composes, with the module index that depmod
//! makes of it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::root::Inputs;
use super::tools::Tools;
use super::{depmod, generate};
use crate::cache::Cache;
use crate::initrd::{self, Facts};
use crate::tree::Tree;

/// Level 15 costs about four seconds and saves a fifth against level 3; beyond it little is gained.
const LEVEL: i32 = 15;

/// Writes the initrd and returns its unpacked size.
pub fn make(
    image: &Tree,
    inputs: &Inputs<'_>,
    tools: &Tools,
    cache: &Cache,
    path: &Path,
) -> Result<u64> {
    let sources = inputs.sources;
    let os_release = generate::os_release(sources.appliance(), inputs.identity);
    let facts = Facts {
        os_release: &os_release,
        files: generate::initrd_files(sources.appliance(), sources.board())?,
        board_modules: sources
            .board()
            .kernel
            .initrd_modules
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let declared: Vec<_> = sources.overlays().map(|o| &o.initrd).collect();
    let mut tree = initrd::compose(image, &declared, &facts).context("composing the initrd")?;
    let scratch = cache.scratch("depmod")?;
    let kernel = initrd::kernel_version(image)?;
    depmod::add(&mut tree, &kernel, tools, scratch.path())
        .context("indexing the initrd's modules")?;
    scratch.close()?;
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut encoder =
        zstd::Encoder::new(BufWriter::new(file), LEVEL).context("starting compression")?;
    // One worker is enough to leave the single-threaded format, whose bytes differ; more workers
    // give the same bytes.
    encoder
        .multithread(u32::try_from(inputs.threads.max(1)).unwrap_or(1))
        .context("starting compression")?;
    let mut counted = Counted {
        inner: encoder,
        bytes: 0,
    };
    let mtime = u32::try_from(inputs.epoch).context("the lock's epoch is after 2106")?;
    initrd::write_cpio(&tree, &mut counted, mtime)?;
    let unpacked = counted.bytes;
    counted
        .inner
        .finish()
        .and_then(|mut w| w.flush())
        .context("writing the initrd")?;
    Ok(unpacked)
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
