//! How fast a root gets onto a disk that is a plain file, and how fast it is proved to be there.
//!
//! `cargo run --release -p roamcore-slots --example seal -- DIRECTORY MEBIBYTES`

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use roamcore_disk::gpt::{Gpt, Guid, Planned, layout};
use roamcore_disk::verity;
use roamcore_ota::Digest;
use roamcore_slots::{ImageFiles, RootSpec, Slot, Slots};

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "seal DIRECTORY MEBIBYTES";
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let size = arguments.next().ok_or(usage)?.parse::<u64>()? * MIB;
    let disk = directory.join("seal.img");
    let esp = directory.join("seal-esp");
    let planned = |name: &str, id: u8, size| Planned {
        name: name.into(),
        type_guid: Guid::from_bytes([1; 16]),
        part_guid: Guid::from_bytes([id; 16]),
        attributes: 0,
        size,
    };
    let tree = verity::tree_size(size)?.next_multiple_of(MIB);
    let parts = [
        planned("root-a", 2, MIB),
        planned("verity-a", 3, MIB),
        planned("root-b", 4, size),
        planned("verity-b", 5, tree),
    ];
    let gpt: Gpt = layout(Guid::from_bytes([9; 16]), &parts)?;
    let mut file = std::fs::File::create(&disk)?;
    file.set_len(gpt.disk_bytes())?;
    gpt.write_to(&mut file)?;
    file.flush()?;
    std::fs::create_dir_all(esp.join("loader/entries"))?;
    std::fs::create_dir_all(esp.join("EFI/roamcore/a"))?;
    std::fs::write(esp.join("EFI/roamcore/a/roamcore.efi"), "x")?;
    let entry = "sort-key roamcore\nversion 1\nefi /EFI/roamcore/a/roamcore.efi\n";
    std::fs::write(esp.join("loader/entries/roamcore-a.conf"), entry)?;

    let slots = Slots::on(Box::new(ImageFiles::new(&disk, &esp, Slot::A)));
    let idle = slots.idle()?;
    idle.invalidate()?;
    let block: Vec<u8> = (0..4 * MIB)
        .map(|i| ((i * 2_654_435_761) >> 13) as u8)
        .collect();
    let speed = |what: &str, (start, before): (Instant, f64)| {
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), processor_seconds() - before);
        let rate = size as f64 / 1e6 / seconds;
        println!("{what:<24} {rate:>7.0} MB/s {seconds:>7.2} s {cpu:>7.2} s of processors");
    };
    let start = now();
    let target = idle.target(size)?;
    let mut at = 0;
    while at < size {
        let part = &block[..usize::try_from((size - at).min(block.len() as u64))?];
        target.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    target.finish()?;
    drop(target);
    speed("write", start);
    // What the manifest would say.
    let mut spec = RootSpec {
        size,
        sha256: Digest::of(b""),
        root_hash: verity::RootHash::from_bytes([0; 32]),
        salt: vec![7; 32],
        uuid: Guid::from_bytes([8; 16]),
    };
    let source = slots.idle_root()?;
    let bytes = Source(source);
    let mut sink = std::io::Cursor::new(Vec::new());
    spec.root_hash = verity::build(&bytes, size, &spec.salt, spec.uuid, &mut sink, 2)?;
    let mut whole = Vec::new();
    while (whole.len() as u64) < size {
        whole.extend_from_slice(&block);
    }
    whole.truncate(usize::try_from(size)?);
    spec.sha256 = Digest::of(&whole);
    drop(whole);
    let start = now();
    let proof = idle.write_verity(&spec)?;
    speed("tree, digest, proof", start);
    let start = now();
    idle.read_back(&spec)?;
    speed("read back once more", start);
    let start = Instant::now();
    idle.publish_partuuids(&proof)?;
    println!(
        "{:<24} {:>23.3} s",
        "PARTUUIDs",
        start.elapsed().as_secs_f64()
    );
    std::fs::remove_file(&disk)?;
    std::fs::remove_dir_all(&esp)?;
    Ok(())
}

fn now() -> (Instant, f64) {
    (Instant::now(), processor_seconds())
}

/// User and system time of this process, from proc_pid_stat(5), in ticks of 10 ms.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

struct Source(roamcore_slots::Reader);

impl roamcore_disk::region::ReadAt for Source {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}
