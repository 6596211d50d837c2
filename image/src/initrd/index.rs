//! The index of a tree's own modules.
//!
//! Owns: which of depmod's files are carried, and the proof that they name nothing which is not
//! inside. Never does: write an index; depmod from the locked tools does, over exactly a
//! tree's modules.
//! Invariant: each module that the index names has its file, and each file is in the index.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::modules::module_name;

/// What libkmod and systemd read (modules.dep(5), depmod(8)).
pub const INDEXES: [&str; 9] = [
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep.bin",
    "modules.devname",
    "modules.order",
    "modules.softdep",
    "modules.symbols.bin",
    "modules.weakdep",
];

/// Checks depmod's texts, which it writes beside the binary files with the same content. `files` are
/// the tree's modules, relative to the kernel's directory; `text` gives a file of depmod's.
pub fn check_index(files: &BTreeSet<String>, text: impl Fn(&str) -> Result<String>) -> Result<()> {
    let mut indexed = BTreeSet::new();
    for line in text("modules.dep")?.lines() {
        let Some((file, needs)) = line.split_once(':') else {
            bail!("modules.dep has the line `{line}`, which depmod would not write");
        };
        indexed.insert(file.to_owned());
        let named = needs.split_whitespace().chain([file]);
        if let Some(missing) = named.into_iter().find(|path| !files.contains(*path)) {
            bail!("modules.dep names {missing}, which is not there");
        }
    }
    if let Some(left) = files.difference(&indexed).next() {
        bail!("modules.dep lacks {left}, which is there and could not be loaded by name");
    }
    let modules: BTreeSet<String> = files.iter().map(|file| module_name(file)).collect();
    // The word of a line that is a module of this kernel; what it softly depends on may be missing.
    for (name, word) in [
        ("modules.alias", 2),
        ("modules.symbols", 2),
        ("modules.softdep", 1),
        ("modules.weakdep", 1),
        ("modules.devname", 0),
    ] {
        for line in text(name)?.lines().filter(|line| !line.starts_with('#')) {
            let module = line.split_whitespace().nth(word).unwrap_or_default();
            if !modules.contains(&module_name(module)) {
                bail!("{name} names the module `{module}`, which is not there (line `{line}`)");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/a-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\n";

    fn check(changed: &str, with: &str) -> Result<()> {
        let files = ["kernel/a-b.ko.xz", "kernel/c.ko.xz"].map(str::to_owned);
        check_index(&files.into(), |name| {
            let text = match name {
                _ if name == changed => with,
                "modules.dep" => DEP,
                "modules.alias" => "# Aliases.\nalias pci:v8086* a_b\n",
                "modules.symbols" => "alias symbol:c_go c\n",
                "modules.softdep" => "softdep c pre: elsewhere\n",
                "modules.devname" => "c c c10:235\n",
                _ => "# Nothing.\n",
            };
            Ok(text.to_owned())
        })
    }

    #[test]
    fn an_index_of_exactly_the_files_passes() {
        check("", "").unwrap();
    }

    #[test]
    fn every_name_without_a_file_is_refused() {
        for (name, text, said) in [
            (
                "modules.dep",
                "kernel/a-b.ko.xz: kernel/gone.ko.xz\nkernel/c.ko.xz:\n",
                "names kernel/gone.ko.xz",
            ),
            ("modules.dep", "kernel/a-b.ko.xz:\n", "lacks kernel/c.ko.xz"),
            ("modules.dep", "kernel/a-b.ko.xz\n", "would not write"),
            ("modules.alias", "alias pci:v10ec* r8169\n", "`r8169`"),
            ("modules.symbols", "alias symbol:x gone\n", "`gone`"),
            ("modules.softdep", "softdep gone pre: c\n", "`gone`"),
            ("modules.weakdep", "weakdep gone c\n", "`gone`"),
            ("modules.devname", "gone fuse c10:229\n", "`gone`"),
        ] {
            let error = check(name, text).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(said), "{error}");
        }
    }
}
