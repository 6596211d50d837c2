//! `qemu-tests run`: the image for a person at the terminal.
//!
//! Owns a machine's state that lasts from run to run, so that first boot happens once; `--fresh` starts over.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use roamcore_qemu_tests::accel::Accel;
use roamcore_qemu_tests::disk::{Overlay, base};
use roamcore_qemu_tests::image::Image;
use roamcore_qemu_tests::machine::spec::{Cache, Console, MachineSpec};
use roamcore_qemu_tests::machine::state::MachineState;
use roamcore_qemu_tests::machine::{Logs, Machine};

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Release directory with disk.img.zst and release.json.
    #[arg(long, value_name = "DIR")]
    image: PathBuf,
    /// Size of the disk in GB (10^9 bytes) [default: the smallest this appliance is made for].
    #[arg(long, value_name = "GB")]
    disk: Option<u64>,
    /// SMBIOS type 11 string for development images; may be given again.
    #[arg(long, value_name = "STRING", default_value = "roamcore:console=ttyS1")]
    smbios: Vec<String>,
    /// Forget the disk of earlier runs.
    #[arg(long)]
    fresh: bool,
    /// Unpacked images and disks [default: the user's cache directory].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Boots and waits for the end.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let image = Image::open(&args.image).context("open the image")?;
    let cache = std::path::absolute(args.cache.clone().unwrap_or_else(base::cache_directory))?;
    let runs = cache.join("run");
    std::fs::create_dir_all(&runs).with_context(|| format!("create {}", runs.display()))?;
    // By a name of its own: the disk of a later run still stands on it.
    let raw = base::unpacked(&image.disk, &cache, &runs).context("unpack the image")?;
    let name = raw
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("image");
    let size = args
        .disk
        .map_or_else(|| image.smallest_disk(), |gb| gb * 1_000_000_000);
    let machine = format!("{name:.16}-{size}");
    let parent = runs.join(&machine);
    if args.fresh && parent.exists() {
        std::fs::remove_dir_all(&parent).with_context(|| format!("remove {}", parent.display()))?;
    }
    let state = match parent.join("disk.qcow2").exists() {
        true => MachineState::existing(&parent)?,
        false => MachineState::fresh(&runs, &machine)?.with_disk(&raw, size)?,
    };
    let accel = Accel::detect();
    let spec = MachineSpec {
        console: Console::Terminal,
        cache: Cache::WriteBack,
        oem_strings: args.smbios.clone(),
        ..MachineSpec::default()
    };
    eprintln!(
        "{accel}; disk {}; leave with ctrl-a x",
        state
            .disk
            .as_ref()
            .map(Overlay::path)
            .unwrap_or(&parent)
            .display()
    );
    let logs = Logs {
        directory: parent.join("logs"),
        prefix: "run".into(),
    };
    Machine::start(&spec, state, accel, logs)?.wait_end()?;
    Ok(())
}
