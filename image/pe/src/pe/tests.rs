use super::*;
use crate::tiny::Tiny;

#[test]
fn tiny_image_parses_and_sections_round_trip() {
    let image = Tiny::default().build();
    let pe = Pe::parse(&image).unwrap();
    assert_eq!(pe.sections().len(), 3);
    assert_eq!(pe.machine().unwrap(), MACHINE_AMD64);
    assert!(pe.sections()[1].is(".sbat") && !pe.sections()[1].is(".sba"));
    assert!(pe.raw(&pe.sections()[0]).unwrap().starts_with(&[0xc3; 700]));
    let at = pe.section_table_end() - SECTION_HEADER_SIZE;
    assert_eq!(
        pe.sections()[2].encode(),
        image[at..at + SECTION_HEADER_SIZE]
    );
    assert_eq!(pe.certificate_table(), None);
}

fn refused(at: usize, value: u32) -> String {
    let mut image = Tiny::default().build();
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Pe::parse(&image).unwrap_err().to_string()
}

const OPTIONAL: usize = 0x58;

#[test]
fn bad_headers_are_refused_with_the_values_seen() {
    let cases = [
        (refused(0, 0), "expected MZ at offset 0, found 0x0"),
        (
            refused(0x3c, u32::MAX),
            "PE signature needs 4 bytes at offset 4294967295, the file has 3584",
        ),
        (
            refused(0x40, 0),
            "expected PE signature at offset 64, found 0x0",
        ),
        (
            refused(0x44, 0xffff_8664),
            "declares 65535 sections, the limit is 96",
        ),
        (
            refused(OPTIONAL, 0x10b),
            "expected PE32+ magic 0x20b at offset 88, found 0x10b",
        ),
        (
            refused(OPTIONAL + 36, 3),
            "FileAlignment is 0x3, expected a power of two",
        ),
        (
            refused(OPTIONAL + 60, 16),
            "SizeOfHeaders 16 must be at least 448",
        ),
        (
            refused(OPTIONAL + 108, 4),
            "240 bytes with 4 data directories has no certificate table",
        ),
        (
            refused(OPTIONAL + 240 + 20, 0),
            "section \".text\": raw data at 0 of 1024 bytes must lie between 1536 and",
        ),
        (
            refused(OPTIONAL + 240 + 16, u32::MAX),
            "raw data at 1536 of 4294967295 bytes",
        ),
        (
            refused(OPTIONAL + 144, 8),
            "certificate table at 8 of 0 bytes",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

#[test]
fn certificate_table_must_end_the_file() {
    let mut image = Tiny::default().build();
    let end = image.len() as u32;
    image.extend([0; 24]);
    image[OPTIONAL + 144..OPTIONAL + 148].copy_from_slice(&end.to_le_bytes());
    image[OPTIONAL + 148..OPTIONAL + 152].copy_from_slice(&16u32.to_le_bytes());
    let error = Pe::parse(&image).unwrap_err().to_string();
    assert!(
        error.contains("must end exactly where the file ends"),
        "{error}"
    );
    image.truncate(end as usize + 16);
    assert_eq!(
        Pe::parse(&image).unwrap().certificate_table(),
        Some(end as usize..end as usize + 16)
    );
}

#[test]
fn checksum_is_the_same_by_words_and_by_bytes() {
    let mut image = Tiny::default().build();
    image.extend([1, 2, 3]);
    fix_checksum(&mut image).unwrap();
    let pe = Pe::parse(&image).unwrap();
    let stored = u32_at(&image, pe.checksum_field(), "").unwrap();
    let mut sum = 0u32;
    for (i, b) in image.iter().enumerate() {
        if !(pe.checksum_field()..pe.checksum_field() + 4).contains(&i) {
            sum += u32::from(*b) << (8 * (i % 2));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    assert_eq!(stored, sum + image.len() as u32);
}
