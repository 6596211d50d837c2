//! The unified kernel image of a slot.
//!
//! Owns: the kernel command line and putting the UKI together. Invariant: the command line holds
//! the root hash, so the UKI's signature covers every byte of the root.

use std::fs;

use anyhow::{Context, Result};
use roamcore_pe::uki::{self, UkiParts};

use super::generate::{self, Identity};
use super::project::Sources;
use super::root::{self, Root};
use super::tools::{self, Tools};

/// The whole kernel command line.
pub fn command_line(sources: &Sources, root: &Root) -> String {
    let mut arguments = root::kernel_arguments(sources, sources.overlays());
    arguments.push(format!("roothash={}", root.facts.root_hash));
    arguments.join(" ")
}

/// Assembles the unsigned UKI and checks that it says what it was given.
pub fn assemble(
    sources: &Sources,
    tools: &Tools,
    root: &Root,
    identity: &Identity,
) -> Result<Vec<u8>> {
    let stub = tools.boot_file(tools::STUB)?;
    let linux = fs::read(root.kernel()).context("reading the kernel")?;
    let initrd = fs::read(root.initrd()).context("reading the initrd")?;
    let osrel = generate::os_release(sources.appliance(), identity);
    let cmdline = command_line(sources, root);
    let parts = UkiParts {
        osrel: osrel.as_bytes(),
        cmdline: cmdline.as_bytes(),
        uname: root.facts.kernel.as_bytes(),
        ucode: None,
        initrd: &initrd,
        linux: &linux,
    };
    let image = uki::assemble(&stub, &parts).context("assembling the UKI")?;
    uki::read(&image)
        .and_then(|view| view.check(&parts))
        .context("checking the assembled UKI")?;
    Ok(image)
}

/// The unsigned boot loader of the tools tree.
pub fn boot_loader(tools: &Tools) -> Result<Vec<u8>> {
    tools.boot_file(tools::LOADER)
}
