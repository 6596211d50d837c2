//! Boot files changed for a test: one bit altered, signed by a stranger, unsigned, put together anew.
//!
//! Owns the changes. Never signs with a key that a machine trusts. Layout after the PE format's specification:
//! "COFF File Header" and "Optional Header".

use roamcore_pe::authenticode;
use roamcore_pe::certs::{SigningKey, Validity};
use roamcore_pe::pe::{Pe, SECTION_HEADER_SIZE};
use roamcore_pe::uki::{self, SECTION_ORDER, UkiParts};

use crate::error::{Error, Result};

/// 2020 to 2050; firmware looks at neither.
const VALIDITY: Validity = Validity {
    not_before: 1_577_836_800,
    not_after: 2_524_608_000,
};

/// From the PE signature: number of sections, size of the optional header, the optional header itself.
const NUMBER_OF_SECTIONS: usize = 6;
const SIZE_OF_OPTIONAL_HEADER: usize = 20;
const OPTIONAL_HEADER: usize = 24;
/// From the optional header: size of the image in memory.
const SIZE_OF_IMAGE: usize = 56;

/// From the optional header: offset and size of the signatures.
const CERTIFICATE_TABLE: usize = 112 + 4 * 8;

/// The file with one bit of a section's first byte changed, everything else and its signature as they were.
pub fn with_flipped_bit(image: &[u8], section: &str) -> Result<Vec<u8>> {
    let pe = Pe::parse(image).map_err(|e| bad(&e))?;
    let found = pe.sections().iter().find(|s| s.is(section));
    let at = found
        .ok_or_else(|| bad(&format!("no section {section}")))?
        .raw()
        .start;
    let mut bytes = image.to_vec();
    bytes[at] ^= 1;
    Ok(bytes)
}

/// The file without signatures.
pub fn unsigned(image: &[u8]) -> Result<Vec<u8>> {
    authenticode::strip(image).map_err(|e| bad(&e))
}

/// The file with no signature but a rightly made one by a key that nobody trusts.
pub fn signed_by_a_stranger(image: &[u8]) -> Result<Vec<u8>> {
    let image = unsigned(image)?;
    let key = SigningKey::generate("a stranger", VALIDITY).map_err(|e| bad(&e))?;
    let signature =
        authenticode::digest(&image).and_then(|digest| authenticode::sign_digest(digest, &key));
    let signature = signature.map_err(|e| bad(&e))?;
    authenticode::attach(&image, &[signature]).map_err(|e| bad(&e))
}

/// An unsigned UKI like `uki`, with a changed command line and with more behind its initrd.
pub fn rebuilt(
    uki: &[u8],
    line: impl FnOnce(&str) -> String,
    more_initrd: &[u8],
) -> Result<Vec<u8>> {
    let uki = unsigned(uki)?;
    let view = uki::read(&uki).map_err(|e| bad(&e))?;
    let line = line(&String::from_utf8_lossy(view.cmdline));
    // The kernel takes several archives, each on a multiple of four bytes (Documentation/driver-api/early-userspace).
    let mut initrd = view.initrd.to_vec();
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend(more_initrd);
    let parts = UkiParts {
        cmdline: line.as_bytes(),
        initrd: &initrd,
        osrel: view.osrel,
        uname: view.uname,
        ucode: view.ucode,
        linux: without_padding(view.linux)?,
    };
    uki::assemble(&stub_of(&uki)?, &parts).map_err(|e| bad(&e))
}

/// A kernel without the zeros that fill its section up: its own signature must be the end of the file.
fn without_padding(linux: &[u8]) -> Result<&[u8]> {
    let table = u32_at(linux, 0x3c)? as usize + OPTIONAL_HEADER + CERTIFICATE_TABLE;
    let end = u32_at(linux, table)? as usize + u32_at(linux, table + 4)? as usize;
    match end {
        0 => Ok(linux),
        _ => linux
            .get(..end)
            .ok_or_else(|| bad(&"the kernel's signature lies outside of it")),
    }
}

/// The stub inside an unsigned UKI: without the sections that were appended to it.
fn stub_of(uki: &[u8]) -> Result<Vec<u8>> {
    let pe = Pe::parse(uki).map_err(|e| bad(&e))?;
    let appended = |name: &str| pe.sections().iter().find(|s| s.is(name));
    let ours: Vec<_> = SECTION_ORDER.into_iter().filter_map(appended).collect();
    let first = ours.first().ok_or_else(|| bad(&"none of our sections"))?;
    let signature = u32_at(uki, 0x3c)? as usize;
    let count = pe.sections().len() - ours.len();
    let optional_size = u16::from_le_bytes([
        uki[signature + SIZE_OF_OPTIONAL_HEADER],
        uki[signature + SIZE_OF_OPTIONAL_HEADER + 1],
    ]);
    let table = signature + OPTIONAL_HEADER + usize::from(optional_size);
    let mut stub = uki[..first.raw().start].to_vec();
    let number = u16::try_from(count).map_err(|e| bad(&e))?;
    stub[signature + NUMBER_OF_SECTIONS..][..2].copy_from_slice(&number.to_le_bytes());
    stub[signature + OPTIONAL_HEADER + SIZE_OF_IMAGE..][..4]
        .copy_from_slice(&first.virtual_address.to_le_bytes());
    stub[table + count * SECTION_HEADER_SIZE..][..ours.len() * SECTION_HEADER_SIZE].fill(0);
    Ok(stub)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map(u32::from_le_bytes)
        .ok_or_else(|| bad(&"it is too short"))
}

/// One file as a newc archive, with its directory: what a test adds to an initrd.
/// (Documentation/driver-api/early-userspace/buffer-format.rst; directories above must be in the initrd already.)
pub fn initrd_with(directory: &str, name: &str, content: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    let file = format!("{directory}/{name}");
    for (path, mode, data) in [
        (directory, 0o040_755, ""),
        (&file, 0o100_644, content),
        ("TRAILER!!!", 0, ""),
    ] {
        let zeros = "00000000";
        let header = format!(
            "070701{zeros}{mode:08x}{zeros}{zeros}00000001{zeros}{:08x}{zeros}{zeros}{zeros}{zeros}{:08x}{zeros}{path}\0",
            data.len(),
            path.len() + 1
        );
        for part in [header.as_str(), data] {
            archive.extend(part.as_bytes());
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

fn bad(why: &impl ToString) -> Error {
    Error::Format {
        what: "boot file".into(),
        reason: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args, tool};

    #[test]
    fn cpio_reads_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cpio");
        std::fs::write(&path, initrd_with("etc/x.d", "y.conf", "abc\n")).unwrap();
        let list = tool::text("cpio", &args!["-t", "-F", path.display()]).unwrap();
        assert_eq!(list, "etc/x.d\netc/x.d/y.conf\n");
    }
}
