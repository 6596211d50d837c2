//! Why a byte string was refused as a PE image. Each message carries the values seen.

/// A PE image was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeError {
    /// The file ends inside a structure.
    #[error(
        "PE file is cut short: {what} needs {need} bytes at offset {offset}, the file has {file}"
    )]
    Truncated {
        /// Structure or field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// Bytes needed there.
        need: usize,
        /// Length of the file.
        file: usize,
    },
    /// A fixed marker is absent.
    #[error(
        "not a PE32+ image: expected {what} at offset {offset}, found {found:#x}; give an x86_64 EFI binary"
    )]
    Magic {
        /// Marker expected.
        what: &'static str,
        /// Where.
        offset: usize,
        /// Value there.
        found: u32,
    },
    /// More sections than any image we accept.
    #[error("PE image declares {found} sections, the limit is {max}")]
    TooManySections {
        /// Declared.
        found: u16,
        /// Limit.
        max: u16,
    },
    /// The optional header has no place for a certificate table, so the image could never be signed.
    #[error(
        "PE optional header of {optional_size} bytes with {directories} data directories has no certificate table \
         entry (5 directories, 152 bytes needed)"
    )]
    NoSecurityDirectory {
        /// SizeOfOptionalHeader.
        optional_size: usize,
        /// NumberOfRvaAndSizes.
        directories: u32,
    },
    /// An alignment is zero, too large or not a power of two.
    #[error("PE {field} is {value:#x}, expected a power of two up to {max:#x}")]
    Alignment {
        /// Field name.
        field: &'static str,
        /// Value.
        value: u32,
        /// Largest accepted.
        max: u32,
    },
    /// SizeOfHeaders does not hold the section table or leaves the file.
    #[error(
        "PE SizeOfHeaders {size_of_headers} must be at least {table_end} (section table) and at most {file} (file)"
    )]
    Headers {
        /// Declared.
        size_of_headers: usize,
        /// End of the section table.
        table_end: usize,
        /// File length.
        file: usize,
    },
    /// A section's raw data is not inside the file, or lies in the headers.
    #[error(
        "PE section {name:?}: raw data at {offset} of {size} bytes must lie between {headers} and {file}"
    )]
    Section {
        /// Section name.
        name: String,
        /// PointerToRawData.
        offset: usize,
        /// SizeOfRawData.
        size: usize,
        /// SizeOfHeaders.
        headers: usize,
        /// File length.
        file: usize,
    },
    /// The certificate table is misplaced.
    #[error("PE certificate table at {offset} of {size} bytes in a file of {file}: {why}")]
    CertificateTable {
        /// Offset declared.
        offset: usize,
        /// Size declared.
        size: usize,
        /// File length.
        file: usize,
        /// Rule broken.
        why: &'static str,
    },
}
