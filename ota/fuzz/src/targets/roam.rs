//! The single-file form. Members of an accepted file lie within it and do not overlap, and can all be read.

use roamcore_delta::roam::{Archive, NewMember, write};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "roam",
    from: "a .roam file on a stick",
    longest: 16 << 10,
    run: |bytes| {
        let file = bytes.to_vec();
        let Ok(archive) = Archive::open(&file) else {
            return false;
        };
        let mut end = 0;
        let mut contents = Vec::new();
        for member in archive.members() {
            assert!(member.offset >= end && !member.name.contains('/'));
            end = member.offset + member.size;
            let content = archive.read(&member.name, file.len() as u64).unwrap();
            contents.push(content.unwrap());
        }
        assert!(end <= file.len() as u64);
        let mut readers: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let members = archive.members().iter().zip(&mut readers);
        let members = members.map(|(member, content)| NewMember {
            name: &member.name,
            size: member.size,
            content,
        });
        let mut again = Vec::new();
        write(&mut again, members.collect()).unwrap();
        assert_eq!(again.len(), file.len());
        true
    },
    seeds: || {
        let file = |contents: &[(&str, &[u8])]| {
            let mut readers: Vec<&[u8]> = contents.iter().map(|member| member.1).collect();
            let members = contents.iter().zip(&mut readers);
            let members = members.map(|((name, bytes), content)| NewMember {
                name,
                size: bytes.len() as u64,
                content,
            });
            let mut out = Vec::new();
            write(&mut out, members.collect()).unwrap();
            out
        };
        vec![
            file(&[]),
            file(&[("update.json", b"{}"), ("root.000", b"part")]),
        ]
    },
};
