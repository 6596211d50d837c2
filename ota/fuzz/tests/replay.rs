//! Every seed and every committed input goes through its target: findings of the past stay fixed, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use roamcore_fuzz::TARGETS;

/// Of all inputs together: the corpus is for everybody who clones.
const MOST_BYTES: u64 = 512 << 10;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn seeds_reach_the_inside_of_every_target() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let accepted = seeds.iter().filter(|seed| (target.run)(seed)).count();
        assert!(accepted > 0, "{}: no seed is accepted", target.name);
        for seed in &seeds {
            assert!(
                seed.len() <= target.longest,
                "{}: a seed of {} bytes",
                target.name,
                seed.len()
            );
        }
    }
}

#[test]
fn damaged_seeds_keep_every_promise() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            // Every byte of small seeds, about a hundred of large ones.
            for at in (0..seed.len()).step_by(seed.len() / 100 + 1) {
                let mut bytes = seed.clone();
                bytes[at] = bytes[at].wrapping_add(1);
                (target.run)(&bytes);
                (target.run)(&seed[..at]);
            }
        }
    }
}

#[test]
fn the_committed_corpus_keeps_every_promise() {
    let mut total = 0;
    let mut seen = BTreeSet::new();
    for directory in fs::read_dir(corpus()).unwrap() {
        let directory = directory.unwrap();
        let name = directory.file_name().into_string().unwrap();
        let target = roamcore_fuzz::target(&name)
            .unwrap_or_else(|| panic!("corpus/{name} belongs to no target"));
        let mut accepted = 0;
        for file in fs::read_dir(directory.path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            total += bytes.len() as u64;
            println!("{}", path.display());
            accepted += u32::from((target.run)(&bytes));
        }
        assert!(accepted > 0, "corpus/{name}: no input is accepted any more");
        seen.insert(name);
    }
    let all: BTreeSet<String> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    assert_eq!(seen, all, "every target has a corpus: `just fuzz-keep`");
    assert!(
        total <= MOST_BYTES,
        "{total} bytes of inputs: `just fuzz-keep`"
    );
}
