//! The sources of a build: the specifications and the overlays' files.
//!
//! Owns: finding them in a checkout and hashing them. Never does: interpret them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_ota::Channel;
use roamcore_spec::load::{self, Project};
use roamcore_spec::names::Name;
use roamcore_spec::{Appliance, Board, Document, Overlay};

use crate::lock::{Request, Source, key};
use crate::nar;

/// Overlay added to every development image.
pub const DEVELOPMENT: &str = "development";

/// A checked project with its place in the checkout.
#[derive(Debug)]
pub struct Sources {
    root: PathBuf,
    project: Project,
    digests: Vec<(String, Vec<u8>)>,
}

impl Sources {
    /// Loads and checks appliance `name` of the checkout at `root`. A development image gets the
    /// development overlay; a release image with a development-only overlay is refused.
    pub fn load(root: &Path, name: &Name, channel: Channel) -> Result<Sources> {
        let mut sources = Sources::parse(root, name, channel)?;
        sources.digests = sources.hash()?;
        // Read again: what was parsed must be what was hashed.
        let again = Sources::parse(root, name, channel)?;
        if sources.texts() != again.texts() {
            bail!("the checkout changed while it was read; run again");
        }
        Ok(sources)
    }

    fn parse(root: &Path, name: &Name, channel: Channel) -> Result<Sources> {
        let project = match channel {
            Channel::Development => {
                let extra: Name = DEVELOPMENT
                    .parse()
                    .context("the development overlay's name")?;
                load::project_with(root, name, &[extra])?
            }
            Channel::Release => {
                let project = load::project(root, name)?;
                let only = project.overlays.iter().find(|o| o.development_only);
                if let Some(overlay) = only {
                    bail!(
                        "appliance `{name}` has the overlay `{}`, which is for development images only; a release \
                         image cannot be built with it",
                        overlay.name
                    );
                }
                project
            }
        };
        Ok(Sources {
            root: root.to_owned(),
            project,
            digests: Vec::new(),
        })
    }

    fn texts(&self) -> Vec<&str> {
        let project = &self.project;
        let overlays = project.overlays.iter().map(|o| o.source().text());
        [
            project.appliance.source().text(),
            project.board.source().text(),
        ]
        .into_iter()
        .chain(overlays)
        .collect()
    }

    /// Refuses a checkout that was edited since it was loaded: the result would be kept under the
    /// name of something else.
    pub fn check_unchanged(&self) -> Result<()> {
        if self.hash()? != self.digests {
            bail!("the checkout changed while the image was built; run again");
        }
        Ok(())
    }

    /// The appliance.
    pub fn appliance(&self) -> &Appliance {
        &self.project.appliance
    }

    /// The board.
    pub fn board(&self) -> &Board {
        &self.project.board
    }

    /// The text of `board.toml`, which is installed in the image.
    pub fn board_text(&self) -> &str {
        self.project.board.source().text()
    }

    /// The overlays in the order in which they apply.
    pub fn overlays(&self) -> impl Iterator<Item = &Overlay> + Clone {
        self.project.overlays.iter().map(Document::value)
    }

    /// The overlays, each with its directory of files.
    pub fn overlays_with_files(&self) -> impl Iterator<Item = (&Overlay, PathBuf)> {
        self.overlays()
            .map(|o| (o, self.overlay_dir(o).join("files")))
    }

    fn overlay_dir(&self, overlay: &Overlay) -> PathBuf {
        self.root.join("overlays").join(overlay.name.as_str())
    }

    /// Hashes of everything the image takes from the checkout, with names for the cache key.
    pub fn digests(&self) -> &[(String, Vec<u8>)] {
        &self.digests
    }

    fn hash(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut digests = vec![
            (
                "appliance".to_owned(),
                self.project.appliance.source().text().as_bytes().to_vec(),
            ),
            ("board".to_owned(), self.board_text().as_bytes().to_vec()),
        ];
        for overlay in self.overlays() {
            let digest = nar::hash(&self.overlay_dir(overlay))?;
            digests.push((format!("overlay {}", overlay.name), digest.to_vec()));
        }
        Ok(digests)
    }

    /// Packages to lock. The development overlay's are locked too, so that one lock serves both
    /// channels; what a release installs does not depend on it because it has no packages.
    pub fn request(&self) -> Result<Request> {
        let image = self
            .overlays()
            .flat_map(|o| o.packages.install.iter().map(ToString::to_string))
            .collect();
        let tools = super::tools::PACKAGES.map(str::to_owned).to_vec();
        let mut request = Request::trixie(image, tools);
        for overlay in self.overlays() {
            for source in &overlay.apt_source {
                let path = self.overlay_dir(overlay).join(source.key.as_str());
                // An absent key is reported by name when packages are resolved; a build from a
                // finished lock needs none.
                let key = match std::fs::read(&path) {
                    Ok(bytes) => Some(bytes),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                    Err(e) => {
                        return Err(e).with_context(|| format!("reading {}", path.display()));
                    }
                };
                request.sources.push(Source {
                    name: source.name.to_string(),
                    uri: None,
                    suites: source.suites.iter().map(ToString::to_string).collect(),
                    components: source.components.iter().map(ToString::to_string).collect(),
                    key,
                    fingerprint: source.fingerprint.as_ref().map(ToString::to_string),
                });
            }
        }
        Ok(request)
    }

    /// Takes over the key of an extra apt source: the operator's decision to trust it, made visible
    /// as a file of the overlay that is reviewed like any other.
    pub fn import_key(&self, name: &str, file: &Path) -> Result<PathBuf> {
        let found = self.overlays().find_map(|overlay| {
            let source = overlay
                .apt_source
                .iter()
                .find(|s| s.name.as_str() == name)?;
            Some((overlay, source))
        });
        let (overlay, source) = found
            .with_context(|| format!("no overlay of this appliance has an apt source `{name}`"))?;
        let target = self.overlay_dir(overlay).join(source.key.as_str());
        let bytes =
            std::fs::read(file).with_context(|| format!("reading the key {}", file.display()))?;
        if let Some(declared) = &source.fingerprint {
            key::check(name, &bytes, declared.as_str())?;
        }
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        crate::cache::write_atomically(&target, &bytes)?;
        Ok(target)
    }
}
