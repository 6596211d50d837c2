//! A machine made of files: sysfs, procfs, device nodes and /usr in a temporary directory.

#![allow(dead_code, reason = "every test program uses its own part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use roamcore_agent::roots::Roots;

pub const GB: u64 = 1_000_000_000;

pub struct Machine {
    pub dir: tempfile::TempDir,
    pub roots: Roots,
}

impl Machine {
    /// A disk of 64 GB with both slots, running from root-b.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::below(dir.path());
        for path in [
            &roots.sys.join("class/block"),
            &roots.proc.join("self"),
            &roots.dev.join("mapper"),
            &roots.run,
        ] {
            fs::create_dir_all(path).unwrap();
        }
        fs::create_dir_all(roots.usr.join("lib/roamcore")).unwrap();
        fs::write(roots.proc.join("self/mountinfo"), "").unwrap();
        let machine = Self { dir, roots };
        machine.layout(32 * GB);
        machine.disk("nvme0n1", 64 * GB);
        for (index, label) in ["esp", "root-a", "verity-a", "root-b", "verity-b"]
            .into_iter()
            .enumerate()
        {
            machine.partition("nvme0n1", index + 1, Some(label));
        }
        machine.root("dm-0", &["nvme0n1p4", "nvme0n1p5"]);
        machine
    }

    pub fn layout(&self, minimum: u64) {
        let labels = ["esp", "root-a", "verity-a", "root-b", "verity-b", "state"]
            .map(str::to_owned)
            .to_vec();
        let layout = roamcore_agent::layout::Layout::new("bare", minimum, labels).unwrap();
        fs::write(
            self.roots.usr.join("lib/roamcore/layout.json"),
            layout.to_json(),
        )
        .unwrap();
    }

    pub fn disk(&self, name: &str, bytes: u64) {
        let directory = self.devices().join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("size"), format!("{}\n", bytes / 512)).unwrap();
        symlink(&directory, self.roots.sys.join("class/block").join(name)).unwrap();
    }

    pub fn partition(&self, disk: &str, number: usize, label: Option<&str>) {
        let name = format!("{disk}p{number}");
        let directory = self.devices().join(disk).join(&name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("partition"), format!("{number}\n")).unwrap();
        fs::write(directory.join("dev"), format!("259:{number}\n")).unwrap();
        let line = label
            .map(|label| format!("PARTNAME={label}\n"))
            .unwrap_or_default();
        fs::write(
            directory.join("uevent"),
            format!("DEVTYPE=partition\n{line}"),
        )
        .unwrap();
        symlink(&directory, self.roots.sys.join("class/block").join(&name)).unwrap();
        fs::write(self.roots.dev.join(name), "").unwrap();
    }

    pub fn root(&self, name: &str, slaves: &[&str]) {
        let directory = self.roots.sys.join("class/block").join(name);
        fs::create_dir_all(directory.join("dm")).unwrap();
        fs::create_dir_all(directory.join("slaves")).unwrap();
        fs::write(directory.join("dm/name"), "root\n").unwrap();
        for slave in slaves {
            symlink(
                self.roots.sys.join("class/block").join(slave),
                directory.join("slaves").join(slave),
            )
            .unwrap();
        }
    }

    /// An efivarfs with these contents of LoaderBootCountPath.
    pub fn efi(&self, variable: Option<(u32, &str)>) {
        let directory = self.roots.sys.join("firmware/efi/efivars");
        fs::create_dir_all(&directory).unwrap();
        let table = format!(
            "1 0 0:1 / {} rw - efivarfs efivarfs rw\n",
            directory.display()
        );
        fs::write(self.roots.proc.join("self/mountinfo"), table).unwrap();
        if let Some((attributes, text)) = variable {
            self.variable(
                roamcore_agent::efivar::BOOT_COUNT_PATH,
                attributes,
                &format!("{text}\0"),
            );
        }
    }

    /// One EFI variable of UTF-16 text, NULs as given.
    pub fn variable(&self, name: &str, attributes: u32, text: &str) {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = attributes.to_le_bytes().into_iter().chain(units).collect();
        fs::write(self.variables().join(name), bytes).unwrap();
    }

    pub fn variables(&self) -> PathBuf {
        self.roots.sys.join("firmware/efi/efivars")
    }

    pub fn channel(&self, channel: &str) {
        fs::write(
            self.roots.usr.join("lib/os-release"),
            format!("ID=roamcore\nROAMCORE_CHANNEL={channel}\n"),
        )
        .unwrap();
    }

    pub fn oem_strings(&self, instance: usize, strings: &[&str]) {
        let directory = self
            .roots
            .sys
            .join(format!("firmware/dmi/entries/11-{instance}"));
        fs::create_dir_all(&directory).unwrap();
        let mut raw = vec![11, 5, 0, 0, u8::try_from(strings.len()).unwrap()];
        raw.extend(strings.iter().flat_map(|s| s.bytes().chain([0])));
        raw.push(0);
        fs::write(directory.join("raw"), raw).unwrap();
    }

    pub fn devices(&self) -> PathBuf {
        self.roots.sys.join("devices/pci0/nvme")
    }
}
