//! Logs as QEMU really writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::File;
use std::path::Path;
use std::process::Command;

use roamcore_crash::log::{Entry, Log};

/// Made by qemu-io 7.2 with the commands below.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/qemu-7.2.log");

fn parse(path: &Path) -> Log<File> {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    Log::parse(file, size).unwrap()
}

fn check(log: &Log<File>) {
    let write = |offset, len, data_at| Entry::Write {
        offset,
        len,
        data_at,
        fua: false,
    };
    let want = [
        write(1024, 1024, 1024),
        Entry::Flush,
        write(65536, 512, 3072),
        Entry::Discard {
            offset: 524_288,
            len: 65_536,
        },
        // A write with FUA is a write and a flush.
        write(4096, 512, 4608),
        Entry::Flush,
        write(512, 512, 6144),
        Entry::Flush,
    ];
    assert_eq!(log.entries()[..want.len()], want);
    let mut byte = [0];
    for (index, value) in [(0, 7), (2, 0), (4, 9), (6, 3)] {
        log.read(index, 511, &mut byte).unwrap();
        assert_eq!(byte, [value], "entry {index}");
    }
}

#[test]
fn the_fixture() {
    check(&parse(Path::new(FIXTURE)));
}

#[test]
fn the_installed_qemu_writes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = (dir.path().join("disk"), dir.path().join("log"));
    File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    File::create(&log).unwrap();
    let image = format!(
        "driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={},log.driver=file,log.filename={},log-sector-size=512",
        disk.display(),
        log.display()
    );
    let mut command = Command::new("qemu-io");
    command.args(["--image-opts", &image]);
    for line in [
        "write -P 7 1k 1k",
        "flush",
        "write -z 64k 512",
        "discard 512k 64k",
        "write -f -P 9 4096 512",
        "write -P 3 512 512",
    ] {
        command.args(["-c", line]);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIP: qemu-io cannot be run ({error}), so what it writes is unknown");
            return;
        }
    };
    assert!(output.status.success(), "{output:?}");
    check(&parse(&log));
}
