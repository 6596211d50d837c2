//! Strings that have passed their rule. Each type is one rule, told in its error, its documentation and its JSON schema.
//!
//! A name from a file is not a path, a unit or a package until its type has accepted it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

mod mode;
mod rules;

pub use mode::Mode;

/// A string refused by its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct NameError {
    /// What was written.
    pub text: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

macro_rules! string_type {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal, $rule:literal, $pattern:literal, $accepts:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { text: text.to_owned(), what: $what, rule: $rule })
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": concat!("Must be ", $what, ": ", $rule, "."),
                    "pattern": $pattern,
                })
            }
        }
    };
}

mod guests;

pub use guests::{
    BridgeName, CheckoutPath, DomainName, DownloadUrl, FlowName, InterfaceName, Schedule, Timezone,
    UsbId,
};

string_type! {
    /// The name of an appliance, board, overlay or product: also used in file names and release ids.
    Name, "a name", "use lower-case letters, digits and single hyphens, starting with a letter, 63 at most",
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", rules::name
}
string_type! {
    /// A host name without domain; Proxmox uses it as its node name.
    Hostname, "a host name", "use lower-case letters, digits and single hyphens, starting with a letter, 63 at most",
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", rules::name
}
string_type! {
    /// A Debian package name (Debian Policy 5.6.1).
    PackageName, "a Debian package name", "use lower-case letters, digits and + - . with at least two characters",
    "^[a-z0-9][a-z0-9+.-]+$", rules::package
}
string_type! {
    /// A systemd unit name with its type, for example `ssh.service` or `getty@tty1.service`.
    UnitName, "a systemd unit name", "it needs a known suffix such as .service, and only letters, digits and : _ . \\ @ -",
    "^[A-Za-z0-9:_.\\\\@-]+\\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$", rules::unit
}
string_type! {
    /// The name of a user or group (sysusers' strict rule).
    UserName, "a user name", "use lower-case letters, digits, _ and -, starting with a letter or _, 31 at most",
    "^[a-z_][a-z0-9_-]{0,30}$", rules::user
}
string_type! {
    /// An absolute, normalised path in the image; `/` itself is not one.
    ImagePath, "a path in the image", "it must be absolute, without `..`, `.`, `//`, a trailing `/` or wildcards",
    "^(/[^/*?\\[\\]]+)+$", rules::image_path
}
string_type! {
    /// An absolute path in the image that may hold the wildcards `*`, `**`, `?` and `[...]`.
    PathPattern, "a path pattern", "it must be absolute, without `..`, `.`, `//` or a trailing `/`, and name at least one directory",
    "^(/[^/]+){2,}$", rules::path_pattern
}
string_type! {
    /// A path below the overlay's own directory.
    OverlayPath, "a path inside the overlay", "it must be relative, without `..`, `.`, `//` or a trailing `/`",
    "^[^/]+(/[^/]+)*$", rules::overlay_path
}
string_type! {
    /// What a symbolic link points at; relative targets may climb with `..`.
    LinkTarget, "a link target", "it must not be empty, nor hold control characters",
    "^[^\\u0000-\\u001f]+$", |text| !text.is_empty() && !text.chars().any(char::is_control)
}
string_type! {
    /// One kernel argument. Quoting is refused: no argument of ours needs a space.
    KernelArgument, "a kernel argument", "write one argument, without spaces or quotes",
    "^[!#-&(-~]+$", rules::kernel_argument
}
string_type! {
    /// A kernel module; `-` and `_` are the same to the kernel, so only `_` is accepted.
    ModuleName, "a kernel module name", "use letters, digits and _ (the kernel reads - as _)",
    "^[A-Za-z0-9_]+$", rules::module
}
string_type! {
    /// A network interface name that Proxmox accepts without configuration: `nic` and a number.
    NicName, "a NIC name", "Proxmox recognises `nic` and a number, as in \"nic0\"",
    "^nic[0-9]+$", rules::nic
}
string_type! {
    /// A character device below `/dev`, without that prefix, for example `ttyS0`.
    TtyName, "a terminal name", "write the name below /dev, as in \"ttyS0\"",
    "^tty[A-Za-z0-9]+$", rules::tty
}
string_type! {
    /// An OpenPGP fingerprint without spaces: 40 hex digits (64 for version 6 keys).
    Fingerprint, "a key fingerprint", "write 40 or 64 hex digits without spaces",
    "^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$", rules::fingerprint
}
string_type! {
    /// A word in an apt source: suite or component.
    AptWord, "an apt suite or component", "use letters, digits and . _ - /",
    "^[A-Za-z0-9._/-]+$", rules::apt_word
}

macro_rules! known {
    ($($name:ident),+) => {$(
        impl $name {
            /// A text of this crate's own that follows the rule; a test checks each.
            pub(crate) fn known(text: &'static str) -> Self {
                Self(text.to_owned())
            }
        }
    )+};
}

known!(ImagePath, UserName);
