//! What an ELF file needs at run time.
//!
//! Owns: reading `PT_INTERP`, `DT_NEEDED` and `DT_RUNPATH` (System V gABI, "Dynamic Linking").
//! Never does: load or run the file, or follow `dlopen`: those libraries are declared as files.

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// What the dynamic loader will look for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Path of the dynamic loader.
    pub interpreter: Option<String>,
    /// Library names.
    pub libraries: Vec<String>,
    /// Directories to search first.
    pub search: Vec<String>,
}

/// The needs of a file; `None` when it is not ELF.
pub fn needs(bytes: &[u8]) -> Result<Option<Needs>> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let mut found = Needs::default();
    let segments = header.program_headers(endian, bytes)?;
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, bytes)? {
            found.interpreter = Some(
                String::from_utf8(path.to_vec()).context("the interpreter's path is not UTF-8")?,
            );
        }
    }
    let sections = header.sections(endian, bytes)?;
    let Some((entries, link)) = sections.dynamic(endian, bytes)? else {
        return Ok(Some(found));
    };
    let strings = sections.strings(endian, bytes, link)?;
    for entry in entries {
        let tag = entry.tag32(endian);
        if !matches!(tag, Some(DT_NEEDED | DT_RPATH | DT_RUNPATH)) {
            continue;
        }
        let text = std::str::from_utf8(entry.string(endian, strings)?)?;
        if tag == Some(DT_NEEDED) {
            found.libraries.push(text.to_owned());
        } else {
            found.search.extend(text.split(':').map(str::to_owned));
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_needs_libc() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap().unwrap();
        assert!(
            needs.libraries.iter().any(|l| l.starts_with("libc.so")),
            "{needs:?}"
        );
        assert!(needs.interpreter.unwrap().contains("ld-linux"));
    }

    #[test]
    fn text_needs_nothing_and_rubbish_is_an_error() {
        assert_eq!(needs(b"#!/bin/sh\n").unwrap(), None);
        assert!(needs(b"\x7fELF\x02\x01\x01 rubbish").is_err());
    }
}
