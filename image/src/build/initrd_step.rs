//! The initrd as a compressed file.
//!
//! Owns: the compression of what the `initrd` module composes, with the module index that depmod
//! makes of it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::root::Inputs;
use super::tools::Tools;
use super::{depmod, generate};
use crate::cache::{Cache, Key};
use crate::initrd::{self, Facts};
use crate::tree::Tree;

/// Level 15 costs about four seconds and saves a fifth against level 3; beyond it little is gained.
const LEVEL: i32 = 15;

/// Every archive begins at a multiple of this: an update is looked for in blocks of this size, so that an archive is
/// found again when one before it grew.
const BLOCK: usize = 4096;

/// The one file of a step.
const FRAME: &str = "frame.zst";

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
    let mut out = BufWriter::new(file);
    let mut unpacked = 0;
    for nodes in initrd::archives(&tree, &initrd::CHANGING) {
        let mut archive = Vec::new();
        initrd::write_cpio(&nodes, &mut archive)?;
        unpacked += archive.len() as u64;
        // Most changes of the root are none of the initrd, whose compression takes longer than all the rest of the root.
        let key = Key::new("initrd", 1, &[include_str!("initrd_step.rs")])
            .with("zstd", &zstd::zstd_safe::version_number().to_le_bytes())
            .with("archive", &archive)
            .guarded();
        let step = cache.step(&key, |dir| {
            let mut frame = compress(&archive, inputs.threads).context("compressing the initrd")?;
            frame.resize(frame.len().next_multiple_of(BLOCK), 0);
            fs::write(dir.join(FRAME), frame).context("keeping a part of the initrd")
        })?;
        let mut frame = File::open(step.dir.join(FRAME)).context("opening a part of the initrd")?;
        io::copy(&mut frame, &mut out).context("writing the initrd")?;
    }
    out.flush().context("writing the initrd")?;
    Ok(unpacked)
}

fn compress(archive: &[u8], threads: usize) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    // The kernel takes memory for the window that a frame announces: no more than its content.
    encoder.set_pledged_src_size(Some(archive.len() as u64))?;
    // One worker is enough to leave the single-threaded format, whose bytes differ; more workers
    // give the same bytes.
    encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
    encoder.write_all(archive)?;
    encoder.finish()
}
