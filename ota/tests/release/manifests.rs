//! What a manifest may say: every contradiction is refused, everything newer is kept or refused as announced.

use roamcore_ota::{ArtefactKind, Channel, DocumentError, PartitionRecord, Release};
use serde_json::json;

use crate::fixture::{chain, edited, listed, manifest, release, time};

type Edit = fn(&mut Release);

fn region(release: &mut Release, name: &str) -> usize {
    release
        .partitions
        .iter()
        .position(|p| p.name.as_str() == name)
        .unwrap()
}

fn with<'a>(release: &'a mut Release, name: &str) -> &'a mut PartitionRecord {
    let at = region(release, name);
    &mut release.partitions[at]
}

#[test]
fn contradictions() {
    let cases: [(&str, Edit, &str); 16] = [
        (
            "gap between regions",
            |r| {
                let at = region(r, "verity-a");
                r.partitions.remove(at);
            },
            "bytes 21504 to 22016 before region root-b are not described: name the gap",
        ),
        (
            "gap at the start",
            |r| {
                r.partitions.remove(0);
            },
            "bytes 0 to 17408 before region esp are not described: name the gap",
        ),
        (
            "overlap",
            |r| with(r, "esp").size += 512,
            "region root-a starts at 19456, before the one listed ahead of it ends at 19968",
        ),
        (
            "not in disk order",
            |r| r.partitions.swap(1, 2),
            "bytes 17408 to 19456 before region root-a are not described: name the gap",
        ),
        (
            "end of the disk not described",
            |r| {
                r.partitions.pop();
            },
            "the regions end at 26112, the raw image at 43008",
        ),
        (
            "region beyond the disk",
            |r| r.disk.raw_size -= 512,
            "the regions end at 43008, the raw image at 42496",
        ),
        (
            "no regions",
            |r| {
                r.partitions.clear();
                r.disk.raw_size = 0;
            },
            "no regions: the raw image is not described",
        ),
        (
            "empty region",
            |r| with(r, "seed").size = 0,
            "region seed has 0 bytes, not a positive multiple of 512",
        ),
        (
            "half a sector",
            |r| with(r, "seed").size = 700,
            "region seed has 700 bytes, not a positive multiple of 512",
        ),
        (
            "name twice",
            |r| with(r, "root-b").name = "root-a".parse().unwrap(),
            "region root-a is listed twice",
        ),
        (
            "number twice",
            |r| with(r, "root-b").number = Some(2),
            "region root-b has partition number 2, which another one has too",
        ),
        (
            "number zero",
            |r| with(r, "esp").number = Some(0),
            "region esp has partition number 0, not 1 to 128",
        ),
        (
            "artefact twice but for case",
            |r| {
                r.artefacts
                    .push(listed("SBOM.cdx.json", ArtefactKind::Sbom, b""))
            },
            "artefact SBOM.cdx.json is listed twice (case is ignored)",
        ),
        (
            "disk image not listed",
            |r| r.disk.artefact = "other.img.zst".parse().unwrap(),
            "the disk image other.img.zst is not among the artefacts",
        ),
        (
            "disk image of another kind",
            |r| r.artefacts[0].kind = ArtefactKind::Uki,
            "the disk image disk.img.zst is listed as \"uki\", not as \"disk\"",
        ),
        (
            "expires when made",
            |r| r.expires = Some(time("2025-11-21T07:41:00Z")),
            "it expires at 2025-11-21T07:41:00Z, not after its creation at 2025-11-21T07:41:00Z",
        ),
    ];
    for (name, edit, text) in cases {
        let mut release = release(Channel::Release);
        edit(&mut release);
        let error = release.encode().unwrap_err();
        assert_eq!(
            chain(&error),
            format!("the manifest contradicts itself: {text}"),
            "{name}"
        );
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let mut release = release(Channel::Release);
    with(&mut release, "gpt-backup").size = u64::MAX - 511;
    assert!(matches!(
        release.encode(),
        Err(DocumentError::NotCanonical { .. })
    ));
}

#[test]
fn counts_are_bounded() {
    let mut many = release(Channel::Release);
    many.artefacts = (0..1025)
        .map(|i| listed(&format!("part-{i}"), ArtefactKind::Disk, b""))
        .collect();
    let error = many.encode().unwrap_err().to_string();
    assert_eq!(
        error,
        "the manifest contradicts itself: 1025 artefacts, at most 1024 are accepted"
    );

    let mut many = release(Channel::Release);
    let first = many.partitions[0].clone();
    many.partitions = vec![first; 513];
    let error = many.encode().unwrap_err().to_string();
    assert_eq!(
        error,
        "the manifest contradicts itself: 513 regions, at most 512 are accepted"
    );
}

#[test]
fn bad_documents() {
    let good = manifest(Channel::Release);
    let unreadable = "the manifest cannot be read: it is damaged, or not a release.json";
    let form = "the manifest is not in canonical form";
    let rule = "differs from the canonical form (sorted members, each once, two spaces, one final newline): the file \
                was edited or re-formatted, take the original";
    let cases = [
        ("empty", Vec::new(), format!("{unreadable}: EOF while parsing a value at line 1 column 0")),
        (
            "member missing", edited(&good, "  \"board\": \"vp2430\",\n", ""),
            format!("{unreadable}: missing field `board` at line 100 column 1"),
        ),
        (
            "a path as artefact", edited(&good, "sbom.cdx.json", "../sbom.json"),
            format!(
                "{unreadable}: artefact name \"../sbom.json\" is refused: use 1 to 127 of A-Z, a-z, 0-9, '.', '_', '+' \
                 and '-', starting with a letter or digit at line 11 column 28"
            ),
        ),
        (
            "unknown channel", edited(&good, "\"channel\": \"release\"", "\"channel\": \"beta\""),
            format!(
                "{unreadable}: unknown variant `beta`, expected `development` or `release` at line 23 column 19"
            ),
        ),
        (
            "member twice", edited(&good, "  \"board\"", "  \"board\": \"x\",\n  \"board\""),
            format!("{unreadable}: duplicate field `board` at line 23 column 9"),
        ),
        (
            "unknown member twice", edited(&good, "  \"board\"", "  \"bo\": 1,\n  \"bo\": 2,\n  \"board\""),
            format!("{form}: byte 543 {rule}"),
        ),
        ("null for absent", edited(&good, "\"2026-05-20T07:41:00Z\"", "null"), format!("{form}: byte 691 {rule}")),
        ("blank at the end", [good.as_slice(), b"\n"].concat(), format!("{form}: byte 2656 {rule}")),
        (
            "a fraction", edited(&good, "  \"board\"", "  \"b\": 0.5,\n  \"board\""),
            format!("{form}: number 0.5 is not an integer within +-9007199254740991: write it as a string"),
        ),
        (
            "digits that other readers lose", edited(&good, "1763710860", "9007199254740992"),
            format!("{form}: number 9007199254740992 is not an integer within +-9007199254740991: write it as a string"),
        ),
        (
            "newer format", edited(&good, "\"format\": 1", "\"format\": 2"),
            "the manifest has format 2, this program reads format 1: update this program first".to_owned(),
        ),
        (
            "newer format of another shape", b"{\"format\": 7, \"everything\": \"else\"}".to_vec(),
            "the manifest has format 7, this program reads format 1: update this program first".to_owned(),
        ),
        (
            "unknown feature", edited(&good, "\"requires\": []", "\"requires\": [\n    \"time-travel\"\n  ]"),
            "the manifest requires feature \"time-travel\", which this program does not know: update this program first"
                .to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, text) in cases {
        let seen = chain(&Release::parse(&bytes).unwrap_err());
        if seen != text {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn members_of_a_newer_writer_survive() {
    let mut newer = release(Channel::Release);
    newer.extra.insert(
        "minimum_agent".to_owned(),
        json!({"version": "2.0", "why": ["x", 1, null, true]}),
    );
    newer
        .disk
        .extra
        .insert("zero_bytes".to_owned(), json!(9_007_199_254_740_991_u64));
    newer.partitions[2]
        .extra
        .insert("chunks".to_owned(), json!([-1, {"a": []}]));
    newer.artefacts[1]
        .extra
        .insert("media".to_owned(), json!("text/ü"));
    newer.artefacts.push(listed(
        "chunks.idx",
        ArtefactKind::Other("chunk-index".parse().unwrap()),
        b"",
    ));
    let bytes = newer.encode().unwrap();
    let read = Release::parse(&bytes).unwrap();
    assert_eq!(read, newer);
    assert_eq!(read.encode().unwrap(), bytes);
}

#[test]
fn an_extra_member_cannot_pose_as_a_known_one() {
    let message =
        "the manifest contradicts itself: an extra member or kind has the name of a known one";
    let mut posing = release(Channel::Development);
    posing.extra.insert("product".to_owned(), json!("other"));
    assert_eq!(posing.encode().unwrap_err().to_string(), message);

    let mut posing = release(Channel::Development);
    posing.artefacts[0].kind = ArtefactKind::Other("disk".parse().unwrap());
    assert_eq!(chain(&posing.encode().unwrap_err()), message);
}
