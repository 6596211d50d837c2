//! The map as bmaptool's XML.
//!
//! Layout and spelling follow what `bmaptool create` writes. The file names its own SHA-256, computed with 64 zeros in
//! its place.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{BLOCK, BlockMap};

const CHECKSUM_ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl BlockMap {
    /// The map as text; the same map always gives the same text.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut ranges = String::new();
        for range in &self.ranges {
            let blocks = if range.first == range.last {
                range.first.to_string()
            } else {
                format!("{}-{}", range.first, range.last)
            };
            let _infallible = writeln!(
                ranges,
                "        <Range chksum=\"{}\"> {blocks} </Range>",
                hex(&range.sha256)
            );
        }
        let xml = format!(
            r#"<?xml version="1.0" ?>
<!-- Block map of a disk image: blocks not listed need not be written to a blank disk. -->
<bmap version="2.0">
    <ImageSize> {} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {} </BlocksCount>
    <MappedBlocksCount> {} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {CHECKSUM_ZEROS} </BmapFileChecksum>
    <BlockMap>
{ranges}    </BlockMap>
</bmap>
"#,
            self.image_size,
            self.blocks(),
            self.mapped_blocks(),
        );
        // The first run of zeros is ours: everything before it is numbers of at most 20 digits.
        xml.replacen(CHECKSUM_ZEROS, &hex(&Sha256::digest(&xml)), 1)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}
