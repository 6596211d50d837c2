//! Saying that a test did not run, and why. cargo counts such a test as passed; `just test` prints the list.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Says it past the test harness's capture, and gathers it in `skipped.txt` in cargo's directory for test files.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let words: Vec<&str> = reason.split_whitespace().collect();
    let line = format!("SKIP: {test}: {}\n", words.join(" "));
    let _ = std::io::stderr().write_all(line.as_bytes());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped.txt");
    // A test that runs itself again as another user cannot write there; its words are on standard error.
    if let Ok(mut file) = File::options().create(true).append(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
