//! The decision about /etc: a table of cases, and what holds for all trees.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::ffi::OsString;

use proptest::prelude::*;
use roamcore_slots::etc::{ConflictKind, Keep, Meta, Node, decide};

fn meta(mode: u32) -> Meta {
    Meta {
        mode,
        ..Meta::default()
    }
}

/// `a=1` file with content 1; `a:mode=1`; `d/` directory; `d!/` opaque; `-a` whiteout; `a>x` link; nested by paths.
fn tree(lines: &str) -> Node {
    let mut root = Node::Dir {
        meta: meta(0o755),
        opaque: false,
        children: BTreeMap::new(),
    };
    for word in lines.split_whitespace() {
        let (path, node) = if let Some(path) = word.strip_prefix('-') {
            (path.to_owned(), Node::Whiteout)
        } else if let Some(path) = word.strip_suffix('/') {
            let (path, mode) = path.split_once(':').unwrap_or((path, "755"));
            let (path, opaque) = match path.strip_suffix('!') {
                Some(path) => (path, true),
                None => (path, false),
            };
            let meta = meta(u32::from_str_radix(mode, 8).unwrap());
            let children = BTreeMap::new();
            (
                path.to_owned(),
                Node::Dir {
                    meta,
                    opaque,
                    children,
                },
            )
        } else if let Some((path, target)) = word.split_once('>') {
            let target = target.into();
            (
                path.to_owned(),
                Node::Link {
                    meta: meta(0),
                    target,
                },
            )
        } else {
            let (path, content) = word.split_once('=').unwrap();
            let (path, mode) = path.split_once(':').unwrap_or((path, "644"));
            let meta = meta(u32::from_str_radix(mode, 8).unwrap());
            let digest = [content.as_bytes()[0]; 32];
            (path.to_owned(), Node::File { meta, digest })
        };
        insert(&mut root, &path, node);
    }
    root
}

fn insert(at: &mut Node, path: &str, node: Node) {
    let Node::Dir { children, .. } = at else {
        panic!("{path} is below no directory");
    };
    match path.split_once('/') {
        None => drop(children.insert(path.into(), node)),
        Some((first, rest)) => {
            let below = children.entry(first.into()).or_insert(Node::Dir {
                meta: meta(0o755),
                opaque: false,
                children: BTreeMap::new(),
            });
            insert(below, rest, node);
        }
    }
}

fn shown(children: &BTreeMap<OsString, Keep>, prefix: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, keep) in children {
        let path = format!("{prefix}{}", name.to_string_lossy());
        match keep {
            Keep::Ours => lines.push(path),
            Keep::Lines => lines.push(format!("{path}+")),
            Keep::Whiteout => lines.push(format!("-{path}")),
            Keep::Dir { meta, children, .. } => {
                lines.push(format!("{path}:{:o}/", meta.mode));
                lines.extend(shown(children, &format!("{path}/")));
            }
        }
    }
    lines
}

#[test]
fn table() {
    use ConflictKind as C;
    type Conflicts = &'static [(&'static str, ConflictKind)];
    let cases: [(&str, &str, &str, &str, &str, Conflicts); 34] = [
        ("only copied up", "a=1", "a=1", "a=2", "", &[]),
        ("only copied up, now gone", "a=1", "a=1", "", "", &[]),
        ("changed by the user", "a=1", "a=2", "a=1", "a", &[]),
        ("added by the user", "", "a=2", "", "a", &[]),
        ("same change", "a=1", "a=2", "a=2", "", &[]),
        ("same addition", "", "a=2", "a=2", "", &[]),
        (
            "both changed",
            "a=1",
            "a=2",
            "a=3",
            "a",
            &[("a", C::BothChanged)],
        ),
        ("both added", "", "a=2", "a=3", "a", &[("a", C::BothAdded)]),
        (
            "changed and removed",
            "a=1",
            "a=2",
            "",
            "a",
            &[("a", C::ChangedRemoved)],
        ),
        (
            "mode changed by the user",
            "a=1",
            "a:600=1",
            "a=1",
            "a",
            &[],
        ),
        (
            "mode by the user, content by the image",
            "a=1",
            "a:600=1",
            "a=2",
            "a",
            &[("a", C::BothChanged)],
        ),
        ("removed by the user", "a=1", "-a", "a=1", "-a", &[]),
        (
            "removed by the user, changed by the image",
            "a=1",
            "-a",
            "a=2",
            "-a",
            &[("a", C::RemovedChanged)],
        ),
        ("removed by both", "a=1", "-a", "", "-a", &[]),
        ("a link for a file", "a=1", "a>x", "a=1", "a", &[]),
        ("a link as the image's", "a>x", "a>x", "a>y", "", &[]),
        (
            "a link against a changed one",
            "a>x",
            "a>z",
            "a>y",
            "a",
            &[("a", C::BothChanged)],
        ),
        (
            "nested, only copied up",
            "d/a=1",
            "d/a=1",
            "d/a=2 d/b=1",
            "",
            &[],
        ),
        (
            "nested change",
            "d/a=1 d/b=1",
            "d/a=2",
            "d/a=1 d/b=2",
            "d:755/ d/a",
            &[],
        ),
        (
            "nested removal",
            "d/a=1",
            "-d/a",
            "d/a=1",
            "d:755/ -d/a",
            &[],
        ),
        (
            "the image's new mode of a directory",
            "d:755/ d/a=1",
            "d:755/ d/a=2",
            "d:700/ d/a=1",
            "d:700/ d/a",
            &[],
        ),
        (
            "the user's mode of a directory",
            "d:755/",
            "d:700/",
            "d:755/",
            "d:700/",
            &[],
        ),
        (
            "both modes",
            "d:755/",
            "d:700/",
            "d:750/",
            "d:700/",
            &[("d", C::DirectoryAttributes)],
        ),
        ("same mode", "d:755/", "d:700/", "d:700/", "", &[]),
        (
            "directory gone, nothing of the user's",
            "d/a=1",
            "d/a=1",
            "",
            "",
            &[],
        ),
        (
            "directory gone, something of the user's",
            "d/a=1",
            "d/b=1",
            "",
            "d:755/ d/b",
            &[],
        ),
        (
            "directory gone, a changed file",
            "d/a=1",
            "d/a=2",
            "",
            "d:755/ d/a",
            &[("d/a", C::ChangedRemoved)],
        ),
        (
            "the user's own directory",
            "",
            "d/ d/a=1",
            "",
            "d:755/ d/a",
            &[],
        ),
        ("the user's empty directory", "", "d/", "", "d:755/", &[]),
        (
            "both have the directory now",
            "",
            "d/a=1",
            "d/b=1",
            "d:755/ d/a",
            &[],
        ),
        (
            "replaced directory",
            "d/a=1",
            "d!/ d/b=1",
            "d/a=1",
            "d",
            &[],
        ),
        (
            "replaced directory, changed by the image",
            "d/a=1",
            "d!/ d/b=1",
            "d/a=2",
            "d",
            &[("d", C::DirectoryReplaced)],
        ),
        ("a file for a directory", "d/a=1", "d=1", "d/a=1", "d", &[]),
        (
            "a directory that became a file",
            "d/a=1",
            "d/a=2",
            "d=1",
            "d:755/ d/a",
            &[("d", C::BothChanged), ("d/a", C::ChangedRemoved)],
        ),
    ];
    for (name, base, ours, theirs, want, conflicts) in cases {
        let plan = decide(&tree(base), &tree(ours), &tree(theirs));
        let want: Vec<&str> = want.split_whitespace().collect();
        assert_eq!(shown(&plan.children, ""), want, "{name}");
        let found: Vec<(&str, ConflictKind)> = plan
            .conflicts
            .iter()
            .map(|c| (c.path.as_str(), c.kind))
            .collect();
        assert_eq!(found, conflicts, "{name}");
    }
}

#[test]
fn account_files_are_merged_by_line_at_the_top_only() {
    let plan = decide(
        &tree("passwd=1 d/passwd=1"),
        &tree("passwd=2 d/passwd=2"),
        &tree("passwd=3 d/passwd=3"),
    );
    assert_eq!(shown(&plan.children, ""), ["d:755/", "d/passwd", "passwd+"]);
    assert_eq!(plan.conflicts.len(), 1);
    // One of the three is no file.
    let plan = decide(&tree("passwd=1"), &tree("passwd=2"), &tree("passwd>x"));
    assert_eq!(shown(&plan.children, ""), ["passwd"]);
}

#[test]
fn attributes_of_the_top() {
    let mut theirs = tree("");
    let Node::Dir { meta: top, .. } = &mut theirs else {
        panic!()
    };
    top.mode = 0o711;
    assert_eq!(decide(&tree(""), &tree(""), &theirs).meta.mode, 0o711);
    assert_eq!(decide(&theirs, &tree(""), &theirs).meta.mode, 0o755);
}

fn word() -> impl Strategy<Value = String> {
    "(-?[ab]|(d/)?[ab]=[123]|d!?/|d:7[05]0/|[ab]>[xy]|d/-?c=1)"
        .prop_filter("a whiteout has no content", |word| {
            !word.contains('-') || !word.contains('=')
        })
        .prop_filter("every word has a kind", |word| {
            word.starts_with('-') || word.contains(['=', '/', '>'])
        })
        .prop_filter("well-formed", |word| !word.contains("d/-"))
}

fn any_tree(upper: bool) -> impl Strategy<Value = Node> {
    proptest::collection::vec(word(), 0..6).prop_map(move |words| {
        let words = words
            .into_iter()
            .filter(|w| upper || !(w.starts_with('-') || w.contains('!')));
        // A name is one thing: later words that do not fit are left out.
        let mut root = tree("");
        for word in words {
            let top = word.trim_start_matches('-').chars().next();
            let taken = root
                .children()
                .unwrap()
                .keys()
                .any(|k| k.to_string_lossy().chars().next() == top);
            if !taken {
                let one = tree(&word);
                let (name, node) = one.children().unwrap().iter().next().unwrap();
                insert(&mut root, name.to_str().unwrap(), node.clone());
            }
        }
        root
    })
}

/// What a user sees: the upper layer over an image.
fn merged(lower: Option<&Node>, upper: Option<&Node>) -> Option<Node> {
    match (lower, upper) {
        (lower, None) => lower.cloned(),
        (_, Some(Node::Whiteout)) => None,
        (
            lower,
            Some(Node::Dir {
                meta,
                opaque,
                children,
            }),
        ) => {
            let below = lower
                .filter(|_| !opaque)
                .and_then(Node::children)
                .cloned()
                .unwrap_or_default();
            let names: std::collections::BTreeSet<_> =
                below.keys().chain(children.keys()).cloned().collect();
            let children = names.into_iter().filter_map(|name| {
                let node = merged(below.get(&name), children.get(&name))?;
                Some((name, node))
            });
            Some(Node::Dir {
                meta: meta.clone(),
                opaque: false,
                children: children.collect(),
            })
        }
        (_, Some(node)) => Some(node.clone()),
    }
}

/// The upper layer a plan stands for, lines taken as ours.
fn upper(children: &BTreeMap<OsString, Keep>, meta: &Meta, ours: Option<&Node>) -> Node {
    let children = children.iter().map(|(name, keep)| {
        let source = ours.and_then(|ours| ours.child(name));
        let node = match keep {
            Keep::Ours | Keep::Lines => source.cloned().unwrap(),
            Keep::Whiteout => Node::Whiteout,
            Keep::Dir { meta, children, .. } => upper(children, meta, source),
        };
        (name.clone(), node)
    });
    Node::Dir {
        meta: meta.clone(),
        opaque: false,
        children: children.collect(),
    }
}

proptest! {
    /// The image does not change: the user sees what he saw.
    #[test]
    fn the_same_image_changes_nothing(base in any_tree(false), ours in any_tree(true)) {
        let plan = decide(&base, &ours, &base);
        prop_assert_eq!(&plan.conflicts, &[]);
        let new = upper(&plan.children, &plan.meta, Some(&ours));
        prop_assert_eq!(merged(Some(&base), Some(&new)), merged(Some(&base), Some(&ours)));
    }

    /// The user changed nothing: he sees the new image, however much was copied up.
    #[test]
    fn an_untouched_layer_shows_the_new_image(base in any_tree(false), theirs in any_tree(false)) {
        let plan = decide(&base, &base, &theirs);
        prop_assert_eq!(&plan.conflicts, &[]);
        let new = upper(&plan.children, &plan.meta, Some(&base));
        prop_assert_eq!(merged(Some(&theirs), Some(&new)), Some(theirs));
    }

    /// Carrying over twice is carrying over once.
    #[test]
    fn idempotent(base in any_tree(false), ours in any_tree(true), theirs in any_tree(false)) {
        let plan = decide(&base, &ours, &theirs);
        let new = upper(&plan.children, &plan.meta, Some(&ours));
        let again = decide(&theirs, &new, &theirs);
        let twice = upper(&again.children, &again.meta, Some(&new));
        prop_assert_eq!(merged(Some(&theirs), Some(&twice)), merged(Some(&theirs), Some(&new)));
    }

    /// Nothing that the user made is lost: every file of his that no image had is still seen.
    #[test]
    fn nothing_of_the_user_s_is_lost(base in any_tree(false), ours in any_tree(true), theirs in any_tree(false)) {
        let plan = decide(&base, &ours, &theirs);
        let new = upper(&plan.children, &plan.meta, Some(&ours));
        let seen = merged(Some(&theirs), Some(&new)).unwrap();
        for (name, node) in ours.children().unwrap() {
            if matches!(node, Node::File { .. } | Node::Link { .. }) && base.child(name) != Some(node) {
                prop_assert_eq!(seen.child(name), Some(node));
            }
            if *node == Node::Whiteout {
                prop_assert_eq!(seen.child(name), None);
            }
        }
    }
}
