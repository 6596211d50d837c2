//! Block maps against bmaptool.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use common::{noise, ok, run, sparse, tool};
use roamcore_disk::bmap::{BlockMap, BmapError};

const SIZE: u64 = (9 << 20) + 1000;

fn image(file: &File) {
    file.write_all_at(&noise(5000, 1), 0).unwrap();
    file.write_all_at(&noise(3 << 20, 2), 2 << 20).unwrap();
    file.write_all_at(&[7], 3_000_000 + (4 << 20)).unwrap();
    file.write_all_at(b"the short last block", SIZE - 20)
        .unwrap();
}

#[test]
fn zeros_are_holes_wherever_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let (thin, thick) = (
        sparse(&dir.path().join("thin"), SIZE),
        sparse(&dir.path().join("thick"), SIZE),
    );
    thick.write_all_at(&vec![0; SIZE as usize], 0).unwrap();
    image(&thin);
    image(&thick);
    let map = BlockMap::scan(&thin).unwrap();
    assert_eq!(map, BlockMap::scan(&thick).unwrap());
    let ranges: Vec<_> = map.ranges.iter().map(|r| (r.first, r.last)).collect();
    assert_eq!(ranges, [(0, 1), (512, 1279), (1756, 1756), (2304, 2304)]);
    assert_eq!((map.blocks(), map.mapped_blocks()), (2305, 772));
    assert_eq!(map.to_xml(), BlockMap::scan(&thick).unwrap().to_xml());
}

#[test]
fn bmaptool_reproduces_the_image() {
    let Some(bmaptool) = tool("bmaptool") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let file = sparse(dir.path().join("image").as_path(), SIZE);
    image(&file);
    fs::write(at("map"), BlockMap::scan(&file).unwrap().to_xml()).unwrap();
    ok(
        &bmaptool,
        ["copy", "--bmap", &at("map"), &at("image"), &at("copy")],
    );
    assert!(fs::read(at("copy")).unwrap() == fs::read(at("image")).unwrap());

    // Its checks are alive: a changed image and a changed map are both refused.
    file.write_all_at(&[1], 2 << 20).unwrap();
    assert!(
        !run(
            &bmaptool,
            ["copy", "--bmap", &at("map"), &at("image"), &at("bad")]
        )
        .status
        .success()
    );
    let xml = fs::read_to_string(at("map"))
        .unwrap()
        .replace(" 512-1279 ", " 513-1279 ");
    fs::write(at("map"), xml).unwrap();
    assert!(
        !run(
            &bmaptool,
            ["copy", "--bmap", &at("map"), &at("image"), &at("bad")]
        )
        .status
        .success()
    );
}

#[test]
fn kept_ranges_are_mapped_even_if_zero() {
    let dir = tempfile::tempdir().unwrap();
    let file = sparse(&dir.path().join("image"), SIZE);
    image(&file);
    let keep = [
        4096..12289,
        5 << 20..(5 << 20) + 8192,
        SIZE - 5000..SIZE,
        0..0,
    ];
    let map = BlockMap::scan_keeping(&file, &keep).unwrap();
    let ranges: Vec<_> = map.ranges.iter().map(|r| (r.first, r.last)).collect();
    assert_eq!(ranges, [(0, 3), (512, 1281), (1756, 1756), (2303, 2304)]);
    let error = BlockMap::scan_keeping(&file, std::slice::from_ref(&(0..SIZE + 1))).unwrap_err();
    assert!(matches!(error, BmapError::Keep { .. }), "{error}");

    // On a disk with old content, the kept blocks come out as they are in the image.
    let Some(bmaptool) = tool("bmaptool") else {
        return;
    };
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("map"), map.to_xml()).unwrap();
    ok(
        &bmaptool,
        ["copy", "--bmap", &at("map"), &at("image"), &at("copy")],
    );
    assert!(fs::read(at("copy")).unwrap() == fs::read(at("image")).unwrap());
}

#[test]
fn empty_and_all_hole_files() {
    let dir = tempfile::tempdir().unwrap();
    for (name, size) in [("empty", 0), ("hole", 1 << 30)] {
        let map = BlockMap::scan(&sparse(&dir.path().join(name), size)).unwrap();
        assert!(map.ranges.is_empty() && map.image_size == size);
        assert!(
            map.to_xml()
                .contains("<MappedBlocksCount> 0 </MappedBlocksCount>")
        );
    }
}
