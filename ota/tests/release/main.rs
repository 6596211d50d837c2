//! The release format from outside: what is accepted, every attack that is refused, and the published example.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is a panic"
)]

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod bitflips;
mod book;
mod fixture;
mod interop;
mod manifests;
mod signing;
