//! Appending sections to a stub. Owns the arithmetic; see the parent for the layout and its reasons.

use super::{UkiError, UkiParts};
use crate::pe::{
    COFF_CHARACTERISTICS, COFF_NUMBER_OF_SECTIONS, COFF_NUMBER_OF_SYMBOLS, COFF_SYMBOL_TABLE,
    MACHINE_AMD64, OPT_SIZE_OF_HEADERS, OPT_SIZE_OF_IMAGE, OPT_SIZE_OF_INITIALIZED_DATA, Pe,
    PeError, SECTION_HEADER_SIZE, Section, fix_checksum, put_u16, put_u32, round_up, u16_at,
    u32_at,
};

/// IMAGE_FILE_LOCAL_SYMS_STRIPPED
const LOCAL_SYMS_STRIPPED: u16 = 0x0008;
const SYMBOL_SIZE: usize = 18;
const DATA_READ: u32 = 0x4000_0040;
/// Our sections begin at multiples of this in the file: an update is looked for in blocks of this size, so what did not
/// change is found again even when something before it grew (docs/release-format-index.md).
const BLOCK: u32 = 4096;
/// As ukify: stubs that use the EFI handover protocol run `.linux` in place.
const CODE_READ: u32 = 0x4000_0020;

/// Builds a UKI: `stub` (systemd's linuxx64.efi.stub) with `parts` appended. Same input, same bytes.
pub fn assemble(stub: &[u8], parts: &UkiParts<'_>) -> Result<Vec<u8>, UkiError> {
    check_parts(parts)?;
    let kernel = parse("kernel", parts.linux)?;
    let pe = parse("stub", stub)?;
    let end = check_stub(&pe)?;
    let in_stub = |source| UkiError::Pe {
        what: "stub",
        source,
    };

    // ukify does the same: the space up to the first section's data is unused, so headers may grow into it.
    let headers = round_up(pe.size_of_headers() as u64, pe.file_alignment());
    let needed = parts.sections().count();
    let limit = pe
        .sections()
        .iter()
        .filter(|s| s.raw_size != 0)
        .map(|s| s.raw().start)
        .min()
        .unwrap_or(end);
    let limit = limit.min(usize::try_from(headers).unwrap_or(limit));
    let room = limit.saturating_sub(pe.section_table_end()) / SECTION_HEADER_SIZE;
    if room < needed {
        return Err(UkiError::HeaderRoom { room, needed });
    }

    let extra: usize = parts
        .sections()
        .map(|(_, data)| data.len() + pe.file_alignment().max(BLOCK) as usize)
        .sum();
    let mut out = Vec::with_capacity(end + extra);
    out.extend(stub.iter().take(end));
    let mut address = image_limit(pe.sections());
    let mut initialized = u64::from(
        u32_at(
            stub,
            pe.optional() + OPT_SIZE_OF_INITIALIZED_DATA,
            "SizeOfInitializedData",
        )
        .map_err(in_stub)?,
    );
    let mut table = pe.section_table_end();
    for (name, data) in parts.sections() {
        let linux = name == ".linux";
        let memory = if linux {
            (data.len() as u64).max(kernel.size_of_image().into())
        } else {
            data.len() as u64
        };
        address = round_up(address, pe.section_alignment());
        let raw_offset = round_up(out.len() as u64, pe.file_alignment());
        // A section's own zeros lead to the next block, not a gap: firmware hashes sections as if there were none
        // between.
        let content_end = raw_offset + data.len() as u64;
        let file_end = round_up(content_end, pe.file_alignment().max(BLOCK));
        let raw_size = file_end - raw_offset;
        let memory_end = address + memory;
        let narrow = |value: u64| {
            u32::try_from(value).map_err(|_| UkiError::TooLarge {
                name,
                end: memory_end.max(file_end),
            })
        };
        narrow(memory_end.max(file_end))?;
        let section = Section {
            name: padded(name),
            virtual_size: narrow(memory)?,
            virtual_address: narrow(address)?,
            raw_size: narrow(raw_size)?,
            raw_offset: narrow(raw_offset)?,
            characteristics: if linux { CODE_READ } else { DATA_READ },
        };
        for (slot, byte) in out.iter_mut().skip(table).zip(section.encode()) {
            *slot = byte;
        }
        table += SECTION_HEADER_SIZE;
        out.resize(raw_offset as usize, 0);
        out.extend(data);
        out.resize(file_end as usize, 0);
        address = memory_end;
        initialized += memory;
    }

    let count = u16::try_from(pe.sections().len() + needed).unwrap_or(u16::MAX);
    let image = round_up(address, pe.section_alignment());
    let image = u32::try_from(image).map_err(|_| UkiError::TooLarge {
        name: ".linux",
        end: image,
    })?;
    let patch = |out: &mut Vec<u8>| -> Result<(), PeError> {
        put_u16(
            out,
            pe.coff() + COFF_NUMBER_OF_SECTIONS,
            count,
            "NumberOfSections",
        )?;
        if end < stub.len() {
            let at = pe.coff() + COFF_CHARACTERISTICS;
            put_u32(
                out,
                pe.coff() + COFF_SYMBOL_TABLE,
                0,
                "PointerToSymbolTable",
            )?;
            put_u32(
                out,
                pe.coff() + COFF_NUMBER_OF_SYMBOLS,
                0,
                "NumberOfSymbols",
            )?;
            put_u16(
                out,
                at,
                u16_at(stub, at, "Characteristics")? | LOCAL_SYMS_STRIPPED,
                "Characteristics",
            )?;
        }
        // Informative field; saturating keeps a >4 GiB sum from failing an image whose offsets all fit.
        let initialized = u32::try_from(initialized).unwrap_or(u32::MAX);
        put_u32(
            out,
            pe.optional() + OPT_SIZE_OF_INITIALIZED_DATA,
            initialized,
            "SizeOfInitializedData",
        )?;
        put_u32(
            out,
            pe.optional() + OPT_SIZE_OF_HEADERS,
            headers as u32,
            "SizeOfHeaders",
        )?;
        put_u32(out, pe.optional() + OPT_SIZE_OF_IMAGE, image, "SizeOfImage")?;
        fix_checksum(out)
    };
    patch(&mut out).map_err(|source| UkiError::Pe {
        what: "UKI",
        source,
    })?;
    Ok(out)
}

fn parse<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Pe<'a>, UkiError> {
    let pe = Pe::parse(bytes).map_err(|source| UkiError::Pe { what, source })?;
    match pe
        .machine()
        .map_err(|source| UkiError::Pe { what, source })?
    {
        MACHINE_AMD64 => Ok(pe),
        found => Err(UkiError::Machine { what, found }),
    }
}

fn check_parts(parts: &UkiParts<'_>) -> Result<(), UkiError> {
    if let Some((name, _)) = parts.sections().find(|(_, data)| data.is_empty()) {
        return Err(UkiError::EmptyPart { name });
    }
    match parts
        .cmdline
        .iter()
        .enumerate()
        .find(|(_, b)| b.is_ascii_control())
    {
        Some((at, byte)) => Err(UkiError::CmdlineControl { at, byte: *byte }),
        None => Ok(()),
    }
}

/// Refuses a stub that would need a guess; returns where its useful bytes end.
fn check_stub(pe: &Pe<'_>) -> Result<usize, UkiError> {
    if let Some(table) = pe.certificate_table() {
        return Err(UkiError::StubSigned { size: table.len() });
    }
    if let Some(name) = super::SECTION_ORDER
        .into_iter()
        .find(|n| pe.sections().iter().any(|s| s.is(n)))
    {
        return Err(UkiError::StubHasSection { name });
    }
    let alignment = pe.file_alignment();
    let odd = |s: &&Section| {
        s.raw_size != 0
            && !(s.raw_offset.is_multiple_of(alignment) && s.raw_size.is_multiple_of(alignment))
    };
    if let Some(s) = pe.sections().iter().find(odd) {
        let (name, offset, size) = (s.name_lossy(), s.raw_offset, s.raw_size);
        return Err(UkiError::StubUnaligned {
            name,
            offset,
            size,
            alignment,
        });
    }
    let end = pe.image_end();
    let extra = pe.bytes().len() - end;
    if extra == 0
        || symbol_table_spans(pe, end).map_err(|source| UkiError::Pe {
            what: "stub",
            source,
        })?
    {
        return Ok(end);
    }
    Err(UkiError::StubTail { extra })
}

/// Whether everything from `end` is a COFF symbol and string table (stubs of systemd 252 carry one; images should
/// not, and ukify drops it too).
fn symbol_table_spans(pe: &Pe<'_>, end: usize) -> Result<bool, PeError> {
    let bytes = pe.bytes();
    let table = u32_at(bytes, pe.coff() + COFF_SYMBOL_TABLE, "PointerToSymbolTable")? as usize;
    let count = u32_at(bytes, pe.coff() + COFF_NUMBER_OF_SYMBOLS, "NumberOfSymbols")? as usize;
    let strings = table + count * SYMBOL_SIZE;
    if table != end || strings > bytes.len() {
        return Ok(false);
    }
    let size = if strings == bytes.len() {
        0
    } else {
        u32_at(bytes, strings, "COFF string table size")? as usize
    };
    Ok(strings + size == bytes.len())
}

/// First memory address after every section.
fn image_limit(sections: &[Section]) -> u64 {
    sections
        .iter()
        .map(|s| u64::from(s.virtual_address) + u64::from(s.virtual_size))
        .max()
        .unwrap_or(0)
}

fn padded(name: &str) -> [u8; 8] {
    let mut out = [0; 8];
    out.iter_mut()
        .zip(name.bytes())
        .for_each(|(slot, byte)| *slot = byte);
    out
}
