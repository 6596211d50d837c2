//! Which OpenPGP keys a key file holds.
//!
//! Owns: asking gpg for fingerprints, and the comparison with the one that an overlay declares. Never
//! does: import a key anywhere, or judge a signature (apt does). Invariant: a file that passes holds
//! one primary key, the declared one; apt would trust every key of the file.

use std::os::unix::fs::PermissionsExt;

use roamcore_scratch::{Scratch, area, tidy};

use super::error::LockError;
use crate::command::Command;

/// Refuses a key file whose only primary key does not have the declared fingerprint.
pub fn check(name: &str, key: &[u8], declared: &str) -> Result<(), LockError> {
    let found = fingerprints(key)?;
    let one = matches!(found.as_slice(), [only] if only.eq_ignore_ascii_case(declared));
    if one {
        return Ok(());
    }
    Err(LockError::Fingerprint {
        name: name.to_owned(),
        declared: declared.to_ascii_uppercase(),
        found: match found.as_slice() {
            [] => "none that gpg can read".to_owned(),
            found => found.join(", "),
        },
    })
}

/// Fingerprints of the primary keys in a key file, binary or armoured.
fn fingerprints(key: &[u8]) -> Result<Vec<String>, LockError> {
    // A home of its own: gpg would make one, and read the operator's settings.
    let area = area()?;
    tidy(&area, "gpg-")?;
    let home = Scratch::create(&area, "gpg-")?;
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700))
        .map_err(LockError::file(home.path()))?;
    let told = Command::new("gpg")
        .arg("--homedir")
        .arg(home.path())
        .args(["--batch", "--no-autostart", "--with-colons", "--show-keys"])
        .stdin_bytes(key)
        .run();
    let told = match told {
        Ok(told) => String::from_utf8_lossy(&told.stdout).into_owned(),
        // It says so of a file without any key.
        Err(crate::command::CommandError::Failed { .. }) => String::new(),
        Err(error) => return Err(LockError::Gpg(error)),
    };
    Ok(primary(&told))
}

/// The `fpr` record that follows each `pub` record (gnupg, doc/DETAILS).
fn primary(told: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut after_primary = false;
    for line in told.lines() {
        let mut fields = line.split(':');
        match fields.next() {
            Some("pub") => after_primary = true,
            Some("fpr") if after_primary => {
                after_primary = false;
                found.extend(fields.nth(8).map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::primary;

    #[test]
    fn only_primary_keys_count() {
        let told = "pub:-:255:22:77:1:::-:::scSC::::::23::0:\nfpr:::::::::AAAA:\nuid:-::::1::X::t::::::::::0:\n\
                    sub:-:255:18:88:1::::::e::::::23:\nfpr:::::::::BBBB:\npub:-:255:22:99:1:::-:::scSC::::::23::0:\n\
                    fpr:::::::::CCCC:\n";
        assert_eq!(primary(told), ["AAAA", "CCCC"]);
        assert!(primary("").is_empty());
    }
}
