//! hawkBit's Direct Device Integration API: messages, and the device's client.
//!
//! Owns: the shape of every document of DDI v1 (`messages`, used by devices and servers alike), the text of
//! poll intervals (`sleep`), and with the feature `client` the device's side of the conversation.
//! Never does: decide about an update, keep state on a disk, talk to a host with credentials that are
//! not that host's. Invariant: whatever a server sends ends in a value or a typed error, within the
//! stated sizes; nothing here panics on bytes from outside.
//!
//! ```text
//!   messages   sleep        always, no I/O
//!        \      /
//!         client            feature `client`: one call is one exchange; `retry` says what may follow
//! ```

#[cfg(feature = "client")]
pub mod client;
pub mod messages;
pub mod sleep;
