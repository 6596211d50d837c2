//! Proves UKIs on real stubs: parts come back, and other tools see the same sections.
// clippy.toml lets #[test] functions unwrap, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{binaries, parts, tool};
use roamcore_pe::pe::Pe;
use roamcore_pe::uki::{UkiParts, assemble, read};

#[test]
fn parts_come_back_from_a_real_stub() {
    for set in binaries() {
        let initrd = vec![0x5a; 1 << 20];
        let parts = UkiParts {
            ucode: Some(b"ucode"),
            ..parts(&set.boot, &initrd)
        };
        let uki = assemble(&set.stub, &parts).unwrap();
        assert!(uki == assemble(&set.stub, &parts).unwrap());
        let view = read(&uki).unwrap();
        view.check(&parts).unwrap();
        assert!(view.sbat.unwrap().starts_with(b"sbat,1,"));

        let (stub, made) = (Pe::parse(&set.stub).unwrap(), Pe::parse(&uki).unwrap());
        for (before, after) in stub.sections().iter().zip(made.sections()) {
            assert_eq!(before, after);
            assert!(stub.raw(before) == made.raw(after));
        }
        // TimeDateStamp is the stub's.
        let stamp = stub_stamp(&set.stub);
        assert_eq!(stub_stamp(&uki), stamp);
    }
}

fn stub_stamp(image: &[u8]) -> &[u8] {
    let pe = u32::from_le_bytes(image[0x3c..0x40].try_into().unwrap()) as usize;
    &image[pe + 8..pe + 12]
}

#[test]
fn objdump_sees_the_same_sections() {
    for set in binaries() {
        let uki = assemble(&set.stub, &parts(&set.boot, b"initrd")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("uki.efi");
        std::fs::write(&file, &uki).unwrap();
        let Some(text) = tool("objdump", &["-h".as_ref(), &file]) else {
            return;
        };
        let text = text.unwrap();
        for section in Pe::parse(&uki).unwrap().sections() {
            let name = section.name_lossy();
            let line = text
                .lines()
                .find(|l| l.split_whitespace().nth(1) == Some(&name))
                .expect(&name);
            assert!(
                line.contains(&format!("{:08x}  2**", section.raw_offset)),
                "{line}"
            );
        }
    }
}

/// What ukify makes of sections in our order, apart from what we do on purpose: a checksum (it writes 0), sections that
/// begin at blocks in the file, the stub's own .sbat (it rewrites it), and .linux with the kernel's SizeOfImage as its
/// virtual size (257 uses the file's length, 256 and older did as we do), which shows in SizeOfImage and
/// SizeOfInitializedData. `ROAMCORE_PE_UKIFY` is a ukify program of systemd 257, `ROAMCORE_PE_KERNEL` a bzImage.
#[test]
fn ukify_makes_the_same_image() {
    let (Some(ukify), Some(kernel)) = (
        std::env::var("ROAMCORE_PE_UKIFY").ok(),
        std::env::var("ROAMCORE_PE_KERNEL").ok(),
    ) else {
        return common::skip("ROAMCORE_PE_UKIFY and ROAMCORE_PE_KERNEL are not set");
    };
    let kernel = std::fs::read(kernel).unwrap();
    for set in binaries() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            dir.path().join(name)
        };
        let parts = parts(&kernel, &[0x5a; 333_333]);
        let arg = |option: &str, value: &std::path::Path| {
            std::path::PathBuf::from(format!("--{option}={}", value.display()))
        };
        let out = dir.path().join("uki.efi");
        let args = [
            "build".into(),
            arg("stub", &set.from.join("linuxx64.efi.stub")),
            arg(
                "os-release",
                format!("@{}", write("osrel", parts.osrel).display()).as_ref(),
            ),
            arg(
                "cmdline",
                std::str::from_utf8(parts.cmdline).unwrap().as_ref(),
            ),
            arg("uname", std::str::from_utf8(parts.uname).unwrap().as_ref()),
            arg("initrd", &write("initrd", parts.initrd)),
            arg(
                "section",
                format!(".linux:@{}", write("linux", parts.linux).display()).as_ref(),
            ),
            arg("output", &out),
        ];
        let args: Vec<&std::path::Path> = args
            .iter()
            .map(|a: &std::path::PathBuf| a.as_path())
            .collect();
        let Some(done) = tool(&ukify, &args) else {
            return;
        };
        done.unwrap();
        let theirs = std::fs::read(&out).unwrap();
        let ours = assemble(&set.stub, &parts).unwrap();
        assert!(masked(&ours) == masked(&theirs), "{}", set.from.display());
        assert!(
            contents(&ours) == contents(&theirs),
            "{}",
            set.from.display()
        );
        read(&theirs).unwrap().check(&parts).unwrap();
    }
}

/// The headers without those fields.
fn masked(image: &[u8]) -> Vec<u8> {
    let pe = Pe::parse(image).unwrap();
    let sections = pe.sections().to_vec();
    let mut out = image[..sections[0].raw().start].to_vec();
    let header = u32::from_le_bytes(image[0x3c..0x40].try_into().unwrap()) as usize + 24;
    // Characteristics: ukify means to set LOCAL_SYMS_STRIPPED after dropping a symbol table, pefile loses it.
    out[header - 2..header].fill(0);
    for field in [8, 56, 64] {
        out[header + field..header + field + 4].fill(0);
    }
    let table = header + 240;
    for (at, section) in sections.iter().enumerate() {
        let entry = &mut out[table + at * 40..table + at * 40 + 40];
        if section.is(".sbat") {
            entry.fill(0);
        }
        if section.is(".linux") {
            entry[8..12].fill(0);
        }
        // Size and place in the file.
        entry[16..24].fill(0);
    }
    out
}

/// What each section but those holds, without the zeros behind it.
fn contents(image: &[u8]) -> Vec<(String, Vec<u8>)> {
    let pe = Pe::parse(image).unwrap();
    let plain = pe.sections().iter().filter(|s| !s.is(".sbat"));
    plain
        .map(|section| {
            let bytes = &image[section.raw()];
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            (section.name_lossy().to_string(), bytes[..end].to_vec())
        })
        .collect()
}
