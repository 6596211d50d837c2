//! `roamcore-image`: builds, signs and verifies images. Arguments only; the work is the library's.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
