//! No text makes the parser panic, and every place it points at lies within the text.

use proptest::prelude::*;
use roamcore_spec::{Appliance, Board, Document, Overlay, Problems, Size};

const DOCUMENTS: [&str; 4] = [
    include_str!("../../appliances/roamcore.toml"),
    include_str!("../../hardware/vp2430/board.toml"),
    include_str!("good/overlay-full.toml"),
    include_str!("good/appliance-guests.toml"),
];

/// Pieces that break things: quotes, brackets, long numbers, other scripts, control characters.
const PIECES: [&str; 14] = [
    "\"",
    "'''",
    "[",
    "]]",
    "{",
    "=",
    "\n",
    "\0",
    "é",
    "車",
    "999999999999999999999",
    "-1",
    "1.5",
    "schema = 1\n",
];

fn mutated() -> impl Strategy<Value = (usize, String)> {
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), 0..40usize, 0..PIECES.len()),
        1..6,
    );
    (0..DOCUMENTS.len(), edits).prop_map(|(which, edits)| {
        let mut text: Vec<char> = DOCUMENTS[which].chars().collect();
        for (at, cut, piece) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + cut % 7).min(text.len());
            text.splice(start..end, PIECES[piece].chars());
        }
        (which, text.into_iter().collect())
    })
}

fn look_at(result: Result<(), Problems>, text: &str) {
    let Err(problems) = result else { return };
    assert!(!problems.as_slice().is_empty());
    assert!(!problems.render(true).is_empty() && !problems.render(false).is_empty());
    for problem in problems.as_slice() {
        if let Some(place) = problem.place() {
            assert!(text.get(place.span.clone()).is_some(), "{place:?}");
            assert!(place.line <= text.matches('\n').count() + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_mutated_documents((which, text) in mutated()) {
        match which {
            0 => look_at(Document::<Appliance>::parse("a", &text).map(|a| drop(a.on_disk(Size::from_mib(1 << 40)))), &text),
            3 => look_at(Document::<Appliance>::parse("a", &text).map(|a| assert!(!a.start_order().is_empty() || a.guest.is_empty())), &text),
            1 => look_at(Document::<Board>::parse("b", &text).map(|b| drop(b.kernel_arguments())), &text),
            _ => look_at(Document::<Overlay>::parse("o", &text).map(drop), &text),
        }
    }

    #[test]
    fn sizes_survive_being_written(bytes in prop_oneof![any::<u64>(), (0..1u64 << 40).prop_map(|mib| mib << 20)]) {
        let size = Size::from_bytes(bytes);
        prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
    }

    #[test]
    fn a_disk_is_shared_within_the_bounds(gigabytes in 124..20_000u64) {
        let appliance: Document<Appliance> = Document::parse("a", DOCUMENTS[0]).map_err(|p| TestCaseError::fail(p.to_string()))?;
        let disk = appliance.on_disk(Size::from_bytes(gigabytes * 1_000_000_000)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let total: Size = disk.partitions.iter().map(|placed| placed.size).sum();
        prop_assert!(total + Size::from_mib(2) <= disk.size);
        for placed in &disk.partitions {
            prop_assert!(placed.size >= placed.planned.min);
            prop_assert!(placed.planned.max.is_none_or(|max| placed.size <= max));
        }
    }
}
