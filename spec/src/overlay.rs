//! `overlays/<name>/overlay.toml`: one concern of an image, declared: packages, files, units, users, initrd contents.
//!
//! Files come from `overlays/<name>/files/`. There they are root's, with mode 0644, or 0755 where the executable bit is
//! set; nothing else of the checkout reaches the image. Overlays never run a program in the image tree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{
    AptWord, Fingerprint, ImagePath, KernelArgument, LinkTarget, Mode, ModuleName, Name,
    OverlayPath, PackageName, PathPattern, UnitName, UserName,
};

mod rules;

/// An overlay.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Schema number of this document: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// Name of the overlay: its directory in `overlays/`.
    pub name: Name,
    /// What it is for.
    pub description: String,
    /// True when an image with this overlay can only be a development image.
    #[serde(default)]
    pub development_only: bool,
    /// Debian packages.
    #[serde(default)]
    pub packages: Packages,
    /// Apt repositories besides Debian's own; where they are mirrored is the builder's business.
    #[serde(default)]
    pub apt_source: Vec<AptSource>,
    /// Kernel arguments and modules.
    #[serde(default)]
    pub kernel: KernelSettings,
    /// systemd presets.
    #[serde(default)]
    pub units: Units,
    /// System users, with fixed numbers.
    #[serde(default)]
    pub user: Vec<User>,
    /// System groups, with fixed numbers.
    #[serde(default)]
    pub group: Vec<Group>,
    /// Files of this overlay with another mode or owner than the default.
    #[serde(default)]
    pub file_mode: Vec<FileMode>,
    /// What is removed from the packages' files.
    #[serde(default)]
    pub remove: Remove,
    /// Symbolic links.
    #[serde(default)]
    pub symlink: Vec<Symlink>,
    /// Directories.
    #[serde(default)]
    pub directory: Vec<Directory>,
    /// What the initrd takes from the image.
    #[serde(default)]
    pub initrd: Initrd,
}

/// Debian packages.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Packages {
    /// Packages to install; their dependencies follow, recommended packages do not.
    pub install: Vec<PackageName>,
}

/// An apt repository.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptSource {
    /// Name of the repository, by which the builder looks up a mirror.
    pub name: Name,
    /// Suites, such as `trixie`.
    pub suites: Vec<AptWord>,
    /// Components, such as `main`.
    pub components: Vec<AptWord>,
    /// The OpenPGP key that signs it: a file of this overlay.
    pub key: OverlayPath,
    /// Fingerprint the key must have.
    pub fingerprint: Option<Fingerprint>,
}

/// Kernel arguments and modules.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KernelSettings {
    /// Kernel arguments.
    pub arguments: Vec<KernelArgument>,
    /// Modules loaded at boot through modules-load.d.
    pub modules_load: Vec<ModuleName>,
    /// Modules never loaded for a device, through modprobe.d.
    pub blacklist: Vec<ModuleName>,
}

/// systemd presets.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Units {
    /// Units started at boot.
    pub enable: Vec<UnitName>,
    /// Units not started at boot, although their package would.
    pub disable: Vec<UnitName>,
    /// Units that nothing can start.
    pub mask: Vec<UnitName>,
}

/// A system user. Its primary group is the group of the same name unless `gid` says otherwise.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: UserName,
    /// User number, 1 to 999: the same in every image, so that files in `/var` keep their owner.
    #[schemars(range(min = 1, max = 999))]
    pub uid: u32,
    /// Number of the primary group, 1 to 999; without it, `uid`.
    #[schemars(range(min = 1, max = 999))]
    pub gid: Option<u32>,
    /// Home directory; without it, `/nonexistent`.
    #[serde(default = "defaults::home")]
    pub home: ImagePath,
    /// Login shell; without it, `/usr/sbin/nologin`.
    #[serde(default = "defaults::shell")]
    pub shell: ImagePath,
    /// What it is for.
    #[serde(default)]
    pub comment: String,
    /// Further groups it is in.
    #[serde(default)]
    pub groups: Vec<UserName>,
}

impl User {
    /// Number of the primary group.
    pub fn primary_gid(&self) -> u32 {
        self.gid.unwrap_or(self.uid)
    }
}

/// A system group.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Group name.
    pub name: UserName,
    /// Group number, 1 to 999.
    #[schemars(range(min = 1, max = 999))]
    pub gid: u32,
}

/// Mode and owner of a file of this overlay.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileMode {
    /// The file, as a path in the image.
    pub path: ImagePath,
    /// Permission bits as four octal digits.
    pub mode: Mode,
    /// Owner; without it, `root`.
    #[serde(default = "defaults::root")]
    pub owner: UserName,
    /// Group; without it, `root`.
    #[serde(default = "defaults::root")]
    pub group: UserName,
}

/// What is removed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Remove {
    /// Paths with wildcards, removed from the packages' files before this overlay's files are added.
    pub paths: Vec<PathPattern>,
}

/// A symbolic link.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// Where the link lies.
    pub path: ImagePath,
    /// What it points at.
    pub target: LinkTarget,
}

/// A directory.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where it lies.
    pub path: ImagePath,
    /// Permission bits as four octal digits; without it, `0755`.
    #[serde(default = "defaults::directory_mode")]
    pub mode: Mode,
    /// Owner; without it, `root`.
    #[serde(default = "defaults::root")]
    pub owner: UserName,
    /// Group; without it, `root`.
    #[serde(default = "defaults::root")]
    pub group: UserName,
}

/// What the initrd takes from the image.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Initrd {
    /// Programs, with the libraries they need.
    pub binaries: Vec<ImagePath>,
    /// Kernel modules, with those they need; the board's come on top.
    pub modules: Vec<ModuleName>,
    /// systemd units.
    pub units: Vec<UnitName>,
    /// Other files.
    pub files: Vec<ImagePath>,
}

/// What an absent key means.
mod defaults {
    use crate::names::{ImagePath, Mode, UserName};

    pub(super) fn home() -> ImagePath {
        ImagePath::known("/nonexistent")
    }

    pub(super) fn shell() -> ImagePath {
        ImagePath::known("/usr/sbin/nologin")
    }

    pub(super) fn root() -> UserName {
        UserName::known("root")
    }

    pub(super) fn directory_mode() -> Mode {
        Mode::DIRECTORY
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn follow_their_rules() {
            assert_eq!(super::home().as_str().parse(), Ok(super::home()));
            assert_eq!(super::shell().as_str().parse(), Ok(super::shell()));
            assert_eq!(super::root().as_str().parse(), Ok(super::root()));
        }
    }
}
