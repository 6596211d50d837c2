//! FAT32 volumes. Every file of an accepted one can be read to its length.
//!
//! ```text
//!  number of a sector (4) | its content (512)    as often as it takes; all other sectors are zero
//! ```

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::OnceLock;

use roamcore_disk::fat::{FatImage, FatParams, FatReader, FileSource};

use crate::Target;

/// About the smallest volume that is FAT32.
const BYTES: u64 = 34 << 20;
const SECTOR: usize = 512;

pub(super) const TARGET: Target = Target {
    name: "fat",
    from: "the ESP of an image that is verified or compared",
    longest: 16 * (4 + SECTOR),
    run: |bytes| {
        let Ok(mut volume) = FatReader::open(Sparse::of(bytes)) else {
            return false;
        };
        for entry in volume.entries().to_vec() {
            assert!(entry.path.starts_with('/'));
            if !entry.is_dir {
                let content = volume.read_file(&entry.path, BYTES).unwrap();
                assert_eq!(content.len() as u64, entry.len);
            }
        }
        true
    },
    seeds: || {
        static SEED: OnceLock<Vec<u8>> = OnceLock::new();
        vec![SEED.get_or_init(seed).clone()]
    },
};

fn seed() -> Vec<u8> {
    let params = FatParams {
        size: BYTES,
        volume_id: 7,
        label: "ESP".into(),
        time: 1_700_000_000,
    };
    let mut image = FatImage::new(&params).unwrap();
    let name = "/loader/entries/roamcore-a.conf";
    image.add_file(name, FileSource::bytes("efi /a")).unwrap();
    image
        .add_file("/EFI/big", FileSource::bytes(vec![0; 700]))
        .unwrap();
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out).unwrap();
    let mut seed = Vec::new();
    for (number, sector) in out.into_inner().chunks(SECTOR).enumerate() {
        if sector.iter().any(|b| *b != 0) {
            seed.extend(u32::try_from(number).unwrap().to_le_bytes());
            seed.extend(sector);
        }
    }
    seed
}

/// A volume that is mostly zeros.
struct Sparse<'a> {
    sectors: HashMap<u64, &'a [u8]>,
    at: u64,
}

impl<'a> Sparse<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let sectors = bytes.chunks(4 + SECTOR).filter_map(|piece| {
            let (number, content) = piece.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*number).into(), content))
        });
        Self {
            sectors: sectors.collect(),
            at: 0,
        }
    }
}

impl Read for Sparse<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (sector, within) = (self.at / SECTOR as u64, (self.at % SECTOR as u64) as usize);
        let left = usize::try_from(BYTES.saturating_sub(self.at)).unwrap();
        let count = out.len().min(SECTOR - within).min(left);
        let content = self.sectors.get(&sector).copied().unwrap_or_default();
        for (at, byte) in out[..count].iter_mut().enumerate() {
            *byte = content.get(within + at).copied().unwrap_or(0);
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Sparse<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => BYTES.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
