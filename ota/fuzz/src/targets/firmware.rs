//! What firmware and boot loader leave for us: EFI variables and SMBIOS strings. The first byte chooses.

use roamcore_agent::efivar::{
    BootCountPath, BootFailures, boot_count_path, encode_text, list, text,
};
use roamcore_agent::entry::EntryName;
use roamcore_agent::machine_id::MachineId;
use roamcore_agent::settings::{Reading, read};
use roamcore_agent::smbios::oem_strings;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "firmware",
    from: "EFI variables, SMBIOS strings, the stored machine id",
    longest: 1024,
    run: |bytes| match bytes.split_first() {
        Some((b'p', variable)) => match boot_count_path(variable) {
            Ok(BootCountPath::FromLoader(path)) => EntryName::of_boot_count_path(&path).is_ok(),
            _ => false,
        },
        Some((b't', variable)) => text(variable).is_some_and(|value| {
            assert_eq!(text(&encode_text(&value)), Some(value));
            true
        }),
        Some((b'l', variable)) => !list(variable).is_empty(),
        Some((b'f', variable)) => BootFailures::decode(variable).is_some_and(|found| {
            assert_eq!(BootFailures::decode(&found.encode()), Some(found));
            true
        }),
        Some((b's', structure)) => oem_strings(structure).is_ok_and(|strings| {
            let taken = |string: &&[u8]| matches!(read(string), Reading::Taken(_));
            strings.iter().filter(|s| taken(s)).count() > 0
        }),
        Some((b'm', id)) => MachineId::parse(id).is_some_and(|found| {
            assert_eq!(found.to_line().as_bytes(), id);
            true
        }),
        _ => false,
    },
    seeds: || {
        let mut path = encode_text("\\loader\\entries\\roamcore-b+2-1.conf");
        path[0] = 6;
        let list = encode_text("roamcore-a.conf\0auto-reboot-to-firmware-setup");
        vec![
            [b"p", &path[..]].concat(),
            [b"t", &path[..]].concat(),
            [b"l", &list[..]].concat(),
            [b"f", &BootFailures::default().encode()[..]].concat(),
            b"s\x0b\x05\x00\x01\x01roamcore:console=ttyS1\0\0".to_vec(),
            b"m0123456789abcdef0123456789abcdef\n".to_vec(),
        ]
    },
};
