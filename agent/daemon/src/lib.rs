//! The device's update service and its command line.
//!
//! Owns: the loop that joins engine, disk and server; the socket and what is said over it; the settings of a
//! device; the health gate. Never does: judge an update, write a slot, decide what follows (the engine does).
//! Invariant: a server, a stick, a setting or a client that is broken or hostile costs a message, never
//! the service.
//!
//! ```text
//!   cli -> call ==socket==> socket -> core -> Engine
//!                                     |  \-> work -> perform -> Device; files from remote | stick
//!   health (gate) ==socket==>         '----> uplink -> DDI client -> server
//! ```

pub mod call;
pub mod chain;
pub mod cli;
pub mod config;
pub mod connect;
pub mod core;
pub mod daemon;
pub mod health;
pub mod image;
pub mod machine;
pub mod notify;
pub mod offers;
pub mod places;
pub mod protocol;
pub mod remote;
pub mod show;
pub mod socket;
pub mod stick;
#[cfg(test)]
mod testing;
pub mod toml_file;
pub mod translate;
pub mod uplink;
pub mod work;
