//! Reading a UKI back. Owns the answer to "what would the stub use"; never trusts it: that is `authenticode::verify`.

use super::{UkiError, UkiParts};
use crate::pe::Pe;

/// The parts inside a UKI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UkiView<'a> {
    /// os-release text.
    pub osrel: &'a [u8],
    /// Kernel command line.
    pub cmdline: &'a [u8],
    /// Kernel release.
    pub uname: &'a [u8],
    /// Microcode, if any.
    pub ucode: Option<&'a [u8]>,
    /// Initrd.
    pub initrd: &'a [u8],
    /// Kernel with zero bytes after it, up to a whole block: its virtual size is the kernel's SizeOfImage, so the
    /// file's own length is not recorded. Compare with [`UkiView::check`], not with `==`.
    pub linux: &'a [u8],
    /// The stub's SBAT, if any.
    pub sbat: Option<&'a [u8]>,
}

/// Reads the parts of a UKI (signed or not).
pub fn read(uki: &[u8]) -> Result<UkiView<'_>, UkiError> {
    let pe = Pe::parse(uki).map_err(|source| UkiError::Pe {
        what: "UKI",
        source,
    })?;
    let need = |name| find(&pe, name)?.ok_or(UkiError::Missing { name });
    Ok(UkiView {
        osrel: need(".osrel")?,
        cmdline: need(".cmdline")?,
        uname: need(".uname")?,
        ucode: find(&pe, ".ucode")?,
        initrd: need(".initrd")?,
        linux: need(".linux")?,
        sbat: find(&pe, ".sbat")?,
    })
}

fn find<'a>(pe: &Pe<'a>, name: &'static str) -> Result<Option<&'a [u8]>, UkiError> {
    let mut all = pe.sections().iter().filter(|s| s.is(name));
    let Some(section) = all.next() else {
        return Ok(None);
    };
    let more = all.count();
    if more > 0 {
        return Err(UkiError::Duplicate {
            name,
            count: more + 1,
        });
    }
    let raw = pe.raw(section).map_err(|source| UkiError::Pe {
        what: "UKI",
        source,
    })?;
    if name == ".linux" {
        return Ok(Some(raw));
    }
    let short = UkiError::Short {
        name,
        virtual_size: section.virtual_size,
        raw_size: section.raw_size,
    };
    raw.get(..section.virtual_size as usize)
        .map(Some)
        .ok_or(short)
}

impl UkiView<'_> {
    /// Compares with what was meant to be inside; the error names the first difference.
    pub fn check(&self, expected: &UkiParts<'_>) -> Result<(), UkiError> {
        let found = [
            Some(self.osrel),
            Some(self.cmdline),
            Some(self.uname),
            self.ucode,
            Some(self.initrd),
        ];
        let want = [
            Some(expected.osrel),
            Some(expected.cmdline),
            Some(expected.uname),
            expected.ucode,
            Some(expected.initrd),
        ];
        for (name, (found, want)) in super::SECTION_ORDER
            .into_iter()
            .zip(found.into_iter().zip(want))
        {
            differs(name, found.unwrap_or_default(), want.unwrap_or_default())?;
        }
        let padding = self.linux.get(expected.linux.len()..).unwrap_or_default();
        let kernel = if padding.iter().all(|b| *b == 0) {
            self.linux.get(..expected.linux.len()).unwrap_or(self.linux)
        } else {
            self.linux
        };
        differs(".linux", kernel, expected.linux)
    }
}

fn differs(name: &'static str, found: &[u8], expected: &[u8]) -> Result<(), UkiError> {
    if found == expected {
        return Ok(());
    }
    let same = found
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    Err(UkiError::Differs {
        name,
        found: found.len(),
        expected: expected.len(),
        at: same,
    })
}
