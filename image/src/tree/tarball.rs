//! The tree as a tar stream, in and out.
//!
//! Owns: the translation between tar entries and nodes. Never does: keep contents in memory; they
//! stay ranges of the source archive. Device nodes are dropped: the image's /dev is the kernel's.
//! Invariant: the same tree gives the same bytes; order is path order, times are one given time.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tar::{Archive, EntryType, Header};

use super::{Content, Kind, Node, Tree, normalise};

const XATTR_PREFIX: &str = "SCHILY.xattr.";

/// Reads an uncompressed archive; hard links become nodes that share one content.
pub fn read_tar(path: &Path) -> Result<Tree> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let shared = Arc::new(file.try_clone().context("duplicating a file handle")?);
    let mut archive = Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut tree = Tree::default();
    let mut next = Extensions::default();
    // Raw, because the tar crate splits PAX records at line ends, and a capability may contain one.
    let entries = archive
        .entries()
        .with_context(|| format!("reading {}", path.display()))?;
    for entry in entries.raw(true) {
        let mut entry = entry.with_context(|| format!("reading an entry of {}", path.display()))?;
        if next.take_in(&mut entry)? {
            continue;
        }
        let extensions = std::mem::take(&mut next);
        add_entry(&mut tree, &entry, extensions, &shared)?;
    }
    Ok(tree)
}

/// What headers in front of an entry say about it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

impl Extensions {
    /// Reads the entry if it is such a header; false for a real entry.
    fn take_in<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool> {
        let kind = entry.header().entry_type();
        let mut body = Vec::new();
        match kind {
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                entry.read_to_end(&mut body)?;
            }
            EntryType::XGlobalHeader => return Ok(true),
            _ => return Ok(false),
        }
        if kind == EntryType::XHeader {
            self.parse(&body).context("a PAX header is malformed")?;
        } else {
            body.truncate(body.iter().position(|b| *b == 0).unwrap_or(body.len()));
            *(if kind == EntryType::GNULongName {
                &mut self.path
            } else {
                &mut self.link
            }) = Some(body);
        }
        Ok(true)
    }

    /// Records are "length key=value\n", the length counting all of it (pax(1), "pax Extended Header").
    fn parse(&mut self, mut rest: &[u8]) -> Result<()> {
        while !rest.is_empty() {
            let space = rest.iter().position(|b| *b == b' ').context("no length")?;
            let length: usize = std::str::from_utf8(&rest[..space])?.parse()?;
            let record = rest.get(space + 1..length).context("the length is wrong")?;
            let record = record.strip_suffix(b"\n").context("no line end")?;
            let equals = record.iter().position(|b| *b == b'=').context("no key")?;
            let (key, value) = (
                std::str::from_utf8(&record[..equals])?,
                record[equals + 1..].to_vec(),
            );
            match key {
                "path" => self.path = Some(value),
                "linkpath" => self.link = Some(value),
                "size" => bail!("files of 8 GiB and more are not supported in the image tree"),
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                        self.xattrs.insert(name.to_owned(), value);
                    }
                }
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

fn add_entry<R: Read>(
    tree: &mut Tree,
    entry: &tar::Entry<'_, R>,
    extensions: Extensions,
    shared: &Arc<File>,
) -> Result<()> {
    let header = entry.header();
    let name = extensions
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let name = String::from_utf8(name).context("a file name in the package tree is not UTF-8")?;
    let name = normalise(&name)?;
    if name.is_empty() {
        return Ok(());
    }
    let link = extensions
        .link
        .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    let link = String::from_utf8(link.unwrap_or_default())
        .with_context(|| format!("the link target of /{name} is not UTF-8"))?;
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Dir,
        EntryType::Symlink => Kind::Symlink(link),
        EntryType::Regular | EntryType::Continuous => Kind::File(Content::Slice {
            file: Arc::clone(shared),
            offset: entry.raw_file_position(),
            len: header.size()?,
        }),
        EntryType::Link => {
            let target = normalise(&link)?;
            let node = tree
                .get(&target)
                .with_context(|| format!("/{name} links to /{target}, which is not there"))?;
            let node = node.clone();
            return tree.insert(&name, node);
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => return Ok(()),
        other => bail!("/{name} has the unknown tar type {other:?}"),
    };
    let node = Node {
        kind,
        mode: header.mode()? & 0o7777,
        uid: u32::try_from(header.uid()?).context("owner out of range")?,
        gid: u32::try_from(header.gid()?).context("group out of range")?,
        xattrs: extensions.xattrs,
    };
    tree.insert(&name, node)
}

/// Writes the tree with every time set to `mtime` (seconds since the epoch).
pub fn write_tar(tree: &Tree, out: impl Write, mtime: u64) -> Result<()> {
    let mut builder = tar::Builder::new(out);
    let mut written: HashMap<(u64, u64, u32, u32, u32), String> = HashMap::new();
    append(
        &mut builder,
        "./",
        &Node::root(Kind::Dir, 0o755),
        EntryType::Directory,
        None,
        mtime,
    )?;
    for (path, node) in tree.iter() {
        match &node.kind {
            Kind::Dir => append(
                &mut builder,
                &format!("{path}/"),
                node,
                EntryType::Directory,
                None,
                mtime,
            )?,
            Kind::Symlink(target) => append(
                &mut builder,
                path,
                node,
                EntryType::Symlink,
                Some(target),
                mtime,
            )?,
            Kind::File(content) => {
                if let Content::Slice { offset, len, .. } = content
                    && *len > 0
                {
                    let identity = (*offset, *len, node.mode, node.uid, node.gid);
                    if let Some(first) = written.get(&identity) {
                        append(
                            &mut builder,
                            path,
                            node,
                            EntryType::Link,
                            Some(first),
                            mtime,
                        )?;
                        continue;
                    }
                    written.insert(identity, path.to_owned());
                }
                append(&mut builder, path, node, EntryType::Regular, None, mtime)
                    .with_context(|| format!("writing /{path}"))?;
            }
        }
    }
    builder
        .into_inner()
        .context("finishing the tar stream")?
        .flush()
        .context("finishing the tar stream")
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &str,
    node: &Node,
    kind: EntryType,
    link: Option<&str>,
    mtime: u64,
) -> Result<()> {
    // Long names and targets and attributes go into one PAX header: ustar has 100 bytes only, and
    // GNU's own extension would not carry attributes.
    let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
    if path.len() > 100 || !path.is_ascii() {
        pax.push(("path".into(), path.as_bytes().to_vec()));
    }
    if let Some(target) = link
        && (target.len() > 100 || !target.is_ascii())
    {
        pax.push(("linkpath".into(), target.as_bytes().to_vec()));
    }
    if kind != EntryType::Link {
        pax.extend(
            node.xattrs
                .iter()
                .map(|(k, v)| (format!("{XATTR_PREFIX}{k}"), v.clone())),
        );
    }
    if !pax.is_empty() {
        builder.append_pax_extensions(pax.iter().map(|(k, v)| (k.as_str(), v.as_slice())))?;
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(node.mode);
    header.set_uid(u64::from(node.uid));
    header.set_gid(u64::from(node.gid));
    header.set_mtime(mtime);
    set_field(&mut header.as_old_mut().name, path);
    if let Some(target) = link {
        set_field(&mut header.as_old_mut().linkname, target);
    }
    let content = match (&node.kind, kind) {
        (Kind::File(content), EntryType::Regular) => Some(content),
        _ => None,
    };
    header.set_size(content.map_or(0, Content::len));
    header.set_cksum();
    match content {
        Some(content) => builder.append(
            &header,
            ExactLength {
                inner: content.open()?,
                left: content.len(),
            },
        )?,
        None => builder.append(&header, std::io::empty())?,
    }
    Ok(())
}

/// Fills a fixed field with as much of the ASCII text as fits; PAX carries the rest.
fn set_field(field: &mut [u8; 100], text: &str) {
    for (slot, byte) in field
        .iter_mut()
        .zip(text.bytes().map(|b| if b.is_ascii() { b } else { b'_' }))
    {
        *slot = byte;
    }
}

/// Refuses a host file that grew or shrank between being listed and being read.
struct ExactLength<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for ExactLength<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        let n64 = n as u64;
        if n64 > self.left || (n == 0 && self.left > 0 && !buf.is_empty()) {
            return Err(std::io::Error::other(
                "the file changed its length while the image was built",
            ));
        }
        self.left -= n64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_keeps_everything_and_is_deterministic() {
        let mut tree = Tree::default();
        let long = format!("usr/share/{}/Főtanúsítvány", "x".repeat(120));
        tree.insert_bytes(&long, 0o640, "long").unwrap();
        let mut node = Node::root(Kind::File(Content::Bytes(b"ping".to_vec().into())), 0o4755);
        node.uid = 7;
        node.xattrs
            .insert("security.capability".into(), vec![1, 0, 0, 2, 10]);
        tree.insert("usr/bin/ping", node).unwrap();
        tree.insert_symlink("bin", "usr/bin").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let write = |tree: &Tree, name: &str| {
            let path = dir.path().join(name);
            write_tar(tree, File::create(&path).unwrap(), 1_700_000_000).unwrap();
            path
        };
        let first = write(&tree, "a.tar");
        let back = read_tar(&first).unwrap();
        let second = write(&back, "b.tar");
        assert_eq!(
            std::fs::read(first).unwrap(),
            std::fs::read(second).unwrap()
        );
        let ping = back.get("usr/bin/ping").unwrap();
        assert_eq!((ping.mode, ping.uid), (0o4755, 7));
        assert_eq!(ping.xattrs["security.capability"], [1, 0, 0, 2, 10]);
        assert_eq!(back.text(&long).unwrap(), "long");
    }

    #[test]
    fn hard_links_stay_one_file() {
        let mut tree = Tree::default();
        tree.insert_bytes("a", 0o644, "same").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        write_tar(&tree, File::create(&path).unwrap(), 0).unwrap();
        let mut back = read_tar(&path).unwrap();
        let node = back.get("a").unwrap().clone();
        back.insert("b", node).unwrap();
        let mut out = Vec::new();
        write_tar(&back, &mut out, 0).unwrap();
        let mut archive = Archive::new(&out[..]);
        let kinds: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().header().entry_type())
            .collect();
        assert_eq!(
            kinds,
            [EntryType::Directory, EntryType::Regular, EntryType::Link]
        );
    }
}
