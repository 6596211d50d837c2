//! The service as a whole: the program's command line, the socket, a server that is scripted, and a
//! device made of memory that can be rebooted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is a panic"
)]

mod commands;
mod device;
mod notify;
mod server;
mod socket;
mod updates;
mod world;
