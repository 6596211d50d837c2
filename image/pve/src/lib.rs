//! Proxmox's own files as bytes: what an appliance says, in the words of the daemons that will read it.
//!
//! Owns the formats: the database of `/etc/pve`, guest configurations, section files, and what a guest reads at its
//! first boot. Never runs a program, never reads a clock or a random source, never holds a secret: what only one device
//! may know is a placeholder until that device fills it.
//!
//! Invariant: the same inputs give the same bytes, and what is written here Proxmox's parsers read strictly, in version
//! 8 and 9, and would write the same.

pub mod compile;
pub mod db;
pub mod reach;
pub mod seed;
pub mod text;
