//! What a server or a person asks for, in the engine's own words.
//!
//! Owns: the neutral form of a deployment (hawkBit's DDI is translated into it by the daemon), the rule which deployments
//! are ours, and the fingerprint by which the same action is known again. Never does: I/O, addresses of downloads (they
//! change with every poll and stay with whoever fetches). Invariant: a deployment is either exactly one update module of
//! ours, or it is refused as a whole: installing one part of it and reporting success would be a lie.

use roamcore_ota::Digest;
use serde::{Deserialize, Serialize};

/// The artifact that makes a module an update of ours.
pub const MANIFEST: &str = "update.json";
/// Its signatures, without which it is not one.
pub const SIGNATURES: &str = "update.json.sig";
/// More names in one message would flood it.
const SHOWN_NAMES: usize = 8;

/// A server's name for one action; for hawkBit a number, for us a word to compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub String);

impl std::fmt::Display for ActionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a step of a deployment is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handling {
    /// Not now: download-only, or outside the maintenance window.
    Skip,
    /// Soft: the device chooses the time.
    Attempt,
    /// At once.
    Forced,
}

/// State of a server's maintenance window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// The action has no window.
    None,
    /// Open.
    Available,
    /// Not yet open.
    Unavailable,
}

/// When the parts of a deployment may be done. Changes while an action lives: soft becomes forced, a window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Fetching and writing the idle slot.
    pub download: Handling,
    /// Arming and rebooting.
    pub update: Handling,
    /// The server's window.
    pub window: Window,
}

impl Mode {
    /// What somebody at the device wants, they want now.
    pub const LOCAL: Self = Self {
        download: Handling::Forced,
        update: Handling::Forced,
        window: Window::None,
    };

    /// Fetch and verify only; the server closes such an action when it is told `downloaded`.
    pub fn is_download_only(self) -> bool {
        self.update == Handling::Skip && self.window == Window::None
    }
}

/// One file of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name as the server says it.
    pub name: String,
    /// Size as the server says it.
    pub size: u64,
    /// Digest as the server says it; trust comes from the signed manifest, not from here.
    pub sha256: Option<String>,
}

/// One software module ("chunk") of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Kind, such as `os`.
    pub part: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// The server says that its artifacts are encrypted; ours never are.
    pub encrypted: bool,
    /// Its files.
    pub artifacts: Vec<Artifact>,
}

impl Module {
    fn has(&self, name: &str) -> bool {
        self.artifacts.iter().any(|artifact| artifact.name == name)
    }

    fn described(&self) -> String {
        let shown: Vec<&str> = self
            .artifacts
            .iter()
            .take(SHOWN_NAMES)
            .map(|artifact| artifact.name.as_str())
            .collect();
        let more = self.artifacts.len().saturating_sub(SHOWN_NAMES);
        let rest = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        format!(
            "{} {} {} [{}{rest}]",
            self.part,
            self.name,
            self.version,
            shown.join(", ")
        )
    }
}

/// What a server's action asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Whose answer is awaited.
    pub action: ActionId,
    /// When.
    pub mode: Mode,
    /// What.
    pub modules: Vec<Module>,
}

/// Why a deployment is not for this agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignDeployment {
    /// Nothing of ours.
    #[error(
        "no module holds {MANIFEST} and {SIGNATURES}; seen: {seen}. Deploy a release made by `roamcore-image release`"
    )]
    NoUpdate {
        /// The modules.
        seen: String,
    },
    /// More than one of ours.
    #[error("{count} modules hold {MANIFEST}, one update at a time can be installed; seen: {seen}")]
    SeveralUpdates {
        /// How many.
        count: usize,
        /// The modules.
        seen: String,
    },
    /// Something besides ours.
    #[error(
        "this agent installs system updates only and does not know these modules of the deployment: {unknown}. \
         Deploy them separately"
    )]
    UnknownModules {
        /// The modules that are not ours.
        unknown: String,
    },
    /// Encrypted artifacts.
    #[error("module {module} is marked as encrypted, updates are signed but never encrypted")]
    Encrypted {
        /// Which.
        module: String,
    },
}

impl Deployment {
    /// The one update module, or why there is not exactly one.
    pub fn update_module(&self) -> Result<&Module, ForeignDeployment> {
        let list = |wanted: &dyn Fn(&Module) -> bool| {
            let described: Vec<String> = self
                .modules
                .iter()
                .filter(|module| wanted(module))
                .take(SHOWN_NAMES)
                .map(Module::described)
                .collect();
            if described.is_empty() {
                "nothing".to_owned()
            } else {
                described.join("; ")
            }
        };
        let ours = |module: &Module| module.has(MANIFEST) && module.has(SIGNATURES);
        let mut found = self.modules.iter().filter(|module| ours(module));
        let Some(module) = found.next() else {
            return Err(ForeignDeployment::NoUpdate {
                seen: list(&|_| true),
            });
        };
        let count = 1 + found.count();
        if count > 1 {
            return Err(ForeignDeployment::SeveralUpdates {
                count,
                seen: list(&|_| true),
            });
        }
        if self.modules.len() > 1 {
            return Err(ForeignDeployment::UnknownModules {
                unknown: list(&|module| !ours(module)),
            });
        }
        if module.encrypted {
            return Err(ForeignDeployment::Encrypted {
                module: module.described(),
            });
        }
        Ok(module)
    }

    /// Equal for two looks at one action, different when a server that lost its memory gives an old number to something
    /// else. The mode is not part of it, because it changes during an action.
    pub fn fingerprint(&self) -> Digest {
        let mut text = String::new();
        let mut add = |value: &str| {
            text += &format!("{}:{value},", value.len());
        };
        add(&self.action.0);
        for module in &self.modules {
            add(&module.part);
            add(&module.name);
            add(&module.version);
            for artifact in &module.artifacts {
                add(&artifact.name);
                add(&artifact.size.to_string());
                add(artifact.sha256.as_deref().unwrap_or(""));
            }
        }
        Digest::of(text.as_bytes())
    }

    /// What people call it before its manifest is known.
    pub fn title(&self) -> String {
        match self.update_module() {
            Ok(module) => format!("{} {}", module.name, module.version),
            Err(_) => format!("{} modules", self.modules.len()),
        }
    }
}

/// What a complete poll showed. A poll that failed is no event at all: not knowing changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// No action for this device.
    Nothing,
    /// To be installed.
    Deployment(Deployment),
    /// The server wants a person's consent first (confirmationBase).
    Confirmation(Deployment),
    /// The server wants this action to end (cancelAction).
    Cancel(ActionId),
}

/// A file somebody at the device asks to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOffer {
    /// By which the daemon finds the file again, also after a restart: usually its path.
    pub place: String,
    /// For people.
    pub title: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, files: &[&str]) -> Module {
        let artifact = |name: &&str| Artifact {
            name: (*name).to_owned(),
            size: 1,
            sha256: None,
        };
        Module {
            part: "os".into(),
            name: name.into(),
            version: "1".into(),
            encrypted: false,
            artifacts: files.iter().map(artifact).collect(),
        }
    }

    fn deployment(modules: Vec<Module>) -> Deployment {
        Deployment {
            action: ActionId("7".into()),
            mode: Mode::LOCAL,
            modules,
        }
    }

    #[test]
    fn one_module_of_ours_and_nothing_else() {
        let ours = || module("roamcore", &[MANIFEST, SIGNATURES, "root.000"]);
        let other = || module("app", &["app.deb"]);
        assert!(deployment(vec![ours()]).update_module().is_ok());
        let table = [
            (
                vec![],
                "no module holds update.json and update.json.sig; seen: nothing. Deploy a release made by \
                 `roamcore-image release`",
            ),
            (
                vec![module("half", &[MANIFEST])],
                "no module holds update.json and update.json.sig; seen: os half 1 [update.json]. Deploy a release made \
                 by `roamcore-image release`",
            ),
            (
                vec![ours(), other()],
                "this agent installs system updates only and does not know these modules of the deployment: \
                 os app 1 [app.deb]. Deploy them separately",
            ),
            (
                vec![ours(), module("second", &[MANIFEST, SIGNATURES])],
                "2 modules hold update.json, one update at a time can be installed; seen: \
                 os roamcore 1 [update.json, update.json.sig, root.000]; os second 1 [update.json, update.json.sig]",
            ),
        ];
        for (modules, want) in table {
            let error = deployment(modules).update_module().unwrap_err();
            assert_eq!(error.to_string(), want);
        }
        let mut encrypted = ours();
        encrypted.encrypted = true;
        let error = deployment(vec![encrypted]).update_module().unwrap_err();
        assert!(error.to_string().contains("marked as encrypted"), "{error}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = deployment(vec![module("big", &names)])
            .update_module()
            .unwrap_err()
            .to_string();
        assert!(error.contains("f7 and 12 more]"), "{error}");
    }

    #[test]
    fn the_fingerprint_sees_content_and_not_mode() {
        let first = deployment(vec![module("m", &["a", "b"])]);
        let mut later = first.clone();
        later.mode.update = Handling::Skip;
        assert_eq!(first.fingerprint(), later.fingerprint());
        let mut other = first.clone();
        other.modules[0].artifacts[0].size = 2;
        assert_ne!(first.fingerprint(), other.fingerprint());
        let mut renumbered = first.clone();
        renumbered.action = ActionId("8".into());
        assert_ne!(first.fingerprint(), renumbered.fingerprint());
        // Borders between values count.
        let (one, two) = (module("ab", &[]), module("a", &["b"]));
        assert_ne!(
            deployment(vec![one]).fingerprint(),
            deployment(vec![two]).fingerprint()
        );
    }
}
