//! Content hashes of directory trees in Nix's archive format.
//!
//! Owns: naming a tree of files by what is in it. Never does: look at times, owners or any mode
//! bit but the executable one, exactly like the builder's own rules for overlay files.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// SHA-256 of the tree's NAR serialisation (Nix manual, "Nix Archive (NAR) format").
pub fn hash(path: &Path) -> Result<[u8; 32]> {
    let mut encoder =
        nix_nar::Encoder::new(path).with_context(|| format!("listing {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let n = std::io::Read::read(&mut encoder, &mut buffer)
            .with_context(|| format!("reading {}", path.display()))?;
        if n == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn content_and_names_count_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.join("d")).unwrap();
            fs::write(path.join("d/f"), "x").unwrap();
            path
        };
        let (a, b) = (at("a"), at("b"));
        assert_eq!(super::hash(&a).unwrap(), super::hash(&b).unwrap());
        fs::write(b.join("d/f"), "y").unwrap();
        assert_ne!(super::hash(&a).unwrap(), super::hash(&b).unwrap());
    }
}
