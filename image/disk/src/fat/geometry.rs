//! The boot sector and what follows from it: how large a cluster is and where everything lies.

use super::{FatReadError, ROOT_CLUSTER, SECTOR};

/// Reserved sectors of volumes written here: room for both boot sectors, and a multiple of 8 so that with FATs of a
/// multiple of 8 sectors every cluster is aligned as the partition is.
const RESERVED: u32 = 32;
/// FAT32 begins at 65525 clusters; the specification advises 16 more, since some drivers are off by a few.
const MIN_CLUSTERS: u32 = 65525 + 16;
/// 8 GiB: beyond it 4 KiB clusters make the FATs large.
const MAX_BYTES: u64 = 8 << 30;
/// Sector of the second boot sector, the place every driver looks.
const BACKUP: u32 = 6;

/// Sizes of a volume, in sectors and clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) sectors: u32,
    pub(super) cluster_sectors: u32,
    pub(super) reserved: u32,
    pub(super) fats: u32,
    pub(super) fat_sectors: u32,
    pub(super) clusters: u32,
    pub(super) root: u32,
}

impl Geometry {
    /// The largest cluster up to 4 KiB that still makes a FAT32.
    pub(super) fn for_size(bytes: u64) -> Option<Self> {
        if !bytes.is_multiple_of(SECTOR) || bytes > MAX_BYTES {
            return None;
        }
        let sectors = u32::try_from(bytes / SECTOR).ok()?;
        [8_u32, 4, 2, 1].into_iter().find_map(|cluster_sectors| {
            // Sized for the data area before the FATs are taken off it: a few entries too many, never too few.
            let entries = sectors.checked_sub(RESERVED)? / cluster_sectors + 2;
            let fat_sectors = entries.div_ceil(128).next_multiple_of(8);
            let clusters = sectors.checked_sub(RESERVED + 2 * fat_sectors)? / cluster_sectors;
            (clusters >= MIN_CLUSTERS).then_some(Self {
                sectors,
                cluster_sectors,
                reserved: RESERVED,
                fats: 2,
                fat_sectors,
                clusters,
                root: ROOT_CLUSTER,
            })
        })
    }

    pub(super) const fn cluster_bytes(&self) -> u64 {
        self.cluster_sectors as u64 * SECTOR
    }

    pub(super) const fn fat_offset(&self, fat: u32) -> u64 {
        (self.reserved as u64 + fat as u64 * self.fat_sectors as u64) * SECTOR
    }

    /// Byte offset of a cluster; `cluster` is at least 2.
    pub(super) const fn cluster_offset(&self, cluster: u32) -> u64 {
        self.fat_offset(self.fats) + (cluster as u64 - 2) * self.cluster_bytes()
    }

    pub(super) const fn holds(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// Boot sector and FSInfo, with the sectors they go to.
    pub(super) fn encode(
        &self,
        volume_id: u32,
        label: &[u8; 11],
        next_free: u32,
    ) -> Vec<(u64, Vec<u8>)> {
        let mut boot = vec![0; SECTOR as usize];
        let mut put = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xEB, 0x58, 0x90]);
        put(3, b"ROAMCORE");
        put(11, &(SECTOR as u16).to_le_bytes());
        put(13, &[self.cluster_sectors as u8]);
        put(14, &(self.reserved as u16).to_le_bytes());
        put(16, &[self.fats as u8]);
        put(21, &[0xF8]); // fixed disk
        put(24, &63_u16.to_le_bytes());
        put(26, &255_u16.to_le_bytes());
        put(32, &self.sectors.to_le_bytes());
        put(36, &self.fat_sectors.to_le_bytes());
        put(44, &self.root.to_le_bytes());
        put(48, &1_u16.to_le_bytes()); // FSInfo
        put(50, &(BACKUP as u16).to_le_bytes());
        put(64, &[0x80, 0, 0x29]);
        put(67, &volume_id.to_le_bytes());
        put(71, label);
        put(82, b"FAT32   ");
        put(510, &[0x55, 0xAA]);

        let mut info = vec![0; SECTOR as usize];
        info[..4].copy_from_slice(b"RRaA");
        info[484..488].copy_from_slice(b"rrAa");
        info[488..492].copy_from_slice(&(self.clusters - (next_free - 2)).to_le_bytes());
        // All ones when nothing is free: the specification's "unknown".
        let hint = if self.holds(next_free) {
            next_free
        } else {
            u32::MAX
        };
        info[492..496].copy_from_slice(&hint.to_le_bytes());
        info[510..].copy_from_slice(&[0x55, 0xAA]);

        [(0, &boot), (1, &info), (BACKUP, &boot), (BACKUP + 1, &info)]
            .map(|(sector, bytes)| (u64::from(sector) * SECTOR, bytes.clone()))
            .into()
    }

    /// From a boot sector of unknown origin on a device of `device_bytes`.
    pub(super) fn parse(boot: &[u8; 512], device_bytes: u64) -> Result<Self, FatReadError> {
        let le = |at: usize, len: usize| {
            boot[at..at + len]
                .iter()
                .rev()
                .fold(0_u64, |v, b| v << 8 | u64::from(*b))
        };
        let field = |field, found: u64, good: bool, expected| {
            if good {
                Ok(found as u32)
            } else {
                Err(FatReadError::BootSector {
                    field,
                    found,
                    expected,
                })
            }
        };
        let exact =
            |name, at, len, want: u64, text| field(name, le(at, len), le(at, len) == want, text);
        exact("signature", 510, 2, 0xAA55, "43605 (55 AA)")?;
        exact("bytes per sector", 11, 2, SECTOR, "512")?;
        exact("root entries", 17, 2, 0, "0")?;
        exact("16-bit sector count", 19, 2, 0, "0")?;
        exact("16-bit FAT size", 22, 2, 0, "0")?;
        exact("version", 42, 2, 0, "0")?;
        let cluster = le(13, 1);
        let power = cluster.is_power_of_two() && cluster <= 128;
        let cluster_sectors = field(
            "sectors per cluster",
            cluster,
            power,
            "a power of two up to 128",
        )?;
        let reserved = field("reserved sectors", le(14, 2), le(14, 2) > 0, "at least 1")?;
        let fats = field(
            "number of FATs",
            le(16, 1),
            matches!(le(16, 1), 1 | 2),
            "1 or 2",
        )?;
        let sectors = field(
            "sectors",
            le(32, 4),
            le(32, 4) * SECTOR <= device_bytes,
            "no more than the device has",
        )?;
        let fat_sectors = field("FAT size", le(36, 4), le(36, 4) > 0, "at least 1")?;
        let meta = u64::from(reserved) + u64::from(fats) * u64::from(fat_sectors);
        let clusters = u64::from(sectors).saturating_sub(meta) / u64::from(cluster_sectors);
        // Numbers from 0x0FFFFFF7 up are reserved; the bound also limits what the reader allocates.
        let most = (u64::from(fat_sectors) * 128).min(0x0FFF_FFF7);
        let fits = clusters >= 65525 && clusters + 2 <= most;
        let clusters = field(
            "clusters",
            clusters,
            fits,
            "at least 65525 and no more than the FAT has entries",
        )?;
        let root = le(44, 4);
        let geometry = Self {
            sectors,
            cluster_sectors,
            reserved,
            fats,
            fat_sectors,
            clusters,
            root: root as u32,
        };
        field(
            "root cluster",
            root,
            geometry.holds(root as u32),
            "a cluster of the volume",
        )?;
        Ok(geometry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_size_follows_volume_size() {
        let table = [
            (32, None),
            (33, Some(1)),
            (64, Some(1)),
            (128, Some(2)),
            (256, Some(4)),
            (300, Some(8)),
            (1024, Some(8)),
            (4096, Some(8)),
            (8193, None),
        ];
        for (mib, want) in table {
            let got = Geometry::for_size(mib << 20);
            assert_eq!(got.as_ref().map(|g| g.cluster_sectors), want, "{mib} MiB");
            if let Some(g) = got {
                assert!(g.clusters >= MIN_CLUSTERS && g.fat_sectors * 128 >= g.clusters + 2);
                assert_eq!(g.cluster_offset(2) % 4096, 0);
                assert!(g.cluster_offset(g.clusters + 2) <= mib << 20);
            }
        }
    }

    #[test]
    fn parse_gives_back_what_encode_wrote() {
        let geometry = Geometry::for_size(64 << 20).unwrap();
        let boot = geometry.encode(7, b"ESP        ", 3).remove(0).1;
        let boot: &[u8; 512] = boot.as_slice().try_into().unwrap();
        assert_eq!(Geometry::parse(boot, 64 << 20).unwrap(), geometry);
        assert_eq!(
            Geometry::parse(boot, (64 << 20) - 1)
                .unwrap_err()
                .to_string(),
            "boot sector: sectors is 131072, expected no more than the device has; not a FAT32 volume we can read"
        );
    }
}
