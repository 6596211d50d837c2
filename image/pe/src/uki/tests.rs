use super::*;
use crate::pe::Pe;
use crate::tiny::Tiny;

fn kernel() -> Vec<u8> {
    Tiny {
        sections: vec![(".text", vec![0x90; 999])],
        size_of_image: Some(0x12345),
        ..Tiny::default()
    }
    .build()
}

fn parts(linux: &[u8]) -> UkiParts<'_> {
    UkiParts {
        osrel: b"ID=roamcore\n",
        cmdline: b"roothash=00 gpt",
        uname: b"6.12.0",
        ucode: Some(b"microcode"),
        initrd: b"0707010000",
        linux,
    }
}

#[test]
fn read_gives_back_the_parts_and_keeps_the_stub() {
    let (stub, linux) = (Tiny::default().build(), kernel());
    let uki = assemble(&stub, &parts(&linux)).unwrap();
    assert_eq!(uki, assemble(&stub, &parts(&linux)).unwrap());
    let view = read(&uki).unwrap();
    view.check(&parts(&linux)).unwrap();
    assert!(view.sbat.unwrap().starts_with(b"sbat,1"));
    assert_eq!(view.ucode, Some(&b"microcode"[..]));
}

#[test]
fn linux_is_last_and_spans_the_kernels_image() {
    let (stub, linux) = (Tiny::default().build(), kernel());
    let uki = assemble(&stub, &parts(&linux)).unwrap();
    let pe = Pe::parse(&uki).unwrap();
    let last = pe.sections().last().unwrap();
    assert!(last.is(".linux"));
    assert_eq!(last.virtual_size, 0x12345);
    assert_eq!(
        pe.size_of_image(),
        (last.virtual_address + 0x12345).next_multiple_of(0x1000)
    );
    for pair in pe.sections().windows(2) {
        assert!(pair[1].virtual_address >= pair[0].virtual_address + pair[0].virtual_size);
        assert_eq!(pair[1].virtual_address % 0x1000, 0);
        assert_eq!(pair[0].raw().end, pair[1].raw().start);
    }
    // From the second of ours on each begins at a block, and so does what comes after the last.
    let ours = pe.sections().iter().position(|s| s.is(".osrel")).unwrap();
    for section in &pe.sections()[ours..] {
        assert_eq!(section.raw().end % 4096, 0, "{}", section.name_lossy());
    }
}

#[test]
fn unusable_stubs_and_parts_are_refused() {
    let (stub, linux) = (Tiny::default().build(), kernel());
    let good = parts(&linux);
    let fail = |stub: &[u8], parts: &UkiParts<'_>| assemble(stub, parts).unwrap_err().to_string();
    let uki = assemble(&stub, &good).unwrap();
    let full = Tiny {
        size_of_headers: 0x200,
        ..Tiny::default()
    }
    .build();
    let tail = [&stub[..], &[1; 16]].concat();
    let mut arm = stub.clone();
    arm[0x44..0x46].copy_from_slice(&0xaa64u16.to_le_bytes());
    let cases = [
        (
            fail(&full, &good),
            "stub headers have room for 1 more sections, 6 are needed",
        ),
        (fail(&uki, &good), "the stub already has a section .osrel"),
        (fail(&tail, &good), "16 bytes after its last section"),
        (fail(&arm, &good), "stub is for machine 0xaa64"),
        (fail(b"MZ", &good), "stub is not a usable PE image"),
        (
            fail(
                &stub,
                &UkiParts {
                    linux: b"ELF",
                    ..good
                },
            ),
            "kernel is not a usable PE image",
        ),
        (
            fail(
                &stub,
                &UkiParts {
                    initrd: b"",
                    ..good
                },
            ),
            "part .initrd is empty",
        ),
        (
            fail(
                &stub,
                &UkiParts {
                    cmdline: b"a\n",
                    ..good
                },
            ),
            "control character 0x0a at byte 1",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

#[test]
fn a_different_part_is_named_with_its_first_byte() {
    let (stub, linux) = (Tiny::default().build(), kernel());
    let uki = assemble(&stub, &parts(&linux)).unwrap();
    let view = read(&uki).unwrap();
    let fail = |p: UkiParts<'_>| view.check(&p).unwrap_err().to_string();
    let good = parts(&linux);
    assert!(
        fail(UkiParts {
            cmdline: b"roothash=01 gpt",
            ..good
        })
        .contains(".cmdline (15 bytes)")
    );
    assert!(
        fail(UkiParts {
            ucode: None,
            ..good
        })
        .contains(".ucode (9 bytes) differs from the expected 0")
    );
    let shorter = &linux[..linux.len() - 600];
    assert!(
        fail(UkiParts {
            linux: shorter,
            ..good
        })
        .contains(".linux")
    );
    // More zeros than lead to the next block.
    let longer = [&linux[..], &[0; 5000]].concat();
    assert!(
        fail(UkiParts {
            linux: &longer,
            ..good
        })
        .contains(".linux")
    );
}

#[test]
fn duplicate_and_missing_sections_are_refused() {
    let missing = read(&Tiny::default().build()).unwrap_err().to_string();
    assert!(missing.contains("no section .osrel"), "{missing}");
    let twice = Tiny {
        sections: vec![(".osrel", vec![1]), (".osrel", vec![2])],
        ..Tiny::default()
    }
    .build();
    let twice = read(&twice).unwrap_err().to_string();
    assert!(twice.contains("2 sections named .osrel"), "{twice}");
}
