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
