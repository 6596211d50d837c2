//! Proves that role documents are made, changed and signed as publishers do it, key by key on
//! different machines, and that what is not in force says what it lacks.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use roamcore_ota::{PrivateKey, Role, RoleChain, TrustedRoles};
use serde_json::Value;
use support::{BUILDER, Ran, run};
use tempfile::TempDir;

/// A publisher's directory: root keys of Alice, Bob and Carol, two release keys.
struct Publisher {
    dir: TempDir,
}

impl Publisher {
    fn new() -> Publisher {
        let publisher = Publisher {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["alice", "bob", "carol"] {
            publisher.roles(&["key", &format!("{name}.key")]).ok();
        }
        for name in ["one", "two"] {
            let key = PrivateKey::generate(Role::Release).unwrap();
            publisher.write(&format!("{name}.pub"), &key.public().to_pem().unwrap());
        }
        publisher
    }

    fn roles(&self, args: &[&str]) -> Ran {
        run(Command::new(BUILDER)
            .current_dir(self.dir.path())
            .args(["keys", "roles"])
            .args(args))
    }

    fn shown(&self) -> Value {
        let ran = self.roles(&["show", "roles.json", "--json"]).ok();
        serde_json::from_str(&ran.out).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The id in a public key file.
    fn id(&self, name: &str) -> String {
        let text = String::from_utf8(self.read(name)).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("key-id: "));
        line.unwrap().to_owned()
    }

    /// The first document, by two root keys of three.
    fn begin(&self) {
        self.roles(&[
            "init",
            "roles.json",
            "--key",
            "alice.pub",
            "--key",
            "bob.pub",
            "--key",
            "carol.pub",
            "--key",
            "one.pub",
            "--threshold",
            "root=2",
            "--sequence",
            "10-20",
        ])
        .ok();
        self.roles(&[
            "sign",
            "roles.json",
            "--key",
            "alice.key",
            "--key",
            "bob.key",
        ])
        .ok();
    }
}

#[test]
fn a_first_document_needs_its_signatures_in_any_order() {
    let publisher = Publisher::new();
    let init = [
        "init",
        "roles.json",
        "--key",
        "alice.pub",
        "--key",
        "bob.pub",
        "--key",
        "one.pub",
        "--threshold",
        "root=2",
    ];
    let ran = publisher.roles(&init).ok();
    assert!(
        ran.out.contains("not in force: role document 1 has 0 of 2"),
        "{}",
        ran.out
    );
    publisher
        .roles(&init)
        .fails(1, &["role documents are never overwritten"]);

    fs::copy(publisher.path("roles.json"), publisher.path("other.json")).unwrap();
    let sign = |file: &str, key: &str| publisher.roles(&["sign", file, "--key", key]).ok();
    assert!(sign("roles.json", "alice.key").out.contains("has 1 of 2"));
    assert!(sign("roles.json", "bob.key").out.ends_with("in force\n"));
    sign("other.json", "bob.key");
    sign("other.json", "alice.key");
    assert_eq!(publisher.read("roles.json"), publisher.read("other.json"));
    assert_eq!(publisher.shown()["complete"], true);
    let mode = fs::metadata(publisher.path("alice.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn rotation_and_revocation_lead_from_the_first_document_to_the_third() {
    let publisher = Publisher::new();
    publisher.begin();
    let first = publisher.read("roles.json");
    let (carol, one) = (publisher.id("carol.pub"), publisher.id("one.pub"));
    publisher
        .roles(&[
            "rotate",
            "roles.json",
            "--remove",
            &carol,
            "--add",
            "two.pub",
            "--epoch",
            "1-9",
        ])
        .ok();
    publisher.roles(&["rotate", "roles.json"]).fails(
        35,
        &[
            "must be in force before the next one",
            "role document 2 has 0 of 2",
        ],
    );
    publisher
        .roles(&["sign", "roles.json", "--key", "alice.key"])
        .ok();
    assert_eq!(publisher.shown()["complete"], false);
    // Carol may sign the document by which she goes.
    publisher
        .roles(&["sign", "roles.json", "--key", "carol.key"])
        .ok();
    assert!(
        publisher.shown()["wanted"]
            .as_str()
            .unwrap()
            .contains("its own root keys")
    );
    publisher
        .roles(&["sign", "roles.json", "--key", "bob.key"])
        .ok();
    publisher
        .roles(&["revoke", "roles.json", "--key", &one])
        .ok();
    publisher
        .roles(&["sign", "roles.json", "--key", "carol.key"])
        .fails(
            30,
            &["is a root key neither of this role document nor of the one before it"],
        );
    publisher
        .roles(&[
            "sign",
            "roles.json",
            "--key",
            "bob.key",
            "--key",
            "alice.key",
        ])
        .ok();

    let trusted = TrustedRoles::anchor(&first).unwrap();
    let trusted = trusted.advance(&publisher.read("roles.json")).unwrap();
    let document = trusted.document();
    assert_eq!(document.version, 3);
    let revoked: Vec<String> = document.revoked.iter().map(ToString::to_string).collect();
    assert_eq!(revoked, [one]);
    assert_eq!(
        (document.sequence.minimum, document.sequence.maximum),
        (10, 20)
    );
    assert_eq!(document.security_epoch.maximum, 9);
    assert_eq!(document.role(Role::Root).unwrap().keys.len(), 2);
    assert_eq!(document.role(Role::Release).unwrap().keys.len(), 1);
}

#[test]
fn wrong_arguments_are_refused_in_words() {
    let publisher = Publisher::new();
    publisher.begin();
    let before = publisher.read("roles.json");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["key", "dave.pem"], 1, "dave.pem should end in .key"),
        (&["key", "alice.key"], 1, "File exists"),
        (
            &["rotate", "roles.json", "--remove", "00112233445566"],
            2,
            "16 of 0-9 and a-f",
        ),
        (
            &["rotate", "roles.json", "--remove", "0011223344556677"],
            1,
            "cannot be taken away",
        ),
        (
            &["rotate", "roles.json", "--threshold", "owner=1"],
            2,
            "is not a role",
        ),
        (
            &["rotate", "roles.json", "--threshold", "root=4"],
            31,
            "cannot be reached with 3 root keys",
        ),
        (
            &["rotate", "roles.json", "--sequence", "20-10"],
            31,
            "the sequence window 20 to 10 is empty",
        ),
        (
            &["sign", "roles.json", "--key", "alice.pub"],
            28,
            "this is a public key file",
        ),
    ];
    for (args, code, text) in cases {
        publisher.roles(args).fails(code, &[text]);
    }
    assert_eq!(publisher.read("roles.json"), before);
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("never.key");
    publisher
        .roles(&["key", checkout.to_str().unwrap()])
        .fails(1, &["lies inside the checkout"]);
}

#[test]
fn a_key_set_has_role_documents_that_its_root_key_can_change() {
    let publisher = Publisher::new();
    let set = publisher.path("set");
    let set = set.to_str().unwrap();
    run(Command::new(BUILDER).args(["keys", "create", "--role", "release", set])).ok();
    let (chain, key) = (
        format!("{set}/public/roles.json"),
        format!("{set}/root.key"),
    );
    publisher.roles(&["rotate", &chain, "--expires", "30"]).ok();
    publisher.roles(&["sign", &chain, "--key", &key]).ok();
    let chain = RoleChain::parse(&fs::read(chain).unwrap()).unwrap();
    assert_eq!(chain.documents().len(), 2);
}
