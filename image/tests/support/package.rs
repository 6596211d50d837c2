//! A package of our own in a copy of the checkout, for tests of what packages' scripts can do.

use std::fs;
use std::path::Path;
use std::process::Command;

use roamcore_image::build::Sources;
use roamcore_image::lock::{Lock, Package, Sha256};
use roamcore_ota::Channel;

use super::{APPLIANCE, edit, run, tool};

/// A small package.
pub struct Extra<'a> {
    /// Its name; also the name of the overlay that asks for it.
    pub name: &'a str,
    /// A further line of its control file, or nothing.
    pub control: &'a str,
    /// Its files below the root: path and content, each executable.
    pub files: &'a [(&'a str, &'a str)],
    /// What its `postinst` does after `#!/bin/sh`.
    pub postinst: &'a str,
}

impl Extra<'_> {
    /// Builds it into `pool` and adds it to the checkout: an overlay, the appliance, a row of the lock.
    pub fn add(&self, checkout: &Path, pool: &Path) {
        let name = self.name;
        let overlay = checkout.join("overlays").join(name);
        fs::create_dir(&overlay).unwrap();
        let text = format!(
            "schema = 1\nname = \"{name}\"\ndescription = \"test\"\n[packages]\ninstall = [\"{name}\"]\n"
        );
        fs::write(overlay.join("overlay.toml"), text).unwrap();
        edit(
            &checkout.join("appliances/bare.toml"),
            "\"agent\"]",
            &format!("\"agent\", \"{name}\"]"),
        );
        let path = checkout.join("appliances/bare.lock");
        let mut lock = Lock::read(&path).unwrap();
        let bytes = self.build(pool, lock.epoch);
        let package = Package {
            name: name.to_owned(),
            version: "1".to_owned(),
            arch: "all".to_owned(),
            size: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
            path: format!("pool/main/r/{name}/{name}_1_all.deb"),
            ..lock.image[0].clone()
        };
        lock.image.push(package);
        lock.image.sort_by(|a, b| a.name.cmp(&b.name));
        let appliance = APPLIANCE.parse().unwrap();
        let sources = Sources::load(checkout, &appliance, Channel::Development).unwrap();
        lock.inputs = sources.request().unwrap().inputs();
        lock.write(&path).unwrap();
    }

    fn build(&self, pool: &Path, epoch: u64) -> Vec<u8> {
        let name = self.name;
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            run(Command::new("chmod").arg("755").arg(&path)).ok();
        };
        let control = format!(
            "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n{}\
             Description: test\n",
            self.control
        );
        write("DEBIAN/control", &control);
        write(
            "DEBIAN/postinst",
            &format!("#!/bin/sh\nset -e\n{}\n", self.postinst),
        );
        for (path, text) in self.files {
            write(path, text);
        }
        run(Command::new("chmod").arg("755").arg(tree.path())).ok();
        fs::create_dir_all(pool).unwrap();
        let deb = pool.join(format!("{name}_1_all.deb"));
        let mut build = tool("dpkg-deb").unwrap();
        // The same package in every run of a test, because the machine's own pool keeps it.
        build.env("SOURCE_DATE_EPOCH", epoch.to_string());
        run(build
            .args(["--root-owner-group", "--build"])
            .arg(tree.path())
            .arg(&deb))
        .ok();
        fs::read(&deb).unwrap()
    }
}
