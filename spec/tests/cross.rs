//! The rules between documents, each with the exact text of its refusal.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use roamcore_spec::check::development_overlays;
use roamcore_spec::{Appliance, Board, Document, Overlay, cross_check};

fn appliance(overlays: &str) -> Document<Appliance> {
    let text: String = include_str!("../../appliances/bare.toml")
        .lines()
        .map(|line| match line.starts_with("overlays = ") {
            true => format!("overlays = [{overlays}]\n"),
            false => format!("{line}\n"),
        })
        .collect();
    Document::parse("bare.toml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn board(name: &str) -> Document<Board> {
    let text = include_str!("../../hardware/vp2430/board.toml")
        .replace("\"vp2430\"", &format!("\"{name}\""));
    Document::parse("board.toml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn overlay(name: &str, rest: &str) -> Document<Overlay> {
    let text = format!("schema = 1\nname = \"{name}\"\ndescription = \"test\"\n{rest}");
    Document::parse(&format!("{name}.toml"), &text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Everything wrong, one line each: file, line, column, message, hint.
fn refusals(
    appliance: &Document<Appliance>,
    board: &Document<Board>,
    overlays: &[Document<Overlay>],
) -> Vec<String> {
    let line = |report: roamcore_spec::Report| {
        let (line, column) = (
            report.line.unwrap_or_default(),
            report.column.unwrap_or_default(),
        );
        let hint = report
            .hint
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        format!("{}:{line}:{column}: {}{hint}", report.file, report.message)
    };
    cross_check(appliance, board, overlays)
        .iter()
        .map(|problem| line(problem.report()))
        .collect()
}

fn pair(first: &str, second: &str) -> Vec<String> {
    let overlays = [overlay("one", first), overlay("two", second)];
    refusals(&appliance(r#""one", "two""#), &board("vp2430"), &overlays)
}

#[test]
fn documents_that_agree_are_accepted() {
    let same = "[units]\nenable = [\"ssh.service\"]\n[[group]]\nname = \"operators\"\ngid = 400\n";
    assert_eq!(pair(same, same), [""; 0]);
}

#[test]
fn another_board_is_refused() {
    let wanted = "bare.toml:6:9: board `vp2430` is what the appliance is for, but the board given is `other`";
    assert_eq!(
        refusals(
            &appliance("\"one\""),
            &board("other"),
            &[overlay("one", "")]
        ),
        [wanted]
    );
}

#[test]
fn missing_overlays_are_all_named() {
    let found = refusals(
        &appliance(r#""bsae", "x""#),
        &board("vp2430"),
        &[overlay("base", "")],
    );
    assert_eq!(
        found,
        [
            "bare.toml:7:13: no overlay `bsae` (did you mean `base`?)",
            "bare.toml:7:21: no overlay `x` (overlays live in `overlays/x/overlay.toml`)",
        ]
    );
}

#[test]
fn a_unit_has_one_state() {
    assert_eq!(
        pair(
            "[units]\nmask = [\"ssh.service\"]\n",
            "[units]\nenable = [\"a.service\", \"ssh.service\"]\n"
        ),
        ["two.toml:5:24: unit `ssh.service` is enabled, but overlay `one` has it masked"]
    );
}

#[test]
fn a_number_has_one_name_and_a_name_one_number() {
    let user = |name: &str, uid: u32| format!("[[user]]\nname = \"{name}\"\nuid = {uid}\n");
    assert_eq!(
        pair(&user("agent", 400), &user("other", 400)),
        [
            "two.toml:6:7: user `other` is uid 400, but that is `agent` in overlay `one`",
            "two.toml:6:7: group `other` is gid 400, but that is `agent` in overlay `one`",
        ]
    );
    assert_eq!(
        pair(&user("agent", 400), &user("agent", 401)),
        [
            "two.toml:6:7: user `agent` is uid 401, but overlay `one` gives it uid 400",
            "two.toml:6:7: group `agent` is gid 401, but overlay `one` gives it gid 400",
        ]
    );
    assert_eq!(
        pair(
            &user("agent", 400),
            "[[group]]\nname = \"operators\"\ngid = 400\n"
        ),
        ["two.toml:6:7: group `operators` is gid 400, but that is `agent` in overlay `one`"]
    );
}

#[test]
fn an_apt_source_has_one_owner() {
    let source = "[[apt_source]]\nname = \"x\"\nsuites = [\"trixie\"]\ncomponents = [\"main\"]\nkey = \"x.asc\"\n";
    assert_eq!(
        pair(source, source),
        ["two.toml:5:8: duplicate apt source `x`; first used by overlay `one`"]
    );
}

/// The appliance with guests of the fixtures, changed, against the board.
fn guests(change: (&str, &str), board: &Document<Board>) -> Vec<String> {
    let text = include_str!("good/appliance-guests.toml");
    assert!(text.contains(change.0), "{}", change.0);
    let text = text.replacen(change.0, change.1, 1);
    let appliance =
        Document::parse("guests.toml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    refusals(
        &appliance,
        board,
        &[overlay("base", ""), overlay("boot", "")],
    )
}

#[test]
fn guests_that_fit_the_board_are_accepted() {
    assert_eq!(guests(("Case", "Case"), &board("vp2430")), [""; 0]);
}

#[test]
fn what_the_board_cannot_give_is_refused() {
    let vp2430 = board("vp2430");
    for (from, to, wanted) in [
        (
            r#"nics = ["nic1", "nic2"]"#,
            r#"nics = ["nic0", "nic1"]"#,
            "guests.toml:83:16: NIC `nic0` is passed through to guest `router`, but it is a port of bridge `vmbr0` \
             (take it out of `nics` of `vmbr0`: a NIC is the host's or a guest's)",
        ),
        (
            r#"nics = ["nic1", "nic2"]"#,
            r#"nics = ["nic1", "nic9"]"#,
            "guests.toml:46:17: no NIC `nic9` (did you mean `nic0`?)",
        ),
        (
            "cores = 2",
            "cores = 6",
            "guests.toml:81:9: `guest[0].cores` is 6, but must be at most 4, the cores of board `vp2430`",
        ),
        (
            r#"smallest = "8GiB""#,
            r#"smallest = "32GiB""#,
            "guests.toml:36:12: host and guests need a unit with 32GiB of memory, but the most that board `vp2430` \
             takes is 16GiB",
        ),
        (
            "[guest.router]",
            "[[guest.pci]]\nroot_port = \"0000:00:1c.2\"\n\n[guest.router]",
            "guests.toml:94:13: root port `0000:00:1c.2` is given to guest `router`, but NIC `nic1` sits behind it",
        ),
    ] {
        assert_eq!(guests((from, to), &vp2430), [wanted]);
    }
}

#[test]
fn a_board_without_facts_has_no_room_for_guests() {
    let text = include_str!("../../hardware/vp2430/board.toml");
    let (before, rest) = text.split_once("[memory]").expect("the section");
    let (_, after) = rest.split_once("[console]").expect("the next");
    let text =
        format!("{before}[console]{after}").replace("passthrough = true", "passthrough = false");
    let board =
        Document::parse("board.toml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        guests(("Case", "Case"), &board),
        [
            "guests.toml:83:16: NIC role `wan` is passed through to guest `router`, but no NIC of board `vp2430` with \
             this role has `passthrough = true`",
            "guests.toml:35:2: no section [memory] in board `vp2430` (the board must say how much memory it takes)",
        ]
    );
}

#[test]
fn development_overlays_are_found() {
    let overlays = [
        overlay("one", "development_only = true\n"),
        overlay("two", ""),
        overlay("unused", ""),
    ];
    let found = development_overlays(&appliance(r#""one", "two""#), &overlays);
    assert_eq!(
        found
            .iter()
            .map(|overlay| overlay.name.as_str())
            .collect::<Vec<_>>(),
        ["one"]
    );
}
