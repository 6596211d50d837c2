//! The single-file form: documents, indexes, parts of the kernel image and of the root, in this order.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_delta::roam::{self, NewMember};
use roamcore_ota::{Document, Update, signature_name};

use super::source::Source;
use crate::cache::sync_dir;

/// The file's name: `<product>-<version>.roam`.
pub fn single_name(update: &Update) -> String {
    format!("{}-{}.roam", update.product, update.version)
}

/// Writes a complete update directory into one file; its name appears when it is whole.
pub fn write_single(dir: &Path, update: &Update, path: &Path) -> Result<()> {
    let source = Source::open(dir)?;
    let mut names = vec![
        Document::Roles.file_name().to_owned(),
        Document::Update.file_name().to_owned(),
        signature_name(Document::Update),
    ];
    names.extend(update.files().map(|file| file.name.to_string()));
    let mut members = Vec::new();
    for name in &names {
        let size = std::fs::metadata(dir.join(name))
            .with_context(|| format!("looking at {name}"))?
            .len();
        let content = source
            .reader(name)
            .with_context(|| format!("opening {name}"))?;
        members.push((name, size, content));
    }
    let parent = path.parent().context("a file needs a directory")?;
    let mut temp = tempfile::Builder::new()
        .prefix(".roam-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .with_context(|| format!("creating a file in {}", parent.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, temp.as_file_mut());
    let members = members.iter_mut().map(|(name, size, content)| NewMember {
        name,
        size: *size,
        content,
    });
    roam::write(&mut out, members.collect())
        .with_context(|| format!("writing {}", path.display()))?;
    out.flush()
        .with_context(|| format!("writing {}", path.display()))?;
    drop(out);
    temp.as_file()
        .sync_all()
        .with_context(|| format!("syncing {}", path.display()))?;
    temp.persist(path)
        .with_context(|| format!("renaming into {}", path.display()))?;
    sync_dir(parent)
}
