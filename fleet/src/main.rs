//! `roamcore-fleet`: the embedded fleet server and its command line. Arguments only; the work is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    roamcore_fleet::cli::run()
}
