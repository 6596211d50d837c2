//! Why a UKI could not be made or read.

use crate::pe::PeError;

/// A UKI was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UkiError {
    /// One of the images is not PE.
    #[error("{what} is not a usable PE image")]
    Pe {
        /// "stub", "kernel" or "UKI".
        what: &'static str,
        /// Reason.
        source: PeError,
    },
    /// Wrong processor.
    #[error("{what} is for machine {found:#06x}, expected x86_64 (0x8664)")]
    Machine {
        /// "stub" or "kernel".
        what: &'static str,
        /// COFF machine.
        found: u16,
    },
    /// The stub carries a signature; adding sections would break it silently.
    #[error(
        "the stub is signed (certificate table of {size} bytes): use the unsigned linuxx64.efi.stub, sign the UKI"
    )]
    StubSigned {
        /// Bytes of certificate table.
        size: usize,
    },
    /// The stub already holds a part.
    #[error(
        "the stub already has a section {name}: it is a UKI, not a stub; use systemd's linuxx64.efi.stub"
    )]
    StubHasSection {
        /// Section name.
        name: &'static str,
    },
    /// Stub section data is not at file alignment.
    #[error(
        "stub section {name}: raw offset {offset:#x} and size {size:#x} are not multiples of FileAlignment \
         {alignment:#x}; the stub was stripped by a tool that broke it"
    )]
    StubUnaligned {
        /// Section name.
        name: String,
        /// PointerToRawData.
        offset: u32,
        /// SizeOfRawData.
        size: u32,
        /// FileAlignment.
        alignment: u32,
    },
    /// Bytes after the last stub section that are not its symbol table.
    #[error(
        "the stub has {extra} bytes after its last section that are not a symbol table; refusing to guess"
    )]
    StubTail {
        /// Bytes found.
        extra: usize,
    },
    /// No room for section headers.
    #[error(
        "stub headers have room for {room} more sections, {needed} are needed; use a stub with a larger header"
    )]
    HeaderRoom {
        /// Free section headers.
        room: usize,
        /// Sections to add.
        needed: usize,
    },
    /// A part has no bytes; the stub ignores such sections, so a check later would see it as absent.
    #[error("part {name} is empty")]
    EmptyPart {
        /// Section name.
        name: &'static str,
    },
    /// The command line holds a control character.
    #[error(
        "cmdline holds control character {byte:#04x} at byte {at}; join the words with single spaces"
    )]
    CmdlineControl {
        /// Offset.
        at: usize,
        /// Value.
        byte: u8,
    },
    /// PE offsets are 32 bits wide.
    #[error(
        "section {name} would end at {end}, PE images are limited to 4 GiB; make the part smaller"
    )]
    TooLarge {
        /// Section name.
        name: &'static str,
        /// Where it would end.
        end: u64,
    },
    /// A needed section is absent.
    #[error("the image has no section {name}: it is not a UKI")]
    Missing {
        /// Section name.
        name: &'static str,
    },
    /// A section name occurs twice (a multi-profile UKI, or an attempt to show one thing and boot another).
    #[error("the UKI has {count} sections named {name}, expected one")]
    Duplicate {
        /// Section name.
        name: &'static str,
        /// How often.
        count: usize,
    },
    /// A section claims more memory than the file gives it.
    #[error(
        "UKI section {name} has virtual size {virtual_size} but only {raw_size} bytes in the file"
    )]
    Short {
        /// Section name.
        name: &'static str,
        /// VirtualSize.
        virtual_size: u32,
        /// SizeOfRawData.
        raw_size: u32,
    },
    /// The UKI holds something else than expected.
    #[error(
        "UKI section {name} ({found} bytes) differs from the expected {expected} bytes, first at byte {at}"
    )]
    Differs {
        /// Section name.
        name: &'static str,
        /// Length found, 0 when absent.
        found: usize,
        /// Length expected.
        expected: usize,
        /// First different byte.
        at: usize,
    },
}
