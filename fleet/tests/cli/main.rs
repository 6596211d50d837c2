//! The program as an operator uses it: a server in another process, every verb, every exit code.
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

#[path = "../common/program.rs"]
mod program;
#[path = "../common/update.rs"]
mod update;

mod deployments;
mod refusals;
mod releases;
