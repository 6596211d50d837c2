//! Every way to be wrong, one file each: `tests/bad/<document>-<case>.toml` is refused with exactly the text in
//! `<document>-<case>.txt`. `UPDATE=1 cargo test -p roamcore-spec --test bad` writes the texts; read the difference.

use std::fs;
use std::path::Path;

use roamcore_spec::{Appliance, Board, Document, Overlay, Problems, Spec};

fn refusal<T: Spec>(file: &str, text: &str) -> Option<Problems> {
    Document::<T>::parse(file, text).err()
}

#[test]
fn every_bad_document_is_refused_with_its_text() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let update = std::env::var_os("UPDATE").is_some();
    let mut names: Vec<String> = fs::read_dir(&directory)
        .expect("the fixtures")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name in UTF-8")
        })
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() > 60, "only {} fixtures", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let text = fs::read_to_string(directory.join(&name)).expect("a fixture");
        let problems = match name.split('-').next() {
            Some("appliance") => refusal::<Appliance>(&name, &text),
            Some("board") => refusal::<Board>(&name, &text),
            Some("overlay") => refusal::<Overlay>(&name, &text),
            _ => panic!("{name} does not say which document it is"),
        };
        let Some(problems) = problems else {
            wrong.push(format!("{name}: accepted"));
            continue;
        };
        for report in problems.reports() {
            assert!(
                report.file == name && !report.message.contains('\n'),
                "{report:?}"
            );
            assert_eq!(report.line.is_some(), report.column.is_some(), "{report:?}");
        }
        let expected = directory.join(name.replace(".toml", ".txt"));
        let rendered = format!("{problems}\n");
        if update {
            fs::write(&expected, &rendered).expect("writable");
        } else if fs::read_to_string(&expected).unwrap_or_default() != rendered {
            wrong.push(format!("{name}: not the expected text, but\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
