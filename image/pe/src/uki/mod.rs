//! Unified kernel images: systemd's stub with our parts as PE sections.
//!
//! Owns the layout (UAPI "Unified Kernel Image" specification; the same arithmetic as systemd's ukify) and the
//! reverse reading used to compare what a UKI says with what a disk holds. Never makes a cmdline or an initrd, never
//! signs, never touches a timestamp.
//!
//! Invariant: `read(assemble(stub, parts))` gives back exactly `parts`; a stub or part that would need a guess is
//! refused.
//!
//! ```text
//!  stub headers | stub sections (.text .. .sbat .sdmagic) | .osrel .cmdline .uname [.ucode] .initrd .linux
//!                                                                                                 last ^
//! ```
//!
//! From the second of our sections on, each begins at a multiple of 4096 in the file: the zeros before it belong to the
//! section before it (its raw size is larger than its virtual size), and blocks of one release are those of the next.
//!
//! `.linux` is last and its virtual size is the kernel's own SizeOfImage, as ukify did up to 256: stubs of that time
//! may run the kernel in place, and it decompresses past its file size, over whatever would follow. 257 accepts both.

mod assemble;
mod error;
mod read;

pub use assemble::assemble;
pub use error::UkiError;
pub use read::{UkiView, read};

/// Names of the sections we append, in file order.
pub const SECTION_ORDER: [&str; 6] = [
    ".osrel", ".cmdline", ".uname", ".ucode", ".initrd", ".linux",
];

/// What goes into a UKI besides the stub.
#[derive(Debug, Clone, Copy)]
pub struct UkiParts<'a> {
    /// os-release text.
    pub osrel: &'a [u8],
    /// Kernel command line, no trailing newline.
    pub cmdline: &'a [u8],
    /// `uname -r` of the kernel.
    pub uname: &'a [u8],
    /// Early microcode cpio, if any.
    pub ucode: Option<&'a [u8]>,
    /// Initrd.
    pub initrd: &'a [u8],
    /// The kernel, a PE image itself (EFI stub bzImage).
    pub linux: &'a [u8],
}

impl<'a> UkiParts<'a> {
    /// Section names with their contents, in file order, absent parts left out.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let parts = [
            Some(self.osrel),
            Some(self.cmdline),
            Some(self.uname),
            self.ucode,
            Some(self.initrd),
            Some(self.linux),
        ];
        SECTION_ORDER
            .into_iter()
            .zip(parts)
            .filter_map(|(name, part)| part.map(|part| (name, part)))
    }
}

#[cfg(test)]
mod tests;
